//! The hosts of a registry in `examples/`, as they stand there, and an etcd: started on free ports, stopped with the value.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How long a host may take to say where it listens.
const PATIENCE: Duration = Duration::from_secs(60);

/// The hosts, by name.
pub const NAMES: &[&str] = &["axum", "axum, journal", "ASGI", "Node", "Deno", "Bun", "workerd"];

/// A server that runs.
pub struct Host {
    pub name: &'static str,
    pub address: SocketAddr,
    child: Child,
}

impl Drop for Host {
    fn drop(&mut self) {
        // What it started ends with it: workerd, which miniflare would leave behind a kill.
        for id in tree(self.child.id()).into_iter().rev() {
            let _ = Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = self.child.wait();
    }
}

impl Host {
    /// Nanoseconds of processor that it has had, with the processes that it started.
    pub fn cpu(&self) -> u64 {
        let tasks = |id: u32| fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let spent = |task: fs::DirEntry| fs::read_to_string(task.path().join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok();
        tree(self.child.id()).into_iter().flat_map(tasks).filter_map(spent).sum()
    }

    /// A host of `examples/`; `folder` is for what it needs.
    pub fn start(name: &'static str, root: &Path, folder: &Path) -> Result<Self> {
        let npm = root.join("bindings-wasm/node_modules");
        let script = folder.join("registry-fetch/server.mjs");
        let mut command = match name {
            "axum" | "axum, journal" => Command::new(root.join("target/demo/registry-server")),
            "ASGI" => Command::new(root.join("target/venv/bin/python")),
            "Deno" => Command::new(found(&npm.join("@deno"), "deno")?),
            "Bun" => Command::new(found(&npm.join("@oven"), "bin/bun")?),
            _ => Command::new("node"),
        };
        command.current_dir(folder).env("PORT", "0");
        match name {
            "axum" => command.args(["--listen", "127.0.0.1:0"]),
            "axum, journal" => command.args(["--listen", "127.0.0.1:0", "--journal"]).arg(folder.join("board")),
            "ASGI" => command
                .args(["-m", "uvicorn", "--port", "0", "--no-access-log", "registry:app"])
                .current_dir(root.join("examples/registry-asgi")),
            "Deno" => command.args(["run", "--no-remote", "--no-prompt", "--allow-net", "--allow-env", "--allow-read"]).arg(script),
            "workerd" => command.arg(folder.join("registry-worker/run.mjs")),
            _ => command.arg(script),
        };
        Self::spawn(name, command, |line| Some(line.split_once("http://")?.1.split([' ', '/', '\u{1b}']).next()?.parse().ok()?))
    }

    /// An etcd with its data in a folder, on the disk as it comes.
    pub fn etcd(folder: &Path) -> Result<Self> {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|own| own.local_addr());
        let (client, peer) = (free()?, free()?);
        let mut command = Command::new("etcd");
        command.arg(format!("--data-dir={}", folder.display())).arg(format!("--initial-cluster=default=http://{peer}"));
        for (name, address) in
            [("listen-client", client), ("advertise-client", client), ("listen-peer", peer), ("initial-advertise-peer", peer)]
        {
            command.arg(format!("--{name}-urls=http://{address}"));
        }
        let host = Self::spawn("etcd", command, move |line| line.contains("ready to serve client requests").then_some(client))?;
        TcpStream::connect(client)?;
        Ok(host)
    }

    fn spawn(name: &'static str, mut command: Command, listens: impl Fn(&str) -> Option<SocketAddr> + Send + 'static) -> Result<Self> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (said, hears) = mpsc::channel::<String>();
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|own| Box::new(own) as _), child.stderr.take().map(|own| Box::new(own) as _)];
        for stream in streams.into_iter().flatten() {
            let said = said.clone();
            // To the end of the process: a pipe that nobody reads would stop it.
            thread::spawn(move || BufReader::new(stream).lines().map_while(std::result::Result::ok).for_each(|line| drop(said.send(line))));
        }
        let (start, mut lines) = (Instant::now(), Vec::new());
        let mut host = Self { name, address: SocketAddr::from(([127, 0, 0, 1], 0)), child };
        while let Ok(line) = hears.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
            if let Some(address) = listens(&line) {
                host.address = address;
                return Ok(host);
            }
            lines.push(line);
        }
        Err(format!("{name} does not say where it listens: {}", lines.join(" / ")).into())
    }
}

/// Puts the hosts in JS beside an installed package.
pub fn install(root: &Path, folder: &Path) -> Result<()> {
    for example in ["registry-fetch", "registry-worker"] {
        copy(&root.join("examples").join(example), &folder.join(example))?;
    }
    let package = folder.join("node_modules/callboard");
    copy(&root.join("bindings-wasm/dist"), &package.join("dist"))?;
    fs::copy(root.join("bindings-wasm/package.json"), package.join("package.json"))?;
    for tool in ["esbuild", "miniflare"] {
        std::os::unix::fs::symlink(root.join("bindings-wasm/node_modules").join(tool), folder.join("node_modules").join(tool))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A file at the same place in any of a folder's folders.
fn found(folder: &Path, inner: &str) -> Result<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(folder)?.flatten().map(|entry| entry.path().join(inner)).filter(|path| path.is_file()).collect();
    all.sort();
    all.into_iter().next().ok_or_else(|| format!("no {inner} in {}", folder.display()).into())
}

/// A process and those that it and they started.
fn tree(root: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name, in brackets, may hold anything.
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(id);
    }
    let mut all = vec![root];
    let mut at = 0;
    while let Some(id) = all.get(at) {
        all.extend(children.get(id).into_iter().flatten().copied().collect::<Vec<_>>());
        at += 1;
    }
    all
}
