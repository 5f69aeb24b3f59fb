//! The world: who is there, what happens next, what a fault does.

mod agreement;

use ochre_base::clock::Now;
use ochre_base::rng::Rng;
use ochre_resp::parse::{ReplyParser, Value};
use ochre_resp::{Protocol, Reply};
use ochre_sentinel::addr::NoNames;
use ochre_sentinel::config::Globals;
use ochre_sentinel::{LinkId, Mutation, Output, Sentinel};

use super::invariants::{Seen, Violation};
use super::server::{Effect, SERVER_PORT, Server, server_at, server_ip};
use super::{NAME, Outcome};
use crate::faults::{Fault, Plan};
use crate::net::{Arrival, ConnId, End, Net, Weather};
use crate::queue::Queue;
use crate::{NodeId, Time};

/// When faults may begin, and until when.
const FAULTS: (Time, Time) = (3000, 15_000);
/// How long after the last fault nobody may be taken for down any more: stuck links are found and made anew.
const GRACE: Time = 12_000;
/// How long after the last fault all must agree.
const SETTLE: Time = 90_000;
/// How long they must go on agreeing.
const STABLE: Time = 5000;
/// Periods of the servers' replication, and of looking whether all agree.
const SERVER_TICK: Time = 250;

enum Event {
    Tick(usize, u64),
    Servers,
    Arrive(ConnId, End),
    Connected(ConnId),
    ConnectFailed(usize, u64, LinkId),
    Begin(Fault),
    Restart(NodeId),
    Heal(u64),
    Calm(u64),
}

struct Process {
    machine: Option<Sentinel>,
    /// What was synced: the lines of the configuration.
    disk: Vec<Vec<String>>,
    myid: String,
    /// Grows with each start.
    life: u64,
    /// Open and opening connections of its links.
    conns: Vec<(LinkId, ConnId)>,
    parsers: Vec<(ConnId, ReplyParser)>,
}

pub(super) struct World {
    rng: Rng,
    queue: Queue<Event>,
    net: Net,
    servers: Vec<Server>,
    sentinels: Vec<Process>,
    /// By node: servers first, then sentinels.
    up: Vec<bool>,
    paused_until: Vec<Time>,
    partition: u64,
    storm: u64,
    last_fault_end: Time,
    mutation: Option<Mutation>,
    /// Crashes in the middle of doing what a sentinel wants done.
    crash_one_in: u64,
    seen: Seen,
    agreed_since: Option<Time>,
    steps: u64,
    fingerprint: u64,
    trace: bool,
}

fn now_of(time: Time) -> Now {
    let ms = 1_000_000 + time;
    Now { unix_ms: ms, unix_us: ms as u64 * 1000, mono_us: ms as u64 * 1000 }
}

fn sentinel_ip(index: usize) -> String {
    format!("10.0.1.{}", index + 1)
}

impl World {
    pub(super) fn new(seed: u64, mutation: Option<Mutation>, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let servers = 2 + rng.below(3) as usize;
        let sentinels = if rng.below(3) == 0 { 5 } else { 3 };
        let mut world = Self {
            queue: Queue::default(),
            net: Net::new(servers + sentinels),
            servers: Vec::new(),
            sentinels: Vec::new(),
            up: vec![true; servers + sentinels],
            paused_until: vec![0; servers + sentinels],
            partition: 0,
            storm: 0,
            last_fault_end: 0,
            mutation,
            crash_one_in: if rng.below(3) == 0 { 400 } else { 0 },
            seen: Seen::default(),
            agreed_since: None,
            steps: 0,
            fingerprint: seed,
            trace,
            rng,
        };
        for index in 0..servers {
            let priority = [100, 100, 100, 10][world.rng.below(4) as usize];
            let follows = (index > 0).then_some(0);
            let server = Server::new(follows, priority, &mut world.rng);
            world.servers.push(server);
        }
        for index in 0..sentinels {
            let myid = format!("{index:x}").repeat(40);
            let quorum = sentinels / 2 + 1;
            let mut disk = vec![
                format!("monitor {NAME} {} {SERVER_PORT} {quorum}", server_ip(0)),
                format!("down-after-milliseconds {NAME} 2000"),
                format!("failover-timeout {NAME} 5000"),
            ];
            // The others are known from an earlier life: a majority of those known must be one of all.
            for other in (0..sentinels).filter(|other| *other != index) {
                let run_id = format!("{other:x}").repeat(40);
                disk.push(format!("known-sentinel {NAME} {} 26379 {run_id}", sentinel_ip(other)));
            }
            let words = |line: &String| line.split(' ').map(str::to_owned).collect();
            world.sentinels.push(Process {
                machine: None,
                disk: disk.iter().map(words).collect(),
                myid,
                life: 0,
                conns: Vec::new(),
                parsers: Vec::new(),
            });
            world.start_sentinel(index);
        }
        let plan = Plan { nodes: servers + sentinels, from: FAULTS.0, until: FAULTS.1, most: 8 };
        for (at, fault) in plan.draw(&mut world.rng) {
            world.last_fault_end = world.last_fault_end.max(at + fault.lasts());
            world.queue.at(at, Event::Begin(fault));
        }
        world.queue.at(0, Event::Servers);
        world
    }

