//! Union, intersection and difference of sets and sorted sets: ZUNION, ZINTER, ZDIFF, their STORE
//! forms, and ZINTERCARD. A plain set counts as a sorted set whose scores are all 1.
//!
//! The inputs are read where they lie, and the result is a list of borrowed members that is sorted once
//! at the end and then answered or stored. Scores are summed over the inputs from the smallest to the
//! largest, as upstream does: with fractions the order shows in the last digit.
//!
//! ```text
//! union   all members, sorted by member, runs of equal ones merged      O(N log N), N their number
//! inter   the smallest input, the others asked for each member          O(N K)
//! diff    the first input, the others asked for each member, or         O(N K)
//!         the first sorted by member and the others struck out of it    O((N + L) log N)
//! ```

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::{Cursor, float, int, int_or, is};
use ochre_command::outcome::{self, ReplyError, Result, WRONG_TYPE};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Data, Key};
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Kind;
use ochre_types::packed;
use ochre_types::set::SetRef;
use ochre_types::value::Value;
use ochre_types::zset::{Entry, Zset, ZsetRef};
use smallvec::SmallVec;

use super::store::store;
use super::{Scores, write_entries};

const READ: Flags = Flags::READONLY.union(Flags::MOVABLEKEYS);
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLEKEYS);
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const INPUTS: &[KeySpec] = &[KeySpec::counted(1, READS)];
const STORES: &[KeySpec] =
    &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::counted(2, READS)];
const UNION_COST: &str = "O(N)+O(N*log(N)) where N is the number of members of all inputs.";
const INTER_COST: &str = "O(N*K)+O(M*log(M)) where N is the number of members of the smallest \
                          input, K the number of inputs and M the number of members of the result.";
const DIFF_COST: &str = "O((N+L)*log(N)) at worst, where N is the number of members of the first \
                         input and L that of the others.";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("zunion", -3, READ, Group::SortedSet, zunion).keys(INPUTS).docs(
        "6.2.0",
        "Gives the union of sorted sets.",
        UNION_COST,
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] \
         [WITHSCORES]",
    ),
    CommandSpec::new("zinter", -3, READ, Group::SortedSet, zinter).keys(INPUTS).docs(
        "6.2.0",
        "Gives the intersection of sorted sets.",
        INTER_COST,
        "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] \
         [WITHSCORES]",
    ),
    CommandSpec::new("zdiff", -3, READ, Group::SortedSet, zdiff).keys(INPUTS).docs(
        "6.2.0",
        "Gives the members of a sorted set that are in none of the others.",
        DIFF_COST,
        "numkeys key [key ...] [WITHSCORES]",
    ),
    CommandSpec::new("zunionstore", -4, WRITE, Group::SortedSet, zunionstore).keys(STORES).docs(
        "2.0.0",
        "Stores the union of sorted sets under a key.",
        UNION_COST,
        "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] \
         [AGGREGATE <SUM | MIN | MAX | COUNT>]",
    ),
    CommandSpec::new("zinterstore", -4, WRITE, Group::SortedSet, zinterstore).keys(STORES).docs(
        "2.0.0",
        "Stores the intersection of sorted sets under a key.",
        INTER_COST,
        "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] \
         [AGGREGATE <SUM | MIN | MAX | COUNT>]",
    ),
    CommandSpec::new("zdiffstore", -4, WRITE, Group::SortedSet, zdiffstore).keys(STORES).docs(
        "6.2.0",
        "Stores the members of a sorted set that are in none of the others under a key.",
        DIFF_COST,
        "destination numkeys key [key ...]",
    ),
    CommandSpec::new("zintercard", -3, READ, Group::SortedSet, zintercard).keys(INPUTS).docs(
        "7.0.0",
        "Counts the members of the intersection of sorted sets.",
        "O(N*K) where N is the number of members of the smallest input and K the number of inputs.",
        "numkeys key [key ...] [LIMIT limit]",
    ),
];

/// How inputs are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Inter,
    Diff,
}

/// What the scores of a member in several inputs give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
    /// The number of inputs that have the member: the sum of their weights.
    Count,
}

impl Aggregate {
    /// Infinities of both signs add up to 0, as upstream has it.
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Sum | Self::Count if (a + b).is_nan() => 0.0,
            Self::Sum | Self::Count => a + b,
            Self::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Self::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

fn zunion(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Operation::Union)
}

