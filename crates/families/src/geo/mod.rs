//! Geo commands: places as members of a sorted set whose scores are geohashes. Members one by one
//! ([`members`]) and all those within an area ([`search`]).
//!
//! Coordinates are answered with up to 17 decimals and distances with 4, as the peers print them.
//!
//! Source: documentation of the geo commands of Redis 7.2, and of BYPOLYGON of Valkey 9.1; texts,
//! order of checks and digits as redis-server 7.0.15.

use ochre_command::Reply;
use ochre_command::args::{float, is};
use ochre_command::outcome::{ReplyError, Result, WRONG_TYPE};
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Kind;
use ochre_types::geohash::Position;
use ochre_types::value::Value;
use ochre_types::zset::ZsetRef;

pub mod members;
pub mod search;

/// What is stored, as a sorted set.
pub(crate) fn as_zset(stored: Stored<'_>) -> Result<ZsetRef<'_>> {
    match stored {
        Stored::Inline(Kind::Zset, bytes) => Ok(ZsetRef::Packed(bytes)),
        Stored::Object(Value::Zset(zset)) => Ok(zset.view()),
        _ => Err(WRONG_TYPE),
    }
}

/// A longitude and a latitude on the map.
fn position(longitude: &[u8], latitude: &[u8]) -> Result<Position> {
    let at = Position { longitude: float(longitude)?, latitude: float(latitude)? };
    if at.is_on_map() {
        return Ok(at);
    }
    Err(ReplyError::new(format!(
        "ERR invalid longitude,latitude pair {:.6},{:.6}",
        at.longitude, at.latitude
    )))
}

/// The metres of a unit.
fn unit(word: &[u8]) -> Result<f64> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = units.into_iter().find(|(name, _)| is(word, name));
    found
        .map(|(_, metres)| metres)
        .ok_or(ReplyError::fixed("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Writes a distance.
fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    reply.bulk(format!("{distance:.4}"));
}

/// Writes longitude and latitude.
fn write_position(reply: &mut Reply<'_>, at: Position) {
    reply.array(2);
    write_coordinate(reply, at.longitude);
    write_coordinate(reply, at.latitude);
}

fn write_coordinate(reply: &mut Reply<'_>, value: f64) {
    let text = format!("{value:.17}");
    let text = match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0",
        text => text,
    };
    if reply.is_resp3() {
        reply.raw(b",");
        reply.raw(text.as_bytes());
        reply.raw(b"\r\n");
    } else {
        reply.bulk(text);
    }
}
