//! One record at the start of some bytes: a command, or a note.
//!
//! ```text
//! command   "*" count CRLF  [ "$" length CRLF  length bytes  CRLF ] x count
//! note      "#" anything CRLF
//! ```
//!
//! The form is the one that requests have, without their liberties: no inline commands, no empty ones, numbers
//! of digits only. Nothing is copied and values are passed over by their lengths, so that a record costs what
//! its arguments are in number, not in bytes.

use std::ops::Range;

use crate::notes;

/// Longest line that holds a number, with its end: more digits than a length may have.
const LINE_MAX: usize = 24;
/// Longest argument, in bytes: more than any server takes.
const ARGUMENT_MAX: usize = 1 << 31;

/// What stands at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A command, of so many bytes.
    Command(usize),
    /// A note, of so many bytes.
    Note(usize),
    /// The bytes end within it.
    Incomplete,
    /// It is neither; with what is wrong.
    Broken(&'static str),
}

/// Looks at the start of `bytes`; the arguments' places in it are put into `args`.
pub fn record(bytes: &[u8], args: &mut Vec<Range<usize>>) -> Record {
    args.clear();
    match bytes.first() {
        None => Record::Incomplete,
        Some(b'#') => match notes::note(bytes) {
            Some(length) if length > 0 => Record::Note(length),
            _ => Record::Incomplete,
        },
        Some(b'*') => match command(bytes, args) {
            Ok(length) => Record::Command(length),
            Err(why) => why,
        },
        Some(_) => Record::Broken("a command begins with '*'"),
    }
}

fn command(bytes: &[u8], args: &mut Vec<Range<usize>>) -> Result<usize, Record> {
    let (count, mut at) = number(bytes, 0)?;
    if count == 0 {
        return Err(Record::Broken("a command has a name"));
    }
    for _ in 0..count {
        match bytes.get(at) {
            None => return Err(Record::Incomplete),
            Some(b'$') => {}
            Some(_) => return Err(Record::Broken("an argument begins with '$'")),
        }
        let (length, start) = number(bytes, at)?;
        if length > ARGUMENT_MAX {
            return Err(Record::Broken("an argument is too long"));
        }
        let end = start + length;
        match bytes.get(end..end + 2) {
            Some(b"\r\n") => {}
            Some(_) => return Err(Record::Broken("an argument ends with a line's end")),
            None => return Err(Record::Incomplete),
        }
        args.push(start..end);
        at = end + 2;
    }
    Ok(at)
}

/// The number behind the letter at `at`, and where the line after it begins.
fn number(bytes: &[u8], at: usize) -> Result<(usize, usize), Record> {
    let line = &bytes[at + 1..bytes.len().min(at + LINE_MAX)];
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = line[..digits]
        .iter()
        .try_fold(0_usize, |n, digit| n.checked_mul(10)?.checked_add(usize::from(digit - b'0')));
    match (&line[digits..], number) {
        (_, None) => Err(Record::Broken("a number is too large")),
        ([b'\r', b'\n', ..], Some(number)) if digits > 0 => Ok((number, at + 1 + digits + 2)),
        ([] | [b'\r'], _) if line.len() + 1 < LINE_MAX => Err(Record::Incomplete),
        _ => Err(Record::Broken("a number was expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_whole_or_not_at_all() {
        let set = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n*1\r\n";
        let mut args = Vec::new();
        assert_eq!(record(set, &mut args), Record::Command(set.len()));
        let words: Vec<&[u8]> = args.iter().map(|range| &set[range.clone()]).collect();
        assert_eq!(words, [&b"SET"[..], b"k", b"\r\n*1"]);
        for end in 0..set.len() {
            assert_eq!(record(&set[..end], &mut args), Record::Incomplete, "cut at {end}");
        }
        assert_eq!(record(b"#TS:5\r\n*1", &mut args), Record::Note(7));
        assert_eq!(record(b"#TS:5\r", &mut args), Record::Incomplete);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bytes in [
            &b"PING\r\n"[..],
            b"*0\r\n",
            b"*-1\r\n",
            b"*x\r\n",
            b"*1\n$4\r\nPING\r\n",
            b"*1\r\n+4\r\nPING\r\n",
            b"*1\r\n$4\r\nPINGx\r\n",
            b"*1\r\n$99999999999999999999999\r\n",
            b"*1\r\n$9999999999\r\n",
            b"*111111111111111111111111111111",
            b"\0",
        ] {
            let found = record(bytes, &mut Vec::new());
            let shown = String::from_utf8_lossy(bytes);
            assert!(matches!(found, Record::Broken(_)), "{shown:?}: {found:?}");
        }
    }
}
