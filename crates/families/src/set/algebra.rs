//! Unions, intersections and differences: SINTER, SUNION, SDIFF, their STORE forms, and their sizes:
//! SINTERCARD, SUNIONCARD, SDIFFCARD.
//!
//! - Intersection: the members of the smallest set that all others have. O(n * m) for n members of
//!   the smallest of m sets.
//! - Union: all members go through a set made for the purpose. O(n) for n members of all sets.
//! - Difference: either every member of the first set is looked up in the others, or the others'
//!   members are removed from a copy of the first; whichever looks at fewer members (the first way is
//!   counted by half, because it stops at the first set that has the member).
//! - A size stops at its LIMIT. That of a union needs the union, or with APPROX only the registers of a
//!   HyperLogLog: 16 KB whatever the size, with a standard error of 0.81 %.
//!
//! A stored result replaces whatever was under the destination; an empty one deletes it. All sources'
//! types are checked before anything else. Source: documentation of Redis 7.2 and 8.10.

use std::ops::ControlFlow;

use ochre_command::args::{self, Cursor};
use ochre_command::data::{Class, Data};
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key, Reply};
use ochre_keyspace::db::NewValue;
use ochre_types::hyperloglog;
use ochre_types::limits::Limits;
use ochre_types::packed::Entry;
use ochre_types::set::{Set, SetRef};
use ochre_types::value::Value;
use smallvec::SmallVec;

use super::{READS, set_view};
use crate::collection::{self, write_entry};

const COUNTS: Flags = Flags::READONLY.union(Flags::MOVABLEKEYS);
const STORES: Flags = Flags::WRITE.union(Flags::DENYOOM);
/// The destination of a STORE form, and its sources.
const STORE_KEYS: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::range(2, -1, 1, READS)];
const READ_KEYS: &[KeySpec] = &[KeySpec::range(1, -1, 1, READS)];
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("sinter", -2, Flags::READONLY, Group::Set, sinter)
        .keys(READ_KEYS)
        .docs(
            "1.0.0",
            "Returns the members that all of several sets have.",
            "O(N*M) at worst for N members of the smallest of M sets",
            "key [key ...]",
        )
        .tips(ANY_ORDER),
    CommandSpec::new("sunion", -2, Flags::READONLY, Group::Set, sunion)
        .keys(READ_KEYS)
        .docs(
            "1.0.0",
            "Returns the members that any of several sets has.",
            "O(N) for N members of all sets",
            "key [key ...]",
        )
        .tips(ANY_ORDER),
    CommandSpec::new("sdiff", -2, Flags::READONLY, Group::Set, sdiff)
        .keys(READ_KEYS)
        .docs(
            "1.0.0",
            "Returns the members of the first set that no other set has.",
            "O(N) for N members of all sets",
            "key [key ...]",
        )
        .tips(ANY_ORDER),
    CommandSpec::new("sinterstore", -3, STORES, Group::Set, sinterstore).keys(STORE_KEYS).docs(
        "1.0.0",
        "Stores the members that all of several sets have.",
        "O(N*M) at worst for N members of the smallest of M sets",
        "destination key [key ...]",
    ),
    CommandSpec::new("sunionstore", -3, STORES, Group::Set, sunionstore).keys(STORE_KEYS).docs(
        "1.0.0",
        "Stores the members that any of several sets has.",
        "O(N) for N members of all sets",
        "destination key [key ...]",
    ),
    CommandSpec::new("sdiffstore", -3, STORES, Group::Set, sdiffstore).keys(STORE_KEYS).docs(
        "1.0.0",
        "Stores the members of the first set that no other set has.",
        "O(N) for N members of all sets",
        "destination key [key ...]",
    ),
    CommandSpec::new("sintercard", -3, COUNTS, Group::Set, sintercard)
        .keys(&[KeySpec::counted(1, READS)])
        .docs(
            "7.0.0",
            "Counts the members that all of several sets have.",
            "O(N*M) at worst for N members of the smallest of M sets",
            "numkeys key [key ...] [LIMIT limit]",
        ),
    CommandSpec::new("sunioncard", -3, COUNTS, Group::Set, sunioncard)
        .keys(&[KeySpec::counted(1, READS)])
        .docs(
            "8.10.0",
            "Counts the members that any of several sets has.",
            "O(N) where N is the total number of elements in all given sets.",
            "numkeys key [key ...] [APPROX] [LIMIT limit]",
        ),
    CommandSpec::new("sdiffcard", -3, COUNTS, Group::Set, sdiffcard)
        .keys(&[KeySpec::counted(1, READS)])
        .docs(
            "8.10.0",
            "Counts the members of the first set that no other set has.",
            "O(N) where N is the total number of elements in all given sets.",
            "numkeys key [key ...] [LIMIT limit]",
        ),
];

