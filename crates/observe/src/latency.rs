//! The latency monitor: for each kind of event the latest times that took longer than the threshold.
//!
//! Source: Redis' documentation, "Latency monitoring".

use std::collections::{BTreeMap, VecDeque};

/// Samples kept for an event, as the peers.
const SAMPLES: usize = 160;

/// One second's worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Unix seconds.
    pub unix_s: i64,
    /// Milliseconds.
    pub ms: u64,
}

/// The history of one event.
#[derive(Debug, Clone, Default)]
pub struct History {
    samples: VecDeque<Sample>,
    /// The worst ever, in milliseconds.
    pub max_ms: u64,
    /// All times added up, and how many there were.
    pub sum_ms: u64,
    /// Times noted.
    pub count: u64,
}

impl History {
    /// Oldest first.
    pub fn samples(&self) -> impl ExactSizeIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// The newest.
    pub fn latest(&self) -> Option<Sample> {
        self.samples.back().copied()
    }
}

/// All events.
#[derive(Debug, Default)]
pub struct LatencyMonitor {
    events: BTreeMap<&'static str, History>,
}

impl LatencyMonitor {
    /// Notes that `event` took `ms`. Within one second only the worst is kept.
    pub fn add(&mut self, event: &'static str, unix_s: i64, ms: u64) {
        let history = self.events.entry(event).or_default();
        history.max_ms = history.max_ms.max(ms);
        history.sum_ms += ms;
        history.count += 1;
        match history.samples.back_mut() {
            Some(last) if last.unix_s == unix_s => last.ms = last.ms.max(ms),
            _ => {
                history.samples.push_back(Sample { unix_s, ms });
                if history.samples.len() > SAMPLES {
                    history.samples.pop_front();
                }
            }
        }
    }

    /// An event's history.
    pub fn history(&self, event: &[u8]) -> Option<&History> {
        let name = std::str::from_utf8(event).ok()?;
        self.events.get(name)
    }

    /// All events by name.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&'static str, &History)> {
        self.events.iter().map(|(name, history)| (*name, history))
    }

    /// Forgets the events that `chosen` accepts, and says how many.
    pub fn reset(&mut self, chosen: impl Fn(&str) -> bool) -> usize {
        let before = self.events.len();
        self.events.retain(|name, _| !chosen(name));
        before - self.events.len()
    }
}

/// Draws a history as a small chart of columns, the newest on the right: LATENCY GRAPH.
pub fn graph(event: &str, history: &History, now_s: i64) -> String {
    const ROWS: u64 = 4;
    let (low, high) =
        history.samples().fold((u64::MAX, 0), |(low, high), s| (low.min(s.ms), high.max(s.ms)));
    let low = low.min(high);
    let mut out =
        format!("{event} - high {high} ms, low {low} ms (all time high {} ms)\n", history.max_ms);
    out.push_str(&"-".repeat(80));
    out.push('\n');
    let span = (high - low).max(1);
    for row in (0..ROWS).rev() {
        for sample in history.samples() {
            let level = (sample.ms - low) * (ROWS * 3 - 1) / span;
            out.push(match level.checked_sub(row * 3) {
                None => ' ',
                Some(0) => '_',
                Some(1) => 'o',
                Some(2) => '#',
                Some(_) => '|',
            });
        }
        out.push('\n');
    }
    out.push('\n');
    let ages: Vec<String> = history.samples().map(|s| age(now_s - s.unix_s)).collect();
    let tallest = ages.iter().map(String::len).max().unwrap_or(0);
    for line in 0..tallest {
        for age in &ages {
            out.push(age.as_bytes().get(line).map_or(' ', |&b| char::from(b)));
        }
        out.push('\n');
    }
    out
}

fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..86_400 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_worst_of_a_second_and_a_bounded_history() {
        let mut monitor = LatencyMonitor::default();
        monitor.add("command", 1, 5);
        monitor.add("command", 1, 9);
        monitor.add("command", 1, 7);
        let history = monitor.history(b"command").unwrap();
        assert_eq!(history.latest(), Some(Sample { unix_s: 1, ms: 9 }));
        for s in 2..1000 {
            monitor.add("command", s, 1);
        }
        let history = monitor.history(b"command").unwrap();
        assert_eq!((history.samples().len(), history.max_ms), (SAMPLES, 9));
        assert!(graph("command", history, 1000).contains("all time high 9 ms"));
        assert_eq!(monitor.reset(|name| name == "other"), 0);
        assert_eq!(monitor.reset(|_| true), 1);
    }
}
