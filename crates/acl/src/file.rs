//! All users, and the file that holds them.
//!
//! ```text
//! user alice on #<64 digits> ~app:* resetchannels &news -@all +@read (~tmp:* resetchannels +set)
//! ```
//!
//! One user a line; words are separated by single blanks and are not quoted; empty lines are skipped.
//! A file is taken whole or not at all: every line is read, and all that is wrong is told in one text.
//! The user `default` is always there; a file that does not name it gives it all rights.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_base::compat::Compat;

use crate::error::RuleError;
use crate::user::{Context, User, merged};

const DEFAULT: &[u8] = b"default";

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Users {
    by_name: BTreeMap<Box<[u8]>, Arc<User>>,
    next_id: u64,
}

/// Why a line of users in the configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineError {
    /// Number of the line among those given, from 0.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

impl Users {
    /// Only the user `default`, with all rights. `first_id` is the first number for users.
    pub fn new(context: Context<'_>, first_id: u64) -> Self {
        let mut users = Self { by_name: BTreeMap::new(), next_id: first_id };
        let id = users.new_id();
        users.put(User::default_user(id, context));
        users
    }

    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The number that the next user gets, at least.
    pub fn next_id(&self) -> u64 {
        self.next_id
    }

    /// A user.
    pub fn find(&self, name: &[u8]) -> Option<&Arc<User>> {
        self.by_name.get(name)
    }

    /// The user `default`.
    pub fn default_user(&self, context: Context<'_>) -> Arc<User> {
        // It cannot be removed; should it be missing all the same, nobody gets its rights.
        self.find(DEFAULT).cloned().unwrap_or_else(|| Arc::new(User::new(0, DEFAULT, context)))
    }

    /// All users in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<User>> {
        self.by_name.values()
    }

    /// Adds or replaces a user.
    pub fn put(&mut self, user: User) -> Arc<User> {
        let user = Arc::new(user);
        self.by_name.insert(user.name.clone(), Arc::clone(&user));
        user
    }

    /// Removes a user. The caller keeps the user `default`.
    pub fn remove(&mut self, name: &[u8]) -> Option<Arc<User>> {
        self.by_name.remove(name)
    }

    /// A copy of a user to change, or a new one.
    pub fn draft(&mut self, name: &[u8], context: Context<'_>) -> User {
        match self.find(name) {
            Some(user) => User::clone(user),
            None => User::new(self.new_id(), name, context),
        }
    }

    /// Whether there is nothing that would not be there without lines of users, with this password
    /// (or none) for the user `default`.
    pub fn are_default(&self, password: &[u8], context: Context<'_>) -> bool {
        let mut plain = User::default_user(0, context);
        plain.set_password(password);
        let text = |user: &User| user.text(Compat::Valkey9);
        self.by_name.len() == 1 && self.iter().all(|user| text(user) == text(&plain))
    }

    /// The users' lines: each starts with `user `.
    pub fn lines(&self, compat: Compat) -> Vec<Vec<u8>> {
        self.iter().map(|user| [b"user ", &*user.text(compat)].concat()).collect()
    }

    /// The text of the file.
    pub fn file_text(&self, compat: Compat) -> Vec<u8> {
        self.lines(compat).iter().flat_map(|line| line.iter().chain(b"\n")).copied().collect()
    }

    /// Reads a file of users; `path` is its name in messages. Users that `before` has, too, keep
    /// their number.
    pub fn parse_file(
        text: &[u8],
        path: &str,
        before: &Users,
        context: Context<'_>,
    ) -> Result<Self, String> {
        let mut users = Self::new(context, before.next_id);
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let mut errors = String::new();
        for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let number = at + 1;
            let line = line.trim_ascii();
            if line.is_empty() {
                continue;
            }
            let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let (name, rules) = match words.as_slice() {
                [b"user", name, rules @ ..] => (*name, rules),
                _ => {
                    errors += &format!(
                        "{path}:{number} should start with user keyword followed by the username. "
                    );
                    continue;
                }
            };
            let shown = String::from_utf8_lossy(name);
            if !is_valid_name(name) {
                errors +=
                    &format!("'{path}:{number}: username '{shown}' contains invalid characters. ");
                continue;
            }
            if seen.iter().any(|other| other == name) {
                errors += &format!("WARNING: Duplicate user '{shown}' found on line {number}. ");
                continue;
            }
            seen.push(name.to_vec());
            let mut user = users.fresh(name, context);
            errors += &user_of_line(&mut user, rules, &format!("{path}:{number}"), context);
            users.put(user);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        users.keep_ids(before);
        Ok(users)
    }

    /// A user without rights: also `default`, when a line is about to describe it.
    fn fresh(&mut self, name: &[u8], context: Context<'_>) -> User {
        let id = self.find(name).map(|user| user.id).unwrap_or_else(|| self.new_id());
        User::new(id, name, context)
    }

    fn keep_ids(&mut self, before: &Users) {
        for user in self.by_name.values_mut() {
            if let Some(old) = before.find(&user.name) {
                Arc::make_mut(user).id = old.id;
            }
        }
    }

    /// Adds the users of `user` lines of the configuration, each as its words without `user`.
    pub fn add_lines(
        &mut self,
        lines: &[Vec<Vec<u8>>],
        context: Context<'_>,
    ) -> Result<(), LineError> {
        let mut seen: Vec<&[u8]> = Vec::new();
        for (at, words) in lines.iter().enumerate() {
            let wrong = |message: String| LineError { at, message };
            let Some((name, rules)) = words.split_first() else { continue };
            if !is_valid_name(name) {
                return Err(wrong("Spaces not allowed in ACL usernames".to_owned()));
            }
            let in_rule = |rule: &[u8], reason: &str| {
                let rule = String::from_utf8_lossy(rule);
                wrong(format!("Error in user declaration '{rule}': {reason}"))
            };
            if seen.contains(&name.as_slice()) {
                let reason =
                    "Duplicate user found. A user can only be defined once in config files";
                return Err(in_rule(name, reason));
            }
            seen.push(name);
            let rules = merged(rules).map_err(|at| in_rule(&rules[at], "Wrong format"))?;
            let mut user = self.fresh(name, context);
            if name == DEFAULT {
                // It is there already, so the line begins with this; 7.0 shows the difference.
                let applied = user.apply(b"reset", context);
                debug_assert!(applied.is_ok());
            }
            for rule in rules {
                let applied = user.apply(&rule, context);
                applied.map_err(|error| in_rule(&rule, &error.to_string()))?;
            }
            self.put(user);
        }
        Ok(())
    }
}

/// Whether a user may have this name: no blanks, which would end it in a file.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0B))
}

/// Applies a line's rules; what is wrong with them. Unknown commands are all named, of other mistakes
/// only the first, since the rest may follow from it.
fn user_of_line(user: &mut User, rules: &[&[u8]], place: &str, context: Context<'_>) -> String {
    let Ok(rules) = merged(rules) else {
        return format!("{place}: Unmatched parenthesis in selector definition. ");
    };
    let mut errors = String::new();
    let mut told = false;
    for rule in rules {
        match user.apply(rule.trim_ascii(), context) {
            Ok(()) => {}
            Err(RuleError::Unknown) => {
                let rule = String::from_utf8_lossy(&rule);
                errors += &format!(
                    "{place}: Error in applying operation '{rule}': {}. ",
                    RuleError::Unknown
                );
            }
            Err(error) if !told => {
                told = true;
                errors += &format!("{place}: {error}. ");
            }
            Err(_) => {}
        }
    }
    errors
}

#[cfg(test)]
mod tests;
