//! The system's logger: one datagram a line to /dev/log.
//!
//! ```text
//! <133>Nov 22 16:43:51 redis[4242]: text
//!  ^ facility (a multiple of 8) + severity (0 to 7)
//! ```
//!
//! Not connected: the logger may be restarted at any time. Failure: a line that cannot be sent is lost.
//!
//! Source: RFC 3164, section 4.1, in the form that syslog(3) writes to the local socket.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use ochre_config::snapshot::LogLevel;

use crate::log::Stamp;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Syslog {
    socket: UnixDatagram,
    path: PathBuf,
    ident: String,
    facility: i32,
}

impl Syslog {
    /// A socket to send from; none when the system gives none.
    pub(crate) fn open(ident: &str, facility: i32) -> Option<Self> {
        Self::at(Path::new("/dev/log"), ident, facility)
    }

    fn at(path: &Path, ident: &str, facility: i32) -> Option<Self> {
        let socket = UnixDatagram::unbound().ok()?;
        // A logger that does not keep up must not hold the server up.
        socket.set_nonblocking(true).ok()?;
        Some(Self { socket, path: path.to_owned(), ident: ident.to_owned(), facility })
    }

    /// Sends a line.
    pub(crate) fn send(&self, level: LogLevel, stamp: &Stamp, text: &str) {
        let severity = match level {
            LogLevel::Debug => 7,
            LogLevel::Verbose => 6,
            LogLevel::Notice | LogLevel::Nothing => 5,
            LogLevel::Warning => 4,
        };
        let line = format!(
            "<{}>{} {}[{}]: {text}",
            self.facility + severity,
            stamp.syslog(),
            self.ident,
            std::process::id()
        );
        // See the module's head.
        drop(self.socket.send_to(line.as_bytes(), &self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch_folder;

    #[test]
    fn a_line_as_the_loggers_read_it() {
        let folder = scratch_folder("syslog");
        let path = folder.join("log");
        let logger = UnixDatagram::bind(&path).unwrap();
        let syslog = Syslog::at(&path, "redis", 128).unwrap();
        syslog.send(LogLevel::Notice, &Stamp::of(0, &jiff::tz::TimeZone::UTC), "ready");
        let mut buf = [0; 200];
        let bytes = logger.recv(&mut buf).unwrap();
        let expected = format!("<133>Jan  1 00:00:00 redis[{}]: ready", std::process::id());
        assert_eq!(String::from_utf8_lossy(&buf[..bytes]), expected);
        drop(logger);
        // Nobody listens any more: nothing happens.
        syslog.send(LogLevel::Warning, &Stamp::of(0, &jiff::tz::TimeZone::UTC), "lost");
        drop(std::fs::remove_dir_all(folder));
    }
}