fn zinter(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Operation::Inter)
}

fn zdiff(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Operation::Diff)
}

fn zunionstore(ctx: &mut Ctx<'_>) -> Result {
    keep(ctx, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Ctx<'_>) -> Result {
    keep(ctx, Operation::Inter, "zinterstore")
}

fn zdiffstore(ctx: &mut Ctx<'_>) -> Result {
    keep(ctx, Operation::Diff, "zdiffstore")
}

fn answer(ctx: &mut Ctx<'_>, operation: Operation) -> Result {
    let names = inputs(ctx, 1)?;
    let options = Options::parse(ctx.args, 2, names.len(), Syntax::Read(operation))?;
    let sources = sources(&ctx.data, names, &options, operation);
    let texts = int_texts(&sources, operation);
    let result = combine(&sources, &texts, operation, options.aggregate);
    write_entries(&mut ctx.reply, result.len(), result.into_iter(), options.scores);
    Ok(())
}

fn keep(ctx: &mut Ctx<'_>, operation: Operation, event: &'static str) -> Result {
    let names = inputs(ctx, 2)?;
    let options = Options::parse(ctx.args, 3, names.len(), Syntax::Store(operation))?;
    let sources = sources(&ctx.data, names, &options, operation);
    let texts = int_texts(&sources, operation);
    let result = combine(&sources, &texts, operation, options.aggregate);
    let result = Zset::from_sorted(result, ctx.data.env.limits);
    drop(sources);
    let target = ctx.key(1);
    store(ctx, target, result, event);
    Ok(())
}

fn zintercard(ctx: &mut Ctx<'_>) -> Result {
    let names = inputs(ctx, 1)?;
    let options = Options::parse(ctx.args, 2, names.len(), Syntax::Count)?;
    let sources = sources(&ctx.data, names, &options, Operation::Inter);
    let texts = int_texts(&sources, Operation::Inter);
    let mut texts = texts.iter();
    let common = intersection(&sources, &mut texts, Aggregate::Min);
    let count = common.take(options.limit).count();
    ctx.reply.integer(count as i64);
    Ok(())
}

/// The names of the inputs, whose number stands at argument `at`. Looks all of them up: afterwards
/// none is expired, and each is a set, a sorted set or absent.
fn inputs<'a>(ctx: &mut Ctx<'a>, at: usize) -> Result<&'a [&'a [u8]]> {
    let count = int(ctx.args[at])?;
    if count < 1 {
        return Err(ReplyError::new(format!(
            "ERR at least 1 input key is needed for '{}' command",
            ctx.name()
        )));
    }
    let names = Cursor::new(ctx.args, at + 1).take_slice(count as usize)?;
    for name in names {
        Members::of(ctx.data.stored(Key::new(name)))?;
    }
    Ok(names)
}

/// Which options a command knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Read(Operation),
    Store(Operation),
    Count,
}

/// What stands behind the keys.
struct Options {
    /// One for each input, or none at all.
    weights: SmallVec<[f64; 8]>,
    aggregate: Aggregate,
    scores: Scores,
    limit: usize,
}

