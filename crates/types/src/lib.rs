//! Values and their encodings. This crate knows no keys, databases, clients or RESP.
//!
//! - [`arena`]: blocks of 8-byte steps addressed by 32-bit references;
//! - [`table`]: the segmented hash table that holds such references;
//! - `packed`, `list`, `hash`, `set`, `zset`: the collections built on them.

pub mod arena;
pub mod hash;
pub mod limits;
pub mod list;
pub mod packed;
pub mod page;
pub mod set;
pub mod table;
pub mod value;
pub mod zset;
