//! SORT and SORT_RO: the elements of a list, a set or a sorted set in order, with weights and values from
//! other keys.
//!
//! Elements are copied out first, since looking up other keys may delete expired ones. What is sorted
//! are their numbers; a LIMIT selects its part before it sorts it, so that ten of a million cost
//! O(million) and not O(million log million). Elements that compare equal keep their order.
//!
//! The locks: a pattern names keys that are not declared, and the row is marked so. That takes all
//! locks when a command has more than one key by its specifications, so these have the words behind BY,
//! GET and STORE, and a plain SORT takes one lock.
//!
//! STORE is logged as the list that comes out, since what patterns find may depend on the time. A set
//! that is not to be sorted is sorted by bytes when it is stored or read by a transaction or script,
//! as documented: its own order means nothing.
//!
//! Source: documentation of SORT of Redis 7.2; texts and order of checks as redis-server 7.0.15.

use ochre_command::args::{Cursor, is};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result, WRONG_TYPE};
use ochre_command::spec::{Begin, Categories, CommandSpec, Find, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::NewValue;
use ochre_types::list::List;
use ochre_types::packed::Entry;
use ochre_types::value::Value;
use ochre_types::zset::Order;

mod order;
mod pattern;
#[cfg(test)]
mod tests;

use order::{Elements, part};
use pattern::Pattern;

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const CATEGORIES: Categories =
    Categories::SET.union(Categories::SORTEDSET).union(Categories::DANGEROUS);
const COST: &str = "O(N+M*log(M)) where N is the number of elements and M that of the returned \
                    ones; O(N) when they are not sorted.";
const BY: KeySpec = behind("BY", READS.union(KeyFlags::INCOMPLETE));
const GET: KeySpec = behind("GET", READS.union(KeyFlags::INCOMPLETE));

/// The word behind another.
const fn behind(word: &'static str, flags: KeyFlags) -> KeySpec {
    let find = Find::Range { last: 0, step: 1, limit: 0 };
    KeySpec { begin: Begin::Keyword(word, 2), find, flags }
}

/// The last STORE counts. It is looked for from the end, as the peers' key search has it.
const STORE: KeySpec = KeySpec {
    begin: Begin::Keyword("STORE", -2),
    ..behind("", KeyFlags::OW.union(KeyFlags::UPDATE))
};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(
        "sort",
        -2,
        Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLEKEYS).union(Flags::ALL_KEYS),
        Group::List,
        sort,
    )
    .keys(&[KeySpec::one(1, READS), BY, GET, STORE])
    .also(CATEGORIES)
    .docs(
        "1.0.0",
        "Sorts the elements of a list, a set or a sorted set, and answers or stores them.",
        COST,
        "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] \
         [ALPHA] [STORE destination]",
    ),
    CommandSpec::new(
        "sort_ro",
        -2,
        Flags::READONLY.union(Flags::MOVABLEKEYS).union(Flags::ALL_KEYS),
        Group::List,
        sort_ro,
    )
    .keys(&[KeySpec::one(1, READS), BY, GET])
    .also(CATEGORIES)
    .docs(
        "7.0.0",
        "Sorts the elements of a list, a set or a sorted set.",
        COST,
        "key [BY pattern] [LIMIT offset count] [GET pattern [GET pattern ...]] [ASC | DESC] \
         [ALPHA]",
    ),
];

/// Elements of one RPUSH in the log.
const LOGGED_AT_ONCE: usize = 512;

/// What a command asks for.
#[derive(Debug)]
struct Query<'a> {
    by: Option<Pattern<'a>>,
    /// The elements keep the order they have: some BY was without a star.
    keeps_order: bool,
    gets: Vec<Pattern<'a>>,
    descending: bool,
    alpha: bool,
    /// Offset and count, either of which may be negative.
    limit: (i64, i64),
    target: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn parse(args: &'a [&'a [u8]], may_store: bool) -> Result<Self> {
        let mut query = Self {
            by: None,
            keeps_order: false,
            gets: Vec::new(),
            descending: false,
            alpha: false,
            limit: (0, -1),
            target: None,
        };
        let mut cursor = Cursor::new(args, 2);
        while let Some(word) = cursor.take_next() {
            match () {
                () if is(word, "asc") => query.descending = false,
                () if is(word, "desc") => query.descending = true,
                () if is(word, "alpha") => query.alpha = true,
                () if is(word, "limit") && cursor.left() >= 2 => {
                    query.limit = (cursor.need_int()?, cursor.need_int()?);
                }
                () if is(word, "store") && may_store => query.target = Some(cursor.need()?),
                () if is(word, "by") => {
                    let by = Pattern::parse(cursor.need()?);
                    query.keeps_order |= matches!(by, Pattern::Nothing | Pattern::Element);
                    query.by = Some(by);
                }
                () if is(word, "get") => query.gets.push(Pattern::parse(cursor.need()?)),
                () => return Err(outcome::SYNTAX),
            }
        }
        // What is written to is what was checked and locked: a STORE that is followed by a pattern "store", which
        // the key search takes for it, is refused.
        let keyword = (2..args.len().saturating_sub(1)).rev().find(|at| is(args[*at], "store"));
        if query.target.is_some() && query.target != keyword.map(|at| args[at + 1]) {
            return Err(outcome::SYNTAX);
        }
        Ok(query)
    }
}

fn sort(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, true)
}

fn sort_ro(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, false)
}

