//! Five million keys to a file and back, to a replica, and what a log of the writes costs.
//!
//! Each server gets the same keys. Saved twice: at rest, and while a client writes random keys as fast as it can; the
//! second tells what a save costs those who write, and what memory it takes. Then servers of the same kind are started on
//! the file and on a log of plain commands, and one follows the other. The log's price is measured apart, by pairs.
//!
//! Figures of the save that only the server can know, how long it stood still and how long a lock was held for it, are
//! read from Ochre's own log.

use crate::chart::{self, Bar};
use crate::driver::{self, Regime};
use crate::load::{load, scrambled};
use crate::machine;
use crate::options::Options;
use crate::report::{self, Table};
use crate::stats::{Ratio, median};
use crate::workload::{Data, Workload};
use anyhow::{Context, Result, ensure};
use ochre_testkit::{Client, Program, Server};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: u64 = 5_000_000;
/// Between two looks at a server.
const LOOK: Duration = Duration::from_millis(5);
/// How long writers run before the save.
const BEFORE: Duration = Duration::from_secs(3);
/// When a measurement is given up.
const PATIENCE: Duration = Duration::from_secs(120);

const NOTES: &str = "5,000,000 keys of 16 bytes with values of 32; one event loop (load: two). Under load: \
    50 clients write random keys, 16 at a time. Extra memory: of Ochre, the most resident memory meanwhile above that \
    before; of the peer, what its child copied (`rdb_last_cow_size`). Writes: requests/s during the save by those \
    before. Sync: from REPLICAOF to `master_link_status:up`, no delay, nothing written meanwhile. Log: processor time \
    of a SET at P=16 with `appendonly yes` and `appendfsync everysec`, less that without; and requests/s with \
    `always`, 50 clients at P=1. Target: of A/B; where the issue bounds A itself (memory 15 %, the log 0.25 us) by what \
    the peer took when that was written. Of the writes it wants 85 % kept by A.\n";

const SETS: Workload = Workload {
    name: "SET",
    data: Data::Nothing,
    args: &["-r", "1000000", "-d", "64", "-t", "set"],
    first: &[],
    listeners: 0,
    at_p1: true,
};

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Persistence\n");
    let mut table = Table::new(&["What", "A", "B", "A/B", "Target"]);
    let mut bars = Vec::new();
    let mut row = |name: &str, a: f64, b: f64, target: f64| {
        let ratio = a / b;
        let cells = [name.to_owned(), format!("{a:.2}"), format!("{b:.2}"), format!("{ratio:.2}")];
        table.row(&[&cells[..], &[format!("{target:.2}")]].concat());
        bars.push(Bar { label: name.into(), value: ratio, quartiles: None, tick: Some(target) });
    };
    if options.wants("save") {
        let ours = Saved::measure(options, &options.ochre)?;
        let theirs = Saved::measure(options, &options.peer)?;
        row("save at rest, s", ours.idle_s, theirs.idle_s, 1.0);
        row("save under load, s", ours.loaded_s, theirs.loaded_s, 1.0);
        row("extra memory, %", ours.extra, theirs.extra, 0.2);
        row("writes kept, %", ours.kept, theirs.kept, 1.0);
        row("load of the file, s", ours.load_s, theirs.load_s, 0.6);
        row("load of a log, s", ours.log_s, theirs.log_s, 0.8);
        row("full sync, s", ours.sync_s, theirs.sync_s, 0.7);
        println!("A's saves: {}", ours.said.join("; "));
    }
    if options.wants("log") {
        let (ours, theirs) = (log_us(options, &options.ochre)?, log_us(options, &options.peer)?);
        row("log everysec, us a write", ours, theirs, 0.4);
        let always = always(options)?;
        row("log always, requests/s", always.0, always.1, 1.2);
    }
    let chart = chart::svg("Persistence, A / B", "tick: the target", &bars);
    report::write(options, "persistence", "Persistence", &table, NOTES, &chart)
}

