//! Real servers as replicas of ours: R5.

use std::time::{Duration, Instant};

use ochre_testkit::{Client, Program, Server, Value};

fn info(client: &mut Client, field: &str) -> String {
    let Value::Bulk(text) = client.cmd(&["INFO", "replication"]) else { panic!("a text") };
    let text = String::from_utf8(text).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_default().to_owned()
}

/// Waits until the replica has come as far as the primary is now, and compares the data.
fn wait_for_same(primary: &mut Client, replica: &mut Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let ours: i64 = info(primary, "master_repl_offset").parse().unwrap();
        let theirs: i64 = info(replica, "slave_repl_offset").parse().unwrap_or(-1);
        if theirs >= ours && info(replica, "master_link_status") == "up" {
            break;
        }
        assert!(Instant::now() < deadline, "the replica is at {theirs} of {ours}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // Keys that are past their time go from both at their own pace.
    loop {
        let ours = primary.cmd(&["DEBUG", "DIGEST"]);
        let theirs = replica.cmd(&["DEBUG", "DIGEST"]);
        if ours == theirs {
            return;
        }
        assert!(Instant::now() < deadline, "{ours:?} and {theirs:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

const WRITES: &[&str] = &[
    "SET k{n} v{n}",
    "INCR counter",
    "RPUSH list {n}",
    "SADD set {n}",
    "HSET hash f{n} {n}",
    "ZADD zset {n} m{n}",
    "SPOP set",
    "SET gone{n} x PX 20",
    "XADD stream * f {n}",
    "SETBIT bits {n} 1",
    "PFADD sketch {n}",
    "EVAL return{redis.call('set','s1','{n}'),redis.call('incr','s2')} 0",
    "RENAME k{n} renamed",
];

fn write(client: &mut Client, from: usize, count: usize) {
    for n in from..from + count {
        for line in WRITES {
            let line = line.replace("{n}", &n.to_string());
            let words: Vec<&str> = line.split(' ').collect();
            let reply = client.cmd(&words);
            assert!(!matches!(reply, Value::Error(_)), "{line}: {reply:?}");
        }
        client.cmd(&["SELECT", &(n % 3).to_string()]);
    }
    client.cmd(&["SELECT", "0"]);
}

fn follows(io_threads: &str) {
    let primary = Server::ochre(&[
        "--compat",
        "redis-7.0",
        "--enable-debug-command",
        "yes",
        "--io-threads",
        io_threads,
    ]);
    let mut client = primary.client();
    write(&mut client, 0, 200);
    let port = primary.port().to_string();
    let replica = Server::start(
        &Program::Redis7,
        &["--enable-debug-command", "yes", "--repl-diskless-load", "disabled"],
    );
    let mut follower = replica.client();
    follower.cmd(&["REPLICAOF", "127.0.0.1", &port]);
    // The full synchronisation goes on beside writes.
    write(&mut client, 200, 200);
    wait_for_same(&mut client, &mut follower);
    assert_eq!(info(&mut client, "connected_slaves"), "1");
    // One replica is in touch; two are asked for, then one.
    client.cmd(&["CONFIG", "SET", "min-replicas-to-write", "2"]);
    let Value::Error(text) = client.cmd(&["SET", "k", "v"]) else { panic!("refused") };
    assert!(text.starts_with(b"NOREPLICAS"), "{}", String::from_utf8_lossy(&text));
    client.cmd(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(client.cmd(&["SET", "k", "v"]), Value::Status(b"OK".to_vec()));
    client.cmd(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    // The link is cut: the replica goes on where it was.
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    write(&mut client, 400, 100);
    wait_for_same(&mut client, &mut follower);
    let Value::Bulk(stats) = client.cmd(&["INFO", "stats"]) else { panic!("a text") };
    let stats = String::from_utf8(stats).unwrap();
    assert!(stats.contains("sync_full:1\r\n"), "one full synchronisation only");
    assert!(stats.contains("sync_partial_ok:1\r\n"), "then a partial one");
}

#[test]
fn redis_follows_one_loop() {
    follows("1");
}

#[test]
fn redis_follows_two_loops() {
    follows("2");
}
