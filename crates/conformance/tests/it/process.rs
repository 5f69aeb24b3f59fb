//! The process as its users meet it: start, background, supervision, log, signals, end: R2.2, R2.4.

use crate::redis7_pair;
use ochre_testkit::raw::{PATIENCE, wait_until};
use ochre_testkit::{Client, Program, Server, Value};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// An Ochre started with exactly these arguments, in a folder of its own.
struct Process {
    child: Child,
    folder: PathBuf,
}

fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("ochre-process-{}-{count}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn ochre(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(Program::Ochre.find().expect("ochre-server is built"));
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

impl Process {
    fn spawn(folder: PathBuf, command: &mut Command) -> Process {
        let log = fs::File::create(folder.join("out")).unwrap();
        let errors = log.try_clone().unwrap();
        let child = command.stdout(log).stderr(errors).spawn().unwrap();
        Process { child, folder }
    }

    fn out(&self) -> String {
        fs::read_to_string(self.folder.join("out")).unwrap_or_default()
    }

    fn exit_code(&mut self) -> Option<i32> {
        wait_until("the process ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- output ----\n{}", self.out());
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn await_client(port: u16) -> Client {
    wait_until("the server answers", || {
        let mut client = Client::try_connect(port).ok()?;
        client.try_cmd(&["PING"]).ok().map(|_| client)
    })
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(done.success(), "kill -{name} {pid}");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn value_of(client: &mut Client, directive: &str) -> String {
    let reply = client.cmd(&["CONFIG", "GET", directive]);
    let value = reply.items().unwrap()[1].bytes().unwrap().to_vec();
    String::from_utf8(value).unwrap()
}

// ---- start ----

#[test]
fn file_standard_input_and_options_override_one_another() {
    let folder = folder();
    let port = free_port();
    fs::write(folder.join("a.conf"), "timeout 1\nmaxmemory 1mb\nhz 20\nbind 127.0.0.1\n").unwrap();
    let mut command = ochre(&folder, &["a.conf", "--hz", "30", "-", "--port", &port.to_string()]);
    command.stdin(Stdio::piped());
    let mut process = Process::spawn(folder, &mut command);
    let mut stdin = process.child.stdin.take().unwrap();
    stdin.write_all(b"maxmemory 2mb\nhz 25\n").unwrap();
    drop(stdin);
    let mut client = await_client(port);
    for (name, value) in [("timeout", "1"), ("maxmemory", "2097152"), ("hz", "30")] {
        assert_eq!(value_of(&mut client, name), value);
    }
    let file = client.info("server", "config_file");
    assert_eq!(Path::new(&file), fs::canonicalize(&process.folder).unwrap().join("a.conf"));
    // The file gets what is in force, also what did not come from it.
    client.line("CONFIG SET timeout 3");
    assert_eq!(client.shown("CONFIG REWRITE"), "OK");
    let written = fs::read_to_string(process.folder.join("a.conf")).unwrap();
    let start = "timeout 3\nmaxmemory 2mb\nhz 30\nbind 127.0.0.1\n";
    assert!(written.starts_with(start), "{written}");
    assert!(written.contains(&format!("\nport {port}\n")), "{written}");
}

/// The peers' report, line by line, behind the name of the server.
#[test]
fn configuration_errors_are_the_peers() {
    let folder = folder();
    let theirs = Program::Redis7.find().expect("redis-server is installed");
    for args in [
        &["--foo", "1"][..],
        &["--maxmemory", "lots"],
        &["--timeout", "-1"],
        &["--port", "1", "2"],
        &["--maxmemory-policy", "sometimes"],
        &["--logfile", "/no/such/folder/log"],
    ] {
        let ours = text(&ochre(&folder, args).output().unwrap());
        let run = Command::new(&theirs).args(args).current_dir(&folder).output().unwrap();
        // Theirs begins with the line number of a file that it makes up; the rest is the same.
        let rest = |all: &str| -> Vec<String> {
            let lines = all.lines().skip_while(|line| !line.contains("FATAL CONFIG FILE ERROR"));
            let lines = lines.skip(1).filter(|line| !line.starts_with("Reading the configuration"));
            lines.map(str::to_owned).collect()
        };
        assert!(ours.contains("\n*** FATAL CONFIG FILE ERROR (Ochre "), "{args:?}: {ours}");
        assert_eq!(rest(&ours), rest(&text(&run)), "{args:?}");
        assert_eq!(ochre(&folder, args).status().unwrap().code(), Some(1));
    }
    drop(fs::remove_dir_all(folder));
}

#[test]
fn what_keeps_the_server_from_starting_is_said_with_exit_code_1() {
    let folder = folder();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (args, expected) in [
        (&["--port", "0"][..], "Configured to not listen anywhere, exiting."),
        (&["--port", &port, "--bind", "127.0.0.1"], "bind: Address already in use"),
        (&["--port", &port, "--bind", "127.0.0.1"], "(TCP), aborting."),
        (&["--port", &port, "--bind", "-127.0.0.1"], "(TCP), aborting."),
        (
            &["--port", "0", "--unixsocket", "/no/such/s"],
            "Failed opening Unix socket: bind: No such",
        ),
        (&["--sentinel"], "Sentinel needs config file on disk"),
        (&["none.conf"], "can't open config file"),
        (&["--tls-port", "1"], "TLS"),
        (&["--ok", "--what"], "Usage:"),
    ] {
        let output = ochre(&folder, args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output).contains(expected), "{args:?}: {}", text(&output));
    }
    for (args, expected) in [(["--version"], "Ochre server v="), (["--help"], "Usage:")] {
        let output = ochre(&folder, &args).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(expected));
    }
    drop(fs::remove_dir_all(folder));
}

#[test]
fn in_the_background_with_a_pid_file() {
    let folder = folder();
    let port = free_port();
    let args = [
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--daemonize",
        "yes",
        "--pidfile",
        "run.pid",
        "--logfile",
        "log",
        "--io-threads",
        "2",
        "--dir",
        ".",
    ];
    // The parent ends at once, with the child's streams closed.
    let output = ochre(&folder, &args).output().unwrap();
    assert_eq!((output.status.code(), text(&output).as_str()), (Some(0), ""));
    let mut client = await_client(port);
    let pid = fs::read_to_string(folder.join("run.pid")).unwrap();
    assert_eq!(pid.trim(), client.info("server", "process_id"));
    let status = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
    let fields: Vec<&str> = status.rsplit(')').next().unwrap().split_whitespace().collect();
    // A session of its own (field 6) without a terminal (field 7).
    assert_ne!(fields[3], std::process::id().to_string());
    assert_eq!(fields[4], "0");
    client.send(&["SHUTDOWN"]);
    assert_eq!(client.until_closed(), b"");
    wait_until("the pid file is gone", || (!folder.join("run.pid").exists()).then_some(()));
    wait_until("the log ends", || {
        let log = fs::read_to_string(folder.join("log")).unwrap();
        log.contains("Removing the pid file.").then_some(())?;
        log.contains("ready to exit, bye bye...").then_some(())
    });
    drop(fs::remove_dir_all(folder));
}

#[test]
fn a_pid_file_is_written_in_the_foreground_too() {
    let server = Server::ochre(&["--pidfile", "my.pid"]);
    let path = server.dir().join("my.pid");
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", server.pid()));
    let mut client = server.client();
    // It is found again although the working folder changes: the path was made absolute.
    client.send(&["SHUTDOWN"]);
    wait_until("the pid file is gone", || (!path.exists()).then_some(()));
}

#[test]
fn systemd_is_told() {
    let folder = folder();
    let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = free_port();
    let args = ["--port", &port.to_string(), "--supervised", "auto", "--daemonize", "yes"];
    let mut command = ochre(&folder, &args);
    command.env("NOTIFY_SOCKET", folder.join("notify"));
    let mut process = Process::spawn(folder, &mut command);
    let received = || {
        let mut buf = [0; 200];
        let bytes = socket.recv(&mut buf).unwrap();
        String::from_utf8_lossy(&buf[..bytes]).into_owned()
    };
    assert!(received().contains("READY=1\n"));
    // It stays in the foreground, and accepts connections by now.
    let mut client = Client::connect(port);
    assert_eq!(client.info("server", "process_supervised"), "systemd");
    assert_eq!(client.info("server", "process_id"), process.child.id().to_string());
    signal(process.child.id(), "TERM");
    assert_eq!(received(), "STOPPING=1\n");
    assert_eq!(process.exit_code(), Some(0));
}

// ---- log ----

#[test]
fn the_log_says_what_tools_look_for() {
    let mut server = Server::ochre(&["--unixsocket", "s.sock", "--loglevel", "notice"]);
    for line in [
        "just started",
        "Configuration loaded",
        "Running mode=standalone, port=",
        "Server initialized",
        "Ready to accept connections tcp",
        "Ready to accept connections unix",
    ] {
        wait_until(line, || server.log().contains(line).then_some(()));
    }
    let log = server.log();
    let first = log.lines().next().unwrap();
    let words: Vec<&str> = first.split(' ').collect();
    assert_eq!(words[0], format!("{}:M", server.pid()));
    assert_eq!((words[1].len(), words[2].len(), words[3].len(), words[5]), (2, 3, 4, "*"));
    signal(server.pid(), "TERM");
    assert_eq!(server.await_exit(), Some(0));
    let log = server.log();
    for line in [
        "# Received SIGTERM scheduling shutdown...",
        "* Removing the unix socket file.",
        "# Ochre is now ready to exit, bye bye...",
    ] {
        assert!(log.contains(line), "{log}");
    }
    assert!(!server.dir().join("s.sock").exists());
}

#[test]
fn the_log_file_may_be_rotated_and_its_form_changed() {
    let mut server = Server::ochre(&["--logfile", "log.txt", "--loglevel", "verbose"]);
    let (path, rotated) = (server.dir().join("log.txt"), server.dir().join("log.1"));
    let mut client = server.client();
    assert!(fs::read_to_string(&path).unwrap().contains("Ready to accept connections"));
    fs::rename(&path, &rotated).unwrap();
    client.line("CONFIG SET log-format json log-timestamp-format milliseconds");
    client.line("CONFIG SET locale-collate C");
    let log = fs::read_to_string(&path).unwrap();
    let line = log.lines().last().unwrap();
    assert!(line.starts_with(&format!(
        "{{\"pid\":{},\"role\":\"primary\",\"timestamp\":\"1",
        server.pid()
    )));
    assert!(line.contains("\"level\":\"warning\",\"message\":\"'locale-collate' has no effect"));
    assert!(fs::read_to_string(&rotated).unwrap().contains("Ready to accept connections"));
    client.line("CONFIG SET loglevel nothing");
    client.send(&["SHUTDOWN"]);
    assert_eq!(server.await_exit(), Some(0));
    assert!(!fs::read_to_string(&path).unwrap().contains("bye bye"));
}

/// Stamps are in the zone of `TZ`.
#[test]
fn stamps_are_in_local_time() {
    let folder = folder();
    let mut command = ochre(&folder, &["--port", "0", "--log-timestamp-format", "iso8601"]);
    let output = command.env("TZ", "Asia/Kolkata").output().unwrap();
    if !Path::new("/usr/share/zoneinfo/Asia/Kolkata").exists() {
        println!("not tested: this machine has no database of time zones");
        return;
    }
    let first = text(&output);
    let stamp = first.split(' ').nth(1).unwrap();
    assert!(stamp.ends_with("+05:30"), "{stamp}");
    drop(fs::remove_dir_all(folder));
}

// ---- end ----

#[test]
fn replies_go_out_before_the_end() {
    let mut server = Server::ochre(&["--io-threads", "2"]);
    let mut client = server.client();
    client.cmd(&["SET", "k", &"v".repeat(300_000)]);
    let mut waiting = server.client();
    waiting.send(&["GET", "k"]);
    waiting.reply();
    for _ in 0..20 {
        client.send(&["GET", "k"]);
    }
    client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(client.until_closed().len(), 20 * (300_000 + 11));
    assert_eq!(server.await_exit(), Some(0));
    assert_eq!(waiting.until_closed(), b"");
}

#[test]
fn a_second_interrupt_ends_the_process_at_once() {
    let mut server = Server::ochre(&["--enable-debug-command", "yes", "--io-threads", "1"]);
    let mut client = server.client();
    // The loop is held up, so that the first signal cannot end it.
    client.send(&["DEBUG", "SLEEP", "60"]);
    wait_until("the loop sleeps", || {
        let mut probe = server.client();
        probe.patience(std::time::Duration::from_millis(100));
        probe.try_cmd(&["PING"]).is_err().then_some(())
    });
    signal(server.pid(), "HUP");
    signal(server.pid(), "INT");
    wait_until("it is noted", || server.log().contains("Received SIGINT").then_some(()));
    assert!(server.is_alive());
    signal(server.pid(), "INT");
    assert_eq!(server.await_exit(), Some(1));
    assert!(server.log().contains("You insist... exiting now."));
}

#[test]
fn a_signal_that_asks_for_a_snapshot_does_not_lose_data() {
    let mut server = Server::ochre(&["--shutdown-on-sigterm", "save"]);
    // A folder in the file's place: the snapshot fails.
    fs::create_dir(server.dir().join("dump.rdb")).unwrap();
    signal(server.pid(), "TERM");
    wait_until("it is noted", || server.log().contains("can't exit").then_some(()));
    let mut client = server.client();
    assert_eq!(client.shown("PING"), "PONG");
    client.line("CONFIG SET shutdown-on-sigterm nosave");
    signal(server.pid(), "TERM");
    assert_eq!(server.await_exit(), Some(0));
}

// ---- addresses ----

#[test]
fn the_port_changes_while_the_server_runs() {
    let mut pair = redis7_pair(&[]);
    let blocker = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let busy = blocker.local_addr().unwrap().port().to_string();
    pair.run(&["CONFIG", "SET", "port", &busy], &[]);
    pair.run(&["CONFIG", "SET", "timeout", "77", "port", &busy], &[]);
    pair.run(&["CONFIG", "GET", "timeout"], &[]);
    pair.run(&["CONFIG", "SET", "bind", "192.0.2.77"], &[]);
    pair.run(&["CONFIG", "SET", "bind", "127.0.0.1 no.such.host.invalid"], &[]);
    pair.run(&["CONFIG", "SET", "bind", "127.0.0.1 192.0.2.77", "timeout", "5"], &[]);
    pair.run(&["CONFIG", "GET", "bind"], &[]);
    pair.run(&["CONFIG", "SET", "bind", "127.0.0.1 -192.0.2.77"], &[]);
    pair.run(&["CONFIG", "GET", "bind"], &[]);
    for (theirs, name) in [(false, "ours"), (true, "theirs")] {
        let server = if theirs { pair.theirs() } else { pair.ours() };
        let (old, new) = (server.port(), free_port());
        let mut client = server.client();
        assert_eq!(client.shown(&format!("CONFIG SET port {new}")), "OK", "{name}");
        assert_eq!(Client::connect(new).shown("PING"), "PONG", "{name}");
        assert!(Client::try_connect(old).is_err(), "{name}");
        assert_eq!(client.info("server", "tcp_port"), new.to_string(), "{name}");
        // Without any address the connections that are there go on.
        assert_eq!(client.shown("CONFIG SET port 0"), "OK", "{name}");
        assert!(Client::try_connect(new).is_err(), "{name}");
        assert_eq!(client.shown(&format!("CONFIG SET port {old}")), "OK", "{name}");
        assert_eq!(Client::connect(old).shown("PING"), "PONG", "{name}");
    }
    pair.finish();
}

#[test]
fn addresses_change_while_the_server_runs() {
    let server = Server::ochre(&["--io-threads", "2", "--bind", "127.0.0.1", "127.0.0.2"]);
    let reaches = |host: &str| std::net::TcpStream::connect((host, server.port())).is_ok();
    assert!(reaches("127.0.0.1") && reaches("127.0.0.2") && !reaches("127.0.0.3"));
    let mut client = server.client();
    assert_eq!(client.shown("CONFIG SET bind \"*\""), "OK");
    assert!(reaches("127.0.0.3"));
    let listener = client.info("server", "listener0");
    assert_eq!(listener, format!("name=tcp,bind=*,port={}", server.port()));
    assert_eq!(client.shown("CONFIG SET bind 127.0.0.2"), "OK");
    assert!(reaches("127.0.0.2") && !reaches("127.0.0.1"));
    let error = "(err) ERR CONFIG SET failed (possibly related to argument 'bind') - \
                 Failed to bind to specified addresses.";
    assert_eq!(client.shown("CONFIG SET bind \"127.0.0.1 192.0.2.77\""), error);
    assert!(reaches("127.0.0.2") && !reaches("127.0.0.1"));
    assert_eq!(value_of(&mut client, "bind"), "127.0.0.2");
    // The loop that accepts is not the one that serves the client: ask on several.
    for turn in 0..8 {
        let mut other = wait_connect("127.0.0.2", server.port());
        let host = if turn % 2 == 0 { "127.0.0.2 127.0.0.4" } else { "127.0.0.2" };
        other.write_all(format!("CONFIG SET bind \"{host}\"\r\n").as_bytes()).unwrap();
        let mut reply = [0; 5];
        other.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"+OK\r\n");
        assert_eq!(reaches("127.0.0.4"), turn % 2 == 0);
    }
}

fn wait_connect(host: &str, port: u16) -> std::net::TcpStream {
    wait_until("it connects", || std::net::TcpStream::connect((host, port)).ok())
}

#[test]
fn a_unix_socket_alone() {
    let folder = folder();
    let path = folder.join("only.sock");
    fs::write(&path, "left by nobody").unwrap();
    // A file that is no socket is not removed.
    let refused = ochre(&folder, &["--port", "0", "--unixsocket", "only.sock"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    fs::remove_file(&path).unwrap();
    let args = ["--port", "0", "--unixsocket", "only.sock", "--unixsocketperm", "740"];
    // A socket that a killed server left is replaced.
    for attempt in 0..2 {
        let mut process = Process {
            child: ochre(&folder, &args).stdout(Stdio::null()).spawn().unwrap(),
            folder: folder.join("none"),
        };
        wait_until("the socket is there", || {
            std::os::unix::net::UnixStream::connect(&path).is_ok().then_some(())
        });
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o740);
        let mut client = Client::connect_unix(&path);
        assert_eq!(client.info("server", "tcp_port"), "0");
        assert!(client.shown("CLIENT INFO").contains(" addr=only.sock:0 "));
        if attempt == 1 {
            client.send(&["SHUTDOWN"]);
            assert_eq!(process.exit_code(), Some(0));
            assert!(!path.exists());
        }
    }
    drop(fs::remove_dir_all(folder));
}

/// An address of this machine by which it is not local to itself.
fn foreign_address() -> Option<String> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses the source address.
    socket.connect("198.51.100.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then(|| ip.to_string())
}

#[test]
fn protected_mode_refuses_other_hosts() {
    let Some(host) = foreign_address() else {
        println!("not tested: this machine has only loopback addresses");
        return;
    };
    let first_bytes = |port: u16| {
        let mut stream = wait_connect(&host, port);
        // A refused connection may be closed before this arrives.
        let _ = stream.write_all(b"PING\r\n");
        let mut reply = [0; 7];
        stream.read_exact(&mut reply).unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    };
    // Naming addresses does not open a server without a password: peers, since 7.0.
    let options = ["--bind", "127.0.0.1", &host];
    for program in [Program::Ochre, Program::Redis7] {
        let server = Server::start(&program, &options);
        assert_eq!(first_bytes(server.port()), "-DENIED", "{}", server.name());
        let mut client = server.client();
        client.line("CONFIG SET protected-mode no");
        assert_eq!(first_bytes(server.port()), "+PONG\r\n", "{}", server.name());
        client.line("CONFIG SET protected-mode yes requirepass secret");
        assert_eq!(first_bytes(server.port()), "-NOAUTH", "{}", server.name());
    }
}

/// The timer that the kernel runs for the server's end of a client's connection: its kind (02 is
/// keep-alive) and the hundredths of a second until it is due.
fn kernel_timer(client: &mut Client) -> Option<(String, u64)> {
    let info = client.cmd(&["CLIENT", "INFO"]);
    let info = String::from_utf8_lossy(info.bytes()?).into_owned();
    let port = |name: &str| -> Option<u16> {
        let word = info.split(' ').find_map(|word| word.strip_prefix(name))?;
        word.rsplit(':').next()?.parse().ok()
    };
    let (theirs, ours) = (format!(":{:04X}", port("addr=")?), format!(":{:04X}", port("laddr=")?));
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = fields.get(1)?.ends_with(&ours) && fields.get(2)?.ends_with(&theirs);
        let (kind, when) = fields.get(5)?.split_once(':')?;
        found.then(|| (kind.to_owned(), u64::from_str_radix(when, 16).unwrap_or(0)))
    })
}

