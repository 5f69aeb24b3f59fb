//! What several unit tests of this crate need.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

/// A new folder of the calling test's own; the test removes it.
pub(crate) fn scratch_folder(what: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("ochre-unit-{what}-{}-{count}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).unwrap();
    path
}
