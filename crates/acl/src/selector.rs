//! A set of permissions, compiled from its rules: commands, keys, channels, databases.
//!
//! Commands are one bit for each row of the command table (`allowed`), and for rows that are allowed
//! with certain first arguments only, the list of these. What the rules were is kept as text beside
//! it, since a category may mean other commands in the next release: `base` (`+@all` or `-@all`) and
//! the rules after it in order. A rule makes earlier ones that it covers whole disappear: the same
//! command or category, a command's subcommands and first arguments, and all of them for `@all`.
//!
//! Invariant: applying [`Selector::text`] to an empty selector gives the same selector.
//!
//! Cost: a command's rule O(its subcommands), a category's O(rows), both at the time of ACL SETUSER.

use std::collections::{BTreeMap, BTreeSet};

use ochre_command::spec::Categories;

use crate::commands::{Commands, RowId, category};
use crate::error::RuleError;
use crate::user::Context;

/// A pattern of keys, and what may be done with those that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPattern {
    /// The glob.
    pub glob: Box<[u8]>,
    /// Their values may be read.
    pub read: bool,
    /// They may be changed.
    pub write: bool,
}

/// See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The last rule for all commands was `+@all`.
    base_all: bool,
    /// The rules behind it, as `+get`, `-@write`, `+config|get`, `+select|0`; names in lower case.
    rules: Vec<Box<[u8]>>,
    /// One bit for each row.
    allowed: Vec<u64>,
    /// First arguments of rows that are allowed with them, in lower case, by row.
    first_args: BTreeMap<RowId, BTreeSet<Box<[u8]>>>,
    pub(crate) all_keys: bool,
    pub(crate) keys: Vec<KeyPattern>,
    pub(crate) all_channels: bool,
    pub(crate) channels: Vec<Box<[u8]>>,
    /// None: all.
    pub(crate) databases: Option<Vec<u32>>,
}

impl Selector {
    /// Nothing is allowed, except all channels if `all_channels` (directive acl-pubsub-default), and
    /// all databases.
    pub fn new(commands: &dyn Commands, all_channels: bool) -> Self {
        Self {
            base_all: false,
            rules: Vec::new(),
            allowed: vec![0; commands.count().div_ceil(64)],
            first_args: BTreeMap::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
            databases: None,
        }
    }

    /// Whether nothing is forbidden.
    pub fn is_unrestricted(&self) -> bool {
        self.base_all
            && self.rules.is_empty()
            && self.all_keys
            && self.all_channels
            && self.databases.is_none()
    }

    /// Whether a row is allowed with any arguments.
    #[inline]
    pub fn allows_row(&self, row: RowId) -> bool {
        let word = self.allowed.get(usize::from(row / 64)).copied().unwrap_or(0);
        word >> (row % 64) & 1 != 0
    }

    /// Whether a row is allowed with this first argument.
    pub fn allows_first_arg(&self, row: RowId, arg: Option<&[u8]>) -> bool {
        let Some(arg) = arg else { return false };
        let of_row = self.first_args.get(&row);
        of_row.is_some_and(|args| args.contains(arg.to_ascii_lowercase().as_slice()))
    }

    /// Applies one rule; a failure changes nothing.
    pub fn apply(&mut self, rule: &[u8], context: Context<'_>) -> Result<(), RuleError> {
        if !context.terse || !matches!(rule, [b'+' | b'-', ..]) {
            return self.apply_rule(rule, context.commands);
        }
        let mut changed = self.clone();
        changed.apply_rule(rule, context.commands)?;
        // First arguments of a row that is allowed anyway mean nothing.
        let state = |s: &Self| {
            let mut args = s.first_args.clone();
            args.retain(|row, _| !s.allows_row(*row));
            (s.base_all, s.allowed.clone(), args)
        };
        if state(&changed) != state(self) {
            *self = changed;
        }
        Ok(())
    }

