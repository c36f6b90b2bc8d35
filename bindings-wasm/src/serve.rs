//! The protocols as plain calls: the host brings the socket.

use std::rc::Rc;

use callboard::serve::{self, Place, Request, Response};
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

    /// Milliseconds that a body may take.
    pub fn patience(&self) -> f64 {
        self.inner.bounds().patience.as_secs_f64() * 1e3
    }
}

/// What a host has in hand of a registry. The place of a request is the bytes that it holds of a body.
#[wasm_bindgen]
#[derive(Default)]
pub struct Room {
    inner: serve::Room,
}

#[wasm_bindgen]
impl Room {
    #[wasm_bindgen(constructor)]
    pub fn new() -> Room {
        Self::default()
    }

    /// Nothing, or what the request is refused with.
    pub fn enter(&mut self, server: &Server) -> Option<Reply> {
        // The place that was given holds nothing yet.
        self.inner.enter(server.inner.bounds()).map(|_place| ()).err().map(|refusal| Reply::refusal(refusal, server))
    }

    /// Nothing when so many bytes may be held in place of those before, or what the request is refused with.
    pub fn take(&mut self, server: &Server, before: f64, bytes: f64) -> Option<Reply> {
        let mut place = Place { bytes: before as u64 };
        let taken = self.inner.take(server.inner.bounds(), &mut place, bytes as u64);
        taken.err().map(|refusal| Reply::refusal(refusal, server))
    }

    pub fn read(&mut self, bytes: f64) {
        self.inner.read(&mut Place { bytes: bytes as u64 });
    }

    pub fn leave(&mut self, bytes: f64) {
        self.inner.leave(Place { bytes: bytes as u64 });
    }

    /// What a body is refused with that did not come in time, or not to its end.
    pub fn unread(server: &Server, is_late: bool) -> Reply {
        Reply::refusal(if is_late { Response::late() } else { Response::cut() }, server)
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

impl Reply {
    fn refusal(response: Response, server: &Server) -> Self {
        Self { inner: serve::Reply::Response(response), server: Rc::clone(&server.inner) }
    }
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

    /// Names and values in turn, a line each: no value holds a line end. One text crosses faster than many.
    pub fn headers(&self) -> String {
        let pairs = self.response().map_or(&[][..], |response| &response.headers);
        let mut text = String::new();
        for (name, value) in pairs {
            for part in [name, value.as_str()] {
                text.push_str(part);
                text.push('\n');
            }
        }
        text
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
    /// Answers a request: `head` is its method, path, query, peer and principal, then the names and values of its headers in turn, with a NUL between two.
    pub fn handle(&mut self, head: &str, body: &[u8], server: &Server, now: f64) -> Result<Reply> {
        let mut texts = head.split('\0');
        let [method, path, query, peer, principal] = std::array::from_fn(|_| texts.next().unwrap_or_default());
        let mut headers = Vec::new();
        while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
            headers.push((name, value));
        }
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

    /// Refuses a request that waits when there is no room for one more.
    pub fn admit(&self, reply: &mut Reply) {
        if let Some(refusal) = self.inner.refuses(&reply.server) {
            reply.inner = serve::Reply::Response(refusal);
        }
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
