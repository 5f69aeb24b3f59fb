//! Black-box tests: anything seen through a socket.
//!
//! One binary, one module for each family of commands. Most tests are scripts (see
//! `ochre_testkit::oracle`) that run against Ochre and Debian's redis-server 7.0.15 and compare
//! reply by reply, in RESP2 and RESP3 and, where there are two, for both encodings of a type.
//! What Redis 7.0 does not have is compared with Valkey 9.1 or Redis 8.0 where they are installed
//! (a line says so where they are not), and pinned by `==>` lines where the families differ.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines of tests are wall-clock times; no product code links this crate"
)]
#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod acl;
mod backups;
mod bitmap;
mod blocking;
mod check_tools;
mod client;
mod client_libraries;
mod client_limits;
mod command;
mod config;
mod connection;
mod crash;
mod differential;
mod disk_full;
mod diskless;
mod dump;
mod eviction;
mod expire;
mod failover_load;
mod function;
mod generic;
mod geo;
mod hash;
mod hash_expire;
mod hotkeys;
mod hyperloglog;
mod info;
mod linearisable;
mod link_cuts;
mod list;
mod loading;
mod migrate;
mod missing;
mod newer;
mod observe;
mod persistence;
mod process;
mod protocol;
mod pubsub;
mod recovery;
mod replica;
mod replica_roles;
mod replication;
mod save_format;
mod scan;
mod scripting;
mod sentinel;
mod set;
mod shutdown_replicas;
mod sketch;
mod snapshot;
mod sort;
mod stream;
mod stream_groups;
mod string;
mod suite_findings;
mod tls;
mod tls_links;
mod torture;
mod tracking;
mod transactions;
mod zset;
mod zset_range;

use ochre_testkit::oracle::{Pair, Resp};
use ochre_testkit::{Client, Program};

/// The release that scripts are compared with by default.
const REDIS7_VERSION: &str = "7.0.15";

/// Directives that make every collection leave its packed form at once.
const TINY: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "1"),
    ("hash-max-listpack-value", "1"),
    ("set-max-intset-entries", "1"),
    ("zset-max-listpack-entries", "1"),
    ("zset-max-listpack-value", "1"),
    ("list-max-listpack-size", "2"),
    ("stream-node-max-entries", "2"),
];

/// A pair with Debian's redis-server, whose absence or other version is a failure.
fn redis7_pair(options: &[&str]) -> Pair {
    let version = Program::Redis7.version();
    let Some(version) = version else {
        panic!("redis-server is not installed: apt-get install -y redis-server redis-tools")
    };
    // A release with other patches is no other behaviour; another minor version is.
    assert!(version.starts_with("7.0."), "redis-server is {version}, not {REDIS7_VERSION}");
    Pair::start(&Program::Redis7, options)
}

/// Runs a script in both protocols with the default thresholds.
fn check(script: &str) {
    let mut pair = redis7_pair(&[]);
    both_protocols(&mut pair, script, "");
    pair.finish();
}

/// Runs a script in both protocols, with the default thresholds and with tiny ones.
fn check_encodings(script: &str) {
    let mut pair = redis7_pair(&[]);
    both_protocols(&mut pair, script, "packed");
    tiny_thresholds(&mut pair);
    both_protocols(&mut pair, script, "unpacked");
    pair.finish();
}

/// Runs a script of commands that Redis 7.0 lacks against a newer peer, in both protocols and both
/// encodings; prints a line and passes when the peer is not installed.
fn check_newer(oracle: &Program, script: &str) {
    if oracle.find().is_none() {
        println!("not compared: {} is not installed (see PEERS_DIR)", oracle.name());
        return;
    }
    let mut pair = Pair::start(oracle, &[]);
    both_protocols(&mut pair, script, "packed");
    tiny_thresholds(&mut pair);
    both_protocols(&mut pair, script, "unpacked");
    pair.finish();
}

fn both_protocols(pair: &mut Pair, script: &str, label: &str) {
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, label);
        pair.script(script);
    }
}

fn tiny_thresholds(pair: &mut Pair) {
    for (name, value) in TINY {
        pair.run(&["CONFIG", "SET", name, value], &[]);
    }
}

/// The seed of this run: `OCHRE_SEED`, a number or `random`. Without it always the same, so that what a change
/// breaks is what the change broke.
fn seed() -> u64 {
    match std::env::var("OCHRE_SEED").as_deref() {
        Ok("random") => std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
        Ok(text) => text.parse().expect("OCHRE_SEED is a number or `random`"),
        Err(_) => 1,
    }
}

/// Prints a seed if the test fails while this lives.
struct PrintSeed(u64);

impl Drop for PrintSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat with OCHRE_SEED={}", self.0);
        }
    }
}

/// Runs `body` for some clients at once, each in a thread of its own; panics if one did.
fn at_once<T: Send>(
    count: usize,
    connect: impl Fn() -> Client,
    body: impl Fn(usize, Client) -> T + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..count)
            .map(|index| {
                let client = connect();
                let body = &body;
                std::thread::Builder::new()
                    .name(format!("client {index}"))
                    .spawn_scoped(scope, move || body(index, client))
                    .unwrap()
            })
            .collect();
        handles
            .into_iter()
            .map(|handle| handle.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
            .collect()
    })
}
