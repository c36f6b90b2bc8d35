//! Following one source: bytes and what the transport knows go in, what changed and what to ask next comes out.
//!
//! The client rules of every protocol are in here, so that a follower is a loop of a dozen lines: ask as [`Next`] says, push what comes.
//! Whatever comes, the last good state stands until something better is known:
//!
//! - a payload that cannot be read, a status that is no success and a transport error change nothing but when to ask again;
//! - bytes that are the same as before are not even read;
//! - what an entry cannot be read for is told, and its record stays;
//! - a listing that drops too much is held until it is confirmed ([`Registry::reconcile`]);
//! - after a gap (an index that runs backwards, a revision that is gone, a hash that does not fit) all is asked for again, and the state stands meanwhile.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::next::{Ask, Fed, Next, Payload};
use super::pace::Pace;
use super::parts::Parts;
use super::recall::{Recall, Rest};
use super::{Asking, Context, Decoded, Format, apply, decode};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{DEFAULT_NAMESPACE, check_id, check_name};
use crate::registry::{Extent, Position, Reconciled, Registry};
use crate::time::{Timestamp, duration_from_secs, micros};
use crate::value::{Fields, Value};

/// How often a source is asked whose answers do not say and do not wait.
const INTERVAL: Duration = Duration::from_secs(30);
/// How long a question may wait for news.
const WAIT: Duration = Duration::from_secs(60);

/// Who is followed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedConfig {
    /// The source, such as `consul:dc1`: it owns what it says. Not `local`.
    pub source: String,
    /// The format of its payloads.
    pub format: Format,
    /// The namespace its instances go to. Default `default`.
    pub namespace: String,
    /// The service that is asked for; of a format of many services, none for all of them. A format of one service that names it in its
    /// payload needs none, save that an empty payload then names nobody.
    pub service: Option<String>,
    /// Where the jitter starts from. Give each process its own. Default 0.
    pub seed: u64,
    /// A name of this client, mixed into the seed, so that clients of one seed do not move in step. Default empty.
    pub client: String,
    /// How often to ask, 1 s to 1 h. Default: what the source says (DNS, Nacos), else 30 s.
    pub interval: Option<Duration>,
    /// How long a question may wait for news at the source, 1 s to 1 h. Default 60 s.
    pub wait: Duration,
}

impl FeedConfig {
    /// A feed with the defaults.
    pub fn new(source: impl Into<String>, format: Format) -> Self {
        let (namespace, client) = (DEFAULT_NAMESPACE.into(), String::new());
        Self { source: source.into(), format, namespace, service: None, seed: 0, client, interval: None, wait: WAIT }
    }

    /// Names the service that is asked for.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Reads `{source, format, namespace?, service?, seed?, client?, interval?, wait?}`, durations in seconds.
    ///
    /// # Errors
    /// A typed error that names the field, and those of [`Feed::new`].
    pub fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", &["source", "format", "namespace", "service", "seed", "client", "interval", "wait"])?;
        let duration = |name| fields.f64(name)?.map(|secs| duration_from_secs(name, secs)).transpose();
        let config = Self {
            source: fields.required_text("source")?.into(),
            format: Format::parse(fields.required_text("format")?)?,
            namespace: fields.text("namespace")?.unwrap_or(DEFAULT_NAMESPACE).into(),
            service: fields.text("service")?.map(String::from),
            seed: fields.u64("seed")?.unwrap_or(0),
            client: fields.text("client")?.unwrap_or_default().into(),
            interval: duration("interval")?,
            wait: duration("wait")?.unwrap_or(WAIT),
        };
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), Error> {
        check_id("source", &self.source)?;
        if self.source == "local" {
            return Err(Error::new(Code::InvalidName, "source").message("local records are registered, not fed"));
        }
        check_name("namespace", &self.namespace)?;
        self.service.as_deref().map_or(Ok(()), |service| check_name("service", service))?;
        if !self.client.is_empty() {
            check_id("client", &self.client)?;
        }
        for (field, duration) in [("interval", self.interval), ("wait", Some(self.wait))] {
            let Some(duration) = duration else { continue };
            if micros(duration) > limits::FEED_SPAN_MAX_MICROS {
                return Err(Error::too_large(field, limits::FEED_SPAN_MAX_MICROS));
            }
            if micros(duration) < limits::FEED_SPAN_MIN_MICROS {
                return Err(Error::new(Code::LimitExceeded, field).limit(limits::FEED_SPAN_MIN_MICROS).message("below the least"));
            }
        }
        Ok(())
    }
}

