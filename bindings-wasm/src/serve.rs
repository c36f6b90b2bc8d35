//! callboard's HTTP API as plain calls: the host brings the socket.

use callboard::serve::{self, Request, Response};
use wasm_bindgen::prelude::*;

use crate::errors::{Result, time};
use crate::registry::Registry;

/// A response, or a request that waits.
#[wasm_bindgen]
pub struct Reply {
    inner: serve::Reply,
}

#[wasm_bindgen]
impl Reply {
    fn response(&self) -> Option<&Response> {
        match &self.inner {
            serve::Reply::Response(response) => Some(response),
            serve::Reply::Wait(_) => None,
        }
    }

    /// 0 for a request that waits.
    pub fn status(&self) -> u16 {
        self.response().map_or(0, |response| response.status)
    }

    /// Names and values in turn.
    pub fn headers(&self) -> Vec<String> {
        let pairs = self.response().map_or(&[][..], |response| &response.headers);
        pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), value.clone()]).collect()
    }

    pub fn body(&self) -> Vec<u8> {
        self.response().map_or(Vec::new(), |response| response.body.clone())
    }

    /// When a request that waits is answered all the same.
    pub fn until(&self) -> f64 {
        match &self.inner {
            serve::Reply::Response(_) => 0.0,
            serve::Reply::Wait(wait) => wait.until.as_micros() as f64,
        }
    }
}

#[wasm_bindgen]
impl Registry {
    /// Answers a request.
    pub fn handle(&mut self, method: &str, path: &str, query: &str, body: &[u8], now: f64) -> Result<Reply> {
        Ok(Reply { inner: serve::handle(&mut self.inner, &Request { method, path, query, body }, time(now)?) })
    }

    /// Asks again about a request that waits; one that was answered stays so.
    pub fn resume(&mut self, reply: &mut Reply, now: f64) -> Result {
        let now = time(now)?;
        if let serve::Reply::Wait(wait) = &reply.inner {
            reply.inner = serve::resume(&mut self.inner, wait.clone(), now);
        }
        Ok(())
    }
}
