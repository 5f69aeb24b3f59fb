//! A user: name, passwords, selectors, and the rules by which ACL SETUSER changes them.
//!
//! A user is immutable once it is published: a change makes a new one, so that sessions read theirs
//! without a lock.

use ochre_base::compat::Compat;

use crate::commands::Commands;
use crate::error::RuleError;
use crate::password::Digest;
use crate::selector::Selector;

/// What rules are read against.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The command table.
    pub commands: &'a dyn Commands,
    /// acl-pubsub-default: new users and selectors may use all channels.
    pub all_channels: bool,
    /// Rules for commands that change nothing are forgotten, as Redis 7.0 forgets them; later ones
    /// keep them.
    pub terse: bool,
}

impl std::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("all_channels", &self.all_channels).finish_non_exhaustive()
    }
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct User {
    /// Tells a user from a later one of the same name.
    pub id: u64,
    /// Its name.
    pub name: Box<[u8]>,
    enabled: bool,
    no_password: bool,
    /// What was said of payloads: checked (true), trusted, or nothing. It is shown and nothing else:
    /// payloads are always checked.
    sanitize: Option<bool>,
    passwords: Vec<Digest>,
    root: Selector,
    selectors: Vec<Selector>,
    unrestricted: bool,
}

impl User {
    /// A user that is disabled and may do nothing.
    pub fn new(id: u64, name: &[u8], context: Context<'_>) -> Self {
        Self {
            id,
            name: name.into(),
            enabled: false,
            no_password: false,
            sanitize: None,
            passwords: Vec::new(),
            root: Selector::new(context.commands, context.all_channels),
            selectors: Vec::new(),
            unrestricted: false,
        }
    }

    /// The user `default` as it is before anything is said of it: it needs no password and may do
    /// everything.
    pub fn default_user(id: u64, context: Context<'_>) -> Self {
        let mut user = Self::new(id, b"default", context);
        for rule in [&b"on"[..], b"nopass", b"~*", b"&*", b"+@all"] {
            let applied = user.apply(rule, context);
            debug_assert!(applied.is_ok());
        }
        user
    }

    /// Whether it may log in.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether any password will do.
    pub fn needs_no_password(&self) -> bool {
        self.no_password
    }

    /// Whether connections need not log in to be this user.
    pub fn is_open(&self) -> bool {
        self.enabled && self.no_password
    }

