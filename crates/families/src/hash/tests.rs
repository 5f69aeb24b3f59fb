//! Tests of the hash commands: each in pairs, in triples with expiries, and as a table.

use std::collections::BTreeSet;

use ochre_base::clock::Now;
use ochre_command::Key;
use ochre_command::data::{Data, Env, Work};
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::lock::Shards;
use ochre_keyspace::log::Log;
use ochre_resp::Protocol;
use ochre_types::limits::Limits;

use super::{drop_expired_fields, hash_mut, new_hash};
use crate::testing::Bench;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";
const INTEGER: &str = "-ERR value is not an integer or out of range|";
const SYNTAX: &str = "-ERR syntax error|";
const NUMFIELDS: &str =
    "-ERR numfields should be greater than 0 and match the provided number of fields|";
const FAR: &str = "1800000000000";

/// Runs a check on a packed hash and on a table.
fn in_each_form(check: impl Fn(&mut Bench)) {
    for entries in [512, 0] {
        let mut bench = Bench::new();
        bench.limits.hash_max_listpack_entries = entries;
        check(&mut bench);
    }
}

/// What was logged after the first `skip` commands.
fn logged_after(bench: &Bench, skip: usize) -> String {
    let text = bench.log_text();
    text.split("; ").skip(skip).collect::<Vec<_>>().join("; ")
}

/// The strings of a reply, sorted.
fn sorted(reply: &str) -> String {
    let words = reply.split('|').filter(|word| !word.starts_with(['*', '$']));
    let words: BTreeSet<_> = words.filter(|word| !word.is_empty()).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn writes_and_reads() {
    in_each_form(|bench| {
        assert_eq!(bench.run("HSET h a 1 b x a 2"), ":2|");
        assert_eq!(bench.run("HSET h a 3"), ":0|");
        assert_eq!(bench.run("HMSET h c 9"), "+OK|");
        assert_eq!(bench.run("HSETNX h c 8"), ":0|");
        assert_eq!(bench.run("HSETNX h d 8"), ":1|");
        assert_eq!(bench.run("HSETNX new d 8"), ":1|");
        assert_eq!(bench.run("HGET h a"), "$1|3|");
        assert_eq!(bench.run("HGET h z"), "$-1|");
        assert_eq!(bench.run("HMGET h a z b"), "*3|$1|3|$-1|$1|x|");
        assert_eq!(bench.run("HEXISTS h b"), ":1|");
        assert_eq!(bench.run("HEXISTS h z"), ":0|");
        assert_eq!(bench.run("HSTRLEN h b"), ":1|");
        assert_eq!(bench.run("HSTRLEN h z"), ":0|");
        assert_eq!(bench.run("HLEN h"), ":4|");
        assert_eq!(sorted(&bench.run("HKEYS h")), "a b c d");
        assert_eq!(sorted(&bench.run("HVALS h")), "3 8 9 x");
        let all = bench.run("HGETALL h");
        assert!(all.starts_with("*8|"));
        assert_eq!(sorted(&all), "3 8 9 a b c d x");
        assert_eq!(bench.run("HDEL h z"), ":0|");
        assert_eq!(bench.run("HDEL h a z b"), ":2|");
        assert_eq!(bench.run("HDEL h c d"), ":2|");
        assert_eq!(bench.run("HLEN h"), ":0|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; HSET h a 1 b x a 2; HSET h a 3; HMSET h c 9; HSETNX h d 8; \
             HSETNX new d 8; HDEL h a z b; HDEL h c d"
        );
    });
}

#[test]
fn absent_hashes() {
    let mut bench = Bench::new();
    for (line, resp2, resp3) in [
        ("HGET h a", "$-1|", "_|"),
        ("HMGET h a b", "*2|$-1|$-1|", "*2|_|_|"),
        ("HEXISTS h a", ":0|", ":0|"),
        ("HSTRLEN h a", ":0|", ":0|"),
        ("HLEN h", ":0|", ":0|"),
        ("HKEYS h", "*0|", "*0|"),
        ("HVALS h", "*0|", "*0|"),
        ("HGETALL h", "*0|", "%0|"),
        ("HDEL h a", ":0|", ":0|"),
        ("HRANDFIELD h", "$-1|", "_|"),
        ("HRANDFIELD h 2", "*0|", "*0|"),
        ("HRANDFIELD h -2 WITHVALUES", "*0|", "*0|"),
        ("HSCAN h 0 x", "*2|$1|0|*0|", "*2|$1|0|*0|"),
        ("HTTL h FIELDS 2 a b", "*2|:-2|:-2|", "*2|:-2|:-2|"),
        ("HEXPIRE h 9 FIELDS 1 a", "*1|:-2|", "*1|:-2|"),
        ("HPERSIST h FIELDS 1 a", "*1|:-2|", "*1|:-2|"),
        ("HGETEX h FIELDS 1 a", "*1|$-1|", "*1|_|"),
        ("HGETEX h EX 9 FIELDS 1 a", "*1|$-1|", "*1|_|"),
        ("HGETDEL h FIELDS 1 a", "*1|$-1|", "*1|_|"),
        ("HSETEX h FXX FIELDS 1 a b", ":0|", ":0|"),
        ("HSETEX h XX FIELDS 1 a b", ":0|", ":0|"),
    ] {
        bench.protocol = Protocol::Resp2;
        assert_eq!(bench.run(line), resp2, "{line}");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run(line), resp3, "{line}");
    }
    assert_eq!(bench.log_text(), "");
}

