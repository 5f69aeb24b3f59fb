//! Servers that change their part: promotion, FAILOVER, and what becomes of histories and waiting clients: R5.

use std::time::Duration;

use ochre_conformance::commands::Commands;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

use crate::replica::{WRITES, await_link, debug, follow, ochre, refusal, same, stat, write};
use crate::{PrintSeed, seed};

/// A replica is promoted; its siblings of both kinds, and the old primary, go on with it.
#[test]
fn promotion_needs_no_snapshot() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let old = ochre(&["--compat", "redis-7.0"]);
    let (heir, sibling) = (ochre(&["--compat", "redis-7.0"]), ochre(&[]));
    let redis = debug(&Program::Redis7, &[]);
    let (mut a, mut b) = (old.client(), heir.client());
    let (mut c, mut d) = (sibling.client(), redis.client());
    write(&mut a, seed, 300);
    for replica in [&mut b, &mut c, &mut d] {
        follow(replica, &old);
    }
    write(&mut a, seed ^ 1, 300);
    same(&mut a, &mut [&mut b, &mut c, &mut d]);
    let before = b.info("replication", "master_replid");
    // The client that asked may write at once.
    b.send(&["REPLICAOF", "NO", "ONE"]);
    b.send(&["SET", "promoted", "1"]);
    assert_eq!(b.reply(), Value::Status(b"OK".to_vec()));
    assert_eq!(b.reply(), Value::Status(b"OK".to_vec()));
    assert_eq!(b.info("replication", "role"), "master");
    assert_eq!(b.info("replication", "master_replid2"), before);
    for other in [&mut a, &mut c, &mut d] {
        follow(other, &heir);
    }
    write(&mut b, seed ^ 2, 300);
    same(&mut b, &mut [&mut a, &mut c, &mut d]);
    assert_eq!(stat(&mut b, "sync_full"), 0);
    assert_eq!(stat(&mut b, "sync_partial_ok"), 3);
    assert!(refusal(&a.cmd(&["SET", "k", "v"])).starts_with("READONLY"));
}

/// FAILOVER, between all pairs of kinds; writes that are held back meanwhile are refused afterwards.
#[test]
fn a_primary_hands_over() {
    let kinds = [
        (Program::Ochre, Program::Ochre),
        (Program::Redis7, Program::Ochre),
        (Program::Ochre, Program::Redis7),
    ];
    for (old, new) in kinds {
        let options = |program: &Program| match program {
            Program::Ochre => vec!["--compat", "redis-7.0"],
            _ => Vec::new(),
        };
        let (primary, replica) = (debug(&old, &options(&old)), debug(&new, &options(&new)));
        let (mut a, mut b) = (primary.client(), replica.client());
        assert_eq!(refusal(&a.cmd(&["FAILOVER"])), "ERR FAILOVER requires connected replicas.");
        assert_eq!(refusal(&a.cmd(&["FAILOVER", "ABORT"])), "ERR No failover in progress.");
        write(&mut a, 7, 100);
        follow(&mut b, &primary);
        same(&mut a, &mut [&mut b]);
        let port = replica.port().to_string();
        let wrong = refusal(&a.cmd(&["FAILOVER", "TO", "127.0.0.1", "1"]));
        assert_eq!(wrong, "ERR FAILOVER target HOST and PORT is not a replica.");
        a.cmd(&["INCR", "n"]);
        assert_eq!(a.shown(&format!("FAILOVER TO 127.0.0.1 {port} TIMEOUT 20000")), "OK");
        let mut held = primary.client();
        held.send(&["INCR", "n"]);
        assert!(refusal(&held.reply()).starts_with("READONLY"));
        wait_until("the replica takes over", || {
            (b.info("replication", "role") == "master").then_some(())
        });
        b.cmd(&["INCR", "n"]);
        wait_until("the failover is over", || {
            (a.info("replication", "master_failover_state") == "no-failover").then_some(())
        });
        same(&mut b, &mut [&mut a]);
        assert_eq!((b.shown("GET n").as_str(), stat(&mut b, "sync_full")), ("\"2\"", 0));
        assert_eq!(stat(&mut b, "sync_partial_ok"), 1);
    }
}

