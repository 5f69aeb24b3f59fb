//! Set commands: members one by one ([`members`]), at random ([`random`]), and unions, intersections
//! and differences ([`algebra`]).
//!
//! Source: documentation of the set commands of Redis 7.2; texts and order of checks as redis-server
//! 7.0.15 and valkey-server 9.1.

use ochre_command::outcome::{Result, WRONG_TYPE};
use ochre_command::spec::{Flags, KeyFlags};
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Kind;
use ochre_types::set::{Set, SetRef};
use ochre_types::value::Value;

pub mod algebra;
pub mod members;
pub mod random;

/// Reads in constant time.
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
/// Removes in constant time.
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);

/// A key whose members are read.
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
/// A key that members are added to.
const INSERTS: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);
/// A key that members are taken from.
const TAKES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// What is stored, as a set to be read.
#[inline]
pub(crate) fn set_view(stored: Stored<'_>) -> Result<SetRef<'_>> {
    match stored {
        Stored::Inline(Kind::Ints, bytes) => Ok(SetRef::Ints(bytes)),
        Stored::Inline(Kind::Set, bytes) => Ok(SetRef::Packed(bytes)),
        Stored::Object(Value::Set(set)) => Ok(set.view()),
        _ => Err(WRONG_TYPE),
    }
}

/// A value that an edit was lent, as a set.
#[inline]
fn set_mut(value: &mut Value) -> Result<&mut Set> {
    match value {
        Value::Set(set) => Ok(set),
        _ => Err(WRONG_TYPE),
    }
}

fn new_set() -> Value {
    Value::Set(Set::new())
}
