//! The engine without sockets: `ochre-server --in-process`, one thread against two.
//!
//! Each measurement is a process of its own, one thread and two in turns. What two threads do more than one is
//! what the locks and the caches leave of the second core.

use crate::chart::{self, Bar};
use crate::options::Options;
use crate::report::{self, Table};
use crate::stats::{Ratio, median};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Workloads with the least that two threads are to do of what one does.
const WORKLOADS: [(&str, f64); 4] =
    [("uniform", 1.8), ("hot", 0.8), ("mset", 1.6), ("script", 1.7)];

const NOTES: &str = "Commands in batches of 16, without sockets, on a million keys. `uniform`: GET \
    and SET of any key; `hot`: INCR of one key; `mset`: MSET of ten keys; `script`: EVAL of three calls on \
    two declared keys. Ratio: commands/s of two threads by those of one, the median of pairs. The peer has \
    no part in it.\n";

/// Runs all workloads.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Engine\n");
    let mut table = Table::new(&[
        "Workload",
        "One thread, commands/s",
        "Two threads, commands/s",
        "Two/one",
        "ns a command, one",
        "ns a command, two",
        "Target",
    ]);
    let mut bars = Vec::new();
    for (name, target) in WORKLOADS.iter().filter(|(name, _)| options.wants(name)) {
        let mut pairs = Vec::new();
        for pair in 0..options.pairs {
            let (first, second) = if pair % 2 == 0 { (1, 2) } else { (2, 1) };
            let (a, b) = (measure(options, name, first)?, measure(options, name, second)?);
            pairs.push(if first == 1 { (a, b) } else { (b, a) });
        }
        let speeds: Vec<(f64, f64)> = pairs.iter().map(|(one, two)| (two.rate, one.rate)).collect();
        let ratio = Ratio::of(&speeds);
        let middle =
            |what: fn(&(Run, Run)) -> f64| median(&pairs.iter().map(what).collect::<Vec<_>>());
        table.row(&[
            (*name).into(),
            format!("{:.0}", middle(|pair| pair.0.rate)),
            format!("{:.0}", middle(|pair| pair.1.rate)),
            ratio.text(),
            format!("{:.0}", middle(|pair| pair.0.cpu_ns)),
            format!("{:.0}", middle(|pair| pair.1.cpu_ns)),
            format!("{target:.1}"),
        ]);
        bars.push(Bar {
            label: (*name).into(),
            value: ratio.median,
            quartiles: Some(ratio.quartiles),
            tick: Some(*target),
        });
    }
    let chart = chart::svg("Two threads by one", "higher is better; tick: the target", &bars);
    report::write(options, "engine", "The engine on two threads", &table, NOTES, &chart)
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Commands a second.
    rate: f64,
    /// Processor time of a command.
    cpu_ns: f64,
}

fn measure(options: &Options, workload: &str, threads: usize) -> Result<Run> {
    let seconds = options.seconds.to_string();
    let line = in_process(options, &[workload, &threads.to_string(), &seconds])?;
    Ok(Run { rate: field(&line, "commands_per_s")?, cpu_ns: field(&line, "cpu_ns_per_command")? })
}

/// The line that a run without sockets prints.
pub(crate) fn in_process(options: &Options, words: &[&str]) -> Result<String> {
    let output = Command::new(&options.ochre_path).arg("--in-process").args(words).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text.lines().last().map(str::to_owned).context("it printed nothing")
}

/// The number behind `name=` in such a line.
pub(crate) fn field(line: &str, name: &str) -> Result<f64> {
    let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    Ok(value.with_context(|| format!("no {name} in: {line}"))?.parse()?)
}
