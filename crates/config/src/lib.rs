//! Configuration directives, without I/O.
//!
//! * [`directive`]: what a row of the table says;
//! * [`table`]: the one table, every directive of both families of peers;
//! * [`value`] and [`special`]: texts to values and back, by kind;
//! * [`store`]: the current values;
//! * [`parse`]: `redis.conf` syntax, includes, options of the command line;
//! * [`get_set`]: CONFIG GET and CONFIG SET;
//! * [`rewrite`]: CONFIG REWRITE;
//! * [`snapshot`]: the typed, immutable view that the server reads while it runs.
//!
//! Files, folders and the number of cores are arguments; nothing here touches the machine.
//!
//! Source: behaviour and texts of redis-server 7.0.15 and valkey-server 9.1; defaults of Redis
//! 7.2.
#![forbid(unsafe_code)]

pub mod directive;
pub mod get_set;
pub mod parse;
pub mod rewrite;
pub mod snapshot;
pub mod special;
pub mod store;
pub mod table;
pub mod value;

pub use directive::{Directive, Kind, Status};
pub use ochre_base::compat::{Compat, VALKEY};
pub use snapshot::Settings;
pub use store::{Config, Surroundings};
pub use table::Id;
pub use value::Value;
