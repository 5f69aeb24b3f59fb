//! OBJECT: how a value is stored and when it was used.
//!
//! The encodings are the logical ones, by the names and thresholds of Redis; `embstr` and `raw` differ
//! by length, or by the value having been changed in place.

use ochre_base::compat::Compat;
use ochre_command::Ctx;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::{Stored, Text};
use ochre_keyspace::entry::Kind;
use ochre_types::hash::HashRef;
use ochre_types::list::ListRef;
use ochre_types::set::SetRef;
use ochre_types::table::Slot;
use ochre_types::value::Value;
use ochre_types::zset::ZsetRef;

/// Longest string that is reported as `embstr`.
const EMBSTR_MAX: usize = 44;

const KEY: KeySpec = KeySpec::one(2, KeyFlags::RO);
const VARIES: &[&str] = &["nondeterministic_output"];

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("object", -2, Flags::empty(), Group::Generic, unknown)
        .docs(
            "2.2.3",
            "Holds the commands that look at how a value is stored.",
            "Depends on subcommand.",
            "",
        )
        .subcommands(&[
            CommandSpec::new("encoding", 3, Flags::READONLY, Group::Generic, encoding)
                .keys(&[KEY])
                .tips(VARIES)
                .docs("2.2.3", "Names the encoding of a value.", "O(1)", "key"),
            CommandSpec::new("freq", 3, Flags::READONLY, Group::Generic, freq)
                .keys(&[KEY])
                .tips(VARIES)
                .docs("4.0.0", "Gives the logarithmic access frequency of a key.", "O(1)", "key"),
            CommandSpec::new("idletime", 3, Flags::READONLY, Group::Generic, idletime)
                .keys(&[KEY])
                .tips(VARIES)
                .docs("2.2.3", "Gives the seconds since the last access to a key.", "O(1)", "key"),
            CommandSpec::new("refcount", 3, Flags::READONLY, Group::Generic, refcount)
                .keys(&[KEY])
                .tips(VARIES)
                .docs("2.2.3", "Gives the reference count of a value.", "O(1)", "key"),
            CommandSpec::new("help", 2, Flags::LOADING.union(Flags::STALE), Group::Generic, help)
                .docs("6.2.0", "Lists the subcommands.", "O(1)", ""),
        ])];

fn unknown(ctx: &mut Ctx<'_>) -> Result {
    Err(outcome::unknown_subcommand("object", ctx.args[1]))
}

/// The place of the key at argument 2; writes null when there is none.
fn place(ctx: &mut Ctx<'_>) -> Option<Slot> {
    let key = ctx.key(2);
    let slot = ctx.data.probe(key);
    if slot.is_none() {
        ctx.reply.null();
    }
    slot
}

fn encoding(ctx: &mut Ctx<'_>) -> Result {
    let Some(slot) = place(ctx) else { return Ok(()) };
    let db = ctx.data.db_of(ctx.key(2));
    let name = encoding_name(&db.stored(&db.entry(slot)), ctx.data.env.compat);
    ctx.reply.bulk(name);
    Ok(())
}