#[test]
fn other_types_are_refused() {
    let mut bench = Bench::new();
    bench.run("RPUSH l a");
    for line in [
        "HSET l a 1",
        "HMSET l a 1",
        "HSETNX l a 1",
        "HDEL l a",
        "HGET l a",
        "HMGET l a",
        "HEXISTS l a",
        "HSTRLEN l a",
        "HLEN l",
        "HKEYS l",
        "HVALS l",
        "HGETALL l",
        "HRANDFIELD l",
        "HRANDFIELD l 1",
        "HSCAN l 0 x",
        "HINCRBY l a 1",
        "HINCRBYFLOAT l a 1",
        "HEXPIRE l 9 FIELDS 1 a",
        "HTTL l FIELDS 1 a",
        "HPERSIST l FIELDS 1 a",
        "HGETEX l FIELDS 1 a",
        "HGETEX l EX x FIELDS 1 a",
        "HSETEX l EX x FIELDS 1 a b",
        "HSETEX l XX FIELDS 1 a b",
        "HGETDEL l FIELDS 1 a",
    ] {
        assert_eq!(bench.run(line), WRONG, "{line}");
    }
    for line in ["HSET l a", "HSET l a 1 b", "HMSET no a 1 b"] {
        assert!(bench.run(line).starts_with("-ERR wrong number"), "{line}");
    }
}

#[test]
fn hgetall_in_resp3_is_a_map() {
    in_each_form(|bench| {
        bench.protocol = Protocol::Resp3;
        bench.run("HSET h a 1");
        assert_eq!(bench.run("HGETALL h"), "%1|$1|a|$1|1|");
        bench.run(&format!("HSETEX h PXAT {FAR} FIELDS 1 a 1"));
        assert_eq!(bench.run("HGETALL h"), "%1|$1|a|$1|1|");
    });
}

#[test]
fn counters() {
    in_each_form(|bench| {
        assert_eq!(bench.run("HINCRBY h n 5"), ":5|");
        assert_eq!(bench.run("HINCRBY h n -7"), ":-2|");
        assert_eq!(bench.run("HINCRBY h n x"), INTEGER);
        bench.run("HSET h big 9223372036854775807 text x");
        assert_eq!(bench.run("HINCRBY h big 1"), "-ERR increment or decrement would overflow|");
        let not_integer = "-ERR hash value is not an integer|";
        assert_eq!(bench.run("HINCRBY h text 1"), not_integer);
        assert_eq!(bench.run("HINCRBYFLOAT h f 10.50"), "$4|10.5|");
        assert_eq!(bench.run("HINCRBYFLOAT h f 0.1"), "$4|10.6|");
        assert_eq!(bench.run("HINCRBY h f 1"), not_integer);
        assert_eq!(bench.run("HINCRBYFLOAT h text 1"), "-ERR hash value is not a float|");
        assert_eq!(bench.run("HINCRBYFLOAT h f x"), "-ERR value is not a valid float|");
        assert_eq!(bench.run("HINCRBYFLOAT h f inf"), "-ERR value is NaN or Infinity|");
        bench.run("HSET h inf inf");
        assert_eq!(
            bench.run("HINCRBYFLOAT h inf 1"),
            "-ERR increment would produce NaN or Infinity|"
        );
        assert_eq!(
            logged_after(bench, 1),
            "HINCRBY h n 5; HINCRBY h n -7; HSET h big 9223372036854775807 text x; \
             HSET h f 10.5; HSET h f 10.6; HSET h inf inf"
        );
    });
}

