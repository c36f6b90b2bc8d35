//! What a call may cost: heap, and work as it grows with the input.

use std::path::{Path, PathBuf};

use super::report::Row;
use super::{Form, run};
use crate::programs::PROOF;
use crate::{Result, setup, sh};

/// By how much the work may grow when the input doubles.
const GROWTH: f64 = 2.2;

pub fn prove(_: Form) -> Result<Vec<Row>> {
    let heap = run::program("bounds: heap", "bounds", &[])?;
    if !heap.success {
        println!("{}", heap.lines.iter().filter(|line| line.ends_with("TOO MUCH")).cloned().collect::<Vec<_>>().join("\n"));
    }
    let how = "cargo run --profile proof -p callboard-tests --bin bounds";
    let (figure, wanted) = (heap.tail(1), "30 adversarial families, each at most 20 x its input + 64 KiB");
    let met = figure.contains(" 0 above 20 x");
    let first = Row::new("peak heap", figure, wanted, met, how);
    let first = if heap.success && !met { first.known() } else { first };
    let work = match valgrind() {
        Ok(valgrind) => work(&valgrind)?,
        Err(why) => Row::not_run("work, when the input doubles", why.to_string(), target(), HOW),
    };
    Ok(vec![first, work])
}

const HOW: &str = "cargo xtask prove --only bounds";

fn target() -> String {
    format!("each family at most {GROWTH} x the instructions")
}

/// Valgrind, installed when it is not there and may be.
fn valgrind() -> Result<PathBuf> {
    if sh::which("valgrind").is_none() {
        setup::apt::install("prove: bounds", &["valgrind"])?;
    }
    sh::which("valgrind").ok_or_else(|| "valgrind is not installed".into())
}

/// Every family at a length and at twice that, one after the other: callgrind writes down the instructions of each.
fn work(valgrind: &Path) -> Result<Row> {
    let program = PROOF.path("bounds");
    let names = sh::ask(sh::command(&program).arg("list")).ok_or("bounds lists no family")?;
    let folder = sh::root().join("target/callgrind");
    std::fs::remove_dir_all(&folder).ok();
    std::fs::create_dir_all(&folder)?;
    let mut command = sh::command(valgrind);
    command.args(["--tool=callgrind", "--zero-before=callboard_measured", "--dump-after=callboard_measured", "--combine-dumps=no"]);
    command.arg(format!("--callgrind-out-file={}", folder.join("out").display())).arg(&program).arg("work");
    sh::must("prove: bounds: callgrind", &mut command)?;
    let count = |number: usize| -> Result<f64> {
        let text = std::fs::read_to_string(folder.join(format!("out.{number}")))?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
        Ok(total.and_then(|total| total.trim().parse().ok()).ok_or("callgrind counted nothing")?)
    };
    let mut worst = (0.0, "");
    let mut broken = 0;
    for (number, name) in names.lines().enumerate() {
        let growth = count(2 * number + 2)? / count(2 * number + 1)?;
        if growth > GROWTH {
            println!("prove: bounds: {name}: {growth:.2} x the instructions for twice the input");
            broken += 1;
        }
        if growth > worst.0 {
            worst = (growth, name);
        }
    }
    let figure = format!("{} families, {broken} above {GROWTH} x; the most is {:.2} x ({})", names.lines().count(), worst.0, worst.1);
    Ok(Row::new("work, when the input doubles", figure, target(), broken == 0, HOW))
}
