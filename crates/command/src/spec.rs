//! A command's row: everything that is known of it without running it.
//!
//! Rows are `const` Rust beside their handlers, built by chained methods so that each shows only what
//! differs from the default:
//!
//! ```text
//! CommandSpec::new("get", 2, Flags::READONLY.union(Flags::FAST), Group::String, get)
//!     .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
//!     .docs("1.0.0", "Gives the string value of a key.", "O(1)", "key")
//! ```
//!
//! Source of the vocabulary: COMMAND INFO and COMMAND DOCS of Redis 7.2.

use bitflags::bitflags;

use crate::ctx::Ctx;
use crate::outcome::Result;

bitflags! {
    /// What a command does and where it is allowed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// May change data.
        const WRITE = 1 << 0;
        /// Reads data.
        const READONLY = 1 << 1;
        /// Refused when memory is short.
        const DENYOOM = 1 << 2;
        /// For operators.
        const ADMIN = 1 << 3;
        /// Belongs to publish/subscribe.
        const PUBSUB = 1 << 4;
        /// Not from scripts.
        const NOSCRIPT = 1 << 5;
        /// May block the client.
        const BLOCKING = 1 << 6;
        /// Allowed while loading.
        const LOADING = 1 << 7;
        /// Allowed on a replica with stale data.
        const STALE = 1 << 8;
        /// Not shown to MONITOR.
        const SKIP_MONITOR = 1 << 9;
        /// Not noted in the slow log.
        const SKIP_SLOWLOG = 1 << 10;
        /// Acts as if ASKING had been sent.
        const ASKING = 1 << 11;
        /// O(1) or O(log n).
        const FAST = 1 << 12;
        /// Allowed before authentication.
        const NO_AUTH = 1 << 13;
        /// Reads, but may write.
        const MAY_REPLICATE = 1 << 14;
        /// Not inside MULTI.
        const NO_MULTI = 1 << 15;
        /// Its keys are not at fixed places.
        const MOVABLEKEYS = 1 << 16;
        /// Allowed while a script runs too long.
        const ALLOW_BUSY = 1 << 17;
        /// Not while loading asynchronously.
        const NO_ASYNC_LOADING = 1 << 18;
        /// May run without any key.
        const NO_MANDATORY_KEYS = 1 << 19;
        /// Needs enable-debug-command or the like.
        const PROTECTED = 1 << 20;
        /// Touches keys that it does not declare: takes all locks.
        const ALL_KEYS = 1 << 21;
        /// Walks all shards one by one: takes no lock beforehand, and all of them in a transaction.
        const WALKS_SHARDS = 1 << 23;
        /// Runs in the engine before any lock is taken: session and server commands.
        const SESSION = 1 << 22;
    }
}

bitflags! {
    /// ACL categories beyond those that follow from flags and group.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Categories: u32 {
        /// `@keyspace`
        const KEYSPACE = 1 << 0;
        /// `@read`
        const READ = 1 << 1;
        /// `@write`
        const WRITE = 1 << 2;
        /// `@set`
        const SET = 1 << 3;
        /// `@sortedset`
        const SORTEDSET = 1 << 4;
        /// `@list`
        const LIST = 1 << 5;
        /// `@hash`
        const HASH = 1 << 6;
        /// `@string`
        const STRING = 1 << 7;
        /// `@bitmap`
        const BITMAP = 1 << 8;
        /// `@hyperloglog`
        const HYPERLOGLOG = 1 << 9;
        /// `@geo`
        const GEO = 1 << 10;
        /// `@stream`
        const STREAM = 1 << 11;
        /// `@pubsub`
        const PUBSUB = 1 << 12;
        /// `@admin`
        const ADMIN = 1 << 13;
        /// `@fast`
        const FAST = 1 << 14;
        /// `@slow`
        const SLOW = 1 << 15;
        /// `@blocking`
        const BLOCKING = 1 << 16;
        /// `@dangerous`
        const DANGEROUS = 1 << 17;
        /// `@connection`
        const CONNECTION = 1 << 18;
        /// `@transaction`
        const TRANSACTION = 1 << 19;
        /// `@scripting`
        const SCRIPTING = 1 << 20;
        /// `@bloom`
        const BLOOM = 1 << 21;
        /// `@cuckoo`
        const CUCKOO = 1 << 22;
        /// `@cms`
        const CMS = 1 << 23;
        /// `@topk`
        const TOPK = 1 << 24;
        /// `@tdigest`
        const TDIGEST = 1 << 25;
    }
}

