//! The steps of a failover.
//!
//! ```text
//! wait to be elected -> choose a replica -> promote it -> wait until it is one -> lead the others to it -> take over
//!        |                    |                  |               |
//!        +--------------------+------------------+---------------+--> given up; another attempt after twice the time-out
//! ```
//!
//! From the moment that the promoted replica says it is a primary the failover cannot fail any more: its epoch becomes
//! that of the configuration, and hello messages tell everyone. A sentinel that hears of a greater epoch takes that
//! configuration over, whatever it was doing itself.

use ochre_base::clock::Millis;

use crate::addr::Addr;
use crate::election::{self, Hurry};
use crate::hello::announce_switch;
use crate::link::{LinkId, Purpose};
use crate::machine::Core;
use crate::mutation::Mutation;
use crate::output::{Level, Output};
use crate::primary::{Cause, Options, Primary, Reconf, Replica, Step};
use crate::schedule::server_command;
use crate::scripts;

/// Begins a failover if it is needed, and goes on with the one under way.
pub(crate) fn run(core: &mut Core, primary: &mut Primary) {
    if may_start(core, primary) {
        start(core, primary, Cause::Down);
        ask_replicas(core, primary);
        election::ask(core, primary, Hurry::Now);
    }
    loop {
        let before = primary.failover.step;
        match before {
            Step::None | Step::UpdateConfig => {}
            Step::WaitStart => wait_start(core, primary),
            Step::SelectReplica => select(core, primary),
            Step::SendPromotion => send_promotion(core, primary),
            Step::WaitPromotion => wait_promotion(core, primary),
            Step::Reconfigure => reconfigure(core, primary),
        }
        // What needs no answer needs no time: nobody takes writes meanwhile.
        if primary.failover.step == before {
            break;
        }
    }
    if primary.failover.step == Step::UpdateConfig {
        update_config(core, primary);
    }
    election::ask(core, primary, Hurry::Periodic);
}

fn may_start(core: &mut Core, primary: &mut Primary) -> bool {
    let Some(down_since) = primary.odown_since else { return false };
    if primary.is_failing_over() || core.now - down_since < place(core, primary) * PLACE {
        return false;
    }
    let Some(started) = primary.failover.started_at else { return true };
    let next = started + primary.options.failover_timeout * 2;
    if core.now >= next {
        return true;
    }
    if primary.failover.delay_logged != Some(started) {
        primary.failover.delay_logged = Some(started);
        let text = format!(
            "Next failover delay: I will not start a failover of {} for {} ms",
            primary.name,
            next - core.now
        );
        core.event(Level::Debug, "", text, None);
    }
    false
}

/// How much later than its predecessor a sentinel begins a failover by itself: time enough to ask for votes.
const PLACE: Millis = 120;

/// How many sentinels that answer come before this one, by run id. All that take a primary for down at the same moment would
/// else vote for themselves, and the next attempt is twice `failover-timeout` away. Who comes first waits for nobody, and the
/// others only until it has asked for their votes.
fn place(core: &Core, primary: &Primary) -> Millis {
    let before = |run_id: &str| run_id < core.globals.myid.as_str();
    let peers = primary.sentinels.iter();
    peers.filter(|(run_id, peer)| before(run_id) && !peer.node.is_down()).count() as Millis
}

/// Begins a failover in a new epoch.
pub(crate) fn start(core: &mut Core, primary: &mut Primary, cause: Cause) {
    let epoch = core.current_epoch.saturating_add(1);
    core.raise_epoch(epoch);
    primary.failover.epoch = epoch;
    primary.failover.cause = cause;
    primary.failover.promoted = None;
    primary.failover.started_at = Some(core.now + core.desync());
    warn(core, primary, "+try-failover");
    let step = if cause == Cause::Down { Step::WaitStart } else { Step::SelectReplica };
    if cause != Cause::Down {
        warn(core, primary, "+failover-state-select-slave");
    }
    go(core, primary, step);
}

fn go(core: &Core, primary: &mut Primary, step: Step) {
    primary.failover.step = step;
    primary.failover.step_at = core.now;
}

fn warn(core: &mut Core, primary: &Primary, name: &str) {
    let text = core.describe_primary(primary);
    core.event(Level::Warning, name, text, primary.options.notification_script.as_ref());
}

fn warn_of(core: &mut Core, primary: &Primary, name: &str, key: &str) {
    let text = core.describe_replica(primary, key);
    core.event(Level::Warning, name, text, primary.options.notification_script.as_ref());
}

