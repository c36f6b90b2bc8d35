//! A registry in each host of `examples/`, and an etcd with its JSON gateway, over loopback: registrations, renewals, reads, and 1 000 watchers.
//!
//! All servers run at once and are asked in turn, in an order that is shuffled in each round. What is compared is the processor time that an operation
//! costs the server, which is what a core of it can do; throughput and latencies are those of 16 connections that ask one after the other. `--quick`
//! takes a tenth of the instances and less time; names of hosts ask for these only.
//!
//! The same in etcd: a registration is a put with a lease that there is already, a renewal a keepalive of that lease, a read a range over the keys of a
//! service, a watcher a watch of these keys, which etcd does not end after an event as a long poll does.

use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use callboard_bench::Random;
use callboard_bench::load::client::{Connection, request};
use callboard_bench::load::hosts::{self, Host};
use callboard_bench::load::{Sample, Watchers, closed_loop};
use callboard_bench::measure::Figure;
use callboard_bench::report;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const CONNECTIONS: usize = 16;
const SIZE: u64 = 10;
const OPERATIONS: [&str; 3] = ["register", "renew", "read"];

struct Plan {
    services: u64,
    rounds: usize,
    span: Duration,
    watchers: usize,
    changes: usize,
}

/// A server, and what was found of it.
struct Contender {
    host: Host,
    /// The leases of an etcd, one an instance.
    leases: Vec<String>,
    fresh: AtomicU64,
    samples: Vec<Vec<Sample>>,
    watches: Option<[Watched; 2]>,
}

/// What a change cost and whom it reached.
struct Watched {
    /// Microseconds of the server's processor for a watcher that was told.
    cpu: f64,
    /// Milliseconds to the last of those who were told.
    slowest: Vec<f64>,
    told: usize,
    wrong: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let plan = if quick {
        Plan { services: 100, rounds: 3, span: Duration::from_millis(300), watchers: 1_000, changes: 5 }
    } else {
        Plan { services: 1_000, rounds: 7, span: Duration::from_millis(1_000), watchers: 1_000, changes: 20 }
    };
    let root = std::env::current_dir()?;
    let folder = root.join("target/bench/serve");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder)?;
    hosts::install(&root, &folder)?;

    let mut all = vec![Contender::new(Host::etcd(&folder.join("etcd"))?)];
    for name in hosts::NAMES.iter().filter(|name| wanted.is_empty() || wanted.iter().any(|own| own == *name)) {
        match Host::start(name, &root, &folder) {
            Ok(host) => all.push(Contender::new(host)),
            Err(error) => report::missing(name, &error.to_string()),
        }
    }
    for own in &mut all {
        eprintln!("serve: filling {}", own.host.name);
        own.fill(&plan)?;
    }
    let mut random = Random(7);
    for round in 1..=plan.rounds {
        eprintln!("serve: round {round} of {}", plan.rounds);
        for operation in 0..OPERATIONS.len() {
            let mut order: Vec<usize> = (0..all.len()).collect();
            random.shuffle(&mut order);
            order.into_iter().for_each(|at| all[at].operate(operation, &plan));
        }
    }
    for own in &mut all {
        eprintln!("serve: {} watchers of {}", plan.watchers, own.host.name);
        // What was measured of it and of the others before is told all the same.
        match own.watch(&plan, false).and_then(|one| Ok([one, own.watch(&plan, true)?])) {
            Ok(watches) => own.watches = Some(watches),
            Err(error) => report::missing(&format!("watchers of {}", own.host.name), &error.to_string()),
        }
    }
    let (etcd, ours) = all.split_first().ok_or("no etcd")?;
    ours.iter().for_each(|own| tell(own, etcd, &plan));
    Ok(())
}

