//! Several servers over one etcd, in memory and in steps: random lives of clients, servers, connections and of etcd itself. When all is well again, every server
//! has exactly whom its clients were last told that it has, and nobody has spoken for whom a token guards.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::model::{AdminState, Override, Registration};
use callboard::query::{HealthFilter, Query};
use callboard::registry::{Config, Put, Registry};
use callboard::serve::token::proof;
use callboard::serve::{Reply, Request, Server as Protocols};
use callboard::store::replica::{Fate, Replica, Settings};
use callboard::{Code, Timestamp};
use callboard_tests::dice::Dice;
use callboard_tests::etcd::Etcd;

const SERVERS: usize = 3;
const CLIENTS: usize = 12;
const STEPS: usize = 1_500;
/// In microseconds.
const STEP: u64 = 50_000;
const LEASE: u64 = 6;

struct Server {
    registry: Registry,
    replica: Replica,
    /// The answer to its question, and when it comes; `None` for one that never comes.
    coming: Option<(u64, Option<String>)>,
    /// Where its watch stands.
    watch: Option<u64>,
    not_before: u64,
    /// Frozen until then.
    frozen: u64,
}

impl Server {
    fn new(number: u64, queue: u32) -> Self {
        // Without protection, which holds on purpose whom nobody hears of when they are many.
        let config = Config { epoch: number + 1, seed: number, renewal_percent: 0, eviction_percent: 100, ..Config::default() };
        Self {
            registry: Registry::new(config).unwrap(),
            replica: Replica::new(Settings { queue, ..Settings::default() }),
            coming: None,
            watch: None,
            not_before: 0,
            frozen: 0,
        }
    }

    /// What a provider or somebody else asks for an instance, with what it shows; the status of the answer.
    fn ask(&mut self, method: &str, id: &str, query: &str, body: &str, shown: [&str; 2], now: Timestamp) -> u16 {
        let verb = if method == "POST" { "/renew" } else { "" };
        let path = format!("/v1/instances/default/s/{id}{verb}");
        let headers = [(shown[0], shown[1])];
        let request = Request { method, path: &path, query, headers: &headers, body: body.as_bytes(), ..Request::default() };
        match Protocols::default().handle(&mut self.registry, &request, now) {
            Reply::Response(response) => response.status,
            _ => panic!("{path} waits"),
        }
    }

    /// A proof that is good here now, if the instance is on record.
    fn prove(&self, id: &str, verb: &str, query: &str, sequence: u64) -> String {
        let Some(handle) = self.registry.lookup("default", "s", id) else { return format!("1.{:064}", 0) };
        proof(&token(id), verb, self.registry.epoch(), handle, sequence, query, b"").unwrap()
    }

    fn says(&self) -> BTreeMap<String, String> {
        let answer = self.registry.query(&Query::everything().health(HealthFilter::Any));
        let own = |handle| {
            let instance = self.registry.instance(handle).unwrap();
            let mut said = instance.registration.to_value();
            if let callboard::Value::Map(pairs) = &mut said {
                pairs.retain(|(key, _)| key != "incarnation");
            }
            let word = instance.admin.map_or("", |own| own.state.as_str());
            (instance.registration.id, format!("{} {word}", String::from_utf8(said.to_json()).unwrap()))
        };
        let queries = self.registry.saved_queries(None).map(|own| (own.name.clone(), format!("\"weight\":{},", own.query.limit.unwrap())));
        answer.handles.into_iter().map(own).chain(queries).collect()
    }
}

fn token(id: &str) -> String {
    format!("the-token-of-{id}-0123456789")
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Provider,
    /// One that holds a token.
    Holder,
    /// An operator, who saves and drops a query.
    Saver,
}

