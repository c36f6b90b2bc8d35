//! The registry with a clock, a timer, sleepers to wake and a file to keep.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callboard::Timestamp;
use callboard::registry::{Config, Registry};
use callboard::serve::{Reply, Request, Response, rest};
use tokio::sync::{Notify, watch};

use crate::disk;

type Error = Box<dyn std::error::Error + Send + Sync>;

pub struct Board {
    registry: Mutex<Registry>,
    /// Zero of the registry's clock.
    started: Instant,
    file: Option<PathBuf>,
    /// The latest revision: wakes long polls and the writer.
    revision: watch::Sender<u64>,
    /// The latest revision that is on the disk, or why there is none.
    stored: watch::Sender<Result<u64, String>>,
    /// A new deadline may be earlier than the one the timer sleeps for.
    deadline: Notify,
    stopping: watch::Sender<bool>,
}

impl Board {
    /// The board as the file has it, or an empty one.
    pub fn open(file: Option<PathBuf>) -> Result<Self, Error> {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let config = Config { seed: getrandom::u64()?, epoch, ..Config::default() };
        let saved = file.as_deref().map(disk::read).transpose()?.flatten();
        let registry = match saved {
            Some(bytes) => Registry::restore(&bytes, config, Timestamp::ZERO)?,
            None => Registry::new(config)?,
        };
        let revision = registry.revision();
        Ok(Self {
            registry: Mutex::new(registry),
            started: Instant::now(),
            file,
            revision: watch::Sender::new(revision),
            stored: watch::Sender::new(Ok(revision)),
            deadline: Notify::new(),
            stopping: watch::Sender::new(false),
        })
    }

    /// One line for the log.
    pub fn summary(&self) -> String {
        let registry = self.lock();
        format!("{} instances, revision {}, epoch {}", registry.len(), registry.revision(), registry.epoch())
    }

    /// Ends every wait.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers a request when there is something to say and, if it changed anything, when that is on the disk.
    pub async fn answer(&self, request: &Request<'_>) -> Result<Response, Error> {
        // Subscribed before the first look: a change in between is seen.
        let (mut changes, mut stopping) = (self.revision.subscribe(), self.stopping.subscribe());
        let mut reply = self.with(|registry, now| rest::handle(registry, request, now));
        loop {
            match reply {
                Reply::Response(response) => {
                    // A renewal writes nothing, and must not fail with the disk.
                    if request.method != "GET" && !request.path.ends_with("/renew") {
                        self.is_stored().await?;
                    }
                    return Ok(response);
                }
                Reply::Wait(mut wait) => {
                    let left = wait.until.saturating_since(self.now());
                    tokio::select! {
                        _ = changes.changed() => {}
                        () = tokio::time::sleep(left) => {}
                        _ = stopping.wait_for(|stopping| *stopping) => wait.until = Timestamp::ZERO,
                    }
                    reply = self.with(|registry, now| rest::resume(registry, wait, now));
                }
            }
        }
    }

    /// Calls `advance` whenever it is due.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            let deadline = self.lock().deadline();
            let left = deadline.map_or(Duration::from_secs(3_600), |deadline| deadline.saturating_since(self.now()));
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = self.deadline.notified() => {}
            }
            self.with(|registry, now| registry.advance(now));
        }
    }

    /// Writes a snapshot whenever the revision has moved; changes that come meanwhile share the next one.
    pub async fn keep_on_disk(self: Arc<Self>) -> Result<(), Error> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        let (mut changes, mut stopping) = (self.revision.subscribe(), self.stopping.subscribe());
        loop {
            let over = *stopping.borrow_and_update();
            let (revision, bytes) = {
                let registry = self.lock();
                (registry.revision(), registry.snapshot())
            };
            let target = file.clone();
            let written = tokio::task::spawn_blocking(move || disk::write(&target, &bytes)).await?;
            let failed = written.is_err();
            let _ =
                self.stored.send_replace(written.map(|()| revision).map_err(|error| format!("the snapshot could not be written: {error}")));
            if over {
                return Ok(());
            }
            tokio::select! {
                _ = changes.changed() => {}
                _ = stopping.changed() => {}
                () = tokio::time::sleep(Duration::from_secs(1)), if failed => {}
            }
        }
    }

    /// Waits until all that is in the registry now is on the disk.
    async fn is_stored(&self) -> Result<(), Error> {
        if self.file.is_none() {
            return Ok(());
        }
        let revision = self.lock().revision();
        let mut stored = self.stored.subscribe();
        let outcome = stored.wait_for(|stored| stored.as_ref().map_or(true, |stored| *stored >= revision)).await?;
        outcome.as_ref().map(|_| ()).map_err(|error| error.clone().into())
    }

    /// Does something with the registry, and wakes whom that concerns.
    fn with<T>(&self, act: impl FnOnce(&mut Registry, Timestamp) -> T) -> T {
        let mut registry = self.lock();
        let (revision, deadline) = (registry.revision(), registry.deadline());
        let result = act(&mut registry, self.now());
        if registry.revision() != revision {
            self.revision.send_replace(registry.revision());
        }
        if registry.deadline() != deadline {
            self.deadline.notify_one();
        }
        result
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.started.elapsed())
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
