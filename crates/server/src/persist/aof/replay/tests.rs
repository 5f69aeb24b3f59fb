//! Random files of all kinds of commands, whole and cut off, replayed by one thread and by several: the same
//! keyspace, the same end, the same failure.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use ochre_base::rng::Rng;

use super::*;
use crate::persist::load::tests::{run as run_line, server};

/// `K` is a key, `V` a value or member, `N` a number, `T` a time to come, `D` a database. What chance decides
/// (SPOP) is left out: files hold what came of it.
const COMMANDS: &[&str] = &[
    "SET K V",
    "SET K N PXAT T",
    "SETEX K N V",
    "APPEND K V",
    "SETRANGE K N V",
    "INCRBY K N",
    "INCRBYFLOAT K 0.5",
    "GETDEL K",
    "MSET K V K V",
    "MSETNX K V K V",
    "SETBIT K N 1",
    "BITOP XOR K K K",
    "BITFIELD K SET u8 N 7",
    "PFADD K V V",
    "PFMERGE K K",
    "GEOADD K 13 38 V",
    "RPUSH K V N V",
    "LPUSH K V",
    "LPOP K",
    "LREM K 0 V",
    "LMOVE K K LEFT RIGHT",
    "LMPOP 2 K K LEFT COUNT N",
    "SADD K V V N",
    "SREM K V",
    "SMOVE K K V",
    "SINTERSTORE K K K",
    "ZADD K N V N V",
    "ZINCRBY K N V",
    "ZREM K V",
    "ZPOPMIN K",
    "ZUNIONSTORE K 2 K K",
    "HSET K V V",
    "HINCRBY K V N",
    "HDEL K V",
    "HPEXPIREAT K T FIELDS 1 V",
    "XADD K N-N V V",
    "XGROUP CREATE K g 0 MKSTREAM",
    "XACK K g N-N",
    "SORT K ALPHA STORE K",
    "DEL K K",
    "UNLINK K",
    "PEXPIREAT K T",
    "PERSIST K",
    "RENAME K K",
    "COPY K K REPLACE",
    "COPY K K DB D REPLACE",
    "MOVE K D",
    "SELECT D",
    "SELECT D",
    "SELECT 99",
    "SWAPDB D D",
    "GET K K",
    "EVAL return(redis.call('INCR',KEYS[1])) 1 K",
    "EVAL redis.call('SET','K','V') 0",
    "CF.ADD K V",
    "PING",
    "FLUSHDB",
];

fn fill(rng: &mut Rng, template: &str, keys: u64) -> Vec<String> {
    let word = |word: &str| {
        let mut text = String::new();
        for letter in word.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
            let (body, rest) = match letter.char_indices().last() {
                Some((at, last)) if !last.is_ascii_alphanumeric() => letter.split_at(at),
                _ => (letter, ""),
            };
            match body {
                "K" => write!(text, "key:{}", rng.below(keys)).unwrap(),
                "V" => write!(text, "v{}", rng.below(6)).unwrap(),
                "N" => write!(text, "{}", rng.below(30)).unwrap(),
                "T" => write!(text, "{}", 4_102_444_800_000 + rng.below(9)).unwrap(),
                "D" => write!(text, "{}", rng.below(4)).unwrap(),
                other => text.push_str(other),
            }
            text.push_str(rest);
        }
        text
    };
    template.split(' ').map(word).collect()
}

fn append(bytes: &mut Vec<u8>, words: &[String]) {
    bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
}

/// A file of so many commands; one of `rare` is any command, the others are those of one key at the start of
/// the list, so that threads get work between what has to run alone.
fn file(rng: &mut Rng, count: usize, keys: u64, rare: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = 0;
    for _ in 0..count {
        let all = if rng.below(rare) == 0 { COMMANDS.len() } else { 8 };
        let template = COMMANDS[rng.below(all as u64) as usize];
        // Within a transaction one key in a row is likely, as scripts and modules of clients have it.
        let keys = if left > 0 && rng.below(2) == 0 { 1 } else { keys };
        if left == 0 && rng.below(4 * rare) == 0 {
            append(&mut bytes, &["MULTI".to_owned()]);
            left = 1 + rng.below(6);
        }
        append(&mut bytes, &fill(rng, template, keys));
        if left > 0 {
            left -= 1;
            if left == 0 {
                append(&mut bytes, &["EXEC".to_owned()]);
            }
        }
        if rng.below(50) == 0 {
            bytes.extend_from_slice(b"#TS:1700000000\r\n");
        }
    }
    bytes
}

