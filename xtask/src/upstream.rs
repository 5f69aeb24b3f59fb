//! `cargo xtask upstream [--drop-in]`: Redis 7.0.15's own test suite against our binaries.
//!
//! The suite is obtained from Debian's source archive by apt, unpacked under `target/upstream`, and nothing of it
//! is committed. There are two ways to run a unit, each under a time limit, so that a hang is a result:
//!
//! - **External** (the default): against one server that runs already (`--compat redis-7.0`, one event loop, so
//!   that what two clients send takes effect in the order in which it was sent). Tests that need a server of
//!   their own are left out by the suite.
//! - **Drop-in**: in a tree whose `src/redis-server`, `redis-check-rdb` and `redis-check-aof` are `ochre-server`,
//!   which acts by its name, while the clients are Debian's. The suite starts, stops, kills and reads the logs of
//!   as many servers as it likes; the same two directives are given to each.
//!
//! `crates/conformance/upstream/units.txt` and `units-drop-in.txt` list the units; `skip.txt`, and for the drop-in
//! `skip-drop-in.txt` too, the tests that are passed over, each under the reason for it. At the end it says how many
//! tests there were, and how many were passed over, which must be under [`PASSED_OVER_MAX_PERCENT`].
//!
//! `OCHRE_SERVER` names another binary than `target/debug/ochre-server`.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::root;

const VERSION: &str = "7.0.15";
/// Time for one unit against a server that runs.
const PATIENCE: Duration = Duration::from_secs(180);
/// Time for one unit that starts its own servers, again and again.
const PATIENCE_DROP_IN: Duration = Duration::from_secs(600);
/// Times that a unit is tried: some of its tests count milliseconds.
const TRIES: usize = 3;
/// Part of all tests that may be passed over in an external run, which has all of its units in its list.
const PASSED_OVER_MAX_PERCENT: usize = 2;
/// What the suite looks for.
const PROGRAMS: &[&str] = &[
    "redis-server",
    "redis-sentinel",
    "redis-cli",
    "redis-benchmark",
    "redis-check-aof",
    "redis-check-rdb",
];
/// Folder of the lists.
const LISTS: &str = "crates/conformance/upstream";

/// How a unit is run: see the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    External,
    DropIn,
}

impl Way {
    fn units(self) -> &'static str {
        match self {
            Self::External => "units.txt",
            Self::DropIn => "units-drop-in.txt",
        }
    }

    fn skips(self) -> &'static [&'static str] {
        match self {
            Self::External => &["skip.txt"],
            Self::DropIn => &["skip.txt", "skip-drop-in.txt"],
        }
    }
}

/// Runs the units named, or all that are listed.
pub(crate) fn run(words: &[&str]) -> Result<()> {
    let (way, named) = match words {
        ["--drop-in", named @ ..] => (Way::DropIn, named),
        named => (Way::External, named),
    };
    let base = root().join("target/upstream");
    let tree = prepare(&base, way)?;
    let units: Vec<String> = match named {
        [] => lines(&root().join(LISTS).join(way.units()))?,
        named => named.iter().map(|unit| (*unit).to_owned()).collect(),
    };
    let mut failed = Vec::new();
    let (mut passed, mut wrong, mut over) = (0, 0, 0);
    for unit in &units {
        let mut outcome = run_unit(&tree, unit, way)?;
        for _ in 1..TRIES {
            if outcome.is_good() {
                break;
            }
            outcome = run_unit(&tree, unit, way)?;
        }
        let failures = outcome.failures.len();
        println!(
            "{unit}: {} passed, {failures} failed, {} passed over",
            outcome.passed, outcome.passed_over
        );
        passed += outcome.passed;
        wrong += failures;
        over += outcome.passed_over;
        if !outcome.is_good() {
            outcome.failures.iter().for_each(|name| println!("    {name}"));
            if let Some(trouble) = &outcome.trouble {
                println!("    {trouble}");
            }
            failed.push(unit.as_str());
        }
    }
    let all = passed + wrong + over;
    let share = over as f64 * 100.0 / all.max(1) as f64;
    println!(
        "{all} tests in {} units: {passed} passed, {wrong} failed, {over} passed over ({share:.1} %)",
        units.len()
    );
    ensure!(failed.is_empty(), "units of the upstream suite failed: {}", failed.join(", "));
    let too_many = over * 100 > all * PASSED_OVER_MAX_PERCENT;
    let is_whole = named.is_empty() && way == Way::External;
    ensure!(!(is_whole && too_many), "more than {PASSED_OVER_MAX_PERCENT} % are passed over");
    Ok(())
}

