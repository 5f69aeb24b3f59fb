//! Loading hashes.
//!
//! A small hash is laid out directly, and that no field stands twice is found once at the end by sorting
//! the fields' hashes; a large one finds it as it is filled.

use std::io::Read;

use ochre_base::hash::hash;
use ochre_types::hash::{EXPIRE_AT_MS_MAX, Hash};
use ochre_types::limits::Limits;
use ochre_types::packed::{self, Encoded, Entry};

use super::{Input, elements, zipmap};
use crate::error::{LoadError, Result};
use crate::format::{Family, kind};

const TWICE: LoadError = LoadError::Corrupt("hash: a field stands twice");
const ODD: LoadError = LoadError::Corrupt("hash: a field without value");
const BAD_EXPIRY: LoadError = LoadError::Corrupt("hash: expiry out of range");

/// Loads a hash of any type.
pub(super) fn load<R: Read>(
    input: &mut Input<R>,
    kind: u8,
    family: Family,
    limits: &Limits,
) -> Result<Hash> {
    match kind {
        kind::HASH_ZIPMAP => {
            let bytes = input.string()?;
            let mut hash = Builder::new(limits, 0, PAIR);
            zipmap::walk(&bytes, |name, value| hash.add(name, value, 0))?;
            hash.finish()
        }
        kind::HASH_ZIPLIST | kind::HASH_LISTPACK => {
            let bytes = input.string()?;
            pairs(&bytes, kind == kind::HASH_ZIPLIST, limits)
        }
        kind::HASH_LISTPACK_EXPIRY | kind::HASH_LISTPACK_EXPIRY_PRE_RELEASE => {
            if kind == kind::HASH_LISTPACK_EXPIRY {
                // The earliest expiry: a hint.
                input.skip(8)?;
            }
            let bytes = input.string()?;
            triples(&bytes, limits)
        }
        kind::HASH_EXPIRY => {
            let earliest = u64::from_le_bytes(input.array()?);
            strings(input, limits, Expiries::Since(earliest))
        }
        kind::VALKEY_HASH_EXPIRY if family == Family::Valkey => {
            strings(input, limits, Expiries::Behind)
        }
        kind::VALKEY_HASH_EXPIRY => strings(input, limits, Expiries::Absolute),
        _ => strings(input, limits, Expiries::None),
    }
}

/// Where a field's expiry stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiries {
    None,
    /// Before the field, 0 for none.
    Absolute,
    /// Before the field, 0 for none, else 1 and what it is after this.
    Since(u64),
    /// Behind the value, -1 for none.
    Behind,
}

fn strings<R: Read>(input: &mut Input<R>, limits: &Limits, expiries: Expiries) -> Result<Hash> {
    let count = input.count(2)?;
    let stride = if expiries == Expiries::None { PAIR } else { TRIPLE };
    let mut hash = Builder::new(limits, count, stride);
    let (mut name, mut value) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut expiry = match expiries {
            Expiries::None | Expiries::Behind => 0,
            Expiries::Absolute => input.len()?,
            Expiries::Since(earliest) => match input.len()? {
                0 => 0,
                after => earliest.checked_add(after - 1).ok_or(BAD_EXPIRY)?,
            },
        };
        input.string_into(&mut name)?;
        input.string_into(&mut value)?;
        if expiries == Expiries::Behind {
            expiry = match i64::from_le_bytes(input.array()?) {
                -1 => 0,
                at => u64::try_from(at).map_err(|_| BAD_EXPIRY)?,
            };
        }
        hash.add(&name, &value, expiry)?;
    }
    hash.finish()
}

fn pairs(bytes: &[u8], is_ziplist: bool, limits: &Limits) -> Result<Hash> {
    let mut hash = Builder::new(limits, 0, PAIR);
    let mut elements = elements(bytes, is_ziplist)?;
    while let Some(name) = elements.next() {
        hash.add_entry(name?, elements.next().ok_or(ODD)??, 0)?;
    }
    hash.finish()
}

fn triples(bytes: &[u8], limits: &Limits) -> Result<Hash> {
    let mut hash = Builder::new(limits, 0, TRIPLE);
    let mut elements = elements(bytes, false)?;
    while let Some(name) = elements.next() {
        let value = elements.next().ok_or(ODD)??;
        let expiry = match elements.next().ok_or(ODD)?? {
            Entry::Int(at) => u64::try_from(at).map_err(|_| BAD_EXPIRY)?,
            Entry::Str(_) => return Err(BAD_EXPIRY),
        };
        hash.add_entry(name?, value, expiry)?;
    }
    hash.finish()
}

