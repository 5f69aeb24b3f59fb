//! The manifest: which files make up the append-only file, in order.
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b
//! file appendonly.aof.4.incr.aof seq 4 type i
//! ```
//!
//! One line a file: its name (in double quotes when it has blanks), its sequence number, and its type: `b` the base
//! (at most one), `i` an increment (ascending numbers, applied in that order), `h` history, which a
//! rewrite has replaced and which may be deleted. Other pairs of words may follow and are passed over. Lines that
//! begin with `#` are comments.
//!
//! Source: the documentation of Redis 7's multi-part append-only file, and files of redis-server 7.0.15.

use std::fmt;

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
        for (at, line) in text.lines().enumerate() {
            let invalid = |why| Invalid { line: at + 1, why };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = entry(line).ok_or_else(|| invalid("not of the form of a file"))?;
            match entry.part {
                Part::Base if manifest.base.is_some() => return Err(invalid("a second base")),
                Part::Base => manifest.base = Some(entry),
                Part::History => manifest.history.push(entry),
                Part::Increment => {
                    let ascends =
                        manifest.increments.last().is_none_or(|last| last.seq < entry.seq);
                    if !ascends {
                        return Err(invalid("increments out of order"));
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
            let quoted = entry.name.contains([' ', '"', '\\']);
            let name = match quoted {
                true => format!("\"{}\"", entry.name.replace('\\', "\\\\").replace('"', "\\\"")),
                false => entry.name.clone(),
            };
            writeln!(f, "file {name} seq {} type {}", entry.seq, entry.part.letter())?;
        }
        Ok(())
    }
}

fn entry(line: &str) -> Option<Entry> {
    let rest = line.strip_prefix("file ")?;
    let (name, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted)?,
        None => {
            let (name, rest) = rest.split_once(' ')?;
            (name.to_owned(), rest)
        }
    };
    let (mut seq, mut part) = (None, None);
    let mut words = rest.split_whitespace();
    while let Some(key) = words.next() {
        let value = words.next()?;
        match key {
            "seq" => seq = value.parse().ok().filter(|seq| *seq > 0),
            "type" => {
                part = Some(match value {
                    "b" => Part::Base,
                    "i" => Part::Increment,
                    "h" => Part::History,
                    _ => return None,
                });
            }
            // Offsets of the replication stream, by Redis 8: of no use here.
            _ => {}
        }
    }
    // A name with a folder could reach files elsewhere.
    let plain = !name.is_empty() && !name.contains('/');
    if plain { Some(Entry { name, seq: seq?, part: part? }) } else { None }
}

/// A name in double quotes, of which the first is passed, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, text[at + 1..].trim_start())),
            '\\' => name.push(chars.next()?.1),
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
        assert_eq!(Manifest::parse(&manifest.to_string()), Ok(manifest));
    }

    #[test]
    fn what_is_not_a_manifest_is_refused() {
        for text in [
            "nonsense",
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
        assert_eq!(Manifest::parse("# a comment\n\n"), Ok(Manifest::default()));
        // Redis 8 writes more about a file.
        let manifest = Manifest::parse("file a seq 3 type i startoffset 17\n").unwrap();
        assert_eq!((manifest.increments.len(), manifest.last_increment()), (1, 3));
    }
}
