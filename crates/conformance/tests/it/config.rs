//! Configuration: R2.2.

use crate::{check, redis7_pair};
use ochre_testkit::oracle::{Norm, Resp};
use ochre_testkit::{Program, Server, Value};
use std::process::Command;

#[test]
fn get_and_set() {
    check(
        r#"
        CONFIG GET maxmemory
        CONFIG GET nosuch
        ~pairs CONFIG GET maxmemory nosuch timeout
        ~pairs CONFIG GET maxmemory-*
        ~pairs CONFIG GET hash-max-listpack-entries hash-max-ziplist-entries
        CONFIG GET
        CONFIG SET maxmemory 100mb
        CONFIG GET maxmemory
        CONFIG SET maxmemory 1gb
        CONFIG GET maxmemory
        CONFIG SET maxmemory 1Kb
        CONFIG GET maxmemory
        CONFIG SET maxmemory 0
        CONFIG SET maxmemory x
        CONFIG SET maxmemory -1
        CONFIG SET maxmemory-policy allkeys-lru
        CONFIG GET maxmemory-policy
        CONFIG SET maxmemory-policy foo
        CONFIG SET maxmemory-policy noeviction
        CONFIG SET timeout 10
        CONFIG GET timeout
        CONFIG SET timeout -1
        CONFIG SET timeout 99999999999
        CONFIG SET timeout 1x
        CONFIG SET timeout 0
        CONFIG SET nosuch 1
        CONFIG SET timeout
        CONFIG SET
        CONFIG SET timeout 5 timeout 6
        CONFIG SET timeout 5 nosuch 1
        CONFIG GET timeout
        CONFIG SET timeout 5 maxmemory-policy foo
        CONFIG GET timeout
        CONFIG SET timeout 7 maxmemory-samples 7
        ~pairs CONFIG GET timeout maxmemory-samples
        CONFIG SET timeout 0 maxmemory-samples 5
        CONFIG SET port x
        CONFIG SET databases 5
        CONFIG SET unixsocket /tmp/x
        CONFIG SET daemonize yes
        CONFIG SET lazyfree-lazy-expire yes
        CONFIG GET lazyfree-lazy-expire
        CONFIG SET lazyfree-lazy-expire maybe
        CONFIG SET lazyfree-lazy-expire no
        CONFIG SET loglevel verbose
        CONFIG GET loglevel
        ~code CONFIG SET loglevel foo
        CONFIG SET loglevel notice
        CONFIG SET list-max-listpack-size -3
        CONFIG GET list-max-ziplist-size
        CONFIG SET list-max-listpack-size -2
        CONFIG SET client-output-buffer-limit "normal 1mb 2mb 3"
        CONFIG GET client-output-buffer-limit
        CONFIG SET client-output-buffer-limit "normal 0 0 0"
        CONFIG SET client-output-buffer-limit "foo 1 2 3"
        CONFIG SET client-output-buffer-limit "normal 1"
        CONFIG SET active-expire-effort 11
        CONFIG SET hz 100
        CONFIG GET hz
        CONFIG SET hz 10
        CONFIG SET proto-max-bulk-len 1
        CONFIG SET slowlog-log-slower-than -5
        CONFIG RESETSTAT
        CONFIG RESETSTAT x
        CONFIG foo
        CONFIG
        ~kind CONFIG HELP
        CONFIG REWRITE
        CONFIG SET TIMEOUT 3
        CONFIG GET TIMEOUT
        CONFIG SET timeout 0
        "#
        .replace("CONFIG SET port x", "~code CONFIG SET port x")
        .replace("CONFIG SET proto-max-bulk-len 1\n", "~code CONFIG SET proto-max-bulk-len 1\n")
        .as_str(),
    );
}