/// What saves and loads of one server took.
struct Saved {
    idle_s: f64,
    loaded_s: f64,
    extra: f64,
    kept: f64,
    load_s: f64,
    log_s: f64,
    sync_s: f64,
    /// What the server's log says of its saves.
    said: Vec<String>,
}

impl Saved {
    fn measure(options: &Options, program: &Program) -> Result<Saved> {
        let one = ["--io-threads", "1", "--loglevel", "debug", "--repl-diskless-sync-delay", "0"];
        let server = Server::start(program, &one);
        fill(&server)?;
        let mut client = server.client();
        let before = machine::rss_bytes(server.pid())?;
        let (idle_s, _) = save(&mut client, &server)?;
        let mut writer = Writer::start(options, &server)?;
        let quiet = rate(&mut client, BEFORE)?;
        let commands = processed(&mut client)?;
        let resident = machine::rss_bytes(server.pid())?.max(before);
        let (loaded_s, peak) = save(&mut client, &server)?;
        let during = (processed(&mut client)? - commands) / loaded_s;
        writer.stop()?;
        let extra = match program_is_ochre(options, program) {
            true => peak.saturating_sub(resident) as f64,
            false => client.info("persistence", "rdb_last_cow_size").parse()?,
        };
        let used: f64 = client.info("memory", "used_memory").parse()?;
        let sync_s = sync(program, &server, &one)?;
        let said = server.log();
        let said = said.lines().filter_map(|line| line.split_once("Snapshot: ")).map(|(_, s)| s);
        let said = said.map(str::to_owned).collect();
        save(&mut client, &server)?;
        let load_s = start_on(program, server.dir(), &[])?;
        drop(server);
        Ok(Saved {
            idle_s,
            loaded_s,
            extra: extra / used * 100.0,
            kept: during / quiet * 100.0,
            load_s,
            log_s: load_of_log(program)?,
            sync_s,
            said,
        })
    }
}

fn program_is_ochre(options: &Options, program: &Program) -> bool {
    program.find() == options.ochre.find()
}

fn fill(server: &Server) -> Result<()> {
    load(server, 0, KEYS, |i| {
        let value = format!("{:032x}", u128::from(scrambled(i)));
        vec!["SET".into(), format!("key:{i:012}"), value]
    })
}

/// A BGSAVE: its seconds, and the most resident memory meanwhile.
fn save(client: &mut Client, server: &Server) -> Result<(f64, u64)> {
    let (began, mut peak) = (Instant::now(), 0);
    let reply = client.cmd(&["BGSAVE"]);
    ensure!(reply.error().is_none(), "BGSAVE: {reply:?}");
    loop {
        peak = peak.max(machine::rss_bytes(server.pid())?);
        if client.info("persistence", "rdb_bgsave_in_progress") == "0" {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "the save does not end");
        thread::sleep(LOOK);
    }
    let status = client.info("persistence", "rdb_last_bgsave_status");
    ensure!(status == "ok", "the save failed: {status}");
    Ok((began.elapsed().as_secs_f64(), peak))
}

fn processed(client: &mut Client) -> Result<f64> {
    Ok(client.info("stats", "total_commands_processed").parse()?)
}

fn rate(client: &mut Client, time: Duration) -> Result<f64> {
    let (began, first) = (Instant::now(), processed(client)?);
    thread::sleep(time);
    Ok((processed(client)? - first) / began.elapsed().as_secs_f64())
}

/// A client that writes random keys until it is stopped.
struct Writer(Child);

