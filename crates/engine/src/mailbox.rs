//! A loop's mailbox: everything that other threads want of its clients.
//!
//! Messages are taken between commands, so that none overtakes a reply already on its way. The sender
//! wakes the loop only when the mailbox was empty: a loop that is busy, or has been woken already, costs
//! the sender no system call. Order: a mailbox's lock is the last one taken, and nothing is done under
//! it but a push or a swap. Length: what can be sent is bounded by its causes (one reply for each
//! blocked client, one line for each monitor and command, which the monitor's output limit bounds).

use std::sync::{Arc, Mutex, PoisonError};

/// A message to a loop.
#[derive(Debug)]
pub enum Message {
    /// A writer served a blocked client: here is the reply.
    Served {
        /// The client.
        client: u64,
        /// Its encoded reply.
        reply: Vec<u8>,
    },
    /// CLIENT UNBLOCK, which has claimed the wait.
    Unblock {
        /// The client.
        client: u64,
        /// Answer with an error instead of a time-out.
        error: bool,
    },
    /// CLIENT KILL, or eviction of the client.
    Kill {
        /// The client.
        client: u64,
    },
    /// A line for the loop's monitors.
    Monitor(Arc<[u8]>),
    /// Paused clients may go on, or the configuration changed: look around.
    LookAround,
}

/// How a mailbox wakes its loop.
pub trait Wake: Send + Sync {
    /// Makes the loop look into its mailbox soon.
    fn wake(&self);
}

/// See the module's head.
pub struct Mailbox {
    queue: Mutex<Vec<Message>>,
    wake: Box<dyn Wake>,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new(wake: Box<dyn Wake>) -> Self {
        Self { queue: Mutex::new(Vec::new()), wake }
    }

    /// Leaves a message.
    pub fn send(&self, message: Message) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = queue.is_empty();
        queue.push(message);
        drop(queue);
        if was_empty {
            self.wake.wake();
        }
    }

    /// Takes all messages into `into`, which is empty.
    pub fn take(&self, into: &mut Vec<Message>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *queue, into);
    }
}
