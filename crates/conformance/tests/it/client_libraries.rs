//! Real client libraries in ordinary use: redis-py, ioredis, node-redis, redis-rs; and what is built on them:
//! BullMQ, Celery, RQ.
//!
//! The scripts are in `clients/`, with their versions pinned. They are installed once under
//! `target/clients` by pip and npm (and so is the S3 server that backups are tested against); that the registries, Python or Node.js are missing is a failure
//! with a message, never a silent pass.

use crate::sentinel::watch::{Kind, Watcher, watch};
use ochre_testkit::Server;
use redis::{Commands, ConnectionLike, ErrorKind, Value};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// The folder that the libraries are installed into.
fn installed(name: &str) -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let target = exe.ancestors().find(|dir| dir.file_name().is_some_and(|n| n == "target"));
    let dir = target.unwrap_or(Path::new("target")).join("clients").join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

/// Runs `install` unless the folder holds what the file `pinned` says; one process at a time.
fn install_once(dir: &Path, pinned: &Path, install: impl FnOnce()) {
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    let wanted = fs::read(pinned).unwrap();
    let stamp = dir.join("installed");
    if fs::read(&stamp).ok().as_ref() != Some(&wanted) {
        install();
        fs::write(stamp, wanted).unwrap();
    }
}

fn run(command: &mut Command) {
    let what = format!("{command:?}");
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "{what}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) => panic!("{what}: {error}"),
    }
}

fn python(script: &str) {
    let server = Server::ochre(&["--io-threads", "2"]);
    python_with(script, &[server.port()]);
}

/// The programs of an environment of Python with the packages of a file, which are installed if need be.
pub(crate) fn python_programs(name: &str, requirements: &str) -> PathBuf {
    let (dir, pinned) = (installed(name), scripts().join(requirements));
    install_once(&dir, &pinned, || {
        run(Command::new("python3").args(["-m", "venv"]).arg(dir.join("venv")));
        let pip = dir.join("venv/bin/pip");
        run(Command::new(pip)
            .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
            .arg(&pinned));
    });
    dir.join("venv/bin")
}

/// Runs a script with the ports that it is to use.
fn python_with(script: &str, ports: &[u16]) {
    run(Command::new(python_programs("python", "requirements.txt").join("python"))
        .arg(scripts().join(script))
        .args(ports.iter().map(u16::to_string))
        // Else they would be left among the sources.
        .env("PYTHONDONTWRITEBYTECODE", "1"));
}

#[test]
fn redis_py() {
    python("redis_py.py");
}

#[test]
fn celery() {
    python("celery_app.py");
}

#[test]
fn rq() {
    python("rq_jobs.py");
}

fn node(script: &str) {
    let server = Server::ochre(&["--io-threads", "2"]);
    node_with(script, &[server.port()]);
}

/// Runs a script with the ports that it is to use.
fn node_with(script: &str, ports: &[u16]) {
    let (dir, pinned) = (installed("node"), scripts().join("package-lock.json"));
    install_once(&dir, &pinned, || {
        for file in ["package.json", "package-lock.json"] {
            fs::copy(scripts().join(file), dir.join(file)).unwrap();
        }
        // Versions are those of the lock file. Not `npm ci`: optional parts that are compiled are left out, and
        // it would miss them.
        let options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts"];
        run(Command::new("npm")
            .args(["install", "--omit=optional"])
            .args(options)
            .current_dir(&dir));
    });
    // Modules are looked up beside the script.
    fs::copy(scripts().join(script), dir.join(script)).unwrap();
    let ports = ports.iter().map(u16::to_string);
    run(Command::new("node").arg(dir.join(script)).args(ports));
}

/// Three servers and three sentinels; `body` gets the sentinels' ports.
fn with_sentinels(body: impl FnOnce(&[u16])) {
    let servers = crate::sentinel::three(&ochre_testkit::Program::Ochre);
    let watch = |_| watch(Kind::Ochre, servers[0].port(), 2);
    let watchers: Vec<Watcher> = (0..3).map(watch).collect();
    crate::sentinel::settled(&watchers);
    let ports: Vec<u16> = watchers.iter().map(Watcher::port).collect();
    body(&ports);
}

#[test]
fn redis_py_sentinel() {
    with_sentinels(|ports| python_with("redis_py_sentinel.py", ports));
}

#[test]
fn ioredis_sentinel() {
    with_sentinels(|ports| node_with("ioredis_sentinel.mjs", ports));
}

#[test]
fn ioredis() {
    node("ioredis.mjs");
}

#[test]
fn node_redis() {
    node("node_redis.mjs");
}

#[test]
fn bullmq() {
    node("bullmq.mjs");
}

