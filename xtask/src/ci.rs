//! `cargo xtask ci`: every check in order, each with its time; stops at the first that fails.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::{compat, root, tidy};

/// Property tests begin with this seed. Here it is always the same, unless it is set: what fails is then what
/// a change broke. New seeds are for runs by hand.
const PROPTEST_SEED: &str = "PROPTEST_RNG_SEED";

/// Runs all stages.
pub(crate) fn run() -> Result<()> {
    stage("format", || cargo(&["fmt", "--all", "--check"]))?;
    stage("tidy", tidy::run)?;
    stage("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    })?;
    stage("command table", compat::check)?;
    stage("unit and property tests", || {
        let args = ["test", "--workspace", "--exclude", "ochre-conformance", "--quiet"];
        let mut tests = Command::new(env!("CARGO"));
        if std::env::var_os(PROPTEST_SEED).is_none() {
            tests.env(PROPTEST_SEED, "1");
        }
        succeed(tests.args(args))
    })?;
    stage("interleavings", || {
        ["ochre-base", "ochre-keyspace", "ochre-engine"].iter().try_for_each(|package| {
            let features = ["test", "-p", package, "--features", "shuttle"];
            cargo(&[&features[..], &["--test", "shuttle", "--quiet"]].concat())
        })
    })?;
    stage("miri", miri)?;
    stage("fuzzing", || crate::fuzz::run(&[]))?;
    stage("documentation", || {
        let mut doc = Command::new(env!("CARGO"));
        doc.args(["doc", "--workspace", "--no-deps", "--quiet"]).env("RUSTDOCFLAGS", "-D warnings");
        succeed(&mut doc)
    })?;
    stage("dependencies", deny)?;
    stage("conformance", || {
        cargo(&["build", "-p", "ochre-server", "--quiet"])?;
        cargo(&["test", "-p", "ochre-conformance", "--", "--test-threads", "2"])
    })?;
    println!("all checks passed");
    Ok(())
}

/// Formats, and applies what clippy can fix.
pub(crate) fn fix() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--quiet"])?;
    cargo(&["fmt", "--all"])
}

fn stage(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("== {name}");
    #[expect(clippy::disallowed_methods, reason = "a stage's time is printed, nothing hangs on it")]
    let start = Instant::now();
    let result = run();
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    result
}

fn cargo(args: &[&str]) -> Result<()> {
    succeed(Command::new(env!("CARGO")).args(args))
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.current_dir(root()).status()?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

/// The modules that hold unsafe code, and the arena they work on, under Miri.
fn miri() -> Result<()> {
    let parts = [
        ("ochre-types", &["arena::", "table::", "popcount::"][..]),
        ("ochre-base", &["word_lock::"]),
    ];
    parts.into_iter().try_for_each(|(package, modules)| {
        let mut command = Command::new("cargo");
        command
            .args(["+nightly", "miri", "test", "-p", package, "--quiet", "--lib", "--"])
            .args(modules)
            .env_remove("CARGO")
            .env_remove("RUSTUP_TOOLCHAIN")
            .env("MIRIFLAGS", "-Zmiri-strict-provenance");
        succeed(&mut command)
    })
}

/// Licences, advisories and sources of dependencies, where cargo-deny is installed.
fn deny() -> Result<()> {
    let installed = Command::new("cargo-deny").arg("--version").output().is_ok();
    if !installed {
        println!("cargo-deny is not installed: dependencies were not checked");
        return Ok(());
    }
    cargo(&["deny", "check", "bans", "licenses", "sources"])
}
