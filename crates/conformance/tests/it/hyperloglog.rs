//! HyperLogLog: replies, and the bytes of sketches, which both servers must make and take alike.

use crate::bitmap::{facts_agree, walk};
use crate::{PrintSeed, check, redis7_pair, seed};
use ochre_base::rng::Rng;
use ochre_testkit::oracle::{Norm, Resp};

#[test]
fn facts() {
    facts_agree(&["pfadd", "pfcount", "pfmerge", "pfdebug", "pfselftest"]);
}

#[test]
fn walk_over_the_family() {
    walk(&["pfadd", "pfcount", "pfmerge", "pfdebug"]);
}

#[test]
fn adding_counting_merging() {
    check(
        r#"
        PFADD h
        GET h
        PFADD h
        PFADD h a b c
        PFADD h a
        GET h
        PFCOUNT h
        GET h
        PFCOUNT h
        PFADD h d
        GET h
        PFADD g c d e f
        PFCOUNT h g
        PFCOUNT h g none
        PFCOUNT none
        PFMERGE d h g
        GET d
        PFCOUNT d
        PFMERGE d
        PFMERGE new none
        GET new
        PFMERGE h g
        PFCOUNT h
        TYPE h
        OBJECT ENCODING h
        EXPIRE h 100
        PFADD h more
        TTL h
        PFMERGE h g
        TTL h
        PFDEBUG ENCODING h
        PFDEBUG DECODE h
        PFDEBUG GETREG h
        PFDEBUG ENCODING h
        PFDEBUG DECODE h
        GET h
        PFADD h x y z
        GET h
        PFMERGE d h
        PFDEBUG ENCODING d
        GET d
        PFDEBUG TODENSE g
        PFDEBUG TODENSE g
        GET g
        PFDEBUG ENCODING none
        PFDEBUG foo h
        PFDEBUG foo none
        PFDEBUG ENCODING
        PFSELFTEST
        PFADD "" ""
        PFCOUNT ""
        PFADD
        PFCOUNT
        PFMERGE
        "#,
    );
}

#[test]
fn what_is_no_sketch() {
    check(
        r#"
        SET s foo
        SET n 12
        RPUSH l a
        PFADD h a
        PFADD s a
        PFADD n a
        PFADD l a
        PFCOUNT s
        PFCOUNT n
        PFCOUNT l
        PFCOUNT h s
        PFCOUNT h l
        PFMERGE d s
        PFMERGE d l
        PFMERGE s h
        PFMERGE l h
        PFDEBUG ENCODING s
        PFDEBUG ENCODING l
        SET a "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xf0"
        PFCOUNT a
        PFCOUNT a h
        PFMERGE d a
        PFMERGE a h
        PFDEBUG TODENSE a
        SET a "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff\x80"
        PFCOUNT a
        PFCOUNT a h
        SET a "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"
        PFCOUNT a
        PFADD a x
        SET a "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
        PFCOUNT a
        SET a "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        PFCOUNT a
        SET a "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        PFCOUNT a
        SET a "HYLK\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff"
        PFADD a x
        SET a "HYLL\x01\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x7f\xff"
        PFCOUNT a
        PFADD a x
        PFCOUNT a
        GET a
        "#,
    );
}

/// The same elements give the same bytes, from the first to long after the sketch became dense.
#[test]
fn bytes_are_equal() {
    let seed = seed();
    let _seed = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "bytes");
    for round in 0..6 {
        let keys = ["h", "g", "x"];
        for step in 0..220 {
            let key = keys[rng.below(keys.len() as u64) as usize];
            let count = 1 + rng.below(if round % 2 == 0 { 4 } else { 40 });
            let mut args = vec![b"PFADD".to_vec(), key.as_bytes().to_vec()];
            for _ in 0..count {
                args.push(format!("{}-{}", rng.below(30), rng.below(4000)).into_bytes());
            }
            pair.run(&args, &[]);
            if step % 5 == 0 {
                pair.run(&["GET", key], &[]);
                pair.run(&["PFCOUNT", key], &[]);
            }
            if step % 17 == 0 {
                pair.run(&["PFMERGE", "m", key, "h"], &[]);
                pair.run(&["GET", "m"], &[]);
                pair.run(&["PFCOUNT", "h", "g", "x", "m"], &[]);
            }
        }
        for key in ["h", "g", "x", "m"] {
            pair.run(&["GET", key], &[]);
            pair.run(&["PFDEBUG", "GETREG", key], &[]);
        }
        pair.run(&["FLUSHALL"], &[Norm::Any]);
        if pair.difference_count() > 0 {
            break;
        }
    }
    pair.finish();
}

/// What one server made the other goes on with.
#[test]
fn bytes_are_taken_by_the_other_server() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "exchange");
    for count in [0, 1, 50, 300, 900, 5000] {
        let (ours, theirs) = pair.client("a");
        let elements: Vec<String> = (0..count).map(|n| format!("{count} {n}")).collect();
        for client in [&mut *ours, &mut *theirs] {
            let mut args = vec!["PFADD", "h"];
            args.extend(elements.iter().map(String::as_str));
            client.cmd(&args);
        }
        let (from_us, from_them) = (ours.cmd(&["GET", "h"]), theirs.cmd(&["GET", "h"]));
        ours.cmd(&[b"SET", &b"t"[..], from_them.bytes().unwrap()]);
        theirs.cmd(&[b"SET", &b"t"[..], from_us.bytes().unwrap()]);
        for line in
            ["PFCOUNT t", "PFADD t x y z", "PFCOUNT t h", "PFMERGE t h", "GET t", "PFCOUNT t"]
        {
            pair.run(&line.split(' ').collect::<Vec<_>>(), &[]);
        }
        pair.run(&["FLUSHALL"], &[]);
    }
    pair.finish();
}
