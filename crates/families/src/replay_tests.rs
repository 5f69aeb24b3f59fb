//! I7: replaying the log gives the same state, whatever the commands were (R4.5 leans on it).
//!
//! Random commands of all families run on one keyspace; its log runs on a second one, whose clock stands
//! still so that nothing expires there but by the log; then both are read back at the same moment.

use crate::testing::Bench;
use ochre_base::rng::Rng;
use ochre_resp::request::Args;
use ochre_resp::{Limits, Parsed, Parser};

/// `K` is a key, `V` a value or member, `F` a field, `N` a number, `S` a score, `T` milliseconds, `Y` a
/// key that mostly holds a stream, `G` a group, `C` a consumer, `I` an id that an entry may have.
const COMMANDS: &[&str] = &[
    "SET K V",
    "SET K N",
    "SET K V PX T",
    "SET K V KEEPTTL",
    "SET K V NX GET",
    "SET K V XX EX N",
    "SETEX K N V",
    "GETSET K V",
    "GETDEL K",
    "GETEX K PX T",
    "GETEX K PERSIST",
    "APPEND K V",
    "SETRANGE K N V",
    "INCR K",
    "DECRBY K N",
    "INCRBYFLOAT K S",
    "MSET K V K N",
    "MSETNX K V K V",
    "MSETEX 2 K V K V PX T",
    "DELIFEQ K V",
    "GET K",
    "SETBIT K N 1",
    "SETBIT K N 0",
    "BITOP XOR K K K",
    "BITOP NOT K K",
    "BITFIELD K OVERFLOW FAIL SET u2 N 7 INCRBY i5 #N N",
    "PFADD K V V",
    "PFCOUNT K",
    "PFMERGE K K",
    "PFDEBUG TODENSE K",
    "GEOADD K CH N N V",
    "GEORADIUS K 1 1 1000 km STORE K",
    "GEOSEARCHSTORE K K FROMLONLAT 1 1 BYBOX 500 500 km STOREDIST",
    "SORT K ALPHA STORE K",
    "SORT K ALPHA BY key* GET key*->f0 GET # STORE K",
    "LPUSH K V V",
    "RPUSH K V N V",
    "LPUSHX K V",
    "LPOP K",
    "RPOP K N",
    "LSET K 0 V",
    "LINSERT K BEFORE V V",
    "LREM K 0 V",
    "LTRIM K 1 -2",
    "LMOVE K K LEFT RIGHT",
    "RPOPLPUSH K K",
    "LMPOP 2 K K LEFT COUNT N",
    "BLPOP K 0",
    "BLMOVE K K RIGHT LEFT 0",
    "BLMPOP 0 1 K RIGHT COUNT 2",
    "SADD K V V N",
    "SREM K V",
    "SPOP K",
    "SPOP K N",
    "SMOVE K K V",
    "SINTERSTORE K K K",
    "SUNIONSTORE K K K",
    "SDIFFSTORE K K K",
    "ZADD K S V S V",
    "ZADD K GT CH S V",
    "ZADD K NX INCR S V",
    "ZINCRBY K S V",
    "ZREM K V",
    "ZPOPMIN K N",
    "ZPOPMAX K",
    "BZPOPMIN K 0",
    "ZMPOP 1 K MAX COUNT N",
    "ZREMRANGEBYRANK K 0 1",
    "ZREMRANGEBYSCORE K -5 5",
    "ZUNIONSTORE K 2 K K WEIGHTS 1 2",
    "ZINTERSTORE K 2 K K",
    "ZRANGESTORE K K 0 2",
    "ZDIFFSTORE K 2 K K",
    "HSET K F V F N",
    "HSETNX K F V",
    "HDEL K F",
    "HINCRBY K F N",
    "HINCRBYFLOAT K F S",
    "HPEXPIRE K T FIELDS 1 F",
    "HPERSIST K FIELDS 1 F",
    "HGETEX K PX T FIELDS 1 F",
    "HSETEX K PX T FIELDS 1 F V",
    "HGETDEL K FIELDS 1 F",
    "HGETALL K",
    "PEXPIRE K T",
    "EXPIRE K N",
    "PEXPIRE K -1",
    "PERSIST K",
    "DEL K",
    "UNLINK K K",
    "RENAME K K",
    "RENAMENX K K",
    "COPY K K REPLACE",
    "COPY K K",
    "TOUCH K",
    "XADD Y * F V",
    "XADD Y * F V F N",
    "XADD Y MAXLEN ~ N * F V",
    "XADD Y MINID = I * F V",
    "XADD Y ACKED MAXLEN ~ N * F V",
    "XADD Y DELREF MAXLEN ~ N * F V",
    "XADD Y IDMP V V * F V",
    "XADD Y IDMPAUTO V * F V",
    "XADD Y I F V",
    "XDEL Y I I",
    "XDELEX Y ACKED IDS 2 I I",
    "XDELEX Y DELREF IDS 1 I",
    "XTRIM Y MAXLEN ~ N",
    "XTRIM Y MAXLEN N",
    "XTRIM Y ACKED MINID I",
    "XGROUP CREATE Y G 0 MKSTREAM",
    "XGROUP CREATE Y G $",
    "XGROUP SETID Y G I ENTRIESREAD N",
    "XGROUP DESTROY Y G",
    "XGROUP CREATECONSUMER Y G C",
    "XGROUP DELCONSUMER Y G C",
    "XREADGROUP GROUP G C COUNT N STREAMS Y >",
    "XREADGROUP GROUP G C COUNT N STREAMS Y >",
    "XREADGROUP GROUP G C NOACK COUNT 2 STREAMS Y >",
    "XREADGROUP GROUP G C COUNT N CLAIM T STREAMS Y >",
    "XREADGROUP GROUP G C COUNT N STREAMS Y I",
    "XACK Y G I I",
    "XACKDEL Y G ACKED IDS 1 I",
    "XNACK Y G SILENT IDS 2 I I",
    "XNACK Y G FATAL IDS 1 I FORCE",
    "XCLAIM Y G C 0 I I FORCE",
    "XCLAIM Y G C T I IDLE T RETRYCOUNT N JUSTID LASTID I",
    "XAUTOCLAIM Y G C T - COUNT N",
    "XCFGSET Y IDMP-MAXSIZE 2",
    "XSETID Y I",
    "BF.RESERVE keyb 0.01 3 EXPANSION 2",
    "BF.ADD keyb V",
    "BF.MADD keyb V N V",
    "BF.INSERT keyb CAPACITY 2 ERROR 0.1 ITEMS V N",
    "CF.RESERVE keyc 8 MAXITERATIONS 3",
    "CF.ADD keyc V",
    "CF.ADDNX keyc N",
    "CF.INSERT keyc ITEMS V V N",
    "CF.DEL keyc V",
    "CMS.INITBYDIM keym 5 2",
    "CMS.INCRBY keym V N F N",
    "CMS.MERGE keym 2 keym keym WEIGHTS 1 2",
    "TOPK.RESERVE keyt 3 2 2 0.7",
    "TOPK.ADD keyt V V F",
    "TOPK.INCRBY keyt V T F T",
    "TDIGEST.CREATE keyd COMPRESSION 2",
    "TDIGEST.ADD keyd S S N T",
    "TDIGEST.MERGE keyd 1 keyd",
    "TDIGEST.QUANTILE keyd 0.5",
    "COPY keyd keyb REPLACE",
    "RENAME keyt keyc",
    "DEL keyb",
];

