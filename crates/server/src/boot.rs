//! From the argument list to a configuration, and from there to a server that runs.
//!
//! Failure: what is wrong with the arguments or the configuration is printed to the standard error output, as
//! the peers print it, with exit code 1; what goes wrong later goes to the log, with exit code 1 too.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use ochre_config::parse::{self, Files};
use ochre_config::store::Notice;
use ochre_config::{Config, Settings, Surroundings, Value, table};
use ochre_engine::version::{OCHRE, REPORTED};

use crate::host::reason;
use crate::persist::aof::recover::{self, Until};
use crate::{check, log, serve};

const USAGE: &str = "\
Usage: ochre-server [/path/to/redis.conf] [options] [-]
       ochre-server - (reads configuration from the standard input)
       ochre-server -v or --version
       ochre-server -h or --help
       ochre-server --ok [--port N]
       ochre-server FILE --sentinel [options]
       ochre-server --check-rdb FILE
       ochre-server --check-aof [--fix | --truncate-to-timestamp SECONDS] FILE
       ochre-server [/path/to/redis.conf] [options] --recover-list
       ochre-server [/path/to/redis.conf] [options] --recover-until WHERE

--sentinel watches primaries and fails over, as under the name ochre-sentinel; FILE holds its state.
Options are directives of the configuration file with two dashes, and come after the file:
       ochre-server --port 7777 --maxmemory 2gb --save ''
       ochre-server /etc/redis/6379.conf --loglevel verbose -
--recover-until loads the append-only file only up to WHERE, which is time:SECONDS (or a date as
2026-11-22T16:00:00Z), offset:FILE:BYTES or before:'COMMAND [argument ...]', keeps the old files aside,
and serves; name it for one start only. --recover-list shows what in the file removes much, and where, and
with --recover-until what that would leave out; it changes nothing.
--check-rdb and --check-aof are what the program does under the names ochre-check-rdb and ochre-check-aof.
--ok answers OK to every command and does nothing else: the floor under the benchmarks.
--in-process WORKLOAD THREADS SECONDS runs commands without sockets, and says how many, for the same.
";

