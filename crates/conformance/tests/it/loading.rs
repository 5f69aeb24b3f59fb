//! While data is being loaded: who is answered what, what INFO says, how loading is ended, and what is there
//! afterwards: R4.4.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ochre_testkit::{Client, Program, Server, Value};

use crate::seed;

/// What a client is told.
const LOADING: &str = "(err) LOADING Redis is loading the dataset in memory";
/// So long a pause after each key that nothing is loaded before the test says so.
const FOREVER: [&str; 2] = ["--key-load-delay", "100000000"];

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("ochre-loading-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn server(&self, options: &[&str]) -> Server {
        let dir = self.0.to_str().unwrap();
        let mut all = vec!["--dir", dir, "--enable-debug-command", "yes", "--save", ""];
        all.extend_from_slice(options);
        Server::ochre(&all)
    }

    fn dump(&self) -> PathBuf {
        self.0.join("dump.rdb")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Some of every type, and enough keys for every thread that loads.
fn fill(client: &mut Client) {
    for line in [
        "SET text hello",
        "SETEX expires 10000 soon",
        "RPUSH list a b 1 2",
        "SADD set a b c",
        "HSET hash f v",
        "ZADD zset 1 a 2.5 b",
        "XADD stream 1-1 f v",
        "SELECT 5",
        "SET elsewhere x",
        "SELECT 0",
        "DEBUG POPULATE 20000 key 20",
    ] {
        let reply = client.line(line);
        assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
    }
}

/// Waits until a condition holds; a loaded machine may take its time.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Ends a server that is loading, as soon as it may, and waits for the data.
fn finish_loading(client: &mut Client) {
    assert_eq!(client.shown("CONFIG SET key-load-delay 0"), "OK");
    until("it loads", || client.shown("PING") == "PONG");
}

/// A file with data in it, and what it holds.
fn saved(folder: &Folder) -> String {
    let server = folder.server(&[]);
    let mut client = server.client();
    fill(&mut client);
    assert_eq!(client.shown("SAVE"), "OK");
    client.shown("DEBUG DIGEST")
}

#[test]
fn clients_are_told_until_the_data_is_there() {
    let folder = Folder::new("rdb");
    let digest = saved(&folder);
    let server = folder.server(&[&FOREVER[..], &["--io-threads", "2"]].concat());
    let mut client = server.client();
    for line in ["PING", "GET text", "SET a b", "KEYS *", "DBSIZE", "SAVE", "EVAL return 0"] {
        let line = if line.starts_with("EVAL") { "EVAL 'return 1' 0" } else { line };
        assert_eq!(client.shown(line), LOADING, "{line}");
    }
    // Who a client is and whether a command exists comes first, as with the peers.
    assert!(client.shown("NOSUCH").contains("unknown command"));
    assert!(client.shown("GET").contains("wrong number of arguments"));
    // What needs no data is answered.
    assert_eq!(client.shown("ECHO x"), "\"x\"");
    assert_eq!(client.shown("MULTI"), "OK");
    assert_eq!(client.shown("GET text"), LOADING);
    assert!(client.shown("EXEC").starts_with("(err) EXECABORT"));
    assert_eq!(client.shown("CONFIG SET appendonly yes"), LOADING);
    assert_eq!(client.shown("CONFIG SET maxmemory 100mb"), "OK");
    assert!(!client.shown("SUBSCRIBE channel").contains("LOADING"));
    let mut client = server.client();
    let bytes = std::fs::metadata(folder.dump()).unwrap().len();
    for (field, expected) in
        [("loading", "1"), ("async_loading", "0"), ("loading_total_bytes", &bytes.to_string())]
    {
        assert_eq!(client.info("persistence", field), expected, "{field}");
    }
    for field in ["loading_start_time", "loading_loaded_bytes", "loading_eta_seconds"] {
        until(field, || client.info("persistence", field).parse::<u64>().is_ok_and(|n| n > 0));
    }
    until("a size", || client.info("persistence", "loading_rdb_used_mem") != "0");
    assert!(client.info("persistence", "loading_loaded_perc").contains('.'));
    finish_loading(&mut client);
    assert_eq!(client.shown("DEBUG DIGEST"), digest);
    assert_eq!(client.info("persistence", "loading"), "0");
    let Value::Bulk(info) = client.line("INFO persistence") else { panic!("a text") };
    assert!(!String::from_utf8_lossy(&info).contains("loading_start_time"));
    assert_eq!(client.info("persistence", "rdb_last_load_keys_loaded"), "20008");
    for line in [
        "Loading RDB produced by version 7.2.4",
        "RDB age ",
        "RDB memory usage when created ",
        "Done loading RDB, keys loaded: 20008, keys expired: 0.",
        "DB loaded from disk: ",
    ] {
        assert!(server.log().contains(line), "{line}");
    }
}

#[test]
fn the_words_are_those_of_the_family() {
    let folder = Folder::new("family");
    saved(&folder);
    let server = folder.server(&[&FOREVER[..], &["--compat", "valkey-9"]].concat());
    let told = "(err) LOADING Valkey is loading the dataset in memory";
    let mut client = server.client();
    assert_eq!(client.shown("PING"), told);
    assert_eq!(client.shown("CONFIG SET appendonly yes"), told);
}

#[test]
fn access_comes_before_loading() {
    let folder = Folder::new("access");
    saved(&folder);
    let server = folder.server(&[&FOREVER[..], &["--requirepass", "secret"]].concat());
    let mut client = server.client();
    assert!(client.shown("GET text").starts_with("(err) NOAUTH"));
    assert_eq!(client.shown("AUTH secret"), "OK");
    assert_eq!(client.shown("GET text"), LOADING);
}

#[test]
fn the_append_only_file_is_loaded_while_clients_are_told() {
    let folder = Folder::new("aof");
    let options = ["--appendonly", "yes"];
    let mut server = folder.server(&options);
    let mut client = server.client();
    fill(&mut client);
    assert!(client.shown("BGREWRITEAOF").contains("started"));
    until("it is rewritten", || client.info("persistence", "aof_rewrite_in_progress") == "0");
    for n in 0..100 {
        client.line(&format!("RPUSH later {n}"));
    }
    let digest = client.shown("DEBUG DIGEST");
    server.kill();
    let server = folder.server(&[&options[..], &FOREVER].concat());
    let mut client = server.client();
    assert_eq!(client.shown("GET text"), LOADING);
    assert_eq!(client.info("persistence", "loading"), "1");
    finish_loading(&mut client);
    assert_eq!(client.shown("DEBUG DIGEST"), digest);
    assert_eq!(client.shown("SET after x"), "OK");
    for line in ["Reading RDB base file", "DB loaded from incr file", "DB loaded from append only"]
    {
        assert!(server.log().contains(line), "{line}");
    }
}

/// A key of the base that is past its time is there for the commands that follow it.
#[test]
fn keys_of_the_base_do_not_expire_before_the_commands_behind_it() {
    let folder = Folder::new("base");
    let server = folder.server(&[]);
    let mut client = server.client();
    // In the past by the time it is loaded, not yet when it is saved.
    let soon = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() + 4000;
    client.line(&format!("SET k v PXAT {soon}"));
    assert_eq!(client.shown("SAVE"), "OK");
    drop(server);
    let parts = folder.0.join("appendonlydir");
    std::fs::create_dir(&parts).unwrap();
    std::fs::rename(folder.dump(), parts.join("appendonly.aof.1.base.rdb")).unwrap();
    let commands = "*3\r\n$6\r\nAPPEND\r\n$1\r\nk\r\n$1\r\nw\r\n*2\r\n$7\r\nPERSIST\r\n$1\r\nk\r\n";
    std::fs::write(parts.join("appendonly.aof.1.incr.aof"), commands).unwrap();
    std::fs::write(
        parts.join("appendonly.aof.manifest"),
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n",
    )
    .unwrap();
    until("the time has come", || {
        std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis() > soon
    });
    let server = folder.server(&["--appendonly", "yes"]);
    let mut client = server.client();
    until("it is loaded", || client.shown("PING") == "PONG");
    assert_eq!(client.shown("GET k"), "\"vw\"");
}

/// The end of a process that is loading does not save what it has over what it loads.
#[test]
fn the_end_comes_at_once_and_leaves_the_file() {
    let folder = Folder::new("end");
    saved(&folder);
    let before = std::fs::read(folder.dump()).unwrap();
    for how in ["SHUTDOWN", "SHUTDOWN SAVE", "TERM"] {
        let mut server = folder.server(&[&FOREVER[..], &["--save", "3600 1"]].concat());
        match how {
            "TERM" => {
                let pid = server.pid().to_string();
                let done =
                    std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
                assert!(done.success());
            }
            line => {
                let mut client = server.client();
                client.send(&line.split(' ').collect::<Vec<_>>());
            }
        }
        assert_eq!(server.await_exit(), Some(0), "{how}");
        assert_eq!(std::fs::read(folder.dump()).unwrap(), before, "{how}");
    }
}

/// Starts a server that is not expected to come up, and gives its exit code and its log; none: it runs.
fn try_start(folder: &Path, options: &[&str]) -> (Option<i32>, String) {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut child = std::process::Command::new(Program::Ochre.find().unwrap())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder)
        .args(options)
        .stdout(log)
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(folder.join("log")).unwrap();
    let mut status = None;
    until("it ends or runs", || {
        status = child.try_wait().unwrap();
        status.is_some() || read().contains("Ready to accept connections")
    });
    // One that runs has loaded, which is the answer.
    drop(child.kill());
    drop(child.wait());
    (status.map(|status| status.code().unwrap_or(-1)), read())
}

