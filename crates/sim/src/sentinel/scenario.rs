//! What a history is about: who is there, what operators do, and which faults come. Drawn from the seed.
//!
//! Three kinds:
//!
//! - any faults, with operators who tell a replica to follow nobody, force a failover or ask for a coordinated one;
//! - the same, and a sentinel that joins or one that is reset. The quorum is then a majority of all, since a sentinel that
//!   does not know the others cannot know how many a majority is;
//! - isolated primaries: one at a time, of a group in which all follow. Here alone it is promised that no write is lost
//!   that a replica had confirmed: a sentinel must choose the replica that is ahead. It is not promised where sentinels
//!   crash: one may have promoted a replica and told nobody, and the next one chooses another.

use std::ops::Range;

use ochre_base::rng::Rng;

use super::NAMES;
use crate::Time;
use crate::faults::{Fault, Plan};
use crate::net::Weather;

/// When faults may begin, and until when.
pub(super) const FAULTS: (Time, Time) = (3000, 15_000);
/// Time between two isolated primaries: failed over, and all following again.
const APART: Time = 22_000;

/// A primary with its replicas.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The name that the sentinels know it by.
    pub(super) name: &'static str,
    /// Its servers; the first is the primary at the beginning.
    pub(super) servers: Range<usize>,
    /// `min-replicas-to-write`: with fewer followers a primary refuses writes.
    pub(super) min_replicas: usize,
}

/// See the module's head.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    /// Each is watched by all sentinels.
    pub(super) groups: Vec<Group>,
    /// Priorities of all servers.
    pub(super) priorities: Vec<u32>,
    /// Sentinels, with one that joins later.
    pub(super) sentinels: usize,
    /// When the last of them joins, if it does.
    pub(super) joins_at: Option<Time>,
    /// Sentinels are reset.
    pub(super) resets: bool,
    /// Sentinels that must agree that a primary is down.
    pub(super) quorum: usize,
    /// Primaries are isolated, and no write that was confirmed may be lost.
    pub(super) promises: bool,
    /// Crashes in the middle of doing what a sentinel wants done; 0 for none.
    pub(super) crash_one_in: u64,
    /// The faults with their times.
    pub(super) faults: Vec<(Time, Fault)>,
}

impl Scenario {
    /// Draws one.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let promises = rng.below(5) == 0;
        let changes = !promises && rng.below(3) == 0;
        let joins = changes && rng.below(2) == 0;
        let group_count = if !promises && rng.below(3) == 0 { 2 } else { 1 };
        let mut groups = Vec::new();
        let mut from = 0;
        for name in NAMES.into_iter().take(group_count) {
            let count = if promises { 3 } else { 2 } + rng.below(if promises { 2 } else { 3 });
            let min_replicas = usize::from(rng.below(3) == 0);
            groups.push(Group { name, servers: from..from + count as usize, min_replicas });
            from += count as usize;
        }
        let priority = |rng: &mut Rng| match promises {
            // Where priorities differ they come before what a replica has.
            true => 100,
            false => [100, 100, 100, 10, 0][rng.below(5) as usize],
        };
        let mut priorities: Vec<u32> = (0..from).map(|_| priority(rng)).collect();
        for group in &groups {
            // Of each group two can be promoted, or the first failover might be the last.
            priorities[group.servers.start] = 100;
            let second = &mut priorities[group.servers.start + 1];
            *second = (*second).max(1);
        }
        let first = if rng.below(3) == 0 { 5 } else { 3 };
        let sentinels = first + usize::from(joins);
        let majority = sentinels / 2 + 1;
        let quorum = if changes || rng.below(2) == 0 { majority } else { 2 };
        let mut scenario = Self {
            groups,
            priorities,
            sentinels,
            joins_at: joins.then(|| FAULTS.0 + rng.below(9000) as Time),
            resets: changes && !joins,
            quorum,
            promises,
            crash_one_in: if !promises && rng.below(3) == 0 { 400 } else { 0 },
            faults: Vec::new(),
        };
        scenario.faults = scenario.draw_faults(from + sentinels, rng);
        scenario
    }

    fn draw_faults(&self, nodes: usize, rng: &mut Rng) -> Vec<(Time, Fault)> {
        if self.promises {
            let at = |round: u64, rng: &mut Rng| {
                FAULTS.0 + 1500 + round as Time * APART + rng.below(2000) as Time
            };
            let mut faults = Vec::new();
            for round in 0..1 + rng.below(2) {
                let at = at(round, rng);
                // Slow answers, and still none that takes longer than it is waited for.
                let weather = Weather { delay_max: 200, ..Weather::fair() };
                faults.push((at, Fault::Special(rng.next_u64())));
                if rng.below(3) > 0 {
                    faults.push((at - 200, Fault::Weather(weather, 5000)));
                }
            }
            return faults;
        }
        let plan = Plan { nodes, from: FAULTS.0, until: FAULTS.1, most: 8 };
        let mut faults = plan.draw(rng);
        for _ in 0..rng.below(if self.resets { 4 } else { 3 }) {
            let at = FAULTS.0 + rng.below((FAULTS.1 - FAULTS.0) as u64) as Time;
            faults.push((at, Fault::Special(rng.next_u64())));
        }
        faults
    }

    /// The group of a server.
    pub(super) fn group_of(&self, server: usize) -> usize {
        self.groups.iter().position(|group| group.servers.contains(&server)).unwrap_or(0)
    }
}
