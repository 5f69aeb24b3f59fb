//! What INFO tells: replicas of a primary, who follows whom, and when a server is not what it should be.
//!
//! Corrections are slow on purpose: a replica that says it is a primary may have been promoted by another sentinel
//! whose message is still on its way, so that several hello periods pass before it is led back.

use std::collections::BTreeMap;

use ochre_base::clock::Millis;

use crate::addr::Addr;
use crate::failover::{self, point_at};
use crate::link::Target;
use crate::machine::Core;
use crate::mutation::Mutation;
use crate::output::Level;
use crate::primary::{Node, Primary, Reconf, Role, Step};

/// What was found in the text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts<'a> {
    run_id: &'a str,
    role: Option<Role>,
    /// Replicas of a primary.
    replicas: Vec<(&'a str, u16)>,
    follows: Option<(&'a str, u16)>,
    link_up: bool,
    link_down_s: i64,
    priority: Option<i64>,
    offset: Option<u64>,
    announced: Option<bool>,
}

fn facts(text: &str) -> Facts<'_> {
    let mut facts = Facts::default();
    let (mut host, mut port) = ("", 0);
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name {
            "run_id" => facts.run_id = value,
            "role" if value == "master" => facts.role = Some(Role::Primary),
            "role" if value == "slave" => facts.role = Some(Role::Replica),
            "master_host" => host = value,
            "master_port" => port = value.parse().unwrap_or(0),
            "master_link_status" => facts.link_up = value == "up",
            "master_link_down_since_seconds" => {
                facts.link_down_s = value.parse::<i64>().unwrap_or(0).max(0);
            }
            "slave_priority" => facts.priority = value.parse().ok(),
            "slave_repl_offset" => facts.offset = value.parse().ok(),
            "replica_announced" => facts.announced = Some(value != "0"),
            _ if is_numbered(name) => facts.replicas.extend(replica_of(value)),
            _ => {}
        }
    }
    if !host.is_empty() {
        facts.follows = Some((host, port));
    }
    facts
}

