//! Huge pages: fewer misses of the processor's table of pages, as long as they cost no memory.
//!
//! Off unless `huge-pages yes`: who touches a huge page first waits until the kernel has found and zeroed 2 MB. While a
//! server grew to 20 million keys, 704 inserts took longer than 200 us for that, the longest 20 ms; without huge
//! pages none does.
//!
//! The allocator asks for huge pages wherever it maps memory ([`crate::allocator`]). Nothing forks here, so the
//! peers' reason to do without them, copying 2 MB for a byte that changes during a save, does not exist. Another
//! one does: after a large part of the data is deleted, the kernel's `khugepaged` makes sparse stretches whole
//! again, and resident memory grows back. So some times a second resident memory is compared with what is in
//! use; while it is well above, or while there is hardly any data, the process is taken out of the kernel's list
//! of those that want huge pages.
//!
//! Failure: a kernel without huge pages, or without the call, leaves everything as it is.

use rustix::thread::disable_transparent_huge_pages;

/// Resident memory may be above the bytes in use by this much, whatever their number: code, buffers, stacks.
const SLACK: u64 = 24 << 20;
/// With less in use than this, what is left over of huge pages (some 8 MB) would show: a tenth of the memory of a
/// million small strings, for 5 % of the processor time of their GETs.
const LEAST: u64 = 256 << 20;

/// Whether the process wants huge pages now.
#[derive(Debug)]
pub(crate) struct HugePages {
    wanted: bool,
}

impl HugePages {
    /// For a process that holds nothing yet: without them. Threads may exist already.
    pub(crate) fn begin() -> Self {
        choose(false);
        Self { wanted: false }
    }

    /// Looks at memory, some times a second; `allowed` is `huge-pages`.
    pub(crate) fn look(&mut self, allowed: bool, used: u64, resident: u64) {
        let wanted = allowed && is_wanted(self.wanted, used, resident);
        if wanted != self.wanted {
            self.wanted = wanted;
            choose(wanted);
        }
    }
}

fn choose(wanted: bool) {
    if disable_transparent_huge_pages(!wanted).is_err() {
        crate::log::debug("The kernel does not let a process choose about huge pages");
    }
}

/// Well above what is in use is a quarter and the slack; well below it again is an eighth and half the slack.
fn is_wanted(now: bool, used: u64, resident: u64) -> bool {
    let most = if now { used + used / 4 + SLACK } else { used + used / 8 + SLACK / 2 };
    let least = if now { LEAST / 2 } else { LEAST };
    used >= least && resident <= most
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1 << 30;

    #[test]
    fn sparse_memory_does_without() {
        assert!(is_wanted(true, GB, GB + GB / 8));
        assert!(!is_wanted(true, GB / 2, GB));
        // Not back and forth: between the two bounds it stays as it is.
        let between = GB + GB / 8 + SLACK;
        assert!(is_wanted(true, GB, between));
        assert!(!is_wanted(false, GB, between));
        assert!(is_wanted(false, GB, GB));
    }

    #[test]
    fn a_small_process_does_without() {
        assert!(!is_wanted(false, LEAST - 1, LEAST));
        assert!(is_wanted(false, LEAST, LEAST + SLACK / 4));
        assert!(is_wanted(true, LEAST - 1, LEAST));
        assert!(!is_wanted(true, LEAST / 4, LEAST));
    }
}
