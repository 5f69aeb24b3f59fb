//! A round of a move: what is sent, what came of it, and what follows from that. See [`super`].
//!
//! ```text
//! gather    locks: payloads, watches                      the client's loop
//! Round     [AUTH] [SELECT], then RESTORE or DEL a key    a thread of the process
//! finish    locks: delete what is as it was               the client's loop
//! ```
//!
//! AUTH and SELECT are answered before any key is sent: were they refused, keys would land in a
//! database that nobody asked for.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ochre_base::hash::hash;
use ochre_command::Key;
use ochre_command::data::{Class, Data};
use ochre_families::dump::{Form, payload};
use ochre_keyspace::lock::Locked;
use ochre_keyspace::shard::{DbIndex, WatchFlag};
use ochre_resp::{Protocol, Reply};

use super::hold::Hold;
use super::{ROUND_BYTES, ROUND_KEYS, TRIES, Target};
use crate::blocking::with_destinations;
use crate::engine::Engine;
use crate::execute::conclude;
use crate::lockplan::Plan;
use crate::turn::{LoopState, env};

const CHANGED: &str = "ERR a key changed while it was sent, time and again: it is still here, and an \
                       older copy of it is at the target instance";
const FOLLOWS: &str = "READONLY this server has become a replica while keys were sent: they are still \
                       here, and copies of them are at the target instance";

/// A key that is still to be sent.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) name: Vec<u8>,
    /// It was sent before, and has changed since: what is at the target is ours.
    pub(super) again: bool,
}

/// A MIGRATE under way.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) client: u64,
    pub(super) event_loop: u16,
    pub(super) protocol: Protocol,
    pub(super) db: DbIndex,
    pub(super) copy: bool,
    pub(super) replace: bool,
    pub(super) left: VecDeque<Pending>,
    pub(super) hold: Hold,
    /// Rounds after which a key had changed.
    pub(super) tries: u32,
    /// The target reads nothing newer than Redis 7.0's form.
    pub(super) old_form: bool,
    /// The first thing that went wrong.
    pub(super) error: Option<String>,
    /// The log's offset after the last deletion.
    pub(super) written_to: u64,
}

impl Migration {
    /// Lets the keys go.
    pub(super) fn end(mut self, engine: &Engine) {
        engine.migrations.end(engine, &mut self.hold);
    }
}

/// How far the conversation came when it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The host's address is not known, or there are too many targets.
    Connecting,
    /// There is no connection, or it takes nothing.
    Writing,
    /// No answer came.
    Reading,
}

impl Broken {
    fn text(self) -> &'static str {
        match self {
            Self::Connecting => "IOERR error or timeout connecting to the client",
            Self::Writing => "IOERR error or timeout writing to target instance",
            Self::Reading => "IOERR error or timeout reading to target instance",
        }
    }
}

/// A value to be put at the target.
#[derive(Debug)]
pub struct Put {
    /// Its time to live in milliseconds; 0: none.
    pub ttl_ms: i64,
    /// What RESTORE takes.
    pub payload: Vec<u8>,
    /// In place of what may be there.
    pub replace: bool,
}

/// One key of a round.
#[derive(Debug)]
pub struct Item {
    name: Vec<u8>,
    /// None: it is gone here, and is to go there.
    put: Option<Put>,
    /// Raised when it changes; none under COPY.
    watch: Option<WatchFlag>,
}

impl Item {
    /// Appends the command for the target.
    fn write(&self, out: &mut Vec<u8>) {
        let Some(put) = &self.put else {
            return write_command(out, &[b"DEL", &self.name]);
        };
        let ttl = put.ttl_ms.to_string();
        let words: [&[u8]; 5] = [b"RESTORE", &self.name, ttl.as_bytes(), &put.payload, b"REPLACE"];
        write_command(out, &words[..if put.replace { 5 } else { 4 }]);
    }
}

fn write_command(out: &mut Vec<u8>, words: &[&[u8]]) {
    let mut reply = Reply::new(out, Protocol::Resp2);
    reply.array(words.len());
    for word in words {
        reply.bulk(word);
    }
}