/// Somebody who is told to sign in and out, and does so until somebody says that it is done.
struct Client {
    id: String,
    kind: Kind,
    server: usize,
    leased: bool,
    wants: Option<u32>,
    /// What it was last told is so.
    told: Option<u32>,
    /// Under way: at which server, for which edition of which of its lives, and what.
    asked: Option<(usize, u64, u64, Option<u32>)>,
    incarnation: u64,
    beat: u64,
    /// It is gone without a word.
    dead: bool,
    /// What somebody has seen: the method, the query and the proof.
    seen: Vec<(&'static str, String, String)>,
}

impl Client {
    /// Says what it wants to be so; whether it is taken.
    fn say(&mut self, there: &mut Server, now: Timestamp) -> Result<(), Code> {
        let Self { id, kind, leased, wants, incarnation, seen, .. } = self;
        let registry = &mut there.registry;
        let done = match (*kind, *wants) {
            (Kind::Saver, Some(weight)) => {
                let query = Query::service("s").limit(weight / 1_000);
                registry.save_query(id, &query, now).map(drop)
            }
            (Kind::Saver, None) => registry.drop_query("default", id, now).map(drop),
            (Kind::Provider, Some(weight)) => {
                let mut own = Registration::new("s", id.as_str()).weight(f64::from(weight) / 1_000.0).unwrap();
                own.incarnation = *incarnation;
                if *leased {
                    own = own.lease(Duration::from_secs(LEASE), Duration::ZERO).unwrap();
                }
                registry.register(&own, Put::default(), now).map(drop)
            }
            (Kind::Provider, None) => registry.deregister("default", "s", id, Some(*incarnation), now).map(drop),
            (Kind::Holder, wants) => {
                let status = match wants {
                    Some(weight) => {
                        let ttl = if *leased { format!("\"ttl\":{LEASE},") } else { String::new() };
                        let body = format!("{{{ttl}\"weight\":{},\"incarnation\":{incarnation}}}", weight / 1_000);
                        there.ask("PUT", id, "", &body, ["x-callboard-token", &token(id)], now)
                    }
                    None => {
                        let query = format!("incarnation={incarnation}");
                        let shown = there.prove(id, "deregister", &query, now.as_micros());
                        let status = there.ask("DELETE", id, &query, "", ["x-callboard-proof", &shown], now);
                        seen.extend((status < 300).then_some(("DELETE", query, shown)));
                        status
                    }
                };
                return match status {
                    200..300 => Ok(()),
                    403 => Err(Code::PermissionDenied),
                    404 => Err(Code::UnknownInstance),
                    409 => Err(Code::StaleIncarnation),
                    503 => Err(Code::EngineUnreachable),
                    other => panic!("{other}"),
                };
            }
        };
        done.map_err(|error| error.code())
    }

    /// Says that it is alive.
    fn renew(&mut self, there: &mut Server, now: Timestamp) -> Result<(), Code> {
        let Self { id, kind, incarnation, seen, .. } = self;
        if *kind == Kind::Provider {
            return there.registry.renew("default", "s", id, *incarnation, now).map(drop).map_err(|error| error.code());
        }
        let query = format!("incarnation={incarnation}");
        let shown = there.prove(id, "renew", &query, now.as_micros());
        match there.ask("POST", id, &query, "", ["x-callboard-proof", &shown], now) {
            200 => {
                // Where somebody else was first, without a token, it is no proof of anything.
                if there.ask("POST", id, &query, "", ["x-callboard-proof", &shown], now) == 403 {
                    seen.push(("POST", query, shown));
                }
                Ok(())
            }
            403 => Err(Code::PermissionDenied),
            404 => Err(Code::UnknownLease),
            409 => Err(Code::StaleIncarnation),
            other => panic!("{other}"),
        }
    }
}

struct World {
    etcd: Etcd,
    servers: Vec<Server>,
    clients: Vec<Client>,
    dice: Dice,
    now: u64,
    lives: u64,
    queue: u32,
    /// Neither answers nor keeps time until then.
    down: u64,
    wiped: bool,
    told: u32,
    stale: u32,
    refused: u32,
    intruders: u32,
}

impl World {
    fn new(seed: u64, queue: u32, wiped: bool) -> Self {
        let servers = (0..SERVERS as u64).map(|number| Server::new(number, queue)).collect();
        let client = |number: usize| Client {
            id: format!("c{number}"),
            kind: match number {
                0..6 => Kind::Provider,
                6..10 => Kind::Holder,
                _ => Kind::Saver,
            },
            server: number % SERVERS,
            // Whoever has none may be there again when an engine has lost that it signed out.
            leased: number < 10 && (wiped || number >= 6 || !number.is_multiple_of(4)),
            wants: None,
            told: None,
            asked: None,
            incarnation: 0,
            beat: 0,
            dead: false,
            seen: Vec::new(),
        };
        let (etcd, clients) = (Etcd::default(), (0..CLIENTS).map(client).collect());
        let dice = Dice(seed);
        let (lives, down, told, stale, refused, intruders) = (SERVERS as u64, 0, 0, 0, 0, 0);
        Self { etcd, servers, clients, dice, now: 0, lives, queue, down, wiped, told, stale, refused, intruders }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.dice.percent(percent)
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_micros(self.now).unwrap()
    }

