//! Places one by one: GEOADD, GEODIST, GEOHASH, GEOPOS.
//!
//! GEOADD is logged as the ZADD that it amounts to, so that no reader of the log has to compute.

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::Ctx;
use ochre_command::args::Cursor;
use ochre_command::data::Class;
use ochre_command::outcome::{self, Result, WRONG_TYPE};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::geohash;
use ochre_types::limits::Limits;
use ochre_types::value::Value;
use ochre_types::zset::{Change, Zset, ZsetRef};
use smallvec::SmallVec;

use super::{as_zset, position, unit, write_distance, write_position};

const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("geoadd", -5, Flags::WRITE.union(Flags::DENYOOM), Group::Geo, geoadd)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .docs(
            "3.2.0",
            "Adds members with their places to a geospatial index, or moves them.",
            "O(log(N)) for each member, where N is the number of members of the set.",
            "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
        ),
    CommandSpec::new("geodist", -4, Flags::READONLY, Group::Geo, geodist).keys(&[READS]).docs(
        "3.2.0",
        "Gives the distance between two members of a geospatial index.",
        "O(1)",
        "key member1 member2 [M | KM | FT | MI]",
    ),
    CommandSpec::new("geohash", -2, Flags::READONLY, Group::Geo, geohash).keys(&[READS]).docs(
        "3.2.0",
        "Gives the places of members as geohash texts.",
        "O(1) for each member.",
        "key [member [member ...]]",
    ),
    CommandSpec::new("geopos", -2, Flags::READONLY, Group::Geo, geopos).keys(&[READS]).docs(
        "3.2.0",
        "Gives the longitudes and latitudes of members.",
        "O(1) for each member.",
        "key [member [member ...]]",
    ),
];

/// The options of GEOADD.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    nx: bool,
    xx: bool,
    ch: bool,
}

/// A member and the score of its place.
type Place<'a> = (u64, &'a [u8]);

