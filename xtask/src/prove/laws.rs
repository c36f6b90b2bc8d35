//! The laws of merging what sources say.

use super::report::Row;
use super::{Form, run};
use crate::Result;

pub fn prove(form: Form) -> Result<Vec<Row>> {
    // Every script of so many steps, and so many random worlds.
    let (length, worlds) = form.of((3, 10_000), (5, 1_000_000));
    let done = run::program("laws", "laws", &[length.to_string(), worlds.to_string()])?;
    if !done.success {
        println!("{}", done.tail(20));
    }
    let target = format!("all scripts of up to {length} steps of two small scopes; {worlds} random worlds");
    let how = format!("cargo run --profile proof -p callboard-tests --bin laws -- {length} {worlds}");
    Ok(vec![Row::new("laws of merging", done.tail(1), target, done.success, how)])
}
