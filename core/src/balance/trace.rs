//! What a balancer was told and what it answered, written down, so that it can be done again elsewhere.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::explain::Explanation;
use super::members::{Arrival, Site, Standstill};
use super::outcome::Outcome;
use super::pick::{Pick, Request};
use super::{Balancer, Change, Options, Policy};
use crate::error::{Code, Error};
use crate::limits;
use crate::model::{Availability, Handle};
use crate::query::Query;
use crate::time::{Timestamp, duration_from_secs, secs};
use crate::value::{Fields, Value};

/// The events of a balancer since it was made.
#[derive(Clone, Debug)]
pub(super) struct Trace {
    events: Vec<Event>,
    /// How many more there is room for.
    room: u32,
    /// Whether something happened when there was none.
    cut: bool,
    /// Whether picks are explained, and what was said of the last one.
    explains: bool,
    explained: Option<Box<Explanation>>,
}

#[derive(Clone, Debug)]
struct Event {
    at: Timestamp,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// Who has left, by service and id, and who is there or other than before.
    Change {
        remove: Vec<(String, String)>,
        put: Vec<Row>,
    },
    Pick {
        key: Option<Vec<u8>>,
        exclude: Vec<Handle>,
        labels: Vec<(String, String)>,
        prefer: Vec<String>,
        answer: Result<Pick, Code>,
    },
    Finish {
        token: u64,
        outcome: Outcome,
    },
    ProbeRequests,
    Probed {
        handle: Handle,
        rif: u32,
        latency: Duration,
    },
    Advance,
}

/// An [`Arrival`] that owns its names.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    service: String,
    id: String,
    hash_key: String,
    groups: Vec<String>,
    handle: Handle,
    weight: u32,
    availability: Availability,
    level: u8,
    locality: String,
    standstill: Standstill,
}

impl Trace {
    pub(super) fn new(options: Options) -> Self {
        Self { events: Vec::new(), room: options.trace, cut: false, explains: options.explain, explained: None }
    }

    pub(super) fn explained(&self) -> Option<&Explanation> {
        self.explained.as_deref()
    }

    fn note(&mut self, at: Timestamp, what: impl FnOnce() -> What) {
        match self.room.checked_sub(1) {
            Some(left) => {
                self.room = left;
                self.events.push(Event { at, what: what() });
            }
            None => self.cut = true,
        }
    }

    /// Writes down changes that are taken over together. Each is as much as an event.
    pub(super) fn change<'a>(&mut self, changes: impl Iterator<Item = Change<'a>>, at: Timestamp) {
        let (mut remove, mut put) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Change::Remove { service, id } => remove.push((service.into(), id.into())),
                Change::Put(Arrival { service, id, hash_key, groups, handle, weight, availability, site }) => {
                    let Site { level, locality, standstill } = site;
                    let (service, id, locality) = (service.into(), id.into(), locality.into());
                    let (hash_key, groups) = (hash_key.into(), groups.to_vec());
                    put.push(Row { service, id, hash_key, groups, handle, weight, availability, level, locality, standstill });
                }
            }
        }
        let count = remove.len().saturating_add(put.len()).saturating_sub(1);
        match u32::try_from(count).ok().and_then(|count| self.room.checked_sub(count)) {
            Some(left) => {
                self.room = left;
                self.note(at, || What::Change { remove, put });
            }
            None => (self.cut, self.room) = (true, 0),
        }
    }

    #[cold]
    pub(super) fn pick(&mut self, request: &Request<'_>, answer: Result<Pick, Code>, at: Timestamp, told: Option<Box<Explanation>>) {
        self.explained = told;
        // A request beyond the limits is refused before anything else, so it need not be kept.
        if request.is_within_limits() {
            let labels = request.labels.iter().take(limits::METADATA_PAIRS.saturating_add(1));
            let labels = labels.map(|(key, value)| (String::from(*key), String::from(*value))).collect();
            let prefer = request.prefer.iter().take(limits::EXCLUDED.saturating_add(1)).map(|name| String::from(*name)).collect();
            self.note(at, || What::Pick { key: request.key.map(Vec::from), exclude: request.exclude.into(), labels, prefer, answer });
        }
    }

    #[cold]
    pub(super) fn finish(&mut self, token: u64, outcome: Outcome, at: Timestamp) {
        self.note(at, || What::Finish { token, outcome });
    }

    #[cold]
    pub(super) fn probe_requests(&mut self, at: Timestamp) {
        self.note(at, || What::ProbeRequests);
    }

    #[cold]
    pub(super) fn probed(&mut self, handle: Handle, rif: u32, latency: Duration, at: Timestamp) {
        self.note(at, || What::Probed { handle, rif, latency });
    }

    #[cold]
    pub(super) fn advance(&mut self, at: Timestamp) {
        self.note(at, || What::Advance);
    }
}

