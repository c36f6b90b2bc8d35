//! Servers that are started, and load for them over loopback.
//!
//! A server is charged with the processor time of its process and of those that it started, to the nanosecond (`/proc/PID/task/*/schedstat`), so what
//! the load itself costs, and what others do on the machine, is no part of the figures; only latencies and throughput feel it.

pub mod client;
pub mod hosts;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Connection;
use hosts::Host;

/// What a closed loop of requests came to.
#[derive(Default)]
pub struct Sample {
    pub count: u64,
    /// Processor time of the server for one, microseconds.
    pub cpu: f64,
    pub per_second: f64,
    /// Seconds that each took, sorted.
    pub latencies: Vec<f64>,
}

impl Sample {
    /// A latency that so many percent do not exceed, milliseconds.
    pub fn percentile(&self, percent: usize) -> f64 {
        self.latencies.get(self.latencies.len().saturating_sub(1) * percent / 100).map_or(f64::NAN, |latency| latency * 1e3)
    }
}

/// Connections that ask one request after the other for as long as `span`; `request` writes the n-th one, of which there are no two.
pub fn closed_loop(host: &Host, connections: usize, span: Duration, from: &AtomicU64, request: impl Fn(u64) -> Vec<u8> + Sync) -> Sample {
    let all = Mutex::new(Vec::new());
    let (address, before, start) = (host.address, host.cpu(), Instant::now());
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut own = Vec::new();
                let mut connection = Connection::open(address).expect("a connection");
                while start.elapsed() < span {
                    let bytes = request(from.fetch_add(1, Ordering::Relaxed));
                    let asked = Instant::now();
                    connection.ask(&bytes).unwrap_or_else(|error| panic!("{}: {error}: {}", host.name, String::from_utf8_lossy(&bytes)));
                    own.push(asked.elapsed().as_secs_f64());
                }
                all.lock().unwrap().append(&mut own);
            });
        }
    });
    let (elapsed, cpu) = (start.elapsed().as_secs_f64(), host.cpu() - before);
    let mut latencies = all.into_inner().unwrap();
    latencies.sort_by(f64::total_cmp);
    let count = latencies.len() as u64;
    Sample { count, cpu: cpu as f64 / 1e3 / count as f64, per_second: count as f64 / elapsed, latencies }
}

/// Many connections on each of which something is waited for.
pub struct Watchers {
    connections: Vec<Connection>,
}

impl Watchers {
    pub fn open(address: SocketAddr, count: usize) -> std::io::Result<Self> {
        Ok(Self { connections: (0..count).map(|_| Connection::open(address)).collect::<Result<_, _>>()? })
    }

    /// Sends a request on one of them.
    pub fn send(&mut self, at: usize, request: &[u8]) -> std::io::Result<()> {
        self.connections[at].send(request)
    }

    /// Takes what comes until `wanted` messages were there or `patience` is over: who was told how often, and when the last came.
    pub fn hear(&mut self, wanted: usize, patience: Duration) -> std::io::Result<(Vec<usize>, Duration, Vec<Vec<u8>>)> {
        let (start, mut told, mut heard, mut last) = (Instant::now(), vec![0; self.connections.len()], 0, Duration::ZERO);
        let mut bodies = vec![Vec::new(); self.connections.len()];
        while heard < wanted && start.elapsed() < patience {
            let left = patience.saturating_sub(start.elapsed()).min(Duration::from_millis(100));
            for at in client::readable(&self.connections, left)? {
                for body in self.connections[at].messages()? {
                    (told[at], heard, last) = (told[at] + 1, heard + 1, start.elapsed());
                    bodies[at] = body;
                }
            }
        }
        Ok((told, last, bodies))
    }
}