#[test]
fn counters_keep_an_expiry_and_drop_one_that_is_past() {
    in_each_form(|bench| {
        bench.run(&format!("HSETEX h PXAT {FAR} FIELDS 2 n 5 f 5"));
        assert_eq!(bench.run("HINCRBY h n 1"), ":6|");
        assert_eq!(bench.run("HINCRBYFLOAT h f 0.5"), "$3|5.5|");
        let times = format!("*2|:{FAR}|:{FAR}|");
        assert_eq!(bench.run("HPEXPIRETIME h FIELDS 2 n f"), times);
        bench.now_ms = 1_900_000_000_000;
        assert_eq!(bench.run("HINCRBY h n 1"), ":1|");
        assert_eq!(bench.run("HINCRBYFLOAT h f 0.5"), "$3|0.5|");
        assert_eq!(bench.run("HPEXPIRETIME h FIELDS 2 n f"), "*2|:-1|:-1|");
        assert_eq!(
            logged_after(bench, 5),
            "HINCRBY h n 1; HSETEX h KEEPTTL FIELDS 1 f 5.5; HSET h n 1; HSET h f 0.5"
        );
    });
}

#[test]
fn random_fields() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2 c 3");
        assert!(bench.run("HRANDFIELD h").starts_with("$1|"));
        assert_eq!(bench.run("HRANDFIELD h 0"), "*0|");
        assert!(bench.run("HRANDFIELD h 2").starts_with("*2|"));
        assert_eq!(sorted(&bench.run("HRANDFIELD h 9")), "a b c");
        assert!(bench.run("HRANDFIELD h -9").starts_with("*9|"));
        let pairs = bench.run("HRANDFIELD h 9 withvalues");
        assert!(pairs.starts_with("*6|"));
        assert_eq!(sorted(&pairs), "1 2 3 a b c");
        assert!(bench.run("HRANDFIELD h -2 WITHVALUES").starts_with("*4|"));
        bench.protocol = Protocol::Resp3;
        let pairs = bench.run("HRANDFIELD h 9 WITHVALUES");
        assert!(pairs.starts_with("*3|*2|$1|"), "{pairs}");
        for line in ["HRANDFIELD h 1 x", "HRANDFIELD h 1 WITHVALUES x"] {
            assert_eq!(bench.run(line), SYNTAX);
        }
        assert_eq!(bench.run("HRANDFIELD h x"), INTEGER);
        for line in [
            "HRANDFIELD h -9223372036854775808",
            "HRANDFIELD h -9223372036854775807",
            "HRANDFIELD h -9223372036854775807 WITHVALUES",
            "HRANDFIELD h 9223372036854775807 WITHVALUES",
        ] {
            let reply = bench.run(line);
            assert!(reply.starts_with("-ERR value is out of range"), "{reply}");
        }
    });
}

#[test]
fn scans_a_small_hash_at_once() {
    let mut bench = Bench::new();
    bench.run("HSET h a 1 b 2");
    assert_eq!(bench.run("HSCAN h 0 COUNT 1"), "*2|$1|0|*4|$1|a|$1|1|$1|b|$1|2|");
    assert_eq!(bench.run("HSCAN h 7 MATCH b"), "*2|$1|0|*2|$1|b|$1|2|");
    assert_eq!(bench.run("HSCAN h 0 NOVALUES match *"), "*2|$1|0|*2|$1|a|$1|b|");
    assert_eq!(bench.run("HSCAN h x"), "-ERR invalid cursor|");
    for line in ["HSCAN h 0 x", "HSCAN h 0 COUNT 0", "HSCAN h 0 MATCH"] {
        assert_eq!(bench.run(line), SYNTAX);
    }
    assert_eq!(bench.run("HSCAN h 0 COUNT x"), INTEGER);
}

