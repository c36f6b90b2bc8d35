//! The registry at scale: memory, renewal and expiry at a million instances, selection and snapshots at 100 000.
//!
//! `--quick` takes a tenth of the instances and fewer rounds; `registration`, `leases`, `selection` and `snapshots` ask for
//! these parts only, which is of use under a profiler. See `report` for the output.

use std::hint::black_box;

use callboard::Timestamp;
use callboard::query::Query;
use callboard::registry::{Config, Put, Registry};
use callboard_bench::measure::{Figure, Rounds, Samples, nanos, time};
use callboard_bench::naive::{Bare, Expiry, LazyHeap, PushHeap, Tree};
use callboard_bench::report::compare;
use callboard_bench::sqlite::{Indexes, Table};
use callboard_bench::workload::{ENV, TIER, TTL, VERSIONS, ZONE, seeds};
use callboard_bench::{Random, memory, naive};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Instances between two looks at the clock.
const CHUNK: usize = 10_000;
/// The host's timer.
const TICK: u64 = 100_000;
/// Each instance renews its lease every so many ticks.
const RENEWAL_TICKS: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let parts: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| *name == part);
    let (many, some) = if quick { (100_000, 10_000) } else { (1_000_000, 100_000) };
    let in_sqlite = wanted("registration").then(|| registration(many));
    if wanted("leases") {
        leases(many, if quick { 5 } else { 9 }, in_sqlite);
    }
    if wanted("selection") {
        selection(some, if quick { 7 } else { 21 });
    }
    if wanted("snapshots") {
        snapshots(some, if quick { 5 } else { 15 });
    }
}

/// Fills ours, the map of vectors and SQLite, chunk by chunk in turns. Returns what a renewal costs in SQLite.
fn registration(count: usize) -> Figure {
    let mut ours = Registry::new(Config::default()).unwrap();
    let mut map = naive::Registry::default();
    let mut table = Table::new(Indexes::Few).unwrap();
    let (mut ours_bytes, mut map_bytes) = (0, 0);
    let mut samples = Samples::default();
    let mut random = Random(1);
    for from in (0..count).step_by(CHUNK) {
        if from % (10 * CHUNK) == 0 {
            eprintln!("registration: {from} of {count}");
        }
        let batch = seeds(from, (from + CHUNK).min(count), count);
        let mut order = [0, 1, 2];
        random.shuffle(&mut order);
        for contender in order {
            let before = memory::live();
            match contender {
                0 => {
                    let registrations: Vec<_> = batch.iter().map(|seed| seed.registration()).collect();
                    let (elapsed, ()) = time(|| {
                        for registration in &registrations {
                            ours.register(registration, Put::default(), start(0)).unwrap();
                        }
                    });
                    samples.note("ours", elapsed / batch.len() as f64);
                    drop(registrations);
                    ours_bytes += memory::live() - before;
                }
                1 => {
                    let instances: Vec<_> = batch.iter().map(naive::Instance::from).collect();
                    let (elapsed, ()) = time(|| instances.into_iter().for_each(|instance| map.register(instance)));
                    samples.note("map", elapsed / batch.len() as f64);
                    map_bytes += memory::live() - before;
                }
                _ => {
                    let (elapsed, result) = time(|| table.register(&batch, 0));
                    result.unwrap();
                    samples.note("sqlite", elapsed / batch.len() as f64);
                }
            }
        }
    }
    assert_eq!(ours.len(), count);
    let name = |what: &str, peer: &str| format!("{what}, {count} instances: {peer}");
    let bytes = |total: f64| Figure::exact(total / count as f64);
    let ours_bytes = bytes(ours_bytes as f64);
    compare(&name("memory of an instance", "HashMap of Vec"), "B", ours_bytes, bytes(map_bytes as f64), Some(6.0));
    compare(&name("memory of an instance", "SQLite in memory"), "B", ours_bytes, bytes(table.bytes().unwrap() as f64), Some(3.0));
    let figures = samples.figures();
    compare(&name("register", "HashMap of Vec"), "ns", figures["ours"], figures["map"], None);
    compare(&name("register", "SQLite in memory"), "ns", figures["ours"], figures["sqlite"], None);

    let mut rows: Vec<i64> = (1..=count as i64).collect();
    random.shuffle(&mut rows);
    let mut samples = Vec::new();
    for rows in rows.chunks(CHUNK / 10).take(21) {
        let (elapsed, ()) = time(|| rows.iter().for_each(|row| assert_eq!(table.renew(*row, 1).unwrap(), 1)));
        samples.push(elapsed / rows.len() as f64);
    }
    Figure::of(samples)
}

/// The time of a tick, from the start of the registry.
fn start(tick: usize) -> Timestamp {
    Timestamp::from_micros(1_000_000 + tick as u64 * TICK).unwrap()
}

