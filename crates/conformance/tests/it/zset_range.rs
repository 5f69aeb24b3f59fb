//! Sorted sets by rank, by score and by text: R1.5.

use crate::check_encodings;

#[test]
fn by_rank() {
    check_encodings(
        r#"
        ZADD z 1 a 2 b 3 c 4 d 5 e
        ZRANGE z 0 -1
        ZRANGE z 0 -1 WITHSCORES
        ZRANGE z 1 3
        ZRANGE z -2 -1
        ZRANGE z 3 1
        ZRANGE z 10 20
        ZRANGE z -100 0
        ZRANGE z 0 -1 REV
        ZRANGE z 0 1 REV WITHSCORES
        ZRANGE z 0 x
        ZRANGE z 0
        ZRANGE z 0 -1 foo
        ZRANGE z 0 -1 LIMIT 0 1
        ZRANGE none 0 -1
        ZREVRANGE z 0 -1
        ZREVRANGE z 0 1 WITHSCORES
        ZREVRANGE z 0 -1 foo
        ZREVRANGE z 1 -2
        SET s v
        ZRANGE s 0 -1
        ZREMRANGEBYRANK z 0 1
        ZREMRANGEBYRANK z -1 -1
        ZREMRANGEBYRANK z 10 20
        ZREMRANGEBYRANK z x 1
        ZREMRANGEBYRANK none 0 1
        ZREMRANGEBYRANK s 0 1
        ZRANGE z 0 -1
        ZREMRANGEBYRANK z 0 -1
        EXISTS z
        ZRANGESTORE d none 0 -1
        EXISTS d
        ZADD y 1 a 2 b 3 c
        ZRANGESTORE d y 0 1
        ZRANGE d 0 -1 WITHSCORES
        ZRANGESTORE d y 0 0 REV
        ZRANGE d 0 -1 WITHSCORES
        ZRANGESTORE d y 1 2 BYSCORE
        ZRANGESTORE d y (1 +inf BYSCORE LIMIT 1 1
        ZRANGE d 0 -1 WITHSCORES
        ZRANGESTORE d y [a (c BYLEX
        ZRANGE d 0 -1 WITHSCORES
        ZRANGESTORE d y 5 6
        EXISTS d
        ZRANGESTORE d y 0 1 WITHSCORES
        ZRANGESTORE s y 0 -1
        TYPE s
        RPUSH l 1
        ZRANGESTORE d l 0 -1
        ZRANGESTORE d y
        "#,
    );
}

#[test]
fn by_score() {
    check_encodings(
        r#"
        ZADD z 1 a 2 b 2 c 3 d inf e -inf f 2.5 g
        ZRANGEBYSCORE z 1 3
        ZRANGEBYSCORE z (1 (3
        ZRANGEBYSCORE z -inf +inf
        ZRANGEBYSCORE z (-inf (+inf WITHSCORES
        ZRANGEBYSCORE z 3 1
        ZRANGEBYSCORE z -inf +inf LIMIT 1 2
        ZRANGEBYSCORE z -inf +inf LIMIT 0 -1
        ZRANGEBYSCORE z -inf +inf LIMIT -1 5
        ZRANGEBYSCORE z -inf +inf LIMIT 100 1
        ZRANGEBYSCORE z -inf +inf LIMIT 0 0
        ZRANGEBYSCORE z -inf +inf LIMIT 1 2 WITHSCORES
        ZRANGEBYSCORE z -inf +inf WITHSCORES LIMIT 1 2
        ZRANGEBYSCORE z x 1
        ZRANGEBYSCORE z 1 nan
        ZRANGEBYSCORE z ( 1
        ZRANGEBYSCORE z [1 2
        ZRANGEBYSCORE z 1 2 LIMIT 1
        ZRANGEBYSCORE z 1 2 LIMIT x 1
        ZRANGEBYSCORE z 1 2 foo
        ZRANGEBYSCORE none 1 2
        ZRANGEBYSCORE z 1
        ZREVRANGEBYSCORE z 3 1
        ZREVRANGEBYSCORE z (3 (1 WITHSCORES
        ZREVRANGEBYSCORE z +inf -inf LIMIT 1 2
        ZREVRANGEBYSCORE z 1 3
        ZREVRANGEBYSCORE none 1 3
        ZRANGE z 1 3 BYSCORE
        ZRANGE z (1 3 BYSCORE LIMIT 0 1 WITHSCORES
        ZRANGE z 3 1 BYSCORE REV
        ZRANGE z +inf (2 BYSCORE REV LIMIT 0 2
        ZRANGE z 1 3 BYSCORE BYLEX
        ZRANGE z x 3 BYSCORE
        ZRANGE z 1 3 BYSCORE LIMIT 1
        ZCOUNT z 1 3
        ZCOUNT z (1 3
        ZCOUNT z -inf +inf
        ZCOUNT z 3 1
        ZCOUNT z x 1
        ZCOUNT none 1 2
        ZCOUNT z 1
        ZREMRANGEBYSCORE z (2 3
        ZREMRANGEBYSCORE z 10 20
        ZREMRANGEBYSCORE z x 1
        ZREMRANGEBYSCORE none 1 2
        ZREMRANGEBYSCORE z 1
        ZRANGE z 0 -1 WITHSCORES
        ZREMRANGEBYSCORE z -inf +inf
        EXISTS z
        SET s v
        ZRANGEBYSCORE s 1 2
        ZREVRANGEBYSCORE s 1 2
        ZCOUNT s 1 2
        ZREMRANGEBYSCORE s 1 2
        "#,
    );
}

#[test]
fn by_text() {
    check_encodings(
        r#"
        ZADD z 0 a 0 b 0 c 0 d 0 e 0 "" 0 aa 0 <b*40>
        ZRANGEBYLEX z - +
        ZRANGEBYLEX z [b [d
        ZRANGEBYLEX z (b (d
        ZRANGEBYLEX z - (c
        ZRANGEBYLEX z [c +
        ZRANGEBYLEX z + -
        ZRANGEBYLEX z [d [b
        ZRANGEBYLEX z [b (b
        ZRANGEBYLEX z - + LIMIT 1 2
        ZRANGEBYLEX z - + LIMIT -1 2
        ZRANGEBYLEX z - + LIMIT 0 -1
        ZRANGEBYLEX z - + LIMIT 1
        ZRANGEBYLEX z - + WITHSCORES
        ZRANGEBYLEX z b d
        ZRANGEBYLEX z ( d
        ZRANGEBYLEX z [ [a
        ZRANGEBYLEX none - +
        ZRANGEBYLEX z -
        ZREVRANGEBYLEX z + -
        ZREVRANGEBYLEX z [d [b
        ZREVRANGEBYLEX z [b [d
        ZREVRANGEBYLEX z + - LIMIT 1 2
        ZREVRANGEBYLEX z (d (a
        ZRANGE z [b [d BYLEX
        ZRANGE z [d [b BYLEX REV
        ZRANGE z - + BYLEX LIMIT 2 2
        ZRANGE z - + BYLEX WITHSCORES
        ZRANGE z b d BYLEX
        ZLEXCOUNT z - +
        ZLEXCOUNT z [b (d
        ZLEXCOUNT z [d [b
        ZLEXCOUNT z x y
        ZLEXCOUNT none - +
        ZLEXCOUNT z -
        ZREMRANGEBYLEX z [b (d
        ZREMRANGEBYLEX z [x [y
        ZREMRANGEBYLEX z x y
        ZREMRANGEBYLEX none - +
        ZRANGE z 0 -1
        ZREMRANGEBYLEX z - +
        EXISTS z
        SET s v
        ZRANGEBYLEX s - +
        ZREVRANGEBYLEX s + -
        ZLEXCOUNT s - +
        ZREMRANGEBYLEX s - +
        "#,
    );
}
