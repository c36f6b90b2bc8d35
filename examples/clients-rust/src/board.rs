//! A registry that the clients of a process share, with a clock.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use callboard::Timestamp;
use callboard::registry::Registry;

/// A registry, the time, and who waits for it to change.
pub struct Board {
    registry: Mutex<Registry>,
    followers: Mutex<Vec<Waker>>,
    started: Instant,
}

impl Board {
    pub fn new(registry: Registry) -> Arc<Self> {
        Arc::new(Self { registry: Mutex::new(registry), followers: Mutex::default(), started: Instant::now() })
    }

    pub fn now(&self) -> Timestamp {
        Timestamp::ZERO.saturating_add(self.started.elapsed())
    }

    /// For reading; whoever changes it calls [`change`](Self::change).
    pub fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    /// Changes the registry, and wakes who follows it.
    pub fn change<T>(&self, change: impl FnOnce(&mut Registry, Timestamp) -> T) -> T {
        let now = self.now();
        let changed = change(&mut self.registry(), now);
        for follower in std::mem::take(&mut *lock(&self.followers)) {
            follower.wake();
        }
        changed
    }

    /// Wakes `waker` when the registry changes next.
    pub fn wake(&self, waker: &Waker) {
        let mut followers = lock(&self.followers);
        if !followers.iter().any(|other| other.will_wake(waker)) {
            followers.push(waker.clone());
        }
    }

    /// Ends leases when they end. Spawn it beside whatever feeds the registry.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            // Somebody who comes meanwhile may leave before those who are here.
            let most = Duration::from_millis(500);
            let due = self.registry().deadline().map_or(most, |deadline| deadline.saturating_since(self.now()).min(most));
            tokio::time::sleep(due).await;
            self.change(|registry, now| registry.advance(now));
        }
    }
}

/// A lock that a panic elsewhere does not take away.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