fn tell_of(core: &mut Core, primary: &Primary, name: &str, key: &str) {
    let text = core.describe_replica(primary, key);
    core.event(Level::Notice, name, text, None);
}

/// Gives the failover up.
fn abort(core: &mut Core, primary: &mut Primary, name: &str) {
    warn(core, primary, name);
    give_up(core, primary);
}

/// Back to where nothing was under way.
pub(crate) fn give_up(core: &mut Core, primary: &mut Primary) {
    if let Some(key) = primary.failover.promoted.take()
        && let Some(replica) = primary.replicas.get_mut(&key)
    {
        replica.promoted = false;
    }
    go(core, primary, Step::None);
}

fn wait_start(core: &mut Core, primary: &mut Primary) {
    let leader = election::leader(core, primary, primary.failover.epoch);
    let is_mine = leader.as_deref() == Some(core.globals.myid.as_str());
    if !is_mine && !core.has(Mutation::SkipElection) {
        let patience = core.timing.election_timeout.min(primary.options.failover_timeout);
        let started = primary.failover.started_at.unwrap_or(core.now);
        if core.now - started > patience {
            abort(core, primary, "-failover-abort-not-elected");
        }
        return;
    }
    warn(core, primary, "+elected-leader");
    if core.simulated.after_election {
        core.out.push(Output::Crash);
    }
    warn(core, primary, "+failover-state-select-slave");
    go(core, primary, Step::SelectReplica);
}

fn select(core: &mut Core, primary: &mut Primary) {
    if awaits_offsets(core, primary) {
        return;
    }
    let Some(key) = best_replica(core, primary) else {
        abort(core, primary, "-failover-abort-no-good-slave");
        return;
    };
    warn_of(core, primary, "+selected-slave", &key);
    if let Some(replica) = primary.replicas.get_mut(&key) {
        replica.promoted = true;
    }
    primary.failover.promoted = Some(key.clone());
    tell_of(core, primary, "+failover-state-send-slaveof-noone", &key);
    go(core, primary, Step::SendPromotion);
}

/// Asks all replicas how far they are: what they said while the primary was alive may be seconds old, and the one that was
/// ahead then need not be the one that has the last write.
fn ask_replicas(core: &mut Core, primary: &mut Primary) {
    if core.has(Mutation::StaleOffsets) {
        return;
    }
    let command = server_command(&primary.options, "info");
    for replica in primary.replicas.values_mut() {
        if core.send(replica.node.link, Purpose::Info, &[&*command]) {
            replica.node.info_sent_at = Some(core.now);
        }
    }
}

/// Whether a replica that answers has not said yet how far it is without the primary. None is waited for longer than a ping
/// period.
fn awaits_offsets(core: &Core, primary: &Primary) -> bool {
    let Some(since) = primary.node.sdown_since else { return false };
    primary.failover.cause == Cause::Down
        && core.now - primary.failover.step_at < core.timing.ping_period
        && !core.has(Mutation::StaleOffsets)
        && primary.replicas.values().any(|replica| {
            answers(core, replica) && replica.node.info_at.is_none_or(|at| at < since)
        })
}

/// The replica to be promoted: of those in working order with fresh data, the one with the lowest priority number, then
/// the greatest offset, then the smallest run id.
pub(crate) fn best_replica(core: &Core, primary: &Primary) -> Option<String> {
    let order = |replica: &&Replica| {
        let run_id = &replica.node.run_id;
        let offset = std::cmp::Reverse(replica.offset);
        (replica.priority, offset, run_id.is_empty(), run_id.to_ascii_lowercase())
    };
    let candidates = primary.replicas.values().filter(|one| is_candidate(core, primary, one));
    let best = match core.has(Mutation::WrongReplica) {
        true => candidates.max_by_key(order),
        false => candidates.min_by_key(order),
    };
    best.map(|best| best.node.addr.key())
}

/// Whether a replica is in working order.
fn answers(core: &Core, replica: &Replica) -> bool {
    let node = &replica.node;
    let avail = core.links.get(&node.link).map_or(0, |link| link.avail_at);
    !node.is_down()
        && core.is_open(node.link)
        && core.now - avail <= core.timing.ping_period * 5
        && replica.priority != 0
}