/// Follows one source.
#[derive(Clone, Debug)]
pub struct Feed {
    config: FeedConfig,
    pace: Pace,
    parts: Parts,
    recall: Recall,
    /// The hash of the last whole payload that was taken, and where the registry stood then.
    seen: Option<(u64, Position, Option<u64>)>,
    /// Where the source stands.
    cursor: Option<String>,
    /// The entity tag of the last whole payload.
    etag: Option<String>,
    held: u32,
    /// What the last answer listed.
    services: Vec<String>,
    next: Next,
}

impl Feed {
    /// A feed that has heard nothing yet.
    ///
    /// # Errors
    /// [`Code::InvalidName`], [`Code::MissingField`] and [`Code::LimitExceeded`] for source, namespace, service and client, and for an interval or wait outside its range.
    pub fn new(config: FeedConfig) -> Result<Self, Error> {
        config.validate()?;
        let names = [&config.source, &config.namespace, config.service.as_deref().unwrap_or_default(), &config.client].map(str::as_bytes);
        let seed = names.iter().fold(config.seed, |seed, name| xxh3_64_with_seed(name, seed));
        let mut feed = Self {
            config,
            pace: Pace::new(seed),
            parts: Parts::default(),
            recall: Recall::default(),
            seen: None,
            cursor: None,
            etag: None,
            held: 0,
            services: Vec::new(),
            next: Next::default(),
        };
        feed.ask(Ask::Full, Duration::ZERO, None);
        Ok(feed)
    }

    #[cfg(test)]
    pub(super) fn forget(&mut self) {
        self.recall.forget();
    }

    #[cfg(test)]
    pub(super) fn recalls(&self, registry: &Registry, body: &[u8]) -> bool {
        self.recall.rest(registry, &self.config, body).body.is_some()
    }

    /// Who is followed, and how.
    pub fn config(&self) -> &FeedConfig {
        &self.config
    }

    /// What to ask next; at the start for all, at once.
    pub fn upcoming(&self) -> &Next {
        &self.next
    }

    /// Takes an answer. It never fails: what is wrong with the answer is told in [`Fed::problem`], and changes nothing but when to ask again.
    pub fn push(&mut self, registry: &mut Registry, payload: &Payload<'_>, now: Timestamp) -> Fed {
        let now = now.max(registry.now());
        let (done, unchanged) = match self.hear(registry, payload, now) {
            Ok(heard) => heard,
            Err(error) => return self.refuse(registry, payload, error, now),
        };
        self.held = done.held;
        let services = core::mem::take(&mut self.services);
        Fed { services, ..Fed::new(done, unchanged, self.held > 0 || self.next.resync.is_some(), None, self.next.clone()) }
    }

    /// Notes that a question had no answer: no connection, a time-out. Tells what to ask next.
    pub fn failed(&mut self, now: Timestamp) -> Next {
        let after = self.pace.failed(None, now);
        let ask = self.next.ask;
        self.ask(ask, after, None);
        self.next.clone()
    }

