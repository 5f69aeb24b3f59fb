//! String commands, one file for each thing that is done to a string.
//!
//! A string is read as [`Text`]: bytes in the key's entry, an integer, or a large string behind a
//! count. Large strings (above `SHARED_MIN`) are not copied into a reply: the reply gets the
//! header and the line end, and `Work::blobs` the place between them with the shared bytes, which
//! the engine sends from where they are.
//!
//! Source: documentation of the string commands of Redis 8.8 and Valkey 9.1.

use std::sync::Arc;

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::{Ctx, Reply};
use ochre_keyspace::db::Text;

pub mod change;
pub mod digest;
pub mod increx;
pub mod lcs;
pub mod many;
pub mod number;
mod options;
pub mod read;
pub mod set;

/// From this many bytes on a value is sent from where it lies instead of being copied.
const SHARED_MIN: usize = 16 * 1024;

/// A large string that is to be sent without a copy.
type Blob = Arc<Vec<u8>>;

/// Writes a string, unless it is so large that it is given back for [`share`]: by then the data is no
/// longer borrowed.
#[inline]
fn write(reply: &mut Reply<'_>, text: Text<'_>) -> Option<Blob> {
    match text {
        Text::Bytes(bytes) => reply.bulk(bytes),
        Text::Int(n) => reply.bulk_i64(n),
        Text::Blob(blob) if blob.len() > SHARED_MIN => return Some(Arc::clone(blob)),
        Text::Blob(blob) => reply.bulk(&blob[..]),
    }
    None
}

/// Notes a large string to be sent at this place of the reply.
#[cold]
fn share(ctx: &mut Ctx<'_>, blob: Blob) {
    ctx.reply.bulk_header(blob.len());
    ctx.data.work.blobs.push((ctx.reply.len(), blob));
    ctx.reply.raw(b"\r\n");
}

/// The bytes of a string; `room` is where an integer's text goes.
#[inline]
fn bytes<'a>(text: Text<'a>, room: &'a mut [u8; I64_TEXT_MAX]) -> &'a [u8] {
    match text {
        Text::Bytes(bytes) => bytes,
        Text::Int(n) => format_i64(n, room),
        Text::Blob(blob) => blob,
    }
}

/// The length of a string in bytes.
#[inline]
fn length(text: Text<'_>) -> usize {
    bytes(text, &mut [0; I64_TEXT_MAX]).len()
}