impl Row {
    const FIELDS: &[&str] = &["service", "id", "hash_key", "groups", "handle", "weight", "availability", "level", "locality", "why"];

    fn arrival(&self) -> Arrival<'_> {
        let site = Site { level: self.level, locality: &self.locality, standstill: self.standstill };
        let Self { service, id, hash_key, groups, handle, weight, availability, .. } = self;
        Arrival { service, id, hash_key, groups, handle: *handle, weight: *weight, availability: *availability, site }
    }

    fn to_value(&self) -> Value {
        let mut pairs = alloc::vec![
            ("service", Value::from(self.service.as_str())),
            ("id", self.id.as_str().into()),
            ("handle", self.handle.to_bits().into()),
            ("weight", u64::from(self.weight).into()),
            ("availability", self.availability.as_str().into()),
        ];
        // Of most there is nothing to say here.
        if !self.hash_key.is_empty() {
            pairs.push(("hash_key", self.hash_key.as_str().into()));
        }
        if !self.groups.is_empty() {
            pairs.push(("groups", Value::List(self.groups.iter().map(|name| name.as_str().into()).collect())));
        }
        if self.level > 0 {
            pairs.push(("level", u64::from(self.level).into()));
        }
        if !self.locality.is_empty() {
            pairs.push(("locality", self.locality.as_str().into()));
        }
        pairs.extend(self.standstill.word().map(|word| ("why", word.into())));
        Value::map(pairs)
    }

    fn from_value(value: &Value) -> Result<Self, Error> {
        let fields = Fields::new(value, "", Self::FIELDS)?;
        let weight = fields.u64("weight")?.unwrap_or_default();
        let groups = fields.value("groups").and_then(Value::as_list).unwrap_or_default();
        Ok(Self {
            service: fields.required_text("service")?.into(),
            id: fields.required_text("id")?.into(),
            hash_key: fields.text("hash_key")?.unwrap_or_default().into(),
            groups: groups.iter().filter_map(Value::as_str).map(String::from).collect(),
            handle: handle(fields.u64("handle")?)?,
            weight: u32::try_from(weight)
                .ok()
                .filter(|weight| *weight <= limits::WEIGHT_THOUSANDTHS)
                .ok_or_else(|| fields.error(Code::InvalidWeight, "weight").limit(u64::from(limits::WEIGHT_THOUSANDTHS)))?,
            availability: Availability::parse(fields.required_text("availability")?)?,
            level: fields.u64("level")?.unwrap_or_default().min(u8::MAX.into()) as u8,
            locality: fields.text("locality")?.unwrap_or_default().into(),
            standstill: Standstill::parse(fields.text("why")?),
        })
    }
}

fn handle(bits: Option<u64>) -> Result<Handle, Error> {
    Handle::from_bits(bits.ok_or_else(|| Error::new(Code::MissingField, "handle"))?)
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn bytes(hex: &str) -> Result<Vec<u8>, Error> {
    let wrong = || Error::new(Code::InvalidArgument, "key").message("bytes as hexadecimal digits");
    let digits: Option<Vec<u8>> = hex.chars().map(|char| char.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).ok_or_else(wrong)?;
    Ok(digits.chunks_exact(2).filter_map(|pair| if let [high, low] = pair { Some(high << 4 | low) } else { None }).collect())
}

impl Event {
    fn to_value(&self) -> Value {
        let (verb, mut rest) = match &self.what {
            What::Change { remove, put } => {
                let name = |(service, id): &(String, String)| Value::from(alloc::vec![service.as_str(), id.as_str()]);
                let lists = [("remove", remove.iter().map(name).collect()), ("put", put.iter().map(Row::to_value).collect())];
                ("change", lists.map(|(name, list)| (name, Value::List(list))).into())
            }
            What::Pick { key, exclude, labels, prefer, answer } => {
                let mut pairs = Vec::new();
                pairs.extend(key.as_ref().map(|key| ("key", Value::from(hex(key)))));
                if !exclude.is_empty() {
                    pairs.push(("exclude", Value::List(exclude.iter().map(|handle| handle.to_bits().into()).collect())));
                }
                if !labels.is_empty() {
                    pairs.push(("labels", Value::map(labels.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str()))))));
                }
                if !prefer.is_empty() {
                    pairs.push(("prefer", Value::List(prefer.iter().map(|name| name.as_str().into()).collect())));
                }
                match answer {
                    Ok(pick) => pairs.extend([("handle", pick.handle.to_bits().into()), ("token", pick.token.into())]),
                    Err(code) => pairs.push(("error", code.as_str().into())),
                }
                ("pick", pairs)
            }
            What::Finish { token, outcome } => ("finish", alloc::vec![("token", Value::from(*token)), ("outcome", outcome.to_value())]),
            What::ProbeRequests => ("probe_requests", Vec::new()),
            What::Probed { handle, rif, latency } => (
                "probed",
                alloc::vec![("handle", Value::from(handle.to_bits())), ("rif", u64::from(*rif).into()), ("latency", secs(*latency).into()),],
            ),
            What::Advance => ("advance", Vec::new()),
        };
        let mut pairs = alloc::vec![("at", Value::from(self.at.as_micros())), ("do", verb.into())];
        pairs.append(&mut rest);
        Value::map(pairs)
    }
}