#[test]
fn keepalive_probes_are_on_unless_switched_off() {
    let server = Server::ochre(&[]);
    let timer_is = |seconds: Option<u64>| {
        let mut client = server.client();
        // Right after a reply the timer may be that of its acknowledgement.
        wait_until("the timer is as set", || {
            let (kind, when) = kernel_timer(&mut client)?;
            let right = match seconds {
                Some(seconds) => kind == "02" && (seconds * 90..=seconds * 100).contains(&when),
                None => kind == "00",
            };
            right.then_some(())
        });
    };
    timer_is(Some(300));
    server.client().line("CONFIG SET tcp-keepalive 70");
    timer_is(Some(70));
    server.client().line("CONFIG SET tcp-keepalive 0");
    timer_is(None);
}

// ---- CONFIG SET of other directives ----

#[test]
fn immutable_and_failing_directives_answer_as_the_peer() {
    let mut pair = redis7_pair(&["--enable-protected-configs", "yes"]);
    pair.script(
        r#"
        CONFIG SET tcp-backlog 100
        CONFIG SET unixsocket /tmp/x
        CONFIG SET unixsocketperm 700
        CONFIG SET logfile /tmp/x
        CONFIG SET pidfile /tmp/x
        CONFIG SET supervised no
        CONFIG SET daemonize no
        CONFIG SET syslog-enabled no
        CONFIG SET databases 3
        CONFIG SET dir /no/such/folder
        CONFIG SET timeout 12 dir /no/such/folder
        CONFIG GET timeout
        CONFIG SET dir /tmp
        CONFIG GET dir
        CONFIG SET maxmemory-clients 10%
        CONFIG GET maxmemory-clients
        CONFIG SET maxmemory-clients 0
        CONFIG SET tcp-keepalive 5 timeout 0 protected-mode yes loglevel warning
        CONFIG SET loglevel notice
        "#,
    );
    pair.finish();
    // A relative folder is one from the folder in use, and is shown as what it is from anywhere.
    let server = Server::ochre(&["--enable-protected-configs", "yes"]);
    fs::create_dir(server.dir().join("below")).unwrap();
    let mut client = server.client();
    client.line("CONFIG SET dir below");
    let shown = value_of(&mut client, "dir");
    let expected = fs::canonicalize(server.dir().join("below")).unwrap();
    assert_eq!(fs::canonicalize(&shown).unwrap(), expected);
    assert!(Path::new(&shown).is_absolute());
}

