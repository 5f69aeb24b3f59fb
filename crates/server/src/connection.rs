//! One client's connection in its loop: socket, unread bytes, session, pending output.

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;

use ochre_engine::engine::Engine;
use ochre_engine::pipeline::{Processed, process};
use ochre_engine::session::Session;
use ochre_engine::turn::LoopState;
use ochre_net::input::{Got, Input};
use ochre_net::socket::Socket;
use ochre_resp::{Output, Parser};

/// Parts gathered for one write.
const PARTS: usize = 16;
/// Reads of one connection in one turn, so that a fast sender does not starve the others.
const READS_MAX: usize = 4;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) session: Session,
    pub(crate) output: Output,
    input: Input,
    parser: Parser,
    /// It is in the loop's list of connections with output to write.
    pub(crate) dirty: bool,
    /// The socket takes no more for now; an edge will tell.
    pub(crate) stuck: bool,
    /// Bytes may be waiting in the socket although no edge will tell: it was not read empty.
    pub(crate) unread: bool,
    /// Since when the output has been above its soft limit, in Unix seconds.
    pub(crate) over_soft_since: Option<i64>,
}

/// What is to happen with a connection next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing special.
    Stay,
    /// It is to be closed, when its output is written or at once.
    Close,
}

/// What a turn's reads and writes add to the statistics.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) reads: u64,
    pub(crate) net_in: u64,
    pub(crate) writes: u64,
    pub(crate) net_out: u64,
}

impl Connection {
    pub(crate) fn new(socket: Socket, session: Session) -> Self {
        Self {
            socket,
            session,
            output: Output::default(),
            input: Input::default(),
            parser: Parser::new(),
            dirty: false,
            stuck: false,
            unread: false,
            over_soft_since: None,
        }
    }

    /// Reads what has come and runs its commands. The output is written later.
    pub(crate) fn on_readable(
        &mut self,
        engine: &'static Engine,
        lp: &mut LoopState,
        scratch: &mut [u8],
        traffic: &mut Traffic,
    ) -> io::Result<Next> {
        self.unread = false;
        for _ in 0..READS_MAX {
            if self.session.is_waiting() || self.session.close_after_reply {
                // Left in the socket: a blocked client's pipeline is not to grow here.
                self.unread = true;
                return Ok(Next::Stay);
            }
            let was_empty = self.input.is_empty();
            let got = self.input.read(&mut self.socket, scratch)?;
            let bytes = match got {
                Got::Nothing => return Ok(Next::Stay),
                Got::Closed => return Ok(Next::Close),
                Got::Bytes(bytes) => bytes,
            };
            traffic.reads += 1;
            traffic.net_in += bytes as u64;
            self.session.info.net_in.fetch_add(bytes as u64, Ordering::Relaxed);
            let next = if was_empty {
                self.run_slice(engine, lp, &mut scratch[..bytes])
            } else {
                self.run_pending(engine, lp)
            };
            if next == Next::Close {
                return Ok(Next::Close);
            }
            if self.input.len() as u64 > lp.live.settings.query_buffer_limit {
                engine.stats(lp.index).query_limit_disconnections += 1;
                return Ok(Next::Close);
            }
            if bytes < scratch.len() {
                // The socket is empty: the next edge tells of more.
                return Ok(Next::Stay);
            }
        }
        self.unread = true;
        Ok(Next::Stay)
    }

    fn run_slice(
        &mut self,
        engine: &'static Engine,
        lp: &mut LoopState,
        bytes: &mut [u8],
    ) -> Next {
        let done =
            process(engine, lp, &mut self.session, &mut self.parser, bytes, &mut self.output);
        if done.consumed < bytes.len() {
            self.input.keep_slice(&bytes[done.consumed..], done.wanted);
        }
        self.after(done)
    }

    /// Runs what is pending: more bytes came, or the session no longer waits.
    pub(crate) fn run_pending(&mut self, engine: &'static Engine, lp: &mut LoopState) -> Next {
        let mut bytes = self.input.take();
        let done =
            process(engine, lp, &mut self.session, &mut self.parser, &mut bytes, &mut self.output);
        self.input.keep(bytes, done.consumed, done.wanted);
        self.after(done)
    }

    fn after(&mut self, done: Processed) -> Next {
        if done.broken {
            self.session.close_after_reply = true;
        }
        let info = &self.session.info;
        info.query_bytes.store(self.input.len() as u64, Ordering::Relaxed);
        info.query_room.store(self.input.room() as u64, Ordering::Relaxed);
        Next::Stay
    }

    /// Writes pending output until it is gone or the socket is full.
    pub(crate) fn flush(&mut self, traffic: &mut Traffic) -> io::Result<Next> {
        while !self.output.is_empty() {
            let wrote = match self.output.plain() {
                Some(bytes) => self.socket.write(bytes)?,
                None => {
                    let mut parts = [IoSlice::new(&[]); PARTS];
                    let count = self.output.gather(&mut parts);
                    self.socket.write_vectored(&parts[..count])?
                }
            };
            let Some(bytes) = wrote else {
                self.stuck = true;
                return Ok(Next::Stay);
            };
            traffic.writes += 1;
            traffic.net_out += bytes as u64;
            self.session.info.net_out.fetch_add(bytes as u64, Ordering::Relaxed);
            self.output.advance(bytes);
        }
        self.stuck = false;
        if self.session.close_after_reply { Ok(Next::Close) } else { Ok(Next::Stay) }
    }

    /// Heap bytes that the connection holds.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.input.len() + self.input.room() + self.output.held()
    }
}
