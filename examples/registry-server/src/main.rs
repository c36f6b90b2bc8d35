//! A registry server: callboard's HTTP API on axum.
//!
//! ```text
//! registry-server [--listen 127.0.0.1:7400] [--snapshot FILE]
//! ```
//! Everything that is decided is decided by the core; this program brings the socket, the clock, the disk and the entropy.
//! With `--snapshot`, a change is acknowledged only after a snapshot that holds it is on the disk: no registration that
//! was acknowledged is lost. Changes that come while one is being written share the next one. Renewals are not
//! written, save for a newer incarnation, for which they do not wait; after a restart every lease begins anew. When the disk fails, changes are answered 503 and stay in memory, reads and renewals go on,
//! and the write is tried again every second.

mod board;
mod disk;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use board::Board;
use callboard::{Code, Error, limits};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How long a body may take to arrive, and connections to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(10);

struct Arguments {
    listen: String,
    snapshot: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("registry-server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments = arguments()?;
    let board = Arc::new(Board::open(arguments.snapshot.map(Into::into))?);
    // Before anybody can know that we run: a signal must never find the default action, which is to die.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(&arguments.listen).await?;
    // On stdout and first, so that whoever asked for port 0 can read which it is.
    println!("registry-server: listening on http://{}", listener.local_addr()?);
    eprintln!("registry-server: {}", board.summary());

    let timer = tokio::spawn(Arc::clone(&board).keep_time());
    let writer = tokio::spawn(Arc::clone(&board).keep_on_disk());
    let app = Router::new().fallback(answer).with_state(Arc::clone(&board));
    let stopping = Arc::clone(&board);
    let served = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        eprintln!("registry-server: stopping");
        stopping.stop();
    });
    let patience = async {
        board.stopped().await;
        sleep(PATIENCE).await;
    };
    tokio::select! {
        served = served.into_future() => served?,
        () = patience => eprintln!("registry-server: some connections did not end in time"),
    }
    timer.abort();
    // Only now, when nobody waits for the disk any more, the writer may end.
    board.close();
    writer.await??;
    eprintln!("registry-server: stopped; {}", board.summary());
    Ok(())
}

/// One request, however long it has to wait.
async fn answer(State(board): State<Arc<Board>>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = match timeout(PATIENCE, to_bytes(body, limits::PAYLOAD_BYTES)).await {
        Ok(Ok(body)) => body,
        // Cut short, or too large: the first has nobody left to tell.
        Ok(Err(_)) => {
            let limit = limits::PAYLOAD_BYTES as u64;
            let error = Error::new(Code::LimitExceeded, "body").limit(limit).message("above the limit");
            return send(callboard::serve::Response::error(&error));
        }
        Err(_) => return (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n").into_response(),
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
    };
    match board.answer(&request).await {
        Ok(response) => send(response),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}

fn send(response: callboard::serve::Response) -> Response {
    let mut built = Response::builder().status(response.status);
    for (name, value) in response.headers {
        built = built.header(name, value);
    }
    built.body(response.body.into()).unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { listen: "127.0.0.1:7400".into(), snapshot: None };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => arguments.listen = value?,
            "--snapshot" => arguments.snapshot = Some(value?),
            _ => return Err(format!("unknown argument {name}; usage: registry-server [--listen ADDRESS:PORT] [--snapshot FILE]")),
        }
    }
    Ok(arguments)
}
