//! Which scripts cannot touch a key outside KEYS: those may run under the locks of their declared
//! keys alone, beside other scripts.
//!
//! The analysis is of the text, and conservative: what it does not understand is not proven. Every
//! use of `redis` (or `server`) has to be a harmless member, or `redis.call(` and `redis.pcall(` with a
//! literal command; where the command's row has a key, the argument has to be `KEYS[...]`; and nothing
//! may rebind or alias `redis`, `server`, `KEYS` or `unpack`, write to an element of KEYS, or name a
//! function that reaches globals or compiles text.
//!
//! Arguments are counted exactly: any expression but the last gives one value, and the last may give
//! several (a call, `...`), which then stand behind all that was counted.
//!
//! Costs: O(text), once for each script.

use ochre_command::spec::{Begin, CommandSpec, Find, Flags, KeyFlags, KeySpec};

/// A token; strings only when they have no escapes.
#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Name(&'a [u8]),
    /// A plain string's text; none for one that would have to be decoded.
    Text(Option<&'a [u8]>),
    Number,
    /// An operator or bracket.
    Sign(&'a [u8]),
}

/// Finds the row of a command by its name and its first argument.
pub type Lookup<'l, 's> = &'l dyn Fn(&[u8], Option<&[u8]>) -> Option<&'s CommandSpec>;

/// Whether a script's code stays within KEYS. `lookup` finds the row of a command, given its name and
/// first argument when that is a literal.
pub fn is_confined<'s>(code: &[u8], lookup: Lookup<'_, 's>) -> bool {
    tokens(code).is_some_and(|tokens| Checker { tokens: &tokens, lookup }.check())
}

/// Names that reach globals, compile text, or write past metatables.
const FORBIDDEN: &[&[u8]] = &[
    b"_G",
    b"getfenv",
    b"setfenv",
    b"loadstring",
    b"load",
    b"rawset",
    b"rawget",
    b"setmetatable",
    b"getmetatable",
    b"table",
    b"next",
    b"__redis__err__handler",
];

/// Members of `redis` that run no command.
const HARMLESS: &[&[u8]] = &[
    b"log",
    b"sha1hex",
    b"error_reply",
    b"status_reply",
    b"setresp",
    b"set_repl",
    b"replicate_commands",
    b"breakpoint",
    b"debug",
];

fn tokens(code: &[u8]) -> Option<Vec<Token<'_>>> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(&byte) = code.get(at) {
        let rest = &code[at..];
        if byte.is_ascii_whitespace() {
            at += 1;
        } else if rest.starts_with(b"--") {
            at += 2;
            at += match long_bracket(&code[at..]) {
                Some(level) => long_end(&code[at..], level)?,
                None => code[at..].iter().position(|&b| b == b'\n').unwrap_or(code.len() - at),
            };
        } else if byte.is_ascii_alphabetic() || byte == b'_' {
            let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
            all.push(Token::Name(&rest[..len]));
            at += len;
        } else if byte.is_ascii_digit()
            || (byte == b'.' && rest.get(1).is_some_and(u8::is_ascii_digit))
        {
            at += number_len(rest);
            all.push(Token::Number);
        } else if byte == b'"' || byte == b'\'' {
            let (text, len) = short_string(rest)?;
            all.push(Token::Text(text));
            at += len;
        } else if let Some(level) = long_bracket(rest) {
            at += long_end(rest, level)?;
            all.push(Token::Text(None));
        } else {
            let len = [&b"..."[..], b"..", b"==", b"~=", b"<=", b">="]
                .iter()
                .find(|sign| rest.starts_with(sign))
                .map_or(1, |sign| sign.len());
            all.push(Token::Sign(&rest[..len]));
            at += len;
        }
    }
    Some(all)
}

/// Digits, letters, dots, and the sign behind an exponent.
fn number_len(text: &[u8]) -> usize {
    let mut len = 1;
    while let Some(&byte) = text.get(len) {
        let signed = matches!(byte, b'+' | b'-') && matches!(text[len - 1], b'e' | b'E');
        if !(byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_' || signed) {
            break;
        }
        len += 1;
    }
    len
}

fn short_string(text: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    let quote = text[0];
    let (mut at, mut plain) = (1, true);
    loop {
        match *text.get(at)? {
            b'\\' => {
                plain = false;
                at += 2;
            }
            b'\n' => return None,
            byte if byte == quote => return Some((plain.then(|| &text[1..at]), at + 1)),
            _ => at += 1,
        }
    }
}

/// The number of `=` in `[==[`, when the text begins so.
fn long_bracket(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"[")?;
    let level = rest.iter().take_while(|b| **b == b'=').count();
    (rest.get(level) == Some(&b'[')).then_some(level)
}

/// Bytes of a long bracket with its end.
fn long_end(text: &[u8], level: usize) -> Option<usize> {
    let end = [b"]".as_slice(), &vec![b'='; level], b"]"].concat();
    let from = level + 2;
    let found = text.get(from..)?.windows(end.len()).position(|window| window == end)?;
    Some(from + found + end.len())
}

