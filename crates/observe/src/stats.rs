//! What a loop counts: calls and time by command, errors by code, traffic.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

/// Highest latency told apart, in nanoseconds: one second, as the peers.
const LATENCY_NS_MAX: u64 = 1_000_000_000;

/// One command's statistics.
#[derive(Debug, Clone, Default)]
pub struct CommandStats {
    /// Calls that ran.
    pub calls: u64,
    /// Time spent in them, in nanoseconds.
    pub time_ns: u64,
    /// Calls refused before they ran.
    pub rejected: u64,
    /// Calls that ran and answered with an error.
    pub failed: u64,
    /// Distribution of the time of a call in nanoseconds; made with the first call.
    pub latency: Option<Box<Histogram<u32>>>,
}

impl CommandStats {
    /// Counts one call.
    #[inline]
    pub fn record(&mut self, time_ns: u64, track_latency: bool) {
        self.calls += 1;
        self.time_ns += time_ns;
        if track_latency {
            self.record_latency(time_ns);
        }
    }

    #[inline]
    fn record_latency(&mut self, time_ns: u64) {
        if let Some(latency) = &mut self.latency {
            latency.saturating_record(time_ns.clamp(1, LATENCY_NS_MAX));
            return;
        }
        // Bounds and precision are constants that the constructor accepts.
        if let Ok(mut latency) = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 2) {
            latency.saturating_record(time_ns.clamp(1, LATENCY_NS_MAX));
            self.latency = Some(Box::new(latency));
        }
    }

    /// Adds another loop's numbers.
    pub fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.time_ns += other.time_ns;
        self.rejected += other.rejected;
        self.failed += other.failed;
        let Some(theirs) = &other.latency else { return };
        match &mut self.latency {
            // Both have the same bounds, which is all that adding can fail for.
            Some(mine) => drop(mine.add(&**theirs)),
            None => self.latency = Some(theirs.clone()),
        }
    }
}

/// Error codes counted apart; more are counted together, since a script can make them up.
const ERROR_CODES_MAX: usize = 128;

/// Everything that a loop counts.
#[derive(Debug, Clone, Default)]
pub struct LoopStats {
    /// By row number.
    pub commands: Vec<CommandStats>,
    /// Error replies by their code word.
    pub errors: BTreeMap<String, u64>,
    /// Error replies.
    pub error_replies: u64,
    /// Commands run.
    pub total_commands: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused for maxclients.
    pub rejected_connections: u64,
    /// TLS connections that ended before the handshake did.
    pub tls_handshake_failures: u64,
    /// Bytes read and written.
    pub net_in: u64,
    /// Bytes written.
    pub net_out: u64,
    /// Reads from sockets.
    pub reads: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Look-ups that hit.
    pub keyspace_hits: u64,
    /// Look-ups that missed.
    pub keyspace_misses: u64,
    /// Keys expired, by look-ups and by the active cycle.
    pub expired_keys: u64,
    /// Hash fields expired.
    pub expired_fields: u64,
    /// Active expiry stopped for lack of time.
    pub expire_time_cap_reached: u64,
    /// Time in active expiry, in microseconds.
    pub expire_cycle_us: u64,
    /// Keys evicted.
    pub evicted_keys: u64,
    /// Clients evicted.
    pub evicted_clients: u64,
    /// Clients closed for their query buffer.
    pub query_limit_disconnections: u64,
    /// Clients closed for their output buffer.
    pub output_limit_disconnections: u64,
    /// Turns of the loop.
    pub cycles: u64,
    /// Time in turns, in microseconds, sleep left out.
    pub cycle_us: u64,
    /// Time in commands, in microseconds.
    pub command_us: u64,
    /// Changes to the data.
    pub dirty: u64,
    /// Time above maxmemory, in milliseconds.
    pub eviction_exceeded_ms: u64,
}

impl LoopStats {
    /// Zeroed numbers for `rows` commands.
    pub fn new(rows: usize) -> Self {
        Self { commands: vec![CommandStats::default(); rows], ..Self::default() }
    }

    /// Counts an error reply by its code word.
    pub fn record_error(&mut self, code: &str) {
        self.error_replies += 1;
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < ERROR_CODES_MAX {
            self.errors.insert(code.to_owned(), 1);
        }
    }

    /// Adds another loop's numbers.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.commands.iter_mut().zip(&other.commands) {
            mine.merge(theirs);
        }
        for (code, count) in &other.errors {
            *self.errors.entry(code.clone()).or_default() += count;
        }
        let pairs: [(&mut u64, u64); 24] = [
            (&mut self.error_replies, other.error_replies),
            (&mut self.total_commands, other.total_commands),
            (&mut self.connections, other.connections),
            (&mut self.rejected_connections, other.rejected_connections),
            (&mut self.tls_handshake_failures, other.tls_handshake_failures),
            (&mut self.net_in, other.net_in),
            (&mut self.net_out, other.net_out),
            (&mut self.reads, other.reads),
            (&mut self.writes, other.writes),
            (&mut self.keyspace_hits, other.keyspace_hits),
            (&mut self.keyspace_misses, other.keyspace_misses),
            (&mut self.expired_keys, other.expired_keys),
            (&mut self.expired_fields, other.expired_fields),
            (&mut self.expire_time_cap_reached, other.expire_time_cap_reached),
            (&mut self.expire_cycle_us, other.expire_cycle_us),
            (&mut self.evicted_keys, other.evicted_keys),
            (&mut self.evicted_clients, other.evicted_clients),
            (&mut self.query_limit_disconnections, other.query_limit_disconnections),
            (&mut self.output_limit_disconnections, other.output_limit_disconnections),
            (&mut self.cycles, other.cycles),
            (&mut self.cycle_us, other.cycle_us),
            (&mut self.command_us, other.command_us),
            (&mut self.dirty, other.dirty),
            (&mut self.eviction_exceeded_ms, other.eviction_exceeded_ms),
        ];
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }

    /// Back to zero (CONFIG RESETSTAT); the commands stay known.
    pub fn reset(&mut self) {
        *self = Self::new(self.commands.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds() {
        let mut a = LoopStats::new(2);
        let mut b = LoopStats::new(2);
        a.commands[1].record(1_000, true);
        b.commands[1].record(3_000, true);
        b.commands[0].record(5, false);
        b.record_error("ERR");
        b.net_in = 7;
        a.merge(&b);
        assert_eq!((a.commands[1].calls, a.commands[1].time_ns), (2, 4_000));
        assert_eq!(a.commands[1].latency.as_ref().map(|h| h.len()), Some(2));
        assert_eq!((a.commands[0].calls, a.errors["ERR"], a.net_in), (1, 1, 7));
        a.reset();
        assert_eq!((a.commands.len(), a.commands[1].calls), (2, 0));
    }

    #[test]
    fn error_codes_are_bounded() {
        let mut stats = LoopStats::default();
        for n in 0..1000 {
            stats.record_error(&n.to_string());
        }
        assert_eq!((stats.errors.len(), stats.error_replies), (ERROR_CODES_MAX, 1000));
    }
}
