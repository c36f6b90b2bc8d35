//! Debian packages, where there is an apt-get that we may use.

use std::process::Command;

use crate::{Result, sh};

/// Installs Debian packages; an error says why it cannot.
pub fn install(label: &str, packages: &[&str]) -> Result {
    let list = packages.join(" ");
    let Some(mut update) = apt_get() else {
        return Err(format!("run `apt-get install {list}` as root").into());
    };
    sh::must(&format!("{label}: apt-get update"), update.args(["-q", "update"]))?;
    let mut install = apt_get().ok_or("apt-get went away")?;
    install.args(["-q", "install", "-y", "--no-install-recommends"]).args(packages);
    sh::must(&format!("{label}: apt-get install {list}"), &mut install)?;
    Ok(())
}

/// apt-get as root, or through a sudo that asks nothing.
fn apt_get() -> Option<Command> {
    let apt = sh::which("apt-get")?;
    let root = sh::ask(sh::command("id").arg("-u")).is_some_and(|id| id == "0");
    let mut command = if root {
        sh::command(apt)
    } else {
        sh::ask(sh::command("sudo").args(["-n", "true"]))?;
        let mut sudo = sh::command("sudo");
        sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive"]).arg(apt);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Some(command)
}