struct Checker<'t, 'l, 's> {
    tokens: &'t [Token<'t>],
    lookup: Lookup<'l, 's>,
}

impl<'t> Checker<'t, '_, '_> {
    fn sign(&self, at: usize, sign: &[u8]) -> bool {
        matches!(self.tokens.get(at), Some(Token::Sign(found)) if *found == sign)
    }

    fn name(&self, at: usize) -> Option<&'t [u8]> {
        match self.tokens.get(at) {
            Some(Token::Name(name)) => Some(name),
            _ => None,
        }
    }

    fn check(&self) -> bool {
        (0..self.tokens.len()).all(|at| {
            let Some(name) = self.name(at) else { return true };
            // A field or method of that name, `x.redis`, is something else.
            if at > 0 && (self.sign(at - 1, b".") || self.sign(at - 1, b":")) {
                return true;
            }
            match name {
                b"redis" | b"server" => self.api(at),
                b"KEYS" => self.keys(at),
                b"unpack" => self.sign(at + 1, b"(") && !self.is_bound(at),
                _ => !FORBIDDEN.contains(&name) || self.is_table_library(at),
            }
        })
    }

    /// `table.insert` and its kin, with a list that cannot be KEYS: KEYS stands only before `[`.
    fn is_table_library(&self, at: usize) -> bool {
        self.name(at) == Some(b"table") && self.sign(at + 1, b".") && !self.is_bound(at)
    }

    /// Whether the name at `at` is being defined: `local unpack`, `function unpack(`.
    fn is_bound(&self, at: usize) -> bool {
        at > 0 && matches!(self.name(at - 1), Some(b"local" | b"function" | b"for"))
    }

    fn api(&self, at: usize) -> bool {
        if self.is_bound(at) || !self.sign(at + 1, b".") {
            return false;
        }
        match self.name(at + 2) {
            Some(b"call" | b"pcall") => self.sign(at + 3, b"(") && self.command(at + 4),
            Some(name) => {
                HARMLESS.contains(&name)
                    || name.iter().all(|b| b.is_ascii_uppercase() || *b == b'_')
            }
            None => false,
        }
    }

    /// KEYS: its length, an element that is read, or all of it in `unpack(KEYS)`.
    fn keys(&self, at: usize) -> bool {
        if at > 0 && self.sign(at - 1, b"#") {
            return !self.sign(at + 1, b"=");
        }
        if at > 1 && self.sign(at - 1, b"(") && self.name(at - 2) == Some(b"unpack") {
            return self.sign(at + 1, b")");
        }
        let Some(end) = self.element(at) else { return false };
        // `KEYS[i] = x` and `KEYS[i], y = ...` write; so may a statement that begins with it.
        if self.sign(end, b"=") || self.sign(end, b".") || self.sign(end, b"[") {
            return false;
        }
        match at.checked_sub(1).map(|before| &self.tokens[before]) {
            // Within an expression or a list of arguments, items or values...
            Some(Token::Sign(sign)) => match *sign {
                b")" | b"]" | b"}" | b";" | b"..." => false,
                b"," => self.is_argument(at) || self.follows_values(at),
                _ => true,
            },
            Some(Token::Name(word)) => {
                matches!(
                    *word,
                    b"return"
                        | b"and"
                        | b"or"
                        | b"not"
                        | b"if"
                        | b"while"
                        | b"elseif"
                        | b"until"
                        | b"in"
                )
            }
            // ...or at the start of a statement, behind the end of another.
            Some(Token::Text(_) | Token::Number) | None => false,
        }
    }

    /// The token behind `KEYS[...]`.
    fn element(&self, at: usize) -> Option<usize> {
        if self.name(at) != Some(b"KEYS") || !self.sign(at + 1, b"[") {
            return None;
        }
        let mut depth = 0usize;
        for (index, token) in self.tokens.iter().enumerate().skip(at + 1) {
            match token {
                Token::Sign(b"[" | b"(" | b"{") => depth += 1,
                Token::Sign(b"]" | b")" | b"}") => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Whether the innermost bracket around `at` is one of arguments or items, without a block
    /// (a function's body) between.
    fn is_argument(&self, at: usize) -> bool {
        let mut depth = 0usize;
        for token in self.tokens[..at].iter().rev() {
            match token {
                Token::Sign(b")" | b"]" | b"}") => depth += 1,
                Token::Sign(b"[") if depth == 0 => return false,
                Token::Sign(b"(" | b"{") if depth == 0 => return true,
                Token::Sign(b"(" | b"[" | b"{") => depth -= 1,
                Token::Name(
                    b"function" | b"end" | b"do" | b"then" | b"repeat" | b"until" | b"else"
                    | b"local" | b"return",
                ) if depth == 0 => {
                    return false;
                }
                _ => {}
            }
        }
        false
    }

    /// Whether the list that `at` ends is one of values: `local a, b = x, KEYS[1]`, `return x, KEYS[1]`.
    fn follows_values(&self, at: usize) -> bool {
        let mut depth = 0usize;
        for (index, token) in self.tokens[..at].iter().enumerate().rev() {
            match token {
                Token::Sign(b")" | b"]" | b"}") => depth += 1,
                Token::Sign(b"(" | b"[" | b"{") if depth == 0 => return false,
                Token::Sign(b"(" | b"[" | b"{") => depth -= 1,
                Token::Sign(b"=") | Token::Name(b"return") if depth == 0 => {
                    // `y = 2 x, KEYS[1] = 1, 2` begins a statement without a sign: two values in a
                    // row are only there.
                    return is_one_list(&self.tokens[index + 1..at]);
                }
                Token::Name(
                    b"end" | b"do" | b"then" | b"repeat" | b"until" | b"else" | b"function",
                ) if depth == 0 => {
                    return false;
                }
                _ => {}
            }
        }
        false
    }

    /// A command's arguments from `at` on: whether each key among them is of KEYS.
    fn command(&self, at: usize) -> bool {
        let Some(arguments) = self.arguments(at) else { return false };
        let literal =
            |index: usize| match arguments.get(index).map(|&(from, to)| &self.tokens[from..to]) {
                Some([Token::Text(text)]) => *text,
                _ => None,
            };
        let Some(name) = literal(0) else { return false };
        let Some(spec) = (self.lookup)(name, literal(1)) else { return false };
        let loose = Flags::ALL_KEYS.union(Flags::WALKS_SHARDS).union(Flags::MOVABLEKEYS);
        if spec.flags.intersects(loose) || !spec.subcommands.is_empty() {
            return false;
        }
        spec.keys.iter().all(|keys| self.keys_are_declared(keys, &arguments))
    }

    /// The arguments' tokens up to the closing bracket.
    fn arguments(&self, at: usize) -> Option<Vec<(usize, usize)>> {
        let (mut all, mut start, mut depth) = (Vec::new(), at, 0usize);
        for (index, token) in self.tokens.iter().enumerate().skip(at) {
            match token {
                Token::Sign(b"(" | b"[" | b"{") => depth += 1,
                Token::Sign(b")") if depth == 0 => {
                    all.push((start, index));
                    return Some(all);
                }
                Token::Sign(b")" | b"]" | b"}") => depth = depth.checked_sub(1)?,
                Token::Sign(b",") if depth == 0 => {
                    all.push((start, index));
                    start = index + 1;
                }
                // A function's body has commas of its own.
                Token::Name(b"function") => return None,
                _ => {}
            }
        }
        None
    }

    fn keys_are_declared(&self, keys: &KeySpec, arguments: &[(usize, usize)]) -> bool {
        if keys.flags.intersects(KeyFlags::INCOMPLETE) {
            return false;
        }
        let (Begin::Index(first), Find::Range { last, step, limit }) = (keys.begin, keys.find)
        else {
            return false;
        };
        let (Ok(first), Ok(step)) = (usize::try_from(first), usize::try_from(step)) else {
            return false;
        };
        if limit > 1 || step == 0 {
            return false;
        }
        let count = arguments.len();
        let open = last < 0;
        // Keys up to the end: what the last argument expands to counts too.
        let end = if open { count } else { first + last as usize + 1 };
        if open && last != -1 {
            return false;
        }
        if open && self.may_expand(arguments[count - 1]) {
            return step == 1
                && self.is_all_keys(arguments[count - 1])
                && (first..count - 1).all(|at| self.is_key(arguments[at]));
        }
        if !open && end > count && self.may_expand(arguments[count - 1]) {
            return false;
        }
        (first..end.min(count)).step_by(step).all(|at| self.is_key(arguments[at]))
    }

    fn is_key(&self, (from, to): (usize, usize)) -> bool {
        self.element(from) == Some(to)
    }

    /// `unpack(KEYS)`
    fn is_all_keys(&self, (from, to): (usize, usize)) -> bool {
        to == from + 4 && self.name(from) == Some(b"unpack") && self.name(from + 2) == Some(b"KEYS")
    }

    /// Whether an argument may give several values.
    fn may_expand(&self, (from, to): (usize, usize)) -> bool {
        let one_name = to == from + 1 && self.name(from).is_some();
        let one_value = from < to
            && matches!(&self.tokens[to - 1], Token::Number | Token::Text(_) | Token::Sign(b"]"));
        !(one_name || one_value)
    }
}

/// Whether no two values stand side by side in a list: then no statement began within it.
fn is_one_list(list: &[Token<'_>]) -> bool {
    let ends_value = |token: &Token<'_>| match token {
        Token::Name(word) => !matches!(*word, b"and" | b"or" | b"not"),
        Token::Text(_) | Token::Number => true,
        Token::Sign(sign) => matches!(*sign, b")" | b"]" | b"}" | b"..."),
    };
    let begins_value = |token: &Token<'_>| match token {
        Token::Name(word) => !matches!(*word, b"and" | b"or"),
        Token::Number => true,
        // Behind a value a string is its argument; no statement begins with one.
        Token::Text(_) => false,
        // A call, mostly; but a statement may begin so too.
        Token::Sign(sign) => matches!(*sign, b"..." | b"("),
    };
    !list.windows(2).any(|pair| ends_value(&pair[0]) && begins_value(&pair[1]))
}

#[cfg(test)]
mod tests;
