//! Random commands from templates.
//!
//! A template is a command line with choices:
//!
//! ```text
//! SET {k} {v} [EX {ttl}|PX {ttl}000|KEEPTTL] [NX|XX]     [..] none or one of the choices
//! LINSERT {k} (BEFORE|AFTER) {m} {v}                     (..) exactly one of them
//! SADD {k} {m}+                                          + one to four times
//! ```
//!
//! Placeholders: `{k}` a key, `{v}` a value, `{m}` a member or field, `{i}` a small integer of
//! either sign, `{n}` a count from 0, `{big}` an integer at the edges, `{f}` a float, `{s}` a score
//! (also infinite, also nonsense), `{r}` a score bound, `{x}` a lexical bound, `{ttl}` seconds far
//! ahead, `{?}` a word that is nothing sensible, `{l}` a key of a sorted set whose scores
//! are all `{z}`, as ranges by text require, `{id}` an id of a stream's entry that rises with the
//! commands, `{g}` a consumer group, `{c}` a consumer. Choices do not nest.
//!
//! With a chance of 1 in 40 an argument is dropped or doubled, so that arity is tried throughout.

use ochre_base::rng::Rng;

/// A generator of commands for one family.
#[derive(Debug)]
pub struct Commands<'a> {
    rng: Rng,
    templates: Vec<&'a str>,
    made: u64,
}

