//! `Balancer` and `Pick`: which one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use callboard::balance::{self as core, Options, Outcome, Policy, Request};
use callboard::{Error, Timestamp};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit};

use crate::call::{Call, meant, outcome};
use crate::clock::{self, Time};
use crate::convert::{self, document, value, whole};
use crate::errors::Raise as _;
use crate::query::{Asked, Query};
use crate::registry::Registry;
use crate::table::Table;

struct State {
    core: core::Balancer,
    /// The revision of the registry it has followed to.
    followed: Option<u64>,
    /// The objects of what it picks, as they are at that revision.
    objects: Table,
    /// The latest time it was told.
    now: Timestamp,
}

/// Chooses an instance for each call, among those that match a query, and learns from what became of the calls.
///
/// It follows its registry by itself, and does the registry's timed work when a pick finds it due. Safe to share
/// between threads; with a balancer of its own, a thread shares no lock.
#[pyclass(frozen, module = "callboard")]
pub struct Balancer {
    registry: Py<Registry>,
    state: Mutex<State>,
}

impl Balancer {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state after it took over what changed in the registry.
    #[inline]
    fn current(&self) -> MutexGuard<'_, State> {
        let (registry, state) = (self.registry.get(), self.lock());
        if state.followed == Some(registry.seen()) { state } else { self.follow(state) }
    }

    #[cold]
    fn follow<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let registry = self.registry.get().lock();
        let changed = state.core.follow(&registry);
        state.followed = Some(registry.revision());
        drop(registry);
        if !changed {
            return state;
        }
        let old = state.objects.empty();
        drop(state);
        drop(old);
        self.lock()
    }

    /// Picks through `choose` and finds the object of what was picked. Without a time it reads the clock if it must.
    #[inline]
    fn choose(
        &self,
        py: Python<'_>,
        now: Option<Timestamp>,
        mut choose: impl FnMut(&mut core::Balancer, Timestamp) -> Result<core::Pick, Error>,
    ) -> PyResult<(Py<PyAny>, u64)> {
        let registry = self.registry.get();
        let now = if now.is_none() && registry.is_timeless() { None } else { Some(now.unwrap_or_else(clock::read)) };
        if let Some(now) = now
            && registry.is_due(now)
        {
            registry.change(py, now, |core, now| Ok(core.advance(now)))?;
        }
        loop {
            let mut state = self.current();
            state.now = now.unwrap_or(state.now);
            let at = state.now;
            let pick = match choose(&mut state.core, at) {
                Ok(pick) => pick,
                Err(error) => {
                    drop(state);
                    return Err(error).raise(py);
                }
            };
            if let Some(object) = state.objects.get(py, pick.handle) {
                return Ok((object, pick.token));
            }
            let generation = state.objects.generation();
            drop(state);
            if let Some(object) = registry.object(py, pick.handle)? {
                let _refused = self.lock().objects.put(pick.handle, object.clone_ref(py), generation);
                return Ok((object, pick.token));
            }
            // Another thread took the instance off the board in between: pick again.
            self.lock().core.finish(pick.token, Outcome::default(), at);
        }
    }

    /// A pick through `choose`, by the arguments of `pick`.
    #[inline]
    fn picked(
        slf: &Bound<'_, Self>,
        call: Call<'_, '_>,
        now: Option<Time>,
        mut choose: impl FnMut(&mut core::Balancer, &Request<'_>, Timestamp) -> Result<core::Pick, Error>,
    ) -> PyResult<Pick> {
        let (py, at) = (slf.py(), clock::at(now));
        let (instance, token) = call.answer(py, |request| slf.get().choose(py, Some(at), |core, now| choose(core, request, now)))?;
        Ok(Pick { balancer: slf.clone().unbind(), instance, token, at, timed: now.is_none() })
    }

    fn settle(&self, token: u64, outcome: Outcome, now: Timestamp) -> bool {
        self.lock().core.finish(token, outcome, now)
    }
}