/// See the module's head.
#[derive(Debug)]
pub struct Round {
    /// Where it goes.
    pub target: Arc<Target>,
    items: Vec<Item>,
    /// What the target said to AUTH or SELECT, when it refused.
    pub refused: Option<String>,
    /// What it said to the items so far; an error without its mark.
    pub answers: Vec<Result<(), String>>,
    /// Where the conversation broke.
    pub broken: Option<Broken>,
    migration: Migration,
}

impl Round {
    pub(super) fn new(target: Arc<Target>, items: Vec<Item>, migration: Migration) -> Self {
        Self { target, items, refused: None, answers: Vec::new(), broken: None, migration }
    }

    /// The loop that gets it back.
    pub fn event_loop(&self) -> u16 {
        self.migration.event_loop
    }

    /// How many commands [`Round::commands`] has.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What is sent first, and how many commands that are.
    pub fn greeting(&self, select: bool) -> (Vec<u8>, usize) {
        let (mut out, mut count) = (Vec::new(), 0);
        if let Some(who) = &self.target.login {
            match &who.user {
                Some(user) => write_command(&mut out, &[b"AUTH", user, &who.password]),
                None => write_command(&mut out, &[b"AUTH", &who.password]),
            }
            count += 1;
        }
        if select {
            write_command(&mut out, &[b"SELECT", self.target.db.to_string().as_bytes()]);
            count += 1;
        }
        (out, count)
    }

    /// The commands for the keys.
    pub fn commands(&self) -> Vec<u8> {
        let bytes = self.items.iter().filter_map(|item| item.put.as_ref());
        let mut out = Vec::with_capacity(bytes.map(|put| put.payload.len() + 128).sum());
        self.items.iter().for_each(|item| item.write(&mut out));
        out
    }
}

/// Takes the payloads of the next keys that are there, and watches them. Nothing is left to be sent
/// when there is none.
pub(super) fn gather(
    engine: &'static Engine,
    lp: &mut LoopState,
    migration: &mut Migration,
) -> Vec<Item> {
    let mut items = Vec::new();
    while items.is_empty() && !migration.left.is_empty() {
        let mut plan = Plan::none();
        for pending in migration.left.iter().take(ROUND_KEYS) {
            plan.add_hash(&engine.shards, hash(&pending.name));
        }
        let mut locked = plan.lock(&engine.shards);
        lp.work.writes = false;
        let env = env!(engine, lp, true);
        let mut data = Data {
            locked: &mut locked,
            db: migration.db,
            env: &env,
            work: &mut lp.work,
            keys: &[],
            next: Cell::new(0),
        };
        let mut bytes = 0;
        for _ in 0..ROUND_KEYS {
            if bytes >= ROUND_BYTES {
                break;
            }
            let Some(pending) = migration.left.pop_front() else { break };
            if let Some(item) = take(&mut data, migration, pending) {
                bytes += item.put.as_ref().map_or(0, |put| put.payload.len());
                items.push(item);
            }
        }
        conclude(engine, &mut data);
    }
    items
}

/// A key as it is now, watched; none when there is nothing to do for it.
fn take(data: &mut Data<'_>, migration: &Migration, pending: Pending) -> Option<Item> {
    let Pending { name, again } = pending;
    let key = Key::new(&name);
    let form = if migration.old_form { Form::Oldest } else { Form::Own };
    let now_ms = data.env.now.unix_ms;
    let put = data.find(key).map(|slot| {
        let expiry = data.expiry_at(key, slot);
        let db = data.db_of(key);
        Put {
            ttl_ms: expiry.map_or(0, |at| (at - now_ms).max(1)),
            payload: payload(&db.stored(&db.entry(slot)), data.env, form),
            replace: migration.replace || again,
        }
    });
    if put.is_none() && !again {
        return None;
    }
    let watch = (!migration.copy).then(|| {
        let flag: WatchFlag = Arc::new(AtomicBool::new(false));
        data.locked.shard_mut(key.hash).watch(migration.db, &name, Arc::clone(&flag));
        flag
    });
    Some(Item { name, put, watch })
}

/// The end of a MIGRATE, for its client.
#[derive(Debug)]
pub struct Done {
    /// The client.
    pub client: u64,
    /// Its reply.
    pub reply: Vec<u8>,
    /// The log's offset after the deletions; 0: none.
    pub written_to: u64,
}

