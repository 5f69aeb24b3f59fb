//! HyperLogLog: how many different elements were added, to within 0.81 %, in at most 12 KB.
//!
//! An element's hash chooses one of 16384 registers by its low 14 bits; the register keeps the longest
//! run of zeros seen in the other 50 bits, plus one. From how often each value occurs, the number of
//! elements follows ([`estimate`]). The bytes are a string that clients may copy with GET and SET, so
//! they are the peers' own, bit by bit:
//!
//! ```text
//! offset  size   what
//! 0       4      "HYLL"
//! 4       1      encoding: 0 dense, 1 sparse
//! 5       3      zero
//! 8       8      the cached count, little-endian; its top bit says that it is out of date
//! 16      12288  dense: registers of 6 bits, register i at bit 6 * i, low bits first
//! 16      2..    sparse: runs of equal registers, see `sparse`
//! ```
//!
//! A sketch begins sparse and becomes dense when a register exceeds 32 or the bytes a limit.
//!
//! Invariants: the registers of a sound sketch are 16384. What a client stored may be anything: a
//! header that is wrong is refused by [`form`], runs that do not add up by [`Corrupt`]. Costs: adding
//! is O(1) dense and O(bytes) sparse; counting and merging are O(registers).
//!
//! Source: Flajolet, Fusy, Gandouet, Meunier, "HyperLogLog" (2007); Heule, Nunkesser, Hall, "HyperLogLog
//! in practice" (2013); Ertl, "New cardinality estimation algorithms for HyperLogLog sketches" (2017);
//! the layout as redis-server 7.0.15 answers it to GET.

mod dense;
pub mod estimate;
mod sparse;
#[cfg(test)]
mod tests;

use estimate::Histogram;

/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = 14;
/// Bits of the hash that are looked at for a run of zeros.
const RUN_BITS: u32 = 64 - INDEX_BITS;
/// Bytes before the registers.
const HEADER: usize = 16;
/// Bytes of a dense sketch.
const DENSE_LEN: usize = HEADER + REGISTERS * 6 / 8;
/// Where the cached count stands.
const CACHE: std::ops::Range<usize> = 8..HEADER;
/// What says that it is out of date.
const STALE: u64 = 1 << 63;
/// Seed of the hash, as the peers have it.
const SEED: u64 = 0xadc8_3b19;

/// The two forms of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Six bits each.
    Dense,
    /// Runs.
    Sparse,
}

/// Runs of a sparse sketch that do not add up to the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// The form of a sketch; none when the bytes are no sketch.
pub fn form(bytes: &[u8]) -> Option<Form> {
    match bytes {
        [b'H', b'Y', b'L', b'L', 0, ..] => (bytes.len() == DENSE_LEN).then_some(Form::Dense),
        [b'H', b'Y', b'L', b'L', 1, ..] => (bytes.len() >= HEADER).then_some(Form::Sparse),
        _ => None,
    }
}

/// A sketch of nothing.
pub fn empty() -> Vec<u8> {
    let mut bytes = b"HYLL\x01".to_vec();
    bytes.resize(HEADER, 0);
    sparse::append_empty(&mut bytes);
    bytes
}

/// The cached count, unless it is out of date.
pub fn cached(bytes: &[u8]) -> Option<u64> {
    let count = bytes.get(CACHE).and_then(|field| field.try_into().ok()).map(u64::from_le_bytes)?;
    (count & STALE == 0).then_some(count)
}

/// Notes a count.
pub fn set_cached(bytes: &mut [u8], count: u64) {
    if let Some(field) = bytes.get_mut(CACHE) {
        field.copy_from_slice(&count.to_le_bytes());
    }
}

/// Says that the cached count is out of date; what it was stays readable below the mark.
pub fn forget_cached(bytes: &mut [u8]) {
    if let Some(byte) = bytes.get_mut(CACHE.end - 1) {
        *byte |= 0x80;
    }
}

/// The register that an element belongs to, and what it raises it to.
#[inline]
pub fn place(element: &[u8]) -> (usize, u8) {
    let hash = murmur(element, SEED);
    let run = hash >> INDEX_BITS | 1 << RUN_BITS;
    (hash as usize % REGISTERS, run.trailing_zeros() as u8 + 1)
}

/// Adds an element to a dense sketch; says whether a register was raised.
#[inline]
pub fn add_dense(bytes: &mut [u8], element: &[u8]) -> bool {
    let (index, value) = place(element);
    dense::raise(&mut bytes[HEADER..], index, value)
}

