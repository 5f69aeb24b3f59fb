//! The same script against Ochre and a real server, compared reply by reply.
//!
//! A script is text, one step a line:
//!
//! ```text
//! # a comment
//! SET k v                      both servers get it; the replies must be equal
//! b: GET k                     the same by the client named b (the unnamed one is a)
//! ~unordered SMEMBERS s        equal but for the order of the array
//! OBJECT ENCODING s ==> "listpack"   ours must show so (see line::show); theirs is not looked at
//! LPOS l c RANK 0 =?> (err) x   ours as theirs, or so (as newer releases answer); also b< =?> x
//! b> BLPOP l 0                 sent without waiting
//! @blocked 1                   waits until both servers count one blocked client
//! b<                           the reply that b waits for, compared (b< ~kind also works)
//! @close b                     closes b's connections
//! @until -2 PTTL k             repeats the command on both until it answers with this integer
//! ```
//!
//! Normalisers, several may stand in a row: `~unordered` sorts an array or set; `~pairs` sorts the
//! pairs of a flat array or map; `~deep` sorts at every depth; `~near N` lets integers differ by
//! N; `~float` compares strings that are numbers to 15 digits; `~code` compares an error by its
//! first word; `~kind` compares only the type of the reply; `~size` the type and the number of
//! elements; `~any` compares nothing.
//!
//! All differences of a script are collected (the first `SHOWN_MAX` are shown), then the test
//! fails once with all of them, each with the commands that led to it.

use crate::Value;
use crate::line::{quoted, show, words};
use crate::raw::{Client, wait_until};
use crate::server::{Program, Server};
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;

/// Differences shown of one script.
const SHOWN_MAX: usize = 15;

/// Commands shown before a difference.
const HISTORY_MAX: usize = 8;

/// Which RESP version the clients of a pair speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resp {
    /// As connected.
    Two,
    /// After HELLO 3.
    Three,
}

/// What is left out of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Norm {
    /// Order of the elements.
    Unordered,
    /// Order of the pairs.
    Pairs,
    /// Order at every depth.
    Deep,
    /// Differences of integers up to this.
    Near(i64),
    /// Digits beyond the fifteenth.
    Float,
    /// An error's text behind its code word.
    Code,
    /// Everything but the type.
    Kind,
    /// Everything but the type and the number of elements.
    Size,
    /// Everything.
    Any,
}

/// Two servers that get the same commands.
#[derive(Debug)]
pub struct Pair {
    ours: Server,
    theirs: Server,
    clients: BTreeMap<String, (Client, Client)>,
    resp: Resp,
    label: String,
    history: VecDeque<String>,
    differences: Vec<String>,
}

impl Pair {
    /// Starts Ochre and the oracle, both with `options`.
    pub fn start(oracle: &Program, options: &[&str]) -> Pair {
        Pair {
            ours: Server::ochre(options),
            theirs: Server::start(oracle, options),
            clients: BTreeMap::new(),
            resp: Resp::Two,
            label: String::new(),
            history: VecDeque::new(),
            differences: Vec::new(),
        }
    }

    /// Our server.
    pub fn ours(&mut self) -> &mut Server {
        &mut self.ours
    }

    /// The oracle.
    pub fn theirs(&mut self) -> &mut Server {
        &mut self.theirs
    }

    /// Drops all clients and data and goes on in the given protocol; `label` names what follows
    /// in messages.
    pub fn restart(&mut self, resp: Resp, label: &str) {
        self.clients.clear();
        self.history.clear();
        self.resp = resp;
        self.label = format!("{label} {resp:?}");
        let (ours, theirs) = self.client("a");
        for client in [ours, theirs] {
            client.cmd(&["FLUSHALL"]);
        }
    }

    /// The two connections of a named client.
    pub fn client(&mut self, name: &str) -> (&mut Client, &mut Client) {
        let (ours, theirs) = self.clients.entry(name.to_owned()).or_insert_with(|| {
            let mut pair = (self.ours.client(), self.theirs.client());
            if self.resp == Resp::Three {
                pair.0.cmd(&["HELLO", "3"]);
                pair.1.cmd(&["HELLO", "3"]);
            }
            pair
        });
        (ours, theirs)
    }

    /// Runs a script (see the head of this file).
    pub fn script(&mut self, text: &str) {
        for line in text.lines().map(str::trim) {
            if !line.is_empty() && !line.starts_with('#') {
                self.step(line);
            }
        }
    }

