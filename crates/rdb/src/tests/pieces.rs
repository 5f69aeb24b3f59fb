//! Files walked by the lengths alone: the same keys as when they are decoded at once, for every type and version,
//! and no harm from hostile bytes.

use std::io::Read;

use ochre_base::rng::Rng;
use ochre_types::limits::Limits;

use super::files::file;
use super::old::old_payloads;
use super::{DIALECTS, facts, loaded};
use crate::reader::key_of;
use crate::{Item, LoadError, Loaded, Piece, RdbReader, ReadOptions, Records};

/// All keys of a file, through records in batches of `batch`, and how many of its items are none.
fn through_records(bytes: &[u8], batch: usize) -> Result<(Vec<Loaded>, usize), LoadError> {
    let options = ReadOptions { size: Some(bytes.len() as u64), ..ReadOptions::default() };
    let mut reader = RdbReader::new(bytes, options)?;
    let (mut keys, mut others, mut pending, mut count) = (Vec::new(), 0, Vec::new(), 0);
    loop {
        let piece = reader.next_piece(&mut pending)?;
        let over = matches!(piece, Piece::Item(Item::End));
        match piece {
            Piece::Record => count += 1,
            Piece::Item(Item::Key(_)) => panic!("keys come as records"),
            Piece::Item(_) => others += 1,
        }
        if over || count == batch {
            let mut records = Records::new(&pending, reader.family(), &Limits::default());
            while let Some(key) = records.next_key()? {
                keys.push(key);
            }
            assert_eq!(records.offset(), pending.len() as u64);
            pending.clear();
            count = 0;
        }
        if over {
            let mut rest = Vec::new();
            let (ahead, mut behind) = reader.into_rest();
            rest.extend(ahead);
            behind.read_to_end(&mut rest)?;
            assert!(rest.is_empty());
            return Ok((keys, others));
        }
    }
}

fn at_once(bytes: &[u8]) -> Result<(Vec<Loaded>, usize), LoadError> {
    let mut reader = RdbReader::new(bytes, ReadOptions::default())?;
    let (mut keys, mut others) = (Vec::new(), 0);
    loop {
        match reader.next_item()? {
            Item::Key(key) => keys.push(key),
            Item::End => return Ok((keys, others + 1)),
            _ => others += 1,
        }
    }
}

#[test]
fn records_are_the_keys() {
    for dialect in DIALECTS {
        let bytes = file(dialect, true, "");
        let (expected, others) = at_once(&bytes).unwrap();
        for batch in [1, 3, usize::MAX] {
            let (found, found_others) = through_records(&bytes, batch).unwrap();
            assert_eq!(found_others, others);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!((&found.key, found.meta), (&expected.key, expected.meta));
                assert_eq!(facts(loaded(&found.value)), facts(loaded(&expected.value)));
            }
        }
    }
}

/// Types that are not written any more, each as the only key of a file.
#[test]
fn old_types_end_where_they_end() {
    for (body, version) in old_payloads() {
        let mut bytes = match version {
            80 => b"VALKEY080".to_vec(),
            _ => format!("REDIS{version:04}").into_bytes(),
        };
        bytes.extend_from_slice(&[253, 1, 0, 0, 0, body[0], 1, b'k']);
        bytes.extend_from_slice(&body[1..]);
        bytes.extend_from_slice(&[255, 0, 0, 0, 0, 0, 0, 0, 0]);
        if version < 5 {
            bytes.truncate(bytes.len() - 8);
        }
        let (keys, _) = through_records(&bytes, 1).unwrap_or_else(|error| {
            panic!("type {} of version {version}: {error}", body[0]);
        });
        assert_eq!(keys.len(), 1, "type {}", body[0]);
        assert_eq!((&keys[0].key[..], keys[0].meta.expire_at_ms), (&b"k"[..], Some(1000)));
        assert_eq!(key_of(&bytes[9..]).unwrap(), b"k");
    }
}

/// Whatever the bytes are, walking and decoding end, and agree on whether the file is good.
#[test]
fn changed_files_are_refused_by_both_or_neither() {
    let bytes = file(DIALECTS[2].compress(false), false, "many noise plain");
    let mut rng = Rng::new(7);
    for _ in 0..3000 {
        let mut changed = bytes.clone();
        let at = rng.below(changed.len() as u64) as usize;
        changed[at] ^= 1 << rng.below(8);
        let (one, other) = (at_once(&changed), through_records(&changed, 4));
        // Bytes beyond the end, which only one of them looks at, are no part of the file.
        assert_eq!(one.is_ok(), other.is_ok(), "byte {at}: {one:?} {other:?}");
    }
    for end in 0..bytes.len() {
        assert!(through_records(&bytes[..end], 4).is_err(), "cut at {end}");
    }
}
