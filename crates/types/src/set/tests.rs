//! Sets against a model, through every conversion.

use std::collections::{HashMap, HashSet};

use ochre_base::rng::Rng;
use proptest::prelude::*;

use super::*;

fn limits(ints: usize, members: usize) -> Limits {
    Limits { set_max_intset_entries: ints, set_max_listpack_entries: members, ..Limits::default() }
}

fn members(set: &Set) -> HashSet<Vec<u8>> {
    let listed: Vec<_> = set.view().iter().map(Entry::to_vec).collect();
    let unique: HashSet<_> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len());
    unique
}

fn agree(set: &Set, model: &HashSet<Vec<u8>>) {
    assert_eq!(set.len(), model.len());
    assert_eq!(set.is_empty(), model.is_empty());
    assert_eq!(&members(set), model);
    let mut scanned = HashSet::new();
    let mut cursor = 0;
    loop {
        cursor = set.view().scan(cursor, |entry| {
            scanned.insert(entry.to_vec());
        });
        if cursor == 0 {
            break;
        }
    }
    assert_eq!(&scanned, model);
    match set {
        Set::Ints(buf) => assert!(intset::is_valid(buf)),
        Set::Packed(buf) => assert!(packed::is_valid(buf)),
        Set::Table(_) => {}
    }
}

fn any_member() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => (-15i64..15).prop_map(|n| n.to_string().into_bytes()),
        4 => prop::sample::select(vec![i64::MIN, i64::MAX, 1 << 31, (1 << 31) - 1, -(1 << 31), -(1 << 31) - 1])
            .prop_map(|n| n.to_string().into_bytes()),
        2 => "[a-c]{0,2}|-0|01|\\+1".prop_map(String::into_bytes),
        1 => (60usize..300).prop_map(|len| vec![b'm'; len]),
    ]
}

/// What OBJECT ENCODING says after an addition, from what it said before and the members now.
fn encoding_after<'a>(
    before: &'a str,
    added: &[u8],
    model: &HashSet<Vec<u8>>,
    limits: &Limits,
) -> &'a str {
    let fits_packed = model.len() <= limits.set_max_listpack_entries && added.len() <= 64;
    let integer = matches!(Entry::of(added), Entry::Int(_));
    match before {
        "intset" if integer && model.len() <= limits.set_max_intset_entries => "intset",
        "intset" if !integer && fits_packed => "listpack",
        "listpack" if fits_packed => "listpack",
        _ => "hashtable",
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sets_agree_with_a_hash_set(
        ints in prop::sample::select(vec![0, 6, 512]),
        packed in prop::sample::select(vec![0, 6, 128]),
        steps in prop::collection::vec((0u8..8, any_member()), 0..120),
        seed in any::<u64>(),
    ) {
        let limits = limits(ints, packed);
        let mut rng = Rng::new(seed);
        let (mut set, mut model) = (Set::new(), HashSet::new());
        for (kind, member) in steps {
            match kind {
                0..5 => {
                    let before = set.view().encoding();
                    let added = model.insert(member.clone());
                    prop_assert_eq!(set.add(&limits, &member), added);
                    if added {
                        let wanted = encoding_after(before, &member, &model, &limits);
                        prop_assert_eq!(set.view().encoding(), wanted);
                    }
                }
                5 => prop_assert_eq!(set.remove(&member), model.remove(&member)),
                6 => prop_assert_eq!(set.contains(&member), model.contains(&member)),
                _ => {
                    let popped = set.pop(|| rng.next_u64(), |entry| entry.to_vec());
                    prop_assert_eq!(popped.is_some(), !model.is_empty());
                    if let Some(member) = popped {
                        prop_assert!(model.remove(&member));
                    }
                }
            }
            agree(&set, &model);
        }
        let copy = set.view().duplicate();
        agree(&copy, &model);
        // Each form must recognise the entries of every other form.
        set.convert_to_table();
        for entry in set.view().iter() {
            prop_assert!(copy.view().contains_entry(entry));
        }
        for entry in copy.view().iter() {
            prop_assert!(set.view().contains_entry(entry));
            prop_assert!(!set.add_entry(&limits, entry));
        }
        for entry in copy.view().iter() {
            prop_assert!(set.remove_entry(entry));
        }
        prop_assert!(set.is_empty());
    }
}

