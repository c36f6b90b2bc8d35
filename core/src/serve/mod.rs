//! A protocol as a pure function: a request and the registry in, a response out, or that there is nothing to say yet.

mod http;
pub mod rest;

pub use http::{Reply, Request, Response};