fn command(rng: &mut Rng) -> Vec<Vec<u8>> {
    let template = COMMANDS[rng.below(COMMANDS.len() as u64) as usize];
    template
        .split(' ')
        .map(|word| match word {
            "K" => format!("key{}", rng.below(12)),
            "Y" => format!("keys{}", rng.below(3)),
            "G" => format!("g{}", rng.below(3)),
            "C" => format!("c{}", rng.below(3)),
            // The clock goes on by 30 ms for each of 400 commands.
            "I" => (1_700_000_000_000 + rng.below(12_000)).to_string(),
            "V" if rng.below(12) == 0 => "long".repeat(1 + rng.below(30) as usize),
            "V" => format!("v{}", rng.below(9)),
            "F" => format!("f{}", rng.below(6)),
            "N" => rng.below(9).to_string(),
            "S" => (rng.below(40) as f64 / 4.0 - 5.0).to_string(),
            "T" => (1 + rng.below(3000)).to_string(),
            other => other.to_owned(),
        })
        .map(String::into_bytes)
        .collect()
}

/// Everything that a client can see.
fn state(bench: &mut Bench) -> Vec<String> {
    let keys = bench.run("KEYS *");
    let mut names: Vec<&str> = keys.split('|').filter(|word| word.starts_with("key")).collect();
    names.sort_unstable();
    let mut lines = Vec::new();
    for name in names {
        let kind = bench.run(&format!("TYPE {name}"));
        let mut line = format!("{name} {kind} {}", bench.run(&format!("PEXPIRETIME {name}")));
        let content = match kind.as_str() {
            "+string|" => bench.run(&format!("GET {name}")),
            "+list|" => bench.run(&format!("LRANGE {name} 0 -1")),
            "+set|" => sorted(&bench.run(&format!("SMEMBERS {name}"))),
            "+zset|" => bench.run(&format!("ZRANGE {name} 0 -1 WITHSCORES")),
            "+stream|" => stream_state(bench, name),
            sketch if sketch.contains('-') || sketch == "+MBbloomCF|" => {
                format!("{:?}", bench.run_raw(&[b"DUMP", name.as_bytes()]))
            }
            _ => {
                let fields = "f0 f1 f2 f3 f4 f5";
                let ttl = bench.run(&format!("HPEXPIRETIME {name} FIELDS 6 {fields}"));
                let values = bench.run(&format!("HMGET {name} {fields}"));
                format!("{values} {ttl}")
            }
        };
        line.push_str(&content);
        lines.push(line);
    }
    lines
}

