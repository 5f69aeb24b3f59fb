//! Commands on keys of any type: DEL, UNLINK, EXISTS, TYPE, TOUCH, RENAME, RENAMENX, COPY, MOVE.
//!
//! A key's shard follows from its name alone, so that the same name in another database lies under
//! the same lock: MOVE and COPY act there by switching the database for a moment.

use ochre_base::clock::Millis;
use ochre_command::args::{Cursor, int_within};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Data, Key};
use ochre_keyspace::db::{Detached, NewValue};
use ochre_keyspace::shard::DbIndex;

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const REMOVES: KeySpec = KeySpec::range(1, -1, 1, KeyFlags::RM.union(KeyFlags::DELETE));
const LOOKS_AT_ALL: KeySpec = KeySpec::range(1, -1, 1, KeyFlags::RO);
const SUM_OF_SHARDS: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
/// What RENAME takes away.
const SOURCE: KeySpec =
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE));
const TARGET: KeySpec = KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE));

const SAME_PLACE: ReplyError = ReplyError::fixed("ERR source and destination objects are the same");

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("del", -2, Flags::WRITE, Group::Generic, del)
        .keys(&[REMOVES])
        .tips(SUM_OF_SHARDS)
        .docs(
            "1.0.0",
            "Deletes keys.",
            "O(N) where N is the number of keys; large values are freed in the background.",
            "key [key ...]",
        ),
    CommandSpec::new("unlink", -2, WRITE_FAST, Group::Generic, del)
        .keys(&[REMOVES])
        .tips(SUM_OF_SHARDS)
        .docs(
            "4.0.0",
            "Deletes keys and frees their values in the background.",
            "O(N) where N is the number of keys.",
            "key [key ...]",
        ),
    CommandSpec::new("exists", -2, READ_FAST, Group::Generic, exists)
        .keys(&[LOOKS_AT_ALL])
        .tips(SUM_OF_SHARDS)
        .docs(
            "1.0.0",
            "Counts the keys that exist.",
            "O(N) where N is the number of keys.",
            "key [key ...]",
        ),
    CommandSpec::new("touch", -2, READ_FAST, Group::Generic, touch)
        .keys(&[LOOKS_AT_ALL])
        .tips(SUM_OF_SHARDS)
        .docs(
            "3.2.1",
            "Counts the keys that exist and notes them as accessed.",
            "O(N) where N is the number of keys.",
            "key [key ...]",
        ),
    CommandSpec::new("type", 2, READ_FAST, Group::Generic, kind)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("1.0.0", "Names the type of the value under a key.", "O(1)", "key"),
    CommandSpec::new("rename", 3, Flags::WRITE, Group::Generic, rename)
        .keys(&[SOURCE, TARGET])
        .docs(
            "1.0.0",
            "Gives a key another name, in place of a key that has it.",
            "O(1)",
            "key newkey",
        ),
    CommandSpec::new("renamenx", 3, WRITE_FAST, Group::Generic, renamenx)
        .keys(&[SOURCE, KeySpec::one(2, KeyFlags::OW.union(KeyFlags::INSERT))])
        .docs("1.0.0", "Gives a key another name if no key has it.", "O(1)", "key newkey"),
    CommandSpec::new("copy", -3, Flags::WRITE.union(Flags::DENYOOM), Group::Generic, copy)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS)), TARGET])
        .docs(
            "6.2.0",
            "Copies a value to another key.",
            "O(N) where N is the number of elements; O(1) for strings.",
            "source destination [DB destination-db] [REPLACE]",
        ),
    CommandSpec::new("move", 3, WRITE_FAST, Group::Generic, move_key)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))])
        .docs("1.0.0", "Moves a key to another database.", "O(1)", "key db"),
];

fn del(ctx: &mut Ctx<'_>) -> Result {
    let mut deleted = 0;
    for name in &ctx.args[1..] {
        let key = ctx.data.key(name);
        if ctx.data.delete(key) {
            ctx.data.changed(key, Class::Generic, "del");
            deleted += 1;
        }
    }
    ctx.reply.integer(deleted);
    Ok(())
}

