//! What the process does for the engine: clocks, facts about itself, files, and directives that act on the
//! process when they change.
//!
//! CONFIG SET is all or nothing: what may fail (limit of open files, `dir`, listening sockets) is done in an
//! order in which it can be undone, and only then the log and the rest change.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ochre_config::{Id, Settings, table};
use ochre_engine::commands::migrate::Round;
use ochre_engine::engine::{Engine, Facts, Host, LastSave};
use ochre_engine::transfer::SyncRequest;

use crate::clock::Clock;
use crate::link::migrate::Movers;
use crate::listening::Listening;
use crate::persist::aof::Aof;
use crate::persist::aof::rewrite::After;
use crate::persist::sync::Syncs;
use crate::persist::{load, save};
use crate::tls::{self, Tls};
use crate::{log, open_files};

/// The process, as the engine sees it.
#[derive(Debug)]
pub(crate) struct Process {
    clock: &'static Clock,
    listening: &'static Listening,
    aof: &'static Aof,
    /// Connections of MIGRATE.
    movers: Arc<Movers>,
    /// Replicas that wait for a snapshot.
    syncs: Arc<Syncs>,
    /// Set once the engine is there.
    engine: OnceLock<&'static Engine>,
    fixed: Facts,
    /// Event loops.
    loops: usize,
    /// Used memory once the server was up.
    startup_memory: usize,
    /// Directory in use; `dir` may change it.
    folder: Mutex<PathBuf>,
}

/// The system's words for an error, without its number: how the peers show it.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl Process {
    /// Collects what does not change while the process lives.
    pub(crate) fn new(
        clock: &'static Clock,
        listening: &'static Listening,
        aof: &'static Aof,
        settings: &Settings,
        run_id: String,
        supervised: &str,
    ) -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let os = format!(
            "{} {} {}",
            text(uname.sysname()),
            text(uname.release()),
            text(uname.machine())
        );
        let executable = std::env::current_exe().map(|p| p.display().to_string());
        let fixed = Facts {
            pid: std::process::id(),
            run_id,
            os,
            executable: executable.unwrap_or_default(),
            started_s: clock.now().unix_ms / 1000,
            supervised: supervised.to_owned(),
            system_memory: system_memory(),
            ..Facts::default()
        };
        Self {
            clock,
            listening,
            aof,
            movers: Arc::default(),
            syncs: Arc::default(),
            engine: OnceLock::new(),
            fixed,
            loops: settings.io_threads.max(1),
            startup_memory: ochre_base::memory::used(),
            folder: Mutex::new(settings.dir.clone()),
        }
    }

    /// Goes to the folder of the settings; gives the one before.
    fn change_folder(&self, settings: &Settings) -> io::Result<PathBuf> {
        std::env::set_current_dir(&settings.dir)?;
        let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::replace(&mut folder, settings.dir.clone()))
    }

    /// Tells of the engine, which is made after this.
    pub(crate) fn attach(&self, engine: &'static Engine) {
        self.engine.get_or_init(|| engine);
    }

    /// Begins or ends the append-only file. When a snapshot is under way it begins with its end.
    fn switch_aof(&self, engine: &'static Engine, on: bool) {
        let now_s = self.clock.now().unix_ms / 1000;
        if !on {
            self.aof.finish(engine, now_s);
            self.aof.switch_off(engine);
            if engine.saves.cancel_rewrite() {
                log::notice("Killing the AOF rewrite under way (in the peers, a child process)");
            }
        } else if !self.aof.is_on() && engine.saves.begin_rewrite(now_s) {
            // A failure is in the log and in INFO; the loop's periodic work tries again.
            drop(self.start_rewrite(engine, After::Written));
        } else if !self.aof.is_on() && !engine.saves.state().is_rewrite {
            engine.saves.change(|state| state.rewrite_scheduled = true);
        }
    }

    fn start_rewrite(&self, engine: &'static Engine, after: After) -> io::Result<()> {
        let (clock, aof) = (self.clock, self.aof);
        let thread = std::thread::Builder::new().name("aof-rewrite".into());
        let result = thread.spawn(move || aof.rewrite(engine, after, &|| clock.now()));
        if result.is_err() {
            engine.saves.rewrite_ended(clock.now().unix_ms / 1000, false);
        }
        result.map(drop)
    }

    fn go_back(&self, before: PathBuf) {
        // It could be entered a moment ago; if it is gone by now, staying in the new one is all there is.
        if std::env::set_current_dir(&before).is_ok() {
            *self.folder.lock().unwrap_or_else(PoisonError::into_inner) = before;
        }
    }
}

