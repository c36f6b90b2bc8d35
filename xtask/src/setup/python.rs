//! A virtual environment under `target/venv` with the packages that `bindings-py/requirements-dev.txt` pins.

use std::path::PathBuf;
use std::time::Instant;

use super::{Ready, apt, stamped};
use crate::{Result, sh};

const NAMES: [&str; 6] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10"];
const QUESTION: &str = "import sys, venv, ensurepip; assert sys.version_info >= (3, 10); print('%d.%d.%d' % sys.version_info[:3])";

/// The folder of the virtual environment.
pub fn venv() -> PathBuf {
    sh::root().join("target/venv")
}

/// A program of the virtual environment, such as `python` or `pytest`.
pub fn program(name: &str) -> PathBuf {
    let folder = if cfg!(windows) { "Scripts" } else { "bin" };
    venv().join(folder).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

pub fn ensure() -> Result<Ready> {
    let requirements = std::fs::read(sh::root().join("bindings-py/requirements-dev.txt"))?;
    let stamp = venv().join(".callboard-stamp");
    let version = sh::ask(sh::command(program("python")).args(["-c", QUESTION]));
    if let Some(version) = version.as_ref().filter(|_| stamped(&stamp, &requirements)) {
        return Ok(Ready::found(format!("target/venv, Python {version}")));
    }
    let started = Instant::now();
    let (python, version) = match find() {
        Some(found) => found,
        None => {
            apt::install("python", &["python3", "python3-venv"])
                .map_err(|error| format!("Python 3.10 or later with venv and pip is needed: {error}"))?;
            find().ok_or("Python 3.10 or later is needed; Debian's is older: https://www.python.org/downloads")?
        }
    };
    sh::must("python: venv", sh::command(python).args(["-m", "venv", "--clear"]).arg(venv()))?;
    let mut pip = sh::command(program("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r", "bindings-py/requirements-dev.txt"]);
    sh::must("python: pip install", &mut pip)?;
    std::fs::write(stamp, requirements)?;
    Ok(Ready::installed(format!("target/venv, Python {version}"), started.elapsed()))
}

/// Builds the Python package and installs it as a user would, save that the build uses the tools that are pinned here.
pub fn install_package() -> Result {
    let mut pip = sh::command(program("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-build-isolation"]);
    pip.args(["--force-reinstall", "--no-deps", "./bindings-py"]);
    // Without isolation pip calls the maturin on the path. Whoever waits for a test does not want the release's whole-program optimisation.
    let bin = program("maturin").parent().map(std::path::Path::to_path_buf).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    pip.env("PATH", std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path)))?);
    pip.env("MATURIN_PEP517_ARGS", "--profile demo");
    sh::must("python: pip install ./bindings-py", &mut pip)?;
    Ok(())
}

fn find() -> Option<(PathBuf, String)> {
    NAMES.into_iter().filter_map(sh::which).find_map(|path| {
        let version = sh::ask(sh::command(&path).args(["-c", QUESTION]))?;
        Some((path, version))
    })
}
