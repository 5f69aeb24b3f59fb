//! SORT of every type, its patterns, limits and stores.

use super::order::{Elements, part, weight};
use super::pattern::Pattern;
use crate::testing::Bench;
use ochre_types::zset::Order;

fn words(reply: &str) -> String {
    let words = reply.split('|').skip(1).filter(|word| !word.starts_with('$') || *word == "$-1");
    words.collect::<Vec<_>>().join(" ").trim().to_owned()
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.run("RPUSH l 3 1 10 2");
    bench.run("MSET w_1 30 w_2 20 w_3 10 w_10 x v_1 one v_2 two v_3 three");
    bench.run("HSET h_1 name b weight 2");
    bench.run("HSET h_2 name a weight 1");
    bench
}

#[test]
fn orders() {
    let mut bench = bench();
    for (args, expected) in [
        ("l", "1 2 3 10"),
        ("l DESC", "10 3 2 1"),
        ("l ALPHA", "1 10 2 3"),
        ("l ALPHA DESC ASC", "1 10 2 3"),
        ("l LIMIT 1 2", "2 3"),
        ("l LIMIT -5 2 DESC", "10 3"),
        ("l LIMIT 3 100", "10"),
        ("l LIMIT 4 1", ""),
        ("l LIMIT 1 -1", "2 3 10"),
        ("l LIMIT 0 0", ""),
        ("l BY nosort", "3 1 10 2"),
        ("l BY nosort DESC LIMIT 1 2", "10 1"),
        ("l BY nosort BY v_*", "3 1 10 2"),
        ("l BY v_* ALPHA", "10 1 3 2"),
        ("l BY v_* ALPHA DESC", "2 3 1 10"),
        ("l BY h_*->weight", "10 3 2 1"),
        ("l BY h_*->name ALPHA DESC", "1 2 3 10"),
        ("none", ""),
    ] {
        assert_eq!(words(&bench.run(&format!("SORT {args}"))), expected, "{args}");
        assert_eq!(words(&bench.run(&format!("SORT_RO {args}"))), expected, "{args}");
    }
}

#[test]
fn values_of_other_keys() {
    let mut bench = bench();
    assert_eq!(words(&bench.run("SORT l GET # GET v_*")), "1 one 2 two 3 three 10 $-1");
    assert_eq!(words(&bench.run("SORT l GET h_*->name LIMIT 0 3")), "b a $-1");
    assert_eq!(words(&bench.run("SORT l GET none LIMIT 0 2")), "$-1 $-1");
    assert_eq!(words(&bench.run("SORT l GET l* GET h_* LIMIT 0 1")), "$-1 $-1");
}

#[test]
fn sets_and_sorted_sets() {
    let mut bench = bench();
    bench.run("SADD ints 3 1 2");
    bench.run("SADD texts b a c");
    bench.run("ZADD z 1 c 2 a 3 b");
    assert_eq!(words(&bench.run("SORT ints DESC")), "3 2 1");
    assert_eq!(words(&bench.run("SORT texts ALPHA")), "a b c");
    assert_eq!(words(&bench.run("SORT z ALPHA")), "a b c");
    assert_eq!(words(&bench.run("SORT z BY nosort")), "c a b");
    assert_eq!(words(&bench.run("SORT z BY nosort DESC LIMIT 0 2")), "b a");
    assert_eq!(bench.run("SORT texts BY nosort STORE d"), ":3|");
    assert_eq!(words(&bench.run("LRANGE d 0 -1")), "a b c");
    bench.may_block = false;
    assert_eq!(words(&bench.run("SORT texts BY nosort DESC")), "c b a");
}

