//! Two event loops against the peer's two I/O threads, and against its best setting.
//!
//! Server and client share the same two processors, so that nothing is gained by spinning. Four
//! servers take turns: Ochre with two loops and with one, the peer with `io-threads` 2 and 1.

use crate::chart::{self, Bar};
use crate::driver::{self, Regime, Run};
use crate::options::Options;
use crate::report::{self, Table};
use crate::stats::{Ratio, median};
use crate::workload::{Data, WORKLOADS, prepare};
use anyhow::Result;
use ochre_testkit::Server;

const REGIMES: [Regime; 2] = [
    Regime { name: "P=1", pipeline: 1, server_cpus: "0,1", client_cpus: "0,1" },
    Regime { name: "P=16", pipeline: 16, server_cpus: "0,1", client_cpus: "0,1" },
];

/// Workloads that are run.
const NAMES: [&str; 2] = ["GET", "SET"];

const NOTES: &str = "A2, A1: Ochre with two loops and one; B2, B1: the peer with io-threads 2 and 1. \
    All on the two processors that the client uses too. Best B: the faster of B2 and B1 in each \
    round. Ratios are medians of pairwise ratios with their quartiles.\n";

/// Runs the comparison.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Two loops\n");
    let mut table = Table::new(&[
        "Workload",
        "Regime",
        "A2 req/s",
        "A1 req/s",
        "B2 req/s",
        "B1 req/s",
        "req/s A2/B2",
        "req/s A2/best B",
        "CPU A2/B2",
        "CPU A2/A1",
    ]);
    let mut bars = Vec::new();
    let pinned = ["taskset", "-c", REGIMES[0].server_cpus];
    let start =
        |program, threads| Server::start_behind(&pinned, program, &["--io-threads", threads]);
    let servers = [
        start(&options.ochre, "2"),
        start(&options.ochre, "1"),
        start(&options.peer, "2"),
        start(&options.peer, "1"),
    ];
    for server in &servers {
        prepare(server, Data::Keys)?;
    }
    for workload in WORKLOADS.iter().filter(|w| NAMES.contains(&w.name) && options.wants(w.name)) {
        for regime in &REGIMES {
            let client = &options.client;
            let requests =
                driver::requests_for(client, &servers[3], workload, regime, options.seconds)?;
            let mut rounds: Vec<[Run; 4]> = Vec::new();
            for round in 0..options.pairs {
                // The order turns by one each round.
                let mut runs = [None; 4];
                for at in 0..4 {
                    let at = (at + round) % 4;
                    runs[at] = Some(driver::run(client, &servers[at], workload, regime, requests)?);
                }
                if let [Some(a2), Some(a1), Some(b2), Some(b1)] = runs {
                    rounds.push([a2, a1, b2, b1]);
                }
            }
            let rps = |at: usize| -> Vec<f64> { rounds.iter().map(|r| r[at].rps).collect() };
            let pairs = |what: fn(&[Run; 4]) -> (f64, f64)| {
                Ratio::of(&rounds.iter().map(what).collect::<Vec<_>>())
            };
            let against_two = pairs(|r| (r[0].rps, r[2].rps));
            let against_best = pairs(|r| (r[0].rps, r[2].rps.max(r[3].rps)));
            let number = |at: usize| format!("{:.0}", median(&rps(at)));
            table.row(&[
                workload.name.into(),
                regime.name.into(),
                number(0),
                number(1),
                number(2),
                number(3),
                against_two.text(),
                against_best.text(),
                pairs(|r| (r[0].cpu_us, r[2].cpu_us)).text(),
                pairs(|r| (r[0].cpu_us, r[1].cpu_us)).text(),
            ]);
            for (what, ratio) in [("A2/B2", against_two), ("A2/best B", against_best)] {
                bars.push(Bar {
                    label: format!("{} {} {what}", workload.name, regime.name),
                    value: ratio.median,
                    quartiles: Some(ratio.quartiles),
                    tick: None,
                });
            }
        }
    }
    let chart = chart::svg("Two loops, requests/s, A / B", "higher is better", &bars);
    report::write(options, "loops", "Two loops", &table, NOTES, &chart)
}