    fn step(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix('@') {
            self.remember("", line);
            return self.directive(rest);
        }
        let (name, mark, rest) = client_prefix(line);
        match mark {
            '>' => {
                self.remember(name, rest);
                let args = words(rest);
                let (ours, theirs) = self.client(name);
                ours.send(&args);
                theirs.send(&args);
            }
            '<' => {
                self.remember(name, "(reads)");
                let (norms, rest) = normalisers(rest);
                let other = rest.strip_prefix("=?> ");
                let (ours, theirs) = self.client(name);
                let (ours, theirs) = (ours.try_reply(), theirs.try_reply());
                match (ours, theirs) {
                    (Ok(ours), Ok(_)) if Some(&*show(&ours)) == other => {}
                    (Ok(ours), Ok(theirs)) => self.compare(&ours, &theirs, &norms),
                    (ours, theirs) => {
                        let end = |r: std::io::Result<Value>| match r {
                            Ok(value) => show(&value),
                            Err(error) => format!("no reply ({error})"),
                        };
                        self.differs(&end(ours), &end(theirs));
                    }
                }
            }
            _ => {
                let (norms, rest) = normalisers(rest);
                match rest.split_once(" ==> ") {
                    Some((command, expected)) => self.expect(name, command, expected),
                    None => {
                        let (command, other) = match rest.split_once(" =?> ") {
                            Some((command, other)) => (command, Some(other)),
                            None => (rest, None),
                        };
                        self.run_or(name, &words(command), &norms, other);
                    }
                }
            }
        }
    }

    fn directive(&mut self, text: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "close" => {
                self.clients.remove(rest.trim());
            }
            "blocked" => {
                for server in [&self.ours, &self.theirs] {
                    let mut control = server.client();
                    wait_until(&format!("{} has {rest} blocked", server.name()), || {
                        (control.info("clients", "blocked_clients") == rest).then_some(())
                    });
                }
            }
            "until" => {
                let (expected, command) = rest.split_once(' ').unwrap_or((rest, ""));
                let args = words(command);
                let (ours, theirs) = self.client("a");
                for client in [ours, theirs] {
                    wait_until(text, || {
                        let value = client.cmd(&args);
                        (value.integer().map(|n| n.to_string()).as_deref() == Some(expected))
                            .then_some(())
                    });
                }
            }
            _ => panic!("unknown directive @{text}"),
        }
    }

    /// Sends a command by the unnamed client to both and compares.
    pub fn run<A: AsRef<[u8]>>(&mut self, args: &[A], norms: &[Norm]) {
        self.run_as("a", args, norms);
    }

    /// Sends a command by a named client to both and compares.
    pub fn run_as<A: AsRef<[u8]>>(&mut self, name: &str, args: &[A], norms: &[Norm]) {
        self.run_or(name, args, norms, None);
    }

    /// The same, but ours may also show as `other`.
    fn run_or<A: AsRef<[u8]>>(
        &mut self,
        name: &str,
        args: &[A],
        norms: &[Norm],
        other: Option<&str>,
    ) {
        self.remember(name, &quoted(args));
        let (ours, theirs) = self.client(name);
        // Both are sent before either is read, so that the two servers work at the same time.
        ours.send(args);
        theirs.send(args);
        let theirs_reply = theirs.reply();
        match ours.try_reply() {
            Ok(ours_reply) if Some(&*show(&ours_reply)) == other => {}
            Ok(ours_reply) => self.compare(&ours_reply, &theirs_reply, norms),
            Err(error) => {
                self.differs(&format!("no reply ({error})"), &show(&theirs_reply));
                self.clients.remove(name);
                // A server that hangs would hang for each step to come.
                let hangs = matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
                if hangs || !self.ours.is_alive() {
                    panic!("{}", self.report());
                }
            }
        }
    }

    /// Sends a command to both and compares ours with a text.
    fn expect(&mut self, name: &str, command: &str, expected: &str) {
        self.remember(name, command);
        let args = words(command);
        let (ours, theirs) = self.client(name);
        let (ours, _) = (ours.cmd(&args), theirs.cmd(&args));
        if show(&ours) != expected.trim() {
            self.differs(&show(&ours), expected.trim());
        }
    }

    fn compare(&mut self, ours: &Value, theirs: &Value, norms: &[Norm]) {
        if !same(ours, theirs, norms) {
            self.differs(&show(ours), &show(theirs));
        }
    }

    /// Notes a difference.
    pub fn differs(&mut self, ours: &str, theirs: &str) {
        let history: Vec<_> = self.history.iter().map(String::as_str).collect();
        self.differences.push(format!(
            "[{}]\n    {}\n  ours:   {ours}\n  theirs: {theirs}\n",
            self.label,
            history.join("\n    ")
        ));
    }

    fn remember(&mut self, name: &str, text: &str) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(if name == "a" { text.into() } else { format!("{name}: {text}") });
    }

    /// How many differences there are so far.
    pub fn difference_count(&self) -> usize {
        self.differences.len()
    }

    fn report(&self) -> String {
        let shown = &self.differences[..self.differences.len().min(SHOWN_MAX)];
        format!(
            "{} differences from {}:\n{}",
            self.differences.len(),
            self.theirs.name(),
            shown.join("\n")
        )
    }

    /// Fails if there were differences.
    pub fn finish(self) {
        assert!(self.differences.is_empty(), "{}", self.report());
    }
}

