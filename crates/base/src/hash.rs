//! The one hasher: rapidhash with a secret of this process, so that a client that chooses keys
//! cannot choose their buckets.
//!
//! rapidhash is "minimally" resistant to chosen-key attacks: enough against a client that cannot
//! see hashes (SCAN cursors show bucket order of the client's own keys only). The key is set once,
//! before the first table exists; tests that want a fixed order call [`seed`] first.

use std::sync::OnceLock;

static KEY: OnceLock<rapidhash::v3::RapidSecrets> = OnceLock::new();

/// Sets the process' hash key. Returns false, and changes nothing, when hashing has begun.
pub fn seed(key: u64) -> bool {
    KEY.set(rapidhash::v3::RapidSecrets::seed(key)).is_ok()
}

/// The keyed 64-bit hash of `bytes`. All bits are usable.
#[inline]
pub fn hash(bytes: &[u8]) -> u64 {
    let secrets = KEY.get_or_init(unseeded);
    rapidhash::v3::rapidhash_v3_inline::<true, false, false>(bytes, secrets)
}

/// The key of a process that never called [`seed`]: from the standard library's random state.
#[cold]
fn unseeded() -> rapidhash::v3::RapidSecrets {
    use std::hash::{BuildHasher, Hasher};
    let state = std::collections::hash_map::RandomState::new();
    rapidhash::v3::RapidSecrets::seed(state.build_hasher().finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differs_by_content_and_length() {
        assert_eq!(hash(b"abc"), hash(b"abc"));
        assert_ne!(hash(b"abc"), hash(b"abd"));
        assert_ne!(hash(b""), hash(b"\0"));
    }
}
