//! Sketches over a socket: BF, CF, CMS, TOPK and TDIGEST. No peer that the tests know has them without a
//! module, so every reply is pinned, by the documentation's examples where it has some. Transactions
//! and scripts carry them, and DUMP and RESTORE keep them.

use crate::{check, redis7_pair};
use ochre_testkit::oracle::Resp;
use ochre_testkit::{Server, Value};

/// Runs a script of pinned replies in one protocol.
fn pinned(resp: Resp, script: &str) {
    let mut pair = redis7_pair(&[]);
    pair.restart(resp, "");
    pair.script(script);
    pair.finish();
}

#[test]
fn replies_in_resp2() {
    pinned(
        Resp::Two,
        r#"
        BF.ADD b item1 ==> (int) 1
        BF.MADD b item1 item2 item2 ==> [(int) 0, (int) 1, (int) 0]
        BF.MEXISTS b item1 item2 item9 ==> [(int) 1, (int) 1, (int) 0]
        BF.CARD b ==> (int) 2
        BF.INFO b CAPACITY ==> [(int) 100]
        TYPE b ==> MBbloom--
        BF.ADD b ==> (err) ERR wrong number of arguments for 'bf.add' command
        CF.ADD c item1 ==> (int) 1
        CF.ADD c item1 ==> (int) 1
        CF.COUNT c item1 ==> (int) 2
        CF.DEL c item1 ==> (int) 1
        TYPE c ==> MBbloomCF
        CMS.INITBYPROB m 0.001 0.01 ==> OK
        CMS.INFO m ==> [width, (int) 2000, depth, (int) 7, count, (int) 0]
        CMS.INCRBY m foo 10 bar 42 ==> [(int) 10, (int) 42]
        CMS.QUERY m foo bar ==> [(int) 10, (int) 42]
        TYPE m ==> CMSk-TYPE
        TOPK.RESERVE t 3 ==> OK
        TOPK.INFO t ==> [k, (int) 3, width, (int) 8, depth, (int) 7, decay, "0.9"]
        TOPK.INCRBY t foo 3 bar 2 42 30 ==> [(nil), (nil), (nil)]
        TOPK.ADD t 42 ==> [(nil)]
        TOPK.LIST t ==> ["42", "foo", "bar"]
        TOPK.QUERY t 42 none ==> [(int) 1, (int) 0]
        TYPE t ==> TopK-TYPE
        TDIGEST.CREATE d COMPRESSION 1000 ==> OK
        TDIGEST.ADD d 1 2 2 3 3 3 4 4 4 4 5 5 5 5 5 ==> OK
        TDIGEST.BYRANK d 0 1 3 14 15 ==> ["1", "2", "3", "5", "inf"]
        TDIGEST.QUANTILE d 0 0.1 0.2 0.5 1 ==> ["1", "2", "3", "4", "5"]
        TDIGEST.RANK d 0 1 9 ==> [(int) -1, (int) 0, (int) 15]
        TYPE d ==> TDIS-TYPE
        SCAN 0 COUNT 1000 TYPE tdis-type ==> ["0", ["d"]]
        RENAME d e ==> OK
        COPY e f ==> (int) 1
        TDIGEST.MAX f ==> "5"
        OBJECT ENCODING f ==> "raw"
        LPUSH f x ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        MULTI ==> OK
        BF.ADD b item3 ==> QUEUED
        CMS.INCRBY m foo 1 ==> QUEUED
        EXEC ==> [(int) 1, [(int) 11]]
        EVAL "return redis.call('CMS.QUERY', KEYS[1], 'foo')" 1 m ==> [(int) 11]
        DEL b c m t e f ==> (int) 6
        "#,
    );
}

#[test]
fn replies_in_resp3() {
    pinned(
        Resp::Three,
        r#"
        BF.ADD b item1 ==> (bool) true
        BF.EXISTS b none ==> (bool) false
        CF.INSERT c ITEMS x ==> [(bool) true]
        CF.INSERTNX c ITEMS x ==> [(int) 0]
        CMS.INITBYDIM m 10 2 ==> OK
        CMS.INFO m ==> {width: (int) 10, depth: (int) 2, count: (int) 0}
        TOPK.RESERVE t 3 50 3 0.5 ==> OK
        TOPK.ADD t x ==> [(null)]
        TOPK.QUERY t x ==> [(bool) true]
        TOPK.INFO t ==> {k: (int) 3, width: (int) 50, depth: (int) 3, decay: (double) 0.5}
        TDIGEST.CREATE d ==> OK
        TDIGEST.ADD d 1 2 3 ==> OK
        TDIGEST.QUANTILE d 0.5 ==> [(double) 2.0]
        TDIGEST.TRIMMED_MEAN d 0 1 ==> (double) 2.0
        "#,
    );
}

/// Wrong types, against the errors that every server has for keys of its own types.
#[test]
fn other_types_are_refused() {
    check(
        r#"
        SET s v
        RPUSH l a
        BF.ADD s x ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        CF.EXISTS l x ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        CMS.QUERY s x ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        TOPK.ADD l x ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        TDIGEST.ADD s 1 ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        TDIGEST.MERGE d 1 l ==> (err) WRONGTYPE Operation against a key holding the wrong kind of value
        GET s
        LRANGE l 0 -1
        "#,
    );
}

fn text(value: &Value) -> String {
    ochre_testkit::line::show(value)
}

/// The digest of every sketch is the same behind DUMP and RESTORE.
#[test]
fn dumps_keep_every_sketch() {
    let server = Server::ochre(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    for n in 0..3000 {
        let item = format!("item{n}");
        client.cmd(&["BF.ADD", "b", &item]);
        client.cmd(&["CF.ADD", "c", &item]);
        if n == 0 {
            client.cmd(&["CMS.INITBYDIM", "m", "500", "4"]);
            client.cmd(&["TOPK.RESERVE", "t", "10", "20", "3", "0.8"]);
            client.cmd(&["TDIGEST.CREATE", "d"]);
        }
        client.cmd(&["CMS.INCRBY", "m", &item, "3"]);
        client.cmd(&["TOPK.INCRBY", "t", &item, "2"]);
        client.cmd(&["TDIGEST.ADD", "d", &n.to_string()]);
    }
    let digest = text(&client.cmd(&["DEBUG", "DIGEST"]));
    for key in ["b", "c", "m", "t", "d"] {
        let before = text(&client.cmd(&["DEBUG", "DIGEST-VALUE", key]));
        let Value::Bulk(payload) = client.cmd(&["DUMP", key]) else { panic!("a payload") };
        let parts: [&[u8]; 5] = [b"RESTORE", key.as_bytes(), b"0", &payload, b"REPLACE"];
        assert_eq!(text(&client.cmd(&parts)), "OK");
        assert_eq!(text(&client.cmd(&["DEBUG", "DIGEST-VALUE", key])), before, "{key}");
    }
    assert_eq!(text(&client.cmd(&["DEBUG", "DIGEST"])), digest);
}
