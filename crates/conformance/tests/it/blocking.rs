//! Blocking commands: R1.3 and invariant I3 (arrival order, exactly once).

use crate::{at_once, check, redis7_pair};
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Server, Value};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[test]
fn served_and_not_served() {
    check(
        r#"
        RPUSH l a b
        BLPOP l 0
        BRPOP l m 0
        BLPOP l 0.01
        BRPOP l m 0.01
        BLMOVE l d LEFT RIGHT 0.01
        BRPOPLPUSH l d 0.01
        BLMPOP 0.01 1 l LEFT
        BZPOPMIN z 0.01
        BZPOPMAX z 0.01
        BZMPOP 0.01 1 z MIN
        BLPOP l
        BLPOP l x
        BLPOP l -1
        ~code BLPOP l 1e400
        BLPOP l nan
        BLPOP
        BLMOVE l d LEFT RIGHT
        BLMOVE l d UP RIGHT 1
        BLMPOP 0 0 l LEFT
        BLMPOP x 1 l LEFT
        BLMPOP -1 1 l LEFT
        BLMPOP 0 1 l LEFT COUNT 0
        BLMPOP 0 2 l LEFT
        BZMPOP 0 1 z UP
        SET s v
        BLPOP s 0
        BLPOP none s 0
        BLMOVE s d LEFT LEFT 0
        RPUSH l a
        BLMOVE l s LEFT LEFT 0
        BZPOPMIN s 0
        RPUSH l b c
        BLMOVE l d LEFT RIGHT 0
        BRPOPLPUSH l d 0
        BLMPOP 0 2 none d RIGHT COUNT 5
        ZADD z 1 a 2 b 3 c 4 d
        BZPOPMIN z 0
        BZPOPMAX none z 0
        BZMPOP 0 2 none z MIN COUNT 5
        EXISTS z l d
        "#,
    );
}

#[test]
fn woken_by_others() {
    check(
        r#"
        b> BLPOP l 0
        @blocked 1
        RPUSH l one
        b<
        EXISTS l
        b> BLPOP l m 0
        @blocked 1
        RPUSH m x y z
        b<
        LRANGE m 0 -1
        DEL m
        b> BRPOP l 0
        @blocked 1
        LPUSH l 1 2 3
        b<
        LRANGE l 0 -1
        DEL l
        b> BLMOVE l d LEFT RIGHT 0
        @blocked 1
        RPUSH l v
        b<
        LRANGE d 0 -1
        b> BLMPOP 0 2 l m LEFT COUNT 2
        @blocked 1
        RPUSH m 1 2 3
        b<
        DEL m
        b> BZPOPMIN z 0
        @blocked 1
        ZADD z 2 b 1 a
        b<
        b> BZPOPMAX y 0
        @blocked 1
        ZADD y 2 b 1 a
        b<
        b> BZMPOP 0 2 x w MAX COUNT 3
        @blocked 1
        ZADD w 1 a 2 b 3 c 4 d
        b<
        ZRANGE w 0 -1
        FLUSHALL
        # a key of another type wakes nobody
        b> BLPOP l 0
        @blocked 1
        SET l string
        DEL l
        RPUSH l now
        b<
        # created by other commands
        b> BLPOP l 0
        @blocked 1
        RPUSH other v
        RENAME other l
        b<
        b> BLPOP l 0
        @blocked 1
        RPUSH other v2
        COPY other l
        b<
        DEL other
        b> BLPOP l 0
        @blocked 1
        RPUSH other v3
        LMOVE other l LEFT RIGHT
        b<
        DEL l other
        b> BZPOPMIN z 0
        @blocked 1
        ZADD other 1 a
        ZUNIONSTORE z 1 other
        b<
        b> BZPOPMIN z 0
        @blocked 1
        ZRANGESTORE z other 0 -1
        b<
        b> BZPOPMIN z 0
        @blocked 1
        ZINCRBY z 5 m
        b<
        FLUSHALL
        # inside a transaction nobody is served before its end
        b> BLPOP l 0
        @blocked 1
        MULTI
        RPUSH l a
        LLEN l
        DEL l
        EXEC
        INFO_DUMMY
        RPUSH l again
        b<
        b> BLPOP l 0
        @blocked 1
        MULTI
        RPUSH l a
        RPUSH l b
        EXEC
        b<
        LRANGE l 0 -1
        DEL l
        # a chain of moves
        b> BLMOVE l1 l2 LEFT LEFT 0
        @blocked 1
        c> BLMOVE l2 l3 LEFT LEFT 0
        @blocked 2
        RPUSH l1 v
        b<
        c<
        LRANGE l3 0 -1
        # the destination has the wrong type when it is served
        b> BLMOVE src dst LEFT LEFT 0
        @blocked 1
        SET dst string
        RPUSH src v
        b<
        LRANGE src 0 -1
        FLUSHALL
        # move and swap
        b> BLPOP k 0
        @blocked 1
        SELECT 1
        RPUSH k one
        SELECT 0
        SWAPDB 0 1
        b<
        b> BLPOP k 0
        @blocked 1
        SELECT 1
        RPUSH k two
        MOVE k 0
        SELECT 0
        b<
        # unblocked by hand or by death
        b: CLIENT SETNAME sleeper
        b> BLPOP k 0
        @blocked 1
        @close b
        @blocked 0
        RPUSH k kept
        LRANGE k 0 -1
        "#
        .replace("        INFO_DUMMY\n", "")
        .as_str(),
    );
}

