//! Expiry of hash fields (Redis 7.4, 8.0; Valkey 9.0, 9.1).

use crate::check_newer;
use ochre_testkit::oracle::{Pair, Resp};
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Program, Server};

/// What both families answer alike.
const SHARED: &str = r#"
    HEXPIRE none 10 FIELDS 1 a
    HTTL none FIELDS 2 a b
    HPERSIST none FIELDS 1 a
    HSET h a 1 b 2 c 3 d 4
    HTTL h FIELDS 2 a none
    HPTTL h FIELDS 1 a
    HEXPIRETIME h FIELDS 1 a
    HPEXPIRETIME h FIELDS 1 a
    HPERSIST h FIELDS 2 a none
    HEXPIRE h 100 FIELDS 3 a b none
    ~near 2 HTTL h FIELDS 3 a b c
    ~near 2000 HPTTL h FIELDS 2 a c
    ~near 2 HEXPIRETIME h FIELDS 1 a
    ~near 2000 HPEXPIRETIME h FIELDS 1 a
    HPEXPIRE h 100000 FIELDS 1 c
    ~near 2 HTTL h FIELDS 1 c
    HEXPIREAT h 4102444800 FIELDS 1 d
    HEXPIRETIME h FIELDS 1 d
    HPEXPIREAT h 4102444800123 FIELDS 1 d
    HPEXPIRETIME h FIELDS 1 d
    HEXPIRE h 100 NX FIELDS 2 a d
    HEXPIRE h 200 XX FIELDS 1 a
    HEXPIRE h 100 GT FIELDS 1 a
    HEXPIRE h 300 GT FIELDS 1 a
    HEXPIRE h 400 LT FIELDS 1 a
    HEXPIRE h 100 LT FIELDS 1 a
    HPERSIST h FIELDS 1 a
    HTTL h FIELDS 1 a
    HEXPIRE h 100 GT FIELDS 1 a
    HEXPIRE h 100 LT FIELDS 1 a
    HSET h a 9
    HTTL h FIELDS 1 a
    HEXPIRE h 100 FIELDS 1 a
    HINCRBY h a 1
    ~near 2 HTTL h FIELDS 1 a
    ~code HEXPIRE h x FIELDS 1 a
    ~code HEXPIRE h 10 FIELDS 0
    ~code HEXPIRE h 10 FIELDS 2 a
    ~code HEXPIRE h 10 FIELDS x a
    ~code HEXPIRE h 10 foo 1 a
    ~code HEXPIRE h 9223372036854775807 FIELDS 1 a
    ~code HEXPIRE h 10
    ~code HTTL h
    ~code HTTL h FIELDS
    ~code HTTL h FIELDS 2 a
    SET s v
    HEXPIRE s 10 FIELDS 1 a
    HTTL s FIELDS 1 a
    HPERSIST s FIELDS 1 a
    HSET g a 1 b 2
    HEXPIRE g 0 FIELDS 1 a
    HGETALL g
    HPEXPIREAT g 1 FIELDS 1 b
    EXISTS g
    HSET e x 1 y 2
    HPEXPIRE e 20 FIELDS 1 x
    @until 0 HEXISTS e x
    HGET e x
    HGETALL e
    HKEYS e
    HVALS e
    HMGET e x y
    HSTRLEN e x
    HSETNX e x 5
    HTTL e FIELDS 1 x
    HSET f x 1 y 2
    HEXPIRE f 100 FIELDS 1 x
    COPY f f2
    ~near 2 HTTL f2 FIELDS 2 x y
    RENAME f2 f3
    ~near 2 HTTL f3 FIELDS 2 x y
    HDEL f3 x
    HSET f3 x 1
    HTTL f3 FIELDS 1 x
    HSETEX q FIELDS 2 a 1 b 2
    HSETEX q EX 100 FIELDS 1 c 3
    ~near 2 HTTL q FIELDS 3 a b c
    HSETEX q KEEPTTL FIELDS 1 c 4
    ~near 2 HTTL q FIELDS 1 c
    HSETEX q FNX FIELDS 1 a 9
    HSETEX q FXX FIELDS 1 zz 9
    HSETEX q FXX FIELDS 1 a 9
    ~pairs HGETALL q
    HSETEX q PX 100000 FIELDS 1 a 5
    ~near 2000 HPTTL q FIELDS 1 a
    HSETEX q PXAT 4102444800123 FIELDS 1 a 5
    HPEXPIRETIME q FIELDS 1 a
    ~code HSETEX q EX 0 FIELDS 1 a 1
    ~code HSETEX q EX x FIELDS 1 a 1
    ~code HSETEX q EX 10 PX 10 FIELDS 1 a 1
    ~code HSETEX q FNX FXX FIELDS 1 a 1
    ~code HSETEX q FIELDS 2 a 1
    ~code HSETEX q FIELDS 0
    ~code HSETEX q
    HGETEX q FIELDS 2 a none
    HGETEX q EX 100 FIELDS 1 b
    ~near 2 HTTL q FIELDS 1 b
    HGETEX q PERSIST FIELDS 1 b
    HTTL q FIELDS 1 b
    HGETEX none FIELDS 1 a
    ~code HGETEX q EX 0 FIELDS 1 a
    ~code HGETEX q FIELDS 2 a
    ~code HGETEX q foo FIELDS 1 a
    ~code HGETEX q
    HGETEX s FIELDS 1 a
    HSETEX s FIELDS 1 a 1
    HGETDEL q FIELDS 2 a none
    HEXISTS q a
    HGETDEL none FIELDS 1 a
    HGETDEL q FIELDS 2 b c
    EXISTS q
    ~code HGETDEL q FIELDS 0
    ~code HGETDEL q FIELDS 2 a
    ~code HGETDEL q
    HGETDEL s FIELDS 1 a
"#;

#[test]
fn as_redis_8_does() {
    check_newer(&Program::Redis8, SHARED);
}

#[test]
fn as_valkey_9_does() {
    check_newer(&Program::Valkey9, SHARED);
}

#[test]
fn expired_fields_go_without_being_read() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for i in 0..500 {
        client.cmd(&["HSET", "h", &format!("f{i}"), "v"]);
        client.cmd(&["HPEXPIRE", "h", "30", "FIELDS", "1", &format!("f{i}")]);
    }
    client.line("HSET h stays v");
    wait_until("one field is left", || (client.integer("HLEN h") == 1).then_some(()));
    client.line("HPEXPIRE h 1 FIELDS 1 stays");
    wait_until("the key is gone", || (client.integer("DBSIZE") == 0).then_some(()));
}

#[test]
fn an_expired_field_is_never_seen() {
    if Program::Valkey9.find().is_none() {
        println!("not compared: valkey9 is not installed (see PEERS_DIR)");
        return;
    }
    let mut pair = Pair::start(&Program::Valkey9, &["--enable-debug-command", "yes"]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "expiry off");
        pair.script(
            r#"
            DEBUG SET-ACTIVE-EXPIRE 0
            HSET h a 1 b 2
            HPEXPIRE h 1 FIELDS 1 a
            @until 0 HEXISTS h a
            HGETALL h
            HRANDFIELD h
            HRANDFIELD h 5 WITHVALUES
            HSCAN h 0
            HMGET h a b
            HSTRLEN h a
            HINCRBY h a 5
            HTTL h FIELDS 1 a
            HDEL h a a
            DEBUG SET-ACTIVE-EXPIRE 1
            "#,
        );
    }
    pair.finish();
}
