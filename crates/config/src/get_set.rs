//! CONFIG GET and CONFIG SET, without the protocol around them.
//!
//! GET takes names and patterns and gives each directive once, in order of name, aliases as
//! directives of their own. SET takes pairs and is all or nothing: everything is checked before
//! the first value is changed, and [`Config::roll_back`] undoes it all when the server cannot put
//! a new value into effect (a port that is taken).
//!
//! Cost: GET O(patterns * names), SET O(pairs).
//!
//! Source: behaviour and texts of redis-server 7.0.15.

use crate::directive::Status;
use crate::special::Refusal;
use crate::store::{Config, Notice};
use crate::table::{Id, NAMES, find, id};
use crate::value::{Value, split_value};
use ochre_base::glob::{Case, matches};
use std::collections::BTreeMap;

/// Names and shown values, in order of name.
pub type Shown = Vec<(Vec<u8>, Vec<u8>)>;

/// What decides whether a client may set a directive now.
#[derive(Debug, Clone, Copy)]
pub struct SetContext {
    /// Whether the client is on this host.
    pub local_client: bool,
    /// Whether data is being loaded.
    pub loading: bool,
}

/// A change that was made.
#[derive(Debug)]
pub struct Change {
    /// The directives whose values are other ones now, or are to be put into effect anyway.
    pub changed: Vec<Id>,
    /// What to log.
    pub notices: Vec<Notice>,
    /// Their values before.
    previous: Vec<(Id, Value)>,
}

/// Why CONFIG SET was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetError {
    /// A name without a value.
    Syntax,
    /// No directive has this name.
    Unknown(
        /// The name as given.
        Vec<u8>,
    ),
    /// The directive must not change while data is being loaded.
    Loading,
    /// The directive is there but does not take the value.
    Failed {
        /// The name or alias by which it was set.
        name: &'static str,
        /// Why.
        message: Refusal,
    },
}

impl SetError {
    /// The error for a value that was accepted but could not be put into effect.
    pub fn not_applied(id: Id, message: impl Into<Refusal>) -> SetError {
        SetError::Failed { name: id.directive().name, message: message.into() }
    }

    /// Appends the error reply's text, code word first.
    pub fn append_text(&self, out: &mut Vec<u8>) {
        match self {
            SetError::Syntax => out.extend_from_slice(b"ERR syntax error"),
            SetError::Unknown(name) => {
                out.extend_from_slice(
                    b"ERR Unknown option or number of arguments for CONFIG SET - '",
                );
                out.extend_from_slice(name);
                out.push(b'\'');
            }
            SetError::Loading => {
                out.extend_from_slice(b"LOADING Redis is loading the dataset in memory");
            }
            SetError::Failed { name, message } => {
                let text = format!(
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - {message}"
                );
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// The setting of `enable-protected-configs`, and of the other guards: who may.
pub(crate) const GUARD_YES: i64 = 1;
/// Only clients on this host may.
pub(crate) const GUARD_LOCAL: i64 = 2;

impl Config {
    /// What CONFIG GET shows for these names and patterns, letter case ignored.
    pub fn get<P: AsRef<[u8]>>(&self, patterns: &[P]) -> Shown {
        // By lower-case name, so that each directive comes once and in order; a name given without
        // wildcards is answered in the case in which it was given.
        let mut found: BTreeMap<&'static [u8], (Vec<u8>, Id)> = BTreeMap::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if pattern.iter().any(|b| b"*?[".contains(b)) {
                for (&name, &id) in NAMES.iter() {
                    if !id.directive().hidden && matches(pattern, name, Case::Ignored) {
                        found.entry(name).or_insert_with(|| (name.to_vec(), id));
                    }
                }
            } else if let Some((name, id)) = find(pattern) {
                found.entry(name.as_bytes()).or_insert_with(|| (pattern.to_vec(), id));
            }
        }
        found.into_values().map(|(name, id)| (name, self.show(id))).collect()
    }

    /// Sets directives, given as name, value, name, value, ...; all or none.
    pub fn set<W: AsRef<[u8]>>(
        &mut self,
        words: &[W],
        context: SetContext,
    ) -> Result<Change, SetError> {
        if words.is_empty() || !words.len().is_multiple_of(2) {
            return Err(SetError::Syntax);
        }
        let mut targets: Vec<(&'static str, Id)> = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks_exact(2) {
            let given = pair[0].as_ref();
            let (name, id) = find(given).ok_or_else(|| SetError::Unknown(given.to_vec()))?;
            self.may_set(name, id, context)?;
            if targets.iter().any(|(other, _)| *other == name) {
                return Err(SetError::Failed { name, message: "duplicate parameter".into() });
            }
            targets.push((name, id));
        }
        let mut next: Vec<(Id, Value)> = Vec::with_capacity(targets.len());
        let mut notices = Vec::new();
        for (&(name, id), pair) in targets.iter().zip(words.chunks_exact(2)) {
            let failed = |message| SetError::Failed { name, message };
            let kind = id.directive().kind;
            let value =
                Value::parse(kind, &split_value(kind, pair[1].as_ref()), Some(self.value(id)))
                    .map_err(failed)?;
            notices.extend(self.admit(id, &value).map_err(failed)?);
            next.push((id, value));
        }
        let mut change = Change { changed: Vec::new(), notices, previous: Vec::new() };
        for (id, value) in next {
            if *self.value(id) != value || id.directive().volatile {
                change.changed.push(id);
                change.previous.push((id, self.replace(id, value)));
            }
        }
        Ok(change)
    }

    fn may_set(&self, name: &'static str, id: Id, context: SetContext) -> Result<(), SetError> {
        let directive = id.directive();
        let failed = |message: &'static str| {
            Err(SetError::Failed { name, message: Refusal::Borrowed(message) })
        };
        // What has no effect here may be set to what it is.
        if directive.immutable && directive.status == Status::Live {
            return failed("can't set immutable config");
        }
        if directive.protected && !self.allows(id_of_guard(), context.local_client) {
            return failed("can't set protected config");
        }
        if directive.denied_while_loading && context.loading {
            return Err(SetError::Loading);
        }
        Ok(())
    }

    /// Whether a guard (`no`, `yes`, `local`) lets a client through.
    pub fn allows(&self, guard: Id, local_client: bool) -> bool {
        match self.int(guard) {
            GUARD_YES => true,
            GUARD_LOCAL => local_client,
            _ => false,
        }
    }

    /// Takes a change back.
    pub fn roll_back(&mut self, change: Change) {
        // Backwards, for a directive that was set by two of its names.
        for (id, value) in change.previous.into_iter().rev() {
            self.replace(id, value);
        }
    }
}

const fn id_of_guard() -> Id {
    id("enable-protected-configs")
}

#[cfg(test)]
mod tests;
