//! Commands that act on the session, on several commands, or on the engine as a whole.

pub mod acl;
pub mod client;
pub mod command;
pub mod config;
pub mod connection;
pub mod debug;
pub mod function;
pub(crate) mod help;
pub mod hotkeys;
pub mod info;
mod keysizes;
pub mod latency;
pub mod logs;
pub mod memory;
pub mod migrate;
pub mod module;
pub mod persistence;
pub mod pubsub;
pub mod replication;
pub mod scripting;
pub mod server;
mod tracking;
pub mod transaction;

use crate::registry::SessionRow;

/// All tables of this crate.
pub const TABLES: &[&[SessionRow]] = &[
    acl::COMMANDS,
    client::COMMANDS,
    command::COMMANDS,
    config::COMMANDS,
    connection::COMMANDS,
    debug::COMMANDS,
    function::COMMANDS,
    hotkeys::COMMANDS,
    info::COMMANDS,
    latency::COMMANDS,
    logs::COMMANDS,
    memory::COMMANDS,
    migrate::COMMANDS,
    module::COMMANDS,
    persistence::COMMANDS,
    pubsub::COMMANDS,
    scripting::COMMANDS,
    replication::COMMANDS,
    server::COMMANDS,
    transaction::COMMANDS,
];
