//! Backups, and restoring from them: into a folder, and into a server that speaks S3 (moto, installed by pip
//! like the client libraries).

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server};

use crate::client_libraries::python_programs;
use crate::save_format::{Folder, digest, fill, stop};

/// What a server is told of S3 by its environment.
fn s3_environment(port: u16) -> Vec<String> {
    let mut words: Vec<String> =
        ["env", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret"].map(str::to_owned).to_vec();
    words.push("AWS_ALLOW_HTTP=true".to_owned());
    words.push(format!("AWS_ENDPOINT=http://127.0.0.1:{port}"));
    words
}

fn backup_field(client: &mut Client, name: &str) -> String {
    client.info("persistence", &format!("backup_{name}"))
}

/// Waits for a backup that was taken after this moment of the server's clock; gives its URL.
fn await_backup(client: &mut Client) -> String {
    let now: i64 = {
        let reply = client.shown("TIME");
        reply.trim_start_matches("[\"").split('"').next().unwrap().parse().unwrap()
    };
    wait_until("a backup", || {
        let last: i64 = backup_field(client, "last_time").parse().unwrap();
        (last > now).then(|| backup_field(client, "last_url"))
    })
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Starts a server that is to fail; what it printed.
fn fails_to_start(prefix: &[String], folder: &Folder, url: &str) -> String {
    let binary = Program::Ochre.find().unwrap();
    let binary = binary.to_str().unwrap();
    let mut words = prefix.iter().map(String::as_str).chain([binary]);
    let mut child = Command::new(words.next().unwrap())
        .args(words)
        .args(["--port", "0", "--unixsocket", "socket", "--restore-url", url, "--dir"])
        .arg(folder.path())
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    assert!(!folder.path().join("dump.rdb").exists(), "nothing half is left: {text}");
    assert!(names(folder.path()).iter().all(|name| !name.starts_with("temp-")), "{text}");
    text
}

#[test]
fn a_folder_end_to_end() {
    let (work, backups) = (Folder::new("backup-work"), Folder::new("backup-folder"));
    let folder = backups.path().join("of/this/server");
    fs::create_dir_all(&folder).unwrap();
    // Of the same hour, of other hours, days and weeks; and what is not ours.
    let old = |stamp: &str| format!("ochre-00000000-{stamp}Z.rdb");
    let [a, b, c, d, e, f] = [
        "20200101T000000",
        "20200101T003000",
        "20200108T120000",
        "20200115T120000",
        "20200115T121000",
        "20200115T130000",
    ]
    .map(old);
    let foreign = ["dump.rdb".to_owned(), "ochre-notes.txt".to_owned()];
    for name in [&a, &b, &c, &d, &e, &f].into_iter().chain(&foreign) {
        fs::write(folder.join(name), "x").unwrap();
    }
    let url = format!("file://{}", folder.display());
    let mut server = work.ochre(&[]);
    let mut client = server.client();
    fill(&mut client);
    let expected = digest(&mut client);
    assert_eq!(backup_field(&mut client, "enabled"), "0");
    // Whoever may CONFIG SET may not choose where data goes, unless the start said so.
    let refused = client.cmd(&["CONFIG", "SET", "backup-url", &url]);
    assert!(format!("{refused:?}").contains("Error"), "{refused:?}");
    stop(server);

    server = work.ochre(&["--enable-protected-configs", "yes"]);
    let mut client = server.client();
    fill(&mut client);
    for (name, value) in [("hourly", "3"), ("daily", "2"), ("weekly", "3")] {
        assert_eq!(client.shown(&format!("CONFIG SET backup-keep-{name} {value}")), "OK");
    }
    // The week has none yet, and after this one it has.
    assert_eq!(client.shown("CONFIG SET backup-schedule weekly"), "OK");
    assert_eq!(client.shown(&format!("CONFIG SET backup-url {url}")), "OK");
    wait_until("the first backup and its clean-up", || {
        (backup_field(&mut client, "in_progress") == "0" && names(&folder).len() == 6).then_some(())
    });
    let now = names(&folder);
    for name in [&c, &e, &f].into_iter().chain(&foreign) {
        assert!(now.contains(name), "{name}: {now:?}");
    }
    let newest = now.iter().rfind(|name| name.starts_with("ochre-") && name.ends_with(".rdb"));
    let newest = newest.unwrap();
    assert!(!newest.starts_with("ochre-00000000"), "{newest}");
    assert_eq!(backup_field(&mut client, "enabled"), "1");
    assert_eq!(backup_field(&mut client, "last_status"), "ok");
    assert_eq!(backup_field(&mut client, "last_url"), format!("{url}/{newest}"));
    let size = fs::metadata(folder.join(newest)).unwrap().len().to_string();
    assert_eq!(backup_field(&mut client, "last_size"), size);
    let next: i64 = backup_field(&mut client, "next_time").parse().unwrap();
    let last: i64 = backup_field(&mut client, "last_time").parse().unwrap();
    assert!(next > last && next - last <= 7 * 24 * 3600 && (next + 3 * 86_400) % 604_800 == 0);
    // Snapshots that clients ask for are another thing.
    assert_eq!(client.info("persistence", "rdb_saves"), "0");
    assert_eq!(client.shown("SAVE"), "OK");
    fs::remove_file(work.path().join("dump.rdb")).unwrap();

    // A faster schedule, and a change that the next one holds.
    assert_eq!(client.shown("CONFIG SET backup-schedule 1"), "OK");
    await_backup(&mut client);
    client.cmd(&["SET", "more", "x"]);
    let changed = digest(&mut client);
    assert_ne!(changed, expected);
    await_backup(&mut client);
    stop(server);

    // A new server begins with the newest.
    let fresh = Folder::new("backup-fresh");
    let server = fresh.ochre(&["--restore-url", &format!("{url}/")]);
    assert_eq!(digest(&mut server.client()), changed);
    assert_eq!(server.client().integer("FCALL one 0"), 1);
    assert!(fresh.path().join("dump.rdb").exists());
    server.client().cmd(&["SET", "own", "x"]);
    let own = digest(&mut server.client());
    assert_eq!(server.client().shown("SAVE"), "OK");
    stop(server);
    // With a data file it goes by that.
    let server = fresh.ochre(&["--restore-url", &url]);
    assert_eq!(digest(&mut server.client()), own);
    assert!(server.log().contains("Starting from dump.rdb; restore-url is passed over"));
    stop(server);

    // With an append-only file the backup is its base.
    let fresh = Folder::new("backup-aof");
    let options = ["--restore-url", &url, "--appendonly", "yes"];
    let server = fresh.ochre(&options);
    assert_eq!(digest(&mut server.client()), changed);
    server.client().cmd(&["SET", "own", "x"]);
    stop(server);
    let server = fresh.ochre(&options);
    assert_eq!(digest(&mut server.client()), own);
    assert!(server.log().contains("appendonly.aof.manifest; restore-url is passed over"));
}

#[test]
fn a_broken_backup_is_not_restored() {
    let backups = Folder::new("backup-broken");
    let url = format!("file://{}", backups.path().display());
    // The byte in the middle is one of the value.
    let options = ["--backup-schedule", "weekly", "--rdbcompression", "no"];
    let server = Server::ochre(&[&options[..], &["--enable-protected-configs", "yes"]].concat());
    let mut client = server.client();
    client.cmd(&["SET", "key", &"value ".repeat(1000)]);
    assert_eq!(client.shown(&format!("CONFIG SET backup-url {url}")), "OK");
    wait_until("a backup", || (backup_field(&mut client, "last_size") != "0").then_some(()));
    stop(server);
    let name = names(backups.path()).first().unwrap().clone();
    let good = backups.path().join(&name);
    let bytes = fs::read(&good).unwrap();
    let mut broken = bytes.clone();
    let middle = broken.len() / 2;
    broken[middle] ^= 1;
    // Two newer ones: one changed in a byte, one cut off.
    let [newer, newest] = ["21000101T000000", "21000102T000000"]
        .map(|stamp| backups.path().join(format!("ochre-00000000-{stamp}Z.rdb")));
    fs::write(&newer, &broken).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 3]).unwrap();

    let fresh = Folder::new("backup-broken-fresh");
    let server = fresh.ochre(&["--restore-url", &url]);
    assert_eq!(server.client().integer("EXISTS key"), 1);
    let log = server.log();
    assert_eq!(log.matches("is broken and passed over").count(), 2, "{log}");
    assert!(log.contains(&format!("Restored {name}")), "{log}");
    stop(server);

    // Nothing else will do when it is named, or when there is nothing else.
    let fresh = Folder::new("backup-broken-named");
    let named = format!("file://{}", newer.display());
    let text = fails_to_start(&[], &fresh, &named);
    assert!(text.contains("Fatal error restoring from"), "{text}");
    assert!(text.contains("checksum") || text.contains("CRC"), "{text}");
    fs::remove_file(&good).unwrap();
    let text = fails_to_start(&[], &fresh, &url);
    assert!(text.contains("none of the 2 backups is whole"), "{text}");
    let text = fails_to_start(&[], &fresh, "file:///no/such/folder");
    assert!(text.contains("there is no backup"), "{text}");
    let text = fails_to_start(&[], &fresh, "ftp://host/x");
    assert!(text.contains("is no destination for backups"), "{text}");
}

