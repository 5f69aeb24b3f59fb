//! Sentinel mode: the process around the state machine of `ochre-sentinel`.
//!
//! One thread does everything: it accepts clients, runs their commands, keeps links to servers and other sentinels, and
//! lets the state machine act about fifteen times a second. Nothing of the data plane runs in this mode.
//!
//! - [`start`]: arguments and configuration; - [`driver`]: the loop; - [`link`](mod@link): connections to others;
//! - [`client`]: connections of clients; - [`commands`], [`acl`], [`table`]: what clients may say;
//! - [`scripts`]: child processes; - [`file`](mod@file): the configuration file, which holds the state.
//!
//! Failure: what is wrong with the configuration is printed, with exit code 1. A state that cannot be written to the file
//! is logged; a vote that cannot be written is not given.

mod acl;
mod client;
mod commands;
mod driver;
mod file;
mod link;
mod scripts;
mod start;
mod table;

pub(crate) use start::{is_asked_for, run};
