//! Captures against models: whatever is done to a collection between two steps, the parts together are the
//! collection as it was at the beginning, each element once, and the collection itself goes on as ever.

use std::collections::BTreeMap;

use ochre_base::rng::Rng;

use super::*;
use crate::limits::Limits;
use crate::list::{End, Side};
use crate::packed;
use crate::stream::{BlockLimit, Bound, Group, References, Stream, Trim};
use crate::zset::{Entry, Order};

/// Trials of each type; each begins with its number as the seed.
const TRIALS: u64 = 300;

/// One type's values, as a trial needs them.
trait Subject: Sized {
    /// What a value is to hold.
    type Model: Clone + PartialEq + std::fmt::Debug;
    /// One random change to the value and its model.
    fn change(value: &mut Value, model: &mut Self::Model, rng: &mut Rng);
    /// What the value holds.
    fn content(value: &Value) -> Self::Model;
    /// What was captured; panics when an element comes twice.
    fn captured(head: &Head, parts: &[Part]) -> Self::Model;
}

/// Captures a value up to four times while it changes; some captures are given up.
fn trial<S: Subject>(seed: u64, empty: Value, mut model: S::Model) {
    let mut rng = Rng::new(seed);
    let mut value = empty;
    let size = [30, 300, 1500][rng.below(3) as usize];
    for round in 0..4 {
        for _ in 0..rng.below(size) {
            S::change(&mut value, &mut model, &mut rng);
        }
        let expected = model.clone();
        let Some(head) = value.begin_capture() else { continue };
        let pace = 1 + rng.below(size / 3);
        let gives_up_after = if round == 2 { rng.below(8) } else { u64::MAX };
        let (mut parts, mut steps) = (Vec::new(), 0);
        loop {
            if steps == gives_up_after {
                drop(value.end_capture());
                break;
            }
            for _ in 0..rng.below(pace) {
                S::change(&mut value, &mut model, &mut rng);
            }
            if rng.below(8) == 0 {
                // A copy has no capture, and does not disturb the one of its original.
                let copy = value.duplicate();
                assert_eq!(S::content(&copy), model, "seed {seed}: the copy");
            }
            let step = value.capture_step();
            parts.extend(step.parts);
            steps += 1;
            if step.is_last {
                assert_eq!(S::captured(&head, &parts), expected, "seed {seed}, round {round}");
                break;
            }
        }
        assert_eq!(S::content(&value), model, "seed {seed}, round {round}: the value itself");
    }
}

fn pairs_of(parts: &[Part]) -> impl Iterator<Item = Pair<'_>> {
    parts.iter().flat_map(|part| -> Box<dyn Iterator<Item = Pair<'_>>> {
        match part {
            Part::Elements(copied) => Box::new(copied.pairs()),
            Part::Kept(kept) => Box::new(kept.pairs()),
            Part::Remains(_) => Box::new(std::iter::empty()),
            other => panic!("{other:?} is no part of such a value"),
        }
    })
}

/// Elements by name, each of which must come once.
fn unique<C>(pairs: impl Iterator<Item = (Vec<u8>, C)>) -> BTreeMap<Vec<u8>, C> {
    let mut all = BTreeMap::new();
    for (name, content) in pairs {
        let shown = String::from_utf8_lossy(&name).into_owned();
        assert!(all.insert(name, content).is_none(), "{shown} came twice");
    }
    all
}

struct OfHash;

impl Subject for OfHash {
    type Model = BTreeMap<Vec<u8>, (u64, Vec<u8>)>;

    fn change(value: &mut Value, model: &mut Self::Model, rng: &mut Rng) {
        let Value::Hash(hash) = value else { panic!("a hash") };
        let limits = Limits::default();
        let name = format!("field:{}", rng.below(2000)).into_bytes();
        let text = vec![b'v'; rng.below(40) as usize];
        match rng.below(10) {
            0..=4 => {
                hash.set(&limits, &name, &text, 0);
                model.insert(name, (0, text));
            }
            5 => {
                hash.set_keeping_expiry(&limits, &name, &text, 0);
                let expiry = model.get(&name).map_or(0, |field| field.0);
                model.insert(name, (expiry, text));
            }
            6 => {
                let at = 1 + rng.below(1000);
                hash.set_expiry(&name, at);
                model.entry(name).and_modify(|field| field.0 = at);
            }
            7 if rng.below(20) == 0 => {
                let now = rng.below(300);
                hash.take_expired(now, usize::MAX, |_| ());
                model.retain(|_, (at, _)| *at == 0 || *at >= now);
            }
            8 if rng.below(50) == 0 => hash.compact(),
            9 if rng.below(100) == 0 => {
                // Segments of the table merge.
                for (name, _) in model.extract_if(.., |_, _| rng.below(12) > 0) {
                    hash.remove(&name, 0);
                }
            }
            _ => {
                hash.remove(&name, 0);
                model.remove(&name);
            }
        }
    }

