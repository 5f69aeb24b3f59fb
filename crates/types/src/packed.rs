//! Packed sequences: strings and integers laid end to end in one byte buffer.
//!
//! The small form of every collection and the content of a list page. An element can be walked over
//! in both directions; the buffer has no header and no terminator, so that an empty buffer is an
//! empty sequence, and cutting or joining buffers at element borders gives valid ones.
//!
//! ```text
//! element   [ header ][ data ][ backlen ]
//!
//! header    00..BF       string of that many bytes (0 to 191)       data: the bytes
//!           C0 len:u8    string of 192 to 255 bytes
//!           C1 len:u16   string of 256 to 65535 bytes, little endian like all below
//!           C2 len:u32   longer string
//!           C3 i8   C4 i16   C5 i24   C6 i32   C7 i64               no further data
//!           C8..FF       the integer 0 to 55
//!
//! backlen   bytes of header and data, 7 bits for each byte, read from the end backwards: the last
//!           byte has the lowest bits, and bit 7 says that another one stands before it
//!             5          ->  05
//!             300        ->  02 AC
//! ```
//!
//! A string that is an integer's canonical text (no plus, no leading zeros, no `-0`, within i64) is
//! always stored as the integer, in its shortest form. So every string has exactly one encoding,
//! and two elements are equal when their [`Entry`]s are. The format is private to the process: RDB
//! has its own.
//!
//! Offsets are byte positions of an element's header. Functions given an offset that is not an
//! element's, or a broken buffer, answer `None` or do nothing useful, but do not panic. Walking costs
//! about 2 ns for each element; writes move the bytes after the place.

use ochre_base::num;

const STR_DIRECT_MAX: usize = 0xBF;
const STR8: u8 = 0xC0;
const STR16: u8 = 0xC1;
const STR32: u8 = 0xC2;
const INT8: u8 = 0xC3;
const INT16: u8 = 0xC4;
const INT24: u8 = 0xC5;
const INT32: u8 = 0xC6;
const INT64: u8 = 0xC7;
const SMALL: u8 = 0xC8;
const SMALL_MAX: i64 = (0xFF - SMALL) as i64;

/// Room for the text of any i64.
pub type IntText = [u8; 20];

/// One element as it is read: a string, or a string that is an integer's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Bytes as they are.
    Str(&'a [u8]),
    /// The integer whose canonical text the element is.
    Int(i64),
}

impl<'a> Entry<'a> {
    /// How `text` is stored: an integer when it is one's canonical text.
    #[inline]
    pub fn of(text: &'a [u8]) -> Self {
        match text.first() {
            Some(b'-' | b'0'..=b'9') if text.len() <= 20 => match num::parse_i64(text) {
                Some(n) => Self::Int(n),
                None => Self::Str(text),
            },
            _ => Self::Str(text),
        }
    }

    /// The same text as it would be stored: an integer when the bytes are one's canonical text. Needed
    /// for entries that were not read from a packed sequence.
    #[inline]
    pub fn canonical(self) -> Self {
        match self {
            Self::Str(bytes) => Self::of(bytes),
            Self::Int(_) => self,
        }
    }

    /// The element's text; integers are written to `room`.
    #[inline]
    pub fn text<'b>(self, room: &'b mut IntText) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Self::Str(bytes) => bytes,
            Self::Int(n) => num::format_i64(n, room),
        }
    }

    /// Length of the text in bytes.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Str(bytes) => bytes.len(),
            Self::Int(n) => int_text_len(n),
        }
    }

    /// Whether the text is empty.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether the element's text is `text`, wherever either came from.
    #[inline]
    pub fn is_text(self, text: &[u8]) -> bool {
        match self {
            Self::Str(bytes) => bytes == text,
            Self::Int(_) => Entry::of(text) == self,
        }
    }

    /// The integer whose canonical text this is, also when it is held as bytes.
    #[inline]
    pub fn to_int(self) -> Option<i64> {
        match self.canonical() {
            Self::Int(n) => Some(n),
            Self::Str(_) => None,
        }
    }

    /// Appends the text to `out`.
    #[inline]
    pub fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.text(&mut [0; 20]));
    }

    /// The text in a buffer of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut [0; 20]).to_vec()
    }
}

/// Length of the canonical text of `n`.
#[inline]
fn int_text_len(n: i64) -> usize {
    let digits = n.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(n < 0)
}

/// An element ready to be written: header and backlen are worked out, the data is borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Encoded<'a> {
    head: [u8; 9],
    head_len: u8,
    back: [u8; 5],
    back_len: u8,
    body: &'a [u8],
}

