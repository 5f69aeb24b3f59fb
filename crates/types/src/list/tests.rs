//! Lists against a model, with small and large pages.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::limits::Limits;

const LIMIT: PageLimit = PageLimit { bytes: 256, count: u32::MAX };

fn texts<'a>(elements: impl Iterator<Item = Entry<'a>>) -> Vec<Vec<u8>> {
    elements.map(Entry::to_vec).collect()
}

/// Checks the list's invariants and its content against `model`, in both directions.
fn agree(list: &List, model: &VecDeque<Vec<u8>>) {
    assert_eq!(list.len(), model.len());
    assert_eq!(list.is_empty(), model.is_empty());
    assert!(list.pages.iter().all(|page| page.count() > 0));
    assert_eq!(list.pages.iter().map(|page| page.count()).sum::<usize>(), list.len());
    for page in list.pages.iter() {
        assert!(packed::is_valid(page.bytes()));
        assert_eq!(packed::count(page.bytes()), page.count());
    }
    assert!(list.pages.len() < 2 || list.is_quicklist());
    assert!(texts(list.iter()).iter().eq(model.iter()));
    let backwards = texts(list.range_rev(list.len().saturating_sub(1), usize::MAX));
    assert!(backwards.iter().eq(model.iter().rev()));
}

fn numbered(limit: PageLimit, n: usize) -> List {
    let mut list = List::new();
    for i in 0..n {
        list.push_back(limit, format!("element-{i:08}").as_bytes());
    }
    list
}

#[test]
fn sixteen_byte_elements_take_eighteen_and_a_tenth() {
    let limit = Limits::default().list_page();
    for end in [End::Front, End::Back] {
        let mut list = List::new();
        for i in 0..200_000 {
            list.push(limit, end, format!("element-{i:08}").as_bytes());
        }
        let each = list.heap_bytes() as f64 / list.len() as f64;
        assert!(each <= 18.1, "{each} bytes for each element");
    }
}

#[test]
fn memory_returns_as_elements_leave() {
    let limit = Limits::default().list_page();
    let mut list = numbered(limit, 100_000);
    for _ in 0..99_990 {
        list.pop(limit, End::Front, |_| ());
    }
    assert!(list.heap_bytes() < 1000, "{}", list.heap_bytes());
    assert_eq!(list.encoding(), "listpack");
    let mut list = numbered(limit, 100_000);
    list.trim(limit, 50_000, 3);
    assert!(list.heap_bytes() < 1000, "{}", list.heap_bytes());
    assert_eq!(texts(list.iter())[0], b"element-00050000");
}

#[test]
fn removals_inside_merge_pages() {
    let limit = Limits::default().list_page();
    let mut list = List::new();
    for i in 0..10_000 {
        list.push_back(limit, if i % 10 == 0 { b"keep-this-one" } else { b"drop-this-one" });
    }
    let before = list.pages.len();
    assert_eq!(list.remove(limit, End::Back, b"drop-this-one", 0), 9000);
    assert_eq!(list.len(), 1000);
    assert!(list.pages.len() * 4 < before, "{} of {before}", list.pages.len());
}

#[test]
fn the_encoding_turns_at_the_limit_and_back_at_half() {
    let limit = Limits::default().list_page();
    let mut list = List::new();
    for _ in 0..454 {
        list.push_back(limit, &[b'x'; 16]);
    }
    assert_eq!(list.encoding(), "listpack");
    list.push_back(limit, &[b'x'; 16]);
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.as_packed().is_some());
    while list.len() > 228 {
        list.pop(limit, End::Back, |_| ());
        assert_eq!(list.encoding(), "quicklist");
    }
    list.pop(limit, End::Back, |_| ());
    assert_eq!(list.encoding(), "listpack");
    assert!(list.set(limit, 0, &[b'y'; 9000]));
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.set(limit, 0, b"short"));
    assert_eq!(list.encoding(), "listpack");
}

