//! What Redis 7.0 lacks, against the release that has it: Valkey 8.1, 9.0, 9.1; Redis 7.2, 8.0. What
//! came with Redis 8.4 to 8.10, and CL.THROTTLE of redis-cell, is pinned to its documentation: no peer
//! that tests can rely on has it.

use crate::{check_newer, redis7_pair};
use ochre_testkit::Program;
use ochre_testkit::oracle::Resp;

#[test]
fn conditional_set_and_delete() {
    check_newer(
        &Program::Valkey9,
        r#"
        SET k v IFEQ v
        EXISTS k
        SET k v
        SET k w IFEQ v
        SET k x IFEQ v
        GET k
        SET k x IFEQ v GET
        SET k x IFEQ w GET
        GET k
        SET k x IFEQ x NX
        SET k x IFEQ x XX
        SET k x IFEQ
        SET k y IFEQ x EX 100
        ~near 2 TTL k
        SET k 5 IFEQ y KEEPTTL
        ~near 2 TTL k
        SET k 6 IFEQ 5
        TTL k
        RPUSH l 1
        SET l v IFEQ v
        SET l v IFEQ v GET
        DELIFEQ k 5
        DELIFEQ k 6
        EXISTS k
        DELIFEQ k 6
        DELIFEQ l 1
        DELIFEQ k
        "#,
    );
}

#[test]
fn several_keys_with_a_deadline() {
    check_newer(
        &Program::Valkey9,
        r#"
        MSETEX 2 a 1 b 2
        MGET a b
        TTL a
        MSETEX 2 a 1 b 2 EX 100
        ~near 2 TTL a
        MSETEX 1 a 2 KEEPTTL
        ~near 2 TTL a
        MSETEX 2 a 1 c 2 NX
        EXISTS c
        MSETEX 2 a 1 c 2 XX
        EXISTS c
        MSETEX 1 a 5 XX PX 100000
        ~near 2000 PTTL a
        MSETEX 1 a 5 EXAT 4102444800
        EXPIRETIME a
        ~code MSETEX 0 a 1
        ~code MSETEX x a 1
        ~code MSETEX 2 a 1
        ~code MSETEX 1 a 1 EX 0
        ~code MSETEX 1 a 1 EX x
        ~code MSETEX 1 a 1 NX XX
        ~code MSETEX 1 a 1 foo
        ~code MSETEX
        "#,
    );
}

#[test]
fn rank_with_score() {
    check_newer(
        &Program::Valkey9,
        r#"
        ZADD z 1 a 2.5 b inf c
        ZRANK z b WITHSCORE
        ZREVRANK z b WITHSCORE
        ZRANK z none WITHSCORE
        ZRANK none a WITHSCORE
        ZREVRANK z c WITHSCORE
        ZRANK z b foo
        ZRANK z b WITHSCORE x
        "#,
    );
}

#[test]
fn scans_without_values_or_scores() {
    check_newer(
        &Program::Valkey9,
        r#"
        HSET h a 1
        HSCAN h 0 NOVALUES
        HSCAN h 0 NOVALUES COUNT 10 MATCH a
        HSCAN none 0 NOVALUES
        ~code SSCAN h 0 NOVALUES
        "#,
    );
}

#[test]
fn command_log() {
    check_newer(
        &Program::Valkey9,
        r#"
        COMMANDLOG LEN slow
        COMMANDLOG LEN large-request
        COMMANDLOG LEN large-reply
        COMMANDLOG LEN foo
        COMMANDLOG LEN
        COMMANDLOG GET 10 slow
        COMMANDLOG GET x slow
        COMMANDLOG GET 10
        COMMANDLOG GET 10 foo
        COMMANDLOG RESET slow
        COMMANDLOG RESET foo
        COMMANDLOG foo
        COMMANDLOG
        ~kind COMMANDLOG HELP
        CONFIG SET commandlog-request-larger-than 100
        SET k <v*500>
        COMMANDLOG LEN large-request
        ~size COMMANDLOG GET 10 large-request
        CONFIG SET commandlog-request-larger-than 1048576
        CONFIG SET commandlog-reply-larger-than 100
        GET k
        COMMANDLOG LEN large-reply
        COMMANDLOG RESET large-reply
        COMMANDLOG LEN large-reply
        CONFIG SET commandlog-reply-larger-than 1048576
        COMMANDLOG RESET large-request
        "#,
    );
}

#[test]
fn client_of_newer_releases() {
    check_newer(
        &Program::Valkey9,
        r#"
        CLIENT SETINFO lib-name mylib
        CLIENT SETINFO lib-ver 1.2.3
        CLIENT SETINFO lib-name "a b"
        CLIENT SETINFO foo x
        CLIENT SETINFO lib-name
        CLIENT SETINFO lib-name ""
        CLIENT NO-TOUCH on
        CLIENT NO-TOUCH off
        CLIENT NO-TOUCH x
        CLIENT NO-TOUCH
        CLIENT CAPA redirect
        CLIENT CAPA foo
        CLIENT CAPA
        CLIENT KILL MAXAGE 100000
        CLIENT KILL MAXAGE x
        "#,
    );
}