impl Options {
    /// Reads what stands behind `inputs` keys, the first of which is argument `first`.
    fn parse(args: &[&[u8]], first: usize, inputs: usize, syntax: Syntax) -> Result<Self> {
        let mut options = Self {
            weights: SmallVec::new(),
            aggregate: Aggregate::Sum,
            scores: Scores::Without,
            limit: usize::MAX,
        };
        let weighs = match syntax {
            Syntax::Read(operation) | Syntax::Store(operation) => operation != Operation::Diff,
            Syntax::Count => false,
        };
        let mut cursor = Cursor::new(args, first + inputs);
        while cursor.left() > 0 {
            if weighs && cursor.left() > inputs && cursor.take("weights") {
                options.weights = weights(cursor.take_slice(inputs)?)?;
            } else if weighs && cursor.left() > 1 && cursor.take("aggregate") {
                options.aggregate = aggregate(cursor.need()?)?;
            } else if matches!(syntax, Syntax::Read(_)) && cursor.take("withscores") {
                options.scores = Scores::With;
            } else if syntax == Syntax::Count && cursor.left() > 1 && cursor.take("limit") {
                options.limit = limit(cursor.need()?)?;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(options)
    }
}

fn weights(texts: &[&[u8]]) -> Result<SmallVec<[f64; 8]>> {
    const NOT_A_WEIGHT: ReplyError = ReplyError::fixed("ERR weight value is not a float");
    texts.iter().map(|text| float(text).map_err(|_| NOT_A_WEIGHT)).collect()
}

fn aggregate(word: &[u8]) -> Result<Aggregate> {
    match () {
        () if is(word, "sum") => Ok(Aggregate::Sum),
        () if is(word, "min") => Ok(Aggregate::Min),
        () if is(word, "max") => Ok(Aggregate::Max),
        () if is(word, "count") => Ok(Aggregate::Count),
        () => Err(outcome::SYNTAX),
    }
}

/// The most members that are counted; 0 is no limit.
fn limit(text: &[u8]) -> Result<usize> {
    const NEGATIVE: ReplyError = ReplyError::fixed("ERR LIMIT can't be negative");
    match int_or(text, NEGATIVE)? {
        0 => Ok(usize::MAX),
        n => usize::try_from(n).map_err(|_| NEGATIVE),
    }
}

/// The members of an input, where they lie.
#[derive(Clone, Copy, Debug)]
enum Members<'a> {
    Absent,
    Zset(ZsetRef<'a>),
    Set(SetRef<'a>),
}

impl<'a> Members<'a> {
    fn of(stored: Option<Stored<'a>>) -> Result<Self> {
        let Some(stored) = stored else { return Ok(Self::Absent) };
        match stored {
            Stored::Inline(Kind::Zset, bytes) => Ok(Self::Zset(ZsetRef::Packed(bytes))),
            Stored::Inline(Kind::Ints, bytes) => Ok(Self::Set(SetRef::Ints(bytes))),
            Stored::Inline(Kind::Set, bytes) => Ok(Self::Set(SetRef::Packed(bytes))),
            Stored::Object(Value::Zset(zset)) => Ok(Self::Zset(zset.view())),
            Stored::Object(Value::Set(set)) => Ok(Self::Set(set.view())),
            _ => Err(WRONG_TYPE),
        }
    }
}

/// An input and the weight of its scores.
#[derive(Clone, Copy, Debug)]
struct Source<'a> {
    members: Members<'a>,
    len: usize,
    weight: f64,
    /// The weight stands for the score.
    is_counted: bool,
}

/// The text of a member that its set holds as an integer, and its length.
type IntText = ([u8; I64_TEXT_MAX], u8);

/// The inputs in the order in which they are combined: the smallest first, but for differences.
fn sources<'d>(
    data: &'d Data<'_>,
    names: &[&[u8]],
    options: &Options,
    operation: Operation,
) -> SmallVec<[Source<'d>; 8]> {
    let mut sources: SmallVec<[Source<'d>; 8]> = (0..)
        .zip(names)
        .map(|(at, name)| {
            // Other types were refused when the inputs were looked up.
            let members = Members::of(data.view(Key::new(name))).unwrap_or(Members::Absent);
            let len = match members {
                Members::Absent => 0,
                Members::Zset(set) => set.len(),
                Members::Set(set) => set.len(),
            };
            let weight = options.weights.get::<usize>(at).copied().unwrap_or(1.0);
            let is_counted = options.aggregate == Aggregate::Count;
            Source { members, len, weight, is_counted }
        })
        .collect();
    if operation != Operation::Diff {
        sources.sort_by_key(|source| source.len);
    }
    sources
}

/// The texts of all integer members that will be walked over, in that order.
fn int_texts(sources: &[Source<'_>], operation: Operation) -> Vec<IntText> {
    let walked = match operation {
        Operation::Union => sources,
        Operation::Inter | Operation::Diff => &sources[..sources.len().min(1)],
    };
    let mut texts = Vec::new();
    for source in walked {
        let Members::Set(set) = source.members else { continue };
        for member in set.iter() {
            if let packed::Entry::Int(n) = member {
                let mut room = [0; I64_TEXT_MAX];
                let len = format_i64(n, &mut room).len() as u8;
                texts.push((room, len));
            }
        }
    }
    texts
}

impl<'a> Source<'a> {
    /// The members with their own scores; `texts` goes on to what [`int_texts`] has for them.
    fn entries<'t>(
        &self,
        texts: &'t mut std::slice::Iter<'a, IntText>,
    ) -> Box<dyn Iterator<Item = Entry<'a>> + 't>
    where
        'a: 't,
    {
        match self.members {
            Members::Absent => Box::new(std::iter::empty()),
            Members::Zset(set) => Box::new(set.iter()),
            Members::Set(set) => Box::new(set.iter().filter_map(|member| {
                let member = match member {
                    packed::Entry::Str(bytes) => bytes,
                    packed::Entry::Int(_) => {
                        let (room, len) = texts.next()?;
                        &room[..usize::from(*len)]
                    }
                };
                Some(Entry { member, score: 1.0 })
            })),
        }
    }

    /// The score of a member, if it is one.
    fn score(&self, member: &[u8]) -> Option<f64> {
        match self.members {
            Members::Absent => None,
            Members::Zset(set) => set.score(member),
            Members::Set(set) => set.contains(member).then_some(1.0),
        }
    }

    /// A score with the weight; 0 where the product is no number.
    fn weigh(&self, score: f64) -> f64 {
        if self.is_counted {
            return self.weight;
        }
        let product = score * self.weight;
        if product.is_nan() { 0.0 } else { product }
    }
}

/// The result in the order of a sorted set.
fn combine<'a>(
    sources: &[Source<'a>],
    texts: &'a [IntText],
    operation: Operation,
    aggregate: Aggregate,
) -> Vec<Entry<'a>> {
    let mut result = match operation {
        Operation::Union => union(sources, texts, aggregate),
        Operation::Inter => intersection(sources, &mut texts.iter(), aggregate).collect(),
        Operation::Diff => difference(sources, texts),
    };
    if !result.is_sorted_by(|a, b| a.order(b).is_le()) {
        result.sort_unstable_by(Entry::order);
    }
    result
}

fn union<'a>(sources: &[Source<'a>], texts: &'a [IntText], aggregate: Aggregate) -> Vec<Entry<'a>> {
    let mut texts = texts.iter();
    let mut all = Vec::with_capacity(sources.iter().map(|source| source.len).sum());
    for source in sources {
        all.extend(
            source
                .entries(&mut texts)
                .map(|entry| Entry { member: entry.member, score: source.weigh(entry.score) }),
        );
    }
    // Stable, so that scores are merged in the order of the sources.
    all.sort_by(|a, b| a.member.cmp(b.member));
    all.dedup_by(|next, kept| {
        let same = next.member == kept.member;
        if same {
            kept.score = aggregate.of(kept.score, next.score);
        }
        same
    });
    all
}

