//! The only place that reads a clock for the data plane.

use std::time::{SystemTime, UNIX_EPOCH};

use ochre_base::clock::Now;

/// The clocks of the process: the processor's counter for short times, the system's for the date.
#[derive(Debug)]
pub(crate) struct Clock {
    fast: quanta::Clock,
    base: u64,
}

impl Clock {
    /// Calibrates the processor's counter against the monotonic clock (some milliseconds).
    pub(crate) fn new() -> Self {
        let fast = quanta::Clock::new();
        let base = fast.raw();
        Self { fast, base }
    }

    /// Nanoseconds since the process began: 10 ns to read.
    #[inline]
    pub(crate) fn ticks_ns(&self) -> u64 {
        self.fast.delta_as_nanos(self.base, self.fast.raw())
    }

    /// Both clocks, for a turn of a loop.
    pub(crate) fn now(&self) -> Now {
        #[expect(clippy::disallowed_methods, reason = "the data plane's only look at the date")]
        let date = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            unix_ms: date.as_millis() as i64,
            unix_us: date.as_micros() as u64,
            mono_us: self.ticks_ns() / 1000,
        }
    }
}
