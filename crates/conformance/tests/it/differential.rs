//! A few thousand random commands of each family against redis-server 7.0, then everything is read
//! back and compared: I5. `OCHRE_SEED` is the seed, or `random`; it is
//! printed on failure.

use crate::{PrintSeed, redis7_pair, seed, tiny_thresholds};
use ochre_conformance::commands::Commands;
use ochre_testkit::Program;
use ochre_testkit::oracle::{Norm, Pair, Resp};

/// Commands of one run: two runs for each family, packed and unpacked. `OCHRE_COMMANDS` asks for more.
fn commands_of_a_run() -> usize {
    let asked = std::env::var("OCHRE_COMMANDS").ok();
    asked.map_or(3000, |text| text.parse().expect("OCHRE_COMMANDS is a number"))
}

const STRINGS: &str = "
    SET {k} {v} [EX {ttl}|PX {ttl}000|KEEPTTL] [NX|XX|GET]
    GET {k}
    GETDEL {k}
    GETEX {k} [EX {ttl}|PERSIST|PX {ttl}000]
    GETSET {k} {v}
    APPEND {k} {v}
    STRLEN {k}
    GETRANGE {k} {i} {i}
    SETRANGE {k} {n} {v}
    SETRANGE {k} {i} {v}
    INCR {k}
    DECRBY {k} {i}
    INCRBY {k} {big}
    INCRBYFLOAT {k} {f}
    MSET {k}{v}+
    MSETNX {k}{v}+
    MGET {k}+
    SETNX {k} {v}
    SETEX {k} {ttl} {v}
    LCS {k} {k} [LEN|IDX] [WITHMATCHLEN]
    DEL {k}+
    SUBSTR {k} {i} {i}
";

const LISTS: &str = "
    RPUSH {k} {v}+
    LPUSH {k} {m}+
    RPUSH {k} {m}+
    RPUSHX {k} {v}+
    LPUSHX {k} {m}
    LPOP {k} [{n}]
    RPOP {k} [{n}]
    LLEN {k}
    LINDEX {k} {i}
    LRANGE {k} {i} {i}
    LRANGE {k} 0 -1
    LSET {k} {i} {v}
    LINSERT {k} (BEFORE|AFTER) {m} {v}
    LREM {k} {i} {m}
    LTRIM {k} {i} {i}
    LTRIM {k} 0 -2
    LMOVE {k} {k} (LEFT|RIGHT) (LEFT|RIGHT)
    RPOPLPUSH {k} {k}
    LPOS {k} {m} [RANK {i}|COUNT {n}|MAXLEN {n}] [COUNT {n}]
    LMPOP 2 {k} {k} (LEFT|RIGHT) [COUNT {n}]
    BLPOP {k} {k} 0.001
    BLMOVE {k} {k} (LEFT|RIGHT) (LEFT|RIGHT) 0.001
    RENAME {k} {k}
    DEL {k}
    COPY {k} {k} [REPLACE]
";

const HASHES: &str = "
    HSET {k} {m}{v}+
    HSET {k} {m}{v}+
    HMSET {k} {m}{v}+
    HSETNX {k} {m} {v}
    HGET {k} {m}
    HMGET {k} {m}+
    HGETALL {k}
    HKEYS {k}
    HVALS {k}
    HLEN {k}
    HDEL {k} {m}+
    HEXISTS {k} {m}
    HSTRLEN {k} {m}
    HINCRBY {k} {m} {i}
    HINCRBY {k} {m} {big}
    HINCRBYFLOAT {k} {m} {f}
    HRANDFIELD {k} 100 [WITHVALUES]
    HSCAN {k} 0 COUNT 10000
    OBJECT ENCODING {k}
    DEL {k}
    COPY {k} {k} [REPLACE]
";

const SETS: &str = "
    SADD {k} {m}+
    SADD {k} {i}+
    SADD {k} {m}+
    SREM {k} {m}+
    SISMEMBER {k} {m}
    SMISMEMBER {k} {m}+
    SMEMBERS {k}
    SCARD {k}
    SMOVE {k} {k} {m}
    SINTER {k}+
    SUNION {k}+
    SDIFF {k}+
    SINTERSTORE {k} {k}+
    SUNIONSTORE {k} {k}+
    SDIFFSTORE {k} {k}+
    SINTERCARD 2 {k} {k} [LIMIT {n}]
    SRANDMEMBER {k} 1000
    SSCAN {k} 0 COUNT 10000
    DEL {k}
    COPY {k} {k} [REPLACE]