const PAIR: usize = 2;
const TRIPLE: usize = 3;

/// A hash as it is filled.
struct Builder<'a> {
    limits: &'a Limits,
    /// Elements for each field in `packed`.
    stride: usize,
    packed: Vec<u8>,
    /// Of the fields in `packed`.
    hashes: Vec<u64>,
    /// Fields in `packed` that expire.
    expiring: usize,
    /// The hash, once it is large; `packed` is empty then.
    large: Option<Hash>,
}

impl<'a> Builder<'a> {
    /// For about `expected` fields. `stride` is [`TRIPLE`] when fields may expire.
    fn new(limits: &'a Limits, expected: usize, stride: usize) -> Self {
        let large =
            (expected > limits.hash_max_listpack_entries).then(|| Hash::Table(Box::default()));
        Self { limits, stride, packed: Vec::new(), hashes: Vec::new(), expiring: 0, large }
    }

    fn add(&mut self, name: &[u8], value: &[u8], expiry: u64) -> Result<()> {
        self.add_entry(Entry::of(name), Entry::of(value), expiry)
    }

    /// Adds a field; both entries are canonical. 0: it does not expire.
    fn add_entry(&mut self, name: Entry<'_>, value: Entry<'_>, expiry: u64) -> Result<()> {
        if expiry > EXPIRE_AT_MS_MAX || (expiry > 0 && self.stride == PAIR) {
            return Err(BAD_EXPIRY);
        }
        let longest = name.len().max(value.len());
        if self.large.is_none()
            && (longest > self.limits.hash_max_listpack_value
                || self.hashes.len() >= self.limits.hash_max_listpack_entries)
        {
            self.grow()?;
        }
        let (mut name_room, mut value_room) = ([0; 20], [0; 20]);
        let text = name.text(&mut name_room);
        if let Some(hash) = &mut self.large {
            if !hash.set(self.limits, text, value.text(&mut value_room), 0) {
                return Err(TWICE);
            }
            if expiry > 0 {
                hash.set_expiry(text, expiry);
            }
            return Ok(());
        }
        self.hashes.push(hash(text));
        Encoded::of_entry(name).append_to(&mut self.packed);
        Encoded::of_entry(value).append_to(&mut self.packed);
        if self.stride == TRIPLE {
            Encoded::of_int(expiry as i64).append_to(&mut self.packed);
            self.expiring += usize::from(expiry > 0);
        }
        Ok(())
    }

    /// Turns to the large form.
    fn grow(&mut self) -> Result<()> {
        let mut hash = self.take_packed()?;
        hash.convert_to_table();
        self.large = Some(hash);
        Ok(())
    }

    fn take_packed(&mut self) -> Result<Hash> {
        self.check_distinct()?;
        let mut packed = std::mem::take(&mut self.packed);
        if self.stride == TRIPLE && self.expiring == 0 {
            packed = without_expiries(&packed);
        }
        packed.shrink_to_fit();
        Ok(if self.expiring > 0 { Hash::PackedEx(packed) } else { Hash::Packed(packed) })
    }

    fn check_distinct(&mut self) -> Result<()> {
        self.hashes.sort_unstable();
        if self.hashes.windows(2).all(|pair| pair[0] != pair[1]) {
            return Ok(());
        }
        // Equal hashes of different names are all but impossible; look.
        let mut names: Vec<Vec<u8>> =
            packed::iter(&self.packed).step_by(self.stride).map(Entry::to_vec).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) { Err(TWICE) } else { Ok(()) }
    }

    fn finish(mut self) -> Result<Hash> {
        match self.large.take() {
            Some(hash) => Ok(hash),
            None => self.take_packed(),
        }
    }
}

/// Triples without their third elements.
fn without_expiries(triples: &[u8]) -> Vec<u8> {
    let mut pairs = Vec::with_capacity(triples.len());
    for (at, entry) in packed::iter(triples).enumerate() {
        if at % TRIPLE < PAIR {
            Encoded::of_entry(entry).append_to(&mut pairs);
        }
    }
    pairs
}
