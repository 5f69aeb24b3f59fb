//! Patterns, beside a plain recursive matcher for those without brackets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ochre_base::glob::{Case, matches};

/// `*`, `?` and literals only.
fn plainly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            plainly(rest, text)
                || text.split_first().is_some_and(|(_, tail)| plainly(pattern, tail))
        }
        (Some((b'?', rest)), Some((_, tail))) => plainly(rest, tail),
        (Some((p, rest)), Some((t, tail))) => p == t && plainly(rest, tail),
        _ => false,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&at, rest)) = data.split_first() else { return };
    let (pattern, text) = rest.split_at(usize::from(at).min(rest.len()));
    let found = matches(pattern, text, Case::Sensitive);
    matches(pattern, text, Case::Ignored);
    let is_plain = !pattern.iter().any(|byte| b"[]\\^".contains(byte));
    let is_short = pattern.iter().filter(|byte| **byte == b'*').count() < 4 && text.len() < 30;
    // Nothing but the empty pattern matches the empty text, as the peers have it.
    if is_plain && is_short && !text.is_empty() {
        assert_eq!(found, plainly(pattern, text));
    }
});
