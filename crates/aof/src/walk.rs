//! The commands of a file, one run after the other, from anything that can be read.
//!
//! A run is what lies complete in the buffer, up to the next note, so that whoever executes it has more than one
//! command at a time. The walker follows transactions: [`Walk::good`] is always where the file could end, outside
//! of any. A file that ends elsewhere is cut off there ([`Step::Cut`]).
//!
//! Memory: a block of 1 MB, and the largest command. O(bytes).

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

use crate::command::{Record, record};
use crate::notes;

/// Bytes read at once.
const BLOCK: usize = 1 << 20;

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Commands: [`Walk::run`].
    Commands,
    /// A note; with the time, in Unix seconds, if it tells one.
    Note(Option<i64>),
    /// The end.
    End,
    /// The end, within a record or a transaction.
    Cut,
    /// Something else; with what is wrong. It stands at [`Walk::offset`].
    Broken(&'static str),
}

/// See the module's head.
#[derive(Debug)]
pub struct Walk<R> {
    read: R,
    bytes: Vec<u8>,
    /// The run under way is `bytes[from..to]`, its last record `bytes[last..to]`.
    from: usize,
    last: usize,
    to: usize,
    /// Where `bytes` begins in the file.
    base: u64,
    /// Where to stop.
    stop: u64,
    /// The arguments of the last command, from `last` on.
    args: Vec<Range<usize>>,
    /// Where the transaction under way began.
    multi: Option<u64>,
    good: u64,
    lines: u64,
}

impl<R: Read> Walk<R> {
    /// From offset `at` on, which is the start of a record; `ahead` was read already.
    pub fn new(read: R, ahead: Vec<u8>, at: u64) -> Self {
        Self {
            read,
            bytes: ahead,
            from: 0,
            last: 0,
            to: 0,
            base: at,
            stop: u64::MAX,
            args: Vec::new(),
            multi: None,
            good: at,
            lines: 0,
        }
    }

    /// Ends before the first record that begins at this offset or behind it.
    pub fn stop_at(mut self, offset: u64) -> Self {
        self.stop = offset;
        self
    }

    /// The bytes of the commands of the last step.
    pub fn run(&mut self) -> &mut [u8] {
        &mut self.bytes[self.from..self.to]
    }

