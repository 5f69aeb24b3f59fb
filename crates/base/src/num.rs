//! Numbers as text, by the rules of the Redis protocols.
//!
//! Clients see these texts (replies, stored strings, scores), so every rule here is part of the
//! wire contract:
//!
//! * integers: one canonical spelling each; nothing else is an integer (`parse_i64`), so that a
//!   value may be stored as a machine integer and given back byte for byte;
//! * doubles in: what C's `strtod` takes over the whole text, hexadecimal and `inf` included, but
//!   no NaN, no blank in front, and no overflow or underflow to zero (`parse_f64`);
//! * doubles out: the shortest digits that round-trip, laid out as Redis 7.2 does
//!   (`format_f64`), which is not C's `%g`: see the table at that function;
//! * sizes: `1gb`, `100mb`, `1k` (`parse_memory`).
//!
//! Every function is linear in the text and allocates nothing. Source: behaviour of redis-server
//! 7.0.15 and 8.0, Valkey 9.1 (the doubles layout is that of 7.2 and later).

/// Room that the longest text of an `i64` or `u64` takes: `-9223372036854775808`.
pub const I64_TEXT_MAX: usize = 20;

/// Room for any text that [`format_f64`] makes. The longest is 25 bytes: sign, 17 digits, point,
/// and `e-308`, or sign and 24 digits; 32 leaves the compiler a round number.
pub const F64_TEXT_MAX: usize = 32;

/// Reads a canonical decimal `i64`: an optional `-`, then digits without leading zero. No plus, no
/// blanks, no `-0`, no empty text. `None` also on overflow.
#[inline]
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text {
        [] => None,
        [b'-', digits @ ..] => {
            let magnitude = parse_u64(digits)?;
            match magnitude {
                0 => None,
                1..=0x8000_0000_0000_0000 => Some((magnitude as i64).wrapping_neg()),
                _ => None,
            }
        }
        _ => parse_u64(text).and_then(|n| i64::try_from(n).ok()),
    }
}

/// Reads a canonical decimal `u64`: digits without leading zero, no sign, no blanks.
#[inline]
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    let (&first, rest) = text.split_first()?;
    if first == b'0' {
        return rest.is_empty().then_some(0);
    }
    let mut value = u64::from(digit(first)?);
    if rest.len() < 19 {
        // At most 19 digits: 10^19 - 1 < 2^64, so no step can overflow.
        for &byte in rest {
            value = value * 10 + u64::from(digit(byte)?);
        }
        return Some(value);
    }
    if rest.len() > 19 {
        return None;
    }
    for &byte in rest {
        value = value.checked_mul(10)?.checked_add(u64::from(digit(byte)?))?;
    }
    Some(value)
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(value)
}

/// Whether `text` is the one spelling that [`format_i64`] gives to some `i64`.
#[inline]
pub fn is_canonical_i64(text: &[u8]) -> bool {
    parse_i64(text).is_some()
}

/// Writes `n` in decimal into `buf` and returns the used part.
#[inline]
pub fn format_i64(n: i64, buf: &mut [u8; I64_TEXT_MAX]) -> &[u8] {
    let mut itoa = itoa::Buffer::new();
    let text = itoa.format(n).as_bytes();
    let used = &mut buf[..text.len()];
    used.copy_from_slice(text);
    used
}

