//! Loading lists.

use std::io::Read;

use ochre_types::limits::{Limits, PageLimit};
use ochre_types::list::List;

use super::{Elements, Input, elements};
use crate::error::{LoadError, Result};
use crate::format::{container, kind};

/// Loads a list of any type.
pub(super) fn load<R: Read>(input: &mut Input<R>, kind: u8, limits: &Limits) -> Result<List> {
    let (mut list, page) = (List::new(), limits.list_page());
    let mut text = Vec::new();
    if kind == kind::LIST_ZIPLIST {
        input.string_into(&mut text)?;
        push_all(&mut list, page, elements(&text, true)?)?;
        return Ok(list);
    }
    for _ in 0..input.count(1)? {
        let form = match kind {
            kind::LIST => container::PLAIN,
            kind::LIST_QUICKLIST => container::PACKED,
            _ => input.len()?,
        };
        input.string_into(&mut text)?;
        match form {
            container::PLAIN => list.push_back(page, &text),
            container::PACKED => {
                push_all(&mut list, page, elements(&text, kind == kind::LIST_QUICKLIST)?)?;
            }
            _ => return Err(LoadError::Corrupt("list container")),
        }
    }
    Ok(list)
}

fn push_all(list: &mut List, page: PageLimit, elements: Elements<'_>) -> Result<()> {
    let mut room = [0; 20];
    for element in elements {
        list.push_back(page, element?.text(&mut room));
    }
    Ok(())
}
