//! Stream commands beside an empty keyspace: what they answer, log and wait for.

use ochre_resp::Protocol;
use ochre_types::value::Type;

use crate::testing::Bench;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

fn last_logged(bench: &Bench) -> String {
    let log = bench.log_text();
    log.rsplit("; ").next().unwrap_or_default().to_owned()
}

#[test]
fn ids_are_made_and_logged() {
    let mut bench = Bench::new();
    bench.now_ms = 5;
    assert_eq!(bench.run("XADD s * a 1"), "$3|5-0|");
    assert_eq!(bench.run("XADD s * a 2"), "$3|5-1|");
    assert_eq!(bench.run("XADD s 5-* a 3"), "$3|5-2|");
    assert_eq!(bench.run("XADD s 7 a 4"), "$3|7-0|");
    assert_eq!(bench.run("XADD s NOMKSTREAM * a 5"), "$3|7-1|");
    assert_eq!(bench.run("XADD none NOMKSTREAM * a 5"), "$-1|");
    let log = "SELECT 0; XADD s 5-0 a 1; XADD s 5-1 a 2; XADD s 5-2 a 3; XADD s 7-0 a 4; \
               XADD s 7-1 a 5";
    assert_eq!(bench.log_text(), log);
    assert_eq!(bench.run("XRANGE s (5-0 5"), "*2|*2|$3|5-1|*2|$1|a|$1|2|*2|$3|5-2|*2|$1|a|$1|3|");
    assert_eq!(bench.run("XREVRANGE s + - COUNT 1"), "*1|*2|$3|7-1|*2|$1|a|$1|5|");
}

#[test]
fn approximate_trims_are_logged_exactly() {
    let mut bench = Bench::new();
    bench.limits.stream_node_max_entries = 3;
    for n in 1..=10 {
        bench.run(&format!("XADD s {n} a {n}"));
    }
    assert_eq!(bench.run("XTRIM s MAXLEN ~ 5"), ":3|");
    assert_eq!(last_logged(&bench), "XTRIM s MAXLEN = 7");
    assert_eq!(bench.run("XTRIM s MINID ~ 9"), ":3|");
    assert_eq!(last_logged(&bench), "XTRIM s MAXLEN = 4");
    assert_eq!(bench.run("XADD s MAXLEN ~ 1 11 a b"), "$4|11-0|");
    assert_eq!(last_logged(&bench), "XADD s MAXLEN = 2 11-0 a b");
    bench.run("XGROUP CREATE s g 0");
    assert_eq!(bench.run("XTRIM s ACKED MAXLEN 0"), ":0|");
    bench.run("XREADGROUP GROUP g c STREAMS s >");
    assert_eq!(bench.run("XACK s g 10"), ":1|");
    assert_eq!(bench.run("XTRIM s ACKED MAXLEN = 0"), ":1|");
    assert_eq!(last_logged(&bench), "XTRIM s ACKED MINID = 11-1");
    assert_eq!(bench.run("XTRIM s DELREF MAXLEN = 0"), ":1|");
    assert_eq!(bench.run("XPENDING s g"), "*4|:0|$-1|$-1|*-1|");
    assert_eq!(bench.run("EXISTS s"), ":1|");
}

#[test]
fn deleting_with_and_without_references() {
    let mut bench = Bench::new();
    for n in 1..=6 {
        bench.run(&format!("XADD s {n} a {n}"));
    }
    assert_eq!(bench.run("XDELEX s ACKED IDS 1 1"), "*1|:2|");
    bench.run("XGROUP CREATE s g 0");
    bench.run("XREADGROUP GROUP g c COUNT 4 STREAMS s >");
    assert_eq!(bench.run("XDELEX s ACKED IDS 3 1 6 9"), "*3|:2|:2|:-1|");
    assert_eq!(bench.run("XACKDEL s g ACKED IDS 2 1 9"), "*2|:1|:-1|");
    assert_eq!(bench.run("XDELEX s IDS 1 2"), "*1|:1|");
    assert_eq!(
        bench.run("XREADGROUP GROUP g c COUNT 1 STREAMS s 0"),
        "*1|*2|$1|s|*1|*2|$3|2-0|*-1|"
    );
    assert_eq!(bench.run("XDELEX s DELREF IDS 2 2 3"), "*2|:-1|:1|");
    assert_eq!(bench.run("XPENDING s g"), "*4|:1|$3|4-0|$3|4-0|*1|*2|$1|c|$1|1|");
    assert_eq!(bench.run("XDELEX none IDS 2 1 2"), "*2|:-1|:-1|");
    assert_eq!(bench.run("XACKDEL none g IDS 1 1"), "*1|:-1|");
    for line in ["XDELEX s IDS 2 1", "XDELEX s IDS 0 1", "XDELEX s KEEPREF ACKED IDS 1 1"] {
        assert!(bench.run(line).starts_with("-ERR"), "{line}");
    }
}

