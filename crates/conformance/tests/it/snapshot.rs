//! Large collections in snapshots: as they were at the cut, whatever is done to them while they are saved (I9).
//!
//! The writers keep sums, orders and sizes that hold at every moment between two transactions, so a file
//! that mixes two moments shows it. The files are read by redis-server 7.0.15.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use ochre_testkit::raw::{encode, wait_until};
use ochre_testkit::{Client, Program, Server, Value};

/// Elements of each collection.
const SIZE: usize = 200_000;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ochre-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn run(&self, program: &Program, options: &[&str]) -> Server {
        let dir = self.0.to_str().unwrap();
        let mut all = vec!["--dir", dir, "--save", "", "--enable-debug-command", "yes"];
        all.extend_from_slice(options);
        let server = Server::start(program, &all);
        let mut client = server.client();
        wait_until("it has loaded its file", || {
            (client.cmd(&["PING"]) == Value::Status(b"PONG".to_vec())).then_some(())
        });
        server
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Sends commands all at once and reads all replies, of which none is an error.
fn pipeline(client: &mut Client, commands: &[Vec<String>]) -> Vec<Value> {
    let mut bytes = Vec::new();
    commands.iter().for_each(|command| encode(command, &mut bytes));
    client.send_raw(&bytes);
    let replies: Vec<Value> = commands.iter().map(|_| client.reply()).collect();
    for (command, reply) in commands.iter().zip(&replies) {
        assert!(!matches!(reply, Value::Error(_)), "{command:?}: {reply:?}");
    }
    replies
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

/// Adds elements `0..size` to a collection of each type whose names end in `suffix`.
fn fill(client: &mut Client, suffix: &str, size: usize) {
    for from in (0..size).step_by(1000) {
        let mut batch = Vec::new();
        for command in ["HSET hash", "ZADD zset", "SADD set", "RPUSH list"] {
            let mut line = words(&format!("{command}{suffix}"));
            for n in from..(from + 1000).min(size) {
                match command {
                    "HSET hash" => line.extend([format!("field:{n}"), "100".to_owned()]),
                    "ZADD zset" => line.extend(["100".to_owned(), format!("member:{n}")]),
                    "SADD set" => line.push(format!("member:{n}")),
                    _ => line.push(n.to_string()),
                }
            }
            batch.push(line);
        }
        for n in from..(from + 1000).min(size) {
            batch.push(words(&format!("XADD stream{suffix} {}-0 n {n}", n + 1)));
        }
        pipeline(client, &batch);
    }
}

/// One transaction: transfers between fields, members and sets; the list is turned, and the stream moves on.
/// `tick` is in all of them.
fn transaction(seed: u64, tick: usize) -> Vec<Vec<String>> {
    let at = |salt: u64| (seed.wrapping_mul(salt).wrapping_add(tick as u64 * 7919)) as usize % SIZE;
    let (a, b) = (at(1_000_003), at(998_244_353));
    [
        "MULTI".to_owned(),
        format!("HINCRBY hash field:{a} -1"),
        format!("HINCRBY hash field:{b} 1"),
        format!("ZINCRBY zset -1 member:{a}"),
        format!("ZINCRBY zset 1 member:{b}"),
        format!("SMOVE set other member:{a}"),
        format!("SMOVE other set member:{b}"),
        "LMOVE list list LEFT RIGHT".to_owned(),
        "LMOVE list list LEFT RIGHT".to_owned(),
        format!("XADD stream MAXLEN = {SIZE} * n tick"),
        "HINCRBY hash ticks 1".to_owned(),
        "ZINCRBY zset 1 ticks".to_owned(),
        "INCR ticks".to_owned(),
        "EXEC".to_owned(),
    ]
    .iter()
    .map(|line| words(line))
    .collect()
}

/// Runs `during` while two clients write.
fn with_writers(server: &Server, during: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..=2 {
            let (mut client, stop) = (server.client(), &stop);
            scope.spawn(move || {
                let mut tick = 0;
                while !stop.load(Ordering::Relaxed) {
                    let batch: Vec<_> =
                        (0..20).flat_map(|step| transaction(seed, tick + step)).collect();
                    pipeline(&mut client, &batch);
                    tick += 20;
                }
            });
        }
        during();
        stop.store(true, Ordering::Relaxed);
    });
}

fn integer(client: &mut Client, line: &str) -> i64 {
    match client.cmd(&words(line)) {
        Value::Integer(n) => n,
        Value::Bulk(text) => String::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("{line}: {other:?}"),
    }
}

fn eval(client: &mut Client, script: &str) -> i64 {
    match client.cmd(&["EVAL", script, "0"]) {
        Value::Integer(n) => n,
        other => panic!("{script}: {other:?}"),
    }
}