#[test]
fn scans_a_table_in_steps() {
    let mut bench = Bench::new();
    for n in 0..2000 {
        bench.run(&format!("HSET h field-{n} {n}"));
    }
    let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
    loop {
        let reply = bench.run(&format!("HSCAN h {cursor} COUNT 100 NOVALUES"));
        let mut words =
            reply.split('|').filter(|word| !word.starts_with(['*', '$']) && !word.is_empty());
        cursor = words.next().unwrap_or_default().to_owned();
        seen.extend(words.map(str::to_owned));
        calls += 1;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 2000);
    assert!((10..=25).contains(&calls), "{calls}");
    let far = seen.iter().filter(|name| name.starts_with("field-19"));
    assert_eq!(far.count(), 111);
}

#[test]
fn expiries_are_set_and_asked() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2 c 3");
        assert_eq!(bench.run("HEXPIRE h 100 FIELDS 2 a z"), "*2|:1|:-2|");
        assert_eq!(bench.run("HPEXPIRE h 1600 fields 1 b"), "*1|:1|");
        assert_eq!(bench.run("HTTL h FIELDS 4 a b c z"), "*4|:100|:2|:-1|:-2|");
        assert_eq!(bench.run("HPTTL h FIELDS 2 a b"), "*2|:100000|:1600|");
        assert_eq!(bench.run("HEXPIREAT h 1800000000 FIELDS 1 a"), "*1|:1|");
        assert_eq!(bench.run("HEXPIRETIME h FIELDS 1 a"), "*1|:1800000000|");
        assert_eq!(bench.run("HPEXPIREAT h 1800000000501 FIELDS 1 a"), "*1|:1|");
        assert_eq!(bench.run("HEXPIRETIME h FIELDS 1 a"), "*1|:1800000001|");
        assert_eq!(bench.run("HPEXPIRETIME h FIELDS 2 a c"), "*2|:1800000000501|:-1|");
        assert_eq!(bench.run("HPERSIST h FIELDS 3 a c z"), "*3|:1|:-1|:-2|");
        assert_eq!(bench.run("HPERSIST h FIELDS 1 a"), "*1|:-1|");
        assert_eq!(bench.run("HTTL h FIELDS 1 a"), "*1|:-1|");
        assert_eq!(
            logged_after(bench, 2),
            "HPEXPIREAT h 1700000100000 FIELDS 1 a; HPEXPIREAT h 1700000001600 FIELDS 1 b; \
             HPEXPIREAT h 1800000000000 FIELDS 1 a; HPEXPIREAT h 1800000000501 FIELDS 1 a; \
             HPERSIST h FIELDS 1 a"
        );
    });
}

#[test]
fn conditions_of_an_expiry() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2");
        assert_eq!(bench.run("HEXPIRE h 100 XX FIELDS 1 a"), "*1|:0|");
        assert_eq!(bench.run("HEXPIRE h 100 GT FIELDS 1 a"), "*1|:0|");
        assert_eq!(bench.run("HEXPIRE h 100 LT FIELDS 1 a"), "*1|:1|");
        assert_eq!(bench.run("HEXPIRE h 100 NX FIELDS 2 a b"), "*2|:0|:1|");
        assert_eq!(bench.run("HEXPIRE h 100 GT FIELDS 1 a"), "*1|:0|");
        assert_eq!(bench.run("HEXPIRE h 200 XX GT FIELDS 1 a"), "*1|:1|");
        assert_eq!(bench.run("HEXPIRE h 200 LT FIELDS 1 a"), "*1|:0|");
        assert_eq!(bench.run("HEXPIRE h 150 lt LT FIELDS 1 a"), "*1|:1|");
        assert_eq!(bench.run("HTTL h FIELDS 2 a b"), "*2|:150|:100|");
        assert_eq!(
            bench.run("HEXPIRE h x NX GT LT FIELDS 1 a"),
            "-ERR NX and XX, GT or LT options at the same time are not compatible|"
        );
        assert_eq!(
            bench.run("HEXPIRE h x GT LT FIELDS 1 a"),
            "-ERR GT and LT options at the same time are not compatible|"
        );
        assert_eq!(bench.run("HEXPIRE h x zz FIELDS 9 a"), "-ERR Unsupported option zz|");
    });
}