/// Whether a replica is in working order, with fresh data, and may be promoted.
fn is_candidate(core: &Core, primary: &Primary, replica: &Replica) -> bool {
    let timing = &core.timing;
    let down_ms = primary.node.sdown_since.map_or(0, |since| core.now - since);
    let link_down_max = primary.options.down_after * 10 + down_ms;
    let info_max =
        if primary.node.is_down() { timing.ping_period * 5 } else { timing.info_period * 3 };
    answers(core, replica)
        && replica.node.info_at.is_some_and(|at| core.now - at <= info_max)
        && replica.link_down_ms <= link_down_max
}

/// Tells a server whom to follow: nobody, or an address. Its clients are cut off, so that they ask anew who the primary is.
fn replicaof(core: &mut Core, options: &Options, link: LinkId, to: Option<&Addr>) -> bool {
    if !core.is_open(link) {
        return false;
    }
    let command = |name: &str| server_command(options, name);
    let (host, port) = match to {
        Some(addr) => (core.shown(addr).to_owned(), addr.port.to_string()),
        None => ("NO".to_owned(), "ONE".to_owned()),
    };
    let requests = [
        vec![command("multi")],
        vec![command("slaveof"), host, port],
        vec![command("config"), "REWRITE".into()],
        vec![command("client"), "KILL".into(), "TYPE".into(), "normal".into()],
        vec![command("client"), "KILL".into(), "TYPE".into(), "pubsub".into()],
        vec![command("exec")],
    ];
    requests.iter().all(|request| core.send(link, Purpose::Other, request))
}

/// The same for a replica of a primary.
pub(crate) fn point_at(core: &mut Core, primary: &Primary, key: &str, to: Option<&Addr>) -> bool {
    match primary.replicas.get(key) {
        Some(replica) => replicaof(core, &primary.options, replica.node.link, to),
        None => false,
    }
}

fn send_promotion(core: &mut Core, primary: &mut Primary) {
    let Some(key) = primary.failover.promoted.clone() else {
        give_up(core, primary);
        return;
    };
    let sent = match primary.failover.cause {
        Cause::Coordinated => coordinate(core, primary, &key),
        Cause::Down | Cause::Forced => point_at(core, primary, &key, None),
    };
    if sent {
        tell_of(core, primary, "+failover-state-wait-promotion", &key);
        go(core, primary, Step::WaitPromotion);
    } else if core.now - primary.failover.step_at > primary.options.failover_timeout {
        abort(core, primary, "-failover-abort-slave-timeout");
    }
}

/// Asks the live primary to hand over to a replica: it stops writes, waits until the replica has everything, and only
/// then lets it take over.
fn coordinate(core: &mut Core, primary: &Primary, key: &str) -> bool {
    let Some(replica) = primary.replicas.get(key) else { return false };
    let addr = &replica.node.addr;
    let args = [
        server_command(&primary.options, "failover"),
        "TO".to_owned(),
        // As the primary knows it: by the address that INFO shows.
        addr.host.clone(),
        addr.port.to_string(),
        "TIMEOUT".to_owned(),
        primary.options.failover_timeout.to_string(),
    ];
    core.send(primary.node.link, Purpose::Coordinate(primary.name.clone()), &args)
}

/// The primary does not hand over.
pub(crate) fn refused(core: &mut Core, primary: &mut Primary, why: &str) {
    if primary.failover.cause != Cause::Coordinated || primary.failover.step != Step::WaitPromotion
    {
        return;
    }
    core.event(Level::Debug, "", format!("FAILOVER was refused: {why}"), None);
    abort(core, primary, "-failover-abort-slave-timeout");
}

/// How often the promoted replica is asked whether it is a primary: clients wait for it.
const PROMOTED_PERIOD: Millis = 100;

fn wait_promotion(core: &mut Core, primary: &mut Primary) {
    let command = server_command(&primary.options, "info");
    let promoted = primary.failover.promoted.as_ref().and_then(|key| primary.replicas.get_mut(key));
    if let Some(node) = promoted.map(|replica| &mut replica.node)
        && node.info_sent_at.is_none_or(|at| core.now - at >= PROMOTED_PERIOD)
        && core.send(node.link, Purpose::Info, &[&*command])
    {
        node.info_sent_at = Some(core.now);
    }
    if core.now - primary.failover.step_at <= primary.options.failover_timeout {
        return;
    }
    if primary.failover.cause == Cause::Coordinated {
        let command = server_command(&primary.options, "failover");
        // When it cannot be sent, FAILOVER's own time-out ends it.
        core.send(primary.node.link, Purpose::Other, &[&*command, "ABORT"]);
    }
    abort(core, primary, "-failover-abort-slave-timeout");
}

