//! Nets: the tests, cast into a copy of the core in which something may be wrong.
//!
//! The copy is made in a folder of `target`, with all that may be wrong behind one switch, so it is built once; the core itself knows nothing of it.
//! `CALLBOARD_FISH` in the environment is the number of what is wrong.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ui::Progress;
use crate::{Result, sh};

/// What kind of program a net is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The tests that stand beside the core's code.
    Unit,
    /// A file of `tests/tests`.
    Test,
    /// A program of the tests crate.
    Program,
}

/// A net: its name, the program that it is and what that is given.
pub struct Net {
    pub name: &'static str,
    of: Of,
    pub program: &'static str,
    pub args: &'static [&'static str],
}

/// The nets in the order in which they are cast, the quick ones first.
pub const NETS: &[Net] = &[
    Net { name: "vectors", of: Of::Test, program: "vectors", args: &[] },
    Net { name: "sim", of: Of::Program, program: "sim", args: &["--seeds", "300", "--steps", "400", "--threads", "1"] },
    Net { name: "unit", of: Of::Unit, program: "callboard", args: &[] },
    Net { name: "picks", of: Of::Program, program: "picks", args: &["2000000"] },
    Net { name: "hostile", of: Of::Test, program: "hostile", args: &[] },
    Net { name: "payloads", of: Of::Test, program: "payloads", args: &[] },
    Net { name: "secrets", of: Of::Test, program: "secrets", args: &[] },
    Net { name: "limits", of: Of::Test, program: "limits", args: &[] },
    Net { name: "replicas", of: Of::Test, program: "replicas", args: &[] },
    Net { name: "laws", of: Of::Program, program: "laws", args: &["3", "2000"] },
    Net { name: "bounds", of: Of::Program, program: "bounds", args: &[] },
];

/// What became of a cast of a net.
pub enum Cast {
    /// What a test said.
    Caught(String),
    Nothing,
    TimeOut,
}

