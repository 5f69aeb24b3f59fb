//! Bytes of a client: cut at any places, they give the same commands as in one piece, and no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ochre_resp::request::Args;
use ochre_resp::{Limits, Parsed, Parser};

const COMMANDS_MAX: usize = 1000;

/// The commands of `bytes`, which come in pieces of `piece` bytes, and the error at their end.
fn commands(bytes: &[u8], piece: usize, limits: &Limits) -> (Vec<Vec<Vec<u8>>>, Option<Vec<u8>>) {
    let (mut parser, mut args, mut found) = (Parser::new(), Args::new(), Vec::new());
    let mut pending: Vec<u8> = Vec::new();
    for part in bytes.chunks(piece.max(1)) {
        pending.extend_from_slice(part);
        loop {
            match parser.next(&mut pending, limits, &mut args) {
                Parsed::Complete { consumed } => {
                    let words = args.iter().map(|range| {
                        pending[range.start as usize..(range.start + range.len) as usize].to_vec()
                    });
                    found.push(words.collect());
                    pending.drain(..consumed);
                }
                Parsed::Skipped { consumed } => drop(pending.drain(..consumed)),
                Parsed::Incomplete { .. } => break,
                Parsed::Error(error) => {
                    let mut text = Vec::new();
                    error.append_text(&mut text);
                    return (found, Some(text));
                }
            }
            if found.len() > COMMANDS_MAX {
                return (found, None);
            }
        }
    }
    (found, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, bytes)) = data.split_first() else { return };
    for authenticated in [true, false] {
        let limits = Limits { authenticated, ..Limits::default() };
        let whole = commands(bytes, usize::MAX, &limits);
        if whole.0.len() <= COMMANDS_MAX {
            assert_eq!(whole, commands(bytes, usize::from(piece), &limits));
        }
    }
});
