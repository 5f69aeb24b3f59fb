//! SIGKILL at random moments: R4, I8. Some clients write all the time, and note what was acknowledged; the server
//! is killed, started again in the same folder, and asked. Rounds follow one another in one folder, so that a
//! start after a crash is what the next crash happens to.
//!
//! What the kernel has taken survives a killed process, and no reply goes out before that, whatever
//! `appendfsync` says; so nothing that was acknowledged may be missing in any of the modes.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ochre_base::rng::Rng;
use ochre_testkit::{Client, Program, Server, Value};

use crate::{PrintSeed, seed};

/// Clients that write.
const WRITERS: usize = 3;
/// Rounds of one mode; `OCHRE_ROUNDS` asks for more.
const ROUNDS: usize = 50;
/// A server is killed at most this many milliseconds after its clients began.
const LIFE_MS: u64 = 120;
/// Bytes of a value that makes the files grow, so that rewrites and snapshots take some time.
const FILLER: usize = 2000;

/// What happens while the server is killed.
#[derive(Clone, Copy)]
enum Meanwhile {
    Nothing,
    /// The append-only file is rewritten.
    Rewrite,
    /// A snapshot is taken.
    Save,
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ochre-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A server on what lies here, when it has loaded it.
    fn server(&self, fsync: &str) -> Server {
        self.server_behind(&[], fsync)
    }

