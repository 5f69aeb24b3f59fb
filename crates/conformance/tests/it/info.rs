//! INFO: sections and field names.

use crate::{check, redis7_pair};
use ochre_testkit::Server;
use std::collections::BTreeMap;

/// Section name (lower case) to the names of its fields.
fn sections(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            current = name.trim().to_lowercase();
            sections.entry(current.clone()).or_default();
        } else if let Some((name, _)) = line.split_once(':') {
            sections.entry(current.clone()).or_default().push(name.to_owned());
        }
    }
    sections
}

#[test]
fn sections_and_fields_of_redis_7() {
    // Fields of the peer's inside (fork, allocator, its own event loop) that have no meaning here.
    const NOT_HERE: &[&str] = &[
        "mem_cluster_links",
        "io_threaded_reads_processed",
        "io_threaded_writes_processed",
        "reply_buffer_shrinks",
        "reply_buffer_expands",
        "gcc_version",
        "atomicvar_api",
        "monotonic_clock",
        "redis_git_sha1",
        "redis_git_dirty",
        "redis_build_id",
    ];
    let mut pair = redis7_pair(&[]);
    let (ours, theirs) = pair.client("a");
    let mut both = Vec::new();
    for client in [ours, theirs] {
        client.line("SET k v EX 1000");
        client.line("GET k");
        client.line("NOSUCH");
        let reply = client.line("INFO everything");
        both.push(sections(&String::from_utf8_lossy(reply.bytes().unwrap())));
    }
    let mut missing = Vec::new();
    for (section, fields) in &both[1] {
        match both[0].get(section) {
            None => missing.push(format!("# {section}")),
            Some(known) => missing.extend(
                fields
                    .iter()
                    .filter(|f| !known.contains(f) && !NOT_HERE.contains(&f.as_str()))
                    .map(|f| format!("{section}: {f}")),
            ),
        }
    }
    assert!(missing.is_empty(), "INFO lacks {missing:#?}");
}

#[test]
fn selection_of_sections() {
    check(
        r#"
        INFO nosuch
        ~kind INFO
        ~kind INFO all
        ~kind INFO default
        ~kind INFO server clients
        INFO nosuch nosuch2
        "#,
    );
    let server = Server::ochre(&[]);
    let mut client = server.client();
    let mut names = |line: &str| {
        let reply = client.line(line);
        let text = String::from_utf8_lossy(reply.bytes().unwrap()).into_owned();
        sections(&text).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(names("INFO memory"), ["memory"]);
    assert_eq!(names("INFO MEMORY stats memory"), ["memory", "stats"]);
    let default = names("INFO");
    for section in [
        "server",
        "clients",
        "memory",
        "persistence",
        "stats",
        "replication",
        "cpu",
        "errorstats",
        "cluster",
        "keyspace",
    ] {
        assert!(default.iter().any(|s| s == section), "INFO lacks {section}: {default:?}");
    }
    assert!(!default.iter().any(|s| s == "commandstats"));
    assert!(names("INFO all").iter().any(|s| s == "commandstats"));
    assert!(names("INFO everything").iter().any(|s| s == "latencystats"));
}

#[test]
fn numbers_move() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut client = server.client();
    let number = |client: &mut ochre_testkit::Client, section: &str, field: &str| -> u64 {
        client.info(section, field).parse().unwrap()
    };
    let used = number(&mut client, "memory", "used_memory");
    let commands = number(&mut client, "stats", "total_commands_processed");
    for i in 0..200 {
        client.cmd(&["SET", &format!("k{i}"), &"v".repeat(1000), "EX", "1000"]);
    }
    client.line("GET k1");
    client.line("GET none");
    client.line("LPUSH k1 x");
    client.line("NOSUCH");
    assert!(number(&mut client, "memory", "used_memory") >= used + 200_000);
    assert!(number(&mut client, "stats", "total_commands_processed") >= commands + 203);
    assert_eq!(number(&mut client, "stats", "keyspace_hits"), 1);
    assert_eq!(number(&mut client, "stats", "keyspace_misses"), 1);
    assert!(client.info("keyspace", "db0").starts_with("keys=200,expires=200,avg_ttl="));
    assert_eq!(client.info("errorstats", "errorstat_WRONGTYPE"), "count=1");
    assert_eq!(client.info("errorstats", "errorstat_ERR"), "count=1");
    assert!(client.info("commandstats", "cmdstat_set").starts_with("calls=200,usec="));
    assert!(client.info("commandstats", "cmdstat_lpush").contains("failed_calls=1"));
    assert!(client.info("latencystats", "latency_percentiles_usec_set").starts_with("p50="));
    assert_eq!(number(&mut client, "stats", "total_error_replies"), 2);
    client.line("CONFIG RESETSTAT");
    assert_eq!(number(&mut client, "stats", "keyspace_hits"), 0);
    assert_eq!(number(&mut client, "stats", "total_error_replies"), 0);
    assert_eq!(client.info("server", "process_id"), server.pid().to_string());
    assert_eq!(client.info("server", "tcp_port"), server.port().to_string());
}

#[test]
fn used_memory_returns_to_its_baseline() {
    // I6: to within 0.1 % after deletes, of the peak; the table and the arenas are given back.
    let server = Server::ochre(&[]);
    let mut client = server.client();
    client.line("PING");
    let used = |client: &mut ochre_testkit::Client| -> i64 {
        client.info("memory", "used_memory").parse().unwrap()
    };
    let baseline = used(&mut client);
    for i in 0..20_000 {
        client.send(&["SET", &format!("key:{i}"), &"v".repeat(i % 300)]);
    }
    for _ in 0..20_000 {
        client.reply();
    }
    let peak = used(&mut client);
    assert!(peak > baseline + 20_000 * 150);
    for i in 0..20_000 {
        client.send(&["DEL", &format!("key:{i}")]);
    }
    for _ in 0..20_000 {
        client.reply();
    }
    ochre_testkit::raw::wait_until("used_memory is back", || {
        ((used(&mut client) - baseline).abs() < 200_000).then_some(())
    });
}