#[test]
fn times_in_the_past_remove() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2 c 3 d 4");
        assert_eq!(bench.run("HEXPIRE h 0 FIELDS 2 a z"), "*2|:2|:-2|");
        assert_eq!(bench.run("HEXPIREAT h 1 XX FIELDS 1 b"), "*1|:0|");
        assert_eq!(bench.run("HPEXPIREAT h 1 LT FIELDS 1 b"), "*1|:2|");
        assert_eq!(bench.run("HPEXPIRE h 0 FIELDS 2 c c"), "*2|:2|:-2|");
        assert_eq!(bench.run("HKEYS h"), "*1|$1|d|");
        assert_eq!(bench.run("HGETEX h EXAT 0 FIELDS 1 d"), "*1|$1|4|");
        assert_eq!(bench.run("HLEN h"), ":0|");
        assert_eq!(logged_after(bench, 2), "HDEL h a; HDEL h b; HDEL h c; HDEL h d");
    });
}

#[test]
fn bad_times_and_numbers_of_fields() {
    let mut bench = Bench::new();
    bench.run("HSET h a 1");
    let bad = |name: &str| format!("-ERR invalid expire time in '{name}' command|");
    for (line, name) in [
        ("HEXPIRE h -1 FIELDS 1 a", "hexpire"),
        ("HEXPIRE no -1 FIELDS 1 a", "hexpire"),
        ("HEXPIRE h 9223372036854775807 FIELDS 1 a", "hexpire"),
        ("HPEXPIRE h 9223372036854775807 FIELDS 1 a", "hpexpire"),
        ("HEXPIREAT h 9223372036854775807 FIELDS 1 a", "hexpireat"),
        ("HPEXPIREAT h 281474976710656 FIELDS 1 a", "hpexpireat"),
        ("HGETEX h EX -1 FIELDS 1 a", "hgetex"),
        ("HSETEX h EX -1 FIELDS 1 a 1", "hsetex"),
    ] {
        assert_eq!(bench.run(line), bad(name), "{line}");
    }
    assert_eq!(bench.run("HPEXPIREAT h 281474976710655 FIELDS 1 a"), "*1|:1|");
    for line in [
        "HEXPIRE h x FIELDS 1 a",
        "HEXPIRE h 9 FIELDS x a",
        "HGETEX no EX x FIELDS 1 a",
        "HSETEX no EX x FIELDS 1 a 1",
        "HTTL h FIELDS x a",
        "HPERSIST h FIELDS x a",
        "HGETDEL h FIELDS x a",
        "HGETEX h FIELDS FIELDS 1 a",
    ] {
        assert_eq!(bench.run(line), INTEGER, "{line}");
    }
    for line in [
        "HEXPIRE h x FIELDS 2 a",
        "HEXPIRE h 9 FIELDS 0 a",
        "HEXPIRE h 9 FIELDS 1 a b",
        "HEXPIRE h 9 NX FIELDS 1",
        "HEXPIRE h 9 NX FIELDZ 1 a",
        "HGETEX h FIELDS 2 a",
        "HGETEX h EX 9 a b c",
        "HSETEX h FIELDS 2 a 1",
        "HSETEX h FIELDS 1 a 1 b",
        "HSETEX h FIELDS 9223372036854775807 a 1",
        "HPERSIST h FIELDS 2 a",
        "HGETDEL h FIELDS -1 a",
    ] {
        assert_eq!(bench.run(line), NUMFIELDS, "{line}");
    }
    for line in [
        "HTTL h FIELDS 2 a",
        "HTTL h FIELDZ 1 a",
        "HPERSIST h FIELDZ 1 a",
        "HGETDEL h FIELDZ 1 a",
        "HGETEX h KEEPTTL FIELDS 1 a",
        "HGETEX h EX FIELDS 1 a",
        "HGETEX h EX 1 PX 1 FIELDS 1 a",
        "HGETEX h PERSIST EX 1 FIELDS 1 a",
        "HGETEX h x FIELDS 9 a",
        "HSETEX h PERSIST FIELDS 1 a 1",
        "HSETEX h KEEPTTL EX 1 FIELDS 1 a 1",
        "HSETEX h NX XX FIELDS 1 a 1",
        "HSETEX h FNX FXX FIELDS 1 a 1",
    ] {
        assert_eq!(bench.run(line), SYNTAX, "{line}");
    }
}

