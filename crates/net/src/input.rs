//! A connection's unread bytes.
//!
//! Most reads end at a command's end, so a loop reads into one buffer of its own and a connection keeps
//! bytes only for what is incomplete: ten thousand idle connections hold no buffer. When a large argument
//! is under way its whole room is reserved once and the socket is read straight into it.

use std::io;

use crate::socket::Socket;

/// Bytes of a loop's read buffer.
pub const SCRATCH: usize = 64 * 1024;
/// Most bytes of one read into a large argument's room.
const STEP: usize = 4 * SCRATCH;
/// Room above which an emptied buffer is given back.
const KEEP: usize = 32 * 1024;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Input {
    /// Bytes of a command that is not complete.
    pending: Vec<u8>,
    /// Bytes that the command needs at least.
    wanted: usize,
}

/// What a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer has closed.
    Closed,
}

impl Input {
    /// Bytes held.
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Room beyond the bytes held.
    pub fn room(&self) -> usize {
        self.pending.capacity() - self.pending.len()
    }

    /// Reads once: into `scratch` when nothing is pending, else behind what is pending.
    /// [`Input::bytes`] gives what there is to parse afterwards.
    pub fn read(&mut self, socket: &mut Socket, scratch: &mut [u8]) -> io::Result<Got> {
        if self.pending.is_empty() {
            return Ok(match socket.read(scratch)? {
                None => Got::Nothing,
                Some(0) => Got::Closed,
                Some(bytes) => Got::Bytes(bytes),
            });
        }
        let have = self.pending.len();
        let missing = self.wanted.saturating_sub(have);
        if missing > scratch.len() {
            // The rest of a large argument: read it to where it will be parsed.
            // A step at a time, since each step's room is zeroed before it is read into.
            self.pending.resize(have + missing.min(STEP), 0);
            let got = socket.read(&mut self.pending[have..]);
            let bytes = *got.as_ref().unwrap_or(&None);
            self.pending.truncate(have + bytes.unwrap_or(0));
            got?;
            return Ok(match bytes {
                None => Got::Nothing,
                Some(0) => Got::Closed,
                Some(bytes) => Got::Bytes(bytes),
            });
        }
        match socket.read(scratch)? {
            None => Ok(Got::Nothing),
            Some(0) => Ok(Got::Closed),
            Some(bytes) => {
                self.pending.extend_from_slice(&scratch[..bytes]);
                Ok(Got::Bytes(bytes))
            }
        }
    }

    /// Takes the bytes to parse: what is pending, or, when nothing was, the first `got` of `scratch`.
    /// Give the rest back with [`Input::keep`].
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Keeps what was not consumed of `bytes`, which were taken.
    pub fn keep(&mut self, mut bytes: Vec<u8>, consumed: usize, wanted: usize) {
        bytes.drain(..consumed);
        if bytes.is_empty() && bytes.capacity() > KEEP {
            bytes = Vec::new();
        }
        self.reserve(&mut bytes, wanted);
        self.pending = bytes;
    }

    /// Keeps bytes of the loop's scratch buffer that were not consumed.
    pub fn keep_slice(&mut self, bytes: &[u8], wanted: usize) {
        let mut pending = std::mem::take(&mut self.pending);
        self.reserve(&mut pending, wanted.max(bytes.len()));
        pending.extend_from_slice(bytes);
        self.pending = pending;
    }

    fn reserve(&mut self, bytes: &mut Vec<u8>, wanted: usize) {
        self.wanted = wanted;
        if wanted > SCRATCH && bytes.capacity() < wanted {
            bytes.reserve_exact(wanted - bytes.len());
        }
    }
}
