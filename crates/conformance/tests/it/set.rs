//! Sets: R1.4.

use crate::{check, check_encodings, check_newer};
use ochre_testkit::Program;

#[test]
fn members() {
    check_encodings(
        r#"
        SADD s 1 2 3
        SADD s 3 4
        SADD s
        SADD
        SCARD s
        SCARD none
        ~unordered SMEMBERS s
        SMEMBERS none
        SISMEMBER s 1
        SISMEMBER s 9
        SISMEMBER s 01
        SISMEMBER none 1
        SISMEMBER s
        SMISMEMBER s 1 9 2
        SMISMEMBER none 1 2
        SMISMEMBER s
        SREM s 1 9
        SREM none 1
        SREM s
        SADD s word "" "\x00\xff" <long*50> 9223372036854775807 9223372036854775808 -1
        ~unordered SMEMBERS s
        SISMEMBER s ""
        SREM s word 2 3 4
        ~unordered SMEMBERS s
        SADD t 1 2
        SREM t 1 2
        EXISTS t
        SADD a 1 2 3
        SADD b 3
        SMOVE a b 1
        SMOVE a b 3
        SMOVE a b 9
        SMOVE none b 1
        SMOVE a fresh 2
        EXISTS a
        ~unordered SMEMBERS b
        SMEMBERS fresh
        SMOVE b b 1
        SMOVE b b 77
        SMOVE b
        SET k v
        SADD k 1
        SREM k 1
        SCARD k
        SMEMBERS k
        SISMEMBER k 1
        SMISMEMBER k 1
        SMOVE k b 1
        SMOVE b k 1
        SMOVE none k 1
        SPOP k
        SRANDMEMBER k
        SINTER k
        SUNION b k
        SDIFF b k
        SDIFF k b
        SINTERSTORE d b k
        SSCAN k 0
        EXPIRE b 100
        SADD b q
        SREM b q
        ~near 2 TTL b
        TYPE b
        "#,
    );
}

#[test]
fn algebra() {
    check_encodings(
        r#"
        SADD a 1 2 3 4 x
        SADD b 3 4 5 x y
        SADD c 4 6 x
        ~unordered SINTER a b
        ~unordered SINTER a b c
        ~unordered SINTER a
        SINTER a none
        SINTER none
        SINTER
        ~unordered SUNION a b c
        ~unordered SUNION a none
        SUNION none
        SUNION
        ~unordered SDIFF a b
        ~unordered SDIFF a b c
        ~unordered SDIFF a a
        ~unordered SDIFF a none
        SDIFF none a
        SDIFF
        SINTERSTORE d a b
        ~unordered SMEMBERS d
        SINTERSTORE d a none
        EXISTS d
        SINTERSTORE d
        SUNIONSTORE d a b
        ~unordered SMEMBERS d
        SUNIONSTORE d none
        EXISTS d
        SUNIONSTORE a a b
        ~unordered SMEMBERS a
        SDIFFSTORE d a b
        ~unordered SMEMBERS d
        SDIFFSTORE d a a
        EXISTS d
        SET k v EX 100
        SUNIONSTORE k b c
        TYPE k
        TTL k
        SINTERCARD 2 b c
        SINTERCARD 2 b c LIMIT 1
        SINTERCARD 2 b c LIMIT 0
        SINTERCARD 2 b c LIMIT -1
        SINTERCARD 2 b c LIMIT x
        SINTERCARD 2 b c LIMIT
        SINTERCARD 2 b c foo 1
        SINTERCARD 2 b none
        SINTERCARD 0 b
        SINTERCARD -1 b
        SINTERCARD x b
        SINTERCARD 3 b c
        SINTERCARD 1 b c
        SINTERCARD
        SADD i1 1 2 3 4 5
        SADD i2 4 5 6 7
        SADD i3 5 50
        ~unordered SINTER i1 i2
        ~unordered SINTER i1 i2 i3
        ~unordered SUNION i1 i2 i3
        ~unordered SDIFF i1 i2 i3
        SINTERSTORE i4 i1 i2
        ~any OBJECT ENCODING i4
        SUNIONSTORE i5 i1 none
        ~unordered SMEMBERS i5
        RPUSH l 1
        SINTERSTORE d l a
        SUNIONSTORE d a l
        SDIFFSTORE d l a
        SINTERCARD 2 a l
        SINTER none l
        SDIFF none l
        "#,
    );
}

#[test]
fn random_members() {
    check_encodings(
        r#"
        SPOP none
        SPOP none 3
        SRANDMEMBER none
        SRANDMEMBER none 3
        SRANDMEMBER none -3
        SADD s a
        SRANDMEMBER s
        SRANDMEMBER s 1
        SRANDMEMBER s 9
        SRANDMEMBER s -3
        SRANDMEMBER s 0
        SPOP s
        EXISTS s
        SADD s a b c d e f g h
        ~kind SRANDMEMBER s
        ~size SRANDMEMBER s 3
        ~size SRANDMEMBER s 7
        ~size SRANDMEMBER s -20
        ~unordered SRANDMEMBER s 8
        ~unordered SRANDMEMBER s 100
        SRANDMEMBER s x
        SRANDMEMBER s 1 2
        SRANDMEMBER s -9223372036854775808
        ~kind SPOP s
        SCARD s
        ~size SPOP s 3
        SCARD s
        SPOP s 0
        SPOP s -1
        SPOP s x
        SPOP s 1 2
        ~size SPOP s 100
        EXISTS s
        SADD n 1 2 3 4 5
        ~size SPOP n 4
        SCARD n
        ~size SPOP n 1
        EXISTS n
        SPOP
        SRANDMEMBER
        "#,
    );
}

#[test]
fn encodings_of_integers() {
    check(
        r#"
        CONFIG SET set-max-intset-entries 4
        SADD s 1 2 3 4
        OBJECT ENCODING s
        SADD s 70000 
        ~any OBJECT ENCODING s
        SADD t 1
        OBJECT ENCODING t
        SADD t -9223372036854775808 9223372036854775807
        OBJECT ENCODING t
        ~unordered SMEMBERS t
        SADD t 32768
        SREM t 1
        OBJECT ENCODING t
        "#,
    );
}

#[test]
fn encodings_follow_the_thresholds() {
    check_newer(
        &Program::Valkey9,
        r#"
        CONFIG SET set-max-intset-entries 4 set-max-listpack-entries 6 set-max-listpack-value 8
        SADD s 1 2 3 4
        OBJECT ENCODING s
        SADD s 5
        OBJECT ENCODING s
        SADD s 6 7
        OBJECT ENCODING s
        SADD t 1 2
        OBJECT ENCODING t
        SADD t word
        OBJECT ENCODING t
        SADD t 3 4 5
        OBJECT ENCODING t
        SADD t 6
        OBJECT ENCODING t
        SREM t 1 2 3 4 5 6
        OBJECT ENCODING t
        SADD u 123456789
        OBJECT ENCODING u
        SADD u 12345678x
        OBJECT ENCODING u
        SADD v a
        OBJECT ENCODING v
        SADD v 123456789
        OBJECT ENCODING v
        SUNIONSTORE w t u
        OBJECT ENCODING w
        SADD p a b c
        SADD q b c d
        SINTERSTORE r p q
        OBJECT ENCODING r
        SUNIONSTORE r p q
        OBJECT ENCODING r
        SDIFFSTORE r p q
        OBJECT ENCODING r
        "#,
    );
}