#[test]
fn hgetex_reads_and_sets() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2");
        assert_eq!(bench.run("HGETEX h FIELDS 2 a z"), "*2|$1|1|$-1|");
        assert_eq!(bench.run("HGETEX h EX 10 EX 20 FIELDS 2 a z"), "*2|$1|1|$-1|");
        assert_eq!(bench.run("HTTL h FIELDS 2 a b"), "*2|:20|:-1|");
        assert_eq!(bench.run("HGETEX h PERSIST FIELDS 2 a b"), "*2|$1|1|$1|2|");
        assert_eq!(bench.run("HGETEX h PERSIST FIELDS 1 a"), "*1|$1|1|");
        assert_eq!(bench.run("HGETEX h PX 5 FIELDS 1 z"), "*1|$-1|");
        assert_eq!(bench.run("HTTL h FIELDS 2 a b"), "*2|:-1|:-1|");
        assert_eq!(bench.run("HGETEX h PXAT 1 FIELDS 3 a a b"), "*3|$1|1|$-1|$1|2|");
        assert_eq!(bench.run("HLEN h"), ":0|");
        assert_eq!(
            logged_after(bench, 2),
            "HPEXPIREAT h 1700000020000 FIELDS 1 a; HPERSIST h FIELDS 1 a; HDEL h a b"
        );
    });
}

#[test]
fn hsetex_writes_and_sets() {
    in_each_form(|bench| {
        assert_eq!(bench.run("HSETEX h FIELDS 2 a 1 b 2"), ":1|");
        assert_eq!(bench.run("HSETEX h PX 9000 FIELDS 1 a 3"), ":1|");
        assert_eq!(bench.run("HSETEX h KEEPTTL FIELDS 2 a 4 b 5"), ":1|");
        assert_eq!(bench.run("HPTTL h FIELDS 2 a b"), "*2|:9000|:-1|");
        assert_eq!(bench.run("HMGET h a b"), "*2|$1|4|$1|5|");
        assert_eq!(bench.run("HSETEX h KEEPTTL FIELDS 1 b 6"), ":1|");
        assert_eq!(bench.run("HSETEX h FIELDS 1 a 7"), ":1|");
        assert_eq!(bench.run("HPTTL h FIELDS 1 a"), "*1|:-1|");
        assert_eq!(
            logged_after(bench, 1),
            "HSET h a 1 b 2; MULTI; HSET h a 3; HPEXPIREAT h 1700000009000 FIELDS 1 a; EXEC; \
             HSETEX h KEEPTTL FIELDS 2 a 4 b 5; HSET h b 6; HSET h a 7"
        );
    });
}

