//! The programs on the stage: each in a process group of its own, none of which outlives the demo.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::Event;
use crate::Result;

/// A running program. Dropping it kills its whole process group.
pub struct Program {
    pub name: String,
    child: Child,
    group: Pid,
    /// Open as long as the program shall run; consumers stop when it closes.
    stdin: Option<ChildStdin>,
    log: PathBuf,
    /// Set when its end is part of the play.
    pub may_end: bool,
}

impl Program {
    /// Starts it. Its stdout becomes events, line by line; its stderr goes to `target/demo-run/NAME.log`.
    pub fn start(name: &str, command: &mut Command, events: &Sender<Event>) -> Result<Self> {
        let log = super::folder().join(format!("{name}.log"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().create(true).append(true).open(&log)?)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("{name}: cannot run {}: {error}", command.get_program().display()))?;
        let group = Pid::from_child(&child);
        let stdin = child.stdin.take();
        if let Some(stdout) = child.stdout.take() {
            let (events, name) = (events.clone(), name.to_owned());
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
                    if events.send(Event::Line { from: name.clone(), line }).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self { name: name.to_owned(), child, group, stdin, log, may_end: false })
    }

    /// `kill -9`: no goodbye, no signing off.
    pub fn kill(&mut self) {
        self.may_end = true;
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// SIGTERM to the program itself.
    pub fn terminate(&mut self) {
        self.may_end = true;
        let _ = kill_process(self.group, Signal::TERM);
    }

    /// Closes its stdin, which is how a consumer is told that the play is over.
    pub fn close(&mut self) {
        self.may_end = true;
        self.stdin = None;
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for the end.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if started.elapsed() > patience {
                return Err(format!("{} still runs {} s after it was told to stop", self.name, patience.as_secs()).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end of what it wrote to stderr.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
    }
}
