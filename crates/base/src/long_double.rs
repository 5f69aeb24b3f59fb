//! The 80-bit `long double` of x86, in software, as far as INCRBYFLOAT and HINCRBYFLOAT need it.
//!
//! Redis computes these two commands in `long double` and prints `%.17Lf` without trailing zeros.
//! The stored text is what clients see and what is replicated, so the results must agree digit for
//! digit, on every platform; hence integers instead of the machine's floating point.
//!
//! ```text
//! value = ± mantissa * 2^exponent       0 <= mantissa < 2^64, -16445 <= exponent <= 16320
//! ```
//!
//! Every operation is exact and then rounded once to 64 bits, to nearest with ties to even, as the
//! x87 does. Numbers as people write them (up to 19 digits and 27 decimals) go through 128-bit
//! integers without allocation; others through big integers, whose size is bounded by
//! [`TEXT_MAX`] and the exponent range: at worst some 400 words and about 100 us.
//!
//! Invariants: a finite value is normalised, its top bit set, unless it is zero or subnormal.
//! Failure: a text that is no number, that overflows, or that rounds to zero without being zero,
//! is refused; so is a sum that is infinite or not a number.
//!
//! Source: Intel SDM vol. 1, 4.2.2 and 8.2 (double extended precision); behaviour of redis-server
//! 7.0.15.

use crate::num::{is_infinity_word, parse_exponent, parse_hex, round_shift, split_sign};

/// Longest text that is read, in bytes. Peers: 5 KB, more than the 4933 digits of the largest
/// value.
pub const TEXT_MAX: usize = 5 * 1024 - 1;

/// Exponent of the lowest bit of subnormal numbers: 2^-16445 is the smallest value.
const EXPONENT_MIN: i64 = -16445;

/// Every value lies below 2 to this power.
const TOP_MAX: i64 = 16384;

/// A number of double extended precision, or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongDouble {
    negative: bool,
    magnitude: Magnitude,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Magnitude {
    Finite { mantissa: u64, exponent: i32 },
    Infinite,
}

const ZERO: Magnitude = Magnitude::Finite { mantissa: 0, exponent: 0 };

impl LongDouble {
    /// An integer; always exact.
    pub fn from_i64(n: i64) -> LongDouble {
        let magnitude = Magnitude::round(u128::from(n.unsigned_abs()), 0, false);
        LongDouble { negative: n < 0, magnitude }
    }

    /// Reads what C's `strtold` takes over the whole text: decimal with optional exponent,
    /// hexadecimal, `inf`, `infinity`. NaN, blanks in front, texts above [`TEXT_MAX`], overflow
    /// and underflow to zero are refused. Correctly rounded.
    pub fn parse(text: &[u8]) -> Option<LongDouble> {
        if text.len() > TEXT_MAX {
            return None;
        }
        let (negative, body) = split_sign(text);
        let magnitude = match body {
            [b'0', b'x' | b'X', hex @ ..] => {
                let number = parse_hex(hex)?;
                if number.mantissa == 0 {
                    ZERO
                } else {
                    Magnitude::round(number.mantissa, number.exponent, number.inexact).in_range()?
                }
            }
            [b'0'..=b'9' | b'.', ..] => Decimal::parse(body)?.round()?,
            _ if is_infinity_word(body) => Magnitude::Infinite,
            _ => return None,
        };
        Some(LongDouble { negative, magnitude })
    }

    /// Whether this is one of the infinities.
    pub fn is_infinite(self) -> bool {
        self.magnitude == Magnitude::Infinite
    }

    /// The sum, rounded once; `None` when it is infinite or not a number.
    pub fn checked_add(self, other: LongDouble) -> Option<LongDouble> {
        let (x, y) = (self.parts()?, other.parts()?);
        if x.0 == 0 || y.0 == 0 {
            return Some(match (x.0, y.0) {
                (0, 0) => LongDouble { negative: self.negative && other.negative, magnitude: ZERO },
                (0, _) => other,
                _ => self,
            });
        }
        // The number with the larger exponent first: both have their top bit at 63 here.
        let (big, small, negative) =
            if (x.1, x.0) >= (y.1, y.0) { (x, y, self.negative) } else { (y, x, other.negative) };
        let distance = big.1 - small.1;
        // 63 bits below the larger mantissa: more than enough to round right.
        let large = u128::from(big.0) << 63;
        let unshifted = u128::from(small.0) << 63;
        let little = if distance > 127 { 0 } else { unshifted >> distance };
        let inexact = distance > 127 || little << distance != unshifted;
        let exact_part = if self.negative == other.negative {
            large + little
        } else {
            // What was cut off below makes the true difference smaller: borrow one unit, so that
            // the rest is again a positive something below the last bit.
            large - little - u128::from(inexact)
        };
        if exact_part == 0 && !inexact {
            return Some(LongDouble { negative: false, magnitude: ZERO });
        }
        let magnitude = Magnitude::round(exact_part, big.1 - 63, inexact);
        (magnitude != Magnitude::Infinite).then_some(LongDouble { negative, magnitude })
    }