/// The lines of a list without comments and empty ones.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let kept = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(kept.map(str::to_owned).collect())
}

/// Obtains the suite, and lays out a folder in which it takes our binaries for its own.
fn prepare(base: &Path, way: Way) -> Result<PathBuf> {
    let source = base.join(format!("redis-{VERSION}"));
    if !source.join("tests/test_helper.tcl").is_file() {
        obtain(base)?;
    }
    let tree = base.join(if way == Way::DropIn { "tree-drop-in" } else { "tree" });
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(tree.join("src"))?;
    succeed(Command::new("cp").arg("-r").arg(source.join("tests")).arg(&tree))?;
    let ours: &[&str] = match way {
        Way::External => &["redis-server"],
        Way::DropIn => &["redis-server", "redis-sentinel", "redis-check-aof", "redis-check-rdb"],
    };
    for name in PROGRAMS {
        let is_ours = ours.contains(name);
        let program = if is_ours { server()? } else { Path::new("/usr/bin").join(name) };
        std::os::unix::fs::symlink(program, tree.join("src").join(name))?;
    }
    let mut skipped = Vec::new();
    for list in way.skips() {
        skipped.extend(lines(&root().join(LISTS).join(list))?);
    }
    fs::write(tree.join("skip.txt"), skipped.join("\n") + "\n")?;
    Ok(tree)
}

fn server() -> Result<PathBuf> {
    let path = root().join("target/debug/ochre-server");
    let path = std::env::var_os("OCHRE_SERVER").map_or(path, PathBuf::from);
    ensure!(path.is_file(), "build it first: cargo build -p ochre-server (or set OCHRE_SERVER)");
    Ok(path)
}

fn obtain(base: &Path) -> Result<()> {
    let apt = base.join("apt");
    fs::create_dir_all(apt.join("lists/partial"))?;
    let parts = apt.join("sources.list.d");
    fs::create_dir_all(&parts)?;
    source_entries(Path::new("/etc/apt"), &parts)?;
    let options = [
        "Dir::Etc::sourcelist=/dev/null".to_owned(),
        format!("Dir::Etc::sourceparts={}", parts.display()),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
    ];
    let get = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        options.iter().for_each(|option| {
            command.args(["-o", option]);
        });
        succeed(command.args(["-qq"]).args(words).current_dir(&apt))
    };
    get(&["update"])?;
    get(&["source", "--download-only", "redis"])?;
    let archive = format!("redis_{VERSION}.orig.tar.gz");
    succeed(Command::new("tar").arg("xzf").arg(apt.join(archive)).arg("-C").arg(base))
}