/// Source sets in the order of the command; none where the key is absent.
type Sources<'d> = SmallVec<[Option<SetRef<'d>>; 8]>;

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

impl Operation {
    /// The event of a stored result.
    const fn event(self) -> &'static str {
        match self {
            Self::Intersection => "sinterstore",
            Self::Union => "sunionstore",
            Self::Difference => "sdiffstore",
        }
    }

    /// Calls `emit` with each member of the result, once.
    fn run(self, sets: &Sources<'_>, limits: &Limits, mut emit: impl FnMut(Entry<'_>)) {
        match self {
            Self::Intersection => intersect(sets, |entry| {
                emit(entry);
                ControlFlow::Continue(())
            }),
            Self::Union => union(sets, limits).view().iter().for_each(emit),
            Self::Difference => subtract(sets, |entry| {
                emit(entry);
                ControlFlow::Continue(())
            }),
        }
    }
}

/// The sets under `names`. Looks all up before it borrows any, since a look-up may delete an expired
/// key.
fn sources<'d, 'a>(data: &'d mut Data<'a>, names: &'a [&'a [u8]]) -> Result<Sources<'d>> {
    let mut keys: SmallVec<[Key<'a>; 8]> = SmallVec::with_capacity(names.len());
    for name in names {
        let key = data.key(name);
        data.look(key);
        keys.push(key);
    }
    let data: &'d Data<'a> = data;
    keys.into_iter().map(|key| data.view(key).map(set_view).transpose()).collect()
}

/// Calls `emit` with each member that all sets have, until it breaks off.
fn intersect<'d>(sets: &Sources<'d>, mut emit: impl FnMut(Entry<'d>) -> ControlFlow<()>) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<_>>>() else {
        return;
    };
    // Most members are thrown out soonest by the smallest sets.
    sets.sort_by_cached_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else {
        return;
    };
    for entry in smallest.iter() {
        if others.iter().all(|set| set.contains_entry(entry)) && emit(entry).is_break() {
            return;
        }
    }
}

/// The union as a set of its own.
fn union(sets: &Sources<'_>, limits: &Limits) -> Set {
    let mut all = Set::new();
    for set in sets.iter().flatten() {
        for entry in set.iter() {
            all.add_entry(limits, entry);
        }
    }
    all
}

/// Calls `emit` with each member of the first set that no other has, until it breaks off.
fn subtract(sets: &Sources<'_>, mut emit: impl FnMut(Entry<'_>) -> ControlFlow<()>) {
    let Some((Some(first), others)) = sets.split_first() else {
        return;
    };
    let mut others: SmallVec<[SetRef<'_>; 8]> = others.iter().copied().flatten().collect();
    let look_ups = first.len().saturating_mul(sets.len()) / 2;
    let removals = first.len() + others.iter().map(|set| set.len()).sum::<usize>();
    if look_ups <= removals {
        // The largest set is the likeliest to have the member.
        others.sort_by_cached_key(|set| std::cmp::Reverse(set.len()));
        for entry in first.iter() {
            if !others.iter().any(|set| set.contains_entry(entry)) && emit(entry).is_break() {
                return;
            }
        }
        return;
    }
    let mut rest = first.duplicate();
    for set in others {
        for entry in set.iter() {
            rest.remove_entry(entry);
        }
        if rest.is_empty() {
            return;
        }
    }
    // Broken off or not, nothing follows.
    let _ = rest.view().iter().try_for_each(emit);
}

fn sinter(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Operation::Intersection)
}

fn sunion(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Operation::Union)
}

fn sdiff(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Operation::Difference)
}

fn answer(ctx: &mut Ctx<'_>, operation: Operation) -> Result {
    let limits = ctx.data.env.limits;
    let sets = sources(&mut ctx.data, &ctx.args[1..])?;
    let reply: &mut Reply<'_> = &mut ctx.reply;
    let mark = reply.deferred();
    let mut count = 0;
    operation.run(&sets, limits, |entry| {
        write_entry(reply, entry);
        count += 1;
    });
    reply.finish_set(mark, count);
    Ok(())
}

fn sinterstore(ctx: &mut Ctx<'_>) -> Result {
    store(ctx, Operation::Intersection)
}

fn sunionstore(ctx: &mut Ctx<'_>) -> Result {
    store(ctx, Operation::Union)
}