    fn content(value: &Value) -> Self::Model {
        let Value::Hash(hash) = value else { panic!("a hash") };
        let fields = hash.view().iter(0);
        unique(fields.map(|field| {
            (field.name.to_vec(), (field.expire_at_ms.unwrap_or(0), field.value.to_vec()))
        }))
    }

    fn captured(head: &Head, parts: &[Part]) -> Self::Model {
        let all = unique(pairs_of(parts).map(|(name, content)| {
            let (expiry, value) = field_content(content);
            (name.to_vec(), (expiry, value.to_vec()))
        }));
        let Head::Hash { len, earliest } = head else { panic!("a hash") };
        assert_eq!(*len, all.len());
        let least = all.values().map(|field| field.0).filter(|at| *at > 0).min();
        assert_eq!(earliest.is_some(), least.is_some());
        assert!(*earliest <= least, "a lower bound");
        all
    }
}

#[test]
fn hashes() {
    for seed in 0..TRIALS {
        let mut hash = Hash::new();
        hash.convert_to_table();
        trial::<OfHash>(seed, Value::Hash(hash), BTreeMap::new());
    }
}

struct OfSet;

impl Subject for OfSet {
    type Model = BTreeMap<Vec<u8>, ()>;

    fn change(value: &mut Value, model: &mut Self::Model, rng: &mut Rng) {
        let Value::Set(set) = value else { panic!("a set") };
        let n = rng.below(1500);
        let member = match n % 3 {
            0 => n.to_string(),
            // Beyond the integers that lie in the table itself.
            1 => (n + 10_000_000_000).to_string(),
            _ => format!("member:{n}"),
        };
        let member = member.into_bytes();
        match rng.below(10) {
            0..=5 => {
                set.add(&Limits::default(), &member);
                model.insert(member, ());
            }
            6 => {
                let popped = set.pop(|| rng.next_u64(), |entry| entry.to_vec());
                popped.map(|member| model.remove(&member));
            }
            7 if rng.below(50) == 0 => set.compact(),
            8 if rng.below(100) == 0 => {
                for (member, ()) in model.extract_if(.., |_, _| rng.below(12) > 0) {
                    set.remove(&member);
                }
            }
            _ => {
                set.remove(&member);
                model.remove(&member);
            }
        }
    }

    fn content(value: &Value) -> Self::Model {
        let Value::Set(set) = value else { panic!("a set") };
        unique(set.view().iter().map(|member| (member.to_vec(), ())))
    }

    fn captured(head: &Head, parts: &[Part]) -> Self::Model {
        let all = unique(pairs_of(parts).map(|(name, _)| (name.to_vec(), ())));
        assert!(matches!(head, Head::Set(len) if *len == all.len()));
        all
    }
}

#[test]
fn sets() {
    for seed in 0..TRIALS {
        let mut set = Set::new();
        set.convert_to_table();
        trial::<OfSet>(seed, Value::Set(set), BTreeMap::new());
    }
}

struct OfZset;

impl Subject for OfZset {
    type Model = BTreeMap<Vec<u8>, f64>;

    fn change(value: &mut Value, model: &mut Self::Model, rng: &mut Rng) {
        let Value::Zset(zset) = value else { panic!("a sorted set") };
        let member = format!("member:{}", rng.below(1500)).into_bytes();
        let score = rng.below(100) as f64 / 3.0;
        match rng.below(200) {
            0..=149 => {
                zset.insert_or_update(score, &member, &Limits::default());
                model.insert(member, score);
            }
            150..=154 => {
                let order = if rng.below(2) == 0 { Order::Ascending } else { Order::Descending };
                let count = rng.below(60) as usize;
                zset.pop(count, order, |entry| {
                    model.remove(entry.member);
                });
            }
            155 => {
                zset.remove_span(0..usize::MAX);
                model.clear();
            }
            156 => zset.compact(),
            _ => {
                zset.remove(&member);
                model.remove(&member);
            }
        }
    }

    fn content(value: &Value) -> Self::Model {
        let Value::Zset(zset) = value else { panic!("a sorted set") };
        unique(zset.view().iter().map(|entry| (entry.member.to_vec(), entry.score)))
    }

    fn captured(head: &Head, parts: &[Part]) -> Self::Model {
        let all = pairs_of(parts)
            .map(|(member, content)| (member.to_vec(), score_content(content)))
            .collect::<Vec<_>>();
        let walked: usize = parts
            .iter()
            .map(|part| if let Part::Elements(copied) = part { copied.pairs().count() } else { 0 })
            .sum();
        let entries = all[..walked].iter().map(|(member, score)| Entry { member, score: *score });
        assert!(entries.is_sorted_by(|a, b| a.order(b).is_gt()), "from the highest down");
        let all = unique(all.into_iter());
        assert!(matches!(head, Head::Zset(len) if *len == all.len()));
        all
    }
}

