//! Users and their rights, side by side with all three families: Ochre is told to follow the one that
//! it is compared with, and must say the same, word by word.
//!
//! Lines are commands, `name: command` by another client. A leading `!` leaves Redis 7.0 out: it shows
//! rules in an order of its own and knows fewer fields; `V` is for Valkey alone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ochre_testkit::line::{show, words};
use ochre_testkit::{Client, Program, Server, Value};

use crate::redis7_pair;

/// What Ochre is told to follow, and the peer.
fn families() -> Vec<(&'static str, Program)> {
    let all = [
        ("redis-7.0", Program::Redis7),
        ("redis-8", Program::Redis8),
        ("valkey-9", Program::Valkey9),
    ];
    let (there, missing): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(_, program)| program.find().is_some());
    for (_, program) in missing {
        println!("not compared: {} is not installed (see PEERS_DIR)", program.name());
    }
    there
}

/// A server and its named clients.
struct Side {
    server: Server,
    clients: BTreeMap<String, Client>,
}

impl Side {
    fn new(program: &Program, options: &[&str]) -> Side {
        Side { server: Server::start(program, options), clients: BTreeMap::new() }
    }

    fn run(&mut self, name: &str, args: &[Vec<u8>]) -> String {
        let server = &self.server;
        let client = self.clients.entry(name.to_owned()).or_insert_with(|| server.client());
        match client.try_cmd(args) {
            Ok(value) => show(&plain(value)),
            Err(_) => "closed".to_owned(),
        }
    }
}

/// A reply without what differs by nature: clients' descriptions, times, ages.
fn plain(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.into_iter().map(plain).collect();
            for at in 1..items.len() {
                let name = items[at - 1].bytes().unwrap_or_default().to_vec();
                if [
                    &b"client-info"[..],
                    b"timestamp-created",
                    b"timestamp-last-updated",
                    b"age-seconds",
                ]
                .contains(&name.as_slice())
                {
                    items[at] = Value::Integer(0);
                }
            }
            Value::Array(items)
        }
        other => other,
    }
}

