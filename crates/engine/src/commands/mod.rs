//! Commands that act on the session, on several commands, or on the engine as a whole.

pub mod connection;
pub mod transaction;

use crate::registry::SessionRow;

/// All tables of this crate.
pub const TABLES: &[&[SessionRow]] = &[connection::COMMANDS, transaction::COMMANDS];
