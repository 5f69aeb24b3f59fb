//! Whether all have come to agree.

use super::{GRACE, SETTLE, STABLE, World};
use crate::sentinel::scenario::Group;
use crate::sentinel::server::server_at;

impl World {
    /// Whether all agree, for long enough; true at the end of the history.
    pub(super) fn look_for_agreement(&mut self) -> bool {
        if !self.is_calm() {
            return false;
        }
        let now = self.now();
        match self.agreement() {
            Ok(()) => {
                let since = *self.agreed_since.get_or_insert(now);
                let is_over = now - since >= STABLE && now - self.last_fault_end >= GRACE + STABLE;
                if is_over {
                    self.look_for_confirmed();
                }
                is_over
            }
            Err(what) => {
                self.agreed_since = None;
                if now - self.last_fault_end > SETTLE {
                    self.seen.broken("V7", now, what);
                }
                false
            }
        }
    }

    /// Whether all agree on all primaries; else who does not.
    pub(super) fn agreement(&self) -> Result<(), String> {
        self.scenario.groups.iter().try_for_each(|group| self.agreement_on(group))
    }

    fn agreement_on(&self, group: &Group) -> Result<(), String> {
        let name = group.name;
        let mut agreed = None;
        for (index, process) in self.sentinels.iter().enumerate() {
            let Some(primary) = process.machine.as_ref().and_then(|m| m.primaries().get(name))
            else {
                return Err(format!("sentinel {index} does not run"));
            };
            if primary.is_failing_over() || primary.node.is_down() {
                return Err(format!("sentinel {index} is failing {name} over"));
            }
            let addr = primary.current_addr();
            let other = *agreed.get_or_insert(addr);
            if other != addr {
                let (other, addr) = (other.key(), addr.key());
                return Err(format!("sentinel {index} says {name} is {addr}, not {other}"));
            }
        }
        let primary = agreed.and_then(|addr| server_at(&addr.ip)).unwrap_or(usize::MAX);
        for index in group.servers.clone() {
            let server = &self.servers[index];
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
