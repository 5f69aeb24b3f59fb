//! Connections to others, and the requests under way on them.
//!
//! Each server has a command link and a link that listens to hello messages; another sentinel has a command link,
//! shared by all primaries that both watch. Replies come in the order of the requests, so what a reply answers is the
//! front of a queue.
//!
//! Limit: `PENDING_MAX` requests a user of the link; beyond that nothing more is sent until replies come.

use std::collections::VecDeque;

use ochre_base::clock::Millis;

use crate::addr::Addr;

/// Number of a link, never used twice.
pub type LinkId = u64;

/// Most requests under way for each user of a link.
pub(crate) const PENDING_MAX: usize = 100;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Requests and replies.
    Command,
    /// Listening to hello messages.
    Subscription,
}

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not there; to be made.
    Closed,
    /// Under way.
    Connecting,
    /// Usable.
    Open,
}

/// Whose server a link leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The primary of this name.
    Primary(String),
    /// A replica of the primary, by its key.
    Replica(String, String),
    /// Another sentinel; the name of the primary that it was found by.
    Sentinel(String, String),
}

/// What a request was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Purpose {
    Ping,
    Info,
    Hello,
    /// Whether the named primary is down, to the sentinel of this run id.
    Ask(String, String),
    /// FAILOVER of the named primary.
    Coordinate(String),
    /// Its reply changes nothing.
    Other,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    pub(crate) addr: Addr,
    pub(crate) state: State,
    /// How many instances use it.
    pub(crate) users: usize,
    pub(crate) pending: VecDeque<Purpose>,
    /// Since when it is open, or being opened.
    pub(crate) opened_at: Millis,
    /// When the last attempt to open it was made.
    pub(crate) tried_at: Option<Millis>,
    /// When the first PING without an answer was sent, or the link was made.
    pub(crate) unanswered_since: Option<Millis>,
    pub(crate) ping_at: Millis,
    /// When the last answer to a PING came, whatever it said.
    pub(crate) pong_at: Millis,
    /// When the last answer came that a server in working order gives.
    pub(crate) avail_at: Millis,
    /// When anything came on a subscription.
    pub(crate) activity_at: Millis,
    /// The address of this end of it.
    pub(crate) local_ip: String,
}

impl Link {
    pub(crate) fn new(kind: Kind, target: Target, addr: Addr, now: Millis) -> Self {
        Self {
            kind,
            target,
            addr,
            state: State::Closed,
            users: 1,
            pending: VecDeque::new(),
            opened_at: now,
            tried_at: None,
            // A server that never answers must count as down some time.
            unanswered_since: Some(now),
            ping_at: 0,
            pong_at: now,
            avail_at: now,
            activity_at: now,
            local_ip: String::new(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX * self.users.max(1)
    }

    /// It has gone, whatever was under way.
    pub(crate) fn lose(&mut self) {
        self.state = State::Closed;
        self.pending.clear();
    }
}

/// A request in its wire form.
pub(crate) fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}
