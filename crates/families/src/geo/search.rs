//! All members within an area: GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS, GEORADIUSBYMEMBER
//! with their read-only forms.
//!
//! An area gives up to nine ranges of scores ([`ochre_types::geohash::area`]); the members in each are
//! tested one by one. Without an order they are answered in that of the ranges. COUNT takes the
//! nearest, found by selection before the sort; COUNT ANY stops at the first.
//!
//! Every form is parsed by one loop, with the checks in the order of upstream: the source's type, the
//! fixed arguments, the options, and what they exclude. The destination of GEORADIUS is where its key
//! specification finds it: a command whose STORE is hidden behind another word "store" is refused.
//!
//! Cost: O(N + log M), N members in the cells and M in the set. Reading only, but for the stores, which
//! are logged as they are.

use ochre_base::num::parse_f64;
use ochre_command::Ctx;
use ochre_command::args::{Cursor, int, is};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{Begin, CommandSpec, Find, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::NewValue;
use ochre_types::geohash::area::{Area, Shape};
use ochre_types::geohash::{Position, bits_of, decode};
use ochre_types::value::Value;
use ochre_types::zset::{Entry, Order, ScoreBound, ScoreRange, Zset, ZsetRef};

use super::{as_zset, position, unit, write_distance, write_position};

const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const STORES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const COST: &str = "O(N+log(M)) where N is the number of members in the cells that cover the area \
                    and M that of the set.";

/// The key behind a word.
const fn behind(word: &'static str, from: i32) -> KeySpec {
    let find = Find::Range { last: 0, step: 1, limit: 0 };
    KeySpec { begin: Begin::Keyword(word, from), find, flags: STORES }
}

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("georadius", -6, WRITE.union(Flags::MOVABLEKEYS), Group::Geo, georadius)
        .keys(&[KeySpec::one(1, READS), behind("STORE", 6), behind("STOREDIST", 6)])
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")
        .docs(
            "3.2.0",
            "Gives the members within a distance from a place, or stores them.",
            COST,
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
        ),
    CommandSpec::new(
        "georadiusbymember",
        -5,
        WRITE.union(Flags::MOVABLEKEYS),
        Group::Geo,
        georadiusbymember,
    )
    .keys(&[KeySpec::one(1, READS), behind("STORE", 5), behind("STOREDIST", 5)])
    .deprecated(
        "6.2.0",
        "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    )
    .docs(
        "3.2.0",
        "Gives the members within a distance from a member, or stores them.",
        COST,
        "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]",
    ),
    CommandSpec::new("georadius_ro", -6, READ, Group::Geo, georadius_ro)
        .keys(&[KeySpec::one(1, READS)])
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")
        .docs(
            "3.2.10",
            "Gives the members within a distance from a place.",
            COST,
            "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count [ANY]] [ASC | DESC]",
        ),
    CommandSpec::new("georadiusbymember_ro", -5, READ, Group::Geo, georadiusbymember_ro)
        .keys(&[KeySpec::one(1, READS)])
        .deprecated("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")
        .docs(
            "3.2.10",
            "Gives the members within a distance from a member.",
            COST,
            "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count [ANY]] [ASC | DESC]",
        ),
    CommandSpec::new("geosearch", -7, READ, Group::Geo, geosearch)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "6.2.0",
            "Gives the members within a circle, a box or a polygon.",
            COST,
            "key [FROMMEMBER member | FROMLONLAT longitude latitude] \
             <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | \
             BYPOLYGON num-vertices longitude latitude [longitude latitude ...]> \
             [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]",
        ),
    CommandSpec::new("geosearchstore", -8, WRITE, Group::Geo, geosearchstore)
        .keys(&[KeySpec::one(1, STORES), KeySpec::one(2, READS)])
        .docs(
            "6.2.0",
            "Stores the members within a circle, a box or a polygon.",
            COST,
            "destination source [FROMMEMBER member | FROMLONLAT longitude latitude] \
             <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | \
             BYPOLYGON num-vertices longitude latitude [longitude latitude ...]> \
             [ASC | DESC] [COUNT count [ANY]] [STOREDIST]",
        ),
];

/// Fewest corners of a polygon.
const CORNERS_MIN: usize = 3;
const NO_MEMBER: ReplyError = ReplyError::fixed("ERR could not decode requested zset member");

