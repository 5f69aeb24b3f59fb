//! Backups: a thread that takes a snapshot when one is due, sends it to its destination, reads it back, and
//! removes what is no longer wanted.
//!
//! The snapshot is taken by the one mechanism there is, into `temp-backup-<pid>.rdb` in the working folder, so
//! that a slow destination holds nothing up. While another snapshot is under way, or one that clients scheduled
//! waits for its turn, this one waits. What the newest backup is follows from the names at the destination,
//! which are listed once after the start, after each change of the URL, and after each backup.
//!
//! The directives are looked at about once a second, so CONFIG SET needs no message.
//!
//! **Failure.** Whatever fails is in the log and in INFO, and is tried again after 1, 2, 4 and so on seconds, up
//! to five minutes. A backup that was sent and does not read back as it was written is removed, and counts as a
//! failure; older ones are removed only after a new one is good. That an older one cannot be removed makes no
//! failure of the new one: it is removed another time.
//!
//! **The end** of the process gives up what is under way: the thread notices within a tenth of a second, and
//! cleans up for a few seconds at most.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ochre_backup::{Async, Destination, Keep, Schedule, name, retry_after_s, surplus};
use ochre_config::snapshot::BackupSettings;
use ochre_config::special;
use ochre_engine::engine::Engine;
use ochre_engine::saves::Backup;

use super::save;
use crate::clock::Clock;
use crate::host::reason;
use crate::log;

/// Longest time between two looks at the directives and the clock.
const LOOK: Duration = Duration::from_secs(1);
/// Time between two looks whether another snapshot has ended.
const STEP: Duration = Duration::from_millis(20);

/// The thread, from outside.
#[derive(Debug)]
pub(crate) struct Backups {
    engine: &'static Engine,
    thread: JoinHandle<()>,
    /// It is taking a snapshot just now.
    saves: Arc<AtomicBool>,
}

impl Backups {
    /// Starts the thread.
    pub(crate) fn start(engine: &'static Engine, clock: &'static Clock) -> io::Result<Self> {
        let saves = Arc::new(AtomicBool::new(false));
        let run_id = engine.host.facts().run_id;
        let worker = Worker {
            engine,
            clock,
            run_id,
            saves: Arc::clone(&saves),
            runtime: None,
            url: String::new(),
            newest_s: None,
            is_listed: false,
            failures: 0,
            rest_until_s: 0,
        };
        let thread =
            std::thread::Builder::new().name("backup".into()).spawn(move || worker.run())?;
        Ok(Self { engine, thread, saves })
    }

    /// Waits for its end: `Engine::stopping` is set by now.
    pub(crate) fn finish(self) {
        self.thread.thread().unpark();
        while !self.thread.is_finished() {
            if self.saves.load(Ordering::Acquire) {
                self.engine.saves.cancel();
            }
            std::thread::sleep(STEP);
        }
        // A panic has ended the process already.
        drop(self.thread.join());
    }
}

/// The thread, from inside.
#[derive(Debug)]
struct Worker {
    engine: &'static Engine,
    clock: &'static Clock,
    run_id: String,
    saves: Arc<AtomicBool>,
    /// Made for the first backup.
    runtime: Option<Async>,
    /// Whose backups the following is about.
    url: String,
    newest_s: Option<i64>,
    /// Whether `newest_s` is known.
    is_listed: bool,
    /// In a row.
    failures: u32,
    /// Nothing is tried before this Unix second.
    rest_until_s: i64,
}

impl Worker {
    fn run(mut self) {
        while !self.is_stopping() {
            let settings = self.engine.live().0.settings.backup.clone();
            let wait = self.look(&settings);
            if !self.is_stopping() {
                std::thread::park_timeout(wait);
            }
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.end();
        }
    }

    fn is_stopping(&self) -> bool {
        self.engine.stopping.load(Ordering::Relaxed)
    }

    fn now_s(&self) -> i64 {
        self.clock.now().unix_ms / 1000
    }

    fn publish(&self, change: impl FnOnce(&mut Backup)) {
        self.engine.saves.change(|state| change(&mut state.backup));
    }

    /// Takes a backup if one is due; gives the time until the next look.
    fn look(&mut self, settings: &BackupSettings) -> Duration {
        if self.url != settings.url {
            self.url.clone_from(&settings.url);
            (self.newest_s, self.is_listed) = (None, false);
            (self.failures, self.rest_until_s) = (0, 0);
            let enabled = !self.url.is_empty();
            self.publish(|backup| *backup = Backup { enabled, ..Backup::default() });
        }
        if self.url.is_empty() {
            return LOOK;
        }
        let (schedule, now_s) = (schedule(settings), self.now_s());
        let next_s = if self.is_listed { schedule.next(self.newest_s, now_s) } else { now_s };
        let next_s = next_s.max(self.rest_until_s);
        self.publish(|backup| backup.next_s = next_s);
        // What is being loaded is not the data set.
        if next_s > now_s || self.engine.loading.is_on() {
            return LOOK.min(until(next_s, self.clock.now().unix_ms));
        }
        match self.attempt(settings, schedule) {
            Ok(()) => {
                (self.failures, self.rest_until_s) = (0, 0);
                self.publish(|backup| backup.error.clear());
            }
            Err(_) if self.is_stopping() => {}
            Err(why) => {
                self.failures = self.failures.saturating_add(1);
                let wait_s = retry_after_s(self.failures);
                self.rest_until_s = self.now_s() + wait_s;
                log::warning(&format!("Backup failed: {why}. Trying again in {wait_s} seconds."));
                self.publish(|backup| backup.error = why);
            }
        }
        Duration::ZERO
    }

