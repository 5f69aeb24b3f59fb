//! HyperLogLog commands: PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST.
//!
//! A sketch is a string (see [`ochre_types::hyperloglog`]). A dense one is changed where it lies; a
//! sparse one, which is small, is changed in a copy that is stored when it differs. PFCOUNT of one key
//! notes the count in the sketch, which is a change of the string: it is logged like one, although the
//! command counts as a read.
//!
//! Source: documentation of the commands of Redis 7.2; texts, order of checks and every byte of a
//! sketch as redis-server 7.0.15.

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::args::is;
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Data, Key};
use ochre_keyspace::db::Text;
use ochre_types::hyperloglog::{self as sketch, Corrupt, Form, Registers};
use ochre_types::table::Slot;

use crate::bitmap::{lend_bytes, put_raw, text_bytes};

/// PFCOUNT keeps its result in the value.
const COUNTS: Flags = Flags::READONLY.union(Flags::MAY_REPLICATE);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(
        "pfadd",
        -2,
        Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        Group::Hyperloglog,
        pfadd,
    )
    .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))])
    .docs(
        "2.8.9",
        "Adds elements to a HyperLogLog; an absent key becomes an empty one.",
        "O(1) for each element.",
        "key [element [element ...]]",
    ),
    CommandSpec::new("pfcount", -2, COUNTS, Group::Hyperloglog, pfcount)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))])
        .docs(
            "2.8.9",
            "Estimates how many different elements one or several HyperLogLogs have seen.",
            "O(1) for one key, whose count is kept; O(N) for N keys, with a large constant.",
            "key [key ...]",
        ),
    CommandSpec::new(
        "pfmerge",
        -2,
        Flags::WRITE.union(Flags::DENYOOM),
        Group::Hyperloglog,
        pfmerge,
    )
    .keys(&[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ])
    .docs(
        "2.8.9",
        "Merges HyperLogLogs into one.",
        "O(N) for N keys, with a large constant.",
        "destkey [sourcekey [sourcekey ...]]",
    ),
    CommandSpec::new(
        "pfdebug",
        3,
        Flags::WRITE.union(Flags::DENYOOM).union(Flags::ADMIN),
        Group::Hyperloglog,
        pfdebug,
    )
    .keys(&[KeySpec::one(2, KeyFlags::RW.union(KeyFlags::ACCESS))])
    .docs("2.8.9", "Shows the inside of a HyperLogLog.", "N/A", "subcommand key"),
    CommandSpec::new("pfselftest", 1, Flags::ADMIN, Group::Hyperloglog, pfselftest).docs(
        "2.8.9",
        "Checks the estimates of HyperLogLogs.",
        "N/A",
        "",
    ),
];

/// A string that is no sketch.
const NO_SKETCH: ReplyError =
    ReplyError::fixed("WRONGTYPE Key is not a valid HyperLogLog string value.");
/// A sketch whose registers do not add up.
const CORRUPT: ReplyError = ReplyError::fixed("INVALIDOBJ Corrupted HLL object detected");

fn corrupt(_: Corrupt) -> ReplyError {
    CORRUPT
}

/// The bytes of a sketch and its form.
fn checked<'a>(text: Text<'a>, room: &'a mut [u8; I64_TEXT_MAX]) -> Result<(&'a [u8], Form)> {
    let bytes = text_bytes(text, room);
    let form = sketch::form(bytes).ok_or(NO_SKETCH)?;
    Ok((bytes, form))
}

/// A copy of the sketch at `slot`.
fn copy(data: &Data<'_>, key: Key<'_>, slot: Slot) -> Result<Vec<u8>> {
    let mut room = [0; I64_TEXT_MAX];
    Ok(checked(data.text_at(key, slot)?, &mut room)?.0.to_vec())
}

/// Stores a sketch that was changed.
fn store(data: &mut Data<'_>, key: Key<'_>, slot: Option<Slot>, mut bytes: Vec<u8>) {
    sketch::forget_cached(&mut bytes);
    let expiry = slot.and_then(|slot| data.expiry_at(key, slot));
    if let Some(slot) = slot {
        data.touch(key, slot);
    }
    put_raw(data, key, slot, bytes, expiry);
}

