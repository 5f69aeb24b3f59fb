//! From the argument list to running loops.

use std::io;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use ochre_config::parse::{self, Files};
use ochre_config::{Config, Settings, Surroundings};
use ochre_engine::engine::Engine;
use ochre_engine::live::Live;
use ochre_engine::mailbox::Mailbox;
use ochre_engine::turn::LoopState;
use ochre_keyspace::lazyfree::{self, Bin};
use ochre_net::listener::{BindAddr, Listener};

use crate::clock::Clock;
use crate::event_loop::{EventLoop, Intake, LoopWaker, poll_with_waker};
use crate::host::Process;
use crate::log;

const USAGE: &str = "\
Usage: ochre-server [/path/to/redis.conf] [options] [-]
       ochre-server -v or --version
       ochre-server -h or --help
       ochre-server --ok [--port N]

Options are directives of the configuration file with two dashes, as in --port 7777.
A - reads configuration from the standard input. --ok answers OK to every command
and does nothing else: the floor under the benchmarks.
";

/// Runs the process to its end.
pub(crate) fn run() -> ExitCode {
    match start() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
    }
}

fn start() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("-v" | "--version") => {
            println!("Ochre server v={}", ochre_engine::version::OCHRE);
            return Ok(ExitCode::SUCCESS);
        }
        Some("-h" | "--help") => {
            print!("{USAGE}");
            return Ok(ExitCode::SUCCESS);
        }
        Some("--ok") => {
            let port = match &args[1..] {
                [flag, port] if flag == "--port" => port.parse()?,
                _ => 6379,
            };
            crate::floor::serve(port)?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let config = load(&args)?;
    serve(config)
}

fn load(args: &[String]) -> anyhow::Result<Config> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let surroundings = Surroundings { cores, folder: std::env::current_dir()? };
    let mut config = Config::new(&surroundings);
    let (file, options) = match args.first() {
        Some(first) if !first.starts_with('-') || first == "-" => {
            (Some(first).filter(|first| *first != "-"), &args[1..])
        }
        _ => (None, args),
    };
    let from_stdin = args.iter().any(|arg| arg == "-");
    let file_text = match file {
        Some(path) => {
            let path = std::path::absolute(path)?;
            let text = std::fs::read(&path).map_err(|error| {
                anyhow::anyhow!("Fatal error, can't open config file '{}': {error}", path.display())
            })?;
            config.set_file(path);
            text
        }
        None => Vec::new(),
    };
    let mut stdin_text = Vec::new();
    if from_stdin {
        io::Read::read_to_end(&mut io::stdin().lock(), &mut stdin_text)?;
    }
    let options: Vec<&[u8]> =
        options.iter().filter(|arg| *arg != "-").map(|arg| arg.as_bytes()).collect();
    let options = parse::options_text(&options);
    let text = parse::joined(&file_text, &stdin_text, &options);
    let loaded = parse::load(&mut config, &text, &Disk)
        .map_err(|error| anyhow::anyhow!("{}", error.report(ochre_engine::version::REPORTED)))?;
    for notice in &loaded.notices {
        log::warning(&notice.to_string());
    }
    Ok(config)
}

fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let settings = Settings::of(&config);
    log::configure(&settings);
    std::env::set_current_dir(&settings.dir)?;
    raise_file_limit(settings.maxclients);
    let seed = random_seed()?;
    ochre_base::hash::seed(seed);
    let clock: &'static Clock = Box::leak(Box::new(Clock::new()));
    let loops = settings.io_threads.max(1);
    let mut polls = Vec::new();
    let (mut mailboxes, mut intakes) = (Vec::new(), Vec::new());
    for _ in 0..loops {
        let (poll, waker) = poll_with_waker()?;
        mailboxes.push(Mailbox::new(Box::new(LoopWaker(Arc::clone(&waker)))));
        intakes.push(Intake::new(waker));
        polls.push(poll);
    }
    let intakes: &'static [Intake] = intakes.leak();
    let listeners = listen(&settings)?;
    let run_id = run_id()?;
    let host = Box::new(Process::new(clock, &settings, run_id, describe_listeners(&settings)));
    let live = Live::of(settings.clone());
    let engine = Engine::new(mailboxes, live, config, 1 << 20, &[], host);
    let engine: &'static Engine = Box::leak(Box::new(engine));
    crate::signals::watch(engine)?;
    let (bin, queue) = Bin::with_thread();
    std::thread::Builder::new()
        .name("lazy-free".into())
        .spawn(move || lazyfree::drain(&queue))?;
    log::notice(&format!(
        "Ochre {} is ready to accept connections on port {}, {loops} event loops",
        ochre_engine::version::OCHRE,
        settings.port
    ));
    let unix_path = settings.unixsocket.as_ref().map(|p| p.display().to_string());
    let mut listeners = Some(listeners);
    let failure: &'static Mutex<Option<io::Error>> = Box::leak(Box::default());
    let mut threads = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        let lp = LoopState::new(engine, index as u16, bin.clone(), seed ^ (index as u64) << 32);
        let mut event_loop = EventLoop::new(engine, clock, poll, lp, intakes);
        if let Some(listeners) = listeners.take() {
            event_loop.listen(listeners, unix_path.clone().unwrap_or_default())?;
        }
        let thread = std::thread::Builder::new().name(format!("loop-{index}")).spawn(move || {
            if let Err(error) = event_loop.run() {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                engine.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
                engine.tell_all(|| ochre_engine::mailbox::Message::LookAround);
            }
        })?;
        threads.push(thread);
    }
    for thread in threads {
        // A loop's panic has ended the process already (the release profile aborts).
        drop(thread.join());
    }
    if let Some(path) = &settings.unixsocket {
        // Another process may have taken the path meanwhile; then it is not ours to report.
        drop(std::fs::remove_file(path));
    }
    let failed = failure.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(error) = failed {
        log::warning(&format!("An event loop failed: {error}"));
        return Ok(ExitCode::FAILURE);
    }
    log::warning("Ochre is now ready to exit, bye bye...");
    Ok(ExitCode::SUCCESS)
}

/// Opens all addresses. One that is not optional and cannot be had stops the start.
fn listen(settings: &Settings) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    if settings.port != 0 {
        for word in &settings.bind {
            let addr = BindAddr::parse(word)
                .ok_or_else(|| anyhow::anyhow!("Could not create server TCP listening socket {word}:{}: Name or service not known", settings.port))?;
            match Listener::tcp(addr.ip, settings.port, settings.tcp_backlog) {
                Ok(listener) => listeners.push(listener),
                Err(error) if addr.optional => {
                    log::debug(&format!("Not listening on {word}: {error}"));
                }
                Err(error) => anyhow::bail!(
                    "Could not create server TCP listening socket {}:{}: bind: {error}",
                    addr.ip,
                    settings.port
                ),
            }
        }
        anyhow::ensure!(!listeners.is_empty(), "Failed listening on port {} (TCP), aborting.", settings.port);
    }
    if let Some(path) = &settings.unixsocket {
        let listener = Listener::unix(path)
            .map_err(|error| anyhow::anyhow!("Failed opening Unix socket: bind: {error}"))?;
        if settings.unixsocket_mode != 0 {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::Permissions::from_mode(settings.unixsocket_mode);
            std::fs::set_permissions(path, mode)?;
        }
        listeners.push(listener);
    }
    anyhow::ensure!(!listeners.is_empty(), "Configured to not listen anywhere, exiting.");
    Ok(listeners)
}

/// Forty random hexadecimal digits.
fn run_id() -> anyhow::Result<String> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn describe_listeners(settings: &Settings) -> Vec<String> {
    let mut lines = Vec::new();
    if settings.port != 0 {
        let binds: String = settings.bind.iter().map(|word| format!(",bind={word}")).collect();
        lines.push(format!("name=tcp{binds},port={}", settings.port));
    }
    if let Some(path) = &settings.unixsocket {
        lines.push(format!("name=unix,bind={}", path.display()));
    }
    lines
}

fn random_seed() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// Allows as many open files as maxclients needs, as far as the system lets us.
fn raise_file_limit(maxclients: u32) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // 32 for files, logs, listeners and the loops' own.
    let wanted = u64::from(maxclients) + 32;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let maximum = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let raised = Rlimit { current: Some(maximum), maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_err() || maximum < wanted {
            log::warning(&format!(
                "The limit of open files allows fewer than maxclients ({maxclients}) connections."
            ));
        }
    }
}
