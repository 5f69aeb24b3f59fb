//! The command table as rules see it: rows by number, found by full name.

use ochre_command::spec::Categories;

/// Number of a row of the command table.
pub type RowId = u16;

/// The command table. Names are in lower case; a subcommand's full name is `config|get`.
pub trait Commands {
    /// Rows, subcommands included; their numbers are below it.
    fn count(&self) -> usize;

    /// The row of a full name, in any case.
    fn by_name(&self, name: &[u8]) -> Option<RowId>;

    /// A row's full name.
    fn full_name(&self, row: RowId) -> &str;

    /// A row's categories.
    fn categories(&self, row: RowId) -> Categories;

    /// A container's subcommands.
    fn subcommands(&self, row: RowId) -> &[RowId];
}

/// Categories by their names, in the order of ACL CAT.
pub const CATEGORIES: &[(Categories, &str)] = &[
    (Categories::KEYSPACE, "keyspace"),
    (Categories::READ, "read"),
    (Categories::WRITE, "write"),
    (Categories::SET, "set"),
    (Categories::SORTEDSET, "sortedset"),
    (Categories::LIST, "list"),
    (Categories::HASH, "hash"),
    (Categories::STRING, "string"),
    (Categories::BITMAP, "bitmap"),
    (Categories::HYPERLOGLOG, "hyperloglog"),
    (Categories::GEO, "geo"),
    (Categories::STREAM, "stream"),
    (Categories::PUBSUB, "pubsub"),
    (Categories::ADMIN, "admin"),
    (Categories::FAST, "fast"),
    (Categories::SLOW, "slow"),
    (Categories::BLOCKING, "blocking"),
    (Categories::DANGEROUS, "dangerous"),
    (Categories::CONNECTION, "connection"),
    (Categories::TRANSACTION, "transaction"),
    (Categories::SCRIPTING, "scripting"),
    (Categories::BLOOM, "bloom"),
    (Categories::CUCKOO, "cuckoo"),
    (Categories::CMS, "cms"),
    (Categories::TOPK, "topk"),
    (Categories::TDIGEST, "tdigest"),
];

/// The category of a name without its `@`, in any case, with the name as it is written.
pub fn category(name: &[u8]) -> Option<(Categories, &'static str)> {
    CATEGORIES.iter().copied().find(|(_, known)| name.eq_ignore_ascii_case(known.as_bytes()))
}
