//! HOTKEYS, by its documentation (Redis 8.6); INFO keysizes, against Redis 8.0.

use ochre_testkit::line::show;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

/// The report's fields, by name.
fn report(client: &mut Client) -> Vec<(String, Value)> {
    let Value::Array(outer) = client.line("HOTKEYS GET") else { panic!("no report") };
    let [Value::Array(fields)] = &outer[..] else { panic!("{outer:?}") };
    fields
        .chunks(2)
        .map(|pair| {
            let name = String::from_utf8_lossy(pair[0].bytes().unwrap()).into_owned();
            (name, pair[1].clone())
        })
        .collect()
}

fn field(client: &mut Client, name: &str) -> Value {
    let found = report(client).into_iter().find(|(field, _)| field == name);
    found.unwrap_or_else(|| panic!("no field {name}")).1
}

fn keys(client: &mut Client, name: &str) -> Vec<(String, i64)> {
    let Value::Array(list) = field(client, name) else { panic!("no list") };
    let text = |value: &Value| String::from_utf8_lossy(value.bytes().unwrap()).into_owned();
    list.chunks(2).map(|pair| (text(&pair[0]), pair[1].integer().unwrap())).collect()
}

#[test]
fn finds_the_keys_that_take_the_most() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let (mut a, mut b) = (server.client(), server.client());
    assert_eq!(a.shown("HOTKEYS GET"), "(nil)");
    assert!(a.shown("HOTKEYS STOP").starts_with("(err)"));
    assert_eq!(a.shown("HOTKEYS START METRICS 2 CPU NET COUNT 2"), "OK");
    assert!(a.shown("HOTKEYS START METRICS 1 CPU").starts_with("(err)"));
    assert!(a.shown("HOTKEYS RESET").starts_with("(err)"));
    let large = "x".repeat(10_000);
    for n in 0..50 {
        for client in [&mut a, &mut b] {
            client.cmd(&["SET", "hot", &large]);
            client.cmd(&["GET", "warm"]);
            client.cmd(&["GET", &format!("cold:{n}")]);
        }
    }
    // Commands of transactions and scripts count by their own keys; several keys share.
    for line in ["MULTI", "GET warm", "EXEC", "EVAL \"return redis.call('GET', KEYS[1])\" 1 warm"] {
        a.line(line);
    }
    a.cmd(&["MSET", "hot", &large, "other", "1"]);
    let net = keys(&mut a, "by-net-bytes");
    assert_eq!(net.len(), 2);
    assert_eq!(net[0].0, "hot");
    // 100 requests of 10,000 bytes, and half of one more.
    assert!((1_005_000..1_020_000).contains(&net[0].1), "{net:?}");
    assert_eq!(keys(&mut a, "by-cpu-time-us").len(), 2);
    let active = field(&mut a, "tracking-active");
    assert_eq!(active.integer(), Some(1));
    assert_eq!(a.shown("HOTKEYS STOP"), "OK");
    let names: Vec<String> = report(&mut a).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "tracking-active",
        "sample-ratio",
        "selected-slots",
        "all-commands-all-slots-us",
        "net-bytes-all-commands-all-slots",
        "collection-start-time-unix-ms",
        "collection-duration-ms",
        "total-cpu-time-user-ms",
        "total-cpu-time-sys-ms",
        "total-net-bytes",
        "by-cpu-time-us",
        "by-net-bytes",
    ];
    assert_eq!(names, expected);
    assert_eq!(show(&field(&mut a, "selected-slots")), "[[(int) 0, (int) 16383]]");
    let before = keys(&mut a, "by-net-bytes");
    a.cmd(&["SET", "late", &large]);
    assert_eq!(keys(&mut a, "by-net-bytes"), before, "nothing is tracked any more");
    b.line("HELLO 3");
    assert!(b.shown("HOTKEYS GET").contains("tracking-active"));
    assert_eq!(a.shown("HOTKEYS RESET"), "OK");
    assert_eq!(a.shown("HOTKEYS GET"), "(nil)");
}

