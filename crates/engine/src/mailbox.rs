//! A loop's mailbox: everything that other threads want of its clients.
//!
//! Messages are taken between commands, so that none overtakes a reply already on its way. The sender
//! wakes the loop only when it sleeps: a loop that is busy, or has been woken already, costs the sender
//! no system call. Order: a mailbox's lock is the last one taken, and nothing is done under
//! it but a push or a swap. Length: what can be sent is bounded by its causes (one reply for each
//! blocked client, one line for each monitor and command, which the monitor's output limit bounds).

#[cfg(feature = "shuttle")]
use shuttle::sync::Mutex;
#[cfg(not(feature = "shuttle"))]
use std::sync::Mutex;
use std::sync::{Arc, PoisonError};

use crate::commands::migrate::Round;
use crate::tracking::{Cause, Names};
use crate::transfer::StreamReader;

/// A message to a loop.
#[derive(Debug)]
pub enum Message {
    /// A writer served a blocked client: here is the reply.
    Served {
        /// The client.
        client: u64,
        /// Its encoded reply.
        reply: Vec<u8>,
        /// The time that it took, in nanoseconds.
        time_ns: u64,
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
    /// A published message for clients of the loop, encoded for RESP2.
    Push {
        /// The clients.
        clients: Vec<u64>,
        /// The message.
        bytes: Arc<[u8]>,
    },
    /// What clients of the loop cache is stale.
    Invalidate {
        /// The clients that cache it, or that others redirect to.
        clients: Vec<u64>,
        /// The keys; none: all of them.
        names: Names,
        /// Why the clients get it.
        cause: Cause,
    },
    /// A replica's snapshot; none: it could not be taken.
    Snapshot {
        /// The replica's client.
        client: u64,
        /// The file.
        snapshot: Option<Snapshot>,
    },
    /// A round of a MIGRATE of one of the loop's clients is over.
    Migrated(Box<Round>),
    /// A line for the loop's monitors.
    Monitor(Arc<[u8]>),
    /// Paused clients may go on, or the configuration changed: look around.
    LookAround,
}

/// How a snapshot is sent.
#[derive(Debug)]
pub enum Form {
    /// From a file, which is complete.
    File {
        /// The file, from the start.
        file: std::fs::File,
        /// Bytes of it.
        bytes: u64,
    },
    /// As it is made.
    Stream {
        /// The replica's end.
        reader: StreamReader,
        /// What is announced to come at its end.
        mark: String,
    },
}

/// A snapshot to be sent to a replica.
#[derive(Debug)]
pub struct Snapshot {
    /// What it is sent from.
    pub form: Form,
    /// The log's offset at its cut.
    pub offset: u64,
    /// The history's name.
    pub history: String,
    /// The replica wants to be told of the stream's name and offset first.
    pub announces: bool,
}

/// How a mailbox wakes its loop.
pub trait Wake: Send + Sync {
    /// Makes the loop look into its mailbox soon.
    fn wake(&self);
}

/// See the module's head.
pub struct Mailbox {
    queue: Mutex<Queue>,
    wake: Box<dyn Wake>,
}

#[derive(Default)]
struct Queue {
    messages: Vec<Message>,
    /// The loop waits for events, or is about to, and nobody has woken it.
    asleep: bool,
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new(wake: Box<dyn Wake>) -> Self {
        Self { queue: Mutex::new(Queue::default()), wake }
    }

    /// Leaves a message.
    pub fn send(&self, message: Message) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.messages.push(message);
        let asleep = std::mem::take(&mut queue.asleep);
        drop(queue);
        if asleep {
            self.wake.wake();
        }
    }

    /// Takes all messages into `into`, which is empty.
    pub fn take(&self, into: &mut Vec<Message>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.asleep = false;
        std::mem::swap(&mut queue.messages, into);
    }

    /// Takes out the invalidations for one client.
    pub(crate) fn take_invalidations(&self, of: u64) -> Vec<(Names, Cause)> {
        let mut taken = Vec::new();
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.messages.retain_mut(|message| match message {
            Message::Invalidate { clients, names, cause } if clients.contains(&of) => {
                clients.retain(|client| *client != of);
                taken.push((names.clone(), *cause));
                !clients.is_empty()
            }
            _ => true,
        });
        taken
    }

    /// Before the loop waits for events: from here on it has to be woken. False when there are
    /// messages already, and it must not wait.
    pub fn may_sleep(&self) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.asleep = queue.messages.is_empty();
        queue.asleep
    }
}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Count(Arc<AtomicUsize>);

    impl Wake for Count {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_a_sleeping_loop_is_woken_and_once() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let mailbox = Mailbox::new(Box::new(Count(Arc::clone(&wakes))));
        mailbox.send(Message::LookAround);
        assert_eq!(wakes.load(Ordering::Relaxed), 0);
        assert!(!mailbox.may_sleep(), "there is a message");
        let mut taken = Vec::new();
        mailbox.take(&mut taken);
        assert_eq!(taken.len(), 1);
        assert!(mailbox.may_sleep());
        mailbox.send(Message::LookAround);
        mailbox.send(Message::LookAround);
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
    }
}