/// Whether a field is that of one replica: `slave0`.
fn is_numbered(name: &str) -> bool {
    let digits = name.strip_prefix("slave").unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `ip=10.0.0.1,port=6379,state=online,...`
fn replica_of(value: &str) -> Option<(&str, u16)> {
    let field =
        |name: &str| value.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let (host, port) = (field("ip")?, field("port")?.parse().ok()?);
    (!host.is_empty() && port != 0).then_some((host, port))
}

/// An INFO of a server has come.
pub(crate) fn received(
    core: &mut Core,
    primaries: &mut BTreeMap<String, Primary>,
    target: &Target,
    text: &[u8],
) {
    let text = String::from_utf8_lossy(&text[..text.len().min(crate::INFO_MAX)]);
    let facts = facts(&text);
    match target {
        Target::Primary(name) => {
            if let Some(primary) = primaries.get_mut(name) {
                of_primary(core, primary, &facts, &text);
            }
        }
        Target::Replica(name, key) => {
            if let Some(primary) = primaries.get_mut(name) {
                of_replica(core, primary, key, &facts, &text);
            }
        }
        Target::Sentinel(..) => {}
    }
}

/// What is noted of every server. Gives whether its run id has changed, and whether its role has.
fn note(core: &Core, node: &mut Node, facts: &Facts<'_>, text: &str) -> (bool, bool) {
    text.clone_into(&mut node.info_text);
    node.info_at = Some(core.now);
    let restarted = !node.run_id.is_empty() && node.run_id != facts.run_id;
    facts.run_id.clone_into(&mut node.run_id);
    let changed = facts.role.is_some_and(|role| role != node.role);
    if let Some(role) = facts.role
        && changed
    {
        node.role = role;
        node.role_at = core.now;
    }
    (restarted, changed)
}

fn of_primary(core: &mut Core, primary: &mut Primary, facts: &Facts<'_>, text: &str) {
    let (restarted, changed) = note(core, &mut primary.node, facts, text);
    if restarted {
        if primary.options.reboot_down_after > 0 {
            primary.rebooted_at = Some(core.now);
        }
        let text = core.describe_primary(primary);
        core.event(Level::Notice, "+reboot", text, None);
    }
    if changed {
        let text = core.describe_primary(primary);
        role_event(core, text, primary.node.role, Role::Primary);
    }
    if facts.role != Some(Role::Primary) {
        return;
    }
    for (host, port) in &facts.replicas {
        let Some(addr) = core.addr(host, *port) else { continue };
        if core.add_replica(primary, &addr) {
            let text = core.describe_replica(primary, &addr.key());
            core.event(Level::Notice, "+slave", text, None);
            core.persist();
        }
    }
}

fn role_event(core: &mut Core, text: String, now: Role, expected: Role) {
    let name = if now == expected { "+role-change" } else { "-role-change" };
    let text = format!("{text} new reported role is {}", now.name());
    core.event(Level::Verbose, name, text, None);
}

fn of_replica(core: &mut Core, primary: &mut Primary, key: &str, facts: &Facts<'_>, text: &str) {
    let now = core.now;
    let Some(replica) = primary.replicas.get_mut(key) else { return };
    let (restarted, changed) = note(core, &mut replica.node, facts, text);
    if changed && facts.role == Some(Role::Replica) {
        replica.follows_at = now;
    }
    if let Some((host, port)) = facts.follows
        && (replica.follows.0 != host || replica.follows.1 != port)
    {
        replica.follows = (host.to_owned(), port);
        replica.follows_at = now;
    }
    if facts.role == Some(Role::Replica) {
        replica.link_up = facts.link_up;
        replica.link_down_ms = facts.link_down_s.saturating_mul(1000);
    }
    replica.priority = facts.priority.unwrap_or(replica.priority);
    replica.offset = facts.offset.unwrap_or(replica.offset);
    replica.announced = facts.announced.unwrap_or(replica.announced);
    let role = replica.node.role;
    if restarted {
        let text = core.describe_replica(primary, key);
        core.event(Level::Notice, "+reboot", text, None);
    }
    if changed {
        let text = core.describe_replica(primary, key);
        role_event(core, text, role, Role::Replica);
    }
    // In tilt mode nothing is done about it.
    if core.tilt_since.is_some() {
        return;
    }
    match facts.role {
        Some(Role::Primary) => claims_primary(core, primary, key),
        Some(Role::Replica) => {
            check_followed(core, primary, key);
            check_progress(core, primary, key);
        }
        None => {}
    }
}

/// A replica says that it is a primary: it was promoted, or must be led back.
fn claims_primary(core: &mut Core, primary: &mut Primary, key: &str) {
    let is_promoted = primary.failover.promoted.as_deref() == Some(key);
    if is_promoted && primary.failover.step == Step::WaitPromotion {
        failover::promoted(core, primary, key);
        return;
    }
    if is_promoted || core.has(Mutation::NeverDemote) {
        return;
    }
    let wait = core.timing.publish_period * 4;
    let Some(replica) = primary.replicas.get(key) else { return };
    let since = core.now - replica.node.role_at;
    if since > wait && is_sane(core, primary) && was_up_for(core, &replica.node, wait) {
        let to = primary.node.addr.clone();
        if point_at(core, primary, key, Some(&to)) {
            let text = core.describe_replica(primary, key);
            core.event(Level::Notice, "+convert-to-slave", text, None);
        }
    }
}

/// A replica may follow another server than the primary.
fn check_followed(core: &mut Core, primary: &mut Primary, key: &str) {
    let Some(replica) = primary.replicas.get(key) else { return };
    if is_at(core, &replica.follows, &primary.node.addr) {
        return;
    }
    let wait = primary.options.failover_timeout;
    let since = core.now - replica.follows_at;
    if since > wait
        && is_sane(core, primary)
        && !primary.is_failing_over()
        && was_up_for(core, &primary.replicas[key].node, wait)
    {
        let to = primary.node.addr.clone();
        if point_at(core, primary, key, Some(&to)) {
            let text = core.describe_replica(primary, key);
            core.event(Level::Notice, "+fix-slave-config", text, None);
        }
    }
}

/// How far a replica is that was told to follow the promoted one.
fn check_progress(core: &mut Core, primary: &mut Primary, key: &str) {
    let Some(to) = primary.failover.promoted.clone() else { return };
    let Some(promoted) = primary.replicas.get(&to).map(|replica| replica.node.addr.clone()) else {
        return;
    };
    let Some(replica) = primary.replicas.get(key) else { return };
    let follows = is_at(core, &replica.follows, &promoted);
    let (from, link_up) = (replica.reconf, replica.link_up);
    let mut told = Vec::new();
    let mut reconf = from;
    if reconf == Reconf::Sent && follows {
        reconf = Reconf::InProgress;
        told.push("+slave-reconf-inprog");
    }
    if reconf == Reconf::InProgress && follows && link_up {
        reconf = Reconf::Done;
        told.push("+slave-reconf-done");
    }
    if let Some(replica) = primary.replicas.get_mut(key) {
        replica.reconf = reconf;
    }
    for name in told {
        let text = core.describe_replica(primary, key);
        core.event(Level::Notice, name, text, None);
    }
}

/// Whether what a server says it follows is at an address.
fn is_at(core: &mut Core, follows: &(String, u16), addr: &Addr) -> bool {
    if follows.1 != addr.port {
        return false;
    }
    if follows.0 == addr.host || follows.0 == addr.ip {
        return true;
    }
    core.addr(&follows.0, follows.1).is_some_and(|other| other.is_same(addr))
}

/// Whether the primary looks like one that others should follow.
fn is_sane(core: &Core, primary: &Primary) -> bool {
    let node = &primary.node;
    node.role == Role::Primary
        && !node.is_down()
        && primary.odown_since.is_none()
        && node.info_at.is_some_and(|at| core.now - at < core.timing.info_period * 2)
}

/// Whether a server was not down for some time.
fn was_up_for(core: &Core, node: &Node, wait: Millis) -> bool {
    !node.is_down() && node.went_down_at.is_none_or(|at| core.now - at > wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_both_roles() {
        let primary = "run_id:abc\r\nrole:master\r\nconnected_slaves:2\r\n\
            slave0:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0\r\nslave1:ip=,port=0\r\n\
            slave_read_only:1\r\n";
        let facts = super::facts(primary);
        assert_eq!((facts.run_id, facts.role), ("abc", Some(Role::Primary)));
        assert_eq!(facts.replicas, [("10.0.0.1", 6379)]);
        let replica = "role:slave\r\nmaster_host:::1\r\nmaster_port:7\r\nmaster_link_status:down\r\n\
            master_link_down_since_seconds:12\r\nslave_repl_offset:99\r\nslave_priority:0\r\n\
            replica_announced:0\r\n";
        let facts = super::facts(replica);
        assert_eq!((facts.follows, facts.link_up), (Some(("::1", 7)), false));
        assert_eq!((facts.link_down_s, facts.offset), (12, Some(99)));
        assert_eq!((facts.priority, facts.announced), (Some(0), Some(false)));
    }
}
