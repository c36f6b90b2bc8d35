//! Calls services by name from Rust, without somebody else's runtime or resolver in between: files to copy and to make one's own.
//!
//! | file | |
//! |---|---|
//! | `board.rs` | a registry that the clients of a process share, with a clock |
//! | `call.rs` | one call: whom to call, and whether again. The others are made of it |
//! | `discover.rs` | tower's `Discover`: the instances of a query as services that come and go |
//! | `balance.rs` | a tower service and layer that sends each request where callboard says |
//! | `body.rs` | bodies: of a response, whose end ends the call; of a request, that can be sent again |
//! | `http.rs` | hyper's client for the instances |
//! | `grpc.rs` | a channel for tonic's clients, made of these |
//! | `reqwest.rs` | a middleware of `reqwest-middleware` |
//!
//! `tests/` has each of them at work, with servers that fail, hang and come back.

pub mod balance;
pub mod board;
pub mod body;
pub mod call;
pub mod discover;
pub mod grpc;
pub mod http;
pub mod reqwest;

/// What goes wrong with a call: the error of the client, or callboard's when nobody is there to be called.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
