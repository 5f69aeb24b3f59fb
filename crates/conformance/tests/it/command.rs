//! COMMAND and its subcommands, and a walk over every data command with 0 to n arguments.

use crate::{check, redis7_pair};
use ochre_testkit::oracle::{Norm, Resp};
use ochre_testkit::{Program, Server, Value, line};

/// The groups whose commands the walk covers.
const GROUPS: &[&str] =
    &["string", "list", "hash", "set", "sorted-set", "generic", "transactions", "connection"];

/// Commands of those groups that stop or shake the server, wait for ever, or need a subsystem that
/// comes later (DUMP and RESTORE with RDB, WAIT with replication).
const NOT_WALKED: &[&str] = &[
    "quit", "reset", "client", "hello", "auth", "dump", "restore", "migrate", "wait", "waitaof",
    "select", "sort", "sort_ro",
];

/// What COMMAND DOCS of redis-server says are the commands of a group.
fn walked(client: &mut ochre_testkit::Client) -> Vec<String> {
    let Value::Array(docs) = client.line("COMMAND DOCS") else { panic!("no docs") };
    let mut names = Vec::new();
    for pair in docs.chunks(2) {
        let name = String::from_utf8_lossy(pair[0].bytes().unwrap()).into_owned();
        let fields = pair[1].items().unwrap();
        let group = fields.chunks(2).find(|f| f[0].bytes() == Some(b"group"));
        let group = String::from_utf8_lossy(group.unwrap()[1].bytes().unwrap()).into_owned();
        if GROUPS.contains(&group.as_str()) && !NOT_WALKED.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    assert!(names.len() > 130, "only {} commands to walk over", names.len());
    names
}

/// Each data command with 0 to 7 arguments that are a key of some type, a number, or a word. The
/// replies must be equal, wrong arity, wrong type and nonsense included.
#[test]
fn walk_over_every_data_command() {
    let mut pair = redis7_pair(&[]);
    let names = walked(pair.client("a").1);
    for resp in [Resp::Two, Resp::Three] {
        for name in &names {
            pair.restart(resp, name);
            for first in ["str", "list", "set", "hash", "zset", "none"] {
                pair.script(
                    "FLUSHALL\nSET str 5\nRPUSH list a b\nSADD set 1 2\nHSET hash 1 x\nZADD zset 1 x",
                );
                for count in 0..8 {
                    for last in ["1", "0.01", "x"] {
                        // ZRANK and ZREVRANK take WITHSCORE since 7.2.
                        if name.ends_with("rank") && count > 2 {
                            continue;
                        }
                        // The last argument of a blocking command is its time-out.
                        if last == "1" && name.starts_with('b') && count > 1 {
                            continue;
                        }
                        let mut args = vec![name.as_str()];
                        args.extend([first, "1", "1", "x", "1", "set", "1"].iter().take(count));
                        if count > 1 {
                            args[count] = last;
                        }
                        pair.run(&args, norms(name));
                        if count < 2 {
                            break;
                        }
                    }
                    if name == "multi" || name == "exec" {
                        pair.run(&["DISCARD"], &[]);
                    }
                }
            }
        }
    }
    pair.finish();
}

/// What must be left out of the comparison of a command's replies.
fn norms(name: &str) -> &'static [Norm] {
    match name {
        "spop" | "srandmember" | "hrandfield" | "zrandmember" | "randomkey" => &[Norm::Size],
        "keys" | "smembers" | "sunion" | "sinter" | "sdiff" | "hkeys" | "hvals" => {
            &[Norm::Unordered]
        }
        "hgetall" => &[Norm::Pairs],
        "scan" | "sscan" | "hscan" | "zscan" => &[Norm::Deep],
        "pttl" | "ttl" | "expiretime" | "pexpiretime" => &[Norm::Near(5000)],
        "object" => &[Norm::Kind],
        _ => &[],
    }
}

#[test]
fn info_agrees_with_redis_7() {
    // Flags that newer releases add to, or take from, commands of 7.0.
    const CHANGED: &[&str] =
        &["noscript", "skip_slowlog", "skip_commandlog", "no_multi", "allow_busy"];
    // Arity, flags and key positions of each walked command are facts that clients use for routing.
    let mut pair = redis7_pair(&[]);
    let names = walked(pair.client("a").1);
    let (ours, theirs) = pair.client("a");
    let mut differing = Vec::new();
    for name in names.iter().chain(&["select".into(), "client".into(), "config".into()]) {
        let ours = ours.cmd(&["COMMAND", "INFO", name]);
        let theirs = theirs.cmd(&["COMMAND", "INFO", name]);
        let fact = |value: &Value, at: usize| {
            let entry = value.items()?.first()?.items()?.get(at)?.clone();
            match entry {
                Value::Array(mut items) | Value::Set(mut items) => {
                    items.sort_by_key(line::show);
                    let shown =
                        items.iter().map(line::show).filter(|f| !CHANGED.contains(&f.as_str()));
                    Some(shown.collect::<Vec<_>>().join(" "))
                }
                other => Some(line::show(&other)),
            }
        };
        for (at, what) in
            ["name", "arity", "flags", "first key", "last key", "step", "acl"].iter().enumerate()
        {
            let (a, b) = (fact(&ours, at), fact(&theirs, at));
            // ZRANK and ZREVRANK take WITHSCORE since 7.2.
            let longer =
                *what == "arity" && name.ends_with("rank") && a.as_deref() == Some("(int) -3");
            if a != b && !longer {
                differing.push(format!("{name} {what}: {a:?}, not {b:?}"));
            }
        }
    }
    assert!(differing.is_empty(), "{} differences:\n{}", differing.len(), differing.join("\n"));
}