    /// The same, to look at.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// The arguments of the last command of the last step.
    pub fn args(&self) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.args.iter().map(|range| &self.bytes[self.last + range.start..self.last + range.end])
    }

    /// Where the last record of the last step began; what is broken, or cut off, begins there.
    pub fn offset(&self) -> u64 {
        self.base + self.last as u64
    }

    /// Where the last step ended.
    pub fn end(&self) -> u64 {
        self.base + self.to as u64
    }

    /// The last place at which the file could end: behind a record, and outside of a transaction.
    pub fn good(&self) -> u64 {
        self.good
    }

    /// Where the transaction began that the last step ended in.
    pub fn multi(&self) -> Option<u64> {
        self.multi
    }

    /// Lines up to the end of the last step, values without line ends taken for one each.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Takes the next step, of at most `most` commands.
    pub fn step(&mut self, most: usize) -> io::Result<Step> {
        (self.from, self.last) = (self.to, self.to);
        let mut count = 0;
        loop {
            if self.end() >= self.stop || count == most {
                return Ok(if count > 0 { Step::Commands } else { Step::End });
            }
            let found = record(&self.bytes[self.to..], &mut self.args);
            let is_command = matches!(found, Record::Command(_));
            if count > 0 && !is_command {
                // Of the last command, which is still the last one.
                record(&self.bytes[self.last..], &mut self.args);
                return Ok(Step::Commands);
            }
            self.last = self.to;
            match found {
                Record::Command(length) => {
                    if let Some(why) = self.follow_transaction() {
                        if count > 0 {
                            // It comes first in the next step.
                            return Ok(Step::Commands);
                        }
                        return Ok(Step::Broken(why));
                    }
                    self.take(length, 1 + 2 * self.args.len() as u64);
                    count += 1;
                }
                Record::Note(length) => {
                    let note = &self.bytes[self.to..self.to + length];
                    let time = notes::time_of(note);
                    self.take(length, 1);
                    return Ok(Step::Note(time));
                }
                Record::Broken(why) => return Ok(Step::Broken(why)),
                Record::Incomplete => {
                    if !self.refill()? {
                        let whole = self.to == self.bytes.len() && self.multi.is_none();
                        return Ok(if whole { Step::End } else { Step::Cut });
                    }
                }
            }
        }
    }

    /// A record is complete.
    fn take(&mut self, length: usize, lines: u64) {
        self.to += length;
        self.lines += lines;
        if self.multi.is_none() {
            self.good = self.base + self.to as u64;
        }
    }

    /// Looks at the command at `last`, which is not taken yet; what is wrong with it, if anything.
    fn follow_transaction(&mut self) -> Option<&'static str> {
        let [name] = &self.args[..] else { return None };
        let name = &self.bytes[self.last + name.start..self.last + name.end];
        if name.eq_ignore_ascii_case(b"multi") {
            if self.multi.is_some() {
                return Some("MULTI within a transaction");
            }
            self.multi = Some(self.base + self.last as u64);
        } else if name.eq_ignore_ascii_case(b"exec") && self.multi.take().is_none() {
            return Some("EXEC without MULTI");
        }
        None
    }

    /// Reads on; false at the end of the file.
    fn refill(&mut self) -> io::Result<bool> {
        self.bytes.drain(..self.to);
        self.base += self.to as u64;
        (self.from, self.last, self.to) = (0, 0, 0);
        let start = self.bytes.len();
        // As much again as is there, so that a large command is looked at a few times only.
        let room = BLOCK.max(start);
        self.bytes.resize(start + room, 0);
        let got = loop {
            match self.read.read(&mut self.bytes[start..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.bytes.truncate(start + *got.as_ref().unwrap_or(&0));
        got.map(|got| got > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] =
        b"#TS:7\r\n*1\r\n$4\r\nPING\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n\
                          *1\r\n$4\r\nEXEC\r\n#TS:9\r\n*1\r\n$4\r\nPING\r\n";

    /// Gives a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            room[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    fn steps(bytes: &[u8], most: usize) -> (Vec<Step>, u64) {
        let mut walk = Walk::new(bytes, Vec::new(), 0);
        let mut steps = Vec::new();
        loop {
            let step = walk.step(most).unwrap();
            steps.push(step);
            if matches!(step, Step::End | Step::Cut | Step::Broken(_)) {
                return (steps, walk.good());
            }
        }
    }

    #[test]
    fn runs_end_at_notes() {
        let (steps, good) = steps(FILE, usize::MAX);
        let times = [Step::Note(Some(7)), Step::Note(Some(9))];
        assert_eq!(steps, [times[0], Step::Commands, times[1], Step::Commands, Step::End]);
        assert_eq!(good, FILE.len() as u64);
        let mut walk = Walk::new(FILE, Vec::new(), 0);
        walk.step(9).unwrap();
        walk.step(9).unwrap();
        assert!(walk.run().starts_with(b"*1\r\n$4\r\nPING") && walk.run().ends_with(b"EXEC\r\n"));
        assert_eq!(walk.args().collect::<Vec<_>>(), [b"EXEC"]);
        let mut slow = Walk::new(Slow(FILE), Vec::new(), 0);
        let mut commands = 0;
        while slow.step(1).unwrap() != Step::End {
            commands += usize::from(slow.args().len() > 0);
        }
        assert_eq!(commands, 5);
    }

    #[test]
    fn a_file_that_is_cut_off_could_end_before_what_is_cut() {
        let multi = FILE.windows(5).position(|window| window == b"MULTI").unwrap() - 8;
        let exec = FILE.windows(4).position(|window| window == b"EXEC").unwrap() + 6;
        for end in 0..FILE.len() {
            let (steps, good) = steps(&FILE[..end], 1);
            let good = good as usize;
            assert!(good <= end, "cut at {end}");
            assert_eq!(steps.last() == Some(&Step::End), good == end, "cut at {end}");
            if (multi..exec).contains(&end) {
                assert_eq!(good, multi, "cut at {end}");
            }
        }
    }

    #[test]
    fn a_stop_is_an_end() {
        let mut walk = Walk::new(FILE, Vec::new(), 0).stop_at(8);
        assert_eq!(walk.step(99).unwrap(), Step::Note(Some(7)));
        assert_eq!(walk.step(99).unwrap(), Step::Commands);
        assert_eq!(walk.run(), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(walk.step(99).unwrap(), Step::End);
    }

    #[test]
    fn transactions_are_whole() {
        for (bytes, at) in [
            (&b"*1\r\n$4\r\nEXEC\r\n"[..], 0),
            (b"*1\r\n$5\r\nMULTI\r\n*1\r\n$5\r\nMULTI\r\n", 15),
            (b"*1\r\n$4\r\nPING\r\nnonsense", 14),
        ] {
            for most in [1, 9] {
                let mut walk = Walk::new(bytes, Vec::new(), 0);
                let last = loop {
                    match walk.step(most).unwrap() {
                        Step::Commands => {}
                        other => break other,
                    }
                };
                assert!(matches!(last, Step::Broken(_)), "{last:?}");
                assert_eq!(walk.offset(), at);
            }
        }
    }
}
