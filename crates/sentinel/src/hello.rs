//! Hello messages: how sentinels find one another, and how configurations spread.
//!
//! ```text
//! ip,port,run id,current epoch,name,primary's ip,primary's port,config epoch
//! ```
//!
//! Each sentinel publishes one for each primary on all servers and sends it to all other sentinels, every two seconds.
//! A message with a greater config epoch replaces what is known of where the primary is. Messages with another number of
//! fields, of unknown primaries or of this sentinel itself change nothing.

use std::collections::BTreeMap;

use crate::addr::Addr;
use crate::link::LinkId;
use crate::machine::Core;
use crate::mutation::Mutation;
use crate::output::Level;
use crate::primary::Primary;
use crate::scripts;

/// What this sentinel says of a primary.
pub(crate) struct Text<'a> {
    pub(crate) primary: &'a str,
    pub(crate) addr: &'a Addr,
    pub(crate) epoch: u64,
}

impl Text<'_> {
    /// The message for whoever listens at the other end of a link.
    pub(crate) fn encode(&self, core: &Core, link: LinkId) -> String {
        let globals = &core.globals;
        let local = || core.links.get(&link).map_or("", |link| link.local_ip.as_str());
        let ip = match globals.announce_ip.as_str() {
            "" => local(),
            announced => announced,
        };
        let port = if globals.announce_port == 0 { globals.port } else { globals.announce_port };
        let Self { primary, addr, epoch } = self;
        format!(
            "{ip},{port},{},{},{primary},{},{},{epoch}",
            globals.myid,
            core.current_epoch,
            core.shown(addr),
            addr.port
        )
    }
}

/// A message in its parts.
struct Message<'a> {
    host: &'a str,
    port: u16,
    run_id: &'a str,
    current_epoch: u64,
    name: &'a str,
    primary_host: &'a str,
    primary_port: u16,
    config_epoch: u64,
}

fn parse(text: &str) -> Option<Message<'_>> {
    let parts: Vec<&str> = text.split(',').collect();
    let [host, port, run_id, current, name, primary_host, primary_port, config] = parts[..] else {
        return None;
    };
    if run_id.is_empty() || run_id.len() > crate::TEXT_MAX {
        return None;
    }
    Some(Message {
        host,
        port: port.parse().ok()?,
        run_id,
        current_epoch: current.parse().ok()?,
        name,
        primary_host,
        primary_port: primary_port.parse().ok()?,
        config_epoch: config.parse().ok()?,
    })
}

/// A message has come, on a channel or as a command.
pub(crate) fn receive(core: &mut Core, primaries: &mut BTreeMap<String, Primary>, text: &str) {
    let Some(message) = parse(text) else { return };
    if message.run_id == core.globals.myid {
        return;
    }
    let Some(primary) = primaries.get_mut(message.name) else { return };
    meet(core, primary, &message);
    if message.current_epoch > core.current_epoch {
        core.raise_epoch(message.current_epoch);
    }
    let newer = message.config_epoch > primary.config_epoch;
    let planted =
        core.has(Mutation::FollowOldConfig) && message.config_epoch != primary.config_epoch;
    if newer || planted {
        follow(core, primary, &message);
    } else if message.config_epoch == primary.config_epoch {
        settle(core, primary, &message);
    }
    if let Some(peer) = primary.sentinels.get_mut(message.run_id) {
        peer.hello_at = core.now;
    }
}

/// Takes note of the sentinel that speaks.
fn meet(core: &mut Core, primary: &mut Primary, message: &Message<'_>) {
    let known = primary.sentinels.get(message.run_id).map(|peer| peer.node.addr.clone());
    let is_at = |addr: &Addr| {
        addr.port == message.port && (addr.host == message.host || addr.ip == message.host)
    };
    if known.as_ref().is_some_and(is_at) {
        return;
    }
    let Some(addr) = core.addr(message.host, message.port) else { return };
    if known.as_ref().is_some_and(|known| known.is_same(&addr)) {
        return;
    }
    let mut votes = None;
    match known {
        Some(_) => {
            let text = core.describe_peer(primary, message.run_id);
            let text = format!("{text} ip {} port {}", message.host, message.port);
            core.event(Level::Notice, "+sentinel-address-switch", text, None);
            if let Some(old) = primary.sentinels.remove(message.run_id) {
                core.release_node(&old.node);
                votes = Some((old.leader, old.leader_epoch));
            }
        }
        None => displace(core, primary, &addr),
    }
    if !core.add_peer(primary, message.run_id, &addr) {
        return;
    }
    if let (Some((leader, epoch)), Some(peer)) = (votes, primary.sentinels.get_mut(message.run_id))
    {
        (peer.leader, peer.leader_epoch) = (leader, epoch);
    } else {
        let text = core.describe_peer(primary, message.run_id);
        core.event(Level::Notice, "+sentinel", text, None);
    }
    core.persist();
}

