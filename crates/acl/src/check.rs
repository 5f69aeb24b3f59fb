//! May a user run a command?
//!
//! Each selector is asked; the first that allows all of it decides. When none does, the reason that is
//! told is the one of the selector that got furthest: refused at a channel rather than at a key, at a
//! key rather than at the command, and at a later argument rather than at an earlier one.
//!
//! Cost: O(selectors * (keys * patterns)); for a user without restrictions the caller asks nothing.

use ochre_base::glob::{Case, matches};
use ochre_command::args::is;
use ochre_command::keys::each_key;
use ochre_command::spec::{CommandSpec, Flags, KeyFlags};

use crate::commands::RowId;
use crate::selector::{ON_DATABASE, Selector};
use crate::user::User;

/// A command that wants to run.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its row's number.
    pub row: RowId,
    /// Its row. Of a subcommand this is the subcommand's.
    pub spec: &'a CommandSpec,
    /// Its arguments, with its name.
    pub args: &'a [&'a [u8]],
    /// The session's database.
    pub db: u32,
}

/// Why it may not: the kind, and the argument that decided. Later kinds are told rather than earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denied {
    /// The command itself.
    Command,
    /// A database: the argument that names it, or 0 for the selected one.
    Database(usize),
    /// A key.
    Key(usize),
    /// A channel.
    Channel(usize),
}

impl User {
    /// Whether it may run a command.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Denied> {
        if self.is_unrestricted() {
            return Ok(());
        }
        let mut told = Denied::Command;
        for selector in self.all_selectors() {
            match selector.check(request) {
                Ok(()) => return Ok(()),
                Err(denied) => told = told.max(denied),
            }
        }
        Err(told)
    }

    /// Whether it may run a command and read keys of any name in it: what BY and GET of SORT need.
    pub fn reads_everything(&self, request: &Request<'_>) -> bool {
        self.is_unrestricted()
            || self
                .all_selectors()
                .any(|selector| selector.check(request).is_ok() && selector.reads_all_keys())
    }
}

impl Selector {
    /// Whether it allows all of a command.
    pub fn check(&self, request: &Request<'_>) -> Result<(), Denied> {
        let Request { row, spec, args, .. } = *request;
        if !spec.flags.contains(Flags::NO_AUTH)
            && !self.allows_row(row)
            && !self.allows_first_arg(row, args.get(1).copied())
        {
            return Err(Denied::Command);
        }
        if let Some(allowed) = &self.databases {
            check_databases(request, allowed)?;
        }
        if !self.all_keys && !spec.keys.is_empty() {
            self.check_keys(request)?;
        }
        if !self.all_channels {
            self.check_channels(request)?;
        }
        Ok(())
    }

    fn check_keys(&self, request: &Request<'_>) -> Result<(), Denied> {
        let mut refused = None;
        let is_sort = matches!(request.spec.name, "sort" | "sort_ro");
        each_key(request.spec, request.args, |at, flags| {
            // What SORT's specifications do not find whole are patterns, with a rule of their own.
            let is_pattern = is_sort && flags.contains(KeyFlags::INCOMPLETE);
            let is_key = !is_pattern && !flags.contains(KeyFlags::NOT_KEY);
            if is_key && refused.is_none() && !self.allows_key(request.args[at], flags) {
                refused = Some(at);
            }
        });
        refused.map_or(Ok(()), |at| Err(Denied::Key(at)))
    }

    /// Whether one pattern allows all that is done with a key. A command that neither gives data of
    /// the value nor changes it (EXISTS, TYPE, STRLEN) needs any permission at all.
    fn allows_key(&self, key: &[u8], flags: KeyFlags) -> bool {
        const CHANGES: KeyFlags = KeyFlags::INSERT.union(KeyFlags::DELETE).union(KeyFlags::UPDATE);
        let (reads, writes) = (flags.contains(KeyFlags::ACCESS), flags.intersects(CHANGES));
        self.keys.iter().any(|pattern| {
            (pattern.read || !reads)
                && (pattern.write || !writes)
                && matches(&pattern.glob, key, Case::Sensitive)
        })
    }

    fn reads_all_keys(&self) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| pattern.read && *pattern.glob == *b"*")
    }

    fn check_channels(&self, request: &Request<'_>) -> Result<(), Denied> {
        if !request.spec.flags.contains(Flags::PUBSUB) {
            return Ok(());
        }
        let last = request.args.len();
        let (places, literal) = match request.spec.name {
            "publish" | "spublish" => (1..last.min(2), false),
            "subscribe" | "ssubscribe" => (1..last, false),
            "psubscribe" => (1..last, true),
            _ => return Ok(()),
        };
        for at in places {
            if !self.allows_channel(request.args[at], literal) {
                return Err(Denied::Channel(at));
            }
        }
        Ok(())
    }

    /// Whether a channel is allowed; a pattern (`literal`) only by the same pattern.
    pub(crate) fn allows_channel(&self, name: &[u8], literal: bool) -> bool {
        let allows = |glob: &[u8]| match literal {
            true => glob == name,
            false => matches(glob, name, Case::Sensitive),
        };
        self.all_channels || self.channels.iter().any(|glob| allows(glob))
    }
}

/// Whether the databases that a command acts on are among `allowed`. Numbers that cannot be read are
/// for the handler to refuse.
fn check_databases(request: &Request<'_>, allowed: &[u32]) -> Result<(), Denied> {
    let Request { spec, args, db, .. } = *request;
    let named = |at: usize| {
        let number = args.get(at).and_then(|arg| ochre_base::num::parse_i64(arg));
        match number.map(u32::try_from) {
            Some(Ok(number)) if !allowed.contains(&number) => Err(Denied::Database(at)),
            _ => Ok(()),
        }
    };
    let selected = if allowed.contains(&db) { Ok(()) } else { Err(Denied::Database(0)) };
    match spec.name {
        "select" => named(1),
        "swapdb" => named(1).and(named(2)),
        "flushall" => Err(Denied::Database(0)),
        "move" => named(2).and(selected),
        "copy" => {
            let options = (3..args.len()).filter(|&at| is(args[at], "db"));
            for at in options {
                named(at + 1)?;
            }
            selected
        }
        _ if acts_on_database(spec) => selected,
        _ => Ok(()),
    }
}

fn acts_on_database(spec: &CommandSpec) -> bool {
    spec.flags.intersects(Flags::READONLY.union(Flags::WRITE))
        || spec.categories().intersects(ON_DATABASE)
        || spec.keys.iter().any(|keys| !keys.flags.contains(KeyFlags::NOT_KEY))
}

#[cfg(test)]
mod tests;
