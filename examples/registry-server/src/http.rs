//! HTTP: connections with their bounds, requests as the core takes them, and its responses as axum sends them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::response::{IntoResponse, Response};
use callboard::serve::{Place, Response as Said, Room, Wait};
use futures_util::stream::{self, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tower_service::Service as _;

use crate::PATIENCE;
use crate::board::Board;

/// How many connections more than there is room for are told so; others are closed at once.
const REFUSALS: usize = 64;
/// How long a connection may take over its next request line and headers, idle or not.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a request line and headers.
const HEAD: usize = 64 * 1_024;

/// What every connection needs.
#[derive(Clone)]
struct Desk {
    board: Arc<Board>,
    room: Arc<Mutex<Room>>,
}

/// The place of a request whose body is read.
struct Reading<'a> {
    room: &'a Mutex<Room>,
    place: Option<Place>,
}

/// Takes connections, each with a request at a time and so many as the bounds allow requests, until the board stops, and lets those that there are end.
pub async fn serve(listener: TcpListener, board: Arc<Board>) {
    let app = Router::new().fallback(answer).with_state(Desk { board: Arc::clone(&board), room: Arc::default() });
    let refusing = Router::new().fallback(refuse);
    let (places, refusals) = (Arc::new(Semaphore::new(board.server.bounds().requests)), Arc::new(Semaphore::new(REFUSALS)));
    let ending = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = board.stopped() => break,
        };
        let Ok((stream, peer)) = accepted else {
            // No more files may be open, or whoever came is gone.
            sleep(Duration::from_millis(20)).await;
            continue;
        };
        let (place, app, http) = match (Arc::clone(&places).try_acquire_owned(), Arc::clone(&refusals).try_acquire_owned()) {
            (Ok(place), _) => (place, app.clone(), bounds(IDLE)),
            (_, Ok(place)) => (place, refusing.clone(), bounds(PATIENCE / 10)),
            _ => continue,
        };
        // What is answered is whole: nothing is gained by waiting for more of it.
        let _ = stream.set_nodelay(true);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            app.clone().call(request)
        });
        let connection = ending.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // Whoever hangs up or falls silent has had its answers.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    ending.shutdown().await;
}

fn bounds(idle: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(idle).max_buf_size(HEAD);
    http
}

/// One that comes when every place is taken.
async fn refuse() -> Response {
    let mut refused = send(Said::overloaded("requests"));
    refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    refused
}

/// One request, however long it has to wait.
async fn answer(State(desk): State<Desk>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match read(body, &desk).await {
        Ok(body) => body,
        Err(refused) => return send(refused),
    };
    // Headers that are no text are nobody's business here.
    let headers: Vec<_> = parts.headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?))).collect();
    let request = callboard::serve::Request {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &headers,
        body: &body,
        peer: &peer.ip().to_canonical().to_string(),
        ..Default::default()
    };
    match desk.board.answer(&request).await {
        Ok((response, None)) => send(response),
        Ok((mut response, Some(wait))) => {
            let first = std::mem::take(&mut response.body);
            let (head, _) = send(response).into_parts();
            Response::from_parts(head, pieces(desk.board, first, wait))
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

/// A body that goes on until the board stops or whoever asked hangs up: each piece is made when the one before it is sent.
fn pieces(board: Arc<Board>, first: Vec<u8>, wait: Wait) -> Body {
    let next = async |(board, next): (Arc<Board>, Option<Wait>)| {
        let (piece, rest) = board.next(next?).await;
        // One that is refused in the middle, for want of room, ends.
        (piece.status == 200).then_some((piece.body, (board, rest)))
    };
    let rest = stream::unfold((board, Some(wait)), next);
    Body::from_stream(stream::once(async { first }).chain(rest).map(Ok::<_, Infallible>))
}

/// The whole body, or why it was not taken.
async fn read(body: Body, desk: &Desk) -> Result<Vec<u8>, Said> {
    let bounds = desk.board.server.bounds();
    let until = Instant::now() + bounds.patience;
    let mut reading = Reading::enter(desk)?;
    let length = body.size_hint().exact();
    reading.take(length.unwrap_or(0), desk)?;
    let (mut whole, mut parts) = (Vec::new(), body.into_data_stream());
    loop {
        match timeout_at(until, parts.next()).await {
            Ok(Some(Ok(part))) => whole.extend_from_slice(&part),
            Ok(Some(Err(_))) => return Err(Said::cut()),
            Ok(None) => return Ok(whole),
            Err(_) => return Err(Said::late()),
        }
        if length.is_none() {
            reading.take(whole.len() as u64, desk)?;
        }
    }
}

impl<'a> Reading<'a> {
    fn enter(desk: &'a Desk) -> Result<Self, Said> {
        let place = lock(&desk.room).enter(desk.board.server.bounds())?;
        Ok(Self { room: &desk.room, place: Some(place) })
    }

    fn take(&mut self, bytes: u64, desk: &Desk) -> Result<(), Said> {
        let Some(place) = &mut self.place else { return Ok(()) };
        lock(self.room).take(desk.board.server.bounds(), place, bytes)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            lock(self.room).leave(place);
        }
    }
}

fn lock(room: &Mutex<Room>) -> std::sync::MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

fn send(response: Said) -> Response {
    let mut built = Response::builder().status(response.status);
    for (name, value) in response.headers {
        built = built.header(name, value);
    }
    built.body(response.body.into()).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
