//! COMMAND DOCS: a command's documentation, its arguments parsed from the row's syntax text.
//!
//! The syntax is the usual notation, and this is its grammar; anything else is a mistake in a row, which a
//! test finds:
//!
//! ```text
//! sequence = item*                      alternatives = sequence ("|" sequence)*
//! item     = WORD | name | "[" alternatives "]" | "<" alternatives ">" | name " ..." within brackets
//! ```
//!
//! An upper-case word is a token; a lower-case name is a value. A token followed by names is one
//! argument with that token (`EX seconds`). `name [name ...]` means that name may repeat.

use ochre_command::Reply;

use crate::registry::{Registry, Row};

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    name: String,
    kind: Kind,
    token: Option<String>,
    optional: bool,
    multiple: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// A value, of a type that its name tells.
    Value(&'static str),
    /// A word that stands for itself.
    PureToken,
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

/// Parses a row's syntax.
pub(crate) fn parse(syntax: &str) -> Vec<Argument> {
    let words: Vec<&str> = tokens(syntax);
    let mut at = 0;
    match alternatives(&words, &mut at) {
        mut branches if branches.len() <= 1 => branches.pop().unwrap_or_default(),
        branches => vec![one_of(branches)],
    }
}

/// Brackets and bars apart, words at blanks.
fn tokens(syntax: &str) -> Vec<&str> {
    let mut words = Vec::new();
    for word in syntax.split_whitespace() {
        let mut rest = word;
        while let Some(inner) = rest.strip_prefix(['[', '<']) {
            words.push(&rest[..1]);
            rest = inner;
        }
        let trimmed = rest.trim_end_matches([']', '>']);
        if !trimmed.is_empty() {
            words.push(trimmed);
        }
        words.extend(rest[trimmed.len()..].split("").filter(|end| !end.is_empty()));
    }
    words
}

fn alternatives(words: &[&str], at: &mut usize) -> Vec<Vec<Argument>> {
    let mut branches = vec![sequence(words, at)];
    while words.get(*at) == Some(&"|") {
        *at += 1;
        branches.push(sequence(words, at));
    }
    branches.retain(|branch| !branch.is_empty());
    branches
}

fn is_token(word: &str) -> bool {
    let letters = word.bytes().any(|b| b.is_ascii_alphabetic());
    (letters && !word.bytes().any(|b| b.is_ascii_lowercase())) || matches!(word, "=" | "~")
}

fn sequence(words: &[&str], at: &mut usize) -> Vec<Argument> {
    let mut items: Vec<Argument> = Vec::new();
    while let Some(&word) = words.get(*at) {
        match word {
            "]" | ">" | "|" => break,
            "<" => {
                *at += 1;
                let branches = alternatives(words, at);
                *at += 1;
                items.push(one_of(branches));
            }
            "[" => {
                *at += 1;
                let start = *at;
                let branches = alternatives(words, at);
                *at += 1;
                if words.get(at.saturating_sub(2)) == Some(&"...") {
                    repeat(&mut items, &words[start..at.saturating_sub(2)]);
                    continue;
                }
                items.extend(optional(branches));
            }
            "..." => *at += 1,
            _ if is_token(word) => {
                *at += 1;
                items.push(with_token(word, words, at));
            }
            _ => {
                *at += 1;
                items.push(value(word));
            }
        }
    }
    items
}

/// `[a b ...]` behind `a b`: those items repeat, as one block when there are several.
fn repeat(items: &mut Vec<Argument>, words: &[&str]) {
    let count = words.len().min(items.len()).max(1);
    if count == 1 {
        if let Some(last) = items.last_mut() {
            last.multiple = true;
        }
        return;
    }
    let block = items.split_off(items.len() - count);
    let name = block.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join("-");
    items.push(Argument {
        name,
        kind: Kind::Block(block),
        token: None,
        optional: false,
        multiple: true,
    });
}

fn optional(mut branches: Vec<Vec<Argument>>) -> Vec<Argument> {
    if branches.len() > 1 {
        return vec![Argument { optional: true, ..one_of(branches) }];
    }
    let Some(mut items) = branches.pop() else { return Vec::new() };
    if items.len() == 1 {
        items[0].optional = true;
        return items;
    }
    vec![Argument { optional: true, ..block(items) }]
}

fn one_of(branches: Vec<Vec<Argument>>) -> Argument {
    let choices: Vec<Argument> = branches
        .into_iter()
        .map(|mut items| if items.len() == 1 { items.remove(0) } else { block(items) })
        .collect();
    let name = choices.first().map_or_else(String::new, |first| format!("{}-choice", first.name));
    Argument { name, kind: Kind::OneOf(choices), token: None, optional: false, multiple: false }
}

fn block(items: Vec<Argument>) -> Argument {
    let name = items.first().map_or_else(String::new, |first| format!("{}-block", first.name));
    Argument { name, kind: Kind::Block(items), token: None, optional: false, multiple: false }
}

/// A token with the names that follow it directly.
fn with_token(word: &str, words: &[&str], at: &mut usize) -> Argument {
    let mut values = Vec::new();
    while let Some(&next) = words.get(*at) {
        if next == "<" && values.is_empty() {
            // A token before a required choice (AGGREGATE <SUM | MIN | MAX>) stands before all of it.
            *at += 1;
            let choice = one_of(alternatives(words, at));
            *at += 1;
            return Argument { token: Some(word.to_owned()), ..choice };
        }
        if matches!(next, "[" | "]" | "<" | ">" | "|" | "...") || is_token(next) {
            break;
        }
        *at += 1;
        values.push(value(next));
    }
    let token = Some(word.to_owned());
    match values.len() {
        0 => Argument {
            name: word.to_lowercase(),
            kind: Kind::PureToken,
            token,
            optional: false,
            multiple: false,
        },
        1 => Argument { token, ..values.remove(0) },
        _ => Argument { token, ..block(values) },
    }
}

fn value(name: &str) -> Argument {
    Argument {
        name: name.to_owned(),
        kind: Kind::Value(type_of(name)),
        token: None,
        optional: false,
        multiple: false,
    }
}

/// The type that COMMAND DOCS names, by the name of the argument.
fn type_of(name: &str) -> &'static str {
    match name {
        "key" | "key1" | "key2" | "newkey" | "source" | "destination" | "src" | "dst" => "key",
        "pattern" => "pattern",
        "increment-float" | "score" | "weight" | "min-score" | "max-score" => "double",
        _ if name.starts_with("unix-time") => "unix-time",
        "seconds" | "milliseconds" | "count" | "start" | "stop" | "end" | "offset" | "index"
        | "increment" | "decrement" | "numkeys" | "numfields" | "limit" | "cursor" | "rank"
        | "len" | "maxlen" | "db" | "destination-db" | "index1" | "index2" | "port" => "integer",
        "timeout" => "double",
        _ => "string",
    }
}