/// The entries of this machine's Debian archives, turned from packages to their sources.
fn source_entries(from: &Path, into: &Path) -> Result<()> {
    let listed = fs::read_dir(from.join("sources.list.d")).into_iter().flatten().flatten();
    let files = listed.map(|entry| entry.path()).chain([from.join("sources.list")]);
    for path in files.filter(|path| path.is_file()) {
        let text = fs::read_to_string(&path)?;
        // Other archives have no sources of this package, and may have none at all.
        let stanzas = text.split("\n\n").filter(|stanza| stanza.contains("debian"));
        let turn = |line: &str| match line.strip_prefix("deb ") {
            Some(rest) => format!("deb-src {rest}"),
            None => line.replace("Types: deb", "Types: deb-src"),
        };
        let turned: Vec<String> =
            stanzas.map(|stanza| stanza.lines().map(turn).collect::<Vec<_>>().join("\n")).collect();
        if let Some(name) = path.file_name().filter(|_| !turned.is_empty()) {
            fs::write(into.join(name), turned.join("\n\n") + "\n")?;
        }
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

#[derive(Debug, Default)]
struct Outcome {
    passed: usize,
    passed_over: usize,
    failures: Vec<String>,
    trouble: Option<String>,
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.failures.is_empty() && self.trouble.is_none()
    }
}

/// A server for one unit; it ends with it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn run_unit(tree: &Path, unit: &str, way: Way) -> Result<Outcome> {
    let output = tree.join(format!("{}.out", unit.replace('/', "_")));
    let mut suite = Command::new("tclsh");
    suite
        .args(["tests/test_helper.tcl", "--single", unit, "--durable", "--tags", "-slow"])
        .args(["--skipfile", "skip.txt"])
        .current_dir(tree)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&output)?)
        .stderr(Stdio::null());
    let in_time = match way {
        Way::External => external(tree, suite)?,
        Way::DropIn => drop_in(suite)?,
    };
    let mut outcome = read(&fs::read_to_string(&output).unwrap_or_default());
    if !in_time {
        let last = "it did not end in time, after the last test that did".to_owned();
        outcome.trouble = Some(last);
    }
    Ok(outcome)
}

/// Runs the suite against a server of ours; whether it ended in time.
fn external(tree: &Path, mut suite: Command) -> Result<bool> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let folder = tree.join(format!("data-{port}"));
    fs::create_dir_all(&folder)?;
    let log = fs::File::create(folder.join("log"))?;
    let child = Command::new(tree.join("src/redis-server"))
        .args(["--port", &port, "--io-threads", "1", "--compat", "redis-7.0", "--save", ""])
        .args(["--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--dir"])
        .arg(&folder)
        .stdout(log)
        .spawn()?;
    let server = Server(child);
    wait_for(&port)?;
    suite.args(["--host", "127.0.0.1", "--port", &port]);
    let in_time = ends_within(&mut suite.spawn().context(TCL)?, PATIENCE)?;
    drop(server);
    fs::remove_dir_all(&folder)?;
    Ok(in_time)
}

/// Runs the suite with servers that it starts; whether it ended in time.
fn drop_in(mut suite: Command) -> Result<bool> {
    suite.args([
        "--clients",
        "1",
        "--config",
        "compat",
        "redis-7.0",
        "--config",
        "io-threads",
        "1",
    ]);
    // Not the ports of an external run, so that both may go on at once.
    suite.args(["--baseport", "25111", "--portcount", "4000"]);
    // A group of its own: when time is out, its servers have to go with it.
    let mut suite = suite.process_group(0).spawn().context(TCL)?;
    let group = format!("-{}", suite.id());
    let in_time = ends_within(&mut suite, PATIENCE_DROP_IN)?;
    // An error says that nothing is left of the group.
    let kill = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
    kill.context("kill, to end what the suite has left running")?;
    Ok(in_time)
}

/// What is missing when the suite cannot be started.
const TCL: &str = "tclsh, which the upstream suite needs";

#[expect(clippy::disallowed_methods, reason = "a time limit of a test run is wall-clock time")]
fn ends_within(child: &mut Child, patience: Duration) -> Result<bool> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(true)
}

fn wait_for(port: &str) -> Result<()> {
    for _ in 0..200 {
        if std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_ok() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    bail!("the server did not come up on port {port}")
}

/// Counts what the suite printed, colours taken out.
fn read(text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seen_end = false;
    for line in text.lines() {
        let line = plain(line);
        if line.starts_with("[ok]: ") {
            outcome.passed += 1;
        } else if line.starts_with("[skip]: ") {
            outcome.passed_over += 1;
        } else if let Some(name) = line.strip_prefix("[err]: ") {
            outcome.failures.push(name.to_owned());
        } else if line.starts_with("[exception]") {
            outcome.trouble = Some(line.clone());
        } else if line.contains("The End") {
            seen_end = true;
        }
    }
    outcome.failures.sort();
    outcome.failures.dedup();
    if !seen_end && outcome.trouble.is_none() {
        outcome.trouble = Some("the suite did not come to its end".to_owned());
    }
    outcome
}

/// A line without escape sequences.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    out + rest
}
