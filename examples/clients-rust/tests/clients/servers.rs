//! Servers of hyper that do as they are told, on ports that stay their own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tonic::body::Body;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

/// How a server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    Unavailable,
    /// Asks to be spared for 60 seconds.
    Throttled,
    Hangs,
}

pub struct State {
    pub name: &'static str,
    pub mood: Mutex<Mood>,
    /// The host it was called by, and the body.
    pub seen: Mutex<Vec<(String, Bytes)>>,
}

pub struct Server {
    pub state: Arc<State>,
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(name: &'static str) -> Self {
        let state = Arc::new(State { name, mood: Mutex::new(Mood::Well), seen: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { task: tokio::spawn(serve(listener, Arc::clone(&state))), state, address }
    }

    /// Closes its port and all connections.
    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.task = tokio::spawn(serve(listener, Arc::clone(&self.state)));
    }

    pub fn is(&self, mood: Mood) {
        *self.state.mood.lock().unwrap() = mood;
    }

    pub fn seen(&self) -> usize {
        self.state.seen.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            // What gRPC begins with is no HTTP/1.
            let mut start = [0; 3];
            while stream.peek(&mut start).await.unwrap_or(0) == 2 {}
            let answer = service_fn(move |request| answer(Arc::clone(&state), request));
            let _ = if &start == b"PRI" {
                http2::Builder::new(TokioExecutor::new()).timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer).await
            } else {
                http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await
            };
        });
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let is_grpc = request.headers().get("content-type").is_some_and(|kind| kind == "application/grpc");
    let mood = *state.mood.lock().unwrap();
    if is_grpc {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let said = move |request: tonic::Request<String>| said(Arc::clone(&state), host.clone(), mood, request);
        return Ok(tonic::server::Grpc::new(Text).unary(tower::service_fn(said), request).await);
    }
    let host = request.headers()["host"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    state.seen.lock().unwrap().push((host, body));
    if mood == Mood::Hangs {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let status = match mood {
        Mood::Unavailable => 503,
        Mood::Throttled => 429,
        Mood::Well | Mood::Hangs => 200,
    };
    let mut response = Response::builder().status(status);
    if mood == Mood::Throttled {
        response = response.header("retry-after", "60");
    }
    Ok(response.body(Body::new(Full::from(state.name))).unwrap())
}

async fn said(state: Arc<State>, host: String, mood: Mood, request: tonic::Request<String>) -> Result<tonic::Response<String>, Status> {
    state.seen.lock().unwrap().push((host, request.into_inner().into()));
    match mood {
        Mood::Well => Ok(tonic::Response::new(state.name.to_owned())),
        Mood::Unavailable => Err(Status::unavailable("as told")),
        Mood::Throttled => {
            let mut status = Status::new(Code::ResourceExhausted, "as told");
            status.metadata_mut().insert("grpc-retry-pushback-ms", "60000".parse().unwrap());
            Err(status)
        }
        Mood::Hangs => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Err(Status::unknown("nobody waited"))
        }
    }
}

/// Messages that are text: what a service without a `.proto` sends.
#[derive(Clone, Copy, Default)]
pub struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining()).to_vec();
        String::from_utf8(bytes).map(Some).map_err(|_| Status::internal("no text"))
    }
}
