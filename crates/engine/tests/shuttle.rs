//! Interleavings of a loop's mailbox, explored by shuttle: no message is overlooked by a loop that goes to sleep.
//!
//! Run with `cargo test -p ochre-engine --features shuttle --test shuttle`.
#![cfg(feature = "shuttle")]

use std::sync::Arc;

use ochre_engine::mailbox::{Mailbox, Message, Wake};
use shuttle::sync::{Condvar, Mutex};

/// What an eventfd is to a loop: a wake-up that comes early is kept.
#[derive(Default)]
struct Bell {
    rung: Mutex<usize>,
    heard: Condvar,
}

struct Rope(Arc<Bell>);

impl Wake for Rope {
    fn wake(&self) {
        *self.0.rung.lock().unwrap() += 1;
        self.0.heard.notify_one();
    }
}

impl Bell {
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while *rung == 0 {
            rung = self.heard.wait(rung).unwrap();
        }
        *rung -= 1;
    }
}

/// Two senders and a loop that sleeps whenever it may. A message that nobody wakes it for would leave it asleep for
/// ever, which shuttle reports as a deadlock. Each sender's messages come in its order.
#[test]
fn every_message_arrives() {
    const EACH: u64 = 4;
    shuttle::check_random(
        || {
            let bell = Arc::new(Bell::default());
            let mailbox = Arc::new(Mailbox::new(Box::new(Rope(Arc::clone(&bell)))));
            let senders: Vec<_> = (0..2)
                .map(|sender| {
                    let mailbox = Arc::clone(&mailbox);
                    shuttle::thread::spawn(move || {
                        for n in 0..EACH {
                            mailbox.send(Message::Kill { client: sender * EACH + n });
                        }
                    })
                })
                .collect();
            let (mut seen, mut taken) = (Vec::new(), Vec::new());
            while seen.len() < 2 * EACH as usize {
                if mailbox.may_sleep() {
                    bell.wait();
                }
                mailbox.take(&mut taken);
                for message in taken.drain(..) {
                    if let Message::Kill { client } = message {
                        seen.push(client);
                    }
                }
            }
            for sender in 0..2 {
                let of = seen.iter().filter(|client| **client / EACH == sender);
                assert!(of.is_sorted(), "{seen:?}");
            }
            for sender in senders {
                sender.join().unwrap();
            }
        },
        5_000,
    );
}