#[test]
fn a_broken_file_ends_the_start_and_is_left_alone() {
    let folder = Folder::new("broken");
    saved(&folder);
    let whole = std::fs::read(folder.dump()).unwrap();
    let mut changed = whole.clone();
    let at = changed.len() / 2;
    changed[at] ^= 0x10;
    for bytes in [&whole[..whole.len() / 3], &whole[..5], &[][..], &changed] {
        std::fs::write(folder.dump(), bytes).unwrap();
        let (code, log) = try_start(&folder.0, &[]);
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains("Fatal error loading the DB, check server logs. Exiting"), "{log}");
        assert_eq!(std::fs::read(folder.dump()).unwrap(), bytes);
    }
    std::fs::write(folder.dump(), &whole).unwrap();
    assert_eq!(try_start(&folder.0, &[]).0, None);
}

/// Single bits changed anywhere in an append-only file with a snapshot at its start: the server refuses it and
/// says why, or runs; never anything else.
#[test]
fn changed_bits_are_refused_or_harmless() {
    let folder = Folder::new("bits");
    let options = ["--appendonly", "yes"];
    let mut server = folder.server(&options);
    let mut client = server.client();
    fill(&mut client);
    client.line("DEBUG POPULATE 10 base");
    server.kill();
    let parts = folder.0.join("appendonlydir");
    let mut rng = ochre_base::rng::Rng::new(seed());
    for name in ["appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"] {
        let path = parts.join(name);
        let whole = std::fs::read(&path).unwrap();
        for _ in 0..12 {
            let mut changed = whole.clone();
            let at = rng.below(changed.len().min(2000) as u64) as usize;
            changed[at] ^= 1 << rng.below(8);
            std::fs::write(&path, &changed).unwrap();
            let (code, log) = try_start(&folder.0, &options);
            assert!(matches!(code, None | Some(1)), "byte {at} of {name}: {code:?} {log}");
        }
        std::fs::write(&path, &whole).unwrap();
    }
}