/// Which of the commands it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// GEORADIUS; whether it may store.
    Radius(bool),
    /// GEORADIUSBYMEMBER; whether it may store.
    ByMember(bool),
    /// GEOSEARCH.
    Search,
    /// GEOSEARCHSTORE.
    Store,
}

impl Form {
    /// The argument that names the source.
    fn source(self) -> usize {
        if self == Self::Store { 2 } else { 1 }
    }

    fn is_search(self) -> bool {
        matches!(self, Self::Search | Self::Store)
    }
}

fn georadius(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, Form::Radius(true))
}

fn georadiusbymember(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, Form::ByMember(true))
}

fn georadius_ro(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, Form::Radius(false))
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, Form::ByMember(false))
}

fn geosearch(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, Form::Search)
}

fn geosearchstore(ctx: &mut Ctx<'_>) -> Result {
    run(ctx, Form::Store)
}

/// What a command asks for.
#[derive(Debug, Default)]
struct Query {
    centre: Option<Position>,
    /// The centre was given as a member, whose set may not be there.
    from_member: bool,
    /// The centre was given as a place.
    from_place: bool,
    shape: Option<Shape>,
    /// Metres of the unit of answers.
    metres: f64,
    with_distance: bool,
    with_hash: bool,
    with_position: bool,
    any: bool,
    count: Option<usize>,
    order: Option<Order>,
    /// The argument that names the destination.
    target: Option<usize>,
    /// Distances are stored, not places.
    stores_distance: bool,
}

impl Query {
    fn parse(args: &[&[u8]], form: Form, set: Option<ZsetRef<'_>>) -> Result<Self> {
        let mut query = Self { metres: 1.0, ..Self::default() };
        let mut cursor = Cursor::new(args, form.source() + 1);
        match form {
            Form::Radius(_) => {
                query.centre = Some(position(cursor.need()?, cursor.need()?)?);
                query.circle(&mut cursor)?;
            }
            Form::ByMember(_) if set.is_none() => {
                // Only the form of the answer is still of interest.
                cursor.take_slice(3)?;
                query.from_member = true;
                query.shape = Some(Shape::Circle { radius: 0.0 });
            }
            Form::ByMember(_) => {
                query.member(cursor.need()?, set)?;
                query.circle(&mut cursor)?;
            }
            Form::Search => {}
            Form::Store => query.target = Some(1),
        }
        while cursor.left() > 0 {
            query.option(&mut cursor, args, form, set)?;
        }
        query.check(args, form)?;
        Ok(query)
    }

    fn option(
        &mut self,
        cursor: &mut Cursor<'_>,
        args: &[&[u8]],
        form: Form,
        set: Option<ZsetRef<'_>>,
    ) -> Result {
        match () {
            () if cursor.take("withdist") => self.with_distance = true,
            () if cursor.take("withhash") => self.with_hash = true,
            () if cursor.take("withcoord") => self.with_position = true,
            () if cursor.take("any") => self.any = true,
            () if cursor.take("asc") => self.order = Some(Order::Ascending),
            () if cursor.take("desc") => self.order = Some(Order::Descending),
            () if cursor.take("count") => match int(cursor.need()?)? {
                n if n > 0 => self.count = Some(usize::try_from(n).unwrap_or(usize::MAX)),
                _ => return Err(ReplyError::fixed("ERR COUNT must be > 0")),
            },
            () if form.is_search() => self.area(cursor, form, set)?,
            () if matches!(form, Form::Radius(true) | Form::ByMember(true)) => {
                let from = if form == Form::Radius(true) { 6 } else { 5 };
                self.store(cursor, args, from)?;
            }
            () => return Err(outcome::SYNTAX),
        }
        Ok(())
    }

    /// STORE and STOREDIST of the older commands; the last one holds.
    fn store(&mut self, cursor: &mut Cursor<'_>, args: &[&[u8]], from: usize) -> Result {
        let at = cursor.position();
        let word = if cursor.take("storedist") {
            "storedist"
        } else if cursor.take("store") {
            "store"
        } else {
            return Err(outcome::SYNTAX);
        };
        cursor.need()?;
        // The locks were taken for the key behind the first such word.
        let first = (from..args.len()).find(|at| is(args[*at], word));
        if first != Some(at) {
            return Err(outcome::SYNTAX);
        }
        self.target = Some(at + 1);
        self.stores_distance = word == "storedist";
        Ok(())
    }

