//! Kinds of directives with a grammar of their own: save points, output limits, event classes.
//!
//! Texts and errors are those of redis-server 7.0.15.

use ochre_base::num::{parse_f64, parse_i64, parse_memory};
use std::borrow::Cow;

/// Why a value is refused, as the peers say it.
pub type Refusal = Cow<'static, str>;

/// Save when `changes` writes are `seconds` old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// Age of the oldest change, at least 1.
    pub seconds: i64,
    /// Number of changes.
    pub changes: i64,
}

/// Reads pairs of seconds and changes; no words, or one empty word, means none.
pub(crate) fn parse_save(words: &[&[u8]]) -> Result<Vec<SavePoint>, Refusal> {
    const REFUSED: Refusal = Cow::Borrowed("Invalid save parameters");
    if words.is_empty() || words == [b""] {
        return Ok(Vec::new());
    }
    if !words.len().is_multiple_of(2) {
        return Err(REFUSED);
    }
    let mut points = Vec::new();
    for pair in words.chunks_exact(2) {
        let seconds = parse_i64(pair[0]).filter(|s| *s >= 1).ok_or(REFUSED)?;
        let changes = parse_i64(pair[1]).filter(|c| *c >= 0).ok_or(REFUSED)?;
        points.push(SavePoint { seconds, changes });
    }
    Ok(points)
}

/// How often something is done: `backup-schedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Once an hour.
    Hourly,
    /// Once a day.
    Daily,
    /// Once a week.
    Weekly,
    /// Once in so many seconds, 1 to [`SCHEDULE_MAX_S`].
    Seconds(i64),
}

/// Most seconds of a schedule: a year.
pub const SCHEDULE_MAX_S: i64 = 365 * 24 * 3600;

impl Schedule {
    /// Reads a schedule.
    pub fn parse(word: &[u8]) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_slice() {
            b"hourly" => Self::Hourly,
            b"daily" => Self::Daily,
            b"weekly" => Self::Weekly,
            number => {
                let seconds = parse_i64(number)?;
                Self::Seconds(Some(seconds).filter(|s| (1..=SCHEDULE_MAX_S).contains(s))?)
            }
        })
    }
}

/// Limits of pending replies for one class of clients; 0 switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutputLimit {
    /// Bytes at which a client is closed at once.
    pub hard_bytes: u64,
    /// Bytes at which a client is closed after `soft_seconds`.
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded.
    pub soft_seconds: i64,
}

/// Index of normal clients in a table of [`OutputLimit`]s.
pub const CLASS_NORMAL: usize = 0;
/// Index of replicas.
pub const CLASS_REPLICA: usize = 1;
/// Index of subscribers.
pub const CLASS_PUBSUB: usize = 2;

/// The classes' names as CONFIG GET shows them; CONFIG REWRITE writes `replica`.
pub(crate) const CLASS_NAMES: [&str; 3] = ["normal", "slave", "pubsub"];

/// The class of a name, old or new.
pub(crate) fn class_of(name: &[u8]) -> Option<usize> {
    let name = if name.eq_ignore_ascii_case(b"replica") { b"slave" } else { name };
    CLASS_NAMES.iter().position(|n| name.eq_ignore_ascii_case(n.as_bytes()))
}

/// Reads groups of class, hard limit, soft limit and seconds over the limits in force.
pub(crate) fn parse_output_limits(
    words: &[&[u8]],
    mut limits: [OutputLimit; 3],
) -> Result<[OutputLimit; 3], Refusal> {
    if words.is_empty() || !words.len().is_multiple_of(4) {
        return Err("Wrong number of arguments in buffer limit configuration.".into());
    }
    for group in words.chunks_exact(4) {
        let class = class_of(group[0])
            .ok_or("Invalid client class specified in buffer limit configuration.")?;
        const REFUSED: &str =
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
        limits[class] = OutputLimit {
            hard_bytes: parse_memory(group[1]).ok_or(REFUSED)?,
            soft_bytes: parse_memory(group[2]).ok_or(REFUSED)?,
            soft_seconds: parse_i64(group[3]).filter(|s| *s >= 0).ok_or(REFUSED)?,
        };
    }
    Ok(limits)
}

