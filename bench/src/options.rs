//! What the command line asks for, with the defaults filled in.

use anyhow::{Context, Result, bail};
use lexopt::prelude::{Long, Short, Value, ValueExt};
use ochre_testkit::Program;
use ochre_testkit::server::{in_path, peer_binary};
use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str = "usage: ochre-bench [speed] [families] [loops] [memory] [engine] [growth] [expiry] [eviction] \
    [persistence] [failover] [--peer PATH] [--client PATH] [--ochre PATH] [--pairs N] [--seconds S] [--only NAME,NAME] [--no-floor] [--results DIR]";

/// One part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    Speed,
    Families,
    Loops,
    Memory,
    Engine,
    Growth,
    Expiry,
    Eviction,
    Persistence,
    Failover,
}

/// All parts, by the names that they are asked for with.
const PARTS: [(&str, Part); 10] = [
    ("speed", Part::Speed),
    ("families", Part::Families),
    ("loops", Part::Loops),
    ("memory", Part::Memory),
    ("engine", Part::Engine),
    ("growth", Part::Growth),
    ("expiry", Part::Expiry),
    ("eviction", Part::Eviction),
    ("persistence", Part::Persistence),
    ("failover", Part::Failover),
];

/// All settings of a run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) ochre: Program,
    /// Where its binary is.
    pub(crate) ochre_path: PathBuf,
    /// The bare loop of the same binary.
    pub(crate) floor: Program,
    pub(crate) peer: Program,
    /// valkey-benchmark or redis-benchmark.
    pub(crate) client: PathBuf,
    /// Interleaved pairs of each workload.
    pub(crate) pairs: usize,
    /// Length of one run.
    pub(crate) seconds: f64,
    /// Names of the workloads or shapes to run; all when empty.
    pub(crate) only: Vec<String>,
    /// Whether the bare loop runs beside the two.
    pub(crate) has_floor: bool,
    pub(crate) results: PathBuf,
}

impl Options {
    pub(crate) fn from_args() -> Result<Options> {
        let (mut ochre, mut peer, mut client) = (None, None, None);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut options = Options {
            parts: Vec::new(),
            ochre: Program::Ochre,
            ochre_path: PathBuf::new(),
            floor: Program::Ochre,
            peer: Program::Valkey9,
            client: PathBuf::new(),
            pairs: 10,
            seconds: 1.0,
            only: Vec::new(),
            has_floor: true,
            results: root.join("results"),
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Value(name) => {
                    let known = PARTS.iter().find(|(known, _)| name == *known);
                    options.parts.push(known.with_context(|| USAGE)?.1);
                }
                Long("peer") => peer = Some(PathBuf::from(args.value()?)),
                Long("client") => client = Some(PathBuf::from(args.value()?)),
                Long("ochre") => ochre = Some(PathBuf::from(args.value()?)),
                Long("pairs") => options.pairs = args.value()?.parse()?,
                Long("seconds") => options.seconds = args.value()?.parse()?,
                Long("only") => {
                    let names = args.value()?.string()?;
                    options.only = names.split(',').map(str::to_owned).collect();
                }
                Long("no-floor") => options.has_floor = false,
                Long("results") => options.results = PathBuf::from(args.value()?),
                Short('h') | Long("help") => bail!("{USAGE}"),
                other => bail!("{}\n{USAGE}", other.unexpected()),
            }
        }
        if options.parts.is_empty() {
            options.parts = PARTS.iter().map(|(_, part)| *part).collect();
        }
        let ochre = match ochre {
            Some(path) => path,
            None => built_ochre(root)?,
        };
        options.ochre_path.clone_from(&ochre);
        options.floor = Program::BareLoop(ochre.clone());
        options.ochre = Program::At(ochre);
        options.peer = Program::At(match peer {
            Some(path) => path,
            None => peer_binary("valkey-server")
                .or_else(|| in_path("redis-server"))
                .context("no peer: install redis-server, or give --peer")?,
        });
        options.client = match client {
            Some(path) => path,
            None => peer_binary("valkey-benchmark")
                .or_else(|| in_path("redis-benchmark"))
                .context("no client: install redis-tools, or give --client")?,
        };
        Ok(options)
    }

    /// Whether a workload or shape is asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

/// The release binary, built as needed.
fn built_ochre(bench: &Path) -> Result<PathBuf> {
    let root = bench.parent().context("bench/ has no parent")?;
    println!("building ochre-server");
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "ochre-server"])
        .current_dir(root)
        .status()?;
    if !status.success() {
        bail!("cannot build ochre-server");
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(target.join("release/ochre-server"))
}
