//! What nobody should send, sent over the wire to a host that runs: spoilt requests of every protocol on kept connections, broken framing, connections
//! that are half open or slow or hung up, and DNS over UDP and TCP.
//!
//! The server must live, its memory must come to a plateau, no answer may be a failure of its own, and every connection that it keeps must be of use
//! afterwards.

#[path = "../../../core/src/serve/hostile_corpus.rs"]
mod corpus;
mod dns;
mod http;
mod server;

use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::dice::Dice;
pub use server::Server;

/// Threads that send.
const LANES: u64 = 4;
/// Looks at the memory of the server.
const LOOKS: u64 = 40;
/// By how much it may grow from the first half of the run to the second: a tenth, and so many KiB.
const SLACK: u64 = 8 * 1_024;
/// How long an answer may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a run came to.
#[derive(Debug, Default)]
pub struct Report {
    pub sent: u64,
    pub answered: u64,
    pub refused: u64,
    /// Answers that a server with no room gives.
    pub overloaded: u64,
    /// KiB of memory, in the course of the run.
    pub memory: Vec<u64>,
}

/// Sends so many and judges the server.
///
/// # Errors
/// What the server did that no server should.
pub fn run(server: &Server, count: u64, seed: u64, say: &(dyn Fn(&str) + Sync)) -> Result<Report, String> {
    let (sent, failure, report) = (AtomicU64::new(0), Mutex::new(None::<String>), Mutex::new(Report::default()));
    let is_over = || sent.load(Ordering::Relaxed) >= count || failure.lock().is_ok_and(|failure| failure.is_some());
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (sent, failure, report, is_over) = (&sent, &failure, &report, &is_over);
            scope.spawn(move || {
                let mut lane = Lane::new(server, Dice(seed.wrapping_mul(LANES).wrapping_add(lane)));
                while !is_over() {
                    match lane.step() {
                        Ok(more) => drop(sent.fetch_add(more, Ordering::Relaxed)),
                        Err(why) => drop(failure.lock().map(|mut failure| failure.get_or_insert(why).len())),
                    }
                }
                if let Ok(mut all) = report.lock() {
                    all.answered += lane.answered;
                    all.refused += lane.refused;
                    all.overloaded += lane.overloaded;
                }
            });
        }
        let (mut looked, started) = (0, Instant::now());
        while !is_over() {
            std::thread::sleep(Duration::from_millis(20));
            let done = sent.load(Ordering::Relaxed);
            if done * LOOKS / count.max(1) > looked {
                looked = done * LOOKS / count.max(1);
                let memory = server.memory();
                say(&format!("{done} of {count} sent, {memory} KiB, {:.0} s", started.elapsed().as_secs_f64()));
                drop(report.lock().map(|mut all| all.memory.push(memory)));
            }
        }
    });
    if let Some(why) = failure.into_inner().ok().flatten() {
        return Err(why);
    }
    let mut report = report.into_inner().map_err(|error| error.to_string())?;
    report.sent = sent.into_inner();
    if !server.is_alive() {
        return Err("the server ended".into());
    }
    http::is_useful(&mut http::open(server.http)?)?;
    let (first, second) = report.memory.split_at(report.memory.len() / 2);
    let most = |half: &[u64]| half.iter().copied().max().unwrap_or(0);
    let allowed = most(first) + most(first) / 10 + SLACK;
    if most(second) > allowed {
        return Err(format!("the memory has no plateau: {:?} KiB", report.memory));
    }
    Ok(report)
}

/// One of the threads.
struct Lane<'a> {
    server: &'a Server,
    dice: Dice,
    /// The connection that is kept from step to step.
    kept: Option<http::Wire>,
    /// Connections that are never used to the end, the oldest first.
    stale: std::collections::VecDeque<TcpStream>,
    names: Option<dns::Names>,
    /// Where the changes were that were tidied up after last.
    tidied: u64,
    steps: u64,
    answered: u64,
    refused: u64,
    overloaded: u64,
}

impl<'a> Lane<'a> {
    fn new(server: &'a Server, dice: Dice) -> Self {
        let stale = std::collections::VecDeque::new();
        Self { server, dice, kept: None, stale, names: None, tidied: 0, steps: 0, answered: 0, refused: 0, overloaded: 0 }
    }

    /// Sends some; how many.
    fn step(&mut self) -> Result<u64, String> {
        self.steps += 1;
        if self.steps.is_multiple_of(64) {
            self.tidy()?;
        }
        match self.dice.below(20) {
            0..=12 => self.pipeline(),
            13 => self.hang_up(),
            14 | 15 => self.break_framing(),
            16 => self.leave_open(),
            _ if self.server.dns.is_some() => self.ask_names(),
            _ => self.pipeline(),
        }
    }

    fn count(&mut self, answer: &http::Answer) {
        self.answered += 1;
        self.refused += u64::from(answer.status >= 400);
        self.overloaded += u64::from(answer.is_overload());
    }
}

/// A connection with bounds on how long it may take.
fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let started = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                let set = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
                return set.and_then(|()| stream.set_nodelay(true)).map(|()| stream).map_err(|error| error.to_string());
            }
            Err(error) if started.elapsed() > PATIENCE => return Err(format!("no connection: {error}")),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
