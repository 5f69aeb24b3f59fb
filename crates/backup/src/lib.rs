//! Scheduled backups: all of them that is not the server.
//!
//! - [`name`]: what a backup is called, and when it was taken;
//! - [`schedule`]: when one is due, and how long to wait after a failure;
//! - [`retention`]: which ones are no longer wanted;
//! - [`destination`]: a folder or a bucket: listing, sending in parts, reading back, removing;
//! - [`mod@inspect`]: whether what was read is a whole snapshot.
//!
//! **The runtime.** Clients of object stores are asynchronous; the server is not. [`destination::Async`] holds
//! a runtime of one thread, which runs only while its owner waits for a request. To the outside everything
//! here is a function that returns when it is done, or soon after it was told to stop.
//!
//! Schedule and retention are functions of times that are handed in: nothing here reads a clock.

#![forbid(unsafe_code)]

pub mod destination;
pub mod inspect;
pub mod name;
pub mod retention;
pub mod schedule;

pub use destination::{Async, Destination, Error, Found, Object, Sent};
pub use inspect::{Inspected, Tee, inspect};
pub use retention::{Keep, surplus};
pub use schedule::{Schedule, retry_after_s};
