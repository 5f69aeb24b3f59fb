//! The configuration file's syntax, and what may be given instead: options and standard input.
//!
//! ```text
//! # comment
//! name value value ...          one directive; words quoted as in an inline command
//! include /etc/ochre/*.conf     another file, or all that match, in order of name
//! ```
//!
//! Everything is one text in the end: the file, a blank line, what came from standard input, and
//! one line for each option of the command line. Later lines override earlier ones, except that
//! `save` lines add up (the first one drops the defaults) and `client-output-buffer-limit` lines
//! each set the classes they name.
//!
//! Reading files is the caller's, through [`Files`]. Failure: the first line that is wrong, as
//! [`LoadError`]; values set before it stay, and the server is expected to exit. Includes nest at
//! most [`INCLUDE_DEPTH_MAX`] deep, which also ends cycles.
//!
//! Source: behaviour of redis-server 7.0.15 (`redis.conf`).

use crate::directive::Kind;
use crate::store::{Config, Notice};
use crate::table::{Id, RETIRED, find};
use crate::value::Value;
use ochre_base::glob::{Case, matches};
use ochre_resp::Args;
use ochre_resp::inline::split_in_place;
use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::{fmt, io};

/// Deepest nesting of included files. The peers have no limit and exhaust their stack on a cycle;
/// real configurations nest once or twice.
pub const INCLUDE_DEPTH_MAX: usize = 16;

/// How included files are reached.
pub trait Files {
    /// The content of a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The names in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;
}

/// What a configuration holds beside values.
#[derive(Debug, Default)]
pub struct Loaded {
    /// What to log about values without effect.
    pub notices: Vec<Notice>,
    /// `user` lines, each as its words.
    pub users: Vec<Vec<Vec<u8>>>,
    /// `rename-command` lines: old name, new name (empty: the command is to disappear).
    pub renames: Vec<(Vec<u8>, Vec<u8>)>,
    /// `sentinel` lines of a sentinel: the line's number, and its words without the first.
    pub sentinel: Vec<(usize, Vec<Vec<u8>>)>,
}

/// The line that could not be understood.
#[derive(Debug)]
pub struct LoadError {
    /// The included file that holds the line; `None` for the main text.
    pub file: Option<PathBuf>,
    /// Line number from 1.
    pub line: usize,
    /// The line without blanks around it.
    pub text: Vec<u8>,
    /// What is wrong with it.
    pub message: Cow<'static, str>,
}

impl LoadError {
    /// The whole report as the peers print it. `server` is name and version, `Redis 7.2.4`.
    pub fn report(&self, server: &str) -> String {
        format!("\n*** FATAL CONFIG FILE ERROR ({server}) ***\n{self}\n")
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reading the configuration file, at line {}", self.line)?;
        if let Some(file) = &self.file {
            write!(f, " of '{}'", file.display())?;
        }
        let text = String::from_utf8_lossy(&self.text);
        write!(f, "\n>>> '{text}'\n{}", self.message)
    }
}

impl std::error::Error for LoadError {}

/// Puts file, standard input and options one behind the other.
pub fn joined(file: &[u8], stdin: &[u8], options: &[u8]) -> Vec<u8> {
    let mut text = file.to_vec();
    for part in [stdin, options] {
        if !part.is_empty() {
            text.push(b'\n');
            text.extend_from_slice(part);
        }
    }
    text
}

/// Turns the command line's options into lines of configuration: `--name` begins a directive, the
/// words up to the next option are its values. A lone `--save` means no save points.
pub fn options_text<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut words = words.iter().map(AsRef::as_ref).peekable();
    while let Some(word) = words.next() {
        match word.strip_prefix(b"--") {
            Some(name) => {
                text.extend_from_slice(name);
                if name.eq_ignore_ascii_case(b"save")
                    && words.peek().is_none_or(|next| next.starts_with(b"--"))
                {
                    text.extend_from_slice(b" \"\"");
                }
            }
            None => text.extend_from_slice(&crate::value::quoted(word)),
        }
        let ends = words.peek().is_none_or(|next| next.starts_with(b"--"));
        text.push(if ends { b'\n' } else { b' ' });
    }
    text
}

/// Reads a configuration over the values in force.
pub fn load(config: &mut Config, text: &[u8], files: &dyn Files) -> Result<Loaded, LoadError> {
    load_as(config, text, files, false)
}

/// Reads the configuration of a sentinel, which may hold `sentinel` lines.
pub fn load_sentinel(
    config: &mut Config,
    text: &[u8],
    files: &dyn Files,
) -> Result<Loaded, LoadError> {
    load_as(config, text, files, true)
}

fn load_as(
    config: &mut Config,
    text: &[u8],
    files: &dyn Files,
    is_sentinel: bool,
) -> Result<Loaded, LoadError> {
    let mut loader = Loader {
        config,
        files,
        loaded: Loaded::default(),
        saves_seen: false,
        depth: 0,
        is_sentinel,
        at: 0,
    };
    loader.text(text, None)?;
    Ok(loader.loaded)
}

struct Loader<'a> {
    config: &'a mut Config,
    files: &'a dyn Files,
    loaded: Loaded,
    /// Whether a `save` line has replaced the default save points.
    saves_seen: bool,
    depth: usize,
    is_sentinel: bool,
    /// Number of the line that is being read.
    at: usize,
}

