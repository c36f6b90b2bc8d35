//! Progress: a spinner with the elapsed time on a terminal, plain lines everywhere else.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A step shorter than this is over before anybody wonders.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a step that prints no lines of its own says that it is alive, off a terminal.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// One step that may take a while.
pub struct Progress {
    label: String,
    started: Instant,
    spoke: Option<Instant>,
    terminal: bool,
    silent: bool,
    frame: usize,
}

impl Progress {
    pub fn start(label: &str) -> Self {
        let dumb = std::env::var_os("CI").is_some() || std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let terminal = std::io::stdout().is_terminal() && !dumb;
        Self { label: label.to_owned(), started: Instant::now(), spoke: None, terminal, silent: false, frame: 0 }
    }

    /// For a step beside another that shows its own: it keeps the time and says nothing.
    pub fn silent() -> Self {
        Self { label: String::new(), started: Instant::now(), spoke: None, terminal: false, silent: true, frame: 0 }
    }

    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// To be called every now and then, with a word on how far it is.
    pub fn tick(&mut self, status: &str) {
        let elapsed = self.elapsed();
        if self.terminal {
            const FRAMES: [char; 4] = ['|', '/', '-', '\\'];
            self.frame = (self.frame + 1) % FRAMES.len();
            let width = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).unwrap_or(80_usize);
            let line: String = format!("{} {} {} s  {status}", FRAMES[self.frame], self.label, elapsed.as_secs());
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            print!("\r\x1b[2K{line}");
            let _ = std::io::stdout().flush();
        } else if !self.silent && elapsed >= PATIENCE && self.spoke.is_none_or(|at| at.elapsed() >= HEARTBEAT) {
            let space = if status.is_empty() { "" } else { ": " };
            match self.spoke {
                None => println!("  {} ...", self.label),
                Some(_) => println!("  {} ... {} s{space}{status}", self.label, elapsed.as_secs()),
            }
            self.spoke = Some(Instant::now());
        }
    }

    /// A line that stays, above the spinner.
    pub fn say(&self, line: &str) {
        self.clear();
        println!("{line}");
    }

    /// Clears the spinner; what the outcome was is for the caller to print.
    pub fn end(self) -> Duration {
        self.clear();
        self.elapsed()
    }

    fn clear(&self) {
        if self.terminal {
            print!("\r\x1b[2K");
            let _ = std::io::stdout().flush();
        }
    }
}

/// `4.2 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
