//! Snapshots and append-only files of every type, whole, with single bits changed, and cut off at any place: what
//! is loaded or refused, without harm; and that the tool and the server agree. The server's parts run without
//! threads of their own here.

use std::path::Path;

use ochre_base::clock::Now;
use ochre_base::rng::Rng;
use ochre_config::{Config, Settings, Surroundings, Value, table};
use ochre_engine::engine::Engine;
use ochre_engine::replay::Replay;
use ochre_keyspace::lazyfree::Bin;
use ochre_rdb::{Dialect, KeyMeta, RdbWriter, ValueRef};

use super::{Counts, How, Twice, load_from};
use crate::persist::aof::Aof;
use crate::persist::save;
use crate::serve::{Parts, assemble};
use crate::testing::scratch_folder;

/// Changes and cuts that are tried.
const CHANGES: u64 = 400;
const CUTS: u64 = 150;

/// A value of each type and form, in two databases.
const COMMANDS: &[&str] = &[
    "SET text hello",
    "SET number 12345",
    "SET expires soon PXAT 4102444800000",
    "RPUSH list a b 1 2 -7 70000",
    "SADD ints 1 2 3 100000",
    "SADD words a b c",
    "HSET hash f v g 12",
    "HPEXPIREAT hash 4102444800000 FIELDS 1 f",
    "ZADD zset 1 a 2.5 b -inf c",
    "XADD stream 1-1 f v g w",
    "XADD stream 2-1 f v",
    "XGROUP CREATE stream group 0",
    "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
    "PFADD sketch a b c d",
    "MULTI",
    "INCR counter",
    "EXEC",
    "SELECT 5",
    "SET elsewhere x",
];

/// An engine without loops, with DEBUG.
pub(crate) fn server() -> &'static Engine {
    let mut config = Config::new(&Surroundings { cores: 2, folder: std::env::temp_dir() });
    config.replace(const { table::id("enable-debug-command") }, Value::Int(1));
    // The lines about each file are of no use here.
    config.replace(const { table::id("logfile") }, Value::Text(b"/dev/null".to_vec()));
    let settings = Settings::of(&config);
    crate::log::configure(&settings);
    let Parts { engine, .. } = assemble(config, &settings, "no").unwrap();
    engine
}

pub(crate) fn now() -> Now {
    Now { unix_ms: 1_800_000_000_000, unix_us: 1_800_000_000_000_000, mono_us: 0 }
}

/// Runs a line of words, and gives the reply.
pub(crate) fn run(engine: &'static Engine, line: &str) -> String {
    let mut replay = Replay::new(engine, Bin::inline(), now());
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    String::from_utf8_lossy(&replay.command(&words)).into_owned()
}

fn fill(engine: &'static Engine) {
    let mut replay = Replay::new(engine, Bin::inline(), now());
    for line in COMMANDS {
        let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let reply = replay.command(&words);
        assert!(!reply.starts_with(b"-"), "{line}: {}", String::from_utf8_lossy(&reply));
    }
    for n in 0..300 {
        let (key, element) = (format!("key:{n}"), format!("element:{n}"));
        for words in [["SET", &key, &element], ["RPUSH", "biglist", &element]] {
            replay.command(&words.map(str::as_bytes));
        }
        replay.command(&[b"HSET", b"bighash", element.as_bytes(), b"v"]);
        replay.command(&[b"ZADD", b"bigzset", n.to_string().as_bytes(), element.as_bytes()]);
    }
}

fn snapshot(engine: &'static Engine, folder: &Path) -> Vec<u8> {
    let settings = &engine.live().0.settings;
    let path = folder.join("sample.rdb");
    assert!(engine.saves.begin(0));
    save::write(engine, settings, &path, now(), false, || ()).unwrap();
    engine.saves.end(0, None, false);
    std::fs::read(path).unwrap()
}

fn load(engine: &'static Engine, bytes: &[u8]) -> Result<Counts, String> {
    let how = How::alone(now(), Some(bytes.len() as u64));
    load_from(engine, bytes, &how).map(|(counts, _)| counts)
}

fn tool_says(bytes: &[u8]) -> bool {
    crate::check::is_good_snapshot(bytes)
}

#[test]
fn a_snapshot_comes_back_from_any_reader() {
    let engine = server();
    let folder = scratch_folder("load-whole");
    fill(engine);
    let digest = run(engine, "DEBUG DIGEST");
    assert!(digest.starts_with('+'), "{digest}");
    let mut bytes = snapshot(engine, &folder);
    run(engine, "FLUSHALL");
    bytes.extend_from_slice(b"behind");
    let how = How::alone(now(), None);
    let (counts, (ahead, behind)) = load_from(engine, &bytes[..], &how).unwrap();
    assert_eq!([&ahead[..], behind].concat(), b"behind");
    assert_eq!(counts.expired, 0);
    assert_eq!(run(engine, "DEBUG DIGEST"), digest);
    // The keys are there now: the file has them twice, unless they may be replaced.
    let error = load(engine, &bytes[..bytes.len() - 6]).unwrap_err();
    assert!(error.contains("RDB has duplicated key"), "{error}");
    let how = How { twice: Twice::Replaced, ..how };
    load_from(engine, &bytes[..], &how).unwrap();
    assert_eq!(run(engine, "DEBUG DIGEST"), digest);
    drop(std::fs::remove_dir_all(folder));
}

