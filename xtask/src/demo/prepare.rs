//! What must be there before the curtain: set-up, builds, and the two packages installed as a user would.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::folder;
use crate::programs::DEMO;
use crate::setup::{Part, node, python};
use crate::{Result, sh, ui, wasm};

/// How to start a consumer.
type Start = fn() -> Command;

/// The programs of the play.
pub struct Programs {
    pub server: PathBuf,
    pub python: PathBuf,
    pub consumers: Vec<(&'static str, Start)>,
}

/// Sets up, builds and installs; says what it is doing.
pub fn everything() -> Result<Programs> {
    for part in [Part::WasmTarget, Part::Python, Part::Node] {
        part.ensure()?;
    }
    let mut cargo = DEMO.cargo("build");
    step("the server and the Rust consumer", cargo.args(["--bin", "registry-server", "--bin", "consumer-rust", "--bin", "replay"]))?;

    python::install_package()?;

    wasm::command(&[])?;
    let mut pack = sh::command("npm");
    pack.current_dir(node::folder()).args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(folder());
    step("the npm tarball", &mut pack)?;
    install_npm()?;

    Ok(Programs {
        server: built("registry-server"),
        python: python::program("python"),
        consumers: vec![
            ("rust", || Command::new(built("consumer-rust"))),
            ("python", || script(&python::program("python"), &example("consumer-python/consumer.py"))),
            ("node", || script(Path::new("node"), &npm().join("consumer-node/consumer.mjs"))),
            ("worker", || script(Path::new("node"), &npm().join("consumer-worker/run.mjs"))),
        ],
    })
}

/// One replayer for each language; each takes the recording as its argument.
pub fn replayers() -> Vec<(&'static str, Command)> {
    vec![
        ("Rust", Command::new(built("replay"))),
        ("Python", script(&python::program("python"), &example("consumer-python/replay.py"))),
        ("JS", script(Path::new("node"), &npm().join("consumer-node/replay.mjs"))),
    ]
}

fn step(what: &str, command: &mut Command) -> Result {
    let done = sh::must(&format!("demo: {what}"), command)?;
    println!("demo: {what}: ready ({})", ui::seconds(done.elapsed));
    Ok(())
}

/// A folder of its own, with the tarball installed and the examples beside it, as in a user's project.
fn install_npm() -> Result {
    std::fs::create_dir_all(npm())?;
    std::fs::write(npm().join("package.json"), "{ \"private\": true, \"type\": \"module\" }\n")?;
    let tarball =
        std::fs::read_dir(folder())?.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "tgz"));
    let mut install = sh::command("npm");
    install.current_dir(npm()).args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    step("the npm tarball in an empty project", install.arg(tarball.ok_or("npm pack made no tarball")?))?;
    // The worker is bundled and run by tools that the set-up has installed already.
    for tool in ["esbuild", "miniflare"] {
        std::os::unix::fs::symlink(node::folder().join("node_modules").join(tool), npm().join("node_modules").join(tool))?;
    }
    for name in ["consumer-node", "consumer-worker"] {
        std::fs::create_dir_all(npm().join(name))?;
        for file in std::fs::read_dir(example(name))?.flatten() {
            std::fs::copy(file.path(), npm().join(name).join(file.file_name()))?;
        }
    }
    Ok(())
}

fn script(program: &Path, file: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg(file);
    command
}

fn example(name: &str) -> PathBuf {
    sh::root().join("examples").join(name)
}

fn npm() -> PathBuf {
    folder().join("npm")
}

fn built(name: &str) -> PathBuf {
    DEMO.path(name)
}
