//! Passwords: only their SHA-256 digests are kept, and digests are compared in constant time.

use std::fmt;

use sha2::{Digest as _, Sha256};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// SHA-256 of a password.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a password.
    pub fn of(password: &[u8]) -> Self {
        Self(Sha256::digest(password).into())
    }

    /// A digest from its 64 digits; upper case is refused, as the peers do.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let digit = |byte: u8| HEX.iter().position(|hex| *hex == byte).map(|at| at as u8);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Whether it is one of `known`. The time depends on their number only: each is compared, and
    /// each to its end.
    pub fn is_among(&self, known: &[Digest]) -> bool {
        known.iter().fold(0u8, |found, other| {
            let differs = self.0.iter().zip(other.0).fold(0u8, |acc, (a, b)| acc | (a ^ b));
            // 1 when nothing differs, without a branch.
            found | (u16::from(differs).wrapping_sub(1) >> 15) as u8
        }) != 0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Digests are as good as passwords to whoever can try many: they do not belong into a log.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

/// Lower-case hexadecimal digits of random bytes for ACL GENPASS: one for each four bits asked for,
/// rounded up.
pub fn digits(random: &[u8], bits: usize) -> String {
    let both = random.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    both.take(bits.div_ceil(4)).map(|digit| char::from(HEX[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_sha_256_and_read_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string(), ABC);
        assert_eq!(Digest::parse(ABC.as_bytes()), Some(digest));
        assert_eq!(Digest::parse(ABC.to_uppercase().as_bytes()), None);
        assert_eq!(Digest::parse(&ABC.as_bytes()[1..]), None);
        assert_eq!(Digest::parse(&[b'g'; 64]), None);
    }

    #[test]
    fn a_digest_is_found_among_others_only_when_it_is_there() {
        let known: Vec<Digest> = [&b"a"[..], b"b", b"c"].map(Digest::of).to_vec();
        assert!(Digest::of(b"a").is_among(&known) && Digest::of(b"c").is_among(&known));
        assert!(!Digest::of(b"d").is_among(&known) && !Digest::of(b"a").is_among(&[]));
    }

    #[test]
    fn generated_passwords_have_a_digit_for_four_bits() {
        assert_eq!(digits(&[0xAB, 0xCD], 5), "ab");
        assert_eq!(digits(&[0xAB, 0xCD], 9), "abc");
        assert_eq!(digits(&[0xAB], 1), "a");
    }
}
