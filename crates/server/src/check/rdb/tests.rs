//! The report on good and broken snapshots.

use ochre_rdb::{Dialect, KeyMeta, RdbWriter, ValueRef};

use super::check;
use crate::check::Report;

fn snapshot(dialect: Dialect, checksum: bool) -> Vec<u8> {
    let mut writer = RdbWriter::new(Vec::new(), dialect, checksum);
    let Ok(()) = writer.header(&[(b"redis-ver", b"7.2.4")]);
    let Ok(()) = writer.select(3, 2, 2);
    let past = KeyMeta { expire_at_ms: Some(5), ..KeyMeta::default() };
    let future = KeyMeta { expire_at_ms: Some(4_102_444_800_000), ..KeyMeta::default() };
    let Ok(()) = writer.key(b"past", ValueRef::Text(b"a value"), &past);
    let Ok(()) = writer.key(b"future", ValueRef::Int(7), &future);
    let Ok(bytes) = writer.finish();
    bytes
}

fn report(bytes: &[u8]) -> (bool, String) {
    let mut report = Report(Vec::new());
    let good = check(bytes, bytes.len() as u64, "x.rdb", &mut report).is_some();
    (good, String::from_utf8(report.0).unwrap())
}

#[test]
fn good_snapshots_of_both_families() {
    for dialect in [Dialect::REDIS_7_2, Dialect::VALKEY_9] {
        let bytes = snapshot(dialect, true);
        let (good, text) = report(&bytes);
        assert!(good, "{text}");
        for line in [
            "[offset 0] Checking RDB file x.rdb",
            "[offset 26] AUX FIELD redis-ver = '7.2.4'",
            "[offset 28] Selecting DB ID 3",
            &format!("[offset {}] Checksum OK", bytes.len()),
            &format!("[offset {}] \\o/ RDB looks OK! \\o/", bytes.len()),
            "[info] 2 keys read",
            "[info] 2 expires",
            "[info] 1 already expired",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(report(&snapshot(dialect, false)).1.contains("it was disabled"));
    }
}

#[test]
fn what_is_broken_is_named() {
    let bytes = snapshot(Dialect::REDIS_7_2, true);
    let at = bytes.windows(7).position(|window| window == b"a value").unwrap();
    let (good, text) = report(&bytes[..at + 3]);
    assert!(!good);
    for line in [
        "--- RDB ERROR DETECTED ---",
        "[additional info] While doing: read-object-value",
        "[additional info] Reading key 'past'",
        "[additional info] Reading type 0 (string)",
        "[info] 0 keys read",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let mut changed = bytes;
    changed[at] ^= 1;
    let (good, text) = report(&changed);
    assert!(!good && text.contains("RDB CRC error") && text.contains("check-sum"), "{text}");
    assert!(!report(b"").0 && !report(b"REDIS0099").0 && !report(b"nonsense, nonsense").0);
}
