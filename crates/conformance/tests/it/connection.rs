//! PING, ECHO, HELLO, AUTH, RESET, QUIT, SELECT, and the ways to connect: R2.1.

use crate::{check, redis7_pair};
use ochre_testkit::oracle::{Norm, Pair, Resp};
use ochre_testkit::{Client, Program, Server, Value};

#[test]
fn small_talk() {
    check(
        r#"
        PING
        PING hello
        PING a b
        ECHO hi
        ECHO
        ECHO a b
        NOSUCH
        NOSUCH a b
        NOSUCH <a*200> <b*200>
        <X*200>
        "NO SUCH" x
        ""
        nosuch "line\r\nbreak"
        TIME x
        ~size TIME
        LOLWUT VERSION x
        ~kind LOLWUT
        ~kind LOLWUT VERSION 5 1 1 1
        RESET
        RESET x
        "#,
    );
}

#[test]
fn hello() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "hello");
    // The map names the server and its version, which differ; its shape may not.
    for args in [&["HELLO"][..], &["HELLO", "2"], &["HELLO", "3"], &["HELLO", "3", "SETNAME", "me"]]
    {
        pair.run(args, &[Norm::Size]);
    }
    pair.script(
        r#"
        CLIENT GETNAME
        HELLO 1
        HELLO 4
        HELLO x
        HELLO 3 foo
        HELLO 3 SETNAME
        HELLO 3 SETNAME "a b"
        ~size HELLO 3 AUTH default wrong
        ~code HELLO 3 AUTH nobody pass
        HELLO 3 AUTH default
        ~size HELLO 2
        GET none
        BLPOP none 0.01
        "#,
    );
    let (ours, _) = pair.client("a");
    let reply = ours.line("HELLO 3");
    let Value::Map(fields) = reply else { panic!("HELLO 3 gave no map") };
    let names: Vec<_> = fields.iter().filter_map(|(k, _)| k.bytes()).collect();
    let expected = ["server", "version", "proto", "id", "mode", "role", "modules"];
    assert_eq!(names, expected.map(str::as_bytes));
    pair.finish();
}

#[test]
fn nulls_in_both_protocols() {
    check(
        r#"
        GET none
        BLPOP none 0.01
        LPOP none
        LPOP none 1
        ZSCORE none a
        LPOS none a
        RANDOMKEY
        SPOP none
        ZRANK none a
        OBJECT ENCODING none
        HMGET none a
        ZMSCORE none a b
        SRANDMEMBER none 3
        "#,
    );
}

#[test]
fn passwords() {
    let mut pair = redis7_pair(&["--requirepass", "secret"]);
    pair.script(
        r#"
        PING
        GET k
        SET k v
        NOSUCH =?> (err) NOAUTH Authentication required.
        MULTI
        ECHO x
        ~code HELLO 3
        AUTH wrong
        AUTH a b c
        AUTH
        AUTH nobody secret
        AUTH secret
        PING
        AUTH default secret
        AUTH default wrong
        PING
        RESET
        PING
        ~size HELLO 3 AUTH default secret
        PING
        CONFIG SET requirepass other
        PING
        b: PING
        b: AUTH secret
        b: AUTH other
        CONFIG SET requirepass ""
        c: PING
        c: AUTH anything
        "#,
    );
    pair.finish();
}

#[test]
fn reset_forgets_the_session() {
    check(
        r#"
        SELECT 3
        CLIENT SETNAME me
        MULTI
        RESET
        CLIENT GETNAME
        EXEC
        SET in0 v
        SELECT 0
        EXISTS in0
        WATCH k
        RESET
        b: SET k 1
        MULTI
        PING
        EXEC
        "#,
    );
}

#[test]
fn quit_answers_and_closes() {
    let mut pair = redis7_pair(&[]);
    for server in ["ours", "theirs"] {
        let mut client =
            if server == "ours" { pair.ours().client() } else { pair.theirs().client() };
        client.send_raw(b"SET k v\r\nQUIT\r\nGET k\r\n");
        assert_eq!(client.until_closed(), b"+OK\r\n+OK\r\n", "{server}");
    }
}