/// Reads a double as Redis does: the whole text must be a number for C's `strtod` (decimal with
/// optional exponent, hexadecimal with optional binary exponent, `inf`, `infinity`, any case, an
/// optional sign), without blanks in front. NaN is refused, and so is a number that overflows or
/// that is not zero but rounds to zero. Correctly rounded.
pub fn parse_f64(text: &[u8]) -> Option<f64> {
    let (negative, body) = split_sign(text);
    let &first = body.first()?;
    let magnitude = match first {
        b'0'..=b'9' | b'.' => {
            if let [b'0', b'x' | b'X', hex @ ..] = body {
                parse_hex(hex)?.to_f64()?
            } else {
                let value: f64 = fast_float2::parse(body).ok()?;
                if value.is_infinite() || (value == 0.0 && has_nonzero_digit(body)) {
                    return None;
                }
                value
            }
        }
        b'i' | b'I' if is_infinity_word(body) => f64::INFINITY,
        _ => return None,
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Takes one sign off the front: `(negative, rest)`.
pub(crate) fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Whether the text is one of the two words that mean infinity, in any case.
pub(crate) fn is_infinity_word(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b"inf") || text.eq_ignore_ascii_case(b"infinity")
}

/// Whether a decimal number's mantissa has any digit but zero.
fn has_nonzero_digit(body: &[u8]) -> bool {
    body.iter().take_while(|b| !matches!(b, b'e' | b'E')).any(|b| matches!(b, b'1'..=b'9'))
}

/// A hexadecimal number without sign: `mantissa * 2^exponent`, plus something smaller than one
/// unit of the mantissa when `inexact`.
pub(crate) struct HexNumber {
    /// Top bits of the digits; at least 124 bits are held before any is dropped.
    pub(crate) mantissa: u128,
    /// Binary exponent of the mantissa's lowest bit.
    pub(crate) exponent: i64,
    /// Whether nonzero digits were dropped below the mantissa.
    pub(crate) inexact: bool,
}

/// Reads what follows `0x`: hexadecimal digits with an optional point, then an optional `p` with
/// a decimal exponent. `None` unless the whole text is that.
pub(crate) fn parse_hex(text: &[u8]) -> Option<HexNumber> {
    let (mut mantissa, mut exponent, mut inexact) = (0u128, 0i64, false);
    let (mut digits, mut after_point) = (0usize, false);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        if byte == b'.' && !after_point {
            after_point = true;
        } else if let Some(value) = char::from(byte).to_digit(16) {
            digits += 1;
            if mantissa >> 124 == 0 {
                mantissa = mantissa << 4 | u128::from(value);
                exponent -= if after_point { 4 } else { 0 };
            } else {
                inexact |= value != 0;
                exponent += if after_point { 0 } else { 4 };
            }
        } else {
            break;
        }
        at += 1;
    }
    if digits == 0 {
        return None;
    }
    match text.get(at) {
        None => {}
        Some(b'p' | b'P') => exponent += parse_exponent(&text[at + 1..])?,
        Some(_) => return None,
    }
    Some(HexNumber { mantissa, exponent, inexact })
}

/// Bound on exponents read from text: beyond it every number is zero or infinite, and sums of a
/// few such bounds stay far from overflow.
pub(crate) const EXPONENT_LIMIT: i64 = 1 << 40;

/// Reads an exponent: optional sign, at least one digit, nothing else. Clamped to
/// ±[`EXPONENT_LIMIT`].
pub(crate) fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        value = (value * 10 + i64::from(digit(byte)?)).min(EXPONENT_LIMIT);
    }
    Some(if negative { -value } else { value })
}

impl HexNumber {
    /// The nearest double, ties to even; `None` when it overflows or is not zero but rounds to
    /// zero.
    fn to_f64(&self) -> Option<f64> {
        if self.mantissa == 0 {
            return Some(0.0);
        }
        let length = i64::from(128 - self.mantissa.leading_zeros());
        let top = length + self.exponent;
        if !(-1074..=1024).contains(&top) {
            return None;
        }
        // Bits that the result can hold: 53, fewer when subnormal (lowest bit is 2^-1074).
        let precision = 53.min(top + 1074);
        let (rounded, shift) = if precision >= length {
            (self.mantissa as u64, 0)
        } else {
            let shift = (length - precision) as u32;
            (round_shift(self.mantissa, shift, self.inexact) as u64, i64::from(shift))
        };
        let power = self.exponent + shift;
        // Exact in two steps: the result is representable, and the first step stays normal.
        let half = power / 2;
        let value = rounded as f64 * power_of_two(half) * power_of_two(power - half);
        (value.is_finite() && value != 0.0).then_some(value)
    }
}

/// `2^exponent` for exponents of normal doubles.
fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// `value >> shift`, rounded to nearest with ties to even; `inexact` says that something nonzero
/// lies below `value`'s lowest bit.
pub(crate) fn round_shift(value: u128, shift: u32, inexact: bool) -> u128 {
    if shift == 0 {
        return value;
    }
    if shift > 128 {
        return 0;
    }
    let kept = if shift == 128 { 0 } else { value >> shift };
    let half = 1u128 << (shift - 1);
    let dropped = if shift == 128 { value } else { value & ((1u128 << shift) - 1) };
    let up = dropped > half || (dropped == half && (inexact || kept & 1 == 1));
    kept + u128::from(up)
}