    fn now(&self) -> Time {
        self.queue.now()
    }

    fn node(&self, sentinel: usize) -> NodeId {
        self.servers.len() + sentinel
    }

    /// Whether the faults are over.
    fn is_calm(&self) -> bool {
        self.now() > self.last_fault_end
    }

    pub(super) fn run(mut self) -> Outcome {
        while self.seen.violation.is_none() {
            let Some(event) = self.queue.next_event() else { break };
            self.steps += 1;
            self.fingerprint = (self.fingerprint ^ self.now() as u64).wrapping_mul(0x100_0000_01b3);
            if self.step(event) {
                break;
            }
        }
        Outcome {
            violation: self.seen.violation,
            switches: self.seen.switches,
            attempts: self.seen.attempts,
            steps: self.steps,
            fingerprint: self.fingerprint,
        }
    }

    /// Does one thing; true at the end of the history.
    fn step(&mut self, event: Event) -> bool {
        match event {
            Event::Tick(index, life) => self.tick(index, life),
            Event::Servers => {
                self.replicate();
                self.queue.after(SERVER_TICK, Event::Servers);
                return self.look_for_agreement();
            }
            Event::Arrive(conn, end) => self.arrive(conn, end),
            Event::Connected(conn) => self.connected(conn),
            Event::ConnectFailed(index, life, link) => {
                let process = &mut self.sentinels[index];
                if process.life == life
                    && let Some(machine) = &mut process.machine
                {
                    machine.disconnected(now_of(self.queue.now()), link);
                }
            }
            Event::Begin(fault) => self.begin(fault),
            Event::Restart(node) => self.restart(node),
            Event::Heal(number) if number == self.partition => self.net.heal(),
            Event::Calm(number) if number == self.storm => self.net.weather = Weather::fair(),
            Event::Heal(_) | Event::Calm(_) => {}
        }
        false
    }

    // Faults.

    fn begin(&mut self, fault: Fault) {
        if self.trace {
            println!("{:7} {fault:?}", self.now());
        }
        match fault {
            Fault::Crash(node, for_ms) => self.crash(node, for_ms),
            Fault::Pause(node, for_ms) => {
                self.paused_until[node] = self.paused_until[node].max(self.now() + for_ms);
            }
            Fault::Divide(sides, for_ms) => {
                self.partition += 1;
                self.net.divide(sides);
                self.queue.after(for_ms, Event::Heal(self.partition));
            }
            Fault::Weather(weather, for_ms) => {
                self.storm += 1;
                self.net.weather = weather;
                self.queue.after(for_ms, Event::Calm(self.storm));
            }
            Fault::Cut(node) => self.net.of(node).into_iter().for_each(|id| self.close(id)),
            Fault::Special(number) => self.operate(number),
        }
    }

    /// An operator breaks something: a server is told to follow nobody, or the wrong one.
    fn operate(&mut self, number: u64) {
        let server = number as usize % self.servers.len();
        if !self.up[server] || self.servers[server].follows.is_none() {
            return;
        }
        // A server that nobody has heard of cannot be led back.
        let key = format!("{}:{SERVER_PORT}", server_ip(server));
        let is_known = self.sentinels.iter().any(|process| {
            let primary = process.machine.as_ref().and_then(|one| one.primaries().get(NAME));
            primary.is_some_and(|primary| primary.replicas.contains_key(&key))
        });
        if !is_known {
            return;
        }
        let now = self.now();
        let args = [b"slaveof".to_vec(), b"no".to_vec(), b"one".to_vec()];
        self.servers[server].request(0, &args, &[], now, &mut Vec::new());
    }

