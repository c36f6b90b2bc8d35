//! HTTP: requests as the core takes them, and its responses as axum sends them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use callboard::{Code, Error, limits};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::board::Board;

/// One request, however long it has to wait.
pub async fn answer(State(board): State<Arc<Board>>, ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request<Body>) -> Response {
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
        ..Default::default()
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
