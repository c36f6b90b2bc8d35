//! Several servers over one etcd, in memory and in steps: random lives of clients, servers, connections and of etcd itself. When all is well again, every server
//! has exactly whom its clients were last told that it has, and nobody has spoken for whom a token guards.

#[path = "replicas/cast.rs"]
mod cast;

use callboard::model::{AdminState, Override};
use callboard::query::Query;
use callboard::store::replica::Fate;
use callboard::{Code, Timestamp};
use callboard_tests::dice::Dice;
use callboard_tests::etcd::Etcd;

use cast::{Client, Kind, Server};

const SERVERS: usize = 3;
const CLIENTS: usize = 12;
const STEPS: usize = 1_500;
/// In microseconds.
const STEP: u64 = 50_000;
const LEASE: u64 = 6;

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