#[test]
fn get_walks_over_every_directive_of_redis_7() {
    // Each directive that Redis 7.0 names is known here, or refused on purpose: those of
    // subsystems that come later are listed, so that the list can only shrink on purpose.
    const LATER: &[&str] = &[
        "tls-",
        "cluster-",
        "repl",
        "slave",
        "masteruser",
        "masterauth",
        "min-replicas",
        "min-slaves",
        "aof",
        "append",
        "auto-aof",
        "rdb",
        "save",
        "dbfilename",
        "sanitize",
        "stop-writes",
        "acl",
        "aclfile",
        "lua",
        "busy-reply",
        "tracking",
        "notify-",
        "stream-",
        "hll-",
        "no-appendfsync",
        "dynamic-hz",
        "propagation-error",
        "latency-tracking",
        "script",
        "key-load-delay",
        "loading-process",
        "ignore-warnings",
        "oom-score",
        "set-proc",
        "proc-title",
        "crash",
        "use-exit",
        "watchdog",
        "disable-thp",
        "jemalloc",
        "activedefrag",
        "active-defrag",
        "activerehashing",
        "server_cpulist",
        "bio_cpulist",
        "bgsave_cpulist",
        "del-",
        "shutdown",
        "io-threads-do-reads",
        "gopher",
        "locale",
        "socket-mark",
        "enable-module",
        "bind-source",
        "shutdown-on",
        "rdma",
    ];
    let mut pair = redis7_pair(&[]);
    let (ours, theirs) = pair.client("a");
    let names = |value: Value| -> Vec<String> {
        let items = value.items().unwrap().chunks(2);
        items.map(|p| String::from_utf8(p[0].bytes().unwrap().to_vec()).unwrap()).collect()
    };
    let (known, expected) = (names(ours.line("CONFIG GET *")), names(theirs.line("CONFIG GET *")));
    let missing: Vec<_> = expected
        .iter()
        .filter(|name| !known.contains(name) && !LATER.iter().any(|l| name.starts_with(l)))
        .collect();
    assert!(missing.is_empty(), "CONFIG GET * lacks {missing:?}");
}

/// Sizes, durations and enumerations accept and refuse what Redis 7.0 accepts and refuses.
#[test]
fn values_are_parsed_as_the_peer_parses_them() {
    const NAMES: &[&str] = &[
        "maxmemory",
        "maxmemory-policy",
        "maxmemory-eviction-tenacity",
        "timeout",
        "tcp-keepalive",
        "maxclients",
        "hz",
        "loglevel",
        "slowlog-log-slower-than",
        "slowlog-max-len",
        "latency-monitor-threshold",
        "lfu-log-factor",
        "lfu-decay-time",
        "lazyfree-lazy-eviction",
        "lazyfree-lazy-user-del",
        "lazyfree-lazy-user-flush",
        "hash-max-listpack-entries",
        "hash-max-listpack-value",
        "zset-max-listpack-entries",
        "set-max-intset-entries",
        "list-compress-depth",
        "proto-max-bulk-len",
        "client-query-buffer-limit",
        "maxmemory-clients",
        "active-expire-effort",
    ];
    const VALUES: &[&str] = &[
        "0",
        "1",
        "5",
        "-1",
        "-2",
        "10",
        "99",
        "101",
        "65536",
        "1mb",
        "1k",
        "1kb",
        "10%",
        "120%",
        "yes",
        "no",
        "YES",
        "",
        " 1",
        "1 ",
        "1.5",
        "abc",
        "9223372036854775807",
        "18446744073709551615",
        "0x10",
    ];
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "values");
    for name in NAMES {
        let (_, theirs) = pair.client("a");
        let before =
            theirs.cmd(&["CONFIG", "GET", name]).items().unwrap()[1].bytes().unwrap().to_vec();
        let common = [&b"CONFIG"[..], b"SET", name.as_bytes(), &before];
        // Defaults may differ.
        pair.client("a").0.cmd(&common);
        for value in VALUES {
            // Names of the levels are listed in the error, and newer releases have more.
            let norms: &[Norm] = if *name == "loglevel" { &[Norm::Code] } else { &[] };
            pair.run(&["CONFIG", "SET", name, value], norms);
            pair.run(&["CONFIG", "GET", name], &[]);
        }
        pair.run(&common, &[]);
    }
    pair.finish();
}

