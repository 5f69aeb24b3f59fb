//! What a client may take: output, input, memory, time; and what ten thousand idle ones take: R2.1, R2.3.

use crate::redis7_pair;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Server, Value};
use std::time::{Duration, Instant};

const MB: usize = 1 << 20;

fn used(client: &mut Client) -> usize {
    client.info("memory", "used_memory").parse().unwrap()
}

/// Drops the connection when the server has closed it.
fn is_closed(client: &mut Client) -> bool {
    client.patience(Duration::from_millis(50));
    client.try_cmd(&["PING"]).is_err_and(|error| error.kind() != std::io::ErrorKind::TimedOut)
}

fn id_of(client: &mut Client) -> i64 {
    client.integer("CLIENT ID")
}

fn is_connected(admin: &mut Client, id: i64) -> bool {
    let list = admin.cmd(&["CLIENT", "LIST", "ID", &id.to_string()]);
    list.bytes().is_some_and(|text| !text.is_empty())
}

/// A field of a client's line in CLIENT LIST.
fn field(admin: &mut Client, id: i64, name: &str) -> usize {
    let list = admin.cmd(&["CLIENT", "LIST", "ID", &id.to_string()]);
    let text = String::from_utf8_lossy(list.bytes().unwrap()).into_owned();
    let found = text.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("{name} in {text}")).parse().unwrap()
}

// ---- output ----

#[test]
fn a_client_that_never_reads_is_closed_at_the_hard_limit() {
    for loops in ["1", "2"] {
        let server = Server::ochre(&[
            "--io-threads",
            loops,
            "--client-output-buffer-limit",
            "normal 16mb 0 0",
        ]);
        let mut admin = server.client();
        admin.cmd(&["SET", "k", &"v".repeat(10_000)]);
        admin.cmd(&["SET", "large", &"v".repeat(MB)]);
        let before = used(&mut admin);
        // Small commands with middling replies, and few with large ones that are not copied.
        for (key, count) in [("k", 20_000), ("large", 200)] {
            let mut deaf = server.client();
            let id = id_of(&mut deaf);
            let request = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
            // The server may close before all is sent.
            let _ = deaf.try_send_raw(request.repeat(count).as_bytes());
            let mut peak = 0;
            wait_until("the deaf client is closed", || {
                peak = peak.max(used(&mut admin));
                (!is_connected(&mut admin, id)).then_some(())
            });
            // A growing buffer has up to twice the room that it needs.
            assert!(peak < before + 40 * MB, "{key}: {} MB", (peak - before) / MB);
        }
        let closed = admin.info("stats", "client_output_buffer_limit_disconnections");
        assert_eq!(closed, "2");
        wait_until("its memory is back", || (used(&mut admin) < before + MB).then_some(()));
        assert!(server.log().contains("overcoming of output buffer limits"));
    }
}

/// Nothing is sent or read any more, so only the server's own look can notice.
#[test]
fn a_silent_client_is_closed_after_the_seconds_of_the_soft_limit() {
    let server = Server::ochre(&["--client-output-buffer-limit", "normal 0 4mb 1"]);
    let mut admin = server.client();
    admin.cmd(&["SET", "large", &"v".repeat(MB)]);
    let mut deaf = server.client();
    let id = id_of(&mut deaf);
    let began = Instant::now();
    deaf.send_raw("GET large\r\n".repeat(40).as_bytes());
    wait_until("its output is seen", || (field(&mut admin, id, "omem") > 4 * MB).then_some(()));
    wait_until("it is closed", || (!is_connected(&mut admin, id)).then_some(()));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(admin.info("stats", "client_output_buffer_limit_disconnections"), "1");
    // One that reads in time may have as much.
    let mut reader = server.client();
    reader.send_raw("GET large\r\n".repeat(40).as_bytes());
    for _ in 0..40 {
        assert_eq!(reader.reply().bytes().map(<[u8]>::len), Some(MB));
    }
    assert_eq!(reader.shown("PING"), "PONG");
}

