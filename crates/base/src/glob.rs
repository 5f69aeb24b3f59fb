//! Glob patterns as KEYS, SCAN, PSUBSCRIBE, CONFIG GET and ACL rules use them, on bytes.
//!
//! | pattern | matches |
//! |---|---|
//! | `*` | any bytes, also none |
//! | `?` | one byte |
//! | `[abc]`, `[a-z]`, `[^...]` | one byte of the class, or outside it; `\` takes the next byte as it is |
//! | `\x` | the byte `x`; a backslash at the end is itself |
//!
//! Peculiarities of the peers that are kept: a class that is not closed ends with the pattern;
//! `[]` matches nothing and `[^]` anything; a range may be given backwards and may swallow the
//! bracket (`[a-]` is an unclosed class from `]` to `a`); a byte escaped inside a class ignores
//! the case option; the empty text is matched by the empty pattern only, not by `*`.
//!
//! The idea: of all stars only the last one passed need be retried, since an earlier one that
//! takes more bytes can only leave less for the rest. Two positions are remembered, there is no
//! recursion. Cost: O(text * pattern) at worst, no pattern is exponential; a literal behind a star
//! is searched for with `memchr`.
//!
//! Source: behaviour of redis-server 7.0.15 (7.2 is the same).

/// Whether upper and lower case (ASCII) differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    Sensitive,
    /// They do not.
    Ignored,
}

/// Whether the whole of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8], case: Case) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut p, mut t) = (0, 0);
    // Behind the last star, and the text position from which it was last tried.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            while pattern.get(p) == Some(&b'*') {
                p += 1;
            }
            if p == pattern.len() {
                return true;
            }
            star = Some((p, t));
            continue;
        }
        match text.get(t) {
            // The star test above has passed over the stars behind.
            None => return p == pattern.len(),
            Some(&byte) => {
                if let Some(next) = step(pattern, p, byte, case) {
                    p = next;
                    t += 1;
                    continue;
                }
            }
        }
        let Some((behind, tried)) = star else {
            return false;
        };
        let Some(from) = next_candidate(pattern[behind], text, tried + 1, case) else {
            return false;
        };
        star = Some((behind, from));
        p = behind;
        t = from;
    }
}

/// Whether the pattern is a lone star. KEYS and SCAN leave the test out then, so that there, and
/// only there, it matches the empty text as well.
pub fn is_match_all(pattern: &[u8]) -> bool {
    pattern == b"*"
}

/// Whether the pattern has no special byte, so that it matches only itself.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|b| b"*?[\\".contains(b))
}

/// The first text position from `from` on where a pattern that begins with `first` may match.
fn next_candidate(first: u8, text: &[u8], from: usize, case: Case) -> Option<usize> {
    let rest = text.get(from..)?;
    if case == Case::Ignored || matches!(first, b'?' | b'[' | b'\\') {
        return (!rest.is_empty()).then_some(from);
    }
    memchr::memchr(first, rest).map(|found| from + found)
}

/// Matches one byte against the pattern element at `p`, which is not a star: the index behind the
/// element.
fn step(pattern: &[u8], p: usize, byte: u8, case: Case) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => {
            let (inside, next) = class(pattern, p + 1, byte, case);
            inside.then_some(next)
        }
        b'\\' if p + 1 < pattern.len() => same(pattern[p + 1], byte, case).then_some(p + 2),
        literal => same(literal, byte, case).then_some(p + 1),
    }
}

fn same(a: u8, b: u8, case: Case) -> bool {
    a == b || (case == Case::Ignored && a.eq_ignore_ascii_case(&b))
}

fn fold(byte: u8, case: Case) -> u8 {
    match case {
        Case::Sensitive => byte,
        Case::Ignored => byte.to_ascii_lowercase(),
    }
}

/// Reads the class whose content begins at `p`: whether `byte` is in it, and the index behind.
fn class(pattern: &[u8], mut p: usize, byte: u8, case: Case) -> (bool, usize) {
    let negated = pattern.get(p) == Some(&b'^');
    p += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[p.min(pattern.len())..] {
            // Not closed: it ends with the pattern.
            [] => return (found != negated, pattern.len()),
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                p += 2;
            }
            [b']', ..] => return (found != negated, p + 1),
            [from, b'-', to, ..] => {
                let (low, high) = if from <= to { (from, to) } else { (to, from) };
                found |= (fold(low, case)..=fold(high, case)).contains(&fold(byte, case));
                p += 3;
            }
            [single, ..] => {
                found |= same(single, byte, case);
                p += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Each case-sensitive pair was tried on redis-server 7.0.15 with KEYS and SCAN over one key
    /// (which take the pattern `*` as a shortcut that even matches the empty key).
    #[test]
    fn pairs_as_the_peer_matches_them() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", false),
            ("**", "", false),
            ("", "a", false),
            ("*", "a", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("a*?", "a", false),
            ("h?llo", "hello", true),
            ("h*llo", "heeeello", true),
            ("h*llo", "heeeellp", false),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("[]", "a", false),
            ("[]a]", "a", false),
            ("[^]", "a", true),
            ("[^]a", "ba", true),
            ("[", "a", false),
            ("[", "[", false),
            ("[a", "a", true),
            ("[abc", "c", true),
            ("[^", "a", true),
            ("[a-", "a", true),
            ("[a-", "-", true),
            ("[a-]", "a", true),
            ("[a-]", "^", true),
            ("[a-]", "-", false),
            ("[a-]x", "ax", false),
            ("[\\]]", "]", true),
            ("[\\]", "\\", false),
            ("[\\]", "]", true),
            ("[\\", "\\", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("a\\", "a\\", true),
            ("\\\\", "\\", true),
            ("a", "A", false),
        ] {
            let (p, t) = (pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(p, t, Case::Sensitive), expected, "{pattern} {text}");
        }
        for (pattern, text, expected) in [
            ("HELLO*", "helloX", true),
            ("h[A-C]", "hb", true),
            ("h[\\B]", "hb", false),
            ("h[B]", "hb", true),
            ("*B*", "abc", true),
        ] {
            let (p, t) = (pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(p, t, Case::Ignored), expected, "{pattern} {text}");
        }
    }

    /// Many stars over a long text of one letter: exponential in a naive matcher.
    #[test]
    fn pathological_patterns_end() {
        let text = vec![b'a'; 20_000];
        let pattern = [b"a*".repeat(50), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &text, Case::Sensitive));
        assert!(!matches(&pattern, &text, Case::Ignored));
    }

    /// The definition, by recursion.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.first() {
            None => text.is_empty(),
            Some(b'*') => (0..=text.len()).any(|skip| model(&pattern[1..], &text[skip..])),
            Some(_) => text.split_first().is_some_and(|(&byte, rest)| {
                step(pattern, 0, byte, Case::Sensitive)
                    .is_some_and(|next| model(&pattern[next..], rest))
            }),
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*?\\[\\]^\\\\-]{0,9}", text in "[ab\\]-]{1,8}") {
            let (p, t) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(p, t, Case::Sensitive), model(p, t), "{} {}", pattern, text);
        }
    }
}
