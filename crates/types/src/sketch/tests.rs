//! Every sketch through its encoding: back the same, and no bytes whatever make the reader fail.

use super::*;
use proptest::prelude::*;

fn samples() -> Vec<Sketch> {
    let mut bloom = Bloom::new(bloom::Options { capacity: 5, ..Default::default() }).unwrap();
    let mut cuckoo = Cuckoo::new(cuckoo::Options { capacity: 8, ..Default::default() }).unwrap();
    let mut cms = Cms::new(7, 3).unwrap();
    let mut topk = TopK::new(3, 4, 2, 0.9).unwrap();
    let mut digest = TDigest::new(3).unwrap();
    for n in 0..40u8 {
        bloom.add(&[n]).unwrap();
        cuckoo.add(&[n]).unwrap();
        cms.add(&[n], u64::from(n)).unwrap();
        topk.add(&[n], u32::from(n));
        digest.add(f64::from(n));
    }
    vec![
        Sketch::Bloom(bloom),
        Sketch::Cuckoo(cuckoo),
        Sketch::Cms(cms),
        Sketch::TopK(topk),
        Sketch::TDigest(digest),
    ]
}

fn encoded(sketch: &Sketch) -> Vec<u8> {
    let mut out = Vec::new();
    sketch.encode(&mut out);
    out
}

#[test]
fn come_back_from_their_bytes() {
    for sketch in samples() {
        let bytes = encoded(&sketch);
        let again = Sketch::decode(&bytes).unwrap();
        assert_eq!(again.kind(), sketch.kind());
        assert_eq!(encoded(&again), bytes);
        assert_eq!(encoded(&sketch.clone()), bytes);
        // Cut anywhere, or with something behind, it is refused.
        assert!((0..bytes.len()).all(|at| Sketch::decode(&bytes[..at]).is_err()));
        assert!(Sketch::decode(&[&bytes[..], b"x"].concat()).is_err());
        assert!(sketch.heap_bytes() > 0 && sketch.free_effort() > 0);
    }
    assert_eq!(Sketch::decode(&[9, 1]).err(), Some(Corrupt));
    assert_eq!(Sketch::decode(&[1, 9]).err(), Some(Corrupt));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What is accepted can be used.
    #[test]
    fn damaged_bytes_do_no_harm(
        which in 0usize..5,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut bytes = encoded(&samples()[which]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        match Sketch::decode(&bytes) {
            Err(Corrupt) => {}
            Ok(Sketch::Bloom(mut bloom)) => {
                assert!((0..50u8).all(|n| bloom.add(&[n, 1]).is_err() || bloom.contains(&[n, 1])));
                bloom.capacity_max();
                bloom.items();
            }
            Ok(Sketch::Cuckoo(mut cuckoo)) => {
                assert!((0..50u8).all(|n| cuckoo.add(&[n, 1]).is_err() || cuckoo.contains(&[n, 1])));
                let removed = (0..50u8).filter(|n| cuckoo.remove(&[*n, 1])).count();
                assert!(removed <= 50);
            }
            Ok(Sketch::Cms(mut cms)) => {
                assert!(cms.add(b"x", 5).is_err() || cms.count(b"x") >= 5);
                assert!(Cms::merged(&[(&cms, 3)]).is_some());
            }
            Ok(Sketch::TopK(mut topk)) => {
                (0..50u8).for_each(|n| drop(topk.add(&[n, 1], 3)));
                topk.list();
            }
            Ok(Sketch::TDigest(mut digest)) => {
                (0..50u8).for_each(|n| digest.add(f64::from(n)));
                let sorted = digest.sorted();
                sorted.quantile(0.5);
                sorted.cdf(3.0);
                sorted.rank(7.0);
                sorted.trimmed_mean(0.1, 0.9);
            }
        }
    }
}
