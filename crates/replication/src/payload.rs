//! The snapshot on its way from a primary.
//!
//! ```text
//! $1234 LF  1234 bytes                      from a file: the size is known
//! $EOF:<40 bytes> LF  bytes  <40 bytes>     as it is made: it ends with the mark that was announced
//! ```
//!
//! The mark may come in pieces, so the last 39 bytes that were received are held back until it is known that
//! they are not the beginning of one. The mark is random, so that it does not occur in the data.

/// Bytes of a mark.
pub const MARK: usize = 40;

/// Where a snapshot ends. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    end: End,
    /// Bytes that were given out.
    given: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// So many bytes are to come.
    After(u64),
    /// It ends with this mark.
    Mark([u8; MARK]),
}

/// What lies at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Bytes of the snapshot.
    pub data: usize,
    /// Bytes that are dealt with; more than `data` when a mark follows it.
    pub consumed: usize,
    /// The snapshot is complete.
    pub is_last: bool,
}

impl Payload {
    /// From the line that announces it, without `$` and the line's end. None: it is no such line.
    pub fn announced(line: &[u8]) -> Option<Self> {
        let end = match line.strip_prefix(b"EOF:") {
            Some(mark) => End::Mark(mark.try_into().ok()?),
            None => End::After(ochre_base::num::parse_u64(line)?),
        };
        Some(Self { end, given: 0 })
    }

    /// Its size, when it is known.
    pub fn total(&self) -> Option<u64> {
        match self.end {
            End::After(left) => Some(self.given + left),
            End::Mark(_) => None,
        }
    }

    /// Bytes that were given out so far.
    pub fn given(&self) -> u64 {
        self.given
    }

    /// Whether the primary waits for a first acknowledgement before it sends its stream.
    pub fn is_marked(&self) -> bool {
        matches!(self.end, End::Mark(_))
    }

    /// Takes what lies at the start of `bytes`, which are those not consumed yet and newer ones.
    pub fn take(&mut self, bytes: &[u8]) -> Part {
        let part = match &mut self.end {
            End::After(left) => {
                let data = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= data as u64;
                Part { data, consumed: data, is_last: *left == 0 }
            }
            End::Mark(mark) => match find(bytes, mark) {
                Some(at) => Part { data: at, consumed: at + MARK, is_last: true },
                None => {
                    let data = bytes.len().saturating_sub(MARK - 1);
                    Part { data, consumed: data, is_last: false }
                }
            },
        };
        self.given += part.data as u64;
        part
    }
}

/// Where the mark lies. Its first byte is looked for, and then the rest is compared.
fn find(bytes: &[u8], mark: &[u8; MARK]) -> Option<usize> {
    let last = bytes.len().checked_sub(MARK)?;
    let mut at = 0;
    while at <= last {
        at += bytes[at..=last].iter().position(|byte| *byte == mark[0])?;
        if bytes[at..at + MARK] == mark[..] {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_announce_nothing_are_refused() {
        for line in [&b""[..], b"x", b"-1", b"EOF:", b"EOF:short", b"99999999999999999999"] {
            assert_eq!(Payload::announced(line), None, "{line:?}");
        }
        assert_eq!(Payload::announced(b"12").and_then(|p| p.total()), Some(12));
    }

    #[test]
    fn a_mark_is_found_however_the_bytes_are_cut() {
        let mark: Vec<u8> = (0..40).map(|n| b'a' + n % 26).collect();
        let line = [b"EOF:", &mark[..]].concat();
        // Its beginning occurs in the data.
        let data = [b"REDIS0011", &mark[..39], b"ab", &mark[..20], b"tail"].concat();
        let all = [&data[..], &mark[..], b"*1\r\n"].concat();
        for first in 0..all.len() {
            for second in first..all.len() {
                let mut payload = Payload::announced(&line).unwrap();
                let (mut held, mut out) = (Vec::new(), Vec::new());
                let mut rest = None;
                for piece in [&all[..first], &all[first..second], &all[second..]] {
                    held.extend_from_slice(piece);
                    if rest.is_some() {
                        continue;
                    }
                    let part = payload.take(&held);
                    out.extend_from_slice(&held[..part.data]);
                    held.drain(..part.consumed);
                    if part.is_last {
                        rest = Some(());
                    }
                }
                assert_eq!((out.as_slice(), held.as_slice()), (&data[..], &b"*1\r\n"[..]));
                assert_eq!(payload.given(), data.len() as u64);
            }
        }
    }
}
