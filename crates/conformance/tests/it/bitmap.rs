//! Bitmaps: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP, BITFIELD, BITFIELD_RO.
//!
//! Where valkey-server 9.1 checks arguments before it looks at the key, Ochre does so too.

use crate::{check, check_newer, redis7_pair};
use ochre_testkit::oracle::Resp;
use ochre_testkit::{Program, Value, line};

/// Arity, flags, legacy key positions and ACL categories of commands must be those of redis-server.
pub(crate) fn facts_agree(names: &[&str]) {
    let mut pair = redis7_pair(&[]);
    for name in names {
        let (ours, theirs) = pair.client("a");
        let facts = |value: Value| -> Vec<String> {
            let entry = value.items().unwrap()[0].items().unwrap().to_vec();
            let shown = entry[..7].iter().map(|fact| match fact {
                Value::Array(items) | Value::Set(items) => {
                    let mut words: Vec<String> = items.iter().map(line::show).collect();
                    words.sort();
                    words.join(" ")
                }
                other => line::show(other),
            });
            shown.collect()
        };
        let ours = facts(ours.cmd(&["COMMAND", "INFO", name]));
        let theirs = facts(theirs.cmd(&["COMMAND", "INFO", name]));
        if ours != theirs {
            pair.differs(&ours.join(" "), &theirs.join(" "));
        }
    }
    pair.finish();
}

/// Commands with 0 to 7 arguments that are a key of some type, a number, or a word: no reply may
/// differ.
pub(crate) fn walk(names: &[&str]) {
    let mut pair = redis7_pair(&[]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "walk");
        for name in names {
            for first in ["str", "list", "set", "zset", "none"] {
                pair.script("FLUSHALL\nSET str 5\nRPUSH list a b\nSADD set 1 2\nZADD zset 1 x");
                for count in 0..8 {
                    for last in ["1", "0.01", "x"] {
                        let mut args = vec![*name, first, "1", "1", "x", "1", "set", "1"];
                        args.truncate(count + 1);
                        if count > 1 {
                            args[count] = last;
                        }
                        pair.run(&args, &[]);
                    }
                }
            }
        }
    }
    pair.finish();
}

#[test]
fn facts() {
    facts_agree(&["setbit", "getbit", "bitcount", "bitpos", "bitop", "bitfield", "bitfield_ro"]);
}

#[test]
fn walk_over_the_family() {
    walk(&["setbit", "getbit", "bitop", "bitfield", "bitfield_ro"]);
}

#[test]
fn single_bits() {
    check(
        r#"
        SETBIT k 7 1
        GET k
        OBJECT ENCODING k
        SETBIT k 7 1
        SETBIT k 7 0
        SETBIT k 100 0
        STRLEN k
        GETBIT k 7
        GETBIT k 100000
        GETBIT none 5
        SET n 12345
        GETBIT n 3
        SETBIT n 3 0
        GET n
        OBJECT ENCODING n
        SET e embedded
        SETBIT e 1 0
        GET e
        OBJECT ENCODING e
        SETBIT big 100000 1
        SETBIT big 99999 1
        SETBIT big 250000 0
        STRLEN big
        BITCOUNT big
        SETBIT k -1 1
        SETBIT k 4294967296 1
        SETBIT k 9223372036854775808 1
        SETBIT k x 1
        SETBIT k 0 2
        SETBIT k 0 01
        SETBIT k 0 x
        SETBIT k 0
        GETBIT k -1
        GETBIT k 4294967296
        GETBIT k 4294967295
        GETBIT k x
        GETBIT k
        RPUSH l a
        SETBIT l 0 1
        SETBIT l x 1
        GETBIT l 0
        SET t v EX 100
        SETBIT t 900 1
        TTL t
        "#,
    );
}