fn exists(ctx: &mut Ctx<'_>) -> Result {
    count(ctx, |data, key| data.probe(key).is_some())
}

fn touch(ctx: &mut Ctx<'_>) -> Result {
    count(ctx, |data, key| data.look(key).is_some())
}

fn count(ctx: &mut Ctx<'_>, there: impl Fn(&mut Data<'_>, Key<'_>) -> bool) -> Result {
    let mut count = 0;
    for name in &ctx.args[1..] {
        let key = ctx.data.key(name);
        count += i64::from(there(&mut ctx.data, key));
    }
    ctx.reply.integer(count);
    Ok(())
}

fn kind(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let name = match ctx.data.probe(key) {
        None => "none",
        Some(slot) => ctx.data.type_at(key, slot).name(),
    };
    ctx.reply.status(name);
    Ok(())
}

fn rename(ctx: &mut Ctx<'_>) -> Result {
    if move_name(ctx, Overwrite::Yes)? {
        ctx.reply.ok();
    }
    Ok(())
}

fn renamenx(ctx: &mut Ctx<'_>) -> Result {
    let renamed = move_name(ctx, Overwrite::No)?;
    ctx.reply.integer(i64::from(renamed));
    Ok(())
}

/// Whether a key that has the new name already gives way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overwrite {
    Yes,
    No,
}

/// Gives the key at argument 1 the name at argument 2; says whether it may. A key may have its own
/// name if others give way.
fn move_name(ctx: &mut Ctx<'_>, overwrite: Overwrite) -> Result<bool> {
    let (source, target) = (ctx.key(1), ctx.key(2));
    if ctx.data.find(source).is_none() {
        return Err(outcome::NO_SUCH_KEY);
    }
    if source.name == target.name {
        return Ok(overwrite == Overwrite::Yes);
    }
    if ctx.data.find(target).is_some() && overwrite == Overwrite::No {
        return Ok(false);
    }
    let taken = take(&mut ctx.data, source).ok_or(outcome::NO_SUCH_KEY)?;
    ctx.data.changed(source, Class::Generic, "rename_from");
    give(&mut ctx.data, target, taken);
    ctx.data.changed(target, Class::Generic, "rename_to");
    Ok(true)
}

/// A value on its way from one key to another.
struct Taken {
    value: Detached,
    expiry: Option<Millis>,
    access: u32,
}

/// Takes a key's value, and the key with it.
fn take(data: &mut Data<'_>, key: Key<'_>) -> Option<Taken> {
    let slot = data.find(key)?;
    let (value, expiry, access) = data.db_mut(key).detach(slot);
    Some(Taken { value, expiry, access })
}

/// Puts a value under a key, over what was there.
fn give(data: &mut Data<'_>, key: Key<'_>, taken: Taken) {
    let slot = data.find(key);
    let value = NewValue::Detached(taken.value);
    let old = data.db_mut(key).put(key, slot, value, taken.expiry, taken.access);
    data.env.bin.free(old);
}

/// The database whose number is `arg`.
fn database(ctx: &Ctx<'_>, arg: &[u8]) -> Result<DbIndex> {
    let index = int_within(arg, i64::from(i32::MIN), i64::from(i32::MAX))?;
    DbIndex::try_from(index)
        .ok()
        .filter(|index| *index < ctx.data.env.databases)
        .ok_or(outcome::DB_OUT_OF_RANGE)
}

/// Runs `act` in another database.
fn in_db<R>(ctx: &mut Ctx<'_>, db: DbIndex, act: impl FnOnce(&mut Data<'_>) -> R) -> R {
    let own = std::mem::replace(&mut ctx.data.db, db);
    let result = act(&mut ctx.data);
    ctx.data.db = own;
    result
}

