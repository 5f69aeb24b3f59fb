//! The data of the world's servers: writes, replication, the handing over that FAILOVER asks for, and which writes were
//! confirmed.
//!
//! A replica has what its primary has or a little less, each its own. A primary writes only while as many follow it as
//! its `min-replicas-to-write` says. A confirmed write is one that the replica that is ahead has: what WAIT 1 tells.

use super::World;
use crate::sentinel::server::Handover;

impl World {
    /// Who follows a server with the link up.
    pub(super) fn followers(&self, server: usize) -> Vec<usize> {
        let is_one = |index: &usize| {
            let other = &self.servers[*index];
            self.up[*index] && other.follows == Some(server) && other.link_up
        };
        (0..self.servers.len()).filter(is_one).collect()
    }

    /// One period of all servers.
    pub(super) fn replicate(&mut self) {
        let now = self.now();
        for index in 0..self.servers.len() {
            if !self.is_awake(index) {
                continue;
            }
            if let Some(handover) = self.servers[index].handover {
                self.hand_over(index, handover);
            }
            match self.servers[index].follows {
                None => self.write(index),
                Some(primary) => {
                    let up = primary != index
                        && self.is_awake(primary)
                        && self.net.reaches(index, primary)
                        && self.servers[primary].follows != Some(index);
                    // One that was not connected takes all; else it may lag behind.
                    if up && (!self.servers[index].link_up || self.rng.below(3) > 0) {
                        let theirs = std::mem::take(&mut self.servers[primary].history);
                        self.servers[index].copy(&theirs);
                        self.servers[primary].history = theirs;
                    }
                    self.servers[index].set_link(up, now);
                }
            }
        }
        if self.scenario.promises {
            self.note_confirmed();
        }
    }

    /// Clients write to whoever takes it.
    fn write(&mut self, index: usize) {
        let wanted = self.scenario.groups[self.scenario.group_of(index)].min_replicas;
        if self.servers[index].handover.is_none() && self.followers(index).len() >= wanted {
            let bytes = 1 + self.rng.below(100);
            self.terms += 1;
            self.servers[index].write(bytes, self.terms);
        }
    }

    /// FAILOVER goes on: wait until the other has everything, follow it, tell it.
    fn hand_over(&mut self, index: usize, handover: Handover) {
        let now = self.now();
        let Handover { to, until, demoted } = handover;
        let theirs = self.servers[to].follows == Some(index);
        let reached = self.is_awake(to) && self.net.reaches(index, to);
        let level = theirs && reached && self.servers[to].history == self.servers[index].history;
        if !demoted && level {
            self.servers[index].handover = Some(Handover { demoted: true, ..handover });
            self.servers[index].turn(Some(to), now);
        } else if !demoted && now > until {
            self.servers[index].handover = None;
        } else if demoted && reached {
            self.servers[index].handover = None;
            match theirs {
                true => self.servers[to].turn(None, now),
                // It refuses: it follows somebody else, or nobody, by now.
                false => self.servers[index].turn(None, now),
            }
        }
    }

    /// Notes the newest write that was confirmed while nothing was wrong.
    fn note_confirmed(&mut self) {
        if self.now() < self.isolated_until || self.agreement().is_err() {
            return;
        }
        for group in self.scenario.groups.clone() {
            let Some(primary) =
                group.servers.clone().find(|at| self.servers[*at].follows.is_none())
            else {
                continue;
            };
            let followers = self.followers(primary);
            let ahead = followers.iter().filter_map(|at| self.servers[*at].history.last());
            let Some(newest) = ahead.max_by_key(|(_, end)| *end).copied() else { continue };
            match self.confirmed.last_mut() {
                Some((term, end)) if *term == newest.0 => *end = newest.1.max(*end),
                _ => self.confirmed.push(newest),
            }
        }
    }

    /// V9, when all agree at the end.
    pub(super) fn look_for_confirmed(&mut self) {
        let now = self.now();
        self.seen.confirmed = self.confirmed.len();
        for write in std::mem::take(&mut self.confirmed) {
            let lost = self
                .servers
                .iter()
                .position(|server| server.follows.is_none() && !server.has(write));
            if let Some(server) = lost {
                let history = &self.servers[server].history;
                let what =
                    format!("write {write:?} was confirmed; server {server} has {history:?}");
                self.seen.broken("V9", now, what);
            }
        }
    }
}
