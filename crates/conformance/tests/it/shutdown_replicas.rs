//! SHUTDOWN and signals with replicas that lag behind: `shutdown-timeout`, NOW, ABORT.
//!
//! The replica is a bare connection, which acknowledges when the test says so.

use std::time::{Duration, Instant};

use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Server, Value};

use crate::replica::{await_link, follow, ochre};

/// A field of INFO that need not be there.
fn field(client: &mut Client, section: &str, name: &str) -> Option<String> {
    let Value::Bulk(text) = client.cmd(&["INFO", section]) else { panic!("a text") };
    let text = String::from_utf8(text).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
}

fn primary(timeout: &str) -> Server {
    ochre(&["--shutdown-timeout", timeout, "--repl-ping-replica-period", "3600"])
}

/// A replica that has acknowledged nothing.
fn lagging(primary: &Server) -> Client {
    let mut client = primary.client();
    client.cmd(&["SET", "k", "v"]);
    let mut link = primary.client();
    link.cmd(&["REPLCONF", "capa", "psync2"]);
    link.send(&["PSYNC", "?", "-1"]);
    wait_until("it is a replica", || {
        field(&mut client, "replication", "slave0")?.contains("state=online").then_some(())
    });
    client.cmd(&["SET", "k", "w"]);
    link
}

fn offset(client: &mut Client) -> String {
    client.info("replication", "master_repl_offset")
}

fn is_waiting(client: &mut Client) -> bool {
    field(client, "server", "shutdown_in_milliseconds").is_some()
}

fn begin(primary: &Server) -> (Client, Client) {
    let (mut client, mut asker) = (primary.client(), primary.client());
    assert!(!is_waiting(&mut client));
    asker.send(&["SHUTDOWN"]);
    wait_until("it waits", || is_waiting(&mut client).then_some(()));
    (client, asker)
}

#[test]
fn it_waits_until_replicas_are_level_and_holds_writes_back() {
    let mut primary = primary("3600");
    let mut link = lagging(&primary);
    let (mut client, _asker) = begin(&primary);
    let left: i64 = client.info("server", "shutdown_in_milliseconds").parse().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    // Reads go on, writes do not.
    let mut writer = primary.client();
    writer.send(&["SET", "k", "late"]);
    assert!(matches!(writer.reply_within(Duration::from_millis(300)), Ok(None)));
    assert_eq!(client.shown("GET k"), "\"w\"");
    let end = offset(&mut client);
    link.send(&["REPLCONF", "ACK", &end]);
    assert_eq!(primary.await_exit(), Some(0));
    let log = primary.log();
    assert!(log.contains("Waiting for replicas before shutting down."), "{log}");
    assert!(log.contains("1 of 1 replicas are in sync when shutting down."), "{log}");
}

#[test]
fn it_waits_no_longer_than_it_may() {
    let mut primary = primary("1");
    let _link = lagging(&primary);
    let began = Instant::now();
    let (_client, _asker) = begin(&primary);
    assert_eq!(primary.await_exit(), Some(0));
    assert!(began.elapsed() >= Duration::from_millis(900));
    let log = primary.log();
    assert!(log.contains("Lagging replica 127.0.0.1:0 reported offset "), "{log}");
    assert!(log.contains("0 of 1 replicas are in sync when shutting down."), "{log}");
}

#[test]
fn a_wait_can_be_called_off() {
    let mut primary = primary("3600");
    let mut link = lagging(&primary);
    let (mut client, mut asker) = begin(&primary);
    // A second one waits with the first, whatever it says.
    let mut second = primary.client();
    second.send(&["SHUTDOWN", "NOW"]);
    assert!(matches!(second.reply_within(Duration::from_millis(200)), Ok(None)));
    let mut writer = primary.client();
    writer.send(&["SET", "k", "late"]);
    assert!(matches!(writer.reply_within(Duration::from_millis(200)), Ok(None)));
    let mut operator = primary.client();
    // Whoever waits for it cannot be unblocked, but can go.
    let mut gone = primary.client();
    let id = gone.integer("CLIENT ID");
    gone.send(&["SHUTDOWN"]);
    let mut await_blocked = |count: &str| {
        wait_until("so many wait", || {
            (client.info("clients", "blocked_clients") == count).then_some(())
        });
    };
    // The two before it, and the one that writes.
    await_blocked("4");
    assert_eq!(operator.integer(&format!("CLIENT UNBLOCK {id}")), 0);
    drop(gone);
    await_blocked("3");
    assert_eq!(client.shown("SHUTDOWN ABORT"), "OK");
    const FAILED: &str = "ERR Errors trying to SHUTDOWN. Check logs.";
    for waiting in [&mut asker, &mut second] {
        assert_eq!(waiting.reply(), Value::Error(FAILED.as_bytes().to_vec()));
        assert_eq!(waiting.shown("PING"), "PONG");
    }
    assert_eq!(writer.reply(), Value::Status(b"OK".to_vec()));
    assert!(!is_waiting(&mut client));
    assert_eq!(client.shown("SHUTDOWN ABORT"), "(err) ERR No shutdown in progress.");
    assert_eq!(client.shown("SHUTDOWN ABORT NOW"), "(err) ERR syntax error");
    assert_eq!(client.info("clients", "blocked_clients"), "0");
    assert!(primary.log().contains("Shutdown manually aborted."));
    // NOW does not wait.
    link.send(&["REPLCONF", "ACK", "1"]);
    client.send(&["SHUTDOWN", "NOW"]);
    assert_eq!(primary.await_exit(), Some(0));
}

#[test]
fn signals_wait_too_and_say_when_not() {
    for (flags, waits) in [("default", true), ("now", false)] {
        let mut primary = primary("2");
        let _link = lagging(&primary);
        primary.client().cmd(&["CONFIG", "SET", "shutdown-on-sigterm", flags]);
        let status = std::process::Command::new("kill").arg(primary.pid().to_string()).status();
        assert!(status.unwrap().success());
        assert_eq!(primary.await_exit(), Some(0));
        let log = primary.log();
        assert_eq!(log.contains("Waiting for replicas"), waits, "{log}");
        assert!(log.contains("0 of 1 replicas are in sync"), "{log}");
    }
}

#[test]
fn a_data_set_that_cannot_be_saved_keeps_the_server_after_the_wait() {
    let mut primary = primary("1");
    let _link = lagging(&primary);
    let mut client = primary.client();
    // A folder of that name cannot be replaced by a file.
    std::fs::create_dir_all(primary.dir().join("dump.rdb/taken")).unwrap();
    let reply = client.shown("SHUTDOWN SAVE");
    assert_eq!(reply, "(err) ERR Errors trying to SHUTDOWN. Check logs.");
    assert_eq!(client.shown("SET k x"), "OK");
    client.send(&["SHUTDOWN", "SAVE", "FORCE", "NOW"]);
    assert_eq!(primary.await_exit(), Some(0));
}

#[test]
fn a_real_replica_has_every_acknowledged_write() {
    let mut primary = primary("60");
    let replica = ochre(&[]);
    let mut theirs = replica.client();
    follow(&mut theirs, &primary);
    await_link(&mut theirs);
    let mut client = primary.client();
    for n in 0..5000 {
        client.send(&["SET", &format!("k{n}"), "v"]);
    }
    for _ in 0..5000 {
        client.reply();
    }
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(primary.await_exit(), Some(0));
    assert!(primary.log().contains("1 of 1 replicas are in sync"));
    assert_eq!(theirs.shown("DBSIZE"), "(int) 5000");
}
