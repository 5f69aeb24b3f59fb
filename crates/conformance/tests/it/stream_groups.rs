//! Consumer groups of streams: R1.3.

use crate::{check, check_newer};
use ochre_testkit::Program;

#[test]
fn groups_and_consumers() {
    check(
        r#"
        XGROUP CREATE none g 0
        XGROUP CREATE none g $ MKSTREAM
        XLEN none
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XGROUP CREATE s g 0
        XGROUP CREATE s g 0
        XGROUP CREATE s h $
        XGROUP CREATE s i 2-0 ENTRIESREAD 2
        XGROUP CREATE s j - ENTRIESREAD -1
        XGROUP CREATE s k +
        XGROUP CREATE s x x
        XGROUP CREATE s x 0 MKSTREAM MKSTREAM ENTRIESREAD 1
        XGROUP CREATE s x 0 MKSTREAM MKSTREAM
        XGROUP SETID s x 0 ENTRIESREAD 1 ENTRIESREAD 2
        XGROUP SETID s nogroup 0 ENTRIESREAD 1 ENTRIESREAD 2
        XGROUP CREATE s x 0 foo
        XGROUP CREATE s x 0 ENTRIESREAD
        XGROUP CREATE s x 0 ENTRIESREAD x
        XGROUP CREATE s x 0 ENTRIESREAD -2
        XINFO GROUPS s
        XGROUP SETID s g 2
        XGROUP SETID s h 1 ENTRIESREAD 1
        XGROUP SETID s no 0
        XGROUP SETID none2 g 0
        XGROUP SETID s g 0 foo
        XGROUP SETID s g 0 MKSTREAM
        XGROUP SETID s g x
        XINFO GROUPS s
        XGROUP CREATECONSUMER s g b
        XGROUP CREATECONSUMER s g a
        XGROUP CREATECONSUMER s g a
        XGROUP CREATECONSUMER s no c
        XGROUP CREATECONSUMER none2 g c
        XINFO GROUPS s
        XGROUP DELCONSUMER s g a
        XGROUP DELCONSUMER s g a
        XGROUP DELCONSUMER s no a
        XGROUP DESTROY s j
        XGROUP DESTROY s j
        XGROUP DESTROY none2 j
        XINFO GROUPS s
        XINFO GROUPS none2
        XINFO CONSUMERS none2 g
        XINFO CONSUMERS s no
        XINFO CONSUMERS s
        XGROUP
        XGROUP foo
        XGROUP CREATE s
        ~kind XGROUP HELP
        SET k v
        XGROUP CREATE k g 0
        XGROUP CREATE k g 0 MKSTREAM
        XGROUP SETID k g 0
        XGROUP DESTROY k g
        XINFO GROUPS k
        XINFO CONSUMERS k g
        "#,
    );
}

