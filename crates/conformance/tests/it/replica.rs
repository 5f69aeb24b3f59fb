//! Ochre as a replica: of real servers, of itself, and in chains: R5.
//!
//! Each test ends with equal fingerprints (DEBUG DIGEST) of all servers that share a history.

use std::path::PathBuf;

use ochre_conformance::commands::Commands;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

use crate::{PrintSeed, seed};

/// Writes of all families that Redis 7.0 and all later ones know.
pub(crate) const WRITES: &str = "
    SET {k} {v} [EX {ttl}|PX {ttl}000|KEEPTTL] [NX|XX]
    SET {k} {v} PX 5
    SETEX {k} {ttl} {v}
    GETEX {k} [EX {ttl}|PERSIST]
    GETDEL {k}
    APPEND {k} {v}
    SETRANGE {k} {n} {v}
    INCR {k}
    INCRBYFLOAT {k} {f}
    MSET {k}{v}+
    RPUSH {k} {v}+
    LPUSH {k} {m}+
    LPOP {k} [{n}]
    LINSERT {k} (BEFORE|AFTER) {m} {v}
    LTRIM {k} {i} {i}
    LMOVE {k} {k} (LEFT|RIGHT) (LEFT|RIGHT)
    HSET {k} {m}{v}+
    HINCRBY {k} {m} {i}
    HDEL {k} {m}+
    SADD {k} {m}+
    SREM {k} {m}+
    SPOP {k} [{n}]
    SUNIONSTORE {k} {k}+
    ZADD {k} {i}{m}+
    ZINCRBY {k} {i} {m}
    ZPOPMIN {k} [{n}]
    ZUNIONSTORE {k} 2 {k} {k}
    SETBIT {k} {n}57 (0|1)
    BITOP (AND|OR|XOR) {k} {k}+
    PFADD {k} {m}+
    XADD {k} * {m}{v}+
    XTRIM {k} MAXLEN {n}
    XGROUP CREATE {k} {g} 0 MKSTREAM
    XREADGROUP GROUP {g} {c} COUNT 2 STREAMS {k} >
    GEOADD {k} {n} {n} {m}
    EXPIRE {k} {ttl}
    PEXPIRE {k} 3
    PERSIST {k}
    RENAME {k} {k}
    COPY {k} {k} [REPLACE]
    DEL {k}
    UNLINK {k}
    SELECT (0|1|2)
    SORT {k} STORE {k}
";

pub(crate) fn debug(program: &Program, options: &[&str]) -> Server {
    let mut all = vec!["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"];
    all.extend_from_slice(options);
    Server::start(program, &all)
}

pub(crate) fn ochre(options: &[&str]) -> Server {
    debug(&Program::Ochre, options)
}

/// Random writes, some of them in transactions.
pub(crate) fn write(client: &mut Client, seed: u64, count: usize) {
    let mut commands = Commands::new(WRITES, seed);
    for n in 0..count {
        let args = commands.next_command();
        if n % 16 == 0 {
            client.cmd(&["MULTI"]);
            client.cmd(&args);
            client.cmd(&["INCR", "transactions"]);
            client.cmd(&["EXEC"]);
        } else {
            client.cmd(&args);
        }
    }
    client.cmd(&["SELECT", "0"]);
}

pub(crate) fn follow(replica: &mut Client, primary: &Server) {
    let port = primary.port().to_string();
    let reply = replica.cmd(&["REPLICAOF", "127.0.0.1", &port]);
    assert!(matches!(reply, Value::Status(_)), "{reply:?}");
}

pub(crate) fn is_linked(replica: &mut Client) -> bool {
    replica.info("replication", "master_link_status") == "up"
}

pub(crate) fn await_link(replica: &mut Client) {
    wait_until("the link is up", || is_linked(replica).then_some(()));
}

/// Waits until all replicas have come as far as the primary is now, and compares the data.
pub(crate) fn same(primary: &mut Client, replicas: &mut [&mut Client]) {
    let offset = |client: &mut Client| -> i64 {
        client.info("replication", "master_repl_offset").parse().unwrap_or(-1)
    };
    for replica in replicas {
        wait_until("the replica has caught up", || {
            let theirs = offset(primary);
            (is_linked(replica) && offset(replica) >= theirs).then_some(())
        });
        // Keys that are past their time go from the primary at its own pace.
        wait_until("the data is the same", || {
            let ours = replica.cmd(&["DEBUG", "DIGEST"]);
            (ours == primary.cmd(&["DEBUG", "DIGEST"])).then_some(())
        });
    }
}

