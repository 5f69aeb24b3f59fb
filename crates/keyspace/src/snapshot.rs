//! The snapshot: the keyspace as it was at one moment, without a fork and without a pause.
//!
//! **The cut** takes all locks for a moment and turns every database's *mark* over. Each entry carries a
//! mark of one bit; one that differs from its database's belongs to the cut and has not been captured.
//! From then on:
//!
//! - a change to an entry of the cut (write, edit, removal: the doors of [`crate::db::Db`]) captures it first and
//!   sets its mark;
//! - a new entry is born with the mark, so that it is not of the cut;
//! - the walker goes through each table by a stateless cursor, a few entries under each hold of the
//!   shard's lock, and captures what nobody has changed before;
//! - a database that is flushed meanwhile is kept as an orphan until the walker has been through it.
//!
//! So each entry of the cut is captured exactly once (I9): as it was, by whoever comes first. Nothing is
//! remembered besides the bit. Reads never capture. When all walks are over all marks agree again,
//! which the next cut needs; a snapshot that is cancelled is therefore walked to its end, with a capture
//! that does nothing.
//!
//! Costs: the cut O(shards x databases); a change O(value) the first time it hits an entry of the cut,
//! which for a large collection means encoding it whole under the lock. Memory: what captures hold until a
//! sink has taken it.

use std::sync::Arc;

use crate::db::{Db, Stored};
use crate::entry::Entry;
use crate::lock::{ShardId, Shards};
use crate::shard::DbIndex;

/// Takes entries of a cut.
pub trait Capture: Send + Sync {
    /// One entry, with the database that it was in at the cut. Called under its shard's lock: it may take
    /// no lock but one that nothing else is taken under.
    fn take(&self, db: DbIndex, entry: &Entry<'_>, stored: Stored<'_>);
}

/// A database's part of a snapshot under way.
pub(crate) struct Walk {
    pub(crate) db: DbIndex,
    pub(crate) capture: Arc<dyn Capture>,
    pub(crate) cursor: u64,
}

impl Walk {
    pub(crate) fn new(db: DbIndex, capture: Arc<dyn Capture>) -> Self {
        Self { db, capture, cursor: 0 }
    }
}

/// Entries captured under one hold of a lock: some 10 to 20 us.
const STEP: usize = 64;

/// Begins a snapshot under all locks; `at_cut` runs while they are held, to note the log's offset. No
/// snapshot is under way.
pub fn cut<R>(shards: &Shards, capture: &Arc<dyn Capture>, at_cut: impl FnOnce() -> R) -> R {
    let mut locked = shards.lock_all();
    for shard in locked.each_mut() {
        debug_assert!(!shard.dbs().iter().any(Db::is_walked), "one snapshot at a time");
        shard.begin_walk(capture);
    }
    at_cut()
}

