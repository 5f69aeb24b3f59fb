//! Sorted sets: adding, scores, ranks, pops, algebra: R1.5. Ranges are in `zset_range`.

use crate::{check, check_encodings};

#[test]
fn add_and_scores() {
    check_encodings(
        r#"
        ZADD z 1 a 2 b 3 c
        ZADD z 1 a 5 b
        ZADD z CH 1 a 6 b 7 d
        ZADD z NX 9 a 1 e
        ZADD z XX 9 a 1 f
        ZADD z XX CH 10 a 1 f
        ZADD z GT 5 a 100 b 1 g
        ZADD z LT 5 a 100 b 1 h
        ZADD z GT CH 50 a 2 b
        ZADD z LT XX CH 1 a 200 b 1 nothere
        ZADD z NX XX 1 a
        ZADD z NX GT 1 a
        ZADD z NX LT 1 a
        ZADD z GT LT 1 a
        ZADD z INCR 5 a
        ZADD z INCR 1 a 2 b
        ZADD z NX INCR 5 a
        ZADD z XX INCR 5 nothere
        ZADD z GT INCR -5 a
        ZADD z LT INCR 5 a
        ZADD z 1
        ZADD z
        ZADD z a 1
        ZADD z nan a
        ZADD z x a
        ZADD z 1 a b
        ZADD z 1 a x b
        ZSCORE z b
        ZADD z inf i -inf j +inf k 1e308 l
        ZADD z INCR -inf i
        ZADD z 0x10 m =?> (err) ERR value is not a valid float
        ~any ZREM z m
        ZADD z -0 zero
        ZSCORE z zero
        ZADD z 1.1 p 3.141592653589793 q 1e21 r 1e-7 s 123456789012345680 t 0.30000000000000004 u
        ~float ZRANGE z 0 -1 WITHSCORES
        ZSCORE z a
        ZSCORE z none
        ZSCORE none a
        ZMSCORE z a none i
        ZMSCORE none a
        ZMSCORE z
        ZINCRBY z 2.5 a
        ZINCRBY z -1 fresh
        ZINCRBY z x a
        ZINCRBY z nan a
        ZINCRBY z inf i
        ZINCRBY z -inf k
        ZINCRBY z 1
        ZCARD z
        ZCARD none
        ZREM z a none b
        ZREM none a
        ZREM z
        ZADD w 1 x
        ZREM w x
        EXISTS w
        SET k v
        ZADD k 1 a
        ZADD k XX 1 a
        ZINCRBY k 1 a
        ZSCORE k a
        ZMSCORE k a
        ZCARD k
        ZREM k a
        ZRANK k a
        ZCOUNT k 0 1
        ZPOPMIN k
        ZRANDMEMBER k
        ZSCAN k 0
        ZADD none2 XX 1 a
        EXISTS none2
        EXPIRE z 100
        ZADD z 1 later
        ~near 2 TTL z
        TYPE z
        "#,
    );
}

#[test]
fn ranks() {
    check_encodings(
        r#"
        ZADD z 1 a 2 b 2 c 3 d -5 e inf f
        ZRANK z a
        ZRANK z e
        ZRANK z none
        ZRANK none a
        ZREVRANK z a
        ZREVRANK z f
        ZREVRANK z none
        ZRANK z
        ZREVRANK z
        ZADD many 1 a 1 b 1 c 1 d 1 e 1 f 1 g 1 h 1 i 1 j 1 k 1 l 1 m 1 n 1 o
        ZRANK many a
        ZRANK many h
        ZRANK many o
        ZREVRANK many h
        ZREM many d e f
        ZRANK many h
        "#,
    );
}

#[test]
fn pops() {
    check_encodings(
        r#"
        ZPOPMIN none
        ZPOPMAX none
        ZPOPMIN none 2
        ZADD z 1 a 2 b 3 c 4 d 5 e 6 f
        ZPOPMIN z
        ZPOPMAX z
        ZPOPMIN z 2
        ZPOPMAX z 0
        ZPOPMIN z -1
        ZPOPMIN z x
        ZPOPMIN z 1 2
        ZPOPMAX z 100
        EXISTS z
        ZADD a 1 x 2 y 3 w
        ZADD b 5 q
        ZMPOP 2 none a MIN
        ZMPOP 2 a b MAX COUNT 5
        ZMPOP 2 a b MAX COUNT 5
        ZMPOP 2 a b MIN
        ZMPOP 0 a MIN
        ZMPOP -1 a MIN
        ZMPOP x a MIN
        ZMPOP 1 a LEFT
        ZMPOP 2 a MIN
        ZMPOP 1 a MIN COUNT 0
        ZMPOP 1 a MIN COUNT x
        ZMPOP 1 a MIN COUNT 1 COUNT 2
        ZMPOP 1 a MIN foo
        SET s v
        ZMPOP 1 s MIN
        ZMPOP
        ZPOPMIN
        "#,
    );
}

