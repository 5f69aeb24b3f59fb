//! Lists: R1.3. Blocking commands are in `blocking`.

use crate::{check, check_encodings, check_newer};
use ochre_testkit::Program;

#[test]
fn push_pop_and_range() {
    check_encodings(
        r#"
        RPUSH l a b c
        LPUSH l z y
        LRANGE l 0 -1
        LLEN l
        LLEN none
        LPUSHX none x
        RPUSHX none x
        LPUSHX l x1 x2
        RPUSHX l x3
        LRANGE l 0 -1
        LRANGE l 1 2
        LRANGE l -3 -1
        LRANGE l 5 1
        LRANGE l 100 200
        LRANGE l -100 1
        LRANGE l 0 x
        LRANGE none 0 -1
        LRANGE l 0
        LPOP l
        RPOP l
        LPOP l 2
        RPOP l 2
        LPOP l 0
        RPOP l 0
        LPOP l -1
        LPOP l x
        LPOP l 1 2
        LPOP none
        LPOP none 2
        LPOP none 0
        RPOP none 5
        LPOP l 100
        EXISTS l
        RPUSH l <a*100> <b*9000> <c*3> 12345 -1 "" "\x00\xff"
        LRANGE l 0 -1
        LINDEX l 1
        RPOP l 3
        LPOP l
        LRANGE l 0 -1
        SET s v
        LPUSH s a
        RPUSH s a
        LPUSHX s a
        LPOP s
        LPOP s 1
        RPOP s
        LLEN s
        LRANGE s 0 -1
        LPUSH l
        RPUSH
        LPUSHX l
        LLEN
        LPOP
        TYPE l
        RPUSH many 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25
        LRANGE many 10 20
        LRANGE many -5 100
        LPOP many 13
        RPOP many 20
        EXISTS many
        "#,
    );
}

#[test]
fn index_set_insert_remove_trim() {
    check_encodings(
        r#"
        RPUSH l a b c d e a b c d e
        LINDEX l 0
        LINDEX l -1
        LINDEX l 10
        LINDEX l -11
        LINDEX l x
        LINDEX none 0
        LSET l 0 A
        LSET l -1 E
        LSET l 10 x
        LSET l x x
        LSET none 0 x
        LSET l 0
        LRANGE l 0 -1
        LINSERT l BEFORE b X
        LINSERT l AFTER b Y
        LINSERT l after nothere Z
        LINSERT none BEFORE a b
        LINSERT l between a b
        LINSERT l BEFORE a
        LRANGE l 0 -1
        LREM l 1 b
        LREM l -1 c
        LREM l 0 d
        LREM l 5 nothere
        LREM l x a
        LREM none 0 a
        LRANGE l 0 -1
        LREM l -100 X
        LTRIM l 1 -2
        LRANGE l 0 -1
        LTRIM l 5 1
        EXISTS l
        RPUSH l 1 2 3
        LTRIM l 0 100
        LTRIM l -2 -1
        LRANGE l 0 -1
        LTRIM l x 1
        LTRIM none 0 1
        LTRIM l 0
        RPUSH m 1 1 1
        LREM m 0 1
        EXISTS m
        SET s v
        LINDEX s 0
        LSET s 0 a
        LINSERT s BEFORE a b
        LREM s 0 a
        LTRIM s 0 1
        RPUSH big <x*9000> <y*9000> small
        LSET big 2 <z*9000>
        LINSERT big AFTER small none
        LINSERT big BEFORE <z*9000> mid
        LRANGE big 0 -1
        LSET big 0 tiny
        LREM big 1 <y*9000>
        LRANGE big 0 -1
        "#,
    );
}

