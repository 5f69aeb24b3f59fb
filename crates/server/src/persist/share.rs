//! How much of a processor the thread of a snapshot takes.
//!
//! On an idle machine: all of one, so that a save is over soon. On one that has nothing to spare, every moment of it is
//! one that a client waits, and there is no hurry: then the thread rests, with no lock held, for four times as long as
//! it worked. In between it is what goes without others having to wait, found by steps: less at once when no processor
//! was idle since the last look, a little more after each look with one idle.
//!
//! Whether there is a processor to spare is asked of the kernel about the whole machine, since clients may well be on it.
//! Nothing is spared for the sake of others while the server itself is idle: it may share a machine with programs that
//! always take what they get.
//!
//! Failure: where the kernel does not tell (no `/proc/stat`), the thread never rests. A rest is skipped when captures
//! pile up, which writers ahead of the walk have made, for they have to be written before they fill the memory.
//!
//! Source: proc(5), `/proc/stat`.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::clock::Clock;

/// Work between two rests, in nanoseconds.
const WORK_NS: u64 = 2_000_000;
/// Time between two looks at the machine, in nanoseconds: some of the kernel's ticks.
const LOOK_NS: u64 = 50_000_000;
/// Nanoseconds of a tick of `/proc/stat`: USER_HZ is 100 on Linux.
const TICK_NS: u64 = 10_000_000;
/// Least share of a processor, in percent.
const LEAST: u64 = 20;
/// What a look with an idle processor adds, in percent.
const MORE: u64 = 10;
/// Processors idle since the last look from which on there is one to spare, in percent of one.
const SPARE: u64 = 25;
/// Processors that the server's other threads took since the last look from which on it has work, in percent of one.
const BUSY: u64 = 20;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Share<'c> {
    clock: &'c Clock,
    /// In percent of a processor.
    percent: u64,
    /// When the last rest ended.
    worked_from_ns: u64,
    last: Option<Look>,
}

/// What the kernel says, in nanoseconds of processors.
#[derive(Debug, Clone, Copy)]
struct Look {
    at_ns: u64,
    idle_ns: u64,
    others_ns: u64,
}

impl<'c> Share<'c> {
    pub(super) fn new(clock: &'c Clock) -> Self {
        let last = look(clock);
        Self { clock, percent: 100, worked_from_ns: clock.ticks_ns(), last }
    }

    /// Rests if it is time to; no lock is held. `is_pressed`: there is more to do than can wait.
    pub(super) fn rest(&mut self, is_pressed: bool) {
        let now_ns = self.clock.ticks_ns();
        let worked_ns = now_ns.saturating_sub(self.worked_from_ns);
        if worked_ns < WORK_NS {
            return;
        }
        if let Some(last) = self.last.filter(|last| now_ns.saturating_sub(last.at_ns) >= LOOK_NS) {
            self.last = look(self.clock);
            if let Some(now) = self.last {
                self.percent = next(self.percent, &last, &now);
            }
        }
        if self.percent < 100 && !is_pressed {
            std::thread::sleep(Duration::from_nanos(
                worked_ns * (100 - self.percent) / self.percent,
            ));
        }
        self.worked_from_ns = self.clock.ticks_ns();
    }
}

/// The share after another look.
fn next(percent: u64, last: &Look, now: &Look) -> u64 {
    let took_ns = now.at_ns.saturating_sub(last.at_ns).max(1);
    let of = |last: u64, now: u64| now.saturating_sub(last) * 100 / took_ns;
    let is_spare = of(last.idle_ns, now.idle_ns) >= SPARE;
    if is_spare || of(last.others_ns, now.others_ns) < BUSY {
        (percent + MORE).min(100)
    } else {
        (percent / 2).max(LEAST)
    }
}

fn look(clock: &Clock) -> Option<Look> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    // cpu user nice system idle ...
    let idle: u64 = text.lines().next()?.split_whitespace().nth(4)?.parse().ok()?;
    let ns = |id| {
        let time = clock_gettime(id);
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    };
    let others_ns = ns(ClockId::ProcessCPUTime).saturating_sub(ns(ClockId::ThreadCPUTime));
    Some(Look { at_ns: clock.ticks_ns(), idle_ns: idle * TICK_NS, others_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(percent: u64, idle: u64, others: u64) -> u64 {
        let last = Look { at_ns: 7, idle_ns: 1000, others_ns: 500 };
        let of = |percent: u64| LOOK_NS * percent / 100;
        let now = Look {
            at_ns: last.at_ns + LOOK_NS,
            idle_ns: last.idle_ns + of(idle),
            others_ns: last.others_ns + of(others),
        };
        next(percent, &last, &now)
    }

    #[test]
    fn it_takes_what_is_to_spare() {
        assert_eq!(after(100, 100, 100), 100);
        assert_eq!(after(100, 0, 100), 50);
        assert_eq!(after(30, 10, 150), LEAST);
        assert_eq!(after(20, 30, 100), 30);
        // Others keep the machine busy, and the server has nothing to do.
        assert_eq!(after(50, 0, 5), 60);
    }

    #[test]
    fn the_kernel_tells() {
        let clock = Clock::new();
        let first = look(&clock).expect("there is a /proc/stat");
        let second = look(&clock).expect("there is a /proc/stat");
        assert!(second.at_ns >= first.at_ns && second.idle_ns >= first.idle_ns);
    }
}
