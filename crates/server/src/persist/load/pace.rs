//! What a thread that loads does between two keys: look whether the process is to end, say in the log how far
//! it is, and wait as `key-load-delay` asks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use ochre_engine::engine::Engine;

use crate::log;

/// Time between two lines about the progress, in nanoseconds.
const SAY_EVERY_NS: u64 = 5_000_000_000;
/// Longest wait between two looks whether it is to go on waiting.
const STEP: Duration = Duration::from_millis(2);

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Pace {
    engine: &'static Engine,
    /// `key-load-delay`, as of this version of the configuration.
    delay: i64,
    version: u64,
    /// Keys since the last wait of one microsecond.
    keys: u64,
    said_ns: u64,
}

impl Pace {
    /// Of a thread that begins.
    pub(crate) fn new(engine: &'static Engine) -> Self {
        let (live, version) = engine.live();
        let delay = live.settings.key_load_delay;
        Self { engine, delay, version, keys: 0, said_ns: engine.host.ticks_ns() }
    }

    /// Whether `key-load-delay` asks for a wait after keys.
    pub(crate) fn waits(&mut self) -> bool {
        if self.engine.live_version() != self.version {
            let (live, version) = self.engine.live();
            (self.delay, self.version) = (live.settings.key_load_delay, version);
        }
        self.delay != 0
    }

    /// After each key or command; an error when the process is to end.
    #[inline]
    pub(crate) fn after_key(&mut self) -> Result<(), String> {
        if self.waits() { self.wait() } else { Ok(()) }
    }

    #[cold]
    fn wait(&mut self) -> Result<(), String> {
        if self.delay < 0 {
            self.keys += 1;
            if self.keys >= self.delay.unsigned_abs() {
                self.keys = 0;
                std::thread::sleep(Duration::from_micros(1));
            }
            return self.go_on();
        }
        let until = self.engine.host.ticks_ns() + self.delay.unsigned_abs() * 1000;
        loop {
            self.go_on()?;
            let left = until.saturating_sub(self.engine.host.ticks_ns());
            if left == 0 || !self.waits() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_nanos(left).min(STEP));
        }
    }

    /// Every now and then: says how far it is; an error when the process is to end. `keys`: so many are there.
    pub(crate) fn look(&mut self, keys: impl Fn() -> u64) -> Result<(), String> {
        let now_ns = self.engine.host.ticks_ns();
        if now_ns - self.said_ns >= SAY_EVERY_NS
            && let Some(progress) = self.engine.loading.progress()
        {
            self.said_ns = now_ns;
            log::notice(&format!(
                "Loading: {:.2}%, {} of {} bytes, {} keys or commands",
                progress.percent(),
                progress.loaded_bytes,
                progress.total_bytes,
                keys()
            ));
        }
        self.go_on()
    }

    fn go_on(&self) -> Result<(), String> {
        if self.engine.stopping.load(Ordering::Relaxed) {
            return Err("the process is to end".to_owned());
        }
        Ok(())
    }
}