fn geoadd(ctx: &mut Ctx<'_>) -> Result {
    let mut cursor = Cursor::new(ctx.args, 2);
    let mut options = Options::default();
    loop {
        match () {
            () if cursor.take("nx") => options.nx = true,
            () if cursor.take("xx") => options.xx = true,
            () if cursor.take("ch") => options.ch = true,
            () => break,
        }
    }
    let (triples, rest) = cursor.rest().as_chunks::<3>();
    if triples.is_empty() || !rest.is_empty() || (options.nx && options.xx) {
        return Err(outcome::SYNTAX);
    }
    let places: SmallVec<[Place<'_>; 4]> = triples
        .iter()
        .map(|[longitude, latitude, member]| {
            Ok((geohash::encode(position(longitude, latitude)?), *member))
        })
        .collect::<Result<_>>()?;
    let key = ctx.key(1);
    let make: Option<fn() -> Value> = (!options.xx).then_some(|| Value::Zset(Zset::new()));
    let done = ctx.data.edit(key, make, |value, limits, _| match value {
        Value::Zset(zset) => Ok(add_all(zset, options, &places, limits)),
        _ => Err(WRONG_TYPE),
    })?;
    let (added, updated) = done.map_or((0, 0), |(tally, _)| tally);
    if added + updated > 0 {
        ctx.data.changed(key, Class::Zset, "zadd");
        log(ctx, options, &places);
    }
    ctx.reply.integer(added + if options.ch { updated } else { 0 });
    Ok(())
}

fn add_all(zset: &mut Zset, options: Options, places: &[Place<'_>], limits: &Limits) -> (i64, i64) {
    if zset.is_empty() && places.len() > 1 {
        *zset = Zset::with_hint(places.len(), places[0].1.len(), limits);
    }
    let (mut added, mut updated) = (0, 0);
    for (score, member) in places {
        let decide = |old: Option<f64>| match old {
            Some(_) if options.nx => None,
            None if options.xx => None,
            _ => Some(*score as f64),
        };
        match zset.put_with(member, decide, limits) {
            Change::Added => added += 1,
            Change::Updated => updated += 1,
            Change::Unchanged => {}
        }
    }
    (added, updated)
}

fn log(ctx: &mut Ctx<'_>, options: Options, places: &[Place<'_>]) {
    let scores: Vec<SmallVec<[u8; I64_TEXT_MAX]>> = places
        .iter()
        .map(|(score, _)| SmallVec::from_slice(format_i64(*score as i64, &mut [0; I64_TEXT_MAX])))
        .collect();
    let mut args: Vec<&[u8]> = vec![b"ZADD", ctx.args[1]];
    for (given, word) in [(options.nx, &b"NX"[..]), (options.xx, b"XX"), (options.ch, b"CH")] {
        if given {
            args.push(word);
        }
    }
    for (score, (_, member)) in scores.iter().zip(places) {
        args.extend([&score[..], *member]);
    }
    ctx.data.effect(args.into_iter());
}

/// The scores of members, from the sorted set of the first argument. Writes the replies.
fn each_member(
    ctx: &mut Ctx<'_>,
    mut write: impl FnMut(&mut ochre_command::Reply<'_>, Option<f64>),
) -> Result {
    let key = ctx.key(1);
    let set = ctx.data.stored(key).map(as_zset).transpose()?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in &ctx.args[2..] {
        write(&mut ctx.reply, set.and_then(|set| set.score(member)));
    }
    Ok(())
}

fn geohash(ctx: &mut Ctx<'_>) -> Result {
    each_member(ctx, |reply, score| match score {
        Some(score) => reply.bulk(geohash::text(score)),
        None => reply.null(),
    })
}

fn geopos(ctx: &mut Ctx<'_>) -> Result {
    each_member(ctx, |reply, score| match score {
        Some(score) => write_position(reply, geohash::decode(score)),
        None => reply.null_array(),
    })
}

fn geodist(ctx: &mut Ctx<'_>) -> Result {
    let metres = match ctx.args.len() {
        4 => 1.0,
        5 => unit(ctx.args[4])?,
        _ => return Err(outcome::SYNTAX),
    };
    let key = ctx.key(1);
    let set = ctx.data.stored(key).map(as_zset).transpose()?;
    let place = |set: ZsetRef<'_>, at: usize| set.score(ctx.args[at]).map(geohash::decode);
    let both = set.and_then(|set| Some((place(set, 2)?, place(set, 3)?)));
    match both {
        Some((a, b)) => write_distance(&mut ctx.reply, geohash::distance(a, b) / metres),
        None => ctx.reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    const SICILY: &str = "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania";

    #[test]
    fn adding() {
        let mut bench = Bench::new();
        assert_eq!(bench.run(SICILY), ":2|");
        assert_eq!(bench.run(SICILY), ":0|");
        assert_eq!(bench.run("GEOADD g CH 1 2 Palermo"), ":1|");
        assert_eq!(bench.run("GEOADD g NX 5 2 Palermo"), ":0|");
        assert_eq!(bench.run("GEOADD g XX CH 5 2 none"), ":0|");
        assert_eq!(bench.run("GEOADD none XX 5 2 none"), ":0|");
        assert_eq!(bench.run("TYPE g"), "+zset|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZADD g 3479099956230698 Palermo 3479447370796909 Catania; \
             ZADD g CH 3378080408407459 Palermo"
        );
    }

    #[test]
    fn reading() {
        let mut bench = Bench::new();
        bench.run(SICILY);
        assert_eq!(bench.run("GEODIST g Palermo Catania"), "$11|166274.1516|");
        assert_eq!(bench.run("GEODIST g Palermo Catania mi"), "$8|103.3182|");
        assert_eq!(bench.run("GEODIST g Palermo none"), "$-1|");
        assert_eq!(bench.run("GEODIST none a b"), "$-1|");
        assert_eq!(bench.run("GEOHASH g Palermo none"), "*2|$11|sqc8b49rny0|$-1|");
        let place = "*2|$20|13.36138933897018433|$20|38.11555639549629859|";
        assert_eq!(bench.run("GEOPOS g Palermo none"), format!("*2|{place}*-1|"));
        assert_eq!(bench.run("GEOPOS none a"), "*1|*-1|");
        assert_eq!(bench.run("GEOPOS g"), "*0|");
        bench.protocol = Protocol::Resp3;
        let place = "*2|,13.36138933897018433|,38.11555639549629859|";
        assert_eq!(bench.run("GEOPOS g Palermo none"), format!("*2|{place}_|"));
    }

    #[test]
    fn refusals() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        for (line, error) in [
            ("GEOADD g NX XX 1 2 a", "syntax error"),
            ("GEOADD g NX NX CH", "syntax error"),
            ("GEOADD g 1 2 a 3", "syntax error"),
            ("GEOADD s x 2 a", "value is not a valid float"),
            ("GEOADD g 1 2 a 181 2 b", "invalid longitude,latitude pair 181.000000,2.000000"),
            ("GEOADD g inf -86 a", "invalid longitude,latitude pair inf,-86.000000"),
            ("GEODIST g a b x", "unsupported unit provided. please use M, KM, FT, MI"),
            ("GEODIST g a b km x", "syntax error"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        for line in ["GEOADD s 1 2 a", "GEODIST s a b", "GEOHASH s a", "GEOPOS s a"] {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
        assert_eq!(bench.run("EXISTS g"), ":0|");
    }
}