/// Writes a command's name and its documentation.
pub(crate) fn write(registry: &Registry, row: &Row, reply: &mut Reply<'_>) {
    let spec = &row.spec;
    let arguments = parse(spec.syntax);
    let fields = 4
        + usize::from(spec.deprecated.is_some()) * 3
        + usize::from(!arguments.is_empty())
        + usize::from(!row.subcommands.is_empty());
    reply.bulk(&row.full_name);
    reply.map(fields);
    for (name, value) in [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ] {
        reply.bulk(name);
        reply.bulk(value);
    }
    if let Some((since, instead)) = spec.deprecated {
        reply.bulk("doc_flags");
        reply.set(1);
        reply.status("deprecated");
        reply.bulk("deprecated_since");
        reply.bulk(since);
        reply.bulk("replaced_by");
        reply.bulk(instead);
    }
    if !arguments.is_empty() {
        reply.bulk("arguments");
        write_arguments(&arguments, reply);
    }
    if !row.subcommands.is_empty() {
        reply.bulk("subcommands");
        reply.map(row.subcommands.len());
        for &id in &row.subcommands {
            write(registry, registry.row(id), reply);
        }
    }
}

fn write_arguments(arguments: &[Argument], reply: &mut Reply<'_>) {
    reply.array(arguments.len());
    for argument in arguments {
        let (kind, inner) = match &argument.kind {
            Kind::Value(kind) => (*kind, None),
            Kind::PureToken => ("pure-token", None),
            Kind::OneOf(inner) => ("oneof", Some(inner)),
            Kind::Block(inner) => ("block", Some(inner)),
        };
        let flags: Vec<&str> = [(argument.optional, "optional"), (argument.multiple, "multiple")]
            .into_iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| name)
            .collect();
        let shown = matches!(argument.kind, Kind::Value(_));
        let fields = 2
            + usize::from(shown)
            + usize::from(argument.kind == Kind::Value("key"))
            + usize::from(argument.token.is_some())
            + usize::from(!flags.is_empty())
            + usize::from(inner.is_some());
        reply.map(fields);
        reply.bulk("name");
        reply.bulk(&argument.name);
        reply.bulk("type");
        reply.bulk(kind);
        if shown {
            reply.bulk("display_text");
            reply.bulk(&argument.name);
        }
        if argument.kind == Kind::Value("key") {
            reply.bulk("key_spec_index");
            reply.integer(0);
        }
        if let Some(token) = &argument.token {
            reply.bulk("token");
            reply.bulk(token);
        }
        if !flags.is_empty() {
            reply.bulk("flags");
            reply.set(flags.len());
            for flag in flags {
                reply.status(flag);
            }
        }
        if let Some(inner) = inner {
            reply.bulk("arguments");
            write_arguments(inner, reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(arguments: &[Argument]) -> String {
        let one = |a: &Argument| {
            let token = a.token.as_ref().map_or(String::new(), |t| format!("{t}:"));
            let body = match &a.kind {
                Kind::Value(kind) => format!("{}<{kind}>", a.name),
                Kind::PureToken => String::new(),
                Kind::OneOf(inner) => format!("({})", show(inner).replace(' ', "|")),
                Kind::Block(inner) => format!("{{{}}}", show(inner).replace(' ', ",")),
            };
            let marks = [(a.optional, "?"), (a.multiple, "+")];
            let marks: String = marks.iter().filter(|m| m.0).map(|m| m.1).collect();
            format!("{token}{body}{marks}")
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn reads_the_usual_notation() {
        let check = |syntax: &str, expected: &str| assert_eq!(show(&parse(syntax)), expected);
        check("key", "key<key>");
        check("key [key ...]", "key<key>+");
        check("key value [key value ...]", "{key<key>,value<string>}+");
        check("key [NX | XX] [GET]", "key<key> (NX:|XX:)? GET:?");
        check(
            "key [EX seconds | PX milliseconds | KEEPTTL]",
            "key<key> (EX:seconds<integer>|PX:milliseconds<integer>|KEEPTTL:)?",
        );
        check("[LIMIT offset count]", "LIMIT:{offset<integer>,count<integer>}?");
        check("<MIN | MAX> [COUNT count]", "(MIN:|MAX:) COUNT:count<integer>?");
        check("[AGGREGATE <SUM | MIN>]", "AGGREGATE:(SUM:|MIN:)?");
        check("", "");
    }

    /// Every row's syntax parses to something that names its arguments.
    #[test]
    fn every_row_parses() {
        let table = Registry::new(ochre_families::TABLES, crate::commands::TABLES);
        for row in table.rows() {
            let parsed = parse(row.spec.syntax);
            assert_eq!(parsed.is_empty(), row.spec.syntax.is_empty(), "{}", row.full_name);
            assert!(!row.spec.summary.is_empty(), "{} has no summary", row.full_name);
            assert!(!row.spec.complexity.is_empty(), "{} has no complexity", row.full_name);
            let brackets = row.spec.syntax.matches('[').count();
            assert_eq!(brackets, row.spec.syntax.matches(']').count(), "{}", row.full_name);
        }
    }
}
