//! What faults and operators do.

use ochre_base::rng::Rng;
use ochre_resp::{Protocol, Reply};
use ochre_sentinel::Sentinel;
use ochre_sentinel::addr::NoNames;
use ochre_sentinel::config::Globals;

use super::{Event, World, now_of};
use crate::faults::Fault;
use crate::sentinel::server::{SERVER_PORT, server_ip};
use crate::{NodeId, Time};

impl World {
    pub(super) fn begin(&mut self, fault: Fault) {
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
            Fault::Special(number) if self.scenario.promises => self.isolate(number),
            Fault::Special(number) => self.operate(number),
        }
    }

    /// An operator does something, right or wrong.
    fn operate(&mut self, number: u64) {
        let mut rng = Rng::new(number);
        let group = rng.below(self.scenario.groups.len() as u64) as usize;
        let servers = self.scenario.groups[group].servers.clone();
        let server = servers.start + rng.below(servers.len() as u64) as usize;
        let sentinel = rng.below(self.sentinels.len() as u64) as usize;
        match rng.below(5) {
            0..=1 => self.lead_astray(group, server),
            2 => self.order(sentinel, group, &["FAILOVER"]),
            3 if self.scenario.resets => {
                // One that nobody knows any more could not be led back.
                let known = |server| self.is_known(group, server, Some(sentinel));
                let mut servers = servers;
                if servers.all(known) {
                    self.scenario.resets = false;
                    self.order(sentinel, group, &["RESET"]);
                }
            }
            _ => self.order(sentinel, group, &["FAILOVER", "COORDINATED"]),
        }
    }

    /// A replica is told to follow nobody.
    fn lead_astray(&mut self, group: usize, server: usize) {
        let follows = self.servers[server].follows.is_some();
        if self.up[server] && follows && self.is_known(group, server, None) {
            let now = self.now();
            let args = [b"slaveof".to_vec(), b"no".to_vec(), b"one".to_vec()];
            self.servers[server].request(0, &args, &[], now, &mut Vec::new());
        }
    }

    /// Whether a sentinel that runs, other than one, has heard of a server.
    fn is_known(&self, group: usize, server: usize, other_than: Option<usize>) -> bool {
        let (name, key) =
            (self.scenario.groups[group].name, format!("{}:{SERVER_PORT}", server_ip(server)));
        self.sentinels.iter().enumerate().any(|(index, process)| {
            let primary = process.machine.as_ref().and_then(|one| one.primaries().get(name));
            let knows = primary.is_some_and(|primary| {
                primary.replicas.contains_key(&key) || primary.node.addr.key() == key
            });
            knows && Some(index) != other_than
        })
    }

    /// A sentinel gets a command about a primary, if it runs: `words` with the name behind the first.
    fn order(&mut self, sentinel: usize, group: usize, words: &[&str]) {
        let name = self.scenario.groups[group].name;
        if !self.is_awake(self.node(sentinel)) {
            return;
        }
        let now = now_of(self.now());
        let Some(machine) = &mut self.sentinels[sentinel].machine else { return };
        machine.at(now);
        let mut args: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        args.insert(1, name.as_bytes());
        args.insert(0, b"SENTINEL");
        let mut out = Vec::new();
        machine.command(&args, &mut Reply::new(&mut out, Protocol::Resp2));
        if self.trace {
            let reply = String::from_utf8_lossy(&out).trim().to_owned();
            println!("{:7} sentinel {sentinel} {words:?} {name}: {reply}", self.queue.now());
        }
        if words[0] == "FAILOVER" && out.starts_with(b"+OK") {
            let epoch = machine.primaries().get(name).map_or(0, |one| one.failover.epoch);
            self.seen.forced(name, epoch);
        }
        // Its effects take some time.
        self.last_fault_end = self.last_fault_end.max(self.now() + 6000);
        self.after_step(sentinel);
    }

    /// The primary is lost for less or more time than is needed to replace it, or hands over, and not before all follow it.
    fn isolate(&mut self, number: u64) {
        let mut rng = Rng::new(number);
        let mut servers = self.scenario.groups[0].servers.clone();
        let primary = servers.find(|at| self.servers[*at].follows.is_none());
        let Some(primary) = primary.filter(|_| self.agreement().is_ok()) else { return };
        let for_ms =
            if rng.below(4) == 0 { 100 + rng.below(700) } else { 9000 + rng.below(3000) } as Time;
        let end = self.now() + for_ms;
        self.last_fault_end = self.last_fault_end.max(end);
        self.isolated_until = end + 1000;
        match rng.below(4) {
            0 => self.begin(Fault::Crash(primary, for_ms)),
            1 => self.begin(Fault::Pause(primary, for_ms)),
            2 => {
                let side = |node| u8::from(node == primary);
                let sides = (0..self.up.len()).map(side).collect();
                self.begin(Fault::Divide(sides, for_ms));
            }
            _ => {
                let sentinel = rng.below(self.sentinels.len() as u64) as usize;
                self.order(sentinel, 0, &["FAILOVER", "COORDINATED"]);
            }
        }
    }

    pub(super) fn crash(&mut self, node: NodeId, for_ms: Time) {
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
        }
        self.queue.after(for_ms, Event::Restart(node));
    }

    pub(super) fn restart(&mut self, node: NodeId) {
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

    pub(super) fn start_sentinel(&mut self, index: usize) {
        let now = now_of(self.now());
        let seed = self.rng.next_u64();
        let process = &mut self.sentinels[index];
        let globals = Globals::new(process.myid.clone(), 26379);
        let mut machine = Sentinel::new(globals, Box::new(NoNames), seed, now);
        machine.plant(self.mutation);
        let timing = machine.timing_mut();
        // With promises an INFO of a healthy server is older than the news that it is down.
        timing.info_period = if self.scenario.promises { 8000 } else { 2000 };
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
            self.seen.broken("V5", self.queue.now(), what);
            return;
        }
        process.machine = Some(machine);
        process.life += 1;
        let life = process.life;
        let delay = self.rng.below(100) as Time;
        self.queue.after(delay, Event::Tick(index, life));
        self.after_step(index);
    }
}
