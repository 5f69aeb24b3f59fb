//! Saving and loading together: every form there and back, old forms, files, and hostile bytes.

mod files;
mod hostile;
mod old;
mod pieces;

use std::collections::BTreeSet;

use ochre_types::hash::Hash;
use ochre_types::limits::Limits;
use ochre_types::list::List;
use ochre_types::set::Set;
use ochre_types::stream::{BlockLimit, Group, Pending, Stream, StreamId};
use ochre_types::value::Value;
use ochre_types::zset::Zset;
use proptest::prelude::*;

use crate::dump::{RestoreError, dump, restore};
use crate::{Dialect, LoadedValue, ValueRef};

pub(crate) const DIALECTS: [Dialect; 4] =
    [Dialect::REDIS_7_0, Dialect::REDIS_7_2, Dialect::REDIS_8, Dialect::VALKEY_9];

/// A value's contents as texts, in order, or sorted where order means nothing.
pub(crate) fn facts(value: ValueRef<'_>) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    match value {
        ValueRef::Text(text) => all.push(text.to_vec()),
        ValueRef::Int(n) => all.push(n.to_string().into_bytes()),
        ValueRef::List(list) => all.extend(list.iter().map(|entry| entry.to_vec())),
        ValueRef::Set(set) => {
            all.extend(set.iter().map(|entry| entry.to_vec()));
            all.sort();
        }
        ValueRef::Zset(zset) => {
            for entry in zset.iter() {
                all.push(entry.member.to_vec());
                all.push((entry.score + 0.0).to_bits().to_string().into_bytes());
            }
        }
        ValueRef::Hash(hash) => {
            let mut fields: Vec<_> = hash.iter(0).collect();
            fields.sort_by_key(|field| field.name.to_vec());
            for field in fields {
                all.push(field.name.to_vec());
                all.push(field.value.to_vec());
                all.push(format!("{:?}", field.expire_at_ms).into_bytes());
            }
        }
        ValueRef::Stream(stream) => all.extend(stream_facts(stream)),
        ValueRef::Sketch(sketch) => {
            let mut bytes = Vec::new();
            sketch.encode(&mut bytes);
            all.push(bytes);
        }
    }
    all
}

fn stream_facts(stream: &Stream) -> Vec<Vec<u8>> {
    let mut all = vec![
        format!(
            "{} {} {} {} {}",
            stream.len(),
            stream.last_id,
            stream.first_id(),
            stream.max_deleted_id,
            stream.entries_added
        )
        .into_bytes(),
    ];
    for entry in stream.iter() {
        all.push(entry.id.to_vec());
        for (field, value) in entry.pairs() {
            all.push(field.to_vec());
            all.push(value.to_vec());
        }
    }
    for (name, group) in stream.groups() {
        all.push(name.to_vec());
        all.push(format!("{} {:?}", group.last_id, group.entries_read).into_bytes());
        for (id, pending) in group.pending_in(StreamId::MIN..=StreamId::MAX) {
            let owner = pending.owner.and_then(|owner| group.consumer(owner));
            let owner = owner.map(|consumer| consumer.name().to_vec());
            let text = format!("{id} {} {} {owner:?}", pending.delivered_ms, pending.deliveries);
            all.push(text.into_bytes());
        }
        for (_, consumer) in group.consumers() {
            all.push(consumer.name().to_vec());
            all.push(format!("{} {}", consumer.seen_ms, consumer.active_ms).into_bytes());
        }
    }
    all
}

/// A loaded value, for [`facts`].
pub(crate) fn loaded(value: &LoadedValue) -> ValueRef<'_> {
    match value {
        LoadedValue::Text(text) => ValueRef::Text(text),
        LoadedValue::Int(n) => ValueRef::Int(*n),
        LoadedValue::Whole(value) => ValueRef::from(value),
    }
}

/// Thresholds that make everything large.
pub(crate) fn tiny() -> Limits {
    Limits {
        hash_max_listpack_entries: 1,
        set_max_intset_entries: 1,
        set_max_listpack_entries: 1,
        zset_max_listpack_entries: 1,
        list_max_listpack_size: 2,
        stream_node_max_entries: 2,
        ..Limits::default()
    }
}

