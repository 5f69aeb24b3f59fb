//! maxmemory and its policies: R3.3.

use crate::check;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Server, Value};

#[test]
fn noeviction_refuses_writes_only() {
    check(
        r#"
        SET k v
        RPUSH l a
        CONFIG SET maxmemory 1
        SET k w
        GET k
        LPUSH l b
        INCR n
        APPEND k x
        HSET h a 1
        DEL k
        LPOP l
        EXPIRE none 1
        MULTI
        SET a 1
        EXEC
        MULTI
        GET a =?> QUEUED
        ~any EXEC
        CONFIG SET maxmemory 0
        SET k w
        "#,
    );
}

/// Keys written by [`fill`], of about 1 KB each.
const WRITTEN: usize = 25_000;

/// Fills a server far beyond its limit; returns the client and the number of keys left.
fn fill(server: &Server, expire: bool) -> (Client, i64) {
    let mut client = server.client();
    let base: i64 = client.info("memory", "used_memory").parse().unwrap();
    let limit = base + 10_000_000;
    let total = WRITTEN as i64 + client.integer("DBSIZE");
    client.cmd(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);
    let value = "v".repeat(1000);
    for i in 0..WRITTEN {
        let key = format!("key:{i}");
        let reply = if expire {
            client.cmd(&["SET", &key, &value, "EX", &(1000 + i).to_string()])
        } else {
            client.cmd(&["SET", &key, &value])
        };
        assert_eq!(reply, Value::Status(b"OK".to_vec()), "key {i}");
        if i % 1000 == 0 {
            let used: i64 = client.info("memory", "used_memory").parse().unwrap();
            // Exceeded by no more than 1 %.
            assert!(used <= limit + limit / 100, "{used} of {limit}");
        }
    }
    // Eviction may go on for a moment after the last write.
    let left = wait_until("every key is there or was evicted", || {
        let evicted: i64 = client.info("stats", "evicted_keys").parse().unwrap();
        let left = client.integer("DBSIZE");
        (evicted + left == total).then_some(left)
    });
    assert!((2000..WRITTEN as i64 / 2).contains(&left), "{left} keys are left");
    (client, left)
}

#[test]
fn every_policy_that_may_evict_does() {
    for policy in [
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
    ] {
        let server = Server::ochre(&["--maxmemory-policy", policy]);
        let (mut client, _) = fill(&server, policy.starts_with("volatile"));
        if policy == "volatile-ttl" {
            // The nearest deadlines went first: the last keys are (nearly all) there.
            let there: i64 =
                (WRITTEN - 1000..WRITTEN).map(|i| client.integer(&format!("EXISTS key:{i}"))).sum();
            assert!(there >= 990, "{there} of the last 1000");
        }
    }
}

#[test]
fn volatile_policies_spare_what_has_no_deadline() {
    let server = Server::ochre(&["--maxmemory-policy", "volatile-lru"]);
    let mut client = server.client();
    for i in 0..500 {
        client.cmd(&["SET", &format!("forever:{i}"), "v"]);
    }
    let (mut client, _) = fill(&server, true);
    for i in 0..500 {
        assert_eq!(client.integer(&format!("EXISTS forever:{i}")), 1);
    }
    client.line("CONFIG SET maxmemory 1");
    // Everything with a deadline is evicted, then writes are refused.
    wait_until("writes are refused", || {
        let reply = client.shown("SET x y EX 100");
        reply.starts_with("(err) OOM command not allowed").then_some(())
    });
    assert_eq!(client.integer("DBSIZE"), 500);
}

#[test]
fn lru_and_lfu_keep_what_is_used() {
    for policy in ["allkeys-lru", "allkeys-lfu"] {
        let server = Server::ochre(&["--maxmemory-policy", policy, "--maxmemory-samples", "10"]);
        let mut client = server.client();
        let value = "v".repeat(200);
        let base: i64 = client.info("memory", "used_memory").parse().unwrap();
        client.cmd(&["CONFIG", "SET", "maxmemory", &(base + 1_500_000).to_string()]);
        for i in 0..300 {
            client.cmd(&["SET", &format!("hot:{i}"), &value]);
        }
        for round in 0..30 {
            for i in 0..300 {
                client.send(&["GET", &format!("hot:{i}")]);
            }
            for i in 0..500 {
                client.send(&["SET", &format!("cold:{round}:{i}"), &value]);
            }
            for _ in 0..800 {
                client.reply();
            }
            if policy == "allkeys-lru" {
                // The LRU clock has a resolution: without time passing nothing can be told apart.
                client.line("BLPOP none 0.3");
            }
        }
        let kept: i64 = (0..300).map(|i| client.integer(&format!("EXISTS hot:{i}"))).sum();
        println!("{policy} kept {kept} of 300 hot keys");
        assert!(kept >= 270, "{policy} kept {kept} of 300 hot keys");
    }
}

#[test]
fn evicted_keys_wake_nobody_and_dirty_watches() {
    let server = Server::ochre(&["--maxmemory-policy", "allkeys-random"]);
    let mut watcher = server.client();
    watcher.line("SET watched v");
    watcher.line("WATCH watched");
    let (mut client, _) = fill(&server, false);
    client.line("CONFIG SET maxmemory 1");
    client.line("SET last v");
    wait_until("the watched key is evicted", || {
        (client.integer("EXISTS watched") == 0).then_some(())
    });
    watcher.line("MULTI");
    watcher.line("PING");
    assert!(watcher.line("EXEC").is_null());
}