    /// Mantissa with its top bit set (or 0) and the exponent that goes with it; `None` for an
    /// infinity.
    fn parts(self) -> Option<(u64, i64)> {
        match self.magnitude {
            Magnitude::Infinite => None,
            Magnitude::Finite { mantissa: 0, .. } => Some((0, 0)),
            Magnitude::Finite { mantissa, exponent } => {
                let shift = mantissa.leading_zeros();
                Some((mantissa << shift, i64::from(exponent) - i64::from(shift)))
            }
        }
    }

    /// Appends the value with at most 17 decimals (ties to even), without trailing zeros, without
    /// exponent; `inf` and `-inf`. A negative number that rounds to zero prints `0`. At most 4952
    /// bytes.
    pub fn append_text(self, out: &mut Vec<u8>) {
        let start = out.len();
        if self.negative {
            out.push(b'-');
        }
        match self.magnitude {
            Magnitude::Infinite => out.extend_from_slice(b"inf"),
            Magnitude::Finite { mantissa, exponent } if exponent >= 0 => {
                append_whole(mantissa, exponent as u32, out);
            }
            Magnitude::Finite { mantissa, exponent } => {
                // mantissa * 10^17 < 2^64 * 2^57: exact in 128 bits.
                let scaled = u128::from(mantissa) * DECIMALS_UNIT;
                let scaled = round_shift(scaled, exponent.unsigned_abs(), false);
                append_decimals(scaled, out);
            }
        }
        if out[start..] == *b"-0" {
            out.remove(start);
        }
    }
}

/// Decimals printed, and ten to that power.
const DECIMALS: usize = 17;
const DECIMALS_UNIT: u128 = 100_000_000_000_000_000;

/// Prints `scaled / 10^17`.
fn append_decimals(scaled: u128, out: &mut Vec<u8>) {
    let mut itoa = itoa::Buffer::new();
    out.extend_from_slice(itoa.format(scaled / DECIMALS_UNIT).as_bytes());
    let decimals = scaled % DECIMALS_UNIT;
    if decimals == 0 {
        return;
    }
    let digits = itoa.format(decimals).as_bytes();
    out.push(b'.');
    out.resize(out.len() + DECIMALS - digits.len(), b'0');
    out.extend_from_slice(digits);
    while out.last() == Some(&b'0') {
        out.pop();
    }
}

/// Prints `mantissa * 2^exponent`, `exponent <= 16320`.
fn append_whole(mantissa: u64, exponent: u32, out: &mut Vec<u8>) {
    let mut itoa = itoa::Buffer::new();
    if exponent <= 64 {
        out.extend_from_slice(itoa.format(u128::from(mantissa) << exponent).as_bytes());
        return;
    }
    // Groups of nine decimal digits, lowest first, doubled up to 32 times a step:
    // 10^9 * 2^32 + carry < 2^63.
    const GROUP: u64 = 1_000_000_000;
    let mut groups = vec![mantissa % GROUP, mantissa / GROUP % GROUP, mantissa / GROUP / GROUP];
    let mut left = exponent;
    while left > 0 {
        let step = left.min(32);
        left -= step;
        let mut carry = 0;
        for group in &mut groups {
            let value = (*group << step) + carry;
            *group = value % GROUP;
            carry = value / GROUP;
        }
        while carry > 0 {
            groups.push(carry % GROUP);
            carry /= GROUP;
        }
    }
    while groups.last() == Some(&0) {
        groups.pop();
    }
    for (at, group) in groups.iter().rev().enumerate() {
        let digits = itoa.format(*group).as_bytes();
        if at > 0 {
            out.resize(out.len() + 9 - digits.len(), b'0');
        }
        out.extend_from_slice(digits);
    }
}

