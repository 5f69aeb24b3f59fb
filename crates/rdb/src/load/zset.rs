//! Loading sorted sets.

use std::io::Read;

use ochre_base::num::parse_f64;
use ochre_types::limits::Limits;
use ochre_types::packed::Entry;
use ochre_types::zset::{Change, Zset};

use super::{Input, elements};
use crate::error::{LoadError, Result};
use crate::format::kind;

const BAD_SCORE: LoadError = LoadError::Corrupt("score");

/// Loads a sorted set of any type.
pub(super) fn load<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<Zset> {
    let mut member = Vec::new();
    if matches!(kind, kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK) {
        input.string_into(&mut member)?;
        return packed(&member, kind == kind::ZSET_ZIPLIST, limits);
    }
    let count = input.count(2)?;
    let mut zset = Zset::with_hint(count, 0, limits);
    for _ in 0..count {
        input.string_into(&mut member)?;
        let score = if kind == kind::ZSET {
            text_score(input)?
        } else {
            f64::from_le_bytes(input.array()?)
        };
        add(&mut zset, &member, score, limits)?;
    }
    Ok(zset)
}

fn packed(bytes: &[u8], is_ziplist: bool, limits: &Limits) -> Result<Zset> {
    let mut zset = Zset::new();
    let mut elements = elements(bytes, is_ziplist)?;
    let (mut room, mut score_room) = ([0; 20], [0; 20]);
    while let Some(member) = elements.next() {
        let member = member?;
        let score = match elements.next().ok_or(LoadError::Corrupt("pairs"))?? {
            Entry::Int(n) => n as f64,
            text @ Entry::Str(_) => parse_f64(text.text(&mut score_room)).ok_or(BAD_SCORE)?,
        };
        add(&mut zset, member.text(&mut room), score, limits)?;
    }
    Ok(zset)
}

fn add(zset: &mut Zset, member: &[u8], score: f64, limits: &Limits) -> Result<()> {
    if score.is_nan() {
        return Err(BAD_SCORE);
    }
    let mut there = false;
    let change = zset.put_with(
        member,
        |old| {
            there = old.is_some();
            Some(score)
        },
        limits,
    );
    if there || change != Change::Added {
        return Err(LoadError::Corrupt("sorted set: a member stands twice"));
    }
    Ok(())
}

/// A score of the oldest form: a length and a text, or one of three special lengths.
fn text_score<R: Read>(input: &mut Input<R>) -> Result<f64> {
    match input.byte()? {
        253 => Err(BAD_SCORE),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => {
            let mut text = Vec::new();
            input.take_into(u64::from(len), &mut text)?;
            parse_f64(&text).ok_or(BAD_SCORE)
        }
    }
}
