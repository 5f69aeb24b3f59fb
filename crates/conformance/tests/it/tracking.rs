//! CLIENT TRACKING and its kin: R1.9, client-side caching.

use crate::{check, redis7_pair};
use ochre_testkit::oracle::Resp;
use ochre_testkit::{Client, Server, Value};
use std::collections::HashMap;
use std::time::Duration;

/// A script whose tracking client speaks RESP3.
fn check_resp3(script: &str) {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Three, "");
    pair.script(script);
    pair.finish();
}

#[test]
fn options_and_their_errors() {
    check(
        r#"
        CLIENT TRACKINGINFO
        CLIENT GETREDIR
        CLIENT CACHING YES
        CLIENT TRACKING
        CLIENT TRACKING maybe
        CLIENT TRACKING on REDIRECT 999999
        CLIENT TRACKING on REDIRECT x
        CLIENT TRACKING on REDIRECT
        CLIENT TRACKING on PREFIX a
        CLIENT TRACKING on OPTIN OPTOUT
        CLIENT TRACKING on BCAST OPTIN
        CLIENT TRACKING on NOSUCH
        CLIENT TRACKING on BCAST PREFIX ab PREFIX abc
        CLIENT TRACKING on BCAST PREFIX a PREFIX b NOLOOP
        CLIENT TRACKINGINFO
        CLIENT TRACKING on BCAST PREFIX ab
        CLIENT TRACKING on BCAST PREFIX c
        CLIENT TRACKINGINFO
        CLIENT TRACKING on
        CLIENT TRACKING off
        CLIENT TRACKING on OPTIN
        CLIENT TRACKINGINFO
        CLIENT CACHING NO
        CLIENT CACHING YES
        CLIENT TRACKINGINFO
        GET x
        CLIENT TRACKINGINFO
        CLIENT CACHING maybe
        CLIENT TRACKING on OPTOUT
        CLIENT TRACKING off
        CLIENT TRACKING on OPTOUT
        CLIENT CACHING YES
        CLIENT CACHING NO
        CLIENT TRACKINGINFO
        CLIENT TRACKING off
        CLIENT TRACKING on
        CLIENT CACHING YES
        CLIENT GETREDIR
        CLIENT TRACKING off
        CLIENT GETREDIR
        CLIENT TRACKING on BCAST
        CLIENT TRACKINGINFO
        RESET
        CLIENT TRACKINGINFO
        "#,
    );
}

#[test]
fn invalidations_by_key() {
    check_resp3(
        r#"
        SET k 1
        CLIENT TRACKING on
        GET k
        MGET k k2 k3
        b: SET k 2
        a<
        b: SET k 3
        GET k
        b: MSET k2 a k3 b other c
        a<
        a<
        b: DEL k
        a<
        GET k
        b: INCR k
        a<
        HGETALL h
        b: HSET h f v
        a<
        GET self
        SET self 1
        a<
        GET k
        GET h
        b: FLUSHALL
        a<
        b: SET k 1
        CLIENT TRACKING off
        GET k
        b: SET k 2
        CLIENT TRACKING on NOLOOP
        GET k
        SET k 3
        GET k
        b: SET k 4
        a<
        CLIENT TRACKING off
        CLIENT TRACKING on OPTIN
        GET k
        b: SET k 5
        CLIENT CACHING YES
        GET k
        b: SET k 6
        a<
        CLIENT CACHING YES
        MULTI
        GET k
        GET k2
        EXEC
        b: SET k 7
        a<
        b: SET k2 7
        a<
        CLIENT TRACKING off
        CLIENT TRACKING on OPTOUT
        CLIENT CACHING NO
        GET k
        b: SET k 8
        GET k
        b: SET k 9
        a<
        SET t v PX 30
        GET t
        a<
        PING
        "#,
    );
}

#[test]
fn invalidations_by_prefix() {
    check_resp3(
        r#"
        CLIENT TRACKING on BCAST PREFIX user: PREFIX item:
        b: SET user:1 x
        a<
        b: SET other x
        b: MULTI
        b: INCR item:1
        b: INCR item:2
        b: INCR user:2
        b: EXEC
        a<
        a<
        SET item:1 1
        a<
        CLIENT TRACKING off
        CLIENT TRACKING on BCAST NOLOOP
        SET item:1 1
        b: SET any 1
        a<
        CLIENT TRACKING off
        b: SET any 1
        PING
        "#,
    );
}