/// A stream of `n` entries, every third deleted, with two groups, and an entry given back.
pub(crate) fn stream(n: u64, limit: BlockLimit) -> Stream {
    let mut stream = Stream::new();
    for at in 1..=n {
        let value = (at * 1000).to_string();
        let pairs: [&[u8]; 4] = [b"field", value.as_bytes(), b"other", b"text"];
        let pairs = if at % 4 == 0 { &pairs[..2] } else { &pairs[..] };
        stream.append(StreamId::new(1_700_000_000_000 + at, at % 2), pairs, limit);
    }
    for at in (3..=n).step_by(3) {
        stream.delete(StreamId::new(1_700_000_000_000 + at, at % 2));
    }
    let mut group = Group::new(StreamId::new(1_700_000_000_002, 0), Some(2));
    let (one, _) = group.add_consumer(b"one", 1_700_000_000_100);
    if let Some(consumer) = group.consumer_mut(one) {
        consumer.active_ms = 1_700_000_000_050;
    }
    group.add_consumer(b"idle", 1_700_000_000_200);
    for at in 1..=n.min(3) {
        let owner = (at != 2).then_some(one);
        let delivered_ms = if owner.is_some() { 1_700_000_000_000 } else { 0 };
        let id = StreamId::new(1_700_000_000_000 + at, at % 2);
        group.pend(id, Pending { delivered_ms, deliveries: 4, owner });
    }
    stream.add_group(b"workers", group);
    stream.add_group(b"", Group::new(StreamId::MIN, None));
    stream
}

/// One value of each form and of several sizes.
pub(crate) fn samples() -> Vec<(&'static str, Value)> {
    let (limits, small) = (Limits::default(), tiny());
    let text = |at: usize| match at % 5 {
        0 => at.to_string().into_bytes(),
        1 => format!("-{at}00000").into_bytes(),
        2 => format!("element number {at}").into_bytes(),
        3 => vec![0xFF, 0, at as u8, (at >> 8) as u8],
        _ => "long and repeating ".repeat(at % 7 + 1).into_bytes(),
    };
    let mut all = Vec::new();
    for (name, limits, count) in
        [("one", &limits, 1), ("few", &limits, 20), ("large", &small, 20), ("many", &limits, 3000)]
    {
        let page = limits.list_page();
        let mut list = List::new();
        let (mut set, mut ints) = (Set::Packed(Vec::new()), Set::new());
        let (mut zset, mut hash, mut soon) = (Zset::new(), Hash::new(), Hash::new());
        for at in 0..count {
            list.push_back(page, &text(at));
            set.add(limits, &[&text(at)[..], b"!"].concat());
            ints.add(limits, ((at as i64 - 3) * 77_777_777).to_string().as_bytes());
            let score = [at as f64, at as f64 / 3.0, -1e300, f64::INFINITY][at % 4];
            zset.put_with(&text(at), |_| Some(score), limits);
            hash.set(limits, &text(at), &text(at + 1), 0);
            soon.set(limits, &text(at), &text(at + 1), 0);
            if at % 3 == 0 {
                soon.set_expiry(&text(at), 4_102_444_800_000 - at as u64 * 1000);
            }
        }
        all.push((name, Value::List(list)));
        all.push((name, Value::Set(set)));
        all.push((name, Value::Set(ints)));
        all.push((name, Value::Zset(zset)));
        all.push((name, Value::Hash(hash)));
        all.push((name, Value::Hash(soon)));
        let stream = stream(count as u64, limits.stream_block());
        all.push((name, Value::Stream(Box::new(stream))));
    }
    let mut list = List::new();
    list.push_back(limits.list_page(), &vec![b'x'; 9000]);
    list.push_back(limits.list_page(), b"y");
    list.push_back(limits.list_page(), &vec![b'0'; 70_000]);
    all.push(("plain", Value::List(list)));
    all.push(("empty", Value::Stream(Box::default())));
    for text in [&b""[..], b"hello", b"-5", b"2147483648", &[b'a'; 500], &[0, 255, 7]] {
        all.push(("string", Value::Str(std::sync::Arc::new(text.to_vec()))));
    }
    let noise = (0..200_000_u32).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_le_bytes()).collect();
    all.push(("noise", Value::Str(std::sync::Arc::new(noise))));
    all
}

#[test]
fn every_form_in_every_dialect() {
    for (name, value) in samples() {
        let value = ValueRef::from(&value);
        for dialect in DIALECTS.into_iter().flat_map(|d| [d, d.compress(false)]) {
            let payload = dump(value, &dialect);
            let back = restore(&payload, &Limits::default());
            let back = back.unwrap_or_else(|e| panic!("{name} {value:?} {dialect:?}: {e:?}"));
            let (mut ours, mut theirs) = (facts(loaded(&back)), facts(value));
            if matches!(value, ValueRef::Stream(_)) && dialect.version() == 10 {
                // That form has no time of activity.
                ours.truncate(1);
                theirs.truncate(1);
            }
            assert!(ours == theirs, "{name} {value:?} {dialect:?}");
            let again = restore(&dump(loaded(&back), &dialect), &tiny()).unwrap();
            assert!(facts(loaded(&again)) == facts(loaded(&back)), "{name} {dialect:?}");
        }
    }
}

