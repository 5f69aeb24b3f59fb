//! A directive's value: from words, and back to text.
//!
//! Parsing needs the row's kind, and for the one kind that is set piecewise (output limits) the
//! value in force. Showing is CONFIG GET's form; [`Value::lines`] is that of a configuration
//! file, which CONFIG REWRITE writes and the parser reads back to the same value.

use crate::directive::{Directive, Kind};
use crate::special::{
    CLASS_NAMES, EventClasses, OutputLimit, Refusal, SavePoint, Schedule, class_of,
    is_title_template, parse_oom_scores, parse_output_limits, parse_percentiles, parse_save,
    show_percentile,
};
use ochre_base::num::{parse_i64, parse_memory};

/// The value of a directive; which variant is decided by its kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of [`Kind::Bool`].
    Bool(bool),
    /// Of [`Kind::Int`], [`Kind::Clamped`], [`Kind::Octal`], [`Kind::Choice`], [`Kind::Bits`].
    Int(i64),
    /// Of [`Kind::Memory`]: bytes.
    Memory(u64),
    /// Of the kinds that are plain text.
    Text(Vec<u8>),
    /// Of [`Kind::MemoryOrPercent`].
    Share(Share),
    /// Of [`Kind::Bind`].
    List(Vec<Vec<u8>>),
    /// Of [`Kind::Save`].
    Save(Vec<SavePoint>),
    /// Of [`Kind::OutputLimits`].
    OutputLimits([OutputLimit; 3]),
    /// Of [`Kind::Events`].
    Events(EventClasses),
    /// Of [`Kind::OomScores`].
    OomScores([i64; 3]),
    /// Of [`Kind::Percentiles`].
    Percentiles(Vec<f64>),
    /// Of [`Kind::HostPort`]; `None` for neither.
    HostPort(Option<(Vec<u8>, u16)>),
}

/// An amount of memory, absolute or relative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Bytes; 0 for no limit.
    Bytes(u64),
    /// Percent of `maxmemory`, 0 to 100.
    Percent(u8),
}

/// What a C `int` holds, and the peers take before they move a number into its range.
const INT_MAX: i64 = i32::MAX as i64;

/// Most addresses in `bind`. Peers: 16.
pub const BIND_MAX: usize = 16;

impl Value {
    /// The default of a row.
    pub fn default_of(directive: &Directive) -> Value {
        let words: Vec<&[u8]> = split_value(directive.kind, directive.default.as_bytes());
        // The table is constant, and a test walks it and reads every default.
        Value::parse(directive.kind, &words, None).expect("a row with an invalid default")
    }

    /// Reads a value. `current` is the value in force, for kinds that are set piecewise.
    pub fn parse(kind: Kind, words: &[&[u8]], current: Option<&Value>) -> Result<Value, Refusal> {
        if kind.takes_many_words() {
            return parse_many(kind, words, current);
        }
        let &[word] = words else {
            return Err("wrong number of arguments".into());
        };
        Ok(match kind {
            Kind::Bool => Value::Bool(match word.to_ascii_lowercase().as_slice() {
                b"yes" => true,
                b"no" => false,
                _ => return Err("argument must be 'yes' or 'no'".into()),
            }),
            Kind::Int { min, max, .. } => {
                let value = parse_integer(word)?;
                if !(min..=max).contains(&value) {
                    return Err(out_of_range(min, max));
                }
                Value::Int(value)
            }
            Kind::Clamped { min, max, .. } => {
                let value = parse_integer(word)?;
                if !(0..=INT_MAX).contains(&value) {
                    return Err(out_of_range(0, INT_MAX));
                }
                Value::Int(value.clamp(min, max))
            }
            Kind::Memory { min, max } => {
                let value = parse_memory(word).ok_or("argument must be a memory value")?;
                if !(min..=max).contains(&value) {
                    return Err(out_of_range(min, max));
                }
                Value::Memory(value)
            }
            Kind::Choice(choices) => Value::Int(choice(choices, word)?),
            Kind::FileName(refusal) if word.contains(&b'/') => return Err(refusal.into()),
            Kind::TitleTemplate if !is_title_template(word) => {
                return Err("template format is invalid or contains unknown variables".into());
            }
            Kind::Schedule if Schedule::parse(word).is_none() => {
                return Err(
                    "argument must be 'hourly', 'daily', 'weekly' or a number of seconds, \
                            from 1 to 31536000"
                        .into(),
                );
            }
            Kind::Text | Kind::FileName(_) | Kind::TitleTemplate | Kind::Schedule => {
                Value::Text(word.to_vec())
            }
            Kind::Octal => Value::Int(parse_octal(word)?),
            Kind::MemoryOrPercent => Value::Share(parse_share(word)?),
            Kind::Events => Value::Events(EventClasses::parse(word)?),
            // The kinds of many words were dealt with above.
            _ => return Err("wrong number of arguments".into()),
        })
    }

