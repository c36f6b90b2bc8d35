//! The short way of a pick, held to the long one.

use super::*;
use crate::rng::Rng;

/// `adaptive` with every part that looks at outcomes or at time.
const EVERYTHING: &str = r#"{"preset": "adaptive", "hold": {}, "breaker": {}, "retry": {}, "hedge": {}, "slow_start": {"window": 5}}"#;

fn twins(policy: &Policy, seed: u64) -> [(Balancer, Stage); 2] {
    let options = Options { reap_after: Duration::from_secs(2), ..Options::seeded(seed) };
    let twin = || (Balancer::new(Query::service("s"), policy.clone(), options).unwrap(), Stage::default());
    [twin(), twin()]
}

/// Two balancers live the same life, and one of them is told before each step that there may be something to look at.
#[test]
fn the_short_way_leads_where_the_long_one_does() {
    let everything = Policy::from_value(&Value::from_json(EVERYTHING.as_bytes()).unwrap()).unwrap();
    let presets = Policy::presets().map(|name| Policy::named(name).unwrap());
    let (mut short_ways, mut steps) = (0, 0);
    for (seed, policy) in (0u64..).zip(presets.chain([everything])) {
        let mut rng = Rng::new(seed);
        let mut twins = twins(&policy, seed);
        let mut tokens = vec![];
        let mut now = 0;
        for step in 0..1_500 {
            now += u64::from(rng.below(match step % 500 {
                0 => 30_000_000,
                1 => 3_000_000,
                _ => 2_000,
            }));
            let time = Timestamp::from_micros(now.saturating_sub(u64::from(rng.below(20) == 0) * 500)).unwrap();
            let (what, which, id) = (rng.below(100), rng.next_u64(), format!("b{}", rng.below(12)));
            let weight = if rng.below(4) == 0 { 1_000 * rng.below(4) } else { 1_000 };
            let found = twins.each_mut().map(|(balancer, stage)| match what {
                _ if step < 12 => {
                    stage.put(balancer, &format!("b{step}"), 1_000, Available);
                    (None, 0)
                }
                0 => {
                    stage.put(balancer, &id, weight, [Available, Available, Degraded, Unavailable][which as usize % 4]);
                    (None, 0)
                }
                1 => {
                    stage.remove(balancer, &id);
                    (None, 0)
                }
                2..60 => {
                    let key = which.to_le_bytes();
                    let request = if which % 3 == 0 { Request::keyed(&key) } else { Request::default() };
                    let tried = stage.handles.values().copied().take(1).collect::<Vec<_>>();
                    let request = if which % 16 == 0 { Request { exclude: &tried, ..request } } else { request };
                    (Some(balancer.pick(&request, time).map_err(|error| error.code())), 0)
                }
                _ => {
                    let token = if tokens.is_empty() { which } else { tokens[which as usize % tokens.len()] };
                    let kind =
                        if which % 8 == 0 { OutcomeKind::ALL[which as usize / 8 % OutcomeKind::ALL.len()] } else { OutcomeKind::Success };
                    let latency = (which % 5 > 0).then(|| Duration::from_micros(which % 9_000));
                    (None, u8::from(balancer.finish(token, Outcome { latency, ..Outcome::of(kind) }, time)) + 1)
                }
            });
            assert_eq!(found[0], found[1], "{} {step}", policy.name());
            if let Some(Ok(pick)) = found[0].0 {
                tokens.push(pick.token);
            }
            let [(short, _), (long, _)] = &mut twins;
            assert_eq!(short.deadline(), long.deadline(), "{} {step}", policy.name());
            (short_ways, steps) = (short_ways + u32::from(short.calm.picks > now), steps + 1);
            long.stir();
        }
        let [(short, _), (long, _)] = &twins;
        assert_eq!(short.stats(), long.stats(), "{}", policy.name());
    }
    assert!(short_ways > steps / 2, "{short_ways} of {steps}");
}

/// What is called `next` is a pick and its end, by the short way and by the long one.
#[test]
fn next_is_a_pick_that_is_finished() {
    for (seed, name) in (0u64..).zip(Policy::presets()) {
        let [(mut short, mut one), (mut long, mut other)] = twins(&Policy::named(name).unwrap(), seed);
        assert_eq!(short.next(at(0)).map_err(|error| error.code()), Err(Code::NoInstances));
        for id in 0..7 {
            one.put(&mut short, &format!("b{id}"), 1_000 * (id % 3), Available);
            other.put(&mut long, &format!("b{id}"), 1_000 * (id % 3), Available);
        }
        for step in 0..200 {
            // Now and then the clock goes back, or stands.
            let now = Timestamp::from_millis(step - step % 7 * (step % 2));
            let pick = long.pick(&Request::default(), now).unwrap();
            long.finish(pick.token, Outcome::default(), now);
            assert_eq!(short.next(now).unwrap(), pick.handle, "{name} {step}");
        }
        assert_eq!((short.in_flight(), short.stats().instances), (0, long.stats().instances), "{name}");
        // Both have been asked at a time, and count a pick that is before it, and its end.
        let before = [&short, &long].map(|balancer| balancer.stats().backwards);
        for balancer in [&mut short, &mut long] {
            balancer.next(at(1)).unwrap();
            balancer.next(at(0)).unwrap();
        }
        assert_eq!([&short, &long].map(|balancer| balancer.stats().backwards), before.map(|count| count + 2), "{name}");
    }
}
