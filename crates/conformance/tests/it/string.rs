//! Strings: R1.1, R1.8.

use crate::check;

#[test]
fn set_and_get() {
    check(
        r#"
        GET k
        SET k v
        GET k
        SET k
        SET
        GET
        GET k k
        SET k v2 NX
        GET k
        SET k v3 XX
        GET k
        SET n v NX
        SET n2 v XX
        GET n2
        SET k v4 GET
        SET nn v GET
        SET k v5 NX GET
        SET nnn v6 NX GET
        GET nnn
        SET nnnn v6 XX GET
        GET nnnn
        SET k v NX XX
        SET k v KEEPTTL EX 10
        SET k v EX 10 PX 10
        SET k v EX
        SET k v EX x
        SET k v EX 0
        SET k v EX -1
        SET k v PX 0
        SET k v EX 9223372036854775807
        SET k v PX 9223372036854775807
        SET k v EXAT 9223372036854775807
        SET k v PXAT 9223372036854775807
        SET k v EX 1.5
        SET k v foo
        SET k v ex 100
        ~near 2 TTL k
        SET k v KEEPTTL
        ~near 2 TTL k
        SET k v
        TTL k
        SET k v px 100000
        ~near 2000 PTTL k
        SET k v EXAT 4102444800
        EXPIRETIME k
        SET k v PXAT 4102444800123
        PEXPIRETIME k
        SET k v EXAT 1
        EXISTS k
        SET k v PXAT 1 GET
        EXISTS k
        SET k "" 
        GET k
        STRLEN k
        SET "" empty
        GET ""
        SET "a\x00b" "\x00\xff\r\n"
        GET "a\x00b"
        RPUSH l 1
        GET l
        SET l v GET
        TYPE l
        SET l v
        TYPE l
        SET <long*100> <value*5000>
        GET <long*100>
        STRLEN <long*100>
        set k lower
        gEt k
        "#,
    );
}

#[test]
fn setnx_setex_getset() {
    check(
        r#"
        SETNX k 1
        SETNX k 2
        GET k
        SETNX k
        SETEX k 100 v
        ~near 2 TTL k
        SETEX k 0 v
        SETEX k -5 v
        SETEX k x v
        SETEX k 9223372036854775807 v
        SETEX k 10
        PSETEX k 100000 w
        ~near 2000 PTTL k
        PSETEX k 0 v
        PSETEX k 9223372036854775807 v
        GETSET k new
        TTL k
        GETSET fresh 1
        GETSET k
        RPUSH l 1
        GETSET l 1
        SETNX l 1
        SETEX l 100 over
        TYPE l
        GETDEL k
        GETDEL k
        EXISTS k
        RPUSH m 1
        GETDEL m
        GETDEL
        SET k v
        GETEX k
        TTL k
        GETEX k EX 100
        ~near 2 TTL k
        GETEX k PX 100000
        ~near 2000 PTTL k
        GETEX k EXAT 4102444800
        EXPIRETIME k
        GETEX k PXAT 4102444800001
        PEXPIRETIME k
        GETEX k PERSIST
        TTL k
        GETEX k PERSIST EX 10
        GETEX k EX 0
        GETEX k EX x
        GETEX k foo
        GETEX k KEEPTTL
        GETEX missing EX 10
        GETEX m EX 10
        GETEX k EXAT 1
        EXISTS k
        GETEX
        "#,
    );
}

#[test]
fn counters() {
    check(
        r#"
        INCR n
        INCR n
        INCRBY n 40
        DECR n
        DECRBY n 2
        GET n
        INCRBY n -5
        DECRBY n -5
        INCRBY n x
        INCRBY n 1.5
        INCRBY n
        INCR
        SET n 9223372036854775807
        INCR n
        INCRBY n -1
        INCRBY n 9223372036854775807
        DECRBY n -9223372036854775808
        SET n -9223372036854775808
        DECR n
        DECRBY n 1
        DECRBY fresh -9223372036854775808
        SET n " 1"
        INCR n
        SET n "1 "
        INCR n
        SET n 01
        INCR n
        SET n +1
        INCR n
        SET n ""
        INCR n
        SET n -0
        INCR n
        SET n abc
        INCR n
        SET n 9223372036854775808
        INCR n
        RPUSH l 1
        INCR l
        INCRBYFLOAT l 1
        SET t 5 EX 100
        INCR t
        ~near 2 TTL t
        INCRBYFLOAT f 0.1
        INCRBYFLOAT f 0.2
        INCRBYFLOAT f -0.3
        INCRBYFLOAT f 5e3
        INCRBYFLOAT f 1e-5
        GET f
        INCRBYFLOAT f x
        INCRBYFLOAT f nan
        INCRBYFLOAT f inf
        INCRBYFLOAT f -inf
        INCRBYFLOAT f " 1"
        INCRBYFLOAT f ""
        INCRBYFLOAT f 0x10
        SET f 3.0e3
        INCRBYFLOAT f 200
        SET f " 1"
        INCRBYFLOAT f 1
        SET f 1e400
        INCRBYFLOAT f 1
        SET f 1.7976931348623157e308
        INCRBYFLOAT f 1
        SET f 1
        INCRBYFLOAT f 0.00000000000000001
        INCRBYFLOAT f 1000000000000000000
        SET f 10.5
        INCRBYFLOAT f -10.5
        GET f
        INCRBYFLOAT f
        DECR k k
        INCRBY k 1 2
        "#,
    );
}

