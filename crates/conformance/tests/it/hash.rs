//! Hashes: R1.2. Field expiry is in `hash_expire`.

use crate::{check, check_encodings};

#[test]
fn set_and_get_fields() {
    check_encodings(
        r#"
        HSET h a 1
        HSET h a 2 b 3 c 4
        HSET h a
        HSET h
        HSET h a 1 b
        HGET h a
        HGET h none
        HGET none a
        HGET h
        HMSET h x 1 y 2
        HMSET h x
        HMSET h x 1 y
        HMGET h a b none x
        HMGET none a b
        HMGET h
        ~pairs HGETALL h
        HGETALL none
        HGETALL
        ~unordered HKEYS h
        ~unordered HVALS h
        HKEYS none
        HVALS none
        HLEN h
        HLEN none
        HEXISTS h a
        HEXISTS h none
        HEXISTS none a
        HSTRLEN h a
        HSTRLEN h none
        HSTRLEN none a
        HSETNX h a 5
        HSETNX h fresh 5
        HGET h a
        HDEL h a
        HDEL h a b none
        HDEL none a
        HDEL h
        ~pairs HGETALL h
        HDEL h c x y fresh
        EXISTS h
        HSET h <long*30> <value*100> "" "" "\x00" "\xff"
        ~pairs HGETALL h
        HGET h ""
        HSTRLEN h <long*30>
        HSET h n 12345678901234567890 m -5
        HGET h n
        HSTRLEN h m
        SET s v
        HSET s a 1
        HSETNX s a 1
        HGET s a
        HMGET s a
        HGETALL s
        HKEYS s
        HVALS s
        HLEN s
        HEXISTS s a
        HSTRLEN s a
        HDEL s a
        HINCRBY s a 1
        HINCRBYFLOAT s a 1
        HRANDFIELD s
        HSCAN s 0
        EXPIRE h 100
        HSET h q 1
        HDEL h q
        ~near 2 TTL h
        TYPE h
        "#,
    );
}

#[test]
fn counters() {
    check_encodings(
        r#"
        HINCRBY h n 1
        HINCRBY h n 41
        HINCRBY h n -50
        HINCRBY h n x
        HINCRBY h n 1.5
        HINCRBY h n
        HSET h n 9223372036854775807
        HINCRBY h n 1
        HINCRBY h n -1
        HSET h n -9223372036854775808
        HINCRBY h n -1
        HSET h w word
        HINCRBY h w 1
        HSET h w " 1"
        HINCRBY h w 1
        HINCRBYFLOAT h f 1.5
        HINCRBYFLOAT h f -0.25
        HINCRBYFLOAT h f 1e3
        HINCRBYFLOAT h f x
        HINCRBYFLOAT h f nan
        HINCRBYFLOAT h f inf
        HINCRBYFLOAT h f
        HSET h f word
        HINCRBYFLOAT h f 1
        HSET h f " 1"
        HINCRBYFLOAT h f 1
        HSET h f 3.0e3
        HINCRBYFLOAT h f 200
        HINCRBYFLOAT h g 0.1
        HINCRBYFLOAT h g 0.2
        HGET h g
        HSET h f 1.7e308
        HINCRBYFLOAT h f 1.7e308
        HSTRLEN h g
        HINCRBY fresh n 9223372036854775807
        HINCRBYFLOAT fresh n 1
        "#,
    );
}

#[test]
fn random_fields() {
    check_encodings(
        r#"
        HRANDFIELD none
        HRANDFIELD none 5
        HRANDFIELD none -5
        HRANDFIELD none 5 WITHVALUES
        HSET h a 1
        HRANDFIELD h
        HRANDFIELD h 1
        HRANDFIELD h 5
        HRANDFIELD h -3
        HRANDFIELD h -3 WITHVALUES
        HRANDFIELD h 5 WITHVALUES
        HRANDFIELD h 0
        HRANDFIELD h 0 WITHVALUES
        HSET h b 2 c 3 d 4 e 5
        ~kind HRANDFIELD h
        ~size HRANDFIELD h 3
        ~size HRANDFIELD h -10
        ~size HRANDFIELD h -10 WITHVALUES
        ~size HRANDFIELD h 2 WITHVALUES
        ~unordered HRANDFIELD h 5
        ~unordered HRANDFIELD h 50
        HRANDFIELD h x
        HRANDFIELD h 5 foo
        HRANDFIELD h 5 WITHVALUES foo
        ~unordered HRANDFIELD h 9223372036854775807
        HRANDFIELD h -9223372036854775808
        HRANDFIELD h -9223372036854775808 WITHVALUES
        HRANDFIELD
        "#,
    );
}

#[test]
fn encodings_follow_the_thresholds() {
    check(
        r#"
        CONFIG SET hash-max-listpack-entries 4 hash-max-listpack-value 10
        HSET h a 1 b 2 c 3 d 4
        OBJECT ENCODING h
        HSET h e 5
        OBJECT ENCODING h
        HDEL h a b c d
        OBJECT ENCODING h
        HGETALL h
        HSET v a 0123456789
        OBJECT ENCODING v
        HSET v a 0123456789x
        OBJECT ENCODING v
        HSET w 0123456789x 1
        OBJECT ENCODING w
        HSETNX x f 0123456789x
        OBJECT ENCODING x
        HSET y f 1 g 2 h 3 i 4
        HINCRBY y j 1
        OBJECT ENCODING y
        HSET z f 1
        HSET z f 2
        OBJECT ENCODING z
        CONFIG SET hash-max-listpack-entries 128 hash-max-listpack-value 64
        HSET z g <v*64>
        OBJECT ENCODING z
        HSET z g <v*65>
        OBJECT ENCODING z
        CONFIG SET hash-max-ziplist-entries 3
        CONFIG GET hash-max-listpack-entries
        HSET q a 1 b 2 c 3
        OBJECT ENCODING q
        HMSET q d 4
        OBJECT ENCODING q
        "#,
    );
}
