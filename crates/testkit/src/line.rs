//! Command lines in, short texts of replies out: what a person reads and writes in a script.
//!
//! Words are split at blanks. `"..."` takes `\n \r \t \" \\ \xHH`, `'...'` takes only `\'`. Outside
//! quotes `<text*count>` stands for `text` repeated, so that a long value stays readable. The rules
//! are those of redis-cli, written apart from `resp::inline` on purpose: a test must not lean on
//! the code that it tests.

use crate::Value;
use std::fmt::Write;

/// The words of a command line. Panics on an open quote, which is a slip in the test's text.
pub fn words(line: &str) -> Vec<Vec<u8>> {
    let mut rest = line.as_bytes();
    let mut words = Vec::new();
    loop {
        while let [b' ' | b'\t', tail @ ..] = rest {
            rest = tail;
        }
        if rest.is_empty() {
            return words;
        }
        let (word, tail) = word(rest, line);
        words.push(word);
        rest = tail;
    }
}

/// One word off the front.
fn word<'a>(mut rest: &'a [u8], line: &str) -> (Vec<u8>, &'a [u8]) {
    let mut word = Vec::new();
    loop {
        match rest {
            [] | [b' ' | b'\t', ..] => return (word, rest),
            [b'"', tail @ ..] => rest = double_quoted(tail, &mut word, line),
            [b'\'', tail @ ..] => rest = single_quoted(tail, &mut word, line),
            [b'<', tail @ ..] => match repeated(tail) {
                Some((text, tail)) => {
                    word.extend(text);
                    rest = tail;
                }
                None => {
                    word.push(b'<');
                    rest = tail;
                }
            },
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
        }
    }
}

/// `text*count>` behind an opening `<`.
fn repeated(rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = rest.iter().position(|&b| b == b'>')?;
    let star = rest[..end].iter().rposition(|&b| b == b'*')?;
    let count: usize = std::str::from_utf8(&rest[star + 1..end]).ok()?.parse().ok()?;
    Some((rest[..star].repeat(count), &rest[end + 1..]))
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>, line: &str) -> &'a [u8] {
    loop {
        match rest {
            [b'"', tail @ ..] => return tail,
            [b'\\', b'x', high, low, tail @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                rest = tail;
            }
            [b'\\', byte, tail @ ..] => {
                word.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    other => *other,
                });
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
            [] => panic!("open quote in the test's line: {line}"),
        }
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>, line: &str) -> &'a [u8] {
    loop {
        match rest {
            [b'\'', tail @ ..] => return tail,
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [byte, tail @ ..] => {
                word.push(*byte);
                rest = tail;
            }
            [] => panic!("open quote in the test's line: {line}"),
        }
    }
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// A command as text that [`words`] reads back.
pub fn quoted<A: AsRef<[u8]>>(args: &[A]) -> String {
    let words: Vec<String> = args.iter().map(|arg| quoted_word(arg.as_ref())).collect();
    words.join(" ")
}

fn quoted_word(word: &[u8]) -> String {
    let plain = |b: &u8| b.is_ascii_graphic() && !b"\"'\\<".contains(b);
    if !word.is_empty() && word.iter().all(plain) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut text = String::from("\"");
    for &byte in word {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text.push('"');
    text
}

/// Bytes shown of one string of a reply.
const SHOWN_BYTES_MAX: usize = 400;

/// A reply as one line: `OK` for a status, `"x"` for a bulk string, `(int) 1`, `(err) ERR ..`,
/// `[a, b]`, `{k: v}`, `~[..]` for a set, `>[..]` for a push, `(nil)` for the bulk null,
/// `(nil-array)`, `(null)` for RESP3's.
pub fn show(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    let map = |pairs: &[(Value, Value)]| {
        let pairs: Vec<_> =
            pairs.iter().map(|(k, v)| format!("{}: {}", show(k), show(v))).collect();
        pairs.join(", ")
    };
    match value {
        Value::Status(text) => clipped(text, ""),
        Value::Error(text) => format!("(err) {}", clipped(text, "")),
        Value::BulkError(text) => format!("(bulk-err) {}", clipped(text, "")),
        Value::Integer(n) => format!("(int) {n}"),
        Value::Bulk(text) => clipped(text, "\""),
        Value::NullBulk => "(nil)".into(),
        Value::NullArray => "(nil-array)".into(),
        Value::Null => "(null)".into(),
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Set(items) => format!("~[{}]", list(items)),
        Value::Push(items) => format!(">[{}]", list(items)),
        Value::Map(pairs) => format!("{{{}}}", map(pairs)),
        Value::Double(value) => format!("(double) {value:?}"),
        Value::Boolean(value) => format!("(bool) {value}"),
        Value::BigNumber(text) => format!("(big) {}", clipped(text, "")),
        Value::Verbatim { format, text } => {
            format!("(verbatim {}) {}", format.escape_ascii(), clipped(text, "\""))
        }
        Value::Attributed { attribute, value } => {
            format!("|{{{}}} {}", map(attribute), show(value))
        }
    }
}

fn clipped(text: &[u8], quote: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return format!("{quote}{}{quote}", escaped(text));
    }
    let head = escaped(&text[..SHOWN_BYTES_MAX]);
    format!("{quote}{head}{quote}... ({} bytes)", text.len())
}

/// Text with what cannot be printed escaped; a single quote can be.
fn escaped(text: &[u8]) -> String {
    text.escape_ascii().to_string().replace("\\'", "'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_redis_cli_reads_them() {
        assert_eq!(words("  SET k  v "), [b"SET".to_vec(), b"k".to_vec(), b"v".to_vec()]);
        assert_eq!(words(r#""a\x00\"b" 'c d'"#), [b"a\0\"b".to_vec(), b"c d".to_vec()]);
        assert_eq!(words(r#"x "" y<ab*3>z <"#).len(), 4);
        assert_eq!(words("y<ab*3>z"), [b"yabababz".to_vec()]);
        assert!(words("").is_empty());
    }

    #[test]
    fn quoting_reads_back() {
        let args: Vec<Vec<u8>> =
            vec![b"".to_vec(), b"plain".to_vec(), (0..=255).collect(), b"a<b*2>".to_vec()];
        assert_eq!(words(&quoted(&args)), args);
    }
}
