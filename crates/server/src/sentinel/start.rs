//! From the arguments to a sentinel that runs.

use std::ffi::OsString;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::ExitCode;

use ochre_base::hash;
use ochre_config::parse::{self, Loaded};
use ochre_config::{Config, Settings, Surroundings, Value, table};
use ochre_engine::version::{OCHRE, REPORTED};
use ochre_sentinel::Sentinel;
use ochre_sentinel::addr::Host;
use ochre_sentinel::config::{Globals, myid_of};

use super::driver::Driver;
use crate::background::{self, PidFile};
use crate::boot::{Disk, REPORTED_AS, check_users, fatal, prepare};
use crate::clock::Clock;
use crate::host::reason;
use crate::log;
use crate::serve::show_logo;
use crate::supervise::Manager;

/// The port of a sentinel.
const PORT: i64 = 26379;

/// Whether the process is to be a sentinel: by an option, or by the name that it was started by.
pub(crate) fn is_asked_for(args: &[OsString]) -> bool {
    let name = args.first().map(|name| Path::new(name).file_name().unwrap_or_default());
    let by_name = name.and_then(|name| name.to_str()).is_some_and(|name| name.contains("sentinel"));
    by_name || args.iter().skip(1).any(|arg| arg == "--sentinel")
}

/// Runs a sentinel to its end. `args` are those without the program's name.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let args: Vec<OsString> = args.iter().filter(|arg| *arg != "--sentinel").cloned().collect();
    match load(&args) {
        Ok((config, loaded)) => {
            crate::crash::install();
            match serve(config, &loaded) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    log::warning(&error);
                    ExitCode::FAILURE
                }
            }
        }
        Err(text) => {
            eprintln!("{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

fn load(args: &[OsString]) -> Result<(Config, Loaded), String> {
    let folder = std::env::current_dir().map_err(|error| reason(&error))?;
    let mut config = Config::new(&Surroundings { cores: 1, folder });
    config.replace(const { table::id("port") }, Value::Int(PORT));
    config.replace(const { table::id("protected-mode") }, Value::Bool(false));
    let (file, options) = match args.split_first() {
        Some((first, rest)) if !first.as_encoded_bytes().starts_with(b"-") => (first, rest),
        _ => {
            return Err(
                "Sentinel needs config file on disk in order to save state. Exiting...".into()
            );
        }
    };
    let shown = file.to_string_lossy().into_owned();
    let failed = |error: std::io::Error| {
        format!("Fatal error, can't open config file '{shown}': {}", reason(&error))
    };
    let path = std::path::absolute(file).map_err(failed)?;
    let text = std::fs::read(&path).map_err(failed)?;
    std::fs::OpenOptions::new().append(true).open(&path).map_err(|error| {
        format!("Sentinel config file {shown} is not writable: {}. Exiting...", reason(&error))
    })?;
    config.set_file(path);
    let options: Vec<&[u8]> = options.iter().map(|arg| arg.as_encoded_bytes()).collect();
    let text = parse::joined(&text, b"", &parse::options_text(&options));
    let loaded = parse::load_sentinel(&mut config, &text, &Disk)
        .map_err(|error| error.report(REPORTED_AS))?;
    if !loaded.renames.is_empty() {
        return Err(fatal("", "renaming commands is not supported in sentinel mode"));
    }
    check_users(&config, &loaded.users)?;
    config.set_users(loaded.users.clone());
    prepare(&mut config)?;
    Ok((config, loaded))
}

/// The machine that the process runs on.
struct Machine;

impl Host for Machine {
    fn resolve(&mut self, host: &str) -> Option<IpAddr> {
        // Names of both families: the first that the system gives.
        (host, 0).to_socket_addrs().ok()?.next().map(|addr| addr.ip())
    }

    fn is_executable(&mut self, path: &str) -> bool {
        let meta = std::fs::metadata(path);
        meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    }
}

pub(super) fn random_hex(bytes: usize) -> Result<String, String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).map_err(|error| format!("no random numbers: {error}"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The port that others are told of: that of TLS when links have it.
fn announced_port(settings: &Settings) -> u16 {
    let by_tls = settings.tls.replication && settings.tls.port != 0;
    if by_tls || settings.port == 0 { settings.tls.port } else { settings.port }
}

fn serve(config: Config, loaded: &Loaded) -> Result<(), String> {
    let settings = Settings::of(&config);
    let manager = Manager::find(settings.supervised, |name| std::env::var(name).ok());
    let background = settings.daemonize && manager == Manager::Nobody;
    if background {
        background::daemonize()
            .map_err(|error| format!("Cannot go into the background: {error}"))?;
    }
    log::notice("oO0OoO0OoO0Oo Ochre is starting oO0OoO0OoO0Oo");
    log::notice(&format!(
        "Ochre version={OCHRE}, redis version={REPORTED}, bits={}, pid={}, just started",
        usize::BITS,
        std::process::id()
    ));
    log::notice("Configuration loaded");
    manager.begin();
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).map_err(|error| format!("no random numbers: {error}"))?;
    let seed = u64::from_le_bytes(seed);
    hash::seed(seed);
    let lines: Vec<_> = loaded.sentinel.iter().map(|(_, words)| words.clone()).collect();
    let myid = match myid_of(&lines) {
        Some(myid) => myid,
        None => random_hex(20)?,
    };
    let port = announced_port(&settings);
    let mut globals = Globals::new(myid, port);
    globals.password = String::from_utf8_lossy(&settings.requirepass).into_owned();
    let clock = Clock::new();
    let mut machine = Sentinel::new(globals, Box::new(Machine), seed, clock.now());
    machine.load(&lines).map_err(|(at, wrong)| {
        let (number, words) = loaded.sentinel.get(at).cloned().unwrap_or_default();
        let line = String::from_utf8_lossy(&words.join(&b' ')).into_owned();
        let text = format!(
            "Reading the configuration file, at line {number}\n>>> 'sentinel {line}'\n{wrong}"
        );
        fatal("", &text)
    })?;
    let pid_file = settings.pidfile.or(background.then(|| background::DEFAULT_PID_FILE.into()));
    let pid_file = pid_file.and_then(|path| PidFile::write(&path));
    log::notice(&format!("Running mode=sentinel, port={port}."));
    if settings.always_show_logo {
        show_logo("sentinel", i64::from(port));
    }
    let result = Driver::new(clock, config, machine).and_then(|driver| {
        manager.ready();
        driver.run()
    });
    manager.stopping();
    if let Some(file) = pid_file {
        file.remove();
    }
    result?;
    log::warning("Ochre Sentinel is now ready to exit, bye bye...");
    Ok(())
}
