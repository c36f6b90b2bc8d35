//! A host that is started, and looked at from outside.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A server that runs; it is stopped with the value.
pub struct Server {
    pub http: SocketAddr,
    pub dns: Option<SocketAddr>,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // What it started ends with it: workerd, which a script that is killed would leave behind.
        for id in self.tree().into_iter().skip(1) {
            drop(Command::new("kill").args(["-KILL", &id.to_string()]).stderr(Stdio::null()).status());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts a command that says where it listens, on DNS first of all if it is asked to serve that.
    ///
    /// # Errors
    /// Why it does not run.
    pub fn start(command: &[String]) -> Result<Self, String> {
        let (name, arguments) = command.split_first().ok_or("no command")?;
        let mut child = Command::new(name);
        child.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().map_err(|error| format!("{name}: {error}"))?;
        let (said, hears) = mpsc::channel::<String>();
        let streams: [Option<Box<dyn std::io::Read + Send>>; 2] =
            [child.stdout.take().map(|own| Box::new(own) as _), child.stderr.take().map(|own| Box::new(own) as _)];
        for stream in streams.into_iter().flatten() {
            let said = said.clone();
            std::thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(said.send(line))));
        }
        let wants_names = arguments.iter().any(|argument| argument == "--dns");
        let (mut http, mut dns, mut lines) = (None, None, Vec::new());
        while http.is_none() || (wants_names && dns.is_none()) {
            let Ok(line) = hears.recv_timeout(Duration::from_secs(60)) else {
                drop(child.kill());
                return Err(format!("{name} does not say where it listens: {}", lines.join(" / ")));
            };
            let find = |scheme| line.split_once(scheme)?.1.split([' ', '/']).next()?.parse().ok();
            http = http.or_else(|| find("http://"));
            dns = dns.or_else(|| find("dns://"));
            lines.push(line);
        }
        let http = http.ok_or("no address")?;
        Ok(Self { http, dns, child })
    }

    /// KiB that it has in memory, with the processes that it started.
    pub fn memory(&self) -> u64 {
        let of = |id: u32| {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        self.tree().into_iter().map(of).sum()
    }

    /// It and those that it started.
    fn tree(&self) -> Vec<u32> {
        let mut tree = vec![self.child.id()];
        let mut at = 0;
        while let Some(id) = tree.get(at) {
            let tasks = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
            let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
            let children: Vec<u32> =
                children.flat_map(|line| line.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
            tree.extend(children);
            at += 1;
        }
        tree
    }

    pub fn is_alive(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    }
}