    fn seconds(&self) -> f64 {
        self.now as f64 / 1e6
    }

    /// One question and answer of a server, and some of its stream. `calm`: nothing fails.
    fn serve(&mut self, number: usize, calm: bool) {
        let (now, seconds) = (self.time(), self.seconds());
        let is_down = self.now < self.down;
        let (lost, late) = if calm { (100, 0) } else { (self.dice.below(100), self.dice.below(30)) };
        let breaks = !calm && self.chance(1);
        let Server { registry, replica, coming, watch, not_before, frozen } = &mut self.servers[number];
        if self.now < *frozen {
            return;
        }
        registry.advance(now);
        if coming.is_none()
            && let Some(ask) = replica.ask(registry, now)
        {
            // Before it was heard, or after; or some time later.
            let heard = !is_down && lost > 3;
            let answer = heard.then(|| self.etcd.post(ask.path, &ask.body, seconds)).filter(|_| lost > 6);
            *coming = Some((self.now + if answer.is_some() { late * STEP / 10 } else { 20 * STEP }, answer));
        }
        if let Some((_, answer)) = coming.take_if(|(when, _)| *when <= self.now) {
            match answer {
                Some(answer) => drop(replica.answer(registry, answer.as_bytes(), now)),
                None => replica.failed(registry, now),
            }
        }
        if is_down || breaks {
            if watch.take().is_some() || is_down {
                replica.lost(registry, now);
            }
            return;
        }
        if let Some(position) = watch {
            let again = match self.etcd.events(position, 5) {
                Some(line) => replica.push(registry, line.as_bytes(), now).unwrap().again,
                None => false,
            };
            if again {
                *watch = None;
            }
        } else if self.now >= *not_before {
            let ask = replica.follow();
            if ask.stream {
                let (position, line) = self.etcd.watch(&ask.body);
                let again = replica.push(registry, line.as_bytes(), now).unwrap().again;
                *watch = Some(position).filter(|_| !again);
            } else {
                let page = self.etcd.post(ask.path, &ask.body, seconds);
                replica.push(registry, page.as_bytes(), now).unwrap();
            }
            *not_before = self.now + replica.follow().after.as_micros() as u64;
        }
    }

    /// What a client does next.
    fn live(&mut self, number: usize, calm: bool) {
        let now = self.time();
        // Of what waits at one server another does not know.
        let moves = !calm && self.queue == 0 && self.chance(2);
        let client = &mut self.clients[number];
        if let Some((at, edition, life, what)) = client.asked {
            let there = &self.servers[at];
            let fate = if there.registry.config().seed == life { there.replica.fate(edition) } else { Fate::Unknown };
            match fate {
                Fate::Waiting => return,
                Fate::Kept => {
                    (client.told, client.asked) = (what, None);
                    self.told += 1;
                }
                Fate::Unknown => {
                    client.asked = None;
                    client.server = (client.server + 1) % SERVERS;
                    self.refused += 1;
                }
            }
        }
        if client.dead {
            return;
        }
        if moves {
            client.server = (client.server + 1) % SERVERS;
        }
        let at = client.server;
        let there = &mut self.servers[at];
        if self.now < there.frozen {
            if self.queue == 0 {
                client.server = (client.server + 1) % SERVERS;
            }
            return;
        }
        // An answer that says stale counts for no less.
        self.stale += u32::from(there.replica.is_stale());
        if client.wants != client.told {
            if self.queue > 0 {
                client.incarnation += 1;
            }
            match client.say(there, now) {
                Ok(()) => {
                    client.beat = self.now;
                    client.asked = Some((at, there.registry.edition(), there.registry.config().seed, client.wants));
                }
                Err(code) => {
                    use Code::{EngineUnreachable, PermissionDenied, StaleIncarnation, UnknownInstance, UnknownQuery};
                    // Whoever does not know it need not be told; but may be told too early.
                    let known = [EngineUnreachable, PermissionDenied, StaleIncarnation, UnknownInstance, UnknownQuery];
                    assert!(known.contains(&code), "{code:?}");
                    client.server = (client.server + 1) % SERVERS;
                    self.refused += 1;
                }
            }
        } else if client.wants.is_some() && client.leased && self.now >= client.beat + LEASE * 1_000_000 / 3 {
            client.beat = self.now;
            if let Err(code) = client.renew(there, now) {
                assert!(matches!(code, Code::UnknownLease | Code::StaleIncarnation | Code::PermissionDenied), "{code:?}");
                // Signed in again where it is not known.
                client.told = None;
            }
        }
    }

