//! Sentinels and servers in a world with faults.
//!
//! A history: all start and find one another; faults for some seconds; then the world is good again, and all must come to
//! agree. See [`invariants`] for what is checked, `scenario` for what a history is about.

pub mod invariants;
mod scenario;
pub mod server;
mod world;

use ochre_sentinel::Mutation;

pub use invariants::Violation;

/// The names of the primaries that are watched; some histories have only the first.
pub const NAMES: [&str; 2] = ["m", "n"];

/// What a history gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// Failovers that were led to the end.
    pub switches: usize,
    /// Failovers that were begun.
    pub attempts: usize,
    /// Failovers that an operator asked for and that were begun.
    pub asked: usize,
    /// Writes that had been confirmed before a primary was isolated, and were looked for at the end.
    pub confirmed: usize,
    /// Events of the world.
    pub steps: u64,
    /// A number that two equal histories have in common.
    pub fingerprint: u64,
}

/// Runs the history of a seed, with a planted bug or none; `trace` prints what the sentinels tell.
pub fn run(seed: u64, mutation: Option<Mutation>, trace: bool) -> Outcome {
    world::World::new(seed, mutation, trace).run()
}
