//! The project's own tasks. `cargo xtask ci` is the only gate and never writes; `cargo xtask fix` does.

mod ci;
mod compat;
mod fuzz;
mod install;
mod tidy;
mod upstream;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask ci [--install]    check everything; --install first installs what the tests need
cargo xtask fix               format, and apply what clippy can fix
cargo xtask tidy              crate edges, file lengths, head comments, where unsafe may live
cargo xtask upstream [--drop-in] [unit..]  Redis 7.0.15's own test suite, obtained by apt, against
                              target/debug/ochre-server; --drop-in: in place of its own servers
cargo xtask fuzz [SECONDS [TARGET..]]  the fuzzing targets, each for so long; needs a nightly compiler
cargo xtask codegen [--check] write COMPAT.md, or check that it is up to date
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words[..] {
        ["ci"] => ci::run(),
        ["ci", "--install"] => install::run().and_then(|()| ci::run()),
        ["fix"] => ci::fix(),
        ["tidy"] => tidy::run(),
        ["upstream", ref units @ ..] => upstream::run(units),
        ["fuzz", ref words @ ..] => fuzz::run(words),
        ["codegen"] => compat::write(),
        ["codegen", "--check"] => compat::check(),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The checkout's folder.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).unwrap_or(xtask)
}
