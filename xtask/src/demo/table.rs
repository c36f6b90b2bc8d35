//! The live table: redrawn in place on a terminal, one line every few seconds elsewhere.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::tally::Tally;

/// How often the table is redrawn, and how often a plain line is printed.
const FRAME: Duration = Duration::from_millis(150);
const LINE: Duration = Duration::from_secs(2);

pub struct Table {
    started: Instant,
    drawn: Option<Instant>,
    terminal: bool,
    /// Lines of the table that stand on the terminal now.
    height: usize,
}

impl Table {
    /// `animate`: redraw in place, when stdout is a terminal.
    pub fn new(animate: bool) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        Self { started: Instant::now(), drawn: None, terminal: animate && !dumb && std::io::stdout().is_terminal(), height: 0 }
    }

    /// Prints a line of its own, above the table; the table comes back with the next event.
    pub fn say(&mut self, text: &str) {
        println!("{}demo: {:5.1} s  {text}", self.erase(), self.started.elapsed().as_secs_f64());
        if self.terminal {
            self.drawn = None;
        }
    }

    /// Redraws, when it is time to.
    pub fn show(&mut self, tally: &Tally) {
        let due = if self.terminal { FRAME } else { LINE };
        if tally.attempts.is_empty() || self.drawn.is_some_and(|at| at.elapsed() < due) {
            return;
        }
        self.drawn = Some(Instant::now());
        if self.terminal {
            let text = rows(tally, true);
            print!("{}{text}", self.erase());
            let _ = std::io::stdout().flush();
            self.height = text.lines().count();
        } else {
            self.say(&line(tally));
        }
    }

    /// Leaves the table as it is at the end.
    pub fn leave(&mut self, tally: &Tally) {
        print!("{}{}", self.erase(), rows(tally, self.terminal));
        self.height = 0;
    }

    /// Takes the table off the terminal.
    fn erase(&mut self) -> String {
        let height = std::mem::take(&mut self.height);
        if height == 0 { String::new() } else { format!("\x1b[{height}A\r\x1b[J") }
    }
}

fn rows(tally: &Tally, colour: bool) -> String {
    let mut text = format!("\n  {:<12}{:<12}", "provider", "state");
    for name in &tally.consumers {
        let _ = write!(text, "{name:>9}");
    }
    let _ = writeln!(text, "{:>9}", "failed");
    for (id, row) in &tally.providers {
        let state = format!("{:<12}", row.state);
        let state = match (colour, row.state.as_str()) {
            (false, _) => state,
            (true, "live" | "persistent") => format!("\x1b[32m{state}\x1b[0m"),
            (true, "gone") => format!("\x1b[2m{state}\x1b[0m"),
            (true, _) => format!("\x1b[33m{state}\x1b[0m"),
        };
        let _ = write!(text, "  {id:<12}{state}");
        for count in &row.requests {
            let _ = write!(text, "{count:>9}");
        }
        let _ = writeln!(text, "{:>9}", row.failed);
    }
    let _ = writeln!(text);
    text
}

fn line(tally: &Tally) -> String {
    let failed: u64 = tally.providers.values().map(|row| row.failed).sum();
    let mut text = format!("requests {}, failed {failed};", tally.attempts.len());
    for (id, row) in &tally.providers {
        let _ = write!(text, " {id} {} {}", row.state, row.requests.iter().sum::<u64>());
    }
    text
}
