//! What follows from outcomes, on a balancer.

use super::*;

fn with(after: &str) -> (Balancer, Vec<Handle>) {
    let document = format!("{{\"preset\": \"random\", {after}}}");
    let policy = Policy::from_value(&Value::from_json(document.as_bytes()).unwrap()).unwrap();
    assert_eq!(Policy::from_value(&policy.to_value()).as_ref(), Ok(&policy));
    let mut balancer = Balancer::new(Query::service("s"), policy, Options::seeded(1)).unwrap();
    let mut stage = Stage::default();
    let handles = (0..10).map(|i| stage.put(&mut balancer, &format!("b{i}"), 1_000, Available)).collect();
    (balancer, handles)
}

#[test]
fn parts_that_are_off_hold_nobody_back() {
    let (mut balancer, _) = with("\"retry\": \"off\"");
    assert!(balancer.feedback.is_none());
    assert!(balancer.may_retry(at(0)) && balancer.admit(at(0)) && !balancer.may_hedge(at(0)));
    assert_eq!((balancer.retry_delay(9), balancer.hedge_delay(at(0)), balancer.limit()), (Some(Duration::ZERO), None, None));
}

#[test]
fn a_fifth_of_the_calls_may_be_tried_again() {
    let (mut balancer, _) = with(r#""retry": {"budget": {"kind": "share", "reserve": 0}}"#);
    let mut retries = 0;
    for call in 0..1_000 {
        let now = Timestamp::from_millis(call);
        let mut pick = balancer.pick(&Request::default(), now).unwrap();
        while balancer.finish(pick.token, Outcome::failure(), now) && balancer.may_retry(now) {
            retries += 1;
            pick = balancer.pick(&Request::default(), now).unwrap();
        }
    }
    // Retries themselves earn none.
    assert_eq!(retries, 200);
    assert_eq!(balancer.retry_delay(5), None);
}

#[test]
fn calls_beyond_the_limit_are_not_admitted() {
    let (mut balancer, _) = with(r#""limit": {"kind": "fixed", "max": 3}"#);
    let picks: Vec<Pick> = (0..3).map(|_| balancer.pick(&Request::default(), at(0)).unwrap()).collect();
    assert!(!balancer.admit(at(0)));
    balancer.finish(picks[0].token, Outcome::default(), at(0));
    assert!(balancer.admit(at(0)));
    assert_eq!(balancer.limit(), Some(3));
}

#[test]
fn a_hedge_waits_for_the_95th_percentile() {
    let (mut balancer, _) = with(r#""hedge": {}"#);
    for call in 1..=100 {
        let pick = balancer.pick(&Request::default(), at(0)).unwrap();
        assert!(call > 20 || balancer.hedge_delay(at(0)).is_none());
        balancer.finish(pick.token, Outcome::success(Duration::from_millis(call)), at(0));
    }
    let delay = balancer.hedge_delay(at(0)).unwrap().as_secs_f64();
    assert!((0.06..0.1).contains(&delay), "{delay}");
    assert!(balancer.may_hedge(at(0)));
    assert_eq!((0..100).filter(|_| balancer.may_hedge(at(0))).count(), 4);
}

#[test]
fn a_hedge_follows_the_latencies() {
    let (mut balancer, _) = with(r#""hedge": {"window": 30}"#);
    let calls = |balancer: &mut Balancer, count: u32, millis: u64, secs: u64| {
        for _ in 0..count {
            let pick = balancer.pick(&Request::default(), at(secs)).unwrap();
            balancer.finish(pick.token, Outcome::success(Duration::from_millis(millis)), at(secs));
        }
        balancer.hedge_delay(at(secs)).unwrap().as_millis()
    };
    assert!((9..12).contains(&calls(&mut balancer, 100, 10, 0)));
    // Within a window it is taken anew after some latencies.
    assert!((90..120).contains(&calls(&mut balancer, 200, 100, 1)));
    // A new window is asked as soon as it has enough.
    assert!((9..12).contains(&calls(&mut balancer, 30, 10, 31)));
}

#[test]
fn who_is_well_again_by_its_word_begins_anew() {
    let (mut balancer, mut stage) = (balancer("adaptive", 3), Stage::default());
    let handles: Vec<Handle> = (0..10).map(|id| stage.put(&mut balancer, &format!("b{id}"), 1_000, Available)).collect();
    for call in 0..400u64 {
        let bad = call % 4 == 0;
        let others = if bad { &handles[1..] } else { &handles[..1] };
        let pick = balancer.pick(&Request::excluding(others), Timestamp::from_millis(call * 5)).unwrap();
        let outcome = if bad { Outcome::failure() } else { Outcome::success(Duration::from_millis(5)) };
        balancer.finish(pick.token, outcome, Timestamp::from_millis(call * 5 + 5));
    }
    let told = |balancer: &Balancer| balancer.stats().instances.iter().find(|one| one.handle == handles[0]).cloned().unwrap();
    assert!(told(&balancer).ejected && told(&balancer).success.is_some_and(|success| success < 0.9));
    stage.put(&mut balancer, "b0", 1_000, Unavailable);
    stage.put(&mut balancer, "b0", 1_000, Available);
    assert!(!told(&balancer).ejected);
    assert_eq!(told(&balancer).success, Some(1.0));
}

#[test]
fn settings_out_of_range_are_refused() {
    let mut policy = Policy::named("random").unwrap();
    policy.after.hedge = Some(Hedge { quantile: f64::NAN, ..Hedge::default() });
    let error = Balancer::new(Query::service("s"), policy, Options::default()).unwrap_err();
    assert_eq!((error.code(), error.field()), (Code::InvalidArgument, "policy.hedge.quantile"));
}

/// The share of the calls that a host gets that fails in 1 ms, and then its share once it is well: each second one figure.
fn black_hole(preset: &str, rate: u64, seconds: std::ops::Range<u64>) -> Vec<f64> {
    let document = format!("{{\"preset\": \"{preset}\", \"outliers\": \"adaptive\"}}");
    let policy = Policy::from_value(&Value::from_json(document.as_bytes()).unwrap()).unwrap();
    let mut balancer = Balancer::new(Query::service("s"), policy, Options::seeded(7)).unwrap();
    let mut stage = Stage::default();
    let handles: Vec<Handle> = (0..10).map(|i| stage.put(&mut balancer, &format!("b{i}"), 1_000, Available)).collect();
    let (mut ends, mut shares) = (BTreeMap::<(u64, u64), bool>::new(), vec![]);
    let (step, mut hits) = (1_000_000 / rate, 0u64);
    for call in 0..60 * rate {
        let now = call * step;
        while let Some(entry) = ends.first_entry()
            && entry.key().0 <= now
        {
            let ((end, token), ok) = entry.remove_entry();
            balancer.finish(token, Outcome::new(ok, None), Timestamp::from_micros(end).unwrap());
        }
        let pick = balancer.pick(&Request::default(), Timestamp::from_micros(now).unwrap()).unwrap();
        let is_bad = pick.handle == handles[0];
        let fails = is_bad && seconds.contains(&(now / 1_000_000));
        let took = if fails { 1_000 } else { 150_000 + call * 7_919 % 50_000 };
        ends.insert((now + took, pick.token), !fails);
        hits += u64::from(is_bad);
        if (call + 1) % rate == 0 {
            shares.push(hits as f64 / rate as f64);
            hits = 0;
        }
    }
    shares
}

#[test]
fn a_host_that_fails_fast_is_out_in_two_seconds_and_back_in_ten() {
    for preset in ["adaptive", "least-request", "peak-ewma", "round-robin", "random"] {
        for rate in [100, 1_000, 4_000] {
            let shares = black_hole(preset, rate, 5..40);
            let mean = |range: std::ops::Range<usize>| shares[range.clone()].iter().sum::<f64>() / range.len() as f64;
            assert!(mean(7..40) <= 0.02, "{preset} at {rate}/s: {:?}", &shares[5..40]);
            assert!((0.08..=0.12).contains(&mean(50..60)), "{preset} at {rate}/s: {:?}", &shares[40..]);
        }
    }
}

#[test]
fn one_that_is_out_is_used_when_there_is_no_other() {
    let (mut balancer, handles) = with(r#""outliers": {"preset": "adaptive", "most": 100}"#);
    let refuse = |balancer: &mut Balancer, now: Timestamp| {
        let pick = balancer.pick(&Request::default(), now).unwrap();
        balancer.finish(pick.token, Outcome::failure(), now);
    };
    (0..500).for_each(|_| refuse(&mut balancer, at(0)));
    assert!(balancer.stats().instances.iter().all(|one| one.ejected));
    let pick = balancer.pick(&Request::excluding(&handles[1..]), at(0)).unwrap();
    assert_eq!(pick.handle, handles[0]);
    let text = balancer.stats().to_value().to_json();
    assert!(std::str::from_utf8(&text).unwrap().contains("\"ejected\":true"));
}

#[test]
fn envoy_s_times_are_kept_to() {
    let (mut balancer, handles) = with(r#""outliers": {"preset": "envoy", "interval": 1, "recovery": {"kind": "fixed", "base": 5}}"#);
    let only = |balancer: &mut Balancer, secs: u64, ok: bool| {
        let pick = balancer.pick(&Request::excluding(&handles[1..]), at(secs)).unwrap();
        balancer.finish(pick.token, Outcome::new(ok, None), at(secs));
    };
    (0..5).for_each(|_| only(&mut balancer, 0, false));
    assert_eq!(balancer.deadline(), Some(at(5)));
    let is_picked = |balancer: &mut Balancer, secs: u64| {
        (0..200).filter(|_| balancer.pick(&Request::default(), at(secs)).unwrap().handle == handles[0]).count() > 0
    };
    assert!(!is_picked(&mut balancer, 4));
    balancer.advance(at(5));
    assert!(!balancer.stats().instances[0].ejected);
    assert!(is_picked(&mut balancer, 5));
}

#[test]
fn one_that_asks_is_spared_until_then() {
    let (mut balancer, handles) = with(r#""hold": {}"#);
    let spared = Outcome { retry_after: Some(Duration::from_secs(30)), ..Outcome::of(OutcomeKind::Throttled) };
    for handle in &handles[1..] {
        let others: Vec<Handle> = handles.iter().filter(|other| *other != handle).copied().collect();
        let pick = balancer.pick(&Request::excluding(&others), at(1)).unwrap();
        assert_eq!(pick.handle, *handle);
        balancer.finish(pick.token, spared, at(1));
    }
    let tokens: Vec<u64> = (0..100)
        .map(|_| {
            let pick = balancer.pick(&Request::default(), at(30)).unwrap();
            assert_eq!(pick.handle, handles[0]);
            pick.token
        })
        .collect();
    tokens.into_iter().for_each(|token| assert!(balancer.finish(token, Outcome::default(), at(30))));
    assert_eq!(balancer.deadline(), Some(at(31)));
    assert!(balancer.stats().instances[1].held);
    let picked: std::collections::BTreeSet<Handle> = (0..200).map(|_| balancer.pick(&Request::default(), at(31)).unwrap().handle).collect();
    assert_eq!(picked.len(), 10);
    assert!(!balancer.stats().instances[1].held);
}

#[test]
fn a_breaker_sends_elsewhere_and_then_refuses() {
    let (mut balancer, handles) = with(r#""breaker": {"instance": 2}"#);
    let mut counts = BTreeMap::<Handle, u32>::new();
    let picks: Vec<Pick> = (0..20).map(|_| balancer.pick(&Request::default(), at(0)).unwrap()).collect();
    picks.iter().for_each(|pick| *counts.entry(pick.handle).or_default() += 1);
    assert!(counts.len() == 10 && counts.values().all(|count| *count == 2), "{counts:?}");
    let error = balancer.pick(&Request::default(), at(0)).unwrap_err();
    assert_eq!((error.code(), error.field(), error.limit_value()), (Code::LimitExceeded, "breaker.instance", Some(2)));
    balancer.finish(picks[0].token, Outcome::default(), at(0));
    let request = Request::excluding(&handles[..3]);
    assert_eq!(balancer.explain(&request, at(0)).choice.ok(), balancer.pick(&request, at(0)).ok().map(|pick| pick.handle));
    let (mut balancer, _) = with(r#""breaker": {"total": 3}"#);
    for _ in 0..3 {
        balancer.pick(&Request::default(), at(0)).unwrap();
    }
    let error = balancer.pick(&Request::default(), at(0)).unwrap_err();
    assert_eq!((error.field(), error.limit_value()), ("breaker.total", Some(3)));
}

#[test]
fn who_leaves_and_comes_back_is_in() {
    let (mut balancer, handles) = with(r#""outliers": "adaptive", "hold": {"unasked": 60}"#);
    let mut stage = Stage::default();
    for kind in [OutcomeKind::Throttled, OutcomeKind::Error, OutcomeKind::Error, OutcomeKind::Error, OutcomeKind::Error, OutcomeKind::Error]
    {
        let pick = balancer.pick(&Request::excluding(&handles[1..]), at(0)).unwrap();
        balancer.finish(pick.token, Outcome::of(kind), at(0));
    }
    let one = |balancer: &Balancer| balancer.stats().instances.iter().map(|one| (one.ejected, one.held)).next().unwrap();
    assert_eq!(one(&balancer), (true, true));
    stage.remove(&mut balancer, "b0");
    stage.put(&mut balancer, "b0", 1_000, Available);
    assert_eq!(one(&balancer), (false, false));
    assert_eq!((balancer.alarm, balancer.probe_at), (10_000_000, u64::MAX));
}

#[test]
fn who_the_registry_finds_well_is_in() {
    let (mut balancer, _) = with(r#""outliers": "envoy""#);
    let mut stage = Stage::default();
    let handles: Vec<Handle> = (0..10).map(|i| stage.put(&mut balancer, &format!("b{i}"), 1_000, Available)).collect();
    for _ in 0..5 {
        let pick = balancer.pick(&Request::excluding(&handles[1..]), at(0)).unwrap();
        balancer.finish(pick.token, Outcome::failure(), at(0));
    }
    let is_out = |balancer: &Balancer| balancer.stats().instances[0].ejected;
    // A change that says nothing of its health does not count.
    stage.put(&mut balancer, "b0", 2_000, Available);
    assert!(is_out(&balancer));
    stage.put(&mut balancer, "b0", 2_000, Degraded);
    assert!(is_out(&balancer));
    stage.put(&mut balancer, "b0", 2_000, Available);
    assert!(!is_out(&balancer));
    assert!((0..200).any(|_| balancer.pick(&Request::default(), at(0)).unwrap().handle == handles[0]));
}

/// A random life with every part of the policy, and the same life again from its trace.
#[test]
fn every_part_at_once_is_replayed_to_the_letter() {
    let (mut ejected, mut held) = (0, 0);
    for seed in 0..12u64 {
        let preset = ["adaptive", "round-robin", "random", "rendezvous", "least-request"][seed as usize % 5];
        let outliers = ["adaptive", "envoy", "grpc"][seed as usize % 3];
        let document = format!(
            r#"{{"preset": "{preset}", "outliers": {{"preset": "{outliers}", "interval": 2, "most": 60, "gateway": {{"count": 2, "enforcing": 50}}}},
            "hold": {{"unasked": 1}}, "breaker": {{"instance": 4, "total": 20}}, "retry": {{}}, "hedge": {{"samples": 3}}, "limit": "vegas"}}"#
        );
        let policy = Policy::from_value(&Value::from_json(document.as_bytes()).unwrap()).unwrap();
        let options = Options { trace: 100_000, ..Options::seeded(seed) };
        let mut balancer = Balancer::new(Query::service("s"), policy, options).unwrap();
        let (mut stage, mut rng, mut open, mut now) = (Stage::default(), Rng::new(seed), vec![], 0u64);
        for step in 0..1_000u32 {
            now += u64::from(rng.below(if step % 200 == 0 { 90_000_000 } else { 60_000 }));
            let time = Timestamp::from_micros(now).unwrap();
            match rng.below(20) {
                0 => {
                    let availability = [Available, Available, Degraded, Unavailable][rng.below(4) as usize];
                    stage.put(&mut balancer, &format!("b{}", rng.below(9)), rng.below(3) * 1_000, availability);
                }
                1 => stage.remove(&mut balancer, &format!("b{}", rng.below(9))),
                2..11 => {
                    let key = rng.below(5).to_le_bytes();
                    let request = Request::keyed(&key);
                    let told = balancer.explain(&request, time);
                    let answer = balancer.pick(&request, time);
                    assert_eq!(told.choice.as_ref().ok(), answer.as_ref().ok().map(|pick| &pick.handle), "{seed} {step}");
                    open.extend(answer.ok().map(|pick| pick.token));
                }
                11..19 if !open.is_empty() => {
                    let token = open.swap_remove(rng.below(open.len() as u32) as usize);
                    let kind = OutcomeKind::ALL[rng.below(9).min(6) as usize];
                    let kind = if rng.below(2) == 0 { OutcomeKind::Success } else { kind };
                    let retry_after = (rng.below(9) == 0).then(|| Duration::from_millis(u64::from(rng.below(4_000))));
                    let latency = Some(Duration::from_micros(u64::from(rng.below(90_000))));
                    assert!(balancer.finish(token, Outcome { latency, retry_after, ..Outcome::of(kind) }, time));
                }
                _ => {
                    balancer.may_retry(time);
                    balancer.may_hedge(time);
                    balancer.retry_delay(1);
                    balancer.hedge_delay(time);
                    balancer.admit(time);
                    if let Some(due) = balancer.deadline() {
                        assert!(due > time, "{seed} {step}: what is due was not done");
                    }
                }
            }
            let stats = balancer.stats();
            ejected = ejected.max(stats.instances.iter().filter(|one| one.ejected).count());
            held = held.max(stats.instances.iter().filter(|one| one.held).count());
            assert!(stats.in_flight as usize == open.len() && open.len() <= 20);
        }
        let replay = Balancer::replay(&balancer.trace().unwrap()).unwrap();
        assert_eq!((replay.same, replay.difference), (replay.picks, None), "{seed}");
    }
    assert!(ejected > 0 && held > 0, "{ejected} {held}");
}

#[test]
fn probes_are_replayed_and_what_differs_is_told() {
    let options = Options { trace: 1_000, ..Options::seeded(5) };
    let (mut balancer, mut stage) =
        (Balancer::new(Query::service("s"), Policy::named("prequal").unwrap(), options).unwrap(), Stage::default());
    for id in 0..6 {
        stage.put(&mut balancer, &format!("b{id}"), 1_000, Available);
    }
    for call in 0..100u64 {
        for handle in balancer.probe_requests(at(call)) {
            balancer.probed(handle, (handle.to_bits() % 5) as u32, Duration::from_millis(1 + call % 9), at(call));
        }
        let pick = balancer.pick(&Request::default(), at(call)).unwrap();
        balancer.finish(pick.token, Outcome::success(Duration::from_millis(2)), at(call));
        balancer.advance(at(call));
    }
    let trace = balancer.trace().unwrap();
    let text = String::from_utf8(trace.to_json()).unwrap();
    for verb in ["probe_requests", "probed", "advance"] {
        assert!(text.matches(&format!("\"do\":\"{verb}\"")).count() >= 100, "{verb}");
    }
    let replay = Balancer::replay(&trace).unwrap();
    assert_eq!(replay.to_value(), Value::map([("picks", 100u64.into()), ("same", 100u64.into())]));
    // Had the idle ones said that they are busy, others would have been chosen.
    let forged = text.replace("\"rif\":0", "\"rif\":9");
    let replay = Balancer::replay(&Value::from_json(forged.as_bytes()).unwrap()).unwrap();
    assert!(replay.same < 100 && replay.difference.is_some(), "{replay:?}");
}

#[test]
fn who_comes_has_the_mean_of_what_was_reported_at_once() {
    let document = br#"{"preset": "random", "reports": {"blackout": 0, "update": 60}}"#;
    let policy = Policy::from_value(&Value::from_json(document).unwrap()).unwrap();
    let mut balancer = Balancer::new(Query::service("s"), policy, Options::seeded(3)).unwrap();
    let mut stage = Stage::default();
    let handles = ["a", "b"].map(|id| stage.put(&mut balancer, id, 1_000, Available));
    for (qps, other) in [(300.0, handles[1]), (100.0, handles[0])] {
        let load = Load { qps, utilization: 0.5, ..Load::default() };
        let pick = balancer.pick(&Request::excluding(&[other]), at(1)).unwrap();
        balancer.finish(pick.token, Outcome { load: Some(load), ..Outcome::default() }, at(1));
    }
    let shares = |balancer: &mut Balancer, stage: &Stage, now: Timestamp| {
        let mut counts = BTreeMap::<String, u32>::new();
        (0..6_000).for_each(|_| *counts.entry(stage.id(balancer.next(now).unwrap()).to_string()).or_default() += 1);
        counts.into_values().map(|count| (count + 250) / 500).collect::<Vec<_>>()
    };
    assert_eq!(shares(&mut balancer, &stage, at(70)), [9, 3]);
    // Weights are worked out once a minute, but 3 : 1 : 2 is so at once.
    stage.put(&mut balancer, "c", 1_000, Available);
    assert_eq!(shares(&mut balancer, &stage, at(71)), [6, 2, 4]);
}

#[test]
fn each_change_takes_the_room_of_an_event_in_a_trace() {
    let options = Options { trace: 20, ..Options::seeded(5) };
    let mut balancer = Balancer::new(Query::service("s"), Policy::default(), options).unwrap();
    let row = |id| {
        Change::Put(Arrival {
            service: "s",
            id,
            hash_key: "",
            groups: &[],
            handle: Handle::new(1, 0),
            weight: 1_000,
            availability: Available,
            site: Site::default(),
        })
    };
    let is_cut = |balancer: &Balancer| balancer.trace().unwrap().get("cut").and_then(Value::as_bool).unwrap_or_default();
    for turn in 0..2 {
        balancer.apply(["a", "b", "c", "d", "e", "f", "g", "h"].map(row).into_iter());
        assert!(!is_cut(&balancer), "{turn}");
    }
    balancer.apply(["a", "b", "c", "d", "e", "f", "g", "h"].map(row).into_iter());
    assert!(is_cut(&balancer));
}
