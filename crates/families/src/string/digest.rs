//! DIGEST: a fingerprint of a string, so that clients compare large values without sending them.
//!
//! The digest is XXH3 with 64 bits and seed 0, written as 16 lower-case hexadecimal digits, leading
//! zeros included. It is no secret and no proof: whoever chooses the values can make two digests
//! equal. SET and DELEX compare by it (IFDEQ, IFDNE), whatever the case of the digits.
//!
//! Cost: O(N) in the length of the string; nothing is stored. Source: documentation of Redis 8.4;
//! XXH3 as specified by xxHash 0.8.

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::Ctx;
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use xxhash_rust::xxh3::xxh3_64;

use super::bytes;

/// Digits of a digest.
pub(super) const LEN: usize = 16;

/// The row of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("digest", 2, Flags::READONLY.union(Flags::FAST), Group::String, digest)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .docs(
            "8.4.0",
            "Gives the hash digest of a string as a hexadecimal number.",
            "O(N) where N is the length of the string value.",
            "key",
        )];

/// The digest of a string, as text.
pub(super) fn of(text: &[u8]) -> [u8; LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut rest = xxh3_64(text);
    let mut digits = [0; LEN];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest & 15) as usize];
        rest >>= 4;
    }
    digits
}

fn digest(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    match ctx.data.text(key)? {
        None => ctx.reply.null(),
        Some(text) => ctx.reply.bulk(of(bytes(text, &mut [0; I64_TEXT_MAX]))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn digests_of_known_strings() {
        // The empty string: XXH3's published vector. The others: Redis' documentation and issue
        // redis/redis#14496 (leading zeros).
        let zeros: &[u8] =
            b"v8lf0c11xh8ymlqztfd3eeq16kfn4sspw7fqmnuuq3k3t75em5wdizgcdw7uc26nnf961u2jkfzkjytls2\
kwlj7626sd";
        for (text, expected) in [
            (&b""[..], "2d06800538d394c2"),
            (b"Hello world", "b6acb9d84a38ff74"),
            (zeros, "00006c38adf31777"),
        ] {
            let mut bench = Bench::new();
            bench.run_args(&[b"SET", b"k", text]);
            assert_eq!(bench.run("DIGEST k"), format!("$16|{expected}|"));
        }
    }

    #[test]
    fn digests_of_every_form() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("DIGEST none"), "$-1|");
        bench.run("SET n 12345");
        bench.run("SET r 123");
        bench.run("APPEND r 45");
        assert_eq!(bench.run("DIGEST n"), bench.run("DIGEST r"));
        bench.run_args(&[b"SET", b"large", &[b'x'; 40_000]]);
        assert_eq!(bench.run("DIGEST large").len(), 21);
        bench.run("ZADD z 1 a");
        assert!(bench.run("DIGEST z").starts_with("-WRONGTYPE"));
    }
}