impl<'a> Encoded<'a> {
    /// The element for `text`, as an integer when it is one's canonical text.
    #[inline]
    pub fn new(text: &'a [u8]) -> Self {
        Self::of_entry(Entry::of(text))
    }

    /// The element for `entry`, which must be as [`Entry::of`] or a read gives it.
    #[inline]
    pub fn of_entry(entry: Entry<'a>) -> Self {
        match entry {
            Entry::Str(bytes) => Self::of_str(bytes),
            Entry::Int(n) => Self::of_int(n),
        }
    }

    #[inline]
    fn of_str(body: &'a [u8]) -> Self {
        let mut head = [0; 9];
        let len = body.len();
        let head_len = if len <= STR_DIRECT_MAX {
            head[0] = len as u8;
            1
        } else if len <= 0xFF {
            head[0] = STR8;
            head[1] = len as u8;
            2
        } else if len <= 0xFFFF {
            head[0] = STR16;
            head[1..3].copy_from_slice(&(len as u16).to_le_bytes());
            3
        } else {
            // A value is at most 512 MB (proto-max-bulk-len), so that 32 bits always hold it.
            debug_assert!(u32::try_from(len).is_ok());
            head[0] = STR32;
            head[1..5].copy_from_slice(&(len as u32).to_le_bytes());
            5
        };
        Self::with_head(head, head_len, body)
    }

    /// The element for the integer `n`.
    #[inline]
    pub fn of_int(n: i64) -> Self {
        let mut head = [0; 9];
        let head_len = if (0..=SMALL_MAX).contains(&n) {
            head[0] = SMALL + n as u8;
            1
        } else {
            let (kind, width) = match n {
                -0x80..=0x7F => (INT8, 1),
                -0x8000..=0x7FFF => (INT16, 2),
                -0x80_0000..=0x7F_FFFF => (INT24, 3),
                -0x8000_0000..=0x7FFF_FFFF => (INT32, 4),
                _ => (INT64, 8),
            };
            head[0] = kind;
            head[1..=width].copy_from_slice(&n.to_le_bytes()[..width]);
            1 + width as u8
        };
        Self::with_head(head, head_len, &[])
    }

    #[inline]
    fn with_head(head: [u8; 9], head_len: u8, body: &'a [u8]) -> Self {
        let mut back = [0; 5];
        let mut size = head_len as usize + body.len();
        let back_len = backlen_width(size);
        for i in (0..back_len).rev() {
            let more = if i == 0 { 0 } else { 0x80 };
            back[i] = (size & 0x7F) as u8 | more;
            size >>= 7;
        }
        Self { head, head_len, back, back_len: back_len as u8, body }
    }

    /// Bytes of the whole element.
    #[inline]
    #[expect(clippy::len_without_is_empty, reason = "an element has at least two bytes")]
    pub fn len(&self) -> usize {
        self.head_len as usize + self.body.len() + self.back_len as usize
    }

    /// Appends the element to `out`.
    #[inline]
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head[..self.head_len as usize]);
        out.extend_from_slice(self.body);
        out.extend_from_slice(&self.back[..self.back_len as usize]);
    }

    /// Writes the element over the first [`len`](Self::len) bytes of `out`, which must have them.
    #[inline]
    pub fn write_to(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(self.head_len as usize);
        let (body, rest) = rest.split_at_mut(self.body.len());
        head.copy_from_slice(&self.head[..self.head_len as usize]);
        body.copy_from_slice(self.body);
        rest[..self.back_len as usize].copy_from_slice(&self.back[..self.back_len as usize]);
    }
}