/// `b: `, `b> ` or `b<` at the front of a step.
fn client_prefix(line: &str) -> (&str, char, &str) {
    let end = line.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    if let Some(end) = end.filter(|&end| end > 0 && end <= 3) {
        let mark = line[end..].chars().next().unwrap_or(' ');
        let rest = &line[end + mark.len_utf8()..];
        if ":><".contains(mark) && (rest.is_empty() || rest.starts_with(' ')) {
            return (&line[..end], mark, rest.trim_start());
        }
    }
    ("a", ':', line)
}

/// The `~` words at the front of a step.
fn normalisers(mut text: &str) -> (Vec<Norm>, &str) {
    let mut norms = Vec::new();
    while let Some(rest) = text.strip_prefix('~') {
        let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        text = rest.trim_start();
        norms.push(match word {
            "unordered" => Norm::Unordered,
            "pairs" => Norm::Pairs,
            "deep" => Norm::Deep,
            "float" => Norm::Float,
            "code" => Norm::Code,
            "kind" => Norm::Kind,
            "size" => Norm::Size,
            "any" => Norm::Any,
            "near" => {
                let (number, rest) = text.split_once(' ').unwrap_or((text, ""));
                text = rest.trim_start();
                match number.parse() {
                    Ok(n) => Norm::Near(n),
                    Err(_) => panic!("~near needs a number, not {number}"),
                }
            }
            _ => panic!("unknown normaliser ~{word}"),
        });
    }
    (norms, text)
}

/// Whether two replies are equal but for what `norms` leave out.
pub fn same(ours: &Value, theirs: &Value, norms: &[Norm]) -> bool {
    let (mut ours, mut theirs) = (ours.clone(), theirs.clone());
    for norm in norms {
        match norm {
            Norm::Any => return true,
            Norm::Kind => return kind(&ours) == kind(&theirs),
            Norm::Size => return kind(&ours) == kind(&theirs) && size(&ours) == size(&theirs),
            Norm::Code => {
                if let (Some(a), Some(b)) = (ours.error(), theirs.error()) {
                    return a.split(|&c| c == b' ').next() == b.split(|&c| c == b' ').next();
                }
            }
            Norm::Unordered => [&mut ours, &mut theirs].into_iter().for_each(sort_items),
            Norm::Pairs => [&mut ours, &mut theirs].into_iter().for_each(sort_pairs),
            Norm::Deep => [&mut ours, &mut theirs].into_iter().for_each(sort_deep),
            Norm::Near(_) | Norm::Float => {}
        }
    }
    alike(&ours, &theirs, norms)
}

fn alike(ours: &Value, theirs: &Value, norms: &[Norm]) -> bool {
    let near = norms.iter().find_map(|n| if let Norm::Near(n) = n { Some(*n) } else { None });
    let float = norms.contains(&Norm::Float);
    let all = |a: &[Value], b: &[Value]| {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b, norms))
    };
    match (ours, theirs) {
        (Value::Integer(a), Value::Integer(b)) => {
            a == b || near.is_some_and(|n| *a > 0 && *b > 0 && (a - b).abs() <= n)
        }
        (Value::Array(a), Value::Array(b))
        | (Value::Set(a), Value::Set(b))
        | (Value::Push(a), Value::Push(b)) => all(a, b),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((k, v), (l, w))| alike(k, l, norms) && alike(v, w, norms))
        }
        (Value::Double(a), Value::Double(b)) => {
            a == b || (a.is_nan() && b.is_nan()) || (float && close(*a, *b))
        }
        (Value::Bulk(a), Value::Bulk(b)) => {
            a == b || (float && matches!((number(a), number(b)), (Some(a), Some(b)) if close(a, b)))
        }
        _ => ours == theirs,
    }
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn close(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= a.abs().max(b.abs()) * 1e-15
}

