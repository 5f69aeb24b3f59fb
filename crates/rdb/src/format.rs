//! The numbers of the RDB format, drawn, and the dialects that are written.
//!
//! ```text
//! file      "REDIS" version:4 digits | "VALKEY" version:3 digits
//!           [ opcode or type, what follows it ]...
//!           FF [ CRC64 of all bytes before:u64, 0 for none ]       from version 5 on
//!
//! key       [ FC at:i64 | FD at:i32 ]? [ F8 idle:length | F9 freq:u8 ]? type:u8 key:string value
//!
//! length    00nnnnnn                          0 to 63
//!           01nnnnnn nnnnnnnn                 up to 16,383, high byte first
//!           80 n:u32                          high byte first
//!           81 n:u64                          high byte first
//! string    length bytes
//!           C0 i8 | C1 i16 | C2 i32           the text of an integer
//!           C3 compressed:length whole:length LZF data
//!
//! DUMP      type:u8 value version:u16 crc64:u64     the sum is of all before it
//! ```
//!
//! Numbers without a word about their order have the low byte first. The checksum is CRC-64/REDIS
//! (Jones' polynomial, reflected, from 0). Types 22 and 23 mean different things in the two families,
//! which is why a value is read together with the version of its file or payload.
//!
//! Source: the RDB files and DUMP payloads of redis-server 7.0.15, Redis 8.0.6 and Valkey 9.1.2, taken
//! apart; the published descriptions of the format for what those no longer write.

use ochre_base::compat::Compat;

/// What may stand where a key's type could.
pub mod opcode {
    /// Valkey 9: a slot migration that comes in: `job:string count:length [first:length last:length]`.
    pub const SLOT_IMPORT: u8 = 243;
    /// slot:length keys:length expires:length: hints.
    pub const SLOT_INFO: u8 = 244;
    /// The source of a library of functions: string.
    pub const FUNCTION: u8 = 245;
    /// The same in the release candidates of Redis 7.0: not read.
    pub const FUNCTION_PRE_RELEASE: u8 = 246;
    /// What a module keeps outside keys: module:length, then parts as in a module's value.
    pub const MODULE_AUX: u8 = 247;
    /// Seconds since the last access of the next key: length.
    pub const IDLE: u8 = 248;
    /// The access counter of the next key: u8.
    pub const FREQUENCY: u8 = 249;
    /// A fact about the file: name:string value:string.
    pub const AUX: u8 = 250;
    /// keys:length expires:length: hints for the database that follows.
    pub const RESIZE_DB: u8 = 251;
    /// The expiry of the next key, in Unix milliseconds: i64.
    pub const EXPIRE_MS: u8 = 252;
    /// The expiry of the next key, in Unix seconds: i32.
    pub const EXPIRE_S: u8 = 253;
    /// The following keys are in this database: length.
    pub const SELECT_DB: u8 = 254;
    /// The end.
    pub const EOF: u8 = 255;
}

/// The types of values.
pub mod kind {
    /// string
    pub const STRING: u8 = 0;
    /// `count [element:string]`
    pub const LIST: u8 = 1;
    /// `count [member:string]`
    pub const SET: u8 = 2;
    /// `count [member:string score]`, the score as text behind its length:u8; 253 NaN, 254 inf, 255 -inf
    pub const ZSET: u8 = 3;
    /// `count [field:string value:string]`
    pub const HASH: u8 = 4;
    /// `count [member:string score:f64]`
    pub const ZSET_2: u8 = 5;
    /// A module's value in the release candidates of Redis 4.0: cannot be told apart, never read.
    pub const MODULE_PRE_RELEASE: u8 = 6;
    /// `module:length [part:length ..]`: see the reader.
    pub const MODULE: u8 = 7;
    /// string: a zipmap
    pub const HASH_ZIPMAP: u8 = 9;
    /// string: a ziplist
    pub const LIST_ZIPLIST: u8 = 10;
    /// string: an intset
    pub const SET_INTSET: u8 = 11;
    /// string: a ziplist of members and scores
    pub const ZSET_ZIPLIST: u8 = 12;
    /// string: a ziplist of fields and values
    pub const HASH_ZIPLIST: u8 = 13;
    /// `count [ziplist:string]`
    pub const LIST_QUICKLIST: u8 = 14;
    /// A stream of Redis 5: see the stream writer.
    pub const STREAM_1: u8 = 15;
    /// string: a listpack of fields and values
    pub const HASH_LISTPACK: u8 = 16;
    /// string: a listpack of members and scores
    pub const ZSET_LISTPACK: u8 = 17;
    /// `count [container:length (1 an element as it is, 2 a listpack) string]`
    pub const LIST_QUICKLIST_2: u8 = 18;
    /// A stream of Redis 7.0.
    pub const STREAM_2: u8 = 19;
    /// string: a listpack of members
    pub const SET_LISTPACK: u8 = 20;
    /// A stream of Redis 7.2.
    pub const STREAM_3: u8 = 21;
    /// Valkey 9: `count [field:string value:string expiry:i64, -1 for none]`
    pub const VALKEY_HASH_EXPIRY: u8 = 22;
    /// Release candidates of Redis 7.4: `count [expiry:length field:string value:string]`, 0 for none
    pub const HASH_EXPIRY_PRE_RELEASE: u8 = 22;
    /// Release candidates of Redis 7.4: string: a listpack of fields, values and expiries
    pub const HASH_LISTPACK_EXPIRY_PRE_RELEASE: u8 = 23;
    /// `earliest:u64 count [1 + expiry - earliest:length, 0 for none, field:string value:string]`
    pub const HASH_EXPIRY: u8 = 24;
    /// earliest:u64, string: a listpack of fields, values and expiries (0: none), by expiry, none last
    pub const HASH_LISTPACK_EXPIRY: u8 = 25;
}