// HOT PATH: a dense sketch is changed where it lies, without an allocation.
fn pfadd(ctx: &mut Ctx<'_>) -> Result {
    let (key, elements) = (ctx.key(1), &ctx.args[2..]);
    let slot = ctx.data.find(key);
    let raised = match slot {
        None => {
            let mut bytes = sketch::empty();
            add_all(&mut bytes, elements, ctx.data.env.limits.hll_sparse_max_bytes)?;
            store(&mut ctx.data, key, None, bytes);
            true
        }
        Some(slot) => add_to(&mut ctx.data, key, slot, elements)?,
    };
    if raised {
        ctx.data.changed(key, Class::String, "pfadd");
    }
    ctx.reply.integer(i64::from(raised));
    Ok(())
}

fn add_to(data: &mut Data<'_>, key: Key<'_>, slot: Slot, elements: &[&[u8]]) -> Result<bool> {
    let mut room = [0; I64_TEXT_MAX];
    let (bytes, form) = checked(data.text_at(key, slot)?, &mut room)?;
    if form == Form::Dense {
        let len = bytes.len();
        return lend_bytes(data, key, Some(slot), len, |bytes| {
            let mut raised = false;
            for element in elements {
                raised |= sketch::add_dense(bytes, element);
            }
            if raised {
                sketch::forget_cached(bytes);
            }
            raised
        });
    }
    let mut bytes = bytes.to_vec();
    let raised = add_all(&mut bytes, elements, data.env.limits.hll_sparse_max_bytes)?;
    if raised {
        store(data, key, Some(slot), bytes);
    } else {
        data.touch(key, slot);
    }
    Ok(raised)
}

fn add_all(bytes: &mut Vec<u8>, elements: &[&[u8]], sparse_max: usize) -> Result<bool> {
    let mut raised = false;
    for element in elements {
        raised |= sketch::add(bytes, element, sparse_max).map_err(corrupt)?;
    }
    Ok(raised)
}

fn pfcount(ctx: &mut Ctx<'_>) -> Result {
    if ctx.args.len() > 2 {
        let mut all = Registers::default();
        for at in 1..ctx.args.len() {
            let key = ctx.key(at);
            if let Some(text) = ctx.data.text(key)? {
                merge(&mut all, text)?;
            }
        }
        ctx.reply.integer(all.estimate() as i64);
        return Ok(());
    }
    let key = ctx.key(1);
    let mut room = [0; I64_TEXT_MAX];
    let Some(text) = ctx.data.text(key)? else {
        ctx.reply.integer(0);
        return Ok(());
    };
    let (bytes, _) = checked(text, &mut room)?;
    if let Some(count) = sketch::cached(bytes) {
        ctx.reply.integer(count as i64);
        return Ok(());
    }
    let (count, len) = (sketch::count(bytes).map_err(corrupt)?, bytes.len());
    let slot = ctx.data.find(key);
    lend_bytes(&mut ctx.data, key, slot, len, |bytes| sketch::set_cached(bytes, count))?;
    ctx.data.changed(key, Class::String, "pfcount");
    ctx.reply.integer(count as i64);
    Ok(())
}

/// Merges a key's sketch; says which form it has.
fn merge(all: &mut Registers, text: Text<'_>) -> Result<Form> {
    let mut room = [0; I64_TEXT_MAX];
    let (bytes, form) = checked(text, &mut room)?;
    all.merge(bytes).map_err(corrupt)?;
    Ok(form)
}

fn pfmerge(ctx: &mut Ctx<'_>) -> Result {
    let mut all = Registers::default();
    let mut dense = false;
    // The destination is a source too.
    for at in 1..ctx.args.len() {
        let key = ctx.key(at);
        if let Some(text) = ctx.data.text(key)? {
            dense |= merge(&mut all, text)? == Form::Dense;
        }
    }
    let target = ctx.data.key(ctx.args[1]);
    let slot = ctx.data.find(target);
    let mut bytes = match slot {
        Some(slot) => copy(&ctx.data, target, slot)?,
        None => sketch::empty(),
    };
    if dense {
        sketch::make_dense(&mut bytes).map_err(corrupt)?;
    }
    all.store(&mut bytes, ctx.data.env.limits.hll_sparse_max_bytes).map_err(corrupt)?;
    store(&mut ctx.data, target, slot, bytes);
    ctx.data.changed(target, Class::String, "pfadd");
    ctx.reply.ok();
    Ok(())
}