#[test]
fn types_follow_form_and_dialect() {
    let kinds = |at: Dialect| -> BTreeSet<(u8, u16)> {
        samples()
            .iter()
            .map(|(_, value)| dump(ValueRef::from(value), &at))
            .map(|payload| {
                let version = &payload[payload.len() - 10..payload.len() - 8];
                (payload[0], u16::from_le_bytes([version[0], version[1]]))
            })
            .collect()
    };
    let with = |kinds: &[u8], version: u16| kinds.iter().map(|&kind| (kind, version)).collect();
    let mut wanted: BTreeSet<(u8, u16)> = with(&[0, 2, 4, 5, 11, 16, 17, 18, 19], 10);
    // No form before Redis 8's.
    wanted.extend([(24, 12), (25, 12)]);
    assert_eq!(kinds(Dialect::REDIS_7_0), wanted);
    let mut wanted: BTreeSet<(u8, u16)> = with(&[0, 2, 4, 5, 11, 16, 17, 18, 20, 21], 11);
    wanted.extend([(24, 12), (25, 12)]);
    assert_eq!(kinds(Dialect::REDIS_7_2), wanted);
    let wanted = with(&[0, 2, 4, 5, 11, 16, 17, 18, 20, 21, 24, 25], 12);
    assert_eq!(kinds(Dialect::REDIS_8), wanted);
    let wanted = with(&[0, 2, 4, 5, 11, 16, 17, 18, 20, 21, 22], 80);
    assert_eq!(kinds(Dialect::VALKEY_9), wanted);
}

#[test]
fn footers_are_checked() {
    let payload = dump(ValueRef::Text(b"v"), &Dialect::REDIS_7_2);
    let limits = Limits::default();
    assert!(restore(&payload, &limits).is_ok());
    for at in 0..payload.len() {
        for bit in 0..8 {
            let mut broken = payload.clone();
            broken[at] ^= 1 << bit;
            assert!(matches!(restore(&broken, &limits), Err(RestoreError::Footer)));
        }
        assert!(matches!(restore(&payload[..at], &limits), Err(RestoreError::Footer)));
    }
    for (version, known) in
        [(0, false), (1, true), (12, true), (13, false), (79, false), (80, true)]
    {
        let found = restore(&with_footer(&payload[..payload.len() - 10], version), &limits);
        assert_eq!(found.is_ok(), known, "{version}");
    }
}

/// A payload from its type and value.
pub(crate) fn with_footer(body: &[u8], version: u16) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload.extend_from_slice(&version.to_le_bytes());
    let sum = crate::checksum::Crc64::of(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    payload
}

fn texts(most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let text = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string().into_bytes()),
        (-200..200_i64).prop_map(|n| n.to_string().into_bytes()),
        "[a-z0-9]{0,12}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..30),
        (0..300_usize).prop_map(|n| vec![b'r'; n]),
    ];
    prop::collection::vec(text, 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn anything_comes_back(
        texts in texts(40),
        scores in prop::collection::vec(any::<f64>(), 40),
        expiries in prop::collection::vec(0..4_u64, 40),
        is_tiny in any::<bool>(),
        which in 0..4_usize,
    ) {
        let limits = if is_tiny { tiny() } else { Limits::default() };
        let mut list = List::new();
        let (mut zset, mut hash) = (Zset::new(), Hash::new());
        let mut set = Set::for_first(&limits, &texts[0], texts.len());
        for (at, text) in texts.iter().enumerate() {
            list.push_back(limits.list_page(), text);
            set.add(&limits, text);
            zset.put_with(text, |_| Some(scores[at]), &limits);
            hash.set(&limits, text, &texts[texts.len() - 1 - at], 0);
            if expiries[at] > 0 {
                hash.set_expiry(text, expiries[at] * 1_000_000_007);
            }
        }
        let mut values = vec![Value::List(list), Value::Set(set), Value::Hash(hash)];
        if !zset.is_empty() {
            values.push(Value::Zset(zset));
        }
        for value in &values {
            let payload = dump(ValueRef::from(value), &DIALECTS[which]);
            let back = restore(&payload, &limits).unwrap();
            prop_assert_eq!(facts(loaded(&back)), facts(ValueRef::from(value)));
        }
    }
}
