//! A database against a model: every key keeps its value, expiry and clock, whatever the operations, and
//! memory comes back.

use super::*;
use ochre_base::rng::Rng;
use ochre_types::limits::Limits;
use std::collections::BTreeMap;

type Model = BTreeMap<Vec<u8>, (Vec<u8>, Option<Millis>)>;

fn text_of(db: &Db, slot: Slot) -> Vec<u8> {
    let entry = db.entry(slot);
    match db.text(&entry) {
        Some(Text::Bytes(bytes)) => bytes.to_vec(),
        Some(Text::Int(n)) => n.to_string().into_bytes(),
        Some(Text::Blob(blob)) => blob.to_vec(),
        None => panic!("a string"),
    }
}

fn random_value(rng: &mut Rng) -> Vec<u8> {
    match rng.below(5) {
        0 => (rng.next_u64() as i64 >> rng.below(60)).to_string().into_bytes(),
        1 => vec![b'v'; rng.below(40) as usize],
        2 => vec![b'w'; rng.below(1600) as usize],
        3 => vec![b'x'; 1500 + rng.below(4000) as usize],
        _ => b"007".to_vec(),
    }
}

fn check(db: &Db, model: &Model) {
    assert_eq!(db.len(), model.len());
    assert_eq!(db.expires(), model.values().filter(|(_, e)| e.is_some()).count());
    for (name, (value, expiry)) in model {
        let slot = db.find(Key::new(name)).expect("the model has it");
        assert_eq!(&text_of(db, slot), value);
        assert_eq!(db.entry(slot).expiry, *expiry);
    }
}

#[test]
fn strings_follow_the_model() {
    for seed in 0..5 {
        let mut rng = Rng::new(seed);
        let (mut db, mut model) = (Db::default(), Model::new());
        let rounds = 8_000;
        for round in 0..rounds {
            let name = format!("k{}", rng.below(600)).into_bytes();
            let key = Key::new(&name);
            let slot = db.find(key);
            assert_eq!(slot.is_some(), model.contains_key(&name));
            let expiry =
                (rng.below(2) == 0).then(|| 1_500_000_000_000 + rng.next_u64() as i64 % (1 << 42));
            match (rng.below(6), slot) {
                (0 | 1, _) => {
                    let value = random_value(&mut rng);
                    let raw = rng.below(3) == 0;
                    let new = if raw { NewValue::Raw(&value) } else { NewValue::Text(&value) };
                    db.put(key, slot, new, expiry, 5);
                    model.insert(name.clone(), (value, expiry));
                }
                (2, Some(slot)) => {
                    db.set_expiry(slot, expiry);
                    model.get_mut(&name).unwrap().1 = expiry;
                }
                (3, Some(slot)) => {
                    db.remove(slot);
                    model.remove(&name);
                }
                (4, Some(slot)) => {
                    db.set_access(slot, round as u32 & 0xFF_FFFF);
                    assert_eq!(db.entry(slot).access, round as u32 & 0xFF_FFFF);
                }
                (5, Some(slot)) => {
                    let (detached, expiry, access) = db.detach(slot);
                    let (value, _) = model.remove(&name).unwrap();
                    let other = [&name[..], b"-moved"].concat();
                    let to = db.find(Key::new(&other));
                    db.put(Key::new(&other), to, NewValue::Detached(detached), expiry, access);
                    model.insert(other, (value, expiry));
                }
                _ => {}
            }
            if round % 2000 == 0 {
                check(&db, &model);
                if db.begin_compaction() {
                    for segment in 0..db.table().segments() {
                        db.compact_segment(segment);
                    }
                    db.end_compaction();
                    check(&db, &model);
                }
            }
        }
        check(&db, &model);
        for name in model.keys() {
            let slot = db.find(Key::new(name)).unwrap();
            db.remove(slot);
        }
        assert_eq!((db.len(), db.arena.live_bytes(), db.table.heap_bytes()), (0, 0, 0));
        assert!(db.objects.slots.is_empty());
    }
}

/// A small collection moves out of its entry as it grows, and takes its key with it when emptied.
#[test]
fn collections_grow_out_of_their_entry_and_vanish_when_empty() {
    let mut db = Db::default();
    let limits = Limits::default();
    let key = Key::new(b"set");
    db.put(key, None, NewValue::Whole(Value::Set(Set::new())), Some(1_700_000_000_000), 0);
    for n in 0..2000 {
        let slot = db.find(key).unwrap();
        let (added, edited) = db.edit(slot, |value| match value {
            Value::Set(set) => set.add(&limits, format!("member:{n}").as_bytes()),
            _ => panic!("a set"),
        });
        assert!(added && matches!(edited, Edited::Kept));
        assert_eq!(db.entry(db.find(key).unwrap()).expiry, Some(1_700_000_000_000));
    }
    assert_eq!(db.entry(db.find(key).unwrap()).kind, Kind::Object);
    for n in 0..2000 {
        let slot = db.find(key).unwrap();
        let (_, edited) = db.edit(slot, |value| match value {
            Value::Set(set) => set.remove(format!("member:{n}").as_bytes()),
            _ => panic!("a set"),
        });
        assert_eq!(matches!(edited, Edited::Emptied(_)), n == 1999);
    }
    assert!(db.find(key).is_none());
    assert_eq!((db.len(), db.expires()), (0, 0));
}

#[test]
fn entries_due_in_a_segment_are_found_in_batches() {
    let mut db = Db::default();
    for n in 0..300i64 {
        let name = n.to_string().into_bytes();
        db.put(Key::new(&name), None, NewValue::Int(n), Some(1_600_000_000_000 + n), 0);
    }
    let now = 1_600_000_000_000 + 150;
    let mut all = Vec::new();
    let mut from = 0;
    while let Some(segment) = db.table().due_segment(from, now as u64) {
        let mut due = Vec::new();
        let done = db.due_in_segment(segment, now, 7, &mut due);
        for name in &due {
            let slot = db.find(Key::new(name)).unwrap();
            db.remove(slot);
        }
        all.append(&mut due);
        from = if done { segment + 1 } else { segment };
    }
    assert_eq!(all.len(), 150);
    assert_eq!(db.len(), 150);
}