    fn apply_rule(&mut self, rule: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        if is("allkeys") || is("~*") {
            self.all_keys = true;
            self.keys.clear();
        } else if is("resetkeys") {
            self.all_keys = false;
            self.keys.clear();
        } else if is("allchannels") || is("&*") {
            self.all_channels = true;
            self.channels.clear();
        } else if is("resetchannels") {
            self.all_channels = false;
            self.channels.clear();
        } else if is("alldbs") {
            self.databases = None;
        } else if is("resetdbs") {
            self.databases = Some(Vec::new());
        } else if is("allcommands") || is("+@all") {
            self.all_commands(true);
        } else if is("nocommands") || is("-@all") {
            self.all_commands(false);
        } else {
            match rule {
                [b'~', glob @ ..] => return self.add_keys(glob, true, true),
                [b'%', rest @ ..] => return self.add_key_permission(rest),
                [b'&', glob @ ..] => return self.add_channel(glob),
                [b'+', b'@', name @ ..] => return self.change_category(true, name, commands),
                [b'-', b'@', name @ ..] => return self.change_category(false, name, commands),
                [b'+', name @ ..] => return self.allow(name, commands),
                [b'-', name @ ..] => {
                    let row = commands.by_name(name).ok_or(RuleError::Unknown)?;
                    self.change_command(false, row, commands);
                }
                [b'd' | b'D', b'b' | b'B', b'=', list @ ..] => {
                    self.databases = Some(databases(list)?);
                }
                _ => return Err(RuleError::Syntax),
            }
        }
        Ok(())
    }

    fn all_commands(&mut self, allow: bool) {
        self.base_all = allow;
        self.rules.clear();
        self.first_args.clear();
        self.allowed.fill(if allow { u64::MAX } else { 0 });
    }

    fn set_row(&mut self, row: RowId, allow: bool) {
        if let Some(word) = self.allowed.get_mut(usize::from(row / 64)) {
            let bit = 1 << (row % 64);
            *word = if allow { *word | bit } else { *word & !bit };
        }
        self.first_args.remove(&row);
    }

    /// Puts a rule behind the others, and takes out those that it covers.
    fn note(&mut self, sign: u8, name: &[u8]) {
        self.rules.retain(|rule| {
            let covered = rule[1..].strip_prefix(name);
            !covered.is_some_and(|rest| rest.is_empty() || rest[0] == b'|')
        });
        self.rules.push([&[sign], name].concat().into());
    }

    fn change_command(&mut self, allow: bool, row: RowId, commands: &dyn Commands) {
        self.set_row(row, allow);
        for &sub in commands.subcommands(row) {
            self.set_row(sub, allow);
        }
        self.note(if allow { b'+' } else { b'-' }, commands.full_name(row).as_bytes());
    }

    fn change_category(
        &mut self,
        allow: bool,
        name: &[u8],
        commands: &dyn Commands,
    ) -> Result<(), RuleError> {
        let (wanted, name) = category(name).ok_or(RuleError::Unknown)?;
        for row in 0..commands.count() as RowId {
            if commands.categories(row).intersects(wanted) {
                self.set_row(row, allow);
            }
        }
        self.note(if allow { b'+' } else { b'-' }, format!("@{name}").as_bytes());
        Ok(())
    }

