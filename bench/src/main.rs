//! Ochre and a peer side by side, on one machine, in one run.
//!
//! ```text
//! cargo run --release -p ochre-bench -- [speed] [loops] [memory] [--peer PATH] [--client PATH]
//!     [--ochre PATH] [--pairs N] [--seconds S] [--only NAME,NAME] [--no-floor] [--results DIR]
//! ```
//!
//! * `speed`: requests/s and CPU time a request for each workload, in two regimes ([`speed`]);
//! * `loops`: two event loops against the peer's `io-threads 2` and its best setting ([`loops`]);
//! * `memory`: bytes for each shape of data ([`memory`]).
//!
//! Without a name all three run. Each writes a Markdown table and an SVG chart into
//! `bench/results/`. Absolute numbers of a virtual machine mean little: runs are interleaved A B,
//! B A, .. and judged by the ratio within each pair ([`stats`]).
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod chart;
mod driver;
mod load;
mod loops;
mod machine;
mod memory;
mod options;
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
            options::Part::Loops => loops::run(&options)?,
            options::Part::Memory => memory::run(&options)?,
        }
    }
    Ok(())
}