#[test]
fn failures_are_shown_and_tried_again() {
    let backups = Folder::new("backup-failure");
    // Where the folder should be there is a file.
    let place = backups.path().join("place");
    fs::write(&place, "x").unwrap();
    let url = format!("file://{}/inside", place.display());
    let mut server = Server::ochre(&["--backup-url", &url, "--backup-schedule", "1"]);
    let mut client = server.client();
    wait_until("a failure", || (backup_field(&mut client, "last_status") == "err").then_some(()));
    assert!(!backup_field(&mut client, "last_error").is_empty());
    assert_eq!(backup_field(&mut client, "last_time"), "0");
    fs::remove_file(&place).unwrap();
    wait_until("a backup", || {
        (backup_field(&mut client, "last_status") == "ok"
            && backup_field(&mut client, "last_time") != "0")
            .then_some(())
    });
    assert!(server.log().contains("Backup failed: "));
    assert!(server.is_alive());
    assert!(names(server.dir()).iter().all(|name| !name.starts_with("temp-backup")));
}

#[test]
fn schedules_are_checked() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    for good in ["hourly", "DAILY", "weekly", "1", "31536000"] {
        assert_eq!(client.shown(&format!("CONFIG SET backup-schedule {good}")), "OK");
        let shown = client.shown("CONFIG GET backup-schedule");
        assert_eq!(shown, format!("[\"backup-schedule\", \"{good}\"]"));
    }
    for bad in ["0", "-1", "31536001", "yearly", "''", "1.5", "every"] {
        let shown = client.shown(&format!("CONFIG SET backup-schedule {bad}"));
        assert!(shown.starts_with("(err)") && shown.contains("hourly"), "{bad}: {shown}");
    }
    assert!(client.shown("CONFIG SET restore-url x").starts_with("(err)"));
}

