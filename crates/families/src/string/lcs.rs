//! LCS: the longest common subsequence of two strings.
//!
//! The textbook table of lengths, walked back from its end. Of several longest subsequences the one is
//! given that upstream gives: where dropping the last byte of either string leaves the same length, it
//! is dropped from the second. Time and room are O(N*M); a table larger than proto-max-bulk-len is
//! refused.

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::Ctx;
use ochre_command::args::Cursor;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::Text;

use super::bytes;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("lcs", -3, Flags::READONLY, Group::String, lcs)
        .keys(&[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .docs(
            "7.0.0",
            "Finds the longest common subsequence of two strings.",
            "O(N*M) where N and M are the lengths of the strings.",
            "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
        )];

const NOT_STRINGS: ReplyError =
    ReplyError::fixed("ERR The specified keys must contain string values");
const LEN_AND_IDX: ReplyError =
    ReplyError::fixed("ERR If you want both the length and indexes, please just use IDX.");
const TOO_LARGE: ReplyError = ReplyError::fixed(
    "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
);

#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: usize,
}

impl Options {
    fn parse(args: &[&[u8]]) -> Result<Self> {
        let mut options = Self::default();
        let mut cursor = Cursor::new(args, 3);
        while cursor.left() > 0 {
            if cursor.take("len") {
                options.len = true;
            } else if cursor.take("idx") {
                options.idx = true;
            } else if cursor.take("withmatchlen") {
                options.with_match_len = true;
            } else if cursor.take("minmatchlen") {
                options.min_match_len = cursor.need_int()?.max(0) as usize;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        if options.len && options.idx {
            return Err(LEN_AND_IDX);
        }
        Ok(options)
    }
}

fn lcs(ctx: &mut Ctx<'_>) -> Result {
    let a = operand(ctx, 1)?;
    let b = operand(ctx, 2)?;
    let options = Options::parse(ctx.args)?;
    let table = Table::new(&a, &b, ctx.data.env.string_max).ok_or(TOO_LARGE)?;
    if options.len {
        ctx.reply.integer(i64::from(table.at(a.len(), b.len())));
        return Ok(());
    }
    let runs = table.runs(&a, &b);
    if options.idx {
        reply_runs(ctx, &options, &runs, table.at(a.len(), b.len()));
        return Ok(());
    }
    let mut text = Vec::with_capacity(table.at(a.len(), b.len()) as usize);
    for run in runs.iter().rev() {
        text.extend_from_slice(&a[run.a..run.a + run.len]);
    }
    ctx.reply.bulk(&text);
    Ok(())
}

/// A copy of the string under the key at argument `at`; empty when there is none.
fn operand(ctx: &mut Ctx<'_>, at: usize) -> Result<Vec<u8>> {
    let key = ctx.key(at);
    let text = ctx.data.text(key).map_err(|_| NOT_STRINGS)?;
    let mut room = [0; I64_TEXT_MAX];
    Ok(bytes(text.unwrap_or(Text::Bytes(b"")), &mut room).to_vec())
}

fn reply_runs(ctx: &mut Ctx<'_>, options: &Options, runs: &[Run], total: u32) {
    let wanted = || runs.iter().filter(|run| run.len >= options.min_match_len);
    let reply = &mut ctx.reply;
    reply.map(2);
    reply.bulk("matches");
    reply.array(wanted().count());
    for run in wanted() {
        reply.array(2 + usize::from(options.with_match_len));
        for start in [run.a, run.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + run.len - 1) as i64);
        }
        if options.with_match_len {
            reply.integer(run.len as i64);
        }
    }
    reply.bulk("len");
    reply.integer(i64::from(total));
}

/// A run of common bytes: where it begins in either string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

/// The length of the longest common subsequence of each pair of beginnings.
struct Table {
    lengths: Vec<u32>,
    width: usize,
}

impl Table {
    /// The table of two strings; none when it would take more than `bytes_max` bytes.
    fn new(a: &[u8], b: &[u8], bytes_max: usize) -> Option<Self> {
        let width = b.len() + 1;
        let cells = (a.len() + 1).checked_mul(width)?;
        if cells.checked_mul(size_of::<u32>())? > bytes_max {
            return None;
        }
        let mut lengths = vec![0u32; cells];
        for (row, &x) in (1..).zip(a) {
            let (before, here) = lengths.split_at_mut(row * width);
            let above = &before[(row - 1) * width..];
            for (column, &y) in (1..).zip(b) {
                here[column] = if x == y {
                    above[column - 1] + 1
                } else {
                    above[column].max(here[column - 1])
                };
            }
        }
        Some(Self { lengths, width })
    }

    fn at(&self, a: usize, b: usize) -> u32 {
        self.lengths[a * self.width + b]
    }

    /// The runs of the subsequence, the last one first.
    fn runs(&self, a: &[u8], b: &[u8]) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                match runs.last_mut() {
                    Some(run) if run.a == i && run.b == j => {
                        *run = Run { a: i - 1, b: j - 1, len: run.len + 1 };
                    }
                    _ => runs.push(Run { a: i - 1, b: j - 1, len: 1 }),
                }
                (i, j) = (i - 1, j - 1);
            } else if self.at(i - 1, j) > self.at(i, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    #[test]
    fn the_documented_example() {
        let mut bench = Bench::new();
        bench.run("MSET k1 ohmytext k2 mynewtext");
        assert_eq!(bench.run("LCS k1 k2"), "$6|mytext|");
        assert_eq!(bench.run("LCS k1 k2 LEN"), ":6|");
        assert_eq!(
            bench.run("LCS k1 k2 IDX"),
            "*4|$7|matches|*2|*2|*2|:4|:7|*2|:5|:8|*2|*2|:2|:3|*2|:0|:1|$3|len|:6|"
        );
        assert_eq!(
            bench.run("LCS k1 k2 IDX MINMATCHLEN 4 WITHMATCHLEN"),
            "*4|$7|matches|*1|*3|*2|:4|:7|*2|:5|:8|:4|$3|len|:6|"
        );
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("LCS k1 k2 IDX MINMATCHLEN 5"), "%2|$7|matches|*0|$3|len|:6|");
        assert_eq!(bench.run("LCS k1 none"), "$0||");
        assert_eq!(bench.run("LCS k1 none IDX"), "%2|$7|matches|*0|$3|len|:0|");
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("MSET k1 a k2 12");
        bench.run("ZADD z 1 a");
        for (line, error) in [
            ("LCS k1 z FOO", "The specified keys must contain string values"),
            ("LCS k1 k2 FOO", "syntax error"),
            ("LCS k1 k2 MINMATCHLEN", "syntax error"),
            ("LCS k1 k2 MINMATCHLEN x", "value is not an integer or out of range"),
            ("LCS k1 k2 IDX LEN", "If you want both the length and indexes, please just use IDX."),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"));
        }
        let large = vec![b'a'; 20_000];
        bench.run_args(&[b"MSET", b"l1", &large, b"l2", &large]);
        assert_eq!(
            bench.run("LCS l1 l2"),
            "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len|"
        );
    }
}