#[test]
fn more_clients_than_open_files_are_refused() {
    let limit = ["prlimit", "--nofile=1024:1024"];
    let options = ["--maxclients", "5000"];
    let ours = Server::start_behind(&limit, &Program::Ochre, &options);
    let theirs = Server::start_behind(&limit, &Program::Redis7, &options);
    for line in [
        "CONFIG GET maxclients",
        "CONFIG SET maxclients 2000",
        "CONFIG SET timeout 3 maxclients 2000",
        "CONFIG GET timeout",
        "CONFIG GET maxclients",
        "CONFIG SET maxclients 100",
        "CONFIG GET maxclients",
    ] {
        assert_eq!(ours.client().shown(line), theirs.client().shown(line), "{line}");
    }
    assert!(ours.log().contains("maxclients has been reduced to 992"));
    // With room in the limit it is raised.
    let server = Server::start_behind(
        &["prlimit", "--nofile=256:4096"],
        &Program::Ochre,
        &["--maxclients", "100"],
    );
    assert_eq!(server.client().shown("CONFIG SET maxclients 3000"), "OK");
    let clients: Vec<Client> = (0..400).map(|_| server.client()).collect();
    let mut admin = server.client();
    wait_until("all are taken", || {
        (admin.info("clients", "connected_clients") == "401").then_some(())
    });
    drop(clients);
}

