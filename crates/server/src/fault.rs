//! Places at which tests have the process die: between every two steps that change files, so that what a crash
//! leaves behind is tried for each of them, not only for those that a random moment hits.
//!
//! `OCHRE_FAULT=N` in the environment ends the process at the N-th place that it comes to after [`arm`]. Builds
//! without debug assertions have none of this.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicI64, Ordering};

/// Places that are left until the end; 0: not armed, or past.
#[cfg(debug_assertions)]
static LEFT: AtomicI64 = AtomicI64::new(0);

/// From here on places count.
pub(crate) fn arm() {
    #[cfg(debug_assertions)]
    if let Some(count) = std::env::var("OCHRE_FAULT").ok().and_then(|text| text.parse().ok()) {
        LEFT.store(count, Ordering::Relaxed);
    }
}

/// A place.
#[inline]
pub(crate) fn point() {
    #[cfg(debug_assertions)]
    if LEFT.load(Ordering::Relaxed) > 0 && LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        // As SIGKILL would: nothing is flushed, nothing is said.
        std::process::abort();
    }
}