/// Runs a script on both sides, for each family.
fn same(options: &[&str], script: &str) {
    let mut differences = Vec::new();
    for (compat, program) in families() {
        let ours = [options, &["--compat", compat]].concat();
        let mut sides = [Side::new(&Program::Ochre, &ours), Side::new(&program, options)];
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let line = match (line.strip_prefix('!'), line.strip_prefix("V ")) {
                (Some(_), _) if compat == "redis-7.0" => continue,
                (_, Some(_)) if compat != "valkey-9" => continue,
                (Some(rest), _) | (_, Some(rest)) => rest,
                _ => line,
            };
            let (name, command) = match line.split_once(": ") {
                Some((name, command)) if name.len() == 1 => (name, command),
                _ => ("", line),
            };
            let args = words(command);
            let [ours, theirs] = sides.each_mut().map(|side| side.run(name, &args));
            if ours != theirs {
                differences.push(format!("{compat}> {line}\n  ours   {ours}\n  theirs {theirs}"));
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn rules_and_their_text() {
    same(
        &[],
        r#"
        ACL WHOAMI
        ACL USERS
        # There are more here: those of the sketches.
        ~kind ACL CAT
        ACL CAT nosuch
        ACL CAT a b
        ACL GETUSER default
        ACL LIST
        ACL GETUSER none
        ACL SETUSER u
        ACL GETUSER u
        ACL SETUSER u on >pw >pw #34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6
        ACL GETUSER u
        ACL SETUSER u <pw !34344e4d60c2b6d639b7bd22e18f2b0b91bc34bf0ac5f9952744435093cfb4e6
        ACL GETUSER u
        ACL SETUSER u <pw
        ACL SETUSER u #abc
        ACL SETUSER u !zz
        ACL SETUSER u nopass
        ACL SETUSER u >x resetpass
        ACL SETUSER u ON NOPASS
        ACL SETUSER u sanitize-payload
        ACL GETUSER u
        ACL SETUSER u skip-sanitize-payload
        ACL LIST
        ACL SETUSER u reset
        ACL LIST
        !ACL SETUSER u reset +@all -@string +incr -debug +debug|digest
        !ACL GETUSER u
        !ACL SETUSER u reset +@string -@all +get +@read -get +get -@read +@read
        !ACL GETUSER u
        !ACL SETUSER u reset +get|a +get|B -get +get|C +debug|A +debug|b +debug|a
        !ACL GETUSER u
        !ACL SETUSER u reset +@Read -@WRITE +GET +get +set +get
        !ACL GETUSER u
        !ACL SETUSER u reset +@read +get|a +@read +config|get +config -config|set -config
        !ACL GETUSER u
        !ACL SETUSER u reset +SELECT|0 +CLIENT|ID
        !ACL GETUSER u
        ACL SETUSER u reset +get|a|b
        ACL SETUSER u +config|get|a
        ACL SETUSER u +config|asdf
        ACL SETUSER u -config|asdf
        ACL SETUSER u -get|k
        ACL SETUSER u +nosuch
        ACL SETUSER u -nosuch
        ACL SETUSER u +@nosuch
        ACL SETUSER u +debug|
        ACL SETUSER u +|x
        ACL SETUSER u +
        ACL SETUSER u -
        ACL SETUSER u ""
        ACL SETUSER u nosuch
        ACL SETUSER u reset %R~r %W~w ~a %R~a %r~b %W~b
        ACL GETUSER u
        ACL SETUSER u %
        ACL SETUSER u %R
        ACL SETUSER u %RX~a
        ACL SETUSER u %~a
        ACL SETUSER u %RR~a
        ACL SETUSER u "~a b"
        ACL SETUSER u "~a\x00b"
        ACL SETUSER u ~*
        ACL SETUSER u ~x
        ACL SETUSER u %R~x
        ACL SETUSER u resetkeys ~ &a &b* &a
        ACL GETUSER u
        ACL SETUSER u &*
        ACL SETUSER u "&a b"
        ACL LIST
        ACL SETUSER u (
        ACL SETUSER u ()x
        ACL SETUSER u )
        ACL SETUSER u (~a +get b)
        ACL SETUSER u (on)
        ACL SETUSER u (>p)
        ACL SETUSER u (+nosuch)
        ACL SETUSER u (allkeys ~x)
        ACL SETUSER u (~a +get) "( +set  ~x   )" (allchannels allcommands allkeys) (+get|x) (~) "(&b &c)" ()
        ACL GETUSER u
        ACL LIST
        ACL SETUSER u clearselectors
        ACL GETUSER u
        ACL SETUSER "a b"
        ACL SETUSER "a\x00b"
        ACL SETUSER ""
        ACL USERS
        ACL DELUSER none default
        ACL DELUSER none "" u
        ACL DELUSER
        ACL
        ACL FOO
        ACL HELP x
        ACL GENPASS 0
        ACL GENPASS 4097
        ACL GENPASS x
        ACL GENPASS 1 2
        ACL LOAD
        ACL SAVE
        ACL LOG 1 2
        ACL LOG x
        ACL LOG -1
        CONFIG SET acl-pubsub-default allchannels
        ACL SETUSER c
        ACL GETUSER c
        ACL SETUSER c &x
        ACL SETUSER c (+get)
        ACL LIST
        "#,
    );
}

#[test]
fn what_users_may_do() {
    same(
        &[],
        r#"
        ACL SETUSER a on nopass +get +set +mget +strlen +select +multi +exec +discard +eval +copy ~k* %R~r*
        a: AUTH a x
        a: ACL WHOAMI
        a: GET k
        a: GET x
        a: GET r
        a: SET r 1
        a: SET k 1
        a: SET r 1 GET
        a: COPY r k
        a: COPY k r
        a: MGET k x y
        a: PING
        a: GET
        a: NOSUCH
        a: CONFIG
        a: CONFIG GET x
        a: CONFIG NOSUCH
        a: SUBSCRIBE x
        a: DEBUG SEGFAULT
        a: EVAL "return redis.pcall('get', 'x')" 0
        a: EVAL "return redis.pcall('ping')" 0
        a: EVAL "return redis.acl_check_cmd('get', 'x')" 0
        a: EVAL "return redis.acl_check_cmd('get', 'k')" 0
        a: MULTI
        a: PING
        a: GET x
        a: GET k
        a: EXEC
        a: MULTI
        a: GET k
        ACL SETUSER a -get
        a: EXEC
        a: MULTI
        a: SET k 1
        ACL SETUSER a resetkeys
        a: EXEC
        ACL SETUSER a ~k* +publish &*
        a: MULTI
        a: PUBLISH x y
        ACL SETUSER a resetchannels
        a: EXEC
        a: MULTI
        ACL SETUSER a -exec +get
        a: EXEC
        a: DISCARD
        ACL LOG 1
        ACL SETUSER s on nopass (+sort ~k) (+sort_ro ~k ~x*)
        s: AUTH s s
        s: SORT k BY x*
        s: SORT k GET x*
        s: SORT_RO k GET #
        s: SORT k BY nosort
        s: SORT k STORE y
        ACL SETUSER s (+sort ~k %W~*)
        s: SORT k BY x*
        ACL SETUSER s (+sort ~k %R~*)
        s: SORT k BY x* GET y*
        ACL SETUSER d on nopass +select|0 +config|get +debug|object
        d: AUTH d x
        d: SELECT 0
        d: SELECT 1
        d: CONFIG GET none
        d: CONFIG SET x y
        ACL SETUSER e on nopass (+mget ~key) (+mget ~key ~other) +select
        e: AUTH e e
        e: MGET key other
        e: MGET other some
        ACL LOG 1
        "#,
    );
}

#[test]
fn channels() {
    same(
        &[],
        r#"
        ACL SETUSER e on nopass +@all ~* resetchannels &foo &bar*
        e: AUTH e e
        e: PUBLISH foo x
        e: PUBLISH zap x
        e: SPUBLISH zap x
        e: SPUBLISH bar1 x
        e: PSUBSCRIBE bar
        e: SUBSCRIBE foo zz
        e: SSUBSCRIBE zz
        e: PSUBSCRIBE bar*
        e: PSUBSCRIBE foo
        e: SUBSCRIBE barz
        ACL SETUSER e &more
        e: PING
        ACL SETUSER e resetchannels &foo &barz &bar*
        e: PING
        ACL SETUSER e resetchannels &foo
        e: PING
        ACL SETUSER p on nopass +@all allchannels
        p: AUTH p p
        p: SSUBSCRIBE any
        ACL SETUSER p resetchannels
        p: PING
        "#,
    );
}

#[test]
fn logging_in() {
    same(
        &[],
        r#"
        AUTH x
        AUTH a b c
        AUTH none x
        AUTH default anything
        ACL SETUSER f on >p +acl|whoami +client|id
        f: AUTH f q
        f: AUTH f p
        f: ACL WHOAMI
        f: CLIENT LIST
        f: HELLO 2 AUTH f q
        f: HELLO 9 AUTH f p
        f: RESET
        f: ACL WHOAMI
        f: AUTH f p
        ACL SETUSER f off
        f: ACL WHOAMI
        f: AUTH f p
        g: PING
        ACL SETUSER default >p
        g: PING
        AUTH x
        AUTH p
        ACL SETUSER f on
        h: PING
        h: AUTH f p
        h: RESET
        h: PING
        h: HELLO 3
        h: HELLO 2 AUTH none p
        h: AUTH f p
        h: AUTH default p
        h: PING
        ACL SETUSER default nopass
        i: PING
        CONFIG SET requirepass secret
        ACL GETUSER default
        j: PING
        j: AUTH p
        j: AUTH secret
        CONFIG SET requirepass ""
        ACL GETUSER default
        CLIENT KILL USER nosuch
        CLIENT KILL USER f
        f: PING
        ACL SETUSER k on nopass +@all
        k: AUTH k k
        ACL DELUSER k
        k: PING
        k: PING
        ACL SETUSER k on nopass +acl|deluser +acl|whoami
        l: AUTH k k
        l: ACL DELUSER k
        l: PING
        "#,
    );
}

#[test]
fn dry_runs() {
    same(
        &[],
        r#"
        SET k v
        ACL SETUSER u +@all -@dangerous -client|id %R~read* %W~write* %RW~rw* &chan
        ACL DRYRUN none get k
        ACL DRYRUN u nosuch
        ACL DRYRUN u config nosuch
        ACL DRYRUN u config
        ACL DRYRUN u get
        ACL DRYRUN u get a b
        ACL DRYRUN u
        ACL DRYRUN u get read
        ACL DRYRUN u get write
        ACL DRYRUN u config get x
        ACL DRYRUN u client id
        ACL DRYRUN u debug object x
        ACL DRYRUN u exists write
        ACL DRYRUN u exists nothing
        ACL DRYRUN u object encoding write
        ACL DRYRUN u memory usage nothing
        ACL DRYRUN u set read v
        ACL DRYRUN u set write v
        ACL DRYRUN u set write v get
        ACL DRYRUN u bitfield read get u4 0
        ACL DRYRUN u bitfield read set u4 0 1
        ACL DRYRUN u sort read store write
        ACL DRYRUN u sort read store read
        ACL DRYRUN u eval x 1 read
        ACL DRYRUN u eval_ro x 1 read
        ACL DRYRUN u eval x 0 read
        ACL DRYRUN u eval x -1 read
        ACL DRYRUN u eval x 3 rw read
        ACL DRYRUN u georadius read1 1 1 1 m storedist write
        ACL DRYRUN u georadius read1 1 1 1 m storedist read2
        ACL DRYRUN u sintercard 2 read write
        ACL DRYRUN u publish chan x
        ACL DRYRUN u spublish other x
        ACL DRYRUN u sunsubscribe other
        ACL DRYRUN u psubscribe ch*
        ACL DRYRUN u auth x
        ACL DRYRUN u blpop rw read 0
        ACL DRYRUN u lmove read write left left
        ACL DRYRUN u xread streams read other 0 0
        ACL DRYRUN u zunionstore write 2 read read
        ACL DRYRUN u zunionstore read 2 read read
        ACL DRYRUN u smove rw write m
        ACL DRYRUN u getdel read
        ACL DRYRUN u getex write
        ACL DRYRUN u incr rw
        ACL DRYRUN u incr write
        ACL DRYRUN u append write x
        ACL DRYRUN u pfcount write
        ACL DRYRUN u hset write f v
        ACL DRYRUN u watch nothing
        "#,
    );
}

#[test]
fn databases_of_valkey() {
    same(
        &[],
        r#"
        V ACL SETUSER a on nopass +@all ~* &* db=0,1
        V ACL GETUSER a
        V ACL SETUSER a db=2,0,2
        V ACL LIST
        V ACL SETUSER a DB=3 (db=5 +get) (alldbs +ping)
        V ACL GETUSER a
        V ACL SETUSER a resetdbs
        V ACL LIST
        V ACL SETUSER a db=
        V ACL SETUSER a db=1,x
        V ACL SETUSER a db=1,,2
        V ACL SETUSER a db=-1
        V ACL SETUSER a db=99999999999
        V ACL SETUSER a clearselectors db=0,1
        V a: AUTH a x
        V a: GET k
        V a: SELECT 1
        V a: SELECT 2
        V a: SWAPDB 0 1
        V a: SWAPDB 0 3
        V a: COPY k k2 DB 1
        V a: COPY k k2 DB 3
        V a: MOVE k 3
        V a: FLUSHALL
        V a: FLUSHDB
        V a: EVAL "return redis.pcall('select', 3)" 0
        V a: MULTI
        V a: SELECT 3
        V a: EXEC
        V a: MULTI
        V a: GET k
        V ACL SETUSER a resetdbs db=3
        V a: EXEC
        V a: PING
        V a: DBSIZE
        V a: OBJECT HELP
        V a: WATCH k
        V a: UNWATCH
        V a: SELECT 3
        V a: DBSIZE
        V ACL DRYRUN a get k
        V ACL DRYRUN a select 4
        V ACL DRYRUN a move k 4
        V ACL DRYRUN a copy a b DB 4
        V ACL DRYRUN a publish x y
        V ACL DRYRUN a eval x 0
        V ACL DRYRUN a config get x
        V ACL DRYRUN a swapdb 3 4
        V ACL DRYRUN a flushall
        V ACL LOG 2
        "#,
    );
}

#[test]
fn the_log_of_refusals() {
    same(
        &[],
        r#"
        ACL LOG
        ACL SETUSER a on nopass +get ~k +eval +multi +exec +client
        a: AUTH a x
        a: GET x
        a: GET x
        a: PING
        a: GET x
        a: CONFIG GET x
        a: MULTI
        a: PING
        a: EXEC
        a: EVAL "return redis.pcall('ping')" 0
        a: EVAL "return redis.pcall('get', 'y')" 0
        a: AUTH b x
        a: auth b x
        a: HELLO 2 AUTH b x
        ACL LOG
        ACL LOG 2
        ACL LOG 0
        CONFIG SET acllog-max-len 3
        a: GET z
        ACL LOG
        ACL LOG RESET
        ACL LOG
        CONFIG SET acllog-max-len 0
        a: GET z
        ACL LOG
        "#,
    );
}

/// Ochre and each family start with the same file of users and change it in the same way.
#[test]
fn the_file_of_users() {
    for (compat, program) in families() {
        let files = ["ours.acl", "theirs.acl"].map(|name| {
            std::env::temp_dir().join(format!("ochre-{}-{compat}-{name}", std::process::id()))
        });
        let put = |text: &str| files.iter().for_each(|file| std::fs::write(file, text).unwrap());
        put("user x on nopass +get ~*\nuser w on nopass +@all ~* &foo\n");
        let names = files.each_ref().map(|file| file.to_str().unwrap());
        let mut sides = [
            Side::new(&Program::Ochre, &["--aclfile", names[0], "--compat", compat]),
            Side::new(&program, &["--aclfile", names[1]]),
        ];
        let mut both = |line: &str| {
            let (name, command) = line.split_once(": ").unwrap_or(("", line));
            let args = words(command);
            let mut at = 0;
            let [ours, theirs] = sides.each_mut().map(|side| {
                at += 1;
                side.run(name, &args).replace(names[at - 1], "FILE")
            });
            assert_eq!(ours, theirs, "{compat}> {line}");
        };
        both("ACL LIST");
        both("x: AUTH x p");
        both("w: AUTH w p");
        both("w: SUBSCRIBE foo");
        both("ACL LOAD");
        both("x: GET k");
        both("w: PING");
        both("ACL SETUSER x (~q +@read) >p");
        both("ACL SAVE");
        let saved = files.each_ref().map(|file| std::fs::read_to_string(file).unwrap());
        if compat != "redis-7.0" {
            assert_eq!(saved[0], saved[1]);
        }
        both("ACL LOAD");
        both("ACL USERS");
        for text in [
            "user x on ~k nosuch",
            "user x on ~k\nuser x off",
            "foo x",
            "# c",
            "user",
            "user x on )",
            "user x\ty on",
            "user x on +get|",
            "user a b c",
            "user default off\nuser x on\r\nuser z on +@nosuch",
            "user x on ~k\n user",
            "user \"x y\" on",
            "  user x  on   ~k  ",
            "\n\n",
            "user default on +@all ~* nopass\nuser d2 on (+get)",
            "user default on +@all ~* nopass\nuser w on nopass +set",
        ] {
            put(text);
            both("ACL LOAD");
            both("ACL LIST");
        }
        files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
        both("ACL LOAD");
    }
}

/// A program that is given a configuration file first, and the file.
fn with_file(program: &Program, compat: Option<&str>, text: &str) -> (Server, PathBuf) {
    let stamp = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let folder = std::env::temp_dir().join(format!("ochre-users-{}-{stamp}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("redis.conf");
    std::fs::write(&file, text).unwrap();
    let launcher = folder.join("launch.sh");
    let (binary, file_name) = (program.find().unwrap(), file.display());
    let compat = compat.map(|name| format!(" --compat {name}")).unwrap_or_default();
    let script = format!("#!/bin/sh\nexec {} {file_name} \"$@\"{compat}\n", binary.display());
    std::fs::write(&launcher, script).unwrap();
    let run = std::process::Command::new("chmod").arg("755").arg(&launcher).status().unwrap();
    assert!(run.success());
    (Server::start(&Program::At(launcher), &[]), file)
}

#[test]
fn users_of_the_configuration_file() {
    const TEXT: &str = "# first\nuser default on nopass ~* &* +@all -flushdb\nmaxclients 50\n\
                        user b on >pw (~a +get)\n";
    for (compat, program) in families() {
        let starts = [(Program::Ochre, Some(compat)), (program, None)];
        let [ours, theirs] = starts.map(|(program, compat)| {
            let (server, file) = with_file(&program, compat, TEXT);
            let mut client = server.client();
            let mut seen = vec![client.shown("FLUSHDB"), client.shown("ACL LIST")];
            client.line("ACL SETUSER two on >p +get");
            client.line("ACL DELUSER b");
            client.line("ACL SETUSER three");
            seen.push(client.shown("CONFIG REWRITE"));
            drop(client);
            let text = std::fs::read_to_string(&file).unwrap();
            seen.extend(text.lines().filter(|line| line.starts_with("user ")).map(str::to_owned));
            assert!(text.starts_with("# first\nuser default"), "{text}");
            let (again, _) = with_file(&program, compat, &text.replace("daemonize yes", ""));
            seen.push(again.client().shown("ACL LIST"));
            std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
            seen
        });
        assert_eq!(ours, theirs, "{compat}");
    }
}

/// Only what the configuration says of users is written back, and the password stays one line.
#[test]
fn a_configuration_without_users_gets_none() {
    let (server, file) = with_file(&Program::Ochre, None, "requirepass one\n");
    let mut client = server.client();
    client.line("AUTH one");
    client.line("CONFIG SET requirepass two");
    assert_eq!(client.shown("CONFIG REWRITE"), "OK");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("requirepass \"two\"") && !text.contains("user "), "{text}");
    client.line("ACL SETUSER more on nopass");
    assert_eq!(client.shown("CONFIG REWRITE"), "OK");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nuser default on") && text.contains("\nuser more on nopass"), "{text}");
    std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
}

/// Users change while others of theirs send commands from all loops: what is refused is refused from
/// the reply to ACL SETUSER on.
#[test]
fn a_change_holds_for_all_loops_at_once() {
    let server = Server::ochre(&["--io-threads", "4"]);
    let mut operator = server.client();
    operator.line("ACL SETUSER u on nopass +get ~*");
    let mut others: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for client in &mut others {
        assert_eq!(client.shown("AUTH u u"), "OK");
    }
    for round in 0..50 {
        let (rule, refused) = if round % 2 == 0 { ("-get", true) } else { ("+get", false) };
        operator.line(&format!("ACL SETUSER u {rule}"));
        for client in &mut others {
            assert_eq!(client.shown("GET k").contains("NOPERM"), refused, "round {round}");
        }
    }
    operator.line("ACL DELUSER u");
    for client in &mut others {
        let answer = client.try_cmd(&["GET", "k"]);
        assert!(answer.is_err() || show(&answer.unwrap()).contains("NOAUTH"));
    }
}

#[test]
fn secrets_are_not_shown() {
    let mut pair = redis7_pair(&["--slowlog-log-slower-than", "0"]);
    pair.script(
        r#"
        ACL SETUSER u >secret
        ~any ACL GETUSER u
        CONFIG SET requirepass secret
        CONFIG SET requirepass ""
        ACL DELUSER u
        "#,
    );
    for client in [0, 1] {
        let (ours, theirs) = pair.client("a");
        let log = if client == 0 { ours } else { theirs }.shown("SLOWLOG GET -1");
        assert!(!log.contains("secret"), "{log}");
        assert!(log.contains(r#"["ACL", "SETUSER", "(redacted)", "(redacted)"]"#), "{log}");
        assert!(log.contains(r#"["CONFIG", "SET", "requirepass", "(redacted)"]"#), "{log}");
    }
    pair.finish();
}
