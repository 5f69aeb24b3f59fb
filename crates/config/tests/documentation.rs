//! docs/configuration.md is written from the table of directives; this test fails when it is out of
//! date. `OCHRE_UPDATE_DOCS=1 cargo test -p ochre-config --test documentation` writes it anew.

use ochre_config::directive::{Directive, Kind, Status};
use ochre_config::table::{RETIRED, TABLE};
use std::fmt::Write;
use std::path::PathBuf;

const HEAD: &str = "\
# Configuration

<!-- Written from crates/config/src/table by crates/config/tests/documentation.rs. Change it there. -->

For whoever runs the server. Ochre reads `redis.conf` and `valkey.conf` files as they are. A directive is one
of three kinds:

- **It works**: the first table.
- **It is accepted and has no effect**, because what it governs does not exist here: the second table. A value
  other than the default is noted in the log.
- **It is refused**: it needs a part of the server that is not there yet, and ignoring it would break a
  promise. Only its default is accepted: the third table.

## Where values come from

```sh
ochre-server /etc/ochre.conf --port 7000 --maxmemory 2gb   # a file, then options over it
echo 'maxmemory 128mb' | ochre-server -                    # from the standard input
redis-cli CONFIG SET maxmemory 3gb timeout 300             # while it runs: all of them, or none
redis-cli CONFIG REWRITE                                   # what is in force, into the file; comments stay
```

- A line is a name and its values, separated by blanks; `#` begins a comment line. Values may stand in double
  quotes (with `\\n`, `\\xff` and their like) or in single quotes.
- Later lines override earlier ones. `save` lines add up. `client-output-buffer-limit` lines each set the
  classes that they name.
- `include /etc/ochre.d/*.conf` reads other files in the order of their names, at most 16 deep.
- Amounts of memory: `1k` is 1000 bytes, `1kb` is 1024; `m`, `mb`, `g`, `gb` likewise.
- A line that is wrong ends the start with exit code 1 and names the line.
- `user` lines are refused but for one that gives the default user all rights, as CONFIG REWRITE of the peers
  writes it. `rename-command`, `loadmodule` and `sentinel` lines are refused.
";

#[test]
fn the_document_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let expected = document();
    if std::env::var_os("OCHRE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let difference = expected.lines().zip(found.lines()).find(|(want, have)| want != have);
    assert!(
        found == expected,
        "{} is out of date, first at {difference:?}; \
         OCHRE_UPDATE_DOCS=1 cargo test -p ochre-config --test documentation writes it",
        path.display()
    );
}

fn document() -> String {
    let mut out = HEAD.to_owned();
    let sorted = |wanted: fn(&Status) -> bool| {
        let mut rows: Vec<&Directive> = TABLE.iter().filter(|row| wanted(&row.status)).collect();
        rows.sort_by_key(|row| row.name);
        rows
    };
    let live = sorted(|status| matches!(status, Status::Live));
    let inert = sorted(|status| matches!(status, Status::Inert(_)));
    let later = sorted(|status| matches!(status, Status::Later(_)));
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "\n## Directives that work ({})\n\n\
         *Set* says when it can be changed: `run` by CONFIG SET, `start` only at the start, `guarded` by \
         CONFIG SET if `enable-protected-configs` allows it.\n\n\
         | directive | value | default | set | what it does |\n|---|---|---|---|---|\n",
        live.len()
    );
    for row in live {
        let set = match row {
            Directive { immutable: true, .. } => "start",
            Directive { protected: true, .. } => "guarded",
            _ => "run",
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {set} | {} |",
            names(row),
            value(row.kind),
            default(row),
            row.doc.replace('|', "\\|")
        );
    }
    let _ = write!(
        out,
        "\n## Directives without effect ({})\n\n| directive | default | why |\n|---|---|---|\n",
        inert.len()
    );
    for row in inert {
        let Status::Inert(reason) = row.status else { continue };
        let _ = writeln!(out, "| {} | {} | {reason} |", names(row), default(row));
    }
    let _ = write!(
        out,
        "\n## Directives refused until later ({})\n\n| directive | only value | needs |\n|---|---|---|\n",
        later.len()
    );
    for row in later {
        let Status::Later(part) = row.status else { continue };
        let _ = writeln!(out, "| {} | {} | {part} |", names(row), default(row));
    }
    let _ = write!(
        out,
        "\n## Names that mean nothing any more\n\nA line with one of these is passed over: {}.\n",
        RETIRED.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    out
}

fn names(row: &Directive) -> String {
    row.names().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn default(row: &Directive) -> String {
    if row.default.is_empty() { "(empty)".into() } else { format!("`{}`", row.default) }
}

/// A kind in words for one cell of the table.
fn value(kind: Kind) -> String {
    let range = |min: i64, max: i64, unit: &str| {
        let max = match max {
            i64::MAX => "any".to_owned(),
            max => max.to_string(),
        };
        format!("{min} to {max} {unit}").trim_end().to_owned()
    };
    let words = |choices: &[(&str, i64)]| {
        choices.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    };
    match kind {
        Kind::Bool => "`yes`, `no`".into(),
        Kind::Int { min, max, unit } => range(min, max, unit),
        Kind::Clamped { min, max, unit } => {
            format!("{}, moved into that range", range(min, max, unit))
        }
        Kind::Memory { .. } => "memory".into(),
        Kind::Choice(choices) => words(choices),
        Kind::Bits(choices) => format!("one or more of {}", words(choices)),
        Kind::Text => "text".into(),
        Kind::FileName(_) => "file name".into(),
        Kind::Octal => "octal, up to 777".into(),
        Kind::MemoryOrPercent => "memory, or percent".into(),
        Kind::Bind => "up to 16 addresses".into(),
        Kind::Save => "pairs of seconds and changes".into(),
        Kind::OutputLimits => "class, hard limit, soft limit, seconds; repeated".into(),
        Kind::Events => "letters".into(),
        Kind::OomScores => "three numbers".into(),
        Kind::Percentiles => "percentiles".into(),
        Kind::HostPort => "host and port".into(),
        Kind::TitleTemplate => "text with names in braces".into(),
        Kind::Schedule => "`hourly`, `daily`, `weekly`, or seconds".into(),
    }
}
