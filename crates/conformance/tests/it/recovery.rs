//! Recovery to a moment before a mistake: the list of what removes much, the dry run, the start that stops
//! there, and that nothing is lost by it: R4.6.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ochre_testkit::{Client, Program, Server};

const AOF: [&str; 4] = ["--appendonly", "yes", "--aof-timestamp-enabled", "yes"];

/// A folder of its own for the files of one test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("ochre-recovery-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn server(&self, options: &[&str]) -> Server {
        let mut all = vec!["--dir", self.0.to_str().unwrap(), "--enable-debug-command", "yes"];
        all.extend_from_slice(&AOF);
        all.extend_from_slice(options);
        Server::ochre(&all)
    }

    /// Runs the program to its end; whether it is content, and what it printed.
    fn run(&self, options: &[&str]) -> (bool, String) {
        let output = Command::new(Program::Ochre.find().unwrap())
            .args(["--port", "0", "--unixsocket", self.0.join("socket").to_str().unwrap()])
            .args(["--save", "", "--dir", self.0.to_str().unwrap()])
            .args(AOF)
            .args(options)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    fn parts(&self) -> PathBuf {
        self.0.join("appendonlydir")
    }

    /// The folders into which recoveries have put the old files.
    fn aside(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = std::fs::read_dir(self.parts())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_dir())
            .collect();
        found.sort();
        found
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn await_data(client: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.shown("PING") != "PONG" {
        assert!(Instant::now() < deadline, "it is loaded");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The content of all files below a folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    found.sort();
    found
}

/// The Unix second of the server, once it is a later one than `than`.
fn later_second(client: &mut Client, than: i64) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = client.info("server", "server_time_usec");
        let second = text.parse::<i64>().unwrap() / 1_000_000;
        if second > than {
            return second;
        }
        assert!(Instant::now() < deadline, "time passes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Data, a mistake, and more data; gives what there was before the mistake, and its second.
fn with_mistake(folder: &Folder, mistake: &str) -> (String, i64) {
    let mut server = folder.server(&[]);
    let mut client = server.client();
    for line in ["SET a 1", "RPUSH l 1 2 3", "SELECT 3", "HSET h f v", "SELECT 0"] {
        client.line(line);
    }
    client.line("DEBUG POPULATE 300 base");
    assert!(client.shown("BGREWRITEAOF").contains("started"));
    while client.info("persistence", "aof_rewrite_in_progress") != "0" {
        std::thread::sleep(Duration::from_millis(2));
    }
    let second = later_second(&mut client, 0);
    let second = later_second(&mut client, second);
    client.line("SET b 2");
    let before = client.shown("DEBUG DIGEST");
    later_second(&mut client, second);
    assert!(!client.shown(mistake).starts_with("(err)"), "{mistake}");
    client.line("SET later x");
    server.kill();
    (before, second)
}

#[test]
fn a_flush_is_left_out() {
    let folder = Folder::new("flush");
    let (before, _) = with_mistake(&folder, "FLUSHALL");
    let old = files(&folder.parts());
    let (good, text) = folder.run(&["--recover-list", "--recover-until", "before:FLUSHALL"]);
    assert!(good, "{text}");
    assert!(text.to_ascii_lowercase().contains("flushall of about 304 keys"), "{text}");
    assert!(text.contains("recovering would end before offset:appendonly.aof."), "{text}");
    assert_eq!(files(&folder.parts()), old, "the dry run changes nothing");

    let mut server = folder.server(&["--recover-until", "before:FLUSHALL"]);
    let mut client = server.client();
    await_data(&mut client);
    assert_eq!(client.shown("DEBUG DIGEST"), before);
    // It goes on from there.
    client.line("SET more x");
    let now = client.shown("DEBUG DIGEST");
    server.kill();
    let mut server = folder.server(&[]);
    let mut client = server.client();
    await_data(&mut client);
    assert_eq!(client.shown("DEBUG DIGEST"), now);
    server.kill();

    // The old files are whole, in a folder that is an append-only file of its own.
    let aside = folder.aside();
    assert_eq!(aside.len(), 1);
    assert_eq!(files(&aside[0]), old);
    let undone = Folder::new("flush-undone");
    std::fs::rename(&aside[0], undone.parts()).unwrap();
    let server = undone.server(&[]);
    let mut client = server.client();
    await_data(&mut client);
    assert_eq!(client.shown("KEYS *"), "[\"later\"]");
}

#[test]
fn a_time_and_an_offset() {
    let folder = Folder::new("time");
    let (before, second) = with_mistake(&folder, "DEL a l b");
    let until = format!("time:{second}");
    let mut server = folder.server(&["--recover-until", &until]);
    let mut client = server.client();
    await_data(&mut client);
    assert_eq!(client.shown("DEBUG DIGEST"), before);
    client.line("SET more x");
    server.kill();
    // Named once more, as by a service manager that starts the server again, it loses nothing.
    let (good, text) = folder.run(&["--recover-until", &until]);
    assert!(!good && text.contains("the base was written at"), "{text}");

    let folder = Folder::new("offset");
    let (before, _) = with_mistake(&folder, "FLUSHDB");
    let (_, text) = folder.run(&["--recover-list"]);
    let line = text.lines().find(|line| line.to_ascii_lowercase().contains("flushdb")).unwrap();
    let place = line.split(' ').next().unwrap();
    let server = folder.server(&["--recover-until", place]);
    let mut client = server.client();
    await_data(&mut client);
    assert_eq!(client.shown("DEBUG DIGEST"), before);
}

#[test]
fn large_deletions_are_listed() {
    let folder = Folder::new("large");
    let keys: Vec<String> = (0..200).map(|n| format!("base:{n}")).collect();
    with_mistake(&folder, &format!("UNLINK {}", keys.join(" ")));
    let (good, text) = folder.run(&["--recover-list"]);
    assert!(good && text.contains(": 200 keys, about "), "{text}");
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let folder = Folder::new("refused");
    with_mistake(&folder, "FLUSHALL");
    let old = files(&folder.parts());
    for (until, expected) in [
        ("before:SWAPDB", "there is no such command"),
        ("offset:nosuch:5", "is none of the files"),
        ("time:5", "the base was written at"),
        ("time:99999999999", "nothing was written after that time"),
        ("yesterday", "is none of time:"),
    ] {
        let (good, text) = folder.run(&["--recover-until", until]);
        assert!(!good && text.contains(expected), "{until}: {text}");
    }
    let (good, text) = folder.run(&["--appendonly", "no", "--recover-until", "before:FLUSHALL"]);
    assert!(!good && text.contains("needs appendonly yes"), "{text}");
    assert_eq!(files(&folder.parts()), old);
    assert!(folder.aside().is_empty());
}