#[test]
fn conditions_of_hsetex() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2");
        for line in [
            "HSETEX h NX FIELDS 1 c 3",
            "HSETEX no XX FIELDS 1 c 3",
            "HSETEX no XX EX x FIELDS 1 c 3",
            "HSETEX h FNX FIELDS 2 c 3 a 3",
            "HSETEX h FXX FIELDS 2 a 3 c 3",
            "HSETEX no FXX FIELDS 1 c 3",
        ] {
            assert_eq!(bench.run(line), ":0|", "{line}");
        }
        for line in [
            "HSETEX h XX FXX FIELDS 1 a 3",
            "HSETEX h FNX FIELDS 2 c 3 c 4",
            "HSETEX new NX FNX FIELDS 1 c 3",
        ] {
            assert_eq!(bench.run(line), ":1|", "{line}");
        }
        // Set and gone at once.
        assert_eq!(bench.run("HSETEX h PXAT 1 FIELDS 2 a 9 z 9"), ":1|");
        assert_eq!(bench.run("HSETEX nil PXAT 1 FIELDS 1 a 9"), ":1|");
        assert_eq!(bench.run("HSETEX new EX 0 FIELDS 1 c 9"), ":1|");
        assert_eq!(bench.run("HLEN nil"), ":0|");
        assert_eq!(bench.run("HLEN new"), ":0|");
        assert_eq!(
            logged_after(bench, 2),
            "HSET h a 3; HSET h c 3 c 4; HSET new c 3; HDEL h a; HDEL new c"
        );
    });
}

#[test]
fn hgetdel_takes_fields() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2 c 3");
        assert_eq!(bench.run("HGETDEL h FIELDS 4 a a z b"), "*4|$1|1|$-1|$-1|$1|2|");
        assert_eq!(bench.run("HGETDEL h FIELDS 1 z"), "*1|$-1|");
        assert_eq!(bench.run("HGETDEL h FIELDS 1 c"), "*1|$1|3|");
        assert_eq!(bench.run("HLEN h"), ":0|");
        assert_eq!(logged_after(bench, 2), "HDEL h a b; HDEL h c");
    });
}

#[test]
fn a_field_whose_time_has_passed_is_absent() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2 c 3 d 4");
        bench.run("HPEXPIRE h 10 FIELDS 3 a b c");
        bench.now_ms += 10;
        assert_eq!(bench.run("HGET h a"), "$1|1|");
        bench.now_ms += 1;
        assert_eq!(bench.run("HGET h a"), "$-1|");
        assert_eq!(bench.run("HMGET h a d"), "*2|$-1|$1|4|");
        assert_eq!(bench.run("HEXISTS h a"), ":0|");
        assert_eq!(bench.run("HSTRLEN h a"), ":0|");
        assert_eq!(bench.run("HGETALL h"), "*2|$1|d|$1|4|");
        assert_eq!(bench.run("HKEYS h"), "*1|$1|d|");
        assert_eq!(bench.run("HRANDFIELD h 5"), "*1|$1|d|");
        assert_eq!(bench.run("HRANDFIELD h"), "$1|d|");
        assert_eq!(bench.run("HSCAN h 0 NOVALUES"), "*2|$1|0|*1|$1|d|");
        assert_eq!(bench.run("HTTL h FIELDS 1 a"), "*1|:-2|");
        assert_eq!(bench.run("HEXPIRE h 9 FIELDS 1 a"), "*1|:-2|");
        assert_eq!(bench.run("HPERSIST h FIELDS 1 a"), "*1|:-2|");
        assert_eq!(bench.run("HGETEX h EX 9 FIELDS 1 a"), "*1|$-1|");
        assert_eq!(bench.run("HLEN h"), ":4|");
        // Nothing was removed or logged so far; these do.
        assert_eq!(bench.run("HDEL h a"), ":0|");
        assert_eq!(bench.run("HSETNX h b 9"), ":1|");
        assert_eq!(bench.run("HGETDEL h FIELDS 2 c d"), "*2|$-1|$1|4|");
        assert_eq!(bench.run("HLEN h"), ":1|");
        assert_eq!(logged_after(bench, 3), "HDEL h a; HSET h b 9; HDEL h c d");
    });
}

#[test]
fn writes_to_a_field_whose_time_has_passed() {
    in_each_form(|bench| {
        bench.run("HSET h a 1 b 2 c 3 d 4");
        bench.run("HPEXPIRE h 10 FIELDS 3 a b c");
        bench.run("HPEXPIRE h 1000 FIELDS 1 d");
        bench.now_ms += 11;
        assert_eq!(bench.run("HSET h a 5"), ":1|");
        assert_eq!(bench.run("HSETEX h FXX FIELDS 1 b 5"), ":0|");
        assert_eq!(bench.run("HSETEX h KEEPTTL FIELDS 2 b 5 d 5"), ":1|");
        assert_eq!(bench.run("HSETEX h FNX EX 9 FIELDS 1 c 5"), ":1|");
        assert_eq!(bench.run("HPTTL h FIELDS 4 a b c d"), "*4|:-1|:-1|:9000|:989|");
        assert_eq!(
            logged_after(bench, 4),
            "HSET h a 5; MULTI; HDEL h b; HSETEX h KEEPTTL FIELDS 2 b 5 d 5; EXEC; MULTI; \
             HSET h c 5; HPEXPIREAT h 1700000009011 FIELDS 1 c; EXEC"
        );
    });
}