fn copy(ctx: &mut Ctx<'_>) -> Result {
    let (mut db, mut replace) = (ctx.db(), false);
    let mut cursor = Cursor::new(ctx.args, 3);
    while cursor.left() > 0 {
        if cursor.take("replace") {
            replace = true;
        } else if cursor.left() > 1 && cursor.take("db") {
            db = database(ctx, cursor.need()?)?;
        } else {
            return Err(outcome::SYNTAX);
        }
    }
    let (source, target) = (ctx.key(1), ctx.key(2));
    if db == ctx.db() && source.name == target.name {
        return Err(SAME_PLACE);
    }
    let copied = ctx.data.look(source).is_some()
        && (!in_db(ctx, db, |data| data.find(target).is_some()) || replace)
        && copy_to(ctx, source, db, target);
    ctx.reply.integer(i64::from(copied));
    Ok(())
}

/// Copies a value with its expiry over what is under the target.
fn copy_to(ctx: &mut Ctx<'_>, source: Key<'_>, db: DbIndex, target: Key<'_>) -> bool {
    let Some(slot) = ctx.data.find(source) else { return false };
    let value = ctx.data.db_of(source).copy(slot);
    let expiry = ctx.data.expiry_at(source, slot);
    let access = ctx.data.env.clock.fresh();
    in_db(ctx, db, |data| {
        let taken = Taken { value, expiry, access };
        give(data, target, taken);
        data.changed(target, Class::Generic, "copy_to");
    });
    true
}

