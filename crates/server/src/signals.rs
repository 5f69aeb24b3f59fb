//! Signals: a clean stop on SIGTERM and SIGINT, and nothing on SIGHUP and SIGPIPE.

use std::io;

use ochre_engine::engine::Engine;
use ochre_engine::mailbox::Message;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::atomic::Ordering;

/// Starts the thread that waits for signals.
pub(crate) fn watch(engine: &'static Engine) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                continue;
            }
            let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
            crate::log::warning(&format!("Received {name} scheduling shutdown..."));
            engine.stopping.store(true, Ordering::Relaxed);
            engine.tell_all(|| Message::LookAround);
        }
    })?;
    Ok(())
}