#[test]
fn group_reads_are_logged_as_claims() {
    let mut bench = Bench::new();
    bench.now_ms = 1000;
    bench.run("XADD s 1 a 1");
    bench.run("XADD s 2 a 2");
    bench.run("XGROUP CREATE s g 0");
    let reply = bench.run("XREADGROUP GROUP g c STREAMS s >");
    assert_eq!(reply, "*1|*2|$1|s|*2|*2|$3|1-0|*2|$1|a|$1|1|*2|$3|2-0|*2|$1|a|$1|2|");
    let log = "XGROUP CREATE s g 0; MULTI; XGROUP CREATECONSUMER s g c; \
               XCLAIM s g c 0 1-0 2-0 TIME 1000 RETRYCOUNT 1 FORCE JUSTID; \
               XGROUP SETID s g 2-0 ENTRIESREAD 2; EXEC";
    assert!(bench.log_text().ends_with(log), "{}", bench.log_text());
    bench.now_ms = 1500;
    assert_eq!(
        bench.run("XPENDING s g - + 5 c"),
        "*2|*4|$3|1-0|$1|c|:500|:1|*4|$3|2-0|$1|c|:500|:1|"
    );
    bench.run("XDEL s 1");
    assert_eq!(
        bench.run("XAUTOCLAIM s g d 100 -"),
        "*3|$3|0-0|*1|*2|$3|2-0|*2|$1|a|$1|2|*1|$3|1-0|"
    );
    let log = "MULTI; XGROUP CREATECONSUMER s g d; XACK s g 1-0; \
               XCLAIM s g d 0 2-0 TIME 1500 RETRYCOUNT 2 FORCE JUSTID; EXEC";
    assert!(bench.log_text().ends_with(log), "{}", bench.log_text());
}

#[test]
fn claiming_reads() {
    let mut bench = Bench::new();
    bench.now_ms = 1000;
    for n in 1..=3 {
        bench.run(&format!("XADD s {n} a {n}"));
    }
    bench.run("XGROUP CREATE s g 0");
    bench.run("XREADGROUP GROUP g c COUNT 2 STREAMS s >");
    bench.now_ms = 2000;
    let fresh = bench.run("XREADGROUP GROUP g d COUNT 2 CLAIM 5000 STREAMS s >");
    assert_eq!(fresh, "*1|*2|$1|s|*1|*4|$3|3-0|*2|$1|a|$1|3|:0|:0|");
    let claimed = bench.run("XREADGROUP GROUP g d COUNT 1 CLAIM 500 STREAMS s >");
    assert_eq!(claimed, "*1|*2|$1|s|*1|*4|$3|1-0|*2|$1|a|$1|1|:1000|:1|");
    assert_eq!(bench.run("XNACK s g FATAL IDS 2 3 9"), ":1|");
    let given = "*1|*4|$3|3-0|$0||:-1|:9223372036854775807|";
    assert_eq!(bench.run("XPENDING s g 3 3 9"), given);
    assert_eq!(bench.run("XNACK s g FAIL IDS 1 3 RETRYCOUNT 4"), ":1|");
    let both = bench.run("XREADGROUP GROUP g e CLAIM 500 STREAMS s >");
    assert!(both.starts_with("*1|*2|$1|s|*2|*4|$3|3-0|*2|$1|a|$1|3|:-1|:4|*4|$3|2-0|"), "{both}");
    assert!(bench.run("XNACK s none FAIL IDS 1 1").starts_with("-NOGROUP"));
    assert_eq!(bench.run("XNACK s g FOO IDS 1 1"), "-ERR syntax error|");
}

#[test]
fn repeated_messages_add_nothing() {
    let mut bench = Bench::new();
    bench.now_ms = 1000;
    assert_eq!(bench.run("XADD s IDMP p m * a 1"), "$6|1000-0|");
    assert_eq!(bench.run("XADD s IDMP p m * a 2"), "$6|1000-0|");
    assert_eq!(bench.run("XADD s IDMP q m * a 2"), "$6|1000-1|");
    assert_eq!(bench.run("XADD s IDMPAUTO p * a 1"), "$6|1000-2|");
    assert_eq!(bench.run("XADD s IDMPAUTO p * a 1"), "$6|1000-2|");
    assert_eq!(bench.run("XLEN s"), ":3|");
    assert!(bench.log_text().contains("MULTI; XADD s 1000-0 a 1; XIDMPRECORD s p m 1000-0; EXEC"));
    bench.now_ms = 200_000;
    assert_eq!(bench.run("XADD s IDMP p m * a 1"), "$8|200000-0|");
    assert_eq!(bench.run("XIDMPRECORD s p m 200000-0"), "+OK|");
    assert!(bench.run("XIDMPRECORD s p m 1000-1").starts_with("-ERR"));
    assert_eq!(bench.run("XCFGSET s IDMP-DURATION 5 IDMP-MAXSIZE 7"), "+OK|");
    assert_eq!(bench.run("XCFGSET none IDMP-DURATION 5"), "-ERR no such key|");
    assert_eq!(bench.run("XCFGSET s"), "-ERR syntax error|");
    assert!(bench.run("XCFGSET s IDMP-MAXSIZE 0").starts_with("-ERR IDMP-MAXSIZE"));
    assert!(bench.run("XINFO STREAM s").contains("$13|idmp-duration|:5|$12|idmp-maxsize|:7|"));
    assert!(bench.run("XADD s IDMP p m 9-9 a 1").starts_with("-ERR IDMP/IDMPAUTO can be"));
}

