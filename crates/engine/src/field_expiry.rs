//! Active expiry of hash fields: what is past its time goes without being read.
//!
//! Each loop cares for its own share of the shards, as it does for keys. Names of due hashes are taken
//! first and handled once in a run, so that a bound that is too early costs a look a run and no more.

use ochre_command::Key;
use ochre_command::data::Data;
use ochre_families::hash::drop_expired_fields;
use ochre_keyspace::lock::ShardId;
use std::cell::Cell;
use std::sync::Arc;

use crate::engine::Engine;
use crate::execute::conclude;
use crate::turn::{LoopState, env};

/// Hashes taken from one shard in one run.
const HASHES: usize = 64;
/// Fields removed under one hold of a lock.
const FIELDS: usize = 64;

/// Removes expired fields in the shards `owner`, `owner + loops`, ... until it has been round once or
/// `out_of_time` says so; true when there is more to do.
pub fn run(
    engine: &'static Engine,
    lp: &mut LoopState,
    (owner, loops): (usize, usize),
    mut out_of_time: impl FnMut() -> bool,
) -> bool {
    let mut more = false;
    for id in (owner..engine.shards.count()).step_by(loops) {
        let mut due: Vec<(u16, Arc<[u8]>)> = Vec::new();
        let now = lp.now.unix_ms;
        engine.shards.try_lock_one(id as ShardId, |shard| {
            for db in 0..shard.dbs().len() as u16 {
                while due.len() < HASHES
                    && let Some(name) = shard.db_mut(db).take_due_hash(now)
                {
                    due.push((db, name));
                }
            }
        });
        more |= due.len() == HASHES;
        for (db, name) in due {
            let full = drop_fields(engine, lp, db, &name);
            more |= full;
        }
        if out_of_time() {
            return true;
        }
    }
    more
}

/// Handles one hash; the edit puts it back into the index when fields remain that expire. True when it
/// stopped at its limit.
fn drop_fields(engine: &'static Engine, lp: &mut LoopState, db: u16, name: &[u8]) -> bool {
    let key = Key::new(name);
    let mut locked = engine.shards.lock_one(engine.shards.of(key.hash));
    let env = env!(engine, lp, true);
    let mut data = Data {
        locked: &mut locked,
        db,
        env: &env,
        work: &mut lp.work,
        keys: &[],
        next: Cell::new(0),
    };
    let dropped = drop_expired_fields(&mut data, key, FIELDS);
    conclude(engine, &mut data);
    dropped == FIELDS
}
