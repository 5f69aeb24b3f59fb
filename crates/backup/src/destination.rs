//! Where backups go: a folder (`file:///dir`) or a bucket (`s3://`, `az://`, `gs://`), by its URL.
//!
//! Credentials, endpoints and the like come from the environment, under the names that the `object_store`
//! crate documents (AWS_ACCESS_KEY_ID, AWS_ENDPOINT, AWS_ALLOW_HTTP and so on).
//!
//! **Sending** goes in parts of [`PART_BYTES`] (more when a file is so large that it would be more than
//! [`PARTS_MAX`] parts), one after the other: one part is all that is in memory. An object is there when all
//! of it is there, never before. **Reading** goes in ranges of the same size, each tied to the version of the
//! object that was found first, so that one that is replaced meanwhile is an error and no mixture.
//!
//! **Stopping.** Each wait looks ten times a second whether the process is to end ([`Error::Stopped`]); what is
//! left of a sending is then cleaned up for at most two seconds.
//!
//! **Failure.** Requests are tried again by `object_store` for at most a minute; then [`Error::Store`] says
//! which and why. The caller decides about the whole.
//!
//! Only names of the form of [`mod@crate::name`] directly under the prefix are ever listed or removed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    ObjectStoreScheme, PutPayload, RetryConfig,
};
use ochre_rdb::checksum::Crc64;
use url::Url;

use crate::name;

/// Bytes of a part. S3 wants at least 5 MB.
pub const PART_BYTES: u64 = 8 << 20;
/// Most parts of an object. S3 allows 10,000.
pub const PARTS_MAX: u64 = 9000;
/// Time between two looks whether to stop.
const STEP: Duration = Duration::from_millis(100);
/// Longest time for cleaning up.
const CLEAN_UP: Duration = Duration::from_secs(2);
/// Longest time for which requests are tried again, and how often.
const RETRY_FOR: Duration = Duration::from_secs(60);
const RETRIES_MAX: usize = 5;
/// Letters of an error's text: a store may answer with pages.
const TEXT_MAX: usize = 400;

/// What goes wrong with a destination.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL names no destination.
    #[error("'{url}' is no destination for backups: {why}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A request failed.
    #[error("{doing}: {why}")]
    Store {
        /// What was being done, to which object.
        doing: String,
        /// What the store says.
        why: String,
        /// There is no such object.
        missing: bool,
    },
    /// A local file cannot be read or written.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The process is to end.
    #[error("stopped")]
    Stopped,
}

/// The runtime of the thread that talks to a store: see the crate's head.
#[derive(Debug)]
pub struct Async {
    runtime: tokio::runtime::Runtime,
}

impl Async {
    /// A runtime that runs on the calling thread whenever that waits for a request.
    pub fn new() -> io::Result<Self> {
        // The second one that is installed in a process changes nothing, and says so.
        drop(rustls::crypto::ring::default_provider().install_default());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            // Look-ups of names and access to local files.
            .max_blocking_threads(2)
            .thread_name("backup-io")
            .build()?;
        Ok(Self { runtime })
    }

    /// Ends it; what does not end within two seconds is left behind.
    pub fn end(self) {
        self.runtime.shutdown_timeout(CLEAN_UP);
    }
}

/// Says whether the process is to end.
pub type Stop<'a> = &'a (dyn Fn() -> bool + Sync);

/// See the module's head.
pub struct Destination<'a> {
    runtime: &'a Async,
    stop: Stop<'a>,
    store: Arc<dyn ObjectStore>,
    /// As it was given, without a slash at its end.
    url: String,
    path: Path,
}

impl std::fmt::Debug for Destination<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A backup that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// When it was taken, in Unix seconds.
    pub at_s: i64,
    location: Path,
}

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Bytes.
    pub bytes: u64,
    /// CRC-64 of them.
    pub sum: u64,
}

