//! What the kernel says: CPU time of a process, of all, memory of a process, the machine's name.
//!
//! Source: proc(5). `schedstat` counts nanoseconds on a processor; `stat` counts ticks of 10 ms.

use anyhow::{Context, Result};
use std::fs;

/// Nanoseconds of a tick of `/proc/stat` and `/proc/PID/stat`: USER_HZ is 100 on Linux.
const TICK_NS: u64 = 10_000_000;

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;

/// Nanoseconds that all threads of a process have run so far.
pub(crate) fn cpu_ns(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_whitespace().next().context("schedstat is empty")?;
        sum += first.parse::<u64>()?;
    }
    Ok(sum)
}

/// Resident bytes of a process.
pub(crate) fn rss_bytes(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages = text.split_whitespace().nth(1).context("statm has no second field")?;
    Ok(pages.parse::<u64>()? * PAGE_BYTES)
}

/// Nanoseconds that all processors have been busy so far.
pub(crate) fn busy_ns() -> Result<u64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|at| fields.get(*at)).sum::<u64>();
    Ok(busy * TICK_NS)
}

/// Nanoseconds that this process's finished children have run.
pub(crate) fn children_ns() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold blanks; cutime and cstime are fields 16 and 17.
    let rest = text.rsplit_once(')').context("/proc/self/stat has no name")?.1;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Ok((ticks(13) + ticks(14)) * TICK_NS)
}

/// The machine in a line: processors, model, kernel, load.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<_> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split_once(':')).map_or("?", |(_, m)| m.trim());
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let load: Vec<_> = load.split_whitespace().take(3).collect();
    format!("{} x {model}, Linux {}, load {}", models.len(), kernel.trim(), load.join(" "))
}