    /// Somebody tries to speak for whoever is there and holds a token: with what was seen, another token, or none.
    fn intrude(&mut self) {
        let (which, server) = (6 + self.dice.below(4) as usize, self.dice.below(SERVERS as u64) as usize);
        let (what, which_seen) = (self.dice.below(4), self.dice.below(u64::MAX));
        let (client, now) = (&self.clients[which], Timestamp::from_micros(self.now).unwrap());
        let there = &mut self.servers[server];
        if client.told.is_none() || client.told != client.wants || self.now < there.frozen {
            return;
        }
        // Where the name was free, it goes with its lease.
        let body = format!("{{\"weight\":99,\"ttl\":{LEASE}}}");
        let mine = ["x-callboard-token", "the-token-of-somebody"];
        let status = match client.seen.len() as u64 {
            count @ 1.. if what == 0 => {
                let (method, query, proof) = &client.seen[(which_seen % count) as usize];
                there.ask(method, &client.id, query, "", ["x-callboard-proof", proof], now)
            }
            _ if what == 1 => there.ask("PUT", &client.id, "", &body, mine, now),
            _ if what == 2 => there.ask("PUT", &client.id, "", &body, ["accept", "*/*"], now),
            _ => there.ask("DELETE", &client.id, "", "", mine, now),
        };
        self.intruders += u32::from(status == 403);
    }

    fn disturb(&mut self) {
        if self.chance(2) {
            let (number, weight) = (self.dice.below(CLIENTS as u64) as usize, self.dice.below(9) as u32 + 1);
            let sign_out = self.chance(30);
            let client = &mut self.clients[number];
            if client.asked.is_none() && !client.dead && client.wants == client.told {
                client.wants = if sign_out { None } else { Some(weight * 1_000) };
            }
        }
        let what = self.dice.below(1_000);
        let number = self.dice.below(SERVERS as u64) as usize;
        match what {
            // What only waits dies with its server.
            0..3 if self.queue == 0 => {
                self.lives += 1;
                self.servers[number] = Server::new(self.lives, self.queue);
            }
            3..5 => self.servers[number].frozen = self.now + self.dice.below(20) * 1_000_000,
            5..8 => {
                // Killed, or frozen: then its leases run on.
                let frozen = self.chance(50);
                self.down = self.now + self.dice.below(15) * 1_000_000;
                if !frozen {
                    self.etcd.restart(self.down as f64 / 1e6);
                }
            }
            8..14 => self.etcd.compact(),
            14..16 => {
                let client = self.dice.below(CLIENTS as u64) as usize;
                let client = &mut self.clients[client];
                // Only what has a lease is ever missed.
                client.dead |= client.leased && client.asked.is_none();
            }
            16 => self.etcd.put("callboard/weather", "fine"),
            18..60 => self.intrude(),
            17 => {
                let admin = Override { state: AdminState::Disabled, until: None, reason: String::new() };
                let (id, now) = (format!("c{}", self.dice.below(CLIENTS as u64)), self.time());
                let lift = self.chance(50);
                let _ = self.servers[number].registry.set_admin("default", "s", &id, (!lift).then_some(admin), now);
            }
            _ => {}
        }
        if self.wiped && self.dice.below(400) == 0 {
            self.etcd.wipe();
            for server in &mut self.servers {
                server.watch = None;
                server.replica.lost(&mut server.registry, Timestamp::from_micros(self.now).unwrap());
            }
        }
    }

    fn run(&mut self) {
        for _ in 0..STEPS {
            self.now += STEP;
            self.disturb();
            if self.now >= self.down {
                self.etcd.advance(self.seconds());
            }
            (0..CLIENTS).for_each(|number| self.live(number, false));
            (0..SERVERS).for_each(|number| self.serve(number, false));
        }
        // All is well again, until every lease has ended that nobody hears of.
        self.servers.iter_mut().for_each(|server| server.frozen = 0);
        self.down = 0;
        (0..5 * LEASE * 1_000_000 / STEP).for_each(|_| self.be_calm());
    }

    /// A step in which nothing fails.
    fn be_calm(&mut self) {
        self.now += STEP;
        if self.now >= self.down {
            self.etcd.advance(self.seconds());
        }
        (0..CLIENTS).for_each(|number| self.live(number, true));
        (0..SERVERS).for_each(|number| self.serve(number, true));
    }

