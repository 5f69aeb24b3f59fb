//! LATENCY and its subcommands.

use std::sync::PoisonError;

use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};
use ochre_observe::latency::{LatencyMonitor, graph};

use crate::commands::help;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

const fn sub(
    name: &'static str,
    arity: i32,
    run: SessionFn,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> SessionRow {
    SessionRow::new(name, arity, FLAGS, Group::Server, run)
        .docs(since, summary, "O(N) with N the number of samples", syntax)
        .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "latency",
    Group::Server,
    "2.8.13",
    "Commands on latency.",
    &[
        sub("doctor", 2, doctor, "2.8.13", "Explains what is slow, in words.", ""),
        sub("graph", 3, latency_graph, "2.8.13", "Draws an event's latency.", "event"),
        help::row("2.8.13", Group::Server),
        sub(
            "histogram",
            -2,
            histogram,
            "7.0.0",
            "Gives the distribution of commands' latencies.",
            "[command [command ...]]",
        ),
        sub("history", 3, history, "2.8.13", "Gives an event's samples.", "event"),
        sub("latest", 2, latest, "2.8.13", "Gives the latest sample of every event.", ""),
        sub("reset", -2, reset, "2.8.13", "Forgets samples.", "[event [event ...]]"),
    ],
)];

impl crate::engine::Engine {
    /// Lends the latency monitor out.
    pub fn latency<R>(&self, with: impl FnOnce(&mut LatencyMonitor) -> R) -> R {
        with(&mut self.latency.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn history(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let samples: Vec<(i64, u64)> = turn.engine.latency(|monitor| {
        let history = monitor.history(args[2]);
        history.into_iter().flat_map(|h| h.samples().map(|s| (s.unix_s, s.ms))).collect()
    });
    let mut reply = turn.reply();
    reply.array(samples.len());
    for (at, ms) in samples {
        reply.array(2);
        reply.integer(at);
        reply.integer(ms as i64);
    }
    Ok(())
}

fn latest(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let events: Vec<(&str, i64, u64, u64)> = turn.engine.latency(|monitor| {
        monitor
            .events()
            .filter_map(|(name, h)| h.latest().map(|s| (name, s.unix_s, s.ms, h.max_ms)))
            .collect()
    });
    let mut reply = turn.reply();
    reply.array(events.len());
    for (name, at, ms, max) in events {
        reply.array(4);
        reply.bulk(name);
        reply.integer(at);
        reply.integer(ms as i64);
        reply.integer(max as i64);
    }
    Ok(())
}

fn reset(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let gone = turn.engine.latency(|monitor| {
        monitor.reset(|name| args.len() == 2 || args[2..].contains(&name.as_bytes()))
    });
    turn.reply().integer(gone as i64);
    Ok(())
}

fn latency_graph(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let now = turn.lp.now.unix_ms / 1000;
    let name = String::from_utf8_lossy(args[2]).into_owned();
    let drawn = turn
        .engine
        .latency(|monitor| monitor.history(args[2]).map(|history| graph(&name, history, now)));
    let drawn = drawn
        .ok_or_else(|| ReplyError::new(format!("ERR No samples available for event '{name}'")))?;
    turn.reply().verbatim(*b"txt", drawn);
    Ok(())
}

fn doctor(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let threshold = turn.live().settings.latency_monitor_threshold_ms;
    let lines: Vec<String> = turn.engine.latency(|monitor| {
        monitor
            .events()
            .map(|(name, history)| {
                let average = history.sum_ms / history.count.max(1);
                format!(
                    "- {name}: {} spikes, {average} ms on average, {} ms at worst. {}",
                    history.count,
                    history.max_ms,
                    advice(name)
                )
            })
            .collect()
    });
    let text = if threshold == 0 {
        "The latency monitor is off. CONFIG SET latency-monitor-threshold <milliseconds> turns it \
         on; choose the longest time that your clients can bear.\n"
            .to_owned()
    } else if lines.is_empty() {
        format!("Nothing has taken longer than {threshold} ms since the monitor was reset.\n")
    } else {
        format!("Slower than {threshold} ms:\n\n{}\n", lines.join("\n"))
    };
    turn.reply().verbatim(*b"txt", text);
    Ok(())
}

fn advice(event: &str) -> &'static str {
    match event {
        "command" => "See SLOWLOG GET for the commands, and prefer ones that touch fewer elements.",
        "fast-command" => "Cheap commands were slow: look for other work on these processors.",
        "expire-cycle" => "Many keys expire at once: spread their times to live.",
        "eviction-cycle" => "Eviction had much to do: leave more room below maxmemory.",
        _ => "",
    }
}

fn histogram(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    turn.flush_counts();
    let stats = turn.engine.all_stats();
    let registry = &turn.engine.registry;
    let asked = |row: &Row| {
        args.len() == 2
            || args[2..].iter().any(|name| {
                let named = registry.by_full_name(name).map(|row| row.id);
                named == Some(row.id) || named.is_some() && named == row.parent
            })
    };
    let rows: Vec<(&Row, &ochre_observe::stats::CommandStats)> = registry
        .rows()
        .iter()
        .map(|row| (row, &stats.commands[usize::from(row.id)]))
        .filter(|(row, stats)| stats.calls > 0 && stats.latency.is_some() && asked(row))
        .collect();
    let mut reply = turn.reply();
    reply.map(rows.len());
    for (row, stats) in rows {
        reply.bulk(&row.full_name);
        reply.map(2);
        reply.bulk("calls");
        reply.integer(stats.calls as i64);
        reply.bulk("histogram_usec");
        let buckets = cumulative(stats);
        reply.map(buckets.len());
        for (us, count) in buckets {
            reply.integer(us as i64);
            reply.integer(count as i64);
        }
    }
    Ok(())
}

/// Calls up to each power of two of microseconds, where the count changes.
fn cumulative(stats: &ochre_observe::stats::CommandStats) -> Vec<(u64, u64)> {
    let Some(latency) = &stats.latency else { return Vec::new() };
    let (mut buckets, mut last, mut us) = (Vec::new(), 0, 1u64);
    while last < latency.len() && us <= 1 << 20 {
        let count = latency.count_between(0, us * 1024);
        if count != last {
            buckets.push((us, count));
            last = count;
        }
        us *= 2;
    }
    buckets
}
