//! Writers of replies, in RESP2 or RESP3, into a connection's output buffer.
//!
//! ```text
//! +text CRLF   -text CRLF   :int CRLF   $len CRLF bytes CRLF   *n CRLF items        both
//! _ CRLF  ,double CRLF  #t|#f CRLF  (big CRLF  =len CRLF fmt:text CRLF              RESP3
//! %n CRLF pairs  ~n CRLF items  >n CRLF items  |n CRLF pairs                        RESP3
//! ```
//!
//! A handler says what it means (a map, a double, a null) and the writer picks the form that the
//! client's protocol has: in RESP2 maps and sets are flat arrays, doubles are bulks, booleans are
//! 0 and 1. What was written is never read back, except by the patching of a deferred length.
//!
//! Everything is amortised O(bytes written). The frequent replies are constants.
//!
//! Source: RESP3 specification; texts as sent by redis-server 7.0.15 and valkey-server 9.1 (the
//! form of doubles is that of Redis 7.2).

use ochre_base::num::{F64_TEXT_MAX, I64_TEXT_MAX, format_f64, format_i64};

/// The protocol version that a client has chosen with HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Version 2, until HELLO says otherwise.
    #[default]
    Resp2,
    /// Version 3.
    Resp3,
}

impl Protocol {
    /// The number in HELLO: 2 or 3.
    pub fn version(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Writes replies of one client.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

/// Where the header of an aggregate of yet unknown length will stand. Marks are finished in the
/// reverse of the order in which they were made.
#[derive(Debug)]
#[must_use = "an unfinished mark leaves a header of zero elements"]
pub struct Deferred {
    at: usize,
}

/// What a deferred header starts: room for one digit, so that the usual short aggregates need no
/// move. A longer count moves what was written behind it, once.
const DEFERRED_HEADER: &[u8; 4] = b"*0\r\n";

/// Room for a type byte, a 64-bit number and CRLF.
const HEADER_MAX: usize = 1 + I64_TEXT_MAX + 2;

impl<'a> Reply<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Reply<'a> {
        Reply { out, protocol }
    }

    /// The same reply for a callee.
    #[inline]
    pub fn lend(&mut self) -> Reply<'_> {
        Reply { out: self.out, protocol: self.protocol }
    }

    /// The client's protocol.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Switches the protocol from here on (HELLO answers in the one it has chosen).
    pub fn switch_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// Whether the client speaks RESP3.
    #[inline]
    pub fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// Bytes in the output buffer so far, earlier replies included.
    #[inline]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the output buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Drops everything behind `len`, an earlier [`Reply::len`]: takes back a reply under way.
    pub fn truncate(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// The output buffer, for what is already encoded.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Appends bytes that are a reply already.
    #[inline]
    pub fn raw(&mut self, encoded: &[u8]) {
        self.out.extend_from_slice(encoded);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// `+QUEUED`.
    #[inline]
    pub fn queued(&mut self) {
        self.raw(b"+QUEUED\r\n");
    }

    /// `+PONG`.
    #[inline]
    pub fn pong(&mut self) {
        self.raw(b"+PONG\r\n");
    }

    /// A status line. Line ends in the text become blanks.
    pub fn status(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'+', text.as_ref());
    }

    /// An error: code word and text, without the `-`. Line ends become blanks, since they would
    /// break the frame (the text may quote what the client sent).
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    #[inline(never)]
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.push(kind);
        let start = self.out.len();
        self.out.extend_from_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, n: i64) {
        match n {
            0 => self.raw(b":0\r\n"),
            1 => self.raw(b":1\r\n"),
            _ => self.header(b':', n),
        }
    }

    /// A type byte, a number, CRLF.
    #[inline]
    fn header(&mut self, kind: u8, n: i64) {
        if (0..10).contains(&n) {
            self.raw(&[kind, b'0' + n as u8, b'\r', b'\n']);
        } else {
            let mut header = [0; HEADER_MAX];
            let len = encode_header(kind, n, &mut header);
            self.raw(&header[..len]);
        }
    }

