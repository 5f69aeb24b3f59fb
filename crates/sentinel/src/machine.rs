//! The state as a whole, and what goes in: time, connections, replies, messages.
//!
//! A caller calls one of the methods, then takes the outputs and does them in order. Time is [`Now`]: intervals are
//! measured by its monotonic clock; the date only serves to notice that the machine was stopped or its clock set.

use std::collections::BTreeMap;

use ochre_base::clock::{Millis, Now};
use ochre_base::rng::Rng;
use ochre_resp::parse::Value;

use crate::addr::{Addr, Host};
use crate::config::Globals;
use crate::link::{Kind, Link, LinkId, Purpose, State, Target, encode};
use crate::mutation::Mutation;
use crate::output::{Level, Output};
use crate::primary::{Failover, Node, Options, Peer, Primary, Replica, Role, Step};
use crate::scripts::{self, Ending, Scripts};
use crate::{HELLO_CHANNEL, election, failover, health, hello, info, schedule};

/// The periods of everything, in milliseconds (SENTINEL DEBUG).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// INFO to each server.
    pub info_period: Millis,
    /// PING to everyone.
    pub ping_period: Millis,
    /// Asking others whether a primary is down.
    pub ask_period: Millis,
    /// Hello messages.
    pub publish_period: Millis,
    /// `down-after-milliseconds` of new primaries.
    pub default_down_after: Millis,
    /// `failover-timeout` of new primaries.
    pub default_failover_timeout: Millis,
    /// Time between two looks after which tilt mode begins.
    pub tilt_trigger: Millis,
    /// How long tilt mode lasts.
    pub tilt_period: Millis,
    /// How long a replica may take to follow a promoted one.
    pub replica_reconf_timeout: Millis,
    /// How often a link is made anew at most.
    pub min_link_reconnect_period: Millis,
    /// How long a sentinel waits to be elected at most.
    pub election_timeout: Millis,
    /// How long a script may run.
    pub script_max_runtime: Millis,
    /// How long until a script is tried again, at first.
    pub script_retry_delay: Millis,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            info_period: 10_000,
            ping_period: 1000,
            ask_period: 1000,
            publish_period: 2000,
            default_down_after: 30_000,
            default_failover_timeout: 180_000,
            tilt_trigger: 2000,
            tilt_period: 30_000,
            replica_reconf_timeout: 10_000,
            min_link_reconnect_period: 15_000,
            election_timeout: 10_000,
            script_max_runtime: 60_000,
            script_retry_delay: 30_000,
        }
    }
}

/// Where the process is to end by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Simulated {
    /// After being elected.
    pub after_election: bool,
    /// After a replica was promoted.
    pub after_promotion: bool,
}

/// Everything but the primaries: what the parts of the machine share.
pub(crate) struct Core {
    pub(crate) now: Millis,
    pub(crate) rng: Rng,
    pub(crate) host: Box<dyn Host>,
    pub(crate) globals: Globals,
    pub(crate) timing: Timing,
    pub(crate) current_epoch: u64,
    pub(crate) links: BTreeMap<LinkId, Link>,
    /// The links to other sentinels by run id.
    shared: BTreeMap<String, LinkId>,
    next_link: LinkId,
    pub(crate) scripts: Scripts,
    pub(crate) simulated: Simulated,
    pub(crate) tilt_since: Option<Millis>,
    last_tick: Option<Now>,
    pub(crate) out: Vec<Output>,
    pub(crate) mutation: Option<Mutation>,
}

impl Core {
    pub(crate) fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Tells of something; warnings also run the script, when there is one.
    pub(crate) fn event(
        &mut self,
        level: Level,
        name: &str,
        text: String,
        script: Option<&String>,
    ) {
        if level >= Level::Warning
            && let Some(path) = script
        {
            self.scripts.schedule(vec![path.clone(), name.to_owned(), text.clone()]);
        }
        self.out.push(Output::Event { level, name: name.to_owned(), text });
    }

