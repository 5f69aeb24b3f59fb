//! Bits one by one, counted and searched: SETBIT, GETBIT, BITCOUNT, BITPOS.
//!
//! A range has its ends in bytes or bits, both included, and counted from the end when negative.

use std::ops::Range;

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::Ctx;
use ochre_command::args::{Cursor, int, is};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::bitmap;

use super::{bit_offset, lend_bytes, text_bytes};

const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const WRITES: KeySpec =
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE));

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("setbit", 4, Flags::WRITE.union(Flags::DENYOOM), Group::Bitmap, setbit)
        .keys(&[WRITES])
        .docs(
            "2.2.0",
            "Sets or clears a bit of a string, which grows as far as needed.",
            "O(1)",
            "key offset value",
        ),
    CommandSpec::new("getbit", 3, Flags::READONLY.union(Flags::FAST), Group::Bitmap, getbit)
        .keys(&[READS])
        .docs("2.2.0", "Gives a bit of a string.", "O(1)", "key offset"),
    CommandSpec::new("bitcount", -2, Flags::READONLY, Group::Bitmap, bitcount).keys(&[READS]).docs(
        "2.6.0",
        "Counts the bits that are set in a string or a part of it.",
        "O(N)",
        "key [start [end [BYTE | BIT]]]",
    ),
    CommandSpec::new("bitpos", -3, Flags::READONLY, Group::Bitmap, bitpos).keys(&[READS]).docs(
        "2.8.7",
        "Finds the first bit that is set, or clear, in a string or a part of it.",
        "O(N)",
        "key bit [start [end [BYTE | BIT]]]",
    ),
];

// HOT PATH: one look-up and one byte changed in place.
fn setbit(ctx: &mut Ctx<'_>) -> Result {
    const BAD_BIT: ReplyError = ReplyError::fixed("ERR bit is not an integer or out of range");
    let at = bit_offset(ctx, ctx.args[2])?;
    let on = match ctx.args[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(BAD_BIT),
    };
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    let old_len = match slot {
        Some(slot) => text_bytes(ctx.data.text_at(key, slot)?, &mut [0; I64_TEXT_MAX]).len(),
        None => 0,
    };
    let len = (at / 8) as usize + 1;
    let was = lend_bytes(&mut ctx.data, key, slot, len, |text| bitmap::set_bit(text, at, on))?;
    if was != on || old_len < len {
        ctx.data.changed(key, Class::String, "setbit");
    }
    ctx.reply.integer(i64::from(was));
    Ok(())
}

fn getbit(ctx: &mut Ctx<'_>) -> Result {
    let at = bit_offset(ctx, ctx.args[2])?;
    let key = ctx.key(1);
    let mut room = [0; I64_TEXT_MAX];
    let text = ctx.data.text(key)?.map_or(&[][..], |text| text_bytes(text, &mut room));
    ctx.reply.integer(i64::from(bitmap::bit(text, at)));
    Ok(())
}

/// The part of a string that is looked at.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: i64,
    end: i64,
    /// The end was given.
    bounded: bool,
    /// Bits of a unit: 8 or 1.
    unit: u64,
}

impl Part {
    fn parse(args: &[&[u8]], at: usize) -> Result<Self> {
        let mut cursor = Cursor::new(args, at);
        let start = cursor.take_next().map(int).transpose()?;
        let end = cursor.take_next().map(int).transpose()?;
        let unit = match cursor.take_next() {
            None => 8,
            Some(word) if is(word, "bit") => 1,
            Some(word) if is(word, "byte") => 8,
            Some(_) => return Err(outcome::SYNTAX),
        };
        if cursor.left() > 0 {
            return Err(outcome::SYNTAX);
        }
        let bounded = end.is_some();
        Ok(Self { start: start.unwrap_or(0), end: end.unwrap_or(-1), bounded, unit })
    }

    /// The bits of the part, in a string of so many bytes; none when it is empty.
    fn bits(self, len: usize) -> Option<Range<u64>> {
        let units = (len as u64 * 8 / self.unit) as i64;
        let from_end = |at: i64| if at < 0 { at.saturating_add(units).max(0) } else { at };
        let (start, end) = (from_end(self.start), from_end(self.end).min(units - 1));
        if start > end {
            return None;
        }
        Some(start as u64 * self.unit..(end as u64 + 1) * self.unit)
    }
}

fn bitcount(ctx: &mut Ctx<'_>) -> Result {
    let part = Part::parse(ctx.args, 2)?;
    let key = ctx.key(1);
    let mut room = [0; I64_TEXT_MAX];
    let text = ctx.data.text(key)?.map_or(&[][..], |text| text_bytes(text, &mut room));
    // Negative ends that are crossed may both lie before the string, and would meet at its start:
    // there BITPOS looks, and BITCOUNT does not.
    let crossed = part.start < 0 && part.end < 0 && part.start > part.end;
    let bits = part.bits(text.len()).filter(|_| !crossed);
    let count = bits.map_or(0, |bits| bitmap::count_range(text, bits));
    ctx.reply.integer(count as i64);
    Ok(())
}