fn system_memory() -> usize {
    let info = rustix::system::sysinfo();
    (info.totalram as usize).saturating_mul(info.mem_unit as usize)
}

/// Resident pages of this process, in bytes.
pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok()).unwrap_or(0);
    pages * rustix::param::page_size()
}

/// Processor time in the kernel and in user mode, in seconds: fields 15 and 14 of /proc/self/stat.
fn processor_time() -> (f64, f64) {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold blanks; what follows it does not.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let field = |at: usize| {
        rest.split(' ').nth(at).and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    (field(13) / ticks, field(12) / ticks)
}

impl Process {
    /// What may fail comes first and is undone when the next fails; the rest cannot fail.
    fn apply_all(&self, settings: &Settings, changed: &[Id]) -> Result<(), (Id, String)> {
        let (dir, maxclients) = const { (table::id("dir"), table::id("maxclients")) };
        if changed.contains(&maxclients) {
            open_files::allow(settings.maxclients, self.loops).map_err(|most| {
                let text = format!(
                    "The operating system is not able to handle the specified number of clients, \
                     try with {most}"
                );
                (maxclients, text)
            })?;
        }
        let tls_id = changed.iter().copied().find(|id| tls::concerns(*id));
        let prepared = match tls_id {
            Some(id) => Some(Tls::prepare(settings).map_err(|_| {
                (id, "Unable to update TLS configuration. Check server logs.".to_owned())
            })?),
            None => None,
        };
        let mut before = None;
        if changed.contains(&dir) {
            before = Some(self.change_folder(settings).map_err(|error| (dir, reason(&error)))?);
        }
        // Before the port, so that whoever connects to it finds TLS there.
        let tls_before = prepared.map(|prepared| self.listening.tls.put(prepared));
        let (port, tls_port, bind) =
            const { (table::id("port"), table::id("tls-port"), table::id("bind")) };
        let address = changed.iter().copied().find(|id| [port, tls_port, bind].contains(id));
        if let Some(id) = address
            && self.listening.change(settings).is_err()
        {
            if let Some(before) = before {
                self.go_back(before);
            }
            if let Some(before) = tls_before {
                self.listening.tls.put(before);
            }
            let text = if id != bind {
                "Unable to listen on this port. Check server logs."
            } else {
                "Failed to bind to specified addresses."
            };
            return Err((id, text.to_owned()));
        }
        if changed.contains(&const { table::id("jemalloc-bg-thread") }) {
            crate::allocator::run_in_background(settings.allocator_thread);
        }
        crate::crash::configure(settings.crash_log);
        log::configure(settings);
        if changed.contains(&const { table::id("appendonly") })
            && let Some(engine) = self.engine.get()
        {
            self.switch_aof(engine, settings.append_only);
        }
        Ok(())
    }
}

impl Host for Process {
    #[inline]
    fn ticks_ns(&self) -> u64 {
        self.clock.ticks_ns()
    }

    fn apply(&self, settings: &Settings, changed: &[Id]) -> Result<(), (Id, String)> {
        let result = self.apply_all(settings, changed);
        if let Err((id, _)) = &result {
            log::warning(&format!(
                "Failed applying new configuration. Possibly related to new {} setting. \
                 Restoring previous settings.",
                id.directive().name
            ));
        }
        result
    }

    fn rewrite_file(&self, path: &Path, rewrite: &dyn Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
        let old = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let new = rewrite(&old);
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let temporary = path.with_file_name(format!("{name}-{}.tmp", std::process::id()));
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&new)?;
            if let Ok(meta) = std::fs::metadata(path) {
                file.set_permissions(meta.permissions())?;
            }
            file.sync_all()?;
            std::fs::rename(&temporary, path)?;
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        let result = write();
        if result.is_err() {
            // What is left of the attempt; the error that is reported is the first one.
            drop(std::fs::remove_file(&temporary));
        }
        result
    }

    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn facts(&self) -> Facts {
        use tikv_jemalloc_ctl::{epoch, stats};
        // Numbers of the allocator are as of the last epoch; without them they are 0.
        let fresh = epoch::advance().is_ok();
        let read = |value: Result<usize, tikv_jemalloc_ctl::Error>| {
            if fresh { value.unwrap_or(0) } else { 0 }
        };
        Facts {
            port: self.listening.port(),
            listeners: self.listening.describe(),
            resident: resident(),
            allocated: read(stats::allocated::read()),
            active: read(stats::active::read()),
            allocator_resident: read(stats::resident::read()),
            startup_memory: self.startup_memory,
            cpu: processor_time(),
            ..self.fixed.clone()
        }
    }

    fn save(&self, engine: &'static Engine) -> Result<(), String> {
        save::save(engine, &|| self.clock.now(), false)
    }

    fn save_in_background(&self, engine: &'static Engine, holds_locks: bool) -> io::Result<()> {
        let clock = self.clock;
        save::in_background(engine, move || clock.now(), holds_locks)
    }

    fn save_before_end(&self, engine: &'static Engine, how: LastSave) -> bool {
        save::before_end(engine, &|| self.clock.now(), how)
    }

    fn reload(&self, engine: &'static Engine) -> Result<(), String> {
        let path = engine.live().0.settings.dbfilename.clone();
        let now = self.clock.now();
        let size = load::size_at_start(engine);
        let _loading = engine.loading.begin(now.unix_ms / 1000, size);
        load::load(engine, &path, now, load::Twice::Replaced).map(drop).inspect_err(|why| {
            log::warning(&format!("Error loading the DB: {why}"));
        })
    }

    fn send_snapshot(&self, engine: &'static Engine, request: SyncRequest) -> io::Result<()> {
        self.syncs.add(engine, self.clock, request)
    }

    fn write_log(&self, engine: &Engine, settings: &Settings, now_s: i64) {
        self.aof.end_turn(engine, settings, now_s);
    }

    fn rewrite_aof(&self, engine: &'static Engine) -> io::Result<()> {
        let is_wanted = engine.live().0.settings.append_only;
        self.start_rewrite(engine, if is_wanted { After::Written } else { After::Off })
    }

    fn reload_aof(&self, engine: &'static Engine) -> Result<(), String> {
        self.aof.finish(engine, self.clock.now().unix_ms / 1000);
        self.aof.reload(engine, &|| self.clock.now()).inspect_err(|why| {
            log::warning(&format!("Error loading the AOF: {why}"));
        })
    }

    fn aof_facts(&self) -> (bool, u64, u64) {
        let (bytes, base) = self.aof.sizes();
        (self.aof.is_on(), bytes, base)
    }

    fn aof_synced(&self) -> Option<u64> {
        self.aof.synced()
    }

    fn migrate(&self, engine: &'static Engine, round: Box<Round>) {
        self.movers.send(engine, &self.listening.tls, round);
    }

    fn migrate_connections(&self) -> usize {
        self.movers.count()
    }

    fn purge_memory(&self) {
        crate::allocator::purge();
    }

    fn allocator_report(&self) -> String {
        let facts = self.facts();
        format!(
            "jemalloc: allocated {} bytes, active {} bytes, resident {} bytes\n\
             counted as used: {} bytes\n",
            facts.allocated,
            facts.active,
            facts.allocator_resident,
            ochre_base::memory::used()
        )
    }

    fn sleep(&self, seconds: f64) {
        std::thread::sleep(std::time::Duration::from_secs_f64(seconds));
    }

    fn log(&self, text: &str) {
        log::warning(text);
    }

    fn fail(&self, why: &str) {
        log::warning(why);
        std::process::exit(1);
    }
}