#[test]
fn random_members() {
    check_encodings(
        r#"
        ZRANDMEMBER none
        ZRANDMEMBER none 3
        ZRANDMEMBER none -3 WITHSCORES
        ZADD z 1.5 a
        ZRANDMEMBER z
        ZRANDMEMBER z 2
        ZRANDMEMBER z -2
        ZRANDMEMBER z -2 WITHSCORES
        ZRANDMEMBER z 2 WITHSCORES
        ZRANDMEMBER z 0
        ZADD z 2 b 3 c 4 d
        ~kind ZRANDMEMBER z
        ~size ZRANDMEMBER z 2
        ~size ZRANDMEMBER z 3 WITHSCORES
        ~size ZRANDMEMBER z -9 WITHSCORES
        ~unordered ZRANDMEMBER z 4
        ZRANDMEMBER z x
        ZRANDMEMBER z 1 foo
        ZRANDMEMBER z 1 WITHSCORES foo
        ZRANDMEMBER z -9223372036854775808 WITHSCORES
        ZRANDMEMBER z -9223372036854775808
        ZRANDMEMBER
        "#,
    );
}

#[test]
fn algebra() {
    check_encodings(
        r#"
        ZADD a 1 x 2 y 3 z
        ZADD b 10 y 20 z 30 w
        SADD s x z q
        ZUNION 2 a b
        ZUNION 2 a b WITHSCORES
        ZUNION 2 a b WEIGHTS 2 3 WITHSCORES
        ZUNION 2 a b AGGREGATE MIN WITHSCORES
        ZUNION 2 a b AGGREGATE MAX WITHSCORES
        ZUNION 2 a b AGGREGATE SUM WEIGHTS 1 0.5 WITHSCORES
        ZUNION 3 a b s WITHSCORES
        ZUNION 1 none
        ZUNION 2 a none WITHSCORES
        ZUNION 2 a a WITHSCORES
        ZINTER 2 a b
        ZINTER 2 a b WITHSCORES
        ZINTER 2 a s WEIGHTS 1 10 WITHSCORES
        ZINTER 3 a b s WITHSCORES AGGREGATE MAX
        ZINTER 2 a none
        ZINTER 2 a a WITHSCORES
        ZDIFF 2 a b
        ZDIFF 2 a b WITHSCORES
        ZDIFF 2 a s WITHSCORES
        ZDIFF 2 a a
        ZDIFF 2 none a
        ZDIFF 1 a WITHSCORES
        ZUNIONSTORE d 2 a b
        ZRANGE d 0 -1 WITHSCORES
        ZINTERSTORE d 2 a b WEIGHTS 1 -1
        ZRANGE d 0 -1 WITHSCORES
        ZDIFFSTORE d 2 a b
        ZRANGE d 0 -1 WITHSCORES
        ZINTERSTORE d 2 a none
        EXISTS d
        ZUNIONSTORE a 2 a b AGGREGATE MAX
        ZRANGE a 0 -1 WITHSCORES
        SET k v EX 100
        ZUNIONSTORE k 1 b
        TYPE k
        TTL k
        ZINTERCARD 2 a b
        ZINTERCARD 2 a b LIMIT 1
        ZINTERCARD 2 a b LIMIT 0
        ZINTERCARD 2 a b LIMIT -1
        ZINTERCARD 2 a b LIMIT x
        ZINTERCARD 0 a
        ZINTERCARD x a
        ZINTERCARD 3 a b
        ZINTERCARD 2 a s
        ZINTERCARD 2 a b foo 1
        ZINTERCARD
        ZUNION 0 a
        ZUNION -1 a
        ZUNION x a
        ZUNION 3 a b
        ZUNION 2 a b WEIGHTS 1
        ZUNION 2 a b WEIGHTS 1 x
        ZUNION 2 a b WEIGHTS 1 nan
        ZUNION 2 a b AGGREGATE foo
        ZUNION 2 a b AGGREGATE
        ZUNION 2 a b foo
        ZUNIONSTORE d 2 a b WITHSCORES
        ZDIFF 2 a b WEIGHTS 1 2
        ZDIFFSTORE d 2 a b AGGREGATE MAX
        ZUNIONSTORE d 0 a
        ZUNIONSTORE d
        ZINTER
        RPUSH l 1
        ZUNION 2 a l
        ZINTER 2 l a
        ZDIFF 2 a l
        ZUNIONSTORE d 2 a l
        ZINTERCARD 2 a l
        ZADD i1 inf m -inf n
        ZADD i2 -inf m inf n
        ZUNION 2 i1 i2 WITHSCORES
        ZUNION 2 i1 i2 WEIGHTS 0 0 WITHSCORES
        ZINTER 2 i1 i2 WEIGHTS inf 1 WITHSCORES
        "#,
    );
}

#[test]
fn encodings_follow_the_thresholds() {
    check(
        r#"
        CONFIG SET zset-max-listpack-entries 3 zset-max-listpack-value 8
        ZADD z 1 a 2 b 3 c
        OBJECT ENCODING z
        ZADD z 1 a
        OBJECT ENCODING z
        ZADD z 4 d
        OBJECT ENCODING z
        ZREM z a b c
        OBJECT ENCODING z
        ZADD y 1 01234567
        OBJECT ENCODING y
        ZADD y 1 012345678
        OBJECT ENCODING y
        ZADD x 1 0123456789
        OBJECT ENCODING x
        ZINCRBY w 1 0123456789
        OBJECT ENCODING w
        ZADD v 1 a 2 b
        ZUNIONSTORE u 2 v z
        OBJECT ENCODING u
        ZUNIONSTORE u 2 v x
        OBJECT ENCODING u
        ZRANGESTORE t v 0 -1
        OBJECT ENCODING t
        ZADD q 1 a 2 b 3 c
        ZINCRBY q 1 d
        OBJECT ENCODING q
        CONFIG SET zset-max-listpack-entries 0
        ZADD none 1 a
        OBJECT ENCODING none
        "#,
    );
}
