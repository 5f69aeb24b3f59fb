//! Reading a hash, whichever form it has and wherever its bytes are.

use smallvec::SmallVec;

use super::distinct::{distinct, select};
use super::either::Either;
use super::{Hash, HashTable, PAIR, TRIPLE, expiry_at, is_expired};
use crate::packed::{self, Entry, below};

/// Draws of an expired field before the live ones are listed.
const DRAWS_MAX: usize = 32;

/// A field as it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's name.
    pub name: Entry<'a>,
    /// Its value.
    pub value: Entry<'a>,
    /// When it expires, if it does.
    pub expire_at_ms: Option<u64>,
}

impl Field<'_> {
    /// Whether the field's time has passed.
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        is_expired(self.expire_at_ms.unwrap_or(0), now_ms)
    }
}

/// A hash as it is read.
#[derive(Debug, Clone, Copy)]
pub enum HashRef<'a> {
    /// Pairs of field and value.
    Packed(&'a [u8]),
    /// Triples of field, value and expiry.
    PackedEx(&'a [u8]),
    /// The large form.
    Table(&'a HashTable),
}

/// The fields of a packed hash.
#[inline]
pub(super) fn packed_fields(buf: &[u8], stride: usize) -> impl Iterator<Item = Field<'_>> {
    let mut elements = packed::iter(buf);
    std::iter::from_fn(move || {
        let name = elements.next()?;
        let value = elements.next()?;
        let mut expire_at_ms = None;
        if stride == TRIPLE
            && let Entry::Int(at_ms) = elements.next()?
        {
            expire_at_ms = (at_ms > 0).then_some(at_ms.unsigned_abs());
        }
        Some(Field { name, value, expire_at_ms })
    })
}

impl<'a> HashRef<'a> {
    /// Number of fields, those included that have expired but are not removed yet; HLEN. Walks the
    /// packed forms.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(buf) => packed::count(buf) / PAIR,
            Self::PackedEx(buf) => packed::count(buf) / TRIPLE,
            Self::Table(table) => table.len(),
        }
    }

    /// Number of fields that have not expired. O(n) when some field has an expiry.
    pub fn live_len(self, now_ms: u64) -> usize {
        if self.expiring() == 0 { self.len() } else { self.iter(now_ms).count() }
    }

    /// Whether there are no fields at all.
    #[inline]
    pub fn is_empty(self) -> bool {
        match self {
            Self::Packed(buf) | Self::PackedEx(buf) => buf.is_empty(),
            Self::Table(table) => table.is_empty(),
        }
    }

    /// The logical encoding, as OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Packed(_) | Self::PackedEx(_) => "listpack",
            Self::Table(_) => "hashtable",
        }
    }

    /// The field `name`, expired or not.
    #[inline]
    pub fn find_any(self, name: &[u8]) -> Option<Field<'a>> {
        let (buf, stride) = match self {
            Self::Packed(buf) => (buf, PAIR),
            Self::PackedEx(buf) => (buf, TRIPLE),
            Self::Table(table) => return table.find(name),
        };
        let at = packed::find(buf, name, stride)?;
        let (name, value_at) = packed::entry_at(buf, at)?;
        let (value, after) = packed::entry_at(buf, value_at)?;
        let expiry = if stride == TRIPLE { expiry_at(buf, after) } else { 0 };
        Some(Field { name, value, expire_at_ms: (expiry != 0).then_some(expiry) })
    }

    /// The field `name` with value and expiry.
    #[inline]
    pub fn find(self, name: &[u8], now_ms: u64) -> Option<Field<'a>> {
        self.find_any(name).filter(|field| !field.is_expired(now_ms))
    }

    /// The value of the field `name`. [`Entry::len`] is HSTRLEN.
    #[inline]
    pub fn value(self, name: &[u8], now_ms: u64) -> Option<Entry<'a>> {
        Some(self.find(name, now_ms)?.value)
    }

    /// Whether the field `name` is there.
    #[inline]
    pub fn contains(self, name: &[u8], now_ms: u64) -> bool {
        self.find(name, now_ms).is_some()
    }

    /// All fields, expired ones included.
    pub(super) fn iter_any(self) -> impl Iterator<Item = Field<'a>> {
        match self {
            Self::Packed(buf) => Either::Small(packed_fields(buf, PAIR)),
            Self::PackedEx(buf) => Either::Small(packed_fields(buf, TRIPLE)),
            Self::Table(table) => Either::Large(table.values().map(|value| table.field(value))),
        }
    }

    /// All fields that have not expired: in order of insertion when packed, else in no order.
    #[inline]
    pub fn iter(self, now_ms: u64) -> impl Iterator<Item = Field<'a>> {
        self.iter_any().filter(move |field| !field.is_expired(now_ms))
    }

    /// One step of HSCAN: emits about ten fields, or all of a packed hash, and gives the cursor to go
    /// on with. 0 starts a scan, and 0 comes back when it is complete. A field that is there all the
    /// time is emitted at least once.
    pub fn scan(self, cursor: u64, now_ms: u64, mut emit: impl FnMut(Field<'a>)) -> u64 {
        let live = |field: Field<'a>| {
            if !field.is_expired(now_ms) {
                emit(field);
            }
        };
        match self {
            Self::Table(table) => table.scan(cursor, live),
            Self::Packed(_) | Self::PackedEx(_) => {
                self.iter_any().for_each(live);
                0
            }
        }
    }

    /// Emits `n` fields at random, repeats allowed; nothing when no field is live. `random` gives
    /// uniform 64-bit numbers.
    pub fn sample(
        self,
        now_ms: u64,
        n: usize,
        mut random: impl FnMut() -> u64,
        mut emit: impl FnMut(Field<'a>),
    ) {
        let Self::Table(table) = self else {
            let live: SmallVec<[Field<'a>; 32]> = self.iter(now_ms).collect();
            if !live.is_empty() {
                (0..n).for_each(|_| emit(live[below(random(), live.len())]));
            }
            return;
        };
        let mut live: Option<Vec<u32>> = None;
        for _ in 0..n {
            if live.is_none() {
                if let Some(field) = draw_live(table, now_ms, &mut random) {
                    emit(field);
                    continue;
                }
                let fields = table.values().filter(|&value| !table.field(value).is_expired(now_ms));
                live = Some(fields.collect());
            }
            match live.as_deref() {
                None | Some([]) => return,
                Some(live) => emit(table.field(live[below(random(), live.len())])),
            }
        }
    }

    /// Emits `n` different fields at random, or all when there are fewer.
    pub fn sample_distinct(
        self,
        now_ms: u64,
        n: usize,
        mut random: impl FnMut() -> u64,
        mut emit: impl FnMut(Field<'a>),
    ) {
        match self {
            Self::Table(table) if table.expiring() == 0 => distinct(
                n,
                table.len(),
                table.values(),
                &mut random,
                |random| table.sample(random),
                |value| emit(table.field(value)),
            ),
            _ => select(n, self.live_len(now_ms), self.iter(now_ms), &mut random, emit),
        }
    }

    /// Number of fields with an expiry.
    pub fn expiring(self) -> usize {
        match self {
            Self::Packed(_) => 0,
            Self::PackedEx(buf) => {
                packed_fields(buf, TRIPLE).filter(|field| field.expire_at_ms.is_some()).count()
            }
            Self::Table(table) => table.expiring(),
        }
    }

    /// A time before which no field expires; `None` when none ever does. May be too early.
    pub fn earliest_expiry(self) -> Option<u64> {
        match self {
            Self::Packed(_) => None,
            Self::PackedEx(buf) => {
                packed_fields(buf, TRIPLE).filter_map(|field| field.expire_at_ms).min()
            }
            Self::Table(table) => table.earliest_expiry(),
        }
    }

    /// A hash of its own with the same fields and the same form.
    pub fn duplicate(self) -> Hash {
        match self {
            Self::Packed(buf) => Hash::Packed(buf.to_vec()),
            Self::PackedEx(buf) => Hash::PackedEx(buf.to_vec()),
            Self::Table(_) => {
                let mut table = Box::<HashTable>::default();
                let (mut name, mut value) = ([0; 20], [0; 20]);
                for field in self.iter_any() {
                    let expiry = field.expire_at_ms.unwrap_or(0);
                    table.put(field.name.text(&mut name), field.value.text(&mut value), |_| expiry);
                }
                Hash::Table(table)
            }
        }
    }
}

/// A live field of the table at random; `None` after some draws that met only expired ones.
fn draw_live<'a>(
    table: &'a HashTable,
    now_ms: u64,
    random: &mut impl FnMut() -> u64,
) -> Option<Field<'a>> {
    (0..DRAWS_MAX)
        .map_while(|_| table.sample(random))
        .map(|value| table.field(value))
        .find(|field| !field.is_expired(now_ms))
}
