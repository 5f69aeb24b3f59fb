//! The current values of all directives.
//!
//! One value for each row of the table, found by index. This is the cold side, behind a lock of
//! the server: CONFIG GET, SET and REWRITE work on it. The running server reads
//! [`Settings`](crate::snapshot::Settings), made from it after every change.

use crate::directive::Status;
use crate::special::{Refusal, SavePoint};
use crate::table::{Id, id};
use crate::value::Value;
use std::path::{Path, PathBuf};

/// What the defaults depend on.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Cores that the process may use.
    pub cores: usize,
    /// Folder in which the server was started.
    pub folder: PathBuf,
}

/// Most event loops that are started unless asked for (`io-threads`): beyond eight the kernel's
/// network stack and the memory, not the loops, are the limit (design, section 1).
pub const DEFAULT_THREADS_MAX: usize = 8;

/// Something to log about a value that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The directive.
    pub id: Id,
    /// Why it has no effect.
    pub reason: &'static str,
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{}' has no effect: {}", self.id.directive().name, self.reason)
    }
}

/// The values in force, with their defaults and the file that they came from.
#[derive(Debug, Clone)]
pub struct Config {
    /// One for each row of the table.
    values: Vec<Value>,
    /// One for each row of the table.
    defaults: Vec<Value>,
    file: Option<PathBuf>,
    users: Vec<Vec<Vec<u8>>>,
    renames: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Config {
    /// All defaults.
    pub fn new(surroundings: &Surroundings) -> Config {
        let mut defaults: Vec<Value> =
            Id::all().map(|id| Value::default_of(id.directive())).collect();
        let threads = surroundings.cores.clamp(1, DEFAULT_THREADS_MAX);
        defaults[id("io-threads").index()] = Value::Int(threads as i64);
        let folder = surroundings.folder.as_os_str().as_encoded_bytes().to_vec();
        defaults[id("dir").index()] = Value::Text(folder);
        let (users, renames) = Default::default();
        Config { values: defaults.clone(), defaults, file: None, users, renames }
    }

    /// The configuration file's absolute path, if there is a file.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Notes the configuration file's absolute path.
    pub fn set_file(&mut self, path: PathBuf) {
        self.file = Some(path);
    }

    /// The `user` lines of the configuration, each as its words.
    pub fn users(&self) -> &[Vec<Vec<u8>>] {
        &self.users
    }

    /// Notes the `user` lines of the configuration.
    pub fn set_users(&mut self, lines: Vec<Vec<Vec<u8>>>) {
        self.users = lines;
    }

    /// The `rename-command` lines of the configuration: old name, new name (empty: the command disappears).
    pub fn renames(&self) -> &[(Vec<u8>, Vec<u8>)] {
        &self.renames
    }

    /// Notes the `rename-command` lines of the configuration.
    pub fn set_renames(&mut self, lines: Vec<(Vec<u8>, Vec<u8>)>) {
        self.renames = lines;
    }

    /// The value of a directive.
    #[inline]
    pub fn value(&self, id: Id) -> &Value {
        &self.values[id.index()]
    }

    /// The default of a directive on this machine.
    pub fn default_value(&self, id: Id) -> &Value {
        &self.defaults[id.index()]
    }

    /// Whether a directive has its default.
    pub fn is_default(&self, id: Id) -> bool {
        self.value(id) == self.default_value(id)
    }

    /// Puts a value in place and returns the one before. The value must be of the directive's
    /// kind; no rule is checked (CONFIG SET is in [`get_set`](crate::get_set)).
    pub fn replace(&mut self, id: Id, value: Value) -> Value {
        std::mem::replace(&mut self.values[id.index()], value)
    }

    /// The text that CONFIG GET shows.
    pub fn show(&self, id: Id) -> Vec<u8> {
        self.value(id).show(id.directive().kind)
    }

    /// Whether a value may be put in force, as far as this server has the directive: the notice to
    /// log, if it will have no effect.
    pub(crate) fn admit(&self, id: Id, value: &Value) -> Result<Option<Notice>, Refusal> {
        if value == self.default_value(id) {
            return Ok(None);
        }
        match id.directive().status {
            Status::Live => Ok(None),
            Status::Inert(reason) => Ok(Some(Notice { id, reason })),
            Status::Later(part) => {
                Err(format!("only the default is supported yet: {part} would be needed").into())
            }
        }
    }

    /// The save points of a directive that holds some.
    pub fn save_points(&self, id: Id) -> Vec<SavePoint> {
        match self.value(id) {
            Value::Save(points) => points.clone(),
            _ => Vec::new(),
        }
    }

    /// The value of a yes-or-no directive.
    pub fn boolean(&self, id: Id) -> bool {
        match self.value(id) {
            Value::Bool(value) => *value,
            other => mismatch(id, other),
        }
    }

    /// The value of an integer, a choice or a permission mask.
    pub fn int(&self, id: Id) -> i64 {
        match self.value(id) {
            Value::Int(value) => *value,
            other => mismatch(id, other),
        }
    }

    /// The value of an amount of memory, in bytes.
    pub fn bytes(&self, id: Id) -> u64 {
        match self.value(id) {
            Value::Memory(value) => *value,
            other => mismatch(id, other),
        }
    }

    /// The value of a text.
    pub fn text(&self, id: Id) -> &[u8] {
        match self.value(id) {
            Value::Text(value) => value,
            other => mismatch(id, other),
        }
    }
}

/// An accessor does not fit the directive's kind: a mistake in this program, which the test that
/// makes a snapshot of the defaults shows.
#[cold]
pub(crate) fn mismatch(id: Id, value: &Value) -> ! {
    panic!("the value of '{}' is {value:?}", id.directive().name)
}