";

const SORTED_SETS: &str = "
    ZADD {k} [NX|XX] [CH] {s}{m}+
    ZADD {k} [GT|LT] [CH] {s}{m}+
    ZADD {k} [NX|XX|GT|LT] INCR {s} {m}
    ZADD {k} {i}{m}+
    ZINCRBY {k} {s} {m}
    ZREM {k} {m}+
    ZSCORE {k} {m}
    ZMSCORE {k} {m}+
    ZCARD {k}
    ZCOUNT {k} {r} {r}
    ZLEXCOUNT {l} {x} {x}
    ZADD {l} {z}{m}+
    ZADD {l} {z}{m}+
    ZREM {l} {m}+
    ZRANK {k} {m}
    ZREVRANK {k} {m}
    ZRANGE {k} {i} {i} [REV] [WITHSCORES]
    ZRANGE {k} {r} {r} BYSCORE [REV] [LIMIT {i} {i}] [WITHSCORES]
    ZRANGE {l} {x} {x} BYLEX [REV] [LIMIT {n} {i}]
    ZRANGEBYSCORE {k} {r} {r} [WITHSCORES] [LIMIT {n} {i}]
    ZREVRANGEBYSCORE {k} {r} {r} [WITHSCORES]
    ZRANGEBYLEX {l} {x} {x}
    ZREVRANGE {k} {i} {i}
    ZRANGESTORE {k} {k} {i} {i} [REV]
    ZRANGESTORE {k} {k} {r} {r} BYSCORE
    ZREMRANGEBYRANK {k} {i} {i}
    ZREMRANGEBYSCORE {k} {r} {r}
    ZREMRANGEBYLEX {l} {x} {x}
    ZPOPMIN {k} [{n}]
    ZPOPMAX {k} [{n}]
    ZMPOP 2 {k} {k} (MIN|MAX) [COUNT {n}]
    BZPOPMIN {k} {k} 0.001
    ZUNIONSTORE {k} 2 {k} {k} [WEIGHTS {i} {f}] [AGGREGATE MIN|AGGREGATE MAX]
    ZINTERSTORE {k} 2 {k} {k} [AGGREGATE SUM|AGGREGATE MAX]
    ZDIFFSTORE {k} 2 {k} {k}
    ZUNION 2 {k} {k} [WITHSCORES]
    ZINTER 2 {k} {k} [WITHSCORES]
    ZDIFF 2 {k} {k} [WITHSCORES]
    ZINTERCARD 2 {k} {k} [LIMIT {n}]
    OBJECT ENCODING {k}
    DEL {k}
";