/// When no file can be opened, connections wait, and are taken when one can.
#[test]
fn running_out_of_files_is_survived() {
    let server = Server::start_behind(
        &["prlimit", "--nofile=64:64"],
        &Program::Ochre,
        &["--maxclients", "32"],
    );
    // Files that are opened behind the server's back: nothing else takes them.
    let mut first = server.client();
    first.cmd(&["PING"]);
    let mut clients: Vec<Client> = (0..80).map(|_| server.client()).collect();
    let refused = b"-ERR max number of clients reached\r\n";
    assert_eq!(clients[70].until_closed(), refused);
    clients.clear();
    wait_until("new clients are served", || {
        let reply = server.client().try_cmd(&["PING"]).ok()?;
        (reply == Value::Status(b"PONG".to_vec())).then_some(())
    });
    assert_eq!(first.shown("PING"), "PONG");
}

#[test]
fn before_authentication() {
    let mut pair = redis7_pair(&["--requirepass", "secret"]);
    for theirs in [false, true] {
        let server = if theirs { pair.theirs() } else { pair.ours() };
        let raw = |bytes: &[u8]| {
            let mut client = server.client();
            // The server may close before all is sent.
            let _ = client.try_send_raw(bytes);
            String::from_utf8_lossy(&client.until_closed()).into_owned()
        };
        assert_eq!(raw(b"*11\r\n"), "-ERR Protocol error: unauthenticated multibulk length\r\n");
        assert_eq!(
            raw(b"*1\r\n$16385\r\n"),
            "-ERR Protocol error: unauthenticated bulk length\r\n"
        );
        let mut client = server.client();
        client.send(&["ECHO", &"x".repeat(16384)]);
        assert_eq!(client.reply().error(), Some(&b"NOAUTH Authentication required."[..]));
    }
    pair.script(
        r#"
        a: GET k
        b: AUTH secret
        b: CONFIG SET requirepass ""
        a: SET k v
        a: GET k
        "#,
    );
    pair.finish();
}
