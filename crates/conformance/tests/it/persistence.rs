//! SAVE, BGSAVE, the append-only file, and what is there after a restart: R4, R2.3.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ochre_testkit::{Client, Program, Server, Value};

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ochre-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn server(&self, options: &[&str]) -> Server {
        self.run(&Program::Ochre, options)
    }

    fn run(&self, program: &Program, options: &[&str]) -> Server {
        let dir = self.0.to_str().unwrap();
        let mut all = vec!["--dir", dir, "--enable-debug-command", "yes"];
        all.extend_from_slice(options);
        let server = Server::start(program, &all);
        // It may be loading.
        while server.client().cmd(&["PING"]) != Value::Status(b"PONG".to_vec()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Values of every type and form, with and without expiry, in two databases.
fn fill(client: &mut Client) {
    let lines = [
        "SET text hello",
        "SET number 12345",
        "SET empty ''",
        "SETEX expires 10000 soon",
        "RPUSH list a b 1 2 -7 70000",
        "SADD ints 1 2 3 100000",
        "SADD words a b c",
        "HSET hash f v g 12",
        "ZADD zset 1 a 2.5 b -inf c",
        "XADD stream 1-1 f v g w",
        "XADD stream 2-1 f v",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
        "SETBIT bits 1000 1",
        "PFADD sketch a b c d",
        "GEOADD places 13.361389 38.115556 Palermo",
        "SELECT 5",
        "SET elsewhere x",
        "SELECT 0",
    ];
    for line in lines {
        let words: Vec<&str> = line.split(' ').map(|word| word.trim_matches('\'')).collect();
        let reply = client.cmd(&words);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
    client.cmd(&["SET", "large", &"x".repeat(100_000)]);
    for n in 0..2000 {
        let name = format!("element:{n}");
        client.cmd(&["RPUSH", "biglist", &name]);
        client.cmd(&["SADD", "bigset", &name]);
        client.cmd(&["HSET", "bighash", &name, &name]);
        client.cmd(&["ZADD", "bigzset", &n.to_string(), &name]);
    }
}

fn digest(client: &mut Client) -> Value {
    client.cmd(&["DEBUG", "DIGEST"])
}

fn stop(mut server: Server) {
    let mut client = server.client();
    client.send(&["SHUTDOWN"]);
    assert_eq!(server.await_exit(), Some(0), "the server ends");
}

#[test]
fn snapshots_survive_a_restart() {
    let folder = Folder::new("snapshot");
    let server = folder.server(&["--save", "3600 1"]);
    let mut client = server.client();
    fill(&mut client);
    let before = digest(&mut client);
    assert_eq!(client.cmd(&["SAVE"]), Value::Status(b"OK".to_vec()));
    assert_eq!(client.cmd(&["DEBUG", "RELOAD"]), Value::Status(b"OK".to_vec()));
    assert_eq!(digest(&mut client), before);
    client.cmd(&["SET", "late", "x"]);
    let last = digest(&mut client);
    // The end takes a snapshot, since there are save points.
    stop(server);
    let server = folder.server(&["--save", ""]);
    assert_eq!(digest(&mut server.client()), last);
    // Without save points it does not.
    server.client().cmd(&["SET", "never", "x"]);
    stop(server);
    let server = folder.server(&["--save", ""]);
    assert_eq!(digest(&mut server.client()), last);
}

/// A file of ours in Debian's redis-server, and one of its in ours.
#[test]
fn files_go_both_ways() {
    let folder = Folder::new("both-ways");
    let ours = folder.server(&["--compat", "redis-7.0", "--save", ""]);
    let mut client = ours.client();
    fill(&mut client);
    let expected = digest(&mut client);
    assert_eq!(client.cmd(&["SAVE"]), Value::Status(b"OK".to_vec()));
    client.send(&["SHUTDOWN", "NOSAVE"]);
    let theirs = folder.run(&Program::Redis7, &["--save", ""]);
    let mut client = theirs.client();
    assert_eq!(digest(&mut client), expected, "redis-server reads our file");
    client.cmd(&["SET", "theirs", "x"]);
    let expected = digest(&mut client);
    client.cmd(&["SAVE"]);
    client.send(&["SHUTDOWN", "NOSAVE"]);
    let ours = folder.server(&["--save", ""]);
    assert_eq!(digest(&mut ours.client()), expected, "we read its file");
}

#[test]
fn snapshots_in_the_background() {
    let folder = Folder::new("background");
    let server = folder.server(&["--save", ""]);
    let mut client = server.client();
    client.cmd(&["DEBUG", "POPULATE", "200000"]);
    let started = client.cmd(&["BGSAVE"]);
    assert_eq!(started, Value::Status(b"Background saving started".to_vec()));
    // Writes go on, and are not in it.
    let expected_keys = 200_000;
    for n in 0..2000 {
        client.cmd(&["SET", &format!("new:{n}"), "x"]);
        client.cmd(&["DEL", &format!("key:{n}")]);
    }
    wait_until_saved(&mut client);
    client.send(&["SHUTDOWN", "NOSAVE"]);
    let server = folder.server(&["--save", ""]);
    let mut client = server.client();
    assert_eq!(client.cmd(&["DBSIZE"]), Value::Integer(expected_keys));
    assert_eq!(client.cmd(&["EXISTS", "key:0", "new:0"]), Value::Integer(1));
}

fn info(client: &mut Client, field: &str) -> String {
    let Value::Bulk(text) = client.cmd(&["INFO", "persistence"]) else { panic!("a text") };
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_default().to_owned()
}

fn wait_until_saved(client: &mut Client) {
    while info(client, "rdb_bgsave_in_progress") != "0" {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(info(client, "rdb_last_bgsave_status"), "ok");
}

#[test]
fn the_append_only_file_survives_kill() {
    let folder = Folder::new("aof");
    for sync in ["always", "everysec"] {
        let options = ["--appendonly", "yes", "--appendfsync", sync, "--save", ""];
        let mut server = folder.server(&options);
        let mut client = server.client();
        fill(&mut client);
        client.cmd(&["MULTI"]);
        client.cmd(&["INCR", "counter"]);
        client.cmd(&["RPUSH", "log", "x"]);
        client.cmd(&["EXEC"]);
        client.cmd(&["SPOP", "bigset", "10"]);
        client.cmd(&["EVAL", "redis.call('set','s1','a') redis.call('incr','counter')", "0"]);
        let before = digest(&mut client);
        server.kill();
        let server = folder.server(&options);
        let mut client = server.client();
        assert_eq!(digest(&mut client), before, "after a restart, {sync}");
        assert_eq!(client.cmd(&["DEBUG", "LOADAOF"]), Value::Status(b"OK".to_vec()));
        assert_eq!(digest(&mut client), before, "read again, {sync}");
        client.cmd(&["BGREWRITEAOF"]);
        client.cmd(&["SET", "after", "rewrite"]);
        while info(&mut client, "aof_rewrite_in_progress") != "0" {
            client.cmd(&["INCR", "counter"]);
        }
        assert_eq!(info(&mut client, "aof_last_bgrewrite_status"), "ok");
        client.cmd(&["SET", "last", "x"]);
        let before = digest(&mut client);
        let mut server = server;
        server.kill();
        let server = folder.server(&options);
        assert_eq!(digest(&mut server.client()), before, "after a rewrite, {sync}");
        server.client().cmd(&["FLUSHALL"]);
    }
}

/// Debian's redis-server reads what we wrote, and we what it wrote.
#[test]
fn append_only_files_go_both_ways() {
    let folder = Folder::new("aof-both-ways");
    let options = ["--appendonly", "yes", "--save", ""];
    let mut ours = folder.server(&[&options[..], &["--compat", "redis-7.0"]].concat());
    let mut client = ours.client();
    fill(&mut client);
    let expected = digest(&mut client);
    ours.kill();
    let mut theirs = folder.run(&Program::Redis7, &options);
    let mut client = theirs.client();
    assert_eq!(digest(&mut client), expected, "redis-server reads our files");
    client.cmd(&["SET", "theirs", "x"]);
    let expected = digest(&mut client);
    theirs.kill();
    let ours = folder.server(&options);
    assert_eq!(digest(&mut ours.client()), expected, "we read its files");
}

/// The current increment of the only append-only file in a folder.
fn increment(folder: &Folder) -> PathBuf {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder.path("appendonlydir"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".incr.aof"))
        .collect();
    files.sort();
    files.pop().unwrap()
}

/// Whatever the length at which the file is cut off, what is left is a state that there was: a
/// transaction is there whole or not at all.
#[test]
fn a_torn_tail_is_cut_back() {
    let folder = Folder::new("torn");
    let options = ["--appendonly", "yes", "--save", ""];
    let mut server = folder.server(&options);
    let mut client = server.client();
    for n in 0..5 {
        client.cmd(&["SET", "single", &n.to_string()]);
        client.cmd(&["MULTI"]);
        client.cmd(&["INCR", "a"]);
        client.cmd(&["INCR", "b"]);
        client.cmd(&["EXEC"]);
    }
    server.kill();
    let path = increment(&folder);
    let whole = std::fs::read(&path).unwrap();
    let mut length = whole.len();
    while length > 0 {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut server = folder.server(&options);
        let mut client = server.client();
        let (a, b) = (client.cmd(&["GET", "a"]), client.cmd(&["GET", "b"]));
        assert_eq!(a, b, "cut at {length}");
        // It can be written again.
        assert_eq!(client.cmd(&["SET", "more", "x"]), Value::Status(b"OK".to_vec()));
        server.kill();
        let server = folder.server(&options);
        assert_eq!(server.client().cmd(&["GET", "more"]), Value::Bulk(b"x".to_vec()));
        length = length.saturating_sub(23);
    }
}

#[test]
fn the_append_only_file_is_switched_on_and_off() {
    let folder = Folder::new("switch");
    let server = folder.server(&["--save", ""]);
    let mut client = server.client();
    fill(&mut client);
    client.cmd(&["CONFIG", "SET", "appendonly", "yes"]);
    while info(&mut client, "aof_enabled") != "1"
        || info(&mut client, "aof_rewrite_in_progress") != "0"
    {
        client.cmd(&["INCR", "meanwhile"]);
        std::thread::sleep(Duration::from_millis(1));
    }
    client.cmd(&["SET", "after", "x"]);
    let before = digest(&mut client);
    client.cmd(&["DEBUG", "LOADAOF"]);
    assert_eq!(digest(&mut client), before);
    let mut server = server;
    server.kill();
    let server = folder.server(&["--appendonly", "yes", "--save", ""]);
    let mut client = server.client();
    assert_eq!(digest(&mut client), before);
    client.cmd(&["CONFIG", "SET", "appendonly", "no"]);
    while info(&mut client, "aof_enabled") != "0" {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An old append-only file of one piece is taken over.
#[test]
fn a_file_of_one_piece_is_taken_over() {
    let folder = Folder::new("old");
    std::fs::write(folder.path("appendonly.aof"), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")
        .unwrap();
    let options = ["--appendonly", "yes", "--save", ""];
    let mut server = folder.server(&options);
    let mut client = server.client();
    assert_eq!(client.cmd(&["GET", "k"]), Value::Bulk(b"v".to_vec()));
    client.cmd(&["SET", "l", "w"]);
    server.kill();
    assert!(!Path::new(&folder.path("appendonly.aof")).exists());
    let server = folder.server(&options);
    let both = [b"v".to_vec(), b"w".to_vec()].map(Value::Bulk).to_vec();
    assert_eq!(server.client().cmd(&["MGET", "k", "l"]), Value::Array(both));
}

/// A snapshot that cannot be written makes writes fail, until one can.
#[test]
fn writes_stop_while_snapshots_fail() {
    let folder = Folder::new("misconf");
    let server = folder.server(&["--save", "3600 100000"]);
    let mut client = server.client();
    client.cmd(&["SET", "k", "v"]);
    std::fs::create_dir(folder.path("dump.rdb")).unwrap();
    client.cmd(&["BGSAVE"]);
    while info(&mut client, "rdb_last_bgsave_status") != "err" {
        std::thread::sleep(Duration::from_millis(5));
    }
    let Value::Error(text) = client.cmd(&["SET", "k", "w"]) else { panic!("refused") };
    assert!(text.starts_with(b"MISCONF "), "{}", String::from_utf8_lossy(&text));
    assert_eq!(client.cmd(&["GET", "k"]), Value::Bulk(b"v".to_vec()));
    std::fs::remove_dir(folder.path("dump.rdb")).unwrap();
    client.cmd(&["BGSAVE"]);
    while info(&mut client, "rdb_last_bgsave_status") != "ok" {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(client.cmd(&["SET", "k", "w"]), Value::Status(b"OK".to_vec()));
}

/// No reply is there before what its command changed is in the file, also in the middle of a pipeline whose
/// output is written before the turn ends.
#[test]
fn replies_come_after_what_they_acknowledge() {
    let folder = Folder::new("acknowledge");
    let options =
        ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--io-threads", "1"];
    let mut server = folder.server(&options);
    let mut client = server.client();
    client.cmd(&["SET", "large", &"x".repeat(1400)]);
    // Half a megabyte of replies: the server writes the first ones while it is still at the pipeline, whose last
    // command holds its turn open.
    let rounds = 400;
    let mut pipeline = "INCR counter\r\nGET large\r\n".repeat(rounds);
    pipeline.push_str("DEBUG SLEEP 2\r\n");
    client.send_raw(pipeline.as_bytes());
    let Value::Integer(acknowledged) = client.reply() else { panic!("a number") };
    assert_eq!(acknowledged, 1);
    server.kill();
    let server = folder.server(&options);
    let counter = server.client().cmd(&["GET", "counter"]);
    assert!(matches!(counter, Value::Bulk(_)), "what was acknowledged is there: {counter:?}");
}
