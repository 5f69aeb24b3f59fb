//! SLOWLOG, LATENCY, MONITOR, DEBUG, LOLWUT, TIME: what looks inside.

use crate::{check, redis7_pair};
use ochre_testkit::{Server, Value, line};

#[test]
fn slow_log() {
    check(
        r#"
        CONFIG SET slowlog-log-slower-than 0
        SLOWLOG RESET
        SET k v
        CONFIG SET slowlog-log-slower-than -1
        ~size SLOWLOG GET
        SLOWLOG LEN
        ~size SLOWLOG GET 1
        SLOWLOG GET 0
        ~size SLOWLOG GET -1
        SLOWLOG GET -2
        SLOWLOG GET x
        ~code SLOWLOG GET 1 2
        SLOWLOG RESET
        SLOWLOG LEN
        SLOWLOG GET
        SLOWLOG foo
        SLOWLOG
        ~kind SLOWLOG HELP
        CONFIG SET slowlog-log-slower-than 10000
        "#,
    );
    let server = Server::ochre(&[]);
    let mut client = server.client();
    client.line("CLIENT SETNAME me");
    client.line("CONFIG SET slowlog-log-slower-than 0");
    let mut args = vec!["MSET".to_owned()];
    args.extend((0..40).map(|i| format!("{i}")));
    args[3] = "y".repeat(300);
    client.cmd(&args);
    client.line("CONFIG SET slowlog-log-slower-than -1");
    let log = client.line("SLOWLOG GET 2");
    let entry = log.items().unwrap()[0].items().unwrap().to_vec();
    assert_eq!(entry.len(), 6);
    let shown = entry[3].items().unwrap();
    assert_eq!(shown.len(), 32);
    assert_eq!(shown[31].bytes(), Some(&b"... (10 more arguments)"[..]));
    let long = format!("{}... (172 more bytes)", "y".repeat(128));
    assert_eq!(shown[3].bytes(), Some(long.as_bytes()));
    assert_eq!(entry[5].bytes(), Some(&b"me"[..]));
}

#[test]
fn latency() {
    check(
        r#"
        LATENCY LATEST
        LATENCY HISTORY command
        LATENCY HISTORY
        LATENCY GRAPH nosuch
        LATENCY RESET
        LATENCY RESET command
        ~kind LATENCY DOCTOR
        ~kind LATENCY HELP
        LATENCY foo
        LATENCY
        CONFIG RESETSTAT
        SET k v
        ~kind LATENCY HISTOGRAM
        ~size LATENCY HISTOGRAM set
        LATENCY HISTOGRAM nosuch
        "#,
    );
    let server = Server::ochre(&["--enable-debug-command", "yes"]);
    let mut client = server.client();
    client.line("CONFIG SET latency-monitor-threshold 1");
    client.line("DEBUG SLEEP 0.02");
    let latest = client.line("LATENCY LATEST");
    let event = latest.items().unwrap()[0].items().unwrap().to_vec();
    assert_eq!(event[0].bytes(), Some(&b"command"[..]));
    assert!(event[2].integer().unwrap() >= 19);
    assert_eq!(client.line("LATENCY HISTORY command").items().map(<[Value]>::len), Some(1));
    assert!(client.shown("LATENCY GRAPH command").contains("command - high"));
    assert_eq!(client.integer("LATENCY RESET"), 1);
}

#[test]
fn monitor_shows_every_command_of_all_loops() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut monitor = server.client();
    assert_eq!(monitor.shown("MONITOR"), "OK");
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.cmd(&["SET", &format!("k{i}"), "a b\"\n\x01"]);
    }
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(line::show(&monitor.reply()));
    }
    seen.sort();
    for i in 0..4 {
        let tail = format!(r#""SET" "k{i}" "a b\"\n\x01""#).escape_default().to_string();
        let found = seen.iter().any(|s| s.contains(&format!("k{i}")));
        assert!(found, "{tail} is not in {seen:?}");
    }
    assert!(seen[0].contains(" [0 127.0.0.1:"), "{}", seen[0]);
    monitor.send(&["RESET"]);
    assert_eq!(monitor.shown("PING"), "RESET");
}

#[test]
fn debug_commands_that_tests_lean_on() {
    let mut pair = redis7_pair(&["--enable-debug-command", "yes"]);
    pair.script(
        r#"
        DEBUG SLEEP 0.001
        DEBUG ERROR "MY error text"
        DEBUG LOG hello
        DEBUG PROTOCOL string
        DEBUG PROTOCOL integer
        DEBUG PROTOCOL double
        DEBUG PROTOCOL null
        DEBUG PROTOCOL array
        DEBUG PROTOCOL set
        DEBUG PROTOCOL map
        DEBUG PROTOCOL verbatim
        DEBUG PROTOCOL true
        DEBUG PROTOCOL false
        DEBUG PROTOCOL bignum
        DEBUG PROTOCOL foo
        b: HELLO_DUMMY
        DEBUG POPULATE 100
        DBSIZE
        GET key:0
        DEBUG POPULATE 10 other 20
        STRLEN other:3
        ~kind DEBUG OBJECT key:1
        DEBUG OBJECT none
        ~code DEBUG foo
        DEBUG
        ~kind DEBUG HELP
        DEBUG STRINGMATCH-LEN 10 *
        "#
        .replace("        b: HELLO_DUMMY\n", "")
        .replace("        DEBUG STRINGMATCH-LEN 10 *\n", "")
        .as_str(),
    );
    pair.script("~size HELLO 3\nDEBUG PROTOCOL attrib\nDEBUG PROTOCOL map");
    pair.finish();
    let server = Server::ochre(&[]);
    let reply = server.client().shown("DEBUG SLEEP 0");
    assert!(reply.starts_with("(err) ERR DEBUG command not allowed."), "{reply}");
}