    fn attempt(&mut self, settings: &BackupSettings, schedule: Schedule) -> Result<(), String> {
        let engine = self.engine;
        let stop = move || engine.stopping.load(Ordering::Relaxed);
        let runtime = match self.runtime.take() {
            Some(runtime) => runtime,
            None => Async::new().map_err(|error| reason(&error))?,
        };
        let result = Destination::open(&runtime, &settings.url, &stop)
            .map_err(|error| error.to_string())
            .and_then(|destination| self.attempt_at(&destination, settings, schedule));
        self.runtime = Some(runtime);
        result
    }

    fn attempt_at(
        &mut self,
        destination: &Destination<'_>,
        settings: &BackupSettings,
        schedule: Schedule,
    ) -> Result<(), String> {
        if !self.is_listed {
            let found = destination.list().map_err(|error| error.to_string())?;
            if let Some(newest) = found.first() {
                self.newest_s = Some(newest.at_s);
                let url = destination.url_of(&newest.name);
                self.publish(|backup| (backup.last_s, backup.last_url) = (newest.at_s, url));
            }
            self.is_listed = true;
        }
        if !schedule.is_due(self.newest_s, self.now_s()) {
            return Ok(());
        }
        self.publish(|backup| backup.in_progress = true);
        let result = self.back_up(destination, settings);
        self.publish(|backup| backup.in_progress = false);
        result
    }

    fn back_up(
        &mut self,
        destination: &Destination<'_>,
        settings: &BackupSettings,
    ) -> Result<(), String> {
        let folder = std::env::current_dir().map_err(|error| reason(&error))?;
        let file = folder.join(format!("temp-backup-{}.rdb", std::process::id()));
        let result = self.take(&file).and_then(|at_s| {
            let name = name::of(&self.run_id, at_s);
            let sent = destination.send(&file, &name).map_err(|error| error.to_string())?;
            if settings.verify {
                verify(destination, &name, sent)?;
            }
            Ok((at_s, name, sent))
        });
        // It is of no more use either way; one that cannot be removed is written over by the next.
        drop(std::fs::remove_file(&file));
        let (at_s, name, sent) = result?;
        let url = destination.url_of(&name);
        log::notice(&format!("Backup of {} bytes is at {url}", sent.bytes));
        self.newest_s = Some(at_s);
        self.publish(|backup| {
            (backup.last_s, backup.last_bytes, backup.last_url) = (at_s, sent.bytes, url);
        });
        let keep = Keep {
            hourly: settings.keep_hourly,
            daily: settings.keep_daily,
            weekly: settings.keep_weekly,
        };
        if let Err(error) = remove_old(destination, keep) {
            log::warning(&format!("Backups that are no longer wanted are still there: {error}"));
        }
        Ok(())
    }

    /// Takes a snapshot into a file as soon as that may be; gives the Unix second of its cut.
    fn take(&self, file: &Path) -> Result<i64, String> {
        let engine = self.engine;
        self.saves.store(true, Ordering::Release);
        let result = loop {
            if self.is_stopping() {
                break Err("stopped".to_owned());
            }
            if engine.loading.is_on() || !engine.saves.begin_beside(self.now_s()) {
                std::thread::sleep(STEP);
                continue;
            }
            let now = self.clock.now();
            let mut written = save::write_aside(engine, file, now).map_err(|error| reason(&error));
            engine.saves.end(self.now_s(), None, false);
            if engine.loading.is_on() {
                written = Err("the data was replaced meanwhile".to_owned());
            }
            break written.map(|()| now.unix_ms / 1000);
        };
        self.saves.store(false, Ordering::Release);
        result
    }
}

/// The time until a Unix second begins.
fn until(at_s: i64, now_ms: i64) -> Duration {
    let ms = at_s.saturating_mul(1000).saturating_sub(now_ms);
    Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(20))
}

fn schedule(settings: &BackupSettings) -> Schedule {
    match settings.schedule {
        special::Schedule::Hourly => Schedule::HOURLY,
        special::Schedule::Daily => Schedule::DAILY,
        special::Schedule::Weekly => Schedule::WEEKLY,
        special::Schedule::Seconds(seconds) => Schedule::every(seconds),
    }
}

/// Reads a backup back and compares it with what was sent. One that is not the same goes.
fn verify(
    destination: &Destination<'_>,
    name: &str,
    sent: ochre_backup::Sent,
) -> Result<(), String> {
    let object = destination.read_name(name).map_err(|error| error.to_string())?;
    let bytes = object.size();
    let why = match ochre_backup::inspect(object, bytes) {
        Ok(good) if (good.bytes, good.sum) == (sent.bytes, sent.sum) => return Ok(()),
        Ok(_) => "it is not what was sent".to_owned(),
        // What cannot be read now may be good: it stays, and is looked at when it is needed.
        Err(ochre_rdb::LoadError::Io(error)) => return Err(error.to_string()),
        Err(error) => error.to_string(),
    };
    if let Err(error) = destination.remove_name(name) {
        log::warning(&format!("A broken backup is still there: {error}"));
    }
    Err(format!("reading '{name}' back: {why}"))
}

fn remove_old(destination: &Destination<'_>, keep: Keep) -> Result<(), ochre_backup::Error> {
    let found = destination.list()?;
    let times: Vec<i64> = found.iter().map(|found| found.at_s).collect();
    for at in surplus(&times, keep) {
        destination.remove(&found[at])?;
        log::verbose(&format!("Backup {} is no longer wanted: removed", found[at].name));
    }
    Ok(())
}