    /// Takes a payload without the rules of its protocol: no status, no headers, and nothing to ask next.
    ///
    /// # Errors
    /// As [`decode`] and [`Registry::reconcile`]; [`Code::MissingField`] when neither the feed nor the payload names the service. Nothing has changed.
    pub fn take(&mut self, registry: &mut Registry, bytes: &[u8], now: Timestamp) -> Result<Reconciled, Error> {
        let decoded = self.decode(bytes)?;
        self.recall.forget();
        apply::apply(registry, &self.config, &mut self.parts, decoded, &mut Rest::default(), now).map(|(done, _)| done)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Decoded, Error> {
        let context = Context { namespace: &self.config.namespace, service: self.config.service.as_deref(), ask: self.next.ask };
        decode(self.config.format, bytes, &context)
    }

    /// Reads what is not known of a payload.
    fn read(&self, registry: &Registry, payload: &Payload<'_>) -> Result<(Decoded, Rest), Error> {
        let rest = if payload.complete { self.recall.rest(registry, &self.config, payload.body) } else { Rest::default() };
        if let Some(body) = &rest.body {
            let decoded = self.decode(body).ok();
            if let Some(decoded) = decoded.filter(|decoded| rest.fits(registry, &self.config, decoded)) {
                return Ok((decoded, rest));
            }
        }
        Ok((self.decode(payload.body)?, Rest::default()))
    }

    /// An answer that is no answer.
    fn refuse(&mut self, registry: &Registry, payload: &Payload<'_>, error: Error, now: Timestamp) -> Fed {
        if payload.status == 410 {
            self.start_over("the source no longer has what was asked from", now);
        } else {
            let retry_after = payload.header("retry-after").and_then(|secs| secs.trim().parse().ok()).map(Duration::from_secs);
            let after = self.pace.failed(retry_after, now);
            if (200..300).contains(&payload.status) || self.next.ask == Ask::Delta {
                // What was in it is lost, so that changes cannot go on from here.
                self.cursor = None;
                self.etag = None;
                self.ask(Ask::Full, after, None);
            } else {
                let ask = self.next.ask;
                self.ask(ask, after, None);
            }
        }
        let done = Reconciled { held: self.held, revision: registry.revision(), ..Reconciled::default() };
        Fed::new(done, false, true, Some(error), self.next.clone())
    }

    fn hear(&mut self, registry: &mut Registry, payload: &Payload<'_>, now: Timestamp) -> Result<(Reconciled, bool), Error> {
        let asking = self.config.format.asking();
        let same = || Reconciled { held: self.held, revision: registry.revision(), ..Reconciled::default() };
        match payload.status {
            304 if self.seen.is_some() => {
                let done = same();
                self.go_on(false, None, now);
                return Ok((done, true));
            }
            200..=203 | 206 => {}
            status => return Err(Error::new(Code::Malformed, "status").detail(alloc::format!("an answer of status {status}"))),
        }
        if payload.header("x-consul-knownleader") == Some("false") {
            return Err(Error::new(Code::Malformed, "X-Consul-KnownLeader").message("the server knows no leader"));
        }
        let told = || payload.header("x-consul-index").and_then(|index| index.parse::<u64>().ok()).filter(|index| *index > 0);
        let index = (asking == Asking::Block).then(told);
        if let Some(index) = index {
            let before = self.cursor.as_ref().and_then(|cursor| cursor.parse::<u64>().ok());
            if index.zip(before).is_some_and(|(index, before)| index < before) {
                let done = same();
                self.start_over("the index ran backwards", now);
                return Ok((done, false));
            }
        }
        let hash = xxh3_64_with_seed(payload.body, self.config.seed);
        if self.is_seen(registry, hash) && payload.complete {
            let done = same();
            self.turn(index);
            self.go_on(false, None, now);
            return Ok((done, true));
        }
        let (mut decoded, mut rest) = self.read(registry, payload)?;
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor.parse().ok());
        if decoded.newest.zip(cursor).is_some_and(|(newest, cursor): (u64, u64)| newest < cursor) {
            let done = same();
            self.start_over("the revision ran backwards", now);
            return Ok((done, false));
        }
        if !payload.complete || payload.status == 206 {
            decoded.extent = Extent::Part;
        }
        let (extent, resync, ttl) = (decoded.extent, decoded.resync, decoded.ttl);
        let leased = decoded.instances.iter().any(|entry| entry.registration.lease.is_some());
        self.services = core::mem::take(&mut decoded.services);
        let cursor = decoded.cursor.clone();
        if !self.parts.fits(&self.config, &decoded) {
            let done = same();
            self.start_over("the hash of the source does not fit", now);
            return Ok((done, false));
        }
        let applied = apply::apply(registry, &self.config, &mut self.parts, decoded, &mut rest, now);
        let (done, read) = applied.inspect_err(|_| self.recall.forget())?;
        self.recall.remember(registry, &self.config, payload.body, &rest, &read);
        let remember = payload.complete && extent != Extent::Part && done.held == 0 && !leased;
        self.seen = remember.then(|| (hash, registry.position(), self.service_revision(registry)));
        self.etag = payload.header("etag").filter(|_| remember && asking == Asking::Poll).map(String::from);
        self.turn(index);
        if payload.complete && cursor.is_some() {
            self.cursor = cursor;
        }
        let news = done.added > 0 || done.updated > 0 || done.removed > 0;
        match resync {
            Some(reason) => self.start_over(reason, now),
            // Changes say nothing of what is held: only further listings can confirm that it is gone.
            None if done.held > 0 && matches!(asking, Asking::Watch | Asking::Delta) => {
                self.cursor = None;
                let after = self.pace.nothing(now);
                self.ask(Ask::Full, after, None);
            }
            None => self.go_on(news, ttl, now),
        }
        Ok((done, false))
    }

