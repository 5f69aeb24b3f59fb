//! A server process under test: Ochre or a peer.
//!
//! It gets a free loopback port, a folder of its own (removed at the end), `--save ''`, and a log
//! file. It counts as started when it answers a PING on a new connection. Dropping it kills the
//! process by its id and waits for it; when the drop happens during a panic, the end of its log is
//! printed first.
//!
//! Which binary: Ochre's from `OCHRE_SERVER`, else `ochre-server` in the cargo profile folder that
//! the running test lies in (`target/debug/deps/it-*` looks in `target/debug`). A peer's from
//! `PEERS_DIR`, else `$HOME/.cache/peers/bin`, else `PATH`.
//!
//! Failure: a free port may be taken by another process before the server binds it; the start is
//! then repeated on another one, at most `ATTEMPTS_MAX` times.

use crate::raw::{Client, PATIENCE};
use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Starts tried before a test fails.
const ATTEMPTS_MAX: usize = 5;

/// Bytes of a log that a failed test prints.
const LOG_TAIL_BYTES: usize = 6000;

/// Which program to start.
#[derive(Debug, Clone)]
pub enum Program {
    /// The server of this repository.
    Ochre,
    /// Debian's redis-server 7.0.15, from PATH.
    Redis7,
    /// `valkey-server`, 9.1, from the peers' folder or PATH.
    Valkey9,
    /// `redis8-server`, from the peers' folder.
    Redis8,
    /// Any other, by path.
    At(PathBuf),
    /// Ochre's bare loop (`--ok`), by the path of the server; it takes no other options.
    BareLoop(PathBuf),
}

impl Program {
    /// Where the binary is, if it is there.
    pub fn find(&self) -> Option<PathBuf> {
        // A server runs in a folder of its own, so a relative path would lead nowhere.
        let path = match self {
            Program::Ochre => ochre_binary(),
            Program::Redis7 => in_path("redis-server"),
            Program::Valkey9 => peer_binary("valkey-server"),
            Program::Redis8 => peer_binary("redis8-server"),
            Program::At(path) | Program::BareLoop(path) => path.is_file().then(|| path.clone()),
        };
        std::path::absolute(path?).ok()
    }

    /// A short name for messages.
    pub fn name(&self) -> String {
        match self {
            Program::Ochre => "ochre".into(),
            Program::Redis7 => "redis7".into(),
            Program::Valkey9 => "valkey9".into(),
            Program::Redis8 => "redis8".into(),
            Program::At(path) | Program::BareLoop(path) => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
        }
    }

    /// The version that the binary reports, as `7.0.15`.
    pub fn version(&self) -> Option<String> {
        let output = Command::new(self.find()?).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().find_map(|word| word.strip_prefix("v=").map(str::to_owned))
    }

    fn how_to_get(&self) -> &'static str {
        match self {
            Program::Ochre => "build it first: cargo build -p ochre-server (or set OCHRE_SERVER)",
            Program::Redis7 => "apt-get install -y redis-server redis-tools",
            _ => "set PEERS_DIR to the folder that holds it",
        }
    }
}

fn ochre_binary() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("OCHRE_SERVER") {
        let path = PathBuf::from(path);
        return path.is_file().then_some(path);
    }
    let exe = std::env::current_exe().ok()?;
    exe.ancestors().skip(1).take(3).map(|dir| dir.join("ochre-server")).find(|path| path.is_file())
}

/// A program of the peers' folder or of PATH.
pub fn peer_binary(name: &str) -> Option<PathBuf> {
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/peers/bin"));
    let dir = std::env::var_os("PEERS_DIR").map(PathBuf::from).or_else(home);
    let in_dir = |dir: PathBuf| {
        let candidates = [dir.join(name), dir.join("bin").join(name)];
        candidates.into_iter().find(|path| path.is_file())
    };
    dir.and_then(in_dir).or_else(|| in_path(name))
}

