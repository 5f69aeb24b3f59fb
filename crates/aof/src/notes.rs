//! Notes between the commands of an append-only file: lines that begin with `#` and are not commands.
//!
//! The one that is written is the time, `#TS:<unix seconds>\r\n`, for recovery to a point in time
//! (aof-timestamp-enabled). Others are passed over. They stand at the start of a record only.

/// The note of a time, in Unix seconds.
pub fn time(unix_s: i64) -> Vec<u8> {
    format!("#TS:{unix_s}\r\n").into_bytes()
}

/// The length of the note at the start of `bytes`; none when there is none, 0 when it is not complete.
pub fn note(bytes: &[u8]) -> Option<usize> {
    if bytes.first() != Some(&b'#') {
        return None;
    }
    let end = bytes.windows(2).position(|pair| pair == b"\r\n");
    Some(end.map_or(0, |at| at + 2))
}

/// The time that a note tells, in Unix seconds; none when it tells something else.
pub fn time_of(note: &[u8]) -> Option<i64> {
    let text = note.strip_prefix(b"#TS:")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_lines() {
        assert_eq!(time(1_700_000_000), b"#TS:1700000000\r\n");
        assert_eq!(time_of(&time(-5)), Some(-5));
        assert_eq!(time_of(b"#TS:x\r\n"), None);
        assert_eq!(time_of(b"# words\r\n"), None);
        assert_eq!(note(b"*1\r\n"), None);
        assert_eq!(note(b""), None);
        assert_eq!(note(b"#TS:5\r\n*1\r\n"), Some(7));
        assert_eq!(note(b"#TS:5\r"), Some(0));
    }
}