fn tell(own: &Contender, etcd: &Contender, plan: &Plan) {
    let name = own.host.name;
    for (at, operation) in OPERATIONS.iter().enumerate() {
        let figure = |who: &Contender| Figure::of(who.samples[at].iter().map(|sample| sample.cpu).collect());
        let line = |who: &Contender| {
            let median = |value: fn(&Sample) -> f64| Figure::of(who.samples[at].iter().map(value).collect()).median;
            let (p50, p99) = (median(|sample| sample.percentile(50)), median(|sample| sample.percentile(99)));
            format!("{:.0}/s, p50 {p50:.2} ms, p99 {p99:.2} ms", median(|sample| sample.per_second))
        };
        let goal = (name == "axum" && *operation != "register").then_some(3.0);
        report::noted(
            &format!("{name}: {operation}"),
            "us",
            figure(own),
            figure(etcd),
            goal,
            &format!("{}; etcd {}", line(own), line(etcd)),
        );
    }
    let (Some(own), Some(etcd)) = (&own.watches, &etcd.watches) else { return };
    let shapes = [format!("a change for 1 of {} watchers", plan.watchers), format!("a change for all of {} watchers", plan.watchers)];
    for ((shape, own), etcd) in shapes.iter().zip(own).zip(etcd) {
        let line = |one: &Watched| {
            let wrong = if one.wrong == 0 { "each once and nobody else".to_owned() } else { format!("{} TOLD WRONGLY", one.wrong) };
            format!("{} told, {wrong}, the last after {:.1} ms", one.told, Figure::of(one.slowest.clone()).median)
        };
        let note = format!("{}; etcd {}", line(own), line(etcd));
        report::noted(&format!("{name}: {shape}"), "us", Figure::exact(own.cpu), Figure::exact(etcd.cpu), None, &note);
    }
}

impl Contender {
    fn new(host: Host) -> Self {
        Self {
            host,
            leases: Vec::new(),
            fresh: AtomicU64::new(0),
            samples: (0..OPERATIONS.len()).map(|_| Vec::new()).collect(),
            watches: None,
        }
    }

    fn is_etcd(&self) -> bool {
        self.host.name == "etcd"
    }

    /// Every instance of every service.
    fn fill(&mut self, plan: &Plan) -> Result<()> {
        let mut connection = Connection::open(self.host.address)?;
        let count = plan.services * SIZE;
        if self.is_etcd() {
            for number in 0..count {
                let granted: Value = serde_json::from_slice(&connection.ask(&post("/v3/lease/grant", &json!({"TTL": 3_600})))?)?;
                self.leases.push(granted["ID"].as_str().ok_or("no lease")?.to_owned());
                connection.ask(&self.put("s", number, plan))?;
            }
            return Ok(());
        }
        let numbers: Vec<u64> = (0..count).collect();
        for some in numbers.chunks(1_000) {
            let op = |number: &u64| {
                let mut instance = document(*number);
                instance["service"] = format!("s{}", number % plan.services).into();
                instance["id"] = format!("i{number}").into();
                json!({"op": "register", "instance": instance})
            };
            // Deno closes a connection on which so large a body came.
            let mut connection = Connection::open(self.host.address)?;
            connection.ask(&request("POST", "/v1/batch", &json!({"ops": some.iter().map(op).collect::<Vec<_>>()}).to_string()))?;
        }
        Ok(())
    }

    /// Puts the n-th instance into its service of a family.
    fn put(&self, family: &str, number: u64, plan: &Plan) -> Vec<u8> {
        let service = number % plan.services;
        if !self.is_etcd() {
            return request("PUT", &format!("/v1/instances/default/{family}{service}/i{number}"), &document(number).to_string());
        }
        let key = base64(&format!("/{family}{service}/i{number}"));
        let lease = &self.leases[number as usize % self.leases.len()];
        post("/v3/kv/put", &json!({"key": key, "value": base64(&document(number).to_string()), "lease": lease}))
    }

    fn operate(&mut self, operation: usize, plan: &Plan) {
        let numbers = AtomicU64::new(0);
        // Instances that are registered anew, in services of their own: those that are read stay as large as they are.
        let numbers = if operation == 0 { &self.fresh } else { &numbers };
        let sample = closed_loop(&self.host, CONNECTIONS, plan.span, numbers, |n| {
            // In no order: a prime that divides no number of instances.
            let (number, service) = (n * 7_919 % (plan.services * SIZE), n * 7_919 % plan.services);
            match (OPERATIONS[operation], self.is_etcd()) {
                ("register", _) => self.put("r", n, plan),
                ("renew", false) => request("POST", &format!("/v1/instances/default/s{}/i{number}/renew", number % plan.services), ""),
                ("renew", true) => post("/v3/lease/keepalive", &json!({"ID": self.leases[number as usize]})),
                (_, false) => request("GET", &format!("/v1/instances/default/s{service}"), ""),
                (_, true) => {
                    post("/v3/kv/range", &json!({"key": base64(&format!("/s{service}/")), "range_end": base64(&format!("/s{service}0"))}))
                }
            }
        });
        self.samples[operation].push(sample);
    }

