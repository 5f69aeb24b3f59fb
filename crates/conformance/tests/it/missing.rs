//! What came late: commands of Redis 8.8 and 8.10 by their documentation, and corrections where we differed from
//! the peers.

use std::time::Duration;

use crate::{check, check_newer, redis7_pair};
use ochre_testkit::oracle::Resp;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

fn blocked(client: &mut Client, count: usize) {
    wait_until("clients wait", || {
        (client.info("clients", "blocked_clients") == count.to_string()).then_some(())
    });
}

fn words(value: &Value) -> Vec<String> {
    let Value::Array(items) = value else { panic!("{value:?}") };
    let text =
        |item: &Value| String::from_utf8_lossy(item.bytes().unwrap_or_default()).into_owned();
    items.iter().map(text).collect()
}

#[test]
fn blmovem_waits_for_enough() {
    let server = Server::ochre(&[]);
    let (mut a, mut b, mut c) = (server.client(), server.client(), server.client());
    // The first in the queue wants three; the one behind it is served before it.
    a.line("HELLO 3");
    a.send(&["BLMOVEM", "src", "dst", "LEFT", "RIGHT", "0", "EXACTLY", "3", "BULK"]);
    blocked(&mut c, 1);
    b.send(&["BLPOP", "src", "0"]);
    blocked(&mut c, 2);
    c.line("RPUSH src 1 2");
    assert_eq!(words(&b.reply()), ["src", "1"]);
    blocked(&mut c, 1);
    c.line("RPUSH src 3");
    assert_eq!(c.integer("LLEN src"), 2);
    c.line("RPUSH src 4 5");
    assert_eq!(words(&a.reply()), ["2", "3", "4"]);
    assert_eq!(words(&c.line("LRANGE dst 0 -1")), ["2", "3", "4"]);
    assert_eq!(words(&c.line("LRANGE src 0 -1")), ["5"]);

    // COUNT takes what there is; one element is the default.
    assert_eq!(words(&b.line("BLMOVEM src dst LEFT LEFT 0 COUNT 9 OBO")), ["5"]);
    b.send(&["BLMOVEM", "src", "dst", "RIGHT", "LEFT", "0"]);
    blocked(&mut c, 1);
    c.line("RPUSH src 6 7");
    assert_eq!(words(&b.reply()), ["7"]);

    assert_eq!(b.shown("BLMOVEM none dst LEFT LEFT 0.05 COUNT 2 OBO"), "(nil-array)");
    b.line("MULTI");
    b.line("BLMOVEM src dst LEFT LEFT 0 EXACTLY 2 OBO");
    assert_eq!(b.shown("EXEC"), "[(nil-array)]");
    assert!(b.shown("BLMOVEM src dst LEFT LEFT 0 EXACTLY 0 OBO").contains("greater than 0"));
}

#[test]
fn scores_that_count_the_inputs() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    client.line("ZADD a 10 x 20 y");
    client.line("ZADD b 30 y");
    client.line("SADD s y z");
    assert_eq!(client.integer("ZUNIONSTORE d 3 a b s AGGREGATE COUNT"), 3);
    assert_eq!(words(&client.line("ZRANGE d 0 -1 WITHSCORES")), ["x", "1", "z", "1", "y", "3"]);
    let weighed = client.line("ZINTER 3 a b s WEIGHTS 2 3 5 AGGREGATE COUNT WITHSCORES");
    assert_eq!(words(&weighed), ["y", "10"]);
    assert_eq!(client.integer("ZINTERSTORE d 2 a b AGGREGATE count"), 1);
}

/// Messages of a listener to everything about parts of values.
struct Parts(Client);

impl Parts {
    fn of(server: &Server) -> Self {
        let mut client = server.client();
        client.line("PSUBSCRIBE __subkey*");
        Self(client)
    }

    /// The next messages, as `channel payload`.
    fn next(&mut self, count: usize) -> Vec<String> {
        let one = |_| {
            let message = words(&self.0.reply());
            format!("{} {}", message[2], message[3])
        };
        (0..count).map(one).collect()
    }
}