/// Adds an element to a sketch of either form; says whether a register was raised. A sparse sketch
/// that would need more than `sparse_max` bytes becomes dense.
pub fn add(bytes: &mut Vec<u8>, element: &[u8], sparse_max: usize) -> Result<bool, Corrupt> {
    let (index, value) = place(element);
    raise(bytes, index, value, sparse_max)
}

/// Raises one register of a sketch of either form to `value`, if it is below.
fn raise(bytes: &mut Vec<u8>, index: usize, value: u8, sparse_max: usize) -> Result<bool, Corrupt> {
    if form(bytes) == Some(Form::Dense) {
        return Ok(dense::raise(&mut bytes[HEADER..], index, value));
    }
    match sparse::raise(bytes, index, value, sparse_max)? {
        sparse::Raised::No => Ok(false),
        sparse::Raised::Yes => Ok(true),
        sparse::Raised::DoesNotFit => {
            make_dense(bytes)?;
            Ok(dense::raise(&mut bytes[HEADER..], index, value))
        }
    }
}

/// Turns a sparse sketch into a dense one; a dense one stays.
pub fn make_dense(bytes: &mut Vec<u8>) -> Result<(), Corrupt> {
    if form(bytes) == Some(Form::Dense) {
        return Ok(());
    }
    let mut made = Vec::with_capacity(DENSE_LEN);
    made.extend_from_slice(bytes.get(..HEADER).ok_or(Corrupt)?);
    made[4] = 0;
    made.resize(DENSE_LEN, 0);
    sparse::each_run(bytes, |range, value| {
        if value > 0 {
            for index in range {
                dense::raise(&mut made[HEADER..], index, value);
            }
        }
    })?;
    *bytes = made;
    Ok(())
}

/// Counts the different elements that were added to a sketch.
pub fn count(bytes: &[u8]) -> Result<u64, Corrupt> {
    let mut histogram = Histogram::default();
    match form(bytes) {
        Some(Form::Dense) => dense::each_block(&bytes[HEADER..], |_, block| histogram.add(block)),
        _ => sparse::each_run(bytes, |range, value| histogram.add_run(value, range.len()))?,
    }
    Ok(histogram.estimate())
}

/// The runs of a sparse sketch as text, as PFDEBUG DECODE has it: `Z:` a run of zeros with a short
/// length, `X:` one with a long length, `v:` a value and its length.
pub fn describe(bytes: &[u8]) -> Result<String, Corrupt> {
    sparse::describe(bytes)
}

/// All registers of a sketch, a byte each; what several sketches are merged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers(Box<[u8; REGISTERS]>);

impl Default for Registers {
    fn default() -> Self {
        Self(Box::new([0; REGISTERS]))
    }
}

impl Registers {
    /// Raises each register to that of a sketch. On an error some may have been raised.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<(), Corrupt> {
        let all = &mut self.0;
        match form(bytes) {
            Some(Form::Dense) => dense::each_block(&bytes[HEADER..], |start, block| {
                for (register, value) in all[start..start + block.len()].iter_mut().zip(block) {
                    *register = (*register).max(*value);
                }
            }),
            _ => sparse::each_run(bytes, |range, value| {
                for register in &mut all[range] {
                    *register = (*register).max(value);
                }
            })?,
        }
        Ok(())
    }

    /// The value of each.
    pub fn values(&self) -> &[u8; REGISTERS] {
        &self.0
    }

    /// The number of different elements.
    pub fn estimate(&self) -> u64 {
        let mut histogram = Histogram::default();
        histogram.add(&self.0[..]);
        histogram.estimate()
    }

    /// Raises the registers of a sketch to these, among which its own have been merged.
    pub fn store(&self, bytes: &mut Vec<u8>, sparse_max: usize) -> Result<(), Corrupt> {
        let mut at = 0;
        // Register by register while it is sparse, since it may become dense on the way.
        while form(bytes) == Some(Form::Sparse) {
            let Some(next) = self.0[at..].iter().position(|value| *value > 0) else {
                return Ok(());
            };
            at += next;
            raise(bytes, at, self.0[at], sparse_max)?;
            at += 1;
        }
        dense::write(&mut bytes[HEADER..], &self.0);
        Ok(())
    }
}

/// MurmurHash64A of Austin Appleby, little-endian.
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const FACTOR: u64 = 0xc6a4_a793_5bd1_e995;
    const SHIFT: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut word = u64::from_le_bytes(*word).wrapping_mul(FACTOR);
        word = (word ^ word >> SHIFT).wrapping_mul(FACTOR);
        hash = (hash ^ word).wrapping_mul(FACTOR);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    }
    hash = (hash ^ hash >> SHIFT).wrapping_mul(FACTOR);
    hash ^ hash >> SHIFT
}