#[test]
fn says_how_it_wants_to_wait() {
    let mut bench = Bench::new();
    bench.run("XADD s 5 a b");
    bench.run("XGROUP CREATE s g $");
    let now = bench.now_ms;
    for (line, serve, deadline) in [
        ("XREAD BLOCK 0 STREAMS s t $ 3", "XREAD STREAMS s t 5-0 3-0", None),
        ("XREAD COUNT 2 BLOCK 7 STREAMS s $", "XREAD COUNT 2 STREAMS s 5-0", Some(now + 7)),
        (
            "XREADGROUP GROUP g c CLAIM 9 NOACK BLOCK 1 STREAMS s >",
            "XREADGROUP GROUP g c CLAIM 9 NOACK STREAMS s >",
            Some(now + 1),
        ),
    ] {
        assert_eq!(bench.run(line), "", "{line}");
        let block = bench.block.take().expect("it waits");
        assert_eq!(String::from_utf8(block.serve.join(&b' ')).unwrap(), serve);
        assert_eq!((block.wants, block.deadline), (Type::Stream, deadline));
    }
    bench.may_block = false;
    assert_eq!(bench.run("XREAD BLOCK 0 STREAMS s $"), "*-1|");
    assert_eq!(bench.run("XREADGROUP GROUP g c BLOCK 0 STREAMS s 0"), "*1|*2|$1|s|*0|");
    assert_eq!(bench.run("XREAD STREAMS s +"), "*1|*2|$1|s|*1|*2|$3|5-0|*2|$1|a|$1|b|");
    bench.protocol = Protocol::Resp3;
    assert_eq!(bench.run("XREAD STREAMS s 0"), "%1|$1|s|*1|*2|$3|5-0|*2|$1|a|$1|b|");
    assert_eq!(bench.run("XREAD STREAMS s $"), "_|");
}

#[test]
fn other_types_are_refused() {
    let mut bench = Bench::new();
    bench.run("SET k v");
    bench.run("LPUSH l v");
    for line in [
        "XADD k * a b",
        "XLEN k",
        "XRANGE k - +",
        "XREVRANGE k + -",
        "XDEL k 1",
        "XTRIM k MAXLEN 1",
        "XDELEX k IDS 1 1",
        "XACKDEL k g IDS 1 1",
        "XNACK k g FAIL IDS 1 1",
        "XSETID k 1",
        "XREAD STREAMS k 0",
        "XREADGROUP GROUP g c STREAMS k >",
        "XGROUP CREATE k g 0",
        "XGROUP SETID k g 0",
        "XGROUP DESTROY k g",
        "XGROUP CREATECONSUMER k g c",
        "XGROUP DELCONSUMER k g c",
        "XACK k g 1",
        "XPENDING k g",
        "XCLAIM k g c 0 1",
        "XAUTOCLAIM k g c 0 0",
        "XINFO STREAM k",
        "XINFO GROUPS k",
        "XINFO CONSUMERS k g",
        "XCFGSET k IDMP-DURATION 1",
        "XIDMPRECORD k p m 1",
    ] {
        assert_eq!(bench.run(line), WRONG, "{line}");
        assert_eq!(bench.run(&line.replacen(" k", " l", 1)), WRONG, "{line}");
    }
    bench.run("XADD s 1 a b");
    assert_eq!(bench.run("TYPE s"), "+stream|");
    assert_eq!(bench.run("OBJECT ENCODING s"), "$6|stream|");
    assert_eq!(bench.run("LPUSH s v"), WRONG);
    assert_eq!(bench.run("GET s"), WRONG);
    assert_eq!(bench.run("COPY s t"), ":1|");
    assert_eq!(bench.run("XDEL s 1"), ":1|");
    assert_eq!(bench.run("XLEN t"), ":1|");
    assert_eq!(bench.run("SCAN 0 TYPE stream COUNT 1000").matches("$1|").count(), 3);
}
