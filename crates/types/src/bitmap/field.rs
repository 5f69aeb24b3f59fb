//! Integers of any width within a string: the fields of BITFIELD.
//!
//! ```text
//! u5 at bit 6     byte 0    byte 1
//!                 ......ab  cde.....      value = abcde, the top bit first
//! ```
//!
//! A field of at most 64 bits lies in at most nine bytes, which are read into a 128-bit window, cut,
//! and written back. Sums are formed in 128 bits, where nothing overflows, and then fitted to the
//! field. Bits behind the end of a string read as zero; writes behind it are dropped, so writers make
//! room first. All O(1). Source: documentation of BITFIELD of Redis 7.2.

/// The type of a field: `i1` to `i64`, `u1` to `u63`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    signed: bool,
    bits: u32,
}

/// What becomes of a value that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Its low bits count.
    Wrap,
    /// The nearest value that fits.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Field {
    /// Reads `i16`, `u8` and so on; none for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (kind, width) = text.split_first()?;
        let signed = match kind {
            b'i' => true,
            b'u' => false,
            _ => return None,
        };
        let bits = match width {
            [ones @ b'1'..=b'9'] => u32::from(ones - b'0'),
            [tens @ b'1'..=b'9', ones @ b'0'..=b'9'] => {
                u32::from(tens - b'0') * 10 + u32::from(ones - b'0')
            }
            _ => return None,
        };
        (bits <= if signed { 64 } else { 63 }).then_some(Self { signed, bits })
    }

    /// Its width.
    #[inline]
    pub fn bits(self) -> u64 {
        u64::from(self.bits)
    }

    /// The value at bit `offset`.
    #[inline]
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let at = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let window = window(bytes.get(at..).unwrap_or_default());
        self.cut(window >> self.shift(offset))
    }

    /// Writes the low bits of `value` at bit `offset`.
    pub fn write(self, bytes: &mut [u8], offset: u64, value: i64) {
        let at = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let Some(place) = bytes.get_mut(at..) else { return };
        let shift = self.shift(offset);
        let mask = (u128::MAX >> (128 - self.bits)) << shift;
        let new = window(place) & !mask | (value as u128) << shift & mask;
        let len = place.len().min(9);
        place[..len].copy_from_slice(&new.to_be_bytes()[..len]);
    }

    /// What a field holds that is set to `value`; none when it fails. An unsigned field takes a
    /// negative value as the large number with the same bits.
    pub fn fit(self, value: i64, overflow: Overflow) -> Option<i64> {
        let value = if self.signed { i128::from(value) } else { i128::from(value as u64) };
        self.fit_wide(value, overflow)
    }

    /// What a field holds that held `old` and is increased by `by`; none when it fails.
    pub fn add(self, old: i64, by: i64, overflow: Overflow) -> Option<i64> {
        self.fit_wide(i128::from(old) + i128::from(by), overflow)
    }

    fn fit_wide(self, value: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        };
        if (min..=max).contains(&value) {
            return Some(value as i64);
        }
        match overflow {
            Overflow::Wrap => Some(self.cut(value as u128)),
            Overflow::Saturate => Some(value.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }

    /// The value that the low bits stand for.
    #[inline]
    fn cut(self, bits: u128) -> i64 {
        let left = 64 - self.bits;
        let top = (bits as u64) << left;
        if self.signed { top as i64 >> left } else { (top >> left) as i64 }
    }

    #[inline]
    fn shift(self, offset: u64) -> u32 {
        128 - (offset % 8) as u32 - self.bits
    }
}

/// The first nine bytes, and zeros.
#[inline]
fn window(bytes: &[u8]) -> u128 {
    let mut window = [0; 16];
    let len = bytes.len().min(9);
    window[..len].copy_from_slice(&bytes[..len]);
    u128::from_be_bytes(window)
}
