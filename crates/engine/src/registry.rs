//! The one command table at run time: every row of every crate, found by name.
//!
//! Names are folded to lower case in two 64-bit words and looked up by open addressing; the few names
//! longer than sixteen bytes take a list. A container's subcommands follow it and are found by the
//! second argument.
//!
//! **Renamed commands** (`rename-command`): a row keeps its name for everything that means the command and
//! not the word that a client typed: rules of users, statistics, MONITOR's and the log's handling, the templates by
//! which waiting clients are served, and what is replayed from files or comes from a primary. Only for clients and
//! scripts names are looked up with the renames over them ([`Registry::resolve_called`]), and the word
//! that was typed is replaced by the row's own name at once, so that the log needs no renames to be read.
//! Without renames it costs one test.

use std::collections::BTreeMap;

use ochre_command::spec::{Begin, Categories, CommandSpec, Find, Flags, Group, KeyFlags, KeySpec};

use crate::turn::SessionFn;

/// Number of a row: index of its statistics.
pub type RowId = u16;

/// A session or server command: a row whose handler runs outside the locks.
#[derive(Clone, Copy)]
pub struct SessionRow {
    /// The facts; its `handler` is never called.
    pub spec: CommandSpec,
    /// What runs it.
    pub run: SessionFn,
    /// Subcommands, when it is a container; `run` then answers for unknown ones only.
    pub subcommands: &'static [SessionRow],
}

impl SessionRow {
    /// A row with what every command has.
    pub const fn new(
        name: &'static str,
        arity: i32,
        flags: Flags,
        group: Group,
        run: SessionFn,
    ) -> Self {
        let spec = CommandSpec::new(name, arity, flags, group, runs_in_engine);
        Self { spec, run, subcommands: &[] }
    }

    /// A container: its own handler answers when no subcommand is named.
    pub const fn container(
        name: &'static str,
        group: Group,
        since: &'static str,
        summary: &'static str,
        subcommands: &'static [SessionRow],
    ) -> Self {
        let spec = CommandSpec::new(name, -2, Flags::empty(), group, runs_in_engine).docs(
            since,
            summary,
            "Depends on the subcommand.",
            "",
        );
        Self { spec, run: names_no_subcommand, subcommands }
    }

    /// See [`CommandSpec::docs`].
    pub const fn docs(
        mut self,
        since: &'static str,
        summary: &'static str,
        complexity: &'static str,
        syntax: &'static str,
    ) -> Self {
        self.spec = self.spec.docs(since, summary, complexity, syntax);
        self
    }

    /// See [`CommandSpec::keys`].
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.spec = self.spec.keys(keys);
        self
    }

    /// See [`CommandSpec::also`].
    pub const fn also(mut self, extra: Categories) -> Self {
        self.spec = self.spec.also(extra);
        self
    }

    /// See [`CommandSpec::tips`].
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.spec = self.spec.tips(tips);
        self
    }

    /// See [`CommandSpec::deprecated`].
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.spec = self.spec.deprecated(since, instead);
        self
    }
}

/// A container called with a word that is no subcommand: the gate has refused it already.
fn names_no_subcommand(
    _: &mut crate::turn::Turn<'_>,
    args: &[&[u8]],
    row: &Row,
) -> ochre_command::Result {
    let given = args.get(1).copied().unwrap_or_default();
    Err(ochre_command::outcome::unknown_subcommand(row.spec.name, given))
}

/// How a row runs.
#[derive(Clone, Copy)]
pub enum Run {
    /// Its handler, under the locks of its keys.
    Data,
    /// In the engine, without a lock.
    Session(SessionFn),
}

/// A row of the table.
pub struct Row {
    /// The facts.
    pub spec: CommandSpec,
    /// How it runs.
    pub run: Run,
    /// Its number.
    pub id: RowId,
    /// `get`, `config|set`.
    pub full_name: String,
    /// Numbers of its subcommands.
    pub subcommands: Vec<RowId>,
    /// Number of its container.
    pub parent: Option<RowId>,
    /// Its only key is its first argument: the usual case, for which the lock set is one shard.
    pub one_key: bool,
    /// Clients call it by another name than its own.
    pub is_renamed: bool,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Row").field(&self.full_name).finish()
    }
}