#[test]
fn a_monitor_that_does_not_read_is_closed() {
    let server = Server::ochre(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut monitor = server.client();
    let id = id_of(&mut monitor);
    assert_eq!(monitor.shown("MONITOR"), "OK");
    let (mut busy, mut admin) = (server.client(), server.client());
    let long = "x".repeat(60_000);
    wait_until("the monitor is closed", || {
        busy.cmd(&["ECHO", &long]);
        (!is_connected(&mut admin, id)).then_some(())
    });
}

#[test]
fn large_pipelines_with_large_replies_arrive_whole() {
    // Commands around the size of the window in which they are run, and replies far above it.
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for size in [1usize, 100, 4000, 4096, 5000, 17_000, 70_000] {
        let value = "v".repeat(size);
        let mut stream = Vec::new();
        for index in 0..60 {
            let key = format!("k{index}");
            ochre_testkit::raw::encode(&["SET", &key, &value], &mut stream);
            ochre_testkit::raw::encode(&["GET", &key], &mut stream);
            ochre_testkit::raw::encode(&["MGET", &key, &key, "k0", "k1"], &mut stream);
        }
        client.send_raw(&stream);
        for _ in 0..60 {
            assert_eq!(client.reply(), Value::Status(b"OK".to_vec()));
            assert_eq!(client.reply().bytes().map(<[u8]>::len), Some(size));
            assert_eq!(client.reply().items().map(<[Value]>::len), Some(4));
        }
    }
}

// ---- input ----

#[test]
fn unread_bytes_are_limited() {
    let server = Server::ochre(&["--client-query-buffer-limit", "1mb"]);
    let mut admin = server.client();
    let mut large = server.client();
    let id = id_of(&mut large);
    let mut stream = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3000000\r\n".to_vec();
    stream.resize(stream.len() + 2_900_000, b'x');
    // The server closes before all is sent.
    let _ = large.try_send_raw(&stream);
    wait_until("it is closed", || (!is_connected(&mut admin, id)).then_some(()));
    // What is queued for EXEC counts as unread.
    let mut queueing = server.client();
    queueing.line("MULTI");
    let value = "x".repeat(100_000);
    let closed = (0..20).any(|_| queueing.try_cmd(&["SET", "k", &value]).is_err());
    assert!(closed);
    assert_eq!(admin.info("stats", "client_query_buffer_limit_disconnections"), "2");
    assert!(server.log().contains("reached max query buffer length"));
    // Below the limit it works.
    assert_eq!(admin.cmd(&["SET", "k", &"x".repeat(900_000)]), Value::Status(b"OK".to_vec()));
}

/// Half a command costs what has come of it, not what it promises, for as long as it takes.
#[test]
fn half_a_command_costs_little() {
    let server = Server::ochre(&["--timeout", "1"]);
    let mut admin = server.client();
    admin.line("CONFIG SET timeout 0");
    let before = used(&mut admin);
    let mut halves: Vec<Client> = (0..20).map(|_| server.client()).collect();
    for client in &mut halves {
        client.send_raw(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400000000\r\nabc");
    }
    let many: String = (0..500).map(|_| "$3\r\nabc\r\n").collect();
    let mut other = server.client();
    other.send_raw(format!("*1000000\r\n$3\r\nDEL\r\n{many}").as_bytes());
    wait_until("all has come", || {
        let list = admin.cmd(&["CLIENT", "LIST"]);
        let text = String::from_utf8_lossy(list.bytes().unwrap()).into_owned();
        let waiting = text.lines().filter(|line| !line.contains(" qbuf=0 ")).count();
        (waiting >= 21).then_some(())
    });
    let grown = used(&mut admin).saturating_sub(before);
    assert!(grown < 21 * 9 * MB, "{} MB", grown / MB);
    // It is idle when it sends nothing more, whatever it has promised.
    admin.line("CONFIG SET timeout 1");
    for client in &mut halves {
        assert_eq!(client.until_closed(), b"");
    }
    let mut admin = server.client();
    wait_until("the memory is back", || (used(&mut admin) < before + MB).then_some(()));
}

/// A client that sends a byte now and then is not idle, as for the peers.
#[test]
fn a_slow_sender_is_not_idle() {
    let mut pair = redis7_pair(&["--timeout", "1"]);
    for theirs in [false, true] {
        let server = if theirs { pair.theirs() } else { pair.ours() };
        let mut slow = server.client();
        let mut silent = server.client();
        silent.cmd(&["PING"]);
        let mut closed = false;
        for byte in b"*2\r\n$4\r\nECHO\r\n$10\r\n0123456789\r\n".chunks(2) {
            slow.send_raw(byte);
            closed = closed || silent.reply_within(Duration::from_millis(200)).is_err();
        }
        assert!(closed, "{}: the silent one stayed", server.name());
        assert_eq!(slow.reply(), Value::Bulk(b"0123456789".to_vec()), "{}", server.name());
    }
}

// ---- memory of all clients ----

/// A client that holds about so many bytes in its queue for EXEC.
fn holding(server: &Server, bytes: usize) -> (Client, i64) {
    let mut client = server.client();
    let id = id_of(&mut client);
    client.line("MULTI");
    client.cmd(&["SET", "k", &"x".repeat(bytes)]);
    (client, id)
}

#[test]
fn the_largest_clients_go_when_all_take_too_much() {
    for loops in ["1", "3"] {
        let server = Server::ochre(&["--io-threads", loops]);
        let mut admin = server.client();
        let (_small, small) = holding(&server, MB / 2);
        let (_middle, middle) = holding(&server, 3 * MB);
        let (mut large, largest) = holding(&server, 5 * MB);
        let mut spared = server.client();
        let spared_id = id_of(&mut spared);
        spared.line("CLIENT NO-EVICT ON");
        spared.line("MULTI");
        spared.cmd(&["SET", "k", &"x".repeat(7 * MB)]);
        let memory = field(&mut admin, largest, "tot-mem");
        assert!((5 * MB..6 * MB).contains(&memory), "{memory}");
        assert_eq!(admin.info("stats", "evicted_clients"), "0");
        // 15.5 MB are held: without the largest it fits.
        assert_eq!(admin.shown("CONFIG SET maxmemory-clients 12mb"), "OK");
        assert_eq!(large.until_closed(), b"");
        wait_until("it is counted", || {
            (admin.info("stats", "evicted_clients") == "1").then_some(())
        });
        assert!(is_connected(&mut admin, middle) && is_connected(&mut admin, small));
        // Growth is noticed at once. It takes the middle one first, and at last the one that grew.
        let mut growing = server.client();
        growing.line("MULTI");
        let value = "x".repeat(400_000);
        let closed = (0..40).any(|_| growing.try_cmd(&["SET", "k", &value]).is_err());
        assert!(closed);
        wait_until("it is counted", || {
            (admin.info("stats", "evicted_clients") == "3").then_some(())
        });
        wait_until("the middle one is closed", || {
            (!is_connected(&mut admin, middle)).then_some(())
        });
        assert!(is_connected(&mut admin, small));
        // A part of maxmemory. What is spared counts, but stays.
        admin.line("CLIENT NO-EVICT ON");
        admin.line("CONFIG SET maxmemory-clients 0 maxmemory 100mb");
        assert_eq!(admin.shown("CONFIG SET maxmemory-clients 7%"), "OK");
        wait_until("the last other is closed", || (!is_connected(&mut admin, small)).then_some(()));
        assert!(is_connected(&mut admin, spared_id));
        admin.line("CONFIG SET maxmemory-clients 0 maxmemory 0");
        assert_eq!(spared.shown("DISCARD"), "OK");
    }
}

#[test]
fn every_kind_of_memory_of_a_client_is_seen() {
    let server = Server::ochre(&["--io-threads", "2"]);
    let mut admin = server.client();
    admin.cmd(&["SET", "large", &"v".repeat(MB)]);
    let mut client = server.client();
    let id = id_of(&mut client);
    let empty = field(&mut admin, id, "tot-mem");
    assert!((500..8192).contains(&empty), "{empty}");
    let mut grows = |what: &str, by: usize| {
        wait_until(what, || {
            let memory = field(&mut admin, id, "tot-mem");
            (memory >= empty + by).then_some(())
        });
    };
    client.send_raw(format!("*2\r\n$4\r\nECHO\r\n$1000000\r\n{}", "x".repeat(500_000)).as_bytes());
    grows("unread bytes", 500_000);
    client.send_raw(format!("{}\r\n", "x".repeat(500_000)).as_bytes());
    client.reply();
    let keys: Vec<String> = (0..200).map(|n| format!("{n}{}", "k".repeat(1000))).collect();
    let words = |name: &str| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(keys.iter().cloned()).collect()
    };
    client.cmd(&words("WATCH"));
    grows("watched keys", 200_000);
    client.line("UNWATCH");
    let mut wait = words("BLPOP");
    wait.push("0".into());
    client.send(&wait);
    grows("awaited keys", 200_000);
    let name = format!("CLIENT UNBLOCK {id}");
    let mut other = server.client();
    wait_until("it is woken", || (other.integer(&name) == 1).then_some(()));
    client.reply();
    client.send_raw("GET large\r\n".repeat(40).as_bytes());
    grows("pending output", 10 * MB);
    let _ = client.until_replies(40);
    let mut admin = server.client();
    wait_until("all is given back", || {
        (field(&mut admin, id, "tot-mem") <= empty + 64 * 1024).then_some(())
    });
}

trait UntilReplies {
    fn until_replies(&mut self, count: usize) -> usize;
}

impl UntilReplies for Client {
    /// Takes so many replies; gives their bytes.
    fn until_replies(&mut self, count: usize) -> usize {
        (0..count).map(|_| self.reply().bytes().map_or(0, <[u8]>::len)).sum()
    }
}

// ---- many ----

/// The soft limit of open files of this process, which its children have too.
fn open_files_max() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1024)
}

#[test]
fn ten_thousand_idle_connections_cost_little() {
    let count = (open_files_max() - 400).min(10_000);
    let server = Server::ochre(&["--io-threads", "2", "--maxclients", "10010"]);
    let mut admin = server.client();
    let before = used(&mut admin);
    let mut clients: Vec<Client> = (0..count).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(&["SET", "k", "v"]);
    }
    for client in &mut clients {
        assert_eq!(client.reply(), Value::Status(b"OK".to_vec()));
    }
    assert_eq!(admin.info("clients", "connected_clients"), (count + 1).to_string());
    let each = (used(&mut admin) - before) / count;
    println!("{count} connections that have spoken: {each} bytes each");
    assert!(each < 3 * 1024, "{each} bytes each");
    for client in &mut clients {
        client.send(&["PING"]);
    }
    for client in &mut clients {
        assert_eq!(client.reply(), Value::Status(b"PONG".to_vec()));
    }
    drop(clients);
    wait_until("all are gone", || {
        (admin.info("clients", "connected_clients") == "1").then_some(())
    });
    assert!(used(&mut admin) < before + 2 * MB);
    assert!(!is_closed(&mut admin));
}