/// A program of PATH.
pub fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    name: String,
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Server {
    /// Starts Ochre with options as on its command line (`--io-threads 2`).
    pub fn ochre(options: &[&str]) -> Server {
        Server::start(&Program::Ochre, options)
    }

    /// Starts a program; panics when it is not there or does not come up.
    pub fn start(program: &Program, options: &[&str]) -> Server {
        Server::start_behind(&[], program, options)
    }

    /// Starts a program through a prefix that executes it in place (`taskset -c 0`).
    pub fn start_behind(prefix: &[&str], program: &Program, options: &[&str]) -> Server {
        let name = program.name();
        let Some(binary) = program.find() else {
            panic!("{name} is not there; {}", program.how_to_get());
        };
        let is_bare = matches!(program, Program::BareLoop(_));
        let mut failure = String::new();
        for _ in 0..ATTEMPTS_MAX {
            match Server::attempt(&name, prefix, &binary, is_bare, options) {
                Ok(server) => return server,
                Err(why) if why.contains("in use") => failure = why,
                Err(why) => panic!("{name} did not start: {why}"),
            }
        }
        panic!("{name} did not start: {failure}");
    }

    fn attempt(
        name: &str,
        prefix: &[&str],
        binary: &Path,
        is_bare: bool,
        options: &[&str],
    ) -> Result<Server, String> {
        let text = |what: &str, error: io::Error| format!("{what}: {error}");
        let dir = own_folder().map_err(|e| text("cannot make a folder", e))?;
        let log = File::create(dir.join("log")).map_err(|e| text("cannot make the log", e))?;
        let errors = log.try_clone().map_err(|e| text("cannot make the log", e))?;
        let port = free_port().map_err(|e| text("no free port", e))?;
        let mut words = prefix.iter().map(Path::new).chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command.args(words);
        let number = port.to_string();
        if is_bare {
            command.args(["--ok", "--port", &number]);
        } else {
            command.args(["--port", &number, "--bind", "127.0.0.1", "--save", "", "--dir"]);
            command.arg(&dir).args(options);
        }
        let child = command
            .current_dir(&dir)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|e| text("cannot run it", e))?;
        let mut server = Server { name: name.to_owned(), child, port, dir };
        server.await_answer()?;
        Ok(server)
    }

    /// Waits until the server answers anything at all to PING (`ochre-server --ok` says OK; a
    /// server with a password refuses, which is an answer too).
    fn await_answer(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended with {status}\n{}", self.log_tail()));
            }
            if let Ok(mut client) = Client::try_connect(self.port) {
                client.patience(Duration::from_secs(5));
                if client.try_cmd(&["PING"]).is_ok() {
                    return self.check_identity(&mut client);
                }
            }
            if Instant::now() > deadline {
                return Err(format!("it did not answer in time\n{}", self.log_tail()));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Whether the one that answers is this process and not another that was faster to bind.
    /// A server that refuses INFO (a password, the bare loop) passes.
    fn check_identity(&self, client: &mut Client) -> Result<(), String> {
        let reply = client.try_cmd(&["INFO", "server"]).map_err(|e| format!("INFO: {e}"))?;
        let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
        let theirs = text.lines().find_map(|line| line.strip_prefix("process_id:"));
        match theirs {
            Some(pid) if pid.trim() != self.child.id().to_string() => {
                Err(format!("port {} is in use by process {pid}", self.port))
            }
            _ => Ok(()),
        }
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// Ends the process at once, as a crash of the machine's power would not: what the kernel has
    /// stays.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The server's working folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the process ends by itself and returns its exit code (none: by a signal).
    pub fn await_exit(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.code(),
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(5)),
                other => panic!("{} did not end: {other:?}", self.name),
            }
        }
    }

    /// What the process printed.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let mut from = log.len().saturating_sub(LOG_TAIL_BYTES);
        while !log.is_char_boundary(from) {
            from += 1;
        }
        log[from..].to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An already finished process cannot be killed, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- log of {} (port {}) ----\n{}", self.name, self.port, self.log_tail());
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A port that nothing listens on at this moment.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A new folder under the system's temporary one, named after this process.
fn own_folder() -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let stamp = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.subsec_nanos());
    let name = format!("ochre-test-{}-{count}-{stamp}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    fs::create_dir(&dir)?;
    Ok(dir)
}
