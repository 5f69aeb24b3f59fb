//! The names of backups.
//!
//! ```text
//! ochre-<first 8 digits of the run id>-<year month day>T<hour minute second>Z.rdb     ochre-1a2b3c4d-20261122T190203Z.rdb
//! ```
//!
//! The time is that of the cut, in UTC. It is all that the schedule and the retention go by, so a server that
//! begins anew needs nothing but the list of names. Anything that is not exactly of this form is foreign, and
//! is neither read nor removed.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const PREFIX: &str = "ochre-";
const SUFFIX: &str = ".rdb";
const STAMP: &str = "%Y%m%dT%H%M%SZ";
/// Letters of the run id, and of the time.
const RUN_LEN: usize = 8;
const STAMP_LEN: usize = 16;

/// The name of a backup whose cut was at `at_s` (Unix seconds), by the server with this run id.
pub fn of(run_id: &str, at_s: i64) -> String {
    let run = run_id.get(..RUN_LEN).unwrap_or("00000000");
    // Times that have no date do not come from a clock.
    let at = Timestamp::from_second(at_s).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{PREFIX}{run}-{}{SUFFIX}", at.strftime(STAMP))
}

/// When the backup of this name was taken, in Unix seconds; none when it is not the name of a backup.
pub fn time_of(name: &str) -> Option<i64> {
    let rest = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (run, stamp) = rest.split_once('-')?;
    let is_run = run.len() == RUN_LEN
        && run.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if !is_run || stamp.len() != STAMP_LEN {
        return None;
    }
    let date = DateTime::strptime(STAMP, stamp).ok()?;
    let at_s = date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    // Only what we would write ourselves: no signs, no leap seconds that are moved.
    (of(run, at_s) == name).then_some(at_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_our_own_names_are_read() {
        let name = of("1a2b3c4d5e6f", 1_795_374_123);
        assert_eq!(name, "ochre-1a2b3c4d-20261122T190203Z.rdb");
        assert_eq!(time_of(&name), Some(1_795_374_123));
        for foreign in [
            "",
            "dump.rdb",
            "ochre-1a2b3c4d-20261122T190203Z.rdb.tmp",
            "ochre-1a2b3c4d-20261122T190203Z",
            "ochre-1A2B3C4D-20261122T190203Z.rdb",
            "ochre-1a2b3c4-20261122T190203Z.rdb",
            "ochre-1a2b3c4d-20261132T190203Z.rdb",
            "ochre-1a2b3c4d-20261122T190260Z.rdb",
            "ochre-1a2b3c4d-20261122T190203.rdb",
            "ochre-1a2b3c4d-+0261122T190203Z.rdb",
            "copy-ochre-1a2b3c4d-20261122T190203Z.rdb",
        ] {
            assert_eq!(time_of(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn names_say_when(at_s in 0i64..253_402_300_799, run in "[0-9a-f]{40}") {
            prop_assert_eq!(time_of(&of(&run, at_s)), Some(at_s));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,50}") {
            if let Some(at_s) = time_of(&text) {
                prop_assert!(text.starts_with("ochre-") && at_s > -400_000_000_000);
            }
        }
    }
}
