//! Memory for each shape of data: `used_memory` and resident bytes, as differences from empty.
//!
//! Each shape gets a new server. The data are a function of the index, loaded through a pipeline;
//! the numbers are read [`SETTLE`] after the last command, when background work is done.

use crate::chart::{self, Bar};
use crate::load::{load, scrambled};
use crate::machine;
use crate::options::Options;
use crate::report::{self, Table};
use anyhow::{Context, Result};
use ochre_testkit::{Program, Server};
use std::thread;
use std::time::Duration;

/// Time between the last command and the reading.
const SETTLE: Duration = Duration::from_secs(2);

const MILLION: u64 = 1_000_000;

const NOTES: &str = "Bytes a unit, as the difference from the empty server after 2 s: `used_memory` \
    of INFO, and resident bytes of the kernel. Target: the issue's limit for A/B.\n";

/// A shape of data.
struct Shape {
    name: &'static str,
    /// What is counted: keys, fields, members, elements.
    units: u64,
    target: f64,
    command: fn(u64) -> Vec<String>,
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).collect()
}

/// A 16-byte name.
fn name16(i: u64) -> String {
    format!("{i:016}")
}

fn string(i: u64) -> Vec<String> {
    words(&["SET", &name16(i), &format!("{:032x}", u128::from(scrambled(i)))])
}

const SHAPES: &[Shape] = &[
    Shape { name: "strings-1M", units: MILLION, target: 0.82, command: string },
    Shape { name: "strings-10M", units: 10 * MILLION, target: 0.82, command: string },
    Shape {
        name: "strings-ttl-1M",
        units: MILLION,
        target: 0.66,
        command: |i| {
            let mut words = string(i);
            words.extend(["EX".to_owned(), (100_000 + i % 1000).to_string()]);
            words
        },
    },
    Shape {
        name: "hashes-1M-of-5",
        units: MILLION,
        target: 0.8,
        command: |i| {
            let mut all = words(&["HSET", &name16(i)]);
            for field in 0..5 {
                all.extend([format!("f{field}"), format!("v{}", scrambled(i + field) % 1000)]);
            }
            all
        },
    },
    Shape {
        name: "zset-1M",
        units: MILLION,
        target: 0.65,
        command: |i| words(&["ZADD", "z", &(scrambled(i) % MILLION).to_string(), &name16(i)]),
    },
    Shape {
        name: "set-ints-1M",
        units: MILLION,
        target: 0.4,
        command: |i| words(&["SADD", "s", &(i * 7919 % MILLION).to_string()]),
    },
    Shape {
        name: "set-strings-1M",
        units: MILLION,
        target: 0.65,
        command: |i| words(&["SADD", "s", &format!("m{i:015}")]),
    },
    Shape {
        name: "hash-1M",
        units: MILLION,
        target: 0.75,
        command: |i| words(&["HSET", "h", &format!("f{i:015}"), &format!("{:016x}", scrambled(i))]),
    },
    Shape {
        name: "list-1M",
        units: MILLION,
        target: 1.0,
        command: |i| words(&["RPUSH", "l", &format!("{:016x}", scrambled(i))]),
    },
];

/// Measures all shapes.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Memory\n");
    let mut table = Table::new(&[
        "Shape", "A used", "B used", "Used A/B", "A RSS", "B RSS", "RSS A/B", "Target",
    ]);
    let mut bars = Vec::new();
    for shape in SHAPES.iter().filter(|s| options.wants(s.name)) {
        let ours = measure(&options.ochre, shape)?;
        let theirs = measure(&options.peer, shape)?;
        let (used, rss) = (ours.used / theirs.used, ours.rss / theirs.rss);
        table.row(&[
            shape.name.into(),
            format!("{:.1}", ours.used),
            format!("{:.1}", theirs.used),
            format!("{used:.2}"),
            format!("{:.1}", ours.rss),
            format!("{:.1}", theirs.rss),
            format!("{rss:.2}"),
            format!("{:.2}", shape.target),
        ]);
        for (what, value) in [("used", used), ("RSS", rss)] {
            let label = format!("{} {what}", shape.name);
            bars.push(Bar { label, value, quartiles: None, tick: Some(shape.target) });
        }
    }
    let chart = chart::svg("Memory, A / B", "lower is better; tick: the target", &bars);
    report::write(options, "memory", "Memory", &table, NOTES, &chart)
}

/// Bytes a unit.
struct Bytes {
    used: f64,
    rss: f64,
}

fn measure(program: &Program, shape: &Shape) -> Result<Bytes> {
    let server = Server::start(program, &[]);
    let before = reading(&server)?;
    load(&server, 0, shape.units, shape.command)?;
    let after = reading(&server)?;
    let each = |after: u64, before: u64| (after as f64 - before as f64) / shape.units as f64;
    Ok(Bytes { used: each(after.0, before.0), rss: each(after.1, before.1) })
}

/// `used_memory` and resident bytes after a while.
fn reading(server: &Server) -> Result<(u64, u64)> {
    let mut client = server.client();
    thread::sleep(SETTLE);
    let used = client.info("memory", "used_memory");
    Ok((used.parse().context("used_memory")?, machine::rss_bytes(server.pid())?))
}
