//! The `sentinel` lines of a configuration file's text brought up to date.
//!
//! Comments and all other lines stay where they are. A line about a thing that had one takes its place; lines of things
//! that are not there any more go; new ones come at the end.

use std::collections::{BTreeMap, VecDeque};

/// What a line is about: the option, and the primary it is of.
fn subject(words: &[String]) -> (String, String) {
    let name = words.first().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let name = if name == "known-slave" { "known-replica".to_owned() } else { name };
    let of_primary = words.len() > 2;
    (name, if of_primary { words[1].clone() } else { String::new() })
}

/// Puts `lines` (see [`Sentinel::lines`](crate::Sentinel::lines)) into the text of a file. `split` gives the words of a
/// line, `quote` a word as it is written.
pub fn rewritten(
    old: &[u8],
    lines: &[Vec<String>],
    split: impl Fn(&[u8]) -> Option<Vec<Vec<u8>>>,
    quote: impl Fn(&str) -> String,
) -> Vec<u8> {
    let mut left: BTreeMap<(String, String), VecDeque<&Vec<String>>> = BTreeMap::new();
    for line in lines {
        left.entry(subject(line)).or_default().push_back(line);
    }
    let show = |line: &[String]| {
        let words: Vec<String> = line.iter().map(|word| quote(word)).collect();
        format!("sentinel {}", words.join(" ")).into_bytes()
    };
    let mut out: Vec<Vec<u8>> = Vec::new();
    let old_lines = old.strip_suffix(b"\n").unwrap_or(old).split(|byte| *byte == b'\n');
    for line in old_lines {
        let words = split(line.trim_ascii()).unwrap_or_default();
        let is_ours = words.first().is_some_and(|word| word.eq_ignore_ascii_case(b"sentinel"));
        if !is_ours {
            out.push(line.to_vec());
            continue;
        }
        let words: Vec<String> =
            words[1..].iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        if let Some(line) = left.get_mut(&subject(&words)).and_then(VecDeque::pop_front) {
            out.push(show(line));
        }
    }
    // In the order in which they are given.
    for line in lines {
        let waiting = left.get_mut(&subject(line));
        if let Some(waiting) = waiting
            && waiting.front().is_some_and(|first| std::ptr::eq(*first, line))
        {
            waiting.pop_front();
            out.push(show(line));
        }
    }
    let mut text = out.join(&b'\n');
    text.push(b'\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, lines: &[&str], new: &str) {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let lines: Vec<Vec<String>> = lines.iter().map(|line| words(line)).collect();
        let split = |line: &[u8]| {
            Some(line.split(|b| *b == b' ').filter(|w| !w.is_empty()).map(<[u8]>::to_vec).collect())
        };
        let text = rewritten(old.as_bytes(), &lines, split, str::to_owned);
        assert_eq!(String::from_utf8(text).unwrap(), new);
    }

    #[test]
    fn each_line_in_its_place() {
        check(
            "# a\nsentinel monitor m 1.1.1.1 1 2\nport 1\nsentinel known-slave m 2.2.2.2 2\n\
             sentinel known-sentinel m 3.3.3.3 3 x\n",
            &[
                "myid a",
                "monitor m 2.2.2.2 2 2",
                "known-replica m 1.1.1.1 1",
                "known-replica m 4.4.4.4 4",
            ],
            "# a\nsentinel monitor m 2.2.2.2 2 2\nport 1\nsentinel known-replica m 1.1.1.1 1\n\
             sentinel myid a\nsentinel known-replica m 4.4.4.4 4\n",
        );
    }
}
