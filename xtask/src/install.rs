//! Installs by package name what the tests need and the machine lacks.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

/// A program that the tests run, and the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("redis-server", "redis-server"),
    ("redis-sentinel", "redis-sentinel"),
    ("redis-cli", "redis-tools"),
    ("python3", "python3"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("tclsh", "tcl"),
    ("cc", "gcc"),
    ("c++", "g++"),
    ("make", "make"),
];

/// Installs what is missing; quiet when nothing is.
pub(crate) fn run() -> Result<()> {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if !has_venv() {
        missing.push("python3-venv");
    }
    if !missing.is_empty() {
        println!("installing {}", missing.join(" "));
        run_quietly(Command::new("apt-get").args(["update", "-qq"]))?;
        let mut install = Command::new("apt-get");
        install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(&missing);
        run_quietly(install.env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    // Miri checks the modules that may hold unsafe code; it comes with the nightly toolchain.
    let mut miri = Command::new("rustup");
    miri.args(["component", "add", "--toolchain", "nightly", "miri", "rust-src"]);
    run_quietly(&mut miri)
}

fn is_there(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

fn has_venv() -> bool {
    Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn run_quietly(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {text}");
    Ok(())
}