    /// A binary-safe string.
    // HOT PATH: one reservation, three copies.
    #[inline]
    pub fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.out.reserve(bytes.len() + HEADER_MAX + 2);
        self.header(b'$', bytes.len() as i64);
        self.raw(bytes);
        self.raw(b"\r\n");
    }

    /// The header of a string of `len` bytes, which the caller appends with CRLF behind, or sends
    /// from elsewhere.
    #[inline]
    pub fn bulk_header(&mut self, len: usize) {
        self.header(b'$', len as i64);
    }

    /// An integer as a string.
    #[inline]
    pub fn bulk_i64(&mut self, n: i64) {
        let mut buf = [0; I64_TEXT_MAX];
        self.bulk(format_i64(n, &mut buf));
    }

    /// A double as a string, in both protocols.
    pub fn bulk_f64(&mut self, value: f64) {
        let mut buf = [0; F64_TEXT_MAX];
        self.bulk(format_f64(value, &mut buf));
    }

    /// The absence of a value: `$-1` or `_`.
    #[inline]
    pub fn null(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"$-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The absence of an array: `*-1` or `_`.
    #[inline]
    pub fn null_array(&mut self) {
        match self.protocol {
            Protocol::Resp2 => self.raw(b"*-1\r\n"),
            Protocol::Resp3 => self.raw(b"_\r\n"),
        }
    }

    /// The header of an array of `count` items.
    #[inline]
    pub fn array(&mut self, count: usize) {
        self.header(b'*', count as i64);
    }

    /// An array without items.
    #[inline]
    pub fn empty_array(&mut self) {
        self.raw(b"*0\r\n");
    }

    /// The header of a map of `pairs` keys and values; in RESP2 an array of twice as many.
    #[inline]
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.header(b'*', pairs as i64 * 2),
            Protocol::Resp3 => self.header(b'%', pairs as i64),
        }
    }

    /// The header of a set; in RESP2 an array.
    #[inline]
    pub fn set(&mut self, count: usize) {
        self.header(if self.is_resp3() { b'~' } else { b'*' }, count as i64);
    }

    /// The header of an out-of-band message; in RESP2 an array.
    #[inline]
    pub fn push(&mut self, count: usize) {
        self.header(if self.is_resp3() { b'>' } else { b'*' }, count as i64);
    }

    /// The header of an attribute before a reply. RESP2 has none: then nothing is written and the
    /// answer is `false`, and the caller leaves the pairs out.
    #[must_use]
    pub fn attribute(&mut self, pairs: usize) -> bool {
        if self.is_resp3() {
            self.header(b'|', pairs as i64);
        }
        self.is_resp3()
    }

    /// A double; in RESP2 a string.
    pub fn double(&mut self, value: f64) {
        let mut buf = [0; F64_TEXT_MAX];
        let text = format_f64(value, &mut buf);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.out.push(b',');
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }

    /// A truth value; in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.raw(match (self.protocol, value) {
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
        });
    }

    /// An integer of any size, as decimal text; in RESP2 a string.
    pub fn big_number(&mut self, digits: impl AsRef<[u8]>) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits),
            Protocol::Resp3 => self.line(b'(', digits.as_ref()),
        }
    }

    /// A text with its format (`txt`, `mkd`); in RESP2 a string without the format.
    pub fn verbatim(&mut self, format: [u8; 3], text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.out.reserve(text.len() + HEADER_MAX + 6);
                self.header(b'=', text.len() as i64 + 4);
                self.raw(&format);
                self.out.push(b':');
                self.raw(text);
                self.raw(b"\r\n");
            }
        }
    }

    /// Starts an aggregate whose length is not known yet. Nothing may be truncated or moved before
    /// the mark until it is finished.
    pub fn deferred(&mut self) -> Deferred {
        let at = self.out.len();
        self.raw(DEFERRED_HEADER);
        Deferred { at }
    }

    /// Makes the deferred aggregate an array of `count` items. O(1) below ten items, otherwise
    /// what was written behind the mark moves by a few bytes.
    pub fn finish_array(&mut self, mark: Deferred, count: usize) {
        self.finish(mark, b'*', count as i64);
    }

    /// Makes the deferred aggregate a map of `pairs` keys and values.
    pub fn finish_map(&mut self, mark: Deferred, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.finish(mark, b'*', pairs as i64 * 2),
            Protocol::Resp3 => self.finish(mark, b'%', pairs as i64),
        }
    }

    /// Makes the deferred aggregate a set of `count` members.
    pub fn finish_set(&mut self, mark: Deferred, count: usize) {
        let kind = if self.is_resp3() { b'~' } else { b'*' };
        self.finish(mark, kind, count as i64);
    }

    /// Makes the deferred aggregate a null array, dropping what was written behind the mark.
    #[expect(clippy::needless_pass_by_value, reason = "a mark is used up by finishing it")]
    pub fn finish_null_array(&mut self, mark: Deferred) {
        self.out.truncate(mark.at);
        self.null_array();
    }

    #[expect(clippy::needless_pass_by_value, reason = "a mark is used up by finishing it")]
    fn finish(&mut self, mark: Deferred, kind: u8, n: i64) {
        let mut header = [0; HEADER_MAX];
        let len = encode_header(kind, n, &mut header);
        let room = mark.at..mark.at + DEFERRED_HEADER.len();
        assert!(room.end <= self.out.len(), "the output was truncated before a deferred header");
        if len > DEFERRED_HEADER.len() {
            let end = self.out.len();
            self.out.resize(end + len - DEFERRED_HEADER.len(), 0);
            self.out.copy_within(room.end..end, mark.at + len);
        }
        self.out[mark.at..mark.at + len].copy_from_slice(&header[..len]);
    }
}

