//! Which script runs when: a queue, retries with growing delays, a limit on time.
//!
//! A script that ends with 1, or is killed, is tried again, at most `TRIES_MAX` times in all; one that ends with 2 or more
//! is not. At most `RUNNING_MAX` run at once and `QUEUE_MAX` are kept; the oldest that waits goes when there are more.

use std::collections::VecDeque;

use ochre_base::clock::Millis;

use crate::addr::Addr;
use crate::machine::Core;
use crate::output::{Level, Output};
use crate::primary::Primary;

const QUEUE_MAX: usize = 256;
const RUNNING_MAX: usize = 16;
const TRIES_MAX: u32 = 10;

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started.
    NotStarted,
}

/// One script, waiting or running.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Path and arguments.
    pub argv: Vec<String>,
    /// Times it was started.
    pub tries: u32,
    /// Since when it runs.
    pub running_since: Option<Millis>,
    /// The process that runs it; 0 for none.
    pub pid: u32,
    /// Not before this time.
    pub not_before: Millis,
    killed: bool,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Scripts {
    queue: VecDeque<Job>,
    next_id: u64,
}

impl Scripts {
    /// All scripts, oldest first.
    pub fn jobs(&self) -> impl ExactSizeIterator<Item = &Job> {
        self.queue.iter()
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.queue.iter().filter(|job| job.running_since.is_some()).count()
    }

    /// Notes which process runs a script.
    pub(crate) fn started(&mut self, id: u64, pid: u32) {
        if let Some(job) = self.queue.iter_mut().find(|job| job.id == id) {
            job.pid = pid;
        }
    }

    /// Adds a script.
    pub(crate) fn schedule(&mut self, argv: Vec<String>) {
        self.next_id += 1;
        self.queue.push_back(Job {
            id: self.next_id,
            argv,
            tries: 0,
            running_since: None,
            pid: 0,
            not_before: 0,
            killed: false,
        });
        if self.queue.len() > QUEUE_MAX
            && let Some(at) = self.queue.iter().position(|job| job.running_since.is_none())
        {
            self.queue.remove(at);
        }
    }
}

/// Starts what is due and kills what runs too long.
pub(crate) fn tick(core: &mut Core) {
    let now = core.now;
    let mut free = RUNNING_MAX.saturating_sub(core.scripts.running());
    let mut late = Vec::new();
    for job in &mut core.scripts.queue {
        match job.running_since {
            Some(since) if now - since > core.timing.script_max_runtime && !job.killed => {
                job.killed = true;
                core.out.push(Output::Kill { job: job.id });
                late.push(job.argv.first().cloned().unwrap_or_default());
            }
            None if free > 0 && job.not_before <= now => {
                free -= 1;
                job.running_since = Some(now);
                job.tries += 1;
                job.killed = false;
                core.out.push(Output::Run { job: job.id, argv: job.argv.clone() });
            }
            _ => {}
        }
    }
    for path in late {
        core.event(Level::Warning, "-script-timeout", format!("{path} 0"), None);
    }
}

/// A script has ended.
pub(crate) fn ended(core: &mut Core, id: u64, ending: Ending) {
    let Some(at) = core.scripts.queue.iter().position(|job| job.id == id) else { return };
    let again = matches!(ending, Ending::Exit(1) | Ending::Signal(_));
    let job = &mut core.scripts.queue[at];
    if again && job.tries < TRIES_MAX {
        let delay = core.timing.script_retry_delay.saturating_mul(1 << (job.tries - 1).min(16));
        job.running_since = None;
        job.pid = 0;
        job.not_before = core.now + delay;
        return;
    }
    let path = job.argv.first().cloned().unwrap_or_default();
    core.scripts.queue.remove(at);
    if ending != Ending::Exit(0) {
        let (signal, code) = match ending {
            Ending::Exit(code) => (0, code),
            Ending::Signal(signal) => (signal, 0),
            Ending::NotStarted => (0, 2),
        };
        core.event(Level::Warning, "-script-error", format!("{path} {signal} {code}"), None);
    }
}

/// Runs the script that tells clients of a new primary.
pub(crate) fn reconfigured(core: &mut Core, primary: &Primary, role: &str, state: &str, to: &Addr) {
    let Some(path) = &primary.options.reconfig_script else { return };
    let from = &primary.node.addr;
    let argv = vec![
        path.clone(),
        primary.name.clone(),
        role.to_owned(),
        state.to_owned(),
        core.shown(from).to_owned(),
        from.port.to_string(),
        core.shown(to).to_owned(),
        to.port.to_string(),
    ];
    core.scripts.schedule(argv);
}
