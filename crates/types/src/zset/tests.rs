//! The sorted set against a sorted `Vec`: tiny nodes with every structure checked after each
//! operation, both forms through every read operation, conversions, memory.

use super::*;
use crate::arena::Ref;
use crate::limits::Limits;
use ochre_base::rng::Rng;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;

type Tiny = ZsetTree<4, 4>;

/// The simple model: entries in order.
#[derive(Clone, Debug, Default)]
struct Model(Vec<(f64, Vec<u8>)>);

impl Model {
    fn position(&self, member: &[u8]) -> Option<usize> {
        self.0.iter().position(|(_, m)| m == member)
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        self.position(member).map(|at| self.0[at].0)
    }

    fn put(&mut self, score: f64, member: &[u8]) -> Change {
        let old = self.score(member);
        if old == Some(score) {
            return Change::Unchanged;
        }
        self.remove(member);
        let key = (score, member.to_vec());
        let at = self.0.partition_point(|e| e.partial_cmp(&key) == Some(std::cmp::Ordering::Less));
        self.0.insert(at, key);
        if old.is_some() { Change::Updated } else { Change::Added }
    }

    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.position(member).map(|at| self.0.remove(at).0)
    }

    fn remove_span(&mut self, span: Range<usize>) -> usize {
        let end = span.end.min(self.0.len());
        self.0.drain(span.start.min(end)..end).count()
    }

    fn count(&self, of: impl Fn(&(f64, Vec<u8>)) -> bool) -> usize {
        self.0.iter().filter(|entry| of(entry)).count()
    }
}

fn owned<'a>(entries: impl Iterator<Item = Entry<'a>>) -> Vec<(f64, Vec<u8>)> {
    entries.map(|entry| (entry.score, entry.member.to_vec())).collect()
}

/// Few scores, so that ties are common; sums of prefixes that tie and scores that do not.
fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3i32..4).prop_map(f64::from),
        2 => (0u32..40).prop_map(|n| 1.7e12 + f64::from(n)),
        2 => (0u32..40).prop_map(|n| f64::from(n) / 7.0),
        1 => prop::sample::select(vec![
            -0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 5e-324, 40_000.0,
            -3e9, 2e18,
        ]),
    ]
}

/// A small space of members, some of them long, some prefixes of others.
fn member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        5 => (0u8..60).prop_map(|n| format!("m{n}").into_bytes()),
        2 => prop::collection::vec(prop::sample::select(vec![0u8, b'a', 0xFF]), 0..4),
        1 => (60usize..70).prop_map(|n| vec![b'x'; n]),
        1 => (1usize..4).prop_map(|n| vec![b'y'; n * 700]),
    ]
}

fn score_range() -> impl Strategy<Value = ScoreRange> {
    (score(), any::<bool>(), score(), any::<bool>()).prop_map(|(a, open_a, b, open_b)| ScoreRange {
        min: ScoreBound { value: a, exclusive: open_a },
        max: ScoreBound { value: b, exclusive: open_b },
    })
}

#[derive(Clone, Debug)]
enum Op {
    Put(f64, Vec<u8>),
    /// Moves a member a little, or not at all in rank.
    Nudge(usize, f64),
    Remove(Vec<u8>),
    RemoveAt(usize),
    RemoveSpan(usize, usize),
    RemoveByScore(ScoreRange),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => (score(), member()).prop_map(|(s, m)| Op::Put(s, m)),
        4 => (0usize..60, prop::sample::select(vec![0.25, -0.25, 1.0, -1.0, 33_000.0]))
            .prop_map(|(rank, by)| Op::Nudge(rank, by)),
        3 => member().prop_map(Op::Remove),
        3 => (0usize..60).prop_map(Op::RemoveAt),
        1 => (0usize..60, 0usize..12).prop_map(|(start, n)| Op::RemoveSpan(start, n)),
        1 => score_range().prop_map(Op::RemoveByScore),
    ]
}

/// What both the tiny tree and the whole value can do.
trait Subject {
    fn put(&mut self, score: f64, member: &[u8]) -> Change;
    fn remove(&mut self, member: &[u8]) -> Option<f64>;
    fn remove_span(&mut self, span: Range<usize>) -> usize;
    fn score_span(&self, range: &ScoreRange) -> Range<usize>;
}