fn replayed(
    engine: &'static Engine,
    bytes: &[u8],
    workers: usize,
) -> (Result<End, String>, String) {
    let commands = Commands { read: bytes, ahead: Vec::new(), at: 0, before: 0, stop: u64::MAX };
    let result = replay(engine, commands, workers);
    let digest = run_line(engine, "DEBUG DIGEST");
    assert!(digest.starts_with('+'), "{digest}");
    run_line(engine, "FLUSHALL");
    (result, digest)
}

#[test]
fn several_threads_leave_what_one_leaves() {
    let engine = server();
    let mut digests = BTreeSet::new();
    for seed in 0..24 {
        let mut rng = Rng::new(seed);
        let (keys, rare) =
            ([3, 40, 2000][(seed % 3) as usize], [1, 8, 300, 2000][(seed % 4) as usize]);
        let bytes = file(&mut rng, 6000, keys, rare);
        let one = replayed(engine, &bytes, 1);
        // What is past its last EXEC is queued and dropped.
        assert!(one.0.is_ok(), "seed {seed}: {one:?}");
        for workers in [2, 5] {
            assert_eq!(replayed(engine, &bytes, workers), one, "seed {seed}, {workers} threads");
        }
        digests.insert(one.1);
    }
    // The files leave something, and threads have worked on them.
    assert!(digests.len() > 16, "{} ends", digests.len());
    assert!(engine.mailboxes.len() < 2 || engine.stats(1).total_commands > 1000);
}

#[test]
fn a_cut_ends_where_it_ends_on_one_thread() {
    let engine = server();
    let mut rng = Rng::new(99);
    let bytes = file(&mut rng, 1500, 50, 6);
    for _ in 0..60 {
        let end = rng.below(bytes.len() as u64) as usize;
        let one = replayed(engine, &bytes[..end], 1);
        assert_eq!(replayed(engine, &bytes[..end], 3), one, "cut at {end}");
        // One byte is another one: mostly damage, sometimes another value.
        let mut changed = bytes[..end].to_vec();
        if let Some(byte) = changed.get_mut(end / 2) {
            *byte ^= 1 << rng.below(7);
        }
        let (one, three) = (replayed(engine, &changed, 1), replayed(engine, &changed, 3));
        assert_eq!(one.0, three.0, "cut at {end}, and changed");
        if one.0.is_ok() {
            assert_eq!(one.1, three.1, "cut at {end}, and changed");
        }
    }
}

#[test]
fn failures_come_after_all_before_them() {
    let engine = server();
    let mut bytes = Vec::new();
    for n in 0..20_000 {
        append(&mut bytes, &["SET".to_owned(), format!("key:{n}"), "v".to_owned()]);
    }
    let whole = bytes.len() as u64;
    append(&mut bytes, &["NOSUCH".to_owned(), "x".to_owned()]);
    let (result, digest) = replayed(engine, &bytes, 4);
    assert_eq!(result, Err("Unknown command 'NOSUCH' reading the append only file".to_owned()));
    // All before it has run.
    assert_eq!(digest, replayed(engine, &bytes[..whole as usize], 1).1);
    bytes.truncate(whole as usize);
    bytes.extend_from_slice(b"nonsense");
    let (result, digest_of_broken) = replayed(engine, &bytes, 4);
    let why = result.unwrap_err();
    assert!(why.contains(&format!("at offset {whole}: ")), "{why}");
    assert_eq!(digest_of_broken, digest);
}

#[test]
fn commands_are_routed_by_what_they_touch() {
    let engine = server();
    std::thread::scope(|scope| {
        let router = Router::new(engine, Lanes::new(engine, scope, 4));
        let target = |line: &str| {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            router.target(&words)
        };
        let lane = target("SET a v");
        assert!(matches!(lane, Target::Lane(_)));
        for line in ["HSET a f v", "del a", "MSET a 1 a 2", "LMPOP 1 a LEFT", "XADD a 1-1 f v"] {
            assert_eq!(target(line), lane, "{line}");
        }
        let other = ('b'..='z').find(|key| target(&format!("GET {key}")) != lane).unwrap();
        for line in [
            &format!("MSET a 1 {other} 2"),
            &format!("RENAME {other} a"),
            "LMPOP x a LEFT",
            "BLPOP a 0",
            "FLUSHALL",
            "SWAPDB 0 1",
            "EVAL return(1) 1 a",
            "SORT a BY k* STORE a",
            "FUNCTION LOAD x",
            "PUBLISH a b",
            "PING",
            "NOSUCH a",
            "GET",
        ] {
            assert_eq!(target(line), Target::Alone, "{line}");
        }
        assert_eq!(target("select 1"), Target::Select);
    });
}