bitflags! {
    /// What a command does with the keys of one specification.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct KeyFlags: u16 {
        /// Reads the value.
        const RO = 1 << 0;
        /// Reads and writes.
        const RW = 1 << 1;
        /// Overwrites.
        const OW = 1 << 2;
        /// Removes.
        const RM = 1 << 3;
        /// Gives data of the value to the client.
        const ACCESS = 1 << 4;
        /// Changes data of the value by what it holds.
        const UPDATE = 1 << 5;
        /// Adds data.
        const INSERT = 1 << 6;
        /// Removes data.
        const DELETE = 1 << 7;
        /// Not a key, but routed like one.
        const NOT_KEY = 1 << 8;
        /// The specification does not find all keys.
        const INCOMPLETE = 1 << 9;
        /// The flags depend on the arguments.
        const VARIABLE_FLAGS = 1 << 10;
    }
}

/// The group under which COMMAND DOCS lists a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// generic
    Generic,
    /// string
    String,
    /// list
    List,
    /// set
    Set,
    /// sorted-set
    SortedSet,
    /// hash
    Hash,
    /// pubsub
    Pubsub,
    /// transactions
    Transactions,
    /// connection
    Connection,
    /// server
    Server,
    /// scripting
    Scripting,
    /// hyperloglog
    Hyperloglog,
    /// cluster
    Cluster,
    /// geo
    Geo,
    /// stream
    Stream,
    /// bitmap
    Bitmap,
    /// module: the types that are modules elsewhere
    Module,
}

impl Group {
    /// The name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generic => "generic",
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Hash => "hash",
            Self::Pubsub => "pubsub",
            Self::Transactions => "transactions",
            Self::Connection => "connection",
            Self::Server => "server",
            Self::Scripting => "scripting",
            Self::Hyperloglog => "hyperloglog",
            Self::Cluster => "cluster",
            Self::Geo => "geo",
            Self::Stream => "stream",
            Self::Bitmap => "bitmap",
            Self::Module => "module",
        }
    }
}

/// Where the search for keys begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this argument; the command's name is 0.
    Index(i32),
    /// After this word, looked for from an argument on (negative: backwards from the end).
    Keyword(&'static str, i32),
}

/// How keys are found from where the search begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// From the first to `last` (relative; -1 is the last argument) by `step`; `limit` > 1 stops after
    /// that part of the arguments.
    Range {
        /// Last key, relative to the first; negative from the end.
        last: i32,
        /// Arguments from key to key.
        step: i32,
        /// 0 or 1: no limit; 2: the first half; and so on.
        limit: i32,
    },
    /// A number of keys stands at `count`, the first key at `first`, both relative.
    Count {
        /// Where the number stands.
        count: i32,
        /// Where the first key stands.
        first: i32,
        /// Arguments from key to key.
        step: i32,
    },
}

/// One key specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpec {
    /// Where the search begins.
    pub begin: Begin,
    /// How keys follow.
    pub find: Find,
    /// What is done with them.
    pub flags: KeyFlags,
}

impl KeySpec {
    /// One key, at argument `index`.
    pub const fn one(index: i32, flags: KeyFlags) -> Self {
        Self::range(index, 0, 1, flags)
    }

    /// Keys from `index` on to `last` (relative to the first, negative from the end) by `step`.
    pub const fn range(index: i32, last: i32, step: i32, flags: KeyFlags) -> Self {
        Self { begin: Begin::Index(index), find: Find::Range { last, step, limit: 0 }, flags }
    }

    /// A number of keys at argument `index`, and the keys behind it.
    pub const fn counted(index: i32, flags: KeyFlags) -> Self {
        let find = Find::Count { count: 0, first: 1, step: 1 };
        Self { begin: Begin::Index(index), find, flags }
    }
}

/// A handler: reads its arguments, acts on the data, writes its reply.
pub type Handler = fn(&mut Ctx<'_>) -> Result;

/// A command's row.
#[derive(Clone, Copy)]
pub struct CommandSpec {
    /// Lower case; of a subcommand its own word only.
    pub name: &'static str,
    /// Arguments with the name; negative: at least so many.
    pub arity: i32,
    /// What it does.
    pub flags: Flags,
    /// Its group.
    pub group: Group,
    /// ACL categories besides those that follow from flags and group.
    pub extra: Categories,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// The argument that names the element of a collection that the command looks up first; 0: none.
    /// Only for prefetching.
    pub element: u8,
    /// What runs it; a session command's runs in the engine instead.
    pub handler: Handler,
    /// Version of Redis (or Valkey) that brought it.
    pub since: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Time complexity.
    pub complexity: &'static str,
    /// Arguments in the usual notation: `key [NX | XX] value [value ...]`.
    pub syntax: &'static str,
    /// Version since which it is discouraged, and what to use.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// Hints to proxies and clients.
    pub tips: &'static [&'static str],
    /// Subcommands, when it is a container.
    pub subcommands: &'static [CommandSpec],
}

