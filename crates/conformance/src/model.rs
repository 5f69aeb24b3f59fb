//! The sequential model behind the linearisability tests: a few registers and lists.
//!
//! [`State::apply`] says whether an operation may have had its recorded outcome in a state, and
//! what the state is thereafter. An outcome that leaves room (a transaction aborted by WATCH) is
//! allowed in every state and changes nothing.

use std::collections::VecDeque;

/// One operation as a client issued it. Registers and lists are numbered; values of SET and of
/// pushes are unique in a history, so that a read names its write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Op {
    /// GET
    Get(usize),
    /// SET
    Set(usize, i64),
    /// INCR
    Incr(usize),
    /// GETDEL
    GetDel(usize),
    /// MSET
    MSet(Vec<(usize, i64)>),
    /// MGET
    MGet(Vec<usize>),
    /// RENAME, of a register that may not exist
    Rename(usize, usize),
    /// RPUSH of one element
    Push(usize, i64),
    /// LPOP
    Pop(usize),
    /// LMOVE from left to right
    Move(usize, usize),
    /// LRANGE 0 -1
    Range(usize),
    /// BLPOP of several lists, with a time-out
    BlockingPop(Vec<usize>),
    /// MULTI .. EXEC
    Transaction(Vec<Op>),
    /// WATCH, GET (which gave the first number), MULTI, SET (to the second), EXEC
    CompareAndSet(usize, Option<i64>, i64),
}

/// What the server answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// OK, or true of a compare-and-set.
    Done,
    /// An error for a missing key; a compare-and-set that was aborted.
    Refused,
    /// A number or nothing.
    Number(Option<i64>),
    /// Numbers or nothings.
    Numbers(Vec<Option<i64>>),
    /// A popped element and the list it came from.
    Popped(Option<(usize, i64)>),
    /// One for each command of a transaction.
    Each(Vec<Outcome>),
}

impl Op {
    /// Whether an operation with this outcome cannot change any state.
    pub fn is_read(&self, outcome: &Outcome) -> bool {
        match (self, outcome) {
            (Op::Get(_) | Op::MGet(_) | Op::Range(_), _) | (_, Outcome::Refused) => true,
            (Op::GetDel(_) | Op::Pop(_) | Op::Move(..), Outcome::Number(None)) => true,
            (Op::BlockingPop(_), Outcome::Popped(None)) => true,
            (Op::Transaction(ops), Outcome::Each(outcomes)) => {
                ops.iter().zip(outcomes).all(|(op, outcome)| op.is_read(outcome))
            }
            _ => false,
        }
    }
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    registers: Vec<Option<i64>>,
    lists: Vec<VecDeque<i64>>,
}

impl State {
    /// An empty state with so many registers and lists.
    pub fn new(registers: usize, lists: usize) -> State {
        State { registers: vec![None; registers], lists: vec![VecDeque::new(); lists] }
    }

    /// The state after `op` if `outcome` is possible here.
    pub fn apply(&self, op: &Op, outcome: &Outcome) -> Option<State> {
        let mut next = self.clone();
        next.step(op, outcome).then_some(next)
    }

    fn step(&mut self, op: &Op, outcome: &Outcome) -> bool {
        use Outcome::{Done, Each, Number, Numbers, Popped, Refused};
        match (op, outcome) {
            (Op::Get(k), Number(seen)) => self.registers[*k] == *seen,
            (Op::Set(k, v), Done) => {
                self.registers[*k] = Some(*v);
                true
            }
            (Op::Incr(k), Number(Some(seen))) => {
                let sum = self.registers[*k].unwrap_or(0) + 1;
                self.registers[*k] = Some(sum);
                sum == *seen
            }
            (Op::GetDel(k), Number(seen)) => self.registers[*k].take() == *seen,
            (Op::MSet(pairs), Done) => {
                for (k, v) in pairs {
                    self.registers[*k] = Some(*v);
                }
                true
            }
            (Op::MGet(keys), Numbers(seen)) => {
                keys.len() == seen.len()
                    && keys.iter().zip(seen).all(|(k, v)| self.registers[*k] == *v)
            }
            (Op::Rename(from, _), Refused) => self.registers[*from].is_none(),
            (Op::Rename(from, to), Done) => {
                let Some(value) = self.registers[*from].take() else { return false };
                self.registers[*to] = Some(value);
                true
            }
            (Op::Push(l, v), Number(Some(len))) => {
                self.lists[*l].push_back(*v);
                self.lists[*l].len() as i64 == *len
            }
            (Op::Pop(l), Number(seen)) => self.lists[*l].pop_front() == *seen,
            (Op::Move(from, to), Number(seen)) => {
                let moved = self.lists[*from].pop_front();
                self.lists[*to].extend(moved);
                moved == *seen
            }
            (Op::Range(l), Numbers(seen)) => {
                self.lists[*l].iter().copied().map(Some).eq(seen.iter().copied())
            }
            (Op::BlockingPop(lists), Popped(None)) => {
                lists.iter().all(|l| self.lists[*l].is_empty())
            }
            (Op::BlockingPop(lists), Popped(Some((from, v)))) => {
                // A client that waits for several lists is served by the one that is pushed to first,
                // also when a transaction pushes to several before it ends; so any of its lists will
                // do. (Redis' documentation of BLPOP, "What key is served first?")
                lists.contains(from) && self.lists[*from].pop_front() == Some(*v)
            }
            (Op::Transaction(ops), Each(outcomes)) => {
                ops.len() == outcomes.len()
                    && ops.iter().zip(outcomes).all(|(op, outcome)| self.step(op, outcome))
            }
            (Op::CompareAndSet(..), Refused) => true,
            (Op::CompareAndSet(k, seen, v), Done) => {
                let unchanged = self.registers[*k] == *seen;
                self.registers[*k] = Some(*v);
                unchanged
            }
            _ => false,
        }
    }
}
