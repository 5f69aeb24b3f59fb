//! Votes: who may lead the failover of a primary in an epoch.
//!
//! Whoever wants to lead asks all others for their votes, in a new epoch. Each votes once in an epoch, for whoever asks
//! first, and writes that down before it answers. Whoever has the votes of a majority of all sentinels, and no fewer than
//! the quorum, leads. Two majorities have a member in common, who voted for one of them only.

use std::collections::BTreeMap;

use ochre_resp::parse::Value;

use crate::link::Purpose;
use crate::machine::Core;
use crate::mutation::Mutation;
use crate::output::{Level, Output};
use crate::primary::Primary;

/// Whether others are asked at once, or when the period is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hurry {
    Now,
    Periodic,
}

/// Asks the other sentinels whether the primary is down, and for their votes when a failover wants to begin.
pub(crate) fn ask(core: &mut Core, primary: &mut Primary, hurry: Hurry) {
    let now = core.now;
    let period = core.timing.ask_period;
    let epoch = match primary.is_failing_over() {
        true => primary.failover.epoch,
        false => core.current_epoch,
    };
    let candidate = match primary.is_failing_over() {
        true => core.globals.myid.clone(),
        false => "*".to_owned(),
    };
    for (run_id, peer) in &mut primary.sentinels {
        if now - peer.answered_at > period * 5 {
            peer.says_down = false;
            peer.leader.clear();
        }
        let recently = peer.asked_at.is_some_and(|at| now - at < period);
        if !primary.node.is_down() || (recently && hurry == Hurry::Periodic) {
            continue;
        }
        let addr = &primary.node.addr;
        let args = [
            "SENTINEL".to_owned(),
            "is-master-down-by-addr".to_owned(),
            core.shown(addr).to_owned(),
            addr.port.to_string(),
            epoch.to_string(),
            candidate.clone(),
        ];
        let purpose = Purpose::Ask(primary.name.clone(), run_id.clone());
        if core.send(peer.node.link, purpose, &args) {
            peer.asked_at = Some(now);
        }
    }
}

/// The answer of another sentinel: whether the primary is down, and whom it voted for, in which epoch.
pub(crate) fn answered(core: &mut Core, primary: &mut Primary, run_id: &str, value: &Value) {
    let Some([down, leader, epoch]) = value.items() else { return };
    let (Some(down), Some(leader), Some(epoch)) = (down.integer(), leader.bytes(), epoch.integer())
    else {
        return;
    };
    let Some(peer) = primary.sentinels.get_mut(run_id) else { return };
    peer.answered_at = core.now;
    peer.says_down = down == 1;
    let leader = String::from_utf8_lossy(&leader[..leader.len().min(crate::TEXT_MAX)]);
    if leader == "*" {
        return;
    }
    let epoch = u64::try_from(epoch).unwrap_or(0);
    if peer.leader != leader || peer.leader_epoch != epoch {
        peer.leader = leader.into_owned();
        peer.leader_epoch = epoch;
    }
}

/// Votes for a candidate unless a vote was cast in that epoch. Gives whom this sentinel voted for last, and when.
pub(crate) fn vote(
    core: &mut Core,
    primary: &mut Primary,
    epoch: u64,
    candidate: &str,
) -> (String, u64) {
    let before = core.out.len();
    if epoch > core.current_epoch {
        core.raise_epoch(epoch);
    }
    let fresh = primary.leader_epoch < epoch || core.has(Mutation::VoteTwice);
    if fresh && core.current_epoch <= epoch {
        candidate.clone_into(&mut primary.leader);
        primary.leader_epoch = epoch;
        core.persist();
        core.event(Level::Warning, "+vote-for-leader", format!("{candidate} {epoch}"), None);
        // Whoever was voted for gets time to do it.
        if candidate != core.globals.myid {
            primary.failover.started_at = Some(core.now + core.desync());
        }
    }
    if core.has(Mutation::UnsyncedVote) {
        let mut at = 0..;
        core.out.retain(|output| at.next() < Some(before) || *output != Output::Persist);
    }
    (primary.leader.clone(), primary.leader_epoch)
}

/// Who leads in an epoch, as far as is known; this sentinel votes for whoever is ahead, else for itself.
pub(crate) fn leader(core: &mut Core, primary: &mut Primary, epoch: u64) -> Option<String> {
    let voters = primary.sentinels.len() + 1;
    let mut votes: BTreeMap<String, usize> = BTreeMap::new();
    for peer in primary.sentinels.values() {
        if !peer.leader.is_empty() && peer.leader_epoch == epoch {
            *votes.entry(peer.leader.clone()).or_default() += 1;
        }
    }
    let ahead = votes.iter().max_by_key(|(_, count)| **count).map(|(run_id, _)| run_id.clone());
    let mine = ahead.unwrap_or_else(|| core.globals.myid.clone());
    let (leader, leader_epoch) = vote(core, primary, epoch, &mine);
    if !leader.is_empty() && leader_epoch == epoch {
        *votes.entry(leader).or_default() += 1;
    }
    let (winner, count) = votes.into_iter().max_by_key(|(_, count)| *count)?;
    let needed = (voters / 2 + 1).max(primary.options.quorum as usize);
    let needed = if core.has(Mutation::LeadByPlurality) { 1 } else { needed };
    (count >= needed).then_some(winner)
}
