//! What a row of the directive table says: name, kind, default, flags, standing, documentation.
//!
//! A row is a constant, built by [`row`] and the methods behind it, so that the whole of one
//! directive stands in one place. CONFIG GET, SET and REWRITE, the parser, the start-up checks and
//! the documentation read it and nothing else.

/// How a directive's text is read and shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal integer.
    Int {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// What is counted: `seconds`, `ms`, `entries`, ...; empty for a plain number.
        unit: &'static str,
    },
    /// A whole number that is moved into its range instead of being refused.
    Clamped {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
        /// What is counted.
        unit: &'static str,
    },
    /// An amount of memory in bytes: `100mb`.
    Memory {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// One of several words, each with the number that the typed view sees.
    Choice(&'static [(&'static str, i64)]),
    /// Any of several words; the first stands for none (0), the others are bits.
    Bits(&'static [(&'static str, i64)]),
    /// Any text.
    Text,
    /// A file's name without a folder, and what is said about one with a folder.
    FileName(&'static str),
    /// A permission mask, in octal, up to 0777.
    Octal,
    /// An amount of memory, or a percentage of `maxmemory`.
    MemoryOrPercent,
    /// Addresses to listen on.
    Bind,
    /// Pairs of seconds and changes.
    Save,
    /// Hard limit, soft limit and seconds for each class of clients.
    OutputLimits,
    /// Classes of keyspace events.
    Events,
    /// Three numbers from -2000 to 2000.
    OomScores,
    /// Percentiles from 0 to 100.
    Percentiles,
    /// A host and a port.
    HostPort,
    /// A process title with names in braces.
    TitleTemplate,
    /// How often something is done: a word, or seconds.
    Schedule,
}

impl Kind {
    /// Whether a value is written as several words.
    pub fn takes_many_words(self) -> bool {
        matches!(
            self,
            Kind::Bits(_)
                | Kind::Bind
                | Kind::Save
                | Kind::OutputLimits
                | Kind::OomScores
                | Kind::Percentiles
                | Kind::HostPort
        )
    }
}

/// How far a directive works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does what its documentation says.
    Live,
    /// It needs the named part of the server, which is not there yet: any value but the default is
    /// refused, at the start and by CONFIG SET, since ignoring it would break a promise.
    Later(&'static str),
    /// Any valid value is accepted and remembered, but has no effect, for the reason given; the
    /// log says so when it is set to something other than the default.
    Inert(&'static str),
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Directive {
    /// The name shown first and written by CONFIG REWRITE; lower case.
    pub name: &'static str,
    /// Other names of the same value.
    pub aliases: &'static [&'static str],
    /// How its text is read.
    pub kind: Kind,
    /// The default, as text of the kind.
    pub default: &'static str,
    /// How far it works.
    pub status: Status,
    /// Only at the start, not by CONFIG SET.
    pub immutable: bool,
    /// Its value must not appear in logs.
    pub sensitive: bool,
    /// CONFIG SET only if `enable-protected-configs` allows.
    pub protected: bool,
    /// Left out of patterns in CONFIG GET; its exact name shows it.
    pub hidden: bool,
    /// CONFIG SET is refused while data is being loaded.
    pub denied_while_loading: bool,
    /// CONFIG SET puts it into effect even when its value is the same: it names what may have changed.
    pub volatile: bool,
    /// What it does, in one or two sentences.
    pub doc: &'static str,
}

/// A row with neither aliases nor flags, live.
pub const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> Directive {
    Directive {
        name,
        aliases: &[],
        kind,
        default,
        status: Status::Live,
        immutable: false,
        sensitive: false,
        protected: false,
        hidden: false,
        denied_while_loading: false,
        volatile: false,
        doc,
    }
}

impl Directive {
    /// With these other names.
    pub const fn also(mut self, aliases: &'static [&'static str]) -> Directive {
        self.aliases = aliases;
        self
    }

    /// Only at the start.
    pub const fn immutable(mut self) -> Directive {
        self.immutable = true;
        self
    }

    /// Not to be logged.
    pub const fn sensitive(mut self) -> Directive {
        self.sensitive = true;
        self
    }

    /// Guarded by `enable-protected-configs`.
    pub const fn protected(mut self) -> Directive {
        self.protected = true;
        self
    }

    /// Not listed.
    pub const fn hidden(mut self) -> Directive {
        self.hidden = true;
        self
    }

    /// Not while loading.
    pub const fn denied_while_loading(mut self) -> Directive {
        self.denied_while_loading = true;
        self
    }

    /// Put into effect whenever it is set.
    pub const fn volatile(mut self) -> Directive {
        self.volatile = true;
        self
    }

    /// Waits for a part of the server.
    pub const fn later(mut self, part: &'static str) -> Directive {
        self.status = Status::Later(part);
        self
    }

    /// Has no effect, for this reason.
    pub const fn inert(mut self, reason: &'static str) -> Directive {
        self.status = Status::Inert(reason);
        self
    }

    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}
