//! The first line of a script or library: `#!lua name=lib flags=no-writes,allow-oom`.
//!
//! Source: "Eval scripts" and "Functions" of the Redis documentation; texts of redis-server 7.0.15.

/// What a script may do, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// It runs no command that writes.
    pub const NO_WRITES: Self = Self(1);
    /// It may run when memory is short.
    pub const ALLOW_OOM: Self = Self(2);
    /// It may run on a replica with stale data.
    pub const ALLOW_STALE: Self = Self(4);
    /// It does not run in cluster mode.
    pub const NO_CLUSTER: Self = Self(8);
    /// It may use keys of several slots.
    pub const ALLOW_CROSS_SLOT: Self = Self(16);

    /// Whether all bits of `other` are set.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.iter().filter(move |(_, flag)| self.has(*flag)).map(|(name, _)| *name)
    }
}

/// All flags, in the order in which FUNCTION LIST names them.
const NAMES: &[(&str, Flags)] = &[
    ("no-writes", Flags::NO_WRITES),
    ("allow-oom", Flags::ALLOW_OOM),
    ("allow-stale", Flags::ALLOW_STALE),
    ("no-cluster", Flags::NO_CLUSTER),
    ("allow-cross-slot-keys", Flags::ALLOW_CROSS_SLOT),
];

/// The text for a name that is none.
pub const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and \
                            must be at least one character long";

/// A flag by its name.
pub fn flag(name: &[u8]) -> Option<Flags> {
    NAMES.iter().find(|(known, _)| known.as_bytes() == name).map(|(_, flag)| *flag)
}

/// Whether a library or function may be called so.
pub fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// The first line and the rest, which begins with the line end so that lines keep their numbers.
fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|&b| b == b'\n')?;
    Some((&text[..end], &text[end..]))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// An EVAL script's flags (none: it has no such line, and runs by the old rules) and its code.
pub fn script(text: &[u8]) -> Result<(Option<Flags>, &[u8]), String> {
    if !text.starts_with(b"#!") {
        return Ok((None, text));
    }
    let (line, body) = split(text).ok_or("ERR Invalid script shebang")?;
    let mut words = words(line);
    let engine = words.next().unwrap_or_default();
    if engine != b"#!lua" {
        return Err(format!("ERR Unexpected engine in script shebang: {}", lossy(engine)));
    }
    let mut flags = Flags::default();
    for word in words {
        let Some(list) = word.strip_prefix(b"flags=") else {
            return Err(format!("ERR Unknown lua shebang option: {}", lossy(word)));
        };
        for name in list.split(|&b| b == b',').filter(|name| !name.is_empty()) {
            let Some(flag) = flag(name) else {
                return Err(format!("ERR Unexpected flag in script shebang: {}", lossy(name)));
            };
            flags.0 |= flag.0;
        }
    }
    Ok((Some(flags), body))
}

/// A library's name and code.
pub fn library(text: &[u8]) -> Result<(String, &[u8]), String> {
    if !text.starts_with(b"#!") {
        return Err("ERR Missing library metadata".into());
    }
    let (line, body) = split(text).ok_or("ERR Invalid library metadata")?;
    let mut words = words(&line[2..]);
    let engine = words.next().unwrap_or_default();
    let mut name = None;
    for word in words {
        let Some(value) = word.strip_prefix(b"name=") else {
            return Err(format!("ERR Invalid metadata value given: {}", lossy(word)));
        };
        // Quotes may stand around it.
        let value =
            value.strip_prefix(b"\"").and_then(|inner| inner.strip_suffix(b"\"")).unwrap_or(value);
        if name.replace(value).is_some() {
            return Err("ERR Invalid metadata value, name argument was given multiple times".into());
        }
    }
    if !engine.eq_ignore_ascii_case(b"lua") && name.is_none() {
        return Err(format!("ERR Engine '{}' not found", lossy(engine)));
    }
    let name = name.ok_or("ERR Library name was not given")?;
    if !is_name(name) {
        return Err(format!("ERR {BAD_NAME}"));
    }
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(format!("ERR Engine '{}' not found", lossy(engine)));
    }
    Ok((lossy(name), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts() {
        assert_eq!(script(b"return 1"), Ok((None, &b"return 1"[..])));
        assert_eq!(script(b"#!lua\nreturn 1"), Ok((Some(Flags(0)), &b"\nreturn 1"[..])));
        let (flags, _) = script(b"#!lua  flags=no-writes,allow-oom\nx").unwrap();
        assert_eq!(flags, Some(Flags(3)));
        assert_eq!(flags.unwrap().names().collect::<Vec<_>>(), ["no-writes", "allow-oom"]);
        for (text, error) in [
            (&b"#!lua"[..], "ERR Invalid script shebang"),
            (b"#!luax\n", "ERR Unexpected engine in script shebang: #!luax"),
            (b"#!lua name=x\n", "ERR Unknown lua shebang option: name=x"),
            (b"#!lua flags=xx\n", "ERR Unexpected flag in script shebang: xx"),
        ] {
            assert_eq!(script(text), Err(error.to_owned()));
        }
    }

    #[test]
    fn libraries() {
        assert_eq!(library(b"#!LUA name=l_1\nx"), Ok(("l_1".to_owned(), &b"\nx"[..])));
        for (text, error) in [
            (&b"x"[..], "ERR Missing library metadata"),
            (b"#!lua name=x", "ERR Invalid library metadata"),
            (b"#!lua\n", "ERR Library name was not given"),
            (
                b"#!lua name=a name=b\n",
                "ERR Invalid metadata value, name argument was given multiple times",
            ),
            (b"#!lua name=a x=b\n", "ERR Invalid metadata value given: x=b"),
            (b"#!foo name=a\n", "ERR Engine 'foo' not found"),
        ] {
            assert_eq!(library(text), Err(error.to_owned()));
        }
        assert!(library(b"#!lua name=a-b\n").unwrap_err().ends_with(BAD_NAME));
    }
}
