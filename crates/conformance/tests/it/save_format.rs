//! `save-format`: files that the named servers load with all that is in them, and saves that are refused since
//! they could not.

use std::path::{Path, PathBuf};

use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

/// A folder of its own for the files of one test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ochre-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A server of ours that works in it, once it has loaded what is there.
    pub(crate) fn ochre(&self, options: &[&str]) -> Server {
        self.run(&Program::Ochre, options)
    }

    fn run(&self, program: &Program, options: &[&str]) -> Server {
        let dir = self.0.to_str().unwrap();
        let mut all = vec!["--dir", dir, "--enable-debug-command", "yes"];
        all.extend_from_slice(options);
        let server = Server::start(program, &all);
        wait_until("the end of loading", || {
            (server.client().shown("PING") == "PONG").then_some(())
        });
        server
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Values of every type and form that all servers know, with and without expiry, in two databases.
pub(crate) fn fill(client: &mut Client) {
    for line in [
        "SET text hello",
        "SET number 12345",
        "SET empty ''",
        "SETEX expires 10000 soon",
        "RPUSH list a b 1 2 -7 70000",
        "SADD ints 1 2 3 100000",
        "SADD words a b c 12",
        "HSET hash f v g 12",
        "ZADD zset 1 a 2.5 b -inf c",
        "XADD stream 1-1 f v g w",
        "XADD stream 2-1 f v",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
        "SETBIT bits 1000 1",
        "PFADD sketch a b c d",
        "GEOADD places 13.361389 38.115556 Palermo",
        "SELECT 5",
        "SET elsewhere x",
        "SELECT 0",
    ] {
        let shown = client.shown(line);
        assert!(!shown.starts_with("(err)"), "{line}: {shown}");
    }
    let library = "#!lua name=lib\nredis.register_function('one', function() return 1 end)";
    assert_eq!(client.cmd(&["FUNCTION", "LOAD", library]), Value::Bulk(b"lib".to_vec()));
    client.cmd(&["SET", "large", &"x".repeat(100_000)]);
    client.cmd(&["RPUSH", "longlist", &"y".repeat(10_000), "z"]);
    for n in 0..2000 {
        let name = format!("element:{n}");
        client.cmd(&["RPUSH", "biglist", &name]);
        client.cmd(&["SADD", "bigset", &name]);
        client.cmd(&["HSET", "bighash", &name, &name]);
        client.cmd(&["ZADD", "bigzset", &n.to_string(), &name]);
    }
}

pub(crate) fn digest(client: &mut Client) -> Value {
    client.cmd(&["DEBUG", "DIGEST"])
}

/// Ends a server without a snapshot.
pub(crate) fn stop(mut server: Server) {
    server.client().send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.await_exit(), Some(0), "the server ends");
}

fn is_there(program: &Program) -> bool {
    let there = program.find().is_some();
    if !there {
        println!("not compared: {} is not installed (see PEERS_DIR)", program.name());
    }
    there
}

/// The formats, how their files begin, and who loads them.
fn formats() -> [(&'static str, &'static [u8], Vec<Program>); 4] {
    let (seven, eight, valkey) = (Program::Redis7, Program::Redis8, Program::Valkey9);
    [
        ("redis-7.0", b"REDIS0010", vec![seven, eight.clone(), valkey.clone()]),
        ("redis-7.2", b"REDIS0011", vec![eight.clone(), valkey.clone()]),
        ("redis-8", b"REDIS0012", vec![eight]),
        ("valkey-9", b"VALKEY080", vec![valkey]),
    ]
}

#[test]
fn files_are_loaded_by_those_they_are_for() {
    for (format, magic, programs) in formats() {
        let folder = Folder::new(&format!("format-{format}"));
        // Whatever `compat` says.
        let server = folder.ochre(&["--compat", "redis-8", "--save-format", format]);
        let mut client = server.client();
        fill(&mut client);
        let expected = digest(&mut client);
        assert_eq!(client.shown("SAVE"), "OK", "{format}");
        stop(server);
        let file = folder.path().join("dump.rdb");
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(&bytes[..9], magic, "{format}");
        for program in programs.iter().filter(|program| is_there(program)) {
            let theirs = folder.run(program, &[]);
            let mut client = theirs.client();
            assert_eq!(digest(&mut client), expected, "{} reads {format}", program.name());
            assert_eq!(client.integer("FCALL one 0"), 1, "{} reads {format}", program.name());
            let pending = "[(int) 1, \"1-1\", \"1-1\", [[\"me\", \"1\"]]]";
            assert_eq!(client.shown("XPENDING stream group"), pending);
            client.send(&["SHUTDOWN", "NOSAVE"]);
        }
        // And by us.
        std::fs::write(&file, bytes).unwrap();
        let ours = folder.ochre(&[]);
        assert_eq!(digest(&mut ours.client()), expected, "we read {format}");
    }
}

/// A base of the append-only file in the format of another server, with what follows it.
#[test]
fn append_only_files_move_to_redis_7() {
    let folder = Folder::new("format-aof");
    let options = ["--appendonly", "yes", "--save-format", "redis-7.0"];
    let server = folder.ochre(&options);
    let mut client = server.client();
    fill(&mut client);
    client.cmd(&["BGREWRITEAOF"]);
    wait_until("the end of the rewrite", || {
        (client.info("persistence", "aof_rewrites") == "1").then_some(())
    });
    client.cmd(&["SET", "late", "x"]);
    let expected = digest(&mut client);
    stop(server);
    let theirs = folder.run(&Program::Redis7, &["--appendonly", "yes"]);
    assert_eq!(digest(&mut theirs.client()), expected);
}

