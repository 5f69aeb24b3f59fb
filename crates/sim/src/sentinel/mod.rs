//! Sentinels and servers in a world with faults.
//!
//! A history: all start and find one another; faults for some seconds; then the world is good again, and all must come to
//! agree. See [`invariants`] for what is checked.

pub mod invariants;
pub mod server;
mod world;

use ochre_sentinel::Mutation;

pub use invariants::Violation;

/// The name of the primary that is watched.
pub const NAME: &str = "m";

/// What a history gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// Failovers that were led to the end.
    pub switches: usize,
    /// Failovers that were begun.
    pub attempts: usize,
    /// Events of the world.
    pub steps: u64,
    /// A number that two equal histories have in common.
    pub fingerprint: u64,
}

/// Runs the history of a seed, with a planted bug or none; `trace` prints what the sentinels tell.
pub fn run(seed: u64, mutation: Option<Mutation>, trace: bool) -> Outcome {
    world::World::new(seed, mutation, trace).run()
}