/// The table. See the module's head.
#[derive(Debug)]
pub struct Registry {
    rows: Vec<Row>,
    slots: Vec<(u64, u64, RowId)>,
    long: Vec<RowId>,
    /// By names in lower case: the row that has the name now; none: no command has it any more.
    renamed: BTreeMap<Vec<u8>, Option<RowId>>,
}

const FREE: RowId = RowId::MAX;
/// Bytes of a name that two words hold.
const SHORT_MAX: usize = 16;

/// A handler for rows that run in the engine: calling it is a bug.
pub fn runs_in_engine(_: &mut ochre_command::Ctx<'_>) -> ochre_command::Result {
    Err(ochre_command::ReplyError::fixed("ERR this command has no data handler"))
}

#[inline]
fn fold(name: &[u8]) -> (u64, u64) {
    let mut bytes = [0u8; SHORT_MAX];
    bytes[..name.len()].copy_from_slice(name);
    let words = u128::from_le_bytes(bytes);
    // Sets the case bit of every byte from A to Z. Command names hold letters, digits, '-', '|', '.'
    // and '_': those have the bit set or are not changed by it in a way that makes two names equal.
    let lower = words | (upper_mask(words) >> 2);
    (lower as u64, (lower >> 64) as u64)
}

/// 0x80 in every byte that is an upper-case letter.
#[inline]
fn upper_mask(words: u128) -> u128 {
    const ONES: u128 = 0x0101_0101_0101_0101_0101_0101_0101_0101;
    let heptets = words & (ONES * 0x7F);
    let above_z = heptets + ONES * (0x7F - b'Z' as u128);
    let from_a = heptets + ONES * (0x80 - b'A' as u128);
    !words & (from_a ^ above_z) & (ONES * 0x80)
}

