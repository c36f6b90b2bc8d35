//! A registry server: callboard's HTTP API and those of Consul, Eureka and Nacos on axum, and DNS beside them.
//!
//! ```text
//! registry-server [--listen 127.0.0.1:7400] [--dns 127.0.0.1:8600] [--domain callboard] [--journal FILE]
//!     [--bounds '{"requests": 8192, "bodies": 32, "waits": 4096, "patience": 10}'] [--etcd URL [--queue 0]]
//! ```
//! Everything that is decided is decided by the core; this program brings the socket, the clock, the disk and the entropy.
//! With `--journal`, a change is acknowledged only when a frame that holds it is on the disk: no registration that was acknowledged is lost. Changes that come
//! while one is being written share the next one. Renewals are not written, save for a newer incarnation, for which they do not wait; after a restart every lease
//! begins anew. When the disk fails, changes are answered 503 and stay in memory, reads and renewals go on, and the write is tried again every second.
//! With `--etcd http://127.0.0.1:2379`, several servers share that etcd: a provider that signs in at one is seen at all, and renews at any. While etcd is away,
//! what is known is served and says that it is stale, and changes are refused, or up to `--queue` of them taken and written later.
//! At most so many connections, of a request each, long polls and large bodies are there at a time; what comes above that is answered 503 with `Retry-After`.
//! It speaks no TLS: where others listen, a proxy before it does.

mod board;
mod disk;
mod dns;
mod http;
mod shared;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use board::Board;
use callboard::Value;
use callboard::serve::Server;
use callboard::store::replica::Settings;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

/// How long a message of DNS may take to arrive, and connections to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(10);

struct Arguments {
    listen: String,
    dns: Option<String>,
    server: Server,
    journal: Option<String>,
    etcd: Option<String>,
    queue: u32,
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
    let settings = arguments.etcd.as_ref().map(|_| Settings { queue: arguments.queue, ..Settings::default() });
    let board = Arc::new(Board::open(arguments.journal.map(Into::into), settings, arguments.server)?);
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

    let sharing = arguments.etcd.map(|url| {
        let etcd = Arc::new(shared::Etcd::at(&url));
        [tokio::spawn(shared::speak(Arc::clone(&board), Arc::clone(&etcd))), tokio::spawn(shared::listen(Arc::clone(&board), etcd))]
    });
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
        () = http::serve(listener, Arc::clone(&board)) => {}
        () = patience => eprintln!("registry-server: some connections did not end in time"),
    }
    timer.abort();
    sharing.into_iter().flatten().for_each(|task| task.abort());
    names.inspect(tokio::task::JoinHandle::abort);
    // Only now, when nobody waits for the disk any more, the writer may end.
    board.close();
    writer.await??;
    eprintln!("registry-server: stopped; {}", board.summary());
    Ok(())
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments =
        Arguments { listen: "127.0.0.1:7400".into(), dns: None, server: Server::default(), journal: None, etcd: None, queue: 0 };
    let mut settings = Vec::new();
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--listen" => arguments.listen = value?,
            "--dns" => arguments.dns = Some(value?),
            "--domain" => settings.push(("domain", Value::from(value?))),
            "--bounds" => settings.push(("bounds", Value::from_json(value?.as_bytes()).map_err(|error| error.to_string())?)),
            "--journal" => arguments.journal = Some(value?),
            "--etcd" => arguments.etcd = Some(value?),
            "--queue" => {
                let value = value?;
                arguments.queue = value.parse().map_err(|_| format!("{value} is not a number"))?;
            }
            _ => {
                let usage = "registry-server [--listen ADDRESS:PORT] [--dns ADDRESS:PORT] [--domain NAME] [--journal FILE] [--bounds JSON] \
                    [--etcd URL [--queue NUMBER]]";
                return Err(format!("unknown argument {name}; usage: {usage}"));
            }
        }
    }
    arguments.server = Server::from_value(&Value::map(settings)).map_err(|error| error.to_string())?;
    if arguments.journal.is_some() && arguments.etcd.is_some() {
        return Err("either a journal keeps the registry, or an etcd that several servers share".into());
    }
    Ok(arguments)
}