/// Another sentinel is where one was known to be: that one cannot be there. It stays known, since it counts for the
/// majority, without an address.
fn displace(core: &mut Core, primary: &mut Primary, addr: &Addr) {
    let there = primary.sentinels.iter().find(|(_, peer)| peer.node.addr.is_same(addr));
    let Some(run_id) = there.map(|(run_id, _)| run_id.clone()) else { return };
    let text = core.describe_peer(primary, &run_id);
    core.event(Level::Notice, "+sentinel-invalid-addr", text, None);
    let Some(peer) = primary.sentinels.get_mut(&run_id) else { return };
    peer.node.addr.port = 0;
    let id = peer.node.link;
    core.cut(id);
    if let Some(link) = core.links.get_mut(&id) {
        link.addr.port = 0;
    }
}

/// Takes over a newer configuration.
fn follow(core: &mut Core, primary: &mut Primary, message: &Message<'_>) {
    let Some(addr) = core.addr(message.primary_host, message.primary_port) else { return };
    if message.primary_port == 0 {
        return;
    }
    primary.config_epoch = message.config_epoch;
    if addr.is_same(&primary.node.addr) {
        // A newer configuration says that the primary is where it was: whatever this sentinel has promoted is not.
        let is_overtaken =
            primary.is_failing_over() && primary.failover.epoch <= message.config_epoch;
        match is_overtaken {
            true => core.move_primary(primary, addr),
            false => core.persist(),
        }
        return;
    }
    let speaker = core.describe_peer(primary, message.run_id);
    core.event(Level::Warning, "+config-update-from", speaker, None);
    announce_switch(core, primary, &addr);
    scripts::reconfigured(core, primary, "observer", "start", &addr);
    core.move_primary(primary, addr);
}

/// Two configurations of one epoch: nobody votes on a failover that an operator forces, so that its epoch can be that of
/// another failover. Else both would stay for ever. The sentinel with the smaller run id moves its own to a new epoch,
/// which all others then follow; one that fails over will have a new epoch anyway.
fn settle(core: &mut Core, primary: &mut Primary, message: &Message<'_>) {
    let known = &primary.node.addr;
    let is_same_text = known.port == message.primary_port
        && (known.host == message.primary_host || known.ip == message.primary_host);
    if is_same_text
        || primary.config_epoch == 0
        || primary.is_failing_over()
        || message.primary_port == 0
        || core.globals.myid.as_str() > message.run_id
    {
        return;
    }
    let Some(theirs) = core.addr(message.primary_host, message.primary_port) else { return };
    if theirs.is_same(&primary.node.addr) {
        return;
    }
    let epoch = core.current_epoch.max(primary.config_epoch).saturating_add(1);
    core.raise_epoch(epoch);
    primary.config_epoch = epoch;
    core.persist();
    let text = core.describe_primary(primary);
    core.event(Level::Warning, "+config-epoch-collision", format!("{text} #epoch {epoch}"), None);
}

/// Tells that a primary is elsewhere.
pub(crate) fn announce_switch(core: &mut Core, primary: &Primary, to: &Addr) {
    let from = &primary.node.addr;
    let text = format!(
        "{} {} {} {} {}",
        primary.name,
        core.shown(from),
        from.port,
        core.shown(to),
        to.port
    );
    core.event(
        Level::Warning,
        "+switch-master",
        text,
        primary.options.notification_script.as_ref(),
    );
}