#[test]
fn options_and_mistakes() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for line in [
        "HOTKEYS START",
        "HOTKEYS START CPU",
        "HOTKEYS START METRICS",
        "HOTKEYS START METRICS 0 CPU",
        "HOTKEYS START METRICS 3 CPU NET",
        "HOTKEYS START METRICS 1 GPU",
        "HOTKEYS START METRICS 2 CPU",
        "HOTKEYS START METRICS 2 CPU CPU",
        "HOTKEYS START METRICS 1 CPU COUNT 0",
        "HOTKEYS START METRICS 1 CPU COUNT 65",
        "HOTKEYS START METRICS 1 CPU DURATION -1",
        "HOTKEYS START METRICS 1 CPU SAMPLE 0",
        "HOTKEYS START METRICS 1 CPU SLOTS 1 5",
        "HOTKEYS START METRICS 1 CPU FOO",
        "HOTKEYS FOO",
    ] {
        assert!(client.shown(line).starts_with("(err)"), "{line}");
    }
    // It ends by itself.
    assert_eq!(client.shown("HOTKEYS START METRICS 1 NET DURATION 1 SAMPLE 2"), "OK");
    wait_until("it is over", || {
        (field(&mut client, "tracking-active").integer() == Some(0)).then_some(())
    });
    let fields = report(&mut client);
    assert!(fields.iter().all(|(name, _)| !name.contains("cpu")), "{fields:?}");
    assert_eq!(field(&mut client, "collection-duration-ms").integer(), Some(1000));
    assert_eq!(field(&mut client, "sample-ratio").integer(), Some(2));
}

/// One name is the hottest among far more names than are kept.
#[test]
fn memory_is_bounded() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    client.line("HOTKEYS START METRICS 1 NET COUNT 1");
    for n in 0..5000 {
        client.cmd(&["GET", &format!("key:{n}")]);
        if n % 10 == 0 {
            client.cmd(&["SET", "hot", &"x".repeat(1000)]);
        }
    }
    assert_eq!(keys(&mut client, "by-net-bytes")[0].0, "hot");
}

/// The lines of INFO keysizes.
fn sizes(client: &mut Client) -> Vec<String> {
    let value = client.line("INFO keysizes");
    let text = String::from_utf8_lossy(value.bytes().unwrap()).into_owned();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn key_sizes_as_redis_8() {
    let ours = Server::ochre(&[]);
    let theirs = Program::Redis8.find().map(|_| Server::start(&Program::Redis8, &[]));
    let mut clients = vec![ours.client()];
    clients.extend(theirs.iter().map(Server::client));
    let long = "y".repeat(70_000);
    for client in &mut clients {
        assert_eq!(sizes(client), ["# Keysizes"]);
        for line in [
            "SET empty \"\"",
            "SET int 12345",
            "SET s hello",
            "APPEND s world",
            "RPUSH l 1 2 3",
            "SADD ints 1 2 3 4",
            "SADD set a b c d e",
            "ZADD z 1 a 2 b",
            "HSET h a 1",
            "XADD stream * a 1",
            "PFADD hll a",
            "SELECT 3",
            "SET other 1",
            "SELECT 0",
        ] {
            client.line(line);
        }
        client.cmd(&["SET", "large", &long]);
        for n in 0..3000 {
            client.cmd(&["RPUSH", "long", &n.to_string()]);
            client.cmd(&["HSET", "wide", &n.to_string(), "v"]);
        }
    }
    let shown: Vec<Vec<String>> = clients.iter_mut().map(sizes).collect();
    assert_eq!(shown[0].len(), 7, "{:?}", shown[0]);
    assert!(shown[0].contains(&"db0_distrib_lists_items:2=1,2K=1".to_owned()), "{:?}", shown[0]);
    assert!(shown.iter().all(|lines| *lines == shown[0]), "{shown:?}");
    let all = clients[0].line("INFO everything");
    let all = String::from_utf8_lossy(all.bytes().unwrap()).into_owned();
    assert!(all.contains("# Keysizes"));
    let default = clients[0].line("INFO");
    assert!(!String::from_utf8_lossy(default.bytes().unwrap()).contains("# Keysizes"));
    // With all locks held.
    clients[0].line("MULTI");
    clients[0].line("INFO keysizes");
    assert!(clients[0].shown("EXEC").contains("db0_distrib_hashes_items"));
}