/// A destination that takes connections and never answers does not hold up the end.
#[test]
fn the_end_waits_for_no_destination() {
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let environment = s3_environment(silent.local_addr().unwrap().port());
    let prefix: Vec<&str> = environment.iter().map(String::as_str).collect();
    let options = ["--backup-url", "s3://bucket/x", "--backup-schedule", "1"];
    let mut server = Server::start_behind(&prefix, &Program::Ochre, &options);
    // Its request has come: the server waits for the answer.
    let (mut connection, _) = silent.accept().unwrap();
    assert!(connection.read(&mut [0; 100]).unwrap() > 0);
    let began = Instant::now();
    server.client().send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.await_exit(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// A server that speaks S3.
struct Moto {
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Moto {
    fn start(folder: &Folder) -> Self {
        let program = python_programs("s3", "requirements-s3.txt").join("moto_server");
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let log = folder.path().join("moto.log");
        let (out, err) = (File::create(&log).unwrap(), File::options().append(true).open(&log));
        let child = Command::new(program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(out)
            .stderr(err.unwrap())
            .spawn()
            .unwrap();
        let moto = Self { child, port, log };
        wait_until("the S3 server", || moto.request("PUT /bucket"));
        moto
    }

    /// The body of an answer that says all is well.
    fn request(&self, what: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let text = format!(
            "{what} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=id/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        let status = String::from_utf8_lossy(&answer[..end]).into_owned();
        let is_good = [" 200", " 204"].iter().any(|code| status[..16].contains(code));
        is_good.then(|| answer.split_off(end + 4))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // One that has ended is as good.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

#[test]
fn an_s3_server_end_to_end() {
    let work = Folder::new("backup-s3");
    let moto = Moto::start(&work);
    let environment = s3_environment(moto.port);
    let prefix: Vec<&str> = environment.iter().map(String::as_str).collect();
    let url = "s3://bucket/deep/prefix";
    let options = ["--backup-url", url, "--backup-schedule", "1", "--rdbcompression", "no"];
    let server = Server::start_behind(&prefix, &Program::Ochre, &options);
    let mut client = server.client();
    client.cmd(&["CONFIG", "SET", "proto-max-bulk-len", "100mb"]);
    // More than one part.
    client.cmd(&["SETRANGE", "large", "20000000", "end"]);
    client.cmd(&["RPUSH", "list", "a", "b", "c"]);
    let size = wait_until("a backup of all of it", || {
        let size: u64 = backup_field(&mut client, "last_size").parse().unwrap();
        (size > 20_000_000 && backup_field(&mut client, "last_status") == "ok").then_some(size)
    });
    let last = await_backup(&mut client);
    stop(server);
    let path = last.strip_prefix("s3:/").unwrap();
    assert_eq!(moto.request(&format!("GET {path}")).unwrap().len() as u64, size);
    // Older ones of the same hour are gone.
    let listed = moto.request("GET /bucket?list-type=2&prefix=deep/").unwrap();
    let count = String::from_utf8_lossy(&listed).matches("<Key>").count();
    assert!((1..=2).contains(&count), "{count} objects");

    for from in [url, &last] {
        let options = ["--restore-url", from];
        let server = Server::start_behind(&prefix, &Program::Ochre, &options);
        let mut client = server.client();
        wait_until("the data", || (client.shown("DBSIZE") == "(int) 2").then_some(()));
        assert_eq!(client.shown("GETRANGE large 20000000 -1"), "\"end\"");
        assert_eq!(client.shown("LRANGE list 0 -1"), "[\"a\", \"b\", \"c\"]");
        assert!(server.log().contains("Restored "));
        stop(server);
    }
    let fresh = Folder::new("backup-s3-failure");
    let text = fails_to_start(&environment, &fresh, "s3://bucket/nothing/here");
    assert!(text.contains("there is no backup"), "{text}");
    let text = fails_to_start(&environment, &fresh, "s3://no-such-bucket/x");
    assert!(text.contains("Fatal error restoring from s3://no-such-bucket/x"), "{text}");
}