/// What became of a trace that was done again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// How many picks were asked for.
    pub picks: u32,
    /// Of them, how many had the same answer: the same instance and token, or the same error.
    pub same: u32,
    /// The place among the events of the first that had another answer.
    pub difference: Option<u32>,
}

impl Replay {
    /// Writes `{picks, same, difference?}`.
    pub fn to_value(&self) -> Value {
        let difference = self.difference.map(|place| ("difference", Value::from(u64::from(place))));
        let pairs = [("picks", Value::from(u64::from(self.picks))), ("same", u64::from(self.same).into())];
        Value::map(pairs.into_iter().chain(difference))
    }
}

impl Balancer {
    /// What is said of a pick before it is made, if that is asked for.
    #[inline]
    pub(super) fn told(&self, request: &Request<'_>, now: Timestamp) -> Option<Box<Explanation>> {
        self.trace.as_ref().filter(|trace| trace.explains).map(|_| Box::new(self.explain(request, now)))
    }

    /// What it was told and what it answered since it was made, as the document `{query, policy, options, cut, events}`;
    /// none unless [`Options::trace`] asks for it. `cut` says that there was no room for all of it.
    pub fn trace(&self) -> Option<Value> {
        let trace = self.trace.as_ref().filter(|_| self.options.trace > 0)?;
        Some(Value::map([
            ("query", self.query.to_value()),
            ("policy", self.policy().to_value()),
            ("options", self.options.to_value()),
            ("cut", trace.cut.into()),
            ("events", Value::List(trace.events.iter().map(Event::to_value).collect())),
        ]))
    }

    /// Does a trace again with a balancer made alike, and compares the answers. They are the same in every language, on
    /// every machine.
    ///
    /// # Errors
    /// What [`Query::from_value`], [`Policy::from_value`] and [`Options::from_value`] return; [`Code::MissingField`],
    /// [`Code::InvalidArgument`], [`Code::UnknownField`] for an event, with its place.
    pub fn replay(trace: &Value) -> Result<Replay, Error> {
        let fields = Fields::new(trace, "", &["query", "policy", "options", "cut", "events"])?;
        let part = |name: &str| fields.value(name).ok_or_else(|| Error::new(Code::MissingField, name));
        let mut options = Options::from_value(part("options")?).map_err(|error| error.within("options"))?;
        options.trace = 0;
        let query = Query::from_value(part("query")?).map_err(|error| error.within("query"))?;
        let mut balancer = Self::new(query, Policy::from_value(part("policy")?)?, options)?;
        let events = part("events")?.as_list().ok_or_else(|| Error::new(Code::InvalidArgument, "events").message("a list"))?;
        let mut replay = Replay { picks: 0, same: 0, difference: None };
        for (place, event) in (0u32..).zip(events) {
            let same = balancer.redo(event).map_err(|error| error.within(&alloc::format!("events[{place}]")))?;
            replay.picks = replay.picks.saturating_add(u32::from(same.is_some()));
            replay.same = replay.same.saturating_add(u32::from(same == Some(true)));
            if same == Some(false) {
                replay.difference = replay.difference.or(Some(place));
            }
        }
        Ok(replay)
    }

