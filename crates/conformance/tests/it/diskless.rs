//! Full synchronisations without a file: `repl-diskless-sync` and its kin on a primary, `repl-diskless-load swapdb`
//! on a replica, and what a replica does whose disk fails.

use std::time::{Duration, Instant};

use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

use crate::replica::{await_link, follow, is_linked, same, write};

/// A primary of ours that sends snapshots without a file, this many seconds after it is asked to.
fn primary(delay: &str, options: &[&str]) -> Server {
    let mut all = vec!["--enable-debug-command", "yes", "--repl-diskless-sync-delay", delay];
    all.extend_from_slice(options);
    Server::ochre(&all)
}

fn replica(program: &Program, options: &[&str]) -> Server {
    let mut all = vec!["--enable-debug-command", "yes"];
    all.extend_from_slice(options);
    Server::start(program, &all)
}

fn stat(client: &mut Client, field: &str) -> i64 {
    client.info("stats", field).parse().unwrap_or(-1)
}

/// The state of the first replica.
fn state(client: &mut Client) -> String {
    let line = client.info("replication", "slave0");
    let state = line.split(',').find_map(|part| part.strip_prefix("state="));
    state.unwrap_or_default().to_owned()
}

/// Some megabytes of keys that do not shrink.
fn fill(client: &mut Client, keys: usize) {
    for n in 0..keys {
        let value: String =
            (0..125).map(|i| format!("{:08x}", (n * 977 + i) * 2_654_435)).collect();
        client.send(&["SET", &format!("filler:{n}"), &value]);
    }
    for _ in 0..keys {
        client.reply();
    }
}

/// A replica that is a bare connection: it says what it can, and asks for all.
fn bare(primary: &Server, capa: &[&str]) -> Client {
    let mut link = primary.client();
    for word in capa {
        assert_eq!(link.shown(&format!("REPLCONF capa {word}")), "OK");
    }
    link.send(&["PSYNC", "?", "-1"]);
    link
}

/// A line, empty ones passed over.
fn line(link: &mut Client) -> String {
    let mut text = String::new();
    loop {
        match link.raw(1)[0] {
            b'\n' if text.trim().is_empty() => text.clear(),
            b'\n' => return text.trim_end().to_owned(),
            byte => text.push(char::from(byte)),
        }
    }
}

#[test]
fn servers_of_both_families_take_a_stream() {
    let primary = primary("0", &["--compat", "redis-7.0"]);
    let mut client = primary.client();
    write(&mut client, 1, 2000);
    fill(&mut client, 3000);
    // A channel of its own for the snapshot is offered, and is not taken.
    let programs = [
        (Program::Redis7, &[][..]),
        (Program::Redis7, &["--repl-diskless-load", "swapdb"]),
        (Program::Valkey9, &["--dual-channel-replication-enabled", "yes"]),
        (Program::Redis8, &["--repl-rdb-channel", "yes", "--repl-diskless-load", "on-empty-db"]),
        (Program::Ochre, &[]),
    ];
    for (program, options) in programs {
        if program.find().is_none() {
            continue;
        }
        let server = replica(&program, options);
        let mut theirs = server.client();
        let before = stat(&mut client, "sync_full");
        follow(&mut theirs, &primary);
        write(&mut client, 2, 500);
        await_link(&mut theirs);
        write(&mut client, 3, 100);
        same(&mut client, &mut [&mut theirs]);
        assert_eq!(stat(&mut client, "sync_full"), before + 1, "{}", program.name());
    }
    let log = primary.log();
    assert!(log.contains("Starting BGSAVE for SYNC with target: replicas sockets"), "{log}");
    assert!(log.contains("Waiting for REPLCONF ACK from replica to enable streaming"), "{log}");
    assert!(!log.contains("target: disk"), "{log}");
}

