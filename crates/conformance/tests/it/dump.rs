//! DUMP and RESTORE: R4.1, payloads of real servers here and ours there, with equal DEBUG DIGEST-VALUE
//! and equal reads.

use crate::redis7_pair;
use ochre_testkit::oracle::{Norm, Resp};
use ochre_testkit::{Client, Program, Server, Value};

const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

/// `hello`, as redis-server 7.0.15 dumps it.
const HELLO: &[u8] = b"\x00\x05hello\x0A\x00\x63\x72\xDF\x76\x65\x34\x20\x0A";

/// `rdbcompression` is looked at by each DUMP, here and there; what comes of either loads.
#[test]
fn payloads_are_compressed_when_snapshots_are() {
    let mut pair = redis7_pair(&DEBUG);
    let text = "a".repeat(200);
    for mut client in [pair.ours().client(), pair.theirs().client()] {
        let mut dumped = |compress: &str| {
            client.cmd(&["CONFIG", "SET", "rdbcompression", compress]);
            client.cmd(&["SET", "text", &text]);
            let Value::Bulk(payload) = client.cmd(&["DUMP", "text"]) else { panic!("a payload") };
            let restored = [&b"RESTORE"[..], b"copy", b"0", &payload, b"REPLACE"];
            assert_eq!(client.cmd(&restored), Value::Status(b"OK".to_vec()));
            assert_eq!(client.cmd(&["GET", "copy"]), Value::Bulk(text.clone().into_bytes()));
            payload.len()
        };
        let sizes = ["yes", "no", "yes"].map(&mut dumped);
        assert!(sizes[0] < 50 && sizes[1] > 200 && sizes[2] == sizes[0], "{sizes:?}");
    }
}

#[test]
fn options_and_errors() {
    let mut pair = redis7_pair(&DEBUG);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "");
        let mut broken = HELLO.to_vec();
        broken[3] ^= 1;
        let (hello, broken) = (HELLO, &broken[..]);
        let unsummed = [&hello[..9], &[0; 8]].concat();
        let steps: &[&[&[u8]]] = &[
            &[b"RESTORE", b"a", b"0", hello],
            &[b"GET", b"a"],
            &[b"RESTORE", b"a", b"0", hello],
            &[b"RESTORE", b"a", b"-1", hello],
            &[b"RESTORE", b"a", b"-1", hello, b"REPLACE"],
            &[b"RESTORE", b"b", b"-1", hello],
            &[b"RESTORE", b"b", b"x", hello],
            &[b"RESTORE", b"b", b"x", broken],
            &[b"RESTORE", b"b", b"0", hello, b"IDLETIME", b"-1"],
            &[b"RESTORE", b"b", b"0", hello, b"IDLETIME", b"x"],
            &[b"RESTORE", b"b", b"0", hello, b"FREQ", b"256"],
            &[b"RESTORE", b"b", b"0", hello, b"FREQ", b"-1"],
            &[b"RESTORE", b"b", b"0", hello, b"FREQ", b"1", b"IDLETIME", b"1"],
            &[b"RESTORE", b"b", b"0", hello, b"IDLETIME", b"1", b"FREQ", b"1"],
            &[b"RESTORE", b"b", b"0", hello, b"FREQ"],
            &[b"RESTORE", b"b", b"0", hello, b"FOO"],
            &[b"RESTORE", b"a", b"x", hello, b"FOO"],
            &[b"RESTORE", b"b", b"0", broken],
            &[b"RESTORE", b"b", b"0", &unsummed],
            &[b"RESTORE", b"b", b"0", b""],
            &[b"RESTORE", b"b", b"0", &hello[..10]],
            &[b"RESTORE", b"b", b"0"],
            &[b"EXISTS", b"b"],
            &[b"RESTORE", b"b", b"0", hello, b"ABSTTL"],
            &[b"RESTORE", b"c", b"1", hello, b"ABSTTL"],
            &[b"EXISTS", b"b", b"c"],
            &[b"RESTORE", b"a", b"1", hello, b"ABSTTL"],
            &[b"RESTORE", b"a", b"1", hello, b"ABSTTL", b"REPLACE"],
            &[b"EXISTS", b"a"],
            &[b"RESTORE", b"d", b"4102444800000", hello, b"ABSTTL", b"IDLETIME", b"1000"],
            &[b"PEXPIRETIME", b"d"],
            &[b"OBJECT", b"IDLETIME", b"d"],
            &[b"RPUSH", b"l", b"1"],
            &[b"RESTORE", b"l", b"0", hello, b"rePLACE", b"idletime", b"5"],
            &[b"TYPE", b"l"],
            &[b"DUMP", b"none"],
            &[b"DUMP"],
            &[b"DUMP", b"a", b"b"],
            &[b"CONFIG", b"SET", b"maxmemory-policy", b"allkeys-lfu"],
            &[b"RESTORE", b"f", b"0", hello, b"FREQ", b"77"],
            &[b"OBJECT", b"FREQ", b"f"],
            &[b"CONFIG", b"SET", b"maxmemory-policy", b"noeviction"],
        ];
        for step in steps {
            pair.run(step, &[]);
        }
        pair.run(&[&b"RESTORE"[..], b"e", b"50000", hello], &[]);
        pair.run(&["PTTL", "e"], &[Norm::Near(2000)]);
    }
    pair.finish();
}

