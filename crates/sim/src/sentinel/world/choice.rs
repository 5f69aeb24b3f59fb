//! V8: whether the replica that a sentinel chooses is the right one, by what the sentinel itself shows of all of them.
//!
//! The limits here are narrower than a sentinel's own, so that one on the edge may be taken or left.

use ochre_resp::parse::{ReplyParser, Value};
use ochre_resp::{Protocol, Reply};

use super::World;
use crate::Time;
use crate::sentinel::invariants::subject;

/// An answer to PING or INFO that is no older than this is fresh for any sentinel.
const FRESH: Time = 1000;
/// A replica without its primary for no longer than this is fresh enough.
const APART: Time = 15_000;

/// What SENTINEL REPLICAS shows of one.
struct Shown {
    flags: String,
    run_id: String,
    answered_ms: Time,
    info_ms: Time,
    apart_ms: Time,
    priority: Time,
    offset: u64,
}

impl Shown {
    fn of(value: &Value) -> Option<Self> {
        let pairs = value.items()?;
        let field = |name: &str| {
            let found = pairs.chunks(2).find(|pair| pair[0].bytes() == Some(name.as_bytes()))?;
            Some(String::from_utf8_lossy(found.get(1)?.bytes()?).into_owned())
        };
        let number = |name: &str| field(name)?.parse::<Time>().ok();
        Some(Self {
            flags: field("flags")?,
            run_id: field("runid")?,
            answered_ms: number("last-ok-ping-reply")?,
            info_ms: number("info-refresh")?,
            apart_ms: number("master-link-down-time")?,
            priority: number("slave-priority")?,
            offset: field("slave-repl-offset")?.parse().ok()?,
        })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.split(',').any(|known| known == flag)
    }

    /// Whether nothing can be said against it.
    fn is_sound(&self) -> bool {
        self.priority > 0
            && !self.has("s_down")
            && !self.has("disconnected")
            && self.answered_ms <= FRESH
            && (1..=FRESH).contains(&self.info_ms)
            && self.apart_ms <= APART
    }

    /// What comes first is better.
    fn rank(&self) -> (Time, std::cmp::Reverse<u64>, &str) {
        (self.priority, std::cmp::Reverse(self.offset), &self.run_id)
    }
}

impl World {
    /// A sentinel has chosen a replica of a primary.
    pub(super) fn check_choice(&mut self, index: usize, event: &str) {
        let name = subject(event);
        let Some(machine) = &mut self.sentinels[index].machine else { return };
        let mut out = Vec::new();
        let args: [&[u8]; 3] = [b"SENTINEL", b"REPLICAS", name.as_bytes()];
        machine.command(&args, &mut Reply::new(&mut out, Protocol::Resp2));
        let Ok((_, Some(Value::Array(items)))) = ReplyParser::default().next(&out) else { return };
        let shown: Vec<Shown> = items.iter().filter_map(Shown::of).collect();
        let chosen = shown.iter().find(|one| one.has("promoted"));
        let better = |chosen: &Shown| {
            let rank = chosen.rank();
            let before = shown.iter().find(|one| one.is_sound() && one.rank() < rank);
            before.map(|one| format!("{:?} before {rank:?}", one.rank()))
        };
        let wrong = match chosen {
            None => Some("nobody is shown as chosen".to_owned()),
            Some(one) if one.priority == 0 || one.has("s_down") => {
                Some(format!("priority {}, flags {}", one.priority, one.flags))
            }
            Some(one) => better(one),
        };
        if let Some(wrong) = wrong {
            let what = format!("sentinel {index} chose a replica of {name}: {wrong}");
            self.seen.broken("V8", self.queue.now(), what);
        }
    }
}