#[test]
fn counts_and_positions() {
    check(
        r#"
        SET k foobar
        SET long <abcd*5000>
        SET ones "\xff\xff\xff"
        SET zeros "\x00\x00\x00"
        SET mixed "\xff\xf0\x00"
        SET empty ""
        SET n 12
        BITCOUNT k
        BITCOUNT k 0 0
        BITCOUNT k 1 1
        BITCOUNT k 0 -2
        BITCOUNT k -2 -1
        BITCOUNT k 5 30 BIT
        BITCOUNT k -8 -1 BIT
        BITCOUNT k 3 3 bit
        BITCOUNT k 1 1 BYTE
        BITCOUNT k 1 0
        BITCOUNT k -1 -3
        BITCOUNT k 5 -10
        BITCOUNT k -100 -50
        BITCOUNT k -100 -50 BIT
        BITCOUNT k 100 200
        BITCOUNT k -9223372036854775808 9223372036854775807
        BITCOUNT long
        BITCOUNT long 3 19997
        BITCOUNT long 13 159991 BIT
        BITCOUNT n
        BITCOUNT none
        BITCOUNT none 0 -1
        BITCOUNT empty
        BITCOUNT empty 0 -1
        BITCOUNT k 0 1 foo
        BITCOUNT k 0 1 BIT x
        BITCOUNT k x 1
        BITCOUNT k 0 =?> (int) 26
        BITCOUNT k -1 =?> (int) 4
        BITPOS k 0
        BITPOS k 1
        BITPOS ones 0
        BITPOS ones 0 0
        BITPOS ones 0 0 -1
        BITPOS ones 0 3
        BITPOS ones 0 5 6
        BITPOS ones 1 2
        BITPOS zeros 1
        BITPOS zeros 0 -1
        BITPOS zeros 0 -1 -1
        BITPOS mixed 0
        BITPOS mixed 1 2
        BITPOS mixed 0 0 0
        BITPOS mixed 0 0 11 BIT
        BITPOS mixed 0 0 12 BIT
        BITPOS mixed 1 7 15 BIT
        BITPOS mixed 1 12 -1 BIT
        BITPOS mixed 1 -12 -13 BIT
        BITPOS mixed 0 1 -1 BYTE
        BITPOS long 0 17
        BITPOS empty 0
        BITPOS empty 1
        BITPOS none 0
        BITPOS none 1
        BITPOS none 0 5 6
        BITPOS n 1
        BITPOS k 2
        BITPOS k x
        BITPOS k 1 x
        BITPOS k 1 0 x
        BITPOS k 1 0 1 foo
        BITPOS k 1 0 1 BIT x
        BITPOS k
        RPUSH l a
        BITCOUNT l
        BITCOUNT l 0 1
        BITPOS l 1
        BITPOS l 2
        "#,
    );
}

#[test]
fn arguments_are_checked_first() {
    check_newer(
        &Program::Valkey9,
        r#"
        SET k foobar
        RPUSH l a
        BITCOUNT k 0
        BITCOUNT k 3
        BITCOUNT none 0
        BITCOUNT none x
        BITCOUNT none x 1
        BITCOUNT none 0 1 foo
        BITCOUNT l x 1
        BITPOS none 1 x
        BITPOS none 1 0 1 foo
        BITPOS l 1 x
        "#,
    );
}

#[test]
fn combinations() {
    check(
        r#"
        MSET a abcd b ab n 12 e "" long <xyz*4000>
        BITOP AND d a b
        GET d
        BITOP OR d a b n
        GET d
        BITOP xor d a b none
        GET d
        BITOP NOT d a
        GET d
        OBJECT ENCODING d
        BITOP AND d long a
        BITCOUNT d
        BITOP OR d long a none
        BITCOUNT d
        BITOP XOR d long a long long
        BITCOUNT d
        BITOP NOT d long
        BITCOUNT d
        BITOP AND d none none
        EXISTS d
        BITOP AND d none none
        BITOP OR d e
        EXISTS d
        BITOP OR d n
        GET d
        OBJECT ENCODING d
        SET d v EX 100
        BITOP OR d a
        TTL d
        RPUSH l x
        BITOP OR d l
        BITOP OR d a l
        BITOP OR l a
        TYPE l
        BITOP foo d a
        BITOP NOT d a b
        BITOP AND d
        BITOP NOT a a
        GET a
        "#,
    );
}

