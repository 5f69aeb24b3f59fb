//! The CLIENT command.

use crate::{check, redis7_pair};
use ochre_testkit::oracle::Resp;
use ochre_testkit::{Server, Value};
use std::time::{Duration, Instant};

#[test]
fn names_and_ids() {
    check(
        r#"
        CLIENT GETNAME
        CLIENT SETNAME me
        CLIENT GETNAME
        CLIENT SETNAME "with space"
        CLIENT SETNAME "line\nbreak"
        CLIENT SETNAME ""
        CLIENT GETNAME
        CLIENT SETNAME
        CLIENT GETNAME x
        ~kind CLIENT ID
        CLIENT ID x
        ~kind CLIENT INFO
        ~kind CLIENT LIST
        ~kind CLIENT LIST TYPE normal
        CLIENT LIST TYPE pubsub
        CLIENT LIST TYPE foo
        CLIENT LIST TYPE
        CLIENT LIST ID
        CLIENT LIST ID x =?> (err) ERR syntax error
        CLIENT LIST ID 999999
        CLIENT LIST foo
        CLIENT
        CLIENT foo
        ~kind CLIENT HELP
        CLIENT NO-EVICT on
        CLIENT NO-EVICT off
        CLIENT NO-EVICT x
        CLIENT NO-EVICT
        CLIENT REPLY on
        CLIENT REPLY x
        CLIENT REPLY
        "#,
    );
}

#[test]
fn kill() {
    check(
        r#"
        CLIENT KILL 1.2.3.4:5
        CLIENT KILL nonsense
        CLIENT KILL ID 999999
        CLIENT KILL ID x =?> (err) ERR syntax error
        CLIENT KILL ID 0
        CLIENT KILL ID
        CLIENT KILL ADDR 1.2.3.4:5
        CLIENT KILL LADDR 1.2.3.4:5
        CLIENT KILL TYPE pubsub
        CLIENT KILL TYPE foo
        CLIENT KILL USER nobody
        CLIENT KILL SKIPME yes
        CLIENT KILL SKIPME foo
        CLIENT KILL foo bar
        CLIENT KILL
        "#,
    );
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut killer = server.client();
    let mut victims: Vec<_> = (0..4).map(|_| server.client()).collect();
    let ids: Vec<i64> = victims.iter_mut().map(|v| v.integer("CLIENT ID")).collect();
    assert_eq!(killer.integer(&format!("CLIENT KILL ID {}", ids[0])), 1);
    assert_eq!(victims[0].until_closed(), b"");
    assert_eq!(killer.integer(&format!("CLIENT KILL ID {} TYPE normal", ids[1])), 1);
    assert_eq!(victims[1].until_closed(), b"");
    victims[2].send(&["BLPOP", "none", "0"]);
    assert_eq!(killer.integer("CLIENT KILL TYPE normal SKIPME yes"), 2);
    assert_eq!(victims[2].until_closed(), b"");
    assert_eq!(victims[3].until_closed(), b"");
    let me = killer.integer("CLIENT ID");
    assert_eq!(killer.integer(&format!("CLIENT KILL ID {me} SKIPME no")), 1);
    assert_eq!(killer.until_closed(), b"");
}

/// The fields of one line of CLIENT LIST, in order.
fn fields(line: &str) -> Vec<(String, String)> {
    let pair = |word: &str| word.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
    line.split_whitespace().filter_map(pair).collect()
}

#[test]
fn list_has_the_peers_fields() {
    let mut pair = redis7_pair(&[]);
    let (ours, theirs) = pair.client("a");
    let text = |value: Value| String::from_utf8(value.bytes().unwrap().to_vec()).unwrap();
    ours.line("CLIENT SETNAME me");
    ours.line("SELECT 3");
    let (our_line, their_line) = (text(ours.line("CLIENT INFO")), text(theirs.line("CLIENT INFO")));
    let (our_fields, their_fields) = (fields(&our_line), fields(&their_line));
    for (name, _) in &their_fields {
        assert!(our_fields.iter().any(|(n, _)| n == name), "CLIENT INFO lacks {name}: {our_line}");
    }
    let value = |name: &str| {
        our_fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default()
    };
    assert_eq!(value("name"), "me");
    assert_eq!(value("db"), "3");
    assert_eq!(value("cmd"), "client|info");
    assert_eq!(value("resp"), "2");
    assert_eq!(value("user"), "default");
    assert!(value("addr").starts_with("127.0.0.1:"));
    let id = ours.integer("CLIENT ID");
    let list = text(ours.line(&format!("CLIENT LIST ID {id} 999999")));
    assert_eq!(list.lines().count(), 1);
    assert_eq!(value("id"), id.to_string());
}