#[test]
fn stores() {
    let mut bench = bench();
    assert_eq!(bench.run("SORT l STORE d"), ":4|");
    assert_eq!(bench.run("SORT l GET v_* STORE l LIMIT 2 2"), ":2|");
    assert_eq!(bench.run("LRANGE l 0 -1"), "*2|$5|three|$0||");
    assert_eq!(bench.run("TYPE d"), "+list|");
    assert_eq!(bench.run("SORT none STORE d"), ":0|");
    assert_eq!(bench.run("EXISTS d"), ":0|");
    assert_eq!(bench.run("SORT none STORE d"), ":0|");
    let log = bench.log_text();
    let log = log.split_once("weight 1; ").map_or("", |(_, log)| log);
    assert_eq!(log, "RPUSH d 1 2 3 10; MULTI; DEL l; RPUSH l three; EXEC; DEL d");
}

#[test]
fn refusals() {
    let mut bench = bench();
    bench.run("RPUSH texts a b");
    let number = "-ERR One or more scores can't be converted into double|";
    for args in ["texts", "l BY w_*", "texts BY w_1*"] {
        let reply = bench.run(&format!("SORT {args}"));
        assert_eq!(reply == number, args != "texts BY w_1*", "{args}: {reply}");
    }
    for args in ["l foo", "l BY", "l GET", "l LIMIT 1", "l STORE", "w_1 foo"] {
        assert_eq!(bench.run(&format!("SORT {args}")), "-ERR syntax error|", "{args}");
    }
    assert_eq!(bench.run("SORT_RO l STORE d"), "-ERR syntax error|");
    assert_eq!(bench.run("SORT l LIMIT x 1"), "-ERR value is not an integer or out of range|");
    assert!(bench.run("SORT w_1").starts_with("-WRONGTYPE"));
}

#[test]
fn patterns() {
    let key = |before, behind, field| Pattern::Key { before, behind, field };
    assert_eq!(Pattern::parse(b"#"), Pattern::Element);
    assert_eq!(Pattern::parse(b"nosort"), Pattern::Nothing);
    assert_eq!(Pattern::parse(b"w_*"), key(b"w_", b"", None));
    assert_eq!(Pattern::parse(b"*_w*"), key(b"", b"_w*", None));
    assert_eq!(Pattern::parse(b"o_*x->f->g"), key(b"o_", b"x", Some(b"f->g")));
    assert_eq!(Pattern::parse(b"o_*->"), key(b"o_", b"->", None));
    assert_eq!(Pattern::parse(b"a->*"), key(b"a->", b"", None));
}

#[test]
fn weights() {
    for (text, value) in [
        ("", Some(0.0)),
        ("  1.5", Some(1.5)),
        ("0x10", Some(16.0)),
        ("5\0junk", Some(5.0)),
        ("-inf", Some(f64::NEG_INFINITY)),
        ("nan", None),
        ("1 ", None),
        (" ", None),
        ("1e999", None),
    ] {
        assert_eq!(weight(text.as_bytes()), value, "{text:?}");
    }
}

#[test]
fn every_part_of_an_order_is_a_part_of_the_whole() {
    let mut elements = Elements::default();
    let numbers: Vec<u32> = (0..40).map(|n| n * 7919 % 23).collect();
    numbers.iter().for_each(|n| elements.push(n.to_string().as_bytes()));
    let weights: Vec<f64> = numbers.iter().map(|n| f64::from(n % 5)).collect();
    for order in [Order::Ascending, Order::Descending] {
        let whole = elements.by_weight(&weights, 0..40, order);
        assert!(whole.windows(2).all(|pair| {
            let [a, b] = [pair[0], pair[1]].map(|at| weights[at as usize]);
            if order == Order::Ascending { a <= b } else { a >= b }
        }));
        for start in 0..=40 {
            for end in start..=40 {
                let some = elements.by_weight(&weights, start..end, order);
                assert_eq!(some, whole[start..end], "{start}..{end}");
            }
        }
    }
    assert_eq!(part(5, (i64::MAX, i64::MAX)), 5..5);
    assert_eq!(part(5, (2, i64::MAX)), 2..5);
    assert_eq!(part(5, (i64::MIN, i64::MIN)), 0..5);
}