fn kind(value: &Value) -> std::mem::Discriminant<Value> {
    std::mem::discriminant(value)
}

fn size(value: &Value) -> usize {
    match value {
        Value::Map(pairs) => pairs.len(),
        other => other.items().map_or(1, <[Value]>::len),
    }
}

fn sort_items(value: &mut Value) {
    if let Value::Array(items) | Value::Set(items) = value {
        items.sort_by_cached_key(show);
    }
}

fn sort_pairs(value: &mut Value) {
    match value {
        Value::Map(pairs) => pairs.sort_by_cached_key(|(k, v)| (show(k), show(v))),
        Value::Array(items) if items.len() % 2 == 0 => {
            let mut pairs: Vec<_> = items.chunks(2).map(<[Value]>::to_vec).collect();
            pairs.sort_by_cached_key(|pair| (show(&pair[0]), show(&pair[1])));
            *items = pairs.concat();
        }
        _ => {}
    }
}

fn sort_deep(value: &mut Value) {
    match value {
        Value::Array(items) | Value::Set(items) => items.iter_mut().for_each(sort_deep),
        Value::Map(pairs) => pairs.iter_mut().for_each(|(_, v)| sort_deep(v)),
        _ => {}
    }
    sort_items(value);
    if matches!(value, Value::Map(_)) {
        sort_pairs(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_normalisers() {
        assert_eq!(client_prefix("b: GET k"), ("b", ':', "GET k"));
        assert_eq!(client_prefix("b> BLPOP k 0"), ("b", '>', "BLPOP k 0"));
        assert_eq!(client_prefix("b<"), ("b", '<', ""));
        assert_eq!(client_prefix("GET a:b"), ("a", ':', "GET a:b"));
        assert_eq!(client_prefix("get k"), ("a", ':', "get k"));
        let (norms, rest) = normalisers("~near 20 ~unordered TTL k");
        assert_eq!(norms, [Norm::Near(20), Norm::Unordered]);
        assert_eq!(rest, "TTL k");
    }

    #[test]
    fn comparison_leaves_out_only_what_it_is_told() {
        let bulk = |s: &str| Value::Bulk(s.into());
        let array = |s: &[&str]| Value::Array(s.iter().map(|s| bulk(s)).collect());
        assert!(!same(&array(&["a", "b"]), &array(&["b", "a"]), &[]));
        assert!(same(&array(&["a", "b"]), &array(&["b", "a"]), &[Norm::Unordered]));
        assert!(!same(&array(&["a", "c"]), &array(&["b", "a"]), &[Norm::Unordered]));
        let flat = array(&["k", "1", "a", "2"]);
        assert!(same(&flat, &array(&["a", "2", "k", "1"]), &[Norm::Pairs]));
        assert!(!same(&flat, &array(&["a", "1", "k", "2"]), &[Norm::Pairs]));
        assert!(same(&Value::Integer(100), &Value::Integer(99), &[Norm::Near(1)]));
        assert!(!same(&Value::Integer(100), &Value::Integer(98), &[Norm::Near(1)]));
        assert!(!same(&Value::Integer(-1), &Value::Integer(1), &[Norm::Near(5)]));
        let error = |s: &str| Value::Error(s.into());
        assert!(same(&error("ERR a"), &error("ERR b"), &[Norm::Code]));
        assert!(!same(&error("ERR a"), &error("WRONGTYPE a"), &[Norm::Code]));
        assert!(same(&bulk("0.1"), &bulk("0.10000000000000000001"), &[Norm::Float]));
        assert!(!same(&bulk("0.1"), &bulk("0.11"), &[Norm::Float]));
        assert!(same(&array(&["x", "y"]), &array(&["a", "b"]), &[Norm::Size]));
        assert!(!same(&array(&["x"]), &array(&["a", "b"]), &[Norm::Size]));
        assert!(!same(&bulk("x"), &Value::NullBulk, &[Norm::Kind]));
    }
}