/// The members of the first source that all others have, with their scores.
fn intersection<'a: 't, 't>(
    sources: &'t [Source<'a>],
    texts: &'t mut std::slice::Iter<'a, IntText>,
    aggregate: Aggregate,
) -> Box<dyn Iterator<Item = Entry<'a>> + 't> {
    let Some((first, others)) = sources.split_first() else {
        return Box::new(std::iter::empty());
    };
    Box::new(first.entries(texts).filter_map(move |entry| {
        let mut score = first.weigh(entry.score);
        for other in others {
            score = aggregate.of(score, other.weigh(other.score(entry.member)?));
        }
        Some(Entry { member: entry.member, score })
    }))
}

fn difference<'a>(sources: &[Source<'a>], texts: &'a [IntText]) -> Vec<Entry<'a>> {
    let Some((first, others)) = sources.split_first() else { return Vec::new() };
    let mut texts = texts.iter();
    let entries = first.entries(&mut texts);
    let lookups = first.len.saturating_mul(others.len());
    let walk: usize = others.iter().map(|other| other.len).sum();
    if lookups <= first.len + walk {
        let is_only_here =
            |entry: &Entry<'_>| others.iter().all(|other| other.score(entry.member).is_none());
        return entries.filter(is_only_here).collect();
    }
    let mut kept: Vec<(Entry<'a>, bool)> = entries.map(|entry| (entry, true)).collect();
    kept.sort_unstable_by(|(a, _), (b, _)| a.member.cmp(b.member));
    for other in others {
        let texts = int_texts(std::slice::from_ref(other), Operation::Union);
        for struck in other.entries(&mut texts.iter()) {
            if let Ok(at) = kept.binary_search_by(|(entry, _)| entry.member.cmp(struck.member)) {
                kept[at].1 = false;
            }
        }
    }
    kept.into_iter().filter_map(|(entry, stays)| stays.then_some(entry)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    fn bench() -> Bench {
        let mut bench = Bench::new();
        bench.run("ZADD a 1 x 2 y 3 z");
        bench.run("ZADD b 10 y 20 z 30 w");
        bench
    }

    #[test]
    fn unions() {
        for entries in [128, 0] {
            let mut bench = Bench::new();
            bench.limits.zset_max_listpack_entries = entries;
            bench.run("ZADD a 1 x 2 y 3 z");
            bench.run("ZADD b 10 y 20 z 30 w");
            assert_eq!(bench.run("ZUNION 2 a b"), "*4|$1|x|$1|y|$1|z|$1|w|");
            for (options, scores) in [
                ("", ["x1", "y12", "z23", "w30"]),
                ("AGGREGATE MIN", ["x1", "y2", "z3", "w30"]),
                ("AGGREGATE max", ["x1", "y10", "z20", "w30"]),
                ("WEIGHTS 100 1", ["w30", "x100", "y210", "z320"]),
                ("AGGREGATE COUNT", ["w1", "x1", "y2", "z2"]),
                ("WEIGHTS 2 -5 AGGREGATE count", ["w-5", "y-3", "z-3", "x2"]),
            ] {
                let reply = bench.run(&format!("ZUNION 2 a b {options} WITHSCORES"));
                let parts: Vec<&str> = reply.split('|').skip(2).step_by(2).collect();
                let pairs: Vec<String> = parts.chunks(2).map(|pair| pair.concat()).collect();
                assert_eq!(pairs, scores, "{options}");
            }
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run("ZUNION 2 a none WITHSCORES"), bench.run("ZUNION 1 a WITHSCORES"));
            assert_eq!(
                bench.run("ZUNION 1 b WEIGHTS 0.5 WITHSCORES"),
                "*3|*2|$1|y|,5|*2|$1|z|,10|*2|$1|w|,15|"
            );
            assert_eq!(bench.run("ZUNION 2 none none"), "*0|");
        }
    }

    #[test]
    fn intersections_and_differences() {
        let mut bench = bench();
        assert_eq!(bench.run("ZINTER 2 a b WITHSCORES"), "*4|$1|y|$2|12|$1|z|$2|23|");
        assert_eq!(
            bench.run("ZINTER 2 a a WITHSCORES WEIGHTS 1 -2"),
            "*6|$1|z|$2|-3|$1|y|$2|-2|$1|x|$2|-1|"
        );
        assert_eq!(bench.run("ZINTER 2 a none"), "*0|");
        assert_eq!(bench.run("ZDIFF 2 a b WITHSCORES"), "*2|$1|x|$1|1|");
        assert_eq!(bench.run("ZDIFF 2 b a"), "*1|$1|w|");
        assert_eq!(bench.run("ZDIFF 2 none a"), "*0|");
        assert_eq!(bench.run("ZDIFF 1 a"), "*3|$1|x|$1|y|$1|z|");
        assert_eq!(bench.run("ZINTERCARD 2 a b"), ":2|");
        assert_eq!(bench.run("ZINTERCARD 2 a b LIMIT 1"), ":1|");
        assert_eq!(bench.run("ZINTERCARD 2 a b LIMIT 0"), ":2|");
        assert_eq!(bench.run("ZINTERCARD 2 a none"), ":0|");
    }

    #[test]
    fn stored_results() {
        let mut bench = bench();
        assert_eq!(bench.run("ZUNIONSTORE d 2 a b"), ":4|");
        assert_eq!(bench.run("OBJECT ENCODING d"), "$8|listpack|");
        assert_eq!(bench.run("ZINTERSTORE a 2 a b AGGREGATE MAX"), ":2|");
        assert_eq!(bench.run("ZRANGE a 0 -1 WITHSCORES"), "*4|$1|y|$2|10|$1|z|$2|20|");
        assert_eq!(bench.run("ZDIFFSTORE d 2 a b"), ":0|");
        assert_eq!(bench.run("EXISTS d"), ":0|");
        assert_eq!(bench.run("ZDIFFSTORE d 2 a b"), ":0|");
        bench.run("SET s v");
        assert_eq!(bench.run("ZDIFFSTORE s 2 b a"), ":1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZADD a 1 x 2 y 3 z; ZADD b 10 y 20 z 30 w; ZUNIONSTORE d 2 a b; \
             ZINTERSTORE a 2 a b AGGREGATE MAX; ZDIFFSTORE d 2 a b; SET s v; ZDIFFSTORE s 2 b a"
        );
    }

    #[test]
    fn infinities() {
        let mut bench = Bench::new();
        bench.run("ZADD p inf x");
        bench.run("ZADD n -inf x");
        assert_eq!(bench.run("ZUNION 2 p n WITHSCORES"), "*2|$1|x|$1|0|");
        assert_eq!(bench.run("ZINTER 2 p p WEIGHTS 0 1 WITHSCORES"), "*2|$1|x|$3|inf|");
        assert_eq!(bench.run("ZUNION 2 p n WEIGHTS 1 -1 WITHSCORES"), "*2|$1|x|$3|inf|");
        let counted = "ZINTER 2 p n WEIGHTS inf -inf AGGREGATE COUNT WITHSCORES";
        assert_eq!(bench.run(counted), "*2|$1|x|$1|0|");
    }

    #[test]
    fn errors_in_the_order_of_upstream() {
        let mut bench = bench();
        bench.run("SET s v");
        for (line, error) in [
            ("ZUNION 0 a", "at least 1 input key is needed for 'zunion' command"),
            ("ZINTERSTORE d -1 a", "at least 1 input key is needed for 'zinterstore' command"),
            ("ZINTERCARD 0 a", "at least 1 input key is needed for 'zintercard' command"),
            ("ZUNION x a", "value is not an integer or out of range"),
            ("ZUNION 2 a", "syntax error"),
            ("ZUNION 9223372036854775807 a", "syntax error"),
            ("ZUNION 1 a WEIGHTS", "syntax error"),
            ("ZUNION 1 a WEIGHTS x", "weight value is not a float"),
            ("ZUNION 1 a WEIGHTS 1 2", "syntax error"),
            ("ZUNION 1 a AGGREGATE", "syntax error"),
            ("ZUNION 1 a AGGREGATE foo", "syntax error"),
            ("ZUNIONSTORE d 1 a WITHSCORES", "syntax error"),
            ("ZDIFF 1 a WEIGHTS 1", "syntax error"),
            ("ZINTERCARD 1 a WITHSCORES", "syntax error"),
            ("ZINTERCARD 1 a LIMIT -1", "LIMIT can't be negative"),
            ("ZINTERCARD 1 a LIMIT x", "LIMIT can't be negative"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        for line in ["ZUNION 1 s foo", "ZUNIONSTORE d 2 a s", "ZINTER 2 none s", "ZDIFF 2 a s"] {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
    }

    /// Sets of integers and of strings are inputs too; both ways to subtract give the same.
    #[test]
    fn plain_sets_count_one_each() {
        use ochre_types::limits::Limits;
        use ochre_types::set::Set;

        let limits = Limits::default();
        let set = |members: &[&str]| {
            let mut set = Set::for_first(&limits, members[0].as_bytes(), members.len());
            for member in members {
                set.add(&limits, member.as_bytes());
            }
            set
        };
        let (ints, words) = (set(&["7", "-12", "300"]), set(&["x", "7", "w"]));
        let scored = Zset::from_unsorted(
            [("x", 2.0), ("7", 5.0), ("q", -1.0)]
                .map(|(member, score)| Entry { member: member.as_bytes(), score }),
            &limits,
        );
        let source = |members, len| Source { members, len, weight: 1.0, is_counted: false };
        let sources = [
            source(Members::Set(ints.view()), 3),
            source(Members::Set(words.view()), 3),
            source(Members::Zset(scored.view()), 3),
        ];
        let shown = |operation, sources: &[Source<'_>]| -> Vec<String> {
            let texts = int_texts(sources, operation);
            combine(sources, &texts, operation, Aggregate::Sum)
                .iter()
                .map(|e| format!("{}={}", String::from_utf8_lossy(e.member), e.score))
                .collect()
        };
        let all = ["q=-1", "-12=1", "300=1", "w=1", "x=3", "7=7"];
        assert_eq!(shown(Operation::Union, &sources), all);
        assert_eq!(shown(Operation::Inter, &sources), ["7=7"]);
        assert_eq!(shown(Operation::Diff, &sources), ["-12=1", "300=1"]);
        // Many small others: the first is sorted and they are struck out of it.
        let mut many = vec![sources[0]];
        many.extend([source(Members::Absent, 0); 20]);
        many.push(sources[1]);
        assert_eq!(shown(Operation::Diff, &many), ["-12=1", "300=1"]);
    }
}