pub(crate) fn stat(client: &mut Client, field: &str) -> i64 {
    client.info("stats", field).parse().unwrap_or(-1)
}

pub(crate) fn refusal(reply: &Value) -> String {
    match reply {
        Value::Error(text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

/// A full synchronisation beside writes, a cut, and a partial one.
fn follows(program: &Program, primary_options: &[&str], replica_options: &[&str]) {
    if program.find().is_none() {
        println!("not tried: {} is not installed (see PEERS_DIR)", program.name());
        return;
    }
    let seed = seed();
    let _print = PrintSeed(seed);
    let primary = debug(program, primary_options);
    let mut client = primary.client();
    write(&mut client, seed, 1000);
    client.cmd(&["SET", "large", &"x".repeat(200_000)]);
    client.cmd(&["SET", "far", "v", "PX", "100000000"]);
    client.cmd(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=lib\nredis.register_function{function_name='f',callback=function() return 7 end,\
         flags={'no-writes'}}",
    ]);
    let replica = ochre(replica_options);
    let mut follower = replica.client();
    follower.cmd(&["SET", "mine", "goes"]);
    follow(&mut follower, &primary);
    write(&mut client, seed ^ 1, 1000);
    same(&mut client, &mut [&mut follower]);
    client.cmd(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=later\nredis.register_function('g',function() end)",
    ]);
    wait_until("a library comes with the stream", || {
        follower.shown("FUNCTION LIST").contains("later").then_some(())
    });
    assert_eq!(follower.shown("GET mine"), "(nil)");
    assert_eq!(follower.shown("FCALL f 0"), "(int) 7");
    assert_eq!(stat(&mut client, "sync_full"), 1);
    // Cut by either side.
    client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    write(&mut client, seed ^ 2, 200);
    same(&mut client, &mut [&mut follower]);
    follower.cmd(&["CLIENT", "KILL", "TYPE", "master"]);
    write(&mut client, seed ^ 3, 200);
    wait_until("a second partial synchronisation", || {
        (stat(&mut client, "sync_partial_ok") == 2).then_some(())
    });
    same(&mut client, &mut [&mut follower]);
    assert_eq!(stat(&mut client, "sync_full"), 1, "one full synchronisation only");
    // The primary knows how far the replica is.
    client.cmd(&["SET", "last", "1"]);
    assert_eq!(client.integer("WAIT 1 10000"), 1);
}

#[test]
fn follows_redis_7_streamed() {
    follows(&Program::Redis7, &[], &[]);
}

#[test]
fn follows_redis_7_by_file() {
    follows(&Program::Redis7, &["--repl-diskless-sync", "no"], &["--io-threads", "1"]);
}

#[test]
fn follows_redis_7_loading_from_the_connection() {
    let file = ["--repl-diskless-sync", "no"];
    follows(&Program::Redis7, &[], &["--repl-diskless-load", "flush-before-load"]);
    follows(&Program::Redis7, &file, &["--repl-diskless-load", "flush-before-load"]);
}

#[test]
fn follows_valkey_9() {
    follows(&Program::Valkey9, &[], &[]);
}

#[test]
fn follows_redis_8() {
    follows(&Program::Redis8, &[], &[]);
}

#[test]
fn follows_ochre() {
    follows(&Program::Ochre, &[], &["--io-threads", "1"]);
    follows(&Program::Ochre, &["--appendonly", "yes"], &["--repl-diskless-load", "on-empty-db"]);
}

#[test]
fn between_two_redises() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let (first, second) = (debug(&Program::Redis7, &[]), ochre(&["--compat", "redis-7.0"]));
    let third = debug(&Program::Redis7, &[]);
    let (mut a, mut b, mut c) = (first.client(), second.client(), third.client());
    write(&mut a, seed, 500);
    follow(&mut b, &first);
    await_link(&mut b);
    // In the middle of things, with another database selected.
    a.cmd(&["SELECT", "2"]);
    a.cmd(&["INCR", "here"]);
    follow(&mut c, &second);
    a.cmd(&["INCR", "here"]);
    write(&mut a, seed ^ 1, 500);
    same(&mut a, &mut [&mut b, &mut c]);
    // The same offsets and the same history all along the chain.
    let ids: Vec<String> =
        [&mut a, &mut b, &mut c].map(|client| client.info("replication", "master_replid")).into();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    // The last one goes on without a snapshot, from the middle one or from the first.
    b.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    write(&mut a, seed ^ 2, 200);
    same(&mut a, &mut [&mut b, &mut c]);
    follow(&mut c, &first);
    write(&mut a, seed ^ 3, 200);
    same(&mut a, &mut [&mut b, &mut c]);
    assert_eq!(stat(&mut b, "sync_full"), 1);
    assert_eq!(stat(&mut b, "sync_partial_ok"), 1);
    assert_eq!(stat(&mut a, "sync_partial_ok"), 1);
}