/// Payloads whose sums are right and whose values are not: all are refused by both.
#[test]
fn broken_values_are_refused() {
    let mut pair = redis7_pair(&[]);
    for body in [
        &b"\x02\x00"[..],
        b"\x0B\x0C\x02\0\0\0\x02\0\0\0\x02\0\x01\0",
        b"\x10\x0C\x0C\0\0\0\x02\0\x81a\x02\x81b\x01\xFF",
        b"\x05\x01\x01a\0\0\0\0\0\0\xF8\x7F",
        b"\x12\x01\x03\x01a",
        b"\xC8\x01a",
        b"\x00\xC3\x02\x05\x20\x00",
    ] {
        let mut payload = body.to_vec();
        payload.extend_from_slice(&10_u16.to_le_bytes());
        let sum = crc64(&payload);
        payload.extend_from_slice(&sum.to_le_bytes());
        // Redis checks the insides only where it is told to.
        pair.run(&["CONFIG", "SET", "sanitize-dump-payload", "yes"], &[Norm::Any]);
        pair.run(&[&b"RESTORE"[..], b"k", b"0", &payload[..]], &[]);
    }
    pair.finish();
}

/// CRC-64/REDIS, bit by bit.
fn crc64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ u64::from(*byte), |sum, _| {
            let low = sum & 1;
            (sum >> 1) ^ (low * 0x95AC_9329_AC4B_C9B5)
        })
    })
}

