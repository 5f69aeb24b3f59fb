//! Who hears of changes: listeners to keyspace events, and clients that cache what they read.
//!
//! Whoever changes a key says so under the key's shard lock, by way of a [`Listener`] that the engine
//! implements. It costs one load and one test when nobody listens ([`Interest`]), and one test of an
//! empty map when no client caches a key of the shard.
//!
//! A reader's registration and a writer's invalidation of one key take place under the same lock, so
//! that no reader keeps a stale value: either the read came after the write, or the write finds the
//! registration.

use crate::shard::DbIndex;

/// The classes of keyspace events, by their letters in notify-keyspace-events. The value is the
/// class's bit there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Class {
    /// `g`: commands of no type.
    Generic = 1 << 2,
    /// `$`
    String = 1 << 3,
    /// `l`
    List = 1 << 4,
    /// `s`
    Set = 1 << 5,
    /// `h`
    Hash = 1 << 6,
    /// `z`
    Zset = 1 << 7,
    /// `x`
    Expired = 1 << 8,
    /// `e`
    Evicted = 1 << 9,
    /// `t`
    Stream = 1 << 10,
    /// `m`: a key was looked for and was not there.
    KeyMiss = 1 << 11,
    /// `d`: the types that are modules elsewhere.
    Module = 1 << 13,
    /// `n`: a key was made.
    New = 1 << 14,
}

/// What anybody wants to hear of: bits of [`Class`], and one for clients that cache by prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest(pub u32);

impl Interest {
    /// The bits of `S`, `T`, `I` and `V` of notify-keyspace-events: events with the parts of a value that
    /// they are about.
    pub const PARTS: u32 = 0b1111 << 16;
    /// The bits of all classes.
    const CLASSES: u32 = 0b0110_1111_1111_1100;
    /// The bit for clients that cache by prefix: they want every change.
    pub const PREFIXES: u32 = 1 << 31;

    /// Whether nobody wants anything.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether events of a class are wanted.
    #[inline]
    pub fn has(self, class: Class) -> bool {
        self.0 & class as u32 != 0
    }

    /// Whether events of a class are wanted with the parts that they are about. Naming no class at all asks
    /// for every one: so the documentation's example has it.
    #[inline]
    pub fn has_parts(self, class: Class) -> bool {
        self.0 & Self::PARTS != 0 && (self.has(class) || self.0 & Self::CLASSES == 0)
    }

    /// Whether all changed keys are wanted.
    #[inline]
    pub fn has_prefixes(self) -> bool {
        self.0 & Self::PREFIXES != 0
    }
}

/// A client that has read a key and caches what it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The loop that owns it.
    pub event_loop: u16,
    /// Its id.
    pub client: u64,
    /// It does not want to hear of its own changes.
    pub noloop: bool,
}

/// Hears of changes. Called under a shard's lock: an implementation may take the registry of channels
/// and mailboxes, which come after shards in the order of locks, and nothing else.
pub trait Listener: Sync {
    /// What is wanted, as of now.
    fn interest(&self) -> Interest;

    /// An event of a class that is wanted.
    fn event(&self, class: Class, event: &'static str, db: DbIndex, key: &[u8]);

    /// The same event for those who want to hear of the parts it is about (the fields of a hash), of
    /// which there is at least one.
    fn parts(&self, event: &'static str, db: DbIndex, key: &[u8], parts: &[&[u8]]);

    /// A key changed that these clients cache; they are no longer registered. `writer` is the client
    /// that changed it, 0 for the server.
    fn stale(&self, key: &[u8], readers: &[Reader], writer: u64);

    /// Keys that changed, for the clients that cache by prefix.
    fn changed_keys(&self, keys: &[Vec<u8>], writer: u64);

    /// All databases were flushed, by a client or the log.
    fn flushed_all(&self) {}

    /// Something that the operator should know of what a client sent: a line of the log.
    fn report(&self, _text: &str) {}

    /// Payloads are taken without a look at their checksums: DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    fn skips_checksums(&self) -> bool {
        false
    }
}

/// Nobody listens: for tests.
#[derive(Debug)]
pub struct Silent;

impl Listener for Silent {
    fn interest(&self) -> Interest {
        Interest::default()
    }

    fn event(&self, _: Class, _: &'static str, _: DbIndex, _: &[u8]) {}

    fn parts(&self, _: &'static str, _: DbIndex, _: &[u8], _: &[&[u8]]) {}

    fn stale(&self, _: &[u8], _: &[Reader], _: u64) {}

    fn changed_keys(&self, _: &[Vec<u8>], _: u64) {}
}
