//! Whole files: written and read, cut and changed, byte by byte.

use std::io::{self, Read};

use ochre_base::rng::Rng;

use super::{DIALECTS, facts, loaded, samples};
use crate::format::opcode;
use crate::save::put_len;
use crate::{
    Dialect, Family, Item, KeyMeta, LoadError, RdbReader, RdbWriter, ReadOptions, ValueRef,
    encode_key,
};

fn meta(at: usize) -> KeyMeta {
    match at % 4 {
        0 => KeyMeta::default(),
        1 => KeyMeta { expire_at_ms: Some(4_102_444_800_000 + at as i64), ..KeyMeta::default() },
        2 => KeyMeta { idle_s: Some(at as u64 * 100), ..KeyMeta::default() },
        _ => KeyMeta { expire_at_ms: Some(-5), frequency: Some(200), idle_s: None },
    }
}

/// A file of all samples; half of the records are encoded apart.
pub(super) fn file(dialect: Dialect, checksum: bool, skip: &str) -> Vec<u8> {
    let mut writer = RdbWriter::new(Vec::new(), dialect, checksum);
    let Ok(()) = writer.header(&[(b"redis-ver", b"7.2.4"), (b"redis-bits", b"64")]);
    let Ok(()) = writer.function(b"#!lua name=f\nredis.register_function('f', function() end)");
    let Ok(()) = writer.select(3, 40, 5);
    for (at, (name, value)) in samples().iter().enumerate() {
        if skip.contains(name) {
            continue;
        }
        let key = format!("key:{at}");
        if at % 2 == 0 {
            let Ok(()) = writer.key(key.as_bytes(), ValueRef::from(value), &meta(at));
        } else {
            let mut record = Vec::new();
            encode_key(&mut record, key.as_bytes(), ValueRef::from(value), &meta(at), &dialect);
            let Ok(()) = writer.records(&record);
        }
    }
    let written = writer.written();
    let Ok(bytes) = writer.finish();
    assert_eq!(bytes.len() as u64, written + 9);
    bytes
}

fn read_all<R: Read>(
    read: R,
    options: ReadOptions,
) -> Result<(Vec<Item>, RdbReader<R>), LoadError> {
    let mut reader = RdbReader::new(read, options)?;
    let mut items = Vec::new();
    loop {
        match reader.next_item()? {
            Item::End => return Ok((items, reader)),
            item => items.push(item),
        }
    }
}

/// Gives one to three bytes at a time.
struct Drip<'a>(&'a [u8]);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(1 + self.0.len() % 3);
        self.0.read(&mut out[..most])
    }
}

