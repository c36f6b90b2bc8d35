//! Running other programs: no stdin, output kept and shown only when it matters, progress while they run.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::Result;
use crate::ui::Progress;

/// No step of the build or of a test takes longer; one that does hangs.
const TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// What is measured or sent by the million has so long ([`run_within`]).
pub const LONG: Duration = Duration::from_secs(3 * 60 * 60);

/// What a program did.
pub struct Finished {
    pub success: bool,
    /// stdout and stderr, as they came.
    pub lines: Vec<String>,
    pub elapsed: Duration,
}

impl Finished {
    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> String {
        self.lines[self.lines.len().saturating_sub(count)..].join("\n")
    }

    /// The whole output, or its beginning and end: some programs say first what is wrong, some last.
    fn gist(&self) -> String {
        const END: usize = 30;
        if self.lines.len() <= 2 * END {
            return self.lines.join("\n");
        }
        format!("{}\n[{} lines]\n{}", self.lines[..END].join("\n"), self.lines.len() - 2 * END, self.tail(END))
    }
}

/// The root of the repository.
pub fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// A command at the root of the repository.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    let mut cargo = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["--color", "never"]);
    cargo
}

/// Runs to the end. `watch` sees every line and may return a word for the progress display.
pub fn run(label: &str, command: &mut Command, watch: impl FnMut(&str) -> Option<String>) -> Result<Finished> {
    finish(TIMEOUT, Progress::start(label), label, command, watch)
}

/// The same of what may take so long.
pub fn run_within(limit: Duration, label: &str, command: &mut Command, watch: impl FnMut(&str) -> Option<String>) -> Result<Finished> {
    finish(limit, Progress::start(label), label, command, watch)
}

/// The same, with a progress of the caller's choice.
pub fn run_showing(progress: Progress, label: &str, command: &mut Command, watch: impl FnMut(&str) -> Option<String>) -> Result<Finished> {
    finish(TIMEOUT, progress, label, command, watch)
}

fn finish(
    limit: Duration,
    mut progress: Progress,
    label: &str,
    command: &mut Command,
    mut watch: impl FnMut(&str) -> Option<String>,
) -> Result<Finished> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{label}: cannot run {}: {error}", command.get_program().display()))?;
    let (send, lines_of) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|pipe| Box::new(pipe) as _), child.stderr.take().map(|pipe| Box::new(pipe) as _)];
    for pipe in pipes.into_iter().flatten() {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if send.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
    }
    drop(send);

    let (mut lines, mut status) = (Vec::new(), String::new());
    let status_code = loop {
        match lines_of.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                if let Some(word) = watch(&line) {
                    status = word;
                }
                lines.push(line);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                progress.tick(&status);
                // A grandchild may hold the pipes open long after the program itself is gone.
                if let Some(code) = child.try_wait()? {
                    lines.extend(lines_of.try_iter());
                    break code;
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break child.wait()?,
        }
        if progress.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Err(format!("{label}: still running after {} minutes, stopped", limit.as_secs() / 60).into());
        }
    };
    Ok(Finished { success: status_code.success(), lines, elapsed: progress.end() })
}

/// Runs to the end; a failure is an error that carries the end of the output.
pub fn must(label: &str, command: &mut Command) -> Result<Finished> {
    must_showing(Progress::start(label), label, command)
}

/// The same, with a progress of the caller's choice.
pub fn must_showing(progress: Progress, label: &str, command: &mut Command) -> Result<Finished> {
    let done = run_showing(progress, label, command, |_| None)?;
    if done.success { Ok(done) } else { Err(format!("{label} failed:\n{}", done.gist()).into()) }
}

/// The trimmed stdout of a quick question; none when it fails.
pub fn ask(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Where a program of this name stands on the PATH.
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))).find(|file| file.is_file())
}
