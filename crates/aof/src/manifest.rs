//! The manifest: which files make up the append-only file, in order.
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b
//! file appendonly.aof.4.incr.aof seq 4 type i
//! ```
//!
//! One line a file: its name (in double quotes and with escapes when it has blanks or what cannot be printed), its
//! sequence number, and its type: `b` the base (at most one), `i` an increment (ascending numbers, applied in that
//! order), `h` history, which a rewrite has replaced and which may be deleted. Other pairs of words may follow and
//! are passed over. Lines that begin with `#` are comments. A line has at most 1022 bytes; an empty line or a text
//! without lines is no manifest, since either tells of a file that was damaged.
//!
//! Source: the documentation of Redis 7's multi-part append-only file, and files of redis-server 7.0.15.

use std::fmt::{self, Write as _};

/// Bytes of a line, as the peers read them.
const LINE_MAX: usize = 1022;

const FORM: &str = "Invalid AOF manifest file format";

/// What a file of the append-only file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The state that the increments begin with.
    Base,
    /// Commands since.
    Increment,
    /// Replaced by a rewrite.
    History,
}

impl Part {
    fn letter(self) -> char {
        match self {
            Self::Base => 'b',
            Self::Increment => 'i',
            Self::History => 'h',
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without a folder.
    pub name: String,
    /// Its number, from 1.
    pub seq: u64,
    /// What it is.
    pub part: Part,
}

/// See the module's head.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// The base, if there is one.
    pub base: Option<Entry>,
    /// Increments by ascending number.
    pub increments: Vec<Entry>,
    /// Files to be deleted.
    pub history: Vec<Entry>,
}

/// A line that is no line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong.
    pub why: &'static str,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the manifest: {}", self.line, self.why)
    }
}

impl std::error::Error for Invalid {}

impl Manifest {
    /// Reads a manifest.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut manifest = Self::default();
        if text.is_empty() {
            return Err(Invalid { line: 0, why: "Found an empty AOF manifest" });
        }
        for (at, line) in text.lines().enumerate() {
            let invalid = |why| Invalid { line: at + 1, why };
            if line.len() > LINE_MAX {
                return Err(invalid("The AOF manifest file contains too long line"));
            }
            if line.starts_with('#') {
                continue;
            }
            let entry = entry(line).map_err(invalid)?;
            match entry.part {
                Part::Base if manifest.base.is_some() => {
                    return Err(invalid("Found duplicate base file information"));
                }
                Part::Base => manifest.base = Some(entry),
                Part::History => manifest.history.push(entry),
                Part::Increment => {
                    let ascends =
                        manifest.increments.last().is_none_or(|last| last.seq < entry.seq);
                    if !ascends {
                        return Err(invalid("Found a non-monotonic sequence number"));
                    }
                    manifest.increments.push(entry);
                }
            }
        }
        Ok(manifest)
    }

    /// The highest number of an increment.
    pub fn last_increment(&self) -> u64 {
        let kept = self.increments.last().map_or(0, |entry| entry.seq);
        let gone = self.history.iter().filter(|e| e.name.contains(".incr.")).map(|e| e.seq).max();
        kept.max(gone.unwrap_or(0))
    }

    /// The number of the base.
    pub fn base_number(&self) -> u64 {
        let gone = self.history.iter().filter(|e| e.name.contains(".base.")).map(|e| e.seq).max();
        self.base.as_ref().map_or(0, |base| base.seq).max(gone.unwrap_or(0))
    }

    /// Adds the next increment of `stem`, and gives its name.
    pub fn add_increment(&mut self, stem: &str) -> String {
        let seq = self.last_increment() + 1;
        let name = format!("{stem}.{seq}.incr.aof");
        self.increments.push(Entry { name: name.clone(), seq, part: Part::Increment });
        name
    }

    /// The name of the next base of `stem`.
    pub fn next_base(&self, stem: &str) -> Entry {
        let seq = self.base_number() + 1;
        Entry { name: format!("{stem}.{seq}.base.rdb"), seq, part: Part::Base }
    }

    /// A new base takes the place of the old one and of the increments before number `from`, which
    /// become history.
    pub fn replace_base(&mut self, base: Entry, from: u64) {
        let old = self.base.replace(base).into_iter();
        let (gone, kept) = self.increments.drain(..).partition(|entry| entry.seq < from);
        self.increments = kept;
        let gone: Vec<Entry> = gone;
        self.history.extend(old.chain(gone).map(|entry| Entry { part: Part::History, ..entry }));
    }
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in self.base.iter().chain(&self.history).chain(&self.increments) {
            let plain = |c: char| !c.is_whitespace() && !c.is_control() && !"\"'\\".contains(c);
            let name =
                if entry.name.chars().all(plain) { &entry.name } else { &quoted(&entry.name) };
            writeln!(f, "file {name} seq {} type {}", entry.seq, entry.part.letter())?;
        }
        Ok(())
    }
}

