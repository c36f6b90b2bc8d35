//! The npm packages of `bindings-wasm`, exactly as its lockfile names them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Part, Ready, stamped};
use crate::{Result, sh};

/// The oldest Node that the tests and tools run on (the package itself runs on 18, and is run there).
const OLDEST: u32 = 20;

/// The folder with `package.json` and `node_modules`.
pub fn folder() -> PathBuf {
    sh::root().join("bindings-wasm")
}

pub fn ensure() -> Result<Ready> {
    let version = sh::ask(sh::command("node").arg("--version")).unwrap_or_default();
    let major = version.trim_start_matches('v').split('.').next().and_then(|text| text.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) || sh::which("npm").is_none() {
        let found = if version.is_empty() { "none" } else { &version };
        return Err(format!("Node {OLDEST} or later with npm is needed, found {found}: https://nodejs.org/en/download").into());
    }
    let what = format!("bindings-wasm/node_modules, Node {version}");
    let mut took = None;
    for folder in [folder(), sh::root().join("tests/packaging")] {
        if let Some(elapsed) = install(&folder)? {
            took = Some(took.unwrap_or_default() + elapsed);
        }
    }
    Ok(Ready { what, took })
}

/// An executable that an npm package of this platform carries, without the script that would look for it.
pub fn binary(scope: &str, name: &str) -> Result<PathBuf> {
    Part::Node.ensure()?;
    let root = folder().join("node_modules").join(scope);
    let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    for package in std::fs::read_dir(&root).map_err(|error| format!("{}: {error}", root.display()))? {
        let package = package?.path();
        let found = [package.join(&name), package.join("bin").join(&name)].into_iter().find(|path| path.is_file());
        if let Some(path) = found {
            return Ok(path);
        }
    }
    Err(format!("npm has no {name} for this platform").into())
}

/// What the lockfile of a folder names; how long it took, if it was not there.
pub fn install(folder: &Path) -> Result<Option<Duration>> {
    let lock = std::fs::read(folder.join("package-lock.json"))?;
    let stamp = folder.join("node_modules/.callboard-stamp");
    if stamped(&stamp, &lock) {
        return Ok(None);
    }
    // No package of ours needs its install script: the binaries come as packages of their own.
    let mut npm = sh::command("npm");
    npm.current_dir(folder).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
    let done = sh::must("npm packages: npm ci", &mut npm)?;
    // Where the platform has none of them, npm makes no folder.
    std::fs::create_dir_all(folder.join("node_modules"))?;
    std::fs::write(stamp, lock)?;
    Ok(Some(done.elapsed))
}