#[test]
fn the_first_member_and_the_number_to_come_choose_the_form() {
    let limits = Limits::default();
    let encoding = |first: &[u8], n| Set::for_first(&limits, first, n).view().encoding();
    assert_eq!(encoding(b"1", 512), "intset");
    assert_eq!(encoding(b"1", 513), "hashtable");
    assert_eq!(encoding(b"a", 128), "listpack");
    assert_eq!(encoding(b"a", 129), "hashtable");
}

#[test]
fn integers_take_nine_bytes_and_strings_33() {
    let limits = Limits::default();
    let mut set = Set::new();
    for i in 0..1_000_000 {
        set.add(&limits, i.to_string().as_bytes());
    }
    let each = set.heap_bytes() as f64 / set.len() as f64;
    assert!(each <= 9.0, "{each} bytes for each integer");
    assert!(set.add(&limits, b"a string joins"));
    assert_eq!(set.len(), 1_000_001);

    let mut set = Set::new();
    for i in 0..300_000 {
        set.add(&limits, format!("member-{i:09}").as_bytes());
    }
    let each = set.heap_bytes() as f64 / set.len() as f64;
    assert!(each <= 33.0, "{each} bytes for each string");
    let kept = |i: &u32| i.is_multiple_of(30);
    for i in (0..300_000).filter(|i| !kept(i)) {
        assert!(set.remove(format!("member-{i:09}").as_bytes()));
    }
    let before = set.heap_bytes();
    set.compact();
    assert!(set.heap_bytes() < before / 3, "{} of {before}", set.heap_bytes());
    let mut rest = (0..300_000).filter(kept);
    assert!(rest.all(|i| set.contains(format!("member-{i:09}").as_bytes())));
}

#[test]
fn samples_are_distinct_and_even() {
    let mut rng = Rng::new(3);
    for forced in [false, true] {
        let limits = Limits::default();
        let mut set = Set::new();
        for i in 0..30 {
            set.add(&limits, i.to_string().as_bytes());
        }
        for i in 0..30 {
            set.add(&limits, format!("text {i}").as_bytes());
        }
        if forced {
            set.convert_to_table();
        }
        let mut hits: HashMap<Vec<u8>, u32> = HashMap::new();
        for _ in 0..1500 {
            for n in [4, 30] {
                let mut seen = HashSet::new();
                set.view().sample_distinct(
                    n,
                    || rng.next_u64(),
                    |entry| {
                        assert!(seen.insert(entry.to_vec()));
                        *hits.entry(entry.to_vec()).or_default() += 1;
                    },
                );
                assert_eq!(seen.len(), n);
            }
            set.view().sample(
                6,
                || rng.next_u64(),
                |entry| {
                    *hits.entry(entry.to_vec()).or_default() += 1;
                },
            );
        }
        // 1000 expected for each, with a deviation of about 28.
        assert_eq!(hits.len(), 60);
        assert!(hits.values().all(|&n| (840..1160).contains(&n)), "{hits:?}");
    }
    let empty = Set::new();
    assert!(empty.view().random(|| rng.next_u64()).is_none());
}

#[test]
fn scans_of_a_changing_table_miss_nothing() {
    let limits = Limits::default();
    let mut set = Set::new();
    for i in 0..5000 {
        set.add(&limits, format!("stays {i}").as_bytes());
        set.add(&limits, i.to_string().as_bytes());
    }
    let mut seen = HashSet::new();
    let (mut cursor, mut step) = (0, 0);
    loop {
        cursor = set.view().scan(cursor, |entry| {
            seen.insert(entry.to_vec());
        });
        if cursor == 0 {
            break;
        }
        for i in 0..10 {
            set.add(&limits, format!("new {step} {i}").as_bytes());
            set.add(&limits, (10_000 + step * 10 + i).to_string().as_bytes());
        }
        step += 1;
    }
    for i in 0..5000 {
        assert!(seen.contains(format!("stays {i}").as_bytes()));
        assert!(seen.contains(i.to_string().as_bytes()));
    }
}
