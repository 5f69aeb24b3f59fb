//! What the process does for the engine: clocks, facts about itself, files, and directives that act on the
//! process when they change.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ochre_config::{Id, Settings, table};
use ochre_engine::engine::{Facts, Host};

use crate::clock::Clock;
use crate::log;

/// The process, as the engine sees it.
#[derive(Debug)]
pub(crate) struct Process {
    clock: &'static Clock,
    fixed: Facts,
    /// Used memory once the server was up.
    startup_memory: usize,
    /// Directory in use; `dir` may change it.
    folder: Mutex<std::path::PathBuf>,
}

impl Process {
    /// Collects what does not change while the process lives.
    pub(crate) fn new(
        clock: &'static Clock,
        settings: &Settings,
        run_id: String,
        listeners: Vec<String>,
    ) -> Self {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        let os =
            format!("{} {} {}", text(uname.sysname()), text(uname.release()), text(uname.machine()));
        let executable = std::env::current_exe().map(|p| p.display().to_string());
        let fixed = Facts {
            pid: std::process::id(),
            run_id,
            os,
            executable: executable.unwrap_or_default(),
            started_s: clock.now().unix_ms / 1000,
            port: settings.port,
            listeners,
            supervised: "no".to_owned(),
            system_memory: system_memory(),
            ..Facts::default()
        };
        Self {
            clock,
            fixed,
            startup_memory: ochre_base::memory::used(),
            folder: Mutex::new(settings.dir.clone()),
        }
    }
}

fn system_memory() -> usize {
    let info = rustix::system::sysinfo();
    (info.totalram as usize).saturating_mul(info.mem_unit as usize)
}

/// Resident pages of this process, in bytes.
fn resident() -> usize {
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

impl Host for Process {
    #[inline]
    fn ticks_ns(&self) -> u64 {
        self.clock.ticks_ns()
    }

    fn apply(&self, settings: &Settings, changed: &[Id]) -> Result<(), (Id, String)> {
        let dir = const { table::id("dir") };
        if changed.contains(&dir) {
            std::env::set_current_dir(&settings.dir)
                .map_err(|error| (dir, format!("Changing directory: {error}")))?;
            let mut folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
            folder.clone_from(&settings.dir);
        }
        for name in ["port", "bind", "unixsocket"] {
            let id = table::find(name.as_bytes()).map(|(_, id)| id);
            if let Some(id) = id.filter(|id| changed.contains(id)) {
                return Err((id, "Listening sockets cannot be changed at run time yet.".into()));
            }
        }
        log::configure(settings);
        Ok(())
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

    fn facts(&self) -> Facts {
        use tikv_jemalloc_ctl::{epoch, stats};
        // Numbers of the allocator are as of the last epoch; without them they are 0.
        let fresh = epoch::advance().is_ok();
        let read = |value: Result<usize, tikv_jemalloc_ctl::Error>| {
            if fresh { value.unwrap_or(0) } else { 0 }
        };
        Facts {
            resident: resident(),
            allocated: read(stats::allocated::read()),
            active: read(stats::active::read()),
            allocator_resident: read(stats::resident::read()),
            startup_memory: self.startup_memory,
            cpu: processor_time(),
            ..self.fixed.clone()
        }
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
}