/// A fleet that renews in time, in no order: a hundredth of it in each tick of 100 ms, after the registry has advanced.
fn leases(count: usize, rounds: usize, in_sqlite: Option<Figure>) {
    eprintln!("leases: filling with {count}");
    let mut registry = Registry::new(Config::default()).unwrap();
    let mut handles = Vec::with_capacity(count);
    for from in (0..count).step_by(CHUNK) {
        // In the ticks of one renewal interval, as if the fleet had started over that time.
        let now = start(from * RENEWAL_TICKS / count);
        for seed in seeds(from, (from + CHUNK).min(count), count) {
            handles.push(registry.register(&seed.registration(), Put::default(), now).unwrap().handle);
        }
    }
    let ttl = TTL.as_micros() as u64;
    let per_tick = count / RENEWAL_TICKS;
    // A lease and a renewal interval: nothing is left of how the fleet began.
    let warm_up = 4 * RENEWAL_TICKS;
    // As long as a lease, so that each round has every one come up.
    let ticks = 3 * RENEWAL_TICKS;

    let mut order: Vec<u32> = (0..count as u32).collect();
    Random(2).shuffle(&mut order);
    // Each brings its handle along, as those of a peer bring their numbers.
    let handles: Vec<_> = order.iter().map(|at| handles[*at as usize]).collect();
    let turn = |tick: usize| {
        let from = tick % RENEWAL_TICKS * per_tick;
        from..from + per_tick
    };

    let mut cases = Rounds::new();
    let mut tick = RENEWAL_TICKS;
    let mut one = |ticks: usize, samples: &mut Samples| {
        let begin = nanos();
        let mut worst = 0.0_f64;
        for _ in 0..ticks {
            let now = start(tick);
            let (elapsed, advanced) = time(|| registry.advance(now));
            assert_eq!(advanced.expired, 0);
            worst = worst.max(elapsed);
            for handle in &handles[turn(tick)] {
                registry.renew_handle(*handle, 0, now).unwrap();
            }
            tick += 1;
        }
        samples.note("ours", (nanos() - begin) as f64 / (ticks * per_tick) as f64);
        samples.note("ours, worst", worst);
    };
    eprintln!("leases: warming up ours");
    one(warm_up, &mut Samples::default());
    cases.add(move |samples| one(ticks, samples));

    fn peer<'a, E: Expiry + 'a>(
        name: &'static str,
        mut expiry: E,
        order: &'a [u32],
        ticks: usize,
        warm_up: usize,
        ttl: u64,
    ) -> impl FnMut(&mut Samples) + 'a {
        let per_tick = order.len() / RENEWAL_TICKS;
        eprintln!("leases: warming up {name}");
        let mut tick = 0;
        let mut run = move |ticks: usize, samples: &mut Samples| {
            let begin = nanos();
            let mut worst = 0.0_f64;
            for _ in 0..ticks {
                let now = start(tick).as_micros();
                let (elapsed, expired) = time(|| expiry.advance(now));
                assert_eq!(expired, 0);
                worst = worst.max(elapsed);
                let from = tick % RENEWAL_TICKS * per_tick;
                for at in &order[from..from + per_tick] {
                    expiry.renew(*at, now + ttl);
                }
                tick += 1;
            }
            samples.note(name, (nanos() - begin) as f64 / (ticks * per_tick) as f64);
            samples.note(&format!("{name}, worst"), worst);
        };
        run(warm_up, &mut Samples::default());
        move |samples| run(ticks, samples)
    }
    cases.add(peer("bare", Bare::default(), &order, ticks, warm_up, ttl));
    cases.add(peer("tree", Tree::default(), &order, ticks, warm_up, ttl));
    cases.add(peer("push heap", PushHeap::default(), &order, ticks, warm_up, ttl));
    cases.add(peer("lazy heap", LazyHeap::default(), &order, ticks, warm_up, ttl));
    let figures = cases.run("leases", rounds);

    let name = |what: &str, peer: &str| format!("{what}, {count} instances: {peer}");
    compare(&name("renew by handle", "a bare store with lookup, which expires nobody"), "ns", figures["ours"], figures["bare"], Some(0.5));
    compare(&name("renew by handle", "BTreeMap by deadline"), "ns", figures["ours"], figures["tree"], Some(20.0));
    compare(&name("renew by handle", "heap, an entry a renewal"), "ns", figures["ours"], figures["push heap"], None);
    compare(&name("renew by handle", "heap, an entry an instance"), "ns", figures["ours"], figures["lazy heap"], None);
    if let Some(in_sqlite) = in_sqlite {
        compare(&name("renew by handle", "SQLite, by rowid"), "ns", figures["ours"], in_sqlite, None);
    }
    let worst = |name: &str| figures[&format!("{name}, worst")].scaled(1e-3);
    // 1 ms is the most that a tick may take where the better heap was seen to take 4.7 ms.
    compare(&name("worst advance", "heap, an entry an instance"), "us", worst("ours"), worst("lazy heap"), Some(4.7));
    compare(&name("worst advance", "heap, an entry a renewal"), "us", worst("ours"), worst("push heap"), None);
    compare(&name("worst advance", "BTreeMap by deadline"), "us", worst("ours"), worst("tree"), None);
}