/// What holds at every moment between two transactions.
fn assert_consistent(client: &mut Client) {
    let size = SIZE as i64;
    let ticks = integer(client, "GET ticks");
    assert!(ticks > 0, "the writers had begun");
    assert_eq!(integer(client, "HGET hash ticks"), ticks);
    assert_eq!(integer(client, "ZSCORE zset ticks"), ticks);
    let sum =
        "local s = 0 for _, v in ipairs(redis.call('hvals', 'hash')) do s = s + v end return s";
    assert_eq!(eval(client, sum), 100 * size + ticks, "the sum of the hash's fields");
    let sum = "local s = 0 local z = redis.call('zrange', 'zset', 0, -1, 'withscores') \
               for i = 2, #z, 2 do s = s + z[i] end return s";
    assert_eq!(eval(client, sum), 100 * size + ticks, "the sum of the scores");
    assert_eq!(integer(client, "HLEN hash"), size + 1);
    assert_eq!(integer(client, "ZCARD zset"), size + 1);
    let members = integer(client, "SCARD set") + integer(client, "SCARD other");
    assert_eq!(members, size, "members of both sets");
    assert_eq!(eval(client, "return #redis.call('sinter', 'set', 'other')"), 0);
    let first = 2 * ticks % size;
    let turned = format!(
        "for i, v in ipairs(redis.call('lrange', 'list', 0, -1)) do \
         if tonumber(v) ~= ({first} + i - 1) % {size} then return i end end return 0"
    );
    assert_eq!(eval(client, &turned), 0, "the list is turned by two for each tick");
    assert_eq!(integer(client, "LLEN list"), size);
    assert_eq!(integer(client, "XLEN stream"), size);
    let added = "local i = redis.call('xinfo', 'stream', 'stream') \
                 for at = 1, #i, 2 do if i[at] == 'entries-added' then return i[at + 1] end end";
    assert_eq!(eval(client, added), size + ticks);
    let ids = "local e, want = redis.call('xrange', 'stream', '-', '+'), 0 \
               for i, v in ipairs(e) do if v[2][2] == 'tick' then want = want + 1 end end return want";
    assert_eq!(eval(client, ids), ticks.min(size), "ticks in the stream");
}

fn wait_until_saved(client: &mut Client) {
    wait_until("the snapshot is over", || {
        (client.info("persistence", "rdb_bgsave_in_progress") == "0").then_some(())
    });
    assert_eq!(client.info("persistence", "rdb_last_bgsave_status"), "ok");
}

#[test]
fn large_collections_are_saved_as_they_were_at_the_cut() {
    let folder = Folder::new("large-collections");
    let server = folder.run(&Program::Ochre, &["--compat", "redis-7.0", "--io-threads", "2"]);
    let mut client = server.client();
    fill(&mut client, "", SIZE);
    with_writers(&server, || {
        wait_until("they write", || {
            (client.cmd(&["GET", "ticks"]) != Value::NullBulk).then_some(())
        });
        client.cmd(&["BGSAVE"]);
        wait_until_saved(&mut client);
    });
    assert_consistent(&mut client);
    client.send(&["SHUTDOWN", "NOSAVE"]);
    let theirs = folder.run(&Program::Redis7, &[]);
    assert_consistent(&mut theirs.client());
}

/// Keys that go, move, are emptied or replaced right behind the cut are whole in the file.
#[test]
fn what_goes_right_behind_the_cut_is_in_the_file() {
    let folder = Folder::new("behind-the-cut");
    let server = folder.run(&Program::Ochre, &["--compat", "redis-7.0"]);
    let mut client = server.client();
    let size = 20_000;
    let types = ["hash", "zset", "set", "list", "stream"];
    let changes = [
        "DEL {}",
        "RENAME {} new{}",
        "SET {} text",
        "UNLINK {}",
        "PEXPIRE {} 1",
        "MOVE {} 3",
        "COPY other {} REPLACE",
        "RENAME other {}",
    ];
    for at in 0..changes.len() {
        fill(&mut client, &at.to_string(), size);
    }
    fill(&mut client, "emptied", size);
    client.cmd(&["SELECT", "1"]);
    fill(&mut client, "flushed", size);
    client.cmd(&["SELECT", "0"]);
    client.cmd(&["RPUSH", "other", "x"]);
    let Value::Status(digest) = client.cmd(&["DEBUG", "DIGEST"]) else { panic!("a digest") };
    let mut batch = vec![words("BGSAVE")];
    for (at, change) in changes.iter().enumerate() {
        for name in types {
            let target = format!("{name}{at}");
            // One element first, so that a capture is under way.
            batch.push(words(&match name {
                "hash" => format!("HSET {target} field:1 x"),
                "zset" => format!("ZADD {target} 5 member:1"),
                "set" => format!("SREM {target} member:1"),
                "list" => format!("LSET {target} 100 x"),
                _ => format!("XDEL {target} 100-0"),
            }));
            batch.push(words(&change.replace("{}", &target)));
            batch.push(words("RPUSH other x"));
        }
    }
    for line in [
        "ZREMRANGEBYRANK zsetemptied 0 -1",
        "SPOP setemptied 100000",
        "LTRIM listemptied 1 0",
        "XTRIM streamemptied MAXLEN = 0",
        "SELECT 1",
        "HSET hashflushed field:7 x",
        "SWAPDB 1 2",
        "SELECT 2",
        "FLUSHDB",
        "SELECT 0",
    ] {
        batch.push(words(line));
    }
    pipeline(&mut client, &batch);
    wait_until_saved(&mut client);
    // A second one, right away, of what there is now.
    let Value::Status(later) = client.cmd(&["DEBUG", "DIGEST"]) else { panic!("a digest") };
    let first = std::fs::read(folder.0.join("dump.rdb")).unwrap();
    assert_eq!(client.cmd(&["DEBUG", "RELOAD"]), Value::Status(b"OK".to_vec()));
    assert_eq!(client.cmd(&["DEBUG", "DIGEST"]), Value::Status(later));
    client.send(&["SHUTDOWN", "NOSAVE"]);
    drop(server);
    std::fs::write(folder.0.join("dump.rdb"), first).unwrap();
    let theirs = folder.run(&Program::Redis7, &[]);
    assert_eq!(theirs.client().cmd(&["DEBUG", "DIGEST"]), Value::Status(digest));
}