#[test]
fn ranges_and_append() {
    check(
        r#"
        APPEND k Hello
        APPEND k " World"
        GET k
        OBJECT ENCODING k
        STRLEN k
        STRLEN none
        GETRANGE k 0 -1
        GETRANGE k 0 3
        GETRANGE k -3 -1
        GETRANGE k -100 2
        GETRANGE k 5 1000
        GETRANGE k 5 2
        GETRANGE k -1 -5
        GETRANGE k 100 200
        GETRANGE k 0 -100
        GETRANGE none 0 -1
        GETRANGE k x 1
        GETRANGE k 0 9223372036854775807
        GETRANGE k -9223372036854775808 -1
        GETRANGE k 0
        SUBSTR k 1 3
        SUBSTR k
        SETRANGE k 6 Redis
        GET k
        SETRANGE k 20 x
        GET k
        SETRANGE none 0 ""
        EXISTS none
        SETRANGE none 5 ""
        EXISTS none
        SETRANGE none 3 abc
        GET none
        SETRANGE k -1 x
        SETRANGE k x x
        SETRANGE k 536870912 x
        SETRANGE k 9223372036854775807 x
        SETRANGE k 536870910 abc
        SETRANGE k 1 ""
        RPUSH l 1
        SETRANGE l 0 x
        APPEND l x
        GETRANGE l 0 1
        STRLEN l
        SET n 12345
        GETRANGE n 1 3
        SETRANGE n 1 xx
        GET n
        SET n 100
        APPEND n 23
        GET n
        INCR n
        STRLEN n
        SET t v EX 100
        APPEND t v
        SETRANGE t 0 x
        ~near 2 TTL t
        APPEND k
        STRLEN
        SETRANGE k 0
        "#,
    );
}

#[test]
fn several_keys() {
    check(
        r#"
        MSET a 1 b 2 c 3
        MGET a b c none
        MGET
        MSET
        MSET a
        MSET a 1 b
        MSET a x a y
        GET a
        MSETNX a 1 n1 2
        EXISTS n1
        MSETNX n1 1 n2 2 n1 3
        MGET n1 n2
        MSETNX n3
        MSETNX n3 1 n4
        RPUSH l 1
        MGET a l b
        MSET l 1
        TYPE l
        SET t v EX 100
        MSET t w
        TTL t
        MGET a a a
        "#,
    );
}

#[test]
fn longest_common_subsequence() {
    check(
        r#"
        MSET x ohmytext y mynewtext
        LCS x y
        LCS x y LEN
        LCS x y IDX
        LCS x y IDX MINMATCHLEN 4
        LCS x y IDX MINMATCHLEN 4 WITHMATCHLEN
        LCS x y IDX WITHMATCHLEN
        LCS x y LEN IDX
        LCS x y WITHMATCHLEN
        LCS x y MINMATCHLEN
        LCS x y MINMATCHLEN x
        LCS x y MINMATCHLEN -5 IDX
        LCS x y foo
        LCS x none
        LCS none none2
        LCS none none2 LEN
        LCS none none2 IDX
        LCS x x IDX
        LCS x
        RPUSH l 1
        LCS x l
        LCS l x LEN
        MSET p abcdefghij q "axbxcxdxexf"
        LCS p q
        LCS p q IDX WITHMATCHLEN
        "#,
    );
}

#[test]
fn encodings() {
    check(
        r#"
        SET k 1
        OBJECT ENCODING k
        SET k 9223372036854775807
        OBJECT ENCODING k
        SET k 9223372036854775808
        OBJECT ENCODING k
        SET k -0
        OBJECT ENCODING k
        SET k 01
        OBJECT ENCODING k
        SET k short
        OBJECT ENCODING k
        SET k <x*44>
        OBJECT ENCODING k
        SET k <x*300>
        OBJECT ENCODING k
        SET k 1
        APPEND k 2
        OBJECT ENCODING k
        SET k 3
        INCR k
        OBJECT ENCODING k
        SET k 3.5
        INCRBYFLOAT k 1
        OBJECT ENCODING k
        SET k ab
        SETRANGE k 0 x
        OBJECT ENCODING k
        MSET m1 5 m2 word
        OBJECT ENCODING m1
        OBJECT ENCODING m2
        GETSET m1 7
        OBJECT ENCODING m1
        OBJECT ENCODING none
        "#,
    );
}
