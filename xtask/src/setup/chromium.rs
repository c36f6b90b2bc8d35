//! A Chromium to run the browser tests in.

use std::path::PathBuf;
use std::time::Instant;

use super::{Ready, apt};
use crate::{Result, sh};

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The browser, installed from Debian when there is none.
pub fn ensure() -> Result<(PathBuf, Ready)> {
    if let Some(path) = find() {
        let what = path.display().to_string();
        return Ok((path, Ready::found(what)));
    }
    let started = Instant::now();
    apt::install("chromium", &["chromium"])
        .map_err(|error| format!("no Chromium or Chrome on the PATH, and it cannot be installed from here: {error}"))?;
    let path = find().ok_or("apt-get installed chromium, but it is not on the PATH")?;
    let what = path.display().to_string();
    Ok((path, Ready::installed(what, started.elapsed())))
}

fn find() -> Option<PathBuf> {
    std::env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file()).or_else(|| NAMES.into_iter().find_map(sh::which))
}
