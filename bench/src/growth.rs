//! From nothing to 20 million keys, and back to a tenth of them.
//!
//! Two questions: does an insert ever take long (the table grows by small steps, or by one large one), and does
//! memory follow the data, up without a peak and down without a residue. The first is asked without
//! sockets, by the processor time of each insert; the second of a server, whose memory is read on the way.

use crate::chart::{self, Bar};
use crate::engine::{field, in_process};
use crate::load::{load, scrambled};
use crate::machine;
use crate::options::Options;
use crate::report::{self, Table};
use anyhow::{Context, Result};
use ochre_testkit::{Program, Server};
use std::thread;
use std::time::{Duration, Instant};

const KEYS: u64 = 20_000_000;
/// Keys loaded between two readings.
const STEP: u64 = 250_000;
/// One in this many keys stays.
const STAYS: u64 = 10;
/// How long memory may take to go back.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is to be left of the peak then.
const QUARTER: f64 = 0.25;

const NOTES: &str = "Keys of 16 bytes with values of 32. Inserts: processor time of each, without \
    sockets. Peak/settled: the largest `used_memory` and resident memory while the keys were loaded, read \
    every 250,000 keys, by what they were 2 s after. After deletion: resident memory by its peak, as soon as \
    it is at most a quarter or after 30 s, when 90 % of the keys have been deleted.\n";

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Growth\n");
    let mut table = Table::new(&["What", "A", "B", "Target"]);
    let mut bars = Vec::new();
    let line = in_process(options, &["grow", &KEYS.to_string()])?;
    let longest = field(&line, "longest_us")?;
    let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
    table.row(&row(&["longest insert, us", &format!("{longest:.0}"), "-", "200"]));
    let over = format!("{:.0}", field(&line, "over_200us")?);
    table.row(&row(&["inserts above 200 us", &over, "-", "0"]));
    bars.push(bar("longest insert by 200 us", longest / 200.0, 1.0));
    let ours = measure(&options.ochre)?;
    let theirs = measure(&options.peer)?;
    let figures = [
        ("peak used by settled", ours.used_peak, theirs.used_peak, 1.03),
        ("peak RSS by settled", ours.rss_peak, theirs.rss_peak, 1.03),
        ("RSS after deletion by peak", ours.rss_left, theirs.rss_left, QUARTER),
        ("seconds until then", ours.seconds, theirs.seconds, 30.0),
    ];
    for (name, a, b, target) in figures {
        table.row(&row(&[name, &format!("{a:.2}"), &format!("{b:.2}"), &format!("{target:.2}")]));
        bars.push(bar(name, a / target, 1.0));
    }
    let chart = chart::svg("Growth, by the target", "lower is better", &bars);
    let notes = format!("{NOTES}\nInserts by processor time: {line}\n");
    report::write(options, "growth", "Growth to 20 million keys", &table, &notes, &chart)
}

fn bar(label: &str, value: f64, tick: f64) -> Bar {
    Bar { label: label.into(), value, quartiles: None, tick: Some(tick) }
}

/// Ratios, and the time that memory took to go back.
struct Memory {
    used_peak: f64,
    rss_peak: f64,
    rss_left: f64,
    seconds: f64,
}

fn name(i: u64) -> String {
    format!("{i:016}")
}

fn measure(program: &Program) -> Result<Memory> {
    let server = Server::start(program, &["--io-threads", "1"]);
    let (mut used_peak, mut rss_peak) = (0, 0);
    for step in 0..KEYS / STEP {
        load(&server, 0, STEP, |i| {
            let i = step * STEP + i;
            vec!["SET".into(), name(i), format!("{:032x}", scrambled(i))]
        })?;
        used_peak = used_peak.max(used(&server)?);
        rss_peak = rss_peak.max(machine::rss_bytes(server.pid())?);
    }
    thread::sleep(Duration::from_secs(2));
    let (used_settled, rss_settled) = (used(&server)?, machine::rss_bytes(server.pid())?);
    load(&server, 0, KEYS / STAYS, |i| {
        let gone = (1..STAYS).map(|j| name(i * STAYS + j));
        std::iter::once("DEL".to_owned()).chain(gone).collect()
    })?;
    let began = Instant::now();
    let left = loop {
        let left = machine::rss_bytes(server.pid())? as f64 / rss_peak as f64;
        if left <= QUARTER || began.elapsed() > PATIENCE {
            break left;
        }
        thread::sleep(Duration::from_millis(100));
    };
    Ok(Memory {
        used_peak: used_peak as f64 / used_settled as f64,
        rss_peak: rss_peak as f64 / rss_settled as f64,
        rss_left: left,
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn used(server: &Server) -> Result<u64> {
    server.client().info("memory", "used_memory").parse().context("used_memory")
}
