//! The registry with a clock, a timer, sleepers to wake and a file to keep.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callboard::Timestamp;
use callboard::registry::{Config, Registry};
use callboard::serve::{Reply, Request, Response, Server, Wait, Waits};
use callboard::store::Store;
use callboard::store::journal::recover;
use tokio::sync::{Notify, oneshot, watch};

use crate::disk;

type Error = Box<dyn std::error::Error + Send + Sync>;

pub struct Board {
    held: Mutex<Held>,
    /// Long polls at a time; one more is answered 503.
    most_waits: usize,
    server: Server,
    /// Zero of the registry's clock.
    started: Instant,
    file: Option<PathBuf>,
    /// How many long polls were woken.
    woken: AtomicU64,
    /// How many changes there were to write; moved only with the registry locked.
    asked: watch::Sender<u64>,
    /// What became of the latest write.
    tried: watch::Sender<Write>,
    /// A new deadline may be earlier than the one the timer sleeps for.
    deadline: Notify,
    /// Waits are to end.
    stopping: watch::Sender<bool>,
    /// Nobody is left who waits for the disk.
    closed: watch::Sender<bool>,
}

/// What is asked and changed under one lock.
struct Held {
    registry: Registry,
    waits: Waits<oneshot::Sender<()>>,
}

/// What became of a request.
enum Asked<'a> {
    /// And what its body goes on with, if it does.
    Response(Response, Option<Wait>),
    Wait(Wait, Place<'a>),
}

/// The place of a long poll among those that wait. It goes with the connection of whoever asked.
struct Place<'a> {
    board: &'a Board,
    number: Option<u64>,
    /// Resolves when what the poll is about has changed.
    woken: oneshot::Receiver<()>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.number.and_then(|number| self.board.lock().waits.remove(number));
    }
}

/// A frame that was written, or was to be.
#[derive(Clone, Default)]
struct Write {
    /// The last change that it holds.
    asked: u64,
    failure: Option<String>,
}

impl Board {
    /// The board as the file has it, or an empty one.
    pub fn open(file: Option<PathBuf>, server: Server, most_waits: usize) -> Result<Self, Error> {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let config = Config { seed: getrandom::u64()?, epoch: u64::try_from(epoch)?, ..Config::default() };
        let saved = file.as_deref().map(disk::read).transpose()?.flatten();
        let registry = match saved {
            Some(bytes) => recover(&bytes, config, Timestamp::ZERO)?.registry,
            None => Registry::new(config)?,
        };
        Ok(Self {
            held: Mutex::new(Held { registry, waits: Waits::default() }),
            most_waits,
            server,
            started: Instant::now(),
            file,
            woken: AtomicU64::new(0),
            // What was recovered is on the disk; an empty board need not be.
            asked: watch::Sender::new(0),
            tried: watch::Sender::new(Write::default()),
            deadline: Notify::new(),
            stopping: watch::Sender::new(false),
            closed: watch::Sender::new(false),
        })
    }

    /// One line for the log.
    pub fn summary(&self) -> String {
        let (registry, woken) = (&self.lock().registry, self.woken.load(Ordering::Relaxed));
        format!("{} instances, revision {}, epoch {}, {woken} long polls woken", registry.len(), registry.revision(), registry.epoch())
    }

    /// Ends every long poll, those to come too.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Lets [`keep_on_disk`](Self::keep_on_disk) end, after a last write.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Resolves when the board is told to stop.
    pub async fn stopped(&self) {
        // The sender is our own field: there is no error to meet.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Answers a request when there is something to say and, if it changed anything, when that is on the disk. With what the body goes on with, if it does.
    pub async fn answer(&self, request: &Request<'_>) -> Result<(Response, Option<Wait>), Error> {
        let answer = self.said(self.ask(|registry, now| self.server.handle(registry, request, now))).await;
        // A renewal must not fail with the disk: what it writes at most, a newer incarnation, is written soon after.
        if request.method != "GET" && !request.is_heartbeat() {
            self.is_stored().await?;
        }
        Ok(answer)
    }

    /// The next piece of a body that goes on.
    pub async fn next(&self, wait: Wait) -> (Response, Option<Wait>) {
        self.said(self.ask(|registry, now| self.server.resume(registry, wait, now))).await
    }

    /// What there is to say, when there is something. A body that goes on ends with the board.
    async fn said<'a>(&'a self, mut asked: Asked<'a>) -> (Response, Option<Wait>) {
        let mut stopping = self.stopping.subscribe();
        loop {
            match asked {
                Asked::Response(response, more) => return (response, more.filter(|_| !*stopping.borrow())),
                Asked::Wait(mut wait, mut place) => {
                    let left = wait.until.saturating_since(self.now());
                    tokio::select! {
                        _ = &mut place.woken => {}
                        () = tokio::time::sleep(left) => {}
                        _ = stopping.wait_for(|stopping| *stopping) => wait.until = Timestamp::ZERO,
                    }
                    asked = self.ask(|registry, now| self.server.resume(registry, wait, now));
                }
            }
        }
    }

