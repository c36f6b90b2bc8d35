//! The protocols as plain calls: the host brings the socket.

use std::rc::Rc;

use callboard::serve::{self, Request, Response};
use wasm_bindgen::prelude::*;

use crate::convert;
use crate::errors::{Result, number, time};
use crate::registry::Registry;

/// Under which names the protocols serve.
#[wasm_bindgen]
pub struct Server {
    inner: Rc<serve::Server>,
}

#[wasm_bindgen]
impl Server {
    #[wasm_bindgen(constructor)]
    pub fn new(settings: JsValue) -> Result<Server> {
        Ok(Self { inner: Rc::new(serve::Server::from_value(&convert::value(settings)?)?) })
    }
}

/// Whether a request only says that somebody is still there.
#[wasm_bindgen]
pub fn is_heartbeat(method: &str, path: &str, query: &str) -> bool {
    Request { method, path, query, ..Request::default() }.is_heartbeat()
}

/// What goes into `x-callboard-proof`.
#[wasm_bindgen]
pub fn proof(token: &str, verb: &str, epoch: f64, handle: f64, sequence: f64, query: &str, body: &[u8]) -> Result<String> {
    let [epoch, sequence] = [number("epoch", epoch)?, number("sequence", sequence)?];
    Ok(serve::token::proof(token, verb, epoch, crate::registry::handle(handle)?, sequence, query, body)?)
}

/// A response, or a request that waits.
#[wasm_bindgen]
pub struct Reply {
    inner: serve::Reply,
    server: Rc<serve::Server>,
}

#[wasm_bindgen]
impl Reply {
    fn response(&self) -> Option<&Response> {
        match &self.inner {
            serve::Reply::Response(response) | serve::Reply::Stream(response, _) => Some(response),
            serve::Reply::Wait(_) => None,
        }
    }

    fn wait(&self) -> Option<&serve::Wait> {
        match &self.inner {
            serve::Reply::Response(_) => None,
            serve::Reply::Stream(_, wait) | serve::Reply::Wait(wait) => Some(wait),
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

    /// When to ask again all the same; nothing when the reply is complete.
    pub fn until(&self) -> Option<f64> {
        self.wait().map(|wait| wait.until.as_micros() as f64)
    }
}

#[wasm_bindgen]
impl Registry {
    /// Answers a request: `texts` are its method, path, query, peer and principal, then the names and values of its headers in turn.
    pub fn handle(&mut self, texts: Vec<String>, body: &[u8], server: &Server, now: f64) -> Result<Reply> {
        let text = |at: usize| texts.get(at).map_or("", String::as_str);
        let [method, path, query, peer, principal] = [0, 1, 2, 3, 4].map(text);
        let headers: Vec<(&str, &str)> = texts.get(5..).unwrap_or_default().chunks_exact(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        let server = Rc::clone(&server.inner);
        let request = Request { method, path, query, headers: &headers, body, peer, principal };
        Ok(Reply { inner: server.handle(&mut self.inner, &request, time(now)?), server })
    }

    /// Answers a message of DNS.
    pub fn answer_dns(&mut self, message: &[u8], udp: bool, server: &Server, now: f64) -> Result<Option<Vec<u8>>> {
        Ok(server.inner.answer_dns(&mut self.inner, message, udp, time(now)?))
    }

    /// Asks again about a reply that is not complete; one that is stays so.
    pub fn resume(&mut self, reply: &mut Reply, now: f64) -> Result {
        let now = time(now)?;
        if let Some(wait) = reply.wait() {
            reply.inner = reply.server.resume(&mut self.inner, wait.clone(), now);
        }
        Ok(())
    }
}

/// The long polls of a registry, each by a number that its owner gave it.
#[wasm_bindgen]
#[derive(Default)]
pub struct Waits {
    inner: serve::Waits<f64>,
}

#[wasm_bindgen]
impl Waits {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Waits {
        Self::default()
    }

    /// The number that takes it out again; nothing when what the request waits for has come already.
    pub fn add(&mut self, registry: &Registry, reply: &Reply, own: f64) -> Option<f64> {
        self.inner.add(&registry.inner, reply.wait()?, own).map(|number| number as f64)
    }

    pub fn remove(&mut self, number: f64) {
        self.inner.remove(number as u64);
    }

    /// Those that what has changed since the last call concerns: they wait no longer.
    pub fn woken(&mut self, registry: &Registry) -> Vec<f64> {
        self.inner.woken(&registry.inner)
    }
}
