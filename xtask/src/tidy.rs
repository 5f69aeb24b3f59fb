//! `cargo xtask tidy`: what the layout promises, checked from the files themselves.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::root;

/// What each crate may import of ours. Everything below is checked from the manifests.
const EDGES: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("resp", &["base"]),
    ("types", &["base"]),
    ("rdb", &["base", "types"]),
    ("keyspace", &["base", "types"]),
    ("command", &["base", "resp", "types", "keyspace"]),
    ("families", &["base", "resp", "types", "rdb", "keyspace", "command"]),
    ("config", &["base", "resp"]),
    ("observe", &["base"]),
    ("aof", &["base"]),
    ("backup", &["rdb"]),
    ("script", &["base", "resp", "command"]),
    ("pubsub", &["base"]),
    ("replication", &["base"]),
    ("sentinel", &["base", "resp"]),
    ("sim", &["base", "resp", "sentinel"]),
    ("acl", &["base", "command"]),
    (
        "engine",
        &[
            "acl", "base", "resp", "types", "keyspace", "command", "families", "config", "observe",
            "pubsub", "script",
        ],
    ),
    ("net", &["base", "resp"]),
    (
        "server",
        &[
            "backup",
            "base",
            "resp",
            "types",
            "keyspace",
            "command",
            "engine",
            "config",
            "observe",
            "net",
            "rdb",
            "aof",
            "families",
            "replication",
            "acl",
            "sentinel",
        ],
    ),
    ("testkit", &["base", "resp"]),
    ("conformance", &["base", "resp", "testkit"]),
];

/// Files that may hold unsafe code.
const UNSAFE: &[&str] = &[
    "crates/base/src/word_lock.rs",
    "crates/types/src/bitmap/popcount.rs",
    "crates/types/src/table/bucket.rs",
    "crates/types/src/table/prefetch.rs",
    "crates/server/src/allocator.rs",
];

/// Lines of a file, tests not counted.
const LINES_MAX: usize = 800;

/// Runs all checks, and reports all that fails.
pub(crate) fn run() -> Result<()> {
    let mut complaints = edges()?;
    for path in sources(&root())? {
        let text = std::fs::read_to_string(&path)?;
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        complaints.extend(file(&name, &text));
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    ensure!(complaints.is_empty(), "{} complaints", complaints.len());
    Ok(())
}

/// Compares each crate's dependencies with the table.
fn edges() -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for folder in std::fs::read_dir(root().join("crates"))? {
        let folder = folder?.path();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let manifest = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest)
            .with_context(|| format!("reading {}", manifest.display()))?;
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!("crates/{name} is not in xtask's table of crates"));
            continue;
        };
        for import in imports(&text) {
            if !allowed.contains(&import.as_str()) {
                complaints.push(format!("crates/{name} may not import ochre-{import}"));
            }
        }
    }
    Ok(complaints)
}

/// Our crates among the dependencies of a manifest; those of its tests do not count.
fn imports(manifest: &str) -> Vec<String> {
    let mut counts = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            counts = line == "[dependencies]";
        } else if let Some(rest) = line.strip_prefix("ochre-")
            && counts
        {
            names.push(rest.split(['.', ' ', '=']).next().unwrap_or_default().to_owned());
        }
    }
    names
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                found.extend(sources(&path)?);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn file(name: &str, text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if !text.starts_with("//!") {
        complaints.push(format!("{name}: begins without a //! head"));
    }
    let is_test = name.contains("/tests") || name.ends_with("tests.rs");
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let lines = code.lines().count();
    if lines > LINES_MAX && !is_test {
        complaints.push(format!("{name}: {lines} lines, more than {LINES_MAX}"));
    }
    let has_unsafe = code.lines().any(|line| {
        let line = line.trim_start();
        !line.starts_with("//") && (line.contains("unsafe {") || line.starts_with("unsafe "))
    });
    if has_unsafe && !UNSAFE.contains(&name) && !name.starts_with("xtask/") {
        complaints.push(format!("{name}: unsafe code outside the allow-list"));
    }
    // Written in two halves, so that this file does not accuse itself.
    for place in [concat!("/ro", "ot/"), concat!("/wo", "rk/")] {
        if text.contains(place) {
            complaints.push(format!("{name}: names a path of one machine ({place})"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complains_of_what_it_should() {
        assert!(file("crates/x/src/a.rs", "//! Head.\nfn f() {}\n").is_empty());
        assert_eq!(file("crates/x/src/a.rs", "fn f() {}\n").len(), 1);
        assert_eq!(file("crates/x/src/a.rs", "//! H.\nfn f() { unsafe { g() } }\n").len(), 1);
        let long = format!("//! H.\n{}", "fn f() {}\n".repeat(900));
        assert_eq!(file("crates/x/src/a.rs", &long).len(), 1);
    }

    #[test]
    fn reads_the_imports_of_a_manifest() {
        let manifest = "[dependencies]\nochre-base.workspace = true\nmio = \"1\"\n\
                        [dev-dependencies]\nochre-engine.workspace = true\n";
        assert_eq!(imports(manifest), ["base"]);
    }
}
