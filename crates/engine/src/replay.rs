//! Commands without a client: what files hold (the append-only file, libraries of functions) is run
//! through the same door as what clients send.

use ochre_base::clock::Now;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::shard::DbIndex;
use ochre_resp::{Output, Parser};

use crate::engine::Engine;
use crate::pipeline::{Processed, process};
use crate::session::{ClientInfo, Session};
use crate::turn::LoopState;

/// A client that nobody is behind.
#[derive(Debug)]
pub struct Replay {
    engine: &'static Engine,
    lp: LoopState,
    session: Session,
    parser: Parser,
    out: Output,
}

impl Replay {
    /// A new one, at the time `now`.
    pub fn new(engine: &'static Engine, bin: Bin, now: Now) -> Self {
        Self::counted_by(engine, 0, bin, now)
    }

    /// A new one among several: what it runs is counted as that of loop `index`, as there are loops.
    pub fn counted_by(engine: &'static Engine, index: usize, bin: Bin, now: Now) -> Self {
        let index = index % engine.mailboxes.len().max(1);
        let mut lp = LoopState::new(engine, index as u16, bin, 0);
        lp.now = now;
        let session = Session::new(ClientInfo::nobody().into(), true);
        Self { engine, lp, session, parser: Parser::new(), out: Output::default() }
    }

    /// Runs the complete commands at the start of `bytes`, which are requests as a client sends them.
    pub fn run(&mut self, bytes: &mut [u8]) -> Processed {
        let done = process(
            self.engine,
            &mut self.lp,
            &mut self.session,
            &mut self.parser,
            bytes,
            &mut self.out,
        );
        self.lp.attention.clear();
        done
    }

    /// Runs one command and gives its encoded reply.
    pub fn command(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.run(&mut request);
        self.take_replies()
    }

    /// Takes the replies of what ran since the last time.
    pub fn take_replies(&mut self) -> Vec<u8> {
        let replies = self.out.plain().unwrap_or_default().to_vec();
        self.out = Output::default();
        replies
    }

    /// The database that is selected.
    pub fn db(&self) -> DbIndex {
        self.session.db
    }

    /// Whether a transaction has begun and not ended.
    pub fn is_in_multi(&self) -> bool {
        self.session.multi.is_some()
    }
}