fn bitpos(ctx: &mut Ctx<'_>) -> Result {
    const BAD_BIT: ReplyError = ReplyError::fixed("ERR The bit argument must be 1 or 0.");
    let wanted = match int(ctx.args[2])? {
        0 => false,
        1 => true,
        _ => return Err(BAD_BIT),
    };
    let part = Part::parse(ctx.args, 3)?;
    let key = ctx.key(1);
    let Some(text) = ctx.data.text(key)? else {
        // An absent key is zeros without end.
        ctx.reply.integer(if wanted { -1 } else { 0 });
        return Ok(());
    };
    let mut room = [0; I64_TEXT_MAX];
    let text = text_bytes(text, &mut room);
    let found = match part.bits(text.len()) {
        None => None,
        Some(bits) => {
            let behind = (!wanted && !part.bounded).then_some(text.len() as u64 * 8);
            bitmap::position(text, bits, wanted).or(behind)
        }
    };
    ctx.reply.integer(found.map_or(-1, |at| at as i64));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn bits_of_every_form_of_string() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("SETBIT k 7 1"), ":0|");
        assert_eq!(bench.run("GET k"), "$1|\u{1}|");
        assert_eq!(bench.run("SETBIT k 7 1"), ":1|");
        assert_eq!(bench.run("SETBIT k 7 0"), ":1|");
        assert_eq!(bench.run("SETBIT k 15 0"), ":0|");
        assert_eq!(bench.run("STRLEN k"), ":2|");
        assert_eq!(bench.run("OBJECT ENCODING k"), "$3|raw|");
        bench.run("SET n 12");
        assert_eq!(bench.run("GETBIT n 3"), ":1|");
        assert_eq!(bench.run("SETBIT n 6 1"), ":0|");
        assert_eq!(bench.run("GET n"), "$2|32|");
        assert_eq!(bench.run("OBJECT ENCODING n"), "$3|raw|");
        assert_eq!(bench.run("SETBIT large 100000 1"), ":0|");
        assert_eq!(bench.run("SETBIT large 3 1"), ":0|");
        assert_eq!(bench.run("SETBIT large 200000 0"), ":0|");
        assert_eq!(bench.run("STRLEN large"), ":25001|");
        assert_eq!(bench.run("BITCOUNT large"), ":2|");
        assert_eq!(bench.run("GETBIT large 100000"), ":1|");
        assert_eq!(bench.run("GETBIT large 4000000000"), ":0|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SETBIT k 7 1; SETBIT k 7 0; SETBIT k 15 0; SET n 12; SETBIT n 6 1; \
             SETBIT large 100000 1; SETBIT large 3 1; SETBIT large 200000 0"
        );
    }

    #[test]
    fn an_expiry_stays() {
        let mut bench = Bench::new();
        bench.run("SET k 5 EX 100");
        bench.run("SETBIT k 20 1");
        assert_eq!(bench.run("TTL k"), ":100|");
        bench.run("SETBIT k 50000 1");
        assert_eq!(bench.run("TTL k"), ":100|");
    }

    #[test]
    fn counting_a_part() {
        let mut bench = Bench::new();
        bench.run("SET k foobar");
        for (part, count) in [
            ("", 26),
            ("0", 26),
            ("-2", 7),
            ("0 0", 4),
            ("1 1 byte", 6),
            ("5 30 BIT", 17),
            ("-8 -1 bit", 4),
            ("-1 -3", 0),
            ("5 -10", 0),
            ("100 200", 0),
            ("-9223372036854775808 9223372036854775807", 26),
        ] {
            assert_eq!(bench.run(&format!("BITCOUNT k {part}")), format!(":{count}|"), "{part}");
        }
        assert_eq!(bench.run("BITCOUNT none"), ":0|");
        assert_eq!(bench.run("BITCOUNT k 0 1 foo"), "-ERR syntax error|");
        assert_eq!(bench.run("BITCOUNT k 0 1 bit x"), "-ERR syntax error|");
    }

    #[test]
    fn searching() {
        let mut bench = Bench::new();
        bench.run_args(&[b"SET", b"k", b"\xff\xf0\x00"]);
        bench.run_args(&[b"SET", b"ones", b"\xff\xff"]);
        for (args, at) in [
            ("k 0", 12),
            ("k 1", 0),
            ("k 1 2", -1),
            ("k 0 0 0", -1),
            ("k 0 -1", 16),
            ("k 1 13 20 BIT", -1),
            ("k 1 7 15 bit", 7),
            ("ones 0", 16),
            ("ones 0 0", 16),
            ("ones 0 0 -1", -1),
            ("ones 0 5", -1),
            ("ones 1 -47 -53", 0),
            ("none 0", 0),
            ("none 1", -1),
        ] {
            assert_eq!(bench.run(&format!("BITPOS {args}")), format!(":{at}|"), "{args}");
        }
    }

    #[test]
    fn refusals() {
        let mut bench = Bench::new();
        bench.run("RPUSH l a");
        let offset = "-ERR bit offset is not an integer or out of range|";
        for args in ["k -1 1", "k x 1", "k 4294967296 1", "k 9223372036854775808 1"] {
            assert_eq!(bench.run(&format!("SETBIT {args}")), offset);
        }
        assert_eq!(bench.run("SETBIT k 0 2"), "-ERR bit is not an integer or out of range|");
        assert_eq!(bench.run("BITPOS k 2"), "-ERR The bit argument must be 1 or 0.|");
        for line in ["SETBIT l 0 1", "GETBIT l 0", "BITCOUNT l", "BITPOS l 1"] {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
    }
}