/// Bytes of the backlen of an element whose header and data have `size` bytes.
#[inline]
fn backlen_width(size: usize) -> usize {
    match size {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

/// The element at `at` and the bytes of its header and data.
#[inline]
fn decode(buf: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let (&head, tail) = buf.get(at..)?.split_first()?;
    let len = head as usize;
    if len <= STR_DIRECT_MAX {
        return Some((Entry::Str(tail.get(..len)?), 1 + len));
    }
    decode_long(head, tail)
}

#[inline]
fn decode_long(head: u8, tail: &[u8]) -> Option<(Entry<'_>, usize)> {
    Some(match head {
        STR8 => {
            let len = usize::from(*tail.first()?);
            (Entry::Str(tail.get(1..1 + len)?), 2 + len)
        }
        STR16 => {
            let len = usize::from(u16::from_le_bytes(*tail.first_chunk()?));
            (Entry::Str(tail.get(2..2 + len)?), 3 + len)
        }
        STR32 => {
            let len = u32::from_le_bytes(*tail.first_chunk()?) as usize;
            (Entry::Str(tail.get(4..4 + len)?), 5 + len)
        }
        INT8 => (Entry::Int(i64::from(*tail.first()? as i8)), 2),
        INT16 => (Entry::Int(i64::from(i16::from_le_bytes(*tail.first_chunk()?))), 3),
        INT24 => {
            let [a, b, c] = *tail.first_chunk()?;
            (Entry::Int(i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)), 4)
        }
        INT32 => (Entry::Int(i64::from(i32::from_le_bytes(*tail.first_chunk()?))), 5),
        INT64 => (Entry::Int(i64::from_le_bytes(*tail.first_chunk()?)), 9),
        small => (Entry::Int(i64::from(small.wrapping_sub(SMALL))), 1),
    })
}

/// The element at `at` and the offset after it. `None` at the end.
#[inline]
pub fn entry_at(buf: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let (entry, size) = decode(buf, at)?;
    Some((entry, at + size + backlen_width(size)))
}

/// The offset after the element at `at`; the buffer's length when there is none.
#[inline]
pub fn next(buf: &[u8], at: usize) -> usize {
    entry_at(buf, at).map_or(buf.len(), |(_, after)| after)
}

/// The offset after `n` elements from `at`; the buffer's length when there are fewer, however large
/// `n` is: it may come from a client.
#[inline]
pub fn skip(buf: &[u8], mut at: usize, n: usize) -> usize {
    for _ in 0..n {
        if at >= buf.len() {
            break;
        }
        at = next(buf, at);
    }
    at
}

/// The offset of the element that ends at `at`. `None` at the start.
#[inline]
pub fn prev(buf: &[u8], at: usize) -> Option<usize> {
    let mut place = at.checked_sub(1)?;
    let mut byte = *buf.get(place)?;
    let mut size = usize::from(byte & 0x7F);
    let mut shift = 7;
    while byte & 0x80 != 0 && shift < 35 {
        place = place.checked_sub(1)?;
        byte = *buf.get(place)?;
        size |= usize::from(byte & 0x7F) << shift;
        shift += 7;
    }
    place.checked_sub(size)
}

/// Number of elements. Walks them all.
#[inline]
pub fn count(buf: &[u8]) -> usize {
    let mut at = 0;
    let mut n = 0;
    while let Some((_, after)) = entry_at(buf, at) {
        at = after;
        n += 1;
    }
    n
}

/// Whether `buf` is a whole sequence: every element ends where its backlen says.
pub fn is_valid(buf: &[u8]) -> bool {
    let mut at = 0;
    while let Some((_, after)) = entry_at(buf, at) {
        if after > buf.len() || prev(buf, after) != Some(at) {
            return false;
        }
        at = after;
    }
    at == buf.len()
}

/// Offset of the element with the number `index` from the front.
#[inline]
pub fn offset_of(buf: &[u8], index: usize) -> Option<usize> {
    let at = skip(buf, 0, index);
    (at < buf.len()).then_some(at)
}

/// Offset of the element with the number `index` from the back; 0 is the last.
#[inline]
pub fn offset_from_back(buf: &[u8], index: usize) -> Option<usize> {
    let mut at = prev(buf, buf.len())?;
    for _ in 0..index {
        at = prev(buf, at)?;
    }
    Some(at)
}

/// Elements in order, from either end.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    buf: &'a [u8],
    front: usize,
    back: usize,
}

impl<'a> Iter<'a> {
    /// Offset of the element that `next` gives.
    #[inline]
    pub fn front(&self) -> usize {
        self.front
    }

    /// Offset after the element that `next_back` gives.
    #[inline]
    pub fn back(&self) -> usize {
        self.back
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (entry, after) = entry_at(self.buf, self.front)?;
        self.front = after;
        Some(entry)
    }
}

impl<'a> DoubleEndedIterator for Iter<'a> {
    #[inline]
    fn next_back(&mut self) -> Option<Entry<'a>> {
        if self.front >= self.back {
            return None;
        }
        self.back = prev(self.buf, self.back)?;
        Some(decode(self.buf, self.back)?.0)
    }
}

/// All elements of `buf`.
#[inline]
pub fn iter(buf: &[u8]) -> Iter<'_> {
    Iter { buf, front: 0, back: buf.len() }
}

/// The elements between the offsets `front` and `back`.
#[inline]
pub fn iter_between(buf: &[u8], front: usize, back: usize) -> Iter<'_> {
    Iter { buf, front, back: back.min(buf.len()) }
}