#[test]
fn around_a_redis() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let (first, second) = (ochre(&["--compat", "redis-7.0"]), debug(&Program::Redis7, &[]));
    let (third, fourth) = (ochre(&["--compat", "redis-7.0"]), ochre(&[]));
    let (mut a, mut b) = (first.client(), second.client());
    let (mut c, mut d) = (third.client(), fourth.client());
    write(&mut a, seed, 500);
    follow(&mut b, &first);
    follow(&mut c, &second);
    follow(&mut d, &third);
    write(&mut a, seed ^ 1, 500);
    same(&mut a, &mut [&mut b, &mut c, &mut d]);
    // The history of the second one changes: those behind it follow without a snapshot.
    let before = stat(&mut c, "sync_full");
    b.cmd(&["REPLICAOF", "NO", "ONE"]);
    write(&mut b, seed ^ 2, 200);
    same(&mut b, &mut [&mut c, &mut d]);
    assert_eq!(stat(&mut b, "sync_full"), 1);
    assert_eq!(stat(&mut c, "sync_full"), before);
}

/// A folder that outlives its server.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ochre-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn server(&self, options: &[&str]) -> Server {
        let mut all = vec!["--dir", self.0.to_str().unwrap()];
        all.extend_from_slice(options);
        let server = ochre(&all);
        wait_until("the data is loaded", || {
            (server.client().cmd(&["PING"]) == Value::Status(b"PONG".to_vec())).then_some(())
        });
        server
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn shut_down(mut server: Server) {
    server.client().send(&["SHUTDOWN", "SAVE"]);
    server.await_exit();
}

#[test]
fn a_restart_needs_no_snapshot() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let (mine, theirs) = (Folder::new("replica-restart"), Folder::new("primary-restart"));
    let primary = theirs.server(&[]);
    let port = primary.port().to_string();
    let mut a = primary.client();
    write(&mut a, seed, 300);
    let replica = mine.server(&["--replicaof", "127.0.0.1", &port]);
    let mut b = replica.client();
    a.cmd(&["SELECT", "1"]);
    a.cmd(&["INCR", "n"]);
    same(&mut a, &mut [&mut b]);
    shut_down(replica);
    // No key may be found expired by the replica's start: it could not know.
    a.cmd(&["INCR", "n"]);
    let replica = mine.server(&["--replicaof", "127.0.0.1", &port]);
    let mut b = replica.client();
    write(&mut a, seed ^ 1, 100);
    same(&mut a, &mut [&mut b]);
    assert_eq!(stat(&mut a, "sync_full"), 1);
    assert_eq!(stat(&mut a, "sync_partial_ok"), 1);
    // The primary restarts.
    a.cmd(&["FLUSHALL"]);
    for n in 0..100 {
        a.cmd(&["SET", &format!("k{n}"), "v"]);
    }
    same(&mut a, &mut [&mut b]);
    shut_down(primary);
    wait_until("the link is down", || (!is_linked(&mut b)).then_some(()));
    let primary = theirs.server(&[]);
    let mut a = primary.client();
    a.cmd(&["INCR", "n"]);
    follow(&mut b, &primary);
    same(&mut a, &mut [&mut b]);
    assert_eq!(stat(&mut a, "sync_full"), 0);
    assert_eq!(stat(&mut a, "sync_partial_ok"), 1);
}