/// Classes of keyspace events, as bits (the numbers are the peers').
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventClasses(pub u32);

impl EventClasses {
    /// `K`: publish on `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: EventClasses = EventClasses(1);
    /// `E`: publish on `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: EventClasses = EventClasses(1 << 1);
    /// `g`: commands of every type, such as DEL and EXPIRE.
    pub const GENERIC: EventClasses = EventClasses(1 << 2);
    /// `$`: strings.
    pub const STRING: EventClasses = EventClasses(1 << 3);
    /// `l`: lists.
    pub const LIST: EventClasses = EventClasses(1 << 4);
    /// `s`: sets.
    pub const SET: EventClasses = EventClasses(1 << 5);
    /// `h`: hashes.
    pub const HASH: EventClasses = EventClasses(1 << 6);
    /// `z`: sorted sets.
    pub const ZSET: EventClasses = EventClasses(1 << 7);
    /// `x`: keys that expired.
    pub const EXPIRED: EventClasses = EventClasses(1 << 8);
    /// `e`: keys that were evicted.
    pub const EVICTED: EventClasses = EventClasses(1 << 9);
    /// `t`: streams.
    pub const STREAM: EventClasses = EventClasses(1 << 10);
    /// `m`: keys that were asked for and missing; not part of `A`.
    pub const KEY_MISS: EventClasses = EventClasses(1 << 11);
    /// `d`: module types.
    pub const MODULE: EventClasses = EventClasses(1 << 13);
    /// `n`: keys that were created; not part of `A`.
    pub const NEW: EventClasses = EventClasses(1 << 14);
    /// `S`: publish parts of values on `__subkeyspace@<db>__:<key>`.
    pub const SUBKEYSPACE: EventClasses = EventClasses(1 << 16);
    /// `T`: publish parts of values on `__subkeyevent@<db>__:<event>`.
    pub const SUBKEYEVENT: EventClasses = EventClasses(1 << 17);
    /// `I`: publish parts of values on `__subkeyspaceitem@<db>__:<key>\n<part>`.
    pub const SUBKEYSPACEITEM: EventClasses = EventClasses(1 << 18);
    /// `V`: publish parts of values on `__subkeyspaceevent@<db>__:<event>|<key>`.
    pub const SUBKEYSPACEEVENT: EventClasses = EventClasses(1 << 19);
    /// `A`: `g$lshzxetd`.
    pub const ALL: EventClasses = EventClasses(0b10_0111_1111_1100);

    /// Whether all of `other`'s classes are on.
    #[inline]
    pub fn contains(self, other: EventClasses) -> bool {
        self.0 & other.0 == other.0
    }

    /// Reads a list of letters.
    pub fn parse(text: &[u8]) -> Result<EventClasses, Refusal> {
        let mut classes = 0;
        for &letter in text {
            classes |= match letter {
                b'A' => Self::ALL.0,
                _ => Self::LETTERS
                    .iter()
                    .find(|(l, _)| *l == letter)
                    .map(|(_, c)| c.0)
                    .ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?,
            };
        }
        Ok(EventClasses(classes))
    }

    /// Every letter but `A`, in the order in which they are shown; from the place
    /// [`Self::BESIDE_ALL`] on also beside `A`.
    const LETTERS: [(u8, EventClasses); 18] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
        // The peers leave this one out beside `A`; a rewritten file would lose it.
        (b'n', Self::NEW),
        (b'K', Self::KEYSPACE),
        (b'E', Self::KEYEVENT),
        (b'S', Self::SUBKEYSPACE),
        (b'T', Self::SUBKEYEVENT),
        (b'I', Self::SUBKEYSPACEITEM),
        (b'V', Self::SUBKEYSPACEEVENT),
        (b'm', Self::KEY_MISS),
    ];
    const BESIDE_ALL: usize = 10;

    /// The letters, shortest form.
    pub fn show(self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut letters = &Self::LETTERS[..];
        if self.contains(Self::ALL) {
            out.push(b'A');
            letters = &Self::LETTERS[Self::BESIDE_ALL..];
        }
        out.extend(letters.iter().filter(|(_, class)| self.contains(*class)).map(|(l, _)| l));
        out
    }
}