#[test]
fn arrival_order_of_a_few() {
    check(
        r#"
        b> BLPOP l 0
        @blocked 1
        c> BLPOP l 0
        @blocked 2
        d> BRPOP l 0
        @blocked 3
        RPUSH l 1 2 3
        b<
        c<
        d<
        EXISTS l
        b> BLPOP l m 0
        @blocked 1
        c> BLPOP m l 0
        @blocked 2
        MULTI
        RPUSH m 1
        RPUSH l 2
        EXEC
        b< =?> ["l", "2"]
        c< =?> ["m", "1"]
        b> BLPOP l 0
        @blocked 1
        c> BLPOP l 0
        @blocked 2
        RPUSH l only
        b<
        @blocked 1
        RPUSH l next
        c<
        b> BLMPOP 0 1 l LEFT COUNT 2
        @blocked 1
        c> BLPOP l 0
        @blocked 2
        RPUSH l 1 2 3
        b<
        c<
        "#,
    );
}

#[test]
fn unblocking_by_id() {
    let mut pair = redis7_pair(&[]);
    for (mode, name) in [("", "b"), ("TIMEOUT", "c"), ("ERROR", "d")] {
        let (ours, theirs) = pair.client(name);
        let ids = [ours.integer("CLIENT ID"), theirs.integer("CLIENT ID")];
        pair.script(&format!("{name}> BLPOP l 0\n@blocked 1"));
        let (ours, theirs) = pair.client("a");
        for (client, id) in [ours, theirs].into_iter().zip(ids) {
            assert_eq!(client.integer(&format!("CLIENT UNBLOCK {id} {mode}")), 1);
            assert_eq!(client.integer(&format!("CLIENT UNBLOCK {id} {mode}")), 0);
        }
        pair.script(&format!("{name}<\n{name}: PING"));
    }
    pair.script("CLIENT UNBLOCK x\nCLIENT UNBLOCK 99999\nCLIENT UNBLOCK 1 foo\nCLIENT UNBLOCK");
    pair.finish();
}

/// I3: waiters of one key are served in the order of their arrival, each element exactly once,
/// over two loops.
#[test]
fn fairness_of_many() {
    const WAITERS: usize = 40;
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut control = server.client();
    for round in 0..5 {
        let mut waiters: Vec<_> = (0..WAITERS).map(|_| server.client()).collect();
        for (i, waiter) in waiters.iter_mut().enumerate() {
            waiter.cmd(&["PING"]);
            waiter.send(&["BLPOP", "fair", "0"]);
            let expected = (i + 1).to_string();
            wait_until("the next waiter is blocked", || {
                (control.info("clients", "blocked_clients") == expected).then_some(())
            });
        }
        for i in 0..WAITERS {
            if round % 2 == 0 {
                control.cmd(&["RPUSH", "fair", &i.to_string()]);
            } else if i % 4 == 0 {
                let four: Vec<String> = (i..i + 4).map(|i| i.to_string()).collect();
                let args: Vec<_> =
                    ["RPUSH", "fair"].into_iter().chain(four.iter().map(String::as_str)).collect();
                control.cmd(&args);
            }
        }
        for (i, waiter) in waiters.iter_mut().enumerate() {
            let expected = ["fair".to_string(), i.to_string()].map(|s| Value::Bulk(s.into_bytes()));
            assert_eq!(waiter.reply(), Value::Array(expected.to_vec()), "round {round}");
        }
        assert_eq!(control.integer("EXISTS fair"), 0);
    }
}

/// Each pushed element reaches exactly one of many consumers, whatever the loops do.
#[test]
fn each_element_once() {
    const CONSUMERS: usize = 6;
    const ELEMENTS: usize = 3000;
    let server = Server::ochre(&["--io-threads", "4"]);
    let taken = at_once(
        CONSUMERS + 2,
        || server.client(),
        |index, mut client| {
            let mut mine = Vec::new();
            if index < 2 {
                for i in 0..ELEMENTS {
                    let element = format!("{index}:{i}");
                    client.cmd(&["LPUSH", ["qa", "qb"][i % 2], &element]);
                }
                return mine;
            }
            loop {
                let reply = client.line("BRPOP qa qb 2");
                match reply.items() {
                    Some(items) => mine.push(items[1].bytes().unwrap().to_vec()),
                    None => return mine,
                }
            }
        },
    );
    let all: Vec<_> = taken.into_iter().flatten().collect();
    assert_eq!(all.len(), 2 * ELEMENTS);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 2 * ELEMENTS);
}

#[test]
fn time_outs_come_neither_early_nor_very_late() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for wait in [10u64, 100, 250] {
        let start = Instant::now();
        let reply = client.cmd(&["BLPOP", "none", &format!("0.{wait:03}")]);
        assert_eq!(reply, Value::NullArray);
        let took = start.elapsed();
        // The server counts whole milliseconds, as its peers do.
        assert!(took >= Duration::from_millis(wait - 1), "{took:?} of {wait} ms");
        assert!(took < Duration::from_millis(wait) + Duration::from_secs(5), "{took:?}");
    }
}

/// A blocked client's further commands wait for the first, and a pipeline keeps its order.
#[test]
fn a_pipeline_behind_a_blocked_command() {
    let server = Server::ochre(&[]);
    let (mut blocked, mut other) = (server.client(), server.client());
    blocked.send(&["BLPOP", "q", "0"]);
    blocked.send(&["SET", "after", "1"]);
    blocked.send(&["GET", "after"]);
    wait_until("it blocks", || (other.info("clients", "blocked_clients") == "1").then_some(()));
    assert_eq!(other.integer("EXISTS after"), 0);
    other.line("RPUSH q v");
    assert_eq!(blocked.reply().items().map(<[Value]>::len), Some(2));
    assert_eq!(blocked.reply(), Value::Status(b"OK".to_vec()));
    assert_eq!(blocked.reply(), Value::Bulk(b"1".to_vec()));
}
