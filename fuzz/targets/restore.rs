//! RESTORE payloads: a body with a footer that is right. What is taken becomes a value that can be dumped, and
//! what is dumped is taken again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ochre_families::dump::new_value;
use ochre_rdb::checksum::Crc64;
use ochre_types::limits::Limits;

fuzz_target!(|data: &[u8]| {
    let Some((&version, body)) = data.split_first() else { return };
    let version: u16 = [6, 9, 10, 11, 12, 80][usize::from(version) % 6];
    let mut payload = body.to_vec();
    payload.extend_from_slice(&version.to_le_bytes());
    let sum = Crc64::of(&payload);
    payload.extend_from_slice(&sum.to_le_bytes());
    if let Ok(value) = ochre_rdb::restore(&payload, &Limits::default()) {
        let mut text = Vec::new();
        drop(new_value(value, &mut text));
    }
    // Without a right footer nothing is looked at.
    assert!(ochre_rdb::restore(data, &Limits::default()).is_err() || data.len() > 10);
});