    fn crash(&mut self, node: NodeId, for_ms: Time) {
        if !self.up[node] {
            return;
        }
        self.up[node] = false;
        for id in self.net.of(node) {
            self.close(id);
        }
        if let Some(index) = node.checked_sub(self.servers.len()) {
            let process = &mut self.sentinels[index];
            process.machine = None;
            process.life += 1;
            process.conns.clear();
            process.parsers.clear();
        }
        self.queue.after(for_ms, Event::Restart(node));
    }

    fn restart(&mut self, node: NodeId) {
        self.up[node] = true;
        self.paused_until[node] = 0;
        match node.checked_sub(self.servers.len()) {
            Some(index) => self.start_sentinel(index),
            None => {
                let now = self.now();
                self.servers[node].restart(&mut self.rng, now);
            }
        }
    }

    fn start_sentinel(&mut self, index: usize) {
        let now = now_of(self.now());
        let seed = self.rng.next_u64();
        let process = &mut self.sentinels[index];
        let globals = Globals::new(process.myid.clone(), 26379);
        let mut machine = Sentinel::new(globals, Box::new(NoNames), seed, now);
        machine.plant(self.mutation);
        let timing = machine.timing_mut();
        timing.info_period = 2000;
        timing.ping_period = 500;
        timing.ask_period = 500;
        timing.publish_period = 1000;
        timing.tilt_period = 4000;
        timing.tilt_trigger = 1500;
        timing.replica_reconf_timeout = 3000;
        timing.min_link_reconnect_period = 3000;
        timing.election_timeout = 2500;
        let lines: Vec<Vec<Vec<u8>>> = process
            .disk
            .iter()
            .map(|line| line.iter().map(|word| word.as_bytes().to_vec()).collect())
            .collect();
        if let Err((at, wrong)) = machine.load(&lines) {
            let what = format!("line {at} of what sentinel {index} wrote: {wrong}");
            self.seen.violation = Some(Violation { rule: "V5", what, at: self.queue.now() });
            return;
        }
        process.machine = Some(machine);
        process.life += 1;
        let life = process.life;
        let delay = self.rng.below(100) as Time;
        self.queue.after(delay, Event::Tick(index, life));
        self.after_step(index);
    }

    // Sentinels.

    /// Whether a node acts now; if it is paused, what was to happen happens afterwards.
    fn is_awake(&self, node: NodeId) -> bool {
        self.up[node] && self.paused_until[node] <= self.now()
    }

    fn tick(&mut self, index: usize, life: u64) {
        let node = self.node(index);
        if self.sentinels[index].life != life {
            return;
        }
        if !self.is_awake(node) {
            self.queue.at(self.paused_until[node], Event::Tick(index, life));
            return;
        }
        let now = now_of(self.now());
        if let Some(machine) = &mut self.sentinels[index].machine {
            machine.tick(now);
        }
        self.after_step(index);
        let delay = 80 + self.rng.below(80) as Time;
        self.queue.after(delay, Event::Tick(index, life));
    }

    /// Does what a sentinel wants done, in order; it may crash in between.
    fn after_step(&mut self, index: usize) {
        let Some(machine) = &mut self.sentinels[index].machine else { return };
        let outputs = machine.outputs();
        for output in outputs {
            let may_crash = self.crash_one_in > 0 && self.now() < FAULTS.1 && self.now() > FAULTS.0;
            if may_crash
                && matches!(output, Output::Persist | Output::Event { .. })
                && self.rng.below(self.crash_one_in) == 0
            {
                let node = self.node(index);
                self.last_fault_end = self.last_fault_end.max(self.now() + 500);
                self.crash(node, 500);
                return;
            }
            self.output(index, output);
        }
        let now = self.now();
        if let Some(machine) = &self.sentinels[index].machine {
            self.seen.state(index, machine, now);
        }
    }

