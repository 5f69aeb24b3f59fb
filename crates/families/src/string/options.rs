//! The options of SET, DELEX, GETEX and MSETEX, and times given as seconds or milliseconds.
//!
//! Options may come in any order and may repeat; those that exclude each other are a syntax error.
//! A time is resolved to absolute milliseconds only after the whole syntax was read, as upstream
//! does: it decides which error wins.

use ochre_base::clock::Millis;
use ochre_command::args::{Cursor, int, is};
use ochre_command::outcome::{self, ReplyError, Result};

use super::digest;

/// A digest that cannot be one.
const BAD_DIGEST: ReplyError = ReplyError::fixed("ERR must be exactly 16 hexadecimal characters");

/// How a command's argument gives a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now: EX.
    Seconds,
    /// Milliseconds from now: PX.
    Millis,
    /// Unix time in seconds: EXAT.
    UnixSeconds,
    /// Unix time in milliseconds: PXAT.
    UnixMillis,
}

impl Unit {
    /// The unit that an option's word stands for.
    pub(super) fn of(word: &[u8]) -> Option<Self> {
        let unit = match word.len() {
            2 if is(word, "ex") => Self::Seconds,
            2 if is(word, "px") => Self::Millis,
            4 if is(word, "exat") => Self::UnixSeconds,
            4 if is(word, "pxat") => Self::UnixMillis,
            _ => return None,
        };
        Some(unit)
    }

    /// The moment that `text` gives, in Unix milliseconds. `command` is for the error text.
    pub(super) fn resolve(self, text: &[u8], now: Millis, command: &str) -> Result<Millis> {
        let n = int(text)?;
        let ms = match self {
            Self::Seconds | Self::UnixSeconds => n.checked_mul(1000),
            Self::Millis | Self::UnixMillis => Some(n),
        };
        let at = match self {
            Self::Seconds | Self::Millis => ms.and_then(|ms| ms.checked_add(now)),
            Self::UnixSeconds | Self::UnixMillis => ms,
        };
        at.filter(|_| n > 0).ok_or_else(|| outcome::bad_expiry(command))
    }
}

/// What becomes of the key's expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Expiry<'a> {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// A new one, its text not read yet.
    New(Unit, &'a [u8]),
}

impl Expiry<'_> {
    /// The new expiry, if one was given.
    pub(super) fn resolve(self, now: Millis, command: &str) -> Result<Option<Millis>> {
        match self {
            Self::New(unit, text) => unit.resolve(text, now, command).map(Some),
            Self::Unsaid | Self::Keep | Self::Persist => Ok(None),
        }
    }
}