/// The logical encoding of a value, by the peers' names. Redis 7.0 has one
/// form of a list only.
pub fn encoding_name(stored: &Stored<'_>, compat: Compat) -> &'static str {
    match *stored {
        Stored::Inline(Kind::List, _) | Stored::Object(Value::List(_))
            if compat == Compat::Redis70 =>
        {
            "quicklist"
        }
        Stored::Inline(kind, bytes) => match kind {
            Kind::Int => "int",
            Kind::Bytes if bytes.len() <= EMBSTR_MAX => "embstr",
            Kind::Bytes | Kind::RawBytes | Kind::Object => "raw",
            Kind::List => ListRef::Packed(bytes).encoding(),
            Kind::Hash => HashRef::Packed(bytes).encoding(),
            Kind::HashEx => HashRef::PackedEx(bytes).encoding(),
            Kind::Ints => SetRef::Ints(bytes).encoding(),
            Kind::Set => SetRef::Packed(bytes).encoding(),
            Kind::Zset => ZsetRef::Packed(bytes).encoding().name(),
        },
        Stored::Object(value) => match value {
            Value::Str(_) => "raw",
            Value::List(list) => list.encoding(),
            Value::Hash(hash) => hash.view().encoding(),
            Value::Set(set) => set.view().encoding(),
            Value::Zset(zset) => zset.view().encoding().name(),
            Value::Stream(_) => "stream",
            Value::Sketch(_) => "raw",
        },
    }
}

fn freq(ctx: &mut Ctx<'_>) -> Result {
    const NOT_LFU: ReplyError = ReplyError::fixed(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time to \
         adjust.",
    );
    let Some(slot) = place(ctx) else { return Ok(()) };
    let clock = ctx.data.env.clock;
    if !clock.lfu {
        return Err(NOT_LFU);
    }
    let access = ctx.data.db_of(ctx.key(2)).entry(slot).access;
    ctx.reply.integer(i64::from(clock.frequency(access)));
    Ok(())
}

fn idletime(ctx: &mut Ctx<'_>) -> Result {
    const LFU: ReplyError = ReplyError::fixed(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
         switching between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    let Some(slot) = place(ctx) else { return Ok(()) };
    let clock = ctx.data.env.clock;
    if clock.lfu {
        return Err(LFU);
    }
    let access = ctx.data.db_of(ctx.key(2)).entry(slot).access;
    ctx.reply.integer(i64::from(clock.idle_seconds(access)));
    Ok(())
}

/// A value belongs to one key: there is nothing to count. Small integers are said to be shared, as
/// they are by the peers.
fn refcount(ctx: &mut Ctx<'_>) -> Result {
    const SHARED: std::ops::Range<i64> = 0..10_000;
    let Some(slot) = place(ctx) else { return Ok(()) };
    let text = ctx.data.text_at(ctx.key(2), slot);
    let shared = matches!(text, Ok(Text::Int(n)) if SHARED.contains(&n));
    ctx.reply.integer(if shared { i64::from(i32::MAX) } else { 1 });
    Ok(())
}

fn help(ctx: &mut Ctx<'_>) -> Result {
    const LINES: &[&str] = &[
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Name the encoding in which the value under <key> is stored.",
        "FREQ <key>",
        "    Give the access frequency of <key>, on a logarithmic scale. It is kept",
        "    under the LFU policies only.",
        "IDLETIME <key>",
        "    Give the seconds since <key> was last accessed. They are kept under all",
        "    policies but LFU.",
        "REFCOUNT <key>",
        "    Give the number of references to the value under <key>.",
        "HELP",
        "    Print this help.",
    ];
    ctx.reply.array(LINES.len());
    for line in LINES {
        ctx.reply.status(line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    #[test]
    fn encodings_of_strings_and_sorted_sets() {
        let mut bench = Bench::new();
        let (short, long) = ("x".repeat(44), "x".repeat(45));
        for (value, name) in [("12", "int"), (&*short, "embstr"), (&*long, "raw")] {
            bench.run(&format!("SET k {value}"));
            let reply = format!("${}|{name}|", name.len());
            assert_eq!(bench.run("OBJECT ENCODING k"), reply);
        }
        bench.run_args(&[b"SET", b"k", &[b'x'; 5000]]);
        assert_eq!(bench.run("OBJECT ENCODING k"), "$3|raw|");
        bench.run("ZADD z 1 a");
        assert_eq!(bench.run("OBJECT ENCODING z"), "$8|listpack|");
        bench.run(&format!("ZADD z 2 {}", "m".repeat(65)));
        assert_eq!(bench.run("OBJECT ENCODING z"), "$8|skiplist|");
    }

    #[test]
    fn the_other_subcommands() {
        let mut bench = Bench::new();
        bench.run("SET k v");
        assert_eq!(bench.run("OBJECT REFCOUNT k"), ":1|");
        assert_eq!(bench.run("OBJECT IDLETIME k"), ":0|");
        assert!(bench.run("OBJECT FREQ k").starts_with("-ERR An LFU maxmemory policy is not"));
        for word in ["ENCODING", "FREQ", "IDLETIME", "REFCOUNT"] {
            bench.protocol = Protocol::Resp2;
            assert_eq!(bench.run(&format!("OBJECT {word} none")), "$-1|");
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run(&format!("OBJECT {word} none")), "_|");
        }
        assert!(bench.run("OBJECT HELP").starts_with("*13|+OBJECT <subcommand>"));
        bench.lfu = true;
        bench.run("SET new v");
        assert_eq!(bench.run("OBJECT FREQ new"), ":5|");
        assert!(bench.run("OBJECT IDLETIME k").starts_with("-ERR An LFU maxmemory policy is sel"));
    }
}
