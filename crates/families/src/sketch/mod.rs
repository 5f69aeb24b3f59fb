//! Commands on sketches (see [`ochre_types::sketch`]), one file for each kind: BF, CF, CMS, TOPK, TDIGEST.
//!
//! All of them are functions of their arguments and of the value: they are logged as they were given, and
//! replaying them gives the same bytes. What would change nothing is not logged. A sketch is made whole
//! before it is put under its key, so that an error leaves no half of one behind.
//!
//! Source: the documentation of the commands on redis.io (Redis 8.0) and valkey.io (valkey-bloom 1.0), down
//! to the texts that clients' tests rely on. Several of these errors carry no code word there, and so here.

use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, WRONG_TYPE};
use ochre_command::spec::{CommandSpec, Flags, Group, Handler, KeyFlags, KeySpec};
use ochre_command::{Ctx, Data, Key};
use ochre_keyspace::db::{NewValue, Stored};
use ochre_types::sketch::{Bloom, Cms, Cuckoo, Sketch, TDigest, TopK};
use ochre_types::value::Value;

pub mod bloom;
pub mod cms;
pub mod cuckoo;
pub mod tdigest;
#[cfg(test)]
mod tests;
pub mod topk;

/// Commands that read.
const READS: Flags = Flags::READONLY;
const READS_FAST: Flags = Flags::READONLY.union(Flags::FAST);
/// Commands that may make a sketch larger.
const GROWS: Flags = Flags::WRITE.union(Flags::DENYOOM);
const GROWS_FAST: Flags = GROWS.union(Flags::FAST);

const KEY_READ: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))];
const KEY_INSERT: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))];
const KEY_UPDATE: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))];
const KEY_DELETE: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))];
/// A destination, a number of keys, and so many sources.
const KEYS_MERGE: &[KeySpec] = &[
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT)),
    KeySpec::counted(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
];

/// Most bytes of a chunk of a dump: a reply that is copied under a lock.
const CHUNK_BYTES: usize = 1 << 20;

/// A filter that is not there.
const NOT_FOUND: ReplyError = ReplyError::fixed("ERR not found");
/// A filter that is to be made is there.
const ITEM_EXISTS: ReplyError = ReplyError::fixed("ERR item exists");
/// A chunk that does not belong where it is put.
const BAD_DATA: ReplyError = ReplyError::fixed("ERR received bad data");
/// An iterator that is no number.
const BAD_ITERATOR: ReplyError = ReplyError::fixed("ERR Second argument must be numeric");

/// A row of this family.
const fn row(name: &'static str, arity: i32, flags: Flags, run: Handler) -> CommandSpec {
    CommandSpec::new(name, arity, flags, Group::Module, run)
}

/// One kind of sketch within the values.
trait Kind: Sized {
    /// The sketch, if it is of this kind.
    fn of(sketch: &Sketch) -> Option<&Self>;
    /// The same for changes.
    fn of_mut(sketch: &mut Sketch) -> Option<&mut Self>;
    /// As a sketch of any kind.
    fn whole(self) -> Sketch;
}

macro_rules! kinds {
    ($($kind:ident),*) => {$(
        impl Kind for $kind {
            fn of(sketch: &Sketch) -> Option<&Self> {
                match sketch {
                    Sketch::$kind(one) => Some(one),
                    _ => None,
                }
            }

            fn of_mut(sketch: &mut Sketch) -> Option<&mut Self> {
                match sketch {
                    Sketch::$kind(one) => Some(one),
                    _ => None,
                }
            }

            fn whole(self) -> Sketch {
                Sketch::$kind(self)
            }
        }
    )*};
}
kinds!(Bloom, Cms, Cuckoo, TDigest, TopK);

/// What is stored, as this kind of sketch.
fn as_kind<K: Kind>(stored: Stored<'_>) -> Result<&K> {
    match stored {
        Stored::Object(Value::Sketch(sketch)) => K::of(sketch).ok_or(WRONG_TYPE),
        _ => Err(WRONG_TYPE),
    }
}

/// The sketch under a key, for reading.
fn read<'d, K: Kind>(data: &'d mut Data<'_>, key: Key<'_>) -> Result<Option<&'d K>> {
    data.stored(key).map(as_kind).transpose()
}

/// The sketch under a key, for several reads at once: see [`Data::view`].
fn view<'d, K: Kind>(data: &'d Data<'_>, key: Key<'_>) -> Result<Option<&'d K>> {
    data.view(key).map(as_kind).transpose()
}

/// Lends the sketch under a key out for changes; none when the key is absent.
fn edit<K: Kind, R>(
    data: &mut Data<'_>,
    key: Key<'_>,
    change: impl FnOnce(&mut K) -> Result<R>,
) -> Result<Option<R>> {
    let edited = data.edit(key, None, |value, _, _| match value {
        Value::Sketch(sketch) => change(K::of_mut(sketch).ok_or(WRONG_TYPE)?),
        _ => Err(WRONG_TYPE),
    })?;
    Ok(edited.map(|(result, _)| result))
}

/// Puts a sketch under a key, whatever was there but for its expiry, and says that the key changed.
fn put<K: Kind>(data: &mut Data<'_>, key: Key<'_>, sketch: K, event: &'static str) {
    let slot = data.find(key);
    let expiry = slot.and_then(|slot| data.expiry_at(key, slot));
    let value = Value::Sketch(Box::new(sketch.whole()));
    data.put(key, slot, NewValue::Whole(value), expiry);
    data.changed(key, Class::Module, event);
}

/// Whether a key of this kind is there; another type is an error.
fn is_there<K: Kind>(data: &mut Data<'_>, key: Key<'_>) -> Result<bool> {
    match data.peek(key) {
        Some(stored) => as_kind::<K>(stored).map(|_| true),
        None => Ok(false),
    }
}

/// Writes one step of a dump: where the next one goes on, 0 at the end, and the bytes.
fn reply_chunk(ctx: &mut Ctx<'_>, next: u64, chunk: &[u8]) {
    ctx.reply.array(2);
    // At most 1 + BYTES_MAX.
    ctx.reply.integer(next as i64);
    ctx.reply.bulk(chunk);
}

/// The iterator argument of a dump's commands.
fn iterator(ctx: &Ctx<'_>) -> Result<u64> {
    let n = ochre_command::args::int_or(ctx.arg(2), BAD_ITERATOR)?;
    u64::try_from(n).map_err(|_| BAD_DATA)
}

/// A dump's position: the header is step 0 and answers 1, a chunk from byte `n` is step `n + 1` and
/// answers where it ended, plus one.
fn next_step(step: u64, chunk: &[u8]) -> u64 {
    if chunk.is_empty() { 0 } else { step + chunk.len() as u64 }
}

/// The position that a chunk which came with `step` belongs to.
fn chunk_start(step: u64, chunk: &[u8]) -> Result<u64> {
    (step - 1).checked_sub(chunk.len() as u64).ok_or(BAD_DATA)
}
