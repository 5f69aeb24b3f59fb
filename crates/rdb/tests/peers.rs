//! Files of real servers, read and written again, and loaded by the server that wrote them: R4.1.
//!
//! Redis 7.0 is needed; the newer ones are compared with where they are installed.

#![expect(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::fs::{self, File};

use ochre_rdb::{
    Dialect, Family, IoSink, Item, LoadedValue, RdbReader, RdbWriter, ReadOptions, ValueRef,
};
use ochre_testkit::{Client, Program, Server};

/// Fills databases 0, 3 and 9 with values of all types, with expiries and with functions.
fn fill(client: &mut Client, newer: bool) {
    let mut run = |line: &str| {
        let reply = client.line(line);
        assert!(reply.error().is_none(), "{line}: {reply:?}");
    };
    for db in [0, 3, 9] {
        run(&format!("SELECT {db}"));
        for n in 0..300 {
            run(&format!("SET s:{n} {n}"));
            run(&format!("SET t:{n} text{n}text{n}text{n}text{n} PX {}", 10_000_000 + n));
        }
        run("SET same <a*100000>");
        for n in 0..200 {
            run(&format!("RPUSH list <b*{n}> {n}"));
            run(&format!("RPUSH short {}", n % 9));
            run(&format!("SADD ints {}", n * 70_000));
            run(&format!("SADD texts {n} m{n}"));
            run(&format!("ZADD zset {n}.5 m{n} -{n} {n}"));
            run(&format!("HSET hash f{n} <v*{n}> {n} {n}"));
            run(&format!("XADD stream 1700000000000-{} field {n} other <o*{n}>", n + 1));
        }
        run("ZADD small 1 a 2.5 b inf c");
        run("HSET small:hash a 1 b 2");
        run("SADD small:set a 1 b 2");
        run("RPUSH long <x*30000>");
        run("XDEL stream 1700000000000-5");
        run("XGROUP CREATE stream g 0");
        run("XREADGROUP GROUP g c COUNT 20 STREAMS stream >");
        if newer {
            run("HSET soon a 1 b 2 c 3");
            run("HPEXPIREAT soon 4102444800000 FIELDS 2 a b");
            for n in 0..600 {
                run(&format!("HSET soon:large f{n} {n}"));
            }
            run("HPEXPIREAT soon:large 4102444800000 FIELDS 2 f1 f2");
        }
    }
    let source = "#!lua name=lib\\nredis.register_function('f', function() return 1 end)";
    run(&format!("FUNCTION LOAD \"{source}\""));
}

fn borrowed(value: &LoadedValue) -> ValueRef<'_> {
    match value {
        LoadedValue::Text(text) => ValueRef::Text(text),
        LoadedValue::Int(n) => ValueRef::Int(*n),
        LoadedValue::Whole(value) => ValueRef::from(value),
    }
}

/// Reads a file and writes what is in it to another; gives the number of keys, and the family.
fn rewrite(from: &std::path::Path, to: &std::path::Path, dialect: Dialect) -> (u64, Family) {
    let size = fs::metadata(from).unwrap().len();
    let options = ReadOptions { size: Some(size), ..ReadOptions::default() };
    let mut reader = RdbReader::new(File::open(from).unwrap(), options).unwrap();
    let sink = IoSink(std::io::BufWriter::new(File::create(to).unwrap()));
    let mut writer = RdbWriter::new(sink, dialect, true);
    writer.header(&[]).unwrap();
    let (mut db, mut keys) = (0, 0);
    loop {
        match reader.next_item().unwrap() {
            Item::Aux { name, value } => writer.aux(&name, &value).unwrap(),
            Item::Select(index) => db = index as u32,
            Item::Resize { keys, expires } => writer.select(db, keys, expires).unwrap(),
            Item::Function(source) => writer.function(&source).unwrap(),
            Item::Key(found) => {
                writer.key(&found.key, borrowed(&found.value), &found.meta).unwrap();
                keys += 1;
            }
            Item::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(reader.offset(), size);
    let family = reader.family();
    writer.finish().unwrap().0.into_inner().unwrap().sync_all().unwrap();
    (keys, family)
}

fn there_and_back(peer: &Program, dialect: Dialect, options: &[&str]) {
    if peer.find().is_none() {
        println!("not compared: {} is not installed (see PEERS_DIR)", peer.name());
        return;
    }
    let options = [&["--enable-debug-command", "yes"], options].concat();
    let server = Server::start(peer, &options);
    let mut client = server.client();
    fill(&mut client, !matches!(peer, Program::Redis7));
    let before = (client.shown("DEBUG DIGEST"), client.shown("FUNCTION LIST WITHCODE"));
    assert_eq!(client.shown("SAVE"), "OK");
    let (file, old) = (server.dir().join("dump.rdb"), server.dir().join("old.rdb"));
    fs::rename(&file, &old).unwrap();
    let (keys, family) = rewrite(&old, &file, dialect);
    assert_eq!(family, dialect.family());
    let mut count = 0;
    for db in [9, 3, 0] {
        client.line(&format!("SELECT {db}"));
        count += client.integer("DBSIZE");
    }
    assert_eq!(count as u64, keys);
    assert_eq!(client.shown("DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(client.shown("DEBUG DIGEST"), before.0);
    assert_eq!(client.shown("FUNCTION LIST WITHCODE"), before.1);
}

#[test]
fn redis_7() {
    there_and_back(&Program::Redis7, Dialect::REDIS_7_0, &[]);
    let lfu = ["--maxmemory-policy", "allkeys-lfu", "--rdbcompression", "no"];
    there_and_back(&Program::Redis7, Dialect::REDIS_7_0.compress(false), &lfu);
}

#[test]
fn redis_8() {
    there_and_back(&Program::Redis8, Dialect::REDIS_8, &[]);
    let lru = ["--maxmemory-policy", "allkeys-lru", "--rdbchecksum", "no"];
    there_and_back(&Program::Redis8, Dialect::REDIS_8, &lru);
    // It reads the older form as well.
    there_and_back(&Program::Redis8, Dialect::REDIS_7_0, &[]);
}

#[test]
fn valkey_9() {
    there_and_back(&Program::Valkey9, Dialect::VALKEY_9, &[]);
}
