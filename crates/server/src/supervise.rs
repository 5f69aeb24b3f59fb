//! Service managers (`supervised`): they start the process and want to know when it is ready.
//!
//! - systemd names a datagram socket in `NOTIFY_SOCKET`, a path or, after `@`, an abstract name; it is sent
//!   `READY=1` and `STOPPING=1`.
//! - Upstart sets `UPSTART_JOB` (`expect stop`) and waits until the process stops itself, then lets it go on.
//!
//! A supervised process does not go into the background. Failure: what cannot be sent is noted in the log.
//!
//! Source: sd_notify(3); behaviour of redis-server 7.0.15.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use ochre_config::snapshot::Supervised;
use rustix::process::{Signal, getpid, kill_process};

/// Who supervises the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manager {
    /// Nobody.
    Nobody,
    /// Upstart.
    Upstart,
    /// systemd, listening on this address.
    Systemd(String),
}

impl Manager {
    /// Looks for the manager that the directive names; `variable` reads the environment.
    pub(crate) fn find(mode: Supervised, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.is_empty());
        let upstart = || variable("UPSTART_JOB").map(|_| Self::Upstart);
        let systemd = || variable("NOTIFY_SOCKET").map(Self::Systemd);
        let (found, missing) = match mode {
            Supervised::No => return Self::Nobody,
            Supervised::Auto => return upstart().or_else(systemd).unwrap_or(Self::Nobody),
            Supervised::Upstart => (upstart(), "upstart supervision requested, but UPSTART_JOB"),
            Supervised::Systemd => (systemd(), "systemd supervision requested, but NOTIFY_SOCKET"),
        };
        found.unwrap_or_else(|| {
            crate::log::warning(&format!("{missing} not found"));
            Self::Nobody
        })
    }

    /// What INFO says.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nobody => "no",
            Self::Upstart => "upstart",
            Self::Systemd(_) => "systemd",
        }
    }

    /// Before the start: Upstart takes the process as ready when it stops itself.
    pub(crate) fn begin(&self) {
        if *self == Self::Upstart {
            crate::log::notice("supervised by upstart, will stop to signal readiness");
            if let Err(error) = kill_process(getpid(), Signal::STOP) {
                crate::log::warning(&format!("Stopping for upstart: {error}"));
            }
        }
    }

    /// Connections are accepted.
    pub(crate) fn ready(&self) {
        self.tell("STATUS=Ready to accept connections\nREADY=1\n");
    }

    /// The process is about to end.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    fn tell(&self, state: &str) {
        let Self::Systemd(address) = self else { return };
        if let Err(error) = notify(address, state) {
            let reason = crate::host::reason(&error);
            crate::log::warning(&format!("systemd supervision error: {address}: {reason}"));
        }
    }
}

fn notify(address: &str, state: &str) -> io::Result<()> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch_folder;

    fn find(mode: Supervised, set: &[(&str, &str)]) -> Manager {
        Manager::find(mode, |name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environment_decides() {
        let socket = ("NOTIFY_SOCKET", "/run/s");
        let job = ("UPSTART_JOB", "x");
        let systemd = Manager::Systemd("/run/s".into());
        assert_eq!(find(Supervised::No, &[socket, job]), Manager::Nobody);
        assert_eq!(find(Supervised::Auto, &[socket]), systemd);
        assert_eq!(find(Supervised::Auto, &[job, socket]), Manager::Upstart);
        assert_eq!(find(Supervised::Auto, &[]), Manager::Nobody);
        assert_eq!(find(Supervised::Systemd, &[job]), Manager::Nobody);
        assert_eq!(find(Supervised::Systemd, &[("NOTIFY_SOCKET", "")]), Manager::Nobody);
        assert_eq!(find(Supervised::Systemd, &[socket]).name(), "systemd");
        assert_eq!(find(Supervised::Upstart, &[job]).name(), "upstart");
    }

    #[test]
    fn systemd_is_told_by_path_and_by_abstract_name() {
        let folder = scratch_folder("notify");
        let path = folder.join("notify");
        let name = format!("ochre-unit-{}", std::process::id());
        let abstract_address = SocketAddr::from_abstract_name(&name).unwrap();
        for (socket, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_address).unwrap(), format!("@{name}")),
        ] {
            let manager = Manager::Systemd(address);
            manager.ready();
            manager.stopping();
            let received = || {
                let mut buf = [0; 100];
                let bytes = socket.recv(&mut buf).unwrap();
                String::from_utf8_lossy(&buf[..bytes]).into_owned()
            };
            assert!(received().lines().any(|line| line == "READY=1"));
            assert_eq!(received(), "STOPPING=1\n");
        }
        Manager::Systemd("/no/such/socket".into()).ready();
        drop(std::fs::remove_dir_all(folder));
    }
}