impl Magnitude {
    /// `value * 2^exponent`, plus something below the last bit when `inexact`, rounded to what the
    /// format holds. `value > 0` unless the result is zero.
    fn round(value: u128, exponent: i64, inexact: bool) -> Magnitude {
        let length = i64::from(128 - value.leading_zeros());
        let top = length + exponent;
        if top > TOP_MAX {
            return Magnitude::Infinite;
        }
        // Bits that fit above the smallest subnormal, at most 64. Below -1 all is lost.
        let precision = 64.min(top - EXPONENT_MIN);
        if value == 0 || precision < 0 {
            return ZERO;
        }
        if precision >= length {
            // Everything fits. (`inexact` comes only with more than 64 bits.)
            let shift = value.leading_zeros() as i64 - 64;
            let shift = shift.min(exponent - EXPONENT_MIN).max(0);
            return Magnitude::Finite {
                mantissa: (value << shift) as u64,
                exponent: (exponent - shift) as i32,
            };
        }
        let shift = length - precision;
        let (mut rounded, mut exponent) =
            (round_shift(value, shift as u32, inexact), exponent + shift);
        if rounded >> 64 != 0 {
            // Rounded up to a power of two.
            rounded >>= 1;
            exponent += 1;
        }
        if rounded == 0 {
            return ZERO;
        }
        if exponent > TOP_MAX - 64 {
            return Magnitude::Infinite;
        }
        Magnitude::Finite { mantissa: rounded as u64, exponent: exponent as i32 }
    }

    /// Refuses what a number other than zero and infinity must not have become.
    fn in_range(self) -> Option<Magnitude> {
        (self != ZERO && self != Magnitude::Infinite).then_some(self)
    }
}

/// A decimal text: `digits * 10^exponent`.
struct Decimal<'a> {
    /// The digits with at most one point among them, from the first that is not zero on.
    digits: &'a [u8],
    /// Count of digits, the point left out.
    count: i64,
    /// Power of ten of the last digit.
    exponent: i64,
}

/// Powers of five up to 27 fit 63 bits.
const FIVES_MAX: i64 = 27;

impl<'a> Decimal<'a> {
    /// Splits digits, point and exponent; `None` unless the whole text is that.
    fn parse(text: &'a [u8]) -> Option<Decimal<'a>> {
        let end = text.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(text.len());
        let mut exponent = match text.get(end + 1..) {
            Some(tail) => parse_exponent(tail)?,
            None if end == text.len() => 0,
            None => return None,
        };
        let body = &text[..end];
        let (mut seen, mut point, mut first) = (0usize, None, None);
        for (at, &byte) in body.iter().enumerate() {
            match byte {
                b'.' if point.is_none() => point = Some(at),
                b'0'..=b'9' => {
                    seen += 1;
                    if byte != b'0' && first.is_none() {
                        first = Some(at);
                    }
                }
                _ => return None,
            }
        }
        if seen == 0 {
            return None;
        }
        if let Some(point) = point {
            exponent -= (body.len() - point - 1) as i64;
        }
        let first = first.unwrap_or(body.len());
        let digits = &body[first..];
        let count = digits.iter().filter(|&&b| b != b'.').count() as i64;
        Some(Decimal { digits, count, exponent })
    }

    fn each_digit(&self) -> impl Iterator<Item = u64> {
        self.digits.iter().filter(|&&b| b != b'.').map(|&b| u64::from(b - b'0'))
    }

    /// The nearest representable number; `None` on overflow and on underflow to zero.
    fn round(&self) -> Option<Magnitude> {
        if self.count == 0 {
            return Some(ZERO);
        }
        // The largest value is below 10^4933, half the smallest above 10^-4952.
        let top = self.count + self.exponent;
        if !(-4951..=4933).contains(&top) {
            return None;
        }
        let fives = 5u128.pow(self.exponent.unsigned_abs().min(FIVES_MAX as u64) as u32);
        let magnitude = if self.count > 19 || self.exponent.abs() > FIVES_MAX {
            self.round_big()
        } else {
            // Up to 19 digits fit 64 bits; 10^k = 5^k * 2^k, and the twos are exact.
            let digits = self.each_digit().fold(0, |value, digit| value * 10 + digit);
            if self.exponent >= 0 {
                Magnitude::round(u128::from(digits) * fives, self.exponent, false)
            } else {
                // Dividend with its top bit set, divisor below 2^63: at least 65 bits of quotient.
                let shift = 64 + digits.leading_zeros();
                let dividend = u128::from(digits) << shift;
                let (quotient, rest) = (dividend / fives, dividend % fives);
                Magnitude::round(quotient, self.exponent - i64::from(shift), rest != 0)
            }
        };
        magnitude.in_range()
    }

    #[cold]
    fn round_big(&self) -> Magnitude {
        let mut digits = Natural::default();
        for digit in self.each_digit() {
            digits.multiply_add(10, digit);
        }
        if self.exponent >= 0 {
            digits.multiply_by_fives(self.exponent as u64);
            let (top, dropped, inexact) = digits.top_bits();
            return Magnitude::round(top, self.exponent + dropped, inexact);
        }
        let mut divisor = Natural::default();
        divisor.multiply_add(1, 1);
        divisor.multiply_by_fives(self.exponent.unsigned_abs());
        let (quotient, exponent, inexact) = digits.divide(divisor);
        Magnitude::round(quotient, self.exponent + exponent, inexact)
    }
}

/// A natural number of any size: 64-bit words, lowest first, no zero word on top.
#[derive(Default)]
struct Natural {
    words: Vec<u64>,
}

impl Natural {
    fn multiply_add(&mut self, factor: u64, addend: u64) {
        let mut carry = addend;
        for word in &mut self.words {
            let value = u128::from(*word) * u128::from(factor) + u128::from(carry);
            *word = value as u64;
            carry = (value >> 64) as u64;
        }
        if carry > 0 {
            self.words.push(carry);
        }
    }

