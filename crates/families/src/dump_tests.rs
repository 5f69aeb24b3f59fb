//! DUMP and RESTORE within one process; the conformance tests hold them to other servers.

use crate::testing::Bench;
use ochre_keyspace::evict::AccessClock;

/// A payload as DUMP gave it, out of its reply.
fn dump(bench: &mut Bench, key: &str) -> Vec<u8> {
    let reply = bench.run_raw(&[b"DUMP", key.as_bytes()]);
    let head = reply.iter().position(|&byte| byte == b'\n').expect("a head");
    reply[head + 1..reply.len() - 2].to_vec()
}

/// One of each form.
fn fill(bench: &mut Bench) -> Vec<String> {
    let long = "y".repeat(3000);
    for line in [
        "SET int 12345".to_owned(),
        "SET big 123456789012".to_owned(),
        "SET text hello".to_owned(),
        format!("SET long {long}"),
        "RPUSH list a 1 300 bb -70000".to_owned(),
        format!("RPUSH pages {} {long} x", [long.as_str(); 5].join(" ")),
        "SADD ints 1 2 70000 -99999999999".to_owned(),
        "SADD small a 1 b".to_owned(),
        format!("SADD large 1 2 a {long}"),
        "ZADD zsmall 1.5 a 2 b inf c -inf d 1e300 e".to_owned(),
        format!("ZADD zlarge 1 {long} 2 b -0.5 c"),
        "HSET hsmall f v g 1".to_owned(),
        format!("HSET hlarge f {long} g 1"),
        "HSET hsoon f v g 1".to_owned(),
        "HPEXPIREAT hsoon 4102444800000 FIELDS 1 f".to_owned(),
        format!("HSET hlater f {long} g 1"),
        "HPEXPIREAT hlater 4102444800000 FIELDS 1 f".to_owned(),
        "XADD stream 5-1 a 1 b 2".to_owned(),
        "XADD stream 6-1 a 1 b 2".to_owned(),
        "XADD stream 7-1 c 3".to_owned(),
        "XDEL stream 6-1".to_owned(),
        "XGROUP CREATE stream g 0".to_owned(),
        "XREADGROUP GROUP g c COUNT 1 STREAMS stream >".to_owned(),
    ] {
        let reply = bench.run(&line);
        assert!(!reply.starts_with('-'), "{line}: {reply}");
    }
    "int big text long list pages ints small large zsmall zlarge hsmall hlarge hsoon hlater stream"
        .split(' ')
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_form_comes_back() {
    let mut bench = Bench::new();
    for key in fill(&mut bench) {
        let payload = dump(&mut bench, &key);
        let reply = bench.run_args(&[b"RESTORE", b"copy", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, "+OK|", "{key}");
        assert_eq!(dump(&mut bench, "copy"), payload, "{key}");
        for ask in ["TYPE", "OBJECT ENCODING"] {
            let (ours, theirs) =
                (bench.run(&format!("{ask} copy")), bench.run(&format!("{ask} {key}")));
            assert_eq!(ours, theirs, "{ask} {key}");
        }
    }
    assert_eq!(bench.run("DUMP none"), "$-1|");
}

#[test]
fn options_and_errors() {
    let mut bench = Bench::new();
    bench.run("SET s v");
    let payload = dump(&mut bench, "s");
    let mut broken = payload.clone();
    broken[1] ^= 1;
    let mut restore = |rest: &[&[u8]]| {
        let mut args: Vec<&[u8]> = vec![b"RESTORE"];
        args.extend_from_slice(rest);
        bench.run_args(&args)
    };
    let payload = &payload[..];
    let cases: &[(&[&[u8]], &str)] = &[
        (&[b"s", b"0", payload], "-BUSYKEY Target key name already exists.|"),
        (&[b"s", b"-1", payload], "-BUSYKEY Target key name already exists.|"),
        (&[b"t", b"-1", payload], "-ERR Invalid TTL value, must be >= 0|"),
        (&[b"t", b"x", payload], "-ERR value is not an integer or out of range|"),
        (&[b"t", b"0", payload, b"IDLETIME", b"-1"], "-ERR Invalid IDLETIME value, must be >= 0|"),
        (
            &[b"t", b"0", payload, b"FREQ", b"256"],
            "-ERR Invalid FREQ value, must be >= 0 and <= 255|",
        ),
        (
            &[b"t", b"0", payload, b"FREQ", b"-1"],
            "-ERR Invalid FREQ value, must be >= 0 and <= 255|",
        ),
        (&[b"t", b"0", payload, b"FREQ", b"1", b"IDLETIME", b"1"], "-ERR syntax error|"),
        (&[b"t", b"0", payload, b"IDLETIME"], "-ERR syntax error|"),
        (&[b"t", b"0", payload, b"FOO"], "-ERR syntax error|"),
        (&[b"t", b"0", &broken], "-ERR DUMP payload version or checksum are wrong|"),
        (&[b"t", b"0", b""], "-ERR DUMP payload version or checksum are wrong|"),
        (&[b"t", b"1", payload, b"ABSTTL"], "+OK|"),
    ];
    for (args, reply) in cases {
        assert_eq!(restore(args), *reply, "{args:?}");
    }
    assert_eq!(bench.run("EXISTS t"), ":0|");
    assert_eq!(bench.run_args(&[b"RESTORE", b"s", b"1", payload, b"ABSTTL", b"REPLACE"]), "+OK|");
    assert_eq!(bench.run("EXISTS s"), ":0|");
    assert!(bench.log_text().ends_with("; DEL s"), "{}", bench.log_text());
}

#[test]
fn is_logged_with_its_moment() {
    let mut bench = Bench::new();
    bench.run("SET s v");
    let payload = dump(&mut bench, "s");
    bench.run_args(&[b"restore", b"t", b"500", &payload, b"IDLETIME", b"70"]);
    assert_eq!(bench.run("PTTL t"), ":500|");
    assert_eq!(bench.run("OBJECT IDLETIME t"), ":70|");
    bench.run_args(&[b"restore", b"u", b"0", &payload]);
    let log = bench.log_text();
    assert!(log.contains("RESTORE t 1700000000500 "), "{log}");
    assert!(log.contains(" IDLETIME 70 ABSTTL; RESTORE u 0 "), "{log}");
    bench.lfu = true;
    bench.run_args(&[b"restore", b"v", b"0", &payload, b"FREQ", b"77"]);
    let clock = AccessClock { lfu: true, seconds: 1_700_000_000, ..AccessClock::default() };
    assert_eq!(clock.frequency(clock.with_frequency(77)), 77);
    assert_eq!(bench.run("OBJECT FREQ v"), ":77|");
}
