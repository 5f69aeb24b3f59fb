//! List commands: pushing and popping ([`ends`]), reading and editing inside ([`range`]), moving from
//! list to list ([`moves`]), and waiting for an element ([`blocking`]).
//!
//! Every write is one edit of the value under its key; a list that it leaves empty takes its key with
//! it. Source: documentation of the list commands of Redis 7.2 and 8.10; texts and order of checks as
//! redis-server 7.0.15 and valkey-server 9.1.

use ochre_command::args;
use ochre_command::outcome::{self, Result, WRONG_TYPE};
use ochre_command::spec::{Flags, KeyFlags};
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Kind;
use ochre_types::list::{End, List, ListRef};
use ochre_types::value::Value;

pub mod blocking;
pub mod ends;
pub mod moves;
pub mod range;

/// Reads in constant time.
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
/// Removes in constant time.
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
/// Adds.
const GROW: Flags = Flags::WRITE.union(Flags::DENYOOM);
/// Adds in constant time.
const GROW_FAST: Flags = GROW.union(Flags::FAST);

/// A key whose elements are read.
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
/// A key that elements are added to.
const INSERTS: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
/// A key that elements are removed from.
const DELETES: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);
/// A key that elements are changed in.
const UPDATES: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
/// A key that elements are taken from.
const TAKES: KeyFlags = DELETES.union(KeyFlags::ACCESS);

/// What is stored, as a list to be read.
#[inline]
pub(crate) fn list_view(stored: Stored<'_>) -> Result<ListRef<'_>> {
    match stored {
        Stored::Inline(Kind::List, bytes) => Ok(ListRef::Packed(bytes)),
        Stored::Object(Value::List(list)) => Ok(list.view()),
        _ => Err(WRONG_TYPE),
    }
}

/// A value that an edit was lent, as a list.
#[inline]
fn list_mut(value: &mut Value) -> Result<&mut List> {
    match value {
        Value::List(list) => Ok(list),
        _ => Err(WRONG_TYPE),
    }
}

fn new_list() -> Value {
    Value::List(List::new())
}

/// LEFT or RIGHT.
fn end(arg: &[u8]) -> Result<End> {
    if args::is(arg, "left") {
        Ok(End::Front)
    } else if args::is(arg, "right") {
        Ok(End::Back)
    } else {
        Err(outcome::SYNTAX)
    }
}

/// The word for an end.
const fn end_word(end: End) -> &'static [u8] {
    match end {
        End::Front => b"LEFT",
        End::Back => b"RIGHT",
    }
}

/// The name of the command that pops there, and that of its event.
const fn pop_names(end: End) -> (&'static [u8], &'static str) {
    match end {
        End::Front => (b"LPOP", "lpop"),
        End::Back => (b"RPOP", "rpop"),
    }
}

/// The event of a push there.
const fn push_event(end: End) -> &'static str {
    match end {
        End::Front => "lpush",
        End::Back => "rpush",
    }
}
