//! Replication between the servers of the world, and whether all have come to agree.

use super::{GRACE, SETTLE, STABLE, World};
use crate::sentinel::NAME;
use crate::sentinel::invariants::Violation;
use crate::sentinel::server::server_at;

impl World {
    /// Who follows a server with the link up.
    pub(super) fn followers(&self, server: usize) -> Vec<usize> {
        let is_one = |index: &usize| {
            let other = &self.servers[*index];
            self.up[*index] && other.follows == Some(server) && other.link_up
        };
        (0..self.servers.len()).filter(is_one).collect()
    }

    pub(super) fn replicate(&mut self) {
        let now = self.now();
        for index in 0..self.servers.len() {
            if !self.is_awake(index) {
                continue;
            }
            match self.servers[index].follows {
                // Clients write to whoever takes it.
                None => self.servers[index].offset += 1 + self.rng.below(100),
                Some(primary) => {
                    let up = primary != index
                        && self.is_awake(primary)
                        && self.net.reaches(index, primary)
                        && self.servers[primary].follows != Some(index);
                    if up {
                        self.servers[index].offset = self.servers[primary].offset;
                    }
                    self.servers[index].set_link(up, now);
                }
            }
        }
    }

    /// Whether all agree, for long enough; true at the end of the history.
    pub(super) fn look_for_agreement(&mut self) -> bool {
        if !self.is_calm() {
            return false;
        }
        let now = self.now();
        match self.agreement() {
            Ok(()) => {
                let since = *self.agreed_since.get_or_insert(now);
                now - since >= STABLE && now - self.last_fault_end >= GRACE + STABLE
            }
            Err(what) => {
                self.agreed_since = None;
                if now - self.last_fault_end > SETTLE {
                    let violation = Violation { rule: "V7", what, at: now };
                    self.seen.violation.get_or_insert(violation);
                }
                false
            }
        }
    }

    fn agreement(&self) -> Result<(), String> {
        let mut agreed: Option<String> = None;
        for (index, process) in self.sentinels.iter().enumerate() {
            let Some(primary) = process.machine.as_ref().and_then(|m| m.primaries().get(NAME))
            else {
                return Err(format!("sentinel {index} does not run"));
            };
            if primary.is_failing_over() || primary.node.is_down() {
                return Err(format!("sentinel {index} is failing over"));
            }
            let addr = primary.current_addr().key();
            match &agreed {
                Some(other) if *other != addr => {
                    return Err(format!("sentinel {index} says {addr}, not {other}"));
                }
                _ => agreed = Some(addr),
            }
        }
        let agreed = agreed.unwrap_or_default();
        let primary = agreed.split(':').next().and_then(server_at).unwrap_or(usize::MAX);
        for (index, server) in self.servers.iter().enumerate() {
            let right = match server.follows {
                None => index == primary,
                Some(other) => index != primary && other == primary && server.link_up,
            };
            if !right {
                return Err(format!("server {index} follows {:?}, not {primary}", server.follows));
            }
        }
        Ok(())
    }
}
