//! HTTP/1.1, well framed and ill.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use callboard::Value;

use super::{Lane, connect, corpus};

/// Requests that are sent before an answer is read.
const AT_ONCE: u64 = 16;
/// Methods that every server knows.
const METHODS: &[&[u8]] = &[b"GET ", b"HEAD ", b"PUT ", b"POST ", b"PATCH ", b"DELETE ", b"OPTIONS "];
/// Connections of a lane that are left half open.
const STALE: usize = 100;

/// A connection, with what was read of the answer to come.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    pub fn is_overload(&self) -> bool {
        self.status == 503 && self.head.contains("\r\nretry-after:")
    }

    /// Whether a server that is well may say so: 501 and 505 are of what HTTP it does not speak, 503 is a critical service's state and 500 another
    /// datacenter's in Consul.
    fn judge(&self, request: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(&self.body);
        let told = text.starts_with("No path to datacenter") || request.windows(17).any(|part| part == b"/v1/agent/health/");
        if self.status < 500 || matches!(self.status, 501 | 505) || self.is_overload() || told {
            return Ok(());
        }
        Err(format!("{} {text:?} to {:?}", self.status, String::from_utf8_lossy(&request[..request.len().min(2_000)])))
    }
}

pub fn open(address: SocketAddr) -> Result<Wire, String> {
    Ok(Wire { stream: connect(address)?, read: Vec::new() })
}

/// A true request on a connection has a true answer.
pub fn is_useful(wire: &mut Wire) -> Result<(), String> {
    let request = framed("GET", "/v1/instances/default/nobody", "", b"");
    wire.stream.write_all(&request).map_err(|error| error.to_string())?;
    match wire.answer(&request)? {
        Some(answer) if answer.status == 200 || answer.is_overload() => Ok(()),
        Some(answer) => Err(format!("a true request is answered {}", answer.status)),
        None => Err("a true request on a kept connection has no answer".into()),
    }
}

impl Wire {
    /// The next answer; none when the server has closed the connection.
    fn answer(&mut self, request: &[u8]) -> Result<Option<Answer>, String> {
        loop {
            if let Some(head) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let text = String::from_utf8_lossy(&self.read[..head + 2]).to_ascii_lowercase();
                let status = text.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
                let status = status.ok_or_else(|| format!("no answer of HTTP: {text:?}"))?;
                let length = text.split("\r\ncontent-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
                let whole = head + 4 + if request.starts_with(b"HEAD ") { 0 } else { length.unwrap_or(0) };
                if status == 100 {
                    self.read.drain(..whole);
                    continue;
                }
                if self.read.len() >= whole {
                    let body = self.read[head + 4..whole].to_vec();
                    self.read.drain(..whole);
                    return Ok(Some(Answer { status, head: text, body }));
                }
            }
            let mut bytes = [0; 16_384];
            match self.stream.read(&mut bytes) {
                Ok(0) => return Ok(None),
                Ok(count) => self.read.extend(&bytes[..count]),
                Err(error) if [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut].contains(&error.kind()) => {
                    return Err(format!("no answer in time; so far {:?}", String::from_utf8_lossy(&self.read)));
                }
                // Closed before it had read what it did not want.
                Err(_) => return Ok(None),
            }
        }
    }
}