#[test]
fn what_a_format_lacks_is_refused_and_not_lost() {
    let folder = Folder::new("format-refused");
    let server = folder.ochre(&["--save-format", "redis-7.2", "--hash-max-listpack-entries", "10"]);
    let mut client = server.client();
    client.cmd(&["SET", "plain", "x"]);
    assert_eq!(client.shown("SAVE"), "OK");
    let file = folder.path().join("dump.rdb");
    let before = std::fs::read(&file).unwrap();
    let large: Vec<String> = (0..5000).map(|n| format!("field:{n}")).collect();
    let mut hset = vec!["HSET", "many"];
    large.iter().for_each(|field| hset.extend([field.as_str(), "v"]));
    // In the entry, in a table, in parts; and a sketch.
    let cases: [(&[&[&str]], &str); 3] = [
        (
            &[&["HSET", "few", "f", "v"], &["HEXPIRE", "few", "1000", "FIELDS", "1", "f"]],
            "'few' of type hash with fields that expire",
        ),
        (
            &[&hset, &["HEXPIRE", "many", "1000", "FIELDS", "1", "field:7"]],
            "'many' of type hash with fields that expire",
        ),
        (&[&["BF.ADD", "bloom", "x"]], "'bloom' of type MBbloom--"),
    ];
    for (commands, what) in cases {
        for command in commands {
            let reply = client.cmd(command);
            assert!(!matches!(reply, Value::Error(_)), "{what}: {reply:?}");
        }
        assert_eq!(client.cmd(&["SAVE"]), Value::Error(b"ERR".to_vec()), "{what}");
        let wanted = format!("save-format redis-7.2 has no form for key {what}");
        assert!(server.log().contains(&wanted), "{wanted}");
        assert_eq!(std::fs::read(&file).unwrap().len(), before.len(), "the old file stays: {what}");
        assert_eq!(client.shown("BGSAVE"), "Background saving started");
        wait_until("a failed snapshot", || {
            (client.info("persistence", "rdb_last_bgsave_status") == "err"
                && client.info("persistence", "rdb_bgsave_in_progress") == "0")
                .then_some(())
        });
        // The refused save changed nothing of the file, and the next one is not held up.
        client.cmd(&["DEL", "few", "many", "bloom"]);
        assert_eq!(client.shown("SAVE"), "OK", "{what}");
        assert_eq!(client.info("persistence", "rdb_last_bgsave_status"), "ok");
    }
    // A format that has it, and the default, write it.
    client.cmd(&["HSET", "few", "f", "v"]);
    client.cmd(&["HEXPIRE", "few", "1000", "FIELDS", "1", "f"]);
    for format in ["redis-8", "valkey-9", "auto"] {
        assert_eq!(client.shown(&format!("CONFIG SET save-format {format}")), "OK");
        assert_eq!(client.shown("SAVE"), "OK", "{format}");
    }
    assert!(client.shown("CONFIG SET save-format redis-6").starts_with("(err)"));
}

/// Fields that expire, in the formats that have them.
#[test]
fn fields_that_expire_arrive() {
    for (format, program) in [("redis-8", Program::Redis8), ("valkey-9", Program::Valkey9)] {
        if !is_there(&program) {
            continue;
        }
        let folder = Folder::new(&format!("format-fields-{format}"));
        let server = folder.ochre(&["--save-format", format]);
        let mut client = server.client();
        client.cmd(&["HSET", "h", "f", "v", "g", "w"]);
        client.cmd(&["HPEXPIREAT", "h", "4000000000123", "FIELDS", "1", "f"]);
        assert_eq!(client.shown("SAVE"), "OK");
        stop(server);
        let theirs = folder.run(&program, &[]);
        let mut client = theirs.client();
        assert_eq!(client.integer("HLEN h"), 2);
        let times = client.cmd(&["HPEXPIRETIME", "h", "FIELDS", "2", "f", "g"]);
        assert_eq!(
            times,
            Value::Array(vec![Value::Integer(4_000_000_000_123), Value::Integer(-1)])
        );
        client.send(&["SHUTDOWN", "NOSAVE"]);
    }
}

/// A replica gets what it can load, whatever the files are written as.
#[test]
fn replicas_do_not_depend_on_it() {
    let folder = Folder::new("format-replica");
    let primary = folder.ochre(&["--save-format", "redis-7.0"]);
    let mut client = primary.client();
    client.cmd(&["HSET", "h", "f", "v"]);
    client.cmd(&["HPEXPIREAT", "h", "4000000000123", "FIELDS", "1", "f"]);
    client.cmd(&["BF.ADD", "bloom", "x"]);
    let replica = Server::ochre(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let mut reader = replica.client();
    wait_until("the replica's data", || {
        (reader.shown("BF.EXISTS bloom x") == "(int) 1"
            && reader.cmd(&["HPEXPIRETIME", "h", "FIELDS", "1", "f"])
                == Value::Array(vec![Value::Integer(4_000_000_000_123)]))
        .then_some(())
    });
}