#[test]
fn the_last_field_takes_the_key_with_it() {
    in_each_form(|bench| {
        bench.run("HSETEX h PX 10 FIELDS 2 a 1 b 2");
        bench.now_ms += 11;
        assert_eq!(bench.run("HGETALL h"), "*0|");
        assert_eq!(bench.run("HDEL h a b"), ":0|");
        assert_eq!(bench.run("RPUSH h now-a-list"), ":1|");
        assert_eq!(logged_after(bench, 5), "HDEL h a b; RPUSH h now-a-list");
    });
}

#[test]
fn a_cursor_may_be_anything() {
    let mut bench = Bench::new();
    for n in 0..2000 {
        bench.run(&format!("HSET h field-{n} {n}"));
    }
    for cursor in [u64::MAX, 1 << 48, (1 << 49) - 1, (1 << 48) - 1, 1 << 32, 12_345_678_901] {
        let reply = bench.run(&format!("HSCAN h {cursor} COUNT 10"));
        assert!(reply.starts_with("*2|"), "{reply}");
    }
}

/// What the active cycle does: some fields at a time, logged, and the key at last.
#[test]
fn expired_fields_are_dropped_in_portions() {
    for entries in [512, 0] {
        let log = Log::new(1 << 20);
        log.turn_on();
        let shards: &'static Shards = Box::leak(Box::new(Shards::new(64)));
        let (mut work, mut locked) = (Work::new(1), shards.lock_all());
        let limits = Limits { hash_max_listpack_entries: entries, ..Limits::default() };
        let env = Env {
            shards,
            log: &log,
            bin: &Bin::inline(),
            limits: &limits,
            clock: AccessClock::default(),
            now: Now { unix_ms: 1000, ..Now::default() },
            expiry_now: 1000,
            keeps_expired: false,
            databases: 16,
            string_max: 512 << 20,
            no_touch: false,
            lazy_user_del: false,
            lazy_user_flush: false,
            compat: ochre_base::compat::Compat::Redis72,
            compress: true,
            interest: ochre_keyspace::notify::Interest::default(),
            listener: &ochre_keyspace::notify::Silent,
        };
        let mut data = Data {
            locked: &mut locked,
            db: 0,
            env: &env,
            work: &mut work,
            keys: &[],
            next: std::cell::Cell::new(0),
        };
        let key = Key::new(b"h");
        assert_eq!(drop_expired_fields(&mut data, key, 9), 0);
        let made = data.edit(key, Some(new_hash), |value, limits, _| {
            let hash = hash_mut(value)?;
            for n in 0..10u64 {
                let name = format!("f{n}");
                hash.set(limits, name.as_bytes(), b"v", 0);
                hash.set_expiry(name.as_bytes(), 996 + n);
            }
            Ok(())
        });
        assert!(made.is_ok());
        // 996 to 999 are past, 1000 is not.
        assert_eq!(drop_expired_fields(&mut data, key, 3), 3);
        assert_eq!(drop_expired_fields(&mut data, key, 3), 1);
        assert_eq!(drop_expired_fields(&mut data, key, 3), 0);
        assert_eq!(data.work.counts.expired_fields, 4);
        assert_eq!(data.work.effects.len(), 2);
        let later = Env { now: Now { unix_ms: 2000, ..Now::default() }, expiry_now: 2000, ..env };
        let mut data = Data { env: &later, ..data };
        assert_eq!(drop_expired_fields(&mut data, key, 100), 6);
        assert!(data.peek(key).is_none());
    }
}
