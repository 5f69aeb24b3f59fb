//! Which backups are no longer wanted: grandfather, father, son.
//!
//! There are three classes: hours, days, and weeks that begin on Monday (UTC). A class wants the newest backup
//! of each of its latest so many slots that have one. A backup is kept while any class wants it, and the newest
//! one is kept always. Slots without a backup do not count, so nothing goes only because time passes.
//!
//! O(n log n) in the backups.

use std::collections::BTreeMap;

use crate::schedule::Schedule;

/// How many of each class are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Hours.
    pub hourly: u64,
    /// Days.
    pub daily: u64,
    /// Weeks.
    pub weekly: u64,
}

/// The places of those backups, given by their times in Unix seconds in any order, that are no longer wanted.
pub fn surplus(times_s: &[i64], keep: Keep) -> Vec<usize> {
    let mut wanted = vec![false; times_s.len()];
    if let Some(newest) = (0..times_s.len()).max_by_key(|&at| (times_s[at], at)) {
        wanted[newest] = true;
    }
    for (slots, count) in [
        (Schedule::HOURLY, keep.hourly),
        (Schedule::DAILY, keep.daily),
        (Schedule::WEEKLY, keep.weekly),
    ] {
        let mut newest: BTreeMap<i64, usize> = BTreeMap::new();
        for (at, &time_s) in times_s.iter().enumerate() {
            let place = newest.entry(slots.slot(time_s)).or_insert(at);
            if (time_s, at) > (times_s[*place], *place) {
                *place = at;
            }
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        newest.values().rev().take(count).for_each(|&at| wanted[at] = true);
    }
    (0..times_s.len()).filter(|&at| !wanted[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    /// A Monday, 00:00.
    const MONDAY: i64 = 1_795_392_000;

    fn kept(times: &[i64], keep: Keep) -> Vec<i64> {
        let gone = surplus(times, keep);
        (0..times.len()).filter(|at| !gone.contains(at)).map(|at| times[at]).collect()
    }

    #[test]
    fn each_class_wants_its_newest() {
        let keep = Keep { hourly: 2, daily: 2, weekly: 1 };
        let times = [
            MONDAY - 3 * DAY,
            MONDAY - HOUR,
            MONDAY - 60,
            MONDAY,
            MONDAY + 10,
            MONDAY + 2 * HOUR,
            MONDAY + 2 * HOUR + 1,
        ];
        // The last two hours; today's and yesterday's last.
        assert_eq!(kept(&times, keep), [MONDAY - 60, MONDAY + 10, MONDAY + 2 * HOUR + 1]);
        let none = Keep { hourly: 0, daily: 0, weekly: 0 };
        assert_eq!(kept(&times, none), [MONDAY + 2 * HOUR + 1]);
        assert_eq!(kept(&[], keep), [0i64; 0]);
        // Of the same second one is the newest.
        assert_eq!(surplus(&[MONDAY, MONDAY], none), [0]);
    }

    /// By the definition, one backup and one class at a time.
    fn is_wanted(times: &[i64], at: usize, keep: Keep) -> bool {
        let is_newer = |other: usize| (times[other], other) > (times[at], at);
        if !(0..times.len()).any(is_newer) {
            return true;
        }
        let week = |time: i64| (time.div_euclid(DAY) + 3).div_euclid(7);
        let classes: [(&dyn Fn(i64) -> i64, u64); 3] = [
            (&|time| time.div_euclid(HOUR), keep.hourly),
            (&|time| time.div_euclid(DAY), keep.daily),
            (&week, keep.weekly),
        ];
        classes.iter().any(|(slot, count)| {
            let own = slot(times[at]);
            let is_best = !(0..times.len()).any(|o| is_newer(o) && slot(times[o]) == own);
            let mut later: Vec<i64> =
                times.iter().map(|&time| slot(time)).filter(|&slot| slot > own).collect();
            later.sort_unstable();
            later.dedup();
            is_best && (later.len() as u64) < *count
        })
    }

    proptest! {
        #[test]
        fn as_the_definition_says(
            steps in prop::collection::vec((0i64..3 * DAY, 0u8..4), 0..60),
            (hourly, daily, weekly) in (0u64..30, 0u64..10, 0u64..6),
        ) {
            // Many close together, some far apart.
            let mut time = MONDAY;
            let times: Vec<i64> = steps
                .iter()
                .map(|(step, how)| {
                    time += if *how == 0 { *step } else { step / 50 };
                    time
                })
                .collect();
            let keep = Keep { hourly, daily, weekly };
            let gone = surplus(&times, keep);
            let model: Vec<usize> =
                (0..times.len()).filter(|&at| !is_wanted(&times, at, keep)).collect();
            prop_assert_eq!(&gone, &model);
            // Whatever is removed does not make anything else unwanted.
            let left: Vec<i64> =
                (0..times.len()).filter(|at| !gone.contains(at)).map(|at| times[at]).collect();
            prop_assert!(surplus(&left, keep).is_empty());
        }

        /// Backups that come one after the other, each followed by its clean-up, leave what one clean-up at
        /// the end would.
        #[test]
        fn cleaning_up_each_time_is_the_same(
            steps in prop::collection::vec(1i64..DAY, 1..80),
            (hourly, daily, weekly) in (0u64..10, 0u64..10, 0u64..6),
        ) {
            let keep = Keep { hourly, daily, weekly };
            let (mut time, mut all, mut left) = (MONDAY, Vec::new(), Vec::new());
            for step in steps {
                time += step;
                all.push(time);
                left.push(time);
                left = kept(&left, keep);
            }
            prop_assert_eq!(left, kept(&all, keep));
        }
    }
}