    /// Whether these bytes were taken before, and what they made stands as they made it.
    fn is_seen(&self, registry: &Registry, hash: u64) -> bool {
        let Some((seen, position, revision)) = self.seen else { return false };
        let stands = match &self.config.service {
            Some(_) => position.epoch == registry.epoch() && revision == self.service_revision(registry),
            None => position == registry.position(),
        };
        seen == hash && stands
    }

    fn service_revision(&self, registry: &Registry) -> Option<u64> {
        registry.service_revision(&self.config.namespace, self.config.service.as_deref()?)
    }

    /// Takes note of a Consul index; one that is missing or 0 is none.
    fn turn(&mut self, index: Option<Option<u64>>) {
        if let Some(index) = index {
            self.cursor = index.map(|index| index.to_string());
        }
    }

    /// All is well: the next question follows from this answer.
    fn go_on(&mut self, news: bool, ttl: Option<Duration>, now: Timestamp) {
        // A source may say a day, or the 68 years of a DNS record.
        let [least, most] = [limits::FEED_SPAN_MIN_MICROS, limits::FEED_SPAN_MAX_MICROS].map(Duration::from_micros);
        let interval = self.config.interval.or(ttl.map(|ttl| ttl.clamp(least, most))).unwrap_or(INTERVAL);
        let waits = self.cursor.is_some();
        let (ask, after) = match self.config.format.asking() {
            Asking::Block | Asking::Follow if waits => (Ask::Full, if news { self.pace.news() } else { self.pace.nothing(now) }),
            Asking::Watch if waits => {
                (Ask::Watch, if news || self.next.ask == Ask::Full { self.pace.news() } else { self.pace.nothing(now) })
            }
            Asking::Delta => (Ask::Delta, self.pace.answered(interval)),
            _ => (Ask::Full, self.pace.answered(interval)),
        };
        self.ask(ask, after, None);
    }

    /// There is a gap: all is asked for again, and what there is stands meanwhile.
    fn start_over(&mut self, reason: &'static str, now: Timestamp) {
        self.cursor = None;
        self.etag = None;
        self.seen = None;
        let after = self.pace.broken(now);
        self.ask(Ask::Full, after, Some(reason));
    }

    fn ask(&mut self, ask: Ask, after: Duration, resync: Option<&'static str>) {
        let wait = self.config.wait.as_secs();
        let query = match (self.config.format.asking(), &self.cursor) {
            (Asking::Block, Some(index)) => alloc::format!("index={index}&wait={wait}s"),
            (Asking::Follow, Some(position)) => alloc::format!("{position}&wait={wait}"),
            (Asking::Watch, Some(version)) if self.config.format.name().starts_with("kubernetes") => {
                alloc::format!("watch=true&allowWatchBookmarks=true&resourceVersion={version}")
            }
            // The cursor is what is known; the question is for what comes after.
            (Asking::Watch, Some(revision)) if self.config.format.name().starts_with("etcd") => {
                let after = revision.parse::<u64>().unwrap_or(0).saturating_add(1);
                alloc::format!("start_revision={after}")
            }
            _ => String::new(),
        };
        let headers: Vec<(&'static str, String)> = self.etag.iter().map(|etag| ("if-none-match", etag.clone())).collect();
        self.next = Next { after, ask, query, headers, cursor: self.cursor.clone(), resync };
    }
}
