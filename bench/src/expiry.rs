//! A million keys that are due in the same second and that nobody reads.
//!
//! Beside them lie keys that stay, which one client reads all the time. What is measured: how long after their
//! time the keys are gone (DBSIZE counts those that are not), and the 99th percentile of the reads while they go, by
//! that before.

use crate::chart::{self, Bar};
use crate::load::{load, scrambled};
use crate::options::Options;
use crate::report::{self, Table};
use crate::stats::quantile;
use anyhow::{Context, Result, ensure};
use ochre_testkit::{Client, Program, Server};
use std::time::{Duration, Instant, SystemTime};

/// Keys that are due.
const DUE: u64 = 1_000_000;
/// Keys that stay.
const STAY: u64 = 100_000;
/// Time before the keys are due in which the reads are measured without them.
const BEFORE: Duration = Duration::from_secs(2);
/// Between two looks at the number of keys.
const LOOK: Duration = Duration::from_millis(20);
/// When the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

const NOTES: &str = "One client reads keys that stay, one command at a time. Gone: seconds from the \
    keys' time until DBSIZE counts none of them. p99: of the reads in the 2 s before, and from the keys' \
    time until they are gone.\n";

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Expiry\n");
    let mut table =
        Table::new(&["Server", "Gone, s", "p99 before, us", "p99 meanwhile, us", "p99 ratio"]);
    let mut bars = Vec::new();
    for (name, program) in [("A", &options.ochre), ("B", &options.peer)] {
        let found = measure(program)?;
        let ratio = found.during_us / found.before_us;
        table.row(&[
            name.into(),
            format!("{:.2}", found.gone_s),
            format!("{:.0}", found.before_us),
            format!("{:.0}", found.during_us),
            format!("{ratio:.2}"),
        ]);
        for (what, value) in [("gone, by 2 s", found.gone_s / 2.0), ("p99, by 2x", ratio / 2.0)] {
            let label = format!("{name} {what}");
            bars.push(Bar { label, value, quartiles: None, tick: Some(1.0) });
        }
    }
    let chart = chart::svg("Expiry, by the target", "lower is better; 1 = the target", &bars);
    report::write(options, "expiry", "A million keys due at once", &table, NOTES, &chart)
}

struct Found {
    gone_s: f64,
    before_us: f64,
    during_us: f64,
}

fn now_ms() -> Result<u64> {
    Ok(SystemTime::UNIX_EPOCH.elapsed().context("the clock is before 1970")?.as_millis() as u64)
}

fn measure(program: &Program) -> Result<Found> {
    let server = Server::start(program, &["--io-threads", "1"]);
    load(&server, 0, STAY, |i| vec!["SET".into(), stays(i), "v".into()])?;
    // Far enough ahead for loading, and then for the reads before it.
    let due_ms = now_ms()? + 12_000;
    load(&server, 0, DUE, |i| {
        let (key, at) = (format!("due:{i:012}"), due_ms + i % 1000);
        vec!["SET".into(), key, format!("{i:016}"), "PXAT".into(), at.to_string()]
    })?;
    ensure!(now_ms()? + BEFORE.as_millis() as u64 <= due_ms, "loading took too long");
    let mut client = server.client();
    let mut counter = server.client();
    let until =
        |ms: u64| -> Result<Duration> { Ok(Duration::from_millis(ms.saturating_sub(now_ms()?))) };
    std::thread::sleep(until(due_ms)?.saturating_sub(BEFORE));
    let before = reads(&mut client, until(due_ms)?);
    let began = Instant::now();
    let mut during = Vec::new();
    // The last keys are due a second later than the first.
    let all_due = Duration::from_secs(1);
    loop {
        during.extend(reads(&mut client, LOOK));
        if counter.integer("DBSIZE") == STAY as i64 {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "the keys do not go");
    }
    Ok(Found {
        gone_s: (began.elapsed().saturating_sub(all_due)).as_secs_f64(),
        before_us: quantile(&before, 0.99),
        during_us: quantile(&during, 0.99),
    })
}

fn stays(i: u64) -> String {
    format!("stays:{i:010}")
}

/// Reads any of the keys that stay, one after the other; the time of each in microseconds.
fn reads(client: &mut Client, time: Duration) -> Vec<f64> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let key = stays(scrambled(times.len() as u64 + 7) % STAY);
        let start = Instant::now();
        client.cmd(&["GET", &key]);
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times
}