#[pymethods]
impl Balancer {
    /// A balancer for the instances of `registry` that match a query, or of the service of that name.
    #[new]
    #[pyo3(
        signature = (registry, query, policy=None, **options),
        text_signature = "(registry, query, policy='adaptive', *, seed=None, reap_after=600, trace=0, explain=False)"
    )]
    fn new(
        py: Python<'_>,
        registry: Bound<'_, Registry>,
        query: Asked,
        policy: Option<&Bound<'_, PyAny>>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let policy = policy.map_or_else(|| Ok(Policy::default()), |policy| Policy::from_value(&value(policy, "policy")?).raise(py))?;
        let document = document([], options)?;
        let mut options = Options::from_value(&document).raise(py)?;
        if document.get("seed").is_none() {
            options.seed = clock::seed();
        }
        let core = core::Balancer::new(query.0, policy, options).raise(py)?;
        Ok(Self {
            registry: registry.unbind(),
            state: Mutex::new(State { core, followed: None, objects: Table::default(), now: Timestamp::ZERO }),
        })
    }

    // Getters.

    /// The registry it follows.
    #[getter]
    fn registry(&self, py: Python<'_>) -> Py<Registry> {
        self.registry.clone_ref(py)
    }

    /// Who is asked for.
    #[getter]
    fn query(&self) -> Query {
        Query { inner: self.lock().core.query().clone() }
    }

    /// How an instance is chosen.
    #[getter]
    fn policy(&self) -> String {
        self.lock().core.policy().name().to_owned()
    }

    /// How many picks are not finished.
    #[getter]
    fn in_flight(&self) -> usize {
        self.lock().core.in_flight()
    }

    /// When the oldest unfinished pick is reaped or an instance that is out comes back, in microseconds; None when there is neither.
    #[getter]
    fn deadline(&self) -> Option<u64> {
        self.lock().core.deadline().map(Timestamp::as_micros)
    }

    /// How many calls the policy's `limit` lets out at once now; None while it has none.
    #[getter]
    fn limit(&self) -> Option<u32> {
        self.lock().core.limit()
    }

    /// How many instances match the query, whatever their availability.
    fn __len__(&self) -> usize {
        self.current().core.len()
    }

    /// What it has done so far, in sum and by instance, as a dict.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stats = self.current().core.stats();
        convert::object(py, &stats.to_value())
    }

    /// What it has done so far as OpenMetrics text, for a scraper.
    fn metrics(&self) -> String {
        self.current().core.metrics()
    }

    /// What `pick` would choose for this request now, and why, as a dict; its `text` is a screen of text. Nothing is counted,
    /// drawn or learnt.
    #[pyo3(
        signature = (key=None, *, exclude=None, labels=None, prefer=None, now=None),
        text_signature = "($self, key=None, *, exclude=(), labels={}, prefer=(), now=None)"
    )]
    fn explain<'py>(
        &self,
        py: Python<'py>,
        key: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
        labels: Option<&Bound<'py, PyAny>>,
        prefer: Option<&Bound<'py, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let told = Call { key, exclude, labels, prefer }.answer(py, |request| Ok(self.current().core.explain(request, clock::at(now))))?;
        convert::object(py, &told.to_value())
    }

    /// Why the last pick chose whom it chose, or nobody, as `explain` gives it; None before the first, and unless `explain=True`.
    fn explained<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let told = self.current().core.explained().map(|told| told.to_value());
        told.map(|told| convert::object(py, &told)).transpose()
    }

    /// What it was told and what it answered since it was made, as a dict; None unless `trace` said how many events to keep.
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let trace = self.current().core.trace();
        trace.map(|trace| convert::object(py, &trace)).transpose()
    }

    /// Does a trace again and compares the answers: `picks`, how many are the `same`, and the place of the first `difference`.
    #[staticmethod]
    fn replay<'py>(trace: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = trace.py();
        let replay = core::Balancer::replay(&value(trace, "trace")?).raise(py)?;
        convert::object(py, &replay.to_value())
    }

    // Mutators.

    /// Chooses the instance a call should go to and counts the call as in flight there until the pick is finished.
    ///
    /// The same `key` goes to the same instance under a hashing policy. `exclude` has the instances, picks or
    /// handles it must not be, because they were tried; `labels` those that it must have, under a policy with
    /// labels; `prefer` the names of those to try first, under a policy with sticky requests.
    #[pyo3(
        signature = (key=None, *, exclude=None, labels=None, prefer=None, now=None),
        text_signature = "($self, key=None, *, exclude=(), labels={}, prefer=(), now=None)"
    )]
    fn pick(
        slf: &Bound<'_, Self>,
        key: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        prefer: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
    ) -> PyResult<Pick> {
        Self::picked(slf, Call { key, exclude, labels, prefer }, now, core::Balancer::pick)
    }

    /// Tells what became of a pick: whether it went well and after how many seconds. False when the token is unknown,
    /// was finished before or was reaped.
    ///
    /// `kind` says how it ended: success, error, gateway, connect, timeout, throttled or cancelled; `status` or `grpc_status`,
    /// instead, the status of the answer in HTTP or gRPC; `retry_after`, how many
    /// seconds the instance asked to be spared; `load`, what it reported.
    #[pyo3(
        signature = (token, ok=None, latency=None, *, now=None, **more),
        text_signature = "($self, token, ok=True, latency=None, *, now=None, kind=None, status=None, grpc_status=None, retry_after=None, load=None)"
    )]
    fn finish(
        &self,
        token: &Bound<'_, PyAny>,
        ok: Option<&Bound<'_, PyAny>>,
        latency: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let (token, outcome) = (whole(Some(token), "token")?.unwrap_or_default(), outcome(ok, latency, more)?);
        Ok(self.settle(token, outcome, clock::at(now)))
    }

    /// `finish`, then `pick`, in one call.
    #[pyo3(
        signature = (token, ok=None, latency=None, *, key=None, exclude=None, labels=None, prefer=None, now=None, **more),
        text_signature = "($self, token, ok=True, latency=None, *, key=None, exclude=(), labels={}, prefer=(), now=None, kind=None, status=None, grpc_status=None, retry_after=None, load=None)"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn finish_and_pick(
        slf: &Bound<'_, Self>,
        token: &Bound<'_, PyAny>,
        ok: Option<&Bound<'_, PyAny>>,
        latency: Option<&Bound<'_, PyAny>>,
        key: Option<&Bound<'_, PyAny>>,
        exclude: Option<&Bound<'_, PyAny>>,
        labels: Option<&Bound<'_, PyAny>>,
        prefer: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Pick> {
        let (token, outcome) = (whole(Some(token), "token")?.unwrap_or_default(), outcome(ok, latency, more)?);
        Self::picked(slf, Call { key, exclude, labels, prefer }, now, |core, request, now| {
            core.finish_and_pick(token, outcome, request, now)
        })
    }

    /// The instance of a pick that counts as finished at once, well: the fastest way, without feedback.
    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // No token is 0, so there is nothing to give back if the instance is gone.
        let next = |core: &mut core::Balancer, now| core.next(now).map(|handle| core::Pick { handle, token: 0 });
        self.choose(py, None, next).map(|(instance, _)| instance)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Whether a call that failed may be tried again now; what that costs is taken from the budget of the policy's `retry`.
    #[pyo3(signature = (*, now=None))]
    fn may_retry(&self, now: Option<Time>) -> bool {
        self.lock().core.may_retry(clock::at(now))
    }

    /// How many seconds to wait before a retry, the first being 1; None when the call was tried as often as it may be.
    #[pyo3(signature = (retry=1))]
    fn retry_delay(&self, retry: u32) -> Option<f64> {
        self.lock().core.retry_delay(retry).map(|delay| delay.as_secs_f64())
    }

    /// How many seconds to wait for an answer before the call is sent to another instance as well; None when it should not be.
    #[pyo3(signature = (*, now=None))]
    fn hedge_delay(&self, now: Option<Time>) -> Option<f64> {
        self.lock().core.hedge_delay(clock::at(now)).map(|delay| delay.as_secs_f64())
    }

    /// Whether a call may be hedged now, its delay being over; what that costs is taken from the budget of the policy's `hedge`.
    #[pyo3(signature = (*, now=None))]
    fn may_hedge(&self, now: Option<Time>) -> bool {
        self.lock().core.may_hedge(clock::at(now))
    }

    /// Whether one call more may go out now, by the policy's `limit`. Ask before a pick, and refuse or queue the call.
    #[pyo3(signature = (*, now=None))]
    fn admit(&self, now: Option<Time>) -> bool {
        self.lock().core.admit(clock::at(now))
    }

    /// Whom to ask how it is: for the picks made since the last time, and of those that are out whom it is time to check. Tell of them with
    /// `probed`. Nobody for policies that need no probes.
    #[pyo3(signature = (*, now=None))]
    fn probe_requests(&self, py: Python<'_>, now: Option<Time>) -> PyResult<Vec<Py<PyAny>>> {
        let asked = self.current().core.probe_requests(clock::at(now));
        asked.into_iter().filter_map(|handle| self.registry.get().object(py, handle).transpose()).collect()
    }

    /// Tells what a probe brought: how many requests the instance has in flight, of all its clients, and how many seconds it
    /// expects one more to take. False when that is of no use.
    #[pyo3(signature = (instance, rif, latency, *, now=None))]
    fn probed(&self, instance: Bound<'_, PyAny>, rif: &Bound<'_, PyAny>, latency: f64, now: Option<Time>) -> PyResult<bool> {
        let (handle, load) = (meant(instance)?, whole(Some(rif), "rif")?.unwrap_or_default());
        let latency = Outcome::measured(true, Some(latency)).raise(rif.py())?.latency.unwrap_or_default();
        Ok(self.lock().core.probed(handle, u32::try_from(load).unwrap_or(u32::MAX), latency, clock::at(now)))
    }

    // Polling.

    /// Reaps the picks that were never finished and are due, and returns how many.
    #[pyo3(signature = (*, now=None))]
    fn advance(&self, now: Option<Time>) -> u32 {
        self.lock().core.advance(clock::at(now))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (query, policy) = (self.query().into_pyobject(py)?.repr()?, self.policy());
        Ok(format!("<Balancer {query} policy={policy:?}>"))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.registry)
    }
}

