//! Two servers over one etcd, as the bytes say: what their clients do, when they ask and when the answer comes, what becomes of it on the way, what others put
//! into etcd, and how their clocks jump. The way there may lie. When it does no more, both have what etcd has.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::model::{AdminState, Override, Registration};
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard::serve::{Request, Server as Protocols};
use callboard::store::replica::{Ask, Fate, Replica, Settings};
use callboard::store::{Store, load};
use callboard::{Error, Timestamp, Value};
use callboard_tests::etcd::Etcd;

use super::calls::{HEALTH, STATES, Source};
use super::lies::{DAMAGED, FOREIGN, PREFIX, lie};
use crate::bounds;

const SERVERS: usize = 2;
const STEPS: usize = 200;
/// A server may ask so much at once; more is a loop.
const AT_ONCE: usize = 100;
/// Steps of a clock, in microseconds.
const TIMES: &[u64] = &[0, 1, 100_000, 500_000, 1_000_000, 2_000_000, 3_000_000, 5_000_000, 9_000_000, 20_000_000, 60_000_000, 1 << 33];
/// In steps of two seconds: until every lease has ended, and whoever was missed on it.
const CALM: u64 = 60;

#[derive(Debug)]
struct Server {
    registry: Registry,
    replica: Replica,
    now: u64,
    /// The question that is under way, and the answer if there is one.
    asked: Option<(Ask, Option<String>)>,
    /// What comes to whoever follows.
    line: Option<String>,
    watch: Option<u64>,
}

impl Server {
    fn new(number: usize, queue: u32) -> Self {
        // Without protection, which holds on purpose whom nobody hears of when they are many.
        let config = Config { epoch: number as u64 + 1, renewal_percent: 0, eviction_percent: 100, ..Config::default() };
        Self {
            registry: Registry::new(config).expect("a registry"),
            replica: Replica::new(Settings { queue, ..Settings::default() }),
            now: 0,
            asked: None,
            line: None,
            watch: None,
        }
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now).expect("a time")
    }

    fn ask(&mut self) -> Option<Ask> {
        let now = self.time();
        let ask = self.replica.ask(&mut self.registry, now);
        match &ask {
            Some(ask) => drop(Value::from_json(ask.body.as_bytes()).expect("JSON")),
            // A host that sleeps until then must not wake at once.
            None => assert!(self.replica.deadline().is_none_or(|next| next > now), "nothing to ask, and due"),
        }
        ask
    }

    fn answer(&mut self, body: Option<&[u8]>) {
        let (now, before) = (self.time(), self.advanced());
        let Some(body) = body else { return self.replica.failed(&mut self.registry, now) };
        if self.replica.answer(&mut self.registry, body, now).is_err() {
            assert_eq!(self.registry.position(), before, "an answer that is none has changed something");
        }
    }

    /// Whether there is another question then.
    fn tell(&mut self, body: &[u8]) -> bool {
        let (now, before, asked) = (self.time(), self.advanced(), self.replica.follow());
        match self.replica.push(&mut self.registry, body, now) {
            Ok(told) => {
                assert!(told.skipped.len() <= body.len());
                let next = self.replica.follow();
                assert!(next.stream || next.body != asked.body || !next.after.is_zero(), "the same is asked again at once: {next:?}");
                told.again
            }
            Err(_) => {
                assert_eq!(self.registry.position(), before, "a line that is none has changed something");
                assert!(!self.replica.follow().after.is_zero());
                true
            }
        }
    }

    fn advanced(&mut self) -> callboard::registry::Position {
        let now = self.time();
        self.registry.advance(now);
        self.registry.position()
    }

    fn lost(&mut self) {
        (self.watch, self.line) = (None, None);
        let now = self.time();
        self.replica.lost(&mut self.registry, now);
    }

    /// A line of the stream, or the answer to the question for one.
    fn hear(&mut self, etcd: &mut Etcd, seconds: f64) -> Option<String> {
        if let Some(position) = &mut self.watch {
            return etcd.events(position, 5);
        }
        let ask = self.replica.follow();
        if !ask.stream {
            return Some(etcd.post(ask.path, &ask.body, seconds));
        }
        let (position, line) = etcd.watch(&ask.body);
        self.watch = Some(position);
        Some(line)
    }

    fn follow(&mut self, body: &[u8]) {
        if self.tell(body) {
            self.watch = None;
        }
    }

    /// All that there is to say and to hear now, and nothing fails.
    fn exchange(&mut self, etcd: &mut Etcd, seconds: f64) {
        if let Some((_, answer)) = self.asked.take() {
            self.answer(answer.as_deref().map(str::as_bytes));
        }
        if let Some(line) = self.line.take() {
            self.follow(line.as_bytes());
        }
        for count in 0.. {
            let Some(ask) = self.ask() else { break };
            assert!(count < AT_ONCE, "it asks without end: {ask:?}");
            let answer = etcd.post(ask.path, &ask.body, seconds);
            self.answer(Some(answer.as_bytes()));
        }
        for count in 0.. {
            assert!(count < AT_ONCE, "it follows without end");
            if self.watch.is_none() && !self.replica.follow().after.is_zero() && count > 0 {
                break;
            }
            let Some(line) = self.hear(etcd, seconds) else { break };
            self.follow(line.as_bytes());
        }
    }

    /// What a registry has that etcd keeps, but for how long an override has to go.
    fn entries(registry: &Registry) -> BTreeMap<String, String> {
        let writes = Store::new().writes(registry).expect("the first").writes.into_iter();
        let said = writes.filter(|write| write.key != "registry").map(|write| {
            let value = write.value.expect("what is there");
            match write.key.starts_with("overrides/") {
                true => (write.key, value.split("\"ttl\"").next().unwrap_or_default().to_owned()),
                false => (write.key, value),
            }
        });
        said.collect()
    }
}