#[test]
fn the_append_only_file_of_a_replica() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let folder = Folder::new("replica-aof");
    let primary = debug(&Program::Redis7, &[]);
    let mut a = primary.client();
    write(&mut a, seed, 200);
    let mut replica = folder.server(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut b = replica.client();
    follow(&mut b, &primary);
    await_link(&mut b);
    a.cmd(&["SELECT", "1"]);
    a.cmd(&["INCR", "n"]);
    // The file is begun anew within a stream that has another database selected.
    wait_until("the file is on again", || {
        (b.info("persistence", "aof_enabled") == "1"
            && b.info("persistence", "aof_rewrite_in_progress") == "0")
            .then_some(())
    });
    a.cmd(&["INCR", "n"]);
    write(&mut a, seed ^ 1, 200);
    same(&mut a, &mut [&mut b]);
    replica.kill();
    let replica = folder.server(&["--appendonly", "yes"]);
    let mut b = replica.client();
    // By itself, and while the primary was not written to; keys go from both when they are past their time.
    wait_until("the data is what it was", || {
        (b.cmd(&["DEBUG", "DIGEST"]) == a.cmd(&["DEBUG", "DIGEST"])).then_some(())
    });
    follow(&mut b, &primary);
    write(&mut a, seed ^ 2, 50);
    same(&mut a, &mut [&mut b]);
}

#[test]
fn a_replica_refuses_writes() {
    let (primary, replica) = (debug(&Program::Redis7, &[]), ochre(&[]));
    let (mut a, mut b) = (primary.client(), replica.client());
    follow(&mut b, &primary);
    await_link(&mut b);
    const TEXT: &str = "READONLY You can't write against a read only replica.";
    assert_eq!(refusal(&b.cmd(&["SET", "k", "v"])), TEXT);
    assert!(refusal(&b.cmd(&["EVAL", "return redis.call('set','k','v')", "0"])).starts_with(TEXT));
    b.cmd(&["MULTI"]);
    assert_eq!(refusal(&b.cmd(&["DEL", "k"])), TEXT);
    assert!(refusal(&b.cmd(&["EXEC"])).starts_with("EXECABORT"));
    assert!(refusal(&b.cmd(&["WAIT", "1", "0"])).starts_with("ERR WAIT cannot be used"));
    b.cmd(&["CONFIG", "SET", "replica-read-only", "no"]);
    assert_eq!(b.cmd(&["SET", "own", "v"]), Value::Status(b"OK".to_vec()));
    // What is written here stays here.
    a.cmd(&["SET", "k", "v"]);
    wait_until("the key comes", || (b.shown("GET k") == "\"v\"").then_some(()));
    assert_eq!(a.shown("GET own"), "(nil)");
    let ours = b.info("replication", "slave_repl_offset");
    wait_until("offsets agree", || {
        (a.info("replication", "master_repl_offset") >= ours).then_some(())
    });
}

