//! I9: a snapshot holds exactly the entries of its cut, each once, whatever is changed meanwhile.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use ochre_base::rng::Rng;
use ochre_types::capture::Head;
use ochre_types::hash::Hash;
use ochre_types::limits::Limits;
use ochre_types::list::{End, List};
use ochre_types::packed;
use ochre_types::set::Set;
use ochre_types::stream::{BlockLimit, Bound, References, Stream, StreamId, Trim};
use ochre_types::value::Value;
use ochre_types::zset::Zset;
use proptest::prelude::*;

use super::*;
use crate::db::{Key, NewValue, Text};

type Id = (DbIndex, Vec<u8>);
/// The value as lines, in an order that its form does not matter for, and its expiry.
type Content = (Vec<String>, Option<i64>);
type State = BTreeMap<Id, Content>;

/// What was captured.
#[derive(Default)]
struct Taken {
    all: Mutex<Vec<(Id, Content)>>,
    /// The key that comes in parts.
    open: Mutex<Option<(Id, Content, bool)>>,
    given_up: AtomicBool,
}

fn value_of(stored: &Stored<'_>) -> Vec<String> {
    let value = match stored {
        Stored::Inline(kind, bytes) => return vec![format!("{kind:?} {bytes:?}")],
        Stored::Object(value) => value,
    };
    let mut lines: Vec<String> = match value {
        Value::Hash(hash) => hash
            .view()
            .iter(0)
            .map(|f| format!("{:?} {:?}", f.name.to_vec(), f.value.to_vec()))
            .collect(),
        Value::Set(set) => set.view().iter().map(|m| format!("{:?}", m.to_vec())).collect(),
        Value::Zset(zset) => {
            zset.view().iter().map(|e| format!("{:?} {}", e.member, e.score)).collect()
        }
        Value::List(list) => return list.iter().map(|e| format!("{:?}", e.to_vec())).collect(),
        Value::Stream(stream) => return stream_lines(stream),
        other => vec![format!("{other:?}")],
    };
    lines.sort_unstable();
    lines
}

fn stream_lines(stream: &Stream) -> Vec<String> {
    stream.iter().map(|e| format!("{:?} {:?}", e.id, e.pairs().collect::<Vec<_>>())).collect()
}

impl Capture for Taken {
    fn take(&self, db: DbIndex, entry: &Entry<'_>, stored: Stored<'_>, _: By) {
        let taken = ((db, entry.key.to_vec()), (value_of(&stored), entry.expiry));
        self.all.lock().unwrap().push(taken);
    }

    fn is_wanted(&self) -> bool {
        !self.given_up.load(Ordering::Relaxed)
    }

    fn begin(&self, key: &Ticket) {
        let id = (key.db, key.key.to_vec());
        let is_ordered = matches!(key.head, Head::List(_) | Head::Stream(_));
        let open = (id, (Vec::new(), key.expiry), is_ordered);
        assert!(self.open.lock().unwrap().replace(open).is_none(), "one key at a time");
    }

    fn part(&self, part: Part) {
        let mut open = self.open.lock().unwrap();
        let (_, (lines, _), _) = open.as_mut().unwrap();
        let mut add = |(name, content): (&[u8], &[u8])| {
            lines.push(format!("{name:?} {content:?}"));
        };
        match part {
            Part::Elements(copied) => copied.pairs().for_each(add),
            Part::Kept(kept) => kept.pairs().for_each(&mut add),
            Part::Pages(pages) => pages.iter().for_each(|page| {
                lines.extend(packed::iter(page).map(|e| format!("{:?}", e.to_vec())));
            }),
            Part::Blocks(blocks) => {
                let mut stream = Stream::new();
                for block in blocks {
                    assert!(stream.push_block(block), "blocks ascend");
                }
                lines.extend(stream_lines(&stream));
            }
            Part::Group(_) | Part::Pending(_) | Part::Remains(_) => {}
        }
    }

    fn end(&self) {
        let (id, (mut lines, expiry), is_ordered) = self.open.lock().unwrap().take().unwrap();
        if !is_ordered {
            lines.sort_unstable();
        }
        self.all.lock().unwrap().push((id, (lines, expiry)));
    }

    fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// The state in the words of the parts: contents of elements are bytes there.
fn in_parts(value: &Value) -> Option<Vec<String>> {
    let mut lines: Vec<String> = match value {
        Value::Hash(hash @ Hash::Table(_)) => hash
            .view()
            .iter(0)
            .map(|f| {
                let content = [&[0; 8][..], &f.value.to_vec()].concat();
                format!("{:?} {content:?}", f.name.to_vec())
            })
            .collect(),
        Value::Set(set @ Set::Table(_)) => {
            set.view().iter().map(|m| format!("{:?} []", m.to_vec())).collect()
        }
        Value::Zset(zset @ Zset::Tree(_)) => zset
            .view()
            .iter()
            .map(|e| format!("{:?} {:?}", e.member, e.score.to_le_bytes()))
            .collect(),
        _ => return None,
    };
    lines.sort_unstable();
    Some(lines)
}

fn state(shards: &Shards) -> State {
    let mut all = State::new();
    for shard in shards.lock_all().each() {
        for (index, db) in shard.dbs().iter().enumerate() {
            let mut cursor = 0;
            loop {
                cursor = db.scan(cursor, |entry| {
                    let stored = db.stored(&entry);
                    let lines = match stored {
                        Stored::Object(value) => in_parts(value),
                        Stored::Inline(..) => None,
                    };
                    let value = (lines.unwrap_or_else(|| value_of(&stored)), entry.expiry);
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
        return flush(shards, index);
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

fn flush(shards: &Shards, index: DbIndex) {
    for id in 0..shards.count() as ShardId {
        shards.visit(id, |shard| drop(shard.take_db(index)));
    }
}

/// A large collection of some type with about `size` elements.
fn collection(kind: u64, size: u64, rng: &mut Rng) -> Value {
    let mut value = match kind {
        0 => {
            let mut hash = Hash::new();
            hash.convert_to_table();
            Value::Hash(hash)
        }
        1 => {
            let mut set = Set::new();
            set.convert_to_table();
            Value::Set(set)
        }
        2 => Value::Zset(Zset::with_hint(usize::MAX, 0, &Limits::default())),
        3 => Value::List(List::new()),
        _ => Value::Stream(Box::default()),
    };
    (0..size).for_each(|_| grow(&mut value, rng));
    value
}

fn grow(value: &mut Value, rng: &mut Rng) {
    let limits = Limits::default();
    let n = rng.below(1000);
    let text = format!("element:{n}").into_bytes();
    match value {
        Value::Hash(hash) => {
            hash.set(&limits, &text, n.to_string().as_bytes(), 0);
        }
        Value::Set(set) => {
            let member = if n.is_multiple_of(2) { text } else { n.to_string().into_bytes() };
            set.add(&limits, &member);
        }
        Value::Zset(zset) => {
            zset.insert_or_update(rng.below(50) as f64, &text, &limits);
        }
        Value::List(list) => {
            let end = if n.is_multiple_of(2) { End::Front } else { End::Back };
            list.push(limits.list_page(), end, &text.repeat(20));
        }
        Value::Stream(stream) => {
            let id = StreamId::new(stream.last_id.ms + 1, 0);
            stream.append(id, &[b"field", &text], BlockLimit { bytes: 4096, entries: 20 });
        }
        Value::Str(_) | Value::Sketch(_) => {}
    }
}

fn shrink(value: &mut Value, rng: &mut Rng) {
    let limits = Limits::default();
    let text = format!("element:{}", rng.below(1000)).into_bytes();
    match value {
        Value::Hash(hash) => {
            hash.remove(&text, 0);
        }
        Value::Set(set) => drop(set.pop(|| rng.next_u64(), |_| ())),
        Value::Zset(zset) if rng.below(100) == 0 => {
            zset.remove_span(0..usize::MAX);
        }
        Value::Zset(zset) => {
            zset.remove(&text);
        }
        Value::List(list) => drop(list.pop(limits.list_page(), End::Front, |_| ())),
        Value::Stream(stream) => {
            let bound = Bound::Count(stream.len().saturating_sub(rng.below(30)));
            let (approximate, limit, references) = (false, 0, References::Keep);
            stream.trim(&Trim { bound, approximate, limit, references });
        }
        Value::Str(_) | Value::Sketch(_) => {}
    }
}

/// A change to one of a few large collections: of an element, of all of it, of its key.
fn change_large(shards: &Shards, rng: &mut Rng) {
    let names = [rng.below(12), rng.below(12)].map(|n| format!("large:{n}").into_bytes());
    let keys = [Key::new(&names[0]), Key::new(&names[1])];
    let indexes = [rng.below(2) as DbIndex, rng.below(2) as DbIndex];
    let mut locked = shards.lock_all();
    let db = locked.db_mut(indexes[0], keys[0]);
    let Some(slot) = db.find(keys[0]) else {
        let value = collection(rng.below(5), 1 + rng.below(400), rng);
        if !value.is_empty() {
            db.put(keys[0], None, NewValue::Whole(value), None, 0);
        }
        return;
    };
    match rng.below(40) {
        0 => drop(db.remove(slot)),
        1 => db.set_expiry(slot, Some(2_000_000_000_000 + rng.below(1000) as i64)),
        2 => drop(db.put(keys[0], Some(slot), NewValue::Raw(b"text"), None, 0)),
        3 | 4 => {
            let copy = db.copy(slot);
            let to = locked.db_mut(indexes[1], keys[1]);
            let slot = to.find(keys[1]);
            to.put(keys[1], slot, NewValue::Detached(copy), None, 0);
        }
        5..=9 => {
            // RENAME or MOVE.
            let (value, expiry, access) = db.detach(slot);
            let to = locked.db_mut(indexes[1], keys[1]);
            let slot = to.find(keys[1]);
            to.put(keys[1], slot, NewValue::Detached(value), expiry, access);
        }
        10 => {
            db.edit(slot, |value| {
                while !value.is_empty() && rng.below(1000) > 0 {
                    shrink(value, rng);
                }
            });
        }
        _ if db.text(&db.entry(slot)).is_some() => {}
        _ => {
            db.edit(slot, |value| {
                for _ in 0..rng.below(30) {
                    if rng.below(2) == 0 { grow(value, rng) } else { shrink(value, rng) }
                }
            });
        }
    }
}

fn begin(shards: &Shards) -> (Arc<Taken>, Walker) {
    let taken = Arc::new(Taken::default());
    let capture: Arc<dyn Capture> = Arc::clone(&taken) as Arc<dyn Capture>;
    (taken, cut(shards, &capture, || ()).0)
}

fn assert_holds(taken: &Taken, expected: &State, seed: u64) {
    let taken = taken.all.lock().unwrap();
    let captured: State = taken.iter().cloned().collect();
    assert_eq!(taken.len(), captured.len(), "each once (seed {seed})");
    for (id, content) in expected {
        assert!(captured.get(id) == Some(content), "as it was at the cut: {id:?} (seed {seed})");
    }
    assert_eq!(captured.len(), expected.len(), "no others (seed {seed})");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Small values, one snapshot after another.
    #[test]
    fn holds_exactly_the_cut(
        before in proptest::collection::vec((0u8..10, any::<u16>(), any::<u16>()), 0..800),
        during in proptest::collection::vec((0u8..10, any::<u16>(), any::<u16>()), 0..800),
        pace in 1usize..40,
    ) {
        let shards = Shards::new(64);
        for round in 0..3 {
            before.iter().for_each(|&what| change(&shards, what));
            let expected = state(&shards);
            let (taken, walker) = begin(&shards);
            let mut rest = during.iter();
            walker.walk(&shards, &|| 0, || {
                rest.by_ref().take(pace).for_each(|&what| change(&shards, what));
            });
            assert_holds(&taken, &expected, round);
        }
    }
}

/// Large collections that are changed, renamed, copied, deleted, overwritten, emptied and flushed between
/// the walker's steps; some snapshots are given up, and the next one is whole again.
#[test]
fn holds_large_collections_of_the_cut() {
    for seed in 0..150 {
        let mut rng = Rng::new(seed);
        let shards = Shards::new(64);
        (0..40).for_each(|_| change_large(&shards, &mut rng));
        for round in 0..4 {
            (0..40).for_each(|_| change_large(&shards, &mut rng));
            let expected = state(&shards);
            let (taken, walker) = begin(&shards);
            let pace = rng.below(4);
            let gives_up_after = if round == 1 { rng.below(200) } else { u64::MAX };
            // Changes before the walk begins open keys all over.
            (0..rng.below(40)).for_each(|_| change_large(&shards, &mut rng));
            let mut steps = 0;
            walker.walk(&shards, &|| 0, || {
                steps += 1;
                if steps == gives_up_after {
                    taken.give_up();
                }
                for _ in 0..rng.below(pace + 1) {
                    match rng.below(60) {
                        0 => flush(&shards, rng.below(2) as DbIndex),
                        1 => {
                            let mut locked = shards.lock_all();
                            locked.each_mut().for_each(|shard| shard.swap_dbs(0, 1));
                        }
                        _ => change_large(&shards, &mut rng),
                    }
                }
            });
            if steps < gives_up_after {
                assert!(taken.is_wanted(), "nothing was lost (seed {seed})");
                assert_holds(&taken, &expected, seed);
            }
            assert_eq!(walker.shared.open.load(Ordering::Relaxed), 0);
        }
    }
}

/// A value that is dropped with its ticket would make the file a lie: the snapshot is given up.
#[test]
fn a_lost_value_ends_the_snapshot() {
    let shards = Shards::new(64);
    let key = Key::new(b"large");
    let value = collection(0, 500, &mut Rng::new(1));
    shards.lock_one(shards.of(key.hash)).db_mut(0, key).put(
        key,
        None,
        NewValue::Whole(value),
        None,
        0,
    );
    let (taken, walker) = begin(&shards);
    {
        let mut locked = shards.lock_one(shards.of(key.hash));
        let db = locked.db_mut(0, key);
        let slot = db.find(key).unwrap();
        drop(db.detach(slot));
    }
    assert!(!taken.is_wanted());
    walker.walk(&shards, &|| 0, || ());
    assert!(taken.all.lock().unwrap().is_empty());
}
