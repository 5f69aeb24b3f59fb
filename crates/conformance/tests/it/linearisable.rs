//! I1, I4: recorded histories of 8 clients on 2 and on 4 loops are linearisable.
//!
//! Each history is short (a few keys, [`OPERATIONS`] operations for each client) and fresh, so that
//! the checker decides it quickly and many interleavings are tried. Values are unique.

use crate::{PrintSeed, at_once, seed};
use ochre_base::rng::Rng;
use ochre_conformance::linear::{Event, Verdict, check};
use ochre_conformance::model::{Op, Outcome, State};
use ochre_testkit::{Client, Server, Value};
use std::sync::Barrier;
use std::time::Instant;

/// Clients of a history.
const CLIENTS: usize = 8;

/// Operations of one client in one history.
const OPERATIONS: usize = 120;

/// Histories of one test.
const HISTORIES: u64 = 12;

/// Registers and lists, spread over shards by their names.
const REGISTERS: usize = 4;
const LISTS: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Mix {
    Single,
    Multi,
    Transactions,
    Blocking,
}

fn operation(rng: &mut Rng, mix: Mix, value: i64) -> Op {
    let register = |rng: &mut Rng| rng.below(REGISTERS as u64) as usize;
    let list = |rng: &mut Rng| rng.below(LISTS as u64) as usize;
    match (mix, rng.below(8)) {
        (Mix::Single, 0..=2) => Op::Get(register(rng)),
        (Mix::Single, 3 | 4) => Op::Set(register(rng), value),
        (Mix::Single, 5) => Op::Incr(register(rng)),
        (Mix::Single, 6) => Op::GetDel(register(rng)),
        (Mix::Single, _) => Op::CompareAndSet(register(rng), None, value),
        (Mix::Multi, 0 | 1) => Op::MGet((0..REGISTERS).collect()),
        (Mix::Multi, 2 | 3) => {
            let (a, b) = (register(rng), register(rng));
            Op::MSet(vec![(a, value), (b, value + 1)])
        }
        (Mix::Multi, 4) => {
            let from = register(rng);
            Op::Rename(from, (from + 1 + rng.below(REGISTERS as u64 - 1) as usize) % REGISTERS)
        }
        (Mix::Multi, 5) => Op::Push(list(rng), value),
        (Mix::Multi, 6) => Op::Move(list(rng), list(rng)),
        (Mix::Multi, _) => Op::Range(list(rng)),
        (Mix::Transactions, 0..=4) => {
            let count = 2 + rng.below(3);
            Op::Transaction(
                (0..count)
                    .map(|i| match rng.below(6) {
                        0 => Op::MGet((0..REGISTERS).collect()),
                        1 => Op::Set(register(rng), value + i as i64),
                        2 => Op::Incr(register(rng)),
                        3 => Op::Push(list(rng), value + i as i64),
                        4 => Op::Pop(list(rng)),
                        _ => Op::Get(register(rng)),
                    })
                    .collect(),
            )
        }
        (Mix::Transactions, 5) => Op::CompareAndSet(register(rng), None, value),
        (Mix::Transactions, 6) => Op::Set(register(rng), value),
        (Mix::Transactions, _) => Op::MGet((0..REGISTERS).collect()),
        // More pops than pushes: clients do block, and no long list hides a wrong order from the
        // checker for long.
        (Mix::Blocking, 0..=4) => {
            let first = list(rng);
            Op::BlockingPop(vec![first, (first + 1) % LISTS])
        }
        // Into one list: a client that waits for two gets from the one that was written first, even
        // if the other stands first in its command (so the documentation of BLPOP).
        (Mix::Blocking, 5) => {
            let list = list(rng);
            Op::Transaction(vec![Op::Push(list, value), Op::Push(list, value + 1)])
        }
        (Mix::Blocking, 6) if value % 20 == 0 => Op::Move(list(rng), list(rng)),
        (Mix::Blocking, _) => Op::Push(list(rng), value),
    }
}

fn words(op: &Op) -> Vec<String> {
    let register = |k: &usize| format!("register:{k}");
    let list = |l: &usize| format!("list:{l}");
    let text: Vec<String> = match op {
        Op::Get(k) => vec!["GET".into(), register(k)],
        Op::Set(k, v) => vec!["SET".into(), register(k), v.to_string()],
        Op::Incr(k) => vec!["INCR".into(), register(k)],
        Op::GetDel(k) => vec!["GETDEL".into(), register(k)],
        Op::MSet(pairs) => {
            let pairs = pairs.iter().flat_map(|(k, v)| [register(k), v.to_string()]);
            std::iter::once("MSET".into()).chain(pairs).collect()
        }
        Op::MGet(keys) => std::iter::once("MGET".into()).chain(keys.iter().map(register)).collect(),
        Op::Rename(a, b) => vec!["RENAME".into(), register(a), register(b)],
        Op::Push(l, v) => vec!["RPUSH".into(), list(l), v.to_string()],
        Op::Pop(l) => vec!["LPOP".into(), list(l)],
        Op::Move(a, b) => vec!["LMOVE".into(), list(a), list(b), "LEFT".into(), "RIGHT".into()],
        Op::Range(l) => vec!["LRANGE".into(), list(l), "0".into(), "-1".into()],
        Op::BlockingPop(lists) => std::iter::once("BLPOP".into())
            .chain(lists.iter().map(list))
            .chain(["0.005".into()])
            .collect(),
        Op::Transaction(_) | Op::CompareAndSet(..) => panic!("is several commands"),
    };
    text
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Bulk(text) => Some(std::str::from_utf8(text).unwrap().parse().unwrap()),
        value if value.is_null() => None,
        other => panic!("expected a number, got {other:?}"),
    }
}

