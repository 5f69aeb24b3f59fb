//! Checks that a recorded history is linearisable: that every operation can be given one moment
//! between its call and its return such that the outcomes follow from the model in that order.
//!
//! The search is that of Wing and Gong with the memory of Lowe: depth first over which pending
//! operation comes next, never twice from the same pair of (operations done, state). Each client
//! runs one operation at a time, so "operations done" is one position per client. An operation may
//! come next when no other pending one returned before it was called.
//!
//! Cost: at worst exponential in the number of clients, in practice linear in the operations,
//! since the unique values leave few orders open. `VISITS_MAX` bounds it; a history beyond that is
//! reported as undecided, which a test treats as a failure.
//!
//! Source: J. Wing and C. Gong, "Testing and verifying concurrent objects", 1993; G. Lowe, "Testing
//! for linearizability", 2016.

use crate::model::{Op, Outcome, State};
use std::collections::HashSet;
use std::time::Duration;

/// Pairs of positions and state that may be visited.
const VISITS_MAX: usize = 5_000_000;

/// One finished operation.
#[derive(Debug, Clone)]
pub struct Event {
    /// What was asked.
    pub op: Op,
    /// What was answered.
    pub outcome: Outcome,
    /// When it was sent, since the history's start.
    pub called: Duration,
    /// When its reply was read.
    pub returned: Duration,
}

/// The verdict on a history.
#[derive(Debug)]
pub enum Verdict {
    /// There is such an order.
    Linearisable,
    /// There is none. The longest explanation found stops before these operations, of which each
    /// client's next is given.
    Violated(Vec<Event>),
    /// The search was given up.
    Undecided,
}

/// Checks the operations of several clients, each in its own order, from a state.
pub fn check(clients: &[Vec<Event>], initial: &State) -> Verdict {
    let start = vec![0u32; clients.len()];
    let mut seen = HashSet::new();
    let mut stack = vec![(start.clone(), initial.clone())];
    let mut furthest = (0, start);
    while let Some((positions, state)) = stack.pop() {
        if positions.iter().zip(clients).all(|(at, events)| *at as usize == events.len()) {
            return Verdict::Linearisable;
        }
        let done: u32 = positions.iter().sum();
        if done > furthest.0 {
            furthest = (done, positions.clone());
        }
        let next = |(client, event): (usize, &Event)| {
            let next = state.apply(&event.op, &event.outcome)?;
            let mut positions = positions.clone();
            positions[client] += 1;
            Some((positions, next))
        };
        let open = candidates(clients, &positions);
        // A read that is possible here may come first without harm to any other order: no other
        // branch is needed.
        let is_read = |(_, event): &(usize, &Event)| event.op.is_read(&event.outcome);
        let read = open.iter().copied().filter(is_read).find_map(next);
        let steps = match read {
            Some(step) => vec![step],
            None => open.into_iter().filter_map(next).collect(),
        };
        stack.extend(steps.into_iter().filter(|step| seen.insert(step.clone())));
        if seen.len() > VISITS_MAX {
            return Verdict::Undecided;
        }
    }
    Verdict::Violated(pending(clients, &furthest.1).map(|(_, event)| event.clone()).collect())
}

fn pending<'a>(
    clients: &'a [Vec<Event>],
    positions: &'a [u32],
) -> impl Iterator<Item = (usize, &'a Event)> {
    let next = |(client, at): (usize, &u32)| Some((client, clients[client].get(*at as usize)?));
    positions.iter().enumerate().filter_map(next)
}