/// Reads the three scores for the kernel's out-of-memory killer.
pub(crate) fn parse_oom_scores(words: &[&[u8]]) -> Result<[i64; 3], Refusal> {
    let words: [&[u8]; 3] = words.try_into().map_err(|_| "wrong number of arguments")?;
    let mut scores = [0; 3];
    for (score, word) in scores.iter_mut().zip(words) {
        *score = parse_i64(word)
            .filter(|s| (-2000..=2000).contains(s))
            .ok_or("Invalid oom-score-adj-values, elements must be between -2000 and 2000.")?;
    }
    Ok(scores)
}

/// Reads percentiles from 0 to 100; none, or one empty word, switches them off.
pub(crate) fn parse_percentiles(words: &[&[u8]]) -> Result<Vec<f64>, Refusal> {
    if words == [b""] {
        return Ok(Vec::new());
    }
    let mut percentiles = Vec::new();
    for word in words {
        let value =
            parse_f64(word).ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&value) {
            return Err("latency-tracking-info-percentiles parameters should sit between \
                        [0.0,100.0]"
                .into());
        }
        percentiles.push(value);
    }
    Ok(percentiles)
}

/// Shows a percentile with at most six decimals and no trailing zeros.
pub fn show_percentile(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The names that a process title may hold in braces.
const TITLE_NAMES: [&str; 7] =
    ["title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"];

/// Whether every brace of a process title encloses a known name.
pub(crate) fn is_title_template(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(open) = memchr::memchr(b'{', rest) {
        rest = &rest[open + 1..];
        let Some(close) = memchr::memchr(b'}', rest) else {
            return false;
        };
        if !TITLE_NAMES.iter().any(|n| n.as_bytes() == &rest[..close]) {
            return false;
        }
        rest = &rest[close + 1..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for (word, expected) in [
            ("hourly", Some(Schedule::Hourly)),
            ("Daily", Some(Schedule::Daily)),
            ("WEEKLY", Some(Schedule::Weekly)),
            ("1", Some(Schedule::Seconds(1))),
            ("31536000", Some(Schedule::Seconds(SCHEDULE_MAX_S))),
            ("31536001", None),
            ("0", None),
            ("-5", None),
            ("", None),
            ("monthly", None),
        ] {
            assert_eq!(Schedule::parse(word.as_bytes()), expected, "{word}");
        }
    }

    #[test]
    fn event_classes_as_the_peer_shows_them() {
        for (given, shown) in [
            ("", ""),
            ("KEA", "AKE"),
            ("Kg$", "g$K"),
            ("gxE$lshzdtmn", "g$lshzxtdnEm"),
            ("KEAn", "AnKE"),
            ("g$lshzxetd", "A"),
        ] {
            let classes = EventClasses::parse(given.as_bytes()).unwrap();
            assert_eq!(classes.show(), shown.as_bytes());
            assert_eq!(EventClasses::parse(&classes.show()), Ok(classes));
        }
        assert!(EventClasses::parse(b"KEZ").is_err());
    }

    #[test]
    fn percentiles_are_shown_shortly() {
        for (value, text) in [
            (50.0, "50"),
            (99.99, "99.99"),
            (33.333_333_333, "33.333333"),
            (100.0, "100"),
            (0.0, "0"),
        ] {
            assert_eq!(show_percentile(value), text);
        }
    }

    #[test]
    fn title_templates() {
        assert!(is_title_template(b"{title} x {port}"));
        assert!(is_title_template(b"plain"));
        assert!(!is_title_template(b"{foo}"));
        assert!(!is_title_template(b"{title"));
    }
}
