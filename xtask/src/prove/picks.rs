//! Never dead, never foreign.

use super::report::Row;
use super::{Form, run};
use crate::Result;

pub fn prove(form: Form) -> Result<Vec<Row>> {
    let count: u64 = form.of(3_000_000, 100_000_000);
    let done = run::program("picks", "picks", &[count.to_string()])?;
    let figure = done.tail(1);
    if !done.success {
        println!("{}", done.tail(10));
    }
    let target = format!("{count} picks, 0 wrong");
    let how = format!("cargo run --profile proof -p callboard-tests --bin picks -- {count}");
    Ok(vec![Row::new("never dead, never foreign", figure, target, done.success, how)])
}
