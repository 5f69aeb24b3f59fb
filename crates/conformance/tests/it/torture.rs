//! 100,000 mutated byte streams: the server neither crashes nor hangs nor leaks.

use crate::{PrintSeed, at_once, seed};
use ochre_base::rng::Rng;
use ochre_conformance::mutate;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Server};
use std::time::Duration;

/// Streams in all.
const STREAMS: usize = 100_000;

/// Connections that send at the same time.
const SENDERS: usize = 4;

/// Streams that one connection sends before it is given up (a stream may leave a command open that
/// swallows the following ones).
const PER_CONNECTION: usize = 25;

/// What `used_memory` may differ by at the end: buffers of loops and statistics of command names.
const SLACK_BYTES: i64 = 512 * 1024;

#[test]
fn mutated_streams() {
    let seed = seed();
    let _seed = PrintSeed(seed);
    let mut server = Server::ochre(&["--io-threads", "2"]);
    // Warm up once, so that tables of statistics and buffers of loops stand before the baseline.
    torture(&server, seed ^ 1, STREAMS / 50);
    let baseline = settle(&server);
    torture(&server, seed, STREAMS);
    assert!(server.is_alive(), "the server is gone");
    wait_until("used_memory is back at its baseline", || {
        (settle(&server) - baseline < SLACK_BYTES).then_some(())
    });
    assert!(!server.log().contains("panicked"), "a thread of the server panicked");
}

fn torture(server: &Server, seed: u64, streams: usize) {
    at_once(
        SENDERS,
        || server.client(),
        |index, first| {
            let mut rng = Rng::new(seed.wrapping_add(index as u64));
            let mut client = first;
            for i in 0..streams / SENDERS {
                if i % PER_CONNECTION == 0 {
                    client = Client::connect(server.port());
                }
                let alive = client.try_send_raw(&mutate::stream(&mut rng)).is_ok();
                if !alive || !client.discard_arrived() {
                    client = Client::connect(server.port());
                }
                if i % 1000 == 0 {
                    let mut probe = server.client();
                    probe.patience(Duration::from_secs(20));
                    probe.cmd(&["PING"]);
                }
            }
        },
    );
}

/// Waits until only the asking client is left, empties the data and returns `used_memory`.
fn settle(server: &Server) -> i64 {
    let mut client = server.client();
    wait_until("the other connections are gone", || {
        (client.info("clients", "connected_clients") == "1").then_some(())
    });
    client.line("FLUSHALL SYNC");
    client.line("CONFIG RESETSTAT");
    client.info("memory", "used_memory").parse().unwrap()
}