    /// Watchers of services of their own, or of one service together; changes, each of one service; who was told.
    fn watch(&self, plan: &Plan, together: bool) -> Result<Watched> {
        let mut connection = Connection::open(self.host.address)?;
        let (count, patience) = (plan.watchers, Duration::from_secs(60));
        let service = |at: usize| if together { "w-all".to_owned() } else { format!("w{at}") };
        let mut watchers = Watchers::open(self.host.address, count)?;
        let mut position = self.position(&mut connection)?;
        for at in 0..count {
            watchers.send(at, &self.watching(&service(at), &position))?;
        }
        if self.is_etcd() {
            // Each is told that it watches.
            watchers.hear(count, patience)?;
        }
        self.rest();
        let (before, mut slowest, mut told_all, mut wrong) = (self.host.cpu(), Vec::new(), 0, 0);
        for change in 0..plan.changes {
            let at = change * count / plan.changes;
            let expected = if together { count } else { 1 };
            let body = document(change as u64);
            let changed = if self.is_etcd() {
                post("/v3/kv/put", &json!({"key": base64(&format!("/{}/c{change}", service(at))), "value": base64(&body.to_string())}))
            } else {
                request("PUT", &format!("/v1/instances/default/{}/c{change}", service(at)), &body.to_string())
            };
            let start = Instant::now();
            self.ask(&mut connection, &changed)?;
            let asked = start.elapsed();
            let (mut told, last, bodies) = watchers.hear(expected, patience)?;
            slowest.push((asked + last).as_secs_f64() * 1e3);
            // Time for those who should not be told.
            let (more, ..) = watchers.hear(usize::MAX, Duration::from_millis(if together { 10 } else { 50 }))?;
            told.iter_mut().zip(more).for_each(|(told, more)| *told += more);
            let should = |own: usize| usize::from(together || own == at);
            wrong += (0..count).filter(|own| told[*own] != should(*own)).count();
            told_all += told.iter().sum::<usize>();
            if !self.is_etcd() {
                position = self.position(&mut connection)?;
                for own in (0..count).filter(|own| told[*own] > 0) {
                    assert!(!bodies[own].is_empty());
                    watchers.send(own, &self.watching(&service(own), &position))?;
                }
            }
        }
        // Those who ask again are charged to the changes, too.
        self.rest();
        Ok(Watched { cpu: (self.host.cpu() - before) as f64 / 1e3 / told_all.max(1) as f64, slowest, told: told_all, wrong })
    }

    /// Waits until the server has done what it was asked, for a minute at most.
    fn rest(&self) {
        let start = Instant::now();
        let mut before = u64::MAX;
        while start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(250));
            let now = self.host.cpu();
            // Less than a hundredth of a processor is no work.
            if now.saturating_sub(before) < 2_500_000 && before != u64::MAX {
                return;
            }
            before = now;
        }
    }

    /// Asks on a connection that is kept, or on another where the server has closed that: workerd keeps none for long.
    fn ask(&self, connection: &mut Connection, request: &[u8]) -> Result<Vec<u8>> {
        if let Ok(answer) = connection.ask(request) {
            return Ok(answer);
        }
        *connection = Connection::open(self.host.address)?;
        Ok(connection.ask(request)?)
    }

    fn position(&self, connection: &mut Connection) -> Result<String> {
        if self.is_etcd() {
            return Ok(String::new());
        }
        let answer: Value = serde_json::from_slice(&self.ask(connection, &request("GET", "/v1/instances/default/none", ""))?)?;
        Ok(format!("epoch={}&revision={}", answer["epoch"], answer["revision"]))
    }

    fn watching(&self, service: &str, position: &str) -> Vec<u8> {
        if self.is_etcd() {
            let range = json!({"key": base64(&format!("/{service}/")), "range_end": base64(&format!("/{service}0"))});
            return post("/v3/watch", &json!({"create_request": range}));
        }
        request("GET", &format!("/v1/instances/default/{service}?{position}&wait=300"), "")
    }
}

/// What an instance says of itself; in etcd the value of its key.
fn document(number: u64) -> Value {
    let address = format!("http://10.{}.{}.{}:8080", number >> 16 & 255, number >> 8 & 255, number & 255);
    json!({"endpoints": [address], "version": "1.4.2", "metadata": {"env": "prod", "team": "billing"}, "locality": {"zone": format!("z{}", number % 3)}, "ttl": 3_600})
}

fn post(target: &str, body: &Value) -> Vec<u8> {
    request("POST", target, &body.to_string())
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().chain([&0; 2]).take(3).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        for at in 0..4 {
            out.push(if at <= three.len() { char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]) } else { '=' });
        }
    }
    out
}
