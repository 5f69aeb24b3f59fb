//! Sentinel processes under test, of all kinds: each with a configuration file in a folder of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use ochre_testkit::server::{in_path, peer_binary};
use ochre_testkit::{Client, Program, Value};

/// Patience with a failover on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Which sentinel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ochre,
    Redis7,
    Valkey9,
    Redis8,
}

impl Kind {
    /// Where the program is, if it is there. Debian's is no option: its absence is a failure.
    pub(crate) fn find(self) -> Option<PathBuf> {
        match self {
            Kind::Ochre => Program::Ochre.find(),
            Kind::Redis7 => {
                Some(in_path("redis-sentinel").expect("apt-get install redis-sentinel"))
            }
            Kind::Valkey9 => peer_binary("valkey-sentinel"),
            Kind::Redis8 => peer_binary("redis8-sentinel"),
        }
    }
}

/// A sentinel that watches the primary `m`.
pub(crate) struct Watcher {
    kind: Kind,
    child: Option<Child>,
    port: u16,
    dir: PathBuf,
    password: Option<String>,
}

/// A sentinel of a primary on this port.
pub(crate) fn watch(kind: Kind, primary: u16, quorum: u32) -> Watcher {
    Watcher::new(kind, primary, quorum, &[])
}

impl Watcher {
    /// A sentinel with more lines in its file.
    pub(crate) fn new(kind: Kind, primary: u16, quorum: u32, lines: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir()
            .join(format!("ochre-sentinel-{}-{count}-{primary}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let text = format!(
            "# a comment\nport {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor m 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds m 1500\nsentinel failover-timeout m 6000\n{}\n",
            dir.display(),
            lines.join("\n")
        );
        fs::write(dir.join("sentinel.conf"), text).unwrap();
        let password = lines.iter().find_map(|line| line.strip_prefix("requirepass "));
        let password = password.map(str::to_owned);
        let mut watcher = Self { kind, child: None, port, dir, password };
        watcher.start();
        watcher
    }

    /// Starts the process and waits until it answers.
    pub(crate) fn start(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut command = Command::new(self.kind.find().unwrap());
        command.arg(self.dir.join("sentinel.conf")).current_dir(&self.dir);
        if self.kind == Kind::Ochre {
            command.arg("--sentinel");
        }
        let errors = log.try_clone().unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().unwrap());
        eventually("a sentinel answers", || {
            let ended = self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
            assert!(!ended, "{:?} ended: {}", self.kind, self.log());
            let client = Client::try_connect(self.port);
            client.is_ok_and(|mut client| client.try_cmd(&["PING"]).is_ok())
        });
    }

    /// Ends the process, as a crash would.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A new connection, logged in if that is needed.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::connect(self.port);
        if let Some(password) = &self.password {
            assert_eq!(client.cmd(&["AUTH", password]), Value::Status(b"OK".to_vec()));
        }
        client
    }

    /// The port of the primary that it names.
    pub(crate) fn primary_port(&self) -> u16 {
        let reply = self.client().cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"]);
        match reply.items() {
            Some([_, port]) => {
                String::from_utf8_lossy(port.bytes().unwrap_or_default()).parse().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// A field of SENTINEL MASTER.
    pub(crate) fn field(&self, name: &str) -> String {
        let reply = self.client().cmd(&["SENTINEL", "MASTER", "m"]);
        let items = reply.items().unwrap_or_default();
        let found = items.chunks(2).find(|pair| pair[0].bytes() == Some(name.as_bytes()));
        let value = found.and_then(|pair| pair.get(1)).and_then(Value::bytes);
        String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
    }

    /// Its configuration file.
    pub(crate) fn file(&self) -> String {
        fs::read_to_string(self.dir.join("sentinel.conf")).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("---- log of {:?} on {} ----\n{}", self.kind, self.port, self.log());
        }
        // A folder that stays does no harm.
        drop(fs::remove_dir_all(&self.dir));
    }
}
