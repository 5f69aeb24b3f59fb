//! Failovers while clients write: how long nobody takes writes, and what is lost.
//!
//! Three sentinels, a primary and two replicas. Clients ask the sentinels where to write, as the libraries do, and wait for
//! one replica after each write: such a write is *confirmed*. Promised is that no confirmed write is lost when the primary
//! dies, since the sentinels take the replica that is ahead; and that a primary which was cut off, with
//! `min-replicas-to-write`, loses no more than `min-replicas-max-lag` says.
//!
//! `OCHRE_ROUNDS` asks for more rounds.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

use crate::replica::{await_link, follow, ochre, same};
use crate::sentinel::settled;
use crate::sentinel::watch::{Kind, Watcher, eventually};

/// Rounds unless more are asked for.
const ROUNDS: usize = 3;
/// Clients that write.
const WRITERS: usize = 4;
/// `down-after-milliseconds`
const DOWN_AFTER: Duration = Duration::from_millis(1000);
/// How long nobody may take writes: much more than is to be expected, for machines that are busy.
const OUTAGE_MAX: Duration = Duration::from_secs(30);
/// `min-replicas-max-lag`
const LAG_MAX: Duration = Duration::from_secs(2);

fn rounds() -> usize {
    std::env::var("OCHRE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

/// A primary with two replicas, and three sentinels that know them all.
fn set_up(options: &[&str]) -> (Vec<Server>, Vec<Watcher>) {
    let servers: Vec<Server> = (0..3).map(|_| ochre(options)).collect();
    for replica in &servers[1..] {
        follow(&mut replica.client(), &servers[0]);
    }
    for replica in &servers[1..] {
        await_link(&mut replica.client());
    }
    let line = format!("sentinel down-after-milliseconds m {}", DOWN_AFTER.as_millis());
    let watchers: Vec<Watcher> =
        (0..3).map(|_| Watcher::new(Kind::Ochre, servers[0].port(), 2, &[&line])).collect();
    settled(&watchers);
    (servers, watchers)
}

/// Where the primary is, as the first sentinel says that answers.
fn named(sentinels: &[u16]) -> Option<u16> {
    sentinels.iter().find_map(|port| {
        let reply = Client::try_connect(*port)
            .and_then(|mut client| client.try_cmd(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "m"]));
        let reply = reply.ok()?;
        let port = reply.items()?.get(1)?.bytes()?.to_vec();
        String::from_utf8(port).ok()?.parse().ok()
    })
}

/// What a server says of its part.
#[derive(Default)]
struct Standing {
    is_primary: bool,
    follows: Option<u16>,
    is_linked: bool,
}

/// What the server on a port says of its part; nothing when it does not answer, or cuts the connection since it changes
/// its part.
fn standing(port: u16) -> Standing {
    let reply = connect(port).and_then(|mut one| one.try_cmd(&["INFO", "replication"]).ok());
    let text = reply.and_then(|value| value.bytes().map(<[u8]>::to_vec)).unwrap_or_default();
    let text = String::from_utf8(text).unwrap();
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Standing {
        is_primary: field("role:") == Some("master"),
        follows: field("master_port:").and_then(|port| port.parse().ok()),
        is_linked: field("master_link_status:") == Some("up"),
    }
}

/// What the writers share.
#[derive(Default)]
struct Traffic {
    over: AtomicBool,
    /// Keys of confirmed writes.
    confirmed: Mutex<Vec<String>>,
    /// Ports that took writes, with the time of the first of each.
    taken: Mutex<Vec<(u16, Instant)>>,
}

impl Traffic {
    fn first_at(&self, is_it: impl Fn(u16) -> bool) -> Option<Instant> {
        let taken = self.taken.lock().unwrap();
        taken.iter().find(|(port, _)| is_it(*port)).map(|(_, at)| *at)
    }

    /// Writes until it is over, wherever the sentinels say.
    fn write(&self, writer: usize, sentinels: &[u16]) {
        let mut count = 0;
        while !self.over.load(Ordering::Relaxed) {
            let client = named(sentinels).and_then(|port| Some((port, connect(port)?)));
            match client {
                Some((port, mut client)) => self.write_to(port, &mut client, writer, &mut count),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Writes to one server until it does not take it.
    fn write_to(&self, port: u16, client: &mut Client, writer: usize, count: &mut usize) {
        while !self.over.load(Ordering::Relaxed) {
            *count += 1;
            let key = format!("w{writer}:{count}");
            match client.try_cmd(&["SET", &key, &key]) {
                Ok(Value::Status(_)) => {}
                _ => {
                    std::thread::sleep(Duration::from_millis(5));
                    return;
                }
            }
            let mut taken = self.taken.lock().unwrap();
            if taken.iter().all(|(known, _)| *known != port) {
                taken.push((port, Instant::now()));
            }
            drop(taken);
            match client.try_cmd(&["WAIT", "1", "300"]) {
                Ok(Value::Integer(replicas)) if replicas > 0 => {
                    self.confirmed.lock().unwrap().push(key);
                }
                Ok(Value::Integer(_)) => {}
                _ => return,
            }
        }
    }
}

/// A connection that gives up soon: a server that stands still is to be left.
fn connect(port: u16) -> Option<Client> {
    let mut client = Client::try_connect(port).ok()?;
    client.patience(Duration::from_secs(2));
    Some(client)
}

/// How many of these keys a server does not have.
fn missing(client: &mut Client, keys: &[String]) -> Vec<String> {
    let mut missing = Vec::new();
    for keys in keys.chunks(1000) {
        let args: Vec<&str> =
            std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
        let reply = client.cmd(&args);
        let values = reply.items().unwrap_or_default();
        assert_eq!(values.len(), keys.len());
        let pairs = keys.iter().zip(values);
        let lost = pairs.filter(|(key, value)| value.bytes() != Some(key.as_bytes()));
        missing.extend(lost.map(|(key, _)| key.clone()));
    }
    missing
}

/// A server that is started again where another was: on its port, without its data.
struct Again(Child);

impl Again {
    fn start(port: u16, folder: &std::path::Path) -> Self {
        let number = port.to_string();
        let mut command = Command::new(Program::Ochre.find().unwrap());
        command.args(["--port", &number, "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--enable-debug-command", "yes"]).current_dir(folder);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let again = Self(child);
        wait_until("it answers", || {
            Client::try_connect(port).ok()?.try_cmd(&["PING"]).ok().map(drop)
        });
        again
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// One failover under load; gives how long nobody took writes.
fn killed() -> Duration {
    let (mut servers, watchers) = set_up(&[]);
    let sentinels: Vec<u16> = watchers.iter().map(Watcher::port).collect();
    let old = servers[0].port();
    let traffic = Traffic::default();
    let mut again = None;
    let outage = std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (traffic, sentinels) = (&traffic, &sentinels);
            scope.spawn(move || traffic.write(writer, sentinels));
        }
        // Whatever happens, the writers must end, or this would wait for ever.
        let body = || {
            wait_until("writes are confirmed", || {
                (traffic.confirmed.lock().unwrap().len() > 500).then_some(())
            });
            let killed_at = Instant::now();
            servers[0].kill();
            eventually("another takes writes", || traffic.first_at(|port| port != old).is_some());
            let outage = traffic.first_at(|port| port != old).unwrap() - killed_at;
            again = Some(Again::start(old, servers[0].dir()));
            eventually("the old primary follows", || standing(old).is_linked);
            outage
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        traffic.over.store(true, Ordering::Relaxed);
        outcome.unwrap_or_else(|why| std::panic::resume_unwind(why))
    });
    check_end(&servers, &watchers, old, &traffic.confirmed.lock().unwrap());
    outage
}

/// All agree, nothing that was confirmed is lost, and all have the same data.
fn check_end(servers: &[Server], watchers: &[Watcher], old: u16, confirmed: &[String]) {
    eventually("all sentinels name one", || {
        let named: Vec<u16> = watchers.iter().map(Watcher::primary_port).collect();
        named[0] != old && named.iter().all(|port| *port == named[0])
    });
    let new = watchers[0].primary_port();
    let mut primary = Client::connect(new);
    assert_eq!(missing(&mut primary, confirmed), Vec::<String>::new(), "confirmed and lost");
    let ports: Vec<u16> = servers.iter().map(Server::port).filter(|port| *port != new).collect();
    for port in &ports {
        eventually("all follow it", || standing(*port).follows == Some(new));
    }
    let mut replicas: Vec<Client> = ports.into_iter().map(Client::connect).collect();
    let mut replicas: Vec<&mut Client> = replicas.iter_mut().collect();
    same(&mut primary, &mut replicas);
}

#[test]
fn no_confirmed_write_is_lost_when_the_primary_dies() {
    let mut outages: Vec<Duration> = (0..rounds()).map(|_| killed()).collect();
    outages.sort();
    println!("without writes, down-after {DOWN_AFTER:?}: {outages:?}");
    assert!(outages.iter().all(|outage| *outage < OUTAGE_MAX), "{outages:?}");
}

fn signal(server: &Server, name: &str) {
    let pid = server.pid().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// What a client that stays with the old primary sees: keys that were taken, with times; and the first refusal.
#[derive(Default)]
struct Loyal {
    taken: Vec<(String, Instant)>,
    refusal: Option<String>,
}

/// Writes to one server until it refuses or cuts the client off.
fn write_loyally(mut client: Client, writer: usize) -> Loyal {
    let mut loyal = Loyal::default();
    for count in 0.. {
        let key = format!("l{writer}:{count}");
        match client.try_cmd(&["SET", &key, &key]) {
            Ok(Value::Status(_)) => loyal.taken.push((key, Instant::now())),
            Ok(Value::Error(text)) => {
                loyal.refusal = Some(String::from_utf8_lossy(&text).into_owned());
                break;
            }
            // Cut off, by the sentinel that leads the server back.
            _ => break,
        }
    }
    loyal
}

/// A primary that stands still while another takes over, and then goes on as if nothing had been.
fn split() {
    let lag = LAG_MAX.as_secs().to_string();
    let (servers, watchers) =
        set_up(&["--min-replicas-to-write", "1", "--min-replicas-max-lag", &lag]);
    let old = servers[0].port();
    let (mut stopped_at, mut resumed_at) = (Instant::now(), Instant::now());
    let seen: Vec<Loyal> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let client = servers[0].client();
                scope.spawn(move || write_loyally(client, writer))
            })
            .collect();
        let mut reader = servers[1].client();
        wait_until("replicas get writes", || (reader.integer("DBSIZE") > 500).then_some(()));
        stopped_at = Instant::now();
        signal(&servers[0], "-STOP");
        let body = || {
            eventually("another is named", || {
                watchers.iter().all(|watcher| watcher.primary_port() != old)
            });
            eventually("the replicas have left", || {
                servers[1..].iter().all(|one| {
                    let Standing { is_primary, follows, .. } = standing(one.port());
                    is_primary || follows.is_some_and(|port| port != old)
                })
            });
        };
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        resumed_at = Instant::now();
        signal(&servers[0], "-CONT");
        outcome.unwrap_or_else(|why| std::panic::resume_unwind(why));
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    check_end(&servers, &watchers, old, &[]);
    let mut primary = Client::connect(watchers[0].primary_port());
    let mut late = 0;
    for loyal in &seen {
        let refusal = loyal.refusal.as_deref().unwrap_or("NOREPLICAS or cut off");
        let is_known = ["NOREPLICAS", "READONLY"].iter().any(|word| refusal.starts_with(word));
        assert!(is_known, "{refusal}");
        let keys: Vec<String> = loyal.taken.iter().map(|(key, _)| key.clone()).collect();
        let lost = missing(&mut primary, &keys);
        for (key, at) in loyal.taken.iter().filter(|(key, _)| lost.contains(key)) {
            // No replica had acknowledged anything for longer than the lag before it went on.
            let is_within =
                *at <= stopped_at + LAG_MAX || (*at >= resumed_at && *at <= resumed_at + LAG_MAX);
            assert!(is_within, "{key} was taken {:?} after the stop", *at - stopped_at);
            late += usize::from(*at >= resumed_at);
        }
        println!("taken {}, lost {}; then: {refusal}", keys.len(), lost.len());
    }
    println!("stood still for {:?}; taken afterwards and lost: {late}", resumed_at - stopped_at);
}

#[test]
fn split_brain() {
    for _ in 0..rounds() {
        split();
    }
}
