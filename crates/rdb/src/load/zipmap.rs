//! Zipmaps: what small hashes were before Redis 2.6.
//!
//! ```text
//! zipmap    [ fields:u8, 254 when not known ][ field ]...[ FF ]
//! field     [ length ][ name ][ length ][ unused:u8 ][ value ][ unused bytes ]
//! length    u8 below 254, or FE u32
//! ```
//!
//! Source: the published description of the format ("zipmap" in the RDB file format documents).

use crate::error::{LoadError, Result};

const END: u8 = 0xFF;
const LONG: u8 = 0xFE;
const BROKEN: LoadError = LoadError::Corrupt("zipmap");

/// Gives each field with its value to `each`.
pub(super) fn walk(bytes: &[u8], mut each: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let (&said, mut rest) = bytes.split_first().ok_or(BROKEN)?;
    let mut seen = 0_usize;
    loop {
        if rest == [END] {
            let counted = said >= LONG || usize::from(said) == seen;
            return if counted { Ok(()) } else { Err(BROKEN) };
        }
        let name = take_string(&mut rest, false).ok_or(BROKEN)?;
        let value = take_string(&mut rest, true).ok_or(BROKEN)?;
        each(name, value)?;
        seen += 1;
    }
}

/// A string from the front; a value has unused bytes behind it.
fn take_string<'a>(rest: &mut &'a [u8], is_value: bool) -> Option<&'a [u8]> {
    let len = match take(rest, 1)? {
        [END] => return None,
        [LONG] => u32::from_le_bytes(*take(rest, 4)?.first_chunk()?) as usize,
        short => usize::from(*short.first()?),
    };
    let unused = if is_value { usize::from(*take(rest, 1)?.first()?) } else { 0 };
    let text = take(rest, len)?;
    take(rest, unused)?;
    Some(text)
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_and_refuses() {
        let good = b"\x02\x03foo\x03\x01barx\x01a\xFE\x02\0\0\0\0zz\xFF";
        let mut found = Vec::new();
        walk(good, |name, value| {
            found.push((name.to_vec(), value.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(found, [(b"foo".to_vec(), b"bar".to_vec()), (b"a".to_vec(), b"zz".to_vec())]);
        for cut in 0..good.len() {
            assert!(walk(&good[..cut], |_, _| Ok(())).is_err());
        }
        assert!(walk(b"\x03\x03foo\x03\0bar\xFF", |_, _| Ok(())).is_err(), "wrong count");
        assert!(walk(b"\0\xFF", |_, _| Ok(())).is_ok());
    }
}