/// Looks at each `stride`-th element, from the first on, for one whose text is `text`: its offset,
/// or the number of elements looked at.
#[inline]
pub fn find_or_count(buf: &[u8], text: &[u8], stride: usize) -> Result<usize, usize> {
    find_entry(buf, Entry::of(text), stride)
}

/// As [`find_or_count`], for an entry that is as [`Entry::of`] or a read of a packed sequence gives
/// it.
#[inline]
pub fn find_entry(buf: &[u8], wanted: Entry<'_>, stride: usize) -> Result<usize, usize> {
    let mut at = 0;
    let mut looked_at = 0;
    while let Some((entry, after)) = entry_at(buf, at) {
        if entry == wanted {
            return Ok(at);
        }
        looked_at += 1;
        at = skip(buf, after, stride.saturating_sub(1));
    }
    Err(looked_at)
}

/// Offset of the first of each `stride`-th element whose text is `text`.
#[inline]
pub fn find(buf: &[u8], text: &[u8], stride: usize) -> Option<usize> {
    find_or_count(buf, text, stride).ok()
}

/// Adds `text` at the end.
#[inline]
pub fn push_back(buf: &mut Vec<u8>, text: &[u8]) {
    push_encoded(buf, &Encoded::new(text));
}

/// Adds an element at the end.
#[inline]
pub fn push_encoded(buf: &mut Vec<u8>, element: &Encoded<'_>) {
    grow(buf, element.len());
    element.append_to(buf);
}

/// Adds `text` at the start.
#[inline]
pub fn push_front(buf: &mut Vec<u8>, text: &[u8]) {
    insert_at(buf, 0, text);
}

/// Adds `text` before the element at `at`, or at the end when `at` is the buffer's length.
#[inline]
pub fn insert_at(buf: &mut Vec<u8>, at: usize, text: &[u8]) {
    insert_encoded(buf, at, &Encoded::new(text));
}

/// Adds an element before the one at `at`, or at the end when `at` is the buffer's length.
pub fn insert_encoded(buf: &mut Vec<u8>, at: usize, element: &Encoded<'_>) {
    let at = at.min(buf.len());
    open(buf, at, element.len());
    element.write_to(&mut buf[at..]);
}

/// Makes the element at `at` have the text `text`. Does nothing when there is none.
pub fn replace_at(buf: &mut Vec<u8>, at: usize, text: &[u8]) {
    replace_encoded(buf, at, &Encoded::new(text));
}

/// Puts an element in the place of the one at `at`. Does nothing when there is none.
pub fn replace_encoded(buf: &mut Vec<u8>, at: usize, element: &Encoded<'_>) {
    let Some((_, after)) = entry_at(buf, at) else {
        return;
    };
    let (old, new) = (after.min(buf.len()) - at, element.len());
    if new > old {
        open(buf, at + old, new - old);
    } else if new < old {
        remove_range(buf, at + new, at + old);
    }
    element.write_to(&mut buf[at..]);
}

/// Cuts the bytes from offset `from` up to offset `to`, both at element borders, and gives memory
/// back when much of the buffer is unused.
pub fn remove_range(buf: &mut Vec<u8>, from: usize, to: usize) {
    let to = to.min(buf.len());
    if from >= to {
        return;
    }
    buf.drain(from..to);
    if buf.capacity() > 2 * buf.len() + 64 {
        buf.shrink_to(buf.len() + buf.len() / 8);
    }
}

/// Cuts `n` elements from the one at `at` on.
#[inline]
pub fn remove(buf: &mut Vec<u8>, at: usize, n: usize) {
    let to = skip(buf, at, n);
    remove_range(buf, at, to);
}

/// Room for `extra` more bytes. Packed buffers are many and small, so that they grow by an eighth:
/// still geometric, and never half empty.
#[inline]
pub(crate) fn grow(buf: &mut Vec<u8>, extra: usize) {
    if buf.capacity() - buf.len() < extra {
        buf.reserve_exact(extra + (buf.len() + extra) / 8);
    }
}

/// Moves the bytes from `at` on up by `width`.
fn open(buf: &mut Vec<u8>, at: usize, width: usize) {
    grow(buf, width);
    let end = buf.len();
    buf.resize(end + width, 0);
    buf.copy_within(at..end, at + width);
}

/// A number below `bound` from 64 random bits, by the high half of a product: the bias is below
/// `bound` in 2^64.
#[inline]
pub(crate) fn below(random_bits: u64, bound: usize) -> usize {
    ((u128::from(random_bits) * bound as u128) >> 64) as usize
}

#[cfg(test)]
#[path = "packed_tests.rs"]
mod tests;