struct World<'a> {
    source: Source<'a>,
    etcd: Etcd,
    servers: [Server; SERVERS],
    now: u64,
}

pub fn run(bytes: &[u8]) {
    let mut source = Source(bytes);
    let queue = source.of(&[0, 0, 3, 1_000]);
    let servers = [Server::new(0, queue), Server::new(1, queue)];
    let mut world = World { source, etcd: Etcd::default(), servers, now: 0 };
    bounds::within(bounds::HEAP, || {
        for _ in 0..STEPS {
            if world.source.0.is_empty() {
                break;
            }
            world.step();
        }
        world.settle();
    });
    world.check();
}

impl World<'_> {
    fn seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }

    fn step(&mut self) {
        let step = self.source.byte();
        let (seconds, number) = (self.seconds(), usize::from(step >> 7));
        let Self { source, etcd, servers, .. } = self;
        let server = &mut servers[number];
        match step % 16 {
            0..=2 => drop(call(source, server)),
            3 if server.asked.is_none() => {
                if let Some(ask) = server.ask() {
                    // Before it was heard, or after.
                    let lost = source.byte() % 8;
                    let answer = (lost > 0).then(|| etcd.post(ask.path, &ask.body, seconds)).filter(|_| lost > 1);
                    server.asked = Some((ask, answer));
                }
            }
            3 | 4 => {
                if let Some((_, answer)) = server.asked.take() {
                    server.answer(answer.as_deref().map(str::as_bytes));
                }
            }
            5 => {
                if let Some((ask, answer)) = server.asked.take() {
                    let body = lie(source, &ask, answer.as_deref());
                    server.answer(Some(&body));
                }
            }
            6 if server.line.is_none() => server.line = server.hear(etcd, seconds),
            6 | 7 => {
                if let Some(line) = server.line.take() {
                    server.follow(line.as_bytes());
                }
            }
            8 => {
                let ask = server.replica.follow();
                let line = server.line.take();
                let body = lie(source, &ask, line.as_deref());
                server.follow(&body);
            }
            9 => server.lost(),
            10 => self.happen(),
            11 => {
                // Of one alone, or of all.
                let (time, which) = (self.source.of(TIMES), self.source.byte());
                match which % 8 {
                    0 => self.servers[number].now += time,
                    1 => self.servers[number].now = self.servers[number].now.saturating_sub(time),
                    _ => self.pass(time),
                }
            }
            _ => self.calm(if step & 64 > 0 { 0 } else { 500_000 }),
        }
        let server = &self.servers[number];
        let (edition, ask) = (server.registry.edition(), server.replica.follow());
        let before = server.replica.fate(edition.saturating_sub(1));
        assert!(server.replica.fate(edition) != Fate::Kept || before != Fate::Waiting, "the last is kept, and what was before it waits");
        assert!(ask.after <= Duration::from_secs(2) && Value::from_json(ask.body.as_bytes()).is_ok());
    }

    /// What happens in etcd.
    fn happen(&mut self) {
        let (seconds, what) = (self.seconds(), self.source.byte());
        let Self { source, etcd, .. } = self;
        match what % 8 {
            0 => etcd.compact(),
            1 => etcd.restart(seconds),
            2 => etcd.wipe(),
            3 => etcd.put(&format!("{PREFIX}{}", source.of(FOREIGN)), source.of(DAMAGED)),
            4 => etcd.remove(&format!("{PREFIX}{}", source.key())),
            5 => etcd.put(&format!("{PREFIX}{}", source.key()), source.of(DAMAGED)),
            6 => etcd.count_on(u64::from(source.byte())),
            _ => {
                let key = source.key();
                let value = source.value(&key);
                etcd.put(&format!("{PREFIX}{key}"), &value);
            }
        }
    }

    fn pass(&mut self, time: u64) {
        self.servers.iter_mut().for_each(|server| server.now += time);
        self.now += time;
        self.etcd.advance(self.seconds());
    }

    fn calm(&mut self, time: u64) {
        self.pass(time);
        let seconds = self.seconds();
        self.servers.iter_mut().for_each(|server| server.exchange(&mut self.etcd, seconds));
    }

    /// Nothing lies any more.
    fn settle(&mut self) {
        for server in &mut self.servers {
            if server.asked.take().is_some() {
                server.answer(None);
            }
            server.lost();
            // A clock that went back stands still until it is there again.
            server.now = server.now.max(server.registry.now().as_micros());
        }
        (0..CALM).for_each(|_| self.calm(2_000_000));
    }

    /// Every server has what is in etcd.
    fn check(&self) {
        let entries = self.etcd.entries().filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?.to_owned(), value)));
        // That of a server that had the engine for itself.
        let entries = entries.filter(|(key, _)| key != "registry");
        let loaded = load(entries, Config::default(), self.servers[0].time()).expect("what is not ours is skipped");
        let unread: Vec<&str> = loaded.skipped.iter().map(|unread| unread.key.as_str()).collect();
        let there = Server::entries(&loaded.registry);
        for (number, server) in self.servers.iter().enumerate() {
            assert!(!server.replica.is_stale(), "server {number} is stale: {server:?}");
            assert_ne!(server.replica.fate(server.registry.edition()), Fate::Waiting, "server {number} waits");
            // As it was before it was damaged.
            let own = Server::entries(&server.registry).into_iter().filter(|(key, _)| !unread.contains(&key.as_str()));
            assert_eq!(own.collect::<BTreeMap<_, _>>(), there, "server {number}, and etcd");
        }
    }
}