#[test]
fn events_name_the_fields() {
    let server = Server::ochre(&["--notify-keyspace-events", "STIVh"]);
    let mut client = server.client();
    assert_eq!(
        client.shown("CONFIG GET notify-keyspace-events"),
        r#"["notify-keyspace-events", "hSTIV"]"#
    );
    let mut parts = Parts::of(&server);
    client.line("HSET h f1 v f2 w");
    assert_eq!(
        parts.next(5),
        [
            "__subkeyspace@0__:h hset|2:f1,2:f2",
            "__subkeyevent@0__:hset 1:h|2:f1,2:f2",
            "__subkeyspaceitem@0__:h\nf1 hset",
            "__subkeyspaceitem@0__:h\nf2 hset",
            "__subkeyspaceevent@0__:hset|h 2:f1,2:f2",
        ]
    );
    client.line("CONFIG SET notify-keyspace-events T");
    for (line, expected) in [
        ("HSETNX h f1 x", ""),
        ("HSETNX h f3 x", "hset 1:h|2:f3"),
        ("HDEL h f3 none f2", "hdel 1:h|2:f3,2:f2"),
        ("HINCRBY h n 5", "hincrby 1:h|1:n"),
        ("HINCRBYFLOAT h n 0.5", "hincrbyfloat 1:h|1:n"),
        ("HEXPIRE h 1000 FIELDS 2 n none", "hexpire 1:h|1:n"),
        ("HPERSIST h FIELDS 2 n f1", "hpersist 1:h|1:n"),
        ("HGETEX h EX 100 FIELDS 1 n", "hexpire 1:h|1:n"),
        ("HGETEX h PERSIST FIELDS 1 n", "hpersist 1:h|1:n"),
        ("HEXPIRE h 0 FIELDS 1 n", "hexpired 1:h|1:n"),
        ("HGETDEL h FIELDS 2 f1 none", "hdel 1:h|2:f1"),
        ("HMSET h a 1", "hset 1:h|1:a"),
    ] {
        client.line(line);
        if !expected.is_empty() {
            assert_eq!(parts.next(1), [format!("__subkeyevent@0__:{expected}")], "{line}");
        }
    }
    client.line("HSETEX h PX 20 FIELDS 2 x 1 y 2");
    assert_eq!(
        parts.next(2),
        ["__subkeyevent@0__:hset 1:h|1:x,1:y", "__subkeyevent@0__:hexpire 1:h|1:x,1:y"]
    );
    // In the background, all at once.
    let expired = parts.next(1).remove(0);
    assert!(expired.starts_with("__subkeyevent@0__:hexpired 1:h|"), "{expired}");
    // Other classes only: nothing. A key with a line end has no channel for its parts.
    client.line("CONFIG SET notify-keyspace-events TIl");
    client.line("HSET h b 1");
    client.line("CONFIG SET notify-keyspace-events TIh");
    client.cmd(&["HSET", "two\nlines", "f", "1"]);
    assert_eq!(parts.next(1), ["__subkeyevent@0__:hset 9:two\nlines|1:f"]);
}

