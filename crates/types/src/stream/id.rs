//! The id of an entry: milliseconds and a number within them.
//!
//! As text `ms-seq`, both decimal and unsigned; ids are ordered as the pair is. Source: Redis 7.2,
//! "Streams", entry IDs.

/// An entry's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct StreamId {
    /// Unix time in milliseconds, or whatever the client says.
    pub ms: u64,
    /// Number among the entries of the same millisecond.
    pub seq: u64,
}

/// Room for the text of any id.
pub type IdText = [u8; 41];

impl StreamId {
    /// The lowest id, which no entry has.
    pub const MIN: Self = Self { ms: 0, seq: 0 };
    /// The highest id.
    pub const MAX: Self = Self { ms: u64::MAX, seq: u64::MAX };

    /// The id `ms-seq`.
    pub const fn new(ms: u64, seq: u64) -> Self {
        Self { ms, seq }
    }

    /// The id that follows; none after the highest.
    pub const fn next(self) -> Option<Self> {
        match (self.seq.checked_add(1), self.ms.checked_add(1)) {
            (Some(seq), _) => Some(Self { ms: self.ms, seq }),
            (None, Some(ms)) => Some(Self { ms, seq: 0 }),
            (None, None) => None,
        }
    }

    /// The id before; none before the lowest.
    pub const fn previous(self) -> Option<Self> {
        match (self.seq.checked_sub(1), self.ms.checked_sub(1)) {
            (Some(seq), _) => Some(Self { ms: self.ms, seq }),
            (None, Some(ms)) => Some(Self { ms, seq: u64::MAX }),
            (None, None) => None,
        }
    }

    /// Reads `ms-seq`, or `ms` alone with `missing_seq` for the rest.
    pub fn parse(text: &[u8], missing_seq: u64) -> Option<Self> {
        match text.iter().position(|&byte| byte == b'-') {
            Some(dash) => {
                let (ms, seq) = (&text[..dash], &text[dash + 1..]);
                Some(Self { ms: number(ms)?, seq: number(seq)? })
            }
            None => Some(Self { ms: number(text)?, seq: missing_seq }),
        }
    }

    /// The id as text.
    pub fn text(self, room: &mut IdText) -> &[u8] {
        let mut at = room.len();
        at = digits_before(room, at, self.seq);
        at -= 1;
        room[at] = b'-';
        at = digits_before(room, at, self.ms);
        &room[at..]
    }

    /// The id as text in a buffer of its own.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut [0; 41]).to_vec()
    }
}

/// A number in decimal; leading zeros are allowed, as with the peers.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 100 {
        return None;
    }
    text.iter().try_fold(0_u64, |n, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Writes a number so that it ends before `at`; gives where it begins. Twenty digits are the most.
fn digits_before(room: &mut IdText, mut at: usize, mut n: u64) -> usize {
    loop {
        at -= 1;
        room[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return at;
        }
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_neighbours() {
        for id in [StreamId::MIN, StreamId::MAX, StreamId::new(5, 0), StreamId::new(0, u64::MAX)] {
            assert_eq!(id.to_vec(), id.to_string().into_bytes());
            assert_eq!(StreamId::parse(&id.to_vec(), 9), Some(id));
            assert_eq!(id.next().and_then(StreamId::previous), id.next().map(|_| id));
        }
        assert_eq!(StreamId::parse(b"7", 9), Some(StreamId::new(7, 9)));
        for bad in ["", "-", "1-", "-1", "1-2-3", "x", "1-x", "18446744073709551616", "+1-1"] {
            assert_eq!(StreamId::parse(bad.as_bytes(), 0), None, "{bad}");
        }
        assert_eq!(StreamId::parse(b"007-01", 9), Some(StreamId::new(7, 1)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::MIN.previous(), None);
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::new(2, 0).previous(), Some(StreamId::new(1, u64::MAX)));
    }
}