#[test]
fn sorted_sets() {
    for seed in 0..TRIALS {
        let zset = Zset::with_hint(usize::MAX, 0, &Limits::default());
        trial::<OfZset>(seed, Value::Zset(zset), BTreeMap::new());
    }
}

struct OfList;

impl Subject for OfList {
    type Model = Vec<Vec<u8>>;

    fn change(value: &mut Value, model: &mut Self::Model, rng: &mut Rng) {
        let Value::List(list) = value else { panic!("a list") };
        let limit = crate::limits::PageLimit { bytes: 200, count: 20 };
        let text = format!("element:{}", rng.below(50)).into_bytes();
        let at = rng.below(model.len() as u64 + 1) as usize;
        match rng.below(40) {
            0..=9 => {
                list.push(limit, End::Back, &text);
                model.push(text);
            }
            10..=17 => {
                list.push(limit, End::Front, &text);
                model.insert(0, text);
            }
            18..=22 => {
                let popped = list.pop(limit, End::Front, |entry| entry.to_vec());
                assert_eq!(popped.is_some(), !model.is_empty());
                model.drain(..model.len().min(1));
            }
            23..=26 => {
                list.pop(limit, End::Back, |_| ());
                model.pop();
            }
            27..=30 if list.set(limit, at, &text) => model[at] = text,
            31..=34 => {
                let pivot = format!("element:{}", rng.below(50)).into_bytes();
                list.insert(limit, Side::After, &pivot, &text);
                if let Some(i) = model.iter().position(|element| *element == pivot) {
                    model.insert(i + 1, text);
                }
            }
            35 | 36 => {
                let most = 1 + rng.below(3) as usize;
                list.remove(limit, End::Front, &text, most);
                for _ in 0..most {
                    if let Some(i) = model.iter().position(|element| *element == text) {
                        model.remove(i);
                    }
                }
            }
            37 if rng.below(3) == 0 => {
                list.remove(limit, End::Back, &text, 0);
                model.retain(|element| *element != text);
            }
            38 if rng.below(10) == 0 => {
                let count = rng.below(model.len() as u64 + 1) as usize;
                list.trim(limit, at, count);
                *model = model.iter().skip(at).take(count).cloned().collect();
            }
            _ => {}
        }
    }

    fn content(value: &Value) -> Self::Model {
        let Value::List(list) = value else { panic!("a list") };
        list.iter().map(|entry| entry.to_vec()).collect()
    }

    fn captured(head: &Head, parts: &[Part]) -> Self::Model {
        let (mut all, mut pages) = (Vec::new(), 0);
        for part in parts {
            let Part::Pages(given) = part else { continue };
            for page in given {
                pages += 1;
                all.extend(packed::iter(page).map(|entry| entry.to_vec()));
            }
        }
        assert!(matches!(head, Head::List(total) if *total == pages));
        all
    }
}

#[test]
fn lists() {
    for seed in 0..4 * TRIALS {
        trial::<OfList>(seed, Value::List(List::new()), Vec::new());
    }
}

/// A stream as text: its entries, counters, groups, pending entries and consumers.
#[derive(Clone, PartialEq, Debug, Default)]
struct StreamText {
    entries: Vec<String>,
    rest: Vec<String>,
}

struct OfStream;

fn entries_of(stream: &Stream) -> impl Iterator<Item = String> {
    stream.iter().map(|entry| format!("{:?}", (entry.id, entry.pairs().collect::<Vec<_>>())))
}

fn counters(head: &StreamHead) -> String {
    format!("{:?}", (head.len, head.last_id, head.max_deleted_id, head.entries_added))
}

fn pending_text(group: &[u8], id: StreamId, pending: &Pending) -> String {
    format!("{group:?} {id:?} {pending:?}")
}

fn stream_content(stream: &Stream) -> StreamText {
    let head = (stream.len(), stream.last_id, stream.max_deleted_id, stream.entries_added);
    let mut rest = vec![format!("{head:?}")];
    for (name, group) in stream.groups() {
        rest.push(format!("{name:?} {:?} {:?}", group.last_id, group.entries_read));
        for (id, consumer) in group.consumers() {
            let times = (consumer.seen_ms, consumer.active_ms);
            rest.push(format!("{name:?} {id:?} {:?} {times:?}", consumer.name()));
        }
        for (id, pending) in group.pending_in(StreamId::MIN..=StreamId::MAX) {
            rest.push(pending_text(name, id, pending));
        }
    }
    StreamText { entries: entries_of(stream).collect(), rest }
}

