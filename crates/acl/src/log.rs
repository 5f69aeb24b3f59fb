//! The log of refused accesses (ACL LOG): newest first, like ones of the last minute counted together.

use std::collections::VecDeque;

/// Refusals of the same kind within this time are one entry.
const GROUPED_MS: i64 = 60_000;
/// Entries that are looked at for a like one: the newest.
const LOOKED_AT: usize = 10;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A log-in.
    Auth,
    /// A command.
    Command,
    /// A key.
    Key,
    /// A channel.
    Channel,
    /// A database.
    Database,
    /// A certificate that names no user who may log in.
    TlsCert,
}

impl Reason {
    /// The name that ACL LOG shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Database => "database",
            Self::TlsCert => "tls-cert",
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How often it happened.
    pub count: u64,
    /// What was refused.
    pub reason: Reason,
    /// Where the command came from: `toplevel`, `multi`, `lua`.
    pub context: &'static str,
    /// The command's name, the key, the channel.
    pub object: Vec<u8>,
    /// Who it was refused to.
    pub username: Vec<u8>,
    /// The client, as CLIENT LIST shows it, the last time.
    pub client: String,
    /// Number of the entry since the start.
    pub id: u64,
    /// The first time, in Unix milliseconds.
    pub created_ms: i64,
    /// The last time.
    pub updated_ms: i64,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Notes a refusal (`count` and `id` are set here), and keeps at most `max` entries.
    pub fn note(&mut self, mut new: Entry, max: usize) {
        let like = |old: &Entry| {
            old.reason == new.reason
                && old.context == new.context
                && old.object == new.object
                && old.username == new.username
                && (new.updated_ms - old.updated_ms).abs() <= GROUPED_MS
        };
        let at = self.entries.iter().take(LOOKED_AT).position(like);
        match at.and_then(|at| self.entries.remove(at)) {
            Some(old) => {
                new.count = old.count + 1;
                new.id = old.id;
                new.created_ms = old.created_ms;
            }
            None => {
                new.count = 1;
                new.id = self.next_id;
                self.next_id += 1;
            }
        }
        self.entries.push_front(new);
        self.entries.truncate(max);
    }

    /// The newest entries, newest first.
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        self.entries.iter().take(most).cloned().collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(object: &str, at: i64) -> Entry {
        Entry {
            count: 0,
            reason: Reason::Key,
            context: "toplevel",
            object: object.into(),
            username: b"u".to_vec(),
            client: String::new(),
            id: 0,
            created_ms: at,
            updated_ms: at,
        }
    }

    #[test]
    fn like_refusals_are_counted_together_for_a_minute() {
        let mut log = Log::default();
        log.note(entry("a", 0), 8);
        log.note(entry("b", 1), 8);
        log.note(entry("a", 60_000), 8);
        let newest = log.newest(9);
        assert_eq!(newest.len(), 2);
        assert_eq!((newest[0].count, newest[0].id, newest[0].created_ms), (2, 0, 0));
        assert_eq!(newest[0].updated_ms, 60_000);
        log.note(entry("b", 60_002), 8);
        assert_eq!(log.newest(1)[0], Entry { count: 1, id: 2, ..entry("b", 60_002) });
    }

    #[test]
    fn the_log_is_bounded() {
        let mut log = Log::default();
        for n in 0..9 {
            log.note(entry(&n.to_string(), 0), 5);
        }
        assert_eq!(log.newest(100).len(), 5);
        assert_eq!(log.newest(2).len(), 2);
        log.note(entry("x", 0), 0);
        assert!(log.newest(1).is_empty());
        log.note(entry("x", 0), 1);
        log.clear();
        assert!(log.newest(1).is_empty());
    }
}
