//! A registry server: callboard's HTTP API and those of Consul, Eureka and Nacos on axum, and DNS beside them.
//!
//! ```text
//! registry-server [--listen 127.0.0.1:7400] [--dns 127.0.0.1:8600] [--domain callboard] [--journal FILE]
//!     [--connections 8192] [--waits 4096]
//! ```
//! Everything that is decided is decided by the core; this program brings the socket, the clock, the disk and the entropy.
//! With `--journal`, a change is acknowledged only when a frame that holds it is on the disk: no registration that was acknowledged is lost. Changes that come
//! while one is being written share the next one. Renewals are not written, save for a newer incarnation, for which they do not wait; after a restart every lease
//! begins anew. When the disk fails, changes are answered 503 and stay in memory, reads and renewals go on, and the write is tried again every second.
//! At most so many connections and long polls are there at a time, and few large bodies; what comes above that is answered 503 with `Retry-After`.

mod board;
mod disk;
mod dns;
mod http;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use board::Board;
use callboard::Value;
use callboard::serve::Server;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How long a body may take to arrive, and connections to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(10);

struct Arguments {
    listen: String,
    dns: Option<String>,
    server: Server,
    journal: Option<String>,
    connections: usize,
    waits: usize,
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
    let board = Arc::new(Board::open(arguments.journal.map(Into::into), arguments.server, arguments.waits)?);
    // Before anybody can know that we run: a signal must never find the default action, which is to die.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(&arguments.listen).await?;
    // On stdout and first, so that whoever asked for port 0 can read which it is.
    println!("registry-server: listening on http://{}", listener.local_addr()?);
    let names = match &arguments.dns {
        Some(address) => {
            let names = dns::Sockets::bind(address).await?;
            println!("registry-server: answering dns://{}", names.address()?);
            Some(tokio::spawn(names.serve(Arc::clone(&board))))
        }
        None => None,
    };
    eprintln!("registry-server: {}", board.summary());

    let timer = tokio::spawn(Arc::clone(&board).keep_time());
    let writer = tokio::spawn(Arc::clone(&board).keep_on_disk());
    let stopping = Arc::clone(&board);
    tokio::spawn(async move {
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
        () = http::serve(listener, Arc::clone(&board), arguments.connections) => {}
        () = patience => eprintln!("registry-server: some connections did not end in time"),
    }
    timer.abort();
    names.inspect(tokio::task::JoinHandle::abort);
    // Only now, when nobody waits for the disk any more, the writer may end.
    board.close();
    writer.await??;
    eprintln!("registry-server: stopped; {}", board.summary());
    Ok(())
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        listen: "127.0.0.1:7400".into(),
        dns: None,
        server: Server::default(),
        journal: None,
        connections: 8_192,
        waits: 4_096,
    };
    let number = |text: String| text.parse().map_err(|_| format!("{text} is not a number"));
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => arguments.listen = value?,
            "--dns" => arguments.dns = Some(value?),
            "--domain" => {
                let settings = Value::map([("domain", Value::from(value?.as_str()))]);
                arguments.server = Server::from_value(&settings).map_err(|error| error.to_string())?;
            }
            "--journal" => arguments.journal = Some(value?),
            "--connections" => arguments.connections = number(value?)?,
            "--waits" => arguments.waits = number(value?)?,
            _ => {
                let usage = "registry-server [--listen ADDRESS:PORT] [--dns ADDRESS:PORT] [--domain NAME] [--journal FILE] \
                    [--connections NUMBER] [--waits NUMBER]";
                return Err(format!("unknown argument {name}; usage: {usage}"));
            }
        }
    }
    Ok(arguments)
}