#[test]
fn reading_acknowledging_and_claiming() {
    check(
        r#"
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XADD s 4 a 4
        XADD s 5 a 5
        XGROUP CREATE s g 0
        XREADGROUP GROUP g c COUNT 2 STREAMS s >
        XREADGROUP GROUP g d COUNT 1 STREAMS s >
        XREADGROUP GROUP g c STREAMS s 0
        XREADGROUP GROUP g c COUNT 1 STREAMS s 1
        XREADGROUP GROUP g e STREAMS s 0
        XREADGROUP GROUP g c NOACK COUNT 1 STREAMS s >
        XPENDING s g
        XREAD BLOCK 4 STREAMS nothing $
        ~near 200 XPENDING s g - + 10
        ~near 200 XPENDING s g (1 3 10 c
        ~near 200 XPENDING s g - + 10 no
        ~near 200 XPENDING s g IDLE 0 - + 10 d
        XPENDING s g IDLE 100000 - + 10
        XINFO GROUPS s
        XACK s g 1 9
        XACK s g 1
        XACK s no 1
        XACK none g 1
        XACK s g x
        XACK s g 2 x
        XACK s no x
        XDEL s 2
        XREADGROUP GROUP g c STREAMS s 0
        XCLAIM s g d 0 2 3
        XPENDING s g
        XCLAIM s g c 0 3
        XCLAIM s g c 0 3 JUSTID
        XCLAIM s g c 100000 3
        XCLAIM s g c 0 5
        XCLAIM s g c 0 5 FORCE
        XCLAIM s g c 0 99 FORCE
        XREAD BLOCK 4 STREAMS nothing $
        ~near 200 XPENDING s g - + 10
        XCLAIM s g new 0 3 5 9 RETRYCOUNT 7 IDLE 5000
        XREAD BLOCK 4 STREAMS nothing $
        ~near 300 XPENDING s g - + 10
        XCLAIM s g c 0 3 TIME 1000 JUSTID LASTID 9
        XINFO GROUPS s
        XCLAIM s g c 0 3 IDLE -5
        XCLAIM s g c -5 3
        XREAD BLOCK 4 STREAMS nothing $
        ~near 300 XPENDING s g - + 10
        XREADGROUP GROUP g c STREAMS s >
        XADD s 10 a b
        XREADGROUP GROUP g c STREAMS s none > >
        XREADGROUP GROUP g c STREAMS s >
        XGROUP DELCONSUMER s g c
        XPENDING s g
        XGROUP SETID s g 0
        XREADGROUP GROUP g c STREAMS s >
        XREAD BLOCK 4 STREAMS nothing $
        ~near 300 XPENDING s g - + 10
        XINFO GROUPS s
        "#,
    );
}

#[test]
fn claiming_by_age() {
    check(
        r#"
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XADD s 4 a 4
        XADD s 5 a 5
        XGROUP CREATE s g 0
        XREADGROUP GROUP g c STREAMS s >
        XAUTOCLAIM s g d 100000 0
        XAUTOCLAIM s g d 0 0 COUNT 2
        XAUTOCLAIM s g d 0 (2 COUNT 1 JUSTID
        XDEL s 2 4
        XAUTOCLAIM s g e 0 - COUNT 2
        XAUTOCLAIM s g e 0 - COUNT 3
        XAUTOCLAIM s g e 0 + JUSTID
        XREAD BLOCK 4 STREAMS nothing $
        ~near 300 XPENDING s g - + 10
        XAUTOCLAIM s g d x 0
        XAUTOCLAIM s g d -1 6
        XAUTOCLAIM s g d 0 x
        XAUTOCLAIM s g d 0
        XAUTOCLAIM s no d 0 0
        XAUTOCLAIM none g d 0 0
        XAUTOCLAIM s g d 0 0 COUNT 0
        XAUTOCLAIM s g d 0 0 COUNT x
        XAUTOCLAIM s g d 0 0 COUNT 9223372036854775807
        XAUTOCLAIM s g d 0 0 foo
        XAUTOCLAIM s g d 0 0 COUNT
        XAUTOCLAIM s g d 0 (18446744073709551615-18446744073709551615
        XINFO GROUPS s
        "#,
    );
}

#[test]
fn errors() {
    check(
        r#"
        XADD s 1 a 1
        XGROUP CREATE s g 0
        XREADGROUP STREAMS s a b c 0 =?> (err) ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.
        XREADGROUP GROUP g c STREAMS s $
        XREADGROUP GROUP g c STREAMS s x
        XREADGROUP GROUP no c STREAMS s >
        XREADGROUP GROUP g c STREAMS none >
        XREADGROUP COUNT 1 STREAMS s t > >
        XREADGROUP GROUP g c COUNT x STREAMS s >
        XREADGROUP GROUP g c BLOCK -1 STREAMS s >
        XPENDING s
        XPENDING s no
        XPENDING none g
        XPENDING s g -
        XPENDING s g - +
        XPENDING s g - + x
        XPENDING s g - + -1
        XPENDING s g - + 0
        XPENDING s g - + 1 c x
        XPENDING s g IDLE
        XPENDING s g IDLE 5 - +
        XPENDING s g IDLE x - + 1
        XPENDING s g IDLE -5 - + 1
        XPENDING s g foo 5 - + 1 c
        XPENDING s g ( + 1 c
        XPENDING s g x + x
        XCLAIM s g c x 1-1
        XCLAIM s no c x 1-1
        XCLAIM s g c 0
        XCLAIM s g c 0 x
        XCLAIM s g c 0 1-1 foo
        XCLAIM s g c 0 1-1 IDLE
        XCLAIM s g c 0 1-1 IDLE x
        XCLAIM s g c 0 1-1 TIME x
        XCLAIM s g c 0 1-1 RETRYCOUNT x
        XCLAIM s g c 0 1-1 RETRYCOUNT -1
        XCLAIM s g c 0 1-1 LASTID x
        XCLAIM none g c 0 1-1
        SET k v
        XREADGROUP GROUP g c STREAMS k >
        XACK k g 1
        XPENDING k g
        XCLAIM k g c 0 1
        XAUTOCLAIM k g c 0 1
        "#,
    );
}

/// The count of entries read and the lag, through deletions, trims and moves of the group. Redis 7.0
/// miscounts past a deleted entry.
#[test]
fn lag() {
    check_newer(
        &Program::Valkey9,
        r#"
        XGROUP CREATE s g $ MKSTREAM
        XADD s 1 a 1
        XADD s 2 a 2
        XADD s 3 a 3
        XADD s 4 a 4
        XADD s 5 a 5
        XINFO GROUPS s
        XREADGROUP GROUP g c COUNT 1 STREAMS s >
        XINFO GROUPS s
        XREADGROUP GROUP g c COUNT 2 STREAMS s >
        XINFO GROUPS s
        XDEL s 2
        XINFO GROUPS s
        XDEL s 4
        XINFO GROUPS s
        XREADGROUP GROUP g c COUNT 1 STREAMS s >
        XINFO GROUPS s
        XADD s 6 a 6
        XINFO GROUPS s
        XGROUP CREATE s h 0
        XINFO GROUPS s
        XREADGROUP GROUP h c COUNT 1 STREAMS s >
        XREADGROUP GROUP h c COUNT 1 STREAMS s >
        XINFO GROUPS s
        XREADGROUP GROUP h c STREAMS s >
        XINFO GROUPS s
        XGROUP CREATE s i 3-0
        XGROUP CREATE s j 9-0
        XGROUP CREATE s k $
        XINFO GROUPS s
        XADD s 10 a b
        XINFO GROUPS s
        "#,
    );
}

#[test]
fn waiting_in_a_group() {
    check_newer(
        &Program::Valkey9,
        r#"
        XGROUP CREATE s g $ MKSTREAM
        XGROUP CREATE s h $
        b> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        @blocked 1
        c> XREADGROUP GROUP g d BLOCK 0 STREAMS s >
        d> XREADGROUP GROUP h e BLOCK 0 NOACK STREAMS s >
        @blocked 3
        XADD s 1 a b
        b<
        d<
        @blocked 1
        XADD s 2 a b
        c<
        XPENDING s g
        XPENDING s h
        b> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        @blocked 1
        DEL s
        b<
        XGROUP CREATE s g $ MKSTREAM
        b> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        @blocked 1
        XGROUP DESTROY s g
        b<
        XGROUP CREATE s g $ MKSTREAM
        b> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        @blocked 1
        SET s text
        b<
        DEL s
        XGROUP CREATE s g $ MKSTREAM
        b> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        @blocked 1
        FLUSHALL
        b<
        XGROUP CREATE s g $ MKSTREAM
        b> XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        @blocked 1
        SWAPDB 0 1
        b<
        FLUSHALL
        XGROUP CREATE s g $ MKSTREAM
        XREADGROUP GROUP g c BLOCK 10 STREAMS s >
        XREADGROUP GROUP g c BLOCK 0 STREAMS s 0
        XREAD BLOCK 4 STREAMS nothing $
        ~near 300 XINFO CONSUMERS s g
        XADD s 1 a b
        XREADGROUP GROUP g c BLOCK 0 STREAMS s >
        XREAD BLOCK 4 STREAMS nothing $
        ~near 300 XINFO CONSUMERS s g
        ~near 3000 XINFO STREAM s FULL
        "#,
    );
}

/// XDELEX, XACKDEL and the references of trims came with Redis 8.2, which is not among the peers here:
/// what its documentation says is pinned in `families/stream/tests.rs`. This holds the newer texts.
#[test]
fn newer_counters() {
    check_newer(
        &Program::Valkey9,
        r#"
        XADD s 1 a 1
        XADD s 4 a 4
        XDEL s 4
        XSETID s 2
        XSETID s 4
        XADD over 5-18446744073709551615 a b
        XADD over 5-* a b
        XGROUP CREATE s g -
        XGROUP CREATE s g 0 ENTRIESREAD 50
        XINFO GROUPS s
        XREADGROUP GROUP g c STREAMS s >
        XINFO GROUPS s
        XINFO STREAM s
        XGROUP SETID s g 9 ENTRIESREAD 1
        XINFO GROUPS s
        XREADGROUP STREAMS s a b c 0
        "#,
    );
}
