//! `cargo xtask upstream`: Redis 7.0.15's own test suite against our binaries.
//!
//! The suite is obtained from Debian's source archive by apt, unpacked under `target/upstream`, and nothing of it
//! is committed. Each unit runs against a server of its own (`--compat redis-7.0`, one event loop, so that
//! what two clients send takes effect in the order in which it was sent), under a time limit, so that a hang is
//! a result. `crates/conformance/upstream/units.txt` lists the units; `skip.txt` the tests that are passed over, each
//! under the reason for it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::root;

const VERSION: &str = "7.0.15";
/// Time for one unit.
const PATIENCE: Duration = Duration::from_secs(180);
/// Times that a unit is tried: some of its tests count milliseconds.
const TRIES: usize = 3;

/// Runs the units named, or all that are listed.
pub(crate) fn run(units: &[&str]) -> Result<()> {
    let base = root().join("target/upstream");
    let tree = prepare(&base)?;
    let listed = lines(&root().join("crates/conformance/upstream/units.txt"))?;
    let units: Vec<String> = match units {
        [] => listed,
        named => named.iter().map(|unit| (*unit).to_owned()).collect(),
    };
    let mut failed = Vec::new();
    for unit in &units {
        let mut outcome = run_unit(&tree, unit)?;
        for _ in 1..TRIES {
            if outcome.is_good() {
                break;
            }
            outcome = run_unit(&tree, unit)?;
        }
        println!("{unit}: {} passed, {} failed", outcome.passed, outcome.failures.len());
        if !outcome.is_good() {
            outcome.failures.iter().for_each(|name| println!("    {name}"));
            if let Some(trouble) = &outcome.trouble {
                println!("    {trouble}");
            }
            failed.push(unit.as_str());
        }
    }
    ensure!(failed.is_empty(), "units of the upstream suite failed: {}", failed.join(", "));
    Ok(())
}

/// The lines of a list without comments and empty ones.
fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let kept = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(kept.map(str::to_owned).collect())
}

/// Obtains the suite, and lays out a folder in which it takes our binaries for its own.
fn prepare(base: &Path) -> Result<PathBuf> {
    let source = base.join(format!("redis-{VERSION}"));
    if !source.join("tests/test_helper.tcl").is_file() {
        obtain(base)?;
    }
    let tree = base.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree)?;
    }
    fs::create_dir_all(tree.join("src"))?;
    succeed(Command::new("cp").arg("-r").arg(source.join("tests")).arg(&tree))?;
    std::os::unix::fs::symlink(server()?, tree.join("src/redis-server"))?;
    for tool in ["redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(tool), tree.join("src").join(tool))?;
    }
    let skipped = lines(&root().join("crates/conformance/upstream/skip.txt"))?;
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

fn run_unit(tree: &Path, unit: &str) -> Result<Outcome> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port().to_string();
    let folder = tree.join(format!("data-{port}"));
    fs::create_dir_all(&folder)?;
    let output = tree.join(format!("{}.out", unit.replace('/', "_")));
    let log = fs::File::create(folder.join("log"))?;
    let child = Command::new(tree.join("src/redis-server"))
        .args(["--port", &port, "--io-threads", "1", "--compat", "redis-7.0", "--save", ""])
        .args(["--enable-debug-command", "yes", "--enable-protected-configs", "yes", "--dir"])
        .arg(&folder)
        .stdout(log)
        .spawn()?;
    let server = Server(child);
    wait_for(&port)?;
    let mut suite = Command::new("tclsh")
        .args(["tests/test_helper.tcl", "--host", "127.0.0.1", "--port", &port, "--single", unit])
        .args(["--durable", "--skipfile", "skip.txt", "--tags", "-slow"])
        .current_dir(tree)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&output)?)
        .stderr(Stdio::null())
        .spawn()
        .context("tclsh, which the upstream suite needs")?;
    let in_time = ends_within(&mut suite, PATIENCE)?;
    drop(server);
    fs::remove_dir_all(&folder)?;
    let mut outcome = read(&fs::read_to_string(&output).unwrap_or_default());
    if !in_time {
        let last = "it did not end in time, after the last test that did".to_owned();
        outcome.trouble = Some(last);
    }
    Ok(outcome)
}

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
