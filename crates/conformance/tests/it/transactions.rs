//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: R1.10.

use crate::{at_once, check, redis7_pair};
use ochre_testkit::oracle::Resp;
use ochre_testkit::{Server, Value};

#[test]
fn queue_and_run() {
    check(
        r#"
        EXEC
        DISCARD
        MULTI
        SET k v
        GET k
        INCR n
        EXEC
        MULTI
        EXEC
        MULTI
        MULTI =?> (err) ERR Command 'multi' not allowed inside a transaction
        DISCARD
        MULTI
        SET k w
        EXEC
        GET k
        MULTI
        SET k x
        DISCARD
        GET k
        MULTI
        NOSUCHCOMMAND
        SET k y
        EXEC
        GET k
        MULTI
        SET k
        GET k
        EXEC
        GET k
        MULTI
        SET k 1
        LPUSH k 2
        INCR k
        EXEC
        GET k
        MULTI x
        EXEC x
        DISCARD x
        MULTI
        WATCH k =?> (err) ERR Command 'watch' not allowed inside a transaction
        DISCARD
        MULTI
        UNWATCH
        EXEC
        MULTI
        PING
        ECHO hi
        SELECT 1
        SET in1 v
        SELECT 0
        DBSIZE
        EXEC
        SELECT 1
        GET in1
        SELECT 0
        MULTI
        BLPOP none 0
        BRPOPLPUSH none n2 0
        BLMOVE none n2 LEFT LEFT 0
        BZPOPMIN none 0
        BLMPOP 0 1 none LEFT
        EXEC
        MULTI
        SET a 1
        RENAME none x
        SET b 2
        EXEC
        MGET a b
        MULTI
        FLUSHALL
        DBSIZE
        SET after flush
        EXEC
        GET after
        MULTI
        KEYS *
        RANDOMKEY
        EXEC
        MULTI
        RESET
        EXEC
        "#,
    );
}

#[test]
fn watch() {
    check(
        r#"
        SET k 1
        WATCH k
        b: SET k 2
        MULTI
        SET k 3
        EXEC
        GET k
        WATCH k
        MULTI
        SET k 3
        EXEC
        WATCH k
        b: SET other 1
        MULTI
        SET k 4
        EXEC
        WATCH k
        SET k 5
        MULTI
        GET k
        EXEC
        WATCH k
        b: SET k 6
        UNWATCH
        MULTI
        GET k
        EXEC
        WATCH k
        b: SET k 6
        MULTI
        DISCARD
        MULTI
        GET k
        EXEC
        WATCH none
        b: SET none 1
        MULTI
        PING
        EXEC
        WATCH k
        b: DEL k
        MULTI
        PING
        EXEC
        WATCH k
        b: DEL k
        MULTI
        PING
        EXEC
        SET k v
        WATCH k
        b: EXPIRE k 100
        MULTI
        PING
        EXEC
        WATCH k
        b: FLUSHALL
        MULTI
        PING
        EXEC
        WATCH k
        b: FLUSHALL
        MULTI
        PING
        EXEC
        SET k v
        WATCH k
        b: FLUSHDB
        MULTI
        PING
        EXEC
        SELECT 1
        SET k one
        WATCH k
        b: SET k zero
        MULTI
        PING
        EXEC
        WATCH k
        b: SWAPDB 0 1
        MULTI
        PING
        EXEC
        SELECT 0
        WATCH missing
        b: SWAPDB 0 1
        MULTI
        PING
        EXEC
        RPUSH l 1
        WATCH l
        b: LPOP l
        MULTI
        PING
        EXEC
        WATCH l
        b: RENAME k l
        MULTI
        PING
        EXEC
        WATCH a b c
        b: SET b 1
        MULTI
        PING
        EXEC
        WATCH a a a
        MULTI
        PING
        EXEC
        WATCH a b
        MULTI
        SET a 1
        UNWATCH
        EXEC
        WATCH a
        b: SET a 2
        MULTI
        UNWATCH
        EXEC
        WATCH a
        MULTI
        SET a 3
        DBSIZE
        UNWATCH
        OBJECT ENCODING a
        EXEC
        SET t v PX 40
        WATCH t
        b: @nothing
        @until 0 EXISTS t
        MULTI
        PING
        EXEC
        WATCH
        UNWATCH x
        WATCH k
        MULTI
        NOSUCH
        EXEC
        b: SET k 1
        MULTI
        PING
        EXEC
        SADD s 1
        WATCH s
        b: SADD s 1
        MULTI
        PING
        EXEC
        WATCH s
        b: SADD s 2
        MULTI
        PING
        EXEC
        WATCH k
        b: SET k 1 NX
        MULTI
        PING
        EXEC
        "#
        .replace("b: @nothing\n", "")
        .as_str(),
    );
}

#[test]
fn a_full_queue_of_errors_and_results_keeps_its_order() {
    let mut pair = redis7_pair(&[]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "long");
        pair.run(&["MULTI"], &[]);
        for i in 0..3000 {
            let key = format!("k{}", i % 7);
            match i % 4 {
                0 => pair.run(&["SET", &key, &i.to_string()], &[]),
                1 => pair.run(&["GET", &key], &[]),
                2 => pair.run(&["LPUSH", &key, "x"], &[]),
                _ => pair.run(&["INCR", &key], &[]),
            }
        }
        pair.run(&["EXEC"], &[]);
    }
    pair.finish();
}

/// R1.10: no other client's command comes between those of a transaction.
#[test]
fn nothing_comes_between() {
    let server = Server::ochre(&["--io-threads", "4"]);
    at_once(
        4,
        || server.client(),
        |index, mut client| {
            let mine = index.to_string();
            for _ in 0..400 {
                client.line("MULTI");
                client.cmd(&["SET", "a", &mine]);
                client.cmd(&["SET", "b", &mine]);
                client.line("MGET a b c");
                client.cmd(&["SET", "c", &mine]);
                client.line("MGET a b c");
                let Value::Array(replies) = client.line("EXEC") else {
                    panic!("EXEC gave no array")
                };
                let all = Value::Array(vec![Value::Bulk(mine.clone().into_bytes()); 3]);
                assert_eq!(replies[4], all);
                assert_eq!(replies[2].items().map(|i| &i[..2]), all.items().map(|i| &i[..2]));
            }
        },
    );
    let mut client = server.client();
    let last = client.line("MGET a b c");
    let items = last.items().unwrap();
    assert!(items.iter().all(|item| *item == items[0]), "{last:?}");
}