    fn server_behind(&self, prefix: &[&str], fsync: &str) -> Server {
        let dir = self.0.to_str().unwrap();
        let options =
            ["--dir", dir, "--appendonly", "yes", "--appendfsync", fsync, "--io-threads", "2"];
        let server = Server::start_behind(prefix, &Program::Ochre, &options);
        let mut client = server.client();
        while client.cmd(&["PING"]) != Value::Status(b"PONG".to_vec()) {
            std::thread::sleep(Duration::from_millis(2));
        }
        server
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// What one client knows.
#[derive(Default)]
struct Writer {
    /// The last value of its counter that was acknowledged, and the last that was asked for.
    acknowledged: AtomicU64,
    asked: AtomicU64,
}

/// Counts, in a transaction that also counts elsewhere, until the server is gone.
fn write(writer: &Writer, port: u16, number: usize, seed: u64) {
    let Ok(mut client) = Client::try_connect(port) else { return };
    let mut rng = Rng::new(seed);
    let filler = "f".repeat(FILLER);
    let (one, other) = (format!("count:{number}"), format!("twin:{number}"));
    loop {
        let key = format!("filler:{number}:{}", rng.below(200));
        writer.asked.fetch_add(1, Ordering::SeqCst);
        let all = [
            vec!["MULTI"],
            vec!["INCR", &one],
            vec!["SET", &key, &filler],
            vec!["INCR", &other],
            vec!["EXEC"],
        ];
        if all.iter().any(|command| client.try_send(command).is_err()) {
            return;
        }
        let replies: Result<Vec<Value>, _> = all.iter().map(|_| client.try_reply()).collect();
        let Ok(replies) = replies else { return };
        let Some(Value::Array(done)) = replies.last() else {
            panic!("a transaction was refused: {replies:?}");
        };
        let Some(Value::Integer(count)) = done.first() else {
            panic!("a counter was refused: {replies:?}");
        };
        writer.acknowledged.store(*count as u64, Ordering::SeqCst);
    }
}

fn rounds(name: &str, fsync: &str, meanwhile: Meanwhile) {
    let seed = seed();
    let _seed = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let folder = Folder::new(name);
    let writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::default()).collect();
    let asked = std::env::var("OCHRE_ROUNDS").ok().and_then(|text| text.parse().ok());
    for round in 0..asked.unwrap_or(ROUNDS) {
        let mut server = folder.server(fsync);
        check(&mut server.client(), &writers, &format!("{name}, round {round}"));
        let (port, stop) = (server.port(), AtomicBool::new(false));
        let life = Duration::from_micros(rng.below(LIFE_MS * 1000));
        let seeds: Vec<u64> = (0..WRITERS).map(|_| rng.below(u64::MAX)).collect();
        std::thread::scope(|scope| {
            for (number, writer) in writers.iter().enumerate() {
                let seed = seeds[number];
                scope.spawn(move || write(writer, port, number, seed));
            }
            let stop = &stop;
            scope.spawn(move || disturb(port, meanwhile, stop));
            std::thread::sleep(life);
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
    }
    let server = folder.server(fsync);
    check(&mut server.client(), &writers, &format!("{name}, at the end"));
    let written: u64 = writers.iter().map(|w| w.acknowledged.load(Ordering::SeqCst)).sum();
    assert!(written > 0, "nothing was written, so nothing was tested");
}

/// Asks for what `meanwhile` says, again and again.
fn disturb(port: u16, meanwhile: Meanwhile, stop: &AtomicBool) {
    let command = match meanwhile {
        Meanwhile::Nothing => return,
        Meanwhile::Rewrite => "BGREWRITEAOF",
        Meanwhile::Save => "BGSAVE",
    };
    let Ok(mut client) = Client::try_connect(port) else { return };
    // One that is under way is refused, which is as good.
    while !stop.load(Ordering::SeqCst) && client.try_cmd(&[command]).is_ok() {
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Nothing that was acknowledged is missing, nothing is there that was not asked for, and no transaction is there
/// in part.
fn check(client: &mut Client, writers: &[Writer], what: &str) {
    for (number, writer) in writers.iter().enumerate() {
        let mut count = |name: &str| {
            let reply = client.cmd(&["GET", &format!("{name}:{number}")]);
            let text = reply.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            text.map_or(0, |text| text.parse::<u64>().unwrap())
        };
        let (one, other) = (count("count"), count("twin"));
        assert_eq!(one, other, "{what}: half of a transaction");
        let acknowledged = writer.acknowledged.load(Ordering::SeqCst);
        let asked = writer.asked.load(Ordering::SeqCst);
        assert!(one >= acknowledged, "{what}: {acknowledged} was acknowledged, {one} is there");
        assert!(one <= asked, "{what}: {asked} were asked for, {one} are there");
    }
}

#[test]
fn under_always() {
    rounds("crash-always", "always", Meanwhile::Nothing);
}

#[test]
fn under_everysec() {
    rounds("crash-everysec", "everysec", Meanwhile::Nothing);
}

#[test]
fn while_the_file_is_rewritten() {
    rounds("crash-rewrite", "always", Meanwhile::Rewrite);
}

#[test]
fn while_a_snapshot_is_taken() {
    rounds("crash-save", "everysec", Meanwhile::Save);
}

/// The names of the files beside the manifest, and those that it lists.
fn files(folder: &Folder) -> (BTreeSet<String>, BTreeSet<String>) {
    let dir = folder.0.join("appendonlydir");
    let manifest = std::fs::read_to_string(dir.join("appendonly.aof.manifest")).unwrap();
    // Those of the history may be gone already.
    let lines = manifest.lines().filter(|line| !line.ends_with("type h"));
    let listed = lines.filter_map(|line| line.split(' ').nth(1));
    let there = std::fs::read_dir(dir).unwrap();
    let there = there.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there = there.filter(|name| !name.ends_with(".manifest"));
    (there.collect(), listed.map(str::to_owned).collect())
}

/// The process dies between any two steps of a rewrite.
#[test]
fn at_every_step_of_a_rewrite() {
    let folder = Folder::new("crash-steps");
    let writers: Vec<Writer> = (0..WRITERS).map(|_| Writer::default()).collect();
    // One more than there are: the rewrite that survives ends the test.
    for step in 1..100 {
        let fault = format!("OCHRE_FAULT={step}");
        let mut server = folder.server_behind(&["env", &fault], "always");
        let port = server.port();
        let survived = std::thread::scope(|scope| {
            for (number, writer) in writers.iter().enumerate() {
                scope.spawn(move || write(writer, port, number, step));
            }
            let survived = rewrite(&mut server);
            server.kill();
            survived
        });
        let mut server = folder.server("always");
        check(&mut server.client(), &writers, &format!("step {step}"));
        let (there, listed) = files(&folder);
        assert!(listed.is_subset(&there), "step {step}: {listed:?} of {there:?}");
        // The next one uses or removes what was begun.
        assert!(rewrite(&mut server), "step {step}: the server has ended");
        let (there, listed) = files(&folder);
        assert_eq!(there, listed, "step {step}: files that nobody will remove");
        if survived {
            assert!(step > 15, "there are more steps than {step}");
            return;
        }
    }
    panic!("a rewrite has fewer steps than that");
}

/// Has the file rewritten; false when the server did not survive it.
fn rewrite(server: &mut Server) -> bool {
    let mut client = server.client();
    if client.try_cmd(&["BGREWRITEAOF"]).is_err() {
        return false;
    }
    loop {
        let Ok(reply) = client.try_cmd(&["INFO", "persistence"]) else { return false };
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
        if text.contains("aof_rewrite_in_progress:0") && text.contains("aof_rewrite_scheduled:0") {
            assert!(text.contains("aof_last_bgrewrite_status:ok"), "{text}");
            return true;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
