//! What is said when the server panics: a report in the log, with a backtrace, and an abort.
//!
//! A panic is a bug of ours. No thread goes on after one, since the locks that it held would leave data in
//! between; the service manager starts the process anew. The exit is by SIGABRT, as the peers' failed
//! assertions, so that the system can keep a core.

use std::backtrace::Backtrace;
use std::sync::atomic::{AtomicBool, Ordering};

/// crash-log-enabled
static REPORTS: AtomicBool = AtomicBool::new(true);

/// Whether a crash is to be reported in full.
pub(crate) fn configure(reports: bool) {
    REPORTS.store(reports, Ordering::Relaxed);
}

/// From here on a panic of any thread ends the process.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("?");
        let what = info.to_string();
        if REPORTS.load(Ordering::Relaxed) {
            let trace = Backtrace::force_capture().to_string();
            crate::log::last_words(&report(name, &what, &trace));
        } else {
            crate::log::last_words(&format!("Thread '{name}' {what}"));
        }
        std::process::abort();
    }));
}

fn report(thread: &str, what: &str, trace: &str) -> String {
    format!(
        "\n\n=== OCHRE BUG REPORT START: Cut & paste starting from here ===\n\
         Ochre {} crashed: thread '{thread}' {what}\n\
         ------ STACK TRACE ------\n{trace}\n\
         === OCHRE BUG REPORT END. Make sure to include from START to END. ===\n",
        ochre_engine::version::OCHRE,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    const CHILD: &str = "OCHRE_TEST_CRASH";

    /// Run by the test below in a process of its own.
    #[test]
    fn crashes_when_asked_to() {
        if let Ok(how) = std::env::var(CHILD) {
            configure(how == "full");
            install();
            panic!("as the test wants it");
        }
    }

    #[test]
    fn a_panic_is_reported_and_ends_the_process() {
        for (how, reported) in [("full", true), ("short", false)] {
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "crash::tests::crashes_when_asked_to", "--nocapture"])
                .env(CHILD, how)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&child.stdout).into_owned();
            const SIGABRT: i32 = 6;
            assert_eq!(child.status.signal(), Some(SIGABRT), "{text}");
            assert!(text.contains("as the test wants it"), "{text}");
            assert_eq!(text.contains("BUG REPORT START"), reported, "{text}");
            assert!(text.contains("crashes_when_asked_to"), "{text}");
        }
    }
}
