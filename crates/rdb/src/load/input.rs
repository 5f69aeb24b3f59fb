//! Bytes as they come in: a buffer over a reader, lengths, integers and strings of the format, and the
//! checksum of what was consumed.
//!
//! Bytes that are passed over may be kept as they are ([`Input::keep`]), for someone else to decode.
//!
//! Nothing is allocated for more than [`STEP_BYTES`] beyond what has been read. When it is known how many
//! bytes will come at most, a length beyond that is refused before anything is read.

use std::io::{ErrorKind, Read};

use ochre_base::lzf;
use ochre_base::num::{I64_TEXT_MAX, format_i64};

use crate::checksum::Crc64;
use crate::error::{LoadError, Result};
use crate::limits::{BUFFER_BYTES, STEP_BYTES, STRING_MAX};

/// A length, or that a string follows in a special form.
enum Head {
    Plain(u64),
    Int(i64),
    Compressed,
}

/// A string as it stands in the format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Text {
    /// Bytes.
    Bytes(Vec<u8>),
    /// The text of an integer.
    Int(i64),
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Input<R> {
    read: R,
    buf: Vec<u8>,
    /// `summed <= at <= buf.len()`; what lies before `at` is consumed, before `summed` in the checksum.
    at: usize,
    summed: usize,
    crc: Option<Crc64>,
    /// Bytes consumed before those in `buf`.
    before: u64,
    /// Bytes that come at most, those in `buf` included from its start.
    total: Option<u64>,
    /// What is kept of the bytes consumed.
    kept: Option<Kept>,
}

/// See [`Input::keep`].
#[derive(Debug)]
struct Kept {
    bytes: Vec<u8>,
    /// From here on what is consumed of the buffer is not among `bytes` yet; `from <= at`.
    from: usize,
}

impl<'a> Input<&'a [u8]> {
    /// Over bytes that are all there.
    pub(crate) fn of_slice(bytes: &'a [u8]) -> Self {
        Self::new(bytes, Some(bytes.len() as u64), false)
    }
}

impl<R: Read> Input<R> {
    /// Over a reader that gives at most `total` bytes, if that is known.
    pub(crate) fn new(read: R, total: Option<u64>, checksum: bool) -> Self {
        let crc = checksum.then(Crc64::default);
        Self { read, buf: Vec::new(), at: 0, summed: 0, crc, before: 0, total, kept: None }
    }

    /// Bytes consumed.
    pub(crate) fn offset(&self) -> u64 {
        self.before + self.at as u64
    }

    /// What was read ahead, and the reader.
    pub(crate) fn into_rest(mut self) -> (Vec<u8>, R) {
        self.buf.drain(..self.at);
        (self.buf, self.read)
    }

    /// The checksum of all bytes consumed; none when none is kept.
    pub(crate) fn sum(&mut self) -> Option<u64> {
        self.note();
        self.crc.as_ref().map(Crc64::sum)
    }

    /// Adds what was consumed to the checksum.
    fn note(&mut self) {
        if let Some(crc) = &mut self.crc {
            crc.add(&self.buf[self.summed..self.at]);
        }
        self.summed = self.at;
    }

    /// From here on what is passed over is appended to `bytes`, until [`Input::kept`]. Strings are to be
    /// passed over meanwhile, not taken.
    pub(crate) fn keep(&mut self, bytes: Vec<u8>) {
        self.kept = Some(Kept { bytes, from: self.at });
    }

    /// What was given to [`Input::keep`], with what was passed over since.
    pub(crate) fn kept(&mut self) -> Vec<u8> {
        self.note_kept();
        self.kept.take().map(|kept| kept.bytes).unwrap_or_default()
    }

    fn note_kept(&mut self) {
        if let Some(kept) = &mut self.kept {
            kept.bytes.extend_from_slice(&self.buf[kept.from..self.at]);
            kept.from = self.at;
        }
    }

    /// Bytes that may still come.
    fn left(&self) -> u64 {
        self.total.map_or(u64::MAX, |total| total.saturating_sub(self.offset()))
    }

    /// Reads ahead when everything read is consumed.
    #[inline]
    fn fill(&mut self) -> Result<()> {
        if self.at < self.buf.len() { Ok(()) } else { self.refill() }
    }

    #[cold]
    fn refill(&mut self) -> Result<()> {
        self.note();
        self.note_kept();
        self.before += self.at as u64;
        (self.at, self.summed) = (0, 0);
        if let Some(kept) = &mut self.kept {
            kept.from = 0;
        }
        let room = usize::try_from(self.left()).unwrap_or(usize::MAX).clamp(1, BUFFER_BYTES);
        self.buf.resize(room, 0);
        loop {
            match self.read.read(&mut self.buf) {
                Ok(0) => {
                    self.buf.clear();
                    return Err(LoadError::Truncated);
                }
                Ok(n) => {
                    self.buf.truncate(n);
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.buf.clear();
                    return Err(error.into());
                }
            }
        }
    }