/// Why a line is wrong; an included file's own error passes through.
enum Wrong {
    Here(Cow<'static, str>),
    Within(LoadError),
}

impl<T: Into<Cow<'static, str>>> From<T> for Wrong {
    fn from(message: T) -> Wrong {
        Wrong::Here(message.into())
    }
}

const BAD_DIRECTIVE: &str = "Bad directive or wrong number of arguments";
const UNBALANCED: &str = "Unbalanced quotes in configuration line";

impl Loader<'_> {
    fn text(&mut self, text: &[u8], file: Option<&Path>) -> Result<(), LoadError> {
        for (at, line) in text.split(|b| *b == b'\n').enumerate() {
            let line = line.trim_ascii();
            self.at = at + 1;
            self.line(line).map_err(|wrong| match wrong {
                Wrong::Within(error) => error,
                Wrong::Here(message) => LoadError {
                    file: file.map(Path::to_owned),
                    line: at + 1,
                    text: line.to_vec(),
                    message,
                },
            })?;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Wrong> {
        if line.is_empty() || line[0] == b'#' {
            return Ok(());
        }
        let words = words_of(line).ok_or(UNBALANCED)?;
        let Some((name, values)) = words.split_first() else {
            return Ok(());
        };
        let name = name.to_ascii_lowercase();
        match (name.as_slice(), values) {
            (b"include", [path]) => self.include(path),
            (b"rename-command", [old, new]) => {
                self.loaded.renames.push((old.clone(), new.clone()));
                Ok(())
            }
            (b"user", [_, ..]) => {
                self.loaded.users.push(values.to_vec());
                Ok(())
            }
            (b"loadmodule", [_, ..]) => Err("modules cannot be loaded".into()),
            (b"sentinel", [_, ..]) if self.is_sentinel => {
                self.loaded.sentinel.push((self.at, values.to_vec()));
                Ok(())
            }
            (b"sentinel", _) => Err("sentinel directive while not in sentinel mode".into()),
            (name, [_]) if RETIRED.iter().any(|r| r.as_bytes() == name) => Ok(()),
            (name, values) => match find(name) {
                Some((_, id)) => self.directive(id, values),
                None => Err(BAD_DIRECTIVE.into()),
            },
        }
    }

    fn directive(&mut self, id: Id, values: &[Vec<u8>]) -> Result<(), Wrong> {
        let kind = id.directive().kind;
        // One quoted word may hold all the words of such a directive.
        let split;
        let values = match values {
            [one] if kind.takes_many_words() && !one.is_empty() => {
                split = words_of(one).ok_or(UNBALANCED)?;
                &split
            }
            _ => values,
        };
        let words: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let mut value = Value::parse(kind, &words, Some(self.config.value(id)))?;
        if kind == Kind::Save {
            value = self.add_save_points(id, value);
        }
        self.loaded.notices.retain(|n| n.id != id);
        self.loaded.notices.extend(self.config.admit(id, &value)?);
        self.config.replace(id, value);
        Ok(())
    }

    /// Adds a line's save points to those of the lines before; none of them drops those before.
    fn add_save_points(&mut self, id: Id, line: Value) -> Value {
        let seen = std::mem::replace(&mut self.saves_seen, true);
        match (self.config.value(id), line) {
            (Value::Save(before), Value::Save(points)) if seen && !points.is_empty() => {
                Value::Save([before.as_slice(), &points].concat())
            }
            (_, line) => line,
        }
    }

    fn include(&mut self, path: &[u8]) -> Result<(), Wrong> {
        if self.depth == INCLUDE_DEPTH_MAX {
            return Err("files include one another too deeply".into());
        }
        let path = path_of(path).ok_or("file name is not valid UTF-8")?;
        for path in expand(&path, self.files) {
            let text = self.files.read(&path).map_err(|error| {
                format!("Fatal error, can't open config file '{}': {error}", path.display())
            })?;
            self.depth += 1;
            let result = self.text(&text, Some(&path));
            self.depth -= 1;
            result.map_err(Wrong::Within)?;
        }
        Ok(())
    }
}

/// Splits a line into unquoted words; `None` when a quote is open.
pub fn words_of(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut line = line.to_vec();
    let mut args = Args::new();
    split_in_place(&mut line, &mut args).ok()?;
    Some(args.iter().map(|arg| arg.of(&line).to_vec()).collect())
}

/// A path of bytes. On every system UTF-8 is accepted; other names are refused rather than
/// misread.
fn path_of(bytes: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(bytes).ok().map(PathBuf::from)
}

/// Replaces wildcards in a path by the names that match, sorted. A path without wildcards is
/// itself, whether it exists or not.
fn expand(path: &Path, files: &dyn Files) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let name = component.as_os_str();
        let pattern = name.as_encoded_bytes();
        let is_pattern =
            matches!(component, Component::Normal(_)) && pattern.iter().any(|b| b"*?[".contains(b));
        if !is_pattern {
            for path in &mut found {
                path.push(name);
            }
            continue;
        }
        let mut next = Vec::new();
        for folder in &found {
            let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            // A folder that cannot be listed holds nothing that matches.
            for name in files.list(here).unwrap_or_default() {
                let bytes = name.as_encoded_bytes();
                // As for the shell, a leading dot must be written out.
                let shown = !bytes.starts_with(b".") || pattern.starts_with(b".");
                if shown && matches(pattern, bytes, Case::Sensitive) {
                    next.push(folder.join(&name));
                }
            }
        }
        next.sort();
        found = next;
    }
    found
}

#[cfg(test)]
mod tests;
