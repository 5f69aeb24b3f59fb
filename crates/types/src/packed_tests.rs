//! Packed sequences against a model, walked both ways.

use proptest::prelude::*;

use super::*;

fn packed(texts: &[Vec<u8>]) -> Vec<u8> {
    let mut buf = Vec::new();
    for text in texts {
        push_back(&mut buf, text);
    }
    buf
}

fn texts(buf: &[u8]) -> Vec<Vec<u8>> {
    iter(buf).map(Entry::to_vec).collect()
}

/// Text of all kinds: short, at the borders of the header's forms, integers and near-integers.
pub(crate) fn any_text() -> impl Strategy<Value = Vec<u8>> {
    let lens = prop::sample::select(vec![0, 1, 16, 126, 127, 191, 192, 255, 256, 300, 16_382]);
    prop_oneof![
        4 => any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        4 => (-300i64..70_000).prop_map(|n| n.to_string().into_bytes()),
        2 => "-?0?[0-9]{1,21}".prop_map(String::into_bytes),
        6 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (any::<u8>(), lens).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

#[test]
fn canonical_integers_are_stored_as_integers() {
    for (text, width) in [
        (&b"0"[..], 1),
        (b"55", 1),
        (b"56", 2),
        (b"-1", 2),
        (b"-128", 2),
        (b"-129", 3),
        (b"32767", 3),
        (b"32768", 4),
        (b"-8388608", 4),
        (b"8388608", 5),
        (b"2147483647", 5),
        (b"2147483648", 9),
        (b"-9223372036854775808", 9),
        (b"9223372036854775807", 9),
    ] {
        let element = Encoded::new(text);
        assert_eq!(element.len(), width + 1, "{text:?}");
        let buf = packed(&[text.to_vec()]);
        let (entry, after) = entry_at(&buf, 0).unwrap();
        assert!(matches!(entry, Entry::Int(_)));
        assert_eq!((entry.to_vec().as_slice(), entry.len(), after), (text, text.len(), buf.len()));
        assert!(entry.is_text(text));
    }
    for text in [&b""[..], b"-", b"-0", b"+1", b"01", b"1 ", b"9223372036854775808", b"1e3"] {
        assert_eq!(Entry::of(text), Entry::Str(text));
    }
}

#[test]
fn sixteen_bytes_take_eighteen() {
    assert_eq!(Encoded::new(&[b'x'; 16]).len(), 18);
    assert_eq!(Encoded::new(&[b'x'; 126]).len(), 128);
    assert_eq!(Encoded::new(&[b'x'; 127]).len(), 130);
}

#[test]
fn find_compares_only_each_stride() {
    let buf = packed(&["a", "b", "b", "7", "7", "c"].map(|t| t.as_bytes().to_vec()));
    assert_eq!(find(&buf, b"b", 1), Some(3));
    assert_eq!(find(&buf, b"b", 2), Some(6));
    assert_eq!(find_or_count(&buf, b"c", 2), Err(3));
    assert_eq!(find(&buf, b"7", 2), offset_of(&buf, 4));
    assert_eq!(find_or_count(b"", b"c", 2), Err(0));
}

#[test]
fn long_strings_round_trip_in_both_directions() {
    for len in [65_535, 65_536, 2_097_140, 2_097_152] {
        let buf = packed(&[vec![b'x'; len], b"tail".to_vec()]);
        assert!(is_valid(&buf));
        let mut elements = iter(&buf);
        assert_eq!(elements.next_back(), Some(Entry::Str(b"tail")));
        assert_eq!(elements.next_back().map(Entry::len), Some(len));
        assert_eq!(elements.next_back(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn edits_agree_with_a_vector(
        start in prop::collection::vec(any_text(), 0..12),
        steps in prop::collection::vec((0u8..7, any::<u16>(), any_text()), 0..24),
    ) {
        let mut model = start;
        let mut buf = packed(&model);
        for (kind, place, text) in steps {
            let index = place as usize % (model.len() + 1);
            match kind {
                0 => {
                    push_back(&mut buf, &text);
                    model.push(text);
                }
                1 => {
                    push_front(&mut buf, &text);
                    model.insert(0, text);
                }
                2 => {
                    let at = offset_of(&buf, index).unwrap_or(buf.len());
                    insert_at(&mut buf, at, &text);
                    model.insert(index, text);
                }
                3 if index < model.len() => {
                    let at = offset_of(&buf, index).unwrap();
                    replace_at(&mut buf, at, &text);
                    model[index] = text;
                }
                4 if index < model.len() => {
                    let at = offset_from_back(&buf, model.len() - 1 - index).unwrap();
                    let n = (text.len() % 3).min(model.len() - index);
                    remove(&mut buf, at, n);
                    model.drain(index..index + n);
                }
                5 => {
                    let wanted = model.iter().step_by(2).position(|t| *t == text).map(|i| 2 * i);
                    let wanted = wanted.and_then(|i| offset_of(&buf, i));
                    prop_assert_eq!(find(&buf, &text, 2), wanted);
                }
                _ => {
                    if let Some(text) = model.get(index) {
                        let wanted = model.iter().position(|t| t == text).unwrap();
                        prop_assert_eq!(find(&buf, text, 1), offset_of(&buf, wanted));
                    }
                }
            }
            prop_assert!(is_valid(&buf));
            prop_assert_eq!(count(&buf), model.len());
            prop_assert_eq!(&texts(&buf), &model);
            let back: Vec<_> = iter(&buf).rev().map(Entry::to_vec).collect();
            prop_assert!(back.iter().eq(model.iter().rev()));
        }
    }

    #[test]
    fn broken_buffers_do_not_panic(mut buf in prop::collection::vec(any::<u8>(), 0..64), at in 0usize..80) {
        let _ = (is_valid(&buf), count(&buf), iter(&buf).rev().count());
        let _ = (entry_at(&buf, at), prev(&buf, at), offset_of(&buf, at), offset_from_back(&buf, at));
        let _ = find(&buf, b"x", 2);
        replace_at(&mut buf, at, b"abc");
        insert_at(&mut buf, at, b"abc");
        remove(&mut buf, at, 2);
    }

    #[test]
    fn entries_know_their_text(text in any_text()) {
        let entry = Entry::of(&text);
        prop_assert_eq!(entry.len(), text.len());
        prop_assert_eq!(entry.to_vec(), text.clone());
        prop_assert!(entry.is_text(&text));
        prop_assert!(Entry::Str(&text).is_text(&text));
        prop_assert_eq!(Entry::Str(&text).to_int(), num::parse_i64(&text));
    }
}

/// A position far behind the end is found to be one at once. A client can ask for any.
#[test]
fn a_walk_ends_with_the_sequence() {
    let mut buf = Vec::new();
    push_back(&mut buf, b"a");
    push_back(&mut buf, b"b");
    assert_eq!(skip(&buf, 0, usize::MAX), buf.len());
    assert_eq!(offset_of(&buf, usize::MAX), None);
    assert_eq!(offset_of(&buf, 2), None);
    assert_eq!(offset_from_back(&buf, usize::MAX), None);
}
