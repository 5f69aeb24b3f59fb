//! Times to live: R1.8, R3.1, R3.2.

use crate::{check, redis7_pair};
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Server, Value};
use std::time::{Duration, Instant};

#[test]
fn setting_and_reading() {
    check(
        r#"
        TTL none
        PTTL none
        EXPIRETIME none
        PEXPIRETIME none
        PERSIST none
        EXPIRE none 10
        SET k v
        TTL k
        PTTL k
        EXPIRETIME k
        PEXPIRETIME k
        PERSIST k
        EXPIRE k 100
        ~near 2 TTL k
        ~near 2000 PTTL k
        ~near 2 EXPIRETIME k
        ~near 2000 PEXPIRETIME k
        PERSIST k
        TTL k
        PEXPIRE k 100500
        ~near 1 TTL k
        EXPIREAT k 4102444800
        EXPIRETIME k
        PEXPIREAT k 4102444800500
        PEXPIRETIME k
        EXPIRETIME k
        EXPIRE k 100 NX
        EXPIRE k 4102444 XX
        EXPIRE k 100 GT
        EXPIRE k 100 LT
        EXPIRE k 50 GT
        EXPIRE k 200 GT
        EXPIRE k 300 LT
        EXPIRE k 10 NX XX
        EXPIRE k 10 NX GT
        EXPIRE k 10 GT LT
        EXPIRE k 10 XX GT
        EXPIRE k 500 XX GT
        EXPIRE k 10 foo
        EXPIRE k x
        EXPIRE k 9223372036854775807
        EXPIRE k -9223372036854775808
        PEXPIRE k 9223372036854775807
        EXPIREAT k 9223372036854775807
        PEXPIREAT k 9223372036854775807
        EXPIRE k 1.5
        EXPIRE k
        EXPIRE
        TTL
        PERSIST
        PERSIST k
        EXPIRE k 100 GT
        EXPIRE k 100 LT
        ~near 2 TTL k
        PERSIST k
        EXPIRE k 100 XX
        EXPIRE k 100 NX
        EXPIRE k 0
        EXISTS k
        SET k v
        EXPIRE k -1
        EXISTS k
        SET k v
        PEXPIREAT k 1
        EXISTS k
        SET k v
        EXPIREAT k 1
        TYPE k
        SET k v
        EXPIREAT k -5
        EXISTS k
        SET k v PX 30
        @until 0 EXISTS k
        GET k
        TTL k
        HSET h a 1
        PEXPIRE h 30
        @until 0 EXISTS h
        HGETALL h
        HSET h b 2
        HGETALL h
        TTL h
        RPUSH l 1
        PEXPIRE l 30
        @until 0 EXISTS l
        LPUSHX l 2
        DBSIZE
        "#,
    );
}

#[test]
fn what_keeps_and_what_drops_a_deadline() {
    check(
        r#"
        SET k 1 EX 100
        INCR k
        ~near 2 TTL k
        APPEND k 0
        ~near 2 TTL k
        SET k 2
        TTL k
        EXPIRE k 100
        GETSET k 3
        TTL k
        EXPIRE k 100
        SETRANGE k 0 9
        ~near 2 TTL k
        INCRBYFLOAT k 1
        ~near 2 TTL k
        RENAME k r
        ~near 2 TTL r
        COPY r q
        ~near 2 TTL q
        SET s x
        RENAME s r
        TTL r
        MSET q 1
        TTL q
        HSET h a 1
        EXPIRE h 100
        HSET h b 1
        HDEL h a
        ~near 2 TTL h
        ZADD z 1 a
        EXPIRE z 100
        ZINCRBY z 1 a
        ~near 2 TTL z
        SADD t 1
        EXPIRE t 100
        SADD t 2
        ~near 2 TTL t
        SUNIONSTORE t t
        TTL t
        "#,
    );
}

#[test]
fn expired_keys_go_without_being_read() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for i in 0..2000 {
        let key = format!("k{i}");
        assert_eq!(client.cmd(&["SET", &key, "v", "PX", "50"]), Value::Status(b"OK".to_vec()));
    }
    assert_eq!(client.shown("SET stays v"), "OK");
    // DBSIZE counts entries, read or not; nothing reads the expired ones.
    wait_until("only one key is left", || (client.integer("DBSIZE") == 1).then_some(()));
    let expired: u64 = client.info("stats", "expired_keys").parse().unwrap();
    assert_eq!(expired, 2000);
}

#[test]
fn a_deadline_holds_to_the_millisecond() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for _ in 0..20 {
        let start = Instant::now();
        client.cmd(&["SET", "k", "v", "PX", "40"]);
        while client.cmd(&["GET", "k"]) != Value::NullBulk {
            assert!(start.elapsed() < Duration::from_secs(20));
        }
        assert!(start.elapsed() >= Duration::from_millis(39), "{:?}", start.elapsed());
    }
}

#[test]
fn a_key_past_its_time_is_never_returned_while_expiry_is_off() {
    let mut pair = redis7_pair(&["--enable-debug-command", "yes"]);
    pair.script(
        r#"
        DEBUG SET-ACTIVE-EXPIRE 0
        SET k v PX 1
        SADD s a
        PEXPIRE s 1
        @until 0 EXISTS k
        @until 0 EXISTS s
        GET k
        KEYS *
        SMEMBERS s
        RANDOMKEY
        SCAN 0
        TYPE s
        SET k w XX
        SETNX k w
        GET k
        DEBUG SET-ACTIVE-EXPIRE 1
        "#,
    );
    pair.finish();
}
