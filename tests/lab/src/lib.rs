//! The load simulator of callboard: what a policy makes of a load, on virtual time.
//!
//! N clients, each with a [`Balancer`](callboard::balance::Balancer) of its own, send calls to M servers; everything goes
//! through the public API of callboard, as a program would use it. A run is a function of the scenario, the policy and
//! the seed; arrivals, faults and the work of a call are the same for every policy, so that rows of a table differ by
//! the policy alone.
//!
//! | module | what it has |
//! |---|---|
//! | [`plan`] | a scenario file: the scenario, its variants, what is expected of it |
//! | [`scenario`], [`fault`], [`service`] | one scenario, parsed |
//! | [`engine`], [`server`], [`fleet`] | the discrete-event simulation |
//! | [`record`], [`histogram`] | what is measured |
//! | [`expect`] | comparing with what is expected |
//! | [`runner`], [`report`], [`plot`], [`failures`], [`sweep`] | running many, tables, drawings, constants |
//! | [`dice`], [`read`] | randomness, strict reading of JSON |

pub mod dice;
pub mod engine;
pub mod expect;
pub mod failures;
pub mod fault;
pub mod fleet;
pub mod gauge;
pub mod histogram;
pub mod plan;
pub mod plot;
pub mod policies;
pub mod read;
pub mod record;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod server;
pub mod service;
pub mod sweep;

/// Nanoseconds of virtual time.
pub type Nanos = u64;

/// Nanoseconds of so many seconds.
pub fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9).round().max(0.0) as Nanos
}

/// Seconds of so many nanoseconds.
pub fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / 1e9
}