    pub(crate) fn persist(&mut self) {
        self.out.push(Output::Persist);
    }

    /// Takes a greater epoch over.
    pub(crate) fn raise_epoch(&mut self, epoch: u64) {
        self.current_epoch = epoch;
        self.persist();
        self.event(Level::Warning, "+new-epoch", epoch.to_string(), None);
    }

    pub(crate) fn add_link(&mut self, kind: Kind, target: Target, addr: &Addr) -> LinkId {
        self.next_link += 1;
        self.links.insert(self.next_link, Link::new(kind, target, addr.clone(), self.now));
        self.next_link
    }

    /// The link to another sentinel: one for all primaries.
    fn share_link(&mut self, primary: &str, run_id: &str, addr: &Addr) -> LinkId {
        if let Some(id) = self.shared.get(run_id)
            && let Some(link) = self.links.get_mut(id)
            && link.addr.is_same(addr)
        {
            link.users += 1;
            return *id;
        }
        let target = Target::Sentinel(primary.to_owned(), run_id.to_owned());
        let id = self.add_link(Kind::Command, target, addr);
        self.shared.insert(run_id.to_owned(), id);
        id
    }

    /// Somebody does not use a link any more.
    pub(crate) fn release_link(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else { return };
        link.users = link.users.saturating_sub(1);
        if link.users > 0 {
            return;
        }
        if link.state != State::Closed {
            self.out.push(Output::Close { link: id });
        }
        self.links.remove(&id);
        self.shared.retain(|_, shared| *shared != id);
    }

    pub(crate) fn release_node(&mut self, node: &Node) {
        self.release_link(node.link);
        if let Some(id) = node.subscription {
            self.release_link(id);
        }
    }

    /// Closes a link; it will be opened again.
    pub(crate) fn cut(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(&id)
            && link.state != State::Closed
        {
            link.lose();
            self.out.push(Output::Close { link: id });
        }
    }

    /// Sends a request; false when the link is not open or too much is under way.
    pub(crate) fn send<A: AsRef<[u8]>>(
        &mut self,
        id: LinkId,
        purpose: Purpose,
        args: &[A],
    ) -> bool {
        let Some(link) = self.links.get_mut(&id) else { return false };
        if !link.is_open() || !link.has_room() {
            return false;
        }
        link.pending.push_back(purpose);
        self.out.push(Output::Send { link: id, request: encode(args) });
        true
    }

    pub(crate) fn is_open(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(Link::is_open)
    }

    /// A random delay, to keep sentinels from acting at the same moment.
    pub(crate) fn desync(&mut self) -> Millis {
        self.rng.below(1000) as Millis
    }

    /// A new primary, with its links.
    pub(crate) fn make_primary(&mut self, name: &str, addr: Addr, options: Options) -> Primary {
        let mut node = Node::new(addr, Role::Primary, self.now);
        self.give_links(&mut node, |kind| (kind, Target::Primary(name.to_owned())));
        Primary {
            name: name.to_owned(),
            node,
            options,
            config_epoch: 0,
            odown_since: None,
            replicas: BTreeMap::new(),
            sentinels: BTreeMap::new(),
            leader: String::new(),
            leader_epoch: 0,
            failover: Failover {
                step: Step::None,
                step_at: self.now,
                epoch: 0,
                started_at: None,
                cause: crate::primary::Cause::Down,
                promoted: None,
                delay_logged: None,
            },
            rebooted_at: None,
        }
    }

    fn give_links(&mut self, node: &mut Node, target: impl Fn(Kind) -> (Kind, Target)) {
        let addr = node.addr.clone();
        for kind in [Kind::Command, Kind::Subscription] {
            let (kind, target) = target(kind);
            let id = self.add_link(kind, target, &addr);
            match kind {
                Kind::Command => node.link = id,
                Kind::Subscription => node.subscription = Some(id),
            }
        }
    }