#[test]
fn a_count_limit_bounds_pages() {
    let limit = PageLimit::of(3);
    let mut list = List::new();
    for i in 0..10 {
        list.push_back(limit, &[b'a' + i]);
    }
    assert_eq!(list.pages().len(), 4);
    assert_eq!(list.encoding(), "quicklist");
    assert!(list.insert(limit, Side::Before, b"b", b"new"));
    assert!(list.pages.iter().all(|page| page.count() <= 3));
    assert_eq!(texts(list.range(0, 4)), [&b"a"[..], b"new", b"b", b"c"]);
}

#[test]
fn large_elements_have_their_own_page() {
    let mut list = List::new();
    list.push_back(LIMIT, b"a");
    list.push_back(LIMIT, &[b'x'; 1000]);
    list.push_back(LIMIT, b"b");
    assert_eq!(list.pages().len(), 3);
    assert!(list.insert(LIMIT, Side::After, b"a", &[b'y'; 1000]));
    assert_eq!(list.pages().len(), 4);
    assert_eq!(list.index(1).map(Entry::len), Some(1000));
    assert!(list.into_packed().is_err());
}

#[test]
fn packed_bytes_go_in_and_out() {
    let mut list = List::from_packed(Vec::new());
    assert!(list.is_empty());
    list.push_front(LIMIT, b"b");
    list.push_front(LIMIT, b"a");
    list.push_back(LIMIT, b"3");
    let bytes = list.into_packed().unwrap();
    assert_eq!(texts(ListRef::Packed(&bytes).iter()), [&b"a"[..], b"b", b"3"]);
    assert_eq!(ListRef::Packed(&bytes).index(2), Some(Entry::Int(3)));
    assert_eq!(ListRef::Packed(&bytes).index(3), None);
    assert_eq!(texts(ListRef::Packed(&bytes).range_rev(1, 9)), [&b"b"[..], b"a"]);
    let list = List::from_packed(bytes);
    assert_eq!(list.len(), 3);
}

#[test]
fn a_full_page_serves_as_a_queue() {
    let mut list = List::new();
    let mut model = VecDeque::new();
    for i in 0..20_000 {
        let text = format!("job:{i}").into_bytes();
        list.push_front(LIMIT, &text);
        model.push_front(text);
        if model.len() > 20 {
            let popped = list.pop(LIMIT, End::Back, |entry| entry.to_vec());
            assert_eq!(popped, model.pop_back());
        }
    }
    agree(&list, &model);
}

