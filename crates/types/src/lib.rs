//! Values and their encodings. This crate knows no keys, databases, clients or RESP.
//!
//! - [`arena`]: blocks of 8-byte steps addressed by 32-bit references;
//! - [`table`]: the segmented hash table that holds such references;
//! - [`bitmap`], [`hyperloglog`]: what else a string can be;
//! - [`geohash`]: places on the globe as scores;
//! - [`sketch`]: Bloom and cuckoo filters, count-min, top-k, t-digest;
//! - [`capture`]: giving the content of a large collection part by part while it changes;
//! - `packed`, `list`, `hash`, `set`, `zset`, `stream`: the collections built on them.

pub mod arena;
pub mod bitmap;
pub mod capture;
pub mod geohash;
pub mod hash;
pub mod hyperloglog;
pub mod limits;
pub mod list;
pub mod packed;
pub mod page;
pub mod set;
pub mod sketch;
pub mod stream;
pub mod table;
pub mod value;
pub mod zset;