    /// Adds a replica unless it is known, is the primary itself, or there are too many; true when it is new.
    pub(crate) fn add_replica(&mut self, primary: &mut Primary, addr: &Addr) -> bool {
        let key = addr.key();
        if primary.replicas.len() >= crate::INSTANCES_MAX
            || primary.replicas.contains_key(&key)
            || primary.node.addr.is_same(addr)
        {
            return false;
        }
        let mut replica = Replica::new(addr.clone(), self.now);
        let name = primary.name.clone();
        self.give_links(&mut replica.node, |kind| {
            (kind, Target::Replica(name.clone(), key.clone()))
        });
        primary.replicas.insert(key, replica);
        true
    }

    /// Adds a sentinel; true when it is new.
    pub(crate) fn add_peer(&mut self, primary: &mut Primary, run_id: &str, addr: &Addr) -> bool {
        if primary.sentinels.len() >= crate::INSTANCES_MAX || primary.sentinels.contains_key(run_id)
        {
            return false;
        }
        let mut node = Node::new(addr.clone(), Role::Primary, self.now);
        node.run_id = run_id.to_owned();
        node.link = self.share_link(&primary.name, run_id, addr);
        let peer = Peer {
            node,
            hello_at: self.now,
            says_down: false,
            answered_at: self.now,
            asked_at: None,
            leader: String::new(),
            leader_epoch: 0,
        };
        primary.sentinels.insert(run_id.to_owned(), peer);
        true
    }

    /// Forgets replicas and the failover of a primary, and makes its own links anew; its sentinels stay when `keep`
    /// says so.
    pub(crate) fn reset_primary(&mut self, primary: &mut Primary, keep: KeepPeers) {
        for replica in std::mem::take(&mut primary.replicas).values() {
            self.release_node(&replica.node);
        }
        if keep == KeepPeers::No {
            for peer in std::mem::take(&mut primary.sentinels).values() {
                self.release_node(&peer.node);
            }
        }
        self.release_node(&primary.node);
        let fresh =
            self.make_primary(&primary.name, primary.node.addr.clone(), primary.options.clone());
        primary.node = fresh.node;
        primary.failover = Failover { epoch: primary.failover.epoch, ..fresh.failover };
        primary.odown_since = None;
        primary.rebooted_at = None;
        primary.leader.clear();
        let text = self.describe_primary(primary);
        let script = primary.options.notification_script.clone();
        self.event(Level::Warning, "+reset-master", text, script.as_ref());
    }

    /// The primary is elsewhere: all replicas but the new primary are kept, and the old primary becomes one of them.
    pub(crate) fn move_primary(&mut self, primary: &mut Primary, addr: Addr) {
        let old = primary.node.addr.clone();
        let mut replicas: Vec<Addr> =
            primary.replicas.values().map(|replica| replica.node.addr.clone()).collect();
        if !old.is_same(&addr) {
            replicas.push(old);
        }
        primary.node.addr = addr;
        for peer in primary.sentinels.values_mut() {
            // What they said was about the old place.
            peer.says_down = false;
        }
        self.reset_quietly(primary);
        for replica in replicas {
            if self.add_replica(primary, &replica) {
                let text = self.describe_replica(primary, &replica.key());
                self.event(Level::Notice, "+slave", text, None);
            }
        }
        self.persist();
    }

    /// A reset that nothing is told of: the switch has been.
    fn reset_quietly(&mut self, primary: &mut Primary) {
        let before = self.out.len();
        let leader = std::mem::take(&mut primary.leader);
        self.reset_primary(primary, KeepPeers::Yes);
        primary.leader = leader;
        let told = |output: &Output| matches!(output, Output::Event { name, .. } if name == "+reset-master");
        if let Some(at) = self.out[before..].iter().position(told) {
            self.out.remove(before + at);
        }
    }

    pub(crate) fn describe_primary(&self, primary: &Primary) -> String {
        let addr = &primary.node.addr;
        format!("master {} {} {}", primary.name, self.shown(addr), addr.port)
    }

