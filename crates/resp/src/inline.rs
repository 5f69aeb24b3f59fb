//! The inline form of a command: words on a line, quoted like in a shell.
//!
//! Words are separated by blanks. `"..."` understands `\n \r \t \b \a \xHH`, and a backslash
//! before any other byte stands for that byte; `'...'` understands only `\'`. A quote may open in
//! the middle of a word, but after it closes a blank or the end must follow. A NUL byte ends the
//! line.
//!
//! The text is unquoted *in place*: no word is longer than its spelling, so the write position
//! never passes the read position, nothing is allocated, and the words are ranges of the same
//! buffer. One pass, linear.
//!
//! Source: behaviour of redis-server 7.0.15 (its configuration file uses the same rules). Valkey
//! 9 lets a word go on after a closing quote; this follows 7.2, which refuses it.

use crate::request::{ArgRange, Args};

/// A quote was not closed, or something other than a blank followed a closing quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnbalancedQuotes;

/// Splits `line` (without its line feed) into words and appends their ranges to `args`. The line
/// must be shorter than 4 GB. On an error `args` and the line's bytes are left half-way.
pub fn split_in_place(line: &mut [u8], args: &mut Args) -> Result<(), UnbalancedQuotes> {
    let end = memchr::memchr(0, line).unwrap_or(line.len());
    let line = &mut line[..end];
    let mut at = 0;
    loop {
        while line.get(at).is_some_and(|&b| is_blank(b)) {
            at += 1;
        }
        if at == line.len() {
            return Ok(());
        }
        let (len, next) = word(line, at)?;
        args.push(ArgRange { start: at as u32, len: len as u32 });
        at = next;
    }
}

/// What C calls space; vertical tab and form feed separate words but do not end one.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Whether a closing quote may stand before this: the end or a blank.
fn may_follow_quote(next: Option<&u8>) -> bool {
    next.is_none_or(|&b| is_blank(b))
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Double,
    Single,
}

/// Unquotes the word that starts at `start`, in place: `(length, index after it)`.
fn word(line: &mut [u8], start: usize) -> Result<(usize, usize), UnbalancedQuotes> {
    let (mut read, mut write, mut quote) = (start, start, Quote::None);
    loop {
        let Some(&byte) = line.get(read) else {
            return match quote {
                Quote::None => Ok((write - start, read)),
                _ => Err(UnbalancedQuotes),
            };
        };
        let (kept, used) = match (quote, byte) {
            (Quote::None, b' ' | b'\n' | b'\r' | b'\t') => return Ok((write - start, read)),
            (Quote::None, b'"') => {
                quote = Quote::Double;
                (None, 1)
            }
            (Quote::None, b'\'') => {
                quote = Quote::Single;
                (None, 1)
            }
            (Quote::Double, b'\\') => escape(&line[read..]),
            (Quote::Single, b'\\') if line.get(read + 1) == Some(&b'\'') => (Some(b'\''), 2),
            (Quote::Double, b'"') | (Quote::Single, b'\'') => {
                if !may_follow_quote(line.get(read + 1)) {
                    return Err(UnbalancedQuotes);
                }
                return Ok((write - start, read + 1));
            }
            (_, byte) => (Some(byte), 1),
        };
        if let Some(kept) = kept {
            line[write] = kept;
            write += 1;
        }
        read += used;
    }
}

/// Reads an escape inside double quotes, at its backslash: the byte it stands for and its length.
fn escape(text: &[u8]) -> (Option<u8>, usize) {
    match *text {
        [_, b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            (Some(hex(high) << 4 | hex(low)), 4)
        }
        [_, b'n', ..] => (Some(b'\n'), 2),
        [_, b'r', ..] => (Some(b'\r'), 2),
        [_, b't', ..] => (Some(b'\t'), 2),
        [_, b'b', ..] => (Some(0x08), 2),
        [_, b'a', ..] => (Some(0x07), 2),
        [_, other, ..] => (Some(other), 2),
        // A backslash at the end: the quote stays open, which the caller reports.
        _ => (Some(b'\\'), 1),
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
        let mut line = line.to_vec();
        let mut args = Args::new();
        split_in_place(&mut line, &mut args)?;
        Ok(args.iter().map(|a| a.of(&line).to_vec()).collect())
    }

    /// Each line was sent to redis-server 7.0.15.
    #[test]
    fn words_as_the_peer_reads_them() {
        for (line, words) in [
            (&b""[..], Some(&[][..])),
            (b" \t ", Some(&[])),
            (b"PING", Some(&[&b"PING"[..]])),
            (b"  a  b ", Some(&[b"a", b"b"])),
            (b"a\x0bb", Some(&[b"a\x0bb"])),
            (b"a\r", Some(&[b"a"])),
            (b"a\0b c", Some(&[b"a"])),
            (b"''", Some(&[b""])),
            (b"\"\" x", Some(&[b"", b"x"])),
            (b"a\"b c\"", Some(&[b"ab c"])),
            (b"'a\\'b'", Some(&[b"a'b"])),
            (b"'a\"b\\n'", Some(&[b"a\"b\\n"])),
            (b"\"\\x41\\n\\r\\t\\b\\a\\q\\xZZ\"", Some(&[b"A\n\r\t\x08\x07qxZZ"])),
            (b"\"a\"b", None),
            (b"'a'b", None),
            (b"\"abc", None),
            (b"a\\\"b", None),
            (b"\"a\\", None),
            (b"'a", None),
        ] {
            let words = words.map(|w| w.iter().map(|w| w.to_vec()).collect::<Vec<_>>());
            assert_eq!(split(line).ok(), words, "{:?}", String::from_utf8_lossy(line));
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..12), 0..6),
        ) {
            let mut line = Vec::new();
            for word in &words {
                line.push(b'"');
                for byte in word {
                    line.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
                }
                line.extend_from_slice(b"\" ");
            }
            prop_assert_eq!(split(&line), Ok(words));
        }

        #[test]
        fn random_lines_never_panic(
            line in prop::collection::vec(prop::sample::select(&b"ab \\\"'\tx4\0"[..]), 0..30),
        ) {
            let _ = split(&line);
        }
    }
}