/// Values of every type and encoding, in three sizes.
fn fill(client: &mut Client, has_field_expiry: bool) {
    let mut run = |args: &[Vec<u8>]| {
        let reply = client.cmd(args);
        assert!(reply.error().is_none(), "{:?}: {reply:?}", String::from_utf8_lossy(&args[0]));
    };
    let word = |text: &str| text.as_bytes().to_vec();
    let mixed = |at: usize| match at % 6 {
        0 => at.to_string().into_bytes(),
        1 => format!("-{at}0000{at}").into_bytes(),
        2 => format!("element number {at}").into_bytes(),
        3 => vec![0xFF, 0, b'\r', at as u8, (at >> 8) as u8],
        4 => format!("{}{at}", "repeat ".repeat(at % 9)).into_bytes(),
        _ => format!("0{at}").into_bytes(),
    };
    let strings = [
        "",
        "0",
        "-1",
        "127",
        "128",
        "-129",
        "32768",
        "2147483647",
        "-2147483648",
        "2147483648",
        "9223372036854775807",
        "-9223372036854775808",
        "007",
        "3.5",
        "hello",
    ];
    for (at, text) in strings.iter().enumerate() {
        run(&[word("SET"), format!("s:{at}").into_bytes(), word(text)]);
    }
    run(&[word("SET"), word("s:same"), vec![b'a'; 70_000]]);
    run(&[
        word("SET"),
        word("s:noise"),
        (0..90_000_u32).map(|n| (n.wrapping_mul(0x9E37_79B1) >> 24) as u8).collect(),
    ]);
    run(&[word("SET"), word("s:text"), "the quick brown fox. ".repeat(900).into_bytes()]);
    for (size, count) in [("one", 1), ("few", 30), ("many", 4000)] {
        let mut lists = vec![vec![word("RPUSH"), format!("list:{size}").into_bytes()]];
        lists.push(vec![word("SADD"), format!("set:{size}").into_bytes(), word("no integer")]);
        lists.push(vec![word("SADD"), format!("ints:{size}").into_bytes()]);
        lists.push(vec![word("SADD"), format!("wide:{size}").into_bytes()]);
        lists.push(vec![word("ZADD"), format!("zset:{size}").into_bytes()]);
        lists.push(vec![word("HSET"), format!("hash:{size}").into_bytes()]);
        for at in 0..count {
            lists[0].push(mixed(at));
            lists[1].push(mixed(at));
            lists[2].push((at as i64 * 3 - 20).to_string().into_bytes());
            lists[3].push((at as i64 * 77_777_777_777 - 20).to_string().into_bytes());
            let score = match at % 5 {
                0 => at.to_string(),
                1 => format!("-{at}.25"),
                2 => format!("{at}e20"),
                3 => "inf".to_owned(),
                _ => format!("0.{at}1"),
            };
            lists[4].extend([score.into_bytes(), mixed(at)]);
            lists[5].extend([mixed(at), mixed(at + 1)]);
        }
        lists.iter().for_each(|args| run(args));
        let key = format!("stream:{size}").into_bytes();
        for at in 1..=count.min(500) {
            let id = format!("17000000{at:05}-{}", at % 3);
            let field = if at % 7 == 0 { "other" } else { "field" };
            run(&[
                word("XADD"),
                key.clone(),
                word(&id),
                word(field),
                mixed(at),
                word("n"),
                mixed(at + 2),
            ]);
            if at % 5 == 4 {
                run(&[word("XDEL"), key.clone(), word(&id)]);
            }
        }
        run(&[word("XGROUP"), word("CREATE"), key.clone(), word("g1"), word("0")]);
        run(&[word("XGROUP"), word("CREATE"), key.clone(), word("g2"), word("$")]);
        run(&[word("XGROUP"), word("CREATECONSUMER"), key.clone(), word("g1"), word("idle")]);
        for consumer in ["c1", "c2"] {
            let args =
                "XREADGROUP GROUP g1 C COUNT 9 STREAMS K >".split(' ').map(|text| match text {
                    "C" => word(consumer),
                    "K" => key.clone(),
                    _ => word(text),
                });
            run(&args.collect::<Vec<_>>());
        }
        if has_field_expiry {
            let key = format!("soon:{size}").into_bytes();
            let mut args = vec![word("HSET"), key.clone()];
            (0..count).for_each(|at| args.extend([mixed(at), mixed(at + 1)]));
            run(&args);
            for at in (0..count).step_by(7) {
                let when = 4_102_444_800_000 + at as u64 * 1000;
                run(&[
                    word("HPEXPIREAT"),
                    key.clone(),
                    when.to_string().into_bytes(),
                    word("FIELDS"),
                    word("1"),
                    mixed(at),
                ]);
            }
        }
    }
    run(&[word("RPUSH"), word("list:long"), vec![b'x'; 20_000], word("y"), vec![b'5'; 9000]]);
    run(&[word("ZADD"), word("zset:long"), word("1"), vec![b'm'; 100], word("-0"), word("z")]);
    run(&[word("HSET"), word("hash:long"), vec![b'f'; 100], vec![b'v'; 66_000]]);
    run(&[word("SADD"), word("set:long"), vec![b'f'; 100], word("5")]);
    run(&[word("XADD"), word("stream:empty"), word("5-5"), word("a"), word("b")]);
    run(&[word("XTRIM"), word("stream:empty"), word("MAXLEN"), word("0")]);
}

