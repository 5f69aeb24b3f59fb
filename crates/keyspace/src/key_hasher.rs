//! The hasher of the small internal maps that are keyed by clients' keys: the process' keyed hash.

use std::hash::Hasher;

/// Feeds what is written to the one hasher of `base`.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(23) ^ ochre_base::hash::hash(bytes);
    }

    fn write_u16(&mut self, n: u16) {
        self.0 = self.0.rotate_left(23) ^ u64::from(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.0 = self.0.rotate_left(23) ^ n as u64;
    }
}