    /// Where GEOSEARCH looks, and for GEOSEARCHSTORE what it stores.
    fn area(&mut self, cursor: &mut Cursor<'_>, form: Form, set: Option<ZsetRef<'_>>) -> Result {
        let polygon = matches!(self.shape, Some(Shape::Polygon(_)));
        let (member, place) = (self.from_member, self.from_place);
        match () {
            () if form == Form::Store && cursor.take("storedist") => self.stores_distance = true,
            () if polygon && !is_next(cursor, "bypolygon") => return Err(outcome::SYNTAX),
            () if !place && cursor.take("frommember") => {
                self.member(cursor.need()?, set)?;
            }
            () if !member && cursor.take("fromlonlat") => {
                let [longitude, latitude] = *cursor.take_slice(2)? else {
                    return Err(outcome::SYNTAX);
                };
                self.centre = Some(position(longitude, latitude)?);
                self.from_place = true;
            }
            () if !matches!(self.shape, Some(Shape::Box { .. })) && cursor.take("byradius") => {
                self.circle(cursor)?;
            }
            () if !matches!(self.shape, Some(Shape::Circle { .. })) && cursor.take("bybox") => {
                self.rectangle(cursor)?;
            }
            () if !member && !place && (polygon || self.shape.is_none()) => self.polygon(cursor)?,
            () => return Err(outcome::SYNTAX),
        }
        Ok(())
    }

    /// The centre is a member's place.
    fn member(&mut self, name: &[u8], set: Option<ZsetRef<'_>>) -> Result {
        self.from_member = true;
        if let Some(set) = set {
            self.centre = Some(decode(set.score(name).ok_or(NO_MEMBER)?));
        }
        Ok(())
    }