impl Subject for Tiny {
    fn put(&mut self, score: f64, member: &[u8]) -> Change {
        self.insert_or_update(score, member)
    }
    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.remove(member)
    }
    fn remove_span(&mut self, span: Range<usize>) -> usize {
        self.remove_span(span)
    }
    fn score_span(&self, range: &ScoreRange) -> Range<usize> {
        self.score_span(range)
    }
}

struct Limited(Zset, Limits);

impl Subject for Limited {
    fn put(&mut self, score: f64, member: &[u8]) -> Change {
        self.0.insert_or_update(score, member, &self.1)
    }
    fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.0.remove(member)
    }
    fn remove_span(&mut self, span: Range<usize>) -> usize {
        self.0.remove_span(span)
    }
    fn score_span(&self, range: &ScoreRange) -> Range<usize> {
        self.0.view().score_span(range)
    }
}

/// Applies `op` to both and compares the answers.
fn apply(subject: &mut impl Subject, model: &mut Model, op: &Op) {
    match op {
        Op::Put(score, member) => {
            assert_eq!(subject.put(*score, member), model.put(*score, member));
        }
        Op::Nudge(rank, by) => {
            if let Some((score, member)) = model.0.get(*rank).cloned() {
                let to = score + by;
                assert_eq!(subject.put(to, &member), model.put(to, &member));
            }
        }
        Op::Remove(member) => assert_eq!(subject.remove(member), model.remove(member)),
        Op::RemoveAt(rank) => {
            if let Some((_, member)) = model.0.get(*rank).cloned() {
                assert_eq!(subject.remove(&member), model.remove(&member));
            }
        }
        Op::RemoveSpan(start, n) => {
            let span = *start..start + n;
            assert_eq!(subject.remove_span(span.clone()), model.remove_span(span));
        }
        Op::RemoveByScore(range) => {
            let span = subject.score_span(range);
            assert_eq!(span.len(), model.count(|e| range.contains(e.0)));
            assert_eq!(subject.remove_span(span.clone()), span.len());
            model.0.retain(|e| !range.contains(e.0));
        }
    }
}