#[test]
fn keys_of_commands() {
    check(
        r#"
        COMMAND GETKEYS GET a
        COMMAND GETKEYS MSET a 1 b 2
        COMMAND GETKEYS MGET a b c
        COMMAND GETKEYS ZUNIONSTORE d 2 a b
        COMMAND GETKEYS LMPOP 2 a b LEFT
        COMMAND GETKEYS BLMPOP 0 2 a b LEFT
        COMMAND GETKEYS RENAME a b
        COMMAND GETKEYS BLPOP a b 0
        COMMAND GETKEYS SINTERCARD 2 a b LIMIT 1
        COMMAND GETKEYS PING =?> (err) ERR The command has no key arguments
        COMMAND GETKEYS GET =?> (err) ERR Invalid number of arguments specified for command
        COMMAND GETKEYS NOSUCH a
        COMMAND GETKEYS
        COMMAND GETKEYS ZUNIONSTORE d 9 a b
        COMMAND GETKEYS OBJECT ENCODING k
        COMMAND GETKEYSANDFLAGS GET a
        COMMAND GETKEYSANDFLAGS LMOVE a b LEFT RIGHT
        COMMAND GETKEYSANDFLAGS ZUNIONSTORE d 2 a b
        COMMAND GETKEYSANDFLAGS DEL a b
        COMMAND INFO
        COMMAND INFO nosuch
        COMMAND LIST FILTERBY MODULE nosuch
        COMMAND LIST FILTERBY PATTERN zunion*
        COMMAND LIST FILTERBY ACLCAT nosuch
        COMMAND LIST FILTERBY foo bar
        COMMAND LIST FILTERBY
        COMMAND DOCS nosuch
        COMMAND foo
        ~kind COMMAND HELP
        COMMAND COUNT x
        "#
        .replace("        COMMAND INFO\n", "        ~kind COMMAND INFO\n")
        .replace("COMMAND LIST FILTERBY PATTERN", "~unordered COMMAND LIST FILTERBY PATTERN")
        .as_str(),
    );
}

#[test]
fn counts_lists_and_docs_agree_with_each_other() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    let count = client.integer("COMMAND COUNT");
    // The list names subcommands too, as `config|get`.
    let list = client.line("COMMAND LIST");
    let names = list.items().unwrap().iter().filter(|n| !n.bytes().unwrap().contains(&b'|'));
    assert_eq!(names.count() as i64, count);
    let all = client.line("COMMAND");
    assert_eq!(all.items().map(|items| items.len() as i64), Some(count));
    let docs = client.line("COMMAND DOCS");
    assert_eq!(docs.items().map(|items| items.len() as i64 / 2), Some(count));
    for pair in docs.items().unwrap().chunks(2) {
        let shown = line::show(&pair[1]);
        assert!(
            shown.contains("\"summary\"") && shown.contains("\"group\""),
            "{}",
            line::show(&pair[0])
        );
    }
    let none = client.line("COMMAND INFO get nosuch");
    assert!(none.items().unwrap()[1].is_null());
}

#[test]
fn redis_cli_and_benchmark_run() {
    // The tools that a user points at the server first.
    let server = Server::ochre(&["--unixsocket", "s.sock"]);
    let port = server.port().to_string();
    let tool = |name: &str, args: &[&str]| {
        let path = ochre_testkit::server::in_path(name);
        let path =
            path.unwrap_or_else(|| panic!("{name} is not installed: apt-get install redis-tools"));
        let output = std::process::Command::new(path).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{name} {args:?}: {text}");
        assert!(!text.contains("Error") && !text.contains("ERR "), "{name} {args:?}: {text}");
        text
    };
    assert_eq!(tool("redis-cli", &["-p", &port, "SET", "k", "v"]).trim(), "OK");
    assert_eq!(tool("redis-cli", &["-3", "-p", &port, "GET", "k"]).trim(), "v");
    tool("redis-cli", &["-p", &port, "--scan"]);
    tool("redis-cli", &["-p", &port, "--bigkeys"]);
    tool("redis-benchmark", &["-p", &port, "-n", "2000", "-q"]);
    tool("redis-benchmark", &["-p", &port, "-n", "5000", "-q", "-P", "16", "-r", "1000"]);
    tool("redis-benchmark", &["-p", &port, "-n", "2000", "-q", "--threads", "2", "-t", "get,set"]);
    tool("redis-benchmark", &["-p", &port, "-n", "2000", "-q", "-3", "-t", "get,set"]);
    let socket = server.dir().join("s.sock").display().to_string();
    tool("redis-benchmark", &["-s", &socket, "-n", "2000", "-q"]);
    if let Some(path) = ochre_testkit::server::peer_binary("valkey-benchmark") {
        let run = |args: &[&str]| {
            let output =
                std::process::Command::new(&path).args(["-p", &port, "-q"]).args(args).output();
            let output = output.unwrap();
            let text =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success() && !text.contains("ERR "), "{args:?}: {text}");
        };
        // The default list but for FCALL, which loads a function of Valkey's own dialect, and XADD.
        let list = "ping_inline,ping_mbulk,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,\
            zpopmin,lrange_100,lrange_300,lrange_500,lrange_600,mset,mget";
        run(&["-t", list, "-n", "2000"]);
        run(&["-t", list, "-n", "5000", "-P", "16", "-r", "1000"]);
        run(&["-t", list, "-n", "2000", "--threads", "2"]);
        run(&["-t", list, "-n", "2000", "-3"]);
    } else {
        println!("not tried: valkey-benchmark is not installed (see PEERS_DIR)");
    }
    assert!(Program::Redis7.find().is_some());
}