    /// One byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.fill()?;
        let byte = self.buf[self.at];
        self.at += 1;
        Ok(byte)
    }

    /// So many bytes as they are.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        if let Some(bytes) = self.buf.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) {
            self.at += N;
            return Ok(*bytes);
        }
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// Appends `len` bytes to `out`.
    pub(crate) fn take_into(&mut self, len: u64, out: &mut Vec<u8>) -> Result<()> {
        if len > STRING_MAX {
            return Err(LoadError::TooLong(len));
        }
        if len > self.left() {
            return Err(LoadError::Truncated);
        }
        // STRING_MAX fits 32 bits, and an index has as many at least.
        let mut left = len as usize;
        out.reserve_exact(left.min(STEP_BYTES));
        while left > 0 {
            if self.at == self.buf.len() && left >= BUFFER_BYTES {
                left -= self.take_directly(left.min(STEP_BYTES), out)?;
                continue;
            }
            self.fill()?;
            let part = &self.buf[self.at..];
            let part = &part[..part.len().min(left)];
            out.extend_from_slice(part);
            self.at += part.len();
            left -= part.len();
        }
        Ok(())
    }

    /// Reads past the buffer, which is empty, straight into `out`; gives how many of `most` bytes.
    fn take_directly(&mut self, most: usize, out: &mut Vec<u8>) -> Result<usize> {
        debug_assert!(self.kept.is_none(), "what is kept is passed over, not taken");
        self.note();
        let start = out.len();
        let got = (&mut self.read).take(most as u64).read_to_end(out)?;
        if let Some(crc) = &mut self.crc {
            crc.add(&out[start..]);
        }
        self.before += got as u64;
        if got < most { Err(LoadError::Truncated) } else { Ok(got) }
    }

    #[inline]
    fn head(&mut self) -> Result<Head> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            0 => Head::Plain(u64::from(first)),
            1 => Head::Plain(u64::from(first & 0x3F) << 8 | u64::from(self.byte()?)),
            2 => match first {
                0x80 => Head::Plain(u64::from(u32::from_be_bytes(self.array()?))),
                0x81 => Head::Plain(u64::from_be_bytes(self.array()?)),
                _ => return Err(LoadError::Corrupt("length")),
            },
            _ => match first & 0x3F {
                0 => Head::Int(i64::from(i8::from_le_bytes(self.array()?))),
                1 => Head::Int(i64::from(i16::from_le_bytes(self.array()?))),
                2 => Head::Int(i64::from(i32::from_le_bytes(self.array()?))),
                3 => Head::Compressed,
                _ => return Err(LoadError::Corrupt("string")),
            },
        })
    }

    /// A length.
    #[inline]
    pub(crate) fn len(&mut self) -> Result<u64> {
        match self.head()? {
            Head::Plain(len) => Ok(len),
            Head::Int(_) | Head::Compressed => Err(LoadError::Corrupt("length")),
        }
    }

    /// How many elements follow, each of which takes `each` bytes at least.
    pub(crate) fn count(&mut self, each: u64) -> Result<usize> {
        let count = self.len()?;
        match usize::try_from(count) {
            Ok(fits) if count.saturating_mul(each) <= self.left() => Ok(fits),
            _ => Err(LoadError::Truncated),
        }
    }

    /// A string.
    pub(crate) fn text(&mut self) -> Result<Text> {
        match self.head()? {
            Head::Int(n) => Ok(Text::Int(n)),
            Head::Plain(len) => {
                let mut out = Vec::new();
                self.take_into(len, &mut out)?;
                Ok(Text::Bytes(out))
            }
            Head::Compressed => Ok(Text::Bytes(self.compressed()?)),
        }
    }

    /// A string's bytes in a buffer of their own.
    pub(crate) fn string(&mut self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.string_into(&mut out)?;
        Ok(out)
    }

    /// A string's bytes, in place of what `out` holds.
    #[inline]
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        match self.head()? {
            Head::Int(n) => out.extend_from_slice(format_i64(n, &mut [0; I64_TEXT_MAX])),
            Head::Plain(len) => self.take_into(len, out)?,
            Head::Compressed => *out = self.compressed()?,
        }
        Ok(())
    }

    fn compressed(&mut self) -> Result<Vec<u8>> {
        let (size, len) = (self.len()?, self.len()?);
        if len > STRING_MAX {
            return Err(LoadError::TooLong(len));
        }
        let mut data = Vec::new();
        self.take_into(size, &mut data)?;
        lzf::expand(&data, len as usize).ok_or(LoadError::Corrupt("compressed string"))
    }

    /// Passes over a string; what is compressed is not expanded.
    pub(crate) fn skip_string(&mut self) -> Result<()> {
        let len = match self.head()? {
            Head::Int(_) => return Ok(()),
            Head::Plain(len) => len,
            Head::Compressed => {
                let (size, len) = (self.len()?, self.len()?);
                if len > STRING_MAX {
                    return Err(LoadError::TooLong(len));
                }
                size
            }
        };
        if len > STRING_MAX {
            return Err(LoadError::TooLong(len));
        }
        if len > self.left() {
            return Err(LoadError::Truncated);
        }
        self.skip(len)
    }

    /// Passes over so many bytes.
    pub(crate) fn skip(&mut self, mut len: u64) -> Result<()> {
        while len > 0 {
            self.fill()?;
            let part = ((self.buf.len() - self.at) as u64).min(len);
            // Not more than the buffer holds.
            self.at += part as usize;
            len -= part;
        }
        Ok(())
    }

    /// Whether everything is consumed, of bytes whose number is known.
    pub(crate) fn is_done(&self) -> bool {
        self.left() == 0
    }
}
