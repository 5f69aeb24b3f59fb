//! The one table of directives.
//!
//! Rows stand in groups by subject; here they become one array whose index is an [`Id`]. An `Id`
//! of a known name is found while compiling (`const PORT: Id = id("port")`), so reading a value at
//! run time is one indexing, and a misspelt name does not compile.
//!
//! Ranges are those of redis-server 7.0.15 and valkey-server 9.1 (each bound was tried by CONFIG
//! SET), defaults those of Redis 7.2, or of Valkey where only Valkey has the directive.

mod backup;
mod cluster;
mod connection;
mod encoding;
mod memory;
mod observe;
mod persistence;
mod replication;
mod security;
mod server;

use crate::directive::{Directive, Kind, row};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a C `int` holds at most: the bound of most numbers in the peers.
const INT_MAX: i64 = i32::MAX as i64;

/// Number without unit between bounds.
const fn number(min: i64, max: i64) -> Kind {
    Kind::Int { min, max, unit: "" }
}

/// A count of something, or a length of time, between bounds.
const fn count(min: i64, max: i64, unit: &'static str) -> Kind {
    Kind::Int { min, max, unit }
}

/// An amount of memory that fits a signed 64-bit number.
const fn bytes(min: u64) -> Kind {
    Kind::Memory { min, max: i64::MAX as u64 }
}

const GROUPS: [&[Directive]; 10] = [
    connection::ROWS,
    server::ROWS,
    memory::ROWS,
    encoding::ROWS,
    persistence::ROWS,
    backup::ROWS,
    replication::ROWS,
    cluster::ROWS,
    security::ROWS,
    observe::ROWS,
];

const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

/// Every directive, by [`Id`].
pub static TABLE: [Directive; COUNT] = joined();

const fn joined() -> [Directive; COUNT] {
    let mut table = [row("", Kind::Bool, "no", ""); COUNT];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].len() {
            table[at] = GROUPS[group][index];
            at += 1;
            index += 1;
        }
        group += 1;
    }
    table
}

/// A directive, as its place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(u16);

impl Id {
    /// The row.
    pub fn directive(self) -> &'static Directive {
        &TABLE[self.index()]
    }

    /// The place in the table.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Every directive, in the order of the table.
    pub fn all() -> impl Iterator<Item = Id> {
        (0..COUNT as u16).map(Id)
    }
}

/// The directive of this first name, while compiling; an unknown name does not compile.
pub const fn id(name: &str) -> Id {
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut index = 0;
        while index < GROUPS[group].len() {
            if same(GROUPS[group][index].name, name) {
                return Id(at);
            }
            at += 1;
            index += 1;
        }
        group += 1;
    }
    panic!("no directive has this name")
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Every name and alias with its directive, sorted by name.
pub static NAMES: LazyLock<BTreeMap<&'static [u8], Id>> = LazyLock::new(|| {
    Id::all().flat_map(|id| id.directive().names().map(move |name| (name.as_bytes(), id))).collect()
});

/// The directive of a name or alias in any case, with that name as the table spells it.
pub fn find(name: &[u8]) -> Option<(&'static str, Id)> {
    let lower = name.to_ascii_lowercase();
    let (_, &id) = NAMES.get_key_value(lower.as_slice())?;
    let spelt = id.directive().names().find(|n| n.as_bytes() == lower)?;
    Some((spelt, id))
}

/// Names that older configurations hold and that mean nothing any more: the line is passed over.
pub const RETIRED: &[&str] =
    &["list-max-ziplist-entries", "list-max-ziplist-value", "lua-replicate-commands"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    #[test]
    fn names_are_unique_lower_case_and_documented() {
        let names: Vec<&str> = TABLE.iter().flat_map(Directive::names).collect();
        assert_eq!(names.len(), NAMES.len());
        for directive in &TABLE {
            assert!(directive.names().all(|n| !n.is_empty() && n == n.to_ascii_lowercase()));
            assert!(directive.doc.ends_with('.'), "{}", directive.name);
            assert!(directive.doc.len() > 15, "{}", directive.name);
        }
    }

    #[test]
    fn every_default_is_valid_and_shows_as_written() {
        for id in Id::all() {
            let directive = id.directive();
            let value = Value::default_of(directive);
            let shown = String::from_utf8(value.show(directive.kind)).unwrap();
            if !matches!(directive.kind, Kind::Memory { .. } | Kind::MemoryOrPercent) {
                assert_eq!(shown, directive.default, "{}", directive.name);
            }
        }
    }

    #[test]
    fn constants_find_their_rows() {
        assert_eq!(id("port").directive().name, "port");
        assert_eq!(
            find(b"SlaveOf").map(|(name, id)| (name, id.directive().name)),
            Some(("slaveof", "replicaof"))
        );
        assert_eq!(find(b"nothing"), None);
    }

    /// Every name that the peers list (`names/config.txt` of the specification, copied as it is)
    /// and every hidden one is in the table, listed or hidden as there.
    #[test]
    fn all_names_of_the_peers_are_there() {
        for line in include_str!("../../tests/peer-names.txt").lines() {
            let name = line.trim();
            if name.is_empty() || name.starts_with('#') {
                continue;
            }
            let (name, hidden) = match name.strip_suffix(" hidden") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let (_, id) = find(name.as_bytes()).unwrap_or_else(|| panic!("{name} is missing"));
            assert_eq!(id.directive().hidden, hidden, "{name}");
        }
    }
}
