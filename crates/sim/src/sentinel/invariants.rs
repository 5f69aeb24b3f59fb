//! What must hold of sentinels, checked after each step of each.
//!
//! - V1 a sentinel votes for one candidate in an epoch, for each primary;
//! - V2 at most one sentinel is elected to lead a failover of a primary in an epoch;
//! - V3 at most one replica of a primary is promoted in an epoch;
//! - V4 a config epoch stands for one address of a primary, for all sentinels;
//! - V5 the config epoch of a sentinel never goes back, not even by a crash after others have heard of it;
//! - V6 nobody is found down, and no failover begins, long after the last fault, or where there was none;
//! - V7 when the faults are over, all agree: one primary, followed by all other servers, and it stays so;
//! - V8 the replica that is chosen may be promoted, and none that could be comes before it: by priority, then offset,
//!   then run id;
//! - V9 a write that a replica confirmed is not lost, where the scenario promises it.
//!
//! V3 and V4 are not held in epochs in which an operator forced a failover: nobody votes on those. What they can bring
//! about is settled later, which is V7. V7, V8 and V9 are checked by the world.

use std::collections::{BTreeMap, BTreeSet};

use ochre_sentinel::{Addr, Sentinel};

use super::NAMES;
use crate::Time;

/// Which rule was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// `V1` to `V9`.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
    /// When.
    pub at: Time,
}

/// A primary, by its name, and an epoch.
type Epoch = (&'static str, u64);

/// What a sentinel last showed of a primary.
#[derive(Debug, PartialEq, Eq, Default)]
struct Shown {
    config_epoch: u64,
    leader_epoch: u64,
    leader: String,
}

/// What has been seen in this history.
#[derive(Debug, Default)]
pub struct Seen {
    votes: BTreeMap<(usize, Epoch), String>,
    leaders: BTreeMap<Epoch, usize>,
    promotions: BTreeMap<Epoch, String>,
    addresses: BTreeMap<Epoch, Addr>,
    /// Epochs that nobody voted on.
    forced: BTreeSet<Epoch>,
    shown: BTreeMap<(usize, &'static str), Shown>,
    /// The first violation.
    pub violation: Option<Violation>,
    /// Failovers that were led to the end.
    pub switches: usize,
    /// How many times a failover was begun.
    pub attempts: usize,
    /// How many of them an operator asked for.
    pub asked: usize,
    /// How many confirmed writes were looked for.
    pub confirmed: usize,
}

/// The primary that an event is about: `master NAME ..`, `slave .. @ NAME ..` or `NAME ..`.
pub fn subject(text: &str) -> &str {
    let words = || text.split(' ');
    let mut behind = words().skip_while(|word| *word != "@").skip(1);
    match (behind.next(), words().next()) {
        (Some(name), _) => name,
        (None, Some("master")) => words().nth(1).unwrap_or_default(),
        (None, first) => first.unwrap_or_default(),
    }
}

/// The name as a constant, which costs nothing to keep.
fn known(name: &str) -> &'static str {
    NAMES.into_iter().find(|known| *known == name).unwrap_or("?")
}

impl Seen {
    /// Notes that a rule was broken.
    pub fn broken(&mut self, rule: &'static str, at: Time, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { rule, what, at });
        }
    }

    /// An operator made a sentinel fail a primary over in this epoch.
    pub fn forced(&mut self, name: &str, epoch: u64) {
        self.asked += 1;
        self.forced.insert((known(name), epoch));
    }

    fn vote(&mut self, sentinel: usize, epoch: Epoch, candidate: &str, at: Time) {
        let number = epoch.1;
        let before =
            self.votes.entry((sentinel, epoch)).or_insert_with(|| candidate.to_owned()).clone();
        if before != candidate {
            let what =
                format!("sentinel {sentinel} voted for {before} and {candidate} in epoch {number}");
            self.broken("V1", at, what);
        }
    }

    /// An event of a sentinel. `quiet`: the last fault is long over, with what it caused.
    pub fn event(
        &mut self,
        index: usize,
        machine: &Sentinel,
        name: &str,
        text: &str,
        at: Time,
        quiet: bool,
    ) {
        let Some(primary) = machine.primaries().get(subject(text)) else { return };
        let epoch = (known(&primary.name), primary.failover.epoch);
        match name {
            "+elected-leader" => {
                let before = *self.leaders.entry(epoch).or_insert(index);
                if before != index {
                    let what = format!("sentinels {before} and {index} lead in epoch {epoch:?}");
                    self.broken("V2", at, what);
                }
            }
            "+promoted-slave" => {
                let key = primary.failover.promoted.clone().unwrap_or_default();
                let before = self.promotions.entry(epoch).or_insert_with(|| key.clone()).clone();
                if before != key && !self.forced.contains(&epoch) {
                    let what = format!("{before} and {key} were promoted in epoch {epoch:?}");
                    self.broken("V3", at, what);
                }
            }
            // What forced failovers left is moved to an epoch that nobody votes on, either.
            "+config-epoch-collision" => {
                self.forced.insert((epoch.0, primary.config_epoch));
            }
            "+try-failover" => self.attempts += 1,
            "+failover-end" => self.switches += 1,
            _ => {}
        }
        if quiet && matches!(name, "+sdown" | "+try-failover") {
            self.broken("V6", at, format!("sentinel {index} without cause: {name} {text}"));
        }
    }

    /// What a sentinel knows after a step, which is before anyone is answered.
    pub fn state(&mut self, index: usize, machine: &Sentinel, at: Time) {
        for (name, primary) in machine.primaries() {
            let name = known(name);
            let epoch = primary.config_epoch;
            let shown = self.shown.entry((index, name)).or_default();
            let before = std::mem::replace(&mut shown.config_epoch, epoch);
            let voted = primary.leader_epoch > 0
                && !primary.leader.is_empty()
                && (shown.leader_epoch, &shown.leader) != (primary.leader_epoch, &primary.leader);
            if voted {
                shown.leader_epoch = primary.leader_epoch;
                shown.leader.clone_from(&primary.leader);
                self.vote(index, (name, primary.leader_epoch), &primary.leader, at);
            }
            if epoch < before {
                let what =
                    format!("config epoch of {name} at sentinel {index}: {before}, then {epoch}");
                self.broken("V5", at, what);
            }
            if epoch > 0 {
                self.place(index, (name, epoch), primary.current_addr(), at);
            }
        }
    }

    fn place(&mut self, index: usize, epoch: Epoch, addr: &Addr, at: Time) {
        let known = self.addresses.entry(epoch).or_insert_with(|| addr.clone());
        if !known.is_same(addr) && !self.forced.contains(&epoch) {
            let (known, addr) = (known.key(), addr.key());
            let what = format!("epoch {epoch:?} is of {known}, and at sentinel {index} of {addr}");
            self.broken("V4", at, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_tell_of_their_primary() {
        assert_eq!(subject("master m 10.0.0.1 6379 #quorum 2/2"), "m");
        assert_eq!(subject("slave 10.0.0.2:6379 10.0.0.2 6379 @ n 10.0.0.1 6379"), "n");
        assert_eq!(subject("n 10.0.0.1 6379 10.0.0.2 6379"), "n");
        assert_eq!(subject(""), "");
    }
}
