//! The tools that check files, as programs: under their own names and as options of the server, on our files and
//! on the peers': R4.4.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ochre_testkit::{Program, Server};

/// Runs a program; its exit code and what it printed.
fn run(program: &Path, args: &[&str], input: &str) -> (i32, String) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // One that reads no answer may have ended.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn ochre() -> PathBuf {
    Program::Ochre.find().unwrap()
}

/// A server with some data, saved, and a file of appended commands.
fn with_data(program: &Program) -> Server {
    let server = Server::start(program, &["--appendonly", "yes"]);
    let mut client = server.client();
    for line in ["SET a 1", "SETEX b 1000 2", "RPUSH l 1 2 3", "SAVE"] {
        assert!(!client.shown(line).starts_with("(err)"), "{line}");
    }
    server
}

#[test]
fn files_of_all_families_are_good() {
    for program in [Program::Ochre, Program::Redis7, Program::Valkey9, Program::Redis8] {
        if program.find().is_none() {
            println!("not checked: {} is not installed (see PEERS_DIR)", program.name());
            continue;
        }
        let server = with_data(&program);
        let dump = server.dir().join("dump.rdb");
        let (code, text) = run(&ochre(), &["--check-rdb", dump.to_str().unwrap()], "");
        assert_eq!(code, 0, "{}: {text}", program.name());
        for line in ["RDB looks OK!", "Checksum OK", "[info] 3 keys read", "[info] 1 expires"] {
            assert!(text.contains(line), "{}: {line}\n{text}", program.name());
        }
        let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
        let (code, text) = run(&ochre(), &["--check-aof", manifest.to_str().unwrap()], "");
        assert_eq!(code, 0, "{}: {text}", program.name());
        assert!(text.contains("All AOF files and manifest are valid"), "{text}");
    }
}

#[test]
fn the_tools_have_names_of_their_own() {
    let mut server = with_data(&Program::Ochre);
    server.kill();
    let (rdb, aof) = (server.dir().join("ochre-check-rdb"), server.dir().join("ochre-check-aof"));
    symlink(ochre(), &rdb).unwrap();
    symlink(ochre(), &aof).unwrap();
    let dump = server.dir().join("dump.rdb");
    let dump = dump.to_str().unwrap();
    assert_eq!(run(&rdb, &[dump], "").0, 0);
    assert!(run(&rdb, &[], "").1.starts_with("Usage: ochre-check-rdb"));
    let whole = std::fs::read(dump).unwrap();
    std::fs::write(dump, &whole[..whole.len() - 12]).unwrap();
    let (code, text) = run(&rdb, &[dump], "");
    assert_eq!(code, 1);
    assert!(text.contains("--- RDB ERROR DETECTED ---"), "{text}");

    let increment = server.dir().join("appendonlydir/appendonly.aof.1.incr.aof");
    let manifest = server.dir().join("appendonlydir/appendonly.aof.manifest");
    let manifest = manifest.to_str().unwrap();
    let whole = std::fs::read(&increment).unwrap();
    std::fs::write(&increment, &whole[..whole.len() - 3]).unwrap();
    assert_eq!(run(&aof, &[manifest], "").0, 1);
    let (code, text) = run(&aof, &["--fix", manifest], "n\n");
    assert!(code == 1 && text.contains("Continue? [y/N]: "), "{text}");
    let (code, text) = run(&aof, &["--fix", manifest], "y\n");
    assert!(code == 0 && text.contains("Successfully truncated AOF"), "{text}");
    assert_eq!(run(&aof, &[manifest], "").0, 0);
    // What was cut off is gone, the rest is there.
    let dir = server.dir().to_str().unwrap();
    let again = Server::ochre(&["--dir", dir, "--appendonly", "yes"]);
    let mut client = again.client();
    while client.shown("PING") != "PONG" {}
    assert_eq!(client.shown("GET a"), "\"1\"");
    assert_eq!(client.shown("EXISTS l"), "(int) 0");
}
