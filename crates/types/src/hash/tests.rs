//! Hashes against a model, in every encoding, with and without expiries.

use std::collections::{HashMap, HashSet};

use ochre_base::rng::Rng;
use proptest::prelude::*;

use super::*;

fn limits(entries: usize) -> Limits {
    Limits { hash_max_listpack_entries: entries, ..Limits::default() }
}

/// A field of the model: value and expiry.
type Model = HashMap<Vec<u8>, (Vec<u8>, Option<u64>)>;

fn live(model: &Model, now: u64) -> HashMap<Vec<u8>, Vec<u8>> {
    model
        .iter()
        .filter(|(_, (_, expiry))| expiry.is_none_or(|at| at >= now))
        .map(|(name, (value, _))| (name.clone(), value.clone()))
        .collect()
}

/// Checks the whole content, the counts and a scan against the model.
fn agree(hash: &Hash, model: &Model, now: u64) {
    let view = hash.view();
    let wanted = live(model, now);
    assert_eq!(view.len(), model.len());
    assert_eq!(view.is_empty(), model.is_empty());
    assert_eq!(view.live_len(now), wanted.len());
    assert_eq!(view.expiring(), model.values().filter(|field| field.1.is_some()).count());
    let mut seen = HashMap::new();
    for field in view.iter(now) {
        let expiry = model[&field.name.to_vec()].1;
        assert_eq!(field.expire_at_ms, expiry);
        assert!(seen.insert(field.name.to_vec(), field.value.to_vec()).is_none());
    }
    assert_eq!(seen, wanted);
    let mut scanned = HashMap::new();
    let mut cursor = 0;
    loop {
        cursor = view.scan(cursor, now, |field| {
            scanned.insert(field.name.to_vec(), field.value.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(scanned, wanted);
    let earliest = model.values().filter_map(|field| field.1).min();
    match (view.earliest_expiry(), earliest) {
        (None, wanted) => assert_eq!(wanted, None),
        (Some(bound), wanted) => assert!(wanted.is_some_and(|wanted| bound <= wanted)),
    }
}

#[derive(Debug, Clone)]
enum Step {
    Set(Vec<u8>, Vec<u8>),
    SetKeeping(Vec<u8>, Vec<u8>),
    SetIfAbsent(Vec<u8>, Vec<u8>),
    Remove(Vec<u8>),
    Expire(Vec<u8>, u64),
    Persist(Vec<u8>),
    Advance(u64),
    TakeExpired(usize),
    Compact,
}

fn any_step() -> impl Strategy<Value = Step> {
    let name = || {
        prop_oneof![
            5 => (0..40u8).prop_map(|n| n.to_string().into_bytes()),
            5 => "[a-c]{0,3}".prop_map(String::into_bytes),
            1 => (100usize..300).prop_map(|len| vec![b'n'; len]),
        ]
    };
    let value = || {
        prop_oneof![
            3 => any::<i32>().prop_map(|n| n.to_string().into_bytes()),
            3 => "[a-z]{0,30}".prop_map(String::into_bytes),
            1 => (30usize..64).prop_map(|len| vec![b'v'; len]),
        ]
    };
    prop_oneof![
        12 => (name(), value()).prop_map(|(name, value)| Step::Set(name, value)),
        4 => (name(), value()).prop_map(|(name, value)| Step::SetKeeping(name, value)),
        4 => (name(), value()).prop_map(|(name, value)| Step::SetIfAbsent(name, value)),
        5 => name().prop_map(Step::Remove),
        5 => (name(), 0u64..60).prop_map(|(name, ahead)| Step::Expire(name, ahead)),
        2 => name().prop_map(Step::Persist),
        2 => (1u64..20).prop_map(Step::Advance),
        2 => (1usize..6).prop_map(Step::TakeExpired),
        1 => Just(Step::Compact),
    ]
}

fn apply(hash: &mut Hash, model: &mut Model, limits: &Limits, now: &mut u64, step: Step) {
    let gone = |model: &Model, name: &[u8], now: u64| {
        model.get(name).is_none_or(|field| field.1.is_some_and(|at| at < now))
    };
    match step {
        Step::Set(name, value) => {
            assert_eq!(hash.set(limits, &name, &value, *now), gone(model, &name, *now));
            model.insert(name, (value, None));
        }
        Step::SetKeeping(name, value) => {
            let new = gone(model, &name, *now);
            assert_eq!(hash.set_keeping_expiry(limits, &name, &value, *now), new);
            let expiry = if new { None } else { model[&name].1 };
            model.insert(name, (value, expiry));
        }
        Step::SetIfAbsent(name, value) => {
            let new = gone(model, &name, *now);
            assert_eq!(hash.set_if_absent(limits, &name, &value, *now), new);
            if new {
                model.insert(name, (value, None));
            }
        }
        Step::Remove(name) => {
            assert_eq!(hash.remove(&name, *now), !gone(model, &name, *now));
            model.remove(&name);
        }
        Step::Expire(name, ahead) => {
            let at = *now + ahead;
            assert_eq!(hash.set_expiry(&name, at), model.contains_key(&name));
            if let Some(field) = model.get_mut(&name) {
                field.1 = Some(at);
            }
        }
        Step::Persist(name) => {
            let had = model.get(&name).is_some_and(|field| field.1.is_some());
            assert_eq!(hash.persist(&name), had);
            if let Some(field) = model.get_mut(&name) {
                field.1 = None;
            }
        }
        Step::Advance(by) => *now += by,
        Step::TakeExpired(most) => {
            let mut taken = Vec::new();
            let n = hash.take_expired(*now, most, |name| taken.push(name.to_vec()));
            assert_eq!(n, taken.len());
            let due = model.len() - live(model, *now).len();
            assert_eq!(n, due.min(most));
            for name in taken {
                assert!(model[&name].1.is_some_and(|at| at < *now));
                model.remove(&name);
            }
        }
        Step::Compact => hash.compact(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn hashes_agree_with_a_map(
        entries in prop::sample::select(vec![0, 8, 512]),
        steps in prop::collection::vec(any_step(), 0..150),
    ) {
        let limits = limits(entries);
        let (mut hash, mut model, mut now) = (Hash::new(), Model::new(), 1000);
        for step in steps {
            apply(&mut hash, &mut model, &limits, &mut now, step);
            agree(&hash, &model, now);
        }
        for (name, (value, _)) in &model {
            let found = hash.view().value(name, 0).map(Entry::to_vec);
            prop_assert_eq!(found.as_ref(), Some(value));
        }
        agree(&hash.view().duplicate(), &model, now);
        hash.convert_to_table();
        agree(&hash, &model, now);
    }
}

#[test]
fn encodings_turn_at_the_thresholds() {
    let limits = limits(3);
    let mut hash = Hash::new();
    for name in [&b"a"[..], b"b", b"c", b"a"] {
        hash.set(&limits, name, &[b'x'; 64], 0);
    }
    assert_eq!(hash.view().encoding(), "listpack");
    hash.set(&limits, b"d", b"", 0);
    assert_eq!(hash.view().encoding(), "hashtable");
    let mut hash = Hash::new();
    hash.set(&limits, b"a", &[b'x'; 65], 0);
    assert_eq!(hash.view().encoding(), "hashtable");
    assert_eq!(hash.view().value(b"a", 0).map(Entry::len), Some(65));
}

#[test]
fn triples_are_pairs_again_without_expiries() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    hash.set(&limits, b"a", b"1", 0);
    hash.set(&limits, b"b", b"text", 0);
    assert!(hash.set_expiry(b"a", u64::MAX));
    assert!(matches!(hash, Hash::PackedEx(_)));
    assert_eq!(hash.view().encoding(), "listpack");
    assert_eq!(hash.view().earliest_expiry(), Some(EXPIRE_AT_MS_MAX));
    assert!(hash.persist(b"a"));
    assert!(!hash.persist(b"a"));
    assert!(matches!(hash, Hash::Packed(_)));
    assert_eq!(hash.view().value(b"a", 0), Some(Entry::Int(1)));
    assert!(!hash.set_expiry(b"none", 5));
    assert!(matches!(hash, Hash::Packed(_)));
}

#[test]
fn a_large_hash_expires_in_portions() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for i in 0..20_000u32 {
        hash.set(&limits, format!("field:{i}").as_bytes(), b"value", 0);
        if i % 2 == 0 {
            hash.set_expiry(format!("field:{i}").as_bytes(), u64::from(1000 + i));
        }
    }
    assert_eq!(hash.view().expiring(), 10_000);
    assert_eq!(hash.take_expired(1000, 100, |_| ()), 0);
    let mut taken = HashSet::new();
    loop {
        let n = hash.take_expired(11_000, 700, |name| assert!(taken.insert(name.to_vec())));
        if n < 700 {
            break;
        }
    }
    assert_eq!(taken.len(), 5000);
    assert_eq!(hash.len(), 15_000);
    assert_eq!(hash.view().live_len(11_000), 15_000);
    assert!(hash.view().earliest_expiry().is_some_and(|at| at >= 11_000));
    assert_eq!(hash.take_expired(u64::MAX, usize::MAX, |_| ()), 5000);
    assert_eq!(hash.view().earliest_expiry(), None);
}

#[test]
fn large_values_move_and_shrink() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for len in [100, 101, 127, 128, 5000, 70_000, 70_001, 3, 0] {
        let value = vec![b'v'; len];
        assert_eq!(hash.set(&limits, b"field", &value, 0), len == 100);
        assert_eq!(hash.view().value(b"field", 0), Some(Entry::Str(&value)));
        assert!(hash.set_expiry(b"field", 99));
        assert_eq!(hash.view().value(b"field", 0), Some(Entry::Str(&value)));
    }
    assert!(hash.remove(b"field", 0));
    assert!(hash.is_empty());
}

#[test]
fn sixteen_and_sixteen_bytes_take_about_48() {
    let limits = Limits::default();
    let mut hash = Hash::new();
    for i in 0..300_000 {
        hash.set(&limits, format!("field-{i:010}").as_bytes(), &[b'v'; 16], 0);
    }
    let each = hash.heap_bytes() as f64 / hash.len() as f64;
    assert!(each < 50.0, "{each} bytes for each field");
    for i in 0..300_000 {
        if i % 20 != 0 {
            assert!(hash.remove(format!("field-{i:010}").as_bytes(), 0));
        }
    }
    let before = hash.heap_bytes();
    hash.compact();
    assert!(hash.heap_bytes() < before / 3, "{} of {before}", hash.heap_bytes());
    assert_eq!(hash.len(), 15_000);
    for i in (0..300_000).step_by(20) {
        assert!(hash.view().contains(format!("field-{i:010}").as_bytes(), 0));
    }
}

#[test]
fn samples_are_live_and_distinct() {
    let mut rng = Rng::new(7);
    for entries in [0, 512] {
        let limits = limits(entries);
        let mut hash = Hash::new();
        for i in 0..100u32 {
            hash.set(&limits, i.to_string().as_bytes(), b"v", 0);
        }
        for round in 0..2 {
            let now = 50;
            let live = if round == 0 { 100 } else { 3 };
            for n in [0, 1, 3, 40, 100, 200] {
                let mut seen = HashSet::new();
                hash.view().sample_distinct(
                    now,
                    n,
                    || rng.next_u64(),
                    |field| {
                        assert!(seen.insert(field.name.to_vec()));
                    },
                );
                assert_eq!(seen.len(), n.min(live));
                let mut drawn = 0;
                hash.view().sample(
                    now,
                    n,
                    || rng.next_u64(),
                    |field| {
                        assert!(!field.is_expired(now));
                        drawn += 1;
                    },
                );
                assert_eq!(drawn, n);
            }
            for i in 3..100u32 {
                hash.set_expiry(i.to_string().as_bytes(), 10);
            }
        }
        for i in 0..3u32 {
            hash.set_expiry(i.to_string().as_bytes(), 10);
        }
        hash.view().sample(50, 9, || rng.next_u64(), |_| panic!("nothing is live"));
    }
}

#[test]
fn samples_are_even() {
    let mut rng = Rng::new(11);
    let limits = limits(0);
    let mut hash = Hash::new();
    for i in 0..50u32 {
        hash.set(&limits, i.to_string().as_bytes(), b"v", 0);
    }
    let mut hits: HashMap<Vec<u8>, u32> = HashMap::new();
    for _ in 0..2000 {
        let mut note = |field: Field<'_>| *hits.entry(field.name.to_vec()).or_default() += 1;
        hash.view().sample_distinct(0, 5, || rng.next_u64(), &mut note);
        hash.view().sample_distinct(0, 25, || rng.next_u64(), &mut note);
    }
    // 1200 expected for each, with a deviation of about 33.
    assert_eq!(hits.len(), 50);
    assert!(hits.values().all(|&n| (1000..1400).contains(&n)), "{hits:?}");
}