    fn multiply_by_fives(&mut self, power: u64) {
        let whole = 5u64.pow(FIVES_MAX as u32);
        for _ in 0..power / FIVES_MAX as u64 {
            self.multiply_add(whole, 0);
        }
        self.multiply_add(5u64.pow((power % FIVES_MAX as u64) as u32), 0);
    }

    /// Length in bits.
    fn bits(&self) -> i64 {
        let top = self.words.last().map_or(0, |w| 64 - i64::from(w.leading_zeros()));
        64 * (self.words.len() as i64 - 1).max(0) + top
    }

    fn shift_left(&mut self, bits: u64) {
        let (words, bits) = ((bits / 64) as usize, (bits % 64) as u32);
        if bits > 0 {
            let mut carry = 0;
            for word in &mut self.words {
                let value = u128::from(*word) << bits | u128::from(carry);
                *word = value as u64;
                carry = (value >> 64) as u64;
            }
            if carry > 0 {
                self.words.push(carry);
            }
        }
        self.words.splice(0..0, std::iter::repeat_n(0, words));
    }

    /// The top bits (at least 65 if there are as many), the count of bits below them, and whether
    /// any of those is set.
    fn top_bits(&self) -> (u128, i64, bool) {
        let below = self.words.len().saturating_sub(2);
        let top = self.words[below..].iter().rev().fold(0, |v, &w| v << 64 | u128::from(w));
        // Two words hold 65 bits or more, since the upper one is not zero.
        (top, 64 * below as i64, self.words[..below].iter().any(|&w| w != 0))
    }

    fn at_least(&self, other: &Natural) -> bool {
        let by_length = self.words.len().cmp(&other.words.len());
        by_length.then_with(|| self.words.iter().rev().cmp(other.words.iter().rev())).is_ge()
    }

    /// Subtracts a number that is not larger.
    fn subtract(&mut self, other: &Natural) {
        let mut borrow = false;
        for (at, word) in self.words.iter_mut().enumerate() {
            let (value, under) = word.overflowing_sub(other.words.get(at).copied().unwrap_or(0));
            let (value, under_again) = value.overflowing_sub(u64::from(borrow));
            *word = value;
            borrow = under || under_again;
        }
        while self.words.last() == Some(&0) {
            self.words.pop();
        }
    }

    /// `self / divisor = quotient * 2^exponent`, plus something smaller when inexact; the quotient
    /// has 66 or 67 bits. Neither number may be zero.
    fn divide(mut self, mut divisor: Natural) -> (u128, i64, bool) {
        const STEPS: i64 = 67;
        let lead = self.bits() - divisor.bits();
        if lead >= 0 {
            divisor.shift_left(lead.unsigned_abs());
        } else {
            self.shift_left(lead.unsigned_abs());
        }
        let mut quotient = 0u128;
        for step in 0..STEPS {
            if step > 0 {
                self.shift_left(1);
            }
            quotient <<= 1;
            if self.at_least(&divisor) {
                self.subtract(&divisor);
                quotient |= 1;
            }
        }
        (quotient, lead - (STEPS - 1), !self.words.is_empty())
    }
}

#[cfg(test)]
mod tests;
