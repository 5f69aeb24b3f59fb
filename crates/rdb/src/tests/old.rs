//! What older servers wrote, put together by hand from the format's description.

use ochre_types::limits::Limits;

use super::{facts, loaded, stream, with_footer};
use crate::LoadError;
use crate::ValueRef;
use crate::dump::{RestoreError, restore};
use crate::format::{Dialect, kind};
use crate::listpack::Writer;
use crate::load::module_name;
use crate::load::ziplist_of;
use crate::save::{put_len, put_string, save_value};
use ochre_types::packed::Entry;
use ochre_types::stream::BlockLimit;

fn text(out: &mut Vec<u8>, text: &[u8]) {
    put_string(out, text, &Dialect::REDIS_7_0);
}

fn listpack(texts: &[&str]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(0);
    texts.iter().for_each(|text| writer.push(Entry::of(text.as_bytes())));
    writer.finish()
}

/// Type, what the value holds (as [`facts`] gives it), the version and the body.
fn cases() -> Vec<(Vec<&'static str>, u16, Vec<u8>)> {
    let mut all = Vec::new();
    let mut add = |facts: &[&'static str], version: u16, kind: u8, fill: &dyn Fn(&mut Vec<u8>)| {
        let mut body = vec![kind];
        fill(&mut body);
        all.push((facts.to_vec(), version, body));
    };
    add(&["a", "7", ""], 1, kind::LIST, &|out| {
        put_len(out, 3);
        [&b"a"[..], b"7", b""].iter().for_each(|element| text(out, element));
    });
    add(&["a", "300", "-1"], 2, kind::LIST_ZIPLIST, &|out| {
        text(out, &ziplist_of(&[b"a", b"300", b"-1"]));
    });
    add(&["a", "b", "c"], 7, kind::LIST_QUICKLIST, &|out| {
        put_len(out, 3);
        text(out, &ziplist_of(&[b"a", b"b"]));
        text(out, &ziplist_of(&[]));
        text(out, &ziplist_of(&[b"c"]));
    });
    let one = "4607182418800017408";
    let (plus, minus) = ("9218868437227405312", "18442240474082181120");
    add(&["low", minus, "m", one, "top", plus], 3, kind::ZSET, &|out| {
        put_len(out, 3);
        text(out, b"m");
        out.extend_from_slice(b"\x011");
        text(out, b"top");
        out.push(254);
        text(out, b"low");
        out.push(255);
    });
    add(&["m", one, "top", plus], 4, kind::ZSET_ZIPLIST, &|out| {
        text(out, &ziplist_of(&[b"m", b"1", b"top", b"inf"]));
    });
    add(&["a", "1", "None", "foo", "bar", "None"], 1, kind::HASH_ZIPMAP, &|out| {
        text(out, b"\x02\x03foo\x03\x01barx\x01a\x01\x001\xFF");
    });
    add(&["a", "1", "None", "b", "2", "None"], 4, kind::HASH_ZIPLIST, &|out| {
        text(out, &ziplist_of(&[b"b", b"2", b"a", b"1"]));
    });
    add(&["a", "1", "Some(5000)", "b", "2", "None"], 12, kind::HASH_EXPIRY_PRE_RELEASE, &|out| {
        put_len(out, 2);
        for (at, field, value) in [(0, b"b", b"2"), (5000, b"a", b"1")] {
            put_len(out, at);
            text(out, field);
            text(out, value);
        }
    });
    let pre = kind::HASH_LISTPACK_EXPIRY_PRE_RELEASE;
    add(&["a", "1", "Some(5000)", "b", "2", "None"], 12, pre, &|out| {
        text(out, &listpack(&["a", "1", "5000", "b", "2", "0"]));
    });
    add(&["b", "2", "None"], 12, pre, &|out| text(out, &listpack(&["b", "2", "0"])));
    add(&["b", "2", "None"], 80, kind::VALKEY_HASH_EXPIRY, &|out| {
        put_len(out, 1);
        text(out, b"b");
        text(out, b"2");
        out.extend_from_slice(&(-1_i64).to_le_bytes());
    });
    all
}

/// All of them, and a stream of Redis 5: bodies and versions.
pub(super) fn old_payloads() -> Vec<(Vec<u8>, u16)> {
    let mut all: Vec<_> = cases().into_iter().map(|(_, version, body)| (body, version)).collect();
    all.push((stream_1(), 9));
    all
}

/// A stream in the form of Redis 5: the later form without what came in between.
fn stream_1() -> Vec<u8> {
    let limit = BlockLimit { bytes: 4096, entries: 4 };
    let mut full = stream(7, limit);
    full.remove_group(b"workers");
    full.remove_group(b"");
    let mut body = vec![0];
    body[0] = save_value(&mut body, ValueRef::Stream(&full), &Dialect::REDIS_7_0);
    assert_eq!(body[0], kind::STREAM_2);
    // Behind the last id stand two more ids, a count, and no groups.
    let mut tail = Vec::new();
    for id in [full.first_id(), full.max_deleted_id] {
        put_len(&mut tail, id.ms);
        put_len(&mut tail, id.seq);
    }
    put_len(&mut tail, full.entries_added);
    put_len(&mut tail, 0);
    assert!(body.ends_with(&tail));
    body.truncate(body.len() - tail.len());
    body[0] = kind::STREAM_1;
    // One group: its name, last id, one pending entry, one consumer.
    put_len(&mut body, 1);
    text(&mut body, b"g");
    put_len(&mut body, full.first_id().ms);
    put_len(&mut body, full.first_id().seq);
    put_len(&mut body, 1);
    let id = (u128::from(full.first_id().ms) << 64 | u128::from(full.first_id().seq)).to_be_bytes();
    body.extend_from_slice(&id);
    body.extend_from_slice(&9_i64.to_le_bytes());
    put_len(&mut body, 2);
    put_len(&mut body, 1);
    text(&mut body, b"c");
    body.extend_from_slice(&11_i64.to_le_bytes());
    put_len(&mut body, 1);
    body.extend_from_slice(&id);
    body
}

