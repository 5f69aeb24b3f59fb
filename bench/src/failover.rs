//! How long nobody takes writes when a primary dies.
//!
//! Three sentinels, a primary and two replicas, all of one kind. A client writes all the time; the primary is killed
//! (SIGKILL); the client asks the sentinels where to write, one after the other, until a write is accepted. The time
//! between the two is what is measured. Most of it is `down-after-milliseconds`.
//!
//! Runs of A and B take turns.

use crate::chart::{self, Bar};
use crate::options::Options;
use crate::report::{self, Table};
use crate::stats::{Ratio, median, quantile};
use anyhow::{Context, Result, bail, ensure};
use ochre_testkit::{Client, Program, Server, Value};
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// `down-after-milliseconds`
const DOWN_AFTER: Duration = Duration::from_millis(1000);
/// What it should take: a second more.
const TARGET: Duration = Duration::from_millis(2000);
/// When a run is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);
/// Writes before the kill.
const WRITES: usize = 200;

const NOTES: &str = "Three sentinels, a primary and two replicas of one kind on one machine; \
    `down-after-milliseconds 1000`, quorum 2. Outage: from the SIGKILL of the primary to the first write that another \
    server accepts, by a client that asks the sentinels in turn, every 5 ms. Target of A: at most 2000 ms.\n";

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Failover\n");
    let mut pairs = Vec::new();
    for pair in 0..options.pairs {
        // A B, B A, .. as everywhere.
        let (ours, theirs) = if pair % 2 == 0 {
            let ours = outage(&options.ochre)?;
            (ours, outage(&options.peer)?)
        } else {
            let theirs = outage(&options.peer)?;
            (outage(&options.ochre)?, theirs)
        };
        println!("A {ours:.0} ms, B {theirs:.0} ms");
        pairs.push((ours, theirs));
    }
    let mut table = Table::new(&["Server", "Outage, median ms", "Quartiles", "Longest"]);
    let ours: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    let theirs: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    for (name, values) in [("A", &ours), ("B", &theirs)] {
        let (low, high) = (quantile(values, 0.25), quantile(values, 0.75));
        table.row(&[
            name.to_owned(),
            format!("{:.0}", median(values)),
            format!("{low:.0}-{high:.0}"),
            format!("{:.0}", quantile(values, 1.0)),
        ]);
    }
    let target = TARGET.as_secs_f64() * 1000.0;
    let bar = |label: &str, values: &[f64]| Bar {
        label: label.to_owned(),
        value: median(values) / target,
        quartiles: Some((quantile(values, 0.25) / target, quantile(values, 0.75) / target)),
        tick: Some(1.0),
    };
    let bars = [bar("A", &ours), bar("B", &theirs)];
    let chart = chart::svg("Outage, by the target of 2 s", "lower is better", &bars);
    let notes = format!("{NOTES}\nA/B: {}\n", Ratio::of(&pairs).text());
    report::write(options, "failover", "Failover", &table, &notes, &chart)
}

/// A sentinel process with a folder of its own.
struct Sentinel {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Sentinel {
    fn start(program: &Program, dir: PathBuf, primary: u16) -> Result<Self> {
        let binary = program.find().context("no program")?;
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        fs::create_dir(&dir)?;
        let file = dir.join("sentinel.conf");
        let text = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor m 127.0.0.1 {primary} 2\n\
             sentinel down-after-milliseconds m {}\nsentinel failover-timeout m 6000\n",
            dir.display(),
            DOWN_AFTER.as_millis()
        );
        fs::write(&file, text)?;
        let mut command = Command::new(binary);
        command.arg(&file).arg("--sentinel").current_dir(&dir).stdin(Stdio::null());
        let log = File::create(dir.join("log"))?;
        let child = command.stderr(log.try_clone()?).stdout(log).spawn()?;
        Ok(Self { child, port, dir })
    }

    /// A field of SENTINEL MASTER; none when it does not answer.
    fn field(&self, name: &str) -> Option<String> {
        let reply = Client::try_connect(self.port).ok()?.try_cmd(&["SENTINEL", "MASTER", "m"]);
        let reply = reply.ok()?;
        let found =
            reply.items()?.chunks(2).find(|pair| pair[0].bytes() == Some(name.as_bytes()))?;
        Some(String::from_utf8_lossy(found.get(1)?.bytes()?).into_owned())
    }

    /// What it printed.
    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Where it says that the primary is.
    fn named(&self) -> Option<u16> {
        let mut client = Client::try_connect(self.port).ok()?;
        let reply = client.try_cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"]).ok()?;
        String::from_utf8_lossy(reply.items()?.get(1)?.bytes()?).parse().ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself; a folder that stays does no harm.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        ensure!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Starts all of one kind; the primary is the first server.
fn set_up(program: &Program) -> Result<(Vec<Server>, Vec<Sentinel>)> {
    let options = ["--repl-diskless-sync-delay", "0"];
    let servers: Vec<Server> = (0..3).map(|_| Server::start(program, &options)).collect();
    let port = servers[0].port();
    for replica in &servers[1..] {
        let mut client = replica.client();
        client.cmd(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        eventually("a replica follows", || {
            client.info("replication", "master_link_status") == "up"
        })?;
    }
    let folder = |n: usize| -> &Path { servers[n].dir() };
    let sentinels: Vec<Sentinel> = (0..3)
        .map(|n| Sentinel::start(program, folder(n).join("sentinel"), port))
        .collect::<Result<_>>()?;
    for sentinel in &sentinels {
        eventually("all are known", || {
            sentinel.field("num-slaves").as_deref() == Some("2")
                && sentinel.field("num-other-sentinels").as_deref() == Some("2")
        })?;
    }
    // Priorities and offsets come with the first INFO of each replica.
    thread::sleep(Duration::from_secs(2));
    Ok((servers, sentinels))
}

/// One run; milliseconds.
fn outage(program: &Program) -> Result<f64> {
    let (mut servers, sentinels) = set_up(program)?;
    let old = servers[0].port();
    let mut client = servers[0].client();
    for count in 0..WRITES {
        let reply = client.cmd(&["SET", "k", &count.to_string()]);
        ensure!(matches!(reply, Value::Status(_)), "not written: {reply:?}");
    }
    let began = Instant::now();
    servers[0].kill();
    while began.elapsed() < PATIENCE {
        for sentinel in &sentinels {
            let port = sentinel.named().filter(|port| *port != old);
            let client = port.and_then(|port| Client::try_connect(port).ok());
            let reply = client.and_then(|mut client| client.try_cmd(&["SET", "k", "new"]).ok());
            if matches!(reply, Some(Value::Status(_))) {
                if began.elapsed() > 2 * TARGET {
                    // Why it took so long: two candidates with as many votes, mostly.
                    sentinels.iter().for_each(|one| println!("{}", one.log()));
                }
                return Ok(began.elapsed().as_secs_f64() * 1000.0);
            }
        }
        thread::sleep(LOOK);
    }
    let logs: Vec<String> = sentinels.iter().map(Sentinel::log).collect();
    bail!("{}: nobody took writes within {PATIENCE:?}\n{}", program.name(), logs.join("\n"))
}
