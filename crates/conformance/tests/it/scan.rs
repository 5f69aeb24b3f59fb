//! SCAN, HSCAN, SSCAN, ZSCAN: options, and the guarantee while the table grows and shrinks.

use crate::check;
use ochre_testkit::{Client, Server, Value};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn options() {
    check(
        r#"
        SCAN 0
        SCAN x
        SCAN -1 =?> (err) ERR invalid cursor
        SCAN
        SCAN 0 COUNT
        SCAN 0 COUNT 0
        SCAN 0 COUNT -1
        SCAN 0 COUNT x
        SCAN 0 MATCH
        SCAN 0 foo
        SCAN 0 TYPE
        SET one 1
        RPUSH two 1
        SCAN 0 COUNT 1000
        SCAN 0 COUNT 1000 MATCH o*
        SCAN 0 COUNT 1000 MATCH x*
        SCAN 0 COUNT 1000 TYPE list
        SCAN 0 COUNT 1000 TYPE STRING
        SCAN 0 COUNT 1000 TYPE zset
        SCAN 0 TYPE list MATCH t* COUNT 1000
        SCAN 0 COUNT 1000 COUNT 2000 MATCH one
        HSCAN none 0
        SSCAN none 0
        ZSCAN none 0
        HSET h a 1
        HSCAN h 0
        HSCAN h 0 MATCH b*
        HSCAN h x
        HSCAN h 0 COUNT 0
        HSCAN h 0 TYPE hash
        HSCAN h
        SADD s 1 2 3
        SSCAN s 0
        SSCAN s 0 MATCH 2
        ZADD z 1.5 a
        ZSCAN z 0
        ZSCAN z 0 MATCH a* COUNT 5
        HSCAN s 0
        SSCAN h 0
        ZSCAN h 0
        SCAN 18446744073709551615
        ~code SCAN 18446744073709551616
        "#
        .replace("        SCAN 0 COUNT 1000\n", "        ~deep SCAN 0 COUNT 1000\n")
        .replace("        SCAN 18446744073709551615\n", "        ~kind SCAN 18446744073709551615\n")
        .as_str(),
    );
}

/// Runs one scan to its end and returns what it gave, in order, with repetitions.
fn scan(client: &mut Client, command: &str, key: Option<&str>, count: &str) -> Vec<Vec<u8>> {
    let mut cursor = b"0".to_vec();
    let mut found = Vec::new();
    for _ in 0..1_000_000 {
        let mut args: Vec<&[u8]> = vec![command.as_bytes()];
        args.extend(key.map(str::as_bytes));
        args.extend([&cursor[..], b"COUNT", count.as_bytes()]);
        let Value::Array(reply) = client.cmd(&args) else { panic!("{command} gave no array") };
        found.extend(reply[1].items().unwrap().iter().map(|v| v.bytes().unwrap().to_vec()));
        cursor = reply[0].bytes().unwrap().to_vec();
        if cursor == b"0" {
            return found;
        }
    }
    panic!("{command} does not end");
}

#[test]
fn a_quiet_scan_returns_each_element_and_ends() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for i in 0..5000 {
        client.cmd(&["SET", &format!("k{i}"), "v"]);
        client.cmd(&["SADD", "s", &format!("m{i}")]);
        client.cmd(&["HSET", "h", &format!("m{i}"), "1"]);
        client.cmd(&["ZADD", "z", &i.to_string(), &format!("m{i}")]);
    }
    for (command, key, elements) in
        [("SCAN", None, 5003), ("SSCAN", Some("s"), 5000), ("HSCAN", Some("h"), 5000)]
    {
        let found = scan(&mut client, command, key, "7");
        let words = if command == "HSCAN" {
            found.chunks(2).map(|p| p[0].clone()).collect()
        } else {
            found
        };
        let distinct: BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), elements, "{command}");
    }
    let found = scan(&mut client, "ZSCAN", Some("z"), "7");
    assert_eq!(found.chunks(2).map(|p| &p[0]).collect::<BTreeSet<_>>().len(), 5000);
}

/// Every element that is there from the first call to the last is returned, while another client
/// multiplies the size of the table by sixteen and back, again and again.
fn whole_while_growing_and_shrinking(command: &str, key: Option<&str>, add: &str, remove: &str) {
    const STAYS: usize = 500;
    const SWELL: usize = 8_000;
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut client = server.client();
    let element = |add: &str, name: &str| -> Vec<Vec<u8>> {
        add.replace("{e}", name).split(' ').map(|w| w.as_bytes().to_vec()).collect()
    };
    for i in 0..STAYS {
        client.cmd(&element(add, &format!("stays{i}")));
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        let mut other = server.client();
        std::thread::Builder::new()
            .name("swell".into())
            .spawn_scoped(scope, move || {
                'outer: loop {
                    for template in [add, remove] {
                        for start in (0..SWELL).step_by(500) {
                            if stop.load(Ordering::Relaxed) {
                                break 'outer;
                            }
                            for i in start..start + 500 {
                                other.send(&element(template, &format!("swell{i}")));
                            }
                            for _ in 0..500 {
                                other.reply();
                            }
                        }
                    }
                }
            })
            .unwrap();
        for round in 0..6 {
            let count = ["10", "1", "100"][round % 3];
            let found: BTreeSet<Vec<u8>> =
                scan(&mut client, command, key, count).into_iter().collect();
            for i in 0..STAYS {
                let name = format!("stays{i}").into_bytes();
                if !found.contains(&name) {
                    stop.store(true, Ordering::Relaxed);
                    panic!("round {round}: {command} missed stays{i}");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn scan_while_growing_and_shrinking() {
    whole_while_growing_and_shrinking("SCAN", None, "SET {e} v", "DEL {e}");
}

#[test]
fn hscan_while_growing_and_shrinking() {
    whole_while_growing_and_shrinking("HSCAN", Some("k"), "HSET k {e} v", "HDEL k {e}");
}

#[test]
fn sscan_while_growing_and_shrinking() {
    whole_while_growing_and_shrinking("SSCAN", Some("k"), "SADD k {e}", "SREM k {e}");
}

#[test]
fn zscan_while_growing_and_shrinking() {
    whole_while_growing_and_shrinking("ZSCAN", Some("k"), "ZADD k 1 {e}", "ZREM k {e}");
}
