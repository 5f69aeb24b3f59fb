//! Running in the background (`daemonize`), and the file that tells others the process' number.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the number goes when the process runs in the background and no `pidfile` is named.
pub(crate) const DEFAULT_PID_FILE: &str = "/var/run/ochre.pid";

/// Goes on as a child of the system's first process, without a terminal; the process that was started
/// exits with 0. The working folder stays. It must be called before any thread exists: only the calling
/// one lives on.
pub(crate) fn daemonize() -> io::Result<()> {
    nix::unistd::daemon(true, false).map_err(io::Error::from)
}

/// The file of the process' number, while the process runs.
#[derive(Debug)]
pub(crate) struct PidFile {
    /// Absolute, since `dir` may change.
    path: PathBuf,
}

impl PidFile {
    /// Writes the number. A file that cannot be written is noted, and is no reason not to start.
    pub(crate) fn write(path: &Path) -> Option<Self> {
        let written = std::path::absolute(path).and_then(|path| {
            fs::write(&path, format!("{}\n", std::process::id()))?;
            Ok(path)
        });
        match written {
            Ok(path) => Some(Self { path }),
            Err(error) => {
                let reason = crate::host::reason(&error);
                crate::log::notice(&format!("Failed to write PID file: {reason}"));
                None
            }
        }
    }

    /// Removes the file.
    pub(crate) fn remove(self) {
        crate::log::notice("Removing the pid file.");
        // Whoever has removed it before us did the same.
        drop(fs::remove_file(self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch_folder;

    #[test]
    fn the_file_holds_the_number_until_it_is_removed() {
        let folder = scratch_folder("pid");
        let path = folder.join("ochre.pid");
        let file = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        file.remove();
        assert!(!path.exists());
        assert!(PidFile::write(&folder.join("no/such/folder")).is_none());
        drop(fs::remove_dir_all(folder));
    }
}
