//! A connection's unread bytes.
//!
//! Most reads end at a command's end, so a loop reads into one buffer of its own and a connection keeps
//! bytes only for what is incomplete: ten thousand idle connections hold no buffer. When a large argument
//! is under way its room is reserved ahead and the socket is read straight into it.
//!
//! Limit: what a client announces costs nothing until it comes. Up to `ANNOUNCED` bytes are reserved at
//! once; beyond that the room at most doubles with what has come, so that a command of which half a
//! gigabyte is promised and a byte is sent holds 8 MB. The price is one more copy of a very long argument,
//! in all.

use std::io;

use crate::socket::Socket;

/// Bytes of a loop's read buffer.
pub const SCRATCH: usize = 64 * 1024;
/// Most bytes of one read into a large argument's room.
const STEP: usize = 4 * SCRATCH;
/// Room above which an emptied buffer is given back.
const KEEP: usize = 32 * 1024;
/// Most room reserved on a client's word. Larger than nearly all arguments, so that these are copied once.
const ANNOUNCED: usize = 8 << 20;

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
    /// [`Input::take`] gives what there is to parse afterwards.
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
            let mut pending = std::mem::take(&mut self.pending);
            Self::grow(&mut pending, self.wanted);
            self.pending = pending;
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

    /// Gives back the room of a connection that has nothing unread.
    pub fn release(&mut self) {
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    fn reserve(&mut self, bytes: &mut Vec<u8>, wanted: usize) {
        self.wanted = wanted;
        Self::grow(bytes, wanted);
    }

    /// Makes room for an argument under way, see the module's head.
    fn grow(bytes: &mut Vec<u8>, wanted: usize) {
        let room = wanted.min((2 * bytes.len()).max(ANNOUNCED));
        // Room for the next step is enough: it is grown again when that has come.
        let enough = wanted.min(bytes.len() + STEP);
        if wanted > SCRATCH && bytes.capacity() < enough {
            bytes.reserve_exact(room.max(enough) - bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn connected() -> (UnixStream, Socket) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (theirs, Socket::Unix(mio::net::UnixStream::from_std(ours)))
    }

    /// Promises are not paid for: only what came, and a bounded room beyond it.
    #[test]
    fn an_announced_argument_costs_little_until_it_comes() {
        let mut input = Input::default();
        input.keep_slice(b"*2\r\n$3\r\nGET\r\n$500000000\r\n", 500_000_030);
        assert!(input.room() <= ANNOUNCED, "{}", input.room());
        let (mut client, mut socket) = connected();
        let mut scratch = vec![0; SCRATCH];
        let mut sent = 0usize;
        let block = [7; 100_000];
        while sent < 20_000_000 {
            client.write_all(&block).unwrap();
            sent += block.len();
            while input.read(&mut socket, &mut scratch).unwrap() != Got::Nothing {}
            let most = (2 * input.len()).max(ANNOUNCED) + STEP;
            assert!(input.len() + input.room() <= most, "{} of {sent}", input.room());
        }
        assert_eq!(input.len(), sent + 25);
    }

    #[test]
    fn an_emptied_input_gives_its_room_back() {
        let mut input = Input::default();
        input.keep_slice(b"GET", 20);
        let bytes = input.take();
        input.keep(bytes, 3, 0);
        assert!(input.is_empty());
        input.release();
        assert_eq!(input.room(), 0);
    }

    #[test]
    fn a_closed_peer_is_noticed_behind_pending_bytes() {
        let (client, mut socket) = connected();
        let mut input = Input::default();
        input.keep_slice(b"half", 100);
        drop(client);
        assert_eq!(input.read(&mut socket, &mut vec![0; SCRATCH]).unwrap(), Got::Closed);
        assert_eq!(input.len(), 4);
    }
}
