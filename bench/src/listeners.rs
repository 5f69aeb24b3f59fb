//! Subscribers that read what they are sent, and do nothing with it.

use anyhow::{Context, Result};
use ochre_testkit::Server;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Between two rounds in which nobody had anything to read.
const REST: Duration = Duration::from_micros(200);

/// Connections that listen to the channel `news`, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listeners {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listeners {
    /// So many of each server.
    pub(crate) fn start(servers: &[&Server], count: usize) -> Result<Listeners> {
        let mut streams = Vec::new();
        for server in servers {
            for _ in 0..count {
                let mut stream = TcpStream::connect(("127.0.0.1", server.port()))?;
                stream.write_all(b"SUBSCRIBE news\r\n")?;
                stream.set_nonblocking(true)?;
                streams.push(stream);
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .spawn(move || read_all(&mut streams, &seen))
            .context("cannot start the listeners")?;
        Ok(Listeners { stop, thread: Some(thread) })
    }
}

fn read_all(streams: &mut Vec<TcpStream>, stop: &AtomicBool) {
    let mut room = vec![0; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        let mut any = false;
        streams.retain_mut(|stream| match stream.read(&mut room) {
            Ok(0) => false,
            Ok(_) => {
                any = true;
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        if !any {
            thread::sleep(REST);
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It has nothing to say.
            drop(thread.join());
        }
    }
}