#[test]
fn old_forms_are_read() {
    for (wanted, version, body) in cases() {
        let found = restore(&with_footer(&body, version), &Limits::default());
        let found = found.unwrap_or_else(|e| panic!("type {}: {e:?}", body[0]));
        let texts: Vec<String> = facts(loaded(&found))
            .iter()
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .collect();
        assert_eq!(texts, wanted, "type {}", body[0]);
    }
    let found = restore(&with_footer(&stream_1(), 9), &Limits::default()).unwrap();
    let ValueRef::Stream(stream) = loaded(&found) else { panic!("no stream") };
    assert_eq!((stream.len(), stream.entries_added), (5, 5));
    let group = stream.group(b"g").unwrap();
    assert_eq!((group.pending_count(), group.entries_read), (1, Some(1)));
    let (_, consumer) = group.consumers().next().unwrap();
    assert_eq!((consumer.seen_ms, consumer.active_ms, consumer.pending_count()), (11, 11, 1));
}

/// Whether a body is refused for its value.
fn refused(kind: u8, version: u16, fill: impl Fn(&mut Vec<u8>)) -> bool {
    let mut body = vec![kind];
    fill(&mut body);
    let found = restore(&with_footer(&body, version), &Limits::default());
    matches!(found, Err(RestoreError::Value(_)))
}

#[test]
fn nonsense_inside_whole_frames_is_refused() {
    let packed = |kind: u8, texts: &'static [&'static str]| {
        refused(kind, 11, |out| text(out, &listpack(texts)))
    };
    assert!(packed(kind::SET_LISTPACK, &["a", "b", "a"]), "a member twice");
    assert!(packed(kind::HASH_LISTPACK, &["a", "1", "a", "2"]), "a field twice");
    assert!(packed(kind::HASH_LISTPACK, &["a"]), "a field without value");
    assert!(packed(kind::ZSET_LISTPACK, &["a", "1", "a", "2"]), "a member twice");
    assert!(packed(kind::ZSET_LISTPACK, &["a", "nan"]), "no number");
    assert!(packed(kind::ZSET_LISTPACK, &["a", "one"]), "no number");
    assert!(packed(kind::ZSET_LISTPACK, &["a"]), "a member without score");
    assert!(packed(kind::HASH_LISTPACK, &[]), "empty");
    assert!(packed(kind::HASH_LISTPACK_EXPIRY_PRE_RELEASE, &["a", "1", "-5"]), "before 1970");
    assert!(packed(kind::HASH_LISTPACK_EXPIRY_PRE_RELEASE, &["a", "1"]), "no expiry");
    let intset = |width: u32, bytes: &'static [u8], count: u32| {
        refused(kind::SET_INTSET, 11, move |out| {
            let set = [&width.to_le_bytes()[..], &count.to_le_bytes(), bytes].concat();
            text(out, &set);
        })
    };
    assert!(intset(2, &[2, 0, 1, 0], 2), "descends");
    assert!(intset(2, &[1, 0, 1, 0], 2), "twice");
    assert!(intset(3, &[1, 0, 0], 1), "odd width");
    assert!(intset(2, &[1, 0], 2), "too few");
    assert!(intset(0, &[], 0), "no width");
    assert!(!intset(2, &[1, 0, 2, 0], 2), "right");
    for bad in [&[0x40, 0x01][..], &[0xC4], &[0x82], &[]] {
        assert!(refused(kind::STRING, 11, |out| out.extend_from_slice(bad)));
    }
    let score = f64::NAN.to_le_bytes();
    assert!(refused(kind::ZSET_2, 11, |out| out.extend([&[1, 1, b'a'], &score[..]].concat())));
    assert!(refused(kind::ZSET, 11, |out| out.extend([1, 1, b'a', 253])));
    assert!(refused(kind::LIST_QUICKLIST_2, 11, |out| out.extend([1, 3, 1, b'a'])));
    assert!(refused(kind::SET, 11, |out| out.push(0)), "empty");
    assert!(refused(kind::SET, 11, |out| out.extend([2, 1, b'a', 1, b'a'])), "twice");
    assert!(refused(kind::HASH, 11, |out| out.extend([2, 1, b'a', 0, 1, b'a', 0])), "twice");
}

#[test]
fn modules_are_named() {
    // Nine letters of six bits and a version of ten.
    let id = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = b"ReJSON-RL".iter().fold(0_u64, |n, letter| {
        n << 6 | id.iter().position(|other| other == letter).unwrap() as u64
    });
    assert_eq!(module_name(number << 10 | 3), "ReJSON-RL");
    let mut body = vec![kind::MODULE];
    put_len(&mut body, number << 10 | 3);
    match restore(&with_footer(&body, 9), &Limits::default()) {
        Err(RestoreError::Value(LoadError::Module(name))) => assert_eq!(name, "ReJSON-RL"),
        other => panic!("{other:?}"),
    }
}
