//! A deterministic world to run the distributed parts of the server in: many nodes in one thread, a virtual clock, a
//! virtual network with faults. One seed is one history, whatever machine it runs on.
//!
//! - [`queue`]: what happens when; the clock is the time of the last thing that happened;
//! - [`net`]: connections between nodes, with delay, stalls, cuts and partitions;
//! - [`faults`]: which faults a history has, drawn from the seed;
//! - [`sentinel`]: sentinels and servers in this world, and what must hold of them.
//!
//! The parts that are tested are the real state machines, fed with the real bytes; only sockets, clocks and disks are
//! played. A crash loses everything but what was synced.
//!
//! Nothing here is linked into the server.

#![forbid(unsafe_code)]

pub mod faults;
pub mod net;
pub mod queue;
pub mod sentinel;

/// Number of a node: a process with an address.
pub type NodeId = usize;

/// Virtual milliseconds since the beginning.
pub type Time = i64;