/// A stream with its groups; but for when consumers were seen, which is not logged, the repeats of
/// messages, which change nothing, and the blocks, which an exact trim leaves at other places.
fn stream_state(bench: &mut Bench, name: &str) -> String {
    let reply = bench.run(&format!("XINFO STREAM {name} FULL COUNT 0"));
    let mut words = reply.split('|');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        kept.push(word);
        let skipped = ["seen-time", "active-time", "iids-duplicates", "radix-tree-keys"];
        if skipped.contains(&word) || word == "radix-tree-nodes" {
            words.next();
        }
    }
    kept.join("|")
}

fn sorted(reply: &str) -> String {
    let mut words: Vec<&str> = reply.split('|').filter(|word| !word.starts_with('$')).collect();
    words.sort_unstable();
    words.join("|")
}

fn replay(log: &mut [u8], into: &mut Bench) {
    let (mut parser, mut args, mut at) = (Parser::new(), Args::new(), 0);
    while at < log.len() {
        let Parsed::Complete { consumed } =
            parser.next(&mut log[at..], &Limits::default(), &mut args)
        else {
            panic!("the log is a sequence of commands");
        };
        let bytes = &log[at..at + consumed];
        let words: Vec<&[u8]> = args.iter().map(|range| range.of(bytes)).collect();
        if !matches!(words[0], b"SELECT" | b"MULTI" | b"EXEC") {
            let reply = into.run_args(&words);
            assert!(!reply.starts_with('-'), "{reply} to {words:?}");
        }
        at += consumed;
    }
}

#[test]
fn replaying_the_log_gives_the_same_state() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let mut live = Bench::new();
        if seed % 2 == 0 {
            // Large encodings from the start.
            live.limits.hash_max_listpack_entries = 2;
            live.limits.set_max_listpack_entries = 2;
            live.limits.set_max_intset_entries = 2;
            live.limits.zset_max_listpack_entries = 2;
            live.limits.list_max_listpack_size = 2;
            live.limits.stream_node_max_entries = 3;
        }
        let start = live.now_ms;
        for _ in 0..400 {
            let words = command(&mut rng);
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            live.run_args(&words);
            live.now_ms += rng.below(60) as i64;
        }
        let mut other = Bench::new();
        other.now_ms = start;
        replay(&mut live.log_bytes(), &mut other);
        other.now_ms = live.now_ms;
        assert_eq!(state(&mut live), state(&mut other), "seed {seed}");
    }
}