impl Writer {
    fn start(options: &Options, server: &Server) -> Result<Writer> {
        let port = server.port().to_string();
        let (range, value) = (KEYS.to_string(), "v".repeat(32));
        let child = Command::new(&options.client)
            .args(["-p", &port, "-c", "50", "-P", "16", "-n", "1000000000", "-r", &range, "-q"])
            .args(["SET", "key:__rand_int__", &value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run the benchmark client")?;
        thread::sleep(Duration::from_secs(1));
        Ok(Writer(child))
    }

    fn stop(&mut self) -> Result<()> {
        self.0.kill()?;
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After a failure of the measurement; it may have ended already.
        drop(self.stop());
    }
}

/// Starts a server on a folder's files: seconds until all keys are there.
fn start_on(program: &Program, folder: &Path, options: &[&str]) -> Result<f64> {
    let folder = folder.to_str().context("the folder's name is no text")?;
    let began = Instant::now();
    let server =
        Server::start(program, &[&["--dir", folder, "--io-threads", "2"], options].concat());
    let mut client = server.client();
    while client.cmd(&["PING"]).error().is_some() {
        ensure!(began.elapsed() < PATIENCE, "the file is not loaded");
        thread::sleep(LOOK);
    }
    let took = began.elapsed().as_secs_f64();
    ensure!(client.integer("DBSIZE") == KEYS as i64, "keys are missing after the load");
    Ok(took)
}

/// The same of a log that holds every write as a command.
fn load_of_log(program: &Program) -> Result<f64> {
    let log = ["--appendonly", "yes", "--appendfsync", "no", "--auto-aof-rewrite-percentage", "0"];
    let mut server = Server::start(program, &log);
    fill(&server)?;
    server.kill();
    start_on(program, server.dir(), &log)
}

/// An empty server of the same kind follows: seconds until it has everything.
fn sync(program: &Program, primary: &Server, options: &[&str]) -> Result<f64> {
    let replica = Server::start(program, options);
    let mut client = replica.client();
    let began = Instant::now();
    client.cmd(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]);
    while client.info("replication", "master_link_status") != "up" {
        ensure!(began.elapsed() < PATIENCE, "the replica does not come up");
        thread::sleep(LOOK);
    }
    let took = began.elapsed().as_secs_f64();
    ensure!(client.integer("DBSIZE") == KEYS as i64, "keys are missing on the replica");
    Ok(took)
}

const P16: Regime = Regime { name: "P=16", pipeline: 16, server_cpus: "0", client_cpus: "1" };
const P1: Regime = Regime { name: "P=1", pipeline: 1, server_cpus: "0,1", client_cpus: "0,1" };

/// Microseconds of processor time that the log adds to a write.
fn log_us(options: &Options, program: &Program) -> Result<f64> {
    let pinned = ["taskset", "-c", P16.server_cpus];
    let start = |log: &str| {
        let words =
            ["--io-threads", "1", "--appendonly", log, "--auto-aof-rewrite-percentage", "0"];
        Server::start_behind(&pinned, program, &words)
    };
    let (with, without) = (start("yes"), start("no"));
    let count = driver::requests_for(&options.client, &without, &SETS, &P16, options.seconds)?;
    let mut added = Vec::new();
    for _ in 0..options.pairs {
        let on = driver::run(&options.client, &with, &SETS, &P16, count)?;
        let off = driver::run(&options.client, &without, &SETS, &P16, count)?;
        added.push(on.cpu_us - off.cpu_us);
    }
    Ok(median(&added))
}

/// Requests/s of both with `appendfsync always`: medians of interleaved runs.
fn always(options: &Options) -> Result<(f64, f64)> {
    let log = ["--appendonly", "yes", "--appendfsync", "always", "--io-threads", "1"];
    let servers = [Server::start(&options.ochre, &log), Server::start(&options.peer, &log)];
    let client = &options.client;
    let count = driver::requests_for(client, &servers[1], &SETS, &P1, options.seconds)?;
    let mut pairs = Vec::new();
    for _ in 0..options.pairs {
        let ours = driver::run(client, &servers[0], &SETS, &P1, count)?;
        let theirs = driver::run(client, &servers[1], &SETS, &P1, count)?;
        pairs.push((ours.rps, theirs.rps));
    }
    println!("always, requests/s: {}", Ratio::of(&pairs).text());
    let of = |what: fn(&(f64, f64)) -> f64| median(&pairs.iter().map(what).collect::<Vec<_>>());
    Ok((of(|pair| pair.0), of(|pair| pair.1)))
}