/// Writes a file into a new server's folder and starts Ochre on it.
fn with_file(text: &str, options: &[&str]) -> (Server, std::path::PathBuf) {
    let folder = std::env::temp_dir().join(format!("ochre-conf-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let stamp = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let file = folder.join(format!("{stamp}.conf"));
    std::fs::write(&file, text).unwrap();
    // The file is the first argument, before the options that every test server gets.
    let launcher = folder.join(format!("{stamp}.sh"));
    let binary = Program::Ochre.find().expect("ochre-server is built");
    let script = format!("#!/bin/sh\nexec {} {} \"$@\"\n", binary.display(), file.display());
    std::fs::write(&launcher, script).unwrap();
    let run = Command::new("chmod").arg("755").arg(&launcher).status().unwrap();
    assert!(run.success());
    (Server::start(&Program::At(launcher), options), file)
}

#[test]
fn a_file_with_quotes_comments_and_include() {
    let included = std::env::temp_dir().join(format!("ochre-inc-{}.conf", std::process::id()));
    std::fs::write(&included, "timeout 77\nmaxmemory-samples 3\n").unwrap();
    let text = format!(
        "# a comment\n\n  maxmemory   10mb \nrequirepass \"two words\\x41\"\nmaxmemory-samples 9\n\
         include {}\nhash-max-ziplist-entries 33\n",
        included.display()
    );
    let (server, _) = with_file(&text, &["--maxclients", "123"]);
    let mut client = server.client();
    assert_eq!(client.shown("PING"), "(err) NOAUTH Authentication required.");
    assert_eq!(client.cmd(&["AUTH", "two wordsA"]), Value::Status(b"OK".to_vec()));
    for (name, value) in [
        ("maxmemory", "10485760"),
        ("timeout", "77"),
        ("maxmemory-samples", "3"),
        ("maxclients", "123"),
        ("hash-max-listpack-entries", "33"),
    ] {
        let reply = client.cmd(&["CONFIG", "GET", name]);
        assert_eq!(reply.items().unwrap()[1].bytes(), Some(value.as_bytes()), "{name}");
    }
    let _ = std::fs::remove_file(included);
}

#[test]
fn rewrite_keeps_comments_and_writes_changes() {
    let (server, file) = with_file("# keep me\ntimeout 5\n\n# and me\nmaxmemory 1mb\n", &[]);
    let mut client = server.client();
    client.line("CONFIG SET timeout 9 maxmemory-policy allkeys-lfu");
    assert_eq!(client.shown("CONFIG REWRITE"), "OK");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("# keep me\ntimeout 9\n\n# and me\nmaxmemory 1mb\n"), "{text}");
    assert!(text.contains("maxmemory-policy allkeys-lfu\n"), "{text}");
    drop(client);
    drop(server);
    // The first server's folder, which its command line named, is gone.
    let again = std::fs::read_to_string(&file).unwrap();
    let again: String =
        again.lines().filter(|l| !l.starts_with("dir ")).map(|l| format!("{l}\n")).collect();
    let (server, _) = with_file(&again, &[]);
    let reply = server.client().line("CONFIG GET timeout");
    assert_eq!(reply.items().unwrap()[1].bytes(), Some(&b"9"[..]));
}

#[test]
fn bad_options_end_the_start_with_a_message() {
    let binary = Program::Ochre.find().expect("ochre-server is built");
    for (options, word) in [
        (&["--nosuchdirective", "1"][..], "nosuchdirective"),
        (&["--maxmemory-policy", "sometimes"], "maxmemory-policy"),
        (&["--timeout", "soon"], "timeout"),
        (&["/nowhere/at/all.conf"], "/nowhere/at/all.conf"),
    ] {
        let output = Command::new(&binary).args(["--port", "0"]).args(options).output();
        let first = options[0].starts_with('/');
        let output = if first { Command::new(&binary).args(options).output() } else { output };
        let output = output.unwrap();
        assert!(!output.status.success(), "{options:?}");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(text.contains(word), "{options:?}: {text}");
    }
}

#[test]
fn version_and_help() {
    let binary = Program::Ochre.find().expect("ochre-server is built");
    for option in ["--version", "-v", "--help", "-h"] {
        let output = Command::new(&binary).arg(option).output().unwrap();
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{option}");
    }
}

#[test]
fn a_set_of_several_is_all_or_nothing_over_loops() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Three, "several");
    pair.run(&["CONFIG", "SET", "maxmemory", "5mb", "maxclients", "x", "timeout", "3"], &[]);
    pair.run(&["CONFIG", "GET", "maxmemory", "timeout"], &[Norm::Pairs]);
    pair.finish();
}