    fn check(&self, seed: u64) {
        let first = self.servers[0].says();
        for (number, server) in self.servers.iter().enumerate() {
            assert!(!server.replica.is_stale(), "seed {seed}: server {number} is stale");
            assert_eq!(server.says(), first, "seed {seed}: server {number} is not server 0");
        }
        // A query that was dropped may be there again when the engine has lost that it was.
        for client in self.clients.iter().filter(|client| !self.wiped || client.kind != Kind::Saver) {
            let there = first.get(&client.id);
            assert_eq!(
                client.wants.is_some() && !client.dead,
                there.is_some(),
                "seed {seed}: {} should be there or not: {there:?}",
                client.id
            );
            // An engine that lost what was said last may be told what was said before.
            if let Some(said) = there.filter(|_| !self.wiped) {
                let weight = format!("\"weight\":{},", client.wants.unwrap() / 1_000);
                assert!(said.contains(&weight), "seed {seed}: {} should say {weight} and says {said}", client.id);
            }
        }
        for client in self.clients.iter().filter(|client| client.kind == Kind::Holder && first.contains_key(&client.id)) {
            for number in 0..SERVERS {
                let mut there = Server { registry: self.servers[number].registry.clone(), ..Server::new(0, 0) };
                let now = Timestamp::from_micros(self.now).unwrap();
                let mut asks = vec![there.ask("DELETE", &client.id, "", "", ["accept", "*/*"], now)];
                for (method, query, proof) in &client.seen {
                    asks.push(there.ask(method, &client.id, query, "", ["x-callboard-proof", proof], now));
                }
                assert!(asks.iter().all(|status| *status == 403), "seed {seed}: {} is not guarded at server {number}: {asks:?}", client.id);
            }
        }
        let kinds = ["callboard/instances/", "callboard/queries/"];
        let entries = self.etcd.entries().filter(|(key, _)| kinds.iter().any(|kind| key.starts_with(kind))).count();
        assert_eq!(entries, first.len(), "seed {seed}");
    }
}

fn lives(queue: u32, wiped: bool) {
    let (mut told, mut stale, mut refused, mut intruders) = (0, 0, 0, 0);
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (first, count) = (number("CALLBOARD_SEED", 0), number("CALLBOARD_SEEDS", 60));
    for seed in first..first + count {
        let mut world = World::new(seed, queue, wiped);
        world.run();
        world.check(seed);
        (told, stale, refused) = (told + world.told, stale + world.stale, refused + world.refused);
        intruders += world.intruders;
    }
    println!(
        "{told} changes acknowledged, {refused} refused or unknown, {stale} questions answered from what was known, {intruders} intruders refused"
    );
    assert!(count < 10 || told > 500 && stale > 1_000 && intruders > 500);
}

#[test]
fn changes_are_refused_while_the_engine_is_away() {
    lives(0, false);
}

#[test]
fn changes_wait_while_the_engine_is_away() {
    lives(1_000, false);
}

#[test]
fn an_engine_that_lost_everything_is_told_again() {
    lives(0, true);
}

/// Providers that beat all the time, each at its server, while etcd is frozen for longer than any lease, or killed, or forgets how it came to what it knows.
#[test]
fn an_engine_that_was_frozen_is_no_reason_to_miss_anybody() {
    for seed in 0..20 {
        let mut world = World::new(seed, 0, false);
        for client in &mut world.clients {
            client.wants = Some(1_000);
        }
        let mut held = 0;
        for step in 0..STEPS as u64 {
            if step > 100 && world.now >= world.down + 20_000_000 {
                world.down = world.now + world.dice.below(25) * 1_000_000;
                match world.dice.below(4) {
                    0 => world.etcd.restart(world.down as f64 / 1e6),
                    1 => world.etcd.compact(),
                    _ => {}
                }
            }
            world.be_calm();
            for (number, server) in world.servers.iter().enumerate().filter(|_| step > 100) {
                assert_eq!(server.says().len(), CLIENTS, "seed {seed}: server {number} misses somebody at {step}");
                held += u32::from(server.registry.query(&Query::everything()).stale && world.now > world.down + 5_000_000);
            }
        }
        // Who signs out soon after is gone at once, and not held.
        world.down = 0;
        (0..100).for_each(|_| world.be_calm());
        let now = world.time();
        world.servers[0].registry.deregister("default", "s", "c1", None, now).unwrap();
        (world.clients[1].wants, world.clients[1].told) = (None, None);
        (0..20).for_each(|_| world.be_calm());
        assert!(world.servers.iter().all(|server| !server.says().contains_key("c1")), "seed {seed}");
        assert!(held < 100, "seed {seed}: {held} answers were stale for long");
    }
}