impl std::fmt::Debug for CommandSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CommandSpec").field(&self.name).finish()
    }
}

impl CommandSpec {
    /// A row with what every command has.
    pub const fn new(
        name: &'static str,
        arity: i32,
        flags: Flags,
        group: Group,
        handler: Handler,
    ) -> Self {
        Self {
            name,
            arity,
            flags,
            group,
            extra: Categories::empty(),
            keys: &[],
            element: 0,
            handler,
            since: "1.0.0",
            summary: "",
            complexity: "",
            syntax: "",
            deprecated: None,
            tips: &[],
            subcommands: &[],
        }
    }

    /// Where its keys are.
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.keys = keys;
        self
    }

    /// Which argument names the element that is looked up first.
    pub const fn element(mut self, at: u8) -> Self {
        self.element = at;
        self
    }

    /// What COMMAND DOCS says.
    pub const fn docs(
        mut self,
        since: &'static str,
        summary: &'static str,
        complexity: &'static str,
        syntax: &'static str,
    ) -> Self {
        self.since = since;
        self.summary = summary;
        self.complexity = complexity;
        self.syntax = syntax;
        self
    }

    /// Further ACL categories.
    pub const fn also(mut self, extra: Categories) -> Self {
        self.extra = extra;
        self
    }

    /// Discouraged since a version, in favour of something.
    pub const fn deprecated(mut self, since: &'static str, instead: &'static str) -> Self {
        self.deprecated = Some((since, instead));
        self
    }

    /// Hints to proxies and clients.
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// A container's subcommands.
    pub const fn subcommands(mut self, rows: &'static [CommandSpec]) -> Self {
        self.subcommands = rows;
        self
    }

    /// Whether `count` arguments, the name included, are right.
    #[inline]
    pub fn accepts(&self, count: usize) -> bool {
        if self.arity >= 0 { count == self.arity as usize } else { count >= -self.arity as usize }
    }

    /// All ACL categories.
    pub fn categories(&self) -> Categories {
        let flags = self.flags;
        let mut all = self.extra;
        all.set(Categories::WRITE, flags.contains(Flags::WRITE));
        let reads = flags.contains(Flags::READONLY) && self.group != Group::Scripting;
        all.set(Categories::READ, reads);
        all.set(Categories::ADMIN, flags.contains(Flags::ADMIN));
        if flags.contains(Flags::ADMIN) {
            all |= Categories::DANGEROUS;
        }
        if flags.contains(Flags::PUBSUB) {
            all |= Categories::PUBSUB;
        }
        if flags.contains(Flags::BLOCKING) {
            all |= Categories::BLOCKING;
        }
        all |= if flags.contains(Flags::FAST) { Categories::FAST } else { Categories::SLOW };
        all | match self.group {
            Group::Generic => Categories::KEYSPACE,
            Group::String => Categories::STRING,
            Group::List => Categories::LIST,
            Group::Set => Categories::SET,
            Group::SortedSet => Categories::SORTEDSET,
            Group::Hash => Categories::HASH,
            Group::Pubsub => Categories::PUBSUB,
            Group::Transactions => Categories::TRANSACTION,
            Group::Connection => Categories::CONNECTION,
            Group::Scripting => Categories::SCRIPTING,
            Group::Hyperloglog => Categories::HYPERLOGLOG,
            Group::Geo => Categories::GEO,
            Group::Stream => Categories::STREAM,
            Group::Bitmap => Categories::BITMAP,
            Group::Module => self.module_category(),
            Group::Server | Group::Cluster => Categories::empty(),
        }
    }

    /// The category of a type that is a module elsewhere: what stands before the point of its name.
    fn module_category(&self) -> Categories {
        match self.name.split_once('.') {
            Some(("bf", _)) => Categories::BLOOM,
            Some(("cf", _)) => Categories::CUCKOO,
            Some(("cms", _)) => Categories::CMS,
            Some(("topk", _)) => Categories::TOPK,
            Some(("tdigest", _)) => Categories::TDIGEST,
            _ => Categories::empty(),
        }
    }
}