#[test]
fn the_stream_ends_with_its_mark_and_the_log_waits_for_an_acknowledgement() {
    let primary = primary("0", &[]);
    let mut client = primary.client();
    fill(&mut client, 500);
    let mut link = bare(&primary, &["eof", "psync2"]);
    let answer = line(&mut link);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    let offset: i64 = answer.rsplit(' ').next().unwrap().parse().unwrap();
    let announced = line(&mut link);
    let mark = announced.strip_prefix("$EOF:").expect("a stream").as_bytes().to_vec();
    assert_eq!(mark.len(), 40);
    client.cmd(&["SET", "after", "the cut"]);
    let mut payload = Vec::new();
    while !payload.ends_with(&mark) {
        payload.extend(link.raw(1));
    }
    assert!(payload.starts_with(b"REDIS") || payload.starts_with(b"VALKEY"));
    wait_until("it counts as online", || (state(&mut client) == "online").then_some(()));
    // The log is held back until it says that it has loaded the snapshot.
    let early = link.reply_within(Duration::from_millis(300));
    assert!(matches!(early, Ok(None)), "{early:?}");
    link.send(&["REPLCONF", "ACK", &offset.to_string()]);
    let first = link.reply();
    let select = Value::Array(vec![Value::Bulk(b"SELECT".to_vec()), Value::Bulk(b"0".to_vec())]);
    assert_eq!(first, select);
    assert!(matches!(link.reply(), Value::Array(words) if words.len() == 3));
}

#[test]
fn replicas_that_cannot_take_a_stream_get_a_file() {
    let primary = primary("0", &[]);
    let mut client = primary.client();
    fill(&mut client, 100);
    let mut link = bare(&primary, &["psync2"]);
    assert!(line(&mut link).starts_with("+FULLRESYNC "));
    let announced = line(&mut link);
    let bytes: usize = announced.strip_prefix('$').and_then(|n| n.parse().ok()).expect("a size");
    assert!(link.raw(bytes).starts_with(b"REDIS"));
    assert!(primary.log().contains("Starting BGSAVE for SYNC with target: disk"));
    // And all of them when the directive says so.
    client.cmd(&["CONFIG", "SET", "repl-diskless-sync", "no"]);
    let mut link = bare(&primary, &["eof", "psync2"]);
    assert!(line(&mut link).starts_with("+FULLRESYNC "));
    assert!(!line(&mut link).starts_with("$EOF"));
}

