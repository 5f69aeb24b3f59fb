//! A disk that is full: what is refused, what is still answered, what is on disk afterwards, and how it goes on
//! when there is room: R4.
//!
//! No file of the server may grow beyond a limit of its process (RLIMIT_FSIZE): writes there are cut short and
//! then fail, as they do on a full disk. The signal that comes with it is ignored from the start on. Room comes
//! back by raising the limit from outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ochre_testkit::{Client, Program, Server, Value};

/// Longest time until something is to be seen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that a file may have until there is room again.
const LIMIT: usize = 256 << 10;
const LIMITED: [&str; 4] =
    ["sh", "-c", "trap '' XFSZ; exec prlimit --fsize=262144: \"$@\"", "limited"];

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ochre-full-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A server that has loaded what is there.
    fn server(&self, prefix: &[&str], options: &[&str]) -> Server {
        let dir = self.0.to_str().unwrap();
        let mut all = vec!["--dir", dir, "--enable-debug-command", "yes"];
        all.extend_from_slice(options);
        let server = Server::start_behind(prefix, &Program::Ochre, &all);
        let mut client = server.client();
        await_that("it has loaded", || client.cmd(&["PING"]) == ok("PONG"));
        server
    }

    /// Names of files that a save or a rewrite has left behind.
    fn leftovers(&self) -> Vec<String> {
        let names = |folder: &Path| {
            let entries = std::fs::read_dir(folder).into_iter().flatten();
            let name = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
            entries.map(|entry| name(entry.unwrap())).collect::<Vec<_>>()
        };
        let all = [names(&self.0), names(&self.0.join("appendonlydir"))].concat();
        all.into_iter().filter(|name| name.starts_with("temp")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn ok(text: &str) -> Value {
    Value::Status(text.as_bytes().to_vec())
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn info(client: &mut Client, field: &str) -> String {
    let reply = client.cmd(&["INFO", "persistence"]);
    let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
    let prefix = format!("{field}:");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

fn make_room(server: &Server) {
    let pid = server.pid().to_string();
    let status = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited:"]).status();
    assert!(status.unwrap().success());
}

/// Some 1 KB that differs from key to key, and is not compressed away.
fn value(n: usize) -> String {
    (0..128).map(|at| format!("{:08x}", (n * 131 + at).wrapping_mul(0x9E37_79B1) as u32)).collect()
}

/// Sets keys, one after another, until that is refused; gives how many were acknowledged, and the error.
fn fill(client: &mut Client) -> (usize, String) {
    for n in 0..2 * LIMIT / 1024 {
        match client.cmd(&["SET", &format!("key:{n}"), &value(n)]) {
            Value::Error(text) => return (n, String::from_utf8_lossy(&text).into_owned()),
            reply => assert_eq!(reply, ok("OK")),
        }
    }
    panic!("nothing was refused");
}

fn has(client: &mut Client, n: usize) -> bool {
    client.cmd(&["GET", &format!("key:{n}")]) == Value::Bulk(value(n).into_bytes())
}

#[test]
fn the_append_only_file_goes_on_when_there_is_room() {
    let folder = Folder::new("aof");
    let options = ["--appendonly", "yes", "--appendfsync", "everysec", "--io-threads", "2"];
    let mut server = folder.server(&LIMITED, &options);
    let mut client = server.client();
    let (count, error) = fill(&mut client);
    assert!(error.starts_with("MISCONF Errors writing to the AOF file: "), "{error}");
    assert!(count > LIMIT / 2048, "{count} keys fit");
    assert_eq!(info(&mut client, "aof_last_write_status"), "err");
    // Whoever asks: what writes is refused, what reads is answered.
    let mut other = server.client();
    for line in
        ["DEL key:0", "INCR n", "XADD s * f v", "FLUSHALL", "EVAL redis.call('SET','n',1) 0"]
    {
        let reply = other.cmd(&line.split(' ').collect::<Vec<_>>());
        let Value::Error(text) = reply else { panic!("{line}: {reply:?}") };
        assert!(text.windows(7).any(|part| part == b"MISCONF"), "{line}");
    }
    assert!((0..count).all(|n| has(&mut other, n)));
    assert_eq!(other.cmd(&["DBSIZE"]), Value::Integer(count as i64));
    make_room(&server);
    await_that("writes are taken again", || client.cmd(&["SET", "after", "x"]) == ok("OK"));
    await_that("it says so", || info(&mut client, "aof_last_write_status") == "ok");
    server.kill();
    // All that was acknowledged, also what came when it could not be written at once.
    let server = folder.server(&[], &options);
    let mut client = server.client();
    assert!((0..count).all(|n| has(&mut client, n)));
    assert_eq!(client.cmd(&["DBSIZE"]), Value::Integer(count as i64 + 1));
}

#[test]
fn what_was_written_before_the_disk_was_full_is_whole() {
    let folder = Folder::new("kill");
    let options =
        ["--appendonly", "yes", "--appendfsync", "everysec", "--aof-load-truncated", "no"];
    let mut server = folder.server(&LIMITED, &options);
    let (count, _) = fill(&mut server.client());
    server.kill();
    // The file ends with a whole record, or this would not start. The reply to the write that failed was on its
    // way, as it is with the peers; all others are there.
    let server = folder.server(&[], &options);
    let mut client = server.client();
    assert!((0..count - 1).all(|n| has(&mut client, n)));
}

#[test]
fn always_ends_the_process_rather_than_its_promise() {
    let folder = Folder::new("always");
    let options = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = folder.server(&LIMITED, &options);
    let mut client = server.client();
    let mut count = 0;
    while let Ok(reply) = client.try_cmd(&["SET", &format!("key:{count}"), &value(count)]) {
        assert_eq!(reply, ok("OK"), "what is not on disk is not answered at all");
        count += 1;
    }
    assert_eq!(server.await_exit(), Some(1));
    assert!(server.log().contains("Can't recover from AOF write error"), "{}", server.log());
    let server = folder.server(&[], &options);
    let mut client = server.client();
    assert!(count > LIMIT / 2048 && (0..count).all(|n| has(&mut client, n)));
}

#[test]
fn a_snapshot_that_does_not_fit_leaves_the_old_one() {
    let folder = Folder::new("rdb");
    let mut server = folder.server(&LIMITED, &["--save", "3600 100000"]);
    let mut client = server.client();
    assert_eq!(client.cmd(&["SET", "k", "v"]), ok("OK"));
    assert_eq!(client.cmd(&["SAVE"]), ok("OK"));
    let old = std::fs::read(folder.0.join("dump.rdb")).unwrap();
    for n in 0..2 * LIMIT / 1024 {
        assert_eq!(client.cmd(&["SET", &format!("key:{n}"), &value(n)]), ok("OK"));
    }
    client.cmd(&["BGSAVE"]);
    await_that("BGSAVE fails", || info(&mut client, "rdb_last_bgsave_status") == "err");
    assert!(std::fs::read(folder.0.join("dump.rdb")).unwrap() == old, "the old file is untouched");
    assert_eq!(folder.leftovers(), [""; 0]);
    let Value::Error(text) = client.cmd(&["SET", "k", "w"]) else { panic!("refused") };
    assert!(text.starts_with(b"MISCONF "), "{}", String::from_utf8_lossy(&text));
    assert!(has(&mut client, 0) && has(&mut client, LIMIT / 1024));
    let Value::Error(_) = client.cmd(&["SAVE"]) else { panic!("SAVE fails, too") };
    assert!(std::fs::read(folder.0.join("dump.rdb")).unwrap() == old, "the old file is untouched");
    assert_eq!(folder.leftovers(), [""; 0]);
    make_room(&server);
    client.cmd(&["BGSAVE"]);
    await_that("BGSAVE works", || info(&mut client, "rdb_last_bgsave_status") == "ok");
    assert_eq!(client.cmd(&["SET", "k", "w"]), ok("OK"));
    server.kill();
    let server = folder.server(&[], &[]);
    let mut client = server.client();
    assert_eq!(client.cmd(&["GET", "k"]), Value::Bulk(b"v".to_vec()));
    assert!((0..2 * LIMIT / 1024).all(|n| has(&mut client, n)));
}

#[test]
fn a_rewrite_that_does_not_fit_harms_nothing() {
    let folder = Folder::new("rewrite");
    let options = ["--appendonly", "yes", "--aof-use-rdb-preamble", "yes"];
    let mut server = folder.server(&[], &options);
    let mut client = server.client();
    let count = 2 * LIMIT / 1024;
    for n in 0..count {
        assert_eq!(client.cmd(&["SET", &format!("key:{n}"), &value(n)]), ok("OK"));
    }
    server.kill();
    // The files are larger than the limit already: the next increment is the first that has room.
    let mut server = folder.server(&LIMITED, &options);
    let mut client = server.client();
    for round in 0..2 {
        client.cmd(&["BGREWRITEAOF"]);
        await_that("the rewrite fails", || {
            info(&mut client, "aof_rewrite_in_progress") == "0"
                && info(&mut client, "aof_last_bgrewrite_status") == "err"
        });
        assert_eq!(folder.leftovers(), [""; 0]);
        let key = format!("after:{round}");
        await_that("writes go on", || client.cmd(&["SET", &key, "x"]) == ok("OK"));
    }
    make_room(&server);
    client.cmd(&["BGREWRITEAOF"]);
    await_that("the rewrite works", || info(&mut client, "aof_last_bgrewrite_status") == "ok");
    await_that("it is over", || info(&mut client, "aof_rewrite_in_progress") == "0");
    client.cmd(&["SET", "last", "x"]);
    server.kill();
    let server = folder.server(&[], &options);
    let mut client = server.client();
    assert!((0..count).all(|n| has(&mut client, n)));
    assert_eq!(client.cmd(&["EXISTS", "after:0", "after:1", "last"]), Value::Integer(3));
}