fn store_error(doing: &str, location: &Path, error: &object_store::Error) -> Error {
    let missing = matches!(error, object_store::Error::NotFound { .. });
    let text = error.to_string();
    let mut why = one_line(&text);
    // The clients of stores name the request; what was wrong with it stands at the end of the chain.
    let mut source = std::error::Error::source(error);
    let mut cause = String::new();
    while let Some(error) = source {
        cause = error.to_string();
        source = error.source();
    }
    if !text.contains(&cause) {
        why = format!("{why}: {}", one_line(&cause));
    }
    Error::Store { doing: format!("{doing} '{location}'"), why, missing }
}

/// A text without line ends, cut off where it is too long.
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(TEXT_MAX) {
        line.truncate(end);
        line.push_str("...");
    }
    line
}

fn open_store(url: &Url) -> Result<(Arc<dyn ObjectStore>, Path), object_store::Error> {
    let (scheme, path) = ObjectStoreScheme::parse(url)?;
    let retry =
        RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_FOR, ..Default::default() };
    let text = url.as_str();
    let store: Arc<dyn ObjectStore> = match scheme {
        ObjectStoreScheme::Local => Arc::new(LocalFileSystem::new().with_fsync(true)),
        ObjectStoreScheme::AmazonS3 => {
            Arc::new(AmazonS3Builder::from_env().with_url(text).with_retry(retry).build()?)
        }
        ObjectStoreScheme::MicrosoftAzure => {
            Arc::new(MicrosoftAzureBuilder::from_env().with_url(text).with_retry(retry).build()?)
        }
        ObjectStoreScheme::GoogleCloudStorage => Arc::new(
            GoogleCloudStorageBuilder::from_env().with_url(text).with_retry(retry).build()?,
        ),
        _ => {
            let source = "file, s3, az and gs are known".into();
            return Err(object_store::Error::Generic { store: "URL", source });
        }
    };
    Ok((store, path))
}

