//! Sentinels under faults: thousands of histories, and whether the checks find planted bugs.
//!
//! `OCHRE_SIM_SEEDS` is the number of histories, `OCHRE_SIM_FROM` the first of them, `OCHRE_SIM_SEED` one history to be
//! run with its trace.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use ochre_sentinel::Mutation;
use ochre_sim::sentinel::{Outcome, run};

/// Histories by default: half a minute on two busy processors, in the test profile.
const SEEDS: u64 = 4000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs histories on two threads until `stop` says so; gives what stopped it, and totals.
fn histories(
    seeds: Range<u64>,
    mutation: Option<Mutation>,
    stop: impl Fn(&Outcome) -> bool + Sync,
) -> (Option<(u64, Outcome)>, u64, u64) {
    let (next, switches) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let found = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(8) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().is_some() {
                        return;
                    }
                    let outcome = run(seed, mutation, false);
                    switches.fetch_add(outcome.switches as u64, Ordering::Relaxed);
                    if stop(&outcome) {
                        found.lock().unwrap().get_or_insert((seed, outcome));
                    }
                }
            });
        }
    });
    let ran = next.load(Ordering::Relaxed).min(seeds.end) - seeds.start;
    (found.into_inner().unwrap(), ran, switches.load(Ordering::Relaxed))
}

#[test]
fn no_history_breaks_a_rule() {
    if let Some(seed) = variable("OCHRE_SIM_SEED") {
        let outcome = run(seed, None, true);
        println!("{outcome:?}");
        assert_eq!(outcome.violation, None);
        return;
    }
    let count = variable("OCHRE_SIM_SEEDS").unwrap_or(SEEDS);
    let from = variable("OCHRE_SIM_FROM").unwrap_or(0);
    let (found, ran, switches) =
        histories(from..from + count, None, |outcome| outcome.violation.is_some());
    println!("{ran} histories, {switches} failovers");
    if let Some((seed, outcome)) = found {
        panic!("OCHRE_SIM_SEED={seed}: {:?}", outcome.violation);
    }
    assert!(switches > ran / 4, "too few failovers to say anything");
}

/// The same seed gives the same history.
#[test]
fn histories_repeat() {
    for seed in 0..20 {
        assert_eq!(run(seed, None, false), run(seed, None, false));
    }
}

/// Each planted bug is found, by the rule that it breaks.
#[test]
fn planted_bugs_are_found() {
    for (mutation, rules) in [
        (Mutation::VoteTwice, &["V1", "V2"][..]),
        (Mutation::ForgetVotes, &["V1", "V2"]),
        (Mutation::LeadByPlurality, &["V2"]),
        (Mutation::SkipElection, &["V2", "V3", "V4"]),
        (Mutation::FollowOldConfig, &["V5"]),
        (Mutation::NeverDemote, &["V7"]),
        (Mutation::HastyDown, &["V6", "V7"]),
        (Mutation::WrongReplica, &["V8"]),
        (Mutation::UnsyncedVote, &["V1", "V2"]),
        (Mutation::StaleOffsets, &["V9"]),
    ] {
        let (found, ran, _) =
            histories(0..4000, Some(mutation), |outcome| outcome.violation.is_some());
        let Some((seed, outcome)) = found else { panic!("{mutation:?} was not found in {ran}") };
        let violation = outcome.violation.unwrap();
        println!("{mutation:?}: seed {seed}, {violation:?}");
        assert!(rules.contains(&violation.rule), "{mutation:?}: {violation:?}");
    }
}
