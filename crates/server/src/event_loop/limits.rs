//! What a client may take: pending output, memory, time without a word.
//!
//! Memory (`maxmemory-clients`): each connection's bytes are counted whenever it was read or written; each
//! loop keeps the sum of its own and publishes it once a turn. About every 100 ms, and as soon as its own sum
//! has grown by 64 KB, a loop adds up the sums of all. When they are above the limit it closes the largest
//! clients, of whatever loop, until the rest fits; clients with NO-EVICT are spared.
//!
//! Output (`client-output-buffer-limit`): looked at when a write did not take everything, and once a second
//! for clients that neither read nor send.
//!
//! Source: behaviour of redis-server 7.0.15 and its documentation of these directives.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_config::special::{CLASS_NORMAL, CLASS_PUBSUB, CLASS_REPLICA, OutputLimit};
use ochre_engine::mailbox::Message;
use ochre_engine::session::{ClientInfo, FLAG_NO_EVICT, FLAG_PUBSUB};

use super::{EventLoop, shown};

/// Growth of a loop's sum that is looked at at once, in bytes.
const GROWTH: i64 = 64 << 10;
/// Time between two looks otherwise, in milliseconds.
const LOOK_MS: i64 = 100;
/// Seconds after which an idle client's rooms are given back. Peers shrink them after 2 to 5 seconds.
const IDLE_S: i64 = 5;

/// A loop's sum of its clients' memory, and when it was last compared with the limit.
#[derive(Debug, Default)]
pub(super) struct MemoryWatch {
    sum: i64,
    /// The sum at the last look, or the smallest since.
    looked_at: i64,
    looked_ms: i64,
}

impl MemoryWatch {
    /// A connection that was counted with so many bytes has gone.
    pub(super) fn forget(&mut self, bytes: usize) {
        self.sum -= bytes as i64;
    }
}

/// All memory of a client, as CLIENT LIST shows it. In this order: a command on its way from the unread
/// bytes to the queue of MULTI is seen once or not at all by another loop, but never twice.
pub(super) fn memory_of(info: &ClientInfo) -> u64 {
    let queued = info.multi_bytes.load(Ordering::Acquire);
    queued + info.memory.load(Ordering::Acquire)
}

/// Whether output may not stay as it is. `since` is when it went above the soft limit, `now` the
/// present, in seconds.
fn is_over(limit: &OutputLimit, pending: u64, since: &mut Option<i64>, now: i64) -> bool {
    let reaches = |bytes: u64| bytes > 0 && pending >= bytes;
    let soft = if reaches(limit.soft_bytes) {
        now - *since.get_or_insert(now) > limit.soft_seconds
    } else {
        *since = None;
        false
    };
    soft || reaches(limit.hard_bytes)
}

