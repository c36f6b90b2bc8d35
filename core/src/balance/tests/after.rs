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
fn settings_out_of_range_are_refused() {
    let mut policy = Policy::named("random").unwrap();
    policy.after.hedge = Some(Hedge { quantile: f64::NAN, ..Hedge::default() });
    let error = Balancer::new(Query::service("s"), policy, Options::default()).unwrap_err();
    assert_eq!((error.code(), error.field()), (Code::InvalidArgument, "policy.hedge.quantile"));
}
