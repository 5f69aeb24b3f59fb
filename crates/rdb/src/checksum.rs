//! CRC-64/REDIS: Jones' polynomial ad93d23594c935a9, reflected both ways, from 0, nothing xored.
//!
//! About 50 GB/s where the processor multiplies without carries.

use crc_fast::{CrcAlgorithm, Digest};

/// A sum under way.
#[derive(Debug, Clone)]
pub struct Crc64(Digest);

impl Default for Crc64 {
    fn default() -> Self {
        Self(Digest::new(CrcAlgorithm::Crc64Redis))
    }
}

impl Crc64 {
    /// Adds bytes.
    #[inline]
    pub fn add(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.update(bytes);
        }
    }

    /// The sum of all bytes so far.
    pub fn sum(&self) -> u64 {
        self.0.finalize()
    }

    /// The sum of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut crc = Self::default();
        crc.add(bytes);
        crc.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::Crc64;

    #[test]
    fn check_value() {
        assert_eq!(Crc64::of(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
        assert_eq!(Crc64::of(b""), 0);
        let mut parts = Crc64::default();
        b"123456789".chunks(2).for_each(|part| parts.add(part));
        assert_eq!(parts.sum(), Crc64::of(b"123456789"));
    }
}