    /// `+command`, `+command|subcommand` or `+command|first-argument`.
    fn allow(&mut self, name: &[u8], commands: &dyn Commands) -> Result<(), RuleError> {
        if let Some(row) = commands.by_name(name) {
            self.change_command(true, row, commands);
            return Ok(());
        }
        let at = name.iter().rposition(|byte| *byte == b'|').ok_or(RuleError::Unknown)?;
        let (command, arg) = (&name[..at], &name[at + 1..]);
        let row = commands.by_name(command).ok_or(RuleError::Unknown)?;
        if command.contains(&b'|') {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        if arg.is_empty() {
            return Err(RuleError::Syntax);
        }
        if !commands.subcommands(row).is_empty() {
            return Err(RuleError::Unknown);
        }
        let arg: Box<[u8]> = arg.to_ascii_lowercase().into();
        let rule = [commands.full_name(row).as_bytes(), b"|", &arg].concat();
        self.first_args.entry(row).or_default().insert(arg);
        self.note(b'+', &rule);
        Ok(())
    }

    /// What follows `%`: `R~glob`, `W~glob`, `RW~glob`.
    fn add_key_permission(&mut self, rest: &[u8]) -> Result<(), RuleError> {
        let end = rest.iter().position(|byte| *byte == b'~').unwrap_or(rest.len());
        let (mut read, mut write) = (false, false);
        for letter in &rest[..end] {
            match letter.to_ascii_uppercase() {
                b'R' if !read => read = true,
                b'W' if !write => write = true,
                _ => return Err(RuleError::Syntax),
            }
        }
        if !read && !write {
            return Err(RuleError::Syntax);
        }
        self.add_keys(rest.get(end + 1..).unwrap_or_default(), read, write)
    }

    fn add_keys(&mut self, glob: &[u8], read: bool, write: bool) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeyAfterAll);
        }
        if has_blank(glob) {
            return Err(RuleError::Syntax);
        }
        match self.keys.iter_mut().find(|pattern| *pattern.glob == *glob) {
            Some(pattern) => {
                pattern.read |= read;
                pattern.write |= write;
            }
            None => self.keys.push(KeyPattern { glob: glob.into(), read, write }),
        }
        Ok(())
    }

    fn add_channel(&mut self, glob: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelAfterAll);
        }
        if has_blank(glob) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|known| **known == *glob) {
            self.channels.push(glob.into());
        }
        Ok(())
    }

    /// The command rules, from `+@all` or `-@all` on.
    pub fn commands_text(&self) -> Vec<u8> {
        let mut out = if self.base_all { b"+@all".to_vec() } else { b"-@all".to_vec() };
        for rule in &self.rules {
            out.push(b' ');
            out.extend_from_slice(rule);
        }
        out
    }

    /// The key rules; empty when no key is allowed.
    pub fn keys_text(&self) -> Vec<u8> {
        if self.all_keys {
            return b"~*".to_vec();
        }
        let rules = self.keys.iter().map(|pattern| {
            let mark: &[u8] = match (pattern.read, pattern.write) {
                (true, false) => b"%R~",
                (false, true) => b"%W~",
                _ => b"~",
            };
            [mark, &pattern.glob].concat()
        });
        rules.collect::<Vec<_>>().join(&b' ')
    }

    /// The channel rules; empty when no channel is allowed.
    pub fn channels_text(&self) -> Vec<u8> {
        if self.all_channels {
            return b"&*".to_vec();
        }
        self.channels.iter().map(|glob| [b"&", &**glob].concat()).collect::<Vec<_>>().join(&b' ')
    }

    /// The databases: `alldbs`, `db=0,2`, or empty when none is allowed.
    pub fn databases_text(&self) -> String {
        match &self.databases {
            None => "alldbs".to_owned(),
            Some(list) if list.is_empty() => String::new(),
            Some(list) => {
                let list: Vec<String> = list.iter().map(u32::to_string).collect();
                format!("db={}", list.join(","))
            }
        }
    }

    /// Whether all databases are allowed.
    pub fn has_all_databases(&self) -> bool {
        self.databases.is_none()
    }

    /// All of it, as ACL LIST shows it.
    pub fn text(&self) -> Vec<u8> {
        let mut parts = Vec::new();
        let keys = self.keys_text();
        if self.all_keys || !self.keys.is_empty() {
            parts.push(keys);
        }
        if !self.all_channels {
            parts.push(b"resetchannels".to_vec());
        }
        if self.all_channels || !self.channels.is_empty() {
            parts.push(self.channels_text());
        }
        match &self.databases {
            None => {}
            Some(list) if list.is_empty() => parts.push(b"resetdbs".to_vec()),
            Some(_) => parts.push(self.databases_text().into_bytes()),
        }
        parts.push(self.commands_text());
        parts.join(&b' ')
    }
}

/// Whether a pattern holds what would end it in the file of users.
fn has_blank(glob: &[u8]) -> bool {
    glob.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | 0x0B | 0x0C | b'\r' | 0))
}

/// Reads `0,2`: sorted, each once.
fn databases(list: &[u8]) -> Result<Vec<u32>, RuleError> {
    let mut found = Vec::new();
    for word in list.split(|byte| *byte == b',') {
        let digits = word.strip_prefix(b"-").unwrap_or(word);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(RuleError::Syntax);
        }
        let number = std::str::from_utf8(word).ok().and_then(|word| word.parse::<i32>().ok());
        let number = number.and_then(|n| u32::try_from(n).ok()).ok_or(RuleError::DatabaseRange)?;
        found.push(number);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The categories that count as acting on the selected database.
pub(crate) const ON_DATABASE: Categories = Categories::KEYSPACE;
