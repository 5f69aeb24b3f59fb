//! What is saved in parts is read as what is saved whole.

use ochre_base::rng::Rng;
use ochre_types::limits::Limits;
use ochre_types::stream::{BlockLimit, Group, Pending, Stream, StreamId};
use ochre_types::value::Value;

use super::*;
use crate::ValueRef;
use crate::dump::{dump, restore};
use crate::record::head_foreign_to;
use crate::tests::{DIALECTS, facts, loaded, samples, with_footer};

/// A value in parts as a payload for RESTORE; none when it is only saved whole.
fn payload_in_parts(value: &mut Value, dialect: &Dialect) -> Option<Vec<u8>> {
    let head = value.begin_capture()?;
    let mut out = Vec::new();
    let mut encoder = PartsEncoder::begin(&mut out, b"", &head, &KeyMeta::default(), dialect);
    loop {
        let step = value.capture_step();
        step.parts.into_iter().for_each(|part| encoder.part(&mut out, part));
        if step.is_last {
            break;
        }
    }
    encoder.end(&mut out);
    // The type, the empty key, the value.
    assert_eq!(out.remove(1), 0);
    let version = if out[0] == kind::HASH_EXPIRY { 12 } else { dialect.version() };
    Some(with_footer(&out, version))
}

#[test]
fn parts_make_the_same_value() {
    let mut in_parts = 0;
    for (name, mut value) in samples() {
        for dialect in DIALECTS.into_iter().flat_map(|d| [d, d.compress(false)]) {
            let Some(payload) = payload_in_parts(&mut value, &dialect) else { continue };
            in_parts += 1;
            let whole = dump(ValueRef::from(&value), &dialect);
            let [ours, theirs] =
                [&payload, &whole].map(|bytes| restore(bytes, &Limits::default()).unwrap());
            let same = facts(loaded(&ours)) == facts(loaded(&theirs));
            assert!(same, "{name} {value:?} {dialect:?}");
            assert_eq!(payload[0], whole[0], "the same type of value");
        }
    }
    assert!(in_parts > 100);
}

/// What a format lacks is the same for a value that is saved whole and one that comes in parts.
#[test]
fn what_a_format_lacks() {
    let (mut in_parts, mut lacking) = (0, 0);
    for (name, mut value) in samples() {
        let expires = ValueRef::from(&value).has_field_expiry();
        for dialect in DIALECTS {
            let older = dialect.version() < Dialect::REDIS_8.version();
            let whole = ValueRef::from(&value).foreign_to(&dialect);
            assert_eq!(whole.is_some(), expires && older, "{name} {dialect:?}");
            lacking += usize::from(whole.is_some());
            if let Some(head) = value.begin_capture() {
                in_parts += 1;
                assert_eq!(head_foreign_to(&head, &dialect), whole, "{name} {dialect:?}");
                while !value.capture_step().is_last {}
            }
        }
    }
    assert!(in_parts > 50 && lacking > 5, "{in_parts} {lacking}");
}

/// Many pending entries, of consumers, of nobody, and of the consumer without a name.
#[test]
fn groups_of_several_steps() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut stream = Stream::new();
        for n in 1..1000 {
            stream.append(
                StreamId::new(n, 0),
                &[b"f", b"v"],
                BlockLimit { bytes: 4096, entries: 100 },
            );
        }
        for name in [&b"one"[..], b"two", b"none"] {
            let mut group = Group::new(StreamId::new(900, 0), Some(900));
            let mut consumers = vec![None];
            if name != b"none" {
                for n in 0..rng.below(4) {
                    let name = if n == 3 { String::new() } else { format!("consumer:{n}") };
                    consumers.push(Some(group.add_consumer(name.as_bytes(), n as i64).0));
                }
                for n in 1..=900 {
                    let owner = consumers[rng.below(consumers.len() as u64) as usize];
                    let delivered_ms = if owner.is_some() { n as i64 } else { 0 };
                    let pending = Pending { delivered_ms, deliveries: 1, owner };
                    group.pend(StreamId::new(n, 0), pending);
                }
            }
            stream.add_group(name, group);
        }
        let mut value = Value::Stream(Box::new(stream));
        for dialect in DIALECTS {
            let payload = payload_in_parts(&mut value, &dialect).unwrap();
            let whole = dump(ValueRef::from(&value), &dialect);
            assert!(payload == whole, "the same bytes, seed {seed}");
        }
    }
}
