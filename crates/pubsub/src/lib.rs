//! Publish and subscribe: who listens to which channel.
//!
//! It knows names and subscribers, and nothing of sockets or encodings: the engine delivers.

#![forbid(unsafe_code)]

mod channels;
mod prefixes;

pub use channels::{Channels, Kind, Subscriber, Subscribers};
pub use prefixes::{Prefixes, Target};
