//! The tools that check files: what the program does under the names `ochre-check-rdb` and `ochre-check-aof`
//! (links to it, as with the peers), or with `--check-rdb` and `--check-aof` as its first argument.
//!
//! One program, since the tools need the server's own readers and a second one would only be another copy of
//! them. Files are only read, but for what `--fix` and `--truncate-to-timestamp` say.
//!
//! Exit code: 0 when all is well or was made so, 1 otherwise. The report goes to the standard output.

mod aof;
mod rdb;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// The report, line by line.
struct Report<W>(W);

impl<W: Write> Report<W> {
    fn line(&mut self, text: &str) {
        // Whoever closes the output early still gets the exit code.
        drop(writeln!(self.0, "{text}"));
    }

    /// A question, whose answer is read next.
    fn ask(&mut self, text: &str) {
        // As above.
        drop(write!(self.0, "{text}").and_then(|()| self.0.flush()));
    }
}

/// Runs a tool if that is what the process was started as; `args` begin with the program's name.
pub(crate) fn dispatch(args: &[OsString]) -> Option<ExitCode> {
    let (program, rest) = args.split_first()?;
    let name = Path::new(program).file_name()?.to_string_lossy();
    let (tool, rest) = match rest.split_first() {
        Some((first, rest)) if first == "--check-rdb" => ("check-rdb", rest),
        Some((first, rest)) if first == "--check-aof" => ("check-aof", rest),
        _ if name.ends_with("check-rdb") => ("check-rdb", rest),
        _ if name.ends_with("check-aof") => ("check-aof", rest),
        _ => return None,
    };
    let mut report = Report(std::io::stdout().lock());
    let good = match tool {
        "check-rdb" => rdb::run(rest, &mut report),
        _ => aof::run(rest, &mut report, &mut std::io::stdin().lock()),
    };
    Some(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether the tool finds nothing wrong with a snapshot.
#[cfg(test)]
pub(crate) fn is_good_snapshot(bytes: &[u8]) -> bool {
    rdb::check(bytes, bytes.len() as u64, "", &mut Report(std::io::sink())).is_some()
}