impl EventLoop {
    /// Whether a client that does not take its output is to be closed; says so in the log.
    pub(super) fn is_over_output_limit(&mut self, index: usize) -> bool {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return false };
        let listens = connection.session.info.has_flag(FLAG_PUBSUB);
        let class = match (listens, connection.session.replica.is_some()) {
            (_, true) => CLASS_REPLICA,
            (true, _) => CLASS_PUBSUB,
            _ => CLASS_NORMAL,
        };
        let limit = &self.lp.live.settings.output_limits[class];
        let pending = connection.output.pending() as u64;
        connection.session.info.output_bytes.store(pending, Ordering::Relaxed);
        let now = self.lp.now.unix_ms / 1000;
        let over = is_over(limit, pending, &mut connection.over_soft_since, now);
        if over {
            self.engine.stats(self.lp.index).output_limit_disconnections += 1;
            crate::log::warning(&format!(
                "Client {} closed for overcoming of output buffer limits.",
                shown(&connection.session.info)
            ));
        }
        over
    }

    /// Brings the count of a connection's memory up to date.
    pub(super) fn count_memory(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        let bytes = connection.memory();
        self.io.memory.sum += bytes as i64 - connection.counted as i64;
        connection.counted = bytes;
        let info = &connection.session.info;
        // Queued commands are shown beside it, and added by whoever wants all.
        let queued = info.multi_bytes.load(Ordering::Relaxed);
        info.memory.store((bytes as u64).saturating_sub(queued), Ordering::Release);
        info.output_bytes.store(connection.output.pending() as u64, Ordering::Relaxed);
    }

    /// At the end of a turn: publishes the sum, and compares all sums with the limit when that is due.
    pub(super) fn watch_memory(&mut self) {
        let sums = &self.shared.client_memory;
        let sum = self.io.memory.sum;
        sums[usize::from(self.lp.index)].store(sum, Ordering::Relaxed);
        let Some(limit) = self.lp.live.client_memory_max else { return };
        let now = self.lp.now.unix_ms;
        self.io.memory.looked_at = self.io.memory.looked_at.min(sum);
        let grown = sum - self.io.memory.looked_at > GROWTH;
        if !grown && now - self.io.memory.looked_ms < LOOK_MS {
            return;
        }
        self.io.memory.looked_at = sum;
        self.io.memory.looked_ms = now;
        let all: i64 = sums.iter().map(|sum| sum.load(Ordering::Relaxed)).sum();
        if all > limit {
            self.evict_clients(all, limit);
        }
    }

    /// Closes the largest clients until the others fit; `published` is the sum of all loops' sums.
    #[cold]
    fn evict_clients(&mut self, published: i64, limit: i64) {
        // Added up anew: other loops may have closed clients since they published their sums, and those
        // that are on their way out, by this loop's or another's decision, count no more.
        let mut clients: Vec<(u64, Arc<ClientInfo>)> = self
            .engine
            .clients
            .all()
            .into_iter()
            .filter(|info| !info.doomed.load(Ordering::Relaxed))
            .map(|info| (memory_of(&info), info))
            .collect();
        let listed: i64 = clients.iter().map(|(bytes, _)| *bytes as i64).sum();
        // What is closed for a moment's peak is closed for good: the smaller sum decides.
        let mut excess = listed.min(published) - limit;
        clients.retain(|(_, info)| !info.has_flag(FLAG_NO_EVICT));
        clients.sort_by_key(|(bytes, info)| (Reverse(*bytes), info.id));
        for (bytes, info) in clients {
            if excess <= 0 {
                return;
            }
            excess -= bytes as i64;
            if info.doomed.swap(true, Ordering::Relaxed) {
                continue;
            }
            crate::log::verbose(&format!("Evicting client: {}", shown(&info)));
            self.engine.stats(self.lp.index).evicted_clients += 1;
            if info.event_loop == self.lp.index {
                if let Some(&index) = self.io.by_id.get(&info.id) {
                    self.close(index);
                }
            } else {
                self.engine.tell(info.event_loop, Message::Kill { client: info.id });
            }
        }
    }

    /// Once a second: closes clients that have been idle for too long or do not read, gives back the
    /// rooms of idle ones, and brings sizes up to date for CLIENT LIST.
    pub(super) fn inspect_clients(&mut self) {
        let now = self.lp.now.unix_ms / 1000;
        let timeout = self.lp.live.settings.timeout_s as i64;
        for index in 0..self.io.connections.len() {
            let Some(connection) = &mut self.io.connections[index] else { continue };
            let session = &connection.session;
            let idle = now - session.info.last_seen.load(Ordering::Relaxed);
            let waits = session.blocked.is_some() || session.monitor;
            if timeout > 0 && idle > timeout && !waits {
                crate::log::verbose("Closing idle client");
                self.close(index);
                continue;
            }
            if idle >= IDLE_S {
                connection.release_rooms();
            }
            if connection.stuck && self.is_over_output_limit(index) {
                self.close(index);
                continue;
            }
            self.count_memory(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hard_limit_acts_at_once() {
        let limit = OutputLimit { hard_bytes: 100, soft_bytes: 0, soft_seconds: 0 };
        let mut since = None;
        assert!(!is_over(&limit, 99, &mut since, 0));
        assert!(is_over(&limit, 100, &mut since, 0));
        let none = OutputLimit::default();
        assert!(!is_over(&none, u64::MAX, &mut since, 0) && since.is_none());
    }

    #[test]
    fn the_soft_limit_acts_after_its_seconds_without_a_break() {
        let limit = OutputLimit { hard_bytes: 1000, soft_bytes: 100, soft_seconds: 3 };
        let mut since = None;
        assert!(!is_over(&limit, 200, &mut since, 10));
        assert!(!is_over(&limit, 200, &mut since, 13));
        assert!(!is_over(&limit, 50, &mut since, 14), "a break");
        assert!(!is_over(&limit, 200, &mut since, 15));
        assert!(!is_over(&limit, 200, &mut since, 18));
        assert!(is_over(&limit, 200, &mut since, 19));
        assert!(is_over(&limit, 1000, &mut None, 0));
    }
}