/// Writes a double as Redis 7.2 and later show it, and returns the used part of `buf`.
///
/// | value | text |
/// |---|---|
/// | NaN, infinities | `nan`, `inf`, `-inf` |
/// | zeros | `0`, `-0` |
/// | whole and below 2^62 in size | all digits: `100000000000000000` |
/// | `d` digits and `k` trailing zeros, `k < 8` | all digits: `123456789012345680000` |
/// | at most 6 decimals, or exponent within ±3 | `0.00025`, `0.000001`, `1.2345678901` |
/// | otherwise | `1e+22`, `1.5e-7`: exponent with sign, without padding |
pub fn format_f64(value: f64, buf: &mut [u8; F64_TEXT_MAX]) -> &[u8] {
    let mut out = Cursor { buf, len: 0 };
    if value.is_nan() {
        out.put(b"nan");
    } else if value.is_infinite() {
        out.put(if value > 0.0 { b"inf" } else { b"-inf" });
    } else if value == 0.0 {
        out.put(if value.is_sign_negative() { b"-0" } else { b"0" });
    } else if value.abs() <= WHOLE_MAX && value == value.trunc() {
        out.put(itoa::Buffer::new().format(value as i64).as_bytes());
    } else {
        layout_shortest(value, &mut out);
    }
    let len = out.len;
    &buf[..len]
}

/// Whole doubles up to half of `i64::MAX` (rounded to a double: 2^62) are written as integers.
const WHOLE_MAX: f64 = 4_611_686_018_427_387_904.0;

struct Cursor<'a> {
    buf: &'a mut [u8; F64_TEXT_MAX],
    /// `0 <= len <= F64_TEXT_MAX`.
    len: usize,
}

impl Cursor<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.buf[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn zeros(&mut self, count: usize) {
        self.buf[self.len..self.len + count].fill(b'0');
        self.len += count;
    }
}

fn layout_shortest(value: f64, out: &mut Cursor<'_>) {
    let mut shortest = zmij::Buffer::new();
    let (digits, count, power) = decompose(shortest.format_finite(value.abs()).as_bytes());
    let digits = &digits[..count];
    if value < 0.0 {
        out.put(b"-");
    }
    // `power` is that of the last digit, `first_power` that of the first.
    let first_power = power + count as i32 - 1;
    if power >= 0 && first_power < count as i32 + 7 {
        out.put(digits);
        out.zeros(power as usize);
    } else if power < 0 && (power > -7 || first_power.abs() < 4) {
        let whole = count as i32 + power;
        if whole <= 0 {
            out.put(b"0.");
            out.zeros(-whole as usize);
            out.put(digits);
        } else {
            out.put(&digits[..whole as usize]);
            out.put(b".");
            out.put(&digits[whole as usize..]);
        }
    } else {
        out.put(&digits[..1]);
        if count > 1 {
            out.put(b".");
            out.put(&digits[1..]);
        }
        out.put(if first_power < 0 { b"e-" } else { b"e+" });
        out.put(itoa::Buffer::new().format(first_power.unsigned_abs()).as_bytes());
    }
}

/// Splits a printed positive double (`12.5`, `1e+20`, `0.0001`) into its significant digits, their
/// count (1 to 17) and the power of ten of the last one.
fn decompose(text: &[u8]) -> ([u8; 20], usize, i32) {
    let (mut digits, mut count, mut power) = ([0u8; 20], 0, 0i32);
    let mut after_point = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            b'.' => after_point = true,
            b'e' => {
                power += parse_exponent(&text[at + 1..]).unwrap_or(0) as i32;
                break;
            }
            _ => {
                power -= i32::from(after_point);
                // Zeros in front are not significant. More than 20 digits occur only as trailing
                // zeros of a number printed without exponent.
                if byte != b'0' || count > 0 {
                    if count < digits.len() {
                        digits[count] = byte;
                        count += 1;
                    } else {
                        power += 1;
                    }
                }
            }
        }
    }
    while count > 1 && digits[count - 1] == b'0' {
        count -= 1;
        power += 1;
    }
    (digits, count, power)
}

