//! HTTP: connections with their bounds, requests as the core takes them, and its responses as axum sends them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::response::{IntoResponse, Response};
use callboard::serve::Wait;
use callboard::{Code, Error, limits};
use futures_util::stream::{self, StreamExt as _};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tower_service::Service as _;

use crate::PATIENCE;
use crate::board::Board;

/// How many connections more than there is room for are told so; others are closed at once.
const REFUSALS: usize = 64;
/// How long a connection may take over its next request line and headers, idle or not.
const IDLE: Duration = Duration::from_secs(60);
/// Bytes of a request line and headers.
const HEAD: usize = 64 * 1_024;
/// Large bodies that are read at a time, and what is large.
const BODIES: usize = 32;
const LARGE: u64 = 64 * 1_024;

/// What every connection needs.
#[derive(Clone)]
struct Desk {
    board: Arc<Board>,
    bodies: Arc<Semaphore>,
}

/// Takes connections, so many at a time, until the board stops, and lets those that there are end.
pub async fn serve(listener: TcpListener, board: Arc<Board>, connections: usize) {
    let app = Router::new().fallback(answer).with_state(Desk { board: Arc::clone(&board), bodies: Arc::new(Semaphore::new(BODIES)) });
    let refusing = Router::new().fallback(refuse);
    let (places, refusals) = (Arc::new(Semaphore::new(connections)), Arc::new(Semaphore::new(REFUSALS)));
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
    let mut refused = send(callboard::serve::Response::overloaded("connection"));
    refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    refused
}

/// One request, however long it has to wait.
async fn answer(State(desk): State<Desk>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match read(body, &desk.bodies).await {
        Ok(body) => body,
        Err(refused) => return refused,
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
async fn read(body: Body, bodies: &Semaphore) -> Result<Bytes, Response> {
    let is_large = body.size_hint().upper().is_none_or(|most| most > LARGE);
    let place = is_large.then(|| bodies.try_acquire());
    if let Some(Err(_)) = place {
        return Err(send(callboard::serve::Response::overloaded("body")));
    }
    match timeout(PATIENCE, to_bytes(body, limits::PAYLOAD_BYTES)).await {
        Ok(Ok(body)) => Ok(body),
        // Cut short, or too large: the first has nobody left to tell.
        Ok(Err(_)) => {
            let limit = limits::PAYLOAD_BYTES as u64;
            let error = Error::new(Code::LimitExceeded, "body").limit(limit).message("above the limit");
            Err(send(callboard::serve::Response::error(&error)))
        }
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response()),
    }
}

fn send(response: callboard::serve::Response) -> Response {
    let mut built = Response::builder().status(response.status);
    for (name, value) in response.headers {
        built = built.header(name, value);
    }
    built.body(response.body.into()).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}