    pub(crate) fn describe_replica(&self, primary: &Primary, key: &str) -> String {
        match primary.replicas.get(key) {
            Some(replica) => self.describe(primary, "slave", None, &replica.node.addr),
            None => format!("slave {key}"),
        }
    }

    pub(crate) fn describe_peer(&self, primary: &Primary, run_id: &str) -> String {
        match primary.sentinels.get(run_id) {
            Some(peer) => self.describe(primary, "sentinel", Some(run_id), &peer.node.addr),
            None => format!("sentinel {run_id}"),
        }
    }

    fn describe(&self, primary: &Primary, kind: &str, id: Option<&str>, addr: &Addr) -> String {
        let host = self.shown(addr);
        let id = id.map_or_else(|| format!("{host}:{}", addr.port), str::to_owned);
        let (at, to) = (self.shown(&primary.node.addr), primary.node.addr.port);
        format!("{kind} {id} {host} {} @ {} {at} {to}", addr.port, primary.name)
    }

    /// How an address is shown to others.
    pub(crate) fn shown<'a>(&self, addr: &'a Addr) -> &'a str {
        addr.shown(self.globals.announce_hostnames)
    }

    /// An address out of what another instance or an operator says.
    pub(crate) fn addr(&mut self, host: &str, port: u16) -> Option<Addr> {
        if host.len() > crate::TEXT_MAX {
            return None;
        }
        match self.globals.resolve_hostnames {
            true => Addr::new(host, port, Some(&mut *self.host)),
            false => Addr::new(host, port, None),
        }
    }
}

/// Whether a reset keeps the other sentinels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeepPeers {
    Yes,
    No,
}

/// A sentinel.
pub struct Sentinel {
    pub(crate) core: Core,
    pub(crate) primaries: BTreeMap<String, Primary>,
}

impl std::fmt::Debug for Sentinel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sentinel")
            .field("globals", &self.core.globals)
            .field("current_epoch", &self.core.current_epoch)
            .field("primaries", &self.primaries)
            .finish_non_exhaustive()
    }
}

fn millis(now: &Now) -> Millis {
    (now.mono_us / 1000) as Millis
}

impl Sentinel {
    /// A sentinel that watches nothing yet. `globals.myid` must be set.
    pub fn new(globals: Globals, host: Box<dyn Host>, seed: u64, now: Now) -> Self {
        let core = Core {
            now: millis(&now),
            rng: Rng::new(seed),
            host,
            globals,
            timing: Timing::default(),
            current_epoch: 0,
            links: BTreeMap::new(),
            shared: BTreeMap::new(),
            next_link: 0,
            scripts: Scripts::default(),
            simulated: Simulated::default(),
            tilt_since: None,
            last_tick: None,
            out: Vec::new(),
            mutation: None,
        };
        Self { core, primaries: BTreeMap::new() }
    }

    /// Plants a bug: for the test of the simulator.
    pub fn plant(&mut self, mutation: Option<Mutation>) {
        self.core.mutation = mutation;
    }

