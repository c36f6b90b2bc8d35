//! The form of a result: one JSON object a line on stdout, which `cargo xtask bench` gathers.
//!
//! `{name, unit, ours, peer, ratio, goal, met, noise}`: smaller figures are better, `ratio` is peer / ours, `goal` is the
//! least ratio wanted or null, `noise` are p10 and p90 of both figures. A peer that could not be measured is null, and
//! `note` says why.

use serde_json::{Value, json};

use crate::measure::Figure;

/// Prints a comparison.
pub fn compare(name: &str, unit: &str, ours: Figure, peer: Figure, goal: Option<f64>) {
    emit(&comparison(name, unit, ours, peer, goal));
}

/// Prints a comparison of which there is more to say.
pub fn noted(name: &str, unit: &str, ours: Figure, peer: Figure, goal: Option<f64>, note: &str) {
    let mut row = comparison(name, unit, ours, peer, goal);
    row["note"] = note.into();
    emit(&row);
}

/// Prints that something could not be measured, and why.
pub fn missing(name: &str, why: &str) {
    emit(&json!({ "name": name, "unit": null, "ours": null, "peer": null, "ratio": null, "goal": null, "met": null, "note": why }));
}

fn comparison(name: &str, unit: &str, ours: Figure, peer: Figure, goal: Option<f64>) -> Value {
    let ratio = peer.median / ours.median;
    json!({
        "name": name,
        "unit": unit,
        "ours": round(ours.median),
        "peer": round(peer.median),
        "ratio": round(ratio),
        "goal": goal,
        "met": goal.map(|goal| ratio >= goal),
        "noise": { "ours": [round(ours.p10), round(ours.p90)], "peer": [round(peer.p10), round(peer.p90)] },
    })
}

/// Prints a figure of ours for which there is nothing to compare with, and why.
pub fn alone(name: &str, unit: &str, ours: Figure, note: &str) {
    emit(&json!({
        "name": name,
        "unit": unit,
        "ours": round(ours.median),
        "peer": Value::Null,
        "ratio": Value::Null,
        "goal": Value::Null,
        "met": Value::Null,
        "noise": { "ours": [round(ours.p10), round(ours.p90)] },
        "note": note,
    }));
}

fn emit(row: &Value) {
    println!("{row}");
}

/// To four digits: more would be noise.
fn round(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}
