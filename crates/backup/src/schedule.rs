//! When a backup is due.
//!
//! Time is cut into slots of one length: hours, days, weeks that begin on Monday, or any number of seconds,
//! counted from the epoch; all in UTC. A backup is due when the newest one lies in an earlier slot than now, or
//! there is none. So servers that start again at any time neither take one too many nor wait too long, a slot
//! that was missed is made up for once, and what is due follows from the newest backup's name and the time alone.
//!
//! A newest backup that lies far in the future was taken before the clock was set back: it does not count.

/// Seconds of an hour, a day and a week.
const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;
const WEEK_S: i64 = 7 * DAY_S;
/// The epoch was a Thursday: weeks begin three days before it.
const MONDAY_S: i64 = 3 * DAY_S;
/// Longest wait after failures, in seconds.
const RETRY_MAX_S: i64 = 300;

/// How often a backup is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// Length of a slot in seconds, at least 1.
    period_s: i64,
    /// Seconds before the epoch at which a slot begins.
    shift_s: i64,
}

impl Schedule {
    /// Once an hour.
    pub const HOURLY: Self = Self { period_s: HOUR_S, shift_s: 0 };
    /// Once a day.
    pub const DAILY: Self = Self { period_s: DAY_S, shift_s: 0 };
    /// Once a week.
    pub const WEEKLY: Self = Self { period_s: WEEK_S, shift_s: MONDAY_S };

    /// Once in so many seconds, at least 1.
    pub fn every(seconds: i64) -> Self {
        Self { period_s: seconds.max(1), shift_s: 0 }
    }

    /// The number of the slot that a time lies in.
    pub fn slot(self, at_s: i64) -> i64 {
        at_s.saturating_add(self.shift_s).div_euclid(self.period_s)
    }

    /// When the next backup is due, given the newest one: not later than `now_s` when it is due.
    pub fn next(self, newest_s: Option<i64>, now_s: i64) -> i64 {
        match newest_s {
            Some(newest_s) if newest_s <= now_s.saturating_add(self.period_s) => {
                let next = self.slot(newest_s).saturating_add(1);
                next.saturating_mul(self.period_s).saturating_sub(self.shift_s)
            }
            _ => now_s,
        }
    }

    /// Whether one is due.
    pub fn is_due(self, newest_s: Option<i64>, now_s: i64) -> bool {
        self.next(newest_s, now_s) <= now_s
    }
}

/// How long to wait after so many failures in a row, in seconds: 1, 2, 4 and so on, up to five minutes.
pub fn retry_after_s(failures: u32) -> i64 {
    (1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX_S)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2026-11-22 19:02:03, a Sunday.
    const SUNDAY: i64 = 1_795_374_123;

    #[test]
    fn slots_begin_where_calendars_do() {
        assert_eq!(Schedule::HOURLY.next(Some(SUNDAY), SUNDAY), SUNDAY - 123 + 3600);
        let midnight = SUNDAY - 123 - 19 * HOUR_S + DAY_S;
        assert_eq!(Schedule::DAILY.next(Some(SUNDAY), SUNDAY), midnight);
        // Monday is the day after.
        assert_eq!(Schedule::WEEKLY.next(Some(SUNDAY), SUNDAY), midnight);
        assert_eq!(Schedule::WEEKLY.next(Some(midnight), midnight), midnight + WEEK_S);
        assert_eq!(Schedule::every(0), Schedule::every(1));
    }

    #[test]
    fn none_and_clocks_that_were_set_back() {
        let daily = Schedule::DAILY;
        assert!(daily.is_due(None, SUNDAY));
        assert!(!daily.is_due(Some(SUNDAY + 10), SUNDAY));
        assert!(daily.is_due(Some(SUNDAY + 2 * DAY_S), SUNDAY));
        assert!(daily.is_due(Some(SUNDAY - 5 * DAY_S), SUNDAY));
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<i64> = (0..12).map(retry_after_s).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(retry_after_s(u32::MAX), 300);
    }

    fn schedules() -> impl Strategy<Value = Schedule> {
        prop_oneof![
            Just(Schedule::HOURLY),
            Just(Schedule::DAILY),
            Just(Schedule::WEEKLY),
            (1i64..100_000).prop_map(Schedule::every),
        ]
    }

    proptest! {
        /// The next one is the first second after the newest one that lies in another slot.
        #[test]
        fn the_next_is_the_first_of_another_slot(schedule in schedules(), newest in 0i64..4_000_000_000) {
            let next = schedule.next(Some(newest), newest);
            prop_assert!(next > newest && next - newest <= schedule.period_s);
            prop_assert_eq!(schedule.slot(next), schedule.slot(newest) + 1);
            prop_assert_eq!(schedule.slot(next - 1), schedule.slot(newest));
        }

        /// A server that looks now and then takes exactly one in every slot that it looks in.
        #[test]
        fn one_in_every_slot(schedule in schedules(), looks in prop::collection::vec(0i64..400_000, 1..200)) {
            let (mut now, mut newest, mut taken) = (SUNDAY, None, Vec::new());
            let mut seen = std::collections::BTreeSet::new();
            for step in looks {
                now += step;
                seen.insert(schedule.slot(now));
                if schedule.is_due(newest, now) {
                    newest = Some(now);
                    taken.push(schedule.slot(now));
                }
            }
            prop_assert_eq!(taken, seen.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn extreme_times_do_no_harm(newest in any::<Option<i64>>(), now in any::<i64>(), every in any::<i64>()) {
            for schedule in [Schedule::HOURLY, Schedule::WEEKLY, Schedule::every(every)] {
                schedule.is_due(newest, now);
            }
        }
    }
}
