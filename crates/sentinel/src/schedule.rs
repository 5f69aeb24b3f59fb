//! What is sent when: links made anew, PING, INFO, hello messages.

use std::collections::BTreeMap;

use ochre_base::clock::Millis;
use ochre_resp::parse::Value;

use crate::HELLO_CHANNEL;
use crate::hello;
use crate::link::{Kind, LinkId, Purpose, State, Target};
use crate::machine::Core;
use crate::output::{Level, Output};
use crate::primary::{Node, Options, Primary};

/// What a node is to its primary.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Primary,
    Replica,
    Sentinel,
}

/// INFO this often when something is going on.
const INFO_PERIOD_BUSY: Millis = 1000;

/// All that is due for one primary and its instances.
pub(crate) fn run(core: &mut Core, primary: &mut Primary) {
    let addr = primary.current_addr().clone();
    let hello = hello::Text { primary: &primary.name, addr: &addr, epoch: primary.config_epoch };
    let busy = primary.node.is_down() || primary.odown_since.is_some() || primary.is_failing_over();
    let rounds = Round { options: &primary.options, hello, busy };
    rounds.node(core, &mut primary.node, Part::Primary, false);
    for replica in primary.replicas.values_mut() {
        let lags = replica.node.info_at.is_some() && !replica.link_up;
        rounds.node(core, &mut replica.node, Part::Replica, lags);
    }
    for peer in primary.sentinels.values_mut() {
        rounds.node(core, &mut peer.node, Part::Sentinel, false);
    }
}

struct Round<'a> {
    options: &'a Options,
    hello: hello::Text<'a>,
    busy: bool,
}

impl Round<'_> {
    fn node(&self, core: &mut Core, node: &mut Node, part: Part, lags: bool) {
        check_link(core, node.link, self.options.down_after);
        reopen(core, node.link);
        if let Some(id) = node.subscription {
            check_subscription(core, id);
            reopen(core, id);
        }
        let now = core.now;
        if !core.is_open(node.link) {
            return;
        }
        if part != Part::Sentinel {
            self.ask_info(core, node, part == Part::Replica && (self.busy || lags));
        }
        ping(core, node.link, self.options);
        if now - node.hello_sent_at > core.timing.publish_period {
            let text = self.hello.encode(core, node.link);
            let name = renamed(self.options, part, "publish");
            if core.send(node.link, Purpose::Hello, &[&*name, HELLO_CHANNEL, &text]) {
                node.hello_sent_at = now;
            }
        }
    }

    fn ask_info(&self, core: &mut Core, node: &mut Node, often: bool) {
        let period = match often {
            true => INFO_PERIOD_BUSY.min(core.timing.info_period),
            false => core.timing.info_period,
        };
        let due = |at: Option<Millis>, period| at.is_none_or(|at| core.now - at > period);
        if due(node.info_at, period) && due(node.info_sent_at, period.min(INFO_PERIOD_BUSY)) {
            let name = renamed(self.options, Part::Primary, "info");
            if core.send(node.link, Purpose::Info, &[&*name]) {
                node.info_sent_at = Some(core.now);
            }
        }
    }
}

/// How a command is called at the servers of a primary.
fn renamed(options: &Options, part: Part, name: &str) -> String {
    match part {
        Part::Sentinel => name.to_ascii_uppercase(),
        _ => server_command(options, name),
    }
}

/// How a command is called at the servers of a primary.
pub(crate) fn server_command(options: &Options, name: &str) -> String {
    options.renames.get(name).cloned().unwrap_or_else(|| name.to_ascii_uppercase())
}

fn ping(core: &mut Core, id: LinkId, options: &Options) {
    let now = core.now;
    let period = core.timing.ping_period.min(options.down_after);
    let Some(link) = core.links.get(&id) else { return };
    if now - link.pong_at <= period || now - link.ping_at <= period / 2 {
        return;
    }
    let name = match link.target {
        Target::Sentinel(..) => "PING".to_owned(),
        _ => server_command(options, "ping"),
    };
    if core.send(id, Purpose::Ping, &[name])
        && let Some(link) = core.links.get_mut(&id)
    {
        link.ping_at = now;
        link.unanswered_since.get_or_insert(now);
    }
}

/// A link that was answered by nobody for half the time after which its server counts as down is made anew.
fn check_link(core: &mut Core, id: LinkId, down_after: Millis) {
    let now = core.now;
    let reconnect = core.timing.min_link_reconnect_period;
    let is_stuck = core.links.get(&id).is_some_and(|link| {
        link.state != State::Closed
            && now - link.opened_at > reconnect
            && link.unanswered_since.is_some_and(|since| now - since > down_after / 2)
            && now - link.pong_at > down_after / 2
    });
    if is_stuck {
        core.cut(id);
    }
}