const BITS: &str = "
    SETBIT {k} {n} (0|1)
    SETBIT {k} {n}3 (0|1)
    SETBIT {k} {n}57 (0|1)
    SETBIT {k} {n}00000 (0|1)
    SETBIT {k} {i} (0|1)
    GETBIT {k} {n}3
    BITCOUNT {k}
    BITCOUNT {k} {i} {i}
    BITCOUNT {k} {i}7 {i}3 (BIT|BYTE)
    BITPOS {k} (0|1)
    BITPOS {k} (0|1) {i}
    BITPOS {k} (0|1) {i} {i}
    BITPOS {k} (0|1) {i}7 {i}3 (BIT|BYTE)
    BITOP (AND|OR|XOR) {k} {k}+
    BITOP NOT {k} {k}
    BITFIELD {k} [OVERFLOW WRAP|OVERFLOW SAT|OVERFLOW FAIL] INCRBY (u3|i5|u8|i16|i64) {n}2 {i}
    BITFIELD {k} [OVERFLOW SAT|OVERFLOW FAIL] SET (u1|i7|u20|i33|u63) (#0|#2|5) {i}7777777 GET i9 {n}
    BITFIELD_RO {k} GET (u7|i64|u63) {n}9 GET i13 (#0|#1|#7)
    SET {k} {v}
    APPEND {k} {v}
    GETRANGE {k} {i} {i}
    INCR {k}
    GET {k}
    STRLEN {k}
    LPUSH {k} {m}
    DEL {k}
";

const SKETCHES: &str = "
    PFADD {k} {m}+
    PFADD {k} {v}{m}+
    PFADD {k}
    PFCOUNT {k}
    PFCOUNT {k}+
    PFMERGE {k} {k}+
    PFMERGE {k}
    PFDEBUG ENCODING {k}
    PFDEBUG DECODE {k}
    PFDEBUG (TODENSE|DECODE|DECODE|DECODE) {k}
    GET {k}
    DEL {k}
    LPUSH {k} {m}
    COPY {k} {k} [REPLACE]
";

const PLACES: &str = "
    GEOADD {k} [NX|XX] [CH] {i}{i}{m}+
    GEOADD {k} {i}{n}.5 {i} {m} {n}.25 -{n}.125 {m}
    GEOADD {k} {f} {f} {m}
    GEODIST {k} {m} {m} [M|KM|FT|MI|foo]
    GEOPOS {k} {m}+
    GEOHASH {k} {m}+
    GEOSEARCH {k} FROMLONLAT {i} {i} BYRADIUS {n}00 (M|KM|FT|MI) [ASC|DESC] [WITHDIST] [WITHCOORD]
    GEOSEARCH {k} FROMMEMBER {m} BYBOX {n}00 {n}50 (KM|MI) [ASC|DESC] [COUNT {n}|COUNT {n} ANY]
    GEORADIUS {k} {i} {i} {n}00 km [WITHDIST] [WITHHASH] [COUNT {n}] [STORE {k}]
    GEORADIUSBYMEMBER {k} {m} {n}00 mi [ASC|DESC]
    GEOSEARCHSTORE {k} {k} FROMLONLAT {i} {i} BYBOX {n}00 {n}00 km [ASC|DESC] [COUNT {n}]
    ZREM {k} {m}
    ZADD {k} {s} {m}
    DEL {k}
";

const SORTS: &str = "
    SORT {k} [DESC] [ALPHA] [LIMIT {i} {i}]
    SORT {k} [BY w_*|BY h_*->f] [DESC] [LIMIT {i} {i}]
    SORT {k} BY w_* [GET #] [GET w_*|GET h_*->f] [STORE {k}]
    SORT {k} ALPHA STORE {k}
    SORT_RO {k} [ALPHA] [GET w_*] [LIMIT {n} {n}]
    SET w_0 {i}
    SET w_1 {i}
    SET w_2 {i}
    SET w_3 {v}
    HSET h_1 f {i}
    HSET h_2 f {i}
    DEL w_3
    RPUSH {k} {n}+
    RPUSH {k} {m}+
    SADD {k} {i}+
    LRANGE {k} 0 -1
    DEL {k}
";

const STREAMS: &str = "
    XADD {k} {id} {m}{v}+
    XADD {k} {id} {m}{v}+
    XADD {k} {id} {m}{v}+
    XADD {k} {id} {m}{v}+
    XADD {k} [NOMKSTREAM] [MAXLEN {n}|MAXLEN ~ {n}|MINID {id}|MINID ~ {id}|MAXLEN ~ {n} LIMIT {n}] {id} {m}{v}+
    XLEN {k}
    XRANGE {k} (-|0|{id}|({id}) (+|{id}|({id}) [COUNT {i}]
    XREVRANGE {k} (+|{id}|({id}) (-|0|{id}|({id}) [COUNT {i}]
    XDEL {k} {id}+
    XTRIM {k} (MAXLEN {n}|MAXLEN ~ {n}|MINID {id}|MINID = {id}|MINID ~ {id})
    XREAD [COUNT {n}] STREAMS {k} {k} {id} (0|{id}|$)
    XREAD BLOCK 1 STREAMS {k} $
    XGROUP CREATE {k} {g} (0|$|{id}) [MKSTREAM] [ENTRIESREAD {n}]
    XGROUP CREATE {k} {g} 0 MKSTREAM
    XGROUP SETID {k} {g} (0|$|{id}) [ENTRIESREAD {n}]
    XGROUP DESTROY {k} {g}
    XGROUP CREATECONSUMER {k} {g} {c}
    XGROUP DELCONSUMER {k} {g} {c}
    XREADGROUP GROUP {g} {c} [COUNT {n}] [NOACK] STREAMS {k} >
    XREADGROUP GROUP {g} {c} [COUNT {n}] STREAMS {k} >
    XREADGROUP GROUP {g} {c} [COUNT {n}] STREAMS {k} {k} > {id}
    XREADGROUP GROUP {g} {c} [COUNT {n}] STREAMS {k} 0
    XACK {k} {g} {id}+
    XPENDING {k} {g}
    XCLAIM {k} {g} {c} 0 {id}+ [FORCE|JUSTID|RETRYCOUNT {n}|LASTID {id}] [FORCE|JUSTID|IDLE {n}]
    XAUTOCLAIM {k} {g} {c} 0 (0|-|{id}) [COUNT {n}] [JUSTID]
    XINFO GROUPS {k}
    XINFO STREAM {k}
    XSETID {k} {id} [ENTRIESADDED {ttl}] [MAXDELETEDID {id}]
    DEBUG DIGEST-VALUE {k}
    OBJECT ENCODING {k}
    RENAME {k} {k}
    COPY {k} {k} [REPLACE]
    DEL {k}
";

/// Keys of all types, deadlines, databases and transactions.
const MIXED: &str = "
    SET {k} {v} [EX {ttl}]
    RPUSH {k} {v}+
    SADD {k} {m}+
    HSET {k} {m}{v}+
    ZADD {k} {i}{m}+
    DEL {k}+
    UNLINK {k}
    EXISTS {k}+
    TYPE {k}
    EXPIRE {k} {ttl} [NX|XX|GT|LT]
    EXPIRE {k} {i}
    PEXPIRE {k} {ttl}000
    EXPIREAT {k} {ttl}000000
    PERSIST {k}
    TTL {k}
    EXPIRETIME {k}
    RENAME {k} {k}
    RENAMENX {k} {k}
    COPY {k} {k} [REPLACE] [DB 1]
    MOVE {k} 1
    SELECT (0|1)
    SWAPDB 0 1
    TOUCH {k}+
    KEYS (*|[ab]|?)
    DBSIZE
    SCAN 0 COUNT 10000
    MULTI
    EXEC
    DISCARD
    WATCH {k}
    UNWATCH
    GET {k}
    LPOP {k}
    SMEMBERS {k}
    HGETALL {k}
    ZRANGE {k} 0 -1
    {?} {k}
    ECHO {v}
";

fn norms(args: &[Vec<u8>]) -> Vec<Norm> {
    let name = args[0].to_ascii_uppercase();
    match &name[..] {
        b"SRANDMEMBER" if args.len() != 3 => vec![Norm::Kind],
        b"SMEMBERS" | b"SUNION" | b"SINTER" | b"SDIFF" | b"HKEYS" | b"HVALS" | b"KEYS"
        | b"SRANDMEMBER" => vec![Norm::Unordered],
        b"HGETALL" => vec![Norm::Pairs],
        b"HRANDFIELD" => vec![Norm::Size],
        b"SCAN" | b"SSCAN" | b"HSCAN" | b"ZSCAN" => vec![Norm::Deep],
        b"TTL" | b"EXPIRETIME" => vec![Norm::Near(3)],
        // Newer releases look at the arguments before the key.
        b"BITCOUNT" if args.len() == 3 || !is_part(&args[2.min(args.len())..]) => vec![Norm::Any],
        b"BITPOS" if !is_part(&args[3.min(args.len())..]) => vec![Norm::Any],
        // Newer releases take a further argument, and then find another error in it.
        b"ZRANK" | b"ZREVRANK" => vec![Norm::Code],
        // The list of signs that the text names differs.
        b"XREAD" | b"XREADGROUP" | b"DEBUG" => vec![Norm::Code],
        // A pattern without a sign to replace asks for no order, which a set then has none of.
        b"SORT" | b"SORT_RO" if is_unsorted(args) => vec![Norm::Size],
        b"EXEC" => vec![Norm::Deep, Norm::Near(3)],
        _ => vec![Norm::Float],
    }
}

fn is_unsorted(args: &[Vec<u8>]) -> bool {
    let by = args.iter().position(|arg| arg == b"BY");
    let pattern = by.and_then(|at| args.get(at + 1));
    pattern.is_some_and(|pattern| !pattern.contains(&b'*'))
        && !args.iter().any(|arg| arg == b"STORE")
}

/// Whether these are ends and a unit as 7.0 takes them.
fn is_part(args: &[Vec<u8>]) -> bool {
    let is_int = |arg: &Vec<u8>| ochre_base::num::parse_i64(arg).is_some();
    match args {
        [] => true,
        [start] => is_int(start),
        [start, end] => is_int(start) && is_int(end),
        [start, end, unit] => is_int(start) && is_int(end) && matches!(&unit[..], b"BIT" | b"BYTE"),
        _ => false,
    }
}

fn differential(templates: &str) {
    differential_with(redis7_pair(&["--enable-debug-command", "yes"]), templates);
}

fn differential_with(mut pair: Pair, templates: &str) {
    let seed = seed();
    let _seed = PrintSeed(seed);
    for (round, resp) in [(0, Resp::Two), (1, Resp::Three)] {
        if round == 1 {
            tiny_thresholds(&mut pair);
        }
        pair.restart(resp, &format!("seed {seed}, round {round}"));
        let mut commands = Commands::new(templates, seed.wrapping_add(round));
        let mut in_multi = false;
        for i in 0..commands_of_a_run() {
            let args = commands.next_command();
            let name = args[0].to_ascii_uppercase();
            // Within MULTI these are refused, which spoils the transaction only in newer releases.
            if in_multi && (name == b"MULTI" || name == b"WATCH") {
                continue;
            }
            in_multi = match &name[..] {
                b"MULTI" if args.len() == 1 => true,
                b"EXEC" | b"DISCARD" if args.len() == 1 => false,
                _ => in_multi,
            };
            pair.run(&args, &norms(&args));
            if pair.difference_count() > 0 {
                // What follows would only repeat the first difference.
                pair.finish();
                return;
            }
            if i % 500 == 499 {
                pair.run(&["DISCARD"], &[]);
                in_multi = false;
                read_back(&mut pair);
            }
        }
    }
    pair.finish();
}

/// Compares every key of databases 0 and 1: type, value and deadline, and the digest of all.
fn read_back(pair: &mut Pair) {
    for db in ["0", "1"] {
        pair.run(&["SELECT", db], &[]);
        pair.run(&["KEYS", "*"], &[Norm::Unordered]);
        for key in ["a", "b", "c", "d", "e", "f", "g", "h", "same1", "same2"] {
            let (_, theirs) = pair.client("a");
            let kind = theirs.cmd(&["TYPE", key]);
            pair.run(&["TYPE", key], &[]);
            pair.run(&["PTTL", key], &[Norm::Near(5000)]);
            match kind.bytes() {
                Some(b"string") => pair.run(&["GET", key], &[]),
                Some(b"list") => pair.run(&["LRANGE", key, "0", "-1"], &[]),
                Some(b"set") => pair.run(&["SMEMBERS", key], &[Norm::Unordered]),
                Some(b"hash") => pair.run(&["HGETALL", key], &[Norm::Pairs]),
                Some(b"stream") => {
                    pair.run(&["XRANGE", key, "-", "+"], &[]);
                    pair.run(&["XINFO", "STREAM", key], &[]);
                    pair.run(&["XINFO", "GROUPS", key], &[]);
                    pair.run(&["DEBUG", "DIGEST-VALUE", key], &[]);
                }
                Some(b"zset") => {
                    pair.run(&["ZRANGE", key, "0", "-1", "WITHSCORES"], &[Norm::Float]);
                }
                _ => {}
            }
            if matches!(kind.bytes(), Some(b"hash" | b"zset")) {
                pair.run(&["OBJECT", "ENCODING", key], &[]);
            }
        }
    }
    pair.run(&["SELECT", "0"], &[]);
    pair.run(&["DEBUG", "DIGEST"], &[]);
}

#[test]
fn strings() {
    differential(STRINGS);
}

#[test]
fn lists() {
    differential(LISTS);
}

#[test]
fn hashes() {
    differential(HASHES);
}

#[test]
fn sets() {
    differential(SETS);
}

#[test]
fn sorted_sets() {
    differential(SORTED_SETS);
}

#[test]
fn bitmaps() {
    differential(BITS);
}

#[test]
fn sketches() {
    differential(SKETCHES);
}

#[test]
fn places() {
    differential(PLACES);
}

#[test]
fn sorts() {
    differential(SORTS);
}

/// Redis 7.2 changed when a consumer appears and some texts, so this is compared with a later peer.
#[test]
fn streams() {
    if Program::Valkey9.find().is_none() {
        println!("not compared: valkey-server is not installed (see PEERS_DIR)");
        return;
    }
    let options = ["--enable-debug-command", "yes"];
    differential_with(Pair::start(&Program::Valkey9, &options), STREAMS);
}

#[test]
fn mixed() {
    differential(MIXED);
}
