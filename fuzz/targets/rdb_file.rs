//! Snapshots: read at once, and by pieces that are decoded afterwards. Both agree whether the file is sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ochre_rdb::{Item, Piece, RdbReader, ReadOptions, Records};

fn options(data: &[u8]) -> ReadOptions {
    ReadOptions { checksum: false, size: Some(data.len() as u64), ..ReadOptions::default() }
}

/// Keys of a file; none when it is broken.
fn keys(data: &[u8]) -> Option<u64> {
    let mut reader = RdbReader::new(data, options(data)).ok()?;
    let mut keys = 0;
    loop {
        match reader.next_item().ok()? {
            Item::End => return Some(keys),
            Item::Key(_) => keys += 1,
            _ => {}
        }
    }
}

fn keys_by_pieces(data: &[u8]) -> Option<u64> {
    let mut reader = RdbReader::new(data, options(data)).ok()?;
    let family = match data.starts_with(b"VALKEY") {
        true => ochre_rdb::Family::Valkey,
        false => ochre_rdb::Family::Redis,
    };
    let (mut records, mut keys) = (Vec::new(), 0);
    loop {
        records.clear();
        match reader.next_piece(&mut records).ok()? {
            Piece::Item(Item::End) => return Some(keys),
            Piece::Item(_) => {}
            Piece::Record => {
                let limits = options(data).limits;
                let mut decoded = Records::new(&records, family, &limits);
                while decoded.next_key().ok()?.is_some() {
                    keys += 1;
                }
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    assert_eq!(keys(data), keys_by_pieces(data));
});
