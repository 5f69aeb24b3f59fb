//! The configuration file, which holds a sentinel's state: written anew and synced before anyone is told of a change.
//!
//! Written beside, synced, renamed, and the folder synced: after a crash there is the old file or the new one.
//! Failure: the old file stays, the error is logged, and the next change tries again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use ochre_config::parse::words_of;
use ochre_config::value::quoted;
use ochre_sentinel::{Sentinel, rewrite};

/// Writes the state into the file. `users`: the `user` lines, when they have changed.
pub(super) fn save(path: &Path, machine: &Sentinel, users: Option<&[Vec<u8>]>) -> io::Result<()> {
    let mut text = fs::read(path)?;
    if let Some(users) = users {
        text = with_users(&text, users);
    }
    let text = rewrite::rewritten(&text, &machine.lines(), words_of, quote);
    replace(path, &text)
}

/// A word as the file needs it: in quotes only when it must be.
fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\' | b'#');
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    String::from_utf8_lossy(&quoted(word.as_bytes())).into_owned()
}

/// The text with these lines of users instead of those that it has.
fn with_users(text: &[u8], users: &[Vec<u8>]) -> Vec<u8> {
    let is_user = |line: &[u8]| {
        let words = words_of(line.trim_ascii()).unwrap_or_default();
        words.first().is_some_and(|word| word.eq_ignore_ascii_case(b"user"))
    };
    let old = text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n');
    let mut lines: Vec<&[u8]> = old.filter(|line| !is_user(line)).collect();
    lines.extend(users.iter().map(Vec::as_slice));
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    text
}

/// Puts a file in place of another, durably.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = path.with_file_name(format!("{name}-{}.tmp", std::process::id()));
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(text)?;
        if let Ok(meta) = fs::metadata(path) {
            file.set_permissions(meta.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    let result = write();
    if result.is_err() {
        // What is left of the attempt; the error that is reported is the first one.
        drop(fs::remove_file(&temporary));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_when_they_must_be() {
        for (word, shown) in
            [("abc", "abc"), ("", "\"\""), ("a b", "\"a b\""), ("a\"", "\"a\\\"\"")]
        {
            assert_eq!(quote(word), shown);
        }
    }

    #[test]
    fn lines_of_users_are_replaced() {
        let text = with_users(b"port 1\nuser a on\n# x\n", &[b"user b off".to_vec()]);
        assert_eq!(text, b"port 1\n# x\nuser b off\n");
    }
}
