//! Byte streams that almost follow the protocol.
//!
//! A stream begins as a few valid commands (multibulk and inline) and is then damaged: bits
//! flipped, bytes dropped, doubled or inserted, lengths and counts made to lie, the end cut off.
//! None of the commands it starts from can stop or change the server for others (no SHUTDOWN,
//! CONFIG, CLIENT, DEBUG), and a few flipped bits do not make one of them.

use ochre_base::rng::Rng;
use ochre_testkit::raw::encode;

const WORDS: &[&str] = &[
    "PING", "GET", "SET", "MSET", "MGET", "LPUSH", "LRANGE", "HSET", "HGETALL", "SADD", "SINTER",
    "ZADD", "ZRANGE", "ECHO", "TYPE", "EXPIRE", "INCR", "APPEND", "MULTI", "EXEC", "DISCARD",
    "WATCH", "SCAN", "BLPOP", "EXISTS", "NOSUCH", "HELLO", "RESET", "SELECT", "OBJECT", "DEL",
];

const NUMBERS: &[&str] = &[
    "-1",
    "0",
    "1",
    "00",
    "-0",
    "1000000",
    "1048577",
    "2147483648",
    "9223372036854775807",
    "x",
    "",
];

/// One damaged stream.
pub fn stream(rng: &mut Rng) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..=rng.below(3) {
        command(rng, &mut out);
    }
    for _ in 0..=rng.below(4) {
        damage(rng, &mut out);
    }
    out
}

fn command(rng: &mut Rng, out: &mut Vec<u8>) {
    let mut args: Vec<Vec<u8>> = vec![pick(rng, WORDS).as_bytes().to_vec()];
    for _ in 0..rng.below(5) {
        args.push(match rng.below(4) {
            0 => pick(rng, NUMBERS).as_bytes().to_vec(),
            1 => (0..rng.below(30)).map(|_| rng.next_u64() as u8).collect(),
            _ => format!("k{}", rng.below(20)).into_bytes(),
        });
    }
    if rng.below(5) == 0 {
        out.extend(args.join(&b' '));
        out.extend_from_slice(if rng.below(2) == 0 { b"\r\n" } else { b"\n" });
    } else {
        encode(&args, out);
    }
}

fn damage(rng: &mut Rng, out: &mut Vec<u8>) {
    let at = rng.below(out.len() as u64 + 1) as usize;
    match rng.below(8) {
        0 if at < out.len() => out[at] ^= 1 << rng.below(8),
        1 if at < out.len() => {
            out.remove(at);
        }
        2 => out.insert(at, b"*$\r\n-+:\"' 0"[rng.below(11) as usize]),
        3 => out.truncate(at),
        4 => {
            let end = (at + rng.below(20) as usize).min(out.len());
            let piece = out[at..end].to_vec();
            out.splice(at..at, piece);
        }
        5 | 6 => lie(rng, out),
        _ => out.insert(at, rng.next_u64() as u8),
    }
}

/// Replaces the number behind one of the `*` or `$`.
fn lie(rng: &mut Rng, out: &mut Vec<u8>) {
    let marks: Vec<usize> =
        out.iter().enumerate().filter(|(_, b)| b"*$".contains(b)).map(|(i, _)| i).collect();
    if marks.is_empty() {
        return;
    }
    let from = marks[rng.below(marks.len() as u64) as usize] + 1;
    let end = out[from..].iter().position(|&b| b == b'\r').map_or(out.len(), |n| from + n);
    out.splice(from..end, pick(rng, NUMBERS).bytes());
}

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.below(from.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_replay() {
        let take = |seed| {
            let mut rng = Rng::new(seed);
            (0..200).map(|_| stream(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        let mut streams = take(2);
        streams.sort();
        streams.dedup();
        assert!(streams.len() > 190);
    }
}
