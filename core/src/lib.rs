//! Service discovery as a deterministic engine that does no I/O.
//!
//! callboard never opens a socket, reads a clock, draws entropy or starts a thread. A host feeds it
//! registrations, other registries' payloads, request outcomes and the time; it answers who is there,
//! what changed, and which instance a call should go to, and why. The same inputs give the same bytes
//! out in Rust, CPython, Node, Deno, Bun, workerd and a browser.
//!
//! # The floors
//! Data flows one way; a module uses only modules of lower floors (a test holds it to that).
//!
//! | floor | module | its one job |
//! |---|---|---|
//! | 1 | [`time`], [`rng`](crate), [`error`], [`limits`], [`value`] | the ground: timestamps, the seeded generator, codes, the table of limits, untyped documents |
//! | 2 | [`model`] | the nouns: names, endpoints, locality, metadata, version, weight, health, instance |
//! | 3 | [`query`] | does this instance match? |
//! | 4 | [`registry`] | who is here now |
//! | 5 | [`balance`] | which one |
//! | 6 | `formats` (feature) | other systems' payloads ↔ model |
//! | 6 | `store` (feature) | registry ↔ what an engine can keep |
//! | 7 | `serve` (feature) | a protocol as a pure function from request to response |
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod balance;
#[cfg(any(feature = "etcd", feature = "store"))]
mod base64;
pub mod error;
#[cfg(feature = "feed")]
pub mod formats;
mod hex;
pub mod limits;
pub mod model;
mod order;
pub mod query;
pub mod registry;
mod rng;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "store")]
pub mod store;
pub mod time;
pub mod value;

pub use error::{Code, Error, Kind};
pub use time::Timestamp;
pub use value::Value;

/// The examples of the front page, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
