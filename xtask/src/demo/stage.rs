//! The stage: the programs that run, what they say, and the one loop that hears it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::prepare::Programs;
use super::process::Program;
use super::record::Recording;
use super::table::Table;
use super::tally::{Attempt, Observer, Tally};
use super::{Event, SERVICE, folder, http, wall};
use crate::{Result, sh};

/// Seconds of a provider's lease: suspect after the first, off the board after both.
pub const LEASE: (f64, f64) = (2.0, 1.0);
/// Everything on the stage answers sooner, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);
/// What one wait of the watch takes at most.
const WATCH: Duration = Duration::from_secs(10);

pub struct Stage {
    programs: Programs,
    events: (Sender<Event>, Receiver<Event>),
    pub server: Option<Program>,
    pub address: String,
    pub providers: BTreeMap<String, Program>,
    pub consumers: Vec<Program>,
    /// What each consumer says it did, once it is through.
    done: Vec<Option<usize>>,
    pub tally: Tally,
    pub recording: Recording,
    /// Epoch of the last answer.
    pub epoch: u64,
    table: Table,
    interrupted: Arc<AtomicBool>,
}

impl Stage {
    pub fn new(programs: Programs, animate: bool) -> Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let names: Vec<_> = programs.consumers.iter().map(|(name, _)| *name).collect();
        Ok(Self {
            events: channel(),
            server: None,
            address: "127.0.0.1:0".to_owned(),
            providers: BTreeMap::new(),
            consumers: Vec::new(),
            done: vec![None; names.len()],
            table: Table::new(animate),
            tally: Tally::new(names),
            recording: Recording::default(),
            epoch: 0,
            interrupted,
            programs,
        })
    }

    /// Where the server keeps the board between two lives.
    pub fn journal() -> PathBuf {
        folder().join("board.journal")
    }

    /// Starts the server, on a free port at first and on the same one ever after, and waits until it answers.
    pub fn start_server(&mut self) -> Result {
        let mut command = Command::new(&self.programs.server);
        command.args(["--listen", &self.address, "--journal"]).arg(Self::journal());
        self.server = Some(Program::start("registry-server", &mut command, &self.events.0)?);
        let started = Instant::now();
        while self.address.ends_with(":0") || http::call("GET", &self.address, "/v1/health", None, PATIENCE).is_err() {
            if started.elapsed() > PATIENCE {
                return Err("the registry server does not answer".into());
            }
            self.hear(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Starts to follow the board, as the consumers do; the answers become events.
    pub fn watch(&self) {
        let (events, address) = (self.events.0.clone(), self.address.clone());
        std::thread::spawn(move || {
            let (namespace, service) = SERVICE;
            let mut since = String::new();
            // Ends with the stage, which then hears no more.
            loop {
                let path = format!("/v1/instances/{namespace}/{service}?wait={}{since}", WATCH.as_secs());
                let Ok(answer) = http::call("GET", &address, &path, None, WATCH + PATIENCE) else {
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                };
                since = format!("&epoch={}&revision={}", answer["epoch"], answer["revision"]);
                if events.send(Event::Board { at: wall(), answer }).is_err() {
                    break;
                }
            }
        });
    }

    pub fn start_provider(&mut self, id: &str, version: &str, zone: &str) -> Result {
        let (ttl, grace) = LEASE;
        let mut command = Command::new(&self.programs.python);
        command.arg(sh::root().join("examples/provider/provider.py"));
        command.args(["--id", id, "--service", SERVICE.1, "--version", version, "--zone", zone]);
        command.args(["--ttl", &ttl.to_string(), "--grace", &grace.to_string(), "--registry", &self.url()]);
        let program = Program::start(id, &mut command, &self.events.0)?;
        self.providers.insert(id.to_owned(), program);
        Ok(())
    }

    pub fn start_consumers(&mut self) -> Result {
        for (name, command) in &self.programs.consumers {
            let mut command = command();
            command.env("CALLBOARD", self.url()).env("SERVICE", SERVICE.1);
            self.consumers.push(Program::start(name, &mut command, &self.events.0)?);
        }
        Ok(())
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The operator's word about a provider.
    pub fn admin(&self, id: &str, document: &Value) -> Result {
        let (namespace, service) = SERVICE;
        http::call("PUT", &self.address, &format!("/v1/instances/{namespace}/{service}/{id}/admin"), Some(document), PATIENCE)?;
        Ok(())
    }

    /// Says what happens, above the table.
    pub fn say(&mut self, text: &str) {
        self.table.say(text);
    }

    /// Lets the play go on for a while.
    pub fn run_for(&mut self, duration: Duration) -> Result {
        let started = Instant::now();
        while let Some(left) = duration.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            self.hear(left.min(Duration::from_millis(100)))?;
        }
        Ok(())
    }

    /// Lets the play go on until something is so.
    pub fn run_until(&mut self, what: &str, so: impl Fn(&Self) -> bool) -> Result {
        let started = Instant::now();
        while !so(self) {
            if started.elapsed() > PATIENCE {
                return Err(format!("{} s passed and {what} is not so; see {}", PATIENCE.as_secs(), folder().display()).into());
            }
            self.hear(Duration::from_millis(50))?;
        }
        Ok(())
    }

    /// Tells the consumers that the play is over and waits until each has said all it did.
    pub fn dismiss_consumers(&mut self) -> Result {
        self.consumers.iter_mut().for_each(Program::close);
        self.run_until("every consumer is through", |stage| stage.done.iter().all(Option::is_some))?;
        for consumer in &mut self.consumers {
            let status = consumer.wait(PATIENCE)?;
            if !status.success() {
                return Err(format!("the {} consumer ended with {status}:\n{}", consumer.name, consumer.log_tail()).into());
            }
        }
        for (index, name) in self.tally.consumers.iter().enumerate() {
            let heard = self.tally.attempts.iter().filter(|attempt| attempt.consumer == index).count();
            if self.done[index] != Some(heard) {
                return Err(format!("the {name} consumer made {:?} requests, {heard} were heard of", self.done[index]).into());
            }
        }
        self.table.leave(&self.tally);
        Ok(())
    }

    /// Waits for one event, handles all that are there, and keeps the table and the programs in view.
    fn hear(&mut self, patience: Duration) -> Result {
        match self.events.1.recv_timeout(patience) {
            Ok(event) => {
                self.handle(event)?;
                while let Ok(event) = self.events.1.try_recv() {
                    self.handle(event)?;
                }
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        self.table.show(&self.tally);
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let programs = self.server.iter_mut().chain(self.providers.values_mut()).chain(&mut self.consumers);
        for program in programs.filter(|program| !program.may_end) {
            if let Some(status) = program.ended()? {
                return Err(format!("{} ended too early, with {status}:\n{}", program.name, program.log_tail()).into());
            }
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result {
        match event {
            Event::Board { at, answer } => self.board(at, answer),
            Event::Line { from, line } => {
                if let Some(index) = self.tally.consumers.iter().position(|name| *name == from) {
                    self.consumer(index, &line).map_err(|error| format!("the {from} consumer said {line:?}: {error}"))?;
                } else if from == "registry-server" && self.address.ends_with(":0") {
                    self.address = address_in(&line).unwrap_or_else(|| self.address.clone());
                }
            }
        }
        Ok(())
    }

    fn board(&mut self, at: u64, answer: Value) {
        let mut view = BTreeMap::new();
        for instance in answer["instances"].as_array().into_iter().flatten() {
            let [id, availability, lease, admin] =
                [&instance["id"], &instance["availability"], &instance["lease"], &instance["admin"]["state"]]
                    .map(|word| word.as_str().unwrap_or("?"));
            let state = if admin == "enabled" { lease } else { admin };
            state.clone_into(&mut self.tally.provider(id).state);
            view.insert(id.to_owned(), availability.to_owned());
        }
        for (_, row) in self.tally.providers.iter_mut().filter(|(id, row)| !view.contains_key(*id) && !row.state.is_empty()) {
            "gone".clone_into(&mut row.state);
        }
        self.tally.saw(Observer::Watch, at, view);
        self.epoch = answer["epoch"].as_u64().unwrap_or(0);
        self.recording.feed(at, answer);
    }

    /// One line of a consumer: `{"event": "view" | "request" | "done", ..}`; times are milliseconds of the wall clock.
    fn consumer(&mut self, consumer: usize, line: &str) -> Result {
        let event: Value = serde_json::from_str(line)?;
        let micros = |name: &str| -> Result<u64> {
            let millis = event[name].as_f64().filter(|millis| *millis >= 0.0).ok_or_else(|| format!("no time in {name}"))?;
            Ok((millis * 1e3) as u64)
        };
        match event["event"].as_str() {
            Some("view") => {
                let view = event["instances"].as_object().ok_or("no instances")?;
                let words = view.iter().map(|(id, word)| (id.clone(), word.as_str().unwrap_or("?").to_owned())).collect();
                self.tally.saw(Observer::Consumer(consumer), micros("at")?, words);
            }
            Some("request") => {
                let picked = micros("at")?;
                let attempt = Attempt {
                    consumer,
                    picked,
                    ended: picked + micros("ms")?,
                    key: event["key"].as_str().unwrap_or_default().to_owned(),
                    provider: event["id"].as_str().map(str::to_owned),
                    ok: event["ok"].as_bool().ok_or("no outcome")?,
                };
                self.tally.attempt(attempt);
            }
            Some("done") => self.done[consumer] = Some(usize::try_from(event["requests"].as_u64().ok_or("no count")?)?),
            _ => return Err("it is no event".into()),
        }
        Ok(())
    }

    /// The document of a drain.
    pub fn drain_document(seconds: u64) -> Value {
        json!({ "state": "draining", "ttl": seconds, "reason": "the demo drains it" })
    }
}

/// The first `127.0.0.1:PORT` of a line.
fn address_in(line: &str) -> Option<String> {
    let rest = &line[line.find("127.0.0.1:")?..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}
