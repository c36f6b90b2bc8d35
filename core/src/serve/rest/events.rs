//! Watches as server-sent events: a response whose body goes on.
//!
//! Any read with `wait` is a stream for whoever accepts `text/event-stream`. A query's events are `delta`s, the change log's are `changes`, both the documents
//! of these names; the id of each is the position it leads to, so a reader that lost its connection goes on from the `Last-Event-ID` that it sends. A reader that
//! is slow, or away, gets one net change of each instance.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::Write as _;
use core::time::Duration;

use super::{Call, Reply, Response, Watched};
use crate::error::{Code, Error};
use crate::query::Query;
use crate::registry::{Changes, Delta, Position, View};
use crate::serve::desk::Desk;
use crate::serve::http::{Request, problem, status};
use crate::serve::policy::Capability;
use crate::time::Timestamp;
use crate::value::Value;

/// How long nothing is said at most, in seconds, unless the request names its own. Proxies cut what is silent for a minute.
const SILENCE: u64 = 15;
/// After how many milliseconds a reader asks again that lost its connection.
const RETRY: u64 = 1_000;

/// A watch that is told as events.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Stream {
    followed: Followed,
    every: Duration,
}

#[derive(Clone, Debug)]
enum Followed {
    /// The answer of a query, and whether it was stale and protected.
    Answer(Box<View>, (bool, bool)),
    /// The change log.
    Changes(Position),
}

impl Stream {
    /// The answer that it follows; none of the change log.
    pub(in crate::serve) fn view(&self) -> Option<&View> {
        match &self.followed {
            Followed::Answer(view, _) => Some(view),
            Followed::Changes(_) => None,
        }
    }
}

/// Whether a request asks for events.
pub(super) fn are_asked(request: &Request<'_>) -> bool {
    let kinds = request.header("accept").split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim_ascii());
    request.method == "GET" && kinds.into_iter().any(|kind| kind.eq_ignore_ascii_case("text/event-stream"))
}

/// Follows the answer of a query.
pub(super) fn answer(call: &Call<'_>, mut view: Box<View>) -> Result<Reply, Error> {
    let (known, desk) = (known(call)?, &call.registry);
    let delta = match known {
        Some(known) => desk.delta_from(&mut view, known),
        None => desk.delta(&mut view),
    };
    let flags = desk.standing(&view);
    let said = delta.map(|delta| told(desk, &delta, flags));
    begin(call, Followed::Answer(view, flags), said)
}

/// Follows the change log.
pub(super) fn changes(call: &Call<'_>) -> Result<Reply, Error> {
    let here = call.registry.position();
    let since = known(call)?.unwrap_or(here);
    let said = news(&call.registry, since);
    begin(call, Followed::Changes(here), said)
}

fn begin(call: &Call<'_>, followed: Followed, said: Option<String>) -> Result<Reply, Error> {
    let every = Duration::from_secs(call.seconds()?.unwrap_or(SILENCE).max(1));
    let said = alloc::format!("retry: {RETRY}\n{}", said.unwrap_or_else(|| silence(&call.registry)));
    let head = Response::bytes(200, "text/event-stream", said.into_bytes()).header("x-accel-buffering", "no");
    Ok(goes_on(&call.registry, head, Stream { followed, every }))
}

/// What is to be said next, if anything is.
pub(super) fn resume(desk: &Desk<'_>, mut stream: Stream, until: Timestamp) -> Reply {
    if let Followed::Answer(view, _) = &stream.followed
        && let Err(error) = may_follow(desk, view.query())
    {
        return Reply::Response(piece(block("error", desk.position(), &problem(status(error.code()), &error))));
    }
    let said = match &mut stream.followed {
        Followed::Answer(view, flags) => {
            let before = core::mem::replace(flags, desk.standing(view));
            let delta = desk.delta(view).or_else(|| (before != *flags).then(|| Delta { position: desk.position(), ..Delta::default() }));
            delta.map(|delta| told(desk, &delta, *flags))
        }
        Followed::Changes(since) => {
            let since = core::mem::replace(since, desk.position());
            news(desk, since)
        }
    };
    match said {
        Some(said) => goes_on(desk, piece(said), stream),
        None if desk.now >= until => goes_on(desk, piece(silence(desk)), stream),
        None => super::waits(desk, until, Watched::Stream(stream)),
    }
}

/// Whether the answer of a query may be read: each service that it names, and of a whole namespace whatever may be.
pub(super) fn may_follow(desk: &Desk<'_>, query: &Query) -> Result<(), Error> {
    let mut named = core::iter::once(query).chain(&query.fallbacks).filter_map(|rung| rung.service.as_ref());
    named.try_for_each(|service| desk.check(Capability::Read, &query.namespace, service))
}

/// The position that the reader knows: of its last event, or that the parameters name.
fn known(call: &Call<'_>) -> Result<Option<Position>, Error> {
    let last = call.request.header("last-event-id");
    if last.is_empty() {
        return Ok(call.wait()?.map(|(known, _)| known));
    }
    let wrong = || Error::new(Code::InvalidArgument, "last-event-id").message("an epoch and a revision, with a point between");
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (epoch, revision) = last.split_once('.').ok_or_else(wrong)?;
    Ok(Some(Position { epoch: number(epoch).ok_or_else(wrong)?, revision: number(revision).ok_or_else(wrong)? }))
}

/// The event of a delta: its document, with `stale` and `protected` as an answer has them.
fn told(desk: &Desk<'_>, delta: &Delta, (stale, protected): (bool, bool)) -> String {
    let Value::Map(mut pairs) = desk.delta_value(delta) else { return String::new() };
    pairs.extend([("stale".into(), stale.into()), ("protected".into(), protected.into())]);
    block("delta", delta.position, &Value::Map(pairs))
}

/// The event of what happened since, if anything did that may be told.
fn news(desk: &Desk<'_>, since: Position) -> Option<String> {
    let changes = (since != desk.position()).then(|| desk.changes(since))?;
    let is_news = !matches!(&changes, Changes::Events { events, .. } if events.is_empty());
    is_news.then(|| block("changes", desk.position(), &changes.to_value()))
}

fn block(event: &str, Position { epoch, revision }: Position, document: &Value) -> String {
    let mut text = alloc::format!("event: {event}\nid: {epoch}.{revision}\ndata: ");
    // JSON has no line ends: those of strings are escaped.
    text.push_str(&String::from_utf8(document.to_json()).unwrap_or_default());
    text.push_str("\n\n");
    text
}

/// A comment. The id makes no event of it, but the reader knows that it has missed nothing up to here.
fn silence(desk: &Desk<'_>) -> String {
    let (Position { epoch, revision }, mut text) = (desk.position(), String::new());
    // Writing to memory does not fail.
    let _ = write!(text, ": nothing new\nid: {epoch}.{revision}\n\n");
    text
}

fn piece(text: String) -> Response {
    Response { status: 200, headers: alloc::vec::Vec::new(), body: text.into_bytes() }
}

fn goes_on(desk: &Desk<'_>, piece: Response, stream: Stream) -> Reply {
    let until = desk.now.saturating_add(stream.every);
    Reply::Stream(piece, super::wait(desk, until, Watched::Stream(stream)))
}