    /// What is to be done since the last time, in order.
    pub fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.core.out)
    }

    /// The periods, to change them before the start.
    pub fn timing_mut(&mut self) -> &mut Timing {
        &mut self.core.timing
    }

    /// What is not of one primary.
    pub fn globals(&self) -> &Globals {
        &self.core.globals
    }

    /// The same, to set what the process knows: its port, its password.
    pub fn globals_mut(&mut self) -> &mut Globals {
        &mut self.core.globals
    }

    /// The greatest epoch that was heard of.
    pub fn current_epoch(&self) -> u64 {
        self.core.current_epoch
    }

    /// The primaries by name.
    pub fn primaries(&self) -> &BTreeMap<String, Primary> {
        &self.primaries
    }

    /// The scripts that wait or run.
    pub fn scripts(&self) -> &Scripts {
        &self.core.scripts
    }

    /// Since when tilt mode lasts, in milliseconds; none when it does not.
    pub fn tilt_ms(&self) -> Option<Millis> {
        self.core.tilt_since.map(|since| self.core.now - since)
    }

    /// Takes the time over without acting on it: before a command.
    pub fn at(&mut self, now: Now) {
        self.core.now = millis(&now).max(self.core.now);
    }

    /// Tells of all primaries, as at the start.
    pub fn announce_start(&mut self) {
        for primary in self.primaries.values() {
            let quorum = primary.options.quorum;
            let text = format!("{} quorum {quorum}", self.core.describe_primary(primary));
            let script = primary.options.notification_script.clone();
            self.core.event(Level::Warning, "+monitor", text, script.as_ref());
        }
    }

    /// Does what is due. Gives the milliseconds until the next call, which are random so that sentinels started
    /// together do not stay in step.
    pub fn tick(&mut self, now: Now) -> Millis {
        self.at(now);
        let last = self.core.last_tick.replace(now);
        health::check_tilt(&mut self.core, last, now);
        for primary in self.primaries.values_mut() {
            schedule::run(&mut self.core, primary);
            if self.core.tilt_since.is_some() {
                continue;
            }
            health::check(&mut self.core, primary);
            failover::run(&mut self.core, primary);
        }
        scripts::tick(&mut self.core);
        50 + self.core.rng.below(50) as Millis
    }

    /// A link is open; `local_ip` is its own end's address, which others may be told.
    pub fn connected(&mut self, now: Now, id: LinkId, local_ip: &str) {
        self.at(now);
        if let Some(link) = self.core.links.get_mut(&id) {
            local_ip.clone_into(&mut link.local_ip);
        }
        schedule::greet(&mut self.core, &self.primaries, id);
    }

    /// A link has gone, or could not be opened.
    pub fn disconnected(&mut self, now: Now, id: LinkId) {
        self.at(now);
        let now = self.core.now;
        if let Some(link) = self.core.links.get_mut(&id) {
            link.lose();
            // Silent from here on, not since the last answer: a short restart is no failure.
            link.unanswered_since.get_or_insert(now);
        }
    }

    /// The next reply on a command link, or anything on a subscription.
    pub fn reply(&mut self, now: Now, id: LinkId, value: &Value) {
        self.at(now);
        let core = &mut self.core;
        let Some(link) = core.links.get_mut(&id) else { return };
        if link.kind == Kind::Subscription {
            link.activity_at = core.now;
            if let Some(text) = published(value) {
                hello::receive(core, &mut self.primaries, text);
            }
            return;
        }
        let Some(purpose) = link.pending.pop_front() else { return };
        match purpose {
            Purpose::Ping => schedule::ponged(core, &mut self.primaries, id, value),
            Purpose::Info => {
                if let Some(text) = value.bytes() {
                    let target = link.target.clone();
                    info::received(core, &mut self.primaries, &target, text);
                }
            }
            Purpose::Ask(name, run_id) => {
                if let Some(primary) = self.primaries.get_mut(&name) {
                    election::answered(core, primary, &run_id, value);
                }
            }
            Purpose::Coordinate(name) => {
                if let (Some(error), Some(primary)) = (value.error(), self.primaries.get_mut(&name))
                {
                    failover::refused(core, primary, &String::from_utf8_lossy(error));
                }
            }
            Purpose::Hello | Purpose::Other => {}
        }
    }

    /// A script runs, as this process.
    pub fn script_started(&mut self, job: u64, pid: u32) {
        self.core.scripts.started(job, pid);
    }

    /// A script has ended.
    pub fn script_ended(&mut self, now: Now, job: u64, ending: Ending) {
        self.at(now);
        scripts::ended(&mut self.core, job, ending);
    }
}

/// The text of a hello message.
fn published(value: &Value) -> Option<&str> {
    match value.items()? {
        [kind, channel, text]
            if kind.bytes() == Some(b"message")
                && channel.bytes() == Some(HELLO_CHANNEL.as_bytes()) =>
        {
            std::str::from_utf8(text.bytes()?).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
