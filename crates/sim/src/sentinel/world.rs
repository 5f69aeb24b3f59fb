//! The world: who is there, and what happens next.
//!
//! - [`chaos`]: what faults and operators do;
//! - [`wire`]: connections, requests and replies;
//! - [`data`]: the servers' data;
//! - [`choice`]: whether the replica that is chosen is the right one;
//! - [`agreement`]: whether all agree.

mod agreement;
mod chaos;
mod choice;
mod data;
mod wire;

use ochre_base::clock::Now;
use ochre_base::rng::Rng;
use ochre_sentinel::{LinkId, Mutation, Output, Sentinel};

use super::Outcome;
use super::invariants::Seen;
use super::scenario::{FAULTS, Scenario};
use super::server::{SERVER_PORT, Server, server_at, server_ip};
use crate::faults::Fault;
use crate::net::{ConnId, End, Net, Weather};
use crate::queue::Queue;
use crate::{NodeId, Time};

/// How long after the last fault nobody may be taken for down any more: stuck links are found and made anew.
const GRACE: Time = 12_000;
/// How long after the last fault all must agree.
const SETTLE: Time = 90_000;
/// How long they must go on agreeing.
const STABLE: Time = 5000;
/// One vote in so many is followed by a crash, in histories with such crashes.
const VOTE_CRASH_ONE_IN: u64 = 4;
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
    Join(usize),
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
}