impl<'a> Destination<'a> {
    /// The destination of a URL. No request is made yet.
    pub fn open(runtime: &'a Async, url: &str, stop: Stop<'a>) -> Result<Self, Error> {
        let wrong = |why: String| Error::Url { url: url.to_owned(), why };
        let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let (store, path) = open_store(&parsed).map_err(|error| wrong(error.to_string()))?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { runtime, stop, store, url, path })
    }

    /// The URL of a backup in it.
    pub fn url_of(&self, name: &str) -> String {
        format!("{}/{name}", self.url)
    }

    /// Waits for a request, unless the process is to end.
    fn wait<T>(
        &self,
        doing: &str,
        location: &Path,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        self.runtime.runtime.block_on(async {
            let mut request = std::pin::pin!(request);
            while !(self.stop)() {
                if let Ok(result) = tokio::time::timeout(STEP, &mut request).await {
                    return result.map_err(|error| store_error(doing, location, &error));
                }
            }
            Err(Error::Stopped)
        })
    }

    /// The backups that are there, the newest first.
    pub fn list(&self) -> Result<Vec<Found>, Error> {
        let request = self.store.list_with_delimiter(Some(&self.path));
        let listed = match self.wait("listing", &self.path, request) {
            Ok(listed) => listed.objects,
            // A folder that is made with the first backup.
            Err(Error::Store { missing: true, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut found: Vec<Found> = listed
            .into_iter()
            .filter_map(|ObjectMeta { location, .. }| {
                let name = location.filename()?.to_owned();
                Some(Found { at_s: name::time_of(&name)?, name, location })
            })
            .collect();
        found.sort_by(|a, b| (b.at_s, &b.name).cmp(&(a.at_s, &a.name)));
        Ok(found)
    }

    /// Sends a file under a name.
    pub fn send(&self, file: &FilePath, name: &str) -> Result<Sent, Error> {
        let location = self.path.clone().join(name);
        let mut file = File::open(file)?;
        let bytes = file.metadata()?.len();
        let part_bytes = PART_BYTES.max(bytes.div_ceil(PARTS_MAX));
        let mut sum = Crc64::default();
        let mut part = next_part(&mut file, part_bytes, &mut sum)?;
        let mut sent = part.len() as u64;
        if sent < part_bytes {
            let request = self.store.put(&location, PutPayload::from(part));
            self.wait("sending", &location, request)?;
            return Ok(Sent { bytes: sent, sum: sum.sum() });
        }
        let begun = self.store.put_multipart(&location);
        let mut upload = self.wait("beginning to send", &location, begun)?;
        let mut parts = || {
            while !part.is_empty() {
                let request = upload.put_part(PutPayload::from(std::mem::take(&mut part)));
                self.wait("sending a part of", &location, request)?;
                part = next_part(&mut file, part_bytes, &mut sum)?;
                sent += part.len() as u64;
            }
            self.wait("ending", &location, upload.complete()).map(drop)
        };
        if let Err(error) = parts() {
            self.give_up(&mut *upload);
            return Err(error);
        }
        Ok(Sent { bytes: sent, sum: sum.sum() })
    }

    fn give_up(&self, upload: &mut dyn MultipartUpload) {
        let request = async { tokio::time::timeout(CLEAN_UP, upload.abort()).await };
        // The error that is reported is the first one; stores remove what is left by their own rules.
        drop(self.runtime.runtime.block_on(request));
    }

    /// Opens a backup for reading.
    pub fn read(&self, found: &Found) -> Result<Object<'_>, Error> {
        self.read_at(found.location.clone())
    }

    /// Opens the backup of a name for reading.
    pub fn read_name(&self, name: &str) -> Result<Object<'_>, Error> {
        self.read_at(self.path.clone().join(name))
    }

    /// Opens the object that the URL itself names; none when there is none.
    pub fn read_itself(&self) -> Result<Option<Object<'_>>, Error> {
        if self.path.parts().next().is_none() {
            return Ok(None);
        }
        match self.read_at(self.path.clone()) {
            Ok(object) => Ok(Some(object)),
            Err(Error::Store { missing: true, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read_at(&self, location: Path) -> Result<Object<'_>, Error> {
        let meta = self.wait("looking for", &location, self.store.head(&location))?;
        Ok(Object {
            destination: self,
            location,
            bytes: meta.size,
            version: meta.e_tag,
            asked: 0,
            range: io::Cursor::new(Vec::new()),
        })
    }

    /// Removes a backup.
    pub fn remove(&self, found: &Found) -> Result<(), Error> {
        let location = &found.location;
        self.wait("removing", location, self.store.delete(location))
    }

    /// Removes the backup of a name.
    pub fn remove_name(&self, name: &str) -> Result<(), Error> {
        let location = self.path.clone().join(name);
        self.wait("removing", &location, self.store.delete(&location))
    }
}

/// The next part of a file, all of it but at its end.
fn next_part(file: &mut File, bytes: u64, sum: &mut Crc64) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    file.take(bytes).read_to_end(&mut part)?;
    sum.add(&part);
    Ok(part)
}

/// An object, read range by range.
#[derive(Debug)]
pub struct Object<'a> {
    destination: &'a Destination<'a>,
    location: Path,
    bytes: u64,
    /// The version that was found.
    version: Option<String>,
    /// Bytes that were asked for so far.
    asked: u64,
    range: io::Cursor<Vec<u8>>,
}

impl Object<'_> {
    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.bytes
    }
}