fn outcome(op: &Op, value: &Value) -> Outcome {
    match (op, value) {
        (_, Value::Status(text)) if text == b"OK" => Outcome::Done,
        (Op::Rename(..), Value::Error(text)) if text == b"ERR no such key" => Outcome::Refused,
        (_, Value::Error(text)) => panic!("{op:?}: {}", text.escape_ascii()),
        (Op::MGet(_) | Op::Range(_), Value::Array(items)) => {
            Outcome::Numbers(items.iter().map(number).collect())
        }
        (Op::BlockingPop(_), Value::Array(items)) => {
            let name = std::str::from_utf8(items[0].bytes().unwrap()).unwrap();
            let list = name.strip_prefix("list:").unwrap().parse().unwrap();
            Outcome::Popped(Some((list, number(&items[1]).unwrap())))
        }
        (Op::BlockingPop(_), _) => Outcome::Popped(None),
        (_, value) => Outcome::Number(number(value)),
    }
}

/// Issues an operation and returns it (a compare-and-set with what it saw) with its outcome.
fn run(client: &mut Client, op: Op) -> (Op, Outcome) {
    match op {
        Op::Transaction(ops) => {
            // One write of the whole transaction: more overlap than by round trips.
            client.send(&["MULTI"]);
            ops.iter().for_each(|op| client.send(&words(op)));
            client.send(&["EXEC"]);
            (0..=ops.len()).for_each(|_| drop(client.reply()));
            let Value::Array(replies) = client.reply() else { panic!("EXEC gave no array") };
            let outcomes = ops.iter().zip(&replies).map(|(op, value)| outcome(op, value)).collect();
            (Op::Transaction(ops), Outcome::Each(outcomes))
        }
        Op::CompareAndSet(k, _, new) => {
            let key = format!("register:{k}");
            client.cmd(&["WATCH", &key]);
            let seen = number(&client.cmd(&["GET", &key]));
            client.cmd(&["MULTI"]);
            client.cmd(&["SET", &key, &new.to_string()]);
            let done = !client.cmd(&["EXEC"]).is_null();
            let outcome = if done { Outcome::Done } else { Outcome::Refused };
            (Op::CompareAndSet(k, seen, new), outcome)
        }
        op => {
            let value = client.cmd(&words(&op));
            let outcome = outcome(&op, &value);
            (op, outcome)
        }
    }
}

/// Writes a history to a file, by the time of the calls, and returns the file's name.
fn write_out(clients: &[Vec<Event>]) -> String {
    let mut all: Vec<(usize, &Event)> = Vec::new();
    for (client, events) in clients.iter().enumerate() {
        all.extend(events.iter().map(|event| (client, event)));
    }
    all.sort_by_key(|(_, event)| event.called);
    let lines: Vec<String> = all.iter().map(|(client, e)| format!("{client} {e:?}")).collect();
    let file = std::env::temp_dir().join(format!("ochre-history-{}", std::process::id()));
    std::fs::write(&file, lines.join("\n")).unwrap();
    file.display().to_string()
}

fn histories(loops: &str, mix: Mix) {
    let seed = seed();
    let _seed = PrintSeed(seed);
    let server = Server::ochre(&["--io-threads", loops]);
    for history in 0..HISTORIES {
        server.client().line("FLUSHALL");
        let start = Instant::now();
        let barrier = Barrier::new(CLIENTS);
        let events = at_once(
            CLIENTS,
            || server.client(),
            |index, mut client| {
                let mut rng = Rng::new(seed ^ (history << 8) ^ index as u64);
                client.cmd(&["PING"]);
                barrier.wait();
                (0..OPERATIONS)
                    .map(|i| {
                        let value = ((index * OPERATIONS + i) * 10) as i64 + 1_000_000;
                        let op = operation(&mut rng, mix, value);
                        let called = start.elapsed();
                        let (op, outcome) = run(&mut client, op);
                        Event { op, outcome, called, returned: start.elapsed() }
                    })
                    .collect::<Vec<_>>()
            },
        );
        match check(&events, &State::new(REGISTERS, LISTS)) {
            Verdict::Linearisable => {}
            Verdict::Violated(at) => {
                let at: Vec<String> = at.iter().map(|event| format!("{event:?}")).collect();
                let all = write_out(&events);
                panic!(
                    "history {history} of {mix:?} on {loops} loops breaks at\n{}\nthe whole: {all}",
                    at.join("\n")
                )
            }
            Verdict::Undecided => panic!("history {history} of {mix:?} could not be decided"),
        }
    }
}

#[test]
fn single_keys_on_two_loops() {
    histories("2", Mix::Single);
}

#[test]
fn single_keys_on_four_loops() {
    histories("4", Mix::Single);
}

#[test]
fn several_keys_on_two_loops() {
    histories("2", Mix::Multi);
}

#[test]
fn several_keys_on_four_loops() {
    histories("4", Mix::Multi);
}

#[test]
fn transactions_on_two_loops() {
    histories("2", Mix::Transactions);
}

#[test]
fn transactions_on_four_loops() {
    histories("4", Mix::Transactions);
}

#[test]
fn blocking_pops_on_two_loops() {
    histories("2", Mix::Blocking);
}

#[test]
fn blocking_pops_on_four_loops() {
    histories("4", Mix::Blocking);
}