/// Encodes a header and returns its length, at least that of [`DEFERRED_HEADER`].
fn encode_header(kind: u8, n: i64, header: &mut [u8; HEADER_MAX]) -> usize {
    let mut digits = [0; I64_TEXT_MAX];
    let digits = format_i64(n, &mut digits);
    let len = digits.len() + 3;
    header[0] = kind;
    header[1..len - 2].copy_from_slice(digits);
    header[len - 2..len].copy_from_slice(b"\r\n");
    len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl FnOnce(&mut Reply<'_>)) -> String {
        let mut out = b"before".to_vec();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out.split_off(6)).unwrap()
    }

    fn check(write: impl Fn(&mut Reply<'_>), resp2: &str, resp3: &str) {
        assert_eq!(written(Protocol::Resp2, &write), resp2);
        assert_eq!(written(Protocol::Resp3, &write), resp3);
    }

    #[test]
    fn each_kind_in_both_protocols() {
        check(|r| r.ok(), "+OK\r\n", "+OK\r\n");
        check(|r| r.status("a\r\nb"), "+a  b\r\n", "+a  b\r\n");
        check(|r| r.error("ERR no\n"), "-ERR no \r\n", "-ERR no \r\n");
        check(|r| r.null(), "$-1\r\n", "_\r\n");
        check(|r| r.null_array(), "*-1\r\n", "_\r\n");
        check(|r| r.map(7), "*14\r\n", "%7\r\n");
        check(|r| r.set(10), "*10\r\n", "~10\r\n");
        check(|r| r.push(3), "*3\r\n", ">3\r\n");
        check(|r| r.double(0.1), "$3\r\n0.1\r\n", ",0.1\r\n");
        check(|r| r.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
        check(|r| r.boolean(true), ":1\r\n", "#t\r\n");
        check(|r| r.big_number("123"), "$3\r\n123\r\n", "(123\r\n");
        check(|r| r.verbatim(*b"txt", "hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n");
        check(|r| r.bulk(""), "$0\r\n\r\n", "$0\r\n\r\n");
        check(|r| r.bulk_i64(-12), "$3\r\n-12\r\n", "$3\r\n-12\r\n");
        check(|r| assert_eq!(r.attribute(1), r.is_resp3()), "", "|1\r\n");
    }

    #[test]
    fn integers_of_every_length() {
        for n in [0, 1, 9, 10, -1, 12345, i64::MAX, i64::MIN] {
            assert_eq!(written(Protocol::Resp2, |r| r.integer(n)), format!(":{n}\r\n"));
        }
    }

    /// A deferred header grows in place, nested ones included.
    #[test]
    fn deferred_lengths() {
        for count in [0usize, 1, 9, 10, 999, 1000] {
            let text = written(Protocol::Resp3, |r| {
                let outer = r.deferred();
                let inner = r.deferred();
                for _ in 0..count {
                    r.integer(1);
                }
                r.finish_set(inner, count);
                r.bulk("tail");
                r.finish_array(outer, count + 100);
            });
            let items = ":1\r\n".repeat(count);
            assert_eq!(text, format!("*{}\r\n~{count}\r\n{items}$4\r\ntail\r\n", count + 100));
        }
        let gone = |r: &mut Reply<'_>| {
            let mark = r.deferred();
            r.bulk("x");
            r.finish_null_array(mark);
        };
        check(gone, "*-1\r\n", "_\r\n");
        let pairs = |r: &mut Reply<'_>| {
            let mark = r.deferred();
            r.finish_map(mark, 6);
        };
        check(pairs, "*12\r\n", "%6\r\n");
    }
}
