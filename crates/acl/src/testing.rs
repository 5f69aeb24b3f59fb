//! A small command table for tests.

use ochre_command::spec::{Categories, CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Result};

use crate::commands::{Commands, RowId};
use crate::user::Context;

/// See the module's head.
pub(crate) struct Table {
    rows: Vec<(CommandSpec, &'static str, Vec<RowId>)>,
}

fn unused(_: &mut Ctx<'_>) -> Result {
    Ok(())
}

const fn row(name: &'static str, flags: Flags, group: Group) -> CommandSpec {
    CommandSpec::new(name, -1, flags, group, unused)
}

const R: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const W: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

const ONE_R: &[KeySpec] = &[KeySpec::one(1, R)];
const ONE_W: &[KeySpec] = &[KeySpec::one(1, W)];
const ONE_RO: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO)];
const ALL_R: &[KeySpec] = &[KeySpec::range(1, -1, 1, R)];
const BOTH: &[KeySpec] = &[KeySpec::one(1, R), KeySpec::one(2, W)];

impl Table {
    pub(crate) fn new() -> Self {
        let read = Flags::READONLY.union(Flags::FAST);
        let all: [(CommandSpec, &str); 15] = [
            (row("get", read, Group::String).keys(ONE_R), "get"),
            (row("set", Flags::WRITE, Group::String).keys(ONE_W), "set"),
            (row("mget", read, Group::String).keys(ALL_R), "mget"),
            (row("strlen", read, Group::String).keys(ONE_RO), "strlen"),
            (row("copy", Flags::WRITE, Group::Generic).keys(BOTH), "copy"),
            (row("select", Flags::FAST, Group::Connection), "select"),
            (row("publish", Flags::PUBSUB, Group::Pubsub), "publish"),
            (row("psubscribe", Flags::PUBSUB, Group::Pubsub), "psubscribe"),
            (row("auth", Flags::NO_AUTH, Group::Connection), "auth"),
            (row("config", Flags::empty(), Group::Server), "config"),
            (row("get", Flags::ADMIN, Group::Server), "config|get"),
            (row("set", Flags::ADMIN, Group::Server), "config|set"),
            (row("swapdb", Flags::WRITE, Group::Server), "swapdb"),
            (row("flushall", Flags::WRITE, Group::Server), "flushall"),
            (row("ping", Flags::FAST, Group::Connection), "ping"),
        ];
        let rows = all.map(|(spec, name)| {
            let subs = if name == "config" { vec![10, 11] } else { Vec::new() };
            (spec, name, subs)
        });
        Self { rows: rows.into() }
    }

    pub(crate) fn spec(&self, row: RowId) -> &CommandSpec {
        &self.rows[usize::from(row)].0
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context { commands: self, all_channels: false, terse: false }
    }
}

impl Commands for Table {
    fn count(&self) -> usize {
        self.rows.len()
    }

    fn by_name(&self, name: &[u8]) -> Option<RowId> {
        let name = name.to_ascii_lowercase();
        self.rows.iter().position(|(_, known, _)| known.as_bytes() == name).map(|at| at as RowId)
    }

    fn full_name(&self, row: RowId) -> &str {
        self.rows[usize::from(row)].1
    }

    fn categories(&self, row: RowId) -> Categories {
        let (spec, _, subs) = &self.rows[usize::from(row)];
        if subs.is_empty() { spec.categories() } else { Categories::SLOW }
    }

    fn subcommands(&self, row: RowId) -> &[RowId] {
        &self.rows[usize::from(row)].2
    }
}
