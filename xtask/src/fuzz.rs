//! `cargo xtask fuzz [SECONDS [TARGET..]]`: builds the targets in `fuzz/` with a nightly compiler and coverage, and runs
//! each for so long, from the corpus in `fuzz/corpus`. What is found on the way goes to `target/fuzz` and is where
//! the next run begins; an input that fails is there too. Without seconds, as in CI, it is a short run that is the
//! same each time.
//!
//! What `cargo fuzz` would do, without having to install it. No address sanitizer: nearly all of the code is safe
//! Rust, and the panics, hangs and leaks that are looked for need none.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::root;

/// Inputs of the short run.
const SHORT_RUN: u32 = 20_000;
/// An input that takes longer than this many seconds counts as a hang.
const HANG_S: u32 = 10;
/// Megabytes that one input may take.
const MEMORY_MB: u32 = 1024;

/// Flags that record coverage for libFuzzer.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1";

/// Builds and runs the targets; `words` are the seconds for each, and the targets' names.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let seconds: Option<u32> = match words.first() {
        Some(text) => Some(text.parse().context("seconds, then the names of targets")?),
        None => None,
    };
    let folder = root().join("fuzz");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target = target.join("fuzz");
    let host = "x86_64-unknown-linux-gnu";
    // With a target named, build scripts and macros do without the flags.
    let mut build = Command::new("cargo");
    build
        .args(["+nightly", "build", "--release", "--quiet", "--target", host, "--target-dir"])
        .arg(&target)
        .current_dir(&folder)
        .env("RUSTFLAGS", FLAGS)
        .env_remove("CARGO")
        .env_remove("RUSTUP_TOOLCHAIN");
    ensure!(build.status()?.success(), "the targets do not build");
    let mut names: Vec<String> = words.iter().skip(1).map(|&word| word.to_owned()).collect();
    if names.is_empty() {
        for entry in std::fs::read_dir(folder.join("targets"))? {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            // Not a target: what some of them share.
            if name != "host" {
                names.push(name);
            }
        }
        names.sort();
    }
    for name in names {
        let found = target.join("corpus").join(&name);
        let failures = target.join("failures").join(&name);
        if seconds.is_some() {
            std::fs::create_dir_all(&found)?;
        }
        std::fs::create_dir_all(&failures)?;
        let mut fuzz = Command::new(target.join(host).join("release").join(&name));
        if seconds.is_some() {
            // The first folder named is where new inputs are put.
            fuzz.arg(&found);
        }
        let corpus = folder.join("corpus").join(&name);
        if corpus.is_dir() {
            fuzz.arg(corpus);
        }
        match seconds {
            Some(seconds) => fuzz.arg(format!("-max_total_time={seconds}")),
            None => fuzz.args([format!("-runs={SHORT_RUN}"), "-seed=1".to_owned()]),
        };
        fuzz.arg(format!("-artifact_prefix={}/", failures.display())).args([
            format!("-timeout={HANG_S}"),
            format!("-rss_limit_mb={MEMORY_MB}"),
            "-print_final_stats=1".to_owned(),
        ]);
        let output = fuzz.output().with_context(|| format!("running {name}"))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let runs =
            text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units: "));
        println!("{name}: {} inputs", runs.unwrap_or("?"));
        if !output.status.success() {
            let tail: Vec<&str> = text.lines().rev().take(40).collect();
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
            anyhow::bail!("{name} fails: see {}", failures.display());
        }
    }
    Ok(())
}
