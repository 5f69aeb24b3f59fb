//! Streams: R1.3. Entries, trims and counters; consumer groups are in `stream_groups`.

use crate::{check, check_newer, redis7_pair};
use ochre_testkit::Program;
use ochre_testkit::oracle::Resp;

#[test]
fn adding_and_reading() {
    check(
        r#"
        XADD s 1-1 a 1
        XADD s 1-1 a b
        XADD s 0-5 a b
        XADD s 1-* a 2 b 3
        XADD s 2 a 1
        XADD s 2-* c ""
        XADD s 3-0 <f*100> <v*5000> n -12345678901
        XADD s 0-0 a b
        XADD none 0-0 a b
        XADD z 0-* a b
        XADD z 1-* a b
        XADD z 0-* a b
        XADD s abc a b
        XADD s 1-x a b
        XADD s - a b
        XADD s 007-01 a b
        XADD s 18446744073709551616-0 a b
        XADD s
        XADD s 9-9 a
        XADD s 9-9 a b c
        XADD s NOMKSTREAM 9-9 a b
        XADD none NOMKSTREAM 9-9 a b
        EXISTS none
        XLEN s
        XLEN none
        XRANGE s - +
        XREVRANGE s + -
        XRANGE s 1 1
        XRANGE s 1-2 3
        XRANGE s (1-1 (3
        XRANGE s (1 +
        XREVRANGE s (3 (1-1
        XRANGE s - + COUNT 2
        XREVRANGE s + - COUNT 2
        XRANGE s - + COUNT 0
        XRANGE s - + COUNT -1
        XRANGE s - + COUNT 1 COUNT 3
        XRANGE s - + COUNT
        XRANGE s - + foo 1
        XRANGE s 3 1
        XRANGE s x +
        XRANGE s (- +
        XRANGE s ( +
        XRANGE s (18446744073709551615-18446744073709551615 +
        XREVRANGE s (0-0 -
        XRANGE s - (0-0
        XRANGE none x y
        XRANGE none - + COUNT 0
        XRANGE none - + COUNT x
        XREVRANGE none + -
        XADD top 18446744073709551615-18446744073709551614 a b
        XADD top * a b
        XADD top * a b
        XADD top 18446744073709551615-* a b
        XADD over 5-18446744073709551615 a b
        XADD over 5-* a b =?> (err) ERR The ID specified in XADD is equal or smaller than the target stream top item
        XADD over 6-* a b
        TYPE s
        OBJECT ENCODING s
        SCAN 0 COUNT 10000 TYPE list
        SET k v
        XADD k * a b
        XLEN k
        XRANGE k - +
        XREAD STREAMS k 0
        DEBUG DIGEST-VALUE s z none k
        COPY s t
        RENAME t u
        XRANGE u - + COUNT 1
        DEL u
        EXISTS u
        "#,
    );
}

#[test]
fn deleting_and_trimming() {
    check(
        r#"
        CONFIG SET stream-node-max-entries 3
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XADD s 4 b 4
        XADD s 5 b 5
        XADD s 6 b 6
        XADD s 7 b 7
        XADD s 8 b 8
        XDEL s 1 1 9
        XDEL s 4-0 5
        XDEL s x
        XDEL s 2 x
        XDEL none 1
        XDEL none x
        XLEN s
        XRANGE s - +
        XDEL s 6
        XADD s 9 c 9
        XTRIM s MAXLEN ~ 2
        XRANGE s - +
        XTRIM s MAXLEN 2
        XTRIM s MAXLEN = 1
        XTRIM s MINID 100
        EXISTS s
        XLEN s
        XADD s 5 a b
        XADD s MAXLEN 2 11 a b
        XADD s MAXLEN = 2 12 a b
        XADD s MAXLEN ~ 2 13 a b
        XADD s MINID 13 14 a b
        XADD s MINID ~ 14 15 a b
        XADD s MAXLEN ~ 0 LIMIT 0 16 a b
        XADD s MAXLEN ~ 0 LIMIT 2 17 a b
        XADD s MAXLEN ~ 0 LIMIT 3 18 a b
        XADD s MAXLEN 0 19 a b
        XRANGE s - +
        XADD s 20 a b
        XADD s MAXLEN 5 MINID 3 * a b
        XADD s MAXLEN -1 * a b
        XADD s MAXLEN x * a b
        XADD s MINID x * a b
        XADD s MAXLEN 5 LIMIT 3 * a b
        XADD s MAXLEN ~ 5 LIMIT -3 * a b
        XADD s MAXLEN = 5 LIMIT 0 * a b
        XADD s LIMIT 5 * a b
        XADD s MAXLEN 5
        XADD s MAXLEN
        XTRIM s
        XTRIM s MAXLEN
        XTRIM s foo 3
        XTRIM s MAXLEN 3 foo
        XTRIM s MINID 3 MAXLEN 3
        XTRIM s MAXLEN 3 LIMIT 3
        XTRIM s LIMIT 3 4
        XTRIM s MAXLEN ~ 3 LIMIT 0
        XTRIM none MAXLEN 3
        SET k v
        XDEL k 1
        XTRIM k MAXLEN 1
        DEBUG DIGEST-VALUE s
        CONFIG SET stream-node-max-entries 100
        "#,
    );
}

/// Blocks end where the peers' do, by entries and by bytes: approximate trims leave the same.
#[test]
fn blocks_are_the_peers() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "blocks");
    for (entries, bytes) in [("7", "0"), ("0", "300"), ("100", "4096"), ("9", "200")] {
        pair.run(&["FLUSHALL"], &[]);
        pair.run(&["CONFIG", "SET", "stream-node-max-entries", entries], &[]);
        pair.run(&["CONFIG", "SET", "stream-node-max-bytes", bytes], &[]);
        for n in 1..=400_u64 {
            let (id, long) = (n.to_string(), "v".repeat((n * 7 % 90) as usize));
            let number = (n * n * 40_503).to_string();
            let field = if n % 13 == 0 { "other" } else { "field" };
            pair.run(&["XADD", "s", &id, field, &long, "n", &number], &[]);
            if n % 5 == 0 {
                pair.run(&["XDEL", "s", &(n - 2).to_string()], &[]);
            }
        }
        for left in ["301", "300", "211", "150", "77", "40", "9", "1", "0"] {
            pair.run(&["XTRIM", "s", "MAXLEN", "~", left, "LIMIT", "0"], &[]);
            pair.run(&["XLEN", "s"], &[]);
        }
        pair.run(&["DEBUG", "DIGEST-VALUE", "s"], &[]);
    }
    pair.run(&["CONFIG", "SET", "stream-node-max-entries", "100"], &[]);
    pair.run(&["CONFIG", "SET", "stream-node-max-bytes", "4096"], &[]);
    pair.finish();
}

#[test]
fn counters() {
    check(
        r#"
        XSETID none 1-1
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XADD s 4 a 4
        XINFO STREAM s
        XDEL s 2
        XINFO STREAM s
        XDEL s 1
        XINFO STREAM s
        XTRIM s MAXLEN 1
        XINFO STREAM s
        XDEL s 4
        XINFO STREAM s
        XINFO STREAM s FULL
        XSETID s
        XSETID s x
        XSETID s 9-9
        XSETID s 8-9 ENTRIESADDED 50 MAXDELETEDID 7-7
        XINFO STREAM s
        XSETID s 6-6 MAXDELETEDID 7-7
        XSETID s 9 ENTRIESADDED -1
        XSETID s 9 ENTRIESADDED x
        XSETID s 9 MAXDELETEDID x
        XSETID s 9 foo 1
        XSETID s 9 ENTRIESADDED
        XADD s 10 a b
        XADD s 11 a b
        XSETID s 10
        XSETID s 20 ENTRIESADDED 1
        XSETID s 20 ENTRIESADDED 2
        XINFO STREAM s
        XADD s 15 a b
        XADD s 21 a b
        XINFO STREAM none
        XINFO STREAM s FULL COUNT 1
        XINFO STREAM s FULL COUNT 0
        XINFO STREAM s FULL COUNT -1
        XINFO STREAM s FULL COUNT x
        XINFO STREAM s FULL COUNT
        XINFO STREAM s FULL foo
        XINFO STREAM s FULL foo 1
        XINFO STREAM s foo
        XINFO STREAM
        XINFO foo
        XINFO
        ~kind XINFO HELP
        SET k v
        XINFO STREAM k
        XSETID k 1
        "#,
    );
}

#[test]
fn reading_several() {
    check(
        r#"
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XADD t 5 b 1
        XREAD STREAMS s 0
        XREAD STREAMS s t 1 0
        XREAD STREAMS s t none 1 9 0
        XREAD COUNT 1 STREAMS s t 0 0
        XREAD COUNT 0 STREAMS s 0
        XREAD COUNT -1 STREAMS s 0-0
        XREAD count 2 streams s 1-1
        XREAD STREAMS s 3
        XREAD STREAMS s $
        XREAD STREAMS none 0
        XREAD BLOCK 10 STREAMS s $
        XREAD BLOCK 10 STREAMS none $
        XREAD BLOCK 0 STREAMS s 1
        XREAD
        XREAD STREAMS s
        XREAD STREAMS s 0 1 =?> (err) ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.
        XREAD COUNT x STREAMS s 0
        XREAD BLOCK x STREAMS s 0
        XREAD BLOCK -1 STREAMS s 0
        XREAD foo STREAMS s 0
        XREAD NOACK STREAMS s 0
        XREAD GROUP g c STREAMS s 0
        XREAD STREAMS s >
        XREAD STREAMS s x
        XREAD COUNT 1 s 0
        SET k v
        XREAD STREAMS s k 0 0
        MULTI
        XREAD BLOCK 0 STREAMS s $
        XREAD BLOCK 0 STREAMS s 2
        EXEC
        "#,
    );
}

#[test]
fn waiting_for_entries() {
    check(
        r#"
        b> XREAD BLOCK 0 STREAMS s $
        c> XREAD BLOCK 0 STREAMS t s 0 0
        d> XREAD BLOCK 0 COUNT 5 STREAMS s 9-9
        @blocked 3
        XADD t NOMKSTREAM 1 a b
        XADD s 1 a b
        b<
        c<
        XADD s 9-9 a b
        XADD s 9-10 a b
        d<
        b> XREAD BLOCK 0 STREAMS s $
        @blocked 1
        DEL s
        SET s text
        DEL s
        XADD s 20 c d
        b<
        b> XREAD BLOCK 0 STREAMS s $
        @blocked 1
        MULTI
        XADD s 30 a b
        XADD s 31 a b
        EXEC
        b<
        b> XREAD BLOCK 0 STREAMS new 0
        @blocked 1
        RENAME s new
        b<
        b> XREAD BLOCK 0 STREAMS copy 0
        @blocked 1
        COPY new copy
        b<
        "#,
    );
}

#[test]
fn reading_the_last_entry() {
    check_newer(
        &Program::Redis8,
        r#"
        XREAD STREAMS s +
        XADD s 1 a 1
        XADD s 2 a 2
        XREAD STREAMS s +
        XREAD COUNT 9 STREAMS s none + +
        XDEL s 2
        XREAD STREAMS s +
        XDEL s 1
        XREAD STREAMS s +
        b> XREAD BLOCK 0 STREAMS s +
        @blocked 1
        XADD s 3 a 3
        b<
        XREAD STREAMS s 0 1
        XREAD STREAMS s
        XGROUP CREATE s g 0
        XREADGROUP GROUP g c STREAMS s 1 2
        XREADGROUP GROUP g c STREAMS s +
        "#,
    );
}
