//! Bodies: of a response, whose end ends the call; of a request, that can be sent again.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use callboard::balance::{Outcome, OutcomeKind};
use http::{HeaderMap, StatusCode};
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;
use crate::board::lock;
use crate::call::Call;

/// How much of a request is kept, to send it again.
const KEPT: usize = 64 * 1024;

/// The body of a response: until its end, the call is in flight.
pub struct Tracked<B> {
    body: B,
    call: Call,
    /// What became of the call when the body ends, and when it is not read to its end.
    ended: Outcome,
    left: Outcome,
}

impl<B: Body> Tracked<B> {
    pub fn new(response: http::Response<B>, call: Call) -> http::Response<Self> {
        let outcome = answered(response.status(), response.headers());
        let (ended, left) = match grpc_status(response.headers()) {
            // A stream of gRPC tells at its end; one that is left or breaks off has told nothing.
            None if is_grpc(response.headers()) && outcome.is_ok() => {
                (Outcome::of(OutcomeKind::Error), Outcome::of(OutcomeKind::Cancelled))
            }
            _ => (outcome, outcome),
        };
        response.map(|body| Self { body, call, ended, left })
    }
}

impl<B: Body + Unpin> Body for Tracked<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(outcome) = frame.trailers_ref().and_then(told) {
                    self.call.finish(outcome);
                }
            }
            Some(Err(_)) => self.call.finish(Outcome::of(OutcomeKind::Connect)),
            None => {
                let ended = self.ended;
                self.call.finish(ended);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tracked<B> {
    fn drop(&mut self) {
        self.call.finish(self.left);
    }
}

/// The outcome that the head of an answer tells, of gRPC or plain HTTP.
pub fn answered(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if let Some(outcome) = told(headers) {
        return outcome;
    }
    let seconds = header(headers, "retry-after").and_then(|text| text.parse::<u32>().ok());
    let kind = OutcomeKind::of_http_status(status.as_u16().into()).unwrap_or(OutcomeKind::Error);
    Outcome { retry_after: seconds.map(|seconds| Duration::from_secs(seconds.into())), ..Outcome::of(kind) }
}

/// The outcome that headers or trailers of gRPC tell.
fn told(headers: &HeaderMap) -> Option<Outcome> {
    let kind = OutcomeKind::of_grpc_status(grpc_status(headers)?);
    let pushback = header(headers, "grpc-retry-pushback-ms").and_then(|text| text.parse::<u32>().ok());
    Some(Outcome { retry_after: pushback.map(|millis| Duration::from_millis(millis.into())), ..Outcome::of(kind) })
}

/// Whether an answer of gRPC asks not to be asked again.
pub fn forbids(headers: &HeaderMap) -> bool {
    header(headers, "grpc-retry-pushback-ms").is_some_and(|text| text.parse::<u32>().is_err())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    header(headers, "content-type").is_some_and(|text| text.starts_with("application/grpc"))
}

fn grpc_status(headers: &HeaderMap) -> Option<u64> {
    // What is no number is UNKNOWN.
    header(headers, "grpc-status").map(|text| text.parse().unwrap_or(2))
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The body of a request that may have to be sent again; it can be as long as not more than 64 KiB of it went out.
pub struct Message<B>(Arc<Mutex<Kept<B>>>);

/// A copy of it, to send.
pub struct Replay<B> {
    message: Arc<Mutex<Kept<B>>>,
    copy: u32,
    /// How many parts this copy gave.
    given: usize,
}

struct Kept<B> {
    body: B,
    parts: Vec<Part>,
    size: usize,
    /// It outgrew what is kept, or broke off.
    is_lost: bool,
    has_ended: bool,
    /// Which copy is being sent. Those before it, which a connection may still hold, are over.
    copy: u32,
}

enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl<B> Message<B> {
    pub fn new(body: B) -> Self {
        Self(Arc::new(Mutex::new(Kept { body, parts: Vec::new(), size: 0, is_lost: false, has_ended: false, copy: 0 })))
    }

    /// Whether it can be sent once more.
    pub fn can_be_sent(&self) -> bool {
        !lock(&self.0).is_lost
    }

    /// The body from its start.
    pub fn copy(&self) -> Replay<B> {
        let mut kept = lock(&self.0);
        kept.copy = kept.copy.wrapping_add(1);
        Replay { message: Arc::clone(&self.0), copy: kept.copy, given: 0 }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Replay<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let message = Arc::clone(&self.message);
        let mut kept = lock(&message);
        if kept.copy != self.copy {
            return Poll::Ready(Some(Err("the request is sent elsewhere".into())));
        }
        if let Some(part) = kept.parts.get(self.given) {
            let frame = match part {
                Part::Data(data) => Frame::data(data.clone()),
                Part::Trailers(trailers) => Frame::trailers(trailers.clone()),
            };
            self.given += 1;
            return Poll::Ready(Some(Ok(frame)));
        }
        if kept.has_ended {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut kept.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => self.given += kept.keep(frame),
            Some(Err(_)) => kept.lose(),
            None => kept.has_ended = true,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        let kept = lock(&self.message);
        self.given >= kept.parts.len() && (kept.has_ended || kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let kept = lock(&self.message);
        let (rest, mut all) = (kept.body.size_hint(), SizeHint::new());
        let waiting: u64 = kept.parts.iter().skip(self.given).map(Part::len).sum();
        if let Some(upper) = rest.upper() {
            all.set_upper(upper.saturating_add(waiting));
        }
        all.set_lower(rest.lower().saturating_add(waiting));
        all
    }
}

impl<B> Kept<B> {
    /// How many parts more are kept.
    fn keep(&mut self, frame: &Frame<Bytes>) -> usize {
        let data = frame.data_ref().map(|data| Part::Data(data.clone()));
        let Some(part) = data.or_else(|| frame.trailers_ref().map(|trailers| Part::Trailers(trailers.clone()))) else { return 0 };
        self.size += frame.data_ref().map_or(0, Bytes::len);
        if self.is_lost || self.size > KEPT {
            self.lose();
            return 0;
        }
        self.parts.push(part);
        1
    }

    fn lose(&mut self) {
        (self.is_lost, self.parts) = (true, Vec::new());
    }
}

impl Part {
    fn len(&self) -> u64 {
        if let Self::Data(data) = self { data.len() as u64 } else { 0 }
    }
}