/// What a client can see of a key. Digests of scores and of hashes whose fields expire are not the same in
/// all releases; `digest` says whether to look at those.
fn seen(client: &mut Client, key: &[u8], digest: bool) -> Vec<Value> {
    let kind = match client.cmd(&[b"TYPE", key]) {
        Value::Status(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?}"),
    };
    let mut reads: Vec<Vec<&[u8]>> = Vec::new();
    if digest || !(kind == "zset" || key.starts_with(b"soon")) {
        reads.push(vec![b"DEBUG", b"DIGEST-VALUE", key]);
    }
    match kind.as_str() {
        "string" => reads.push(vec![b"GET", key]),
        "list" => reads.push(vec![b"LRANGE", key, b"0", b"-1"]),
        "set" => reads.push(vec![b"SCARD", key]),
        "zset" | "hash" => {}
        "stream" => {
            reads.push(vec![b"XRANGE", key, b"-", b"+"]);
            reads.push(vec![b"XINFO", b"GROUPS", key]);
            reads.push(vec![b"XPENDING", key, b"g1"]);
        }
        other => panic!("{key:?} is {other}"),
    }
    let mut all: Vec<Value> = reads.iter().map(|args| client.cmd(args)).collect();
    match kind.as_str() {
        "zset" => {
            let pairs = client.cmd(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]);
            all.extend(pairs.items().unwrap_or_default().iter().enumerate().map(|(at, item)| {
                let text = String::from_utf8_lossy(item.bytes().unwrap_or_default()).into_owned();
                // 7.0 shows more digits than later releases.
                if at % 2 == 0 { item.clone() } else { Value::Double(text.parse().unwrap()) }
            }));
        }
        "hash" => {
            let fields = client.cmd(&[b"HGETALL", key]);
            let mut pairs: Vec<&[Value]> = fields.items().unwrap_or_default().chunks(2).collect();
            pairs.sort_by_key(|pair| pair[0].bytes());
            for pair in pairs {
                all.extend_from_slice(pair);
                if let (true, Some(field)) = (key.starts_with(b"soon"), pair[0].bytes()) {
                    all.push(client.cmd(&[b"HPEXPIRETIME", key, b"FIELDS", b"1", field]));
                }
            }
        }
        "stream" => {
            let info = client.cmd(&[&b"XINFO"[..], b"STREAM", key]);
            // The nodes of the index are each server's own.
            let items = info.items().unwrap_or_default();
            let pairs = items
                .chunks(2)
                .filter(|pair| !pair[0].bytes().is_some_and(|name| name.starts_with(b"radix")));
            all.extend(pairs.flatten().cloned());
        }
        _ => {}
    }
    all
}

fn keys(client: &mut Client) -> Vec<Vec<u8>> {
    let all = client.cmd(&["KEYS", "*"]);
    let mut all: Vec<Vec<u8>> =
        all.items().unwrap().iter().map(|key| key.bytes().unwrap().to_vec()).collect();
    all.sort();
    all
}

/// Moves every key of `from` to `to` by DUMP and RESTORE, and compares what both show.
fn carry(from: &mut Client, to: &mut Client, what: &str) {
    let digest = what.contains("redis7");
    for key in keys(from) {
        let name = String::from_utf8_lossy(&key).into_owned();
        let payload = from.cmd(&[b"DUMP", &key[..]]);
        let payload = payload.bytes().unwrap();
        let reply = to.cmd(&[b"RESTORE", &key[..], b"0", payload]);
        assert!(reply.error().is_none(), "{what}: {name}: {reply:?}");
        let (theirs, ours) = (seen(from, &key, digest), seen(to, &key, digest));
        let differ = theirs.iter().zip(&ours).find(|(a, b)| a != b);
        assert!(theirs == ours, "{what}: {name}: {differ:?}");
    }
}

/// From a peer here, from here back to the peer; with large and with small thresholds.
fn both_ways(peer: &Program, compat: &str) {
    if peer.find().is_none() {
        println!("not compared: {} is not installed (see PEERS_DIR)", peer.name());
        return;
    }
    let theirs = Server::start(peer, &DEBUG);
    let ours = Server::ochre(&[DEBUG[0], DEBUG[1], "--compat", compat]);
    let (mut theirs, mut ours) = (theirs.client(), ours.client());
    let newer = !matches!(peer, Program::Redis7);
    for tiny in [false, true] {
        if tiny {
            for (name, value) in crate::TINY {
                theirs.cmd(&["CONFIG", "SET", name, value]);
                ours.cmd(&["CONFIG", "SET", name, value]);
            }
        }
        theirs.cmd(&["FLUSHALL"]);
        ours.cmd(&["FLUSHALL"]);
        fill(&mut theirs, newer);
        carry(&mut theirs, &mut ours, &format!("{} to ochre", peer.name()));
        theirs.cmd(&["FLUSHALL"]);
        carry(&mut ours, &mut theirs, &format!("ochre to {}", peer.name()));
        // What was made here, not restored.
        ours.cmd(&["FLUSHALL"]);
        theirs.cmd(&["FLUSHALL"]);
        fill(&mut ours, newer);
        carry(&mut ours, &mut theirs, &format!("ochre's own to {}", peer.name()));
    }
}

#[test]
fn with_redis_7() {
    both_ways(&Program::Redis7, "redis-7.0");
}

#[test]
fn with_redis_8() {
    both_ways(&Program::Redis8, "redis-8");
}

#[test]
fn with_valkey_9() {
    both_ways(&Program::Valkey9, "valkey-9");
}