/// What clients and operators do at a server.
fn call(source: &mut Source<'_>, server: &mut Server) -> Result<(), Error> {
    let (what, id, now) = (source.byte(), source.id(), server.time());
    let incarnation = u64::from(what >> 6);
    let registry = &mut server.registry;
    match what % 8 {
        0 | 1 => {
            let bits = source.byte();
            let mut own = Registration::new("web", id).weight(f64::from(bits % 4)).expect("a weight").incarnation(incarnation);
            if bits & 4 > 0 {
                own = own
                    .lease(Duration::from_secs(u64::from(bits >> 4) % 8 + 1), Duration::from_secs(u64::from(bits >> 3 & 1)))
                    .expect("a lease");
            }
            registry.register(&own, Put::default(), now).map(drop)
        }
        2 => registry.renew("default", "web", &id, incarnation, now).map(drop),
        3 => registry.deregister("default", "web", &id, (incarnation > 0).then_some(incarnation), now).map(drop),
        4 => registry.set_health("default", "web", &id, source.of(HEALTH), (incarnation > 0).then_some(incarnation), now).map(drop),
        5 => {
            let bits = source.byte();
            let until = (bits & 1 > 0).then(|| now.saturating_add(Duration::from_secs(u64::from(bits >> 2))));
            let own = Override { state: source.of(STATES), until, reason: String::new() };
            let own = (bits & 2 > 0).then_some(own).filter(|own| own.state != AdminState::Enabled);
            registry.set_admin("default", "web", &id, own, now).map(drop)
        }
        6 => match source.byte() {
            0..64 => registry.drop_query("default", &id, now).map(drop),
            limit => registry.save_query(&id, &Query::service("web").limit(limit.into()), now).map(drop),
        },
        _ => {
            let bits = source.byte();
            let (path, body) =
                (format!("/v1/instances/default/web/{id}"), format!("{{\"ttl\":5,\"weight\":{},\"incarnation\":{incarnation}}}", bits % 4));
            let method = if bits & 4 > 0 { "DELETE" } else { "PUT" };
            let token = ["the-token-of-somebody", "the-token-of-another"][usize::from(bits >> 7)];
            let headers = [("x-callboard-token", token)];
            let body = if method == "PUT" { body.as_bytes() } else { b"" };
            let request = Request { method, path: &path, headers: &headers, body, ..Request::default() };
            drop(Protocols::default().handle(registry, &request, now));
            Ok(())
        }
    }
}