    /// The text that CONFIG GET shows.
    pub fn show(&self, kind: Kind) -> Vec<u8> {
        match (self, kind) {
            (Value::Int(value), Kind::Choice(choices)) => word_of(choices, *value).into(),
            (Value::Int(value), Kind::Bits(choices)) => bit_words(choices, *value).into_bytes(),
            (Value::Int(value), Kind::Octal) => format!("{value:o}").into_bytes(),
            (Value::Bool(value), _) => (if *value { "yes" } else { "no" }).into(),
            (Value::Int(value), _) => value.to_string().into_bytes(),
            (Value::Memory(value), _) => value.to_string().into_bytes(),
            (Value::Text(text), _) => text.clone(),
            (Value::Share(Share::Bytes(bytes)), _) => bytes.to_string().into_bytes(),
            (Value::Share(Share::Percent(percent)), _) => format!("{percent}%").into_bytes(),
            (Value::List(items), _) => items.join(&b' '),
            (Value::Save(points), _) => {
                join(points.iter().map(|p| format!("{} {}", p.seconds, p.changes)))
            }
            (Value::OutputLimits(limits), _) => {
                join(limits.iter().zip(CLASS_NAMES).map(|(limit, name)| {
                    let OutputLimit { hard_bytes, soft_bytes, soft_seconds } = limit;
                    format!("{name} {hard_bytes} {soft_bytes} {soft_seconds}")
                }))
            }
            (Value::Events(classes), _) => classes.show(),
            (Value::OomScores(scores), _) => join(scores.iter().map(i64::to_string)),
            (Value::Percentiles(values), _) => join(values.iter().map(|v| show_percentile(*v))),
            (Value::HostPort(None), _) => Vec::new(),
            (Value::HostPort(Some((host, port))), _) => {
                [host, format!(" {port}").as_bytes()].concat()
            }
        }
    }

    /// The lines of a configuration file that give this value to the directive; at least one.
    pub fn lines(&self, directive: &Directive) -> Vec<Vec<u8>> {
        let name = directive.name;
        let one = |rest: String| vec![format!("{name} {rest}").into_bytes()];
        match self {
            Value::Memory(bytes) | Value::Share(Share::Bytes(bytes)) => one(show_memory(*bytes)),
            Value::Save(points) if !points.is_empty() => points
                .iter()
                .map(|p| format!("{name} {} {}", p.seconds, p.changes).into_bytes())
                .collect(),
            Value::OutputLimits(limits) => (0..limits.len())
                .map(|class| output_limit_line(name, class, &limits[class]))
                .collect(),
            Value::List(items) if !items.is_empty() => {
                vec![[name.as_bytes(), &items.join(&b' ')].join(&b' ')]
            }
            Value::Text(text) => vec![[name.as_bytes(), &quoted(text)].join(&b' ')],
            Value::Events(classes) => vec![[name.as_bytes(), &quoted(&classes.show())].join(&b' ')],
            _ => {
                let shown = self.show(directive.kind);
                let rest = if shown.is_empty() { b"\"\"".to_vec() } else { shown };
                vec![[name.as_bytes(), &rest].join(&b' ')]
            }
        }
    }
}

