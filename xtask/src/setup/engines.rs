//! Programs of other people that the Python tests hold callboard against: a server of DNS and a reader of its answers, an etcd, a Redis, a NATS, a ZooKeeper, and
//! one that makes certificates.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::{Ready, apt};
use crate::{Result, sh};

/// Each program, and the Debian package that has it.
const ENGINES: [(&str, &str); 7] = [
    ("dnsmasq", "dnsmasq-base"),
    ("dig", "bind9-dnsutils"),
    ("etcd", "etcd-server"),
    ("redis-server", "redis-server"),
    ("nats-server", "nats-server"),
    ("zkServer.sh", "zookeeper"),
    ("openssl", "openssl"),
];

/// The programs, installed from Debian where they are missing.
pub fn ensure() -> Result<Ready> {
    let names: Vec<&str> = ENGINES.iter().map(|(name, _)| *name).collect();
    let packages: Vec<&str> = missing().map(|(_, package)| package).collect();
    if packages.is_empty() {
        return Ok(Ready::found(names.join(", ")));
    }
    let started = Instant::now();
    apt::install("engines", &packages)?;
    if let Some((name, package)) = missing().next() {
        return Err(format!("apt-get installed {package}, but there is no {name}").into());
    }
    Ok(Ready::installed(names.join(", "), started.elapsed()))
}

fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENGINES.into_iter().filter(|(name, _)| find(name).is_none())
}

/// Debian keeps servers where the path of a user may not lead.
fn find(name: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/share/zookeeper/bin"].map(Path::new);
    sh::which(name).or_else(|| folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()))
}
