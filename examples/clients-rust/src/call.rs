//! One call of a service, whichever client makes it: whom to call, and whether again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use callboard::Error;
use callboard::balance::{Balancer, Options, Outcome, OutcomeKind, Policy, Request, is_repeatable};
use callboard::model::{Handle, Instance};
use callboard::query::Query;

use crate::board::{Board, lock};

/// A service of the board, and which of its instances to call.
pub struct Service {
    board: Arc<Board>,
    balancer: Mutex<Balancer>,
}

impl Service {
    /// # Errors
    /// Those of [`Balancer::new`].
    pub fn new(board: Arc<Board>, query: Query, policy: Policy, options: Options) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self { balancer: Mutex::new(Balancer::new(query, policy, options)?), board }))
    }

    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Asks the balancer, for a limit, its figures or why it picks whom.
    pub fn balancer<T>(&self, ask: impl FnOnce(&mut Balancer) -> T) -> T {
        ask(&mut lock(&self.balancer))
    }

    /// Begins a call by an HTTP method, or of a gRPC method of that `idempotency_level`.
    ///
    /// # Errors
    /// Those of [`Balancer::pick`], when nobody can be called.
    pub fn call(self: &Arc<Self>, method: &str, key: Option<&[u8]>) -> Result<Call, Error> {
        let mut call = Call {
            service: Arc::clone(self),
            method: method.to_owned(),
            key: key.map(<[u8]>::to_vec),
            tried: Vec::new(),
            token: None,
            delay: Duration::ZERO,
            started: Instant::now(),
        };
        let (handle, token) = call.pick()?;
        call.begin(handle, token, Duration::ZERO);
        Ok(call)
    }
}

/// A call: the attempt that is under way, and those that failed before it. One that is dropped was given up.
pub struct Call {
    service: Arc<Service>,
    method: String,
    key: Option<Vec<u8>>,
    tried: Vec<Handle>,
    /// None once the attempt was told of.
    token: Option<u64>,
    delay: Duration,
    started: Instant,
}

impl Call {
    /// Whom to call.
    pub fn handle(&self) -> Option<Handle> {
        self.tried.last().copied()
    }

    /// Whom to call; nobody if it left the board in between.
    pub fn instance(&self) -> Option<Instance> {
        self.service.board.registry().instance(self.handle()?)
    }

    /// Waits for as long as the attempt must.
    pub async fn delay(&self) {
        // Also a sleep of no time is one of a millisecond.
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
    }

    /// Whether the call is made again elsewhere, after an attempt that ended so: then [`handle`](Self::handle) is somebody else. When it is not, the
    /// attempt is in flight until [`finish`](Self::finish).
    pub fn goes_on(&mut self, outcome: Outcome, can_be_sent: bool) -> bool {
        if !can_be_sent || !is_repeatable(&self.method, &outcome) {
            return false;
        }
        let (now, retry) = (self.service.board.now(), u32::try_from(self.tried.len()).unwrap_or(u32::MAX));
        let delay = self.service.balancer(|balancer| balancer.retry_delay(retry).filter(|_| balancer.may_retry(now)));
        let Some(delay) = delay else { return false };
        // When nobody is left, what there was of an answer is the answer.
        let Ok((handle, token)) = self.pick() else { return false };
        self.finish(outcome);
        self.begin(handle, token, delay);
        true
    }

    /// Tells the balancer what became of the attempt, and with what latency; once.
    pub fn finish(&mut self, outcome: Outcome) {
        let Some(token) = self.token.take() else { return };
        let latency = Some(self.started.elapsed());
        let now = self.service.board.now();
        self.service.balancer(|balancer| balancer.finish(token, Outcome { latency, ..outcome }, now));
    }

    fn pick(&self) -> Result<(Handle, u64), Error> {
        let now = self.service.board.now();
        let request = Request { key: self.key.as_deref(), exclude: &self.tried, ..Request::default() };
        let pick = self.service.balancer(|balancer| {
            balancer.follow(&self.service.board.registry()); // when nothing changed, one comparison
            balancer.pick(&request, now)
        })?;
        Ok((pick.handle, pick.token))
    }

    fn begin(&mut self, handle: Handle, token: u64, delay: Duration) {
        self.tried.push(handle);
        (self.token, self.delay, self.started) = (Some(token), delay, Instant::now() + delay);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.finish(Outcome::of(OutcomeKind::Cancelled));
    }
}
