//! A replica whose link is cut again and again, in the middle of the stream and in the middle of snapshots, while
//! its primary is written to by commands of all families.
//!
//! Between the two stands a relay that cuts, holds bytes back for a while, swallows what it has read before it cuts,
//! and slows down. After that the data has to be the same, each cut that the backlog bridges has to cost a
//! partial synchronisation only, and nothing of the lost links may be left: clients, buffers, files.
//!
//! `OCHRE_ROUNDS` is the number of cuts, `OCHRE_SEED` chooses their moments.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ochre_base::rng::Rng;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Server};

use crate::replica::{await_link, ochre, same, write};
use crate::{PrintSeed, seed};

/// What the relay does with bytes.
const PASS: u8 = 0;
const HOLD: u8 = 1;
const SWALLOW: u8 = 2;
const SLOW: u8 = 3;
/// New connections are closed at once.
const CLOSED: u8 = 4;

/// How often the relay's threads look around.
const LOOK: Duration = Duration::from_millis(2);
/// Bytes that a slow relay passes in one look.
const SLOW_BYTES: usize = 32 << 10;

#[derive(Debug, Default)]
struct Control {
    mode: AtomicU8,
    /// Grows with each cut: connections of an older number end.
    cuts: AtomicU64,
    /// Bytes from the primary that were passed on since the last cut.
    passed: AtomicU64,
    over: AtomicBool,
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) {
    thread::Builder::new().name(name.into()).spawn(run).unwrap();
}

/// See the module's head.
#[derive(Debug)]
struct Relay {
    port: u16,
    control: Arc<Control>,
}