/// A name in double quotes, with the escapes of the peers' quoting rules, so that it stays on one line.
fn quoted(name: &str) -> String {
    let mut out = String::from("\"");
    for c in name.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            // Writing to a text cannot fail.
            c if c.is_ascii_control() => drop(write!(out, "\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn entry(line: &str) -> Result<Entry, &'static str> {
    let rest = line.strip_prefix("file ").ok_or(FORM)?;
    let (name, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted).ok_or(FORM)?,
        None => {
            let (name, rest) = rest.split_once(' ').ok_or(FORM)?;
            (name.to_owned(), rest)
        }
    };
    let (mut seq, mut part) = (None, None);
    let mut words = rest.split_whitespace();
    while let Some(key) = words.next() {
        let value = words.next().ok_or(FORM)?;
        match key {
            "seq" => seq = value.parse().ok().filter(|seq| *seq > 0),
            "type" => {
                part = Some(match value {
                    "b" => Part::Base,
                    "i" => Part::Increment,
                    "h" => Part::History,
                    _ => return Err("Unknown AOF file type"),
                });
            }
            // Offsets of the replication stream, by Redis 8: of no use here.
            _ => {}
        }
    }
    // A name with a folder could reach files elsewhere.
    if name.is_empty() || name.contains('/') {
        return Err("File can't be a path, just a filename");
    }
    Ok(Entry { name, seq: seq.ok_or(FORM)?, part: part.ok_or(FORM)? })
}

/// A name in double quotes, of which the first is passed, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, text[at + 1..].trim_start())),
            '\\' => name.push(match chars.next()?.1 {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'a' => '\u{7}',
                'b' => '\u{8}',
                'x' => {
                    let (high, low) =
                        (chars.next()?.1.to_digit(16)?, chars.next()?.1.to_digit(16)?);
                    char::from_u32(high << 4 | low)?
                }
                other => other,
            }),
            _ => name.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_of_a_manifest() {
        let mut manifest = Manifest::default();
        let base = manifest.next_base("a.aof");
        manifest.base = Some(base);
        assert_eq!(manifest.add_increment("a.aof"), "a.aof.1.incr.aof");
        assert_eq!(manifest.add_increment("a.aof"), "a.aof.2.incr.aof");
        let next = manifest.next_base("a.aof");
        assert_eq!(next.name, "a.aof.2.base.rdb");
        manifest.replace_base(next, 2);
        let text = "file a.aof.2.base.rdb seq 2 type b\n\
                    file a.aof.1.base.rdb seq 1 type h\n\
                    file a.aof.1.incr.aof seq 1 type h\n\
                    file a.aof.2.incr.aof seq 2 type i\n";
        assert_eq!(manifest.to_string(), text);
        assert_eq!(Manifest::parse(text).as_ref(), Ok(&manifest));
        assert_eq!(manifest.last_increment(), 2);
    }

    #[test]
    fn odd_names_survive() {
        let mut manifest = Manifest::default();
        manifest.add_increment("my \"file\" \\.aof");
        manifest.add_increment(" two\nlines\r\t\u{1}'\u{7}\u{8}.aof ");
        assert_eq!(manifest.to_string().lines().count(), 2);
        assert_eq!(Manifest::parse(&manifest.to_string()), Ok(manifest));
    }

    #[test]
    fn what_is_not_a_manifest_is_refused() {
        for text in [
            "",
            "nonsense",
            "# a comment\n\n",
            "file a seq 1 type b\n\nfile b seq 1 type i\n",
            "file a seq 1 type x",
            "file a seq 0 type b",
            "file ../a seq 1 type b",
            "file \"a seq 1 type b",
            "file a seq x type b",
            "file a seq 1",
            "file a type b",
            "file a seq 1 type",
            "file a seq 1 type b\nfile b seq 2 type b",
            "file a seq 2 type i\nfile b seq 1 type i",
        ] {
            assert!(Manifest::parse(text).is_err(), "{text}");
        }
        assert!(Manifest::parse(&format!("file a seq 1 type b{}", " k v".repeat(300))).is_err());
        assert_eq!(Manifest::parse("# a comment\n"), Ok(Manifest::default()));
        // Redis 8 writes more about a file.
        let manifest = Manifest::parse("file a seq 3 type i startoffset 17\n").unwrap();
        assert_eq!((manifest.increments.len(), manifest.last_increment()), (1, 3));
    }
}
