//! The program as a user runs it: started, killed, stopped, started again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(file: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-server"));
        command.args(["--listen", "127.0.0.1:0", "--snapshot"]).arg(file).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit_once("http://").unwrap().1.to_owned();
        Self { child, address }
    }

    fn send(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let length = body.len();
        write!(stream, "{method} {target} HTTP/1.1\r\nhost: board\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }

    fn terminate(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn file(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("board")
}

#[test]
fn no_acknowledged_registration_is_lost() {
    let file = file("lost");
    let mut acknowledged = 0;
    for round in 0..5 {
        let server = Server::start(&file);
        let (_, body) = server.send("GET", "/v1/health", "");
        assert!(body.contains(&format!("\"instances\":{acknowledged},")), "round {round}: {body}");
        thread::scope(|scope| {
            for lane in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    for n in 0..5 {
                        let (status, _) = server.send("PUT", &format!("/v1/instances/default/web/{round}-{lane}-{n}"), "{\"ttl\":60}");
                        assert_eq!(status, 201);
                    }
                });
            }
        });
        acknowledged += 20;
        if round == 3 { server.terminate() } else { server.kill() }
    }
}

#[test]
fn a_long_poll_hears_of_a_change_and_a_stop_ends_it() {
    let file = file("poll");
    let server = Server::start(&file);
    let (_, body) = server.send("GET", "/v1/instances/default/web?wait=30", "");
    let number = |key: &str| body.split(key).nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
    let poll = format!("/v1/instances/default/web?wait=15&epoch={}&revision={}", number("\"epoch\":"), number("\"revision\":"));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| server.send("GET", &poll, ""));
        thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished());
        server.send("PUT", "/v1/instances/default/web/a", "{\"endpoints\":[\"http://127.0.0.1:1\"]}");
        assert!(waiting.join().unwrap().1.contains("http://127.0.0.1:1"));
    });
    let next = poll.replace(&format!("revision={}", number("\"revision\":")), "revision=1");
    let address = server.address.clone();
    let started = Instant::now();
    let waiting = thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {next} HTTP/1.1\r\nhost: board\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    thread::sleep(Duration::from_millis(200));
    server.terminate();
    assert!(waiting.join().unwrap().starts_with("HTTP/1.1 200"));
    assert!(started.elapsed() < Duration::from_secs(14));
}

#[test]
fn a_damaged_file_is_not_overwritten() {
    let file = file("damaged");
    std::fs::write(&file, b"CBRD what is this").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-server"));
    let output = command.args(["--listen", "127.0.0.1:0", "--snapshot"]).arg(&file).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("snapshot-corrupt"));
    assert_eq!(std::fs::read(&file).unwrap(), b"CBRD what is this");
}