    fn output(&mut self, index: usize, output: Output) {
        match output {
            Output::Open { link, ip, port } => self.open(index, link, &ip, port),
            Output::Close { link } => {
                let process = &mut self.sentinels[index];
                if let Some(at) = process.conns.iter().position(|(known, _)| *known == link) {
                    let (_, conn) = process.conns.swap_remove(at);
                    self.net.close(conn);
                    self.forget(conn);
                }
            }
            Output::Send { link, request } => {
                let conn = self.sentinels[index].conns.iter().find(|(known, _)| *known == link);
                if let Some((_, conn)) = conn {
                    self.send(*conn, End::Server, request);
                }
            }
            Output::Persist => {
                let process = &mut self.sentinels[index];
                if let Some(machine) = &process.machine {
                    process.disk = machine.lines();
                }
            }
            Output::Event { name, text, .. } => {
                let quiet = self.is_calm() && self.now() - self.last_fault_end > GRACE;
                if self.trace {
                    println!("{:7} sentinel {index} {name} {text}", self.now());
                }
                let now = self.now();
                if let Some(machine) = &self.sentinels[index].machine {
                    self.seen.event(index, machine, &name, &text, now, quiet);
                }
            }
            Output::Run { .. } | Output::Kill { .. } | Output::Crash => {}
        }
    }

    // The network.

    fn open(&mut self, index: usize, link: LinkId, ip: &str, port: u16) {
        let node = self.node(index);
        let life = self.sentinels[index].life;
        let to = match server_at(ip) {
            Some(server) if port == SERVER_PORT => Some(server),
            _ => {
                let host = ip.strip_prefix("10.0.1.").and_then(|host| host.parse::<usize>().ok());
                host.and_then(|host| host.checked_sub(1)).map(|index| self.node(index))
            }
        };
        let to = to.filter(|to| *to < self.up.len() && self.up[*to] && self.net.reaches(node, *to));
        let delay = self.net.delay(&mut self.rng);
        let Some(to) = to else {
            self.queue.after(delay + 50, Event::ConnectFailed(index, life, link));
            return;
        };
        let conn = self.net.connect(node, to, link);
        self.sentinels[index].conns.push((link, conn));
        self.queue.after(2 * delay, Event::Connected(conn));
    }

    fn connected(&mut self, id: ConnId) {
        let Some(conn) = self.net.conn(id) else { return };
        let (node, link) = (conn.nodes[0], conn.tag);
        if self.paused_until[node] > self.now() {
            self.queue.at(self.paused_until[node], Event::Connected(id));
            return;
        }
        let index = node - self.servers.len();
        let now = now_of(self.now());
        if let Some(machine) = &mut self.sentinels[index].machine {
            machine.connected(now, link, &sentinel_ip(index));
        }
        self.after_step(index);
    }

    fn send(&mut self, conn: ConnId, to: End, bytes: Vec<u8>) {
        let now = self.now();
        if let Some(at) = self.net.send(conn, to, bytes, now, &mut self.rng) {
            self.queue.at(at, Event::Arrive(conn, to));
        }
    }

    fn forget(&mut self, conn: ConnId) {
        for server in &mut self.servers {
            server.hung_up(conn);
        }
        for process in &mut self.sentinels {
            process.parsers.retain(|(known, _)| *known != conn);
        }
    }

    /// A connection ends, and the sentinel at its end is told.
    fn close(&mut self, id: ConnId) {
        let Some(conn) = self.net.close(id) else { return };
        self.forget(id);
        let Some(index) = conn.nodes[0].checked_sub(self.servers.len()) else { return };
        let now = now_of(self.now());
        let process = &mut self.sentinels[index];
        process.conns.retain(|(_, known)| *known != id);
        if let Some(machine) = &mut process.machine {
            machine.disconnected(now, conn.tag);
        }
    }

    fn arrive(&mut self, id: ConnId, end: End) {
        let Some(conn) = self.net.conn(id) else { return };
        let node = conn.nodes[end as usize];
        if self.paused_until[node] > self.now() {
            self.queue.at(self.paused_until[node], Event::Arrive(id, end));
            return;
        }
        let now = self.now();
        match self.net.arrived(id, end, now) {
            Arrival::Nothing => {}
            Arrival::Stalled => {
                let delay = 100 + self.rng.below(200) as Time;
                self.queue.after(delay, Event::Arrive(id, end));
            }
            Arrival::Bytes(bytes) => match end {
                End::Client => self.reply(id, &bytes),
                End::Server => self.request(id, node, &bytes),
            },
        }
    }