#[test]
fn keys_past_their_time_are_left_out_or_kept() {
    let engine = server();
    let mut writer = RdbWriter::new(Vec::new(), Dialect::REDIS_7_2, true);
    let Ok(()) = writer.header(&[]);
    let past = KeyMeta { expire_at_ms: Some(5), ..KeyMeta::default() };
    let Ok(()) = writer.key(b"past", ValueRef::Text(b"v"), &past);
    let Ok(()) = writer.key(b"key", ValueRef::Text(b"v"), &KeyMeta::default());
    let Ok(bytes) = writer.finish();
    assert_eq!(load(engine, &bytes), Ok(Counts { keys: 1, expired: 1 }));
    run(engine, "FLUSHALL");
    let how = How { keep_expired: true, ..How::alone(now(), None) };
    let counts = load_from(engine, &bytes[..], &how).unwrap().0;
    assert_eq!(counts, Counts { keys: 2, expired: 0 });
}

/// Enough keys for many batches: every worker has a part.
#[test]
fn many_keys_are_loaded_by_many_threads() {
    let engine = server();
    let mut writer = RdbWriter::new(Vec::new(), Dialect::REDIS_7_2, true);
    let Ok(()) = writer.header(&[]);
    for db in 0..3 {
        let Ok(()) = writer.select(db, 0, 0);
        for n in 0..20_000 {
            let key = format!("key:{db}:{n}");
            let Ok(()) = writer.key(key.as_bytes(), ValueRef::Int(n), &KeyMeta::default());
        }
    }
    let mut twice = writer.written();
    let Ok(bytes) = writer.finish();
    assert_eq!(load(engine, &bytes), Ok(Counts { keys: 60_000, expired: 0 }));
    for db in 0..3 {
        let mut replay = Replay::new(engine, Bin::inline(), now());
        replay.command(&[b"SELECT", db.to_string().as_bytes()]);
        assert_eq!(replay.command(&[b"DBSIZE"]), b":20000\r\n");
        let key = format!("key:{db}:19999");
        assert_eq!(replay.command(&[b"GET", key.as_bytes()]), b"$5\r\n19999\r\n");
    }
    run(engine, "FLUSHALL");
    // A value that cannot be decoded, in the middle: its place is named.
    let mut broken = bytes;
    twice /= 2;
    let at = broken[twice as usize..].windows(4).position(|window| window == b"key:").unwrap();
    let key = twice as usize + at;
    broken[key - 2] = 11;
    let error = load(engine, &broken).unwrap_err();
    assert!(error.contains("at offset"), "{error}");
}

#[test]
fn changed_and_cut_snapshots_are_loaded_or_refused() {
    let engine = server();
    let folder = scratch_folder("load-changed");
    fill(engine);
    let bytes = snapshot(engine, &folder);
    run(engine, "FLUSHALL");
    assert!(tool_says(&bytes));
    let mut rng = Rng::new(11);
    // The tail of the file, where there are values of all types, and the whole of it in turns.
    for round in 0..CHANGES {
        let mut changed = bytes.clone();
        let at = rng.below(changed.len() as u64) as usize;
        changed[at] ^= 1 << rng.below(8);
        // Without the sum, what is wrong has to be found in the values.
        let checked = round % 2 == 0;
        if !checked {
            let end = changed.len();
            changed[end - 8..].fill(0);
        }
        let loaded = load(engine, &changed);
        run(engine, "FLUSHALL");
        run(engine, "FUNCTION FLUSH");
        // A key that has become another one may be there twice, and a database may be out of range: only the
        // server knows.
        let agrees = match &loaded {
            Ok(_) => tool_says(&changed),
            Err(why) => {
                let own = why.contains("duplicated") || why.contains("has a database");
                own || !tool_says(&changed)
            }
        };
        assert!(agrees, "byte {at}: {loaded:?}");
        if checked && at >= 9 && at < bytes.len() - 8 {
            assert!(loaded.is_err(), "byte {at} is under the sum");
        }
    }
    for _ in 0..CUTS {
        let end = rng.below(bytes.len() as u64) as usize;
        assert!(load(engine, &bytes[..end]).is_err(), "cut at {end}");
        assert!(!tool_says(&bytes[..end]), "cut at {end}");
        run(engine, "FLUSHALL");
    }
    drop(std::fs::remove_dir_all(folder));
}

/// The commands as an append-only file, without a server that writes it.
fn append_only_file() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in COMMANDS {
        let words: Vec<&str> = line.split(' ').collect();
        bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    bytes
}

#[test]
fn changed_and_cut_append_only_files_are_loaded_or_refused() {
    let engine = server();
    let folder = scratch_folder("load-aof");
    let bytes = append_only_file();
    let path = folder.join("a.aof");
    let try_load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let result = Aof::try_file(engine, &path, &now);
        let left = std::fs::read(&path).unwrap();
        run(engine, "FLUSHALL");
        (result, left)
    };
    assert_eq!(try_load(&bytes).0, Ok(()));
    let mut rng = Rng::new(13);
    for _ in 0..CHANGES {
        let mut changed = bytes.clone();
        let at = rng.below(changed.len() as u64) as usize;
        changed[at] ^= 1 << rng.below(8);
        let (result, left) = try_load(&changed);
        match result {
            // Loaded whole, or cut back to what is whole.
            Ok(()) => assert!(changed.starts_with(&left), "byte {at}"),
            Err(why) => {
                assert!(!why.is_empty());
                assert_eq!(left, changed, "byte {at}: what is refused is not touched");
            }
        }
    }
    for end in 0..bytes.len() {
        let (result, left) = try_load(&bytes[..end]);
        assert_eq!(result, Ok(()), "cut at {end}");
        // It is whole now.
        assert_eq!(try_load(&left), (Ok(()), left.clone()), "cut at {end}");
    }
    drop(std::fs::remove_dir_all(folder));
}