/// Acts on a round that is over: deletes what has moved, and begins the next one or ends the command.
pub fn finish(engine: &'static Engine, lp: &mut LoopState, round: Round) -> Option<Done> {
    let Round { target, items, refused, answers, broken, mut migration } = round;
    note_error(&mut migration, refused.map(|text| replied(&text)));
    settle(engine, lp, &mut migration, items, answers);
    if let Some(broken) = broken {
        note_error(&mut migration, Some(broken.text().to_owned()));
    }
    let over = broken.is_some() || migration.tries > TRIES || lp.follows;
    if !over {
        let items = gather(engine, lp, &mut migration);
        if !items.is_empty() {
            engine.host.migrate(engine, Box::new(Round::new(target, items, migration)));
            return None;
        }
    }
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, migration.protocol);
    match &migration.error {
        None => reply.ok(),
        Some(text) => reply.error(text),
    }
    let done = Done { client: migration.client, reply: out, written_to: migration.written_to };
    migration.end(engine);
    Some(done)
}

fn replied(text: &str) -> String {
    format!("ERR Target instance replied with error: {text}")
}

fn note_error(migration: &mut Migration, error: Option<String>) {
    if migration.error.is_none() {
        migration.error = error;
    }
}

/// Goes through the answers: ends the watches, deletes here what is there, and puts what has to go once
/// more back to the keys that are left.
fn settle(
    engine: &'static Engine,
    lp: &mut LoopState,
    migration: &mut Migration,
    items: Vec<Item>,
    answers: Vec<Result<(), String>>,
) {
    let mut plan = Plan::none();
    for item in &items {
        plan.add_hash(&engine.shards, hash(&item.name));
    }
    let mut locked = with_destinations(engine, plan.lock(&engine.shards));
    let mut moved: Vec<Vec<u8>> = Vec::new();
    let (mut changed, mut too_new) = (false, false);
    let mut answers = answers.into_iter();
    for item in items {
        let is_same = end_watch(&mut locked, migration.db, &item);
        match answers.next() {
            None => {}
            Some(Ok(())) if migration.copy => {}
            Some(Ok(())) if !is_same => {
                changed = true;
                migration.left.push_back(Pending { name: item.name, again: true });
            }
            Some(Ok(())) if item.put.is_some() => moved.push(item.name),
            Some(Ok(())) => {}
            Some(Err(text)) if text.contains("payload version") && !migration.old_form => {
                too_new = true;
                let again = item.put.is_some_and(|put| put.replace && !migration.replace);
                migration.left.push_back(Pending { name: item.name, again });
            }
            Some(Err(text)) => note_error(migration, Some(replied(&text))),
        }
    }
    migration.old_form |= too_new;
    migration.tries += u32::from(changed);
    if migration.tries > TRIES {
        note_error(migration, Some(CHANGED.to_owned()));
    }
    if moved.is_empty() {
        return;
    }
    if lp.follows {
        note_error(migration, Some(FOLLOWS.to_owned()));
        return;
    }
    migration.written_to = delete(engine, lp, migration, &mut locked, &moved);
}

/// Ends the watch on an item; whether its key is what it was.
fn end_watch(locked: &mut Locked<'static>, db: DbIndex, item: &Item) -> bool {
    let Some(flag) = &item.watch else { return true };
    locked.shard_mut(hash(&item.name)).unwatch(db, &item.name, flag);
    !flag.load(Ordering::Acquire)
}

/// Deletes keys that have moved; the log's offset behind that.
fn delete(
    engine: &'static Engine,
    lp: &mut LoopState,
    migration: &Migration,
    locked: &mut Locked<'static>,
    moved: &[Vec<u8>],
) -> u64 {
    lp.work.writer = migration.client;
    lp.work.writes = true;
    let env = env!(engine, lp, true);
    let mut data = Data {
        locked,
        db: migration.db,
        env: &env,
        work: &mut lp.work,
        keys: &[],
        next: Cell::new(0),
    };
    let before = data.begin();
    let mut words: Vec<&[u8]> = vec![b"DEL"];
    for name in moved {
        let key = Key::new(name);
        if data.delete(key) {
            data.changed(key, Class::Generic, "del");
            words.push(name);
        }
    }
    data.finish(before, &words);
    conclude(engine, &mut data);
    std::mem::take(&mut lp.work.logged_to)
}
