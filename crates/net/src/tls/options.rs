//! What the operator asks of TLS, free of where it was configured.
//!
//! Paths are as written: relative ones lead from the process' working folder. A [`Stamp`] tells whether any
//! of the files may have changed since it was taken, by their sizes and times of change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Whether clients show a certificate (`tls-auth-clients`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// They are not asked for one.
    No,
    /// One that is shown must be right.
    Optional,
    /// They must.
    #[default]
    Yes,
}

/// How many sessions are remembered for clients to resume, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Sessions, at least 1.
    pub entries: usize,
    /// Seconds.
    pub seconds: u64,
}

/// See the module's head. Each field names its directive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `tls-cert-file`: the certificate, with intermediate ones behind it.
    pub cert_file: Option<PathBuf>,
    /// `tls-key-file`
    pub key_file: Option<PathBuf>,
    /// `tls-key-file-pass`; empty for none.
    pub key_pass: Vec<u8>,
    /// `tls-client-cert-file`: shown to servers that are connected to, instead of `cert_file`.
    pub client_cert_file: Option<PathBuf>,
    /// `tls-client-key-file`
    pub client_key_file: Option<PathBuf>,
    /// `tls-client-key-file-pass`
    pub client_key_pass: Vec<u8>,
    /// `tls-ca-cert-file`
    pub ca_file: Option<PathBuf>,
    /// `tls-ca-cert-dir`
    pub ca_dir: Option<PathBuf>,
    /// `tls-auth-clients`
    pub verify: Verify,
    /// `tls-protocols`; empty for the default.
    pub protocols: String,
    /// `tls-ciphers`; empty for the default.
    pub ciphers: String,
    /// `tls-ciphersuites`; empty for the default.
    pub cipher_suites: String,
    /// `tls-prefer-server-ciphers`
    pub prefer_server_ciphers: bool,
    /// `tls-session-caching` and its kin; none: no session can be resumed.
    pub sessions: Option<SessionLimits>,
}

/// A file's time of change and size; none when it cannot be looked at.
type FileStamp = Option<(SystemTime, u64)>;

/// How the files of [`Options`] looked at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stamp(Vec<(PathBuf, FileStamp)>);

impl Options {
    /// Looks at all files, those of the folder of authorities too. O(files).
    pub fn stamp(&self) -> Stamp {
        let files = [
            &self.cert_file,
            &self.key_file,
            &self.client_cert_file,
            &self.client_key_file,
            &self.ca_file,
        ];
        let mut paths: Vec<PathBuf> = files.into_iter().flatten().cloned().collect();
        if let Some(folder) = &self.ca_dir {
            paths.extend(files_of(folder).unwrap_or_default());
        }
        Stamp(paths.into_iter().map(|path| (path.clone(), look(&path))).collect())
    }
}

fn look(path: &Path) -> FileStamp {
    let meta = fs::metadata(path).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

/// The regular files of a folder and what links there lead to, in order of name.
pub(super) fn files_of(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_its_files() {
        let folder = std::env::temp_dir().join(format!("ochre-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let cert = folder.join("cert");
        fs::write(&cert, b"one").unwrap();
        let options = Options {
            cert_file: Some(cert.clone()),
            key_file: Some(folder.join("missing")),
            ca_dir: Some(folder.clone()),
            ..Options::default()
        };
        let first = options.stamp();
        assert_eq!(first, options.stamp());
        fs::write(&cert, b"longer").unwrap();
        let second = options.stamp();
        assert_ne!(first, second);
        fs::write(folder.join("another"), b"").unwrap();
        assert_ne!(second, options.stamp());
        fs::remove_dir_all(folder).unwrap();
    }
}
