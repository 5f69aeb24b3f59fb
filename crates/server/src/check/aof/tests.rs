//! Checking and cutting append-only files: one piece, several parts, with a snapshot at the start.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use ochre_rdb::{Dialect, RdbWriter};

use super::run;
use crate::check::Report;
use crate::testing::scratch_folder;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Removes its folder at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(scratch_folder("check-aof"))
    }

    fn write(&self, name: &str, parts: &[&[u8]]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, parts.concat()).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn tool(flags: &[&str], path: &Path, answer: &str) -> (bool, String) {
    let mut args: Vec<OsString> = flags.iter().map(OsString::from).collect();
    args.push(path.into());
    let mut report = Report(Vec::new());
    let good = run(&args, &mut report, &mut answer.as_bytes());
    (good, String::from_utf8(report.0).unwrap())
}

#[test]
fn one_piece() {
    let folder = Folder::new();
    let path = folder.write("a.aof", &[PING, MULTI, PING, EXEC]);
    let (good, text) = tool(&[], &path, "");
    assert!(good && text.contains("Start checking Old-Style AOF"), "{text}");
    assert!(text.contains("size=57, ok_up_to=57, ok_up_to_line=13, diff=0"), "{text}");
    assert!(!tool(&["--fix"], &folder.0.join("none"), "").0);
    assert!(tool(&["--fox"], &path, "").1.starts_with("Usage: ochre-check-aof"));
    assert!(tool(&["--truncate-to-timestamp", "x"], &path, "").1.contains("Invalid timestamp"));
}

#[test]
fn what_is_torn_is_cut_only_when_that_is_confirmed() {
    let folder = Folder::new();
    for (parts, good_bytes) in [
        (&[PING, &PING[..9]][..], 14),
        (&[PING, MULTI, PING], 14),
        (&[PING, MULTI, PING, &EXEC[..5]], 14),
        (&[PING, b"nonsense", PING], 14),
        (&[PING, EXEC], 14),
        (&[b"*1\r\n$4\r\nPI"], 0),
    ] {
        let path = folder.write("a.aof", parts);
        let before = fs::read(&path).unwrap();
        let (good, text) = tool(&[], &path, "");
        assert!(!good && text.contains("Use the --fix option"), "{text}");
        let (good, text) = tool(&["--fix"], &path, "n\n");
        assert!(!good && text.contains("Continue? [y/N]: Aborting..."), "{text}");
        assert!(!tool(&["--fix"], &path, "").0);
        assert_eq!(fs::read(&path).unwrap(), before);
        let (good, text) = tool(&["--fix"], &path, "y\n");
        assert!(good && text.contains("Successfully truncated AOF"), "{text}");
        assert_eq!(fs::read(&path).unwrap(), before[..good_bytes]);
        assert!(tool(&[], &path, "").0);
    }
}

#[test]
fn several_parts() {
    let folder = Folder::new();
    let mut writer = RdbWriter::new(Vec::new(), Dialect::REDIS_7_2, true);
    let Ok(()) = writer.header(&[(b"aof-base", b"1")]);
    let Ok(base) = writer.finish();
    folder.write("a.1.base.rdb", &[&base, PING]);
    let first = folder.write("a.1.incr.aof", &[PING, &PING[..3]]);
    let second = folder.write("a.2.incr.aof", &[PING, &PING[..3]]);
    let manifest = folder.write(
        "a.manifest",
        &[
            b"file a.1.base.rdb seq 1 type b\n",
            b"file a.1.incr.aof seq 1 type i\n",
            b"file a.2.incr.aof seq 2 type i\n",
        ],
    );
    let (good, text) = tool(&["--fix"], &manifest, "y\n");
    assert!(!good && text.contains("because it is not the last file"), "{text}");
    assert!(text.contains("RDB preamble is OK") && text.contains("BASE AOF a.1.base.rdb is valid"));
    fs::write(&first, PING).unwrap();
    let (good, text) = tool(&["--fix"], &manifest, "y\n");
    assert!(good && text.contains("All AOF files and manifest are valid"), "{text}");
    assert_eq!(fs::read(&second).unwrap(), PING);
    folder.write("a.1.base.rdb", &[&base[..base.len() - 3]]);
    let (good, text) = tool(&["--fix"], &manifest, "y\n");
    assert!(!good && text.contains("RDB preamble of AOF file is not sane"), "{text}");
    fs::write(&manifest, "file a seq x\n").unwrap();
    assert!(tool(&[], &manifest, "").1.contains("Invalid AOF manifest file format"));
}

#[test]
fn files_are_cut_to_a_time() {
    let folder = Folder::new();
    let parts: [&[u8]; 7] =
        [b"#TS:100\r\n", PING, MULTI, b"#TS:200\r\n", PING, EXEC, b"#TS:300\r\n"];
    let cut = |time: &str| {
        let path = folder.write("a.aof", &[&parts.concat(), PING]);
        let (good, text) = tool(&["--truncate-to-timestamp", time], &path, "");
        (good, fs::read(&path).unwrap().len(), text)
    };
    let whole = parts.concat().len() + PING.len();
    assert_eq!(cut("300").1, whole);
    assert_eq!(cut("299").1, whole - PING.len() - 9);
    // Within a transaction: before it.
    let (good, bytes, text) = cut("150");
    assert!(good && bytes == 23, "{bytes} {text}");
    assert!(text.contains("to timestamp 150"), "{text}");
    let (good, bytes, text) = cut("99");
    assert!(!good && bytes == whole && text.contains("has nothing before timestamp 99"), "{text}");
}