    /// Bytes for a sentinel: replies and messages.
    fn reply(&mut self, id: ConnId, bytes: &[u8]) {
        let Some(conn) = self.net.conn(id) else { return };
        let (index, link) = (conn.nodes[0] - self.servers.len(), conn.tag);
        let now = now_of(self.now());
        let mut bytes = bytes;
        let mut parser = ReplyParser::default();
        while !bytes.is_empty() {
            let Ok((taken, Some(value))) = parser.next(bytes) else { break };
            bytes = &bytes[taken..];
            self.note_vote(id, &value);
            if let Some(machine) = &mut self.sentinels[index].machine {
                machine.reply(now, link, &value);
            }
        }
        self.after_step(index);
    }

    /// What another sentinel says of its vote.
    fn note_vote(&mut self, id: ConnId, value: &Value) {
        let Some(conn) = self.net.conn(id) else { return };
        let Some(index) = conn.nodes[1].checked_sub(self.servers.len()) else { return };
        if let Some([down, leader, epoch]) = value.items()
            && let (Some(_), Some(leader), Some(epoch)) =
                (down.integer(), leader.bytes(), epoch.integer())
            && leader != b"*"
        {
            let leader = String::from_utf8_lossy(leader).into_owned();
            let now = self.now();
            self.seen.vote(index, epoch as u64, &leader, now);
        }
    }

    /// Bytes for a server or for a sentinel as a server: one request each.
    fn request(&mut self, id: ConnId, node: NodeId, bytes: &[u8]) {
        let mut parser = ReplyParser::default();
        let Ok((_, Some(Value::Array(items)))) = parser.next(bytes) else { return };
        let args: Vec<Vec<u8>> =
            items.iter().filter_map(|item| item.bytes().map(<[u8]>::to_vec)).collect();
        let mut out = Vec::new();
        if let Some(index) = node.checked_sub(self.servers.len()) {
            self.ask_sentinel(index, &args, &mut out);
            // The reply stands behind what had to be written.
            self.after_step(index);
            if !self.up[node] {
                return;
            }
            self.send(id, End::Client, out);
            return;
        }
        let followers = self.followers(node);
        let now = self.now();
        let effect = self.servers[node].request(id, &args, &followers, now, &mut out);
        self.send(id, End::Client, out);
        match effect {
            Effect::None | Effect::Role => {}
            Effect::Publish(text) => self.publish(node, &text),
            Effect::KillClients => {
                let others: Vec<ConnId> =
                    self.net.of(node).into_iter().filter(|conn| *conn != id).collect();
                others.into_iter().for_each(|conn| self.close(conn));
            }
        }
    }

    fn ask_sentinel(&mut self, index: usize, args: &[Vec<u8>], out: &mut Vec<u8>) {
        let now = now_of(self.now());
        let Some(machine) = &mut self.sentinels[index].machine else { return };
        machine.at(now);
        let mut reply = Reply::new(out, Protocol::Resp2);
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let name = args.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (name.as_slice(), args.as_slice()) {
            (b"sentinel", _) => machine.command(&args, &mut reply),
            (b"publish", [_, channel, text]) => machine.publish(channel, text, &mut reply),
            (b"ping", _) => reply.pong(),
            _ => reply.ok(),
        }
    }

    /// A hello message to whoever listens; sometimes twice, as a message may that comes by two ways.
    fn publish(&mut self, server: usize, text: &[u8]) {
        let mut message = b"*3\r\n$7\r\nmessage\r\n$18\r\n__sentinel__:hello\r\n".to_vec();
        message.extend_from_slice(format!("${}\r\n", text.len()).as_bytes());
        message.extend_from_slice(text);
        message.extend_from_slice(b"\r\n");
        // What a primary hears its replicas hear too.
        let mut servers = vec![server];
        servers.extend(self.followers(server));
        for server in servers {
            let listeners: Vec<ConnId> = self.servers[server].listeners.iter().copied().collect();
            for conn in listeners {
                self.send(conn, End::Client, message.clone());
                if self.rng.below(50) == 0 {
                    self.send(conn, End::Client, message.clone());
                }
            }
        }
    }
}
