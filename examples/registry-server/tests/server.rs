//! The program as a user runs it: started, killed, stopped, started again.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
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
        Self::start_with(file, &[])
    }

    fn start_with(file: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_registry-server"));
        command.args(["--listen", "127.0.0.1:0", "--journal"]).arg(file).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
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

    fn signal(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    }

    /// What it said of its life.
    fn terminate(mut self) -> String {
        self.signal();
        assert!(self.child.wait().unwrap().success());
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// Waits for the end, but not for ever.
    fn ends_within(mut self, limit: Duration) {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return assert!(status.success());
            }
            if started.elapsed() > limit {
                self.kill();
                panic!("the server did not end");
            }
            thread::sleep(Duration::from_millis(20));
        }
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
        if round == 3 { drop(server.terminate()) } else { server.kill() }
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
fn a_change_reaches_those_who_watch_it_and_wakes_nobody_else() {
    let file = file("watchers");
    let server = Server::start(&file);
    let (_, body) = server.send("GET", "/v1/instances/default/s3", "");
    let number = |key: &str| body.split(key).nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect::<String>();
    let position = format!("epoch={}&revision={}&wait=60", number("\"epoch\":"), number("\"revision\":"));
    let mut watchers: Vec<TcpStream> = (0..1_000).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    for (n, stream) in watchers.iter_mut().enumerate() {
        write!(stream, "GET /v1/instances/default/s{}?{position} HTTP/1.1\r\nhost: board\r\n\r\n", n % 10).unwrap();
    }
    // Until they wait. One that comes later still would be answered at once, and not be woken.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(server.send("PUT", "/v1/instances/default/s3/a", "{}").0, 201);
    for stream in watchers.iter_mut().skip(3).step_by(10) {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut answer = [0; 8_192];
        let length = stream.read(&mut answer).unwrap();
        assert!(String::from_utf8_lossy(&answer[..length]).contains("\"id\":\"a\""));
    }
    thread::sleep(Duration::from_millis(200));
    for stream in &mut watchers {
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    // All of them hang up, and their places with them: another change wakes nobody.
    drop(watchers);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(server.send("PUT", "/v1/instances/default/s4/a", "{}").0, 201);
    let said = server.terminate();
    let woken = said.trim_end().strip_suffix(" long polls woken").and_then(|before| before.rsplit(' ').next()).unwrap();
    assert!((1..=100).contains(&woken.parse().unwrap()), "{said}");
}

#[test]
fn what_there_is_no_room_for_is_told_so_and_comes_again() {
    let file = file("room");
    let server = Server::start_with(&file, &["--bounds", r#"{"requests": 4, "waits": 2}"#]);
    let (_, body) = server.send("GET", "/v1/instances/default/web", "");
    let epoch: String = body.split("\"epoch\":").nth(1).unwrap().chars().take_while(char::is_ascii_digit).collect();
    let poll = format!("GET /v1/instances/default/web?epoch={epoch}&revision=0&wait=60 HTTP/1.1\r\nhost: board\r\n\r\n");
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let told = |stream: &mut TcpStream| {
        let mut answer = [0; 2_048];
        let length = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    };
    let polls = [ask(&poll), ask(&poll)];
    thread::sleep(Duration::from_millis(300));
    for request in [&poll[..], "GET /v1/health HTTP/1.1\r\nhost: board\r\n\r\n"] {
        let mut third = ask(request);
        let answer = told(&mut third);
        let is_poll = request == poll;
        assert!(answer.starts_with(if is_poll { "HTTP/1.1 503" } else { "HTTP/1.1 200" }), "{answer}");
        assert!(!is_poll || answer.contains("retry-after: 1\r\n") && answer.contains("\"code\":\"overloaded\""), "{answer}");
    }
    let mut held = Vec::new();
    let refused = (0..8).find_map(|_| {
        held.push(ask("GET /v1/health HTTP/1.1\r\nhost: board\r\n\r\n"));
        Some(told(held.last_mut().unwrap())).filter(|answer| answer.starts_with("HTTP/1.1 503"))
    });
    let refused = refused.unwrap();
    assert!(refused.contains("retry-after: 1\r\n") && refused.contains("connection: close\r\n"), "{refused}");
    drop((polls, held));
    // As soon as the server has noticed that they have gone, there is room.
    let waits = || {
        let mut again = ask(&poll);
        again.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        again.read(&mut [0; 1]).is_err()
    };
    assert!((0..20).any(|_| waits()));
    server.kill();
}

#[test]
fn a_damaged_file_is_not_overwritten() {
    let file = file("damaged");
    std::fs::write(&file, b"CBRD what is this").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_registry-server"));
    let output = command.args(["--listen", "127.0.0.1:0", "--journal"]).arg(&file).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("snapshot-corrupt"));
    assert_eq!(std::fs::read(&file).unwrap(), b"CBRD what is this");
}

/// What makes no revision, or looks like a renewal, is kept all the same.
#[test]
fn every_change_that_was_acknowledged_is_kept() {
    let file = file("kept");
    let server = Server::start(&file);
    let sent = [
        ("PUT", "/v1/instances/default/web/renew", "{\"incarnation\":3}", 201),
        ("PUT", "/v1/instances/default/web/absent/admin", "{\"state\":\"disabled\"}", 200),
        ("PUT", "/v1/instances/default/web/renew/health", "{\"health\":\"healthy\",\"incarnation\":4}", 200),
    ];
    for (method, target, body, status) in sent {
        assert_eq!(server.send(method, target, body).0, status, "{target}");
    }
    server.kill();
    let server = Server::start(&file);
    assert!(server.send("GET", "/v1/instances/default/web/renew", "").1.contains("\"incarnation\":4"));
    assert_eq!(server.send("PUT", "/v1/instances/default/web/absent", "{}").0, 201);
    assert!(server.send("GET", "/v1/instances/default/web/absent", "").1.contains("disabled"));
    server.terminate();
}

/// Requests that are under way when the server is told to stop are answered, and what they were told is true.
#[test]
fn a_newer_incarnation_of_a_renewal_is_written_soon() {
    let file = file("renewal");
    let server = Server::start(&file);
    assert_eq!(server.send("PUT", "/v1/instances/default/web/a", "{\"ttl\":60,\"incarnation\":1}").0, 201);
    let before = std::fs::read(&file).unwrap();
    assert_eq!(server.send("POST", "/v1/instances/default/web/a/renew?incarnation=7", "").0, 200);
    // The renewal did not wait for the disk, so this does: the server is killed, and has no chance to write at the end.
    let started = Instant::now();
    while std::fs::read(&file).unwrap() == before && started.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(20));
    }
    server.kill();
    let server = Server::start(&file);
    assert!(server.send("GET", "/v1/instances/default/web/a", "").1.contains("\"incarnation\":7"));
    assert_eq!(server.send("POST", "/v1/instances/default/web/a/renew?incarnation=6", "").0, 409);
    server.kill();
}

#[test]
fn a_stop_under_load_ends_and_loses_nothing() {
    let file = file("load");
    let server = Server::start(&file);
    // One client begins a body and never ends it; another has a long poll to come.
    let mut slow = TcpStream::connect(&server.address).unwrap();
    write!(slow, "PUT /v1/instances/default/web/slow HTTP/1.1\r\nhost: board\r\ncontent-length: 10\r\n\r\n{{").unwrap();
    let acknowledged: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..4)
            .map(|lane| {
                let address = server.address.clone();
                scope.spawn(move || {
                    let mut told = Vec::new();
                    for n in 0.. {
                        let id = format!("{lane}-{n}");
                        let Ok(mut stream) = TcpStream::connect(&address) else { break };
                        let line = format!("PUT /v1/instances/default/web/{id} HTTP/1.1\r\nhost: board\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
                        let mut text = String::new();
                        if stream.write_all(line.as_bytes()).is_err() || stream.read_to_string(&mut text).is_err() {
                            break;
                        }
                        if text.starts_with("HTTP/1.1 201") {
                            told.push(id);
                        }
                    }
                    told
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        server.signal();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    });
    server.ends_within(Duration::from_secs(30));
    assert!(!acknowledged.is_empty());
    let server = Server::start(&file);
    let (_, body) = server.send("GET", "/v1/instances/default/web", "");
    for id in &acknowledged {
        assert!(body.contains(&format!("\"id\":\"{id}\"")), "{id}");
    }
    server.terminate();
}

#[test]
fn a_failing_disk_is_told_and_comes_back() {
    let file = file("disk");
    let server = Server::start(&file);
    assert_eq!(server.send("PUT", "/v1/instances/default/web/a", "{\"ttl\":60}").0, 201);
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
    assert_eq!(server.send("PUT", "/v1/instances/default/web/b", "{}").0, 503);
    // Who says it again is not told that it is done.
    assert_eq!(server.send("PUT", "/v1/instances/default/web/b", "{}").0, 503);
    assert_eq!(server.send("POST", "/v1/instances/default/web/a/renew", "").0, 200);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    assert_eq!(server.send("PUT", "/v1/instances/default/web/c", "{}").0, 201);
    assert_eq!(server.send("PUT", "/v1/instances/default/web/b", "{}").0, 200);
    server.kill();
    let server = Server::start(&file);
    assert_eq!(server.send("GET", "/v1/instances/default/web/b", "").0, 200);
    server.terminate();
}

#[test]
fn what_no_server_should_take_is_refused() {
    let file = file("hostile");
    let server = Server::start(&file);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let length = 8 * 1_024 * 1_024 + 1;
    write!(stream, "POST /v1/batch HTTP/1.1\r\nhost: board\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n").unwrap();
    // The server may answer and close before it has read it all.
    let mut writer = stream.try_clone().unwrap();
    let sender = thread::spawn(move || drop(writer.write_all(&vec![b' '; length])));
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    drop(stream);
    sender.join().unwrap();
    for (line, status) in [
        ("GET /v1/instances/a%00b HTTP/1.1", "400"),
        ("GET /%zz HTTP/1.1", "400"),
        ("GET /v1/health?a=%ff HTTP/1.1", "400"),
        ("BREW /v1/health HTTP/1.1", "405"),
        ("OPTIONS * HTTP/1.1", "400"),
        ("GET http://elsewhere/v1/health HTTP/1.1", "200"),
        ("GET /\u{e9} HTTP/1.1", "4"),
        ("nonsense", "400"),
    ] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(stream, "{line}\r\nhost: board\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with(&format!("HTTP/1.1 {status}")), "{line}: {text}");
    }
    assert_eq!(server.send("GET", "/v1/health", "").0, 200);
    server.terminate();
}
