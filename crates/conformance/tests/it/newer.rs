//! What Redis 7.0 lacks, against the release that has it: Valkey 8.1, 9.0, 9.1; Redis 7.2, 8.0.

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