impl Read for Object<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let count = self.range.read(room)?;
        if count > 0 || self.asked >= self.bytes || room.is_empty() {
            return Ok(count);
        }
        let end = self.bytes.min(self.asked + PART_BYTES);
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.asked..end)),
            if_match: self.version.clone(),
            ..GetOptions::default()
        };
        let Destination { store, .. } = self.destination;
        let request = async { store.get_opts(&self.location, options).await?.bytes().await };
        let bytes = self
            .destination
            .wait("reading", &self.location, request)
            .map_err(|error| io::Error::other(error.to_string()))?;
        if bytes.len() as u64 != end - self.asked {
            let text = format!("reading '{}': not as many bytes as asked for", self.location);
            return Err(io::Error::other(text));
        }
        self.asked = end;
        self.range = io::Cursor::new(Vec::from(bytes));
        self.range.read(room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("ochre-backup-{}-{count}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    const GO_ON: fn() -> bool = || false;

    #[test]
    fn files_come_back_and_only_backups_are_listed() {
        let (folder, runtime) = (Folder::new(), Async::new().unwrap());
        let url = format!("file://{}/deep/er", folder.0.display());
        let destination = Destination::open(&runtime, &url, &GO_ON).unwrap();
        assert_eq!(destination.list().unwrap(), []);
        let names: Vec<String> =
            [1000, 3000, 2000].iter().map(|at| name::of("0123456789", *at)).collect();
        // Of one part, of exactly two, and of more.
        for (name, bytes) in names.iter().zip([10, 2 * PART_BYTES, 2 * PART_BYTES + 5]) {
            let content: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
            let file = folder.0.join("file");
            std::fs::write(&file, &content).unwrap();
            let sent = destination.send(&file, name).unwrap();
            assert_eq!((sent.bytes, sent.sum), (bytes, Crc64::of(&content)));
            let mut object = destination.read_name(name).unwrap();
            assert_eq!(object.size(), bytes);
            let mut back = Vec::new();
            object.read_to_end(&mut back).unwrap();
            assert!(back == content, "{name}");
        }
        std::fs::write(folder.0.join("deep/er/foreign.rdb"), "x").unwrap();
        std::fs::create_dir(folder.0.join("deep/er/folder")).unwrap();
        let found = destination.list().unwrap();
        let times: Vec<i64> = found.iter().map(|found| found.at_s).collect();
        assert_eq!(times, [3000, 2000, 1000]);
        destination.remove(&found[1]).unwrap();
        destination.remove_name(&names[0]).unwrap();
        assert_eq!(destination.list().unwrap(), found[..1]);
        assert!(folder.0.join("deep/er/foreign.rdb").exists());
        assert!(destination.read_itself().unwrap().is_none());
        let itself = Destination::open(&runtime, &destination.url_of(&names[1]), &GO_ON).unwrap();
        assert_eq!(itself.read_itself().unwrap().unwrap().size(), 2 * PART_BYTES);
        runtime.end();
    }

    #[test]
    fn what_is_missing_or_changes_is_an_error() {
        let (folder, runtime) = (Folder::new(), Async::new().unwrap());
        let url = format!("file://{}", folder.0.display());
        let destination = Destination::open(&runtime, &url, &GO_ON).unwrap();
        let missing = destination.read_name("ochre-0").unwrap_err();
        assert!(matches!(missing, Error::Store { missing: true, .. }), "{missing}");
        assert!(destination.send(&folder.0.join("no"), "ochre-0").is_err());
        std::fs::write(folder.0.join("a"), vec![1; PART_BYTES as usize + 10]).unwrap();
        let mut object = destination.read_name("a").unwrap();
        object.read_exact(&mut vec![0; PART_BYTES as usize]).unwrap();
        std::fs::write(folder.0.join("a"), vec![2; PART_BYTES as usize + 11]).unwrap();
        assert!(object.read_exact(&mut [0; 10]).is_err());
    }

    #[test]
    fn whoever_is_to_stop_waits_no_longer() {
        let (folder, runtime) = (Folder::new(), Async::new().unwrap());
        let url = format!("file://{}", folder.0.display());
        let stopping = AtomicBool::new(false);
        let stop = || stopping.load(Ordering::Relaxed);
        let destination = Destination::open(&runtime, &url, &stop).unwrap();
        assert_eq!(destination.list().unwrap(), []);
        stopping.store(true, Ordering::Relaxed);
        assert!(matches!(destination.list(), Err(Error::Stopped)));
    }

    #[test]
    fn other_urls_are_refused_by_name() {
        let runtime = Async::new().unwrap();
        for url in ["", "/folder", "ftp://host/x", "https://example.org/x", "memory:///", "s3://"] {
            let error = Destination::open(&runtime, url, &GO_ON).unwrap_err().to_string();
            assert!(error.starts_with(&format!("'{url}' is no destination")), "{error}");
        }
        assert!(Destination::open(&runtime, "file:///no/such/folder", &GO_ON).is_ok());
    }
}