/// A request that is framed as it should be, whatever is in it: what would break a line is escaped.
fn framed(method: &str, path: &str, query: &str, body: &[u8]) -> Vec<u8> {
    let method: String = method.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let method = if method.is_empty() { "GET" } else { &method };
    let escape = |text: &str| {
        let letter = |byte: u8| match byte {
            b'!' | b'$'..=b';' | b'=' | b'@'..=b'Z' | b'_' | b'a'..=b'z' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        text.bytes().map(letter).collect::<String>()
    };
    let target = [escape(if path.starts_with('/') { path } else { "/" }), escape(query)].join("?");
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nhost: board\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend(body);
    bytes
}

impl Lane<'_> {
    /// A request of which one part is spoilt; its method, path, query and body.
    fn spoilt(&mut self) -> [Vec<u8>; 4] {
        let (method, path, query, body) = self.dice.of(corpus::TRUE);
        let mut parts = [method, path, query, body].map(|part| part.as_bytes().to_vec());
        if !self.dice.percent(12) {
            let at = self.dice.below(4) as usize;
            parts[at] = corpus::spoil(|bound| self.dice.below(bound as u64) as usize, [method, path, query, body][at]);
        }
        parts
    }

    /// One that is answered at once, well framed.
    fn request(&mut self) -> Vec<u8> {
        let mut parts = self.spoilt();
        if waits(&parts) {
            parts[2].clear();
        }
        let [method, path, query, body] = &parts;
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        framed(&text(method), &text(path), &text(query), body)
    }

    /// Several at once on a connection that is kept, and a true one after them.
    pub(super) fn pipeline(&mut self) -> Result<u64, String> {
        let mut wire = self.kept.take().map_or_else(|| open(self.server.http), Ok)?;
        let mut requests: Vec<_> = (0..=self.dice.below(AT_ONCE)).map(|_| self.request()).collect();
        // Node and Bun close a connection at a method that they do not know, and answer nothing that was sent behind it.
        requests.sort_by_key(|request| !METHODS.iter().any(|method| request.starts_with(method)));
        if wire.stream.write_all(&requests.concat()).is_err() {
            // Kept too long for the server's taste.
            return Ok(0);
        }
        for request in &requests {
            let Some(answer) = wire.answer(request)? else {
                // After CONNECT or what it did not read to the end a server may close.
                return Ok(requests.len() as u64);
            };
            answer.judge(request)?;
            self.count(&answer);
            if answer.head.contains("\r\nconnection: close") {
                return Ok(requests.len() as u64);
            }
        }
        is_useful(&mut wire)?;
        self.kept = (!self.dice.percent(5)).then_some(wire);
        Ok(requests.len() as u64)
    }

    /// A long poll, or anything else, whose answer nobody waits for.
    pub(super) fn hang_up(&mut self) -> Result<u64, String> {
        let mut wire = open(self.server.http)?;
        let [method, path, query, body] = self.spoilt().map(|part| String::from_utf8_lossy(&part).into_owned());
        let request = if self.dice.percent(50) {
            framed("GET", "/v1/instances/default/web", "epoch=1&revision=0&wait=300", b"")
        } else {
            framed(&method, &path, &query, body.as_bytes())
        };
        let length = if self.dice.percent(50) { request.len() } else { self.dice.below(request.len() as u64) as usize };
        drop(wire.stream.write_all(&request[..length]));
        if self.dice.percent(50) {
            self.keep_stale(wire.stream);
        }
        Ok(1)
    }

    /// What is no HTTP, nearly or at all, and how the server gets rid of it.
    pub(super) fn break_framing(&mut self) -> Result<u64, String> {
        let mut wire = open(self.server.http)?;
        let [method, path, query, body] = self.spoilt();
        let long = vec![b'x'; self.dice.below(200_000) as usize];
        let head = |first: &[u8], rest: &[u8]| [first, b"\r\nhost: board\r\n", rest].concat();
        let put = b"PUT /v1/instances/default/web/a HTTP/1.1";
        let bytes: Vec<u8> = match self.dice.below(16) {
            0 => {
                head(&[&method[..], b" ", &path, b"?", &query, b" HTTP/1.1"].concat(), &[b"content-length: 2\r\n\r\n", &body[..]].concat())
            }
            1 => head(put, b"transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
            2 => head(put, b"transfer-encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n"),
            3 => head(put, b"transfer-encoding: chunked\r\n\r\n2\r\n{}{}{}\r\n0\r\n\r\n"),
            4 => head(put, b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
            5 => head(put, b"content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
            6 => head(put, b"content-length: 18446744073709551616\r\n\r\n{}"),
            7 => head(put, b"content-length: -1\r\n\r\n{}"),
            8 => head(b"GET /v1/health HTTP/9.9", b"\r\n"),
            9 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            10 => head(b"GET /v1/health HTTP/1.1", &[b"x: ", &long[..], b"\r\n\r\n"].concat()),
            11 => head(&[b"GET /", &long[..], b" HTTP/1.1"].concat(), b"\r\n"),
            12 => head(b"GET /v1/health HTTP/1.1", &b"a: b\r\n".repeat(2_000)),
            13 => head(b"GET /v1/health HTTP/1.1", b"authorization: Bearer \xff\xfe\r\nx-consul-token:\t\r\n folded\r\n: nameless\r\n\r\n"),
            14 => head(put, b"expect: 100-continue\r\ncontent-length: 9000000\r\n\r\n"),
            _ => (0..self.dice.below(300)).map(|_| self.dice.below(256) as u8).collect(),
        };
        drop(wire.stream.write_all(&bytes));
        if self.dice.percent(30) {
            self.keep_stale(wire.stream);
            return Ok(1);
        }
        drop(wire.stream.shutdown(std::net::Shutdown::Write));
        while let Some(answer) = wire.answer(&bytes).unwrap_or(None) {
            answer.judge(&bytes)?;
            self.count(&answer);
        }
        Ok(1)
    }

    /// A connection on which a request comes a little at a time, or not at all.
    pub(super) fn leave_open(&mut self) -> Result<u64, String> {
        let mut wire = open(self.server.http)?;
        let request = self.request();
        let length = self.dice.below(request.len() as u64) as usize;
        drop(wire.stream.write_all(&request[..length]));
        for stream in &mut self.stale {
            drop(stream.write_all(b"x"));
        }
        self.keep_stale(wire.stream);
        Ok(1)
    }

    fn keep_stale(&mut self, stream: TcpStream) {
        drop(stream.set_write_timeout(Some(Duration::from_millis(1))));
        self.stale.push_back(stream);
        if self.stale.len() > STALE {
            self.stale.pop_front();
        }
    }

    /// Signs out whoever was signed in: the registry is to be as large in the end as in the beginning.
    pub(super) fn tidy(&mut self) -> Result<(), String> {
        let mut wire = open(self.server.http)?;
        let mut ask = |method, path, query: &str, body: &[u8]| -> Result<Option<Value>, String> {
            wire.stream.write_all(&framed(method, path, query, body)).map_err(|error| error.to_string())?;
            let Some(answer) = wire.answer(b"")? else { return Err(format!("{path} has no answer")) };
            answer.judge(path.as_bytes())?;
            Ok(Value::from_json(&answer.body).ok())
        };
        let epoch = ask("GET", "/v1/instances/default/nobody", "", b"")?.and_then(|answer| answer.get("epoch")?.as_u64()).unwrap_or(0);
        let changes = ask("GET", "/v1/changes", &format!("epoch={epoch}&revision={}", self.tidied), b"")?.unwrap_or_default();
        self.tidied = changes.get("revision").and_then(Value::as_u64).unwrap_or(0);
        let events = changes.get("events").and_then(Value::as_list).unwrap_or_default();
        for event in events.iter().filter(|event| event.get("kind").and_then(Value::as_str) == Some("added")) {
            let part = |key| Some((key, event.get(key)?.clone()));
            let key = ["namespace", "service", "id"].into_iter().filter_map(part);
            let op = Value::map(key.chain([("op", "deregister".into())]));
            // Another lane may have been first.
            ask("POST", "/v1/batch", "", &Value::map([("ops", Value::List(vec![op]))]).to_json())?;
        }
        Ok(())
    }
}

/// Whether a request may be a long poll.
fn waits([method, path, query, _]: &[Vec<u8>; 4]) -> bool {
    let text = String::from_utf8_lossy(query);
    let names = ["%", "wait", "index", "revision", "epoch"];
    method.starts_with(b"GET") && path.starts_with(b"/v1/") && names.iter().any(|name| text.contains(name))
}