fn pfdebug(ctx: &mut Ctx<'_>) -> Result {
    const NO_KEY: ReplyError = ReplyError::fixed("ERR The specified key does not exist");
    let word = ctx.args[1];
    if is(word, "simd") {
        // The kernels are what the compiler makes of them: there is nothing to switch.
        let on = is(ctx.args[2], "on");
        if !on && !is(ctx.args[2], "off") {
            return Err(ReplyError::fixed("ERR Argument must be ON or OFF"));
        }
        ctx.reply.status(if on { "enabled" } else { "disabled" });
        return Ok(());
    }
    let key = ctx.key(2);
    let slot = ctx.data.find(key).ok_or(NO_KEY)?;
    let bytes = copy(&ctx.data, key, slot)?;
    if is(word, "getreg") {
        to_dense(ctx, key, slot, &bytes)?;
        let mut all = Registers::default();
        all.merge(&bytes).map_err(corrupt)?;
        ctx.reply.array(all.values().len());
        for value in all.values() {
            ctx.reply.integer(i64::from(*value));
        }
    } else if is(word, "decode") {
        if sketch::form(&bytes) != Some(Form::Sparse) {
            return Err(ReplyError::fixed("ERR HLL encoding is not sparse"));
        }
        let text = sketch::describe(&bytes).map_err(corrupt)?;
        ctx.reply.bulk(text);
    } else if is(word, "encoding") {
        let dense = sketch::form(&bytes) == Some(Form::Dense);
        ctx.reply.status(if dense { "dense" } else { "sparse" });
    } else if is(word, "todense") {
        let done = to_dense(ctx, key, slot, &bytes)?;
        ctx.reply.integer(i64::from(done));
    } else {
        let word = String::from_utf8_lossy(word);
        return Err(ReplyError::new(format!("ERR Unknown PFDEBUG subcommand '{word}'")));
    }
    Ok(())
}

/// Makes a sketch dense; says whether it was not.
fn to_dense(ctx: &mut Ctx<'_>, key: Key<'_>, slot: Slot, bytes: &[u8]) -> Result<bool> {
    if sketch::form(bytes) == Some(Form::Dense) {
        return Ok(false);
    }
    let mut bytes = bytes.to_vec();
    sketch::make_dense(&mut bytes).map_err(corrupt)?;
    let expiry = ctx.data.expiry_at(key, slot);
    put_raw(&mut ctx.data, key, Some(slot), bytes, expiry);
    ctx.data.changed(key, Class::String, "pfadd");
    Ok(true)
}