impl<'a> Commands<'a> {
    /// Commands from the lines of `templates`, all equally often.
    pub fn new(templates: &'a str, seed: u64) -> Commands<'a> {
        let templates = templates.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        Commands { rng: Rng::new(seed), templates, made: 0 }
    }

    /// The next command.
    pub fn next_command(&mut self) -> Vec<Vec<u8>> {
        self.made += 1;
        let at = self.rng.below(self.templates.len() as u64) as usize;
        let mut args = self.expand(self.templates[at]);
        if self.rng.below(40) == 0 && args.len() > 1 {
            let at = 1 + self.rng.below(args.len() as u64 - 1) as usize;
            if self.rng.below(2) == 0 {
                args.remove(at);
            } else {
                args.insert(at, args[at].clone());
            }
        }
        args
    }

    fn expand(&mut self, template: &str) -> Vec<Vec<u8>> {
        let mut args = Vec::new();
        let mut rest = template;
        while let Some(start) = rest.chars().next() {
            if let Some(tail) = rest.strip_prefix(' ') {
                rest = tail;
                continue;
            }
            let (piece, tail) = match start {
                '[' => cut(&rest[1..], "]"),
                '(' => cut(&rest[1..], ")"),
                _ => cut(rest, " "),
            };
            rest = tail;
            match start {
                '[' if self.rng.below(2) == 0 => {}
                '[' | '(' => {
                    let choices: Vec<_> = piece.split('|').collect();
                    let at = self.rng.below(choices.len() as u64) as usize;
                    let choice = self.expand(choices[at]);
                    args.extend(choice);
                }
                _ => self.word(piece, &mut args),
            }
        }
        args
    }

    /// One word of a template; `{a}{b}+` repeats both in turn as separate arguments.
    fn word(&mut self, piece: &str, args: &mut Vec<Vec<u8>>) {
        let (piece, times) = match piece.strip_suffix('+') {
            Some(piece) => (piece, 1 + self.rng.below(4)),
            None => (piece, 1),
        };
        for _ in 0..times {
            let mut rest = piece;
            while !rest.is_empty() {
                if let Some(inner) = rest.strip_prefix('{') {
                    let (name, tail) = cut(inner, "}");
                    let mut word = self.placeholder(name);
                    // A literal tail belongs to the same argument: `{ttl}000`.
                    let end = tail.find('{').unwrap_or(tail.len());
                    word.extend_from_slice(&tail.as_bytes()[..end]);
                    args.push(word);
                    rest = &tail[end..];
                } else {
                    args.push(rest.as_bytes().to_vec());
                    rest = "";
                }
            }
        }
    }

    fn pick(&mut self, choices: &[&str]) -> Vec<u8> {
        choices[self.rng.below(choices.len() as u64) as usize].as_bytes().to_vec()
    }

    fn placeholder(&mut self, name: &str) -> Vec<u8> {
        let r = self.rng.below(1000);
        match name {
            "k" => self.pick(&["a", "b", "c", "d", "e", "f", "g", "h"]),
            "l" => self.pick(&["same1", "same2"]),
            "z" => b"0".to_vec(),
            "v" => match r % 8 {
                0 => self.pick(&["0", "1", "-1", "10", "9223372036854775807", "12345678901"]),
                1 => self.pick(&["1.5", "3.0e3", "-0", " 1", "007", "nan", "inf"]),
                2 => vec![b'x'; self.rng.below(100) as usize],
                3 => (0..self.rng.below(20)).map(|i| (i * 37 + r) as u8).collect(),
                _ => format!("value{}", r % 30).into_bytes(),
            },
            "m" => match r % 10 {
                0 => format!("long-member-{}-{}", r % 7, "y".repeat(70)).into_bytes(),
                1..=4 => (r % 40).to_string().into_bytes(),
                _ => format!("m{}", r % 25).into_bytes(),
            },
            "i" => (r as i64 % 13 - 6).to_string().into_bytes(),
            "n" => (r % 6).to_string().into_bytes(),
            "big" => self.pick(&[
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775808",
                "2147483648",
                "-1",
                "0",
                "1x",
                "",
            ]),
            "f" => self.pick(&["0.1", "-2.5", "1e3", "3", "0", "1e308", "nan", "inf", "x"]),
            "s" => match r % 12 {
                0 => self.pick(&["inf", "-inf", "+inf", "nan", "x", "1e400"]),
                1..=3 => format!("{}.{}", r % 7, r % 100).into_bytes(),
                _ => (r as i64 % 20 - 5).to_string().into_bytes(),
            },
            "r" => match r % 10 {
                0 => self.pick(&["-inf", "+inf", "(inf", "x", "(", "[1"]),
                1..=3 => format!("({}", r as i64 % 20 - 5).into_bytes(),
                _ => (r as i64 % 20 - 5).to_string().into_bytes(),
            },
            "x" => match r % 10 {
                0 => self.pick(&["-", "+", "(", "[", "m", ""]),
                1..=3 => format!("(m{}", r % 25).into_bytes(),
                4 => self.pick(&["-", "+"]),
                _ => format!("[m{}", r % 25).into_bytes(),
            },
            // Rising with the commands, so that entries can be added, and near what is there.
            "id" => format!("{}-{}", 1 + self.made / 8 + r % 12, r % 3).into_bytes(),
            "g" => self.pick(&["g1", "g2", "g3"]),
            "c" => self.pick(&["c1", "c2", "c3"]),
            "ttl" => (5000 + r).to_string().into_bytes(),
            "?" => self.pick(&["", "foo", "-", "1e", "WITHSCORES", "NX"]),
            _ => panic!("unknown placeholder {{{name}}}"),
        }
    }
}

/// The text before `end` and that behind it.
fn cut<'a>(text: &'a str, end: &str) -> (&'a str, &'a str) {
    text.split_once(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand() {
        let mut commands = Commands::new("SET {k} {v} [EX {ttl}|KEEPTTL]\nMSET {k}{v}+", 1);
        let mut longest = 0;
        for _ in 0..500 {
            let args = commands.next_command();
            longest = longest.max(args.len());
            assert!(args[0] == b"SET" || args[0] == b"MSET");
        }
        assert!((9..=10).contains(&longest), "{longest}");
    }

    #[test]
    fn same_seed_same_commands() {
        let text = "ZADD {k} [NX|XX] {s}{m}+\nSADD {k} {m}+";
        let take = |seed| {
            let mut commands = Commands::new(text, seed);
            (0..50).map(|_| commands.next_command()).collect::<Vec<_>>()
        };
        assert_eq!(take(5), take(5));
        assert_ne!(take(5), take(6));
    }
}
