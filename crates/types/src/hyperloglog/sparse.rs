//! Sparse registers: runs of equal ones, from register 0 to the last.
//!
//! ```text
//! 00llllll            ZERO    l + 1 registers of value 0, at most 64
//! 01llllll llllllll   XZERO   the same with 14 bits of length, at most 16384
//! 1vvvvvll            VAL     l + 1 registers of value v + 1, at most 4 of at most 32
//! ```
//!
//! Raising a register cuts its run into at most three: what is before, the register, what is behind.
//! Then equal neighbours among VAL runs near the cut are joined. Which pieces are joined, and that a
//! cut which does not lengthen the bytes is never refused, shows in the bytes: both are as upstream.
//!
//! Everything is O(bytes), which `hll-sparse-max-bytes` bounds for what was made here.

use std::fmt::Write;
use std::ops::Range;

use smallvec::SmallVec;

use super::{Corrupt, HEADER, REGISTERS};

/// Longest run of zeros in one byte.
const ZERO_MAX: usize = 64;
/// Longest run of another value.
const VALUE_RUN_MAX: usize = 4;
/// Largest value that a run can have.
const VALUE_MAX: u8 = 32;
/// Runs that are looked at for joining, from the one before the cut on.
const JOIN_REACH: usize = 5;

/// What [`raise`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Raised {
    /// The register is that high already.
    No,
    /// The register was raised.
    Yes,
    /// The result cannot be sparse; nothing was changed.
    DoesNotFit,
}

/// A run as it stands in the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// 0 for runs of zeros.
    value: u8,
    /// Registers.
    len: usize,
    /// Bytes.
    size: usize,
}

impl Run {
    /// The run that begins at `at`; none at the end, and none where it is cut off.
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let head = *bytes.get(at)?;
        Some(match head >> 6 {
            0 => Self { value: 0, len: usize::from(head) + 1, size: 1 },
            1 => {
                let low = usize::from(*bytes.get(at + 1)?);
                Self { value: 0, len: (usize::from(head & 0x3F) << 8 | low) + 1, size: 2 }
            }
            _ => Self { value: (head >> 2 & 0x1F) + 1, len: usize::from(head & 3) + 1, size: 1 },
        })
    }

    /// Whether it is of the form with a value.
    fn is_value(self) -> bool {
        self.value > 0
    }
}

/// Appends a run; one of no registers is none.
fn append(out: &mut SmallVec<[u8; 8]>, value: u8, len: usize) {
    if len == 0 {
        return;
    }
    let len = len - 1;
    if value > 0 {
        out.push(0x80 | (value - 1) << 2 | len as u8);
    } else if len < ZERO_MAX {
        out.push(len as u8);
    } else {
        out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]);
    }
}

/// Appends registers that are all zero.
pub(super) fn append_empty(bytes: &mut Vec<u8>) {
    let mut run = SmallVec::new();
    append(&mut run, 0, REGISTERS);
    bytes.extend_from_slice(&run);
}

/// Calls `visit` with the registers and the value of each run, as far as they are sound.
pub(super) fn each_run(
    bytes: &[u8],
    mut visit: impl FnMut(Range<usize>, u8),
) -> Result<(), Corrupt> {
    let (mut at, mut first) = (HEADER, 0);
    while at < bytes.len() {
        let run = Run::read(bytes, at).ok_or(Corrupt)?;
        let end = first + run.len;
        if end > REGISTERS {
            return Err(Corrupt);
        }
        visit(first..end, run.value);
        (at, first) = (at + run.size, end);
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// Raises register `index` to `value`, if it is below and the result has at most `max` bytes.
pub(super) fn raise(
    bytes: &mut Vec<u8>,
    index: usize,
    value: u8,
    max: usize,
) -> Result<Raised, Corrupt> {
    if value > VALUE_MAX {
        return Ok(Raised::DoesNotFit);
    }
    let (mut at, mut first, mut before) = (HEADER, 0, None);
    let run = loop {
        let run = Run::read(bytes, at).ok_or(Corrupt)?;
        if index < first + run.len {
            break run;
        }
        before = Some(at);
        at += run.size;
        first += run.len;
    };
    if run.value >= value {
        return Ok(Raised::No);
    }
    let mut cut = SmallVec::new();
    append(&mut cut, run.value, index - first);
    append(&mut cut, value, 1);
    append(&mut cut, run.value, first + run.len - 1 - index);
    if cut.len() > run.size && bytes.len() + cut.len() - run.size > max {
        return Ok(Raised::DoesNotFit);
    }
    if cut.len() == run.size {
        bytes[at..at + run.size].copy_from_slice(&cut);
    } else {
        bytes.splice(at..at + run.size, cut);
    }
    join(bytes, before.unwrap_or(HEADER));
    Ok(Raised::Yes)
}

/// Joins equal runs of values that follow each other, among the next few from `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_REACH {
        let Some(run) = Run::read(bytes, at) else { return };
        let next = Run::read(bytes, at + run.size);
        match next {
            Some(next)
                if run.is_value()
                    && run.value == next.value
                    && run.len + next.len <= VALUE_RUN_MAX =>
            {
                // The joined run stays where it is, and may be joined with what follows.
                bytes[at + 1] += run.len as u8;
                bytes.remove(at);
            }
            _ => at += run.size,
        }
    }
}

/// See [`super::describe`].
pub(super) fn describe(bytes: &[u8]) -> Result<String, Corrupt> {
    let mut text = String::new();
    let mut at = HEADER;
    while at < bytes.len() {
        let run = Run::read(bytes, at).ok_or(Corrupt)?;
        if at > HEADER {
            text.push(' ');
        }
        // Writing to a string never fails.
        let _ = match (run.value, run.size) {
            (0, 1) => write!(text, "z:{}", run.len),
            (0, _) => write!(text, "Z:{}", run.len),
            (value, _) => write!(text, "v:{value},{}", run.len),
        };
        at += run.size;
    }
    Ok(text)
}
