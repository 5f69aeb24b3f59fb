//! Tests of SET and its kin, of the conditional deletes, and of what they log.

use crate::testing::Bench;
use ochre_resp::Protocol;

const NULL: &str = "$-1|";

#[test]
fn set_overwrites_any_type_and_expiry() {
    let mut bench = Bench::new();
    bench.run("ZADD k 1 a");
    assert_eq!(bench.run("SET k 1"), "+OK|");
    assert_eq!(bench.run("SET k v EX 100"), "+OK|");
    assert_eq!(bench.run("TTL k"), ":100|");
    assert_eq!(bench.run("SET k w"), "+OK|");
    assert_eq!(bench.run("TTL k"), ":-1|");
    assert_eq!(
        bench.log_text(),
        "SELECT 0; ZADD k 1 a; SET k 1; SET k v PXAT 1700000100000; SET k w"
    );
    assert_eq!(bench.run("SET k"), "-ERR wrong number of arguments for 'set' command|");
}

#[test]
fn conditions() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("SET k v XX"), NULL);
    assert_eq!(bench.run("SET k v NX"), "+OK|");
    assert_eq!(bench.run("SET k w NX"), NULL);
    assert_eq!(bench.run("SET k 5 xx"), "+OK|");
    assert_eq!(bench.run("SET k w IFEQ 6"), NULL);
    assert_eq!(bench.run("SET none w IFEQ 6"), NULL);
    assert_eq!(bench.run("SET k w IFEQ 5"), "+OK|");
    bench.run("ZADD z 1 a");
    assert!(bench.run("SET z w IFEQ 5").starts_with("-WRONGTYPE"));
    assert_eq!(bench.run("SET z w NX"), NULL);
    assert_eq!(bench.log_text(), "SELECT 0; SET k v NX; SET k 5 xx; SET k w; ZADD z 1 a");
}

#[test]
fn the_old_value_as_the_reply() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("SET k a GET"), NULL);
    assert_eq!(bench.run("SET k b GET"), "$1|a|");
    assert_eq!(bench.run("SET k c NX GET"), "$1|b|");
    assert_eq!(bench.run("SET k d XX GET KEEPTTL"), "$1|b|");
    assert_eq!(bench.run("SET none d XX GET"), NULL);
    assert_eq!(bench.run("SET none d IFEQ d GET"), NULL);
    assert_eq!(bench.run("SET k e IFEQ x GET"), "$1|d|");
    assert_eq!(bench.run("SET k e IFEQ d GET"), "$1|d|");
    assert_eq!(bench.run("SET new n NX GET"), NULL);
    assert_eq!(bench.run("GET new"), "$1|n|");
    bench.run("ZADD z 1 a");
    assert!(bench.run("SET z w GET").starts_with("-WRONGTYPE"));
    assert!(bench.run("SET z w NX GET").starts_with("-WRONGTYPE"));
    bench.protocol = Protocol::Resp3;
    assert_eq!(bench.run("SET p a GET"), "_|");
    assert_eq!(
        bench.log_text(),
        "SELECT 0; SET k a; SET k b; SET k d XX KEEPTTL; SET k e; SET new n NX; ZADD z 1 a; \
         SET p a"
    );
}

#[test]
fn expiries() {
    let mut bench = Bench::new();
    bench.now_ms = 5_000_000;
    for (options, ttl) in [
        ("EX 10", ":10000|"),
        ("PX 10", ":10|"),
        ("EXAT 5001", ":1000|"),
        ("PXAT 5000007", ":7|"),
        ("KEEPTTL", ":7|"),
        ("EX 10 EX 11", ":11000|"),
    ] {
        assert_eq!(bench.run(&format!("SET k v {options}")), "+OK|");
        assert_eq!(bench.run("PTTL k"), ttl, "{options}");
    }
    assert_eq!(bench.run("SET none v EXAT 1"), "+OK|");
    assert_eq!(bench.run("SET k w PXAT 5000000 GET"), "$1|v|");
    assert_eq!(bench.run("GET k"), NULL);
    assert_eq!(
        bench.log_text(),
        "SELECT 0; SET k v PXAT 5010000; SET k v PXAT 5000010; SET k v PXAT 5001000; \
         SET k v PXAT 5000007; SET k v KEEPTTL; SET k v PXAT 5011000; DEL k"
    );
    let bad = "-ERR invalid expire time in 'set' command|";
    for options in ["EX 0", "EX -1", "PX 9223372036854775807", "PXAT -5", "EX 9223372036854775"] {
        assert_eq!(bench.run(&format!("SET k v {options}")), bad);
    }
    let not_integer = "-ERR value is not an integer or out of range|";
    assert_eq!(bench.run("SET k v EX x"), not_integer);
    for options in ["EX", "NX XX", "EX 1 PX 1", "KEEPTTL EX 1", "IFEQ", "PERSIST", "foo"] {
        assert_eq!(bench.run(&format!("SET k v {options}")), "-ERR syntax error|");
    }
}

#[test]
fn a_key_past_its_time_is_gone() {
    let mut bench = Bench::new();
    bench.run("SET k v PX 10");
    bench.now_ms += 10;
    assert_eq!(bench.run("GET k"), "$1|v|");
    bench.now_ms += 1;
    assert_eq!(bench.run("SETNX k w"), ":1|");
    assert_eq!(
        bench.log_text(),
        "SELECT 0; SET k v PXAT 1700000000010; MULTI; DEL k; SETNX k w; EXEC"
    );
}