impl Relay {
    fn start(primary: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let control = Arc::new(Control::default());
        let shared = Arc::clone(&control);
        spawn("relay", move || {
            for replica in listener.incoming() {
                if shared.over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(replica), Ok(primary)) =
                    (replica, TcpStream::connect(("127.0.0.1", primary)))
                else {
                    return;
                };
                if shared.mode.load(Ordering::Relaxed) == CLOSED {
                    continue;
                }
                let cuts = shared.cuts.load(Ordering::Relaxed);
                for is_stream in [true, false] {
                    let (from, to) = (primary.try_clone().unwrap(), replica.try_clone().unwrap());
                    let (from, to) = if is_stream { (from, to) } else { (to, from) };
                    let shared = Arc::clone(&shared);
                    spawn("pump", move || {
                        pump(&shared, cuts, is_stream, (&from, &to));
                        // The other direction ends with this one; it may have ended before.
                        let _ = from.shutdown(Shutdown::Both);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Relay { port, control }
    }

    fn set(&self, mode: u8) {
        self.control.mode.store(mode, Ordering::Relaxed);
    }

    fn passed(&self) -> u64 {
        self.control.passed.load(Ordering::Relaxed)
    }

    fn cut(&self) {
        self.control.cuts.fetch_add(1, Ordering::Relaxed);
        self.control.passed.store(0, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.control.over.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the thread that accepts; if it has gone already, so much the better.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
    }
}

/// Passes bytes on until the connection is cut, or one side closes it.
fn pump(
    control: &Control,
    cuts: u64,
    is_stream: bool,
    (mut from, mut to): (&TcpStream, &TcpStream),
) {
    from.set_read_timeout(Some(LOOK)).unwrap();
    to.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut block = vec![0; 256 << 10];
    while control.cuts.load(Ordering::Relaxed) == cuts {
        let mode = control.mode.load(Ordering::Relaxed);
        if is_stream && mode == HOLD {
            thread::sleep(LOOK);
            continue;
        }
        let room = if is_stream && mode == SLOW { SLOW_BYTES } else { block.len() };
        let bytes = match from.read(&mut block[..room]) {
            Ok(0) => return,
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock) => continue,
            Err(_) => return,
        };
        if is_stream && mode == SWALLOW {
            continue;
        }
        if to.write_all(&block[..bytes]).is_err() {
            return;
        }
        if is_stream {
            control.passed.fetch_add(bytes as u64, Ordering::Relaxed);
            if mode == SLOW {
                thread::sleep(LOOK);
            }
        }
    }
}

fn rounds(default: u64) -> u64 {
    std::env::var("OCHRE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn stat(client: &mut Client, field: &str) -> u64 {
    client.info("stats", field).parse().unwrap()
}

fn memory(client: &mut Client, field: &str) -> u64 {
    client.info("memory", field).parse().unwrap()
}

fn follow(replica: &mut Client, relay: &Relay) {
    replica.cmd(&["REPLICAOF", "127.0.0.1", &relay.port.to_string()]);
}

/// Runs `body` while clients write; what they wrote is there when it ends.
fn under_load(primary: &Server, seed: u64, body: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for n in 0..2 {
            let over = &over;
            scope.spawn(move || {
                let mut client = primary.client();
                let mut at = seed.wrapping_mul(1000) + n;
                while !over.load(Ordering::Relaxed) {
                    write(&mut client, at, 64);
                    at += 2;
                }
            });
        }
        // Also when it fails, or the others would write for ever.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Nothing of lost links is left on either side.
fn is_tidy(servers: [&Server; 2], before: [u64; 2]) {
    for (server, before) in servers.into_iter().zip(before) {
        let mut client = server.client();
        client.cmd(&["CONFIG", "SET", "repl-backlog-size", "65536"]);
        wait_until("lost links are gone", || {
            let clients: u64 = client.info("clients", "connected_clients").parse().unwrap();
            let replicas: u64 = client.info("replication", "connected_slaves").parse().unwrap();
            (clients <= 3 && replicas <= 1).then_some(())
        });
        wait_until("their buffers are gone", || {
            (memory(&mut client, "mem_clients_slaves") < 4 << 20).then_some(())
        });
        let left = std::fs::read_dir(server.dir()).unwrap().filter_map(Result::ok);
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("temp-")), "{left:?}");
        wait_until("memory is back to normal", || {
            (memory(&mut client, "used_memory") < before + (8 << 20)).then_some(())
        });
    }
}

#[test]
fn every_cut_costs_a_partial_synchronisation_only() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let options = ["--repl-diskless-sync-delay", "0", "--repl-backlog-size", "64mb"];
    let (primary, replica) = (ochre(&options), ochre(&options));
    let (mut client, mut theirs) = (primary.client(), replica.client());
    let relay = Relay::start(primary.port());
    follow(&mut theirs, &relay);
    await_link(&mut theirs);
    let before = [&mut client, &mut theirs].map(|client| memory(client, "used_memory"));
    let mut rng = Rng::new(seed);
    under_load(&primary, seed, || {
        for round in 0..rounds(100) {
            let partial = stat(&mut client, "sync_partial_ok");
            relay.set([PASS, PASS, HOLD, SWALLOW, SLOW][rng.below(5) as usize]);
            thread::sleep(Duration::from_millis(rng.below(60)));
            relay.cut();
            relay.set(PASS);
            if rng.below(10) == 0 {
                // Once more, somewhere in the greeting.
                thread::sleep(Duration::from_millis(rng.below(8)));
                relay.cut();
            }
            wait_until(&format!("it goes on after round {round}"), || {
                (stat(&mut client, "sync_partial_ok") > partial).then_some(())
            });
            // A link that is young when it breaks is tried again only a second later.
            thread::sleep(Duration::from_millis(100));
        }
    });
    same(&mut client, &mut [&mut theirs]);
    assert_eq!(stat(&mut client, "sync_full"), 1);
    assert!(stat(&mut client, "sync_partial_ok") >= rounds(100));
    client.cmd(&["FLUSHALL"]);
    // What is written last drops what the smaller backlog does not hold.
    for server in [&primary, &replica] {
        server.client().cmd(&["CONFIG", "SET", "repl-backlog-size", "65536"]);
    }
    client.cmd(&["SET", "last", "1"]);
    same(&mut client, &mut [&mut theirs]);
    is_tidy([&primary, &replica], before);
}

#[test]
fn snapshots_that_are_cut_short_leave_nothing_behind() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let options = ["--repl-diskless-sync-delay", "0", "--repl-backlog-size", "65536"];
    let (primary, replica) = (ochre(&options), ochre(&options));
    let (mut client, mut theirs) = (primary.client(), replica.client());
    let before = [&mut client, &mut theirs].map(|client| memory(client, "used_memory"));
    for n in 0..8000u64 {
        let value: String = (0..100).map(|i| format!("{:x}", (n * 977 + i) * 2_654_435)).collect();
        client.send(&["SET", &format!("filler:{n}"), &value]);
    }
    for _ in 0..8000 {
        client.reply();
    }
    let relay = Relay::start(primary.port());
    relay.set(SLOW);
    follow(&mut theirs, &relay);
    let mut rng = Rng::new(seed);
    under_load(&primary, seed, || {
        for round in 0..rounds(100).div_ceil(10) {
            let is_diskless = if round % 3 == 2 { "no" } else { "yes" };
            client.cmd(&["CONFIG", "SET", "repl-diskless-sync", is_diskless]);
            let mode = ["disabled", "swapdb", "flush-before-load"][rng.below(3) as usize];
            // While it loads this is refused, and the last choice stays.
            theirs.cmd(&["CONFIG", "SET", "repl-diskless-load", mode]);
            let enough = 50_000 + rng.below(3_000_000);
            let deadline = Instant::now() + Duration::from_secs(30);
            while relay.passed() < enough {
                assert!(Instant::now() < deadline, "round {round}: no snapshot comes");
                thread::sleep(LOOK);
            }
            relay.set([SLOW, CLOSED, SWALLOW, HOLD][rng.below(4) as usize]);
            thread::sleep(Duration::from_millis(rng.below(30)));
            relay.cut();
            relay.set(SLOW);
        }
        relay.set(PASS);
    });
    client.cmd(&["CONFIG", "SET", "repl-diskless-sync", "yes"]);
    same(&mut client, &mut [&mut theirs]);
    assert!(stat(&mut client, "sync_full") >= rounds(100).div_ceil(10));
    client.cmd(&["FLUSHALL"]);
    client.cmd(&["SET", "last", "1"]);
    same(&mut client, &mut [&mut theirs]);
    is_tidy([&primary, &replica], before);
}