fn sdiffstore(ctx: &mut Ctx<'_>) -> Result {
    store(ctx, Operation::Difference)
}

fn store(ctx: &mut Ctx<'_>, operation: Operation) -> Result {
    let limits = ctx.data.env.limits;
    let target = ctx.key(1);
    let sets = sources(&mut ctx.data, &ctx.args[2..])?;
    let result = if operation == Operation::Union {
        union(&sets, limits)
    } else {
        let mut result = Set::new();
        operation.run(&sets, limits, |entry| {
            result.add_entry(limits, entry);
        });
        result
    };
    drop(sets);

    let len = result.len();
    if len > 0 {
        let slot = ctx.data.find(target);
        let value = NewValue::Whole(Value::Set(result));
        ctx.data.put(target, slot, value, None);
        ctx.data.changed(target, Class::Set, operation.event());
    } else if ctx.data.delete(target) {
        ctx.data.changed(target, Class::Generic, "del");
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

/// The arguments of a command that counts.
struct Counted<'a> {
    names: &'a [&'a [u8]],
    /// Where counting stops; 0: nowhere.
    limit: u64,
    approx: bool,
}

impl<'a> Counted<'a> {
    /// `may_approx`: whether the command knows APPROX.
    fn parse(args: &'a [&'a [u8]], may_approx: bool) -> Result<Self> {
        const TOO_MANY: ReplyError =
            ReplyError::fixed("ERR Number of keys can't be greater than number of args");
        const LIMIT: ReplyError = ReplyError::fixed("ERR LIMIT can't be negative");
        let mut rest = Cursor::new(args, 1);
        let keys = match args::int_or(rest.need()?, collection::NUMKEYS)? {
            n if n > 0 => n as usize,
            _ => return Err(collection::NUMKEYS),
        };
        let names = rest.take_slice(keys).map_err(|_| TOO_MANY)?;
        let mut counted = Self { names, limit: 0, approx: false };
        while rest.left() > 0 {
            if may_approx && rest.take("approx") {
                counted.approx = true;
            } else if rest.take("limit") {
                counted.limit =
                    u64::try_from(args::int_or(rest.need()?, LIMIT)?).map_err(|_| LIMIT)?;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(counted)
    }

    /// Counts one more member, and says to stop at the limit.
    fn count(&self, count: &mut u64) -> ControlFlow<()> {
        *count += 1;
        if *count == self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn sintercard(ctx: &mut Ctx<'_>) -> Result {
    let counted = Counted::parse(ctx.args, false)?;
    let sets = sources(&mut ctx.data, counted.names)?;
    let mut count = 0;
    intersect(&sets, |_| counted.count(&mut count));
    ctx.reply.integer(count as i64);
    Ok(())
}

fn sdiffcard(ctx: &mut Ctx<'_>) -> Result {
    let counted = Counted::parse(ctx.args, false)?;
    let sets = sources(&mut ctx.data, counted.names)?;
    let mut count = 0;
    subtract(&sets, |_| counted.count(&mut count));
    ctx.reply.integer(count as i64);
    Ok(())
}

fn sunioncard(ctx: &mut Ctx<'_>) -> Result {
    let counted = Counted::parse(ctx.args, true)?;
    let limits = ctx.data.env.limits;
    let sets = sources(&mut ctx.data, counted.names)?;
    let cap = if counted.limit == 0 { u64::MAX } else { counted.limit };
    // The union has at least as many members as the largest set, which may decide at once.
    let largest = sets.iter().flatten().map(|set| set.len() as u64).max().unwrap_or(0);
    let count = if largest >= cap {
        cap
    } else if counted.approx {
        estimate_union(&sets).min(cap)
    } else {
        count_union(&sets, limits, cap)
    };
    ctx.reply.integer(count as i64);
    Ok(())
}

/// The size of the union, at most `cap`.
fn count_union(sets: &Sources<'_>, limits: &Limits, cap: u64) -> u64 {
    let mut present: SmallVec<[SetRef<'_>; 8]> = sets.iter().copied().flatten().collect();
    // The largest set is looked up in where it is; only what it lacks goes into a set of its own.
    present.sort_by_cached_key(|set| std::cmp::Reverse(set.len()));
    let Some((largest, others)) = present.split_first() else {
        return 0;
    };
    let mut count = largest.len() as u64;
    let mut more = Set::new();
    for entry in others.iter().flat_map(|set| set.iter()) {
        if count >= cap {
            break;
        }
        if !largest.contains_entry(entry) && more.add_entry(limits, entry) {
            count += 1;
        }
    }
    count.min(cap)
}

/// The size of the union by a HyperLogLog.
fn estimate_union(sets: &Sources<'_>) -> u64 {
    let mut log = hyperloglog::empty();
    // The form that never changes again. An empty one is sound, and adding to it is O(1).
    if hyperloglog::make_dense(&mut log).is_err() {
        return 0;
    }
    let mut room = [0; 20];
    for set in sets.iter().flatten() {
        for entry in set.iter() {
            hyperloglog::add_dense(&mut log, entry.text(&mut room));
        }
    }
    hyperloglog::count(&log).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ochre_resp::Protocol;

    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    fn in_each_form(check: impl Fn(&mut Bench)) {
        for (ints, packed) in [(512, 128), (0, 128), (0, 0), (2, 3)] {
            let mut bench = Bench::new();
            bench.limits.set_max_intset_entries = ints;
            bench.limits.set_max_listpack_entries = packed;
            check(&mut bench);
        }
    }

    /// The members of a reply, in order.
    fn members(reply: &str) -> String {
        let words = reply.split('|').skip(2).step_by(2);
        let sorted: BTreeSet<_> = words.filter(|word| !word.is_empty()).collect();
        sorted.into_iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn results_in_each_form() {
        in_each_form(|bench| {
            bench.run("SADD a 1 2 3 x");
            bench.run("SADD b 2 3 4 y");
            bench.run("SADD c 3 5");
            for (command, expected) in [
                ("SINTER a b", "2 3"),
                ("SINTER a b c", "3"),
                ("SINTER a", "1 2 3 x"),
                ("SINTER a no b", ""),
                ("SUNION a b c", "1 2 3 4 5 x y"),
                ("SUNION no a", "1 2 3 x"),
                ("SUNION no", ""),
                ("SDIFF a b", "1 x"),
                ("SDIFF a no c", "1 2 x"),
                ("SDIFF no a", ""),
                ("SDIFF a a", ""),
                // Many keys make the copy the cheaper way.
                ("SDIFF a c c c c c c c c c c c", "1 2 x"),
                ("SDIFF c a b b b b b b b b b b b b b", "5"),
            ] {
                let reply = bench.run(command);
                assert_eq!(members(&reply), expected, "{command}");
                let count = expected.split(' ').filter(|word| !word.is_empty()).count();
                assert!(reply.starts_with(&format!("*{count}|")), "{command}");
            }
        });
    }

    #[test]
    fn stores_replace_and_delete() {
        in_each_form(|bench| {
            bench.run("SADD a 1 2 3 x");
            bench.run("SADD b 2 3 4 y");
            bench.run("RPUSH d element");
            assert_eq!(bench.run("SINTERSTORE d a b"), ":2|");
            assert_eq!(members(&bench.run("SMEMBERS d")), "2 3");
            assert_eq!(bench.run("SUNIONSTORE d a b"), ":6|");
            assert_eq!(bench.run("SDIFFSTORE d a b"), ":2|");
            assert_eq!(members(&bench.run("SMEMBERS d")), "1 x");
            assert_eq!(bench.run("SUNIONSTORE a a d"), ":4|");
            assert_eq!(bench.run("SINTERSTORE d a no"), ":0|");
            assert_eq!(bench.run("SCARD d"), ":0|");
            assert_eq!(bench.run("SINTERSTORE d a no"), ":0|");
            assert_eq!(bench.run("SDIFFSTORE a a a"), ":0|");
            assert_eq!(bench.run("SCARD a"), ":0|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; SADD a 1 2 3 x; SADD b 2 3 4 y; RPUSH d element; SINTERSTORE d a b; \
                 SUNIONSTORE d a b; SDIFFSTORE d a b; SUNIONSTORE a a d; SINTERSTORE d a no; \
                 SDIFFSTORE a a a"
            );
        });
    }

    #[test]
    fn counts_an_intersection() {
        in_each_form(|bench| {
            bench.run("SADD a 1 2 3 x");
            bench.run("SADD b 2 3 4 x");
            assert_eq!(bench.run("SINTERCARD 2 a b"), ":3|");
            assert_eq!(bench.run("SINTERCARD 2 a b LIMIT 2"), ":2|");
            assert_eq!(bench.run("SINTERCARD 2 a b LIMIT 0"), ":3|");
            assert_eq!(bench.run("SINTERCARD 2 a b limit 1 LIMIT 9"), ":3|");
            assert_eq!(bench.run("SINTERCARD 1 no"), ":0|");
        });
    }

    #[test]
    fn counts_a_union_and_a_difference() {
        in_each_form(|bench| {
            bench.run("SADD a 1 2 3 x");
            bench.run("SADD b 2 3 4 y");
            bench.run("SADD c 3 5");
            for (command, expected) in [
                ("SUNIONCARD 2 a b", 6),
                ("SUNIONCARD 4 c b no a", 7),
                ("SUNIONCARD 2 a a", 4),
                ("SUNIONCARD 1 no", 0),
                ("SUNIONCARD 2 a b LIMIT 0", 6),
                ("SUNIONCARD 2 a b LIMIT 5", 5),
                ("SUNIONCARD 2 a b LIMIT 4", 4),
                ("SUNIONCARD 2 a b LIMIT 1", 1),
                ("SUNIONCARD 2 a b LIMIT 9", 6),
                ("SUNIONCARD 2 a b APPROX", 6),
                ("SUNIONCARD 2 a b LIMIT 5 approx", 5),
                ("SUNIONCARD 1 no APPROX", 0),
                ("SDIFFCARD 2 a b", 2),
                ("SDIFFCARD 1 a", 4),
                ("SDIFFCARD 2 no a", 0),
                ("SDIFFCARD 3 a no c", 3),
                ("SDIFFCARD 2 a b LIMIT 1", 1),
                ("SDIFFCARD 2 a b LIMIT 0", 2),
                ("SDIFFCARD 2 a b LIMIT 3", 2),
                // Many keys make the copy the cheaper way.
                ("SDIFFCARD 12 a c c c c c c c c c c c", 3),
                ("SDIFFCARD 12 a c c c c c c c c c c c LIMIT 2", 2),
            ] {
                assert_eq!(bench.run(command), format!(":{expected}|"), "{command}");
            }
        });
    }

    #[test]
    fn estimates_a_large_union() {
        let mut bench = Bench::new();
        for n in 0..20_000 {
            let (name, member) = (format!("k{}", n % 3), (n / 2).to_string());
            bench.run_args(&[b"SADD", name.as_bytes(), member.as_bytes()]);
        }
        assert_eq!(bench.run("SUNIONCARD 3 k0 k1 k2"), ":10000|");
        let reply = bench.run("SUNIONCARD 3 k0 k1 k2 APPROX");
        let estimate: i64 = reply[1..reply.len() - 1].parse().unwrap();
        assert!((9_700..=10_300).contains(&estimate), "{estimate}");
    }

    #[test]
    fn bad_arguments() {
        let mut bench = Bench::new();
        bench.run("SADD a 1");
        bench.run("RPUSH l 1");
        for line in [
            "SINTER a l",
            "SINTER no l",
            "SUNION l no",
            "SDIFF no l",
            "SINTERSTORE a no l",
            "SUNIONSTORE a a l",
            "SDIFFSTORE a no l",
            "SINTERCARD 2 no l",
            "SUNIONCARD 2 no l",
            "SDIFFCARD 2 no l",
        ] {
            assert_eq!(bench.run(line), WRONG, "{line}");
        }
        for numkeys in ["0", "-1", "x"] {
            assert_eq!(
                bench.run(&format!("SINTERCARD {numkeys} a")),
                "-ERR numkeys should be greater than 0|"
            );
        }
        assert_eq!(
            bench.run("SINTERCARD 2 a"),
            "-ERR Number of keys can't be greater than number of args|"
        );
        for limit in ["-1", "x"] {
            assert_eq!(
                bench.run(&format!("SINTERCARD 1 l LIMIT {limit}")),
                "-ERR LIMIT can't be negative|"
            );
        }
        for command in ["SUNIONCARD", "SDIFFCARD"] {
            for (rest, error) in [
                ("0 a", "numkeys should be greater than 0"),
                ("2 a", "Number of keys can't be greater than number of args"),
                ("1 l LIMIT -1", "LIMIT can't be negative"),
                ("1 l LIMIT", "syntax error"),
                ("1 l foo", "syntax error"),
            ] {
                assert_eq!(bench.run(&format!("{command} {rest}")), format!("-ERR {error}|"));
            }
        }
        assert_eq!(bench.run("SDIFFCARD 1 a APPROX"), "-ERR syntax error|");
        for line in ["SINTERCARD 1 a x", "SINTERCARD 1 a LIMIT", "SINTERCARD 1 a x 1"] {
            assert_eq!(bench.run(line), "-ERR syntax error|");
        }
        assert_eq!(bench.log_text(), "SELECT 0; SADD a 1; RPUSH l 1");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("SINTER a a"), "~1|$1|1|");
        assert_eq!(bench.run("SUNION no"), "~0|");
        assert_eq!(bench.run("SDIFF a"), "~1|$1|1|");
    }
}
