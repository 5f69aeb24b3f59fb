//! The patterns of BY and GET: where the weight or a value of an element stands.
//!
//! ```text
//! weight_*        the string under the key that has the element in place of the star
//! object_*->name  the field of the hash under that key
//! #               the element itself
//! nosort          nothing: there is no star
//! ```
//!
//! Only the first star counts, and the first arrow behind it; an arrow with nothing behind it is part of
//! the key. A key that is absent or of another type gives nothing. Source: documentation of SORT.

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::{Data, Key};

use crate::bitmap::text_bytes;

/// A pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// The element itself.
    Element,
    /// Nothing at all.
    Nothing,
    /// What stands under a key.
    Key {
        before: &'a [u8],
        behind: &'a [u8],
        /// The field, when the key is one of a hash.
        field: Option<&'a [u8]>,
    },
}

impl<'a> Pattern<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Self {
        if text == b"#" {
            return Self::Element;
        }
        let Some(star) = text.iter().position(|byte| *byte == b'*') else {
            return Self::Nothing;
        };
        let (before, behind) = (&text[..star], &text[star + 1..]);
        let arrow = behind.windows(2).position(|pair| pair == b"->");
        match arrow.filter(|at| at + 2 < behind.len()) {
            None => Self::Key { before, behind, field: None },
            Some(at) => Self::Key { before, behind: &behind[..at], field: Some(&behind[at + 2..]) },
        }
    }

    /// Appends what an element has there; says whether there is something.
    pub(super) fn append(&self, data: &mut Data<'_>, element: &[u8], out: &mut Vec<u8>) -> bool {
        let (before, behind, field) = match *self {
            Self::Element => {
                out.extend_from_slice(element);
                return true;
            }
            Self::Nothing => return false,
            Self::Key { before, behind, field } => (before, behind, field),
        };
        let name = [before, element, behind].concat();
        let key = Key::new(&name);
        let Some(field) = field else {
            let Ok(Some(text)) = data.text(key) else { return false };
            out.extend_from_slice(text_bytes(text, &mut [0; I64_TEXT_MAX]));
            return true;
        };
        let now = data.env.expiry_now.max(0) as u64;
        let hash = data.stored(key).and_then(|stored| crate::hash::hash_view(stored).ok());
        let Some(value) = hash.and_then(|hash| hash.value(field, now)) else { return false };
        value.append_to(out);
        true
    }
}
