//! One client's connection in its loop: socket, unread bytes, session, pending output.
//!
//! Limits: a turn reads at most [`READS_MAX`] blocks of a connection, and runs them in windows of [`WINDOW`]
//! bytes, so that many small commands with large replies cannot pile up more output than one window asks
//! for before it is written and the limits are looked at.

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;

use ochre_engine::engine::Engine;
use ochre_engine::pipeline::{Processed, process};
use ochre_engine::session::{ClientInfo, Queued, Session, Watch};
use ochre_engine::turn::LoopState;
use ochre_net::input::{Got, Input};
use ochre_net::socket::Socket;
use ochre_resp::{Output, Parser};

/// Parts gathered for one write.
const PARTS: usize = 16;
/// Reads of one connection in one turn, so that a fast sender does not starve the others.
const READS_MAX: usize = 4;
/// Bytes of requests run before the output is looked at: about a hundred small commands.
const WINDOW: usize = 4 * 1024;
/// Pending output that is written although the turn has not come to its end.
const WRITE_AT: usize = 256 * 1024;
/// Times that output may take more room than it needs before what is written is dropped from it.
const SLACK: usize = 4;
/// Most unread bytes of a client that has not authenticated. Peers: 1 MB.
const UNAUTHENTICATED_MAX: u64 = 1 << 20;
/// What a client takes beside its connection: its place in the loop's and the server's lists.
const BOOKS: usize = 128;

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
    /// The peer has closed its side: what is left in the socket is read to its end.
    pub(crate) hung_up: bool,
    /// Until when its handshake has to be done, in Unix milliseconds; none: it is done.
    pub(crate) handshake_until: Option<i64>,
    /// Since when the output has been above its soft limit, in Unix seconds.
    pub(crate) over_soft_since: Option<i64>,
    /// Bytes of it that the loop's sum holds.
    pub(crate) counted: usize,
    /// Watched keys whose bytes are known, and these bytes.
    watched: (usize, usize),
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
            hung_up: false,
            handshake_until: None,
            over_soft_since: None,
            counted: 0,
            watched: (0, 0),
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
            if self.session.is_waiting() && self.hung_up {
                // It has gone, so there is nobody left to wait for.
                return Ok(Next::Close);
            }
            if self.session.is_waiting() || self.session.close_after_reply {
                // Left in the socket: a blocked client's pipeline is not to grow here.
                self.unread = true;
                return Ok(Next::Stay);
            }
            let was_empty = self.input.is_empty();
            let got = self.input.read(&mut self.socket, scratch)?;
            let bytes = match got {
                Got::Nothing => {
                    self.unread = self.socket.may_hold_more(0, scratch.len());
                    return Ok(Next::Stay);
                }
                Got::Closed => return Ok(Next::Close),
                Got::Bytes(bytes) => bytes,
            };
            traffic.reads += 1;
            traffic.net_in += bytes as u64;
            let info = &self.session.info;
            ClientInfo::add(&info.net_in, bytes as u64);
            info.last_seen.store(lp.now.unix_ms / 1000, Ordering::Relaxed);
            if let Some(state) = &self.session.replica {
                // One that loads a snapshot says no more than empty lines.
                state.replica.acknowledged_ms.store(lp.now.unix_ms, Ordering::Relaxed);
            }
            if was_empty {
                self.run_slice(engine, lp, &mut scratch[..bytes], traffic)?;
            } else {
                self.run_pending(engine, lp, traffic)?;
            }
            if self.over_query_limit(engine, lp) {
                return Ok(Next::Close);
            }
            let more = self.socket.may_hold_more(bytes, scratch.len());
            if (!more && !self.hung_up) || self.over_hard_limit(lp) {
                // The socket is empty, and the next edge tells of more; or this client is done for.
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
        traffic: &mut Traffic,
    ) -> io::Result<()> {
        self.session.info.query_bytes.store(bytes.len() as u64, Ordering::Relaxed);
        let (consumed, wanted) = self.run_windows(engine, lp, bytes, traffic)?;
        if consumed < bytes.len() {
            self.input.keep_slice(&bytes[consumed..], wanted);
        }
        self.show_sizes();
        Ok(())
    }

    /// Runs what is pending: more bytes came, or the session no longer waits.
    pub(crate) fn run_pending(
        &mut self,
        engine: &'static Engine,
        lp: &mut LoopState,
        traffic: &mut Traffic,
    ) -> io::Result<()> {
        let mut bytes = self.input.take();
        // Before a command can show up elsewhere in the client's memory, it goes from here.
        let memory = &self.session.info.memory;
        let counted = memory.load(Ordering::Relaxed);
        memory.store(counted.saturating_sub(bytes.len() as u64), Ordering::Release);
        let (consumed, wanted) = self.run_windows(engine, lp, &mut bytes, traffic)?;
        self.input.keep(bytes, consumed, wanted);
        self.show_sizes();
        Ok(())
    }

    /// Runs the complete commands of `bytes`; says how many bytes are dealt with, and how many the
    /// command under way needs.
    fn run_windows(
        &mut self,
        engine: &'static Engine,
        lp: &mut LoopState,
        bytes: &mut [u8],
        traffic: &mut Traffic,
    ) -> io::Result<(usize, usize)> {
        let (mut at, mut window) = (0, WINDOW);
        loop {
            let end = bytes.len().min(at + window);
            let part = &mut bytes[at..end];
            let done: Processed =
                process(engine, lp, &mut self.session, &mut self.parser, part, &mut self.output);
            at += done.consumed;
            if done.broken {
                self.session.close_after_reply = true;
            }
            if end == bytes.len() || self.session.is_waiting() || self.session.close_after_reply {
                return Ok((at, done.wanted));
            }
            if self.output.pending() > WRITE_AT {
                if !self.stuck {
                    // No reply goes out before what its command changed is written.
                    engine.host.write_log(engine, &lp.live.settings, lp.now.unix_ms / 1000);
                    self.flush(traffic)?;
                }
                if self.over_hard_limit(lp) {
                    return Ok((at, done.wanted));
                }
            }
            // A command longer than the window needs a larger one.
            window = if done.consumed == 0 { window.saturating_mul(4) } else { WINDOW };
        }
    }

    fn show_sizes(&self) {
        let info = &self.session.info;
        info.query_bytes.store(self.input.len() as u64, Ordering::Relaxed);
        info.query_room.store(self.input.room() as u64, Ordering::Relaxed);
    }

    /// Whether it holds more of requests than it may: unread bytes and commands queued for EXEC.
    fn over_query_limit(&self, engine: &Engine, lp: &LoopState) -> bool {
        let queued = self.session.multi.as_ref().map_or(0, |multi| multi.bytes);
        let mut limit = lp.live.settings.query_buffer_limit;
        if !self.session.authenticated {
            limit = limit.min(UNAUTHENTICATED_MAX);
        }
        if (self.input.len() + queued) as u64 <= limit {
            return false;
        }
        engine.stats(lp.index).query_limit_disconnections += 1;
        crate::log::warning(&format!(
            "Closing client that reached max query buffer length: {}",
            crate::event_loop::shown(&self.session.info)
        ));
        true
    }

    /// Whether its output is above the hard limit although the socket takes no more.
    fn over_hard_limit(&self, lp: &LoopState) -> bool {
        let limit = lp.live.settings.output_limits[ochre_config::special::CLASS_NORMAL].hard_bytes;
        self.stuck && limit > 0 && self.output.pending() as u64 >= limit
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
                self.trim_output();
                return Ok(Next::Stay);
            };
            traffic.writes += 1;
            traffic.net_out += bytes as u64;
            ClientInfo::add(&self.session.info.net_out, bytes as u64);
            self.output.advance(bytes);
        }
        self.stuck = !self.socket.finish_write()?;
        if self.stuck {
            return Ok(Next::Stay);
        }
        if self.session.close_after_reply { Ok(Next::Close) } else { Ok(Next::Stay) }
    }

    /// Whether something is left to write.
    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty() || self.socket.has_unsent()
    }

    /// Drops what is written of output of which the rest stays pending: a client that is always a little
    /// behind (MONITOR, say) would otherwise hold all that it ever received.
    fn trim_output(&mut self) {
        let pending = self.output.pending();
        if self.output.held() > SLACK * pending.max(WRITE_AT)
            && let Some(rest) = self.output.plain()
        {
            let mut trimmed = Output::default();
            trimmed.buffer().extend_from_slice(rest);
            self.output = trimmed;
        }
    }

    /// Heap bytes that the connection and its session hold.
    // HOT PATH: a few loads; nothing is walked but what is new.
    pub(crate) fn memory(&mut self) -> usize {
        let session = &self.session;
        let watches = &session.watches;
        if watches.len() != self.watched.0 {
            // The list only grows until it is emptied, so that its new end is all there is to look at.
            let from = if watches.len() > self.watched.0 { self.watched } else { (0, 0) };
            let grown =
                watches[from.0..].iter().map(|watch| watch.name.capacity() + size_of::<Watch>());
            self.watched = (watches.len(), from.1 + grown.sum::<usize>());
        }
        let queued = session
            .multi
            .as_ref()
            .map_or(0, |multi| multi.bytes + multi.queue.capacity() * size_of::<Queued>());
        let waits = session.blocked.as_ref().map_or(0, |blocked| {
            blocked.keys.iter().map(|key| key.capacity() + size_of::<Vec<u8>>()).sum()
        });
        size_of::<Self>()
            + size_of::<ClientInfo>()
            + BOOKS
            + self.socket.held()
            + self.input.len()
            + self.input.room()
            + self.output.held()
            + self.watched.1
            + queued
            + waits
            + session.subscriptions.as_ref().map_or(0, |held| held.bytes())
    }

    /// Gives back the rooms of a client that has been idle for a while.
    pub(crate) fn release_rooms(&mut self) {
        self.input.release();
        self.output.release();
    }
}
