//! `Registry`: who is here now.

mod arguments;
mod locked;

use callboard::formats::{Feed, FeedConfig};
use callboard::model::{Health, Override, Registration};
use callboard::registry::{self as core, Listing, Position, Put};
use callboard::{Timestamp, Value, store};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use self::arguments::{config, key, namespace_of};
pub use self::arguments::{entries, handle_of};
pub use self::locked::Registry;
use crate::clock::{self, Time};
use crate::convert::{self, Document, bytes, document, pairs, payload, text, whole};
use crate::errors::Raise as _;
use crate::python::{self, result};
use crate::query::{Asked, Query};
use crate::serve;
use crate::view::View;

#[pymethods]
impl Registry {
    /// A registry with the given settings; durations are seconds, a setting that is not named has its default.
    #[new]
    #[pyo3(
        signature = (**settings),
        text_signature = "(*, seed=None, epoch=None, timer_slack=1, eviction_interval=1, protection_limit=600, eviction_percent=15, renewal_percent=85, confirm_repeats=3, confirm_after=10, log_capacity=16384, allow_local_addresses=False, max_instances=1000000, max_services=100000, max_instances_per_service=100000, max_overrides=100000)"
    )]
    fn new(py: Python<'_>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        core::Registry::new(config(py, settings)?).raise(py).map(Self::holding)
    }

    /// The registry of a snapshot, in a new epoch. Leases start anew at `now`.
    #[staticmethod]
    #[pyo3(
        signature = (snapshot, *, now=None, **settings),
        text_signature = "(snapshot, *, now=None, seed=None, epoch=None, timer_slack=1, eviction_interval=1, protection_limit=600, eviction_percent=15, renewal_percent=85, confirm_repeats=3, confirm_after=10, log_capacity=16384, allow_local_addresses=False, max_instances=1000000, max_services=100000, max_instances_per_service=100000, max_overrides=100000)"
    )]
    fn restore(py: Python<'_>, snapshot: &Bound<'_, PyAny>, now: Option<Time>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let (config, now, bytes) = (config(py, settings)?, clock::at(now), bytes(snapshot, "snapshot")?);
        py.detach(|| core::Registry::restore(bytes, config, now)).raise(py).map(Self::holding)
    }

    /// The registry of all entries of a store, in a new epoch, and what of them could not be read. Leases start anew at `now`.
    #[staticmethod]
    #[pyo3(
        signature = (entries, *, now=None, **settings),
        text_signature = "(entries, *, now=None, seed=None, epoch=None, timer_slack=1, eviction_interval=1, protection_limit=600, eviction_percent=15, renewal_percent=85, confirm_repeats=3, confirm_after=10, log_capacity=16384, allow_local_addresses=False, max_instances=1000000, max_services=100000, max_instances_per_service=100000, max_overrides=100000)"
    )]
    fn load<'py>(
        py: Python<'py>,
        entries: &Bound<'py, PyAny>,
        now: Option<Time>,
        settings: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(Self, Bound<'py, PyTuple>)> {
        let (config, now, read) = (config(py, settings)?, clock::at(now), self::entries(entries)?);
        let loaded = py.detach(|| store::load(read, config, now)).raise(py)?;
        let skipped = loaded.skipped.iter().map(|unread| result(py, "Unread", &unread.to_value()));
        let skipped = PyTuple::new(py, skipped.collect::<PyResult<Vec<_>>>()?)?;
        Ok((Self::holding(loaded.registry), skipped))
    }

    /// The registry of a journal, in a new epoch, and how many bytes of its last frame were never wholly written.
    #[staticmethod]
    #[pyo3(
        signature = (journal, *, now=None, **settings),
        text_signature = "(journal, *, now=None, seed=None, epoch=None, timer_slack=1, eviction_interval=1, protection_limit=600, eviction_percent=15, renewal_percent=85, confirm_repeats=3, confirm_after=10, log_capacity=16384, allow_local_addresses=False, max_instances=1000000, max_services=100000, max_instances_per_service=100000, max_overrides=100000)"
    )]
    fn recover(
        py: Python<'_>,
        journal: &Bound<'_, PyAny>,
        now: Option<Time>,
        settings: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(Self, u64)> {
        let (config, now, bytes) = (config(py, settings)?, clock::at(now), bytes(journal, "journal")?);
        let back = py.detach(|| store::journal::recover(bytes, config, now)).raise(py)?;
        Ok((Self::holding(back.registry), back.torn))
    }

    // Getters.

    /// Names this life of the registry: a restored one has another.
    #[getter]
    fn epoch(&self) -> u64 {
        self.lock().epoch()
    }

    /// Another number whenever a `snapshot` would be another: unlike the revision also when a renewal brings a newer incarnation.
    #[getter]
    fn edition(&self) -> u64 {
        self.lock().edition()
    }

    /// How many batches of changes were committed. Renewals make none.
    #[getter]
    fn revision(&self) -> u64 {
        self.seen()
    }

    /// Epoch and revision: where `changes` can go on from.
    #[getter]
    fn position<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let position = self.lock().position();
        result(py, "Position", &position.to_value())
    }

    /// When `advance` has something to do next, in microseconds: the host's only timer. None while nothing is due.
    #[getter]
    fn deadline(&self) -> Option<u64> {
        self.fresh_deadline(&self.lock()).map(Timestamp::as_micros)
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }

    /// Counts of what is held and of what was done, as a dict.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stats = self.lock().stats();
        convert::object(py, &stats.to_value())
    }

    /// The instance of a key, or None.
    #[pyo3(signature = (service, id, *, namespace=None), text_signature = "($self, service, id, *, namespace='default')")]
    fn lookup(
        &self,
        py: Python<'_>,
        service: &Bound<'_, PyAny>,
        id: &Bound<'_, PyAny>,
        namespace: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let [namespace, service, id] = key(namespace, service, id)?;
        let handle = self.lock().lookup(&namespace, &service, &id);
        handle.map_or(Ok(None), |handle| self.object(py, handle))
    }

    /// The instance of a handle, or None when that record is gone.
    fn instance(&self, py: Python<'_>, handle: &Bound<'_, PyAny>) -> PyResult<Option<Py<PyAny>>> {
        self.object(py, handle_of(handle)?)
    }

    /// The services by namespace and name, each a dict.
    #[pyo3(signature = (namespace=None))]
    fn services<'py>(&self, py: Python<'py>, namespace: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let namespace = namespace.map(|namespace| text(namespace, "namespace")).transpose()?;
        let services = self.lock().services(namespace.as_deref());
        convert::object(py, &Value::List(services.iter().map(core::ServiceSummary::to_value).collect()))
    }

    /// What matches: a query, or the name of a service.
    fn query<'py>(&self, py: Python<'py>, query: Asked) -> PyResult<Bound<'py, PyAny>> {
        let (answer, found) = {
            let core = self.lock();
            let answer = core.query(&query.0);
            let found: Vec<_> = answer.handles.iter().filter_map(|handle| self.find(py, &core, *handle)).collect();
            (answer, found)
        };
        python::answer(py, self.objects(py, found)?, &answer)
    }

    /// Which condition of a query leaves each instance out, as a dict, and as a screen of text under `text`.
    fn explain<'py>(&self, py: Python<'py>, query: Asked) -> PyResult<Bound<'py, PyAny>> {
        let explanation = self.lock().explain(&query.0).raise(py)?;
        convert::object(py, &explanation.to_value())
    }

    /// The query that is saved under a name; None when there is none.
    #[pyo3(signature = (name, *, namespace=None), text_signature = "($self, name, *, namespace='default')")]
    fn saved_query(&self, name: &Bound<'_, PyAny>, namespace: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Query>> {
        let [namespace, name] = [namespace_of(namespace)?, text(name, "name")?];
        Ok(self.lock().saved_query(&namespace, &name).map(|own| Query { inner: own.query.clone() }))
    }

    /// The saved queries by namespace and name, each a dict of `name`, `query` and the `revision` that saved it.
    #[pyo3(signature = (namespace=None))]
    fn saved_queries<'py>(&self, py: Python<'py>, namespace: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let namespace = namespace.map(|namespace| text(namespace, "namespace")).transpose()?;
        let saved = self.lock().saved_queries(namespace.as_deref()).map(core::SavedQuery::to_value).collect();
        convert::object(py, &Value::List(saved))
    }

    /// What happened after a position, in order and without a gap.
    fn changes<'py>(&self, py: Python<'py>, since: Document) -> PyResult<Bound<'py, PyAny>> {
        let since = Position::from_value(&since.0).raise(py)?;
        let changes = self.lock().changes(since);
        result(py, "Changes", &changes.to_value())
    }

    /// A strong hash over the sorted (id, revision) of a service; None when there is no such service.
    #[pyo3(signature = (service, *, namespace=None), text_signature = "($self, service, *, namespace='default')")]
    fn digest(&self, service: &Bound<'_, PyAny>, namespace: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
        let [namespace, service] = [namespace_of(namespace)?, text(service, "service")?];
        Ok(self.lock().digest(&namespace, &service))
    }

    // Mutators.

    /// Puts a provider on the board, or changes what it says of itself. `mode` is upsert, create or update.
    #[pyo3(
        signature = (service, id=None, *, mode=None, if_revision=None, now=None, **registration),
        text_signature = "($self, service, id, *, endpoints=(), version=None, metadata=None, tags=(), locality=None, weight=1, health='healthy', ttl=None, grace=None, incarnation=0, namespace='default', mode='upsert', if_revision=None, now=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn register<'py>(
        &self,
        py: Python<'py>,
        service: &Bound<'py, PyAny>,
        id: Option<Bound<'py, PyAny>>,
        mode: Option<Bound<'py, PyAny>>,
        if_revision: Option<Bound<'py, PyAny>>,
        now: Option<Time>,
        registration: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let id = id.unwrap_or_else(|| py.None().into_bound(py));
        let registration = Registration::from_value(&document([("service", service), ("id", &id)], registration)?).raise(py)?;
        let put = Put::from_value(&pairs([("mode", mode.as_ref()), ("if_revision", if_revision.as_ref())])?).raise(py)?;
        let done = self.change(py, clock::at(now), |core, now| core.register(&registration, put, now))?;
        result(py, "Registered", &done.to_value())
    }

    /// Renews a lease and returns the handle. `unknown-lease` says: register again.
    #[pyo3(
        signature = (service, id, *, namespace=None, incarnation=None, now=None),
        text_signature = "($self, service, id, *, namespace='default', incarnation=0, now=None)"
    )]
    fn renew(
        &self,
        py: Python<'_>,
        service: &Bound<'_, PyAny>,
        id: &Bound<'_, PyAny>,
        namespace: Option<&Bound<'_, PyAny>>,
        incarnation: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<u64> {
        let [namespace, service, id] = key(namespace, service, id)?;
        let incarnation = whole(incarnation, "incarnation")?.unwrap_or_default();
        let handle = self.renewal(py, clock::at(now), |core, now| core.renew(&namespace, &service, &id, incarnation, now))?;
        Ok(handle.to_bits())
    }

    /// Renews a lease by handle: the cheapest heartbeat.
    #[pyo3(signature = (handle, *, incarnation=None, now=None), text_signature = "($self, handle, *, incarnation=0, now=None)")]
    fn renew_handle(
        &self,
        py: Python<'_>,
        handle: &Bound<'_, PyAny>,
        incarnation: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<()> {
        let (handle, incarnation) = (handle_of(handle)?, whole(incarnation, "incarnation")?.unwrap_or_default());
        self.renewal(py, clock::at(now), |core, now| core.renew_handle(handle, incarnation, now))
    }

    /// Takes a provider off the board and returns the revision.
    #[pyo3(
        signature = (service, id, *, namespace=None, incarnation=None, now=None),
        text_signature = "($self, service, id, *, namespace='default', incarnation=None, now=None)"
    )]
    fn deregister(
        &self,
        py: Python<'_>,
        service: &Bound<'_, PyAny>,
        id: &Bound<'_, PyAny>,
        namespace: Option<&Bound<'_, PyAny>>,
        incarnation: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<u64> {
        let ([namespace, service, id], incarnation) = (key(namespace, service, id)?, whole(incarnation, "incarnation")?);
        self.change(py, clock::at(now), |core, now| core.deregister(&namespace, &service, &id, incarnation, now))
    }

    /// Reports the health of an instance and returns the revision.
    #[pyo3(
        signature = (service, id, health, *, namespace=None, incarnation=None, now=None),
        text_signature = "($self, service, id, health, *, namespace='default', incarnation=None, now=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn set_health(
        &self,
        py: Python<'_>,
        service: &Bound<'_, PyAny>,
        id: &Bound<'_, PyAny>,
        health: &Bound<'_, PyAny>,
        namespace: Option<&Bound<'_, PyAny>>,
        incarnation: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<u64> {
        let ([namespace, service, id], incarnation) = (key(namespace, service, id)?, whole(incarnation, "incarnation")?);
        let health = Health::parse(&text(health, "health")?).raise(py)?;
        self.change(py, clock::at(now), |core, now| core.set_health(&namespace, &service, &id, health, incarnation, now))
    }

    /// The operator's word about an instance, which may not be there yet: enabled, draining or disabled, for `ttl`
    /// seconds or until it is lifted with None. Returns the revision.
    #[pyo3(
        signature = (service, id, state, *, namespace=None, now=None, **details),
        text_signature = "($self, service, id, state, *, ttl=None, reason='', namespace='default', now=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn set_admin(
        &self,
        py: Python<'_>,
        service: &Bound<'_, PyAny>,
        id: &Bound<'_, PyAny>,
        state: &Bound<'_, PyAny>,
        namespace: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
        details: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<u64> {
        let ([namespace, service, id], now) = (key(namespace, service, id)?, clock::at(now));
        let lifts = state.is_none() && details.is_none();
        let details = document([("state", state)], details)?;
        self.change(py, now, |core, now| {
            let admin = if lifts { None } else { Some(Override::from_value(&details, core.clamp(now))?) };
            core.set_admin(&namespace, &service, &id, admin, now)
        })
    }

    /// Several operations as one: all of them in one revision, which is returned, or none.
    #[pyo3(signature = (ops, *, now=None))]
    fn apply(&self, py: Python<'_>, ops: &Bound<'_, PyAny>, now: Option<Time>) -> PyResult<u64> {
        let ops = convert::value(ops, "ops")?;
        self.change(py, clock::at(now), |core, now| core.apply(&core::Op::list_from_value(&ops, core.clamp(now))?, now))
    }

    /// Takes over the full listing of a source as the smallest change. What a listing that is suddenly short no
    /// longer names is held until it is confirmed, unless `removed` names it.
    #[pyo3(
        signature = (source, instances, *, now=None, **scope),
        text_signature = "($self, source, instances, *, namespace='default', service=None, removed=(), now=None)"
    )]
    fn reconcile<'py>(
        &self,
        py: Python<'py>,
        source: &Bound<'py, PyAny>,
        instances: &Bound<'py, PyAny>,
        now: Option<Time>,
        scope: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let listing = document([("source", source), ("instances", instances)], scope)?;
        let listing = Listing::from_value(&listing).raise(py)?;
        let done = self.change(py, clock::at(now), |core, now| core.reconcile(&listing, now))?;
        result(py, "Reconciled", &done.to_value())
    }

    /// Takes over a payload of another registry, as bytes or text, by the rules of `reconcile`.
    #[pyo3(
        signature = (source, body, *, now=None, **scope),
        text_signature = "($self, source, body, *, format, namespace='default', service=None, now=None)"
    )]
    fn feed<'py>(
        &self,
        py: Python<'py>,
        source: &Bound<'py, PyAny>,
        body: &Bound<'py, PyAny>,
        now: Option<Time>,
        scope: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let config = FeedConfig::from_value(&document([("source", source)], scope)?).raise(py)?;
        let mut feed = Feed::new(config).raise(py)?;
        let body = payload(body, "body")?;
        let done = self.change(py, clock::at(now), |core, now| feed.take(core, body.as_bytes(), now))?;
        result(py, "Reconciled", &done.to_value())
    }

    /// Confirms the short listing of a source: what it no longer names is removed.
    #[pyo3(signature = (source, *, now=None))]
    fn acknowledge<'py>(&self, py: Python<'py>, source: &Bound<'py, PyAny>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let source = text(source, "source")?;
        let done = self.change(py, clock::at(now), |core, now| core.acknowledge(&source, now))?;
        result(py, "Reconciled", &done.to_value())
    }

    // Polling.

    /// Does what is due at `now`: ends leases, overrides and drains.
    #[pyo3(signature = (*, now=None))]
    fn advance<'py>(&self, py: Python<'py>, now: Option<Time>) -> PyResult<Bound<'py, PyAny>> {
        let done = self.change(py, clock::at(now), |core, now| Ok(core.advance(now)))?;
        result(py, "Advanced", &done.to_value())
    }

    /// Follows a query: `poll()` it, or `async for change in` it.
    fn watch<'py>(slf: &Bound<'py, Self>, query: Asked) -> PyResult<Bound<'py, PyAny>> {
        let view = View::new(slf, query)?;
        python::watch(slf, Bound::new(slf.py(), view)?)
    }

    /// Follows the query that is saved under a name, whatever it is at the time; nobody matches while there is none.
    #[pyo3(signature = (name, *, namespace=None), text_signature = "($self, name, *, namespace='default')")]
    fn watch_saved<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        namespace: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let [namespace, name] = [namespace_of(namespace)?, text(name, "name")?];
        let view = core::View::saved(namespace, &name).raise(slf.py())?;
        python::watch(slf, Bound::new(slf.py(), View::of(slf, view))?)
    }

    /// Saves a query under a name of its namespace, for `saved_query`, `watch_saved` and the HTTP API; gives the revision.
    #[pyo3(signature = (name, query, *, now=None))]
    fn save_query(&self, py: Python<'_>, name: &Bound<'_, PyAny>, query: Asked, now: Option<Time>) -> PyResult<u64> {
        let name = text(name, "name")?;
        self.change(py, clock::at(now), |core, now| core.save_query(&name, &query.0, now))
    }

    /// Removes what is saved under a name; gives the revision.
    #[pyo3(signature = (name, *, namespace=None, now=None), text_signature = "($self, name, *, namespace='default', now=None)")]
    fn drop_query(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        namespace: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<u64> {
        let [namespace, name] = [namespace_of(namespace)?, text(name, "name")?];
        self.change(py, clock::at(now), |core, now| core.drop_query(&namespace, &name, now))
    }

    /// Answers a message of DNS, or gives None where nothing is to be sent. What came over UDP is answered in as many bytes as may be
    /// sent back so.
    #[pyo3(signature = (message, *, udp=true, server=None, now=None))]
    fn answer_dns<'py>(
        slf: &Bound<'py, Self>,
        message: &Bound<'py, PyAny>,
        udp: bool,
        server: Option<Bound<'py, serve::Server>>,
        now: Option<Time>,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        serve::answer_dns(slf, message, udp, server.as_ref(), now)
    }

    /// Answers a request of callboard's HTTP API (`GET /v1/openapi.json` describes it) or of Consul's, Eureka's or Nacos', told apart by the path: a
    /// response, or a `Wait` for a long poll. `path` and `query` are as they were sent, not decoded; `peer` is the IP address of who
    /// asks, `principal` who it is, as the host has found out: it counts where the server has a policy.
    #[pyo3(
        signature = (method, path, query=None, body=None, *, headers=None, peer=None, principal=None, server=None, now=None),
        text_signature = "($self, method, path, query='', body=b'', *, headers=None, peer=None, principal=None, server=None, now=None)"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are keywords")]
    fn handle<'py>(
        slf: &Bound<'py, Self>,
        method: &Bound<'py, PyAny>,
        path: &Bound<'py, PyAny>,
        query: Option<Bound<'py, PyAny>>,
        body: Option<Bound<'py, PyAny>>,
        headers: Option<Bound<'py, PyAny>>,
        peer: Option<String>,
        principal: Option<String>,
        server: Option<Bound<'py, serve::Server>>,
        now: Option<Time>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let nothing = intern!(slf.py(), "").as_any();
        let texts = [method, path, query.as_ref().unwrap_or(nothing), body.as_ref().unwrap_or(nothing)];
        serve::handle(slf, &serve::Given { texts, headers: headers.as_ref(), peer, principal, server: server.as_ref() }, now)
    }

    /// Calls `callable` after every new revision, from the thread that made it, until `_unlisten` gets the number.
    /// The place of a request, or what it is refused with.
    #[pyo3(signature = (server=None))]
    fn _enter<'py>(slf: &Bound<'py, Self>, server: Option<&Bound<'py, serve::Server>>) -> PyResult<Bound<'py, PyAny>> {
        serve::enter(slf, server)
    }

    fn _listen(&self, callable: Py<PyAny>) -> u64 {
        self.listeners.add(callable)
    }

    fn _unlisten(&self, listener: u64) {
        // Dropped here, after the lock.
        let _callable = self.listeners.remove(listener);
    }

    // Persistence.

    /// The registry as bytes, for `Registry.restore`.
    fn snapshot<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let bytes = self.lock().snapshot();
        PyBytes::new(py, &bytes)
    }

    fn __repr__(&self) -> String {
        let core = self.lock();
        format!("<Registry epoch={} revision={} instances={}>", core.epoch(), core.revision(), core.len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.listeners.traverse(&visit)?;
        let Ok(waits) = self.waits.try_lock() else { return Ok(()) };
        waits.iter().try_for_each(|callable| visit.call(callable))
    }

    fn __clear__(&self) {
        let (_callables, _waits) = (self.listeners.clear(), std::mem::take(&mut *self.waits()));
    }
}