/// What pre-7.0 clients rely on still has Redis 7.0's form in the presence of the new options.
#[test]
fn old_forms_are_unchanged() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "old forms");
    pair.script(
        r#"
        ZADD z 1 a
        ZRANK z a
        HSET h a 1
        HSCAN h 0
        SET k v NX GET
        SET k v NX GET
        "#,
    );
    pair.finish();
}

/// A script whose replies are all pinned, in one protocol.
fn check_pinned(resp: Resp, script: &str) {
    let mut pair = redis7_pair(&[]);
    pair.restart(resp, "pinned");
    pair.script(script);
    pair.finish();
}

#[test]
fn comparisons_of_redis_8_4() {
    check_pinned(
        Resp::Two,
        r#"
        SET key1 "Hello world"
        DIGEST key1 ==> "b6acb9d84a38ff74"
        DIGEST none ==> (nil)
        RPUSH l 1
        DIGEST l ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        DIGEST ==> (err) ERR wrong number of arguments for 'digest' command
        SET key1 a IFNE "Hello world" ==> (nil)
        SET key1 a IFDNE b6acb9d84a38ff74 ==> (nil)
        SET key1 a IFDEQ 0000000000000000 ==> (nil)
        SET key1 a IFDEQ B6ACB9D84A38FF74 GET ==> "Hello world"
        SET key1 b IFDNE 0000000000000000 EX 100 ==> OK
        TTL key1 ==> (int) 100
        SET key1 c IFNE x KEEPTTL ==> OK
        SET none a IFEQ a ==> (nil)
        SET none a IFDEQ 0000000000000000 ==> (nil)
        SET made a IFNE a ==> OK
        SET made2 a IFDNE 0000000000000000 GET ==> (nil)
        EXISTS none made made2 ==> (int) 2
        SET k a IFDEQ 12 ==> (err) ERR must be exactly 16 hexadecimal characters
        SET k a IFNE b NX ==> (err) ERR syntax error
        SET k a IFDEQ ==> (err) ERR syntax error
        SET l a IFNE b ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        "#,
    );
}

#[test]
fn conditional_deletes_of_redis_8_4() {
    check_pinned(
        Resp::Two,
        r#"
        MSET a 1 b 2 c 3
        SET d "Hello world"
        RPUSH l 1
        DELEX none ==> (int) 0
        DELEX none IFNE 1 ==> (int) 0
        DELEX a IFEQ 2 ==> (int) 0
        DELEX a IFEQ 1 ==> (int) 1
        DELEX b IFNE 2 ==> (int) 0
        DELEX b IFNE 1 ==> (int) 1
        DELEX d IFDNE b6acb9d84a38ff74 ==> (int) 0
        DELEX d IFDEQ B6acb9d84a38ff74 ==> (int) 1
        DELEX c IFDNE b6acb9d84a38ff74 ==> (int) 1
        DELEX l IFEQ 1 ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        DELEX l IFDEQ 1 ==> (err) ERR must be exactly 16 hexadecimal characters
        DELEX l IFEQ ==> (err) ERR wrong number of arguments for 'delex' command
        DELEX l ==> (int) 1
        DBSIZE ==> (int) 0
        "#,
    );
}

#[test]
fn counting_within_bounds() {
    check_pinned(
        Resp::Two,
        r#"
        INCREX k ==> [(int) 1, (int) 1]
        INCREX k BYINT 98 EX 100 ENX ==> [(int) 99, (int) 98]
        TTL k ==> (int) 100
        INCREX k BYINT 5 UBOUND 100 ==> [(int) 99, (int) 0]
        INCREX k BYINT 5 UBOUND 100 SATURATE EX 9 ENX ==> [(int) 100, (int) 1]
        TTL k ==> (int) 100
        INCREX k BYINT -50 LBOUND 60 ==> [(int) 100, (int) 0]
        INCREX k BYINT -50 LBOUND 60 SATURATE PERSIST ==> [(int) 60, (int) -40]
        TTL k ==> (int) -1
        INCREX none UBOUND 0 ==> [(int) 0, (int) 0]
        EXISTS none ==> (int) 0
        INCREX k BYFLOAT 0.25 ==> ["60.25", "0.25"]
        INCREX k BYFLOAT 0.5 UBOUND 60.5 ==> ["60.25", "0"]
        INCREX k BYFLOAT 0.5 UBOUND 60.5 SATURATE ==> ["60.5", "0.25"]
        INCREX k ==> (err) ERR value is not an integer or out of range
        INCREX k ENX ==> (err) ERR ENX flag requires an expiration
        INCREX k PERSIST EX 1 ==> (err) ERR syntax error
        INCREX k EX 0 ==> (err) ERR invalid expire time in 'increx' command
        GET k ==> "60.5"
        "#,
    );
    check_pinned(
        Resp::Three,
        r#"
        INCREX k BYFLOAT 1.5 ==> [(double) 1.5, (double) 1.5]
        INCREX k BYFLOAT 1 UBOUND 2 ==> [(double) 1.5, (double) 0.0]
        INCREX n BYINT 2 ==> [(int) 2, (int) 2]
        "#,
    );
}