/// A replica that does not answer: the failover is given up, and writes go on.
#[test]
fn a_failover_is_given_up() {
    let options = ["--io-threads", "1", "--busy-reply-threshold", "100"];
    let (primary, replica) = (ochre(&[]), ochre(&options));
    let (mut a, mut b) = (primary.client(), replica.client());
    follow(&mut b, &primary);
    a.cmd(&["SET", "k", "v"]);
    same(&mut a, &mut [&mut b]);
    // Its link's thread cannot apply anything while a script holds the key.
    let mut slow = replica.client();
    slow.send(&["EVAL_RO", "redis.call('get',KEYS[1]) while true do end", "1", "k"]);
    // By connections of their own: the loop may know of bytes on an older one and not have read them.
    let ask = |word: &[&str]| {
        let mut client = Client::try_connect(replica.port()).ok()?;
        client.patience(Duration::from_secs(1));
        client.try_cmd(word).ok()
    };
    wait_until("the script runs", || matches!(ask(&["PING"]), Some(Value::Error(_))).then_some(()));
    a.cmd(&["SET", "k", "w"]);
    assert_eq!(a.shown("FAILOVER TIMEOUT 300"), "OK");
    assert_eq!(refusal(&a.cmd(&["FAILOVER"])), "ERR FAILOVER already in progress.");
    assert_eq!(a.info("replication", "master_failover_state"), "waiting-for-sync");
    // Held back until the time is up.
    assert_eq!(a.cmd(&["SET", "k", "x"]), Value::Status(b"OK".to_vec()));
    assert_eq!(a.info("replication", "master_failover_state"), "no-failover");
    assert_eq!(a.shown("FAILOVER TIMEOUT 100000"), "OK");
    assert_eq!(a.shown("FAILOVER ABORT"), "OK");
    assert_eq!(a.cmd(&["SET", "k", "y"]), Value::Status(b"OK".to_vec()));
    wait_until("the script is ended", || {
        matches!(ask(&["SCRIPT", "KILL"]), Some(Value::Status(_))).then_some(())
    });
    assert!(matches!(slow.reply(), Value::Error(_)));
    same(&mut a, &mut [&mut b]);
}

/// The old primary has writes that its replica never got: it takes a snapshot.
#[test]
fn a_history_that_parted_is_not_gone_on_with() {
    let (old, heir) = (ochre(&[]), ochre(&[]));
    let (mut a, mut b) = (old.client(), heir.client());
    follow(&mut b, &old);
    write(&mut a, 1, 50);
    same(&mut a, &mut [&mut b]);
    b.cmd(&["REPLICAOF", "NO", "ONE"]);
    write(&mut a, 2, 50);
    b.cmd(&["SET", "only", "here"]);
    follow(&mut a, &heir);
    same(&mut b, &mut [&mut a]);
    assert_eq!(stat(&mut b, "sync_full"), 1);
    assert_eq!(a.shown("GET only"), "\"here\"");
}

#[test]
fn clients_that_wait_are_told_of_the_new_role() {
    let (primary, replica) = (ochre(&[]), ochre(&[]));
    let (mut b, mut waiting) = (replica.client(), replica.client());
    waiting.send(&["BLPOP", "list", "0"]);
    wait_until("it waits", || (b.info("clients", "blocked_clients") == "1").then_some(()));
    follow(&mut b, &primary);
    assert!(refusal(&waiting.reply()).starts_with("UNBLOCKED force unblock"));
    await_link(&mut b);
    assert_eq!(b.info("clients", "blocked_clients"), "0");
}

/// REPLICAOF in a transaction, as sentinels send it.
#[test]
fn sentinels_may_change_the_primary() {
    let (primary, replica) = (ochre(&[]), ochre(&[]));
    let (mut a, mut b) = (primary.client(), replica.client());
    a.cmd(&["SET", "k", "v"]);
    let port = primary.port().to_string();
    b.cmd(&["MULTI"]);
    b.cmd(&["SLAVEOF", "127.0.0.1", &port]);
    b.cmd(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert!(matches!(b.cmd(&["EXEC"]), Value::Array(_)));
    same(&mut a, &mut [&mut b]);
    b.cmd(&["MULTI"]);
    b.cmd(&["SLAVEOF", "NO", "ONE"]);
    assert!(matches!(b.cmd(&["EXEC"]), Value::Array(_)));
    assert_eq!(b.cmd(&["SET", "k", "w"]), Value::Status(b"OK".to_vec()));
}

/// A primary that is written to all the time, and roles that change under load: at the end all agree.
#[test]
fn roles_change_under_load() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let servers = [ochre(&[]), ochre(&[])];
    let mut control: Vec<Client> = servers.iter().map(Server::client).collect();
    follow(&mut control[1], &servers[0]);
    await_link(&mut control[1]);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (at, server) in servers.iter().enumerate() {
            let (over, mut client) = (&over, server.client());
            scope.spawn(move || {
                let mut commands = Commands::new(WRITES, seed ^ at as u64);
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    // Refused while the server is a replica.
                    client.cmd(&commands.next_command());
                }
            });
        }
        for round in 0..6 {
            let (new, old) = if round % 2 == 0 { (1, 0) } else { (0, 1) };
            std::thread::sleep(Duration::from_millis(100));
            control[new].cmd(&["REPLICAOF", "NO", "ONE"]);
            follow(&mut control[old], &servers[new]);
            await_link(&mut control[old]);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let [a, b] = &mut control[..] else { panic!("two") };
    same(a, &mut [b]);
}
