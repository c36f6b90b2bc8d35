//! `cargo xtask hostile`: what nobody should send, over the wire to the hosts of a registry in `examples/`, see `tests/src/hostile`.

use std::path::{Path, PathBuf};

use crate::programs::{DEMO, PROOF};
use crate::setup::{Part, node, python};
use crate::{Result, sh};

const HELP: &str = "\
hostile [--count N] [--seed S] [--only HOST]: send N (default 1000000) hostile requests over every protocol to the hosts of a registry: 20 of a hundred to the
one on axum, 50 to the one in Deno, ten each to those on ASGI and in Node and Bun. How a Durable Object is reached is Cloudflare's.";

/// The hosts, with how many of a hundred requests each gets. Deno's memory grows in steps for the first quarter of a million, and then no more:
/// with fewer that would look like a leak, with these it is in the first half.
const HOSTS: &[(&str, u64)] = &[("axum", 20), ("ASGI", 10), ("Node", 10), ("Deno", 50), ("Bun", 10)];

pub fn command(args: &[String]) -> Result {
    let (mut count, mut seed, mut only) = (1_000_000, 1, None);
    for pair in args.chunks(2) {
        match (pair[0].as_str(), pair.get(1), pair.get(1).and_then(|value| value.parse::<u64>().ok())) {
            ("--count", _, Some(value)) => count = value,
            ("--seed", _, Some(value)) => seed = value,
            ("--only", Some(name), _) if HOSTS.iter().any(|(own, _)| own == name) => only = Some(name),
            _ => return Err(HELP.into()),
        }
    }
    PROOF.build("hostile: build", &["hostile"])?;
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let scripts = prepare(wanted)?;
    for (name, share) in HOSTS.iter().filter(|(name, _)| wanted(name)) {
        let count = if only.is_some() { count } else { count * share / 100 };
        let mut command = sh::command(PROOF.path("hostile"));
        command.args(["--count", &count.to_string(), "--seed", &seed.to_string(), "--"]).args(host(name, &scripts)?).env("PORT", "0");
        let done = sh::run_within(sh::LONG, &format!("hostile: {name}"), &mut command, |line| Some(line.to_owned()))?;
        if !done.success {
            return Err(format!("{name}: {}", done.tail(5)).into());
        }
        println!("{name}: {}", done.tail(1));
    }
    Ok(())
}

/// Builds what the hosts are made of; where those in JS stand, beside an installed package.
fn prepare(wanted: impl Fn(&str) -> bool) -> Result<PathBuf> {
    let scripts = sh::root().join("target/hostile");
    if wanted("axum") {
        DEMO.build("hostile: build", &["registry-server"])?;
    }
    if wanted("ASGI") {
        Part::Python.ensure()?;
        python::install_package()?;
    }
    if ["Node", "Deno", "Bun"].into_iter().any(wanted) {
        Part::Node.ensure()?;
        crate::wasm::command(&[])?;
        let _ = std::fs::remove_dir_all(&scripts);
        copy(&sh::root().join("examples/registry-fetch"), &scripts.join("registry-fetch"))?;
        let package = scripts.join("node_modules/callboard");
        copy(&node::folder().join("dist"), &package.join("dist"))?;
        std::fs::copy(node::folder().join("package.json"), package.join("package.json"))?;
    }
    Ok(scripts)
}

/// The command that starts a host.
fn host(name: &str, scripts: &Path) -> Result<Vec<String>> {
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    let server = path(scripts.join("registry-fetch/server.mjs"));
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Ok(match name {
        "axum" => {
            let binary = path(DEMO.path("registry-server"));
            words(&[&binary, "--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0", "--domain", "consul"])
        }
        "ASGI" => {
            let python = path(python::program("python"));
            words(&[&python, "-m", "uvicorn", "--app-dir", "examples/registry-asgi", "--port", "0", "--no-access-log", "registry:app"])
        }
        "Node" => words(&["node", &server]),
        "Deno" => {
            words(&[&found("@deno", "deno")?, "run", "--no-remote", "--no-prompt", "--allow-net", "--allow-env", "--allow-read", &server])
        }
        _ => words(&[&found("@oven", "bin/bun")?, "run", &server]),
    })
}

/// A program that an npm package brings for this machine.
fn found(scope: &str, inner: &str) -> Result<String> {
    let folders = std::fs::read_dir(node::folder().join("node_modules").join(scope))?.flatten();
    let mut files: Vec<PathBuf> = folders.map(|folder| folder.path().join(inner)).filter(|file| file.is_file()).collect();
    files.sort();
    let file = files.into_iter().next().ok_or_else(|| format!("no {inner} in {scope}"))?;
    Ok(file.to_string_lossy().into_owned())
}

fn copy(from: &Path, to: &Path) -> Result {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