/// Reads an amount of memory: digits, then a unit in any case: none or `b` (1), `k` (1000), `kb`
/// (1024), `m`, `mb`, `g`, `gb`. No digits mean zero, as for the peers (`CONFIG SET maxmemory ""`).
/// `None` on anything else and on overflow.
pub fn parse_memory(text: &[u8]) -> Option<u64> {
    let split = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let mut lower = [0u8; 2];
    let lower = lower.get_mut(..unit.len())?;
    lower.copy_from_slice(unit);
    lower.make_ascii_lowercase();
    let factor: u64 = match &*lower {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let mut value = 0u64;
    for &byte in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    value.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(value: f64) -> String {
        let mut buf = [0; F64_TEXT_MAX];
        String::from_utf8(format_f64(value, &mut buf).to_vec()).unwrap()
    }

    /// Only the canonical spelling is an integer.
    #[test]
    fn integers_have_one_spelling() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("184467440737095516160", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("00", None),
            ("01", None),
            ("-01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("1.0", None),
        ] {
            assert_eq!(parse_i64(text.as_bytes()), value, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    /// What redis-server 7.0.15 takes as a score.
    #[test]
    fn doubles_in() {
        for (text, value) in [
            ("1.", Some(1.0)),
            (".5", Some(0.5)),
            ("+5", Some(5.0)),
            ("-Inf", Some(f64::NEG_INFINITY)),
            ("infinity", Some(f64::INFINITY)),
            ("0x10", Some(16.0)),
            ("0x1p3", Some(8.0)),
            ("0X.8", Some(0.5)),
            ("-0x1.8p+1", Some(-3.0)),
            ("0x1p-1074", Some(5e-324)),
            ("0x0.8p-1074", None),
            ("0x1.8p-1074", Some(1e-323)),
            ("0x1p1024", None),
            ("0x1.fffffffffffff8p1023", None),
            ("0x1.fffffffffffff7fffffffffffp1023", Some(f64::MAX)),
            ("0x20000000000001", Some(9007199254740992.0)),
            ("0x20000000000001.00000000000000000000001", Some(9007199254740994.0)),
            ("0x0p99999999999999999999", Some(0.0)),
            ("1e-320", Some(1e-320)),
            ("0e-999", Some(0.0)),
            ("1e400", None),
            ("1e-400", None),
            ("nan", None),
            ("", None),
            (".", None),
            ("-", None),
            ("+-1", None),
            ("1e", None),
            (" 1", None),
            ("1 ", None),
            ("0x", None),
            ("0x.p1", None),
            ("0x1p", None),
            ("infi", None),
            ("1_0", None),
        ] {
            assert_eq!(parse_f64(text.as_bytes()), value, "{text:?}");
        }
        assert!(parse_f64(b"-0").is_some_and(|v| v == 0.0 && v.is_sign_negative()));
    }

    /// Texts as shown by redis-server 8.0 and valkey-server 9.1.
    #[test]
    fn doubles_out() {
        for (value, text) in [
            (f64::NAN, "nan"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (-3.0, "-3"),
            (1e17, "100000000000000000"),
            (4e18, "4000000000000000000"),
            (5e18, "5e+18"),
            (-5e18, "-5e+18"),
            (1e21, "1e+21"),
            (123456789012345678901.0, "123456789012345680000"),
            (0.1, "0.1"),
            (0.3, "0.3"),
            (0.00001, "0.00001"),
            (0.000001, "0.000001"),
            (0.0000001, "1e-7"),
            (1.5e-5, "0.000015"),
            (1.5e-7, "1.5e-7"),
            (1.23456789e-6, "1.23456789e-6"),
            (0.00123456789, "0.00123456789"),
            (12345.6789012, "1.23456789012e+4"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (3.5, "3.5"),
            (-1234.5, "-1234.5"),
        ] {
            assert_eq!(shown(value), text);
        }
    }

    #[test]
    fn memory_amounts() {
        for (text, value) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2m", Some(2_000_000)),
            ("100mb", Some(104_857_600)),
            ("1g", Some(1_000_000_000)),
            ("1Gb", Some(1 << 30)),
            ("1tb", None),
            ("mb", Some(0)),
            ("", Some(0)),
            ("-1", None),
            ("1.5gb", None),
            ("1 gb", None),
            ("1gbb", None),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("17179869184gb", None),
        ] {
            assert_eq!(parse_memory(text.as_bytes()), value, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn integers_round_trip(n: i64) {
            let mut buf = [0; I64_TEXT_MAX];
            let text = format_i64(n, &mut buf);
            let expected = n.to_string();
            prop_assert_eq!(text, expected.as_bytes());
            prop_assert_eq!(parse_i64(text), Some(n));
        }

        #[test]
        fn any_text_agrees_with_the_canonical_rule(text in "[-+0-9 a]{0,22}") {
            let expected = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
            prop_assert_eq!(parse_i64(text.as_bytes()), expected);
        }

        #[test]
        fn doubles_round_trip(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(!value.is_nan());
            let text = shown(value);
            prop_assert!(text.len() <= 25);
            prop_assert_eq!(parse_f64(text.as_bytes()), Some(value));
        }

        #[test]
        fn decimals_round_trip(n in -1_000_000_000i64..1_000_000_000, shift in 0i32..12) {
            let value = n as f64 / 10f64.powi(shift);
            prop_assert_eq!(parse_f64(shown(value).as_bytes()), Some(value));
        }

        #[test]
        fn random_text_is_a_double_when_std_says_so(text in "[-+]?[0-9.]{0,6}(e[-+]?[0-9]{0,3})?") {
            let std = text.parse::<f64>().ok().filter(|v| v.is_finite());
            let ours = parse_f64(text.as_bytes());
            if ours.is_some() || std != Some(0.0) {
                prop_assert_eq!(ours, std, "{:?}", text);
            }
        }
    }
}