    fn circle(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let [radius, word] = *cursor.take_slice(2)? else { return Err(outcome::SYNTAX) };
        let radius = parse_f64(radius).ok_or(ReplyError::fixed("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(ReplyError::fixed("ERR radius cannot be negative"));
        }
        self.metres = unit(word)?;
        self.shape = Some(Shape::Circle { radius: radius * self.metres });
        Ok(())
    }

    fn rectangle(&mut self, cursor: &mut Cursor<'_>) -> Result {
        let [width, height, word] = *cursor.take_slice(3)? else { return Err(outcome::SYNTAX) };
        let width = parse_f64(width).ok_or(ReplyError::fixed("ERR need numeric width"))?;
        let height = parse_f64(height).ok_or(ReplyError::fixed("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(ReplyError::fixed("ERR height or width cannot be negative"));
        }
        self.metres = unit(word)?;
        self.shape = Some(Shape::Box { width: width * self.metres, height: height * self.metres });
        Ok(())
    }

    fn polygon(&mut self, cursor: &mut Cursor<'_>) -> Result {
        const FEW: &str = "ERR GEOSEARCH BYPOLYGON must have at least 3 vertices";
        if !cursor.take("bypolygon") {
            return Err(outcome::SYNTAX);
        }
        let count =
            int(cursor.need()?).map_err(|_| ReplyError::fixed("ERR invalid number of vertices"))?;
        let count = usize::try_from(count).unwrap_or(0);
        if count < CORNERS_MIN || cursor.left() / 2 < count {
            return Err(ReplyError::fixed(FEW));
        }
        let (pairs, _) = cursor.take_slice(2 * count)?.as_chunks::<2>();
        let corners = pairs.iter().map(|[longitude, latitude]| position(longitude, latitude));
        self.shape = Some(Shape::Polygon(corners.collect::<Result<_>>()?));
        self.metres = 1.0;
        Ok(())
    }

    /// What the options exclude.
    fn check(&mut self, args: &[&[u8]], form: Form) -> Result {
        let name = String::from_utf8_lossy(args[0]);
        let polygon = matches!(self.shape, Some(Shape::Polygon(_)));
        if self.target.is_some() && (self.with_distance || self.with_hash || self.with_position) {
            let what = match form {
                Form::Store => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(ReplyError::new(format!(
                "ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        if self.centre.is_none() && !self.from_member && !polygon {
            return Err(ReplyError::new(format!(
                "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}"
            )));
        }
        if self.shape.is_none() {
            return Err(ReplyError::new(format!(
                "ERR exactly one of BYRADIUS, BYBOX and BYPOLYGON can be specified for {name}"
            )));
        }
        if self.any && self.count.is_none() {
            return Err(ReplyError::fixed("ERR the ANY argument requires COUNT argument"));
        }
        if self.count.is_some() && self.order.is_none() && !self.any {
            self.order = Some(Order::Ascending);
        }
        Ok(())
    }

    /// The area; none when nothing can be in it.
    fn take_area(&mut self) -> Option<Area> {
        match self.shape.take()? {
            Shape::Polygon(corners) => Some(Area::polygon(corners)),
            shape => Some(Area::around(self.centre?, shape)),
        }
    }
}

fn is_next(cursor: &Cursor<'_>, word: &str) -> bool {
    cursor.rest().first().is_some_and(|arg| is(arg, word))
}

/// A member within the area.
#[derive(Clone, Copy, Debug)]
struct Match<'a> {
    entry: Entry<'a>,
    place: Position,
    /// In metres.
    distance: f64,
    /// The how-manieth it was found.
    found: usize,
}

/// The members within an area, in the order asked for, at most as many as asked for.
fn matches<'a>(set: ZsetRef<'a>, area: &Area, query: &Query) -> Vec<Match<'a>> {
    let count = query.count.unwrap_or(usize::MAX);
    let enough = if query.any { count } else { usize::MAX };
    let mut all: Vec<Match<'a>> = Vec::new();
    'search: for range in area.cover() {
        let bound = |bits: u64, exclusive| ScoreBound { value: bits as f64, exclusive };
        let scores = ScoreRange { min: bound(range.start, false), max: bound(range.end, true) };
        for entry in set.iter_span(set.score_span(&scores), Order::Ascending) {
            let place = decode(entry.score);
            if let Some(distance) = area.distance(place) {
                all.push(Match { entry, place, distance, found: all.len() });
                if all.len() >= enough {
                    break 'search;
                }
            }
        }
    }
    if let Some(order) = query.order {
        let compare = |a: &Match<'_>, b: &Match<'_>| {
            let near = a.distance.total_cmp(&b.distance);
            let near = if order == Order::Descending { near.reverse() } else { near };
            near.then(a.found.cmp(&b.found))
        };
        if count < all.len() {
            all.select_nth_unstable_by(count, compare);
            all.truncate(count);
        }
        all.sort_unstable_by(compare);
    }
    all.truncate(count);
    all
}

fn run(ctx: &mut Ctx<'_>, form: Form) -> Result {
    let args = ctx.args;
    let target = (form == Form::Store).then(|| ctx.key(1));
    let source = ctx.key(form.source());
    ctx.data.look(source);
    let set = ctx.data.view(source).map(as_zset).transpose()?;
    let mut query = Query::parse(args, form, set)?;
    let found = match (set, query.take_area()) {
        (Some(set), Some(area)) => matches(set, &area, &query),
        _ => Vec::new(),
    };
    let Some(at) = query.target else {
        let reply = &mut ctx.reply;
        reply.array(found.len());
        for one in &found {
            write_match(reply, one, &query);
        }
        return Ok(());
    };
    let entries = found.iter().map(|one| {
        let score =
            if query.stores_distance { one.distance / query.metres } else { one.entry.score };
        Entry { member: one.entry.member, score }
    });
    let result = Zset::from_unsorted(entries, ctx.data.env.limits);
    let target = target.unwrap_or_else(|| ctx.data.key(args[at]));
    let event = if form == Form::Store { "geosearchstore" } else { "georadiusstore" };
    let len = result.len();
    if len > 0 {
        let slot = ctx.data.find(target);
        ctx.data.put(target, slot, NewValue::Whole(Value::Zset(result)), None);
        ctx.data.changed(target, Class::Zset, event);
    } else if ctx.data.delete(target) {
        ctx.data.changed(target, Class::Generic, "del");
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

fn write_match(reply: &mut ochre_command::Reply<'_>, one: &Match<'_>, query: &Query) {
    let options = [query.with_distance, query.with_hash, query.with_position];
    let extra = options.into_iter().filter(|on| *on).count();
    if extra > 0 {
        reply.array(1 + extra);
    }
    reply.bulk(one.entry.member);
    if query.with_distance {
        write_distance(reply, one.distance / query.metres);
    }
    if query.with_hash {
        reply.integer(bits_of(one.entry.score) as i64);
    }
    if query.with_position {
        write_position(reply, one.place);
    }
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
