//! From a configuration to running loops, and to the end of the process.
//!
//! Order: into the background and under supervision while there is one thread; the log's first lines; limits
//! of the process; sockets; then the threads. At the end the files that others look for are removed.

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use mio::Poll;
use ochre_config::store::Notice;
use ochre_config::{Config, Settings, Value, table};
use ochre_engine::engine::Engine;
use ochre_engine::live::Live;
use ochre_engine::mailbox::{Mailbox, Message};
use ochre_engine::turn::LoopState;
use ochre_engine::version::{OCHRE, REPORTED};
use ochre_keyspace::lazyfree::{self, Bin};

use crate::background::{self, PidFile};
use crate::clock::Clock;
use crate::event_loop::{EventLoop, Intake, LoopWaker, Shared, poll_with_waker};
use crate::host::{Process, reason};
use crate::link;
use crate::listening::Listening;
use crate::persist::aof::Aof;
use crate::persist::aof::recover::Until;
use crate::persist::backup::Backups;
use crate::persist::{load, restore};
use crate::supervise::Manager;
use crate::tls::Tls;
use crate::{allocator, log, open_files, signals};

/// Serves until the process is told to stop; gives its exit code. `bare` says that it was started without
/// any argument; `until`: recover to there.
pub(crate) fn serve(
    config: Config,
    notices: &[Notice],
    bare: bool,
    until: Option<&Until>,
) -> ExitCode {
    match run(config, notices, bare, until) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::warning(&format!("{error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(
    mut config: Config,
    notices: &[Notice],
    bare: bool,
    until: Option<&Until>,
) -> anyhow::Result<()> {
    let settings = Settings::of(&config);
    let manager = Manager::find(settings.supervised, |name| std::env::var(name).ok());
    let background = settings.daemonize && manager == Manager::Nobody;
    if background {
        background::daemonize()
            .map_err(|error| anyhow::anyhow!("Cannot go into the background: {error}"))?;
    }
    first_lines(bare);
    for notice in notices {
        log::warning(&notice.to_string());
    }
    manager.begin();
    let settings = fit_clients(&mut config, settings);
    let pid_file = write_pid_file(&settings, background);
    let result = run_loops(config, &settings, &manager, until);
    if let Some(file) = pid_file {
        file.remove();
    }
    result?;
    log::warning("Ochre is now ready to exit, bye bye...");
    Ok(())
}

fn first_lines(bare: bool) {
    log::notice("oO0OoO0OoO0Oo Ochre is starting oO0OoO0OoO0Oo");
    log::notice(&format!(
        "Ochre version={OCHRE}, redis version={REPORTED}, bits={}, pid={}, just started",
        usize::BITS,
        std::process::id()
    ));
    if bare {
        log::warning(
            "Warning: no config file specified, using the default config. In order to specify a config \
             file use ochre-server /path/to/redis.conf",
        );
    } else {
        log::notice("Configuration loaded");
    }
}

/// The facts beside the peers' logo, which programs that start a server look for in its log.
pub(crate) fn show_logo(mode: &str, port: i64) {
    log::notice(&format!(" Ochre {OCHRE} (redis {REPORTED}), {} bit", usize::BITS));
    log::notice(&format!(" Running in {mode} mode"));
    log::notice(&format!(" Port: {port}"));
    log::notice(&format!(" PID: {}", std::process::id()));
}

/// Takes off `maxclients` what the limit of open files does not allow.
fn fit_clients(config: &mut Config, settings: Settings) -> Settings {
    let wanted = settings.maxclients;
    let Err(most) = open_files::allow(wanted, settings.io_threads.max(1)) else { return settings };
    log::warning(&format!(
        "You requested maxclients of {wanted}, which needs more open files than the system allows: \
         maxclients has been reduced to {most}. If you need higher maxclients increase 'ulimit -n'."
    ));
    let maxclients = const { table::id("maxclients") };
    config.replace(maxclients, Value::Int(i64::from(most.max(1))));
    Settings::of(config)
}

fn write_pid_file(settings: &Settings, background: bool) -> Option<PidFile> {
    let default = background.then(|| background::DEFAULT_PID_FILE.into());
    settings.pidfile.clone().or(default).and_then(|path| PidFile::write(&path))
}

/// A server that has no threads yet.
pub(crate) struct Parts {
    pub(crate) engine: &'static Engine,
    pub(crate) shared: &'static Shared,
    /// One for each loop.
    pub(crate) polls: Vec<Poll>,
    /// For the loops' random numbers.
    pub(crate) seed: u64,
}

/// Makes the engine and what the loops share; nothing is opened and nothing runs.
pub(crate) fn assemble(
    config: Config,
    settings: &Settings,
    supervised: &str,
) -> anyhow::Result<Parts> {
    let seed = u64::from_le_bytes(random_bytes()?);
    ochre_base::hash::seed(seed);
    allocator::configure_decay();
    allocator::run_in_background(settings.allocator_thread);
    let mut polls = Vec::new();
    let (mut mailboxes, mut intakes) = (Vec::new(), Vec::new());
    for _ in 0..settings.io_threads.max(1) {
        let (poll, waker) = poll_with_waker()?;
        mailboxes.push(Mailbox::new(Box::new(LoopWaker(Arc::clone(&waker)))));
        intakes.push(Intake::new(waker));
        polls.push(poll);
    }
    let shared: &'static Shared = Box::leak(Box::new(Shared {
        clock: Clock::new(),
        // Loop 0 accepts.
        listening: Listening::new(polls[0].registry().try_clone()?),
        client_memory: (0..intakes.len()).map(|_| AtomicI64::new(0)).collect(),
        intakes,
        aof: Aof::default(),
        unix_path: settings.unixsocket.iter().map(|path| path.display().to_string()).collect(),
    }));
    let run_id: String = random_bytes::<20>()?.iter().map(|byte| format!("{byte:02x}")).collect();
    let host =
        Process::new(&shared.clock, &shared.listening, &shared.aof, settings, run_id, supervised);
    let host: &'static Process = Box::leak(Box::new(host));
    let backlog = usize::try_from(settings.backlog_bytes).unwrap_or(usize::MAX);
    let live = Live::of(settings.clone());
    let engine = Engine::new(mailboxes, live, config, backlog, &[], host);
    let engine: &'static Engine = Box::leak(Box::new(engine));
    host.attach(engine);
    Ok(Parts { engine, shared, polls, seed })
}