#[inline]
fn mix(words: (u64, u64)) -> usize {
    ((words.0 ^ words.1.rotate_left(31)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as usize
}

impl Registry {
    /// A table of all rows.
    pub fn new(data: &[&[CommandSpec]], session: &[&[SessionRow]]) -> Self {
        let mut table = Self {
            rows: Vec::new(),
            slots: Vec::new(),
            long: Vec::new(),
            renamed: BTreeMap::new(),
        };
        for spec in data.iter().copied().flatten() {
            table.add(*spec, Run::Data, None);
            let parent = table.last();
            for sub in spec.subcommands {
                table.add_sub(*sub, Run::Data, parent);
            }
        }
        for row in session.iter().copied().flatten() {
            table.add(session_spec(row), Run::Session(row.run), None);
            let parent = table.last();
            for sub in row.subcommands {
                table.add_sub(session_spec(sub), Run::Session(sub.run), parent);
            }
        }
        table.index();
        table
    }

    fn last(&self) -> RowId {
        (self.rows.len() - 1) as RowId
    }

    fn add(&mut self, spec: CommandSpec, run: Run, parent: Option<RowId>) {
        let full_name = match parent {
            Some(parent) => format!("{}|{}", self.rows[usize::from(parent)].spec.name, spec.name),
            None => spec.name.to_owned(),
        };
        let id = self.rows.len() as RowId;
        let one_key = match spec.keys {
            [key] => {
                key.begin == Begin::Index(1)
                    && matches!(key.find, Find::Range { last: 0, .. })
                    && !key.flags.contains(KeyFlags::NOT_KEY)
                    && !spec.flags.contains(Flags::ALL_KEYS)
                    && matches!(run, Run::Data)
            }
            _ => false,
        };
        let subcommands = Vec::new();
        let is_renamed = false;
        self.rows.push(Row { spec, run, id, full_name, subcommands, parent, one_key, is_renamed });
    }

    fn add_sub(&mut self, spec: CommandSpec, run: Run, parent: RowId) {
        self.add(spec, run, Some(parent));
        let id = self.last();
        self.rows[usize::from(parent)].subcommands.push(id);
    }

    fn index(&mut self) {
        let tops: Vec<RowId> =
            self.rows.iter().filter(|row| row.parent.is_none()).map(|row| row.id).collect();
        self.slots = vec![(0, 0, FREE); (tops.len() * 4).next_power_of_two()];
        for id in tops {
            let name = self.rows[usize::from(id)].spec.name.as_bytes();
            if name.len() > SHORT_MAX {
                self.long.push(id);
                continue;
            }
            let words = fold(name);
            let mut at = mix(words) & (self.slots.len() - 1);
            while self.slots[at].2 != FREE {
                at = (at + 1) & (self.slots.len() - 1);
            }
            self.slots[at] = (words.0, words.1, id);
        }
    }

    /// The row of a top-level name, in any case.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<&Row> {
        if name.len() > SHORT_MAX {
            return self.long.iter().map(|&id| self.row(id)).find(|row| is_named(row, name));
        }
        let words = fold(name);
        let mut at = mix(words) & (self.slots.len() - 1);
        loop {
            let (low, high, id) = self.slots[at];
            if id == FREE {
                return None;
            }
            if (low, high) == words {
                return Some(&self.rows[usize::from(id)]);
            }
            at = (at + 1) & (self.slots.len() - 1);
        }
    }

    /// The row that `args` call: of a container the subcommand's, or the container's own when the
    /// second argument names none.
    #[inline]
    pub fn resolve(&self, args: &[&[u8]]) -> Option<&Row> {
        let row = self.find(args.first()?)?;
        if row.subcommands.is_empty() || args.len() < 2 {
            return Some(row);
        }
        Some(self.subcommand(row, args[1]).unwrap_or(row))
    }

    /// Gives a command another name, or with an empty one takes it out of reach. The text is what is wrong.
    pub fn rename(&mut self, old: &[u8], new: &[u8]) -> Result<(), &'static str> {
        let row = self.find_called(old).ok_or("No such command in rename-command")?.id;
        let (old, new) = (old.to_ascii_lowercase(), new.to_ascii_lowercase());
        if !new.is_empty() && new != old && self.find_called(&new).is_some() {
            return Err("Target command name already exists");
        }
        self.rows[usize::from(row)].is_renamed = true;
        for at in self.rows[usize::from(row)].subcommands.clone() {
            self.rows[usize::from(at)].is_renamed = true;
        }
        self.renamed.insert(old, None);
        if !new.is_empty() {
            self.renamed.insert(new, Some(row));
        }
        Ok(())
    }

    /// The row of a name that a client or a script uses.
    pub fn find_called(&self, name: &[u8]) -> Option<&Row> {
        if self.renamed.is_empty() {
            return self.find(name);
        }
        match self.renamed.get(&name.to_ascii_lowercase()) {
            Some(row) => row.map(|id| self.row(id)),
            None => self.find(name),
        }
    }

    /// The row that the arguments of a client or a script call: see [`Registry::resolve`].
    #[inline]
    pub fn resolve_called(&self, args: &[&[u8]]) -> Option<&Row> {
        if self.renamed.is_empty() {
            return self.resolve(args);
        }
        let row = self.find_called(args.first()?)?;
        let sub = args.get(1).and_then(|word| self.subcommand(row, word));
        Some(sub.unwrap_or(row))
    }

    /// The row of a full name such as `config|get`, as a client may call it.
    pub fn by_called_name(&self, name: &[u8]) -> Option<&Row> {
        match name.iter().position(|&b| b == b'|') {
            None => self.find_called(name),
            Some(at) => self.subcommand(self.find_called(&name[..at])?, &name[at + 1..]),
        }
    }

    /// The name that a row's arguments begin with, whatever clients call it.
    pub fn first_word(&self, row: &Row) -> &'static str {
        row.parent.map_or(row, |id| self.row(id)).spec.name
    }

    /// Whether a client can call it by any name.
    pub fn is_callable(&self, row: &Row) -> bool {
        let top = row.parent.map_or(row, |id| self.row(id));
        let own = self.find_called(top.spec.name.as_bytes()).is_some_and(|row| row.id == top.id);
        own || self.renamed.values().any(|id| *id == Some(top.id))
    }

    /// A container's subcommand.
    pub fn subcommand(&self, row: &Row, word: &[u8]) -> Option<&Row> {
        row.subcommands.iter().map(|&id| self.row(id)).find(|sub| is_named(sub, word))
    }

    /// A row by its number.
    #[inline]
    pub fn row(&self, id: RowId) -> &Row {
        &self.rows[usize::from(id)]
    }

    /// All rows, subcommands included.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The row of a full name such as `config|get`.
    pub fn by_full_name(&self, name: &[u8]) -> Option<&Row> {
        match name.iter().position(|&b| b == b'|') {
            None => self.find(name),
            Some(at) => self.subcommand(self.find(&name[..at])?, &name[at + 1..]),
        }
    }
}