/// The chosen instance, until the call is over.
///
/// As a context manager it gives the instance and finishes the pick: well, or badly if the block raises, with the time
/// the block took.
#[pyclass(frozen, module = "callboard")]
pub struct Pick {
    balancer: Py<Balancer>,
    /// The instance.
    #[pyo3(get)]
    pub instance: Py<PyAny>,
    /// Names the pick to `Balancer.finish`.
    #[pyo3(get)]
    token: u64,
    at: Timestamp,
    /// Whether the time of the pick was read here, and so can be compared with another reading.
    timed: bool,
}

impl Pick {
    fn end(
        &self,
        ok: Option<&Bound<'_, PyAny>>,
        latency: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        let mut outcome = outcome(ok, latency, more)?;
        let now = if now.is_none() && !self.timed { self.at } else { clock::at(now) };
        if latency.is_none() && now > self.at {
            outcome.latency = Some(now.saturating_since(self.at));
        }
        Ok(self.balancer.get().settle(self.token, outcome, now))
    }
}

#[pymethods]
impl Pick {
    /// Tells what became of the call, once. The latency in seconds is the time since the pick when it is not told.
    /// The rest is as in `Balancer.finish`.
    #[pyo3(
        signature = (ok=None, latency=None, *, now=None, **more),
        text_signature = "($self, ok=True, latency=None, *, now=None, kind=None, status=None, grpc_status=None, retry_after=None, load=None)"
    )]
    fn finish(
        &self,
        ok: Option<&Bound<'_, PyAny>>,
        latency: Option<&Bound<'_, PyAny>>,
        now: Option<Time>,
        more: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<bool> {
        self.end(ok, latency, now, more)
    }

    fn __enter__(&self, py: Python<'_>) -> Py<PyAny> {
        self.instance.clone_ref(py)
    }

    #[pyo3(signature = (kind, error, traceback, /))]
    fn __exit__(&self, kind: &Bound<'_, PyAny>, error: &Bound<'_, PyAny>, traceback: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = (error, traceback);
        let now = if self.timed { clock::read() } else { self.at };
        let latency = self.timed.then(|| now.saturating_since(self.at));
        self.balancer.get().settle(self.token, Outcome::new(kind.is_none(), latency), now);
        Ok(())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<Pick {} token={}>", self.instance.bind(py).repr()?, self.token))
    }
}