fn run(ctx: &mut Ctx<'_>, may_store: bool) -> Result {
    const BAD_WEIGHT: ReplyError =
        ReplyError::fixed("ERR One or more scores can't be converted into double");
    let mut query = Query::parse(ctx.args, may_store)?;
    let key = ctx.key(1);
    let (elements, is_set) = load(ctx, key, query.keeps_order && query.descending)?;
    if is_set && query.keeps_order && (query.target.is_some() || !ctx.may_block) {
        (query.by, query.alpha, query.keeps_order) = (None, true, false);
    }
    let range = part(elements.len(), query.limit);
    let chosen = if query.keeps_order {
        range.map(|at| at as u32).collect()
    } else {
        let order = if query.descending { Order::Descending } else { Order::Ascending };
        match (&query.by, query.alpha) {
            (None, true) => elements.by_bytes(range, order),
            (None, false) => {
                let weights = elements.iter().map(order::weight).collect::<Option<Vec<f64>>>();
                elements.by_weight(&weights.ok_or(BAD_WEIGHT)?, range, order)
            }
            (Some(by), true) => {
                let texts = order::Texts::load(&elements, |element, out| {
                    by.append(&mut ctx.data, element, out)
                });
                elements.by_texts(&texts, range, order)
            }
            (Some(by), false) => {
                let mut text = Vec::new();
                let mut weights = Vec::with_capacity(elements.len());
                for element in elements.iter() {
                    text.clear();
                    let found = by.append(&mut ctx.data, element, &mut text);
                    let weight = if found { order::weight(&text) } else { Some(0.0) };
                    weights.push(weight.ok_or(BAD_WEIGHT)?);
                }
                elements.by_weight(&weights, range, order)
            }
        }
    };
    match query.target {
        Some(target) => store(ctx, &query, &elements, &chosen, target),
        None => answer(ctx, &query, &elements, &chosen),
    }
    Ok(())
}

/// Copies the elements out; says whether they are those of a set.
fn load(ctx: &mut Ctx<'_>, key: Key<'_>, backwards: bool) -> Result<(Elements, bool)> {
    let mut elements = Elements::default();
    let Some(stored) = ctx.data.stored(key) else {
        return Ok((elements, false));
    };
    let mut room = [0; 20];
    let mut push = |entry: Entry<'_>| elements.push(entry.text(&mut room));
    if let Ok(list) = crate::list::list_view(stored) {
        if backwards {
            list.range_rev(list.len().saturating_sub(1), list.len()).for_each(&mut push);
        } else {
            list.iter().for_each(&mut push);
        }
        return Ok((elements, false));
    }
    if let Ok(set) = crate::set::set_view(stored) {
        set.iter().for_each(&mut push);
        return Ok((elements, true));
    }
    let zset = crate::geo::as_zset(stored).map_err(|_| WRONG_TYPE)?;
    let order = if backwards { Order::Descending } else { Order::Ascending };
    for entry in zset.iter_span(0..zset.len(), order) {
        elements.push(entry.member);
    }
    Ok((elements, false))
}

fn answer(ctx: &mut Ctx<'_>, query: &Query<'_>, elements: &Elements, chosen: &[u32]) {
    ctx.reply.array(chosen.len() * query.gets.len().max(1));
    let mut value = Vec::new();
    for &at in chosen {
        let element = elements.at(at);
        if query.gets.is_empty() {
            ctx.reply.bulk(element);
        }
        for get in &query.gets {
            value.clear();
            if get.append(&mut ctx.data, element, &mut value) {
                ctx.reply.bulk(&value);
            } else {
                ctx.reply.null();
            }
        }
    }
}

/// Puts the result under `target`, what was not found as empty strings, and answers its length.
fn store(ctx: &mut Ctx<'_>, query: &Query<'_>, elements: &Elements, chosen: &[u32], target: &[u8]) {
    let page = ctx.data.env.limits.list_page();
    let (mut list, mut value) = (List::new(), Vec::new());
    for &at in chosen {
        let element = elements.at(at);
        if query.gets.is_empty() {
            list.push_back(page, element);
        }
        for get in &query.gets {
            value.clear();
            get.append(&mut ctx.data, element, &mut value);
            list.push_back(page, &value);
        }
    }
    let (target, len) = (Key::new(target), list.len());
    let slot = ctx.data.find(target);
    if len > 0 {
        log(ctx, target, slot.is_some(), &list);
        ctx.data.put(target, slot, NewValue::Whole(Value::List(list)), None);
        ctx.data.changed(target, Class::List, "sortstore");
    } else if ctx.data.delete(target) {
        ctx.data.changed(target, Class::Generic, "del");
        ctx.data.effect([b"DEL", target.name].into_iter());
    }
    ctx.reply.integer(len as i64);
}

fn log(ctx: &mut Ctx<'_>, target: Key<'_>, exists: bool, list: &List) {
    if !ctx.data.env.log.is_on() {
        ctx.data.no_effect();
        return;
    }
    if exists {
        ctx.data.effect([b"DEL", target.name].into_iter());
    }
    let texts: Vec<Vec<u8>> = list.iter().map(Entry::to_vec).collect();
    for some in texts.chunks(LOGGED_AT_ONCE) {
        let mut args: Vec<&[u8]> = vec![b"RPUSH", target.name];
        args.extend(some.iter().map(Vec::as_slice));
        ctx.data.effect(args.into_iter());
    }
}
