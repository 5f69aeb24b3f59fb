//! Keys of any type: existence, type, rename, copy, move, databases.

use crate::{check, check_newer, redis7_pair};
use ochre_testkit::Program;
use ochre_testkit::oracle::Resp;

#[test]
fn existence_and_type() {
    check(
        r#"
        EXISTS k
        SET k v
        RPUSH l 1
        SADD s 1
        HSET h a 1
        ZADD z 1 a
        EXISTS k
        EXISTS k l k none
        EXISTS
        TYPE k
        TYPE l
        TYPE s
        TYPE h
        TYPE z
        TYPE none
        TYPE
        TYPE k l
        DEL none
        DEL k none l k
        DEL
        UNLINK s h none
        UNLINK
        DBSIZE
        TOUCH z none z
        TOUCH
        KEYS *
        DBSIZE x
        "#,
    );
}

#[test]
fn keys_and_random() {
    check(
        r#"
        RANDOMKEY
        KEYS *
        SET one 1
        RANDOMKEY
        MSET two 2 three 3 hello h hallo h hxllo h h[llo x "sp ace" y
        ~kind RANDOMKEY
        ~unordered KEYS *
        ~unordered KEYS h?llo
        ~unordered KEYS h[ae]llo
        ~unordered KEYS h[^e]llo
        ~unordered KEYS h[a-b]llo
        ~unordered KEYS h\\[llo
        ~unordered KEYS t*
        ~unordered KEYS *o*
        KEYS one
        KEYS none
        KEYS ""
        KEYS [
        KEYS
        KEYS a b
        "#,
    );
}

#[test]
fn rename() {
    check(
        r#"
        RENAME none x
        RENAMENX none x
        SET a 1 EX 100
        RENAME a b
        EXISTS a
        ~near 2 TTL b
        GET b
        SET c 2
        RENAME c b
        TTL b
        GET b
        RENAME b b
        RENAMENX b b
        SET d 3
        RENAMENX b d
        RENAMENX b e
        EXISTS b
        RENAME a
        RENAME
        RENAMENX a
        RPUSH l 1
        RENAME l e
        TYPE e
        "#,
    );
}

#[test]
fn copy() {
    check(
        r#"
        COPY none x
        SET a 1 EX 100
        COPY a b
        COPY a b
        COPY a b REPLACE
        ~near 2 TTL b
        GET b
        COPY a a
        COPY a a REPLACE
        COPY a a DB 1
        COPY a c DB 0
        COPY a a DB 1
        COPY a a DB 1 REPLACE
        COPY a x DB 99
        COPY a x DB -1
        COPY a x DB y
        COPY a x DB
        COPY a x foo
        COPY a
        RPUSH l 1 2 3
        COPY l l2
        RPUSH l2 4
        LRANGE l 0 -1
        LRANGE l2 0 -1
        HSET h a 1 b 2
        COPY h h2
        HSET h2 a 9
        HGET h a
        SADD s 1 2 x
        COPY s s2
        SREM s2 1
        ~unordered SMEMBERS s
        ZADD z 1 a 2 b
        COPY z z2
        ZADD z2 5 a
        ZRANGE z 0 -1 WITHSCORES
        SELECT 1
        GET a
        COPY a b DB 0 REPLACE
        SELECT 0
        FLUSHALL
        "#,
    );
}

#[test]
fn databases() {
    check(
        r#"
        SET k zero
        SELECT 1
        GET k
        SET k one
        SELECT 16
        SELECT -1
        SELECT x
        SELECT
        SELECT 15
        SET k fifteen
        DBSIZE
        MOVE k 15
        MOVE k 14
        EXISTS k
        MOVE k 14
        MOVE none 1
        MOVE k 99
        MOVE k x
        MOVE k
        SELECT 14
        GET k
        SET k2 v EX 100
        MOVE k2 13
        SELECT 13
        ~near 2 TTL k2
        SELECT 0
        SWAPDB 0 1
        GET k
        SWAPDB 0 1
        GET k
        SWAPDB 0 0
        SWAPDB 0 99
        SWAPDB x 1
        SWAPDB 1 x
        SWAPDB 0
        SELECT 1
        FLUSHDB
        DBSIZE
        SELECT 0
        DBSIZE
        FLUSHDB ASYNC
        DBSIZE
        SET a 1
        FLUSHDB SYNC
        DBSIZE
        FLUSHDB foo
        FLUSHDB ASYNC SYNC
        SELECT 14
        FLUSHALL foo
        DBSIZE
        FLUSHALL ASYNC
        DBSIZE
        FLUSHALL SYNC
        FLUSHALL
        SELECT 0
        "#,
    );
}

#[test]
fn object_and_memory() {
    check(
        r#"
        OBJECT ENCODING none
        OBJECT REFCOUNT none
        OBJECT IDLETIME none
        OBJECT FREQ none
        SET k v
        OBJECT REFCOUNT k
        OBJECT IDLETIME k
        OBJECT FREQ k
        OBJECT foo k
        OBJECT ENCODING
        OBJECT
        OBJECT ENCODING k k
        ~kind OBJECT HELP
        ~kind MEMORY USAGE k
        MEMORY USAGE none
        MEMORY USAGE k SAMPLES 5
        ~code MEMORY USAGE k SAMPLES x
        ~code MEMORY USAGE k SAMPLES -1
        ~code MEMORY USAGE k foo 1
        MEMORY USAGE
        ~kind MEMORY DOCTOR
        ~kind MEMORY STATS
        ~kind MEMORY MALLOC-STATS
        MEMORY PURGE
        MEMORY foo
        ~kind MEMORY HELP
        CONFIG SET maxmemory-policy allkeys-lfu
        SET f v
        ~kind OBJECT FREQ f
        ~code OBJECT IDLETIME f
        CONFIG SET maxmemory-policy noeviction
        "#
        .replace("MEMORY USAGE k SAMPLES 5", "~kind MEMORY USAGE k SAMPLES 5")
        .as_str(),
    );
}

#[test]
fn lists_and_sets_report_the_newer_encodings() {
    check_newer(
        &Program::Redis8,
        r#"
        RPUSH l a
        ~any OBJECT ENCODING l
        SADD s a
        ~any OBJECT ENCODING s
        HSET h a 1
        OBJECT ENCODING h
        ZADD z 1 a
        OBJECT ENCODING z
        "#,
    );
}

#[test]
fn digest_of_equal_data_is_equal() {
    // DEBUG DIGEST is computed alike, so that data of different servers can be compared.
    let mut pair = redis7_pair(&["--enable-debug-command", "yes"]);
    pair.restart(Resp::Two, "digest");
    pair.script(
        r#"
        DEBUG DIGEST
        SET k v
        DEBUG DIGEST
        SET n 12345
        RPUSH l a b c 1 2 3
        SADD s a b c 1
        SADD i 1 2 3
        HSET h a 1 b 2
        ZADD z 1 a 2.5 b inf c -1e30 d
        SELECT 3
        SET other db
        SELECT 0
        DEBUG DIGEST
        DEBUG DIGEST-VALUE k l s i h z none
        EXPIRE k 1000
        DEBUG DIGEST
        DEBUG DIGEST-VALUE k
        "#,
    );
    pair.finish();
}
