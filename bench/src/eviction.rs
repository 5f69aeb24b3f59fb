//! Hit ratios when there is room for half of the keys.
//!
//! A cache as applications use one: GET, and on a miss SET. Keys are drawn from a Zipf distribution. Each server
//! is first given all keys, to learn what they take of its memory, and then half of that; so both have room for
//! the same number of keys. The hit ratio is that of the second half of the requests.

use crate::chart::{self, Bar};
use crate::load::{load, scrambled};
use crate::options::Options;
use crate::report::{self, Table};
use anyhow::{Context, Result};
use ochre_testkit::raw::encode;
use ochre_testkit::{Client, Program, Server};

const KEYS: u64 = 200_000;
/// Requests of one run.
const REQUESTS: usize = 2_000_000;
/// GETs of one batch.
const BATCH: usize = 100;
/// Batches between two readings of memory.
const LOOK: usize = 100;
/// Exponent of the distribution, as YCSB has it.
const EXPONENT: f64 = 0.99;

const NOTES: &str = "GET, and SET on a miss, of 200,000 keys drawn from a Zipf distribution (0.99), \
    2 million requests, in batches of 100; values of 100 bytes. Hits: of the second half. Beyond: how far \
    `used_memory` was seen above `maxmemory`, at most, in per cent.\n";

/// Runs both policies on both servers.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("\n## Eviction\n");
    let mut table =
        Table::new(&["Policy", "A hits", "B hits", "Hits A/B", "A beyond, %", "B beyond, %"]);
    let zipf = Zipf::new(KEYS, EXPONENT);
    let mut bars = Vec::new();
    for policy in ["allkeys-lru", "allkeys-lfu"] {
        let ours = measure(&options.ochre, policy, &zipf)?;
        let theirs = measure(&options.peer, policy, &zipf)?;
        let ratio = ours.hits / theirs.hits;
        table.row(&[
            policy.into(),
            format!("{:.4}", ours.hits),
            format!("{:.4}", theirs.hits),
            format!("{ratio:.3}"),
            format!("{:.2}", ours.beyond),
            format!("{:.2}", theirs.beyond),
        ]);
        let label = format!("{policy} hits");
        bars.push(Bar { label, value: ratio, quartiles: None, tick: Some(1.0) });
    }
    let chart = chart::svg("Eviction, hits A / B", "higher is better", &bars);
    report::write(options, "eviction", "Eviction", &table, NOTES, &chart)
}

struct Found {
    /// Part of the GETs that found their key.
    hits: f64,
    /// Per cent above maxmemory, at most.
    beyond: f64,
}

fn key(i: u64) -> String {
    // Popular keys are not neighbours.
    format!("{:016x}", scrambled(i))
}

fn value(i: u64) -> String {
    format!("{i:0100}")
}

fn measure(program: &Program, policy: &str, zipf: &Zipf) -> Result<Found> {
    let server = Server::start(program, &["--io-threads", "1"]);
    let mut client = server.client();
    let empty = used(&mut client)?;
    load(&server, 0, KEYS, |i| vec!["SET".into(), key(i), value(i)])?;
    let full = used(&mut client)?;
    client.cmd(&["FLUSHALL"]);
    let limit = empty + (full - empty) / 2;
    client.cmd(&["CONFIG", "SET", "maxmemory-policy", policy]);
    client.cmd(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let (mut hits, mut asked, mut beyond) = (0u64, 0u64, 0.0f64);
    let batches = REQUESTS / BATCH;
    for batch in 0..batches {
        let numbers: Vec<u64> =
            (0..BATCH).map(|i| zipf.draw(scrambled((batch * BATCH + i) as u64))).collect();
        let mut out = Vec::new();
        numbers.iter().for_each(|&n| encode(&["GET", &key(n)], &mut out));
        client.try_send_raw(&out)?;
        let mut missed = Vec::new();
        for &number in &numbers {
            if client.try_reply()?.bytes().is_none() {
                missed.push(number);
            }
        }
        if batch >= batches / 2 {
            asked += BATCH as u64;
            hits += (BATCH - missed.len()) as u64;
        }
        out.clear();
        missed.iter().for_each(|&n| encode(&["SET", &key(n), &value(n)], &mut out));
        client.try_send_raw(&out)?;
        for _ in &missed {
            client.try_reply()?;
        }
        if batch % LOOK == 0 {
            let above = used(&mut client)? as f64 / limit as f64 - 1.0;
            beyond = beyond.max(above * 100.0);
        }
    }
    Ok(Found { hits: hits as f64 / asked as f64, beyond })
}

fn used(client: &mut Client) -> Result<u64> {
    client.info("memory", "used_memory").parse().context("used_memory")
}

/// Numbers from 0, the k-th with a probability of 1 / (k + 1) ^ exponent.
struct Zipf {
    /// Sums of the probabilities.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(count: u64, exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=count)
            .map(|k| {
                sum += (k as f64).powf(-exponent);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|s| *s /= sum);
        Zipf { sums }
    }

    /// The number for these random bits.
    fn draw(&self, bits: u64) -> u64 {
        let at = (bits >> 11) as f64 / (1u64 << 53) as f64;
        (self.sums.partition_point(|sum| *sum < at) as u64).min(self.sums.len() as u64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_drawn_most() {
        let zipf = Zipf::new(1000, 0.99);
        let mut counts = [0u32; 1000];
        for i in 0..100_000 {
            counts[zipf.draw(scrambled(i)) as usize] += 1;
        }
        // The first has 1 / 7.9 of the probability of all.
        assert!((11_500..13_500).contains(&counts[0]), "{}", counts[0]);
        assert!(counts[0] > counts[1] && counts[1] > counts[9] && counts[9] > counts[500]);
    }
}
