//! Several servers over one etcd: carries the questions of callboard's `Replica` to etcd's JSON gateway, and its answers back.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use callboard::store::replica::Ask;
use callboard::{Error as Refusal, limits};
use futures_util::StreamExt as _;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::{sleep, timeout};

use crate::board::{Board, Error};

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(2);
const TOGETHER: Duration = Duration::from_millis(5);
/// After which a watch that says nothing is asked again: its connection may be gone without a word.
const SILENCE: Duration = Duration::from_secs(60);

/// Where an etcd listens, over HTTP without TLS.
pub struct Etcd {
    url: String,
    http: Client<HttpConnector, Body>,
}

impl Etcd {
    pub fn at(url: &str) -> Self {
        Self { url: url.trim_end_matches('/').into(), http: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// The body of the answer, whatever its status says: an error tells itself.
    async fn post(&self, ask: &Ask) -> Result<Body, Error> {
        let request = Request::post(format!("{}{}", self.url, ask.path)).body(Body::from(ask.body.clone()))?;
        Ok(Body::new(timeout(PATIENCE, self.http.request(request)).await??.into_body()))
    }

    async fn answer(&self, ask: &Ask) -> Result<Bytes, Error> {
        let read = async { Ok::<_, Error>(to_bytes(self.post(ask).await?, 2 * limits::PAYLOAD_BYTES).await?) };
        timeout(PATIENCE, read).await?
    }
}

/// Says what there is to say, one question after the other.
pub async fn speak(board: Arc<Board>, etcd: Arc<Etcd>) {
    let mut changes = board.changes();
    loop {
        changes.mark_unchanged();
        let (ask, left) = board.ask_engine();
        let Some(ask) = ask else {
            tokio::select! {
                _ = changes.changed() => {}
                // Who is heard at about the same time is told at once.
                () = board.beaten() => sleep(TOGETHER).await,
                () = sleep(left) => {}
            }
            continue;
        };
        let answer = etcd.answer(&ask).await;
        if let Err(error) = &answer {
            eprintln!("registry-server: etcd does not answer: {error}");
        }
        report(board.take_answer(answer.ok().as_deref()));
    }
}

/// Hears what the other servers say.
pub async fn listen(board: Arc<Board>, etcd: Arc<Etcd>) {
    loop {
        let Some(ask) = board.follow_engine() else { return };
        sleep(ask.after).await;
        if !hear(&board, &etcd, &ask).await.unwrap_or(false) {
            board.lose_engine();
        }
    }
}

/// Whether it ended because there is something else to ask.
async fn hear(board: &Board, etcd: &Etcd, ask: &Ask) -> Result<bool, Error> {
    if !ask.stream {
        return Ok(report(board.take_news(&etcd.answer(ask).await?)));
    }
    let (mut parts, mut line) = (etcd.post(ask).await?.into_data_stream(), Vec::new());
    while let Some(part) = timeout(SILENCE, parts.next()).await? {
        for byte in part? {
            line.push(byte);
            if byte == b'\n' && report(board.take_news(&std::mem::take(&mut line))) {
                return Ok(true);
            }
        }
        if line.len() > 2 * limits::PAYLOAD_BYTES {
            break;
        }
    }
    Ok(false)
}

/// Tells what was left alone; whether there is something else to ask.
fn report(told: Result<callboard::store::replica::Told, Refusal>) -> bool {
    match told {
        Ok(told) => {
            for unread in &told.skipped {
                eprintln!("registry-server: {} is left alone: {}", unread.key, unread.error.code().as_str());
            }
            told.again
        }
        Err(error) => {
            eprintln!("registry-server: etcd says strange things: {error}");
            true
        }
    }
}
