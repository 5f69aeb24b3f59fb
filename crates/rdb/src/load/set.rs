//! Loading sets.

use std::io::Read;

use ochre_types::limits::Limits;
use ochre_types::packed::Entry;
use ochre_types::set::Set;

use super::{Input, elements};
use crate::error::{LoadError, Result};
use crate::format::kind;
use crate::listpack::signed;

const TWICE: LoadError = LoadError::Corrupt("set: a member stands twice");

/// Loads a set of any type.
pub(super) fn load<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<Set> {
    let mut text = Vec::new();
    match kind {
        kind::SET_INTSET => {
            input.string_into(&mut text)?;
            intset(&text, limits)
        }
        kind::SET_LISTPACK => {
            input.string_into(&mut text)?;
            let mut set = Set::Packed(Vec::new());
            for member in elements(&text, false)? {
                if !set.add_entry(limits, member?) {
                    return Err(TWICE);
                }
            }
            Ok(set)
        }
        _ => {
            let count = input.count(1)?;
            let mut set = Set::new();
            for at in 0..count {
                input.string_into(&mut text)?;
                if at == 0 {
                    set = Set::for_first(limits, &text, count);
                }
                if !set.add(limits, &text) {
                    return Err(TWICE);
                }
            }
            Ok(set)
        }
    }
}

/// `width:u32 count:u32`, then the integers, which have to ascend.
fn intset(bytes: &[u8], limits: &Limits) -> Result<Set> {
    const BROKEN: LoadError = LoadError::Corrupt("intset");
    let (head, integers) = bytes.split_first_chunk::<8>().ok_or(BROKEN)?;
    let width = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    let count = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if !matches!(width, 2 | 4 | 8) || count.checked_mul(width) != Some(integers.len()) {
        return Err(BROKEN);
    }
    let mut set = Set::new();
    if count > limits.set_max_intset_entries {
        set.convert_to_table();
    }
    let mut before = None;
    for n in integers.chunks_exact(width).map(signed) {
        if before.is_some_and(|before| before >= n) {
            return Err(LoadError::Corrupt("intset order"));
        }
        before = Some(n);
        set.add_entry(limits, Entry::Int(n));
    }
    Ok(set)
}