#[derive(Debug, Clone)]
enum Step {
    Push(End, Vec<u8>),
    Pop(End),
    Set(usize, Vec<u8>),
    Insert(Side, usize, Vec<u8>),
    Remove(End, usize, usize),
    Trim(usize, usize),
    Index(usize),
    Positions(usize, i64, usize, usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let end = || prop_oneof![Just(End::Front), Just(End::Back)];
    let side = prop_oneof![Just(Side::Before), Just(Side::After)];
    let text = || {
        prop_oneof![
            4 => (0..12u8).prop_map(|n| n.to_string().into_bytes()),
            4 => "[a-d]{1,30}".prop_map(String::into_bytes),
            1 => (100usize..400).prop_map(|len| vec![b'L'; len]),
        ]
    };
    let index = || any::<u16>().prop_map(usize::from);
    prop_oneof![
        20 => (end(), text()).prop_map(|(end, text)| Step::Push(end, text)),
        5 => end().prop_map(Step::Pop),
        3 => (index(), text()).prop_map(|(index, text)| Step::Set(index, text)),
        6 => (side, index(), text()).prop_map(|(side, at, text)| Step::Insert(side, at, text)),
        2 => (end(), index(), 0usize..4).prop_map(|(end, at, most)| Step::Remove(end, at, most)),
        1 => (0usize..6, 0usize..6).prop_map(|(front, back)| Step::Trim(front, back)),
        2 => index().prop_map(Step::Index),
        2 => (index(), -3i64..4, 0usize..4, 0usize..30)
            .prop_map(|(at, rank, most, looks)| Step::Positions(at, rank, most, looks)),
    ]
}

/// LPOS over a vector, by its documentation.
fn positions_in(
    model: &VecDeque<Vec<u8>>,
    text: &[u8],
    rank: i64,
    most: usize,
    looks: usize,
) -> Vec<usize> {
    let mut order: Vec<usize> = (0..model.len()).collect();
    if rank < 0 {
        order.reverse();
    }
    let looks = if looks == 0 { model.len() } else { looks };
    let most = if most == 0 { usize::MAX } else { most };
    order
        .into_iter()
        .take(looks)
        .filter(|&i| model[i] == text)
        .skip(rank.unsigned_abs().max(1) as usize - 1)
        .take(most)
        .collect()
}

fn remove_from(model: &mut VecDeque<Vec<u8>>, end: End, text: &[u8], most: usize) -> usize {
    let most = if most == 0 { usize::MAX } else { most };
    let mut gone: Vec<usize> = (0..model.len()).filter(|&i| model[i] == text).collect();
    if end == End::Back {
        gone.reverse();
    }
    gone.truncate(most);
    gone.sort_unstable();
    for &i in gone.iter().rev() {
        model.remove(i);
    }
    gone.len()
}

fn apply(list: &mut List, model: &mut VecDeque<Vec<u8>>, limit: PageLimit, step: Step) {
    let len = model.len();
    let existing = |model: &VecDeque<Vec<u8>>, at: usize| {
        if len == 0 { b"none".to_vec() } else { model[at % len].clone() }
    };
    match step {
        Step::Push(End::Front, text) => {
            list.push_front(limit, &text);
            model.push_front(text);
        }
        Step::Push(End::Back, text) => {
            list.push_back(limit, &text);
            model.push_back(text);
        }
        Step::Pop(end) => {
            let popped = list.pop(limit, end, |entry| entry.to_vec());
            let wanted = if end == End::Front { model.pop_front() } else { model.pop_back() };
            assert_eq!(popped, wanted);
        }
        Step::Set(at, text) => {
            let at = if len == 0 { 0 } else { at % (len + 1) };
            assert_eq!(list.set(limit, at, &text), at < len);
            if at < len {
                model[at] = text;
            }
        }
        Step::Insert(side, at, text) => {
            let pivot = existing(model, at);
            let place = model.iter().position(|t| *t == pivot);
            assert_eq!(list.insert(limit, side, &pivot, &text), place.is_some());
            if let Some(place) = place {
                model.insert(place + usize::from(side == Side::After), text);
            }
        }
        Step::Remove(end, at, most) => {
            let text = existing(model, at);
            let removed = list.remove(limit, end, &text, most);
            assert_eq!(removed, remove_from(model, end, &text, most));
        }
        Step::Trim(front, back) => {
            let count = len.saturating_sub(front + back);
            list.trim(limit, front, count);
            model.truncate(len.min(front + count));
            model.drain(..front.min(model.len()));
        }
        Step::Index(at) => {
            let at = if len == 0 { at } else { at % (len + 1) };
            assert_eq!(list.index(at).map(Entry::to_vec).as_ref(), model.get(at));
            let ahead: Vec<_> = model.iter().skip(at).take(7).cloned().collect();
            assert_eq!(texts(list.range(at, 7)), ahead);
        }
        Step::Positions(at, rank, most, looks) => {
            let text = existing(model, at);
            let mut found = Vec::new();
            list.view().positions(&text, rank, most, looks, |i| found.push(i));
            assert_eq!(found, positions_in(model, &text, rank, most, looks));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lists_agree_with_a_deque(
        counted in prop::option::of(1i32..6),
        steps in prop::collection::vec(any_step(), 0..200),
    ) {
        let limit = counted.map_or(LIMIT, PageLimit::of);
        let mut list = List::new();
        let mut model = VecDeque::new();
        for step in steps {
            apply(&mut list, &mut model, limit, step);
            agree(&list, &model);
        }
    }
}
