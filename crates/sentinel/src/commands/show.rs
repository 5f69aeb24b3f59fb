//! What SENTINEL shows: instances field by field, scripts, cached INFO.

use ochre_base::clock::Millis;
use ochre_resp::Reply;

use super::text;
use crate::addr::Addr;
use crate::machine::Sentinel;
use crate::primary::{Cause, Node, Peer, Primary, Reconf, Replica, Role};

/// Fields and values in order; a map in RESP3.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn put(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((name, value.to_string()));
    }

    fn write(self, reply: &mut Reply<'_>) {
        reply.map(self.0.len());
        for (name, value) in self.0 {
            reply.bulk(name);
            reply.bulk(value);
        }
    }
}

impl Sentinel {
    pub(super) fn show_primaries(&self, reply: &mut Reply<'_>) {
        reply.array(self.primaries.len());
        for primary in self.primaries.values() {
            self.show_primary(primary, reply);
        }
    }

    pub(super) fn show_primary(&self, primary: &Primary, reply: &mut Reply<'_>) {
        let options = &primary.options;
        let failover = &primary.failover;
        let mut flags = self.flags(&primary.node, primary.odown_since.is_some(), "master");
        if primary.is_failing_over() {
            flags.push("failover_in_progress");
            if failover.cause != Cause::Down {
                flags.push("force_failover");
            }
        }
        if primary.rebooted_at.is_some() {
            flags.push("master_reboot");
        }
        let mut fields = Fields(Vec::new());
        self.head(&mut fields, &primary.name, &primary.node, &flags);
        if primary.is_failing_over() {
            fields.put("failover-state", failover.step.name());
        }
        self.times(&mut fields, &primary.node, primary.odown_since, options.down_after);
        self.reported(&mut fields, &primary.node);
        fields.put("config-epoch", primary.config_epoch);
        fields.put("num-slaves", primary.replicas.len());
        fields.put("num-other-sentinels", primary.sentinels.len());
        fields.put("quorum", options.quorum);
        fields.put("failover-timeout", options.failover_timeout);
        fields.put("parallel-syncs", options.parallel_syncs);
        if let Some(path) = &options.notification_script {
            fields.put("notification-script", path);
        }
        if let Some(path) = &options.reconfig_script {
            fields.put("client-reconfig-script", path);
        }
        fields.write(reply);
    }

    pub(super) fn show_replicas(&self, primary: &Primary, reply: &mut Reply<'_>) {
        let shown = || primary.replicas.values().filter(|replica| replica.announced);
        reply.array(shown().count());
        for replica in shown() {
            self.show_replica(primary, replica, reply);
        }
    }

    fn show_replica(&self, primary: &Primary, replica: &Replica, reply: &mut Reply<'_>) {
        let addr = &replica.node.addr;
        let name = format!("{}:{}", self.core.shown(addr), addr.port);
        let mut flags = self.flags(&replica.node, false, "slave");
        if replica.promoted {
            flags.push("promoted");
        }
        match replica.reconf {
            Reconf::None => {}
            Reconf::Sent => flags.push("reconf_sent"),
            Reconf::InProgress => flags.push("reconf_inprog"),
            Reconf::Done => flags.push("reconf_done"),
        }
        let mut fields = Fields(Vec::new());
        self.head(&mut fields, &name, &replica.node, &flags);
        self.times(&mut fields, &replica.node, None, primary.options.down_after);
        self.reported(&mut fields, &replica.node);
        fields.put("master-link-down-time", replica.link_down_ms);
        fields.put("master-link-status", if replica.link_up { "ok" } else { "err" });
        let (host, port) = &replica.follows;
        fields.put("master-host", if host.is_empty() { "?" } else { host });
        fields.put("master-port", port);
        fields.put("slave-priority", replica.priority);
        fields.put("slave-repl-offset", replica.offset);
        fields.put("replica-announced", u8::from(replica.announced));
        fields.write(reply);
    }

    pub(super) fn show_sentinels(&self, primary: &Primary, reply: &mut Reply<'_>) {
        reply.array(primary.sentinels.len());
        for (run_id, peer) in &primary.sentinels {
            self.show_peer(primary, run_id, peer, reply);
        }
    }

