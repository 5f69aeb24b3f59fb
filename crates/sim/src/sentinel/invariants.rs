//! What must hold of sentinels, checked after each step of each.
//!
//! - V1 a sentinel votes for one candidate in an epoch;
//! - V2 at most one sentinel leads a failover in an epoch;
//! - V3 at most one replica is promoted in an epoch;
//! - V4 a config epoch stands for one address, for all sentinels;
//! - V5 the config epoch of a sentinel never goes back, not even by a crash after others have heard of it;
//! - V6 nobody is found down, and no failover begins, long after the last fault;
//! - V7 when the faults are over, all agree: one primary, followed by all other servers, and it stays so.
//!
//! V7 is checked by the world at the end.

use std::collections::BTreeMap;

use ochre_sentinel::Sentinel;

use crate::Time;

/// Which rule was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `V1` to `V7`.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
    /// When.
    pub at: Time,
}

/// What has been seen in this history.
#[derive(Debug, Default)]
pub struct Seen {
    votes: BTreeMap<(usize, u64), String>,
    leaders: BTreeMap<u64, usize>,
    promotions: BTreeMap<u64, String>,
    addresses: BTreeMap<u64, String>,
    epochs: BTreeMap<usize, u64>,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Failovers that were led to the end.
    pub switches: usize,
    /// How many times a failover was begun.
    pub attempts: usize,
}

impl Seen {
    fn broken(&mut self, rule: &'static str, at: Time, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, what, at });
        }
    }

    /// A sentinel voted, or said whom it voted for.
    pub fn vote(&mut self, sentinel: usize, epoch: u64, candidate: &str, at: Time) {
        let before = self.votes.entry((sentinel, epoch)).or_insert_with(|| candidate.to_owned());
        if *before != candidate {
            let what =
                format!("sentinel {sentinel} voted for {before} and {candidate} in epoch {epoch}");
            self.broken("V1", at, what);
        }
    }

    /// An event of a sentinel. `quiet`: how long the last fault is over, with what it caused.
    pub fn event(
        &mut self,
        index: usize,
        machine: &Sentinel,
        name: &str,
        text: &str,
        at: Time,
        quiet: bool,
    ) {
        let Some(primary) = machine.primaries().get(super::NAME) else { return };
        let epoch = primary.failover.epoch;
        match name {
            "+vote-for-leader" => {
                if let Some((candidate, epoch)) = text.split_once(' ') {
                    self.vote(index, epoch.parse().unwrap_or(0), candidate, at);
                }
            }
            "+elected-leader" => {
                let before = *self.leaders.entry(epoch).or_insert(index);
                if before != index {
                    let what = format!("sentinels {before} and {index} lead in epoch {epoch}");
                    self.broken("V2", at, what);
                }
            }
            "+promoted-slave" => {
                let key = primary.failover.promoted.clone().unwrap_or_default();
                let before = self.promotions.entry(epoch).or_insert_with(|| key.clone());
                if *before != key {
                    let what = format!("{before} and {key} were promoted in epoch {epoch}");
                    self.broken("V3", at, what);
                }
            }
            "+try-failover" => self.attempts += 1,
            "+failover-end" => self.switches += 1,
            _ => {}
        }
        if quiet && matches!(name, "+sdown" | "+try-failover") {
            self.broken("V6", at, format!("sentinel {index} without cause: {name} {text}"));
        }
    }

    /// What a sentinel knows after a step.
    pub fn state(&mut self, index: usize, machine: &Sentinel, at: Time) {
        let Some(primary) = machine.primaries().get(super::NAME) else { return };
        let epoch = primary.config_epoch;
        let addr = primary.current_addr();
        let before = self.epochs.insert(index, epoch).unwrap_or(0);
        if epoch < before {
            let what = format!("config epoch of sentinel {index} went from {before} to {epoch}");
            self.broken("V5", at, what);
        }
        if epoch == 0 {
            return;
        }
        let known = self.addresses.entry(epoch).or_insert_with(|| addr.key());
        if *known != addr.key() {
            let what = format!(
                "config epoch {epoch} is of {known}, and at sentinel {index} of {}",
                addr.key()
            );
            self.broken("V4", at, what);
        }
    }
}
