//! Tables as Markdown, on the terminal and in a file.

use crate::machine;
use crate::options::Options;
use anyhow::Result;
use ochre_testkit::Program;
use std::fmt::Write as _;
use std::fs;

/// A table that grows row by row.
#[derive(Debug)]
pub(crate) struct Table {
    text: String,
}

impl Table {
    /// A table with these column names; printed as it grows.
    pub(crate) fn new(columns: &[&str]) -> Table {
        let mut table = Table { text: String::new() };
        table.row(&columns.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>());
        table.line(&format!("|{}", "---|".repeat(columns.len())));
        table
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: &[String]) {
        self.line(&format!("| {} |", cells.join(" | ")));
    }

    fn line(&mut self, line: &str) {
        println!("{line}");
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// Writes `results/NAME.md`: title, circumstances, table, notes, and the chart beside it.
pub(crate) fn write(
    options: &Options,
    name: &str,
    title: &str,
    table: &Table,
    notes: &str,
    chart: &str,
) -> Result<()> {
    fs::create_dir_all(&options.results)?;
    let version = |program: &Program| program.version().unwrap_or_else(|| "?".into());
    let client = options.client.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut text = format!("# {title}\n\n");
    writeln!(
        text,
        "Ochre {} (A) beside {} {} (B), driven by {client}; {} interleaved pairs of {:.1} s each.\n\
         Machine: {}.\n\n![chart]({name}.svg)\n",
        version(&options.ochre),
        options.peer.name(),
        version(&options.peer),
        options.pairs,
        options.seconds,
        machine::description(),
    )?;
    writeln!(text, "{}\n{notes}", table.text)?;
    let file = options.results.join(format!("{name}.md"));
    fs::write(&file, text)?;
    fs::write(options.results.join(format!("{name}.svg")), chart)?;
    println!("\nwritten: {}", file.display());
    Ok(())
}