fn run_loops(
    config: Config,
    settings: &Settings,
    manager: &Manager,
    until: Option<&Until>,
) -> anyhow::Result<()> {
    let Parts { engine, shared, mut polls, seed } = assemble(config, settings, manager.name())?;
    let loops = polls.len();
    let port = if settings.port == 0 { settings.tls.port } else { settings.port };
    log::notice(&format!("Running mode=standalone, port={port}, {loops} event loops."));
    if settings.always_show_logo {
        show_logo("standalone", i64::from(port));
    }
    let tls = Tls::prepare(settings)
        .map_err(|_| anyhow::anyhow!("Failed to configure TLS. Check logs for more info."))?;
    shared.listening.tls.put(tls);
    listen(&shared.listening, settings, port)?;
    engine.acl.load_at_start(engine, settings).map_err(|reason| {
        anyhow::anyhow!("Aborting Ochre startup because of ACL errors: {reason}")
    })?;
    signals::watch(engine, &shared.clock)?;
    log::notice("Server initialized");
    let began = shared.clock.now();
    engine.saves.change(|state| state.last_s = began.unix_ms / 1000);
    restore::at_start(engine, began.unix_ms / 1000)?;
    link::history::take_primary(engine);
    let bytes = match settings.append_only {
        true => shared.aof.find(engine)?,
        false => load::size_at_start(engine),
    };
    let failure: &'static Mutex<Option<io::Error>> = Box::leak(Box::default());
    // The loops answer that data is being loaded, when there is any.
    let loading = (bytes > 0).then(|| engine.loading.begin(began.unix_ms / 1000, bytes));
    let mut threads = Vec::new();
    if loading.is_some() {
        threads = start_loops(engine, shared, std::mem::take(&mut polls), seed, failure)?;
    }
    let now = || shared.clock.now();
    let loaded = match settings.append_only {
        true => shared.aof.start(engine, &now, until),
        false => load::at_start(engine, began, &now),
    };
    // To end a process that is loading is no failure of loading.
    if loaded.is_err() && !engine.stopping.load(Ordering::Relaxed) {
        engine.stopping.store(true, Ordering::Relaxed);
        engine.tell_all(|| Message::LookAround);
        join(threads);
        return loaded;
    }
    std::thread::Builder::new()
        .name("aof-sync".into())
        .spawn(move || shared.aof.sync_forever(engine))?;
    if loading.is_none() {
        threads = start_loops(engine, shared, polls, seed, failure)?;
    }
    let mut backups = None;
    if loaded.is_ok() {
        if !settings.append_only {
            link::history::take_up(engine, &settings.dbfilename);
        }
        drop(loading);
        link::start(engine, shared)?;
        backups = Some(Backups::start(engine, &shared.clock)?);
        for kind in shared.listening.kinds() {
            log::notice(&format!("Ready to accept connections {kind}"));
        }
        manager.ready();
    }
    join(threads);
    backups.into_iter().for_each(Backups::finish);
    shared.aof.finish(engine, shared.clock.now().unix_ms / 1000);
    manager.stopping();
    if let Some(path) = &settings.unixsocket {
        log::notice("Removing the unix socket file.");
        // Another process may have taken the path meanwhile; then it is not ours to report.
        drop(std::fs::remove_file(path));
    }
    match failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(error) => anyhow::bail!("An event loop failed: {error}"),
        None => Ok(()),
    }
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A loop's panic has ended the process already.
        drop(thread.join());
    }
}

fn start_loops(
    engine: &'static Engine,
    shared: &'static Shared,
    polls: Vec<Poll>,
    seed: u64,
    failure: &'static Mutex<Option<io::Error>>,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let (bin, queue) = Bin::with_thread();
    std::thread::Builder::new().name("lazy-free".into()).spawn(move || lazyfree::drain(&queue))?;
    let mut threads = Vec::new();
    for (index, poll) in polls.into_iter().enumerate() {
        let lp = LoopState::new(engine, index as u16, bin.clone(), seed ^ (index as u64) << 32);
        let event_loop = EventLoop::new(engine, shared, poll, lp);
        let thread =
            std::thread::Builder::new().name(format!("loop-{index}")).spawn(move || {
                if let Err(error) = event_loop.run() {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    engine.stopping.store(true, Ordering::Relaxed);
                    engine.tell_all(|| Message::LookAround);
                }
            })?;
        threads.push(thread);
    }
    Ok(threads)
}

/// Opens all addresses. One that is not optional and cannot be had stops the start.
fn listen(listening: &Listening, settings: &Settings, port: u16) -> anyhow::Result<()> {
    anyhow::ensure!(
        listening.change(settings).is_ok(),
        "Failed listening on port {port} (TCP), aborting."
    );
    if let Some(path) = &settings.unixsocket {
        listening.add_unix(path, settings.unixsocket_mode).map_err(|error| {
            anyhow::anyhow!("Failed opening Unix socket: bind: {}", reason(&error))
        })?;
    }
    anyhow::ensure!(!listening.is_empty(), "Configured to not listen anywhere, exiting.");
    Ok(())
}

fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    Ok(bytes)
}