/// A snapshot that is cancelled half way leaves clean values: the next one is whole.
#[test]
fn cancelled_snapshots_leave_nothing_behind() {
    let folder = Folder::new("cancelled");
    let server = folder.run(&Program::Ochre, &["--compat", "redis-7.0"]);
    let mut client = server.client();
    fill(&mut client, "", SIZE);
    for _ in 0..3 {
        let mut batch = vec![words("BGSAVE")];
        batch.extend((0..50).flat_map(|tick| transaction(9, tick)));
        batch.push(words("BGSAVE CANCEL"));
        let mut bytes = Vec::new();
        batch.iter().for_each(|command| encode(command, &mut bytes));
        client.send_raw(&bytes);
        // The last one is an error when the snapshot was faster.
        batch.iter().for_each(|_| drop(client.reply()));
        wait_until("it has ended", || {
            (client.info("persistence", "rdb_bgsave_in_progress") == "0").then_some(())
        });
    }
    assert_eq!(client.cmd(&["SAVE"]), Value::Status(b"OK".to_vec()));
    let digest = client.cmd(&["DEBUG", "DIGEST"]);
    client.send(&["SHUTDOWN", "NOSAVE"]);
    let theirs = folder.run(&Program::Redis7, &[]);
    assert_eq!(theirs.client().cmd(&["DEBUG", "DIGEST"]), digest);
    assert_consistent(&mut theirs.client());
}

/// The same mechanism makes the base of the append-only file: with the log behind it, it gives all that was
/// acknowledged.
#[test]
fn a_rewrite_under_writes_gives_the_same_data() {
    let folder = Folder::new("rewrite-large");
    let options = ["--appendonly", "yes", "--appendfsync", "no"];
    let mut server = folder.run(&Program::Ochre, &options);
    let mut client = server.client();
    fill(&mut client, "", SIZE);
    with_writers(&server, || {
        client.cmd(&["BGREWRITEAOF"]);
        wait_until("the rewrite is over", || {
            (client.info("persistence", "aof_rewrite_in_progress") == "0").then_some(())
        });
    });
    assert_eq!(client.info("persistence", "aof_last_bgrewrite_status"), "ok");
    let digest = client.cmd(&["DEBUG", "DIGEST"]);
    assert_consistent(&mut client);
    server.kill();
    let server = folder.run(&Program::Ochre, &options);
    assert_eq!(server.client().cmd(&["DEBUG", "DIGEST"]), digest);
}

/// And a replica's full synchronisation.
#[test]
fn a_replica_that_comes_under_writes_gets_the_same_data() {
    let folders = [Folder::new("sync-primary"), Folder::new("sync-replica")];
    let primary = folders[0].run(&Program::Ochre, &["--compat", "redis-7.0"]);
    let mut client = primary.client();
    fill(&mut client, "", SIZE);
    let replica = folders[1].run(&Program::Redis7, &[]);
    let mut theirs = replica.client();
    with_writers(&primary, || {
        let port = primary.port().to_string();
        theirs.cmd(&["REPLICAOF", "127.0.0.1", &port]);
        wait_until("the link is up", || {
            (theirs.info("replication", "master_link_status") == "up").then_some(())
        });
    });
    let digest = client.cmd(&["DEBUG", "DIGEST"]);
    // Comparing before it has caught up would keep it from catching up.
    let offset = |client: &mut Client, field| -> i64 {
        client.info("replication", field).parse().unwrap_or(-1)
    };
    let written = offset(&mut client, "master_repl_offset");
    wait_until("it has all that was written", || {
        (offset(&mut theirs, "slave_repl_offset") >= written).then_some(())
    });
    assert_eq!(theirs.cmd(&["DEBUG", "DIGEST"]), digest);
    assert_consistent(&mut theirs);
}
