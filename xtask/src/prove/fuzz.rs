//! What has been fuzzed: read from the ledger of `cargo xtask fuzz`, which adds up what was executed; the long form fuzzes each target for a while more.

use serde_json::{Map, Value};

use super::Form;
use super::report::Row;
use crate::{Result, sh};

/// What each parser's target should have been given.
const WANTED: u64 = 50_000_000;

pub fn prove(form: Form) -> Result<Vec<Row>> {
    let mut smoke = None;
    if form == Form::Long {
        smoke = Some(crate::fuzz::command(&["--seconds".to_owned(), "20".to_owned()]));
    }
    let ledger: Map<String, Value> = serde_json::from_slice(&std::fs::read(sh::root().join("tests/fuzz/ledger.json"))?)?;
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap_or(0);
    let total: u64 = ledger.values().map(|row| number(row, "executions")).sum();
    let broken: u64 = ledger.values().map(|row| number(row, "broken")).sum();
    let enough = ledger.values().filter(|row| number(row, "executions") >= WANTED).count();
    let least = ledger.iter().min_by_key(|(_, row)| number(row, "executions"));
    let least = least.map_or(String::new(), |(name, row)| format!(", the least {name} with {}", number(row, "executions")));
    let figure = format!(
        "from the ledger: {total} executions of {} targets, {enough} of them with {WANTED} or more{least}; {broken} findings, mended since",
        ledger.len()
    );
    let mut rows =
        vec![Row::new("fuzzing", figure, format!("{WANTED} each"), enough == ledger.len(), "cargo xtask fuzz; tests/fuzz/ledger.json")];
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