    /// Does one event again. Of a pick it tells whether the answer is the same.
    fn redo<'a>(&mut self, event: &'a Value) -> Result<Option<bool>, Error> {
        let verb = event.get("do").and_then(Value::as_str).ok_or_else(|| Error::new(Code::MissingField, "do"))?;
        let known: &[&str] = match verb {
            "change" => &["at", "do", "remove", "put"],
            "pick" => &["at", "do", "key", "exclude", "labels", "prefer", "handle", "token", "error"],
            "finish" => &["at", "do", "token", "outcome"],
            "probed" => &["at", "do", "handle", "rif", "latency"],
            "advance" | "probe_requests" => &["at", "do"],
            _ => return Err(Error::new(Code::InvalidArgument, "do").message("one of change pick finish probe_requests probed advance")),
        };
        let fields = Fields::new(event, "", known)?;
        let at = Timestamp::from_micros(fields.u64("at")?.unwrap_or_default())?;
        let token = || fields.u64("token")?.ok_or_else(|| Error::new(Code::MissingField, "token"));
        match verb {
            "change" => {
                let list = |name: &str| fields.value(name).and_then(Value::as_list).unwrap_or_default();
                let name = |pair: &'a Value| match pair.as_list() {
                    Some([service, id]) => service.as_str().zip(id.as_str()).map(|(service, id)| Change::Remove { service, id }),
                    _ => None,
                };
                let gone: Option<Vec<Change<'_>>> = list("remove").iter().map(name).collect();
                let gone = gone.ok_or_else(|| Error::new(Code::InvalidArgument, "remove").message("pairs of a service and an id"))?;
                let rows: Vec<Row> = list("put").iter().map(Row::from_value).collect::<Result<_, _>>()?;
                self.apply(gone.into_iter().chain(rows.iter().map(|row| Change::Put(row.arrival()))));
            }
            "pick" => {
                let key = fields.text("key")?.map(bytes).transpose()?;
                let exclude = fields.value("exclude").and_then(Value::as_list).unwrap_or_default();
                let exclude: Vec<Handle> = exclude.iter().map(|bits| handle(bits.as_u64())).collect::<Result<_, _>>()?;
                let labels = fields.value("labels").map(Request::read_labels).transpose()?.unwrap_or_default();
                let prefer = fields.value("prefer").map(Request::read_prefer).transpose()?.unwrap_or_default();
                let answer = self.pick(&Request { key: key.as_deref(), exclude: &exclude, labels: &labels, prefer: &prefer }, at);
                return Ok(Some(match (answer, fields.text("error")?) {
                    (Ok(pick), None) => pick == Pick { handle: handle(fields.u64("handle")?)?, token: token()? },
                    (Err(error), Some(code)) => error.code().as_str() == code,
                    _ => false,
                }));
            }
            "finish" => {
                let outcome = fields.value("outcome").map_or_else(|| Ok(Outcome::default()), Outcome::from_value)?;
                self.finish(token()?, outcome, at);
            }
            "probe_requests" => drop(self.probe_requests(at)),
            "probed" => {
                let rif = fields.u64("rif")?.and_then(|rif| u32::try_from(rif).ok()).unwrap_or_default();
                let latency = duration_from_secs("latency", fields.f64("latency")?.unwrap_or_default())?;
                self.probed(handle(fields.u64("handle")?)?, rif, latency, at);
            }
            _ => {
                self.advance(at);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Registration;
    use crate::registry::{Config, Put, Registry};
    use crate::rng::Rng;
    use std::vec;

    /// A random life of a balancer, and its trace.
    fn life(policy: &str, seed: u64, room: u32) -> Value {
        let mut rng = Rng::new(seed);
        let mut registry = Registry::new(Config::default()).unwrap();
        let options = Options { trace: room, ..Options::seeded(seed) };
        let mut balancer = Balancer::new(Query::service("s"), Policy::named(policy).unwrap(), options).unwrap();
        let (mut now, mut open, mut known) = (0u64, vec![], vec![]);
        for _ in 0..300 {
            now += u64::from(rng.below(200_000));
            let at = Timestamp::from_micros(now).unwrap();
            let id = std::format!("b{}", rng.below(9));
            match rng.below(10) {
                0 => {
                    let mut registration = Registration::new("s", &id);
                    registration.weight = crate::model::Weight::from_thousandths(rng.below(4) * 1_000).unwrap();
                    known.push(registry.register(&registration, Put::default(), at).unwrap().handle);
                }
                1 => drop(registry.deregister("default", "s", &id, None, at)),
                2..6 => {
                    balancer.follow(&registry);
                    let exclude =
                        if known.is_empty() || rng.below(3) > 0 { vec![] } else { vec![known[rng.below(known.len() as u32) as usize]] };
                    let key = [rng.below(256) as u8, 0xff];
                    if let Ok(pick) = balancer.pick(&Request { key: Some(&key), exclude: &exclude, ..Request::default() }, at) {
                        open.push(pick.token);
                    }
                }
                6 => drop(balancer.advance(at)),
                _ if open.is_empty() => {}
                _ => {
                    let outcome = Outcome::new(rng.below(4) > 0, Some(Duration::from_micros(u64::from(rng.below(9_999)))));
                    balancer.finish(open.swap_remove(rng.below(open.len() as u32) as usize), outcome, at);
                }
            }
        }
        balancer.trace().unwrap()
    }

    #[test]
    fn a_trace_replays_to_the_same_picks() {
        for policy in Policy::presets() {
            for seed in 0..20 {
                let trace = life(policy, seed, 100_000);
                assert_eq!(trace.get("cut"), Some(&Value::Bool(false)));
                let replay = Balancer::replay(&trace).unwrap();
                assert!(replay.picks > 50 && replay.same == replay.picks && replay.difference.is_none(), "{policy}: {replay:?}");
            }
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let bare = Row {
            service: "s".into(),
            id: "a".into(),
            hash_key: String::new(),
            groups: vec![],
            handle: Handle::new(7, 1),
            weight: 2_500,
            availability: Availability::Unavailable,
            level: 0,
            locality: String::new(),
            standstill: Standstill::Sick,
        };
        let full = Row {
            hash_key: "10.0.0.1:80".into(),
            groups: vec!["0|4:prod".into()],
            level: 2,
            locality: "eu/a".into(),
            standstill: Standstill::Starting,
            ..bare.clone()
        };
        for (row, pairs) in [(bare, 5), (full, 10)] {
            let document = row.to_value();
            assert_eq!(document.as_map().map(|pairs| pairs.len()), Some(pairs));
            assert_eq!(Row::from_value(&document), Ok(row));
        }
    }

    #[test]
    fn a_trace_tells_when_there_was_nothing_but_the_time() {
        let mut registry = Registry::new(Config::default()).unwrap();
        let mut policy = Policy::named("random").unwrap();
        policy.before.slow_start = Some(crate::balance::SlowStart::default());
        let options = Options { trace: 1_000, ..Options::seeded(1) };
        let mut balancer = Balancer::new(Query::service("s"), policy, options).unwrap();
        let mut join = |balancer: &mut Balancer, id: &str, secs: u64| {
            registry.register(&Registration::new("s", id), Put::default(), Timestamp::from_secs(secs)).unwrap();
            balancer.follow(&registry);
            balancer.advance(Timestamp::from_secs(secs));
        };
        join(&mut balancer, "a", 0);
        balancer.pick(&Request::default(), Timestamp::from_secs(0)).unwrap();
        // It is new at 40 s, and has all its weight at 70 s. Whoever is not told of 40 s sees it first at 70 s, and gives it a tenth.
        join(&mut balancer, "b", 40);
        (0..100).for_each(|_| _ = balancer.pick(&Request::default(), Timestamp::from_secs(70)).unwrap());
        let replay = Balancer::replay(&balancer.trace().unwrap()).unwrap();
        assert_eq!((replay.picks, replay.same), (101, 101));
    }

    #[test]
    fn a_trace_is_bounded_and_says_so() {
        let trace = life("random", 1, 10);
        assert_eq!((trace.get("events").unwrap().as_list().unwrap().len(), trace.get("cut")), (10, Some(&Value::Bool(true))));
        assert!(Balancer::new(Query::service("s"), Policy::least_request(), Options::default()).unwrap().trace().is_none());
    }

    #[test]
    fn a_trace_that_was_tampered_with_differs_or_is_refused() {
        let trace = life("adaptive", 2, 100_000);
        let mut other = trace.clone();
        let Value::Map(pairs) = &mut other else { panic!() };
        for (name, value) in pairs {
            if name == "options" {
                *value = Options::seeded(77).to_value();
            }
        }
        assert!(Balancer::replay(&other).unwrap().difference.is_some());
        for (event, field) in [
            (Value::map([("do", Value::from("jump"))]), "events[0].do"),
            (Value::map([("do", Value::from("pick")), ("key", "0g".into())]), "events[0].key"),
            (Value::map([("do", Value::from("finish"))]), "events[0].token"),
            (Value::map([("do", Value::from("change")), ("putt", "s".into())]), "events[0].putt"),
        ] {
            let parts = ["query", "policy", "options"].map(|name| (name, trace.get(name).unwrap().clone()));
            let broken = Value::map(parts.into_iter().chain([("events", Value::List(vec![event]))]));
            assert_eq!(Balancer::replay(&broken).unwrap_err().field(), field);
        }
    }
}
