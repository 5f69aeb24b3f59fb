//! Sketches: values that answer questions about many items in little memory, with a bounded error.
//!
//! - [`bloom`]: has this item been added? (never a wrong no)
//! - [`cuckoo`]: the same, with removal
//! - [`cms`]: how often was it added? (never too low)
//! - [`topk`]: which items were added most often?
//! - [`tdigest`]: which share of the numbers is below this one, and the other way round?
//!
//! What they share: [`hash`], which is the same in every process so that a dump works elsewhere, and
//! [`pages`], cells that cost memory once they are used and are shared with a copy until one is changed.
//! Nothing here draws random numbers from outside: the same commands give the same bytes.
//!
//! A sketch as bytes ([`Sketch::encode`]), low byte first:
//!
//! ```text
//! 0  u8   kind: 1 Bloom, 2 cuckoo, 3 count-min, 4 top-k, 5 t-digest
//! 1  u8   version of what follows: 1
//! 2  ..   the sketch's own fields, drawn in its file
//! ```
//!
//! Invariant: what [`Sketch::decode`] accepts can be used without a panic and needs no more memory than
//! [`BYTES_MAX`]; everything else it refuses as [`Corrupt`]. Source: the papers named in each file, and
//! the documentation of the BF, CF, CMS, TOPK and TDIGEST commands on redis.io and valkey.io.

pub mod bloom;
pub mod cms;
pub(crate) mod codec;
pub mod cuckoo;
pub mod hash;
pub mod pages;
pub mod tdigest;
pub mod topk;

pub use self::bloom::Bloom;
pub use self::cms::Cms;
use self::codec::Reader;
pub use self::cuckoo::Cuckoo;
pub use self::tdigest::TDigest;
pub use self::topk::TopK;

/// Most bytes that one sketch may come to hold: what a string may, so that no argument of a command
/// makes the server reserve more.
pub const BYTES_MAX: usize = 512 << 20;

/// Version of the encodings.
const VERSION: u8 = 1;

/// The arguments ask for more than [`BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Bytes that are no sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// Which sketch a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SketchKind {
    /// A Bloom filter.
    Bloom,
    /// A cuckoo filter.
    Cuckoo,
    /// A count-min sketch.
    Cms,
    /// The most frequent items.
    TopK,
    /// A t-digest.
    TDigest,
}

impl SketchKind {
    /// The name that TYPE answers: that of the type in Redis 8.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bloom => "MBbloom--",
            Self::Cuckoo => "MBbloomCF",
            Self::Cms => "CMSk-TYPE",
            Self::TopK => "TopK-TYPE",
            Self::TDigest => "TDIS-TYPE",
        }
    }

    /// Its number in the encoding.
    const fn number(self) -> u8 {
        match self {
            Self::Bloom => 1,
            Self::Cuckoo => 2,
            Self::Cms => 3,
            Self::TopK => 4,
            Self::TDigest => 5,
        }
    }
}

/// A sketch of any kind.
#[derive(Clone, Debug)]
pub enum Sketch {
    /// A Bloom filter.
    Bloom(Bloom),
    /// A cuckoo filter.
    Cuckoo(Cuckoo),
    /// A count-min sketch.
    Cms(Cms),
    /// The most frequent items.
    TopK(TopK),
    /// A t-digest.
    TDigest(TDigest),
}

impl Sketch {
    /// Which one it is.
    pub fn kind(&self) -> SketchKind {
        match self {
            Self::Bloom(_) => SketchKind::Bloom,
            Self::Cuckoo(_) => SketchKind::Cuckoo,
            Self::Cms(_) => SketchKind::Cms,
            Self::TopK(_) => SketchKind::TopK,
            Self::TDigest(_) => SketchKind::TDigest,
        }
    }

    /// Heap bytes held, pages shared with a copy included. O(1), but O(k) for top-k.
    pub fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Bloom(bloom) => bloom.heap_bytes(),
                Self::Cuckoo(cuckoo) => cuckoo.heap_bytes(),
                Self::Cms(cms) => cms.heap_bytes(),
                Self::TopK(topk) => topk.heap_bytes(),
                Self::TDigest(digest) => digest.heap_bytes(),
            }
    }

    /// About how many allocations dropping it gives back.
    pub fn free_effort(&self) -> usize {
        1 + self.heap_bytes() / pages::PAGE_BYTES
    }

    /// Appends the sketch as bytes. O(size).
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.kind().number(), VERSION]);
        match self {
            Self::Bloom(bloom) => bloom.encode(out),
            Self::Cuckoo(cuckoo) => cuckoo.encode(out),
            Self::Cms(cms) => cms.encode(out),
            Self::TopK(topk) => topk.encode(out),
            Self::TDigest(digest) => digest.encode(out),
        }
    }

    /// Reads what [`Sketch::encode`] wrote; all of `bytes` must be used. O(size).
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut from = Reader::new(bytes);
        let (kind, version) = (from.u8()?, from.u8()?);
        if version != VERSION {
            return Err(Corrupt);
        }
        let sketch = match kind {
            1 => Self::Bloom(Bloom::decode(&mut from)?),
            2 => Self::Cuckoo(Cuckoo::decode(&mut from)?),
            3 => Self::Cms(Cms::decode(&mut from)?),
            4 => Self::TopK(TopK::decode(&mut from)?),
            5 => Self::TDigest(TDigest::decode(&mut from)?),
            _ => return Err(Corrupt),
        };
        if from.is_empty() { Ok(sketch) } else { Err(Corrupt) }
    }
}

#[cfg(test)]
mod tests;
