//! Streams and groups against simple models, and the edges of blocks, trims and codecs.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

type Model = BTreeMap<StreamId, Vec<Vec<u8>>>;

const SMALL: BlockLimit = BlockLimit { bytes: 4096, entries: 4 };

fn id(ms: u64) -> StreamId {
    StreamId::new(ms, 0)
}

fn words(entry: &EntryRef<'_>) -> Vec<Vec<u8>> {
    entry.pairs().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]).collect()
}

fn numbered(count: u64, limit: BlockLimit) -> Stream {
    let mut stream = Stream::new();
    for n in 1..=count {
        assert!(stream.append(id(n), &[b"n", n.to_string().as_bytes()], limit));
    }
    stream
}

fn agrees(stream: &Stream, model: &Model) {
    assert_eq!(stream.len(), model.len() as u64);
    let found: Vec<_> = stream.iter().map(|entry| (entry.id, words(&entry))).collect();
    let expected: Vec<_> = model.iter().map(|(id, words)| (*id, words.clone())).collect();
    assert_eq!(found, expected);
    assert_eq!(stream.first_id(), model.keys().next().copied().unwrap_or(StreamId::MIN));
    assert!(stream.blocks().all(|block| block.live() > 0));
    assert_eq!(stream.blocks().map(Block::live).sum::<usize>(), model.len());
    let mut copy = Stream::new();
    for block in stream.blocks() {
        let bytes = block.listpack();
        assert_eq!(bytes.len(), block.listpack_bytes());
        let read = Block::from_listpack(block.master(), &bytes).expect("what it wrote is sound");
        assert!(copy.push_block(read));
    }
    assert!(copy.iter().map(|entry| (entry.id, words(&entry))).eq(found));
}

#[derive(Debug, Clone)]
enum Op {
    Add(u64, u64, Vec<(String, String)>),
    Delete(usize),
    Count(u64, bool, u64),
    From(usize, bool),
}

fn operation() -> impl Strategy<Value = Op> {
    let text = prop_oneof!["[a-c]{1,2}", "-?[0-9]{1,6}", "[x-z]{60,140}"];
    let pairs = prop_oneof![
        2 => prop::collection::vec(("[fg]", text.clone()), 1..4),
        3 => text.prop_map(|value| vec![("field".to_owned(), value)]),
    ];
    prop_oneof![
        6 => (0..3_u64, 0..3_u64, pairs).prop_map(|(ms, seq, pairs)| Op::Add(ms, seq, pairs)),
        3 => (0..40_usize).prop_map(Op::Delete),
        1 => (0..30_u64, any::<bool>(), 0..10_u64).prop_map(|(n, about, l)| Op::Count(n, about, l)),
        1 => (0..40_usize, any::<bool>()).prop_map(|(n, about)| Op::From(n, about)),
    ]
}

fn nth(model: &Model, n: usize) -> StreamId {
    model.keys().nth(n).copied().unwrap_or(id(n as u64))
}

/// What an exact trim leaves; an approximate one leaves at least that.
fn trim_model(model: &mut Model, bound: Bound) {
    match bound {
        Bound::Count(max) => {
            while model.len() as u64 > max {
                model.pop_first();
            }
        }
        Bound::From(id) => *model = model.split_off(&id),
    }
}

