//! As much of HTTP/1.1 as it takes to ask a server that is known: little enough not to be what is measured.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    /// A response of chunks that are told as they come: that of a watch.
    streaming: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, read: Vec::new(), streaming: false })
    }

    pub fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request)
    }

    /// Sends a request and waits for the body of its response, which must be a success.
    pub fn ask(&mut self, request: &[u8]) -> Result<Vec<u8>> {
        self.send(request)?;
        loop {
            if let Some((body, used)) = response(&self.read)? {
                self.read.drain(..used);
                return Ok(body);
            }
            self.more()?;
        }
    }

    /// The whole responses, or the chunks of an endless one, that are there after one read.
    pub fn messages(&mut self) -> Result<Vec<Vec<u8>>> {
        self.more()?;
        let mut all = Vec::new();
        loop {
            let found = if self.streaming { chunk(&self.read)? } else { response(&self.read)? };
            match found {
                Some((body, used)) => {
                    self.read.drain(..used);
                    all.push(body);
                }
                None if !self.streaming && is_endless(&self.read) => {
                    let head = head(&self.read).unwrap_or_default();
                    self.read.drain(..head);
                    self.streaming = true;
                }
                None => return Ok(all),
            }
        }
    }

    fn more(&mut self) -> Result<()> {
        let mut bytes = [0; 16_384];
        match self.stream.read(&mut bytes)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.read.extend(&bytes[..count]);
                Ok(())
            }
        }
    }
}

/// Which of them have something to read, waited for for so long.
pub fn readable(connections: &[Connection], patience: Duration) -> Result<Vec<usize>> {
    let mut fds: Vec<PollFd> = connections.iter().map(|own| PollFd::new(&own.stream, PollFlags::IN)).collect();
    let patience = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
    poll(&mut fds, Some(&patience))?;
    Ok((0..fds.len()).filter(|at| !fds[*at].revents().is_empty()).collect())
}

/// A request with a body, which may be empty.
pub fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// How long the head is, with the empty line.
fn head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

fn is_endless(bytes: &[u8]) -> bool {
    head(bytes).is_some_and(|head| String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase().contains("transfer-encoding: chunked"))
}

/// The body of a whole response, and how many bytes the response has.
fn response(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let Some(head) = head(bytes) else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    if !text.starts_with("http/1.1 2") {
        return Err(Error::other(format!("{text}{}", String::from_utf8_lossy(&bytes[head..]))));
    }
    if is_endless(bytes) {
        let (mut at, mut body) = (head, Vec::new());
        while let Some((piece, used)) = chunk(&bytes[at..])? {
            at += used;
            if piece.is_empty() {
                return Ok(Some((body, at)));
            }
            body.extend(piece);
        }
        return Ok(None);
    }
    let length = text.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse::<usize>().ok()).unwrap_or(0);
    Ok((bytes.len() >= head + length).then(|| (bytes[head..head + length].to_vec(), head + length)))
}

/// A chunk, and how many bytes it has with its frame. That of the end is empty.
fn chunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>> {
    let Some(line) = bytes.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let size = std::str::from_utf8(&bytes[..line]).ok().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
    let size = size.ok_or_else(|| Error::other("a bad chunk"))?;
    let (from, whole) = (line + 2, line + 4 + size);
    Ok((bytes.len() >= whole).then(|| (bytes[from..from + size].to_vec(), whole)))
}
