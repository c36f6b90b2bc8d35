//! Rows of results as a table.

use serde_json::{Value, json};

/// A row that says that a program could not be run.
pub fn missing(name: &str, why: &str) -> Value {
    json!({ "name": name, "unit": null, "ours": null, "peer": null, "ratio": null, "goal": null, "met": null, "note": why })
}

/// Prints the rows, with a line of explanation.
pub fn print<'a>(rows: impl Iterator<Item = &'a Value> + Clone) {
    let width = rows.clone().map(|row| text(row, "name").chars().count()).max().unwrap_or_default();
    println!(
        "\n{:<width$}  {:>10} {:>10} {:<4} {:>9} {:>7}  {:<4} noise of ours, of the peer",
        "", "ours", "peer", "", "ratio", "goal", "met"
    );
    for row in rows {
        let name = text(row, "name");
        let met = row["met"].as_bool().map_or("-", |met| if met { "yes" } else { "NO" });
        let line = format!(
            "{name:<width$}  {:>10} {:>10} {:<4} {:>9} {:>7}  {met:<4} {}{}",
            figure(&row["ours"]),
            figure(&row["peer"]),
            text(row, "unit"),
            times(&row["ratio"]),
            times(&row["goal"]),
            noise(row),
            row["note"].as_str().and_then(|note| note.lines().next()).unwrap_or_default(),
        );
        println!("{}", line.trim_end());
    }
    println!("\nSmaller is better in `ours` and `peer`, medians of interleaved rounds; `ratio` is peer / ours; `noise` is p10 and p90 in");
    println!("percent of the median. Of times only the ratios mean something: the machine was busy with whatever it was busy with.");
}

/// How many goals each suite met, which it did not, and what could not be measured.
pub fn print_summary(suites: &[(&str, Vec<Value>)]) {
    for (name, rows) in suites {
        println!("\nbench: {name}: {}", summary(rows));
        for row in rows.iter().filter(|row| row["met"] == false) {
            println!("  not met: {}, {} of {}", text(row, "name"), times(&row["ratio"]), times(&row["goal"]));
        }
        for row in rows.iter().filter(|row| row["ours"].is_null()) {
            println!("  not measured: {}: {}", text(row, "name"), text(row, "note").lines().next().unwrap_or_default());
        }
    }
    let all: Vec<Value> = suites.iter().flat_map(|(_, rows)| rows.clone()).collect();
    println!("\nbench: {}", summary(&all));
}

/// How many goals are met.
pub fn summary(rows: &[Value]) -> String {
    let goals = rows.iter().filter(|row| row["met"].is_boolean()).count();
    let met = rows.iter().filter(|row| row["met"] == true).count();
    format!("{met} of {goals} goals met")
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// To three digits at least.
fn figure(value: &Value) -> String {
    match value.as_f64() {
        None => "-".into(),
        Some(value) if value >= 100.0 => format!("{value:.0}"),
        Some(value) if value >= 10.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.2}"),
    }
}

fn times(value: &Value) -> String {
    match value.as_f64() {
        None => String::new(),
        Some(value) if value < 0.1 => format!("{value:.4}x"),
        Some(_) => format!("{}x", figure(value)),
    }
}

fn noise(row: &Value) -> String {
    let side = |name: &str| {
        let median = row[name].as_f64()?;
        let bound = |at: usize| Some((row["noise"][name][at].as_f64()? / median - 1.0) * 100.0);
        Some(format!("{:+.0}..{:+.0}%  ", bound(0)?, bound(1)?))
    };
    ["ours", "peer"].into_iter().filter_map(side).collect()
}