#[test]
fn the_older_forms() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("SETNX k a"), ":1|");
    assert_eq!(bench.run("SETNX k b"), ":0|");
    assert_eq!(bench.run("SETEX k 10 c"), "+OK|");
    assert_eq!(bench.run("PSETEX k 10 d"), "+OK|");
    assert_eq!(bench.run("GETSET k e"), "$1|d|");
    assert_eq!(bench.run("PTTL k"), ":-1|");
    assert_eq!(bench.run("GETSET new e"), NULL);
    let bad = |name| format!("-ERR invalid expire time in '{name}' command|");
    assert_eq!(bench.run("SETEX k 0 v"), bad("setex"));
    assert_eq!(bench.run("PSETEX k -1 v"), bad("psetex"));
    bench.run("ZADD z 1 a");
    assert!(bench.run("GETSET z v").starts_with("-WRONGTYPE"));
    assert_eq!(
        bench.log_text(),
        "SELECT 0; SETNX k a; SET k c PXAT 1700000010000; SET k d PXAT 1700000000010; \
         SET k e; SET new e; ZADD z 1 a"
    );
}

#[test]
fn delifeq_compares_first() {
    let mut bench = Bench::new();
    bench.run("MSET k 5 l abc");
    assert_eq!(bench.run("DELIFEQ k 6"), ":0|");
    assert_eq!(bench.run("DELIFEQ k 5"), ":1|");
    assert_eq!(bench.run("DELIFEQ k 5"), ":0|");
    assert_eq!(bench.run("DELIFEQ l abc"), ":1|");
    bench.run("ZADD z 1 a");
    assert!(bench.run("DELIFEQ z 5").starts_with("-WRONGTYPE"));
    assert_eq!(bench.log_text(), "SELECT 0; MSET k 5 l abc; DEL k; DEL l; ZADD z 1 a");
}

/// The digest of `Hello world`, from the documentation of DIGEST.
const DIGEST: &str = "b6acb9d84a38ff74";

#[test]
fn comparisons_of_set() {
    let mut bench = Bench::new();
    bench.run("SET k 5");
    assert_eq!(bench.run("SET k 6 IFNE 5"), NULL);
    assert_eq!(bench.run("SET k 6 IFNE 7 GET"), "$1|5|");
    assert_eq!(bench.run("SET new 1 IFNE 7"), "+OK|");
    assert_eq!(bench.run("SET none 1 IFDEQ 0123456789abcdef"), NULL);
    assert_eq!(bench.run("SET fresh 1 IFDNE 0123456789abcdef EX 10"), "+OK|");
    bench.run_args(&[b"SET", b"h", b"Hello world"]);
    assert_eq!(bench.run(&format!("SET h 1 IFDNE {DIGEST}")), NULL);
    assert_eq!(bench.run("SET h 1 IFDEQ zzzzzzzzzzzzzzzz"), NULL);
    let upper = DIGEST.to_uppercase();
    assert_eq!(bench.run(&format!("SET h 1 IFDEQ {upper} GET KEEPTTL")), "$11|Hello world|");
    assert_eq!(bench.run("SET h 2 IFDNE zzzzzzzzzzzzzzzz"), "+OK|");
    let bad = "-ERR must be exactly 16 hexadecimal characters|";
    assert_eq!(bench.run("SET none 1 IFDEQ 12"), bad);
    assert_eq!(bench.run("SET none 1 IFDNE 12"), bad);
    for options in ["IFNE", "IFDEQ", "IFNE a NX", "XX IFDNE a", "IFNE a IFNE a"] {
        assert_eq!(bench.run(&format!("SET k v {options}")), "-ERR syntax error|");
    }
    bench.run("ZADD z 1 a");
    assert!(bench.run("SET z w IFNE 5").starts_with("-WRONGTYPE"));
    assert!(bench.run(&format!("SET z w IFDNE {DIGEST}")).starts_with("-WRONGTYPE"));
    assert_eq!(
        bench.log_text(),
        "SELECT 0; SET k 5; SET k 6; SET new 1; SET fresh 1 PXAT 1700000010000; \
         SET h Hello world; SET h 1 KEEPTTL; SET h 2; ZADD z 1 a"
    );
}

#[test]
fn delex_compares_or_not() {
    let mut bench = Bench::new();
    bench.run("MSET a 1 b 2 c 3");
    bench.run_args(&[b"SET", b"h", b"Hello world"]);
    bench.run("ZADD z 1 a");
    for (line, reply) in [
        ("DELEX none", ":0|"),
        ("DELEX none IFNE 1", ":0|"),
        ("DELEX none IFDNE 0123456789abcdef", ":0|"),
        ("DELEX a IFEQ 2", ":0|"),
        ("DELEX a ifeq 1", ":1|"),
        ("DELEX b IFNE 2", ":0|"),
        ("DELEX b IFNE 1", ":1|"),
        ("DELEX h IFDEQ 0123456789abcdef", ":0|"),
        ("DELEX h IFDNE b6acb9d84a38ff74", ":0|"),
        ("DELEX h IFDEQ B6ACB9D84A38FF74", ":1|"),
        ("DELEX c IFDNE 0123456789abcdef", ":1|"),
        ("DELEX z IFEQ", "-ERR wrong number of arguments for 'delex' command|"),
        ("DELEX z IFEQ 1 2", "-ERR wrong number of arguments for 'delex' command|"),
        ("DELEX z NX 1", "-ERR syntax error|"),
        ("DELEX z IFDEQ 1", "-ERR must be exactly 16 hexadecimal characters|"),
    ] {
        assert_eq!(bench.run(line), reply, "{line}");
    }
    assert!(bench.run("DELEX z IFNE 5").starts_with("-WRONGTYPE"));
    assert_eq!(bench.run("DELEX z"), ":1|");
    assert_eq!(
        bench.log_text(),
        "SELECT 0; MSET a 1 b 2 c 3; SET h Hello world; ZADD z 1 a; DEL a; DEL b; DEL h; \
         DEL c; DEL z"
    );
}
