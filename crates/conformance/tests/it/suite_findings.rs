//! What a run of the peers' own test suite in place of their server found, told in our own words: logs and files
//! that others read, roles that change inside transactions, and switches that act while something is under way.

use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Server, Value};

const DEBUG: [&str; 2] = ["--enable-debug-command", "yes"];

fn server(options: &[&str]) -> Server {
    Server::ochre(&[&DEBUG, options].concat())
}

fn loaded(server: &Server) -> Client {
    let mut client = server.client();
    wait_until("the server to be loaded", || {
        (text(&client.cmd(&["PING"])) == "PONG").then_some(())
    });
    client
}

fn text(value: &Value) -> String {
    match value {
        Value::Bulk(text) | Value::Status(text) | Value::Error(text) => {
            String::from_utf8_lossy(text).into_owned()
        }
        Value::Array(values) | Value::Push(values) => {
            values.iter().map(text).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    }
}

fn cmd(client: &mut Client, words: &[&str]) -> String {
    text(&client.cmd(words))
}

/// Who starts a server and reads its log looks for the process in it.
#[test]
fn the_logo_tells_port_and_process() {
    let server = server(&["--always-show-logo", "yes"]);
    let log = server.log();
    assert!(log.contains(&format!(" PID: {}", server.pid())), "{log}");
    assert!(log.contains(&format!(" Port: {}", server.port())), "{log}");
}

/// A payload that is refused leaves a line in the log; one whose checksum is wrong is looked into on demand.
#[test]
fn a_refused_payload_is_logged() {
    let server = server(&[]);
    let mut client = server.client();
    // A quicklist of one node, which is a ziplist of garbage; version 9, no checksum.
    let payload: &[u8] = b"\x0E\x01\x04AAAA\x09\x00\0\0\0\0\0\0\0\0";
    let restore: [&[u8]; 4] = [b"RESTORE", b"k", b"0", payload];
    assert!(text(&client.cmd(&restore)).contains("version or checksum"));
    assert_eq!(cmd(&mut client, &["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"]), "OK");
    assert_eq!(text(&client.cmd(&restore)), "ERR Bad data format");
    assert!(server.log().contains("Quicklist ziplist integrity check failed"), "{}", server.log());
    // Too short, or of a version that is not known.
    for broken in [&b"\x00\x01"[..], b"\x00\x01a\xFF\xFF\0\0\0\0\0\0\0\0"] {
        let reply = text(&client.cmd(&[&b"RESTORE"[..], b"k", b"0", broken]));
        assert!(reply.contains("version or checksum"), "{reply}");
    }
    assert_eq!(cmd(&mut client, &["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "0"]), "OK");
    assert!(text(&client.cmd(&restore)).contains("version or checksum"));
}

fn aof_folder(server: &Server) -> std::path::PathBuf {
    server.dir().join("appendonlydir")
}

/// The process ended after it had named the old file in its first manifest, and before it had moved it.
#[test]
fn an_interrupted_migration_of_an_old_append_only_file_goes_on() {
    let folder = std::env::temp_dir().join(format!("ochre-take-over-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(folder.join("appendonlydir")).unwrap();
    std::fs::write(folder.join("appendonly.aof"), "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n")
        .unwrap();
    let manifest = folder.join("appendonlydir/appendonly.aof.manifest");
    std::fs::write(&manifest, "file appendonly.aof seq 1 type b\n").unwrap();
    let server = server(&["--appendonly", "yes", "--dir", folder.to_str().unwrap()]);
    assert_eq!(cmd(&mut loaded(&server), &["GET", "k"]), "v");
    assert!(!folder.join("appendonly.aof").exists());
    assert!(folder.join("appendonlydir/appendonly.aof").exists());
    drop(server);
    drop(std::fs::remove_dir_all(&folder));
}

/// A name that needs quoting in the manifest is found again.
#[test]
fn a_file_name_with_line_ends_survives_a_restart() {
    let folder = std::env::temp_dir().join(format!("ochre-odd-name-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(&folder).unwrap();
    let options = [
        "--appendonly",
        "yes",
        "--appendfilename",
        " a\nb \t'.aof",
        "--dir",
        folder.to_str().unwrap(),
    ];
    let mut first = server(&options);
    assert_eq!(cmd(&mut first.client(), &["SET", "k", "v"]), "OK");
    first.kill();
    drop(first);
    let second = server(&options);
    assert_eq!(cmd(&mut loaded(&second), &["GET", "k"]), "v");
    drop(second);
    drop(std::fs::remove_dir_all(&folder));
}

/// Writes a manifest and starts a server on it, which must refuse it and say why.
fn refused_manifest(manifest: &str) -> String {
    let folder = std::env::temp_dir().join(format!(
        "ochre-manifest-{}-{:x}",
        std::process::id(),
        manifest
            .bytes()
            .fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)))
    ));
    drop(std::fs::remove_dir_all(&folder));
    std::fs::create_dir_all(folder.join("appendonlydir")).unwrap();
    std::fs::write(folder.join("appendonlydir/appendonly.aof.manifest"), manifest).unwrap();
    let log = folder.join("log");
    let program = ochre_testkit::Program::Ochre.find().unwrap();
    let status = std::process::Command::new(program)
        .args([
            "--port",
            "0",
            "--unixsocket",
            folder.join("socket").to_str().unwrap(),
            "--appendonly",
            "yes",
            "--dir",
            folder.to_str().unwrap(),
            "--logfile",
        ])
        .arg(&log)
        .status()
        .unwrap();
    assert!(!status.success());
    let text = std::fs::read_to_string(&log).unwrap();
    drop(std::fs::remove_dir_all(&folder));
    text
}

#[test]
fn a_damaged_manifest_is_refused_in_the_peers_words() {
    for (manifest, words) in [
        ("", "Found an empty AOF manifest"),
        ("file a seq 1 type i\n\nfile b seq 2 type i\n", "Invalid AOF manifest file format"),
        ("file a seq 1 type x\n", "Unknown AOF file type"),
        ("file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information"),
        ("file a seq 2 type i\nfile b seq 1 type i\n", "Found a non-monotonic sequence number"),
    ] {
        let log = refused_manifest(manifest);
        assert!(log.contains(words), "{manifest:?}: {log}");
    }
}

/// BGREWRITEAOF while `appendonly` is off writes a base and switches nothing on; DEBUG LOADAOF reads it.
#[test]
fn a_rewrite_leaves_the_append_only_file_off() {
    let server = server(&["--appendonly", "no", "--save", ""]);
    let mut client = server.client();
    client.cmd(&["SET", "k", "v"]);
    client.cmd(&["BGREWRITEAOF"]);
    wait_until("the rewrite", || {
        let log = server.log();
        assert!(!log.contains("AOF rewrite failed"), "{log}");
        log.contains("Background AOF rewrite finished successfully").then_some(())
    });
    assert_eq!(client.info("persistence", "aof_enabled"), "0");
    let manifest =
        std::fs::read_to_string(aof_folder(&server).join("appendonly.aof.manifest")).unwrap();
    assert_eq!(manifest, "file appendonly.aof.1.base.rdb seq 1 type b\n");
    client.cmd(&["SET", "later", "v"]);
    assert_eq!(cmd(&mut client, &["DEBUG", "LOADAOF"]), "OK");
    assert_eq!(client.shown("EXISTS k later"), client.shown("EXISTS k"));
    // Switched on, it goes on from there, and a rewrite under way ends when it is switched off again.
    assert_eq!(cmd(&mut client, &["CONFIG", "SET", "appendonly", "yes"]), "OK");
    wait_until("the first rewrite", || {
        (client.info("persistence", "aof_rewrite_in_progress") == "0").then_some(())
    });
    assert_eq!(client.info("persistence", "aof_enabled"), "1");
    assert_eq!(cmd(&mut client, &["CONFIG", "SET", "rdb-key-save-delay", "10000000"]), "OK");
    client.cmd(&["BGREWRITEAOF"]);
    assert_eq!(client.info("persistence", "aof_rewrite_in_progress"), "1");
    assert_eq!(cmd(&mut client, &["CONFIG", "SET", "appendonly", "no"]), "OK");
    wait_until("the rewrite to be given up", || {
        (client.info("persistence", "aof_rewrite_in_progress") == "0").then_some(())
    });
}

/// A snapshot of what was flushed is of no use, and the file is not left with what is gone.
#[test]
fn flushall_gives_a_snapshot_in_the_background_up() {
    let server = server(&["--save", "3600 1000000"]);
    let mut client = server.client();
    client.cmd(&["DEBUG", "POPULATE", "100"]);
    assert_eq!(cmd(&mut client, &["SAVE"]), "OK");
    let full = std::fs::metadata(server.dir().join("dump.rdb")).unwrap().len();
    client.cmd(&["SET", "k", "v"]);
    assert_eq!(cmd(&mut client, &["CONFIG", "SET", "rdb-key-save-delay", "1000000"]), "OK");
    client.cmd(&["BGSAVE"]);
    assert_eq!(client.info("persistence", "rdb_bgsave_in_progress"), "1");
    assert_eq!(cmd(&mut client, &["FLUSHALL"]), "OK");
    wait_until("a file without keys", || {
        let now = std::fs::metadata(server.dir().join("dump.rdb")).unwrap().len();
        (now < full / 2).then_some(())
    });
}

/// A role may change in the middle of a transaction on keys; what comes behind it sees the new one.
#[test]
fn replicaof_in_a_transaction_with_keys() {
    let server = server(&[]);
    let mut client = server.client();
    for line in ["MULTI", "SET k v", "REPLICAOF 127.0.0.1 1", "ROLE", "GET k"] {
        client.line(line);
    }
    let Value::Array(replies) = client.cmd(&["EXEC"]) else { panic!("no array") };
    assert_eq!(text(&replies[1]), "OK");
    let Value::Array(role) = &replies[2] else { panic!("{:?}", replies[2]) };
    assert_eq!(text(&role[0]), "slave");
    assert_eq!(text(&replies[3]), "v");
    assert!(cmd(&mut client, &["SET", "k", "w"]).starts_with("READONLY"));
    for line in ["MULTI", "GET k", "REPLICAOF NO ONE", "ROLE"] {
        client.line(line);
    }
    let Value::Array(replies) = client.cmd(&["EXEC"]) else { panic!("no array") };
    assert_eq!(text(&replies[1]), "OK");
    assert!(text(&replies[2]).starts_with("master"));
    assert_eq!(cmd(&mut client, &["SET", "k", "w"]), "OK");
}

/// What was queued before a replica became stale does not run after.
#[test]
fn a_stale_replica_refuses_transactions_and_what_scripts_read() {
    let server = server(&["--replica-serve-stale-data", "no"]);
    let (mut client, mut other) = (server.client(), server.client());
    let library = "#!lua name=l\nredis.register_function{function_name='f', \
                   callback=function(keys) return redis.call('get', keys[1]) end, \
                   flags={'no-writes', 'allow-stale'}}";
    assert_eq!(cmd(&mut client, &["FUNCTION", "LOAD", library]), "l");
    client.cmd(&["SET", "k", "v"]);
    client.cmd(&["MULTI"]);
    client.cmd(&["GET", "k"]);
    assert_eq!(cmd(&mut other, &["REPLICAOF", "127.0.0.1", "1"]), "OK");
    let reply = cmd(&mut client, &["EXEC"]);
    assert!(reply.starts_with("EXECABORT") && reply.contains("MASTERDOWN"), "{reply}");
    let reply = cmd(&mut client, &["FCALL", "f", "1", "k"]);
    assert!(reply.contains("Can not execute the command on a stale replica"), "{reply}");
    client.cmd(&["MULTI"]);
    client.cmd(&["INFO", "replication"]);
    assert!(matches!(client.cmd(&["EXEC"]), Value::Array(_)));
}

/// The password of a target may change while a connection to it is kept; nobody sees it in MONITOR or the slow log.
#[test]
fn migrate_logs_in_each_time_and_keeps_passwords_to_itself() {
    let (source, target) =
        (server(&["--slowlog-log-slower-than", "0"]), server(&["--requirepass", "first"]));
    let mut client = source.client();
    let mut monitor = source.client();
    monitor.cmd(&["MONITOR"]);
    let port = target.port().to_string();
    let migrate = |client: &mut Client, login: &[&str]| {
        client.cmd(&["SET", "k", "v"]);
        let words = ["MIGRATE", "127.0.0.1", &port, "k", "0", "5000", "REPLACE"];
        cmd(client, &[&words, login].concat())
    };
    assert_eq!(migrate(&mut client, &["AUTH", "first"]), "OK");
    let mut admin = target.client();
    admin.cmd(&["AUTH", "first"]);
    assert_eq!(cmd(&mut admin, &["CONFIG", "SET", "requirepass", "second"]), "OK");
    let refused = migrate(&mut client, &["AUTH", "first"]);
    assert!(refused.contains("WRONGPASS"), "{refused}");
    assert_eq!(migrate(&mut client, &["AUTH2", "default", "second"]), "OK");
    client.cmd(&["PING", "last"]);
    let mut seen = String::new();
    while !seen.contains("\"last\"") {
        seen.push_str(&text(&monitor.reply()));
    }
    let log = client.shown("SLOWLOG GET 100");
    for shown in [seen, log] {
        assert!(shown.contains("(redacted)"), "{shown}");
        assert!(!shown.contains("first") && !shown.contains("second"), "{shown}");
    }
}

/// Redis 7.0 takes all keys that a script declares for read; later ones, those that it read. Never fewer.
#[test]
fn a_script_that_reads_registers_its_keys() {
    for (compat, told) in [("redis-7.0", true), ("redis-7.2", false)] {
        let server = server(&["--compat", compat]);
        let (mut client, mut other) = (server.client(), server.client());
        client.cmd(&["HELLO", "3"]);
        client.cmd(&["CLIENT", "TRACKING", "on"]);
        client.cmd(&["EVAL", "return redis.call('get', KEYS[1])", "2", "read", "named"]);
        other.cmd(&["SET", "read", "1"]);
        other.cmd(&["SET", "named", "1"]);
        // Invalidations come before the answer to what is sent after them.
        client.send(&["ECHO", "end"]);
        let mut heard = String::new();
        while !heard.ends_with("end") {
            heard.push_str(&text(&client.reply()));
        }
        assert!(heard.contains("read"), "{compat}: {heard}");
        assert_eq!(heard.contains("named"), told, "{compat}: {heard}");
        // Flushing forgets the registrations of clients that do not track any more.
        client.cmd(&["GET", "read"]);
        client.cmd(&["CLIENT", "TRACKING", "off"]);
        other.cmd(&["FLUSHALL"]);
        assert_eq!(other.info("stats", "tracking_total_keys"), "0");
    }
}

/// The last STORE counts, for the key search as for the command; no other word hides it from the users' rules.
#[test]
fn the_store_of_sort_is_the_one_that_is_checked() {
    let server = server(&[]);
    let mut client = server.client();
    client.cmd(&["RPUSH", "l", "3", "1"]);
    let keys = cmd(&mut client, &["COMMAND", "GETKEYS", "SORT", "l", "STORE", "a", "STORE", "b"]);
    assert_eq!(keys, "l b");
    client.line("ACL SETUSER limited on nopass +@all %R~* %W~ok");
    client.line("AUTH limited x");
    assert_eq!(client.integer("SORT l STORE ok"), 2);
    assert_eq!(client.integer("SORT l STORE other STORE ok"), 2);
    for hidden in ["SORT l STORE ok STORE other", "SORT l BY store STORE other"] {
        assert!(client.shown(hidden).contains("NOPERM"), "{hidden}");
    }
    // The key search takes the pattern for the keyword.
    let hidden = "SORT l STORE other GET store ASC";
    assert!(matches!(client.line(hidden), Value::Error(_)));
    client.line("AUTH default x");
    assert_eq!(client.line(hidden), Value::Error(b"ERR syntax error".to_vec()));
    assert_eq!(client.integer("EXISTS other"), 0);
}
