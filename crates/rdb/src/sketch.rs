//! Sketches in the RDB format: as the value of a module that no other server has.
//!
//! The peers keep sketches in modules, whose layouts are their own and change with their versions. Ochre
//! writes a module's value under a name of its own, so that a peer which is given the file says which
//! type it lacks instead of misreading it, and tools that walk the file pass over it:
//!
//! ```text
//! MODULE_ID:length   5:length (a string follows)   the sketch's bytes:string   0:length (the end)
//! ```
//!
//! Failure: [`LoadError::Corrupt`] for anything that [`Sketch::decode`] refuses. O(size).

use std::io::Read;

use ochre_types::sketch::Sketch;
use ochre_types::value::Value;

use crate::error::{LoadError, Result};
use crate::format::{Dialect, kind};
use crate::load::Input;
use crate::save::{put_len, put_string};

/// The name "ochre-skt", six bits a letter, and version 0 in the lower ten bits.
pub(crate) const MODULE_ID: u64 = module_id(*b"ochre-skt");

/// A string follows.
const PART_STRING: u64 = 5;
/// The value is over.
const PART_END: u64 = 0;

const fn module_id(name: [u8; 9]) -> u64 {
    let (mut id, mut at) = (0u64, 0);
    while at < name.len() {
        let letter = match name[at] {
            upper @ b'A'..=b'Z' => upper - b'A',
            lower @ b'a'..=b'z' => lower - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            _ => 63,
        };
        id = id << 6 | letter as u64;
        at += 1;
    }
    id << 10
}

/// Appends a sketch, and gives its type's number.
pub(crate) fn save(out: &mut Vec<u8>, sketch: &Sketch, dialect: &Dialect) -> u8 {
    let mut bytes = Vec::new();
    sketch.encode(&mut bytes);
    put_len(out, MODULE_ID);
    put_len(out, PART_STRING);
    put_string(out, &bytes, dialect);
    put_len(out, PART_END);
    kind::MODULE
}

/// Loads what follows the module's number.
pub(crate) fn load<R: Read>(input: &mut Input<R>) -> Result<Value> {
    const BROKEN: LoadError = LoadError::Corrupt("sketch");
    if input.len()? != PART_STRING {
        return Err(BROKEN);
    }
    let bytes = input.string()?;
    let sketch = Sketch::decode(&bytes).map_err(|_| BROKEN)?;
    if input.len()? != PART_END {
        return Err(BROKEN);
    }
    Ok(Value::Sketch(Box::new(sketch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_types::limits::Limits;
    use ochre_types::sketch::{Cms, TDigest};

    #[test]
    fn dumps_come_back() {
        let mut cms = Cms::new(100, 5).unwrap();
        cms.add(b"x", 7).unwrap();
        let mut digest = TDigest::new(100).unwrap();
        (0..2000).for_each(|n| digest.add(f64::from(n)));
        for sketch in [Sketch::Cms(cms), Sketch::TDigest(digest)] {
            let value = Value::Sketch(Box::new(sketch));
            let payload = crate::dump((&value).into(), &Dialect::REDIS_7_2);
            let loaded = crate::restore(&payload, &Limits::default()).unwrap();
            let crate::LoadedValue::Whole(Value::Sketch(again)) = loaded else {
                panic!("a sketch");
            };
            let bytes = |sketch: &Sketch| {
                let mut out = Vec::new();
                sketch.encode(&mut out);
                out
            };
            let Value::Sketch(sketch) = &value else { panic!("a sketch") };
            assert_eq!(bytes(&again), bytes(sketch));
        }
        assert_eq!(crate::load::module_name(MODULE_ID), "ochre-skt");
    }
}