/// A consumer group's readers hear that their key expired or was evicted though nobody touched it.
#[test]
fn readers_of_a_stream_that_goes_by_itself() {
    let server = Server::ochre(&[]);
    let (mut reader, mut writer) = (server.client(), server.client());
    writer.line("XGROUP CREATE s g $ MKSTREAM");
    reader.send(&["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"]);
    blocked(&mut writer, 1);
    writer.line("PEXPIRE s 50");
    let Value::Error(text) = reader.reply() else { panic!("no error") };
    assert!(text.starts_with(b"NOGROUP"), "{}", String::from_utf8_lossy(&text));

    writer.line("XGROUP CREATE s g $ MKSTREAM");
    reader.send(&["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "s", ">"]);
    blocked(&mut writer, 1);
    writer.line("CONFIG SET maxmemory-policy allkeys-random");
    writer.line("CONFIG SET maxmemory 1");
    writer.line("PING");
    writer.line("GET none");
    assert!(matches!(reader.reply(), Value::Error(text) if text.starts_with(b"NOGROUP")));
}

/// During CLIENT PAUSE keys that are past their time are hidden, and stay.
#[test]
fn nothing_expires_during_a_pause() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    client.line("CLIENT PAUSE 100000 WRITE");
    client.line("CLIENT UNPAUSE");
    client.line("SET k v PX 1500");
    client.line("CLIENT PAUSE 100000 WRITE");
    wait_until("it is past its time", || (client.shown("GET k") == "(nil)").then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(client.integer("DBSIZE"), 1);
    assert_eq!(client.info("stats", "expired_keys"), "0");
    client.line("CLIENT UNPAUSE");
    wait_until("it goes", || (client.integer("DBSIZE") == 0).then_some(()));
    assert_eq!(client.info("stats", "expired_keys"), "1");
}

/// A command that waited is in the slow log once, when it is served.
#[test]
fn waiting_commands_are_logged_when_served() {
    let server = Server::ochre(&["--slowlog-log-slower-than", "0"]);
    let (mut a, mut b) = (server.client(), server.client());
    a.line("CONFIG SET slowlog-max-len 1000");
    b.line("SLOWLOG RESET");
    a.send(&["BLPOP", "list", "0"]);
    blocked(&mut b, 1);
    let logged = |client: &mut Client| client.shown("SLOWLOG GET 100").matches("BLPOP").count();
    assert_eq!(logged(&mut b), 0);
    b.line("RPUSH list 1");
    a.reply();
    assert_eq!(logged(&mut b), 1);
    a.send(&["BLPOP", "list", "0.02"]);
    a.reply();
    assert_eq!(logged(&mut b), 2);
}

/// SCAN and RANDOMKEY neither show expired keys nor leave them.
#[test]
fn walks_leave_expired_keys_out() {
    let server = Server::ochre(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.line("DEBUG SET-ACTIVE-EXPIRE 0");
    for n in 0..500 {
        client.cmd(&["SET", &format!("old:{n}"), "v", "PX", "1"]);
    }
    client.line("SET new v");
    client.line("SET old:last v PX 1");
    wait_until("all are past their time", || {
        (client.shown("GET old:last") == "(nil)").then_some(())
    });
    for _ in 0..5 {
        assert_eq!(client.shown("RANDOMKEY"), r#""new""#);
    }
    let before = client.integer("DBSIZE");
    assert!(before < 500, "{before}");
    assert_eq!(client.shown("SCAN 0 COUNT 100000"), r#"["0", ["new"]]"#);
    assert_eq!(client.integer("DBSIZE"), 1);
    assert_eq!(client.info("stats", "expired_keys"), "501");
    client.line("DEL new");
    client.line("SET old v PX 1");
    std::thread::sleep(Duration::from_millis(5));
    assert_eq!(client.shown("RANDOMKEY"), "(nil)");
    // Inside a transaction, with all locks held.
    client.line("SET old v PX 1");
    std::thread::sleep(Duration::from_millis(5));
    client.line("MULTI");
    client.line("SCAN 0 COUNT 100000");
    client.line("DBSIZE");
    assert_eq!(client.shown("EXEC"), r#"[["0", []], (int) 0]"#);
}

#[test]
fn key_specifications_of_sort() {
    check(
        r#"
        ~size COMMAND INFO SORT SORT_RO
        COMMAND GETKEYS SORT k STORE d
        COMMAND GETKEYS SORT_RO k BY w_*
        "#,
    );
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "");
    let (ours, theirs) = pair.client("a");
    for name in ["SORT", "SORT_RO"] {
        let shown = [
            ours.shown(&format!("COMMAND INFO {name}")),
            theirs.shown(&format!("COMMAND INFO {name}")),
        ];
        let unknown = |text: &String| text.matches("\"unknown\"").count();
        assert_eq!(unknown(&shown[0]), unknown(&shown[1]), "{shown:?}");
        let notes = |text: &String| text.matches("\"notes\"").count();
        assert_eq!(notes(&shown[0]), notes(&shown[1]), "{shown:?}");
    }
}

#[test]
fn modules_as_the_peers_without_any() {
    check(
        r#"
        MODULE LIST
        MODULE LOAD x
        MODULE UNLOAD x
        MODULE LOADEX x
        MODULE FOO
        MODULE
        MODULE LOAD
        ~kind MODULE HELP
        COMMAND INFO MODULE|LIST MODULE|LOAD MODULE|UNLOAD
        "#,
    );
}

#[test]
fn categories_of_the_sketches() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    let all = words(&client.line("ACL CAT"));
    for (name, member) in [
        ("bloom", "bf.add"),
        ("cuckoo", "cf.add"),
        ("cms", "cms.query"),
        ("topk", "topk.add"),
        ("tdigest", "tdigest.add"),
    ] {
        assert!(all.contains(&name.to_owned()), "{name}");
        assert!(words(&client.line(&format!("ACL CAT {name}"))).contains(&member.to_owned()));
        assert!(client.shown(&format!("COMMAND INFO {member}")).contains(&format!("@{name}")));
    }
    client.line("ACL SETUSER u on nopass ~* +@bloom");
    client.line("AUTH u x");
    assert_eq!(client.integer("BF.ADD b x"), 1);
    assert!(client.shown("CF.ADD c x").contains("NOPERM"));
}

const RENAMES: &[&str] = &[
    "--rename-command",
    "GET",
    "FETCH",
    "--rename-command",
    "FLUSHALL",
    "",
    "--rename-command",
    "CONFIG",
    "guarded",
    "--rename-command",
    "DEL",
    "remove",
    "--rename-command",
    "BLPOP",
    "waitpop",
];

#[test]
fn renamed_commands_as_the_peers() {
    let mut pair = redis7_pair(RENAMES);
    for (name, word) in [("get", "k"), ("fetch", "k")] {
        let (ours, theirs) = pair.client("x");
        let line = format!("{name} {word}");
        assert_eq!(ours.shown(&line), theirs.shown(&line));
    }
    pair.script(
        r#"
        SET k v
        GET k
        FETCH k
        fetch k
        FLUSHALL
        CONFIG GET port
        ~size guarded GET maxmemory
        EVAL "return redis.call('FETCH', KEYS[1])" 1 k
        ~code EVAL "return redis.call('GET', KEYS[1])" 1 k
        ~size COMMAND INFO FETCH
        COMMAND INFO GET
        COMMAND GETKEYS FETCH k
        b> waitpop list 0
        @blocked 1
        RPUSH list x
        b< ~kind
        remove k
        EXISTS k
        "#,
    );
    pair.finish();
}

/// The log has the commands' own names: it is read with other renames, or none.
#[test]
fn renames_do_not_reach_the_log() {
    let mut options = vec!["--appendonly", "yes"];
    options.extend_from_slice(RENAMES);
    options.extend(["--rename-command", "SET", "store"]);
    let server = Server::ochre(&options);
    let replica = Server::ochre(&["--replicaof", &format!("127.0.0.1 {}", server.port())]);
    let (mut client, mut behind) = (server.client(), replica.client());
    client.line("store k v");
    client.line("store j v");
    client.line("EVAL \"return redis.call('store', KEYS[1], 'w')\" 1 i");
    client.line("remove j");
    wait_until("the replica has them", || {
        (behind.shown("MGET i j k") == r#"["w", (nil), "v"]"#).then_some(())
    });
    let log = std::fs::read_dir(server.dir().join("appendonlydir")).unwrap();
    let text: String = log
        .map(|entry| {
            String::from_utf8_lossy(&std::fs::read(entry.unwrap().path()).unwrap()).into_owned()
        })
        .collect();
    assert!(text.contains("SET") || text.contains("set"), "{text}");
    assert!(!text.contains("store") && !text.contains("remove"), "{text}");
}

/// DUMP payloads of 8.0 and ours agree on what a move needs: sorted sets stored by count.
#[test]
fn aggregate_words_as_redis_8() {
    check_newer(
        &Program::Redis8,
        r#"
        ZADD a 1 x
        ZUNION 1 a AGGREGATE
        ZUNION 1 a AGGREGATE FOO
        ZUNION 1 a AGGREGATE max WITHSCORES
        "#,
    );
}