#[test]
fn sizes_of_unions_and_differences() {
    check_pinned(
        Resp::Two,
        r#"
        SADD key1 a b c
        SADD key2 c d e
        SADD key3 1 2 3 4
        SUNIONCARD 2 key1 key2 ==> (int) 5
        SUNIONCARD 2 key1 key2 LIMIT 3 ==> (int) 3
        SUNIONCARD 4 key1 none key2 key3 ==> (int) 9
        SUNIONCARD 3 key1 key2 key3 APPROX ==> (int) 9
        SUNIONCARD 3 key1 key2 key3 APPROX LIMIT 4 ==> (int) 4
        SDIFFCARD 2 key1 key2 ==> (int) 2
        SDIFFCARD 2 key1 key2 LIMIT 1 ==> (int) 1
        SDIFFCARD 2 none key1 ==> (int) 0
        SET s x
        SUNIONCARD 2 key1 s ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        SDIFFCARD 2 none s ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        SUNIONCARD 0 key1 ==> (err) ERR numkeys should be greater than 0
        SDIFFCARD 2 key1 ==> (err) ERR Number of keys can't be greater than number of args
        SUNIONCARD 1 key1 LIMIT -1 ==> (err) ERR LIMIT can't be negative
        SDIFFCARD 1 key1 APPROX ==> (err) ERR syntax error
        "#,
    );
}

#[test]
fn several_elements_from_list_to_list() {
    check_pinned(
        Resp::Two,
        r#"
        RPUSH mylist 1 2 3 4
        LMOVEM mylist other LEFT LEFT COUNT 2 OBO ==> ["2", "1"]
        LRANGE mylist 0 -1 ==> ["3", "4"]
        LRANGE other 0 -1 ==> ["2", "1"]
        LMOVEM mylist other LEFT LEFT EXACTLY 5 BULK ==> (nil-array)
        LMOVEM mylist other RIGHT RIGHT COUNT 5 BULK ==> ["3", "4"]
        EXISTS mylist ==> (int) 0
        LRANGE other 0 -1 ==> ["2", "1", "3", "4"]
        LMOVEM other mylist RIGHT LEFT ==> ["4"]
        LMOVEM none other LEFT LEFT COUNT 2 OBO ==> []
        RPUSH somelist a b c
        LMOVEM somelist somelist LEFT LEFT EXACTLY 2 OBO ==> ["b", "a"]
        LRANGE somelist 0 -1 ==> ["b", "a", "c"]
        LMOVEM somelist somelist LEFT LEFT COUNT 2 BULK ==> ["b", "a"]
        LRANGE somelist 0 -1 ==> ["b", "a", "c"]
        LMOVEM somelist other LEFT LEFT COUNT 2 ==> (err) ERR syntax error
        LMOVEM somelist other LEFT LEFT COUNT 0 OBO ==> (err) ERR count should be greater than 0
        SET s x
        LMOVEM somelist s LEFT LEFT ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        LLEN somelist ==> (int) 3
        "#,
    );
}

#[test]
fn throttling() {
    // A token each 1000 seconds: the script is over before one comes back.
    check_pinned(
        Resp::Two,
        r#"
        CL.THROTTLE user 2 1 1000 ==> [(int) 0, (int) 3, (int) 2, (int) -1, (int) 1000]
        CL.THROTTLE user 2 1 1000 2 ==> [(int) 0, (int) 3, (int) 0, (int) -1, (int) 3000]
        CL.THROTTLE user 2 1 1000 ==> [(int) 1, (int) 3, (int) 0, (int) 1000, (int) 3000]
        CL.THROTTLE user 2 1 1000 4 ==> [(int) 1, (int) 3, (int) 0, (int) -1, (int) 3000]
        TTL user ==> (int) 3000
        TYPE user ==> string
        CL.THROTTLE user 2 x 60 ==> (err) ERR value is not an integer or out of range
        CL.THROTTLE user 2 0 60 ==> (err) ERR value is out of range, must be positive
        CL.THROTTLE user 2 1 ==> (err) ERR wrong number of arguments for 'cl.throttle' command
        "#,
    );
}

/// What routing and access rules are made from.
#[test]
fn facts_of_commands_of_newer_releases() {
    check_pinned(
        Resp::Two,
        r#"
        COMMAND GETKEYS DIGEST a ==> ["a"]
        COMMAND GETKEYS DELEX a IFEQ b ==> ["a"]
        COMMAND GETKEYS INCREX a BYINT 1 ==> ["a"]
        COMMAND GETKEYS SUNIONCARD 2 a b LIMIT 1 ==> ["a", "b"]
        COMMAND GETKEYS SDIFFCARD 2 a b ==> ["a", "b"]
        COMMAND GETKEYS LMOVEM a b LEFT LEFT ==> ["a", "b"]
        COMMAND GETKEYS CL.THROTTLE a 1 1 1 ==> ["a"]
        "#,
    );
}