/// When a value is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Condition<'a> {
    /// In any case.
    #[default]
    Always,
    /// NX: when there is no key.
    Absent,
    /// XX: when there is one.
    Present,
    /// IFEQ: when the key holds this string.
    Equals(&'a [u8]),
    /// IFNE: when it does not; an absent key holds nothing.
    Differs(&'a [u8]),
    /// IFDEQ: when this is the digest of what the key holds.
    Digests(&'a [u8]),
    /// IFDNE: when it is not; an absent key has no digest.
    DigestsNot(&'a [u8]),
}

impl<'a> Condition<'a> {
    /// Whether a word begins a condition on the string that the key holds.
    pub(super) fn is_comparison(word: &[u8]) -> bool {
        ["ifeq", "ifne", "ifdeq", "ifdne"].iter().any(|known| is(word, known))
    }

    /// The condition of a word and what stands behind it; none if it is no such word.
    pub(super) fn comparison(word: &[u8], wanted: &'a [u8]) -> Option<Self> {
        Some(match () {
            () if is(word, "ifeq") => Self::Equals(wanted),
            () if is(word, "ifne") => Self::Differs(wanted),
            () if is(word, "ifdeq") => Self::Digests(wanted),
            () if is(word, "ifdne") => Self::DigestsNot(wanted),
            () => return None,
        })
    }

    /// Refuses a digest of the wrong length. Nothing else is asked of it, as upstream does: what is
    /// no hexadecimal number equals no digest.
    pub(super) fn check(self) -> Result {
        match self {
            Self::Digests(text) | Self::DigestsNot(text) if text.len() != digest::LEN => {
                Err(BAD_DIGEST)
            }
            _ => Ok(()),
        }
    }

    /// Whether the condition looks at the string that the key holds.
    pub(super) fn compares(self) -> bool {
        matches!(self, Self::Equals(_) | Self::Differs(_) | Self::Digests(_) | Self::DigestsNot(_))
    }

    /// Whether a key that holds this string meets the condition.
    pub(super) fn holds_for(self, text: &[u8]) -> bool {
        match self {
            Self::Always | Self::Present => true,
            Self::Absent => false,
            Self::Equals(wanted) => text == wanted,
            Self::Differs(wanted) => text != wanted,
            Self::Digests(wanted) => digest::of(text).eq_ignore_ascii_case(wanted),
            Self::DigestsNot(wanted) => !digest::of(text).eq_ignore_ascii_case(wanted),
        }
    }

    /// Whether an absent key meets the condition.
    pub(super) fn holds_for_none(self) -> bool {
        !matches!(self, Self::Present | Self::Equals(_) | Self::Digests(_))
    }
}

/// Which command's options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Syntax {
    /// SET: all but PERSIST.
    Set,
    /// GETEX: a time or PERSIST.
    GetEx,
    /// MSETEX: NX, XX, KEEPTTL or a time.
    MsetEx,
}

/// The options of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Options<'a> {
    /// When to set.
    pub(super) condition: Condition<'a>,
    /// Whether the old value is the reply.
    pub(super) get: bool,
    /// What becomes of the expiry.
    pub(super) expiry: Expiry<'a>,
}

impl<'a> Options<'a> {
    /// Reads the options from argument `at` to the end.
    pub(super) fn parse(args: &'a [&'a [u8]], at: usize, syntax: Syntax) -> Result<Self> {
        let mut options = Self::default();
        let mut cursor = Cursor::new(args, at);
        while let Some(word) = cursor.take_next() {
            let known = match syntax {
                Syntax::GetEx => is(word, "persist") && options.say(Expiry::Persist),
                Syntax::Set | Syntax::MsetEx => {
                    options.take_condition(word, &mut cursor, syntax)
                        || is(word, "keepttl") && options.say(Expiry::Keep)
                }
            };
            if !known && !options.take_time(word, &mut cursor) {
                return Err(outcome::SYNTAX);
            }
        }
        options.condition.check()?;
        Ok(options)
    }

    fn take_condition(&mut self, word: &[u8], cursor: &mut Cursor<'a>, syntax: Syntax) -> bool {
        use Condition::{Absent, Always, Present};
        if is(word, "nx") && matches!(self.condition, Always | Absent) {
            self.condition = Absent;
        } else if is(word, "xx") && matches!(self.condition, Always | Present) {
            self.condition = Present;
        } else if syntax == Syntax::MsetEx {
            return false;
        } else if is(word, "get") {
            self.get = true;
        } else if Condition::is_comparison(word) && self.condition == Always {
            let condition =
                cursor.take_next().and_then(|wanted| Condition::comparison(word, wanted));
            let Some(condition) = condition else { return false };
            self.condition = condition;
        } else {
            return false;
        }
        true
    }

    fn take_time(&mut self, word: &[u8], cursor: &mut Cursor<'a>) -> bool {
        let Some(unit) = Unit::of(word) else { return false };
        // The same unit may be given twice, and the last one counts.
        let fits = match self.expiry {
            Expiry::Unsaid => true,
            Expiry::New(given, _) => given == unit,
            Expiry::Keep | Expiry::Persist => false,
        };
        match cursor.take_next() {
            Some(text) if fits => {
                self.expiry = Expiry::New(unit, text);
                true
            }
            _ => false,
        }
    }

    fn say(&mut self, expiry: Expiry<'a>) -> bool {
        let fits = self.expiry == Expiry::Unsaid || self.expiry == expiry;
        self.expiry = expiry;
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(words: &'a [&'a [u8]], syntax: Syntax) -> Option<Options<'a>> {
        Options::parse(words, 0, syntax).ok()
    }

    #[test]
    fn options_repeat_but_do_not_contradict() {
        let set = |words| parse(words, Syntax::Set);
        assert_eq!(set(&[]), Some(Options::default()));
        assert!(set(&[b"NX", b"nx", b"GET", b"get", b"EX", b"1", b"ex", b"2"]).is_some());
        let contradictions: [&[&[u8]]; 12] = [
            &[b"IFNE", b"a", b"IFEQ", b"a"],
            &[b"IFDNE", b"0123456789abcdef", b"XX"],
            &[b"IFDEQ", b"0123456789abcde"],
            &[b"NX", b"XX"],
            &[b"EX", b"1", b"PX", b"1"],
            &[b"KEEPTTL", b"EX", b"1"],
            &[b"EX", b"1", b"KEEPTTL"],
            &[b"IFEQ", b"a", b"NX"],
            &[b"IFEQ", b"a", b"IFEQ", b"a"],
            &[b"IFEQ"],
            &[b"EX"],
            &[b"PERSIST"],
        ];
        for words in contradictions {
            assert_eq!(set(words), None, "{words:?}");
        }
    }

    #[test]
    fn each_syntax_has_its_words() {
        assert!(parse(&[b"PERSIST", b"persist"], Syntax::GetEx).is_some());
        for words in [[&b"KEEPTTL"[..]], [b"NX"], [b"GET"]] {
            assert_eq!(parse(&words, Syntax::GetEx), None);
        }
        assert!(parse(&[b"XX", b"KEEPTTL"], Syntax::MsetEx).is_some());
        for words in [[&b"PERSIST"[..], b""], [b"GET", b""], [b"IFEQ", b"a"]] {
            assert_eq!(parse(&words, Syntax::MsetEx), None);
        }
    }

    #[test]
    fn times_are_positive_and_do_not_overflow() {
        let at = |unit: Unit, text: &str| unit.resolve(text.as_bytes(), 1000, "set");
        assert_eq!(at(Unit::Seconds, "5"), Ok(6000));
        assert_eq!(at(Unit::Millis, "5"), Ok(1005));
        assert_eq!(at(Unit::UnixSeconds, "5"), Ok(5000));
        assert_eq!(at(Unit::UnixMillis, "5"), Ok(5));
        assert_eq!(at(Unit::Seconds, "x"), Err(outcome::NOT_INTEGER));
        for (unit, text) in [
            (Unit::Seconds, "0"),
            (Unit::UnixMillis, "-1"),
            (Unit::Seconds, "9223372036854775807"),
            (Unit::Millis, "9223372036854775807"),
            (Unit::UnixSeconds, "9223372036854775"),
        ] {
            let expected = match (unit, text) {
                (Unit::UnixSeconds, _) => Ok(9_223_372_036_854_775_000),
                _ => Err(outcome::bad_expiry("set")),
            };
            assert_eq!(at(unit, text), expected, "{text}");
        }
    }
}
