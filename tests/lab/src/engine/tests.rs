use serde_json::{Value, json};

use super::*;
use crate::record::Figures;

/// The figures of a scenario of two servers and ten calls a second, with these changes, under a policy.
fn figures(policy: &str, changes: Value) -> Figures {
    let mut value = json!({
        "duration": 100, "arrivals": {"rate": 10}, "servers": {"count": 2}, "service": {"constant": 0.1}, "timeout": 1,
    });
    crate::read::merge(&mut value, &changes);
    let scenario = Scenario::read(&value, "x").unwrap();
    run(&scenario, &Named { name: policy.into(), policy: policy.into(), options: Value::Null }).unwrap().figures()
}

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

#[test]
fn nothing_wrong() {
    let found = figures("round-robin", json!({}));
    assert_eq!((found["success"], found["retries"], found["refused"]), (100.0, 0.0, 0.0));
    near(found["p50"], 100.0, 0.3);
    near(found["calls"], 1_000.0, 100.0);
    near(found["spread"], 1.0, 0.01);
    assert_eq!(found, figures("round-robin", json!({})), "a seed always makes the same run");
    assert_ne!(found["calls"], figures("round-robin", json!({"seed": 2}))["calls"]);
}

#[test]
fn a_queue_is_an_m_d_1() {
    // Ten calls a second of 50 ms at each of two: load 0.5 at random, mean wait 0.5 * 50 / (2 * 0.5) = 25 ms.
    let queue =
        json!({"duration": 4000, "arrivals": {"rate": 20}, "service": {"constant": 0.05}, "server": {"workers": 1}, "timeout": null});
    near(figures("random", queue)["mean"], 75.0, 1.5);
}

#[test]
fn sharing_is_an_m_g_1_ps() {
    // Mean response is the work over 1 - load, whatever the distribution.
    let shared =
        |service: Value| json!({"duration": 4000, "arrivals": {"rate": 20}, "service": service, "server": {"cores": 1}, "timeout": null});
    near(figures("random", shared(json!({"constant": 0.05})))["mean"], 100.0, 3.0);
    near(figures("random", shared(json!({"constant": null, "exponential": 0.05})))["mean"], 100.0, 4.0);
}

#[test]
fn a_hung_server_costs_its_share() {
    let hung = json!({"faults": [{"servers": {"first": 1}, "hang": true}]});
    let found = figures("round-robin", hung.clone());
    near(found["success"], 50.0, 0.1);
    near(found["share"], 50.0, 0.1);
    assert_eq!(found["p99"], f64::INFINITY);
    let mut retried = hung;
    retried["attempts"] = json!(2);
    let found = figures("round-robin", retried);
    assert_eq!(found["success"], 100.0);
    near(found["p99"], 1100.0, 3.0);
    assert!(found["retries"] > 0.3);
}

#[test]
fn failures_are_fast_and_tried_elsewhere() {
    let failing =
        json!({"attempts": 2, "faults": [{"at": 50, "servers": {"first": 1}, "fail": [0.001, 1]}], "windows": {"before": [0, 50]}});
    let found = figures("random", failing);
    assert_eq!((found["success"], found["success@before"]), (100.0, 100.0));
    near(found["p99"], 101.0, 0.4);
    near(found["retries"], 0.25, 0.05);
}

#[test]
fn total_failure_is_refused_when_all_were_tried() {
    let failing = json!({"attempts": 5, "faults": [{"servers": "all", "fail": [0.001, 1]}]});
    let found = figures("random", failing);
    assert_eq!((found["success"], found["refused"]), (0.0, 0.0));
    near(found["retries"], 1.0, 1e-9);
}

#[test]
fn pauses_delay_what_is_under_way() {
    // A pause of 0.5 s every 10 s: 5 % of the calls come during one and wait for what is left of it, half of it on average;
    // during 1 % one begins, and they wait for all of it.
    for server in [json!({}), json!({"workers": 100}), json!({"cores": 100})] {
        let found = figures(
            "random",
            json!({"duration": 2000, "timeout": null, "server": server, "faults": [{"servers": "all", "pause": [10, 0.5]}]}),
        );
        assert_eq!(found["success"], 100.0);
        near(found["p50"], 100.0, 0.3);
        near(found["mean"], 100.0 + 0.05 * 250.0 + 0.01 * 500.0, 4.0);
        near(found["p90"], 100.0, 0.3);
        near(found["p99"], 600.0, 40.0);
    }
}

#[test]
fn what_is_gone_gets_nothing_and_what_is_new_is_cold() {
    let found = figures("random", json!({"faults": [{"at": 20, "servers": {"first": 1}, "gone": true}], "windows": {"after": [22, 100]}}));
    assert_eq!((found["share@after"], found["success@after"]), (0.0, 100.0));
    let found = figures(
        "random",
        json!({
            "faults": [{"at": 20, "servers": "all", "replace": [5, 20]}], "windows": {"before": [0, 20], "middle": [29, 31], "warm": [41, 100]},
        }),
    );
    near(found["p50@middle"], 300.0, 20.0);
    near(found["p99@warm"], 100.0, 0.3);
    near(found["p99@before"], 100.0, 0.3);
}

#[test]
fn a_flapping_fault_comes_and_goes() {
    let flap = json!({"faults": [{"at": 10, "until": 50, "servers": {"first": 2}, "slow": 4, "flap": [5, 5]}], "windows": {"off": [15.1, 19.9], "on": [20, 25], "over": [55, 99]}});
    let found = figures("random", flap);
    for (window, expected) in [("off", 100.0), ("on", 400.0), ("over", 100.0)] {
        near(found[&format!("p50@{window}")], expected, 1.5);
    }
}

#[test]
fn a_moving_fault_is_at_half_of_them() {
    let moving = json!({"servers": {"count": 10}, "faults": [{"servers": {"share": 0.5}, "slow": 3, "moving": 1}]});
    near(figures("random", moving)["mean"], 200.0, 12.0);
}

#[test]
fn closed_loops_have_so_many_calls() {
    let closed = json!({"arrivals": {"rate": null, "concurrency": 5, "calls": 1000}});
    let found = figures("random", closed);
    assert_eq!(found["calls"], 1_000.0);
    near(found["wall"], 20_000.0, 1.0);
}