#[test]
fn fields() {
    check(
        r#"
        BITFIELD k
        BITFIELD k GET u8 0 GET i5 100
        EXISTS k
        BITFIELD k SET i8 0 -1 GET u4 0 INCRBY u2 #3 5 GET u8 0 SET u8 0 255
        GET k
        BITFIELD k SET u8 #2 200 GET i8 #2 INCRBY i64 3 -7 GET u63 3 GET i64 3
        STRLEN k
        BITFIELD k OVERFLOW SAT INCRBY u8 0 300 INCRBY i8 0 -300 SET u4 4 99 SET i4 4 -99
        BITFIELD k OVERFLOW FAIL INCRBY u8 0 300 SET u4 4 99 INCRBY i8 8 1
        BITFIELD k OVERFLOW WRAP INCRBY u8 0 300 SET u4 4 99 SET i4 4 99 GET i4 4
        BITFIELD k SET u8 0 -1 GET u8 0 OVERFLOW SAT SET u8 0 -1 GET u8 0
        BITFIELD k SET i64 0 9223372036854775807 INCRBY i64 0 1 OVERFLOW SAT INCRBY i64 0 -1
        BITFIELD k SET u63 0 9223372036854775807 INCRBY u63 0 1 OVERFLOW FAIL INCRBY u63 0 -1
        BITFIELD k SET i1 0 -1 GET i1 0 GET u1 0 INCRBY i1 0 1
        BITFIELD wide SET u13 100001 5555 GET u13 100001
        STRLEN wide
        SET n 12
        BITFIELD n GET u8 0 SET u8 8 51
        GET n
        OBJECT ENCODING n
        BITFIELD_RO n GET u8 0 GET i4 6
        BITFIELD_RO none GET u8 0
        BITFIELD_RO n
        BITFIELD_RO n OVERFLOW SAT GET u8 0
        BITFIELD_RO n SET u8 0 1
        BITFIELD_RO n SET u8 x 1
        BITFIELD k get
        BITFIELD k get u8
        BITFIELD k get u64 0
        BITFIELD k get i65 0
        BITFIELD k get u0 0
        BITFIELD k get I8 0
        BITFIELD k get u08 0
        BITFIELD k get u8 #x
        BITFIELD k get u8 -1
        BITFIELD k get u8 4294967295
        BITFIELD k get u8 4294967296
        BITFIELD k get u8 #536870911
        BITFIELD k get u8 #536870912
        BITFIELD k overflow foo
        BITFIELD k overflow sat
        BITFIELD k overflow
        BITFIELD k set u8 0 x
        BITFIELD k set u8 0
        BITFIELD k foo u8 0
        RPUSH l a
        BITFIELD l GET u8 0
        BITFIELD l SET u8 0 1
        BITFIELD_RO l GET u8 0
        "#,
    );
}

#[test]
fn combinations_of_redis_8_2() {
    // No peer here has them yet: pinned to the documentation.
    check(
        r#"
        MSET x "\xf0\x0f" y "\xcc" z "\xaa"
        BITOP DIFF d x y z ==> (int) 2
        GET d ==> "\x10\x0f"
        BITOP DIFF1 d x y z ==> (int) 2
        GET d ==> "\x0e\x00"
        BITOP ANDOR d x y z ==> (int) 2
        GET d ==> "\xe0\x00"
        BITOP ONE d x y z ==> (int) 2
        GET d ==> "\x16\x0f"
        BITOP DIFF d x ==> (err) ERR BITOP DIFF must be called with at least two source keys.
        "#,
    );
}