    fn show_peer(&self, primary: &Primary, run_id: &str, peer: &Peer, reply: &mut Reply<'_>) {
        let mut flags = self.flags(&peer.node, false, "sentinel");
        if peer.says_down {
            flags.push("master_down");
        }
        let mut fields = Fields(Vec::new());
        self.head(&mut fields, run_id, &peer.node, &flags);
        self.times(&mut fields, &peer.node, None, primary.options.down_after);
        fields.put("last-hello-message", self.core.now - peer.hello_at);
        fields.put("voted-leader", if peer.leader.is_empty() { "?" } else { &peer.leader });
        fields.put("voted-leader-epoch", peer.leader_epoch);
        fields.write(reply);
    }

    fn flags(&self, node: &Node, odown: bool, kind: &'static str) -> Vec<&'static str> {
        let mut flags = Vec::new();
        if node.is_down() {
            flags.push("s_down");
        }
        if odown {
            flags.push("o_down");
        }
        flags.push(kind);
        if !self.core.is_open(node.link) {
            flags.push("disconnected");
        }
        flags
    }

    fn head(&self, fields: &mut Fields, name: &str, node: &Node, flags: &[&'static str]) {
        let Addr { port, .. } = node.addr;
        let link = self.core.links.get(&node.link);
        fields.put("name", name);
        fields.put("ip", self.core.shown(&node.addr));
        fields.put("port", port);
        fields.put("runid", &node.run_id);
        fields.put("flags", flags.join(","));
        fields.put("link-pending-commands", link.map_or(0, |link| link.pending.len()));
        fields.put("link-refcount", link.map_or(1, |link| link.users));
    }

    fn times(&self, fields: &mut Fields, node: &Node, odown: Option<Millis>, down_after: Millis) {
        let now = self.core.now;
        if let Some(link) = self.core.links.get(&node.link) {
            fields.put("last-ping-sent", link.unanswered_since.map_or(0, |since| now - since));
            fields.put("last-ok-ping-reply", now - link.avail_at);
            fields.put("last-ping-reply", now - link.pong_at);
        }
        if let Some(since) = node.sdown_since {
            fields.put("s-down-time", now - since);
        }
        if let Some(since) = odown {
            fields.put("o-down-time", now - since);
        }
        fields.put("down-after-milliseconds", down_after);
    }

    fn reported(&self, fields: &mut Fields, node: &Node) {
        let now = self.core.now;
        fields.put("info-refresh", node.info_at.map_or(0, |at| now - at));
        fields.put("role-reported", Role::name(node.role));
        fields.put("role-reported-time", now - node.role_at);
    }

    pub(super) fn show_scripts(&self, reply: &mut Reply<'_>) {
        let now = self.core.now;
        reply.array(self.scripts().jobs().len());
        for job in self.scripts().jobs() {
            reply.map(5);
            reply.bulk("argv");
            reply.array(job.argv.len());
            for word in &job.argv {
                reply.bulk(word);
            }
            reply.bulk("flags");
            reply.bulk(if job.running_since.is_some() { "running" } else { "scheduled" });
            reply.bulk("pid");
            reply.bulk(job.pid.to_string());
            match job.running_since {
                Some(since) => {
                    reply.bulk("run-time");
                    reply.bulk((now - since).to_string());
                }
                None => {
                    reply.bulk("run-delay");
                    reply.bulk((job.not_before - now).max(0).to_string());
                }
            }
            reply.bulk("retry-num");
            reply.bulk(job.tries.to_string());
        }
    }

    pub(super) fn show_info_cache(&self, names: &[&[u8]], reply: &mut Reply<'_>) {
        let known: Vec<&Primary> =
            names.iter().filter_map(|name| self.primaries.get(text(name))).collect();
        reply.map(known.len());
        for primary in known {
            reply.bulk(&primary.name);
            let replicas = primary.replicas.values().map(|replica| &replica.node);
            reply.array(1 + primary.replicas.len());
            for node in std::iter::once(&primary.node).chain(replicas) {
                reply.array(2);
                reply.integer(node.info_at.map_or(0, |at| self.core.now - at));
                match node.info_at {
                    Some(_) => reply.bulk(&node.info_text),
                    None => reply.null(),
                }
            }
        }
    }
}
