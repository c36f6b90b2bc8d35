//! A server: what it does with the calls it has.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::scenario::Model;
use crate::{Nanos, nanos, seconds};

/// Names an attempt at a server; never used again.
pub type CallId = u64;

/// What happens next because of something that happened to a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// Nothing that is known already.
    Nothing,
    /// The call is over at this time.
    Ends(CallId, Nanos),
    /// [`Server::tick`] is to be called at this time, with this stamp.
    Tick(Nanos, u32),
    /// The call is not taken.
    Refused,
}

/// The calls of a server.
#[derive(Clone, Debug)]
pub enum Server {
    Delay,
    Queue { workers: usize, room: usize, working: Vec<CallId>, waiting: VecDeque<(CallId, Nanos)> },
    Shared(Shared),
}

/// Processor sharing: each call runs on one core, or on an equal share when there are more calls than cores.
#[derive(Clone, Debug)]
pub struct Shared {
    cores: f64,
    /// Seconds of work that a call has had that was there from the beginning: all have the same speed.
    done: f64,
    now: Nanos,
    /// When a call's share is done, least first; ties by age.
    calls: BinaryHeap<Reverse<(Due, CallId)>>,
    stamp: u32,
}

/// A finite number with an order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Due(f64);

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Server {
    pub fn new(model: &Model) -> Self {
        match model {
            Model::Delay => Self::Delay,
            Model::Queue { workers, room } => Self::Queue { workers: *workers, room: *room, working: Vec::new(), waiting: VecDeque::new() },
            Model::Shared { cores, .. } => Self::Shared(Shared { cores: *cores, done: 0.0, now: 0, calls: BinaryHeap::new(), stamp: 0 }),
        }
    }

    /// A call comes that needs so much work.
    pub fn begin(&mut self, call: CallId, work: Nanos, now: Nanos) -> Next {
        match self {
            Self::Delay => Next::Ends(call, now + work),
            Self::Queue { workers, room, working, waiting } => {
                if working.len() < *workers {
                    working.push(call);
                    Next::Ends(call, now + work)
                } else if waiting.len() < *room {
                    waiting.push_back((call, work));
                    Next::Nothing
                } else {
                    Next::Refused
                }
            }
            Self::Shared(shared) => {
                shared.advance(now);
                shared.calls.push(Reverse((Due(shared.done + seconds(work)), call)));
                shared.next()
            }
        }
    }

    /// A call leaves, because it is over or because it is not wanted any more.
    pub fn end(&mut self, call: CallId, now: Nanos) -> Next {
        match self {
            Self::Delay => Next::Nothing,
            Self::Queue { working, waiting, .. } => {
                waiting.retain(|(waiting, _)| *waiting != call);
                let Some(at) = working.iter().position(|working| *working == call) else { return Next::Nothing };
                working.swap_remove(at);
                match waiting.pop_front() {
                    None => Next::Nothing,
                    Some((call, work)) => {
                        working.push(call);
                        Next::Ends(call, now + work)
                    }
                }
            }
            Self::Shared(shared) => {
                shared.advance(now);
                shared.calls.retain(|Reverse((_, other))| *other != call);
                shared.next()
            }
        }
    }

    /// The calls that are over now, and what happens next.
    pub fn tick(&mut self, stamp: u32, now: Nanos, over: &mut Vec<CallId>) -> Next {
        let Self::Shared(shared) = self else { return Next::Nothing };
        if stamp != shared.stamp {
            return Next::Nothing;
        }
        shared.advance(now);
        // A nanosecond, which is what times are rounded to.
        while let Some(Reverse((_, call))) = shared.calls.peek().filter(|Reverse((due, _))| due.0 <= shared.done + 1e-9) {
            over.push(*call);
            shared.calls.pop();
        }
        shared.next()
    }

    /// It has so many cores from now on; 0 while it stands still.
    pub fn set_cores(&mut self, cores: f64, now: Nanos) -> Next {
        let Self::Shared(shared) = self else { return Next::Nothing };
        shared.advance(now);
        shared.cores = cores;
        shared.next()
    }
}

impl Shared {
    /// Seconds of work a call gets in a second.
    fn speed(&self) -> f64 {
        (self.cores / self.calls.len().max(1) as f64).min(1.0)
    }

    fn advance(&mut self, now: Nanos) {
        self.done += self.speed() * seconds(now - self.now);
        self.now = now;
        if self.calls.is_empty() {
            self.done = 0.0;
        }
    }

    fn next(&mut self) -> Next {
        self.stamp = self.stamp.wrapping_add(1);
        let speed = self.speed();
        match self.calls.peek() {
            // The next nanosecond at the earliest, lest time stand still.
            Some(Reverse((due, _))) if speed > 0.0 => Next::Tick(self.now + nanos((due.0 - self.done).max(0.0) / speed).max(1), self.stamp),
            _ => Next::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    #[test]
    fn a_queue_serves_in_turn() {
        let mut server = Server::new(&Model::Queue { workers: 1, room: 2 });
        assert_eq!(server.begin(1, 5, 10), Next::Ends(1, 15));
        assert_eq!(server.begin(2, 5, 11), Next::Nothing);
        assert_eq!(server.begin(3, 7, 12), Next::Nothing);
        assert_eq!(server.begin(4, 5, 13), Next::Refused);
        assert_eq!(server.end(2, 14), Next::Nothing);
        assert_eq!(server.end(1, 15), Next::Ends(3, 22));
        assert_eq!(server.end(3, 22), Next::Nothing);
    }

    /// Runs the ticks until all calls are over, and tells when each was.
    fn drain(server: &mut Server, mut next: Next) -> Vec<(CallId, f64)> {
        let mut ends = Vec::new();
        while let Next::Tick(at, stamp) = next {
            let mut over = Vec::new();
            next = server.tick(stamp, at, &mut over);
            ends.extend(over.into_iter().map(|call| (call, (seconds(at) * 1e6).round() / 1e6)));
        }
        ends
    }

    #[test]
    fn cores_are_shared() {
        let mut server = Server::new(&Model::Shared { cores: 2.0, spare: None });
        server.begin(1, SECOND, 0);
        server.begin(2, SECOND, 0);
        server.begin(3, 2 * SECOND, 0);
        let next = server.begin(4, 2 * SECOND, 0);
        // Half speed until two have gone at 2 s; the others go on at full speed.
        assert_eq!(drain(&mut server, next), [(1, 2.0), (2, 2.0), (3, 3.0), (4, 3.0)]);
    }

    #[test]
    fn cores_come_and_go() {
        let mut server = Server::new(&Model::Shared { cores: 1.0, spare: None });
        server.begin(1, SECOND, 0);
        server.set_cores(0.0, SECOND / 2);
        let stale = server.begin(2, SECOND, SECOND);
        assert_eq!(stale, Next::Nothing);
        let next = server.set_cores(1.0, SECOND);
        assert_eq!(server.tick(0, SECOND, &mut Vec::new()), Next::Nothing, "an old stamp");
        assert_eq!(drain(&mut server, next), [(1, 2.0), (2, 2.5)]);
        server.begin(3, SECOND, 3 * SECOND);
        server.begin(4, SECOND, 3 * SECOND);
        let next = server.end(3, 4 * SECOND);
        assert_eq!(drain(&mut server, next), [(4, 4.5)]);
    }
}