/// The form of Redis 7.2, which is the default, for both families.
#[test]
fn the_default_is_read_by_both_families() {
    for peer in [Program::Redis8, Program::Valkey9] {
        if peer.find().is_none() {
            println!("not compared: {} is not installed (see PEERS_DIR)", peer.name());
            continue;
        }
        let (theirs, ours) = (Server::start(&peer, &DEBUG), Server::ochre(&DEBUG));
        let (mut theirs, mut ours) = (theirs.client(), ours.client());
        fill(&mut ours, false);
        carry(&mut ours, &mut theirs, "default");
    }
}

/// Redis 8's payloads go to Valkey and back by way of us, hashes with expiring fields included, which
/// neither takes from the other.
#[test]
fn between_the_families() {
    if Program::Redis8.find().is_none() || Program::Valkey9.find().is_none() {
        println!("not compared: a peer is not installed (see PEERS_DIR)");
        return;
    }
    let (redis, valkey) =
        (Server::start(&Program::Redis8, &DEBUG), Server::start(&Program::Valkey9, &DEBUG));
    let (mut redis, mut valkey) = (redis.client(), valkey.client());
    fill(&mut redis, true);
    let as_valkey = Server::ochre(&[DEBUG[0], DEBUG[1], "--compat", "valkey-9"]);
    carry(&mut redis, &mut as_valkey.client(), "redis to ochre");
    carry(&mut as_valkey.client(), &mut valkey, "ochre to valkey");
    let as_redis = Server::ochre(&[DEBUG[0], DEBUG[1], "--compat", "redis-8"]);
    carry(&mut valkey, &mut as_redis.client(), "valkey to ochre");
    redis.cmd(&["FLUSHALL"]);
    carry(&mut as_redis.client(), &mut redis, "ochre to redis");
}

#[test]
fn events() {
    let mut pair = redis7_pair(&[]);
    pair.run(&["CONFIG", "SET", "notify-keyspace-events", "KEAn"], &[]);
    pair.run_as("b", &["PSUBSCRIBE", "__key*__:*"], &[]);
    pair.run(&[&b"RESTORE"[..], b"k", b"0", HELLO], &[]);
    pair.run(&[&b"RESTORE"[..], b"k", b"0", HELLO, b"REPLACE"], &[]);
    pair.run(&[&b"RESTORE"[..], b"k", b"1", HELLO, b"REPLACE", b"ABSTTL"], &[]);
    pair.run(&["SET", "last", "1"], &[]);
    pair.script(&"b<\n".repeat(12));
    pair.finish();
}

/// Entries that were given back (XNACK) belong to no consumer, which no other server knows: they travel
/// with a consumer without name, and come back as they were.
#[test]
fn entries_that_were_given_back() {
    let server = Server::ochre(&[]);
    let mut ours = server.client();
    for n in 1..=5 {
        ours.line(&format!("XADD x {n}-1 f v"));
    }
    ours.line("XGROUP CREATE x g 0");
    ours.line("XREADGROUP GROUP g c STREAMS x >");
    assert_eq!(ours.shown("XNACK x g FAIL IDS 2 2-1 4-1"), "(int) 2");
    let pending = ours.shown("XPENDING x g - + 10");
    for peer in [Program::Redis7, Program::Redis8, Program::Valkey9] {
        if peer.find().is_none() {
            println!("not compared: {} is not installed (see PEERS_DIR)", peer.name());
            continue;
        }
        let compat = if matches!(peer, Program::Redis7) { "redis-7.0" } else { "redis-7.2" };
        let (as_peer, theirs) = (Server::ochre(&["--compat", compat]), Server::start(&peer, &[]));
        let (mut as_peer, mut theirs) = (as_peer.client(), theirs.client());
        for (from, to) in [(0, 1), (1, 2), (2, 1)] {
            let clients = [&mut ours, &mut as_peer, &mut theirs];
            let payload = clients[from].cmd(&["DUMP", "x"]);
            let payload = payload.bytes().unwrap();
            let reply = clients[to].cmd(&[&b"RESTORE"[..], b"x", b"0", payload, b"REPLACE"]);
            assert!(reply.error().is_none(), "{}: {reply:?}", peer.name());
        }
        // The times since delivery go on.
        let shown = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        assert_eq!(shown(&as_peer.shown("XPENDING x g - + 10")), shown(&pending));
        assert_eq!(theirs.integer("XLEN x"), 5);
    }
}
