//! Several servers over one etcd, in memory and in steps: random lives of clients, servers, connections and of etcd itself. When all is well again, every server
//! has exactly whom its clients were last told that it has.

use std::collections::BTreeMap;
use std::time::Duration;

use callboard::model::{AdminState, Override, Registration};
use callboard::query::{HealthFilter, Query};
use callboard::registry::{Config, Put, Registry};
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
        answer.handles.into_iter().map(own).collect()
    }
}

/// A provider that is told to sign in and out, and does so until somebody says that it is done.
struct Client {
    id: String,
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
}

impl World {
    fn new(seed: u64, queue: u32, wiped: bool) -> Self {
        let servers = (0..SERVERS as u64).map(|number| Server::new(number, queue)).collect();
        let client = |number: usize| Client {
            id: format!("c{number}"),
            server: number % SERVERS,
            // Whoever has none may be there again when an engine has lost that it signed out.
            leased: wiped || !number.is_multiple_of(4),
            wants: None,
            told: None,
            asked: None,
            incarnation: 0,
            beat: 0,
            dead: false,
        };
        let (etcd, clients) = (Etcd::default(), (0..CLIENTS).map(client).collect());
        let dice = Dice(seed);
        Self { etcd, servers, clients, dice, now: 0, lives: SERVERS as u64, queue, down: 0, wiped, told: 0, stale: 0, refused: 0 }
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
        let Client { id, server, leased, wants, told, asked, incarnation, beat, dead } = &mut self.clients[number];
        if let Some((at, edition, life, what)) = *asked {
            let there = &self.servers[at];
            let fate = if there.registry.config().seed == life { there.replica.fate(edition) } else { Fate::Unknown };
            match fate {
                Fate::Waiting => return,
                Fate::Kept => {
                    (*told, *asked) = (what, None);
                    self.told += 1;
                }
                Fate::Unknown => {
                    *asked = None;
                    *server = (*server + 1) % SERVERS;
                    self.refused += 1;
                }
            }
        }
        if *dead {
            return;
        }
        if moves {
            *server = (*server + 1) % SERVERS;
        }
        let at = *server;
        let there = &mut self.servers[at];
        if self.now < there.frozen {
            if self.queue == 0 {
                *server = (*server + 1) % SERVERS;
            }
            return;
        }
        // An answer that says stale counts for no less.
        self.stale += u32::from(there.replica.is_stale());
        if *wants != *told {
            if self.queue > 0 {
                *incarnation += 1;
            }
            let done = match *wants {
                Some(weight) => {
                    let mut own = Registration::new("s", id.as_str()).weight(f64::from(weight) / 1_000.0).unwrap();
                    own.incarnation = *incarnation;
                    if *leased {
                        own = own.lease(Duration::from_secs(LEASE), Duration::ZERO).unwrap();
                    }
                    there.registry.register(&own, Put::default(), now).map(drop)
                }
                None => there.registry.deregister("default", "s", id, Some(*incarnation), now).map(drop),
            };
            match done {
                Ok(()) => {
                    *beat = self.now;
                    *asked = Some((at, there.registry.edition(), there.registry.config().seed, *wants));
                }
                // Whoever does not know it need not be told; but may be told too early.
                Err(error) if error.code() == Code::UnknownInstance => *server = (*server + 1) % SERVERS,
                Err(error) => {
                    assert!(matches!(error.code(), Code::EngineUnreachable | Code::StaleIncarnation), "{error}");
                    *server = (*server + 1) % SERVERS;
                    self.refused += 1;
                }
            }
        } else if wants.is_some() && *leased && self.now >= *beat + LEASE * 1_000_000 / 3 {
            *beat = self.now;
            if let Err(error) = there.registry.renew("default", "s", id, *incarnation, now) {
                // Signed in again where it is not known.
                assert!(matches!(error.code(), Code::UnknownLease | Code::StaleIncarnation), "{error}");
                *told = None;
            }
        }
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
        for _ in 0..5 * LEASE * 1_000_000 / STEP {
            self.now += STEP;
            self.etcd.advance(self.seconds());
            (0..CLIENTS).for_each(|number| self.live(number, true));
            (0..SERVERS).for_each(|number| self.serve(number, true));
        }
    }

    fn check(&self, seed: u64) {
        let first = self.servers[0].says();
        for (number, server) in self.servers.iter().enumerate() {
            assert!(!server.replica.is_stale(), "seed {seed}: server {number} is stale");
            assert_eq!(server.says(), first, "seed {seed}: server {number} is not server 0");
        }
        for client in &self.clients {
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
        let entries = self.etcd.entries().filter(|(key, _)| key.starts_with("callboard/instances/")).count();
        assert_eq!(entries, first.len(), "seed {seed}");
    }
}

fn lives(queue: u32, wiped: bool) {
    let (mut told, mut stale, mut refused) = (0, 0, 0);
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().expect("a number"));
    let (first, count) = (number("CALLBOARD_SEED", 0), number("CALLBOARD_SEEDS", 60));
    for seed in first..first + count {
        let mut world = World::new(seed, queue, wiped);
        world.run();
        world.check(seed);
        (told, stale, refused) = (told + world.told, stale + world.stale, refused + world.refused);
    }
    println!("{told} changes acknowledged, {refused} refused or unknown, {stale} questions answered from what was known");
    assert!(count < 10 || told > 500 && stale > 1_000);
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