/// What a part of a list is.
pub mod container {
    /// One element as it is.
    pub const PLAIN: u64 = 1;
    /// A listpack.
    pub const PACKED: u64 = 2;
}

/// Which of the two lines of servers a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Redis of any version, and Valkey up to 8.
    Redis,
    /// Valkey from 9 on.
    Valkey,
}

impl Family {
    /// Whose payload has this version.
    pub fn of_version(version: u16) -> Self {
        if version >= VALKEY_VERSION { Self::Valkey } else { Self::Redis }
    }
}

/// The newest version of Redis' line that is read.
pub const REDIS_VERSION_MAX: u16 = 12;
/// The version of Valkey's line that is read and written.
pub const VALKEY_VERSION: u16 = 80;

/// Whether a file or payload of this version can be read.
pub fn is_known_version(version: u16) -> bool {
    (1..=REDIS_VERSION_MAX).contains(&version) || version == VALKEY_VERSION
}

/// What is written: whose readers it is for, and whether strings are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    family: Family,
    version: u16,
    compress: bool,
}

impl Dialect {
    /// What Redis 7.0 reads, and everything after it: version 10.
    pub const REDIS_7_0: Self = Self { family: Family::Redis, version: 10, compress: true };
    /// What Redis 7.2 and Valkey 7.2 read: version 11.
    pub const REDIS_7_2: Self = Self { family: Family::Redis, version: 11, compress: true };
    /// What Redis 7.4 and 8.0 read: version 12.
    pub const REDIS_8: Self = Self { family: Family::Redis, version: 12, compress: true };
    /// What Valkey 9 reads: version 80.
    pub const VALKEY_9: Self =
        Self { family: Family::Valkey, version: VALKEY_VERSION, compress: true };

    /// What the server of that name writes.
    pub fn of(compat: Compat) -> Self {
        match compat {
            Compat::Redis70 => Self::REDIS_7_0,
            Compat::Redis72 => Self::REDIS_7_2,
            Compat::Redis8 => Self::REDIS_8,
            Compat::Valkey9 => Self::VALKEY_9,
        }
    }

    /// The same with strings compressed or not: rdbcompression.
    pub fn compress(self, compress: bool) -> Self {
        Self { compress, ..self }
    }

    /// The version that stands in the file or payload.
    pub fn version(self) -> u16 {
        self.version
    }

    /// Whose readers it is for.
    pub fn family(self) -> Family {
        self.family
    }

    /// Whether strings are compressed.
    pub fn compresses(self) -> bool {
        self.compress
    }

    /// Whether hashes whose fields expire have a form in it. They are written all the same where they
    /// have none, in Redis 8's form, which older servers refuse; who must not write such a file asks
    /// [`ValueRef::foreign_to`](crate::ValueRef::foreign_to) first.
    pub fn has_field_expiry(self) -> bool {
        self.version > Self::REDIS_7_2.version
    }

    /// The first bytes of a file.
    pub fn magic(self) -> [u8; 9] {
        let mut magic = match self.family {
            Family::Redis => *b"REDIS0000",
            Family::Valkey => *b"VALKEY000",
        };
        let mut rest = self.version;
        for digit in magic.iter_mut().rev().take(3) {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        magic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_begin_as_the_peers_do() {
        assert_eq!(&Dialect::REDIS_7_0.magic(), b"REDIS0010");
        assert_eq!(&Dialect::of(Compat::Redis72).magic(), b"REDIS0011");
        assert_eq!(&Dialect::of(Compat::Redis8).magic(), b"REDIS0012");
        assert_eq!(&Dialect::VALKEY_9.magic(), b"VALKEY080");
        assert!(!is_known_version(0) && !is_known_version(13) && !is_known_version(81));
        assert!(Dialect::VALKEY_9.has_field_expiry() && !Dialect::REDIS_7_2.has_field_expiry());
    }
}