#[test]
fn replicas_that_come_together_share_a_snapshot() {
    // They would wait for an hour, but three are enough.
    let primary = primary("3600", &["--repl-diskless-sync-max-replicas", "3"]);
    let mut client = primary.client();
    write(&mut client, 5, 300);
    let servers: Vec<Server> = (0..3).map(|_| replica(&Program::Ochre, &[])).collect();
    let mut clients: Vec<Client> = servers.iter().map(Server::client).collect();
    for (n, theirs) in clients.iter_mut().enumerate() {
        follow(theirs, &primary);
        if n < 2 {
            wait_until("it waits", || {
                let count = client.info("replication", "connected_slaves");
                (count == (n + 1).to_string()).then_some(())
            });
            assert_eq!(state(&mut client), "wait_bgsave");
            assert_eq!(client.info("persistence", "rdb_bgsave_in_progress"), "0");
        }
    }
    let mut all: Vec<&mut Client> = clients.iter_mut().collect();
    same(&mut client, &mut all);
    let log = primary.log();
    assert_eq!(log.matches("target: replicas sockets").count(), 1, "{log}");
    assert!(log.contains("Delay next BGSAVE for diskless SYNC"), "{log}");
    // The delay alone brings one too.
    client.cmd(&["CONFIG", "SET", "repl-diskless-sync-delay", "1"]);
    let began = Instant::now();
    let late = replica(&Program::Ochre, &[]);
    let mut theirs = late.client();
    follow(&mut theirs, &primary);
    await_link(&mut theirs);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn who_comes_during_a_transfer_waits_for_the_next() {
    let primary = primary("0", &["--repl-timeout", "30"]);
    let mut client = primary.client();
    fill(&mut client, 20_000);
    // One that does not read holds the snapshot up.
    let mut stalled = bare(&primary, &["eof", "psync2"]);
    assert!(line(&mut stalled).starts_with("+FULLRESYNC "));
    wait_until("a snapshot is under way", || {
        (client.info("persistence", "rdb_bgsave_in_progress") == "1").then_some(())
    });
    let server = replica(&Program::Ochre, &[]);
    let mut theirs = server.client();
    follow(&mut theirs, &primary);
    wait_until("there are two", || {
        (client.info("replication", "connected_slaves") == "2").then_some(())
    });
    // One snapshot at a time; the server goes on meanwhile.
    let refused = client.shown("BGSAVE");
    assert!(refused.contains("in progress"), "{refused}");
    assert!(client.shown("BGREWRITEAOF").contains("scheduled"));
    write(&mut client, 7, 300);
    assert!(!is_linked(&mut theirs));
    drop(stalled);
    same(&mut client, &mut [&mut theirs]);
    assert!(primary.log().contains("no replica is left that wants it"));
    wait_until("the rewrite has run by itself", || {
        (client.info("persistence", "aof_rewrite_scheduled") == "0").then_some(())
    });
}

#[test]
fn one_that_stalls_is_dropped_and_the_others_get_theirs() {
    let primary =
        primary("3600", &["--repl-timeout", "3", "--repl-diskless-sync-max-replicas", "2"]);
    let mut client = primary.client();
    fill(&mut client, 20_000);
    let _stalled = bare(&primary, &["eof", "psync2"]);
    let server = replica(&Program::Ochre, &["--repl-timeout", "60"]);
    let mut theirs = server.client();
    follow(&mut theirs, &primary);
    wait_until("the slow one is dropped", || {
        primary.log().contains("Disconnecting timedout replica (full sync)").then_some(())
    });
    same(&mut client, &mut [&mut theirs]);
    assert_eq!(primary.log().matches("target: replicas sockets").count(), 1);
}

#[test]
fn when_replicas_are_too_slow_for_the_writes_the_next_snapshot_goes_by_a_file() {
    let primary = primary("3600", &["--repl-diskless-sync-max-replicas", "2"]);
    let mut client = primary.client();
    fill(&mut client, 80_000);
    let _stalled = bare(&primary, &["eof", "psync2"]);
    let server = replica(&Program::Ochre, &[]);
    let mut theirs = server.client();
    follow(&mut theirs, &primary);
    wait_until("a snapshot is under way", || {
        (client.info("persistence", "rdb_bgsave_in_progress") == "1").then_some(())
    });
    // Each key that changes is kept as it was; that has a limit.
    fill(&mut client, 80_000);
    wait_until("it is given up", || {
        primary.log().contains("the replicas are too slow for the writes").then_some(())
    });
    same(&mut client, &mut [&mut theirs]);
    assert!(primary.log().contains("target: disk"));
}

#[test]
fn a_client_that_wants_no_stream_is_closed_after_its_snapshot() {
    let primary = primary("0", &[]);
    fill(&mut primary.client(), 50);
    let mut link = primary.client();
    link.cmd(&["REPLCONF", "rdb-only", "1"]);
    link.cmd(&["REPLCONF", "capa", "eof"]);
    link.send(&["SYNC"]);
    let all = link.until_closed();
    let start = all.windows(5).position(|part| part == b"$EOF:").expect("a stream") + 5;
    assert!(all.ends_with(&all[start..start + 40]));
}

/// A replica with data that is to be replaced, and a primary whose history is the same or another one.
fn swap(is_same: bool, fails: bool) {
    let primary = primary("0", &["--repl-backlog-size", "65536"]);
    let mut client = primary.client();
    client.cmd(&["SET", "old", "1"]);
    client.cmd(&[
        "FUNCTION",
        "LOAD",
        "#!lua name=l\nredis.register_function('f', function() return 1 end)",
    ]);
    let server = replica(&Program::Ochre, &["--repl-diskless-load", "swapdb"]);
    let mut theirs = server.client();
    follow(&mut theirs, &primary);
    same(&mut client, &mut [&mut theirs]);
    let mut watcher = server.client();
    if !is_same {
        // It becomes a server of its own; what it has is another history then.
        theirs.cmd(&["REPLICAOF", "NO", "ONE"]);
        theirs.cmd(&["SET", "own", "1"]);
    }
    // It falls behind by more than the backlog holds.
    // Long enough to be seen, and for a broken link to be noticed: that is when something is sent, once a second.
    theirs.cmd(&["CONFIG", "SET", "key-load-delay", "3000"]);
    theirs.cmd(&["REPLICAOF", "127.0.0.1", "1"]);
    watcher.cmd(&["WATCH", "fresh"]);
    fill(&mut client, 5000);
    client.cmd(&["SET", "fresh", "1"]);
    client.cmd(&["DEL", "old"]);
    follow(&mut theirs, &primary);
    let field = if is_same { "async_loading" } else { "loading" };
    wait_until("it loads", || (theirs.info("persistence", field) == "1").then_some(()));
    let other = if is_same { "loading" } else { "async_loading" };
    assert_eq!(theirs.info("persistence", other), "0");
    let read = theirs.shown("GET old");
    let shown = theirs.shown("BGSAVE");
    assert!(shown.contains("LOADING"), "{shown}");
    if is_same {
        assert_eq!(read, "\"1\"", "the old data is served");
        assert!(theirs.shown("SET x 1").contains("READONLY"));
        assert_eq!(
            theirs.shown("FCALL_RO f 0"),
            "(err) ERR Can not execute a script with write flag using *_ro command."
        );
    } else {
        assert!(read.contains("LOADING"), "{read}");
    }
    if fails {
        client.cmd(&["REPLICAOF", "127.0.0.1", "1"]);
        client.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
        wait_until("it has given up", || {
            server.log().contains("Discarding temporary DB").then_some(())
        });
        wait_until("it loads no more", || (theirs.info("persistence", field) == "0").then_some(()));
        assert_eq!(theirs.shown("GET old"), "\"1\"");
        assert_eq!(theirs.shown("GET fresh"), "(nil)");
        assert_eq!(theirs.shown("EXISTS own"), if is_same { "(int) 0" } else { "(int) 1" });
        return;
    }
    theirs.cmd(&["CONFIG", "SET", "key-load-delay", "0"]);
    same(&mut client, &mut [&mut theirs]);
    assert_eq!(theirs.shown("EXISTS old own"), "(int) 0");
    assert_eq!(theirs.shown("GET fresh"), "\"1\"");
    assert!(theirs.shown("FUNCTION LIST").contains("\"f\""));
    // A watched key that came with the new data has changed.
    watcher.cmd(&["MULTI"]);
    watcher.cmd(&["PING"]);
    assert_eq!(watcher.shown("EXEC"), "(nil-array)");
    write(&mut client, 11, 200);
    same(&mut client, &mut [&mut theirs]);
}

#[test]
fn the_old_data_is_served_until_the_new_is_there() {
    swap(true, false);
}

#[test]
fn data_of_another_history_is_kept_but_not_served() {
    swap(false, false);
}

#[test]
fn a_transfer_that_fails_leaves_the_old_data() {
    swap(true, true);
    swap(false, true);
}

/// A replica whose last snapshot could not be written.
fn disk_fails(ignore: &str) -> (Server, Server) {
    let primary = primary("0", &[]);
    let options = ["--save", "3600 100000", "--replica-ignore-disk-write-errors", ignore];
    let server = Server::ochre(&options);
    let mut theirs = server.client();
    follow(&mut theirs, &primary);
    await_link(&mut theirs);
    // A folder cannot be replaced by a file.
    std::fs::create_dir(server.dir().join("dump.rdb")).unwrap();
    theirs.cmd(&["BGSAVE"]);
    wait_until("the snapshot has failed", || {
        (theirs.info("persistence", "rdb_last_bgsave_status") == "err").then_some(())
    });
    (primary, server)
}

#[test]
fn a_replica_that_cannot_write_to_its_disk_ends() {
    let (primary, mut server) = disk_fails("no");
    primary.client().cmd(&["SET", "k", "v"]);
    wait_until("it ends", || (!server.is_alive()).then_some(()));
    assert!(server.log().contains("Replica was unable to write command to disk."));
}

#[test]
fn or_goes_on_when_it_is_told_to() {
    let (primary, server) = disk_fails("yes");
    let mut theirs = server.client();
    primary.client().cmd(&["SET", "k", "v"]);
    wait_until("it has it", || (theirs.shown("GET k") == "\"v\"").then_some(()));
    let text = "Replica is applying a command even though it is unable to write to disk.";
    assert!(server.log().contains(text), "{}", server.log());
    // Its own clients are told; but they may not write to a replica in any case.
    theirs.cmd(&["CONFIG", "SET", "replica-read-only", "no"]);
    assert!(theirs.shown("SET k w").contains("MISCONF"));
}