/// Captures all that is left of a cut. `between` runs between two holds of a lock, with none held.
pub fn walk(shards: &Shards, mut between: impl FnMut()) {
    for id in 0..shards.count() as ShardId {
        loop {
            let (more, orphan) = shards.visit(id, |shard| (shard.walk(STEP), shard.take_orphan()));
            // Nobody else can reach an orphan, so it is walked without a lock.
            if let Some(mut orphan) = orphan {
                while orphan.walk(STEP) {
                    between();
                }
            }
            between();
            if !more {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use proptest::prelude::*;

    use super::*;
    use crate::db::{Key, NewValue, Text};

    type Id = (DbIndex, Vec<u8>);
    type Content = (Vec<u8>, Option<i64>);
    type State = BTreeMap<Id, Content>;

    #[derive(Default)]
    struct Taken(Mutex<Vec<(Id, Content)>>);

    fn value_of(stored: &Stored<'_>) -> Vec<u8> {
        match stored {
            Stored::Inline(kind, bytes) => [&[*kind as u8], *bytes].concat(),
            Stored::Object(value) => format!("{value:?}").into_bytes(),
        }
    }

    impl Capture for Taken {
        fn take(&self, db: DbIndex, entry: &Entry<'_>, stored: Stored<'_>) {
            let taken = ((db, entry.key.to_vec()), (value_of(&stored), entry.expiry));
            self.0.lock().unwrap().push(taken);
        }
    }

    fn state(shards: &Shards) -> State {
        let mut all = State::new();
        for shard in shards.lock_all().each() {
            for (index, db) in shard.dbs().iter().enumerate() {
                let mut cursor = 0;
                loop {
                    cursor = db.scan(cursor, |entry| {
                        let value = (value_of(&db.stored(&entry)), entry.expiry);
                        all.insert((index as DbIndex, entry.key.to_vec()), value);
                    });
                    if cursor == 0 {
                        break;
                    }
                }
            }
        }
        all
    }

    /// Changes of all sorts: of a key, a value, an expiry, a whole database.
    fn change(shards: &Shards, (what, n, size): (u8, u16, u16)) {
        let name = format!("key:{}", n % 400).into_bytes();
        let key = Key::new(&name);
        let index = n % 3;
        if what == 9 && n % 16 == 0 {
            for id in 0..shards.count() as ShardId {
                shards.visit(id, |shard| drop(shard.take_db(index)));
            }
            return;
        }
        if what == 8 && n % 16 == 0 {
            shards.lock_all().each_mut().for_each(|shard| shard.swap_dbs(index, (index + 1) % 3));
            return;
        }
        let mut locked = shards.lock_one(shards.of(key.hash));
        let db = locked.db_mut(index, key);
        let slot = db.find(key);
        let text = vec![b'x'; usize::from(size) % 3000];
        match (what, slot) {
            (0..=3, _) => {
                let expiry = (n % 2 == 0).then_some(2_000_000_000_000 + i64::from(size));
                db.put(key, slot, NewValue::Raw(&text), expiry, 0);
            }
            (4, Some(slot)) => db.set_expiry(slot, Some(i64::from(size) + 2_000_000_000_000)),
            (5, Some(slot)) => drop(db.remove(slot)),
            (6, Some(slot)) => {
                if let Some(bytes) = db.inline_text_mut(slot).and_then(|bytes| bytes.first_mut()) {
                    *bytes = size as u8;
                }
            }
            (7, Some(slot)) => {
                if let Some(blob) = db.blob_mut(slot) {
                    blob.push(size as u8);
                }
            }
            (_, Some(slot)) => {
                let is_text = matches!(db.text(&db.entry(slot)), Some(Text::Bytes(_)));
                if is_text {
                    db.set_access(slot, u32::from(size));
                }
            }
            (_, None) => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// I9: a snapshot holds exactly the entries of its cut, whatever is changed meanwhile, one
        /// snapshot after another.
        #[test]
        fn holds_exactly_the_cut(
            before in proptest::collection::vec((0u8..10, any::<u16>(), any::<u16>()), 0..800),
            during in proptest::collection::vec((0u8..10, any::<u16>(), any::<u16>()), 0..800),
            pace in 1usize..40,
        ) {
            let shards = Shards::new(64);
            for _ in 0..3 {
                before.iter().for_each(|&what| change(&shards, what));
                let taken = Arc::new(Taken::default());
                let capture: Arc<dyn Capture> = Arc::clone(&taken) as Arc<dyn Capture>;
                let expected = state(&shards);
                cut(&shards, &capture, || ());
                let mut rest = during.iter();
                walk(&shards, || {
                    rest.by_ref().take(pace).for_each(|&what| change(&shards, what));
                });
                let taken = taken.0.lock().unwrap();
                let captured: State = taken.iter().cloned().collect();
                prop_assert_eq!(taken.len(), captured.len(), "each once");
                prop_assert!(captured == expected, "exactly those of the cut");
            }
        }
    }
}
