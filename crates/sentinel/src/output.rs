//! What the state machine wants to be done, in the order in which it has to be done.

use crate::link::LinkId;

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For whoever looks for an error; not published.
    Debug,
    /// Rarely of interest.
    Verbose,
    /// Ordinary.
    Notice,
    /// Needs attention; notification scripts run.
    Warning,
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Connect; then say [`connected`](crate::Sentinel::connected) or
    /// [`disconnected`](crate::Sentinel::disconnected).
    Open {
        /// The link's number.
        link: LinkId,
        /// IP address.
        ip: String,
        /// TCP port.
        port: u16,
    },
    /// Close a link; nothing is to be told of it any more.
    Close {
        /// Its number.
        link: LinkId,
    },
    /// Send an encoded request.
    Send {
        /// On this link.
        link: LinkId,
        /// The bytes.
        request: Vec<u8>,
    },
    /// Log, and publish on the channel of the event's name unless it is of level debug.
    Event {
        /// How much it matters.
        level: Level,
        /// The event: `+sdown`.
        name: String,
        /// What it says.
        text: String,
    },
    /// Write the configuration and sync it before anything that stands behind this is done.
    Persist,
    /// Start a script, without waiting for it.
    Run {
        /// Number to report its end by.
        job: u64,
        /// Path and arguments.
        argv: Vec<String>,
    },
    /// Kill a script that runs too long.
    Kill {
        /// Its number.
        job: u64,
    },
    /// End the process at once: a simulated failure (SENTINEL SIMULATE-FAILURE).
    Crash,
}
