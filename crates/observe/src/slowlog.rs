//! The command logs: the latest commands that were slow, had a large request, or a large reply.

use std::collections::VecDeque;

/// Most arguments kept of one command, and most bytes kept of one argument: as the peers.
const ARGS_MAX: usize = 32;
const ARG_BYTES_MAX: usize = 128;

/// One remarkable command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Rises by one with each entry of its log.
    pub id: u64,
    /// When it ran, in Unix seconds.
    pub unix_s: i64,
    /// Microseconds that it took, or bytes.
    pub value: u64,
    /// Its arguments, shortened.
    pub args: Vec<Vec<u8>>,
    /// The client's address.
    pub addr: String,
    /// The client's name.
    pub name: String,
}

/// One log: a bounded queue, newest first.
#[derive(Debug, Default)]
pub struct CommandLog {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl CommandLog {
    /// Adds a command, and drops the oldest ones beyond `max`.
    pub fn push(
        &mut self,
        (unix_s, value): (i64, u64),
        args: &[&[u8]],
        (addr, name): (&str, &str),
        max: usize,
    ) {
        let entry = Entry {
            id: self.next_id,
            unix_s,
            value,
            args: shorten(args),
            addr: addr.to_owned(),
            name: name.to_owned(),
        };
        self.next_id += 1;
        self.entries.push_front(entry);
        self.entries.truncate(max);
    }

    /// The newest `count` entries, newest first.
    pub fn latest(&self, count: usize) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter().take(count)
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets all entries; ids go on.
    pub fn reset(&mut self) {
        self.entries.clear();
    }
}

fn shorten(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let kept = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut out: Vec<Vec<u8>> = args[..kept]
        .iter()
        .map(|arg| {
            if arg.len() <= ARG_BYTES_MAX {
                return arg.to_vec();
            }
            let mut short = arg[..ARG_BYTES_MAX].to_vec();
            short.extend_from_slice(
                format!("... ({} more bytes)", arg.len() - ARG_BYTES_MAX).as_bytes(),
            );
            short
        })
        .collect();
    if kept < args.len() {
        out.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_and_shortens() {
        let mut log = CommandLog::default();
        let long = vec![b'x'; 200];
        let many: Vec<&[u8]> = vec![&long; 40];
        for n in 0..5 {
            log.push((1, n), &many, ("127.0.0.1:1", "me"), 3);
        }
        let ids: Vec<u64> = log.latest(10).map(|entry| entry.id).collect();
        assert_eq!(ids, [4, 3, 2]);
        let entry = log.latest(1).next().unwrap();
        assert_eq!(entry.args.len(), 32);
        assert!(entry.args[0].ends_with(b"... (72 more bytes)"));
        assert_eq!(entry.args[31], b"... (9 more arguments)");
        log.reset();
        assert!(log.is_empty());
    }
}