fn parse_many(kind: Kind, words: &[&[u8]], current: Option<&Value>) -> Result<Value, Refusal> {
    Ok(match kind {
        Kind::Bits(choices) => {
            if words.is_empty() {
                return Err("wrong number of arguments".into());
            }
            let mut bits = 0;
            for word in words {
                bits |= choice(choices, word)?;
            }
            Value::Int(bits)
        }
        Kind::Bind => {
            if words.len() > BIND_MAX {
                return Err("Too many bind addresses specified.".into());
            }
            let words = if words == [b""] { &[] } else { words };
            Value::List(words.iter().map(|w| w.to_vec()).collect())
        }
        Kind::Save => Value::Save(parse_save(words)?),
        Kind::OutputLimits => {
            let limits = match current {
                Some(Value::OutputLimits(limits)) => *limits,
                _ => [OutputLimit::default(); 3],
            };
            Value::OutputLimits(parse_output_limits(words, limits)?)
        }
        Kind::OomScores => Value::OomScores(parse_oom_scores(words)?),
        Kind::Percentiles => Value::Percentiles(parse_percentiles(words)?),
        Kind::HostPort => match words {
            [] | [b""] => Value::HostPort(None),
            [host, port]
                if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") =>
            {
                Value::HostPort(None)
            }
            [host, port] => {
                let port = parse_i64(port).and_then(|p| u16::try_from(p).ok());
                Value::HostPort(Some((host.to_vec(), port.ok_or("Invalid master port")?)))
            }
            _ => return Err("wrong number of arguments".into()),
        },
        _ => return Err("wrong number of arguments".into()),
    })
}

/// Splits the one text that CONFIG SET gives into the words that the kind expects: at every blank,
/// so that two blanks enclose an empty word.
pub(crate) fn split_value(kind: Kind, text: &[u8]) -> Vec<&[u8]> {
    if kind.takes_many_words() { text.split(|b| *b == b' ').collect() } else { vec![text] }
}

fn join(parts: impl Iterator<Item = String>) -> Vec<u8> {
    parts.collect::<Vec<_>>().join(" ").into_bytes()
}

fn parse_integer(word: &[u8]) -> Result<i64, Refusal> {
    parse_i64(word).ok_or(Refusal::Borrowed("argument couldn't be parsed into an integer"))
}

fn out_of_range(min: impl std::fmt::Display, max: impl std::fmt::Display) -> Refusal {
    format!("argument must be between {min} and {max} inclusive").into()
}

fn parse_octal(word: &[u8]) -> Result<i64, Refusal> {
    let text = std::str::from_utf8(word).unwrap_or_default();
    let value = i64::from_str_radix(text, 8)
        .map_err(|_| "argument couldn't be parsed as an octal number")?;
    if (0..=0o777).contains(&value) {
        Ok(value)
    } else {
        Err(format!("argument must be between 0 and {:o} inclusive", 0o777).into())
    }
}

fn parse_share(word: &[u8]) -> Result<Share, Refusal> {
    const REFUSED: &str = "argument must be a memory or percent value";
    let percent = match word.strip_suffix(b"%") {
        None => {
            let bytes = parse_memory(word).ok_or(REFUSED)?;
            if i64::try_from(bytes).is_ok() {
                return Ok(Share::Bytes(bytes));
            }
            // The peers keep a percentage as a negative number of bytes, and take 2^64 - 1 for 1 %.
            (bytes as i64).unsigned_abs()
        }
        Some(digits) => parse_i64(digits).and_then(|p| u64::try_from(p).ok()).ok_or(REFUSED)?,
    };
    if percent > 100 {
        return Err("percentage argument must be less or equal to 100".into());
    }
    Ok(Share::Percent(percent as u8))
}

fn choice(choices: &[(&str, i64)], word: &[u8]) -> Result<i64, Refusal> {
    match choices.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())) {
        Some((_, value)) => Ok(*value),
        None => {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            Err(format!("argument(s) must be one of the following: {}", names.join(", ")).into())
        }
    }
}

fn word_of(choices: &'static [(&'static str, i64)], value: i64) -> &'static str {
    choices.iter().find(|(_, v)| *v == value).map_or("", |(name, _)| name)
}

fn bit_words(choices: &[(&str, i64)], value: i64) -> String {
    let set: Vec<&str> = choices
        .iter()
        .filter(|(_, bit)| if value == 0 { *bit == 0 } else { *bit != 0 && value & bit == *bit })
        .map(|(name, _)| *name)
        .collect();
    set.join(" ")
}

/// Bytes in the largest unit that divides them.
fn show_memory(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// The line of one class of `client-output-buffer-limit`.
fn output_limit_line(name: &str, class: usize, limit: &OutputLimit) -> Vec<u8> {
    let class = if class_of(b"replica") == Some(class) { "replica" } else { CLASS_NAMES[class] };
    let (hard, soft) = (show_memory(limit.hard_bytes), show_memory(limit.soft_bytes));
    format!("{name} {class} {hard} {soft} {}", limit.soft_seconds).into_bytes()
}

/// A text in double quotes, so that the parser reads back the same bytes.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}
