//! The HELP subcommand of every container, answered from the rows of its siblings.

use ochre_command::Result;
use ochre_command::spec::{Flags, Group};

use crate::registry::{Row, SessionRow};
use crate::turn::Turn;

/// The row of a container's HELP.
pub(crate) const fn row(since: &'static str, group: Group) -> SessionRow {
    SessionRow::new("help", 2, Flags::LOADING.union(Flags::STALE), group, run).docs(
        since,
        "Explains the subcommands.",
        "O(1)",
        "",
    )
}

fn run(turn: &mut Turn<'_>, _args: &[&[u8]], row: &Row) -> Result {
    let registry = &turn.engine.registry;
    let container = row.parent.map_or(row, |id| registry.row(id));
    let mut lines = vec![format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.spec.name.to_uppercase()
    )];
    for &id in &container.subcommands {
        let spec = &registry.row(id).spec;
        lines.push(format!("{} {}", spec.name.to_uppercase(), spec.syntax).trim_end().to_owned());
        lines.push(format!("    {}", spec.summary));
    }
    let mut reply = turn.reply();
    reply.array(lines.len());
    for line in lines {
        reply.status(line);
    }
    Ok(())
}
