//! Every kernel against the same thing said bit by bit.

use super::field::{Field, Overflow};
use super::*;
use proptest::prelude::*;

fn bits(bytes: &[u8]) -> Vec<bool> {
    (0..bytes.len() as u64 * 8).map(|at| bit(bytes, at)).collect()
}

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0u8), 3 => Just(0xFFu8), 1 => any::<u8>()];
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..max),
        proptest::collection::vec(byte, 0..max),
    ]
}

/// The bit of the result, by the number of sources that have it and whether the first does.
fn expected(operation: Operation, set: usize, count: usize, first: bool) -> bool {
    let others = set - usize::from(first);
    match operation {
        Operation::And => set == count,
        Operation::Or => set > 0,
        Operation::Xor => set % 2 == 1,
        Operation::Not => !first,
        Operation::Diff => first && others == 0,
        Operation::Diff1 => !first && others > 0,
        Operation::AndOr => first && others > 0,
        Operation::One => set == 1,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counts(text in bytes(3000), a in 0u64..24100, b in 0u64..24100) {
        let model = bits(&text);
        prop_assert_eq!(count_ones(&text), model.iter().filter(|bit| **bit).count() as u64);
        let part = model.iter().take(b as usize).skip(a as usize);
        prop_assert_eq!(count_range(&text, a..b), part.filter(|bit| **bit).count() as u64);
    }

    #[test]
    fn positions(text in bytes(300), a in 0u64..2500, b in 0u64..2500, wanted: bool) {
        let model = bits(&text);
        let within = model.iter().enumerate().take(b as usize).skip(a as usize);
        let mut hits = within.filter(|(_, bit)| **bit == wanted).map(|(at, _)| at as u64);
        prop_assert_eq!(position(&text, a..b, wanted), hits.next());
    }

    #[test]
    fn one_bit(mut text in bytes(40), at in 0u64..400, on: bool) {
        let mut model = bits(&text);
        prop_assert_eq!(bit(&text, at), model.get(at as usize).copied().unwrap_or(false));
        let was = set_bit(&mut text, at, on);
        if let Some(place) = model.get_mut(at as usize) {
            prop_assert_eq!(was, *place);
            *place = on;
        }
        prop_assert_eq!(bits(&text), model);
    }

    #[test]
    fn combinations(sources in proptest::collection::vec(bytes(60), 1..5), stretch in 0usize..3) {
        // Some runs go over several blocks.
        let sources: Vec<Vec<u8>> = sources.iter().map(|s| s.repeat(1 + stretch * 150)).collect();
        let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
        let len = slices.iter().map(|s| s.len()).max().unwrap();
        for operation in [
            Operation::And, Operation::Or, Operation::Xor, Operation::Not,
            Operation::Diff, Operation::Diff1, Operation::AndOr, Operation::One,
        ] {
            let used = match operation {
                Operation::Not => &slices[..1],
                Operation::Diff | Operation::Diff1 | Operation::AndOr if slices.len() < 2 => continue,
                _ => &slices[..],
            };
            let result = combine(operation, used);
            let len = if operation == Operation::Not { slices[0].len() } else { len };
            prop_assert_eq!(result.len(), len);
            for at in 0..len as u64 * 8 {
                let set = used.iter().filter(|source| bit(source, at)).count();
                let wanted = expected(operation, set, used.len(), bit(used[0], at));
                prop_assert_eq!(bit(&result, at), wanted, "{:?} bit {}", operation, at);
            }
        }
    }

    #[test]
    fn fields(mut text in bytes(30), offset in 0u64..240, signed: bool, bits in 1u32..=64, value: i64) {
        let width = if signed { bits } else { bits.min(63) };
        let name = format!("{}{width}", if signed { 'i' } else { 'u' });
        let field = Field::parse(name.as_bytes()).unwrap();
        let mut model: u64 = 0;
        for at in 0..u64::from(width) {
            model = model << 1 | u64::from(bit(&text, offset + at));
        }
        let old = if signed { ((model << (64 - width)) as i64) >> (64 - width) } else { model as i64 };
        prop_assert_eq!(field.read(&text, offset), old);
        let before = text.clone();
        field.write(&mut text, offset, value);
        for at in 0..text.len() as u64 * 8 {
            let wanted = match at.checked_sub(offset) {
                Some(i) if i < u64::from(width) => value as u64 >> (u64::from(width) - 1 - i) & 1 == 1,
                _ => bit(&before, at),
            };
            prop_assert_eq!(bit(&text, at), wanted);
        }
    }
}

#[test]
fn field_names() {
    for name in ["i1", "i64", "u1", "u63", "i8"] {
        assert!(Field::parse(name.as_bytes()).is_some(), "{name}");
    }
    for name in ["", "i", "u0", "u64", "i65", "x8", "I8", "u08", "u+8", "u8 ", "u100", "i-1"] {
        assert_eq!(Field::parse(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn overflows() {
    let field = |name: &str| Field::parse(name.as_bytes()).unwrap();
    use Overflow::{Fail, Saturate, Wrap};
    assert_eq!(field("u8").add(250, 10, Wrap), Some(4));
    assert_eq!(field("u8").add(250, 10, Saturate), Some(255));
    assert_eq!(field("u8").add(250, 10, Fail), None);
    assert_eq!(field("u8").add(5, -10, Wrap), Some(251));
    assert_eq!(field("u8").add(5, -10, Saturate), Some(0));
    assert_eq!(field("i8").add(120, 10, Wrap), Some(-126));
    assert_eq!(field("i8").add(-120, -10, Saturate), Some(-128));
    assert_eq!(field("i64").add(i64::MAX, 1, Wrap), Some(i64::MIN));
    assert_eq!(field("i64").add(i64::MIN, -1, Saturate), Some(i64::MIN));
    assert_eq!(field("u63").add(i64::MAX, 1, Wrap), Some(0));
    assert_eq!(field("u8").fit(-1, Saturate), Some(255));
    assert_eq!(field("u8").fit(-1, Wrap), Some(255));
    assert_eq!(field("i5").fit(-17, Saturate), Some(-16));
    assert_eq!(field("i5").fit(17, Wrap), Some(-15));
    assert_eq!(field("i5").fit(15, Fail), Some(15));
}
