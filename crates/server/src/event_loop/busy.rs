//! The other clients of a loop whose thread is held up by a script that runs too long.
//!
//! The interpreter's hook calls the loop's *pump* now and then, from deep within one connection's command.
//! The pump runs a short turn for all other connections: they hear that the server is busy, and SCRIPT
//! KILL and SHUTDOWN NOSAVE work. To make that possible without sharing anything, the loop lays its
//! connections ([`Io`]) on the deck before it runs a connection's commands, and takes them back afterwards; the
//! pump has an event loop of its own that takes them from the deck for its turn.
//!
//! **The script's thread holds shard locks**, and waiting for one of them here would be waiting for
//! oneself. So nothing in such a turn may take one: the gate refuses what would (see
//! `LoopState::in_place`), and closing clients that wait or watch, ending waits and killing clients are put
//! off until the loop has its thread back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::Events;
use ochre_engine::engine::Engine;
use ochre_engine::mailbox::Message;
use ochre_engine::turn::{LoopState, Pump};

use super::{EVENTS, EventLoop, Io, Shared};
use crate::connection::{Connection, Traffic};

/// Where a loop's connections lie while one of them runs commands.
pub(super) type Deck = Arc<Mutex<Box<Io>>>;

fn exchange(io: &mut Box<Io>, deck: &Deck) {
    std::mem::swap(io, &mut *deck.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Whether acting on a message may take a shard's lock.
pub(super) fn needs_locks(message: &Message) -> bool {
    match message {
        Message::Served { .. }
        | Message::Unblock { .. }
        | Message::Kill { .. }
        | Message::Snapshot { .. }
        | Message::Migrated(_)
        | Message::LookAround => true,
        Message::Push { .. } | Message::Invalidate { .. } | Message::Monitor(_) => false,
    }
}

/// The pump of a loop.
pub(super) fn pump(shared: &'static Shared, lp: &LoopState, deck: &Deck) -> Pump {
    let (index, bin, deck) = (lp.index, lp.bin.clone(), Arc::clone(deck));
    let mut in_place: Option<Box<EventLoop>> = None;
    Pump(Box::new(move |engine: &'static Engine, _: &mut LoopState| {
        let event_loop = in_place.get_or_insert_with(|| {
            let mut lp = LoopState::new(engine, index, bin.clone(), u64::from(index));
            lp.in_place = true;
            let mut event_loop = EventLoop::bare(engine, shared, lp, Deck::default());
            event_loop.in_place = true;
            Box::new(event_loop)
        });
        exchange(&mut event_loop.io, &deck);
        event_loop.short_turn();
        exchange(&mut event_loop.io, &deck);
    }))
}

impl EventLoop {
    /// Runs commands of a connection, or reads it first: with the connection out of its place, and the
    /// others on the deck.
    pub(super) fn lend<R>(
        &mut self,
        index: usize,
        run: impl FnOnce(&mut Connection, &'static Engine, &mut LoopState, &mut [u8], &mut Traffic) -> R,
    ) -> Option<R> {
        let mut connection = self.io.connections.get_mut(index)?.take()?;
        exchange(&mut self.io, &self.deck);
        let Self { engine, lp, scratch, traffic, .. } = self;
        let result = run(&mut connection, engine, lp, scratch, traffic);
        exchange(&mut self.io, &self.deck);
        if let Some(place) = self.io.connections.get_mut(index) {
            *place = Some(connection);
        }
        Some(result)
    }

    /// A turn in place of the loop that is held up: no waiting, nothing that takes a shard's lock.
    fn short_turn(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        if self.io.poll(&mut events, Duration::ZERO).is_err() {
            // Interrupted: there is a next time.
            return;
        }
        self.begin_turn();
        self.handle(&events);
        self.accept_rest();
        self.take_intake();
        self.take_messages(&mut Vec::new());
        self.flush_all();
        self.count_traffic();
    }

    /// Whether a connection cannot be closed now: it waits or watches, which its shards have to forget.
    pub(super) fn is_put_off(&self, index: usize) -> bool {
        let Some(Some(connection)) = self.io.connections.get(index) else { return false };
        let session = &connection.session;
        self.in_place && (session.blocked.is_some() || !session.watches.is_empty())
    }

    /// Does what was put off while a script held the thread.
    pub(super) fn catch_up(&mut self) {
        for index in std::mem::take(&mut self.io.unclosed) {
            self.close(index);
        }
        for message in std::mem::take(&mut self.io.put_off) {
            self.receive(message);
        }
    }
}