fn move_key(ctx: &mut Ctx<'_>) -> Result {
    let db = database(ctx, ctx.args[2])?;
    if db == ctx.db() {
        return Err(SAME_PLACE);
    }
    let key = ctx.key(1);
    let free = ctx.data.find(key).is_some() && !in_db(ctx, db, |data| data.find(key).is_some());
    let taken = if free { take(&mut ctx.data, key) } else { None };
    let moved = taken.is_some();
    if let Some(taken) = taken {
        ctx.data.changed(key, Class::Generic, "move_from");
        in_db(ctx, db, |data| {
            give(data, key, taken);
            data.tell(key, Class::Generic, "move_to");
        });
    }
    ctx.reply.integer(i64::from(moved));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn del_counts_what_was_there() {
        let mut bench = Bench::new();
        bench.run("MSET a 1 b 2");
        bench.run("ZADD z 1 a");
        bench.run_args(&[b"SET", b"large", &[b'x'; 3000]]);
        assert_eq!(bench.run("DEL a none a"), ":1|");
        assert_eq!(bench.run("UNLINK b z large"), ":3|");
        assert_eq!(bench.run("DEL none"), ":0|");
        assert!(bench.log_text().ends_with("; DEL a none a; UNLINK b z large"));
    }

    #[test]
    fn exists_touch_and_type() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        bench.run("ZADD z 1 a");
        assert_eq!(bench.run("EXISTS s none s z"), ":3|");
        assert_eq!(bench.run("TOUCH s none s z"), ":3|");
        assert_eq!(bench.run("TYPE s"), "+string|");
        assert_eq!(bench.run("TYPE z"), "+zset|");
        assert_eq!(bench.run("TYPE none"), "+none|");
        bench.now_ms += 100_000;
        bench.run("EXISTS s");
        assert_eq!(bench.run("OBJECT IDLETIME s"), ":100|");
        bench.run("TOUCH s");
        assert_eq!(bench.run("OBJECT IDLETIME s"), ":0|");
    }

    #[test]
    fn rename_carries_value_and_expiry() {
        let mut bench = Bench::new();
        bench.run("SET a 1 PX 500");
        bench.run("ZADD b 1 x");
        bench.now_ms += 100;
        assert_eq!(bench.run("RENAME a b"), "+OK|");
        assert_eq!(bench.run("GET b"), "$1|1|");
        assert_eq!(bench.run("PTTL b"), ":400|");
        assert_eq!(bench.run("EXISTS a"), ":0|");
        assert_eq!(bench.run("RENAME a b"), "-ERR no such key|");
        assert_eq!(bench.run("RENAME a a"), "-ERR no such key|");
        assert_eq!(bench.run("RENAME b b"), "+OK|");
        assert_eq!(bench.run("RENAMENX b b"), ":0|");
        bench.run_args(&[b"SET", b"large", &[b'x'; 3000]]);
        assert_eq!(bench.run("RENAMENX large b"), ":0|");
        assert_eq!(bench.run("RENAMENX large other"), ":1|");
        assert_eq!(bench.run("STRLEN other"), ":3000|");
        assert_eq!(bench.run("TTL other"), ":-1|");
        assert!(bench.log_text().ends_with("RENAMENX large other"));
    }

    #[test]
    fn rename_over_an_expired_key() {
        let mut bench = Bench::new();
        for n in 0..20 {
            bench.run(&format!("SET target{n} v PX 5"));
            bench.run(&format!("SET source{n} {n}"));
        }
        bench.now_ms += 6;
        for n in 0..20 {
            assert_eq!(bench.run(&format!("RENAMENX source{n} target{n}")), ":1|");
            assert_eq!(
                bench.run(&format!("GET target{n}")),
                format!("${}|{n}|", n.to_string().len())
            );
        }
    }

    #[test]
    fn copies_are_separate() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a");
        bench.run("PEXPIRE z 500");
        assert_eq!(bench.run("COPY z c"), ":1|");
        assert_eq!(bench.run("COPY z c"), ":0|");
        bench.run("ZADD c 2 b");
        assert_eq!(bench.run("ZCARD z"), ":1|");
        assert_eq!(bench.run("PTTL c"), ":500|");
        bench.run("SET s v");
        assert_eq!(bench.run("COPY s c REPLACE"), ":1|");
        assert_eq!(bench.run("GET c"), "$1|v|");
        assert_eq!(bench.run("TTL c"), ":-1|");
        assert_eq!(bench.run("COPY none c REPLACE"), ":0|");
        assert_eq!(bench.run("COPY s s DB 3"), ":1|");
        bench.db = 3;
        assert_eq!(bench.run("GET s"), "$1|v|");
        assert_eq!(bench.run("DEL s"), ":1|");
        assert!(bench.log_text().ends_with("COPY s s DB 3; SELECT 3; DEL s"));
    }

    #[test]
    fn copy_and_move_errors() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        let range = "value is out of range, value must between -2147483648 and 2147483647";
        for (options, error) in [
            ("s", "source and destination objects are the same"),
            ("s DB 0", "source and destination objects are the same"),
            ("t DB x", "value is not an integer or out of range"),
            ("t DB 16", "DB index is out of range"),
            ("t DB -1", "DB index is out of range"),
            ("t DB 99999999999", range),
            ("t DB", "syntax error"),
            ("t foo", "syntax error"),
        ] {
            assert_eq!(bench.run(&format!("COPY s {options}")), format!("-ERR {error}|"));
        }
        for (db, error) in [
            ("0", "source and destination objects are the same"),
            ("x", "value is not an integer or out of range"),
            ("16", "DB index is out of range"),
            ("99999999999", range),
        ] {
            assert_eq!(bench.run(&format!("MOVE s {db}")), format!("-ERR {error}|"));
        }
    }

    #[test]
    fn move_goes_to_another_database() {
        let mut bench = Bench::new();
        bench.run("SET k v PX 500");
        assert_eq!(bench.run("MOVE k 5"), ":1|");
        assert_eq!(bench.run("MOVE k 5"), ":0|");
        bench.run("SET k w");
        assert_eq!(bench.run("MOVE k 5"), ":0|");
        assert_eq!(bench.run("GET k"), "$1|w|");
        bench.db = 5;
        assert_eq!(bench.run("PTTL k"), ":500|");
        assert_eq!(bench.run("GET k"), "$1|v|");
        assert_eq!(bench.log_text(), "SELECT 0; SET k v PXAT 1700000000500; MOVE k 5; SET k w");
    }
}