fn change_group(group: &mut Group, id: StreamId, rng: &mut Rng) {
    let name = format!("consumer:{}", rng.below(4)).into_bytes();
    match rng.below(12) {
        0 => {
            group.remove_consumer(&name);
        }
        1..=7 => {
            let (owner, _) = group.add_consumer(&name, rng.below(9) as i64);
            let owner = (rng.below(9) > 0).then_some(owner);
            group.last_id = id;
            group.pend(id, Pending { delivered_ms: rng.below(9) as i64, deliveries: 1, owner });
        }
        _ => {
            group.acknowledge(id);
        }
    }
}

impl Subject for OfStream {
    type Model = StreamText;

    fn change(value: &mut Value, model: &mut Self::Model, rng: &mut Rng) {
        let Value::Stream(stream) = value else { panic!("a stream") };
        let limit = BlockLimit { bytes: 1000, entries: 10 };
        let id = StreamId::new(rng.below(stream.last_id.ms + 1), 0);
        let text = rng.below(1000).to_string().into_bytes();
        let trim =
            |bound, approximate, references| Trim { bound, approximate, limit: 0, references };
        match rng.below(60) {
            0..=29 => {
                let next = StreamId::new(stream.last_id.ms + 1, 0);
                stream.append(next, &[b"field", &text], limit);
            }
            30..=34 => {
                stream.delete(id);
            }
            35 => {
                let keep = rng.below(stream.len() + 1);
                stream.trim(&trim(Bound::Count(keep), rng.below(2) == 0, References::Keep));
            }
            36 => {
                stream.trim(&trim(Bound::From(id), false, References::Remove));
            }
            37 if stream.len() == 0 => stream.last_id = id,
            38 => {
                let name = [b'a' + rng.below(3) as u8];
                if rng.below(3) == 0 {
                    stream.remove_group(&name);
                } else {
                    stream.add_group(&name, Group::new(id, None));
                }
            }
            _ => {
                let name = [b'a' + rng.below(3) as u8];
                if let Some(group) = stream.group_mut(&name) {
                    change_group(group, id, rng);
                }
            }
        }
        *model = stream_content(stream);
    }

    fn content(value: &Value) -> Self::Model {
        let Value::Stream(stream) = value else { panic!("a stream") };
        stream_content(stream)
    }

    fn captured(head: &Head, parts: &[Part]) -> Self::Model {
        let Head::Stream(head) = head else { panic!("a stream") };
        let mut stream = Stream::new();
        let (mut blocks, mut rest) = (0, vec![counters(head)]);
        let (mut groups, mut left, mut group) = (0, 0, Vec::new());
        for part in parts {
            match part {
                Part::Blocks(given) => {
                    blocks += given.len();
                    for block in given {
                        assert!(stream.push_block(block.clone()), "blocks ascend");
                    }
                }
                Part::Group(head) => {
                    assert_eq!(left, 0, "all pending entries of the group before");
                    (groups, left, group) = (groups + 1, head.pending, head.name.to_vec());
                    rest.push(format!("{group:?} {:?} {:?}", head.last_id, head.entries_read));
                    for consumer in &head.consumers {
                        let ConsumerHead { id, name, seen_ms, active_ms } = consumer;
                        let times = (seen_ms, active_ms);
                        rest.push(format!("{group:?} {id:?} {name:?} {times:?}"));
                    }
                }
                Part::Pending(given) => {
                    left -= given.len();
                    rest.extend(given.iter().map(|(id, p)| pending_text(&group, *id, p)));
                }
                _ => {}
            }
        }
        assert_eq!((blocks, groups, left), (head.blocks, head.groups, 0));
        assert_eq!(stream.first_id(), head.first_id);
        StreamText { entries: entries_of(&stream).collect(), rest }
    }
}

#[test]
fn streams() {
    for seed in 0..TRIALS / 4 {
        let model = stream_content(&Stream::new());
        trial::<OfStream>(seed, Value::Stream(Box::default()), model);
    }
}

/// What a capture holds is counted, and all of it comes back.
#[test]
fn captures_leave_nothing_behind() {
    let mut hash = Hash::new();
    let limits = Limits { hash_max_listpack_entries: 0, ..Limits::default() };
    for n in 0..5000 {
        hash.set(&limits, format!("field:{n}").as_bytes(), b"value", 0);
    }
    let mut value = Value::Hash(hash);
    let before = value.heap_bytes();
    for gives_up in [false, true] {
        assert!(value.begin_capture().is_some());
        drop(value.capture_step());
        let Value::Hash(hash) = &mut value else { panic!("a hash") };
        for n in 0..5000 {
            hash.set(&limits, format!("field:{n}").as_bytes(), b"other", 0);
        }
        if gives_up {
            assert_eq!(value.end_capture().len(), 1);
        } else {
            while !value.capture_step().is_last {}
        }
        assert_eq!(value.heap_bytes(), before);
        assert!(value.end_capture().is_empty(), "no capture is left");
    }
}
