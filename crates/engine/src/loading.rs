//! Whether data is being loaded, and how far that is: for the gate, INFO, periodic work and the log.
//!
//! While it is, the loops run, answer what may be answered ([`ochre_command::spec::Flags::LOADING`]) and do no
//! periodic work on the data: what is there is not the data set yet. Whoever loads holds a [`Loading::begin`]
//! and ends it whatever comes. All fields are atomics of one writer, the thread that loads.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// See the module's head.
#[derive(Debug, Default)]
pub struct Loading {
    on: AtomicBool,
    /// What is loaded lies beside the data, which is served meanwhile.
    aside: AtomicBool,
    /// When it began, in Unix seconds.
    began_s: AtomicI64,
    /// Bytes to read; 0: not known.
    total_bytes: AtomicU64,
    /// Bytes read.
    loaded_bytes: AtomicU64,
    /// What the file says its data took in memory, in bytes; 0: it does not say.
    used_memory: AtomicU64,
}

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// When it began, in Unix seconds.
    pub began_s: i64,
    /// Bytes to read; 0: not known.
    pub total_bytes: u64,
    /// Bytes read.
    pub loaded_bytes: u64,
    /// What the file says its data took in memory, in bytes; 0: it does not say.
    pub used_memory: u64,
}

impl Progress {
    /// The part that is done, in percent.
    pub fn percent(&self) -> f64 {
        // One whose size is not known shows what the peers show: all of what is known is there.
        let total = if self.total_bytes == 0 { self.loaded_bytes } else { self.total_bytes };
        100.0 * self.loaded_bytes as f64 / total.max(1) as f64
    }

    /// How much longer it will take, in seconds, as far as can be told.
    pub fn eta_s(&self, now_s: i64) -> u64 {
        let elapsed = u64::try_from(now_s - self.began_s).unwrap_or(0);
        if elapsed == 0 || self.loaded_bytes == 0 {
            return 1;
        }
        let left = self.total_bytes.saturating_sub(self.loaded_bytes);
        let eta = u128::from(elapsed) * u128::from(left) / u128::from(self.loaded_bytes);
        u64::try_from(eta).unwrap_or(u64::MAX)
    }
}

/// Loading under way; it ends when this is dropped.
#[derive(Debug)]
pub struct UnderWay<'a>(&'a Loading);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.on.store(false, Ordering::Release);
        self.0.aside.store(false, Ordering::Release);
    }
}

impl Loading {
    /// Whether data is being loaded.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Loading begins, of so many bytes (0: not known).
    pub fn begin(&self, now_s: i64, total_bytes: u64) -> UnderWay<'_> {
        self.began_s.store(now_s, Ordering::Relaxed);
        self.total_bytes.store(total_bytes, Ordering::Relaxed);
        self.loaded_bytes.store(0, Ordering::Relaxed);
        self.used_memory.store(0, Ordering::Relaxed);
        self.on.store(true, Ordering::Release);
        UnderWay(self)
    }

    /// Whether data is being loaded beside what is served.
    #[inline]
    pub fn is_aside(&self) -> bool {
        self.aside.load(Ordering::Acquire)
    }

    /// Loading begins of data that takes the place of what is served when it is all there.
    pub fn begin_aside(&self) -> UnderWay<'_> {
        self.aside.store(true, Ordering::Release);
        UnderWay(self)
    }

    /// So many bytes are read.
    #[inline]
    pub fn reached(&self, bytes: u64) {
        self.loaded_bytes.store(bytes, Ordering::Relaxed);
    }

    /// The file says what its data took in memory.
    pub fn says_memory(&self, bytes: u64) {
        self.used_memory.store(bytes, Ordering::Relaxed);
    }

    /// How far it is; none when nothing is being loaded.
    pub fn progress(&self) -> Option<Progress> {
        self.is_on().then(|| Progress {
            began_s: self.began_s.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            loaded_bytes: self.loaded_bytes.load(Ordering::Relaxed),
            used_memory: self.used_memory.load(Ordering::Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_shown_while_it_lasts() {
        let loading = Loading::default();
        assert_eq!(loading.progress(), None);
        let under_way = loading.begin(100, 1000);
        assert_eq!(loading.progress().map(|progress| progress.eta_s(100)), Some(1));
        loading.reached(250);
        loading.says_memory(7);
        let progress = loading.progress().unwrap();
        assert_eq!((progress.used_memory, progress.percent()), (7, 25.0));
        assert_eq!(progress.eta_s(110), 30);
        drop(under_way);
        assert!(!loading.is_on());
        // Of unknown size.
        let _under_way = loading.begin(100, 0);
        loading.reached(9);
        assert_eq!(loading.progress().map(|progress| progress.percent()), Some(100.0));
    }
}
