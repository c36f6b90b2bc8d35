//! `cargo xtask demo [--ci]`: the main job, on the loopback interface.
//!
//! A registry server, providers that sign in over HTTP, and consumers in Rust, Python, Node and workerd that follow
//! the board and pick for every request. Mid-run one provider is killed, one joins, one drains, and the server
//! itself is stopped and started again. At the end the recorded events are replayed through all three languages.
//!
//! The last line says it all: `demo: requests=N failed_before_expiry=N failed_after_expiry=0 consumers=4
//! decisions_identical=yes`; `tally` says what each word counts. Logs and the recording stay in `target/demo-run`.

mod http;
mod play;
mod prepare;
mod process;
mod record;
mod stage;
mod table;
mod tally;

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::{Result, sh};

/// Namespace and service that the providers of the demo belong to.
const SERVICE: (&str, &str) = ("default", "billing");
/// One seed for all balancers of the replay.
const SEED: u64 = 20_261_123;

/// What the stage hears.
enum Event {
    /// A program wrote a line to its stdout.
    Line { from: String, line: String },
    /// The watch of this program got an answer.
    Board { at: u64, answer: serde_json::Value },
}

/// How long the parts of the play take.
struct Pace {
    /// Undisturbed traffic before, between and after the changes.
    calm: Duration,
    /// How long a drained provider is left to finish before it is stopped.
    drain: Duration,
}

pub fn command(args: &[String]) -> Result {
    let ci = match args {
        [] => false,
        [word] if word == "--ci" => true,
        _ => return Err("usage: cargo xtask demo [--ci]".into()),
    };
    let pace = if ci {
        Pace { calm: Duration::from_millis(1_500), drain: Duration::from_secs(1) }
    } else {
        Pace { calm: Duration::from_secs(4), drain: Duration::from_secs(3) }
    };
    let _ = std::fs::remove_dir_all(folder());
    std::fs::create_dir_all(folder())?;
    let programs = prepare::everything()?;
    let mut stage = stage::Stage::new(programs, !ci)?;
    play::run(&mut stage, &pace)?;
    play::finish(stage)
}

/// Where the logs, the journal and the recording go.
fn folder() -> PathBuf {
    sh::root().join("target/demo-run")
}

/// Microseconds of the wall clock.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
