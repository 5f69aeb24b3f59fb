//! Who is down: subjectively, objectively; and tilt mode, in which this sentinel trusts its own view of time no more.

use ochre_base::clock::{Millis, Now};

use crate::link::LinkId;
use crate::machine::Core;
use crate::mutation::Mutation;
use crate::output::Level;
use crate::primary::{Node, Primary, Role};

/// Enters tilt mode when the time between two looks is negative or long, and leaves it after a while without that.
pub(crate) fn check_tilt(core: &mut Core, last: Option<Now>, now: Now) {
    if let Some(last) = last {
        let trigger = core.timing.tilt_trigger;
        let by_date = now.unix_ms - last.unix_ms;
        let by_clock = (now.mono_us.saturating_sub(last.mono_us) / 1000) as Millis;
        if by_date < 0 || by_date > trigger || by_clock > trigger {
            core.tilt_since = Some(core.now);
            core.event(Level::Warning, "+tilt", "#tilt mode entered".to_owned(), None);
        }
    }
    if core.tilt_since.is_some_and(|since| core.now - since >= core.timing.tilt_period) {
        core.tilt_since = None;
        core.event(Level::Warning, "-tilt", "#tilt mode exited".to_owned(), None);
    }
}

/// Looks at a primary and all its instances.
pub(crate) fn check(core: &mut Core, primary: &mut Primary) {
    let script = primary.options.notification_script.clone();
    let mut told: Vec<(bool, Who)> = Vec::new();
    let wrong_role = primary.node.role == Role::Replica
        && core.now - primary.node.role_at
            > primary.options.down_after + core.timing.info_period * 2;
    let rebooting = primary.rebooted_at.is_some_and(|at| {
        core.now - at > primary.options.reboot_down_after && primary.options.reboot_down_after > 0
    });
    let after = primary.options.down_after;
    let down = is_silent(core, primary.node.link, after) || wrong_role || rebooting;
    if turn(core, &mut primary.node, down) {
        told.push((down, Who::Primary));
    }
    for (key, replica) in &mut primary.replicas {
        let down = is_silent(core, replica.node.link, after);
        if turn(core, &mut replica.node, down) {
            told.push((down, Who::Replica(key.clone())));
        }
    }
    for (run_id, peer) in &mut primary.sentinels {
        let down = is_silent(core, peer.node.link, after);
        if turn(core, &mut peer.node, down) {
            told.push((down, Who::Sentinel(run_id.clone())));
        }
    }
    for (down, who) in told {
        let text = match who {
            Who::Primary => core.describe_primary(primary),
            Who::Replica(key) => core.describe_replica(primary, &key),
            Who::Sentinel(run_id) => core.describe_peer(primary, &run_id),
        };
        let name = if down { "+sdown" } else { "-sdown" };
        core.event(Level::Warning, name, text, script.as_ref());
    }
    check_objectively(core, primary, script.as_ref());
}

enum Who {
    Primary,
    Replica(String),
    Sentinel(String),
}

/// Whether nobody answered for too long.
fn is_silent(core: &Core, id: LinkId, down_after: Millis) -> bool {
    let Some(link) = core.links.get(&id) else { return false };
    let elapsed = match link.unanswered_since {
        Some(since) => core.now - since,
        None if !link.is_open() => core.now - link.avail_at,
        None => 0,
    };
    let after = if core.has(Mutation::HastyDown) { 60 } else { down_after };
    elapsed > after
}

/// Notes whether a node is down; true when that is news.
fn turn(core: &Core, node: &mut Node, down: bool) -> bool {
    if node.is_down() == down {
        return false;
    }
    node.sdown_since = down.then_some(core.now);
    if down {
        node.went_down_at = Some(core.now);
    }
    true
}

/// A primary is objectively down when enough sentinels, this one among them, say that it is.
fn check_objectively(core: &mut Core, primary: &mut Primary, script: Option<&String>) {
    let others = primary.sentinels.values().filter(|peer| peer.says_down).count();
    let count = if primary.node.is_down() { others + 1 } else { 0 };
    let quorum = primary.options.quorum;
    let down = count >= quorum as usize && primary.node.is_down();
    if down == primary.odown_since.is_some() {
        return;
    }
    let mut text = core.describe_primary(primary);
    if down {
        primary.odown_since = Some(core.now);
        text.push_str(&format!(" #quorum {count}/{quorum}"));
        core.event(Level::Warning, "+odown", text, script);
    } else {
        primary.odown_since = None;
        core.event(Level::Warning, "-odown", text, script);
    }
}