#[test]
fn redirection_to_a_listener() {
    let server = Server::ochre(&[]);
    let (mut tracker, mut listener, mut writer) =
        (server.client(), server.client(), server.client());
    let Value::Integer(id) = listener.cmd(&["CLIENT", "ID"]) else { panic!("an id") };
    listener.cmd(&["SUBSCRIBE", "__redis__:invalidate"]);
    tracker.cmd(&["CLIENT", "TRACKING", "on", "REDIRECT", &id.to_string()]);
    assert_eq!(tracker.cmd(&["CLIENT", "GETREDIR"]), Value::Integer(id));
    tracker.cmd(&["GET", "k"]);
    writer.cmd(&["SET", "k", "1"]);
    let Value::Array(parts) = listener.reply() else { panic!("a message") };
    assert_eq!(parts[1], Value::Bulk(b"__redis__:invalidate".to_vec()));
    assert_eq!(parts[2], Value::Array(vec![Value::Bulk(b"k".to_vec())]));
    // In RESP3 the tracker hears that the listener has gone.
    tracker.cmd(&["HELLO", "3"]);
    tracker.cmd(&["GET", "k"]);
    drop(listener);
    while format!("{:?}", writer.cmd(&["PUBSUB", "NUMSUB", "__redis__:invalidate"])).contains("(1)")
    {
    }
    writer.cmd(&["SET", "k", "2"]);
    let Value::Push(parts) = tracker.reply() else { panic!("a push") };
    assert_eq!(parts[0], Value::Bulk(b"tracking-redir-broken".to_vec()));
}

/// The tables are bounded: beyond tracking-table-max-keys, keys are taken out and their clients told.
#[test]
fn full_tables_are_trimmed() {
    let server = Server::ochre(&["--tracking-table-max-keys", "10"]);
    let mut client = server.client();
    client.cmd(&["HELLO", "3"]);
    client.cmd(&["CLIENT", "TRACKING", "on"]);
    let mut pushes = 0;
    for n in 0..200 {
        client.send(&["GET", &format!("k{n}")]);
        while matches!(client.reply(), Value::Push(_)) {
            pushes += 1;
        }
    }
    // The last ones go with the next look at the tables, about a second later.
    while pushes < 190 && client.reply_within(Duration::from_secs(5)).unwrap().is_some() {
        pushes += 1;
    }
    assert_eq!(pushes, 190, "every key that was taken out was told of");
}

/// A client that keeps what it read until it is told otherwise never sees a value older than one that
/// it knows to have been written before its read: writers publish a counter, the cache may lag behind
/// but never past an invalidation it has received.
#[test]
fn a_cache_is_never_stale_after_an_invalidation() {
    const KEYS: usize = 8;
    const WRITES: usize = 3000;
    let server = Server::ochre(&["--io-threads", "2"]);
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let mut client = server.client();
            scope.spawn(move || {
                for n in 0..WRITES {
                    client.cmd(&["INCR", &format!("k{}", (n * 7 + writer) % KEYS)]);
                }
            });
        }
        for _ in 0..2 {
            let client = server.client();
            let fresh = server.client();
            scope.spawn(move || cached_reads(client, fresh, KEYS, WRITES));
        }
    });
}

fn cached_reads(mut client: Client, mut fresh: Client, keys: usize, reads: usize) {
    client.cmd(&["HELLO", "3"]);
    client.cmd(&["CLIENT", "TRACKING", "on"]);
    let mut cache: HashMap<String, i64> = HashMap::new();
    let forget = |cache: &mut HashMap<String, i64>, push: &Value| {
        let Value::Push(parts) = push else { panic!("a push: {push:?}") };
        let Value::Array(names) = &parts[1] else { panic!("names: {push:?}") };
        for name in names {
            let Value::Bulk(name) = name else { panic!("a name: {push:?}") };
            cache.remove(std::str::from_utf8(name).unwrap());
        }
    };
    for n in 0..reads {
        let key = format!("k{}", n % keys);
        if !cache.contains_key(&key) {
            client.send(&["GET", &key]);
            let value = loop {
                match client.reply() {
                    push @ Value::Push(_) => forget(&mut cache, &push),
                    Value::Bulk(digits) => {
                        break std::str::from_utf8(&digits).unwrap().parse().unwrap();
                    }
                    _ => break 0,
                }
            };
            cache.insert(key.clone(), value);
        }
        // What another connection reads now is at least what is cached; and once everything that was
        // posted before this moment has arrived (a PING's reply comes behind it), a cached value is
        // at least as new as that read.
        let now: i64 = match fresh.cmd(&["GET", &key]) {
            Value::Bulk(digits) => std::str::from_utf8(&digits).unwrap().parse().unwrap(),
            _ => 0,
        };
        for _ in 0..2 {
            client.send(&["PING"]);
            while let push @ Value::Push(_) = client.reply() {
                forget(&mut cache, &push);
            }
        }
        if let Some(&cached) = cache.get(&key) {
            assert!(cached >= now, "{key}: cached {cached} after all news, read {now}");
        }
    }
}