    /// Whether it may do everything.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted
    }

    /// Digests of its passwords.
    pub fn passwords(&self) -> &[Digest] {
        &self.passwords
    }

    /// Whether it may log in with a password of this digest.
    pub fn accepts(&self, password: &Digest) -> bool {
        let known = password.is_among(&self.passwords);
        self.enabled & (self.no_password | known)
    }

    /// Its first selector.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The others.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// All selectors.
    pub fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// Applies one rule; a selector in brackets is one rule. A failure changes nothing.
    pub fn apply(&mut self, rule: &[u8], context: Context<'_>) -> Result<(), RuleError> {
        let done = self.apply_rule(rule, context);
        let unrestricted = self.all_selectors().any(Selector::is_unrestricted);
        self.unrestricted = unrestricted;
        done
    }

    fn apply_rule(&mut self, rule: &[u8], context: Context<'_>) -> Result<(), RuleError> {
        let is = |word: &str| rule.eq_ignore_ascii_case(word.as_bytes());
        match rule {
            [] => {}
            _ if is("on") => self.enabled = true,
            _ if is("off") => self.enabled = false,
            _ if is("nopass") => {
                self.no_password = true;
                self.passwords.clear();
            }
            _ if is("resetpass") => {
                self.no_password = false;
                self.passwords.clear();
            }
            _ if is("sanitize-payload") => self.sanitize = Some(true),
            _ if is("skip-sanitize-payload") => self.sanitize = Some(false),
            _ if is("clearselectors") => self.selectors.clear(),
            _ if is("reset") => {
                let fresh = Self::new(self.id, &self.name, context);
                *self = Self { sanitize: Some(true), ..fresh };
            }
            [b'>', password @ ..] => self.add_password(Digest::of(password)),
            [b'#', text @ ..] => self.add_password(Digest::parse(text).ok_or(RuleError::BadHash)?),
            [b'<', password @ ..] => self.remove_password(Digest::of(password))?,
            [b'!', text @ ..] => {
                self.remove_password(Digest::parse(text).ok_or(RuleError::BadHash)?)?;
            }
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::new(context.commands, context.all_channels);
                for rule in inner.split(|byte| *byte == b' ').filter(|rule| !rule.is_empty()) {
                    selector.apply(rule, context)?;
                }
                self.selectors.push(selector);
            }
            _ => self.root.apply(rule, context)?,
        }
        Ok(())
    }

    /// Makes one password the only one; an empty one means that none is needed.
    pub fn set_password(&mut self, password: &[u8]) {
        self.passwords.clear();
        self.no_password = password.is_empty();
        if !self.no_password {
            self.add_password(Digest::of(password));
        }
    }

    fn add_password(&mut self, password: Digest) {
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
        self.no_password = false;
    }

    fn remove_password(&mut self, password: Digest) -> Result<(), RuleError> {
        let at = self.passwords.iter().position(|known| *known == password);
        self.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// Its flags, as ACL GETUSER names them.
    pub fn flags(&self, compat: Compat) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.no_password {
            flags.push("nopass");
        }
        // 7.0 shows what was said; 7.2 always says one of both; Valkey shows none.
        let shown = match compat {
            Compat::Redis70 => self.sanitize,
            Compat::Redis72 | Compat::Redis8 => Some(self.sanitize.unwrap_or(true)),
            Compat::Valkey9 => None,
        };
        if let Some(sanitize) = shown {
            flags.push(if sanitize { "sanitize-payload" } else { "skip-sanitize-payload" });
        }
        flags
    }

    /// Name and rules as ACL LIST and the file of users show them, without the word `user`.
    pub fn text(&self, compat: Compat) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> = vec![self.name.to_vec()];
        parts.extend(self.flags(compat).iter().map(|flag| flag.as_bytes().to_vec()));
        parts.extend(self.passwords.iter().map(|digest| format!("#{digest}").into_bytes()));
        parts.push(self.root.text());
        parts.extend(self.selectors.iter().map(|s| [b"(", &*s.text(), b")"].concat()));
        parts.join(&b' ')
    }

    /// Whether every channel that `before` could use is one of this user's: by the patterns' texts,
    /// as the peers compare them.
    pub fn keeps_channels_of(&self, before: &User) -> bool {
        let all = |user: &User| user.all_selectors().any(|selector| selector.all_channels);
        if all(self) {
            return true;
        }
        let kept =
            |glob: &[u8]| self.all_selectors().flat_map(|s| &s.channels).any(|g| **g == *glob);
        !all(before) && before.all_selectors().flat_map(|s| &s.channels).all(|glob| kept(glob))
    }

    /// Whether it may listen to a channel, or with `literal` to a pattern.
    pub fn may_listen(&self, name: &[u8], literal: bool) -> bool {
        self.all_selectors().any(|selector| selector.allows_channel(name, literal))
    }
}

/// Puts the words of each selector together: `(~a`, `+get)` become `(~a +get)`. Failure: the place of
/// the word that opens a bracket and finds no end.
pub fn merged<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Vec<u8>>, usize> {
    let mut rules: Vec<Vec<u8>> = Vec::with_capacity(words.len());
    let mut open: Option<usize> = None;
    for (at, word) in words.iter().enumerate() {
        let word = word.as_ref();
        match (open, rules.last_mut()) {
            (Some(_), Some(rule)) => {
                rule.push(b' ');
                rule.extend_from_slice(word);
            }
            _ => rules.push(word.to_vec()),
        }
        if open.is_some() || word.first() == Some(&b'(') {
            open = match word.last() {
                Some(b')') => None,
                _ => open.or(Some(at)),
            };
        }
    }
    open.map_or(Ok(rules), Err)
}

#[cfg(test)]
mod tests;