/// Runs a net until a test of it fails.
pub fn cast(tree: &Path, program: &Path, args: &[&str], fish: Option<usize>, limit: Duration, tick: &mut dyn FnMut()) -> Result<Cast> {
    // What is wrong may take memory without end; without it a process fails, which is noticed.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""]).arg(program);
    command.current_dir(tree).args(args).env_remove("CALLBOARD_FISH");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(number) = fish {
        command.env("CALLBOARD_FISH", number.to_string());
    }
    let mut child = command.spawn()?;
    let (send, lines) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || BufReader::new(out).lines().map_while(std::io::Result::ok).try_for_each(|line| send.send(line)));
    }
    let (started, mut last) = (Instant::now(), String::new());
    let cast = loop {
        match lines.recv_timeout(Duration::from_millis(50)) {
            Ok(line) => {
                if let Some(name) = line.strip_suffix(" ... FAILED") {
                    break Cast::Caught(name.trim_start_matches("test ").to_owned());
                }
                if !line.trim().is_empty() && !last.contains("seed ") {
                    last = line;
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => tick(),
            Err(mpsc::RecvTimeoutError::Disconnected) => match child.wait()? {
                status if status.success() => break Cast::Nothing,
                status => break Cast::Caught(format!("{} ({status})", last.trim())),
            },
        }
        if started.elapsed() > limit {
            break Cast::TimeOut;
        }
    };
    let _ = child.kill();
    child.wait()?;
    Ok(cast)
}

/// Sources by their paths from the root.
pub type Sources = BTreeMap<PathBuf, Vec<u8>>;

/// Makes a copy of the core and of its tests in a folder, with what `change` puts into it behind the switch `crate::fish::on`.
pub fn copy<T>(tree: &Path, change: impl FnOnce(&mut Sources) -> Result<T>) -> Result<T> {
    let mut sources = Sources::new();
    for folder in ["core", "tests"] {
        gather(&sh::root().join(folder), &mut sources)?;
    }
    for file in ["Cargo.lock", "README.md"] {
        sources.insert(file.into(), std::fs::read(sh::root().join(file))?);
    }
    let manifest = std::fs::read_to_string(sh::root().join("Cargo.toml"))?;
    let members =
        |line: &str| if line.starts_with("members = ") { "members = [\"core\", \"tests\", \"tests/lab\"]".into() } else { line.to_owned() };
    let manifest = manifest.lines().map(|line| members(line) + "\n").collect::<String>() + PROFILE;
    sources.insert("Cargo.toml".into(), manifest.into_bytes());
    let changed = change(&mut sources)?;
    let root = sources.get_mut(Path::new("core/src/lib.rs")).ok_or("the core has no lib.rs")?;
    let text = std::str::from_utf8(root)?.replacen("#![no_std]", "#![no_std]\n#![allow(warnings)]", 1);
    *root = format!("{text}\n{SWITCH}").into_bytes();
    for (path, bytes) in sources {
        let path = tree.join(path);
        // What has not changed keeps its date, so that it is not built again.
        if std::fs::read(&path).ok().as_ref() != Some(&bytes) {
            std::fs::create_dir_all(path.parent().unwrap_or(tree))?;
            std::fs::write(&path, bytes)?;
        }
    }
    Ok(changed)
}

/// It is built in half the time, and what it needs is as it is elsewhere.
const PROFILE: &str = "
[profile.proof.package.callboard]
opt-level = 1
debug = false
";

const SWITCH: &str = "
mod fish {
    extern crate std;

    pub(crate) fn on(number: u32) -> bool {
        static ON: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        *ON.get_or_init(|| std::env::var(\"CALLBOARD_FISH\").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX)) == number
    }
}
";

/// The sources below a folder, by their paths from the root.
fn gather(folder: &Path, sources: &mut Sources) -> Result {
    const LEFT_OUT: [&str; 5] = ["bench", "fuzz", "python", "js", "packaging"];
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type()?.is_dir() {
            if !LEFT_OUT.iter().any(|own| name == **own) {
                gather(&path, sources)?;
            }
        } else {
            sources.insert(path.strip_prefix(sh::root())?.to_owned(), std::fs::read(&path)?);
        }
    }
    Ok(())
}

/// The programs of nets by their names.
pub type Programs = BTreeMap<String, PathBuf>;

/// Builds the nets.
pub fn build(tree: &Path) -> Result<Programs> {
    let mut cargo = sh::cargo();
    // What the core needs was built for the other tests already.
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", sh::root().join("target"));
    cargo.args(["test", "--no-run", "--profile", "proof", "--all-features", "--message-format", "json"]);
    cargo.args(["--package", "callboard", "--package", "callboard-tests", "--lib"]);
    for net in NETS.iter().filter(|net| net.of == Of::Test) {
        cargo.args(["--test", net.program]);
    }
    let done = sh::run("prove: build the copy", &mut cargo, |_| None)?;
    let messages: Vec<Value> = done.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    if !done.success {
        let errors = messages.iter().filter(|one| one["message"]["level"] == "error");
        let errors: Vec<&str> = errors.filter_map(|one| one["message"]["rendered"].as_str()).collect();
        return Err(format!("the copy of the core does not compile:\n{}", errors.join("\n")).into());
    }
    let mut programs = BTreeMap::new();
    for net in NETS {
        let is_it = |one: &&Value| {
            one["executable"].is_string()
                && one["target"]["name"] == net.program
                && (one["profile"]["test"] == true) == (net.of != Of::Program)
        };
        let found = messages.iter().find(is_it).and_then(|one| one["executable"].as_str());
        let mut program = PathBuf::from(found.ok_or_else(|| format!("{} was not built", net.program))?);
        if net.of == Of::Program {
            // Where cargo puts it, the program of the core itself comes as well.
            let own = tree.join("programs").join(net.program);
            std::fs::create_dir_all(tree.join("programs"))?;
            std::fs::copy(&program, &own)?;
            program = own;
        }
        programs.insert(net.program.to_owned(), program);
    }
    Ok(programs)
}

/// Casts every net where nothing swims: the copy is the core then.
pub fn still(tree: &Path, programs: &Programs) -> Result {
    for net in NETS {
        let mut progress = Progress::start(&format!("prove: {} where nothing swims", net.name));
        let cast = cast(tree, &programs[net.program], net.args, None, Duration::from_secs(600), &mut || progress.tick(""))?;
        progress.end();
        match cast {
            Cast::Nothing => {}
            Cast::Caught(what) => return Err(format!("{} finds something where nothing swims: {what}", net.name).into()),
            Cast::TimeOut => return Err(format!("{} takes too long where nothing swims", net.name).into()),
        }
    }
    Ok(())
}

/// Does something for each number below `count`, on all processors; what came of it, in order.
pub fn each<T: Send>(label: &str, count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get());
    let mut progress = Progress::start(label);
    std::thread::scope(|scope| {
        let hand = || -> std::result::Result<(), String> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let found = work(number).map_err(|error| error.to_string())?;
                done.lock().map_err(|error| error.to_string())?.insert(number, found);
            }
        };
        let hands: Vec<_> = (0..workers).map(|_| scope.spawn(hand)).collect();
        while hands.iter().any(|hand| !hand.is_finished()) {
            std::thread::sleep(Duration::from_millis(100));
            progress.tick(&format!("{} of {count}", done.lock().map_or(0, |done| done.len())));
        }
        hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| "a thread is gone".to_owned()).and_then(|done| done))
    })?;
    progress.end();
    Ok(done.into_inner().map_err(|error| error.to_string())?.into_values().collect())
}