/// Everything a tree promises of itself, and that it holds what the model holds.
fn check_tree<const L: usize, const F: usize>(set: &ZsetTree<L, F>, model: &Model) {
    let (slots, _) = set.check_slots();
    assert_eq!(set.len(), model.0.len());
    let mut live = 0;
    for (slot, (score, member)) in slots.iter().zip(&model.0) {
        let (entry, size) = entry::read(set.block(slot.at));
        assert_eq!((entry.score, entry.member), (*score, member.as_slice()));
        assert_eq!(slot.prefix, entry::prefix(*score));
        assert_eq!(set.score(member), Some(*score));
        live += crate::arena::Arena::usable(size);
    }
    assert_eq!(set.live_bytes(), live, "no block is lost");
    let refs: BTreeSet<Ref> = slots.iter().map(|slot| slot.at).collect();
    let mut scanned = BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = set.scan(cursor, |entry| {
            scanned.insert(entry.member.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!((refs.len(), scanned.len()), (model.0.len(), model.0.len()));
    if model.0.is_empty() {
        assert_eq!(set.heap_bytes(), 0);
    }
}

/// Every read operation of the view against the model.
fn check_view(set: ZsetRef<'_>, model: &Model, ranges: &[ScoreRange], rng: &mut Rng) {
    let (len, all) = (model.0.len(), &model.0);
    assert_eq!((set.len(), set.is_empty()), (len, len == 0));
    assert_eq!(owned(set.iter()), *all);
    assert_eq!(owned(set.first().into_iter().chain(set.last())).len(), len.min(1) * 2);
    for (rank, (score, member)) in all.iter().enumerate() {
        assert_eq!(set.score(member), Some(*score));
        assert_eq!(set.rank(member, Order::Ascending), Some((rank, *score)));
        assert_eq!(set.rank(member, Order::Descending), Some((len - 1 - rank, *score)));
        assert_eq!(set.at_rank(rank), Some(Entry { member, score: *score }));
    }
    assert_eq!(set.at_rank(len), None);
    assert_eq!((set.score(b"absent"), set.rank(b"absent", Order::Ascending)), (None, None));
    for range in ranges {
        let span = set.score_span(range);
        assert_eq!(span.len(), model.count(|e| range.contains(e.0)), "{range:?}");
        let expected: Vec<_> = all.iter().filter(|e| range.contains(e.0)).cloned().collect();
        assert_eq!(owned(set.iter_span(span, Order::Ascending)), expected);
    }
    for _ in 0..4 {
        let (start, n) = (rng.below(len as u64 + 3) as usize, rng.below(len as u64 + 3) as usize);
        let up: Vec<_> = all.iter().skip(start).take(n).cloned().collect();
        let down: Vec<_> = all.iter().rev().skip(start).take(n).cloned().collect();
        let iter = set.iter_from(start, n, Order::Ascending);
        assert_eq!(iter.len(), up.len());
        assert_eq!(owned(iter), up);
        let iter = set.iter_from(start, n, Order::Descending);
        assert_eq!(iter.len(), down.len());
        assert_eq!(owned(iter), down);
        let mut sample = Vec::new();
        set.sample_distinct(n, rng, |e| sample.push((e.score, e.member.to_vec())));
        assert_eq!(sample.len(), n.min(len));
        assert!(sample.windows(2).all(|pair| pair[0] < pair[1]), "distinct and in order");
        assert!(sample.iter().all(|e| all.contains(e)));
        let mut draws = 0;
        set.sample_repeating(n, rng, |e| {
            draws += usize::from(model.score(e.member).is_some());
        });
        assert_eq!(draws, if len == 0 { 0 } else { n });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tiny_nodes_agree_with_the_model(ops in prop::collection::vec(op(), 1..250)) {
        let (mut set, mut model) = (Tiny::new(), Model::default());
        for op in &ops {
            apply(&mut set, &mut model, op);
            check_tree(&set, &model);
        }
    }

    #[test]
    fn both_forms_agree_with_the_model(
        ops in prop::collection::vec(op(), 1..200),
        ranges in prop::collection::vec(score_range(), 4),
        entries in 0usize..60,
        seed: u64,
    ) {
        let limits = Limits { zset_max_listpack_entries: entries, ..Limits::default() };
        let mut rng = Rng::new(seed);
        let mut set = Limited(Zset::new(), limits);
        let mut model = Model::default();
        let mut exceeded = false;
        for (n, op) in ops.iter().enumerate() {
            apply(&mut set, &mut model, op);
            exceeded |= model.0.len() > entries || model.count(|e| e.1.len() > 64) > 0;
            let expected = if exceeded { "skiplist" } else { "listpack" };
            prop_assert_eq!(set.0.view().encoding().name(), expected);
            if n % 16 == 0 {
                check_view(set.0.view(), &model, &ranges, &mut rng);
            }
        }
        check_view(set.0.view(), &model, &ranges, &mut rng);
    }

    #[test]
    fn lex_ranges_of_equal_scores(
        members in prop::collection::btree_set(member(), 0..40),
        ends in prop::collection::vec((member(), 0u8..4, member(), 0u8..4), 8),
        entries in prop::sample::select(vec![0usize, 128]),
    ) {
        let limits = Limits {
            zset_max_listpack_entries: entries,
            zset_max_listpack_value: 10_000,
            ..Limits::default()
        };
        let sorted = members.iter().map(|member| Entry { member, score: 1.0 });
        let set = Zset::from_sorted(sorted, &limits);
        for (a, kind_a, b, kind_b) in &ends {
            let range = LexRange { min: bound(a, *kind_a), max: bound(b, *kind_b) };
            let inside: Vec<_> =
                members.iter().filter(|m| range.contains(m)).map(|m| (1.0, m.clone())).collect();
            let span = set.view().lex_span(&range);
            prop_assert_eq!(owned(set.view().iter_span(span, Order::Ascending)), inside.clone());
            let mut copy = Zset::from_sorted(set.view().iter(), &limits);
            prop_assert_eq!(copy.remove_by_lex(&range), inside.len());
            prop_assert_eq!(copy.len(), members.len() - inside.len());
        }
    }

    #[test]
    fn results_take_the_encoding_the_thresholds_say(
        entries in prop::collection::vec((score(), member()), 0..30),
        most in 0usize..30,
    ) {
        let limits = Limits { zset_max_listpack_entries: most, ..Limits::default() };
        let mut model = Model::default();
        for (score, member) in &entries {
            model.put(*score, member);
        }
        let of = |(score, member): &(f64, Vec<u8>)| (*score, member.clone());
        let fits = model.0.len() <= most && model.count(|e| e.1.len() > 64) == 0;
        let expected = if fits { ZsetEncoding::Listpack } else { ZsetEncoding::Skiplist };
        let unsorted = Zset::from_unsorted(
            entries.iter().map(|(score, member)| Entry { member, score: *score }),
            &limits,
        );
        prop_assert_eq!(owned(unsorted.view().iter()), model.0.iter().map(of).collect::<Vec<_>>());
        let sorted = Zset::from_sorted(unsorted.view().iter(), &limits);
        prop_assert_eq!(owned(sorted.view().iter()), model.0);
        prop_assert_eq!(sorted.view().encoding(), expected);
        if fits {
            prop_assert_eq!(unsorted.view().encoding(), expected);
        }
    }

    #[test]
    fn pops_come_from_either_end(
        entries in prop::collection::vec((score(), member()), 0..30),
        counts in prop::collection::vec((0usize..6, any::<bool>()), 1..8),
        most in 0usize..30,
    ) {
        let limits = Limits { zset_max_listpack_entries: most, ..Limits::default() };
        let (mut set, mut model) = (Zset::new(), Model::default());
        for (score, member) in &entries {
            set.insert_or_update(*score, member, &limits);
            model.put(*score, member);
        }
        for (count, low) in counts {
            let order = if low { Order::Ascending } else { Order::Descending };
            let mut popped = Vec::new();
            let n = set.pop(count, order, |e| popped.push((e.score, e.member.to_vec())));
            let mut expected = Vec::new();
            for _ in 0..count.min(model.0.len()) {
                let at = if low { 0 } else { model.0.len() - 1 };
                expected.push(model.0.remove(at));
            }
            prop_assert_eq!((n, popped), (expected.len(), expected));
            prop_assert_eq!(owned(set.view().iter()), model.0.clone());
        }
    }
}

fn bound(member: &[u8], kind: u8) -> LexBound<'_> {
    match kind {
        0 => LexBound::NegInf,
        1 => LexBound::PosInf,
        2 => LexBound::Incl(member),
        _ => LexBound::Excl(member),
    }
}

/// Redis 7.0.15: `ZADD z -0 a`, `ZSCORE z a` answers "0" for a listpack and "-0" for a skiplist,
/// and 0 and -0 are the same score when one replaces the other.
#[test]
fn negative_zero_equals_zero_and_keeps_its_sign_in_a_tree_only() {
    let packed = Limits::default();
    let tree = Limits { zset_max_listpack_entries: 0, ..packed };
    for (limits, negative) in [(packed, false), (tree, true)] {
        let mut set = Zset::new();
        assert_eq!(set.insert_or_update(-0.0, b"b", &limits), Change::Added);
        assert_eq!(set.insert_or_update(0.0, b"b", &limits), Change::Unchanged);
        assert_eq!(set.view().score(b"b").map(f64::is_sign_negative), Some(negative));
        set.insert_or_update(0.0, b"a", &limits);
        set.insert_or_update(0.0, b"c", &limits);
        let members: Vec<_> = set.view().iter().map(|e| e.member.to_vec()).collect();
        assert_eq!(members, [b"a", b"b", b"c"]);
        assert_eq!(set.view().score_span(&ScoreRange::inclusive(0.0, -0.0)), 0..3);
    }
}

#[test]
fn nan_never_gets_in() {
    let packed = Limits::default();
    for limits in [packed, Limits { zset_max_listpack_entries: 0, ..packed }] {
        let mut set = Zset::new();
        assert_eq!(set.put_with(b"a", |_| Some(f64::NAN), &limits), Change::Unchanged);
        set.insert_or_update(1.0, b"a", &limits);
        set.insert_or_update(2.0, b"b", &limits);
        assert_eq!(set.put_with(b"a", |_| Some(f64::NAN), &limits), Change::Unchanged);
        assert_eq!(set.put_with(b"a", |old| old.map(|s| s + 0.5), &limits), Change::Updated);
        assert_eq!(set.put_with(b"c", |old| old, &limits), Change::Unchanged);
        assert_eq!(owned(set.view().iter()), [(1.5, b"a".to_vec()), (2.0, b"b".to_vec())]);
    }
}

#[test]
fn hints_choose_the_first_encoding() {
    let limits = Limits::default();
    let encoding = |entries, len| Zset::with_hint(entries, len, &limits).view().encoding();
    assert_eq!(encoding(128, 64), ZsetEncoding::Listpack);
    assert_eq!(encoding(129, 0), ZsetEncoding::Skiplist);
    assert_eq!(encoding(1, 65), ZsetEncoding::Skiplist);
}

#[test]
fn a_tree_stays_a_tree_until_it_is_fitted() {
    let limits = Limits { zset_max_listpack_entries: 2, ..Limits::default() };
    let mut set = Zset::new();
    for member in [b"a", b"b", b"c"] {
        set.insert_or_update(1.0, member, &limits);
    }
    set.remove(b"a");
    assert_eq!(set.view().encoding(), ZsetEncoding::Skiplist);
    set.fit(&limits);
    assert_eq!(set.view().encoding(), ZsetEncoding::Listpack);
    assert_eq!(owned(set.view().iter()), [(1.0, b"b".to_vec()), (1.0, b"c".to_vec())]);
}

/// The count of a packed set has 16 bits; thresholds have more.
#[test]
fn packed_sets_beyond_sixteen_bits_count_by_walking() {
    let mut bytes = Vec::new();
    packed::insert(&mut bytes, 0.0, b"head");
    // Built in one piece: an insert walks what is there.
    let entry = {
        let mut entry = vec![0; entry::size(1.0, 4)];
        entry::write(&mut entry, 1.0, b"xxxx");
        entry
    };
    for _ in 0..65_600 {
        bytes.extend_from_slice(&entry);
    }
    bytes[..2].copy_from_slice(&[0xFF, 0xFF]);
    assert_eq!(packed::len(&bytes), 65_601);
    packed::remove_span(&mut bytes, 1..67);
    assert_eq!((packed::len(&bytes), bytes[..2].to_vec()), (65_535, vec![0xFF, 0xFF]));
    packed::remove_span(&mut bytes, 1..2);
    assert_eq!((packed::len(&bytes), bytes[..2].to_vec()), (65_534, vec![0xFE, 0xFF]));
}

/// Every subset of two out of five comes equally often, in both forms.
#[test]
fn distinct_samples_are_uniform() {
    let packed = Limits::default();
    for limits in [packed, Limits { zset_max_listpack_entries: 0, ..packed }] {
        let mut set = Zset::new();
        for i in 0..5u8 {
            set.insert_or_update(f64::from(i), &[i], &limits);
        }
        for take in [2, 3] {
            let mut rng = Rng::new(11);
            let mut seen = std::collections::BTreeMap::<Vec<u8>, u32>::new();
            for _ in 0..10_000 {
                let mut subset = Vec::new();
                set.view().sample_distinct(take, &mut rng, |e| subset.push(e.member[0]));
                *seen.entry(subset).or_default() += 1;
            }
            assert_eq!(seen.len(), 10);
            assert!(seen.values().all(|n| (850..1150).contains(n)), "{seen:?}");
        }
    }
}

/// Bytes per member of 200 000 sixteen-byte members in random order.
fn bytes_per_member(mut score: impl FnMut(&mut Rng) -> f64) -> f64 {
    let mut rng = Rng::new(5);
    let mut set = ZsetTree::<{ tree::LEAF }, { tree::FANOUT }>::new();
    for _ in 0..200_000 {
        let member = format!("{:016x}", rng.next_u64());
        let score = score(&mut rng);
        set.insert_or_update(score, member.as_bytes());
    }
    set.heap_bytes() as f64 / set.len() as f64
}

/// Invariant I6: what deletes leave behind is given back.
#[test]
fn compaction_gives_memory_back_and_changes_nothing() {
    let mut rng = Rng::new(9);
    let mut set = ZsetTree::<{ tree::LEAF }, { tree::FANOUT }>::new();
    let mut model = Model::default();
    for n in 0..100_000u32 {
        set.insert_or_update(f64::from(n), format!("member:{n:09}").as_bytes());
    }
    for n in 0..100_000u32 {
        let member = format!("member:{n:09}");
        if rng.below(10) == 0 {
            model.0.push((f64::from(n), member.into_bytes()));
        } else {
            assert_eq!(set.remove(member.as_bytes()), Some(f64::from(n)));
        }
    }
    let before = set.heap_bytes();
    set.compact();
    check_tree(&set, &model);
    assert!(set.heap_bytes() * 2 < before);
}

#[test]
fn memory_per_member_is_within_its_target() {
    let whole = bytes_per_member(|rng| rng.below(1_000_000) as f64);
    assert!(whole <= 47.0, "integer scores: {whole:.2}");
    let fraction = bytes_per_member(Rng::unit_f64);
    assert!(fraction <= 55.0, "float scores: {fraction:.2}");
}