#[test]
fn files_come_back() {
    let samples = samples();
    for dialect in DIALECTS {
        let mut bytes = file(dialect, true, "");
        bytes.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
        let (items, reader) = read_all(&bytes[..], ReadOptions::default()).unwrap();
        assert_eq!((reader.version(), reader.family()), (dialect.version(), dialect.family()));
        assert_eq!(reader.offset(), bytes.len() as u64 - 14);
        let (mut rest, mut behind) = reader.into_rest();
        behind.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"*1\r\n$4\r\nPING\r\n");
        let mut keys = 0;
        for item in items {
            match item {
                Item::Aux { name, value } => assert!(matches!(
                    (&name[..], &value[..]),
                    (b"redis-ver", b"7.2.4") | (b"redis-bits", b"64")
                )),
                Item::Function(source) => assert!(source.starts_with(b"#!lua name=f")),
                Item::Select(db) => assert_eq!(db, 3),
                Item::Resize { keys, expires } => assert_eq!((keys, expires), (40, 5)),
                Item::Key(found) => {
                    assert_eq!(found.key, format!("key:{keys}").as_bytes());
                    assert_eq!(found.meta, meta(keys));
                    let (ours, wanted) =
                        (facts(loaded(&found.value)), facts(ValueRef::from(&samples[keys].1)));
                    // Redis 7.0's streams have no time of activity.
                    assert!(ours == wanted || dialect.version() == 10 && ours[0] == wanted[0]);
                    keys += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(keys, samples.len());
    }
}

#[test]
fn slow_readers_and_checksums() {
    let bytes = file(Dialect::REDIS_7_2, true, "many noise");
    let (items, mut reader) = read_all(Drip(&bytes), ReadOptions::default()).unwrap();
    assert!(items.len() > 20);
    assert!(matches!(reader.next_item(), Ok(Item::End)));
    let mut broken = bytes.clone();
    let end = broken.len();
    broken[end - 3] ^= 1;
    let found = read_all(&broken[..], ReadOptions::default());
    assert!(matches!(found, Err(LoadError::Checksum { .. })));
    let careless = ReadOptions { checksum: false, ..ReadOptions::default() };
    assert!(read_all(&broken[..], careless).is_ok());
    broken[end - 8..].fill(0);
    assert!(read_all(&broken[..], ReadOptions::default()).is_ok(), "written without checksum");
    let without = file(Dialect::REDIS_7_2, false, "many noise");
    assert_eq!(without[..end - 8], broken[..end - 8]);
    assert_eq!(without[end - 8..], [0; 8]);
}

#[test]
fn cut_and_changed_files_are_refused() {
    let bytes = file(Dialect::REDIS_8, true, "many noise large plain");
    for cut in 0..bytes.len() {
        let size = (cut % 2 == 0).then_some(cut as u64);
        let found = read_all(&bytes[..cut], ReadOptions { size, ..ReadOptions::default() });
        let right = match found {
            Err(LoadError::Signature) => cut < 9,
            Err(LoadError::Truncated) => cut >= 9,
            _ => false,
        };
        assert!(right, "cut at {cut}");
    }
    let mut rng = Rng::new(7);
    for _ in 0..5000 {
        let mut broken = bytes.clone();
        let at = rng.below(bytes.len() as u64) as usize;
        broken[at] ^= 1 + rng.below(255) as u8;
        let size = Some(bytes.len() as u64);
        let found = read_all(&broken[..], ReadOptions { size, ..ReadOptions::default() });
        assert!(found.is_err(), "changed at {at}");
    }
}

#[test]
fn heads_are_checked() {
    let head = |bytes: &[u8], relaxed: bool| {
        let options = ReadOptions { relaxed, ..ReadOptions::default() };
        RdbReader::new(bytes, options).map(|reader| (reader.family(), reader.version()))
    };
    assert!(matches!(head(b"REDIS0012", false), Ok((Family::Redis, 12))));
    assert!(matches!(head(b"VALKEY080", false), Ok((Family::Valkey, 80))));
    for bad in [&b"REDIS0013"[..], b"REDIS0000", b"VALKEY081", b"VALKEY011", b"REDIS0080"] {
        assert!(matches!(head(bad, false), Err(LoadError::Version { .. })), "{bad:?}");
    }
    assert!(matches!(head(b"REDIS0013", true), Ok((Family::Redis, 13))));
    for bad in [&b"REDIS001x"[..], b"REDIX0011", b"", b"REDIS", b"VALKEY08"] {
        assert!(matches!(head(bad, true), Err(LoadError::Signature)), "{bad:?}");
    }
    // Before version 5 nothing stands behind the end.
    let (items, _) =
        read_all(&b"REDIS0004\xFE\0\0\x01k\x01v\xFF"[..], ReadOptions::default()).unwrap();
    assert_eq!(items.len(), 2);
}

#[test]
fn rare_opcodes() {
    let mut bytes = b"VALKEY080".to_vec();
    bytes.extend_from_slice(&[opcode::SLOT_INFO, 5, 2, 1]);
    bytes.push(opcode::SLOT_IMPORT);
    bytes.push(40);
    bytes.extend_from_slice(&[b'j'; 40]);
    bytes.push(1);
    put_len(&mut bytes, 100);
    put_len(&mut bytes, 16_383);
    bytes.push(opcode::MODULE_AUX);
    put_len(&mut bytes, 0xFFFF_FFFF_FFFF_FFFF);
    // When it is loaded; then an integer, a float, a double, a string, the end.
    bytes.extend_from_slice(&[
        2, 1, 1, 0, 3, 1, 2, 3, 4, 4, 1, 2, 3, 4, 5, 6, 7, 8, 5, 2, b'a', b'b', 0,
    ]);
    // A set without members, with an expiry that is not for the next key.
    bytes.extend_from_slice(&[opcode::EXPIRE_S, 1, 0, 0, 0, 2, 1, b'e', 0]);
    bytes.extend_from_slice(&[opcode::EXPIRE_S, 2, 0, 0, 0, 0, 1, b'k', 0xC0, 7]);
    bytes.extend_from_slice(&[0, 1, b'l', 0, opcode::EOF, 0, 0, 0, 0, 0, 0, 0, 0]);
    let (items, reader) = read_all(&bytes[..], ReadOptions::default()).unwrap();
    assert_eq!(reader.skipped_empty(), 1);
    let shown = format!("{items:?}");
    for part in [
        "SlotInfo { slot: 5, keys: 2, expires: 1 }",
        "ranges: [(100, 16383)]",
        "ModuleAux(\"_________\")",
        "value: Int(7), meta: KeyMeta { expire_at_ms: Some(2000), idle_s: None, frequency: None }",
        "value: Text([]), meta: KeyMeta { expire_at_ms: None",
    ] {
        assert!(shown.contains(part), "{part} not in {shown}");
    }
    let refuse = |tail: &[u8]| {
        let bytes = [b"REDIS0011", tail].concat();
        read_all(&bytes[..], ReadOptions::default()).err().map(|error| error.to_string())
    };
    assert_eq!(refuse(&[246]).as_deref(), Some("pre-release function format not supported"));
    assert_eq!(refuse(&[30, 1, b'k', 0]).as_deref(), Some("unknown type or opcode 30"));
    assert_eq!(refuse(&[243, 1, b'x', 0]).as_deref(), Some("corrupt slot migration"));
}