/// The promoted replica says that it is a primary.
pub(crate) fn promoted(core: &mut Core, primary: &mut Primary, key: &str) {
    primary.config_epoch = primary.failover.epoch;
    go(core, primary, Step::Reconfigure);
    if primary.failover.cause == Cause::Coordinated {
        // FAILOVER has changed their roles; their files are to say so, and their clients to ask anew.
        let command = |name: &str| server_command(&primary.options, name);
        let replica = primary.replicas.get(key).map_or(0, |replica| replica.node.link);
        for link in [replica, primary.node.link] {
            core.send(link, Purpose::Other, &[&*command("config"), "REWRITE"]);
            for kind in ["normal", "pubsub"] {
                let args = [&*command("client"), "KILL", "TYPE", kind];
                core.send(link, Purpose::Other, &args);
            }
        }
    }
    core.persist();
    warn_of(core, primary, "+promoted-slave", key);
    if core.simulated.after_promotion {
        core.out.push(Output::Crash);
    }
    warn(core, primary, "+failover-state-reconf-slaves");
    let to = primary.current_addr().clone();
    scripts::reconfigured(core, primary, "leader", "start", &to);
    say_hello_soon(core, primary);
}

/// Everyone is told with the next look.
fn say_hello_soon(core: &Core, primary: &mut Primary) {
    let at = core.now - core.timing.publish_period - 1;
    let nodes = std::iter::once(&mut primary.node)
        .chain(primary.replicas.values_mut().map(|replica| &mut replica.node))
        .chain(primary.sentinels.values_mut().map(|peer| &mut peer.node));
    nodes.for_each(|node| node.hello_sent_at = at);
}

/// Makes the others follow the promoted replica, `parallel-syncs` at a time.
fn reconfigure(core: &mut Core, primary: &mut Primary) {
    let to = primary.current_addr().clone();
    let under_way = |replica: &Replica| matches!(replica.reconf, Reconf::Sent | Reconf::InProgress);
    let mut busy = primary.replicas.values().filter(|replica| under_way(replica)).count();
    let others: Vec<String> = primary
        .replicas
        .iter()
        .filter(|(_, replica)| !replica.promoted)
        .map(|(key, _)| key.clone())
        .collect();
    for key in &others {
        let Some(replica) = primary.replicas.get(key) else { continue };
        match replica.reconf {
            Reconf::Sent if core.now - replica.reconf_at > core.timing.replica_reconf_timeout => {
                // It is corrected later if it does not follow.
                if let Some(replica) = primary.replicas.get_mut(key) {
                    replica.reconf = Reconf::Done;
                }
                tell_of(core, primary, "-slave-reconf-sent-timeout", key);
            }
            Reconf::None
                if busy < primary.options.parallel_syncs as usize
                    && !replica.node.is_down()
                    && point_at(core, primary, key, Some(&to)) =>
            {
                busy += 1;
                mark_sent(core, primary, key);
                tell_of(core, primary, "+slave-reconf-sent", key);
            }
            _ => {}
        }
    }
    detect_end(core, primary, &others, &to);
}

fn mark_sent(core: &Core, primary: &mut Primary, key: &str) {
    if let Some(replica) = primary.replicas.get_mut(key) {
        replica.reconf = Reconf::Sent;
        replica.reconf_at = core.now;
    }
}

fn detect_end(core: &mut Core, primary: &mut Primary, others: &[String], to: &Addr) {
    let waits = |key: &String| {
        let replica = &primary.replicas.get(key);
        replica.is_some_and(|one| one.reconf != Reconf::Done && !one.node.is_down())
    };
    let done = !others.iter().any(waits);
    let late = core.now - primary.failover.step_at > primary.options.failover_timeout;
    if !done && !late {
        return;
    }
    if !done {
        warn(core, primary, "+failover-end-for-timeout");
        for key in others {
            let is_open = primary.replicas.get(key).is_some_and(|replica| {
                !matches!(replica.reconf, Reconf::Done | Reconf::Sent)
                    && core.is_open(replica.node.link)
            });
            if is_open && point_at(core, primary, key, Some(to)) {
                mark_sent(core, primary, key);
                tell_of(core, primary, "+slave-reconf-sent-be", key);
            }
        }
    }
    warn(core, primary, "+failover-end");
    go(core, primary, Step::UpdateConfig);
}

/// The promoted replica is the primary from here on.
fn update_config(core: &mut Core, primary: &mut Primary) {
    let to = primary.current_addr().clone();
    announce_switch(core, primary, &to);
    core.move_primary(primary, to);
}
