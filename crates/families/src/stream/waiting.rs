//! How clients that wait for entries are served: for the engine, when a key has changed.
//!
//! A waiting XREAD or XREADGROUP names several keys, each with an id of its own, so it is cut down to
//! the key that changed; and it takes nothing away, so a change may serve any number of waiters, or
//! none. [`is_ready`] says beforehand whether running the command would answer: with entries, or with
//! an error because the group it waits for is gone.

use ochre_command::{Data, Key};

use super::read::Request;
use super::{id, peek};

/// A waiting command cut down to one of its keys; none when it does not name the key.
pub fn narrow<'a>(args: &[&'a [u8]], key: &'a [u8]) -> Option<Vec<&'a [u8]>> {
    // Behind the names of group and consumer, which may be any words.
    let from = if args.first()?.eq_ignore_ascii_case(b"XREADGROUP") { 4 } else { 1 };
    let keys = from + args.get(from..)?.iter().position(|word| *word == b"STREAMS")? + 1;
    let count = (args.len() - keys) / 2;
    let at = args[keys..keys + count].iter().position(|name| *name == key)?;
    let mut words = args[..keys].to_vec();
    words.extend([key, args[keys + count + at]]);
    Some(words)
}

/// Whether a command that [`narrow`] made would answer now.
pub fn is_ready(data: &mut Data<'_>, key: Key<'_>, args: &[&[u8]]) -> bool {
    let is_group = args.first().is_some_and(|name| name.eq_ignore_ascii_case(b"XREADGROUP"));
    let Ok(request) = Request::parse(args, is_group) else { return false };
    let now_ms = data.env.now.unix_ms;
    let stream = peek(data, key);
    let Some((group, _)) = request.group else {
        let (Ok(Some(stream)), Some(Ok(after))) = (stream, request.ids.first().map(|i| id(i, 0)))
        else {
            return false;
        };
        return stream.last().is_some_and(|last| last.id > after);
    };
    // A key that is gone or of another type answers too: with the error that says so.
    let Ok(Some(stream)) = stream else { return true };
    let Some(group) = stream.group(group) else { return true };
    let due = request.claim_ms.is_some_and(|ms| group.has_due(now_ms.saturating_sub(ms)));
    due || stream.last().is_some_and(|last| last.id > group.last_id)
}

#[cfg(test)]
mod tests {
    use super::narrow;

    fn words(line: &str) -> Vec<&[u8]> {
        line.split(' ').map(str::as_bytes).collect()
    }

    #[test]
    fn cut_down_to_one_key() {
        let read = words("XREAD COUNT 2 STREAMS a b 1-1 2-2");
        assert_eq!(narrow(&read, b"b"), Some(words("XREAD COUNT 2 STREAMS b 2-2")));
        assert_eq!(narrow(&read, b"c"), None);
        let group = words("XREADGROUP GROUP STREAMS STREAMS NOACK STREAMS x y > >");
        let cut = words("XREADGROUP GROUP STREAMS STREAMS NOACK STREAMS x >");
        assert_eq!(narrow(&group, b"x"), Some(cut));
        assert_eq!(narrow(&words("XREAD"), b"x"), None);
    }
}