    /// A response, or a place among those who wait for one. Under the lock of the question, so that no change comes between.
    fn ask(&self, act: impl FnOnce(&mut Registry, Timestamp) -> Reply) -> Asked<'_> {
        self.with(|Held { registry, waits }, now| match act(registry, now) {
            Reply::Response(response) => Asked::Response(response, None),
            Reply::Stream(response, wait) => Asked::Response(response, Some(wait)),
            Reply::Wait(_) if waits.len() >= self.most_waits => Asked::Response(Response::overloaded("wait"), None),
            Reply::Wait(wait) => {
                let (wake, woken) = oneshot::channel();
                let number = waits.add(registry, &wait, wake);
                Asked::Wait(wait, Place { board: self, number, woken })
            }
        })
    }

    /// Answers a message of DNS.
    pub fn answer_dns(&self, message: &[u8], udp: bool) -> Option<Vec<u8>> {
        self.with(|held, now| self.server.answer_dns(&mut held.registry, message, udp, now))
    }

    /// Calls `advance` whenever it is due.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            let deadline = self.lock().registry.deadline();
            let left = deadline.map_or(Duration::from_secs(3_600), |deadline| deadline.saturating_since(self.now()));
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.deadline.notified() => {}
            }
            self.with(|held, now| held.registry.advance(now));
        }
    }

    /// Writes a frame whenever there is a change to write, until [`close`](Self::close); changes that come meanwhile share the next one.
    pub async fn keep_on_disk(self: Arc<Self>) -> Result<(), Error> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let (mut changes, mut closed) = (self.asked.subscribe(), self.closed.subscribe());
        let mut store = Store::new();
        loop {
            let over = *closed.borrow_and_update();
            let (asked, frame) = {
                let held = self.lock();
                (*changes.borrow_and_update(), store.frame(&held.registry))
            };
            let target = file.clone();
            let written = tokio::task::spawn_blocking(move || frame.map_or(Ok(()), |frame| disk::write(&target, &frame))).await;
            let failure = match written.unwrap_or_else(|error| Err(error.into())) {
                Ok(()) => {
                    store.written();
                    None
                }
                Err(error) => {
                    // Half of it may be there.
                    store.failed();
                    eprintln!("registry-server: the journal could not be written: {error}");
                    Some(format!("the journal could not be written: {error}"))
                }
            };
            let failed = failure.clone();
            self.tried.send_replace(Write { asked, failure });
            if over {
                return failed.map_or(Ok(()), |failure| Err(failure.into()));
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = closed.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)), if failed.is_some() => {}
            }
        }
    }

    /// Waits until all that was changed so far is on the disk.
    async fn is_stored(&self) -> Result<(), Error> {
        if self.file.is_none() {
            return Ok(());
        }
        let asked = *self.asked.borrow();
        let mut tried = self.tried.subscribe();
        let write = tried.wait_for(|write| write.asked >= asked).await?;
        write.failure.clone().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Does something with the registry, and wakes whom that concerns.
    fn with<T>(&self, act: impl FnOnce(&mut Held, Timestamp) -> T) -> T {
        let (result, woken) = {
            let mut held = self.lock();
            let edition = held.registry.edition();
            let result = act(&mut held, self.now());
            let Held { registry, waits } = &mut *held;
            // What brings no edition, a plain renewal, only puts the deadline off.
            if registry.edition() != edition {
                self.asked.send_modify(|asked| *asked += 1);
                self.deadline.notify_one();
            }
            (result, waits.woken(registry))
        };
        self.woken.fetch_add(woken.len() as u64, Ordering::Relaxed);
        for wake in woken {
            // Whoever has hung up meanwhile has nobody left to wake.
            let _ = wake.send(());
        }
        result
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
