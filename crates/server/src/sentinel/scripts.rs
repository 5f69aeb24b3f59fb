//! The scripts that run: child processes in groups of their own, looked at a few times a second.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use ochre_sentinel::scripts::Ending;
use rustix::process::{Pid, Signal, kill_process_group};

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    running: Vec<(u64, Child)>,
}

impl Scripts {
    /// Starts a script; gives its process, or how it ended.
    pub(super) fn start(&mut self, job: u64, argv: &[String]) -> Result<u32, Ending> {
        let Some((path, args)) = argv.split_first() else { return Err(Ending::NotStarted) };
        let child = Command::new(path)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Whoever kills it kills what it has started, too.
            .process_group(0)
            .spawn();
        match child {
            Ok(child) => {
                let pid = child.id();
                self.running.push((job, child));
                Ok(pid)
            }
            Err(error) => {
                crate::log::warning(&format!("Cannot run script '{path}': {error}"));
                Err(Ending::NotStarted)
            }
        }
    }

    /// Kills a script.
    pub(super) fn kill(&mut self, job: u64) {
        if let Some((_, child)) = self.running.iter().find(|(known, _)| *known == job)
            && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process_group(pid, Signal::KILL)
        {
            crate::log::warning(&format!("Cannot kill a script: {error}"));
        }
    }

    /// The scripts that have ended since the last look.
    pub(super) fn ended(&mut self) -> Vec<(u64, Ending)> {
        let mut ended = Vec::new();
        self.running.retain_mut(|(job, child)| match child.try_wait() {
            Ok(None) => true,
            Ok(Some(status)) => {
                let ending = match (status.code(), status.signal()) {
                    (Some(code), _) => Ending::Exit(code),
                    (None, signal) => Ending::Signal(signal.unwrap_or(0)),
                };
                ended.push((*job, ending));
                false
            }
            Err(_) => {
                ended.push((*job, Ending::NotStarted));
                false
            }
        });
        ended
    }
}
