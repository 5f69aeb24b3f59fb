//! One run of the benchmark client against one server, measured from both sides.

use crate::machine;
use crate::workload::Workload;
use anyhow::{Context, Result, bail};
use ochre_testkit::Server;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Connections of the client.
const CLIENTS: &str = "50";

/// Requests of the run that measures how many fit into the wanted time.
const CALIBRATION: u64 = 20_000;

/// How the client drives the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Regime {
    pub(crate) name: &'static str,
    /// Requests in flight on each connection.
    pub(crate) pipeline: u32,
    /// Processors of the server, as taskset's list.
    pub(crate) server_cpus: &'static str,
    /// Processors of the client.
    pub(crate) client_cpus: &'static str,
}

/// What one run gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Requests a second, as the client counts them.
    pub(crate) rps: f64,
    /// CPU time of the server, in microseconds a request.
    pub(crate) cpu_us: f64,
    /// Processors that were busy with something else.
    pub(crate) ext: f64,
}

/// Runs `requests` requests.
pub(crate) fn run(
    client: &Path,
    server: &Server,
    workload: &Workload,
    regime: &Regime,
    requests: u64,
) -> Result<Run> {
    for command in workload.first {
        server.client().cmd(command);
    }
    let (cpu, busy, children) =
        (machine::cpu_ns(server.pid())?, machine::busy_ns()?, machine::children_ns()?);
    let start = Instant::now();
    let output = Command::new("taskset")
        .args(["-c", regime.client_cpus])
        .arg(client)
        .args(["-p", &server.port().to_string(), "-c", CLIENTS, "--csv"])
        .args(["-n", &requests.to_string(), "-P", &regime.pipeline.to_string()])
        .args(workload.args)
        .stdin(Stdio::null())
        .output()
        .context("cannot run the benchmark client behind taskset")?;
    let took = start.elapsed().as_nanos() as f64;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() || text.contains("ERR") {
        bail!("{}: {text}{}", workload.name, String::from_utf8_lossy(&output.stderr));
    }
    let cpu = machine::cpu_ns(server.pid())? - cpu;
    let busy = machine::busy_ns()?.saturating_sub(busy);
    let own = cpu + machine::children_ns()?.saturating_sub(children);
    Ok(Run {
        rps: requests_per_second(&text).with_context(|| format!("no rate in {text:?}"))?,
        cpu_us: cpu as f64 / 1000.0 / requests as f64,
        ext: busy.saturating_sub(own) as f64 / took,
    })
}

/// How many requests fit into so many seconds.
pub(crate) fn requests_for(
    client: &Path,
    server: &Server,
    workload: &Workload,
    regime: &Regime,
    seconds: f64,
) -> Result<u64> {
    let requests = CALIBRATION * u64::from(regime.pipeline).min(10);
    let first = run(client, server, workload, regime, requests)?;
    let count = (first.rps * seconds / 1000.0).ceil() as u64 * 1000;
    Ok(count.max(1000))
}

/// The second column of the last line of the client's CSV, counted from the right, since a
/// command in the first column may hold anything.
fn requests_per_second(text: &str) -> Option<f64> {
    let mut lines = text.lines().filter(|line| line.starts_with('"'));
    let columns = lines.next()?.split("\",\"").count();
    let row: Vec<&str> = lines.next_back()?.split("\",\"").collect();
    row.get((row.len() + 1).checked_sub(columns)?)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_found_behind_any_name() {
        let head = "\"test\",\"rps\",\"avg\"\n";
        assert_eq!(requests_per_second(&format!("{head}\"GET\",\"123.5\",\"0.1\"\n")), Some(123.5));
        let odd = format!("{head}\"MGET a \",\" b\",\"7.25\",\"0.1\"\n");
        assert_eq!(requests_per_second(&odd), Some(7.25));
        assert_eq!(requests_per_second("nothing"), None);
    }
}