/// Estimates must be within four standard errors, and both forms must agree.
fn pfselftest(ctx: &mut Ctx<'_>) -> Result {
    const ELEMENTS: u64 = 100_000;
    let failed = |what: &str, n: u64| ReplyError::new(format!("ERR TESTFAILED {what} at {n}"));
    let (mut any, mut dense) = (sketch::empty(), sketch::empty());
    sketch::make_dense(&mut dense).map_err(corrupt)?;
    for n in 1..=ELEMENTS {
        let element = n.to_le_bytes();
        sketch::add(&mut any, &element, ctx.data.env.limits.hll_sparse_max_bytes)
            .map_err(corrupt)?;
        sketch::add_dense(&mut dense, &element);
        if n.is_power_of_two() || n == ELEMENTS {
            let count = sketch::count(&any).map_err(corrupt)?;
            if sketch::count(&dense) != Ok(count) {
                return Err(failed("dense and sparse disagree", n));
            }
            if count.abs_diff(n) as f64 > (4.0 * 0.0081 * n as f64).ceil() {
                return Err(failed("the error is too large", n));
            }
        }
    }
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn adding_and_counting() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("PFADD h"), ":1|");
        assert_eq!(bench.run("PFADD h"), ":0|");
        assert_eq!(bench.run("PFADD h a b c"), ":1|");
        assert_eq!(bench.run("PFADD h a"), ":0|");
        assert_eq!(bench.run("PFCOUNT h"), ":3|");
        assert_eq!(bench.run("PFCOUNT h"), ":3|");
        assert_eq!(bench.run("PFADD g c d"), ":1|");
        assert_eq!(bench.run("PFCOUNT h g none"), ":4|");
        assert_eq!(bench.run("PFCOUNT none"), ":0|");
        assert_eq!(bench.run("TYPE h"), "+string|");
        assert_eq!(bench.run("OBJECT ENCODING h"), "$3|raw|");
        // A count that is noted is a change; one that is read again is none.
        assert_eq!(bench.log_text(), "SELECT 0; PFADD h; PFADD h a b c; PFCOUNT h; PFADD g c d");
    }

    #[test]
    fn the_cached_count_follows_changes() {
        let mut bench = Bench::new();
        for n in 0..3000 {
            bench.run(&format!("PFADD h e{n}"));
            if n % 500 == 0 {
                bench.run("PFCOUNT h");
            }
        }
        assert_eq!(bench.run("PFDEBUG ENCODING h"), "+dense|");
        let count: u64 = bench.run("PFCOUNT h").trim_matches([':', '|']).parse().unwrap();
        assert!(count.abs_diff(3000) < 100, "{count}");
        assert_eq!(bench.run("STRLEN h"), ":12304|");
    }

    #[test]
    fn merging() {
        let mut bench = Bench::new();
        bench.run("PFADD a 1 2 3");
        bench.run("PFADD b 3 4 5");
        bench.run("EXPIRE a 100");
        assert_eq!(bench.run("PFMERGE a b none"), "+OK|");
        assert_eq!(bench.run("PFCOUNT a"), ":5|");
        assert_eq!(bench.run("TTL a"), ":100|");
        assert_eq!(bench.run("PFDEBUG ENCODING a"), "+sparse|");
        assert_eq!(bench.run("PFDEBUG TODENSE b"), ":1|");
        assert_eq!(bench.run("PFDEBUG TODENSE b"), ":0|");
        assert_eq!(bench.run("PFMERGE d a b"), "+OK|");
        assert_eq!(bench.run("PFDEBUG ENCODING d"), "+dense|");
        assert_eq!(bench.run("PFCOUNT d"), ":5|");
        assert_eq!(bench.run("PFMERGE new"), "+OK|");
        assert_eq!(bench.run("PFDEBUG DECODE new"), "$7|Z:16384|");
    }

    #[test]
    fn refusals() {
        let mut bench = Bench::new();
        bench.run("MSET s foo n 12");
        bench.run("RPUSH l a");
        bench.run("PFADD h a");
        let no_sketch = "-WRONGTYPE Key is not a valid HyperLogLog string value.|";
        for line in ["PFADD s a", "PFCOUNT n", "PFCOUNT h s", "PFMERGE d s", "PFDEBUG DECODE s"] {
            assert_eq!(bench.run(line), no_sketch, "{line}");
        }
        for line in ["PFADD l a", "PFCOUNT l", "PFMERGE l h", "PFMERGE h l"] {
            assert!(bench.run(line).starts_with("-WRONGTYPE Operation"), "{line}");
        }
        bench.run_args(&[b"SET", b"bad", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\x80\x7f\xf0"]);
        let corrupt = "-INVALIDOBJ Corrupted HLL object detected|";
        for line in ["PFCOUNT bad", "PFCOUNT bad h", "PFMERGE h bad", "PFDEBUG TODENSE bad"] {
            assert_eq!(bench.run(line), corrupt, "{line}");
        }
        assert_eq!(bench.run("PFDEBUG foo none"), "-ERR The specified key does not exist|");
        assert_eq!(bench.run("PFDEBUG foo h"), "-ERR Unknown PFDEBUG subcommand 'foo'|");
    }

    #[test]
    fn inside() {
        let mut bench = Bench::new();
        bench.run("PFADD h a b c");
        let runs = "Z:8436 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603";
        assert_eq!(bench.run("PFDEBUG DECODE h"), format!("${}|{runs}|", runs.len()));
        assert!(bench.run("PFDEBUG GETREG h").starts_with("*16384|:0|"));
        assert_eq!(bench.run("PFDEBUG DECODE h"), "-ERR HLL encoding is not sparse|");
        assert_eq!(bench.run("PFDEBUG SIMD OFF"), "+disabled|");
        assert_eq!(bench.run("PFSELFTEST"), "+OK|");
    }
}