/// The first of these `rename-command` lines that is wrong, and why.
pub fn check_renames(renames: &[(Vec<u8>, Vec<u8>)]) -> Result<(), (usize, &'static str)> {
    if renames.is_empty() {
        return Ok(());
    }
    let mut registry = Registry::new(ochre_families::TABLES, crate::commands::TABLES);
    renames
        .iter()
        .enumerate()
        .try_for_each(|(at, (old, new))| registry.rename(old, new).map_err(|why| (at, why)))
}

fn session_spec(row: &SessionRow) -> CommandSpec {
    CommandSpec { flags: row.spec.flags.union(Flags::SESSION), ..row.spec }
}

fn is_named(row: &Row, name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(row.spec.name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_touches_letters_only() {
        for byte in 0..=255u8 {
            let folded = fold(&[byte]).0 as u8;
            assert_eq!(folded, byte.to_ascii_lowercase(), "{byte}");
        }
        assert_eq!(fold(b"GETRANGE"), fold(b"getrange"));
    }

    #[test]
    fn renamed_commands() {
        let mut table = Registry::new(ochre_families::TABLES, crate::commands::TABLES);
        let id = |table: &Registry, words: &[&[u8]]| table.resolve_called(words).map(|row| row.id);
        let get = id(&table, &[b"get"]);
        let config_get = id(&table, &[b"config", b"get"]);
        assert_eq!(table.rename(b"nosuch", b"x"), Err("No such command in rename-command"));
        assert_eq!(table.rename(b"GET", b"set"), Err("Target command name already exists"));
        assert_eq!(table.rename(b"FLUSHALL", b""), Ok(()));
        assert_eq!(table.rename(b"flushall", b"y"), Err("No such command in rename-command"));
        assert_eq!(table.rename(b"Get", b"FETCH"), Ok(()));
        assert_eq!(table.rename(b"config", b"guarded"), Ok(()));
        assert_eq!((id(&table, &[b"GET"]), id(&table, &[b"Fetch", b"k"])), (None, get));
        assert_eq!(id(&table, &[b"guarded", b"GET", b"x"]), config_get);
        assert_eq!(table.by_called_name(b"guarded|get").map(|row| row.id), config_get);
        // What does not come from a client knows the old names only.
        assert_eq!(table.resolve(&[b"get"]).map(|row| row.id), get);
        assert!(table.resolve(&[b"fetch"]).is_none() && table.find(b"flushall").is_some());
        let callable =
            |name: &[u8]| table.by_full_name(name).is_some_and(|row| table.is_callable(row));
        assert!(callable(b"get") && callable(b"config|get") && callable(b"set"));
        assert!(!callable(b"flushall"));
        // A name that is free may be given again.
        assert_eq!(table.rename(b"set", b"get"), Ok(()));
        assert_eq!(table.find_called(b"GET").map(|row| row.spec.name), Some("set"));
    }

    #[test]
    fn every_row_is_found_by_its_name_in_any_case() {
        let table = Registry::new(ochre_families::TABLES, crate::commands::TABLES);
        for row in table.rows() {
            let upper = row.full_name.to_uppercase();
            assert_eq!(table.by_full_name(upper.as_bytes()).map(|r| r.id), Some(row.id));
        }
        assert!(table.find(b"nosuchcommand").is_none());
        assert!(table.find(b"a-name-of-more-than-sixteen-bytes").is_none());
    }
}
