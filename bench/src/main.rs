//! Ochre and a peer side by side, on one machine, in one run.
//!
//! ```text
//! cargo run --release -p ochre-bench -- [speed] [families] [loops] [memory] [engine] [growth] [expiry]
//!     [eviction] [persistence] [failover] [--peer PATH] [--client PATH] [--ochre PATH] [--pairs N] [--seconds S] [--only NAME,NAME] [--no-floor] [--results DIR]
//! ```
//!
//! * `speed`: requests/s and CPU time a request for each workload, in two regimes ([`speed`]);
//! * `families`: the same for streams, scripts, bits, places, sorting and publishing;
//! * `loops`: two event loops against the peer's `io-threads 2` and its best setting ([`loops`]);
//! * `memory`: bytes for each shape of data ([`memory`]);
//! * `engine`: the engine without sockets, one thread against two ([`engine`]);
//! * `growth`: from nothing to 20 million keys, and back to a tenth of them ([`growth`]);
//! * `expiry`: a million keys that are due in the same second ([`expiry`]);
//! * `eviction`: hit ratios with room for half of the keys ([`eviction`]);
//! * `persistence`: saves, loads, a full sync, and the price of the log ([`persistence`]);
//! * `failover`: how long nobody takes writes when a primary dies ([`failover`]).
//!
//! Without a name all of them run. Each writes a Markdown table and an SVG chart into
//! `bench/results/`. Absolute numbers of a virtual machine mean little: runs are interleaved A B,
//! B A, .. and judged by the ratio within each pair ([`stats`]).
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod chart;
mod driver;
mod engine;
mod eviction;
mod expiry;
mod failover;
mod growth;
mod listeners;
mod load;
mod loops;
mod machine;
mod memory;
mod options;
mod persistence;
mod report;
mod speed;
mod stats;
mod workload;

use anyhow::Result;

fn main() -> Result<()> {
    let options = options::Options::from_args()?;
    for part in &options.parts {
        match part {
            options::Part::Speed => speed::run(&options)?,
            options::Part::Families => speed::run_families(&options)?,
            options::Part::Loops => loops::run(&options)?,
            options::Part::Memory => memory::run(&options)?,
            options::Part::Engine => engine::run(&options)?,
            options::Part::Growth => growth::run(&options)?,
            options::Part::Expiry => expiry::run(&options)?,
            options::Part::Eviction => eviction::run(&options)?,
            options::Part::Persistence => persistence::run(&options)?,
            options::Part::Failover => failover::run(&options)?,
        }
    }
    Ok(())
}