/// Runs the process to its end.
pub(crate) fn run() -> ExitCode {
    let mut args: Vec<OsString> = std::env::args_os().collect();
    if let Some(code) = check::dispatch(&args) {
        return code;
    }
    let as_sentinel = crate::sentinel::is_asked_for(&args);
    args.drain(..args.len().min(1));
    match args.first().and_then(|arg| arg.to_str()) {
        Some("-v" | "--version") => {
            println!(
                "Ochre server v={OCHRE} redis={REPORTED} malloc=jemalloc bits={}",
                usize::BITS
            );
            return ExitCode::SUCCESS;
        }
        Some("-h" | "--help") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Some("--ok") => return floor(&args[1..]),
        Some("--in-process") => return crate::in_process::run(&args[1..]),
        _ => {}
    }
    if as_sentinel {
        return crate::sentinel::run(&args);
    }
    let bare = args.is_empty();
    let started = take_recovery(&mut args).and_then(|recovery| Ok((recovery, load(&args)?)));
    match started {
        Ok((Recovery { list: true, until }, (config, _))) => list(&Settings::of(&config), until),
        Ok((Recovery { until, .. }, (config, notices))) => {
            if until.is_some() && !Settings::of(&config).append_only {
                eprintln!("--recover-until is of the append-only file: it needs appendonly yes");
                return ExitCode::FAILURE;
            }
            crate::crash::install();
            serve::serve(config, &notices, bare, until.as_ref())
        }
        Err(text) => {
            eprintln!("{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// What the arguments say of recovery.
#[derive(Debug, Default)]
struct Recovery {
    list: bool,
    until: Option<Until>,
}

/// Takes what concerns recovery out of the arguments: it is of this start, not of the configuration, which
/// might be written to a file and act again.
fn take_recovery(args: &mut Vec<OsString>) -> Result<Recovery, String> {
    let mut recovery = Recovery::default();
    if let Some(at) = args.iter().position(|arg| arg == "--recover-list") {
        args.remove(at);
        recovery.list = true;
    }
    if let Some(at) = args.iter().position(|arg| arg == "--recover-until") {
        args.remove(at);
        if at >= args.len() {
            return Err("--recover-until needs to be told until where".to_owned());
        }
        recovery.until = Some(Until::parse(&args.remove(at).to_string_lossy())?);
    }
    Ok(recovery)
}

/// The dry run of a recovery.
fn list(settings: &Settings, until: Option<Until>) -> ExitCode {
    match recover::list(settings, until.as_ref()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// The bare loop of the benchmarks.
fn floor(args: &[OsString]) -> ExitCode {
    let port = match args {
        [] => Some(6379),
        [flag, port] if flag == "--port" => port.to_str().and_then(|port| port.parse().ok()),
        _ => None,
    };
    let Some(port) = port else {
        eprint!("{USAGE}");
        return ExitCode::FAILURE;
    };
    match crate::floor::serve(port) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }
}

/// Reads file, standard input and options, one over the other; gives what there is to note about values
/// without effect, too. Failure: what to print.
fn load(args: &[OsString]) -> Result<(Config, Vec<Notice>), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let folder = std::env::current_dir().map_err(|error| reason(&error))?;
    let mut config = Config::new(&Surroundings { cores, folder });
    let (file, options) = match args.split_first() {
        Some((first, rest)) if !first.as_encoded_bytes().starts_with(b"-") => (Some(first), rest),
        _ => (None, args),
    };
    let mut text = Vec::new();
    if let Some(path) = file {
        let failed = |error: io::Error| {
            let (path, reason) = (path.display(), reason(&error));
            format!("Fatal error, can't open config file '{path}': {reason}")
        };
        let path = std::path::absolute(path).map_err(failed)?;
        text = std::fs::read(&path).map_err(failed)?;
        config.set_file(path);
    }
    let mut from_stdin = Vec::new();
    if args.iter().any(|arg| arg == "-") {
        io::Read::read_to_end(&mut io::stdin().lock(), &mut from_stdin)
            .map_err(|error| format!("Reading config from stdin: {}", reason(&error)))?;
    }
    let options: Vec<&[u8]> =
        options.iter().filter(|arg| *arg != "-").map(|arg| arg.as_encoded_bytes()).collect();
    let text = parse::joined(&text, &from_stdin, &parse::options_text(&options));
    let loaded =
        parse::load(&mut config, &text, &Disk).map_err(|error| error.report(REPORTED_AS))?;
    check_renames(&loaded.renames)?;
    config.set_renames(loaded.renames);
    check_users(&config, &loaded.users)?;
    config.set_users(loaded.users);
    prepare(&mut config)?;
    Ok((config, loaded.notices))
}

/// Name and version in reports about the configuration.
pub(crate) const REPORTED_AS: &str = concat!("Ochre ", env!("CARGO_PKG_VERSION"));

/// The report for a line whose number is not known any more.
pub(crate) fn fatal(line: &str, message: &str) -> String {
    let shown = if line.is_empty() { String::new() } else { format!(">>> '{line}'\n") };
    format!("\n*** FATAL CONFIG FILE ERROR ({REPORTED_AS}) ***\n{shown}{message}\n")
}

/// `rename-command` lines, which must name commands, and names that are free.
fn check_renames(lines: &[(Vec<u8>, Vec<u8>)]) -> Result<(), String> {
    ochre_engine::registry::check_renames(lines).map_err(|(at, why)| {
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        let words = lines.get(at).map(|(old, new)| format!("{} \"{}\"", text(old), text(new)));
        fatal(&format!("rename-command {}", words.unwrap_or_default()), why)
    })
}

/// Lines of users, which must be right and must not stand beside a file of users.
pub(crate) fn check_users(config: &Config, lines: &[Vec<Vec<u8>>]) -> Result<(), String> {
    let settings = Settings::of(config);
    if !lines.is_empty() && settings.aclfile.is_some() {
        return Err(fatal(
            "",
            "Configuring Ochre with users defined in the configuration and at the same setting an ACL \
             file path is invalid. This setup is very likely to lead to configuration errors and \
             security holes, please define either an ACL file or declare users directly in your \
             configuration, but not both.",
        ));
    }
    ochre_engine::acl::check_lines(lines, &settings).map_err(|error| {
        let words = lines.get(error.at).map(|words| words.join(&b' ')).unwrap_or_default();
        fatal(&format!("user {}", String::from_utf8_lossy(&words)), &error.message)
    })
}

/// What the configuration asks of the process before anything runs: the working folder, a log file that
/// can be written.
pub(crate) fn prepare(config: &mut Config) -> Result<(), String> {
    let dir = const { table::id("dir") };
    let settings = Settings::of(config);
    std::env::set_current_dir(&settings.dir)
        .map_err(|error| fatal(&format!("dir \"{}\"", settings.dir.display()), &reason(&error)))?;
    // From here on it is shown and written as what it is from anywhere.
    if let Ok(path) = std::env::current_dir() {
        config.replace(dir, Value::Text(path.into_os_string().into_encoded_bytes()));
    }
    log::open(&settings);
    if let Some(path) = &settings.logfile {
        log::try_file(path)
            .map_err(|error| fatal("", &format!("Can't open the log file: {}", reason(&error))))?;
    }
    log::configure(&settings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn what_is_not_there_yet_is_refused_by_name() {
        for (words, expected) in [
            (&["--rename-command", "NOSUCH", "x"][..], "No such command in rename-command"),
            (&["--rename-command", "GET", "set"], "Target command name already exists"),
            (&["--user", "a", "--user", "a"], "'a': Duplicate user found."),
            (&["--user", "a", "nosuch"], "Error in user declaration 'nosuch': Syntax error"),
            (&["--user", "a", "--aclfile", "x"], "but not both"),
            (&["--port", "x"], ">>> 'port \"x\"'"),
            (&["--logfile", "/no/such/folder/log"], "Can't open the log file: No such file"),
            (&["--dir", "/no/such/folder"], ">>> 'dir \"/no/such/folder\"'"),
            (&["/no/such/file.conf"], "can't open config file '/no/such/file.conf': No such file"),
        ] {
            let text = load(&args(words)).map(drop).unwrap_err();
            assert!(text.contains(expected), "{words:?}: {text}");
        }
    }

    #[test]
    fn the_line_that_the_peers_write_for_the_default_user_is_accepted() {
        let words = ["--user", "default", "on", "nopass", "sanitize-payload", "~*", "&*", "+@all"];
        assert!(load(&args(&words)).is_ok());
    }
}