#[test]
fn stale_data_is_served_or_not() {
    let mut primary = debug(&Program::Redis7, &[]);
    let replica = ochre(&[]);
    let (mut a, mut b) = (primary.client(), replica.client());
    a.cmd(&["SET", "k", "v"]);
    follow(&mut b, &primary);
    same(&mut a, &mut [&mut b]);
    primary.kill();
    wait_until("the link is down", || (!is_linked(&mut b)).then_some(()));
    assert_eq!(b.shown("GET k"), "\"v\"");
    b.cmd(&["CONFIG", "SET", "replica-serve-stale-data", "no"]);
    let text = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";
    assert_eq!(refusal(&b.cmd(&["GET", "k"])), text);
    assert_eq!(b.cmd(&["PING"]), Value::Error(text.as_bytes().to_vec()));
    assert!(matches!(b.cmd(&["INFO", "server"]), Value::Bulk(_)));
    assert_eq!(refusal(&b.cmd(&["PSYNC", "?", "-1"])).split(' ').next(), Some("MASTERDOWN"));
    b.cmd(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    assert_eq!(refusal(&b.cmd(&["PSYNC", "?", "-1"])).split(' ').next(), Some("NOMASTERLINK"));
    b.cmd(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(b.cmd(&["SET", "k", "w"]), Value::Status(b"OK".to_vec()));
}

/// The primary does not delete what is past its time: the replica hides it, and keeps it.
#[test]
fn keys_expire_by_the_primarys_word() {
    let (primary, replica) = (debug(&Program::Redis7, &[]), ochre(&[]));
    let (mut a, mut b) = (primary.client(), replica.client());
    follow(&mut b, &primary);
    await_link(&mut b);
    a.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    for name in ["one", "two", "three"] {
        a.cmd(&["SET", name, "v", "PX", "50"]);
    }
    a.cmd(&["SADD", "other", "m"]);
    wait_until("they are here", || (b.integer("DBSIZE") == 4).then_some(()));
    wait_until("they are past their time", || {
        (b.integer("EXISTS one two three") == 0).then_some(())
    });
    assert_eq!(b.shown("GET one"), "(nil)");
    assert_eq!(b.integer("TTL two"), -2);
    assert_eq!(b.shown("MGET one two"), "[(nil), (nil)]");
    // They stay until the primary finds them.
    assert_eq!(b.integer("DBSIZE"), 4);
    a.cmd(&["GET", "one"]);
    wait_until("one of them goes", || (b.integer("DBSIZE") == 3).then_some(()));
    // A command of the primary's that renews a key finds it whatever the time is here.
    a.cmd(&["SET", "two", "again"]);
    wait_until("it is back", || (b.shown("GET two") == "\"again\"").then_some(()));
    a.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
    wait_until("all is gone", || (b.integer("DBSIZE") == 2).then_some(()));
    same(&mut a, &mut [&mut b]);
    // A promoted replica expires by itself.
    a.cmd(&["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    a.cmd(&["SET", "late", "v", "PX", "30"]);
    wait_until("it is here", || (b.integer("DBSIZE") == 3).then_some(()));
    b.cmd(&["REPLICAOF", "NO", "ONE"]);
    wait_until("it goes", || (b.integer("DBSIZE") == 2).then_some(()));
}

#[test]
fn wait_counts_replicas() {
    let primary = ochre(&["--appendonly", "yes"]);
    let (first, second) =
        (debug(&Program::Redis7, &["--repl-diskless-load", "disabled"]), ochre(&[]));
    let (mut a, mut b, mut c) = (primary.client(), first.client(), second.client());
    assert_eq!(a.integer("WAIT 0 0"), 0);
    a.cmd(&["CONFIG", "SET", "compat", "redis-7.0"]);
    follow(&mut b, &primary);
    follow(&mut c, &primary);
    a.cmd(&["SET", "k", "v"]);
    await_link(&mut b);
    await_link(&mut c);
    a.cmd(&["SET", "k", "w"]);
    assert_eq!(a.integer("WAIT 2 20000"), 2);
    // More than there are: the time runs out.
    a.cmd(&["INCR", "n"]);
    assert_eq!(a.integer("WAIT 3 300"), 2);
    // One that cannot answer does not count.
    c.cmd(&["CLIENT", "KILL", "TYPE", "master"]);
    c.cmd(&["REPLICAOF", "NO", "ONE"]);
    a.cmd(&["INCR", "n"]);
    assert_eq!(a.integer("WAIT 1 20000"), 1);
    assert_eq!(a.shown("WAITAOF 1 0 20000"), "[(int) 1, (int) 0]");
    let mut blocked = primary.client();
    blocked.cmd(&["INCR", "n"]);
    assert_eq!(blocked.integer("WAIT 1 20000"), 1);
    let id = blocked.integer("CLIENT ID");
    blocked.send(&["WAIT", "5", "0"]);
    wait_until("it waits", || (a.info("clients", "blocked_clients") == "1").then_some(()));
    assert_eq!(a.integer(&format!("CLIENT UNBLOCK {id}")), 1);
    assert_eq!(blocked.reply(), Value::Integer(1));
    // Replicas' disks: Redis 7.0 does not tell of its own.
    let third = ochre(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut d = third.client();
    follow(&mut d, &primary);
    await_link(&mut d);
    wait_until("its file is on", || {
        (d.info("persistence", "aof_rewrite_in_progress") == "0"
            && d.info("persistence", "aof_enabled") == "1")
            .then_some(())
    });
    a.cmd(&["INCR", "n"]);
    assert_eq!(a.shown("WAITAOF 1 1 20000"), "[(int) 1, (int) 1]");
    assert!(refusal(&a.cmd(&["WAITAOF", "2", "0", "0"])).starts_with("ERR value is out of range"));
    assert!(refusal(&a.cmd(&["WAIT", "1", "-1"])).contains("timeout is negative"));
}

/// The names of INFO's fields are those of the peer, as a primary and as a replica.
#[test]
fn info_and_role_are_the_peers() {
    let (primary, old) = (ochre(&["--compat", "redis-7.0"]), debug(&Program::Redis7, &[]));
    let (ours, theirs) = (ochre(&["--compat", "redis-7.0"]), debug(&Program::Redis7, &[]));
    let (mut b, mut c) = (ours.client(), theirs.client());
    follow(&mut b, &old);
    follow(&mut c, &primary);
    await_link(&mut b);
    await_link(&mut c);
    let names = |client: &mut Client| {
        let Value::Bulk(text) = client.cmd(&["INFO", "replication"]) else { panic!("a text") };
        let text = String::from_utf8(text).unwrap();
        let names: Vec<String> =
            text.lines().map(|line| line.split(':').next().unwrap_or("").to_owned()).collect();
        names
    };
    assert_eq!(names(&mut b), names(&mut c));
    assert_eq!(names(&mut primary.client()), names(&mut old.client()));
    let Value::Array(role) = b.cmd(&["ROLE"]) else { panic!("an array") };
    let Value::Array(peer) = c.cmd(&["ROLE"]) else { panic!("an array") };
    assert_eq!(role.len(), 5);
    assert_eq!((&role[0], &role[3]), (&peer[0], &peer[3]));
    assert_eq!(role[2], Value::Integer(i64::from(old.port())));
    let Value::Bulk(list) = b.cmd(&["CLIENT", "LIST", "TYPE", "master"]) else { panic!("a text") };
    let list = String::from_utf8(list).unwrap();
    assert!(list.contains("flags=M") && list.lines().count() == 1, "{list}");
    assert_eq!(
        b.shown("CONFIG GET replicaof"),
        format!("[\"replicaof\", \"127.0.0.1 {}\"]", old.port())
    );
    let reply = b.cmd(&["REPLICAOF", "127.0.0.1", &old.port().to_string()]);
    assert_eq!(reply, Value::Status(b"OK Already connected to specified master".to_vec()));
    assert_eq!(refusal(&b.cmd(&["REPLICAOF", "host", "x"])), "ERR Invalid master port");
}

#[test]
fn a_password_is_given() {
    for user in [None, Some("link")] {
        let primary = debug(&Program::Redis7, &[]);
        let mut a = primary.client();
        a.cmd(&["CONFIG", "SET", "requirepass", "secret"]);
        if let Some(user) = user {
            a.cmd(&["ACL", "SETUSER", user, "on", ">secret", "+psync", "+replconf", "+ping"]);
        }
        let port = primary.port().to_string();
        let mut options = vec!["--replicaof", "127.0.0.1", &port, "--masterauth", "secret"];
        options.extend(user.iter().flat_map(|user| ["--masteruser", user]));
        let replica = ochre(&options);
        let mut b = replica.client();
        a.cmd(&["SET", "k", "v"]);
        same(&mut a, &mut [&mut b]);
        // A wrong one is tried again and again.
        b.cmd(&["CONFIG", "SET", "masterauth", "wrong"]);
        a.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
        wait_until("the link is down", || (!is_linked(&mut b)).then_some(()));
        b.cmd(&["CONFIG", "SET", "masterauth", "secret"]);
        await_link(&mut b);
    }
}

#[test]
fn messages_reach_listeners_of_replicas() {
    for program in [Program::Redis7, Program::Ochre] {
        let (primary, replica) = (debug(&program, &[]), ochre(&[]));
        let (mut a, mut b, mut listener) = (primary.client(), replica.client(), replica.client());
        follow(&mut b, &primary);
        await_link(&mut b);
        listener.cmd(&["SUBSCRIBE", "news"]);
        a.cmd(&["PUBLISH", "news", "hello"]);
        let message = listener.reply();
        let Value::Array(parts) = &message else { panic!("{message:?}") };
        assert_eq!(parts[2], Value::Bulk(b"hello".to_vec()));
    }
}
