//! Signals: SIGTERM and SIGINT stop the server, a second SIGINT ends it at once; SIGHUP does nothing.
//!
//! What they do about data that is not saved is `shutdown-on-sigterm` and `shutdown-on-sigint`. When it cannot
//! be saved the server stays, unless `force` says otherwise.
//!
//! Source: behaviour of redis-server 7.0.15.

use std::io;
use std::sync::atomic::Ordering;

use ochre_config::snapshot::ShutdownFlags;
use ochre_engine::engine::{Engine, LastSave};
use ochre_engine::shutdown::Order;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock::Clock;

/// Starts the thread that waits for signals.
pub(crate) fn watch(engine: &'static Engine, clock: &'static Clock) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                continue;
            }
            let ends = engine.stopping.load(Ordering::Relaxed) || engine.shutdown.is_on();
            if signal == SIGINT && ends {
                crate::log::warning("You insist... exiting now.");
                std::process::exit(1);
            }
            stop(engine, clock, signal == SIGINT);
        }
    })?;
    Ok(())
}

fn stop(engine: &'static Engine, clock: &Clock, interrupted: bool) {
    let (live, _) = engine.live();
    let (name, flags) = if interrupted {
        ("SIGINT", live.settings.shutdown_on_sigint)
    } else {
        ("SIGTERM", live.settings.shutdown_on_sigterm)
    };
    if engine.loading.is_on() {
        crate::log::warning("Received shutdown signal during loading, exiting now.");
    } else {
        crate::log::warning(&format!("Received {name} scheduling shutdown..."));
    }
    let order = Order { save: last_save(flags), now: flags.now(), force: flags.force() };
    // Whether it ends, waits or stays is in the log.
    engine.shutdown.begin(engine, order, clock.now().unix_ms);
}

fn last_save(flags: ShutdownFlags) -> LastSave {
    match (flags.save(), flags.no_save()) {
        (true, _) => LastSave::Always,
        (_, true) => LastSave::Never,
        _ => LastSave::AsConfigured,
    }
}