fn filled(count: usize) -> Registry {
    let mut registry = Registry::new(Config::default()).unwrap();
    for seed in seeds(0, count, count) {
        registry.register(&seed.registration(), Put::default(), start(0)).unwrap();
    }
    registry
}

fn filled_map(count: usize) -> naive::Registry {
    let mut map = naive::Registry::default();
    seeds(0, count, count).iter().for_each(|seed| map.register(seed.into()));
    map
}

/// Two metadata pairs, a zone and a range of versions.
fn selection(count: usize, rounds: usize) {
    eprintln!("selection: filling with {count}");
    let registry = filled(count);
    let selector = format!("env={ENV}, tier={TIER}");
    let query = Query::everything().selector(&selector).and_then(|query| query.version(VERSIONS)).unwrap().zone(ZONE);
    let compiled = query.compile().unwrap();
    let map = filled_map(count);
    let versions = semver::VersionReq::parse(VERSIONS).unwrap();
    let batch = seeds(0, count, count);
    let table = |indexes| {
        let mut table = Table::new(indexes).unwrap();
        table.register(&batch, 0).unwrap();
        table.analyze().unwrap();
        table
    };
    let (columns, tailored) = (table(Indexes::Columns), table(Indexes::ThisQuery));

    let hits = registry.query(&query).handles.len();
    assert_eq!([map.query(&versions).len(), columns.query().unwrap().len(), tailored.query().unwrap().len()], [hits; 3]);
    let mut cases = Rounds::new();
    cases.operation("ours", 6.0, |count| (0..count).for_each(|_| drop(black_box(registry.select(&compiled)))));
    cases.operation("ours, compiled each time", 6.0, |count| (0..count).for_each(|_| drop(black_box(registry.query(&query)))));
    cases.operation("map", 6.0, |count| (0..count).for_each(|_| drop(black_box(map.query(&versions)))));
    cases.operation("columns", 6.0, |count| (0..count).for_each(|_| drop(black_box(columns.query()))));
    cases.operation("tailored", 6.0, |count| (0..count).for_each(|_| drop(black_box(tailored.query()))));
    let figures = cases.run("selection", rounds);

    let us = |name: &str| figures[name].scaled(1e-3);
    let name = |what: &str, peer: &str| format!("{what}, {hits} of {count} instances: {peer}");
    compare(&name("select", "HashMap of Vec"), "us", us("ours"), us("map"), Some(100.0));
    compare(&name("select", "SQLite, an index a column"), "us", us("ours"), us("columns"), Some(50.0));
    compare(&name("select", "SQLite, an index for this very query"), "us", us("ours"), us("tailored"), None);
    compare(&name("compile and select", "HashMap of Vec"), "us", us("ours, compiled each time"), us("map"), None);
}

/// To bytes and back.
fn snapshots(count: usize, rounds: usize) {
    eprintln!("snapshot: filling with {count}");
    let registry = filled(count);
    let map = filled_map(count);
    let bytes = registry.snapshot();
    let json = serde_json::to_vec(&map).unwrap();
    assert_eq!(Registry::restore(&bytes, Config::default(), start(1)).unwrap().len(), count);
    let mut cases = Rounds::new();
    let (registry, map, bytes, json) = (&registry, &map, &bytes, &json);
    cases.operation("ours, write", 1.0, move |count| (0..count).for_each(|_| drop(black_box(registry.snapshot()))));
    cases.operation("json, write", 1.0, move |count| (0..count).for_each(|_| drop(black_box(serde_json::to_vec(map)))));
    // What is read is freed outside of the measured time.
    cases.add(|samples| {
        let (elapsed, restored) = time(|| Registry::restore(bytes, Config::default(), start(1)));
        samples.note("ours, read", elapsed);
        drop(restored);
    });
    cases.add(|samples| {
        let (elapsed, restored) = time(|| serde_json::from_slice::<naive::Registry>(json));
        samples.note("json, read", elapsed);
        drop(restored);
    });
    let figures = cases.run("snapshot", rounds);
    let name = |what: &str| format!("{what}, {count} instances: serde_json of structs");
    let size = |bytes: &[u8]| Figure::exact(bytes.len() as f64 / count as f64);
    let ms = |name: &str| figures[name].scaled(1e-6);
    compare(&name("snapshot, size of an instance"), "B", size(bytes), size(json), Some(5.0));
    compare(&name("snapshot, write"), "ms", ms("ours, write"), ms("json, write"), Some(5.0));
    compare(&name("snapshot, read"), "ms", ms("ours, read"), ms("json, read"), Some(5.0));
}