#[test]
fn positions() {
    check_encodings(
        r#"
        RPUSH l a b c 1 2 3 c c
        LPOS l a
        LPOS l c
        LPOS l none
        LPOS none a
        LPOS l c RANK 2
        LPOS l c RANK -1
        LPOS l c RANK -2
        LPOS l c RANK 4
        LPOS l c RANK 0
        LPOS l c RANK -9223372036854775808 =?> (err) ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807
        LPOS l c COUNT 2
        LPOS l c COUNT 0
        LPOS l c COUNT -1
        LPOS l none COUNT 0
        LPOS none a COUNT 0
        LPOS l c COUNT 1 RANK 2
        LPOS l c COUNT 2 RANK -1
        LPOS l c MAXLEN 3
        LPOS l c MAXLEN 2
        LPOS l c MAXLEN 0 COUNT 0
        LPOS l c MAXLEN -1
        LPOS l c MAXLEN 3 RANK -1 COUNT 0
        LPOS l c RANK
        LPOS l c foo 1
        LPOS l c RANK x
        LPOS l 1
        LPOS l
        SET s v
        LPOS s a
        "#,
    );
}

#[test]
fn moves() {
    check_encodings(
        r#"
        RPUSH src a b c d
        LMOVE src dst LEFT RIGHT
        LMOVE src dst RIGHT LEFT
        LMOVE src dst left left
        LMOVE src dst right right
        EXISTS src
        LRANGE dst 0 -1
        LMOVE dst dst LEFT RIGHT
        LMOVE dst dst RIGHT LEFT
        LMOVE dst dst LEFT LEFT
        LRANGE dst 0 -1
        LMOVE none dst LEFT RIGHT
        LMOVE none none2 LEFT RIGHT
        EXISTS none2
        LMOVE dst x UP DOWN
        LMOVE dst x LEFT
        RPOPLPUSH dst d2
        RPOPLPUSH none d2
        RPOPLPUSH dst dst
        RPOPLPUSH dst
        LRANGE d2 0 -1
        SET s v
        RPOPLPUSH s dst
        RPOPLPUSH dst s
        LMOVE dst s LEFT LEFT
        LMOVE none s LEFT LEFT
        LLEN dst
        RPUSH a 1 2 3 4
        RPUSH b 5 6 7
        LMPOP 2 none a LEFT
        LMPOP 2 a b RIGHT COUNT 2
        LMPOP 2 a b LEFT COUNT 10
        LMPOP 2 a b RIGHT COUNT 10
        LMPOP 2 a b LEFT
        LMPOP 1 none LEFT
        LMPOP 0 a LEFT
        LMPOP -1 a LEFT
        LMPOP x a LEFT
        LMPOP 2 a LEFT
        LMPOP 1 a UP
        LMPOP 1 a LEFT COUNT 0
        LMPOP 1 a LEFT COUNT x
        LMPOP 1 a LEFT COUNT 1 COUNT 2
        LMPOP 1 a LEFT foo
        LMPOP 1 s LEFT
        LMPOP 1 a
        LMPOP
        "#,
    );
}

#[test]
fn ttl_survives_changes() {
    check(
        r#"
        RPUSH l a b c
        EXPIRE l 100
        LPUSH l x
        LPOP l
        LSET l 0 y
        LTRIM l 0 1
        ~near 2 TTL l
        DEL l
        RPUSH l a
        TTL l
        "#,
    );
}

#[test]
fn encodings_follow_the_thresholds() {
    check_newer(
        &Program::Valkey9,
        r#"
        RPUSH l a b c
        ~any OBJECT ENCODING l
        CONFIG SET list-max-listpack-size 4
        DEL l
        RPUSH l a b c d
        OBJECT ENCODING l
        RPUSH l e
        OBJECT ENCODING l
        LPOP l 4
        OBJECT ENCODING l
        CONFIG SET list-max-listpack-size -1
        DEL l
        RPUSH l <a*4000>
        OBJECT ENCODING l
        RPUSH l <a*4000>
        OBJECT ENCODING l
        LPOP l
        OBJECT ENCODING l
        LTRIM l 0 0
        RPUSH l 1 2 3
        LSET l 0 x
        OBJECT ENCODING l
        CONFIG SET list-max-listpack-size -2
        DEL l
        RPUSH l <a*8000>
        OBJECT ENCODING l
        LINSERT l AFTER none x
        LINSERT l AFTER <a*8000> <b*300>
        OBJECT ENCODING l
        "#,
    );
}
