//! The programs that measure.

use std::path::Path;
use std::process::Command;

use crate::programs::DEMO;
use crate::setup::{Part, apt, node, python};
use crate::{Result, sh};

/// Something that prints rows.
pub struct Program {
    pub name: &'static str,
    /// Builds it and whatever it needs; the error says what is missing.
    pub prepare: fn() -> Result<Command>,
}

pub const REGISTRY: Program = Program { name: "registry", prepare: || rust("registry", "registry") };
pub const POLICIES: Program = Program { name: "policies", prepare: || rust("policies", "policies") };
pub const PICK: Program = Program { name: "pick in Rust", prepare: pick };
pub const PYTHON: Program = Program { name: "pick in Python", prepare: || in_python("tests/bench/pick.py") };
pub const NODE: Program = Program { name: "pick in Node", prepare: || in_node_with_peers("tests/bench/js/pick.mjs") };
pub const DENO: Program = Program {
    name: "pick in Deno",
    prepare: || pick_in(&node::binary("@deno", "deno")?, &["run", "--no-remote", "--no-prompt", "--allow-all"]),
};
pub const BUN: Program = Program { name: "pick in Bun", prepare: || pick_in(&node::binary("@oven", "bun")?, &[]) };
pub const WORKERD: Program = Program { name: "pick in workerd", prepare: || in_node_with_peers("tests/bench/js/pick_workerd.mjs") };
pub const PACKAGE: Program = Program { name: "npm package", prepare: as_published };
pub const FORMATS: Program = Program { name: "formats", prepare: || rust("formats", "formats") };
pub const FORMATS_PYTHON: Program = Program { name: "formats in Python", prepare: || in_python("tests/bench/formats.py") };
pub const FORMATS_NODE: Program = Program { name: "formats in Node", prepare: || in_node("tests/bench/formats.mjs") };

pub const SERVE: Program = Program { name: "serve", prepare: serve };
pub const SCALE: Program = Program { name: "several servers over one etcd", prepare: scale };

fn scale() -> Result<Command> {
    hosts()?;
    let mut script = sh::command(python::program("python"));
    script.arg("tests/bench/scale.py");
    Ok(script)
}

/// A program of `tests/bench`, built on first use.
fn rust(name: &str, features: &str) -> Result<Command> {
    let target = sh::root().join("target/bench-build");
    let mut cargo = sh::cargo();
    cargo.args(["build", "--locked", "--release", "--manifest-path", "tests/bench/Cargo.toml", "--bin", name, "--features", features]);
    cargo.arg("--target-dir").arg(&target);
    sh::must(&format!("bench: build {name} and its peers"), &mut cargo)?;
    Ok(sh::command(target.join("release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))))
}

fn pick() -> Result<Command> {
    if sh::which("cmake").is_none()
        && let Err(error) = apt::install("bench: cmake", &["cmake"])
    {
        println!("bench: without pingora-load-balancing, which needs CMake to build: {error}");
        return rust("pick", "pick");
    }
    rust("pick", "pick,pingora")
}

/// With every host that it starts, and the npm package.
fn serve() -> Result<Command> {
    hosts()?;
    in_node("")?;
    rust("serve", "serve")
}

/// The engines, the server and the Python package, the latter two without the release's optimisation of the whole program.
fn hosts() -> Result {
    Part::Engines.ensure()?;
    DEMO.build("bench: build registry-server", &["registry-server"])?;
    Part::Python.ensure()?;
    python::install_package()
}

/// In the virtual environment, with the package that `pip` builds and the peers.
fn in_python(path: &str) -> Result<Command> {
    Part::Python.ensure()?;
    let mut pip = sh::command(python::program("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "./bindings-py", "uhashring==2.5"]);
    sh::must("bench: build the Python package", &mut pip)?;
    let mut script = sh::command(python::program("python"));
    script.arg(path);
    Ok(script)
}

/// With the npm package as it is packed.
fn in_node(path: &str) -> Result<Command> {
    Part::Node.ensure()?;
    crate::wasm::command(&[])?;
    let mut script = sh::command("node");
    script.arg(path);
    Ok(script)
}

/// The npm package as it is published.
fn as_published() -> Result<Command> {
    Part::Node.ensure()?;
    crate::wasm::command(&["--small".to_owned()])?;
    let mut script = sh::command("node");
    script.arg("tests/bench/js/package.mjs");
    Ok(script)
}

/// In another runtime.
fn pick_in(runtime: &Path, arguments: &[&str]) -> Result<Command> {
    in_node_with_peers("")?;
    let mut script = sh::command(runtime);
    script.args(arguments).arg("tests/bench/js/pick.mjs");
    Ok(script)
}

/// With the peers from npm.
fn in_node_with_peers(path: &str) -> Result<Command> {
    let script = in_node(path)?;
    node::install(&sh::root().join("tests/bench"))?;
    Ok(script)
}