/// The operations that may come next.
fn candidates<'a>(clients: &'a [Vec<Event>], positions: &'a [u32]) -> Vec<(usize, &'a Event)> {
    let first_return = pending(clients, positions).map(|(_, event)| event.returned).min();
    let Some(first_return) = first_return else { return Vec::new() };
    let open = pending(clients, positions).filter(|(_, event)| event.called <= first_return);
    let mut open: Vec<_> = open.collect();
    // The one that returned first is most often the right one; the stack takes the last first.
    open.sort_by_key(|(_, event)| std::cmp::Reverse(event.returned));
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Outcome::{Done, Each, Number, Numbers, Popped, Refused};

    fn event(op: Op, outcome: Outcome, called: u64, returned: u64) -> Event {
        let at = Duration::from_micros;
        Event { op, outcome, called: at(called), returned: at(returned) }
    }

    fn verdict(clients: &[Vec<Event>]) -> bool {
        match check(clients, &State::new(3, 2)) {
            Verdict::Linearisable => true,
            Verdict::Violated(_) => false,
            Verdict::Undecided => panic!("undecided"),
        }
    }

    #[test]
    fn overlapping_reads_may_see_either_value() {
        for (seen, good) in [(None, true), (Some(1), true), (Some(2), false)] {
            let history = [
                vec![event(Op::Set(0, 1), Done, 0, 10)],
                vec![event(Op::Get(0), Number(seen), 5, 6)],
            ];
            assert_eq!(verdict(&history), good, "{seen:?}");
        }
    }

    #[test]
    fn a_stale_read_is_rejected() {
        let history =
            [vec![event(Op::Set(0, 1), Done, 0, 2)], vec![event(Op::Get(0), Number(None), 3, 4)]];
        assert!(!verdict(&history));
    }

    #[test]
    fn reads_that_go_back_in_time_are_rejected() {
        // Both reads overlap the write, but the later one sees the older value.
        let history = [
            vec![event(Op::Set(0, 1), Done, 0, 100)],
            vec![
                event(Op::Get(0), Number(Some(1)), 10, 20),
                event(Op::Get(0), Number(None), 30, 40),
            ],
        ];
        assert!(!verdict(&history));
    }

    #[test]
    fn a_lost_update_is_rejected() {
        let history = [
            vec![event(Op::Incr(0), Number(Some(1)), 0, 10)],
            vec![event(Op::Incr(0), Number(Some(1)), 0, 10)],
        ];
        assert!(!verdict(&history));
        let history = [
            vec![event(Op::Incr(0), Number(Some(2)), 0, 10)],
            vec![event(Op::Incr(0), Number(Some(1)), 0, 10)],
        ];
        assert!(verdict(&history));
    }

    #[test]
    fn a_torn_multi_key_write_is_rejected() {
        let torn = |a, b| {
            [
                vec![event(Op::MSet(vec![(0, 1), (1, 2)]), Done, 0, 10)],
                vec![event(Op::MGet(vec![0, 1]), Numbers(vec![a, b]), 1, 9)],
            ]
        };
        assert!(verdict(&torn(None, None)));
        assert!(verdict(&torn(Some(1), Some(2))));
        assert!(!verdict(&torn(Some(1), None)));
        assert!(!verdict(&torn(None, Some(2))));
    }

    #[test]
    fn two_readers_must_agree_on_the_order_of_two_writes() {
        let history = |second: [i64; 2]| {
            let reader = |[a, b]: [i64; 2]| {
                vec![
                    event(Op::Get(0), Number(Some(a)), 1, 40),
                    event(Op::Get(0), Number(Some(b)), 41, 90),
                ]
            };
            [
                vec![event(Op::Set(0, 1), Done, 0, 100)],
                vec![event(Op::Set(0, 2), Done, 0, 100)],
                reader([1, 2]),
                reader(second),
            ]
        };
        assert!(verdict(&history([1, 2])));
        assert!(!verdict(&history([2, 1])));
    }

    #[test]
    fn transactions_are_one_moment() {
        let body = vec![Op::Get(0), Op::Set(0, 7), Op::Get(0)];
        let history = |first| {
            [
                vec![event(Op::Set(0, 1), Done, 0, 100)],
                vec![event(
                    Op::Transaction(body.clone()),
                    Each(vec![Number(first), Done, Number(Some(7))]),
                    0,
                    100,
                )],
            ]
        };
        assert!(verdict(&history(None)));
        assert!(verdict(&history(Some(1))));
        let torn = [
            vec![event(Op::Set(0, 1), Done, 0, 100)],
            vec![event(
                Op::Transaction(body.clone()),
                Each(vec![Number(None), Done, Number(Some(1))]),
                0,
                100,
            )],
        ];
        assert!(!verdict(&torn));
    }

    #[test]
    fn pops_take_each_element_once_and_in_order() {
        let pops = |a: Option<(usize, i64)>, b: Option<(usize, i64)>| {
            [
                vec![
                    event(Op::Push(0, 1), Number(Some(1)), 0, 10),
                    event(Op::Push(0, 2), Number(Some(2)), 11, 20),
                ],
                vec![event(Op::BlockingPop(vec![0, 1]), Popped(a), 30, 40)],
                vec![event(Op::BlockingPop(vec![1, 0]), Popped(b), 50, 60)],
            ]
        };
        assert!(verdict(&pops(Some((0, 1)), Some((0, 2)))));
        assert!(!verdict(&pops(Some((0, 2)), Some((0, 1)))));
        assert!(!verdict(&pops(Some((0, 1)), Some((0, 1)))));
        assert!(!verdict(&pops(Some((0, 1)), None)));
        assert!(!verdict(&pops(None, Some((0, 1)))));
    }

    #[test]
    fn an_operation_without_effect_now_may_still_come_later() {
        // LMOVE 0 0 of the single element changes nothing, but must come after the second push.
        let history = [
            vec![event(Op::Push(0, 1), Number(Some(1)), 0, 1)],
            vec![event(Op::Move(0, 0), Number(Some(1)), 2, 20)],
            vec![
                event(Op::Push(0, 2), Number(Some(2)), 3, 4),
                event(Op::Range(0), Numbers(vec![Some(2), Some(1)]), 21, 22),
            ],
        ];
        assert!(verdict(&history));
    }

    #[test]
    fn compare_and_set_succeeds_only_on_what_it_saw() {
        let history = |outcome| {
            [vec![
                event(Op::Set(0, 1), Done, 0, 1),
                event(Op::CompareAndSet(0, None, 5), outcome, 2, 3),
            ]]
        };
        assert!(verdict(&history(Refused)));
        assert!(!verdict(&history(Done)));
    }

    #[test]
    fn a_long_wide_history_is_decided_quickly() {
        // Eight clients, all overlapping in rounds, 250 operations each.
        let mut state = 0;
        let clients: Vec<Vec<Event>> = (0..8u64)
            .map(|client| {
                let at = |round: u64| {
                    let sum = (round * 8 + client + 1) as i64;
                    let start = round * 100;
                    event(Op::Incr(0), Number(Some(sum)), start + client, start + 90)
                };
                (0..250).map(at).collect()
            })
            .collect();
        assert!(verdict(&clients));
        let mut bad = clients;
        if let Outcome::Number(Some(n)) = &mut bad[3][200].outcome {
            *n += 9;
            state += 1;
        }
        assert_eq!(state, 1);
        assert!(!verdict(&bad));
    }
}
