//! SUBSCRIBE and its kin, PUBLISH, PUBSUB, keyspace notifications: R1.9.

use crate::check;
use ochre_testkit::{Client, Server, Value};
use std::time::Duration;

#[test]
fn channels_and_patterns() {
    check(
        r#"
        PUBLISH nobody x
        b: SUBSCRIBE news
        b: SUBSCRIBE news
        PUBLISH news hello
        b<
        c: PSUBSCRIBE n*
        d: PSUBSCRIBE z? *
        d<
        PUBLISH news again
        b<
        c<
        d<
        PUBLISH other x
        d<
        PUBSUB CHANNELS
        PUBSUB CHANNELS x*
        PUBSUB CHANNELS n*
        PUBSUB CHANNELS a b
        PUBSUB NUMSUB news other
        PUBSUB NUMSUB
        PUBSUB NUMPAT
        PUBSUB NUMPAT x
        PUBSUB NOSUCH
        b: UNSUBSCRIBE other
        b: UNSUBSCRIBE news
        b: UNSUBSCRIBE
        c: PUNSUBSCRIBE n*
        c: PUNSUBSCRIBE
        d: PUNSUBSCRIBE z?
        d: PUNSUBSCRIBE
        d: PUNSUBSCRIBE
        PUBLISH news nobody
        PUBLISH news
        SUBSCRIBE
        PSUBSCRIBE
        "#,
    );
}

#[test]
fn shard_channels() {
    check(
        r#"
        b: SSUBSCRIBE s1
        b: SSUBSCRIBE s2
        b: SUBSCRIBE s1
        SPUBLISH s1 x
        b<
        SPUBLISH none x
        PUBLISH s1 y
        b<
        ~unordered PUBSUB SHARDCHANNELS
        PUBSUB SHARDCHANNELS *1
        PUBSUB SHARDNUMSUB s1 s2 s3
        PUBSUB SHARDNUMSUB
        b: SUNSUBSCRIBE s1
        b: SUNSUBSCRIBE
        b: SUNSUBSCRIBE
        b: UNSUBSCRIBE s1
        b: SUNSUBSCRIBE nothing
        SPUBLISH s1
        "#,
    );
}

#[test]
fn what_a_listener_may_send() {
    check(
        r#"
        b: SUBSCRIBE ch
        b: PING
        b: PING hello
        b: GET k
        b: CLIENT ID x =?> (err) ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
        b: MULTI
        b: DISCARD
        b: PING a b
        b: RESET
        b: PING
        PUBSUB NUMSUB ch
        c: MULTI
        c: SUBSCRIBE ch
        c: PUBLISH ch x
        "#,
    );
}

#[test]
fn keyspace_events() {
    check(
        r#"
        CONFIG SET notify-keyspace-events KEA
        CONFIG GET notify-keyspace-events
        b: PSUBSCRIBE __key*__:*
        SET k v
        b<
        b<
        DEL k
        b<
        b<
        CONFIG SET notify-keyspace-events KA
        SET k v EX 100
        b<
        b<
        RPUSH l a b
        b<
        LPOP l 2
        b<
        b<
        SADD s a
        b<
        HSET h f v
        b<
        ZADD z 1 a
        b<
        RENAME z z2
        b<
        b<
        INCR n
        b<
        EXPIRE n 0
        b<
        COPY k k2
        b<
        PERSIST k
        b<
        MOVE k 1
        b<
        b<
        CONFIG SET notify-keyspace-events Ez
        SET k2 v
        ZADD z2 2 b
        b<
        CONFIG SET notify-keyspace-events Em
        GET nothing
        b<
        EXISTS nothing
        CONFIG SET notify-keyspace-events En
        SET k2 v
        SET k3 v
        b<
        RPUSH l x
        b<
        RPUSH l x
        CONFIG SET notify-keyspace-events Ex
        SET short v PX 1
        b<
        CONFIG SET notify-keyspace-events E$
        SETRANGE k4 0 x
        b<
        APPEND k4 y
        b<
        GETDEL k4
        MSET m1 a m2 b
        b<
        b<
        CONFIG SET notify-keyspace-events ""
        SET k2 v
        PING
        "#,
    );
}

#[test]
fn evictions_are_told() {
    let server =
        Server::ochre(&["--notify-keyspace-events", "Ee", "--maxmemory-policy", "allkeys-random"]);
    let mut client = server.client();
    let mut listener = server.client();
    listener.cmd(&["SUBSCRIBE", "__keyevent@0__:evicted"]);
    for n in 0..100 {
        client.cmd(&["SET", &format!("k{n}"), &"x".repeat(1000)]);
    }
    client.cmd(&["CONFIG", "SET", "maxmemory", "1"]);
    let told = listener.reply_within(Duration::from_secs(5)).unwrap();
    assert!(told.is_some(), "an eviction is told");
}

/// Messages of one channel reach every listener in one order, whichever loops they are on.
#[test]
fn listeners_on_two_loops_hear_one_order() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut listeners: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for listener in &mut listeners {
        listener.cmd(&["SUBSCRIBE", "ch"]);
    }
    const EACH: usize = 500;
    std::thread::scope(|scope| {
        for publisher in 0..2 {
            let mut client = server.client();
            scope.spawn(move || {
                for n in 0..EACH {
                    client.cmd(&["PUBLISH", "ch", &format!("{publisher}:{n}")]);
                }
            });
        }
    });
    let heard: Vec<Vec<_>> = listeners
        .iter_mut()
        .map(|listener| (0..2 * EACH).map(|_| listener.reply()).collect())
        .collect();
    for other in &heard[1..] {
        assert!(*other == heard[0], "one order for all");
    }
}

/// RESP3: a client may listen and command; its own message comes after its reply.
#[test]
fn listening_to_oneself_in_resp3() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    client.cmd(&["HELLO", "3"]);
    client.cmd(&["SUBSCRIBE", "foo"]);
    client.cmd(&["MULTI"]);
    client.cmd(&["PUBLISH", "foo", "bar"]);
    client.cmd(&["PING", "x"]);
    let replies = client.cmd(&["EXEC"]);
    assert!(matches!(replies, Value::Array(_)), "the reply of EXEC comes first: {replies:?}");
    let message = client.reply();
    assert!(matches!(message, Value::Push(_)), "then the message: {message:?}");
    assert_eq!(client.cmd(&["PING"]), Value::Status(b"PONG".to_vec()));
}

/// A listener that does not read is closed by the limit of its class.
#[test]
fn a_listener_that_does_not_read_is_closed() {
    let server = Server::ochre(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let mut listener = server.client();
    listener.cmd(&["SUBSCRIBE", "ch"]);
    let mut client = server.client();
    let payload = "x".repeat(100_000);
    let gone = (0..2000).any(|_| {
        client.cmd(&["PUBLISH", "ch", &payload]);
        client.cmd(&["PUBSUB", "CHANNELS"]) == Value::Array(Vec::new())
    });
    assert!(gone, "the limit of the class pubsub holds");
}