/// Hello messages come all the time, at least those of this sentinel.
fn check_subscription(core: &mut Core, id: LinkId) {
    let now = core.now;
    let (reconnect, publish) = (core.timing.min_link_reconnect_period, core.timing.publish_period);
    let is_silent = core.links.get(&id).is_some_and(|link| {
        link.state != State::Closed
            && now - link.opened_at > reconnect
            && now - link.activity_at > publish * 3
    });
    if is_silent {
        core.cut(id);
    }
}

/// Opens a link that is closed, at most once in a ping period.
fn reopen(core: &mut Core, id: LinkId) {
    let (now, period) = (core.now, core.timing.ping_period);
    let Some(link) = core.links.get_mut(&id) else { return };
    let is_due = link.tried_at.is_none_or(|at| now - at >= period);
    if link.state != State::Closed || !is_due || link.addr.port == 0 {
        return;
    }
    link.tried_at = Some(now);
    if link.addr.host != link.addr.ip && core.globals.resolve_hostnames {
        // The name may have moved.
        if let Some(ip) = core.host.resolve(&link.addr.host) {
            link.addr.ip = ip.to_string();
        }
    }
    if link.addr.ip.is_empty() {
        return;
    }
    link.state = State::Connecting;
    link.opened_at = now;
    link.activity_at = now;
    let (ip, port) = (link.addr.ip.clone(), link.addr.port);
    core.out.push(Output::Open { link: id, ip, port });
}

/// What goes over a new link first: who this is, and what it listens to.
pub(crate) fn greet(core: &mut Core, primaries: &BTreeMap<String, Primary>, id: LinkId) {
    let now = core.now;
    let Some(link) = core.links.get_mut(&id) else { return };
    link.state = State::Open;
    link.opened_at = now;
    link.activity_at = now;
    let (kind, target) = (link.kind, link.target.clone());
    let options = match &target {
        Target::Primary(name) | Target::Replica(name, _) => {
            primaries.get(name).map(|primary| &primary.options)
        }
        Target::Sentinel(..) => None,
    };
    let command = |name: &str| match options {
        Some(options) => server_command(options, name),
        None => name.to_ascii_uppercase(),
    };
    let (user, pass) = match options {
        Some(options) => (options.auth_user.clone(), options.auth_pass.clone()),
        None => core.globals.peer_credentials(),
    };
    match (user, pass) {
        (Some(user), Some(pass)) => {
            core.send(id, Purpose::Other, &[command("auth"), user, pass]);
        }
        (None, Some(pass)) => {
            core.send(id, Purpose::Other, &[command("auth"), pass]);
        }
        (_, None) => {}
    }
    let mine = core.globals.myid.get(..8).unwrap_or_default();
    let role = if kind == Kind::Command { "cmd" } else { "pubsub" };
    let name = format!("sentinel-{mine}-{role}");
    core.send(id, Purpose::Other, &[&*command("client"), "SETNAME", &name]);
    match kind {
        Kind::Subscription => {
            core.send(id, Purpose::Other, &[&*command("subscribe"), HELLO_CHANNEL]);
        }
        Kind::Command => {
            if core.send(id, Purpose::Ping, &[command("ping")])
                && let Some(link) = core.links.get_mut(&id)
            {
                link.ping_at = now;
                link.unanswered_since.get_or_insert(now);
            }
        }
    }
}

/// An answer to PING. A server that loads, or has lost its primary, is in working order.
pub(crate) fn ponged(
    core: &mut Core,
    primaries: &mut BTreeMap<String, Primary>,
    id: LinkId,
    value: &Value,
) {
    let now = core.now;
    let Some(link) = core.links.get_mut(&id) else { return };
    link.pong_at = now;
    let error = value.error().unwrap_or_default();
    let is_pong = value.bytes().is_some_and(|text| text.eq_ignore_ascii_case(b"PONG"));
    if is_pong || error.starts_with(b"LOADING") || error.starts_with(b"MASTERDOWN") {
        link.avail_at = now;
        link.unanswered_since = None;
        if is_pong
            && let Target::Primary(name) = &link.target
            && let Some(primary) = primaries.get_mut(name)
        {
            primary.rebooted_at = None;
        }
        return;
    }
    if !error.starts_with(b"BUSY") {
        return;
    }
    // A script runs too long. If that makes the server count as down, the script is ended.
    let (name, node, text) = match link.target.clone() {
        Target::Primary(name) => match primaries.get(&name) {
            Some(primary) => (name, &primary.node, core.describe_primary(primary)),
            None => return,
        },
        Target::Replica(name, key) => {
            let Some(primary) = primaries.get(&name) else { return };
            match primary.replicas.get(&key) {
                Some(replica) => (name, &replica.node, core.describe_replica(primary, &key)),
                None => return,
            }
        }
        Target::Sentinel(..) => return,
    };
    let Some(primary) = primaries.get(&name) else { return };
    if node.is_down() {
        let command = server_command(&primary.options, "script");
        if core.send(id, Purpose::Other, &[&*command, "KILL"]) {
            core.event(Level::Verbose, "+script-kill", text, None);
        }
    }
}