#[test]
fn reply_modes() {
    let mut pair = redis7_pair(&[]);
    for theirs in [false, true] {
        let server = if theirs { pair.theirs() } else { pair.ours() };
        let mut client = server.client();
        client.send_raw(b"CLIENT REPLY OFF\r\nSET k 1\r\nGET k\r\nCLIENT REPLY ON\r\nGET k\r\n");
        assert_eq!(client.raw(12), b"+OK\r\n$1\r\n1\r\n", "theirs: {theirs}");
        client.send_raw(b"CLIENT REPLY SKIP\r\nSET k 2\r\nGET k\r\n");
        assert_eq!(client.raw(7), b"$1\r\n2\r\n", "theirs: {theirs}");
        client.send_raw(b"CLIENT REPLY SKIP\r\nNOSUCH\r\nCLIENT REPLY SKIP\r\nCLIENT REPLY SKIP\r\nPING\r\nPING\r\n");
        assert_eq!(client.raw(7), b"+PONG\r\n", "theirs: {theirs}");
    }
}

#[test]
fn pause_holds_writes_or_all() {
    check(
        r#"
        CLIENT PAUSE x
        CLIENT PAUSE -1
        CLIENT PAUSE 10 foo
        CLIENT PAUSE
        CLIENT UNPAUSE
        CLIENT UNPAUSE x
        CLIENT PAUSE 0
        "#,
    );
    let server = Server::ochre(&["--io-threads", "2"]);
    let (mut control, mut other) = (server.client(), server.client());
    control.line("CLIENT PAUSE 100000 WRITE");
    assert_eq!(other.shown("GET k"), "(nil)");
    other.send(&["SET", "k", "v"]);
    assert_eq!(other.reply_within(Duration::from_millis(100)).unwrap(), None);
    assert_eq!(control.shown("GET k"), "(nil)");
    control.line("CLIENT UNPAUSE");
    assert_eq!(other.reply(), Value::Status(b"OK".to_vec()));
    // A pause of all commands holds UNPAUSE too: it ends by its time.
    let start = Instant::now();
    control.line("CLIENT PAUSE 200 ALL");
    assert_eq!(other.shown("GET k"), "\"v\"");
    assert!(start.elapsed() >= Duration::from_millis(195), "{:?}", start.elapsed());
    let start = Instant::now();
    control.line("CLIENT PAUSE 80");
    assert_eq!(other.shown("SET k w"), "OK");
    assert!(start.elapsed() >= Duration::from_millis(75), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_never_reads_is_cut_off() {
    let server = Server::ochre(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut control = server.client();
    control.cmd(&["SET", "big", &"x".repeat(100_000)]);
    let mut greedy = server.client();
    let mut request = Vec::new();
    for _ in 0..400 {
        ochre_testkit::raw::encode(&["GET", "big"], &mut request);
    }
    greedy.send_raw(&request);
    ochre_testkit::raw::wait_until("the reader that does not read is gone", || {
        (control.info("clients", "connected_clients") == "1").then_some(())
    });
    assert_eq!(control.shown("PING"), "PONG");
}

#[test]
fn maxmemory_clients_evicts_the_biggest() {
    let server = Server::ochre(&["--maxmemory-clients", "3mb"]);
    let mut control = server.client();
    control.line("CLIENT NO-EVICT on");
    let mut small = server.client();
    small.cmd(&["PING"]);
    let mut big = server.client();
    // An unfinished bulk string is held in the query buffer.
    big.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$8000000\r\n");
    let block = vec![b'x'; 100_000];
    while big.try_send_raw(&block).is_ok() {
        if control.info("clients", "connected_clients") == "2" {
            break;
        }
    }
    assert_eq!(small.shown("PING"), "PONG");
    assert_eq!(control.integer("DBSIZE"), 0);
}

#[test]
fn list_filters_agree_with_each_other() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Three, "list");
    pair.script("b: PING\nc: PING\n~kind CLIENT LIST");
    let (ours, _) = pair.client("a");
    let reply = ours.line("CLIENT LIST");
    assert!(matches!(reply, Value::Verbatim { format: [b't', b'x', b't'], .. }), "{reply:?}");
    let text = String::from_utf8(reply.bytes().unwrap().to_vec()).unwrap();
    assert_eq!(text.lines().count(), 3);
    let ids: Vec<u64> = text.lines().map(|l| fields(l)[0].1.parse().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    pair.finish();
}
