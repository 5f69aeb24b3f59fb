//! MONITOR: a line for each command, to the loops that have monitors.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_command::spec::Flags;

use crate::engine::Engine;
use crate::mailbox::Message;
use crate::registry::Row;
use crate::slowlog;
use crate::turn::Turn;

/// Whether any client listens.
#[inline]
pub(crate) fn is_on(engine: &Engine) -> bool {
    engine.monitors.load(Ordering::Relaxed) > 0
}

/// Sends the line of a command that is about to run.
#[cold]
pub(crate) fn feed(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) {
    if !row.spec.flags.intersects(HIDDEN) {
        let hidden = slowlog::redacted(row, args);
        feed_caller(turn, hidden.as_deref().unwrap_or(args));
    }
}

/// Sends the line of a command that runs a script: before the lines of the script's own commands,
/// and whatever its row says.
#[cold]
pub(crate) fn feed_caller(turn: &Turn<'_>, args: &[&[u8]]) {
    let info = &turn.session.info;
    let source = if info.is_unix {
        format!("unix:{}", info.laddr.trim_end_matches(":0"))
    } else {
        info.addr.clone()
    };
    send(turn, args, &source);
}

/// Sends the line of a command that a script runs.
#[cold]
pub(crate) fn feed_script(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) {
    if !row.spec.flags.intersects(HIDDEN) {
        send(turn, args, "lua");
    }
}

/// What MONITOR does not show.
const HIDDEN: Flags = Flags::SKIP_MONITOR.union(Flags::ADMIN);

fn send(turn: &Turn<'_>, args: &[&[u8]], source: &str) {
    let us = turn.lp.now.unix_us;
    let mut line = String::new();
    // Writing to a string cannot fail.
    let _ =
        write!(line, "+{}.{:06} [{} {}]", us / 1_000_000, us % 1_000_000, turn.session.db, source);
    let mut line = line.into_bytes();
    for arg in args {
        line.push(b' ');
        quote(arg, &mut line);
    }
    line.extend_from_slice(b"\r\n");
    let line: Arc<[u8]> = line.into();
    turn.engine.tell_all(|| Message::Monitor(Arc::clone(&line)));
}

/// Appends `bytes` in double quotes, with what is not printable escaped.
pub fn quote(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in bytes {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x20..=0x7E => out.push(byte),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'x', high, low]);
            }
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_what_is_not_printable() {
        let mut out = Vec::new();
        super::quote(b"a\"\\\n\x00\xffz", &mut out);
        assert_eq!(out, br#""a\"\\\n\x00\xffz""#);
    }
}