/// See the module's head.
pub(super) struct World {
    rng: Rng,
    queue: Queue<Event>,
    net: Net,
    scenario: Scenario,
    servers: Vec<Server>,
    sentinels: Vec<Process>,
    /// By node: servers first, then sentinels.
    up: Vec<bool>,
    paused_until: Vec<Time>,
    partition: u64,
    storm: u64,
    last_fault_end: Time,
    /// Until when a primary is isolated on purpose.
    isolated_until: Time,
    /// Nothing goes wrong in this history at all.
    is_faultless: bool,
    mutation: Option<Mutation>,
    seen: Seen,
    /// Numbers of the primaries' times, given out so far.
    terms: u64,
    /// The newest confirmed write of each time as primary.
    confirmed: Vec<(u64, u64)>,
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
        let scenario = Scenario::draw(&mut rng);
        let nodes = scenario.priorities.len() + scenario.sentinels;
        let mut world = Self {
            queue: Queue::default(),
            net: Net::new(nodes),
            servers: Vec::new(),
            sentinels: Vec::new(),
            up: vec![true; nodes],
            paused_until: vec![0; nodes],
            partition: 0,
            storm: 0,
            last_fault_end: 0,
            isolated_until: 0,
            is_faultless: scenario.faults.is_empty() && scenario.crash_one_in == 0,
            mutation,
            seen: Seen::default(),
            terms: 0,
            confirmed: Vec::new(),
            agreed_since: None,
            steps: 0,
            fingerprint: seed,
            trace,
            scenario,
            rng,
        };
        if trace {
            println!("{:?}", world.scenario);
        }
        for (index, priority) in world.scenario.priorities.iter().enumerate() {
            let first = world.scenario.groups[world.scenario.group_of(index)].servers.start;
            let follows = (index > first).then_some(first);
            world.servers.push(Server::new(follows, *priority, &mut world.rng));
        }
        world.add_sentinels();
        for (at, fault) in std::mem::take(&mut world.scenario.faults) {
            world.last_fault_end = world.last_fault_end.max(at + fault.lasts());
            world.queue.at(at, Event::Begin(fault));
        }
        world.queue.at(0, Event::Servers);
        world
    }

    /// All but one that joins later know one another from an earlier life: a majority of those known must be one of all.
    fn add_sentinels(&mut self) {
        let count = self.scenario.sentinels;
        let first = count - usize::from(self.scenario.joins_at.is_some());
        for index in 0..count {
            let mut disk = Vec::new();
            for group in &self.scenario.groups {
                let (name, ip, quorum) =
                    (group.name, server_ip(group.servers.start), self.scenario.quorum);
                disk.push(format!("monitor {name} {ip} {SERVER_PORT} {quorum}"));
                disk.push(format!("down-after-milliseconds {name} 2000"));
                disk.push(format!("failover-timeout {name} 5000"));
                for other in (0..first).filter(|other| *other != index && index < first) {
                    let (run_id, ip) = (format!("{other:x}").repeat(40), sentinel_ip(other));
                    disk.push(format!("known-sentinel {name} {ip} 26379 {run_id}"));
                }
            }
            let words = |line: &String| line.split(' ').map(str::to_owned).collect();
            self.sentinels.push(Process {
                machine: None,
                disk: disk.iter().map(words).collect(),
                myid: format!("{index:x}").repeat(40),
                life: 0,
                conns: Vec::new(),
            });
        }
        for index in 0..first {
            self.start_sentinel(index);
        }
        if let Some(at) = self.scenario.joins_at {
            let node = self.node(first);
            self.up[node] = false;
            self.last_fault_end = at;
            self.queue.at(at, Event::Join(first));
        }
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
            asked: self.seen.asked,
            confirmed: self.seen.confirmed,
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
            Event::Join(index) => {
                let node = self.node(index);
                self.restart(node);
            }
            Event::Heal(number) if number == self.partition => self.net.heal(),
            Event::Calm(number) if number == self.storm => self.net.weather = Weather::fair(),
            Event::Heal(_) | Event::Calm(_) => {}
        }
        false
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

    /// Whether an event is about a primary that is none: one that handed over to a replica of which no sentinel has heard
    /// yet that it was promoted, which takes another failover.
    fn has_cause(&self, event: &str) -> bool {
        let mut words = event.split(' ');
        let server = match (words.next(), words.nth(1)) {
            (Some("master"), Some(ip)) => server_at(ip).and_then(|at| self.servers.get(at)),
            _ => None,
        };
        server.is_some_and(|server| server.follows.is_some())
    }

    /// Whether processes end by themselves at this time of this history.
    fn may_crash(&self) -> bool {
        self.scenario.crash_one_in > 0 && self.now() < FAULTS.1 && self.now() > FAULTS.0
    }

    /// A sentinel ends soon after it has told of its vote, and is back while others still want it.
    fn fail_after_vote(&mut self, index: usize) {
        if self.may_crash() && self.rng.below(VOTE_CRASH_ONE_IN) == 0 {
            let (delay, for_ms) =
                (5 + self.rng.below(80) as Time, 20 + self.rng.below(200) as Time);
            self.last_fault_end = self.last_fault_end.max(self.now() + delay + for_ms);
            let fault = Fault::Crash(self.node(index), for_ms);
            self.queue.after(delay, Event::Begin(fault));
        }
    }

    /// Does what a sentinel wants done, in order; it may crash in between.
    fn after_step(&mut self, index: usize) {
        let Some(machine) = &mut self.sentinels[index].machine else { return };
        let outputs = machine.outputs();
        for output in outputs {
            if self.may_crash()
                && matches!(output, Output::Persist | Output::Event { .. })
                && self.rng.below(self.scenario.crash_one_in) == 0
            {
                self.last_fault_end = self.last_fault_end.max(self.now() + 500);
                let node = self.node(index);
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
                let quiet = (self.is_faultless
                    || (self.is_calm() && self.now() - self.last_fault_end > GRACE))
                    && !self.has_cause(&text);
                if self.trace {
                    println!("{:7} sentinel {index} {name} {text}", self.now());
                }
                match name.as_str() {
                    "+selected-slave" => self.check_choice(index, &text),
                    "+vote-for-leader" => self.fail_after_vote(index),
                    _ => {}
                }
                let now = self.now();
                if let Some(machine) = &self.sentinels[index].machine {
                    self.seen.event(index, machine, &name, &text, now, quiet);
                }
            }
            Output::Run { .. } | Output::Kill { .. } | Output::Crash => {}
        }
    }
}
