//! What the process does for the engine.

use ochre_engine::engine::Host;

use crate::clock::Clock;

/// The process, as the engine sees it.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) clock: &'static Clock,
}

impl Host for Process {
    #[inline]
    fn ticks_ns(&self) -> u64 {
        self.clock.ticks_ns()
    }
}
