//! Finding a command's keys from its specifications: for locks, routing, ACL and COMMAND GETKEYS.

use crate::spec::{Begin, CommandSpec, Find, Flags, KeyFlags, KeySpec};
use ochre_base::num::parse_i64;

/// Calls `visit` with the position and the flags of each key, in order of the specifications.
/// Arguments that do not fit a specification (a count that is no number, say) yield no key from it;
/// the handler will refuse them. Returns false in that case.
#[inline]
pub fn each_key(
    spec: &CommandSpec,
    args: &[&[u8]],
    mut visit: impl FnMut(usize, KeyFlags),
) -> bool {
    if spec.flags.contains(Flags::MOVABLEKEYS) && spec.name == "migrate" {
        return each_to_migrate(spec, args, &mut visit);
    }
    let mut sound = true;
    for keys in spec.keys {
        let flags = match keys.flags.contains(KeyFlags::VARIABLE_FLAGS) {
            true => flags_by_arguments(spec, args, keys.flags),
            false => keys.flags,
        };
        sound &= each_of(keys, flags, args, &mut visit);
    }
    sound
}

/// MIGRATE's keys: the third argument, or when that is empty what stands behind KEYS. A password that is
/// that word is none.
#[cold]
fn each_to_migrate(
    spec: &CommandSpec,
    args: &[&[u8]],
    visit: &mut impl FnMut(usize, KeyFlags),
) -> bool {
    let flags = spec.keys.first().map_or(KeyFlags::RW, |keys| keys.flags);
    let Some(first) = args.get(3) else { return false };
    let mut at = 6;
    while first.is_empty() && at < args.len() {
        let is = |word: &[u8]| args[at].eq_ignore_ascii_case(word);
        if is(b"keys") {
            (at + 1..args.len()).for_each(|at| visit(at, flags));
            return true;
        }
        at += if is(b"auth2") { 3 } else { 1 + usize::from(is(b"auth")) };
    }
    visit(3, flags);
    true
}

/// What a command whose arguments decide it does with its key.
#[cold]
fn flags_by_arguments(spec: &CommandSpec, args: &[&[u8]], declared: KeyFlags) -> KeyFlags {
    let has = |words: &[&str], from: usize| {
        let word = |arg: &&[u8]| words.iter().any(|w| arg.eq_ignore_ascii_case(w.as_bytes()));
        args.iter().skip(from).any(word)
    };
    match spec.name {
        "set" if has(&["get"], 3) => KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE,
        "set" => KeyFlags::OW | KeyFlags::UPDATE,
        "bitfield" if !has(&["set", "incrby"], 2) => KeyFlags::RO | KeyFlags::ACCESS,
        "bitfield" => KeyFlags::RW | KeyFlags::ACCESS | KeyFlags::UPDATE,
        _ => declared,
    }
}

#[inline]
fn each_of(
    keys: &KeySpec,
    flags: KeyFlags,
    args: &[&[u8]],
    visit: &mut impl FnMut(usize, KeyFlags),
) -> bool {
    let count = args.len() as i64;
    let start = match keys.begin {
        Begin::Index(index) => i64::from(index),
        Begin::Keyword(word, from) => match keyword(word, from, args) {
            Some(at) => at,
            None => return true,
        },
    };
    if start >= count {
        return false;
    }
    let (first, last, step) = match keys.find {
        Find::Range { last, step, limit } => {
            let last = i64::from(last);
            let last = if last >= 0 {
                start + last
            } else if limit <= 1 {
                count + last
            } else {
                start + (count - start) / i64::from(limit) + last
            };
            (start, last, i64::from(step))
        }
        Find::Count { count: at, first, step } => {
            let Some(number) = args.get((start + i64::from(at)) as usize) else {
                return false;
            };
            let Some(number) = parse_i64(number) else {
                return false;
            };
            let (first, step) = (start + i64::from(first), i64::from(step));
            let Some(last) = number.checked_sub(1).and_then(|n| n.checked_mul(step)) else {
                return false;
            };
            let Some(last) = first.checked_add(last) else {
                return false;
            };
            if number < 0 || last >= count {
                return false;
            }
            (first, last, step)
        }
    };
    if last >= count {
        return false;
    }
    let mut at = first;
    while at <= last {
        visit(at as usize, flags);
        at += step;
    }
    true
}

fn keyword(word: &str, from: i32, args: &[&[u8]]) -> Option<i64> {
    let matches = |at: &usize| args[*at].eq_ignore_ascii_case(word.as_bytes());
    let found = if from >= 0 {
        (from as usize..args.len()).find(matches)
    } else {
        let last = args.len().checked_sub(from.unsigned_abs() as usize)?;
        (1..=last).rev().find(matches)
    };
    found.map(|at| at as i64 + 1)
}
