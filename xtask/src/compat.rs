//! COMPAT.md: every command of the peers, and whether Ochre has it, from the command table itself.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use ochre_engine::registry::Registry;

use crate::root;

/// The peers' commands; see its first line.
const PEERS: &str = include_str!("../data/commands.csv");

/// Writes the file.
pub(crate) fn write() -> Result<()> {
    Ok(std::fs::write(root().join("COMPAT.md"), render())?)
}

/// Fails when the file is out of date.
pub(crate) fn check() -> Result<()> {
    let found = std::fs::read_to_string(root().join("COMPAT.md")).unwrap_or_default();
    ensure!(found == render(), "COMPAT.md is out of date: run cargo xtask codegen");
    Ok(())
}

fn render() -> String {
    let registry = Registry::new(ochre_families::TABLES, ochre_engine::commands::TABLES);
    let mut families: Vec<(&str, Vec<String>)> = Vec::new();
    let (mut have, mut all) = (0, 0);
    for line in PEERS.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(',').collect();
        let [family, name, redis, valkey, since_redis, since_valkey] = fields[..] else { continue };
        let full = name.replace(' ', "|");
        let supported =
            registry.by_full_name(full.as_bytes()).is_some_and(|row| row.full_name == full);
        all += 1;
        have += usize::from(supported);
        let since = if since_redis.is_empty() { since_valkey } else { since_redis };
        let mark = |flag: &str| match flag {
            "y" => "yes",
            "m" => "module",
            _ => "",
        };
        let row = format!(
            "| {} | {} | {} | {since} | {} |",
            name.to_uppercase(),
            mark(redis),
            mark(valkey),
            if supported { "yes" } else { "no" }
        );
        match families.last_mut() {
            Some((last, rows)) if *last == family => rows.push(row),
            _ => families.push((family, vec![row])),
        }
    }
    let mut out = format!(
        "# Commands\n\nEvery command of Redis 8.0 and Valkey 9.1, and whether Ochre has it: {have} of {all}. \
         Written by `cargo xtask codegen` from the command table; a check fails when it is out of date.\n"
    );
    for (family, rows) in families {
        // Writing to a string cannot fail.
        let _ = write!(
            out,
            "\n## {family}\n\n| command | Redis 8.0 | Valkey 9.1 | since | Ochre |\n|---|---|---|---|---|\n{}\n",
            rows.join("\n")
        );
    }
    out
}
