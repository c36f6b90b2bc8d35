//! The registry against the naive model.

use super::report::Row;
use super::{Form, run};
use crate::Result;

/// Seeds that are run at once: progress shows, and a run is never too long.
const SLICE: u64 = 2_000;

pub fn prove(form: Form) -> Result<Vec<Row>> {
    // The tests run 2 000 scripts of 1 000 steps.
    let (seeds, steps) = form.of((2_000, 1_000), (100_000, 1_000));
    let (mut done, mut difference) = (0, None);
    while done < seeds && difference.is_none() {
        let count = SLICE.min(seeds - done);
        let args = ["--seed", &done.to_string(), "--seeds", &count.to_string(), "--steps", &steps.to_string()].map(String::from);
        let finished = run::program(&format!("sim: {done} of {seeds} seeds"), "sim", &args)?;
        done += count;
        if !finished.success {
            difference = Some(finished.tail(40));
        }
    }
    if let Some(difference) = &difference {
        println!("{difference}");
    }
    let figure = match difference {
        None => format!("{done} scripts of {steps} steps, 0 differences"),
        Some(_) => format!("a difference within {done} scripts of {steps} steps"),
    };
    let met = difference.is_none();
    let how = format!("cargo xtask sim --seeds {seeds} --steps {steps}");
    Ok(vec![Row::new("registry and model", figure, format!("{seeds} x {steps}, 0 differences"), met, how)])
}