#[test]
fn unix_socket() {
    let server = Server::ochre(&["--unixsocket", "ochre.sock", "--unixsocketperm", "700"]);
    let path = server.dir().join("ochre.sock");
    let mut client = Client::connect_unix(&path);
    assert_eq!(client.shown("SET k v"), "OK");
    assert_eq!(server.client().shown("GET k"), "\"v\"");
}

#[test]
fn ipv6() {
    let server = Server::ochre(&["--bind", "127.0.0.1", "::1"]);
    match std::net::TcpStream::connect(("::1", server.port())) {
        Ok(mut stream) => {
            use std::io::{Read, Write};
            stream.write_all(b"PING\r\n").unwrap();
            let mut reply = [0; 7];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(&reply, b"+PONG\r\n");
        }
        Err(error) => {
            // Some containers have no IPv6 at all; a listener that is merely missing must fail.
            let own = std::net::TcpListener::bind(("::1", 0));
            assert!(own.is_err(), "::1 exists, but the server refuses: {error}");
            println!("not tested: this machine has no ::1");
        }
    }
}

#[test]
fn too_many_clients() {
    let mut pair = redis7_pair(&["--maxclients", "3"]);
    for theirs in [false, true] {
        let server = if theirs { pair.theirs() } else { pair.ours() };
        let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
        for client in &mut clients {
            // The check at the start may still be closing its connection.
            let answer = client.try_cmd(&["PING"]);
            if answer.is_err() {
                *client = server.client();
                client.cmd(&["PING"]);
            }
        }
        let mut fourth = server.client();
        assert_eq!(fourth.until_closed(), b"-ERR max number of clients reached\r\n");
        clients.pop();
        ochre_testkit::raw::wait_until("there is room again", || {
            server.client().try_cmd(&["PING"]).ok().filter(|v| v.error().is_none())
        });
    }
}

#[test]
fn protected_mode_admits_loopback() {
    let server = Server::ochre(&["--protected-mode", "yes"]);
    assert_eq!(server.client().shown("PING"), "PONG");
}

#[test]
fn many_connections_at_once() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut clients: Vec<_> = (0..600).map(|_| server.client()).collect();
    for (i, client) in clients.iter_mut().enumerate() {
        client.send(&["SET", &format!("k{i}"), &i.to_string()]);
        client.send(&["GET", &format!("k{i}")]);
    }
    for (i, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.reply(), Value::Status(b"OK".to_vec()));
        assert_eq!(client.reply(), Value::Bulk(i.to_string().into_bytes()));
    }
    let connected = clients[0].info("clients", "connected_clients");
    assert_eq!(connected, "600");
}

#[test]
fn idle_clients_are_closed_after_the_timeout() {
    let server = Server::ochre(&["--timeout", "1"]);
    let mut idle = server.client();
    idle.cmd(&["PING"]);
    let mut blocked = server.client();
    blocked.send(&["BLPOP", "q", "0"]);
    assert_eq!(idle.until_closed(), b"");
    server.client().line("RPUSH q v");
    assert_eq!(blocked.reply().items().map(<[Value]>::len), Some(2));
}

#[test]
fn two_servers_stand_beside_each_other() {
    // R2.2: by port, with separate data.
    let (a, b) = (Server::ochre(&[]), Server::ochre(&[]));
    a.client().line("SET k a");
    b.client().line("SET k b");
    assert_eq!(a.client().shown("GET k"), "\"a\"");
    assert_eq!(b.client().shown("GET k"), "\"b\"");
}

#[test]
fn shutdown_ends_the_process() {
    for how in ["SHUTDOWN NOSAVE", "SHUTDOWN", "SHUTDOWN NOW", "SHUTDOWN FORCE NOSAVE"] {
        let mut server = Server::ochre(&[]);
        let mut client = server.client();
        client.send(&ochre_testkit::line::words(how));
        assert_eq!(client.until_closed(), b"", "{how}");
        assert_eq!(server.await_exit(), Some(0), "{how}");
    }
    let mut pair = Pair::start(&Program::Redis7, &[]);
    pair.script("SHUTDOWN foo\nSHUTDOWN SAVE NOSAVE\nSHUTDOWN ABORT\nSHUTDOWN NOSAVE ABORT");
    pair.finish();
}