#[test]
fn redis_rs() {
    let server = Server::ochre(&["--io-threads", "2"]);
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://127.0.0.1:{}/?protocol={protocol}", server.port());
        let client = redis::Client::open(url).unwrap();
        let mut con = client.get_connection().unwrap();
        redis::cmd("FLUSHALL").exec(&mut con).unwrap();
        strings_and_collections(&mut con).unwrap();
        pipelines_and_transactions(&client, &mut con).unwrap();
        blocking(&client, &mut con).unwrap();
    }
}

fn strings_and_collections(con: &mut redis::Connection) -> redis::RedisResult<()> {
    let () = con.set("k", "v")?;
    assert_eq!(con.get::<_, String>("k")?, "v");
    assert_eq!(con.get::<_, Option<String>>("none")?, None);
    let () = con.set_ex("t", 1, 100)?;
    assert!(con.ttl::<_, i64>("t")? > 97);
    assert_eq!(con.incr::<_, _, i64>("n", 42)?, 42);
    assert_eq!(con.mget::<_, Vec<Option<String>>>(&["k", "none"])?, [Some("v".into()), None]);
    let all: Vec<u8> = (0..=255).collect();
    let () = con.set("bin", &all)?;
    assert_eq!(con.get::<_, Vec<u8>>("bin")?, all);

    let () = con.hset_multiple("h", &[("a", "1"), ("b", "two")])?;
    let map: std::collections::BTreeMap<String, String> = con.hgetall("h")?;
    assert_eq!(map.len(), 2);
    assert_eq!(con.rpush::<_, _, i64>("l", &["a", "b", "c"])?, 3);
    assert_eq!(con.lrange::<_, Vec<String>>("l", 0, -1)?, ["a", "b", "c"]);
    let () = con.sadd("s", &["a", "b"])?;
    let members: std::collections::BTreeSet<String> = con.smembers("s")?;
    assert!(members.contains("a") && con.sismember("s", "b")?);
    let () = con.zadd_multiple("z", &[(1.0, "a"), (2.5, "b")])?;
    let pairs: Vec<(String, f64)> = con.zrange_withscores("z", 0, -1)?;
    assert_eq!(pairs, [("a".into(), 1.0), ("b".into(), 2.5)]);
    assert_eq!(con.zscore::<_, _, Option<f64>>("z", "none")?, None);

    let error = con.lpush::<_, _, i64>("k", 1).unwrap_err();
    assert_eq!(error.code(), Some("WRONGTYPE"), "{error}");
    assert_ne!(error.kind(), ErrorKind::Io);
    Ok(())
}

fn pipelines_and_transactions(
    client: &redis::Client,
    con: &mut redis::Connection,
) -> redis::RedisResult<()> {
    let mut pipe = redis::pipe();
    (0..1000).for_each(|i| {
        pipe.set(format!("p{i}"), i).ignore();
    });
    pipe.get("p7");
    assert_eq!(pipe.query::<(i64,)>(con)?, (7,));
    let (old, new): (i64, i64) = redis::pipe().atomic().get("p1").incr("p1", 1).query(con)?;
    assert_eq!((old, new), (1, 2));
    // The first attempt is spoiled by another client, the second one succeeds.
    let mut attempts = 0;
    let mut other = client.get_connection()?;
    let (value,): (i64,) = redis::transaction(con, &["p2"], |con, pipe| {
        let seen: i64 = con.get("p2")?;
        attempts += 1;
        if attempts == 1 {
            let () = other.set("p2", 100)?;
        }
        pipe.set("p2", seen + 1).ignore().get("p2").query(con)
    })?;
    assert_eq!((attempts, value), (2, 101));
    let keys: Vec<String> = con.scan_match("p*")?.collect::<redis::RedisResult<_>>()?;
    let distinct: std::collections::BTreeSet<_> = keys.into_iter().collect();
    assert_eq!(distinct.len(), 1000);
    Ok(())
}

fn blocking(client: &redis::Client, con: &mut redis::Connection) -> redis::RedisResult<()> {
    assert_eq!(con.blpop::<_, Option<(String, String)>>("none", 0.05)?, None);
    let mut waiter = client.get_connection()?;
    std::thread::scope(|scope| {
        let handle = std::thread::Builder::new()
            .name("waiter".into())
            .spawn_scoped(scope, move || waiter.blpop::<_, (String, String)>("jobs", 20.0))
            .unwrap();
        let () = con.rpush("jobs", "one").unwrap();
        assert_eq!(handle.join().unwrap().unwrap(), ("jobs".into(), "one".into()));
    });
    assert!(matches!(con.req_command(&redis::cmd("PING"))?, Value::SimpleString(_)));
    Ok(())
}