fn apply(stream: &mut Stream, model: &mut Model, op: &Op, limit: BlockLimit) {
    let trim = |stream: &mut Stream, model: &mut Model, bound, approximate, limit| {
        let before = stream.len();
        let trim = Trim { bound, approximate, limit, references: References::Keep };
        let trimmed = stream.trim(&trim);
        assert_eq!(trimmed.count, before - stream.len());
        let mut exact = model.clone();
        trim_model(&mut exact, bound);
        assert!(stream.len() >= exact.len() as u64);
        if approximate {
            assert!(limit == 0 || trimmed.count <= limit);
            trim_model(model, Bound::Count(stream.len()));
        } else {
            *model = exact;
        }
    };
    match op {
        Op::Add(ms, seq, pairs) => {
            let last = stream.last_id;
            let seq = if *ms == 0 { last.seq + seq } else { *seq };
            let new = StreamId::new(last.ms + ms, seq);
            let flat: Vec<&[u8]> =
                pairs.iter().flat_map(|(f, v)| [f.as_bytes(), v.as_bytes()]).collect();
            assert_eq!(stream.append(new, &flat, limit), new > last);
            if new > last {
                model.insert(new, flat.iter().map(|word| word.to_vec()).collect());
            }
        }
        Op::Delete(n) => {
            let id = nth(model, *n);
            assert_eq!(stream.delete(id), model.remove(&id).is_some());
        }
        Op::Count(max, about, limit) => trim(stream, model, Bound::Count(*max), *about, *limit),
        Op::From(n, approximate) => {
            let from = nth(model, *n);
            trim(stream, model, Bound::From(from), *approximate, 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn entries_agree_with_a_map(
        ops in prop::collection::vec(operation(), 0..120),
        entries in 0..9_usize,
        bytes in prop_oneof![Just(0_usize), 60..600_usize],
        (from, to) in (0..60_usize, 0..60_usize),
    ) {
        let limit = BlockLimit { bytes, entries };
        let (mut stream, mut model) = (Stream::new(), Model::new());
        for op in &ops {
            apply(&mut stream, &mut model, op, limit);
        }
        agrees(&stream, &model);
        let (start, end) = (nth(&model, from), nth(&model, to));
        let inside: Vec<_> = model.keys().copied().filter(|id| (start..=end).contains(id)).collect();
        let forward: Vec<_> = stream.range(start, end, Order::Ascending).map(|e| e.id).collect();
        let mut back: Vec<_> = stream.range(start, end, Order::Descending).map(|e| e.id).collect();
        back.reverse();
        prop_assert_eq!(&forward, &inside);
        prop_assert_eq!(&back, &inside);
        for (id, expected) in &model {
            prop_assert_eq!(&words(&stream.entry(*id).unwrap()), expected);
        }
        prop_assert_eq!(stream.last().map(|e| e.id), model.keys().next_back().copied());
    }

    #[test]
    fn groups_agree_with_a_map(
        ops in prop::collection::vec((0..6_u8, 0..20_u64, 0..4_u8, 0..50_i64), 0..150),
        indexed_after in 0..150_usize,
    ) {
        let mut group = Group::default();
        let mut model: BTreeMap<StreamId, (Option<u8>, i64, i64)> = BTreeMap::new();
        let name = |who: u8| [b'c', who];
        for (step, (op, entry, who, ms)) in ops.into_iter().enumerate() {
            let entry = id(entry);
            if step == indexed_after {
                group.oldest(0, 0);
            }
            match op {
                0..=2 => {
                    let (owner, _) = group.add_consumer(&name(who), ms);
                    let pending = Pending { delivered_ms: ms, deliveries: 1, owner: Some(owner) };
                    group.pend(entry, pending);
                    model.insert(entry, (Some(who), ms, 1));
                }
                3 => {
                    group.pend(entry, Pending { delivered_ms: 0, deliveries: 9, owner: None });
                    model.insert(entry, (None, 0, 9));
                }
                4 => prop_assert_eq!(group.acknowledge(entry), model.remove(&entry).is_some()),
                _ => {
                    let before = model.len();
                    model.retain(|_, (owner, _, _)| *owner != Some(who));
                    let gone = group.remove_consumer(&name(who)).unwrap_or(0);
                    prop_assert_eq!(gone, before - model.len());
                }
            }
        }
        let all: Vec<_> = group
            .pending_in(StreamId::MIN..=StreamId::MAX)
            .map(|(id, p)| {
                let who = p.owner.map(|owner| group.consumer(owner).unwrap().name()[1]);
                (id, (who, p.delivered_ms, p.deliveries))
            })
            .collect();
        prop_assert_eq!(all, model.iter().map(|(id, p)| (*id, *p)).collect::<Vec<_>>());
        for (_, consumer) in group.consumers() {
            let who = consumer.name()[1];
            let own = model.iter().filter(|(_, p)| p.0 == Some(who)).map(|(id, _)| *id);
            prop_assert!(consumer.pending_from(StreamId::MIN).eq(own));
        }
        let mut due: Vec<_> =
            model.iter().filter(|(_, p)| p.1 <= 25).map(|(id, p)| (p.1, *id)).collect();
        due.sort_unstable();
        let due: Vec<_> = due.into_iter().map(|(_, id)| id).collect();
        prop_assert_eq!(&group.oldest(25, usize::MAX), &due);
        prop_assert_eq!(group.oldest(25, 2), due[..due.len().min(2)].to_vec());
    }

    #[test]
    fn broken_blocks_are_refused_without_a_panic(
        count in 1..6_u64,
        flips in prop::collection::vec((0..200_usize, any::<u8>()), 1..4),
        cut in 0..200_usize,
    ) {
        let stream = numbered(count, SMALL);
        let block = stream.blocks().next().unwrap();
        let mut bytes = block.listpack();
        for (at, with) in flips {
            let at = at % bytes.len();
            bytes[at] ^= with;
        }
        if let Some(read) = Block::from_listpack(block.master(), &bytes) {
            let mut copy = Stream::new();
            copy.push_block(read);
            copy.iter().for_each(|e| drop(words(&e)));
            let _ = copy.range(id(2), id(3), Order::Descending).count();
        }
        bytes.truncate(cut);
        let _ = Block::from_listpack(block.master(), &bytes);
    }
}

#[test]
fn trims_leave_what_the_peers_leave() {
    let about =
        |bound, limit| Trim { bound, approximate: true, limit, references: References::Keep };
    let left = |trim: Trim| {
        let mut stream = numbered(10, SMALL);
        stream.trim(&trim);
        (stream.len(), stream.first_id().ms)
    };
    assert_eq!(left(about(Bound::Count(5), 0)), (6, 5));
    assert_eq!(left(about(Bound::Count(6), 0)), (6, 5));
    assert_eq!(left(about(Bound::Count(2), 0)), (2, 9));
    assert_eq!(left(about(Bound::Count(0), 5)), (6, 5));
    assert_eq!(left(about(Bound::Count(0), 3)), (10, 1));
    assert_eq!(left(about(Bound::From(id(5)), 0)), (6, 5));
    assert_eq!(left(about(Bound::From(id(4)), 0)), (10, 1));
    let exact = Trim { approximate: false, ..about(Bound::Count(3), 0) };
    assert_eq!(left(exact), (3, 8));
    assert_eq!(left(Trim { bound: Bound::Count(0), ..exact }), (0, 0));
}

#[test]
fn references_are_kept_removed_or_respected() {
    for references in [References::Keep, References::Remove, References::Respect] {
        let mut stream = numbered(10, SMALL);
        let mut group = Group::new(id(8), None);
        let (owner, _) = group.add_consumer(b"c", 0);
        for n in [2, 3, 7] {
            let owner = Some(owner);
            group.pend(id(n), Pending { delivered_ms: 1, deliveries: 1, owner });
        }
        stream.add_group(b"g", group);
        let bound = Bound::From(id(10));
        let trim = Trim { bound, approximate: false, limit: 0, references };
        stream.trim(&trim);
        let ids: Vec<u64> = stream.iter().map(|entry| entry.id.ms).collect();
        let pending = stream.group(b"g").unwrap().pending_count();
        match references {
            References::Keep => assert_eq!((&ids[..], pending), (&[10][..], 3)),
            References::Remove => assert_eq!((&ids[..], pending), (&[10][..], 0)),
            References::Respect => assert_eq!((&ids[..], pending), (&[2, 3, 7, 9, 10][..], 3)),
        }
    }
}

#[test]
fn a_trim_with_respect_equals_an_exact_one_by_id() {
    for (max, approximate) in (0..12).flat_map(|max| [(max, true), (max, false)]) {
        let make = || {
            let mut stream = numbered(10, SMALL);
            let mut group = Group::new(id(10), None);
            group.pend(id(6), Pending { delivered_ms: 0, deliveries: 1, owner: None });
            stream.add_group(b"g", group);
            stream
        };
        let (mut about, mut exact) = (make(), make());
        let references = References::Respect;
        let bound = Bound::Count(max);
        let did = about.trim(&Trim { bound, approximate, limit: 0, references });
        let bound = Bound::From(did.looked_before.unwrap());
        exact.trim(&Trim { bound, approximate: false, limit: 0, references });
        assert!(about.iter().map(|e| e.id).eq(exact.iter().map(|e| e.id)), "{max}");
        assert!(about.contains(id(6)));
    }
}

#[test]
fn counters() {
    let mut stream = numbered(5, SMALL);
    let mut group = Group::new(StreamId::MIN, Some(0));
    assert_eq!(stream.lag(&group), Some(5));
    for n in 1..=3 {
        group.entries_read = stream.advance(group.entries_read, group.last_id, id(n));
        group.last_id = id(n);
    }
    assert_eq!((group.entries_read, stream.lag(&group)), (Some(3), Some(2)));
    assert_eq!(stream.count_up_to(id(5)), Some(5));
    assert_eq!(stream.count_up_to(id(9)), None);
    assert!(stream.delete(id(4)));
    assert_eq!((stream.lag(&group), stream.max_deleted_id), (None, id(4)));
    assert_eq!((stream.len(), stream.entries_added), (4, 5));
    assert!(!stream.append(id(5), &[b"a", b"b"], SMALL));
    assert_eq!(stream.next_id(7), Some(id(7)));
    assert_eq!(stream.next_id(5), Some(StreamId::new(5, 1)));
    stream.last_id = StreamId::MAX;
    assert_eq!(stream.next_id(7), None);
}

/// About 16 bytes for an entry of two small fields: notes/engine.md 6.1.
#[test]
fn memory_of_many_entries() {
    let mut stream = Stream::new();
    let limit = BlockLimit { bytes: 4096, entries: 100 };
    for n in 0..20_000_u64 {
        let value = n.to_string();
        let pairs: [&[u8]; 4] = [b"field1", value.as_bytes(), b"field2", b"7"];
        assert!(stream.append(StreamId::new(1_700_000_000_000 + n, 0), &pairs, limit));
    }
    assert_eq!(stream.blocks().len(), 200);
    let each = stream.heap_bytes() / 20_000;
    assert!((14..=18).contains(&each), "{each}");
}
