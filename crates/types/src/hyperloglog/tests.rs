//! The two forms against plain registers, and estimates against exact counts.

use super::*;
use proptest::prelude::*;

const SPARSE_MAX: usize = 3000;

/// Registers as the definition has them.
fn model(elements: &[u32]) -> Registers {
    let mut all = Registers::default();
    for element in elements {
        let (index, value) = place(&element.to_le_bytes());
        all.0[index] = all.0[index].max(value);
    }
    all
}

fn registers(bytes: &[u8]) -> Registers {
    let mut all = Registers::default();
    all.merge(bytes).expect("a sound sketch");
    all
}

fn sketch(elements: &[u32], sparse_max: usize) -> Vec<u8> {
    let mut bytes = empty();
    for element in elements {
        add(&mut bytes, &element.to_le_bytes(), sparse_max).expect("a sound sketch");
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn both_forms_agree_with_the_model(
        elements in proptest::collection::vec(0u32..5000, 0..900),
        sparse_max in prop_oneof![Just(0usize), Just(200), Just(SPARSE_MAX)],
    ) {
        let bytes = sketch(&elements, sparse_max);
        let all = model(&elements);
        prop_assert_eq!(&registers(&bytes), &all);
        let mut dense = bytes.clone();
        make_dense(&mut dense).unwrap();
        prop_assert_eq!(form(&dense), Some(Form::Dense));
        prop_assert_eq!(&registers(&dense), &all);
        prop_assert_eq!(count(&bytes).unwrap(), count(&dense).unwrap());
        prop_assert_eq!(count(&bytes).unwrap(), all.estimate());
        if form(&bytes) == Some(Form::Sparse) && elements.len() > 1 {
            prop_assert!(bytes.len() <= sparse_max.max(empty().len()));
        }
    }

    #[test]
    fn merging(
        a in proptest::collection::vec(any::<u32>(), 0..2000),
        b in proptest::collection::vec(any::<u32>(), 0..300),
        sparse_max in prop_oneof![Just(0usize), Just(SPARSE_MAX)],
    ) {
        let (left, right) = (sketch(&a, sparse_max), sketch(&b, SPARSE_MAX));
        let mut merged = Registers::default();
        merged.merge(&left).unwrap();
        merged.merge(&right).unwrap();
        let both = model(&[a, b].concat());
        prop_assert_eq!(&merged, &both);
        let dense_empty = {
            let mut bytes = empty();
            make_dense(&mut bytes).unwrap();
            bytes
        };
        for target in [empty(), dense_empty, left, right] {
            let mut bytes = target;
            merged.store(&mut bytes, sparse_max).unwrap();
            prop_assert_eq!(&registers(&bytes), &both);
        }
    }

    #[test]
    fn what_a_client_stored_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = b"HYLL\x01".to_vec();
        bytes.resize(HEADER, 0);
        bytes.extend(&tail);
        let sound = count(&bytes).is_ok();
        prop_assert_eq!(Registers::default().merge(&bytes).is_ok(), sound);
        prop_assert_eq!(make_dense(&mut bytes.clone()).is_ok(), sound);
        let _ = describe(&bytes);
        for element in 0..20u32 {
            let _ = add(&mut bytes, &element.to_le_bytes(), SPARSE_MAX);
        }
    }
}

#[test]
fn estimates_are_close() {
    let mut bytes = empty();
    for n in 1..=200_000u32 {
        add(&mut bytes, format!("element {n}").as_bytes(), SPARSE_MAX).unwrap();
        if [1, 10, 100, 1000, 10_000, 50_000, 200_000].contains(&n) {
            let error = (count(&bytes).unwrap() as f64 - f64::from(n)).abs() / f64::from(n);
            assert!(error < 0.03, "{n} elements: off by {error}");
        }
    }
    assert_eq!(form(&bytes), Some(Form::Dense));
}

#[test]
fn the_bytes_of_a_new_sketch() {
    let bytes = empty();
    assert_eq!(bytes, b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!((cached(&bytes), count(&bytes)), (Some(0), Ok(0)));
    assert_eq!(describe(&bytes).unwrap(), "Z:16384");
}

#[test]
fn the_cached_count() {
    let mut bytes = empty();
    set_cached(&mut bytes, 77);
    assert_eq!(cached(&bytes), Some(77));
    forget_cached(&mut bytes);
    assert_eq!(cached(&bytes), None);
    assert_eq!(bytes[8], 77);
}

#[test]
fn headers_that_are_refused() {
    let whole = empty();
    for len in 0..HEADER {
        assert_eq!(form(&whole[..len]), None);
    }
    assert_eq!(form(b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"), None);
    assert_eq!(form(b"HYLL\x00\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"), None);
    assert_eq!(count(&whole[..HEADER]), Err(Corrupt));
    assert_eq!(count(&whole[..HEADER + 1]), Err(Corrupt));
}

#[test]
fn runs_are_cut_and_joined() {
    let mut bytes = empty();
    let mut set = |index, value| {
        raise(&mut bytes, index, value, SPARSE_MAX).unwrap();
        describe(&bytes).unwrap()
    };
    assert_eq!(set(100, 3), "Z:100 v:3,1 Z:16283");
    assert_eq!(set(102, 3), "Z:100 v:3,1 z:1 v:3,1 Z:16281");
    assert_eq!(set(101, 3), "Z:100 v:3,3 Z:16281");
    assert_eq!(set(101, 2), "Z:100 v:3,3 Z:16281");
    assert_eq!(set(101, 5), "Z:100 v:3,1 v:5,1 v:3,1 Z:16281");
    assert_eq!(set(0, 1), "v:1,1 Z:99 v:3,1 v:5,1 v:3,1 Z:16281");
    assert_eq!(set(16383, 32), "v:1,1 Z:99 v:3,1 v:5,1 v:3,1 Z:16280 v:32,1");
    assert!(raise(&mut bytes, 7, 33, SPARSE_MAX).unwrap());
    assert_eq!(form(&bytes), Some(Form::Dense));
    assert_eq!(registers(&bytes).values()[..9], [1, 0, 0, 0, 0, 0, 0, 33, 0]);
}
