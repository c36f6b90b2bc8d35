//! What has been fuzzed: read from the ledger of `cargo xtask fuzz`, which adds up what was executed; the long form fuzzes each target for a while more.

use serde_json::{Map, Value};

use super::Form;
use super::report::Row;
use crate::{Result, sh};

/// What each target that reads should have been given.
const WANTED: u64 = 50_000_000;
/// Targets that do much more than read: sequences of calls and of requests.
const OTHERS: &[&str] = &["calls", "consul-server", "eureka-server", "nacos-server", "replica", "rest"];

pub fn prove(form: Form) -> Result<Vec<Row>> {
    let mut smoke = None;
    if form == Form::Long {
        smoke = Some(crate::fuzz::command(&["--seconds".to_owned(), "20".to_owned()]));
    }
    let ledger: Map<String, Value> = serde_json::from_slice(&std::fs::read(sh::root().join("tests/fuzz/ledger.json"))?)?;
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap_or(0);
    let total: u64 = ledger.values().map(|row| number(row, "executions")).sum();
    let broken: u64 = ledger.values().map(|row| number(row, "broken")).sum();
    let readers =
        || ledger.iter().filter(|(name, _)| !OTHERS.contains(&name.as_str())).map(|(name, row)| (number(row, "executions"), name));
    let (count, enough) = (readers().count(), readers().filter(|(executions, _)| *executions >= WANTED).count());
    let least = readers().min().map_or(String::new(), |(executions, name)| format!(", the least {name} with {}", millions(executions)));
    let figure = format!(
        "from the ledger: {} inputs to {} targets; {enough} of the {count} readers had {} or more{least}; {broken} findings, mended since",
        millions(total),
        ledger.len(),
        millions(WANTED),
    );
    let target = format!("{} for each reader", millions(WANTED));
    let row =
        Row::new("fuzzing", figure, target, enough == count, "cargo xtask fuzz --until 50000000 --length 256; tests/fuzz/ledger.json");
    // It takes hours of a processor; what is missing is no failure.
    let mut rows = vec![if enough == count { row } else { row.known() }];
    if let Some(smoke) = smoke {
        let figure = smoke.as_ref().map_or_else(|why| why.to_string(), |()| "20 s each, nothing broke".into());
        rows.push(Row::new(
            "fuzzing, now",
            figure,
            "no crash, nothing over 100 ms or 64 MiB",
            smoke.is_ok(),
            "cargo xtask fuzz --seconds 20",
        ));
    }
    Ok(rows)
}

fn millions(number: u64) -> String {
    format!("{:.1} million", number as f64 / 1e6)
}
