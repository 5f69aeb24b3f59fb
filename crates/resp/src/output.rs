//! A connection's pending output: encoded bytes, with large shared strings spliced in.
//!
//! Replies are appended to one buffer. A large value is not copied into it: a counted reference and the
//! position where it belongs are kept instead, and the writer gathers both
//! (`buffer[..p1] blob1 buffer[p1..p2] blob2 ... buffer[..end]`). The buffer is dropped back to a small
//! size after a burst.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Room that an idle connection keeps for its output, in bytes.
const KEEP: usize = 16 * 1024;

/// See the module's head. `sent <= buffer.len()`; blob positions ascend and are `>= sent`.
#[derive(Debug, Default)]
pub struct Output {
    buffer: Vec<u8>,
    /// Bytes of `buffer` already written.
    sent: usize,
    blobs: VecDeque<(usize, Arc<Vec<u8>>)>,
    /// Bytes of the first blob already written.
    blob_sent: usize,
    /// Bytes of all blobs, less `blob_sent`.
    blob_bytes: usize,
}

impl Output {
    /// The buffer, to append replies to.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Splices `blob` in at position `at` of the buffer, which is not before an earlier blob's.
    pub fn splice(&mut self, at: usize, blob: Arc<Vec<u8>>) {
        self.blob_bytes += blob.len();
        self.blobs.push_back((at, blob));
    }

    /// Takes back all that was appended since the buffer's length was `len`.
    pub fn retract(&mut self, len: usize) {
        self.buffer.truncate(len);
        while let Some((at, blob)) = self.blobs.back()
            && *at > len
        {
            self.blob_bytes -= blob.len();
            self.blobs.pop_back();
        }
    }

    /// Bytes still to be written.
    #[inline]
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.sent + self.blob_bytes
    }

    /// Whether all is written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.sent == self.buffer.len() && self.blobs.is_empty()
    }

    /// Heap bytes held: the buffer's room, and what shared strings keep alive.
    pub fn held(&self) -> usize {
        self.buffer.capacity() + self.blob_bytes
    }

    /// The only pending bytes when no blob is spliced in: the usual case, one plain write.
    #[inline]
    pub fn plain(&self) -> Option<&[u8]> {
        self.blobs.is_empty().then(|| &self.buffer[self.sent..])
    }

    /// Fills `into` with the first pending parts, and says how many.
    pub fn gather<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let (mut count, mut at, mut blob_from) = (0, self.sent, self.blob_sent);
        let mut add = |bytes: &'a [u8]| {
            if !bytes.is_empty() && count < into.len() {
                into[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        for (position, blob) in &self.blobs {
            add(&self.buffer[at..*position]);
            add(&blob[blob_from..]);
            (at, blob_from) = (*position, 0);
        }
        add(&self.buffer[at..]);
        count
    }

    /// Notes that `bytes` more were written.
    pub fn advance(&mut self, mut bytes: usize) {
        while let Some((position, blob)) = self.blobs.front() {
            let before = position - self.sent;
            if bytes < before {
                self.sent += bytes;
                return;
            }
            bytes -= before;
            self.sent = *position;
            let left = blob.len() - self.blob_sent;
            if bytes < left {
                self.blob_sent += bytes;
                self.blob_bytes -= bytes;
                return;
            }
            bytes -= left;
            self.blob_bytes -= left;
            self.blob_sent = 0;
            self.blobs.pop_front();
        }
        self.sent += bytes;
        if self.sent == self.buffer.len() {
            self.buffer.clear();
            self.sent = 0;
            if self.buffer.capacity() > KEEP {
                self.buffer.shrink_to(KEEP);
            }
        }
    }

    /// Gives the buffer's room back when nothing is pending.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.buffer = Vec::new();
            self.sent = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the sizes of the writes, the stream is the buffer with the blobs in their places.
    #[test]
    fn any_write_sizes_give_the_same_stream() {
        for step in 1..40 {
            let mut output = Output::default();
            output.buffer().extend_from_slice(b"$5\r\n\r\n:1\r\n$7\r\n\r\n");
            output.splice(4, Arc::new(b"hello".to_vec()));
            output.splice(14, Arc::new(b"goodbye".to_vec()));
            output.splice(14, Arc::new(Vec::new()));
            let mut stream = Vec::new();
            assert_eq!(output.pending(), 16 + 12);
            while !output.is_empty() {
                let mut slices = [IoSlice::new(b""); 3];
                let count = output.gather(&mut slices);
                let all: Vec<u8> = slices[..count].iter().flat_map(|s| s.to_vec()).collect();
                let part = &all[..all.len().min(step)];
                stream.extend_from_slice(part);
                let written = part.len();
                output.advance(written);
            }
            assert_eq!(stream, b"$5\r\nhello\r\n:1\r\n$7\r\ngoodbye\r\n");
            assert_eq!(output.pending(), 0);
        }
    }
}
