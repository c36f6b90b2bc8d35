//! The registry with a clock, a timer, sleepers to wake, and a file or an etcd to keep it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callboard::Timestamp;
use callboard::registry::{Config, Registry};
use callboard::serve::{Reply, Request, Response, Server, Wait, Waits};
use callboard::store::Store;
use callboard::store::journal::recover;
use callboard::store::replica::{Ask, Fate, Replica, Settings, Told};
use tokio::sync::{Notify, oneshot, watch};

use crate::disk;

pub type Error = Box<dyn std::error::Error + Send + Sync>;

pub struct Board {
    held: Mutex<Held>,
    pub server: Server,
    /// Zero of the registry's clock.
    started: Instant,
    file: Option<PathBuf>,
    /// How many long polls were woken.
    woken: AtomicU64,
    /// How many changes there were to write; moved only with the registry locked.
    asked: watch::Sender<u64>,
    /// What became of the latest write.
    tried: watch::Sender<Write>,
    /// An answer of etcd's was taken, or there was none.
    answered: watch::Sender<()>,
    /// Somebody was heard, which may be news to other servers.
    beaten: Notify,
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
    /// Where several servers share an etcd.
    shared: Option<Replica>,
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
    /// The board as the file has it, or an empty one; or one of several.
    pub fn open(file: Option<PathBuf>, shared: Option<Settings>, server: Server) -> Result<Self, Error> {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let config = Config { seed: getrandom::u64()?, epoch: u64::try_from(epoch)?, ..Config::default() };
        let saved = file.as_deref().map(disk::read).transpose()?.flatten();
        let mut registry = match saved {
            Some(bytes) => recover(&bytes, config, Timestamp::ZERO)?.registry,
            None => Registry::new(config)?,
        };
        let mut shared = shared.map(Replica::new);
        if let Some(replica) = &mut shared {
            // Nothing to ask before anything is known; but from now on the registry is one of several.
            replica.ask(&mut registry, Timestamp::ZERO);
        }
        Ok(Self {
            held: Mutex::new(Held { registry, shared, waits: Waits::default() }),
            server,
            started: Instant::now(),
            file,
            woken: AtomicU64::new(0),
            // What was recovered is on the disk; an empty board need not be.
            asked: watch::Sender::new(0),
            tried: watch::Sender::new(Write::default()),
            answered: watch::Sender::new(()),
            beaten: Notify::new(),
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
        if request.is_heartbeat() {
            self.beaten.notify_one();
        } else if request.method != "GET" && answer.0.status < 400 {
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
        self.with(|Held { registry, waits, .. }, now| match act(registry, now) {
            Reply::Response(response) => Asked::Response(response, None),
            Reply::Stream(response, wait) => Asked::Response(response, Some(wait)),
            Reply::Wait(wait) => match waits.refuses(&self.server) {
                Some(refusal) => Asked::Response(refusal, None),
                None => {
                    let (wake, woken) = oneshot::channel();
                    let number = waits.add(registry, &wait, wake);
                    Asked::Wait(wait, Place { board: self, number, woken })
                }
            },
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

    /// Waits until all that was changed so far is on the disk, or in etcd.
    async fn is_stored(&self) -> Result<(), Error> {
        let (mut news, edition) = (self.answered.subscribe(), self.lock().registry.edition());
        while let Some(fate) = self.fate(edition) {
            match fate {
                Fate::Kept => return Ok(()),
                Fate::Waiting => news.changed().await?,
                Fate::Unknown => return Err("whether this is kept is not known: the engine does not answer".into()),
            }
        }
        if self.file.is_none() {
            return Ok(());
        }
        let asked = *self.asked.borrow();
        let mut tried = self.tried.subscribe();
        let write = tried.wait_for(|write| write.asked >= asked).await?;
        write.failure.clone().map_or(Ok(()), |failure| Err(failure.into()))
    }

    // For several servers over one etcd.

    fn fate(&self, edition: u64) -> Option<Fate> {
        self.lock().shared.as_ref().map(|replica| replica.fate(edition))
    }

    /// Marks what there may be to say.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Resolves when somebody was heard.
    pub async fn beaten(&self) {
        self.beaten.notified().await;
    }

    /// What to ask etcd, or how long there is nothing.
    pub fn ask_engine(&self) -> (Option<Ask>, Duration) {
        let (ask, deadline) = self.share(|replica, registry, now| (replica.ask(registry, now), replica.deadline())).unwrap_or_default();
        (ask, deadline.map_or(Duration::from_secs(3_600), |deadline| deadline.saturating_since(self.now())))
    }

    /// Takes etcd's answer, or that there was none.
    pub fn take_answer(&self, body: Option<&[u8]>) -> Result<Told, callboard::Error> {
        let told = self.share(|replica, registry, now| match body {
            Some(body) => replica.answer(registry, body, now),
            None => {
                replica.failed(registry, now);
                Ok(Told::default())
            }
        });
        self.answered.send_replace(());
        told.unwrap_or_else(|| Ok(Told::default()))
    }

    /// What to follow the other servers with.
    pub fn follow_engine(&self) -> Option<Ask> {
        self.lock().shared.as_ref().map(Replica::follow)
    }

    /// Takes what they say; there may be more to say then.
    pub fn take_news(&self, body: &[u8]) -> Result<Told, callboard::Error> {
        let told = self.share(|replica, registry, now| replica.push(registry, body, now));
        self.asked.send_modify(|_| ());
        told.unwrap_or_else(|| Ok(Told::default()))
    }

    /// The stream of it ended.
    pub fn lose_engine(&self) {
        self.share(|replica, registry, now| replica.lost(registry, now));
    }

    fn share<T>(&self, act: impl FnOnce(&mut Replica, &mut Registry, Timestamp) -> T) -> Option<T> {
        self.with(|Held { registry, shared, .. }, now| shared.as_mut().map(|replica| act(replica, registry, now)))
    }

    /// Does something with the registry, and wakes whom that concerns.
    fn with<T>(&self, act: impl FnOnce(&mut Held, Timestamp) -> T) -> T {
        let (result, woken) = {
            let mut held = self.lock();
            let edition = held.registry.edition();
            let result = act(&mut held, self.now());
            let Held { registry, waits, .. } = &mut *held;
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
