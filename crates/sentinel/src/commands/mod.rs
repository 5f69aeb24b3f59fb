//! The SENTINEL command, and what INFO, ROLE and PUBLISH say in a sentinel.
//!
//! The caller has checked that the subcommand exists and has as many arguments as it may. After a command the outputs are done before its reply is sent: an answer that tells of a vote stands behind the writing of it.

mod help;
mod set;
mod show;

use ochre_base::glob::{Case, matches};
use ochre_base::num::parse_i64;
use ochre_resp::Reply;

use crate::election;
use crate::failover;
use crate::hello;
use crate::machine::{KeepPeers, Sentinel};
use crate::output::Level;
use crate::primary::{Cause, Primary};

pub(crate) const NO_SUCH: &str = "ERR No such master with that name";

/// The text of an argument; what is not UTF-8 is the name of nothing here.
pub(crate) fn text(arg: &[u8]) -> &str {
    std::str::from_utf8(arg).unwrap_or("\u{fffd}")
}

impl Sentinel {
    /// Runs a subcommand: `args` are `SENTINEL`, its name and its arguments.
    pub fn command(&mut self, args: &[&[u8]], reply: &mut Reply<'_>) {
        let name = args.get(1).map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (text(&name), args.get(2..).unwrap_or_default()) {
            ("help", _) => help::help(reply),
            ("masters" | "primaries", _) => self.show_primaries(reply),
            ("master" | "primary", [name]) => self.with(name, reply, Sentinel::show_primary),
            ("slaves" | "replicas", [name]) => self.with(name, reply, Sentinel::show_replicas),
            ("sentinels", [name]) => self.with(name, reply, Sentinel::show_sentinels),
            ("get-master-addr-by-name" | "get-primary-addr-by-name", [name]) => {
                self.address(text(name), reply);
            }
            ("is-master-down-by-addr" | "is-primary-down-by-addr", [host, port, epoch, run_id]) => {
                self.is_down(text(host), port, epoch, text(run_id), reply);
            }
            ("ckquorum", [name]) => self.with(name, reply, |_, primary, reply| {
                check_quorum(primary, reply);
            }),
            ("failover", [name, rest @ ..]) => self.failover(text(name), rest, reply),
            ("reset", [pattern]) => reply.integer(self.reset(pattern)),
            ("remove", [name]) => self.remove(text(name), reply),
            ("monitor", [name, host, port, quorum]) => {
                self.monitor_command(text(name), text(host), port, quorum, reply);
            }
            ("set", [name, options @ ..]) => self.set_command(text(name), options, reply),
            ("config", rest) => self.config_command(rest, reply),
            ("debug", rest) => self.debug_command(rest, reply),
            ("myid", _) => reply.bulk(&self.core.globals.myid),
            ("flushconfig", _) => {
                self.core.persist();
                reply.ok();
            }
            ("pending-scripts", _) => self.show_scripts(reply),
            ("info-cache", names) => self.show_info_cache(names, reply),
            ("simulate-failure", kinds) => self.simulate(kinds, reply),
            _ => {
                let shown = String::from_utf8_lossy(args.get(1).copied().unwrap_or_default());
                reply.error(format!("ERR unknown subcommand '{shown}'. Try SENTINEL HELP."));
            }
        }
    }

    fn with(
        &self,
        name: &[u8],
        reply: &mut Reply<'_>,
        show: impl Fn(&Self, &Primary, &mut Reply<'_>),
    ) {
        match self.primaries.get(text(name)) {
            Some(primary) => show(self, primary, reply),
            None => reply.error(NO_SUCH),
        }
    }

    fn address(&self, name: &str, reply: &mut Reply<'_>) {
        match self.primaries.get(name) {
            Some(primary) => {
                let addr = primary.current_addr();
                reply.array(2);
                reply.bulk(self.core.shown(addr));
                reply.bulk(addr.port.to_string());
            }
            None => reply.null_array(),
        }
    }

    /// Whether this sentinel takes a primary for down; and its vote, if it is asked for.
    fn is_down(
        &mut self,
        host: &str,
        port: &[u8],
        epoch: &[u8],
        run_id: &str,
        reply: &mut Reply<'_>,
    ) {
        let (port, epoch) = (parse_i64(port), parse_i64(epoch));
        let (Some(port), Some(epoch)) = (port, epoch) else {
            reply.error("ERR value is not an integer or out of range");
            return;
        };
        let (port, epoch) = (u16::try_from(port).unwrap_or(0), u64::try_from(epoch).unwrap_or(0));
        let core = &mut self.core;
        let asked = core.addr(host, port);
        let is_it = |primary: &&mut Primary| {
            let addr = &primary.node.addr;
            addr.port == port
                && (addr.host == host || asked.as_ref().is_some_and(|asked| asked.is_same(addr)))
        };
        let mut down = false;
        let (mut leader, mut leader_epoch) = ("*".to_owned(), 0);
        if let Some(primary) = self.primaries.values_mut().find(is_it) {
            down = core.tilt_since.is_none() && primary.node.is_down();
            if run_id != "*" && run_id.len() <= crate::TEXT_MAX {
                let (voted, at) = election::vote(core, primary, epoch, run_id);
                if !voted.is_empty() {
                    (leader, leader_epoch) = (voted, at);
                }
            }
        }
        reply.array(3);
        reply.integer(i64::from(down));
        reply.bulk(leader);
        reply.integer(i64::try_from(leader_epoch).unwrap_or(i64::MAX));
    }

    fn failover(&mut self, name: &str, rest: &[&[u8]], reply: &mut Reply<'_>) {
        let Some(primary) = self.primaries.get_mut(name) else {
            reply.error(NO_SUCH);
            return;
        };
        let cause = match rest {
            [] => Cause::Forced,
            [word] if word.eq_ignore_ascii_case(b"coordinated") => Cause::Coordinated,
            _ => {
                reply.error("ERR Unknown failover option specified");
                return;
            }
        };
        if primary.is_failing_over() {
            reply.error("INPROG Failover already in progress");
            return;
        }
        let no_replica = failover::best_replica(&self.core, primary).is_none();
        let no_primary = cause == Cause::Coordinated && !self.core.is_open(primary.node.link);
        if no_replica || no_primary {
            reply.error("NOGOODSLAVE No suitable replica to promote");
            return;
        }
        let log = format!("Executing user requested FAILOVER of '{name}'");
        self.core.event(Level::Debug, "", log, None);
        failover::start(&mut self.core, primary, cause);
        reply.ok();
    }

    /// Forgets what is known of the primaries whose names match.
    fn reset(&mut self, pattern: &[u8]) -> i64 {
        let mut count = 0;
        for (name, primary) in &mut self.primaries {
            if matches(pattern, name.as_bytes(), Case::Sensitive) {
                let to = primary.current_addr().clone();
                if !to.is_same(&primary.node.addr) {
                    // Others know of the promoted replica by this epoch: there is no way back.
                    hello::announce_switch(&mut self.core, primary, &to);
                    primary.node.addr = to;
                }
                self.core.reset_primary(primary, KeepPeers::No);
                count += 1;
            }
        }
        if count > 0 {
            self.core.persist();
        }
        count
    }

    fn remove(&mut self, name: &str, reply: &mut Reply<'_>) {
        let Some(primary) = self.primaries.remove(name) else {
            reply.error(NO_SUCH);
            return;
        };
        let text = self.core.describe_primary(&primary);
        self.core.event(Level::Warning, "-monitor", text, None);
        self.core.release_node(&primary.node);
        for replica in primary.replicas.values() {
            self.core.release_node(&replica.node);
        }
        for peer in primary.sentinels.values() {
            self.core.release_node(&peer.node);
        }
        self.core.persist();
        reply.ok();
    }

    fn simulate(&mut self, kinds: &[&[u8]], reply: &mut Reply<'_>) {
        for kind in kinds {
            match text(&kind.to_ascii_lowercase()) {
                "crash-after-election" => self.core.simulated.after_election = true,
                "crash-after-promotion" => self.core.simulated.after_promotion = true,
                "help" => {
                    reply.array(2);
                    reply.bulk("crash-after-election");
                    reply.bulk("crash-after-promotion");
                    return;
                }
                _ => {
                    reply.error("ERR Unknown failure simulation specified");
                    return;
                }
            }
        }
        reply.ok();
    }

    /// PUBLISH: only hello messages, as other sentinels send them.
    pub fn publish(&mut self, channel: &[u8], message: &[u8], reply: &mut Reply<'_>) {
        if channel != crate::HELLO_CHANNEL.as_bytes() {
            reply.error("ERR Only HELLO messages are accepted by Sentinel instances.");
            return;
        }
        hello::receive(&mut self.core, &mut self.primaries, text(message));
        reply.integer(1);
    }

    /// ROLE.
    pub fn role(&self, reply: &mut Reply<'_>) {
        reply.array(2);
        reply.bulk("sentinel");
        reply.array(self.primaries.len());
        for name in self.primaries.keys() {
            reply.bulk(name);
        }
    }

    /// The section of INFO.
    pub fn info(&self) -> String {
        let tilt = self.tilt_ms();
        let flags = u8::from(self.core.simulated.after_election)
            + 2 * u8::from(self.core.simulated.after_promotion);
        let scripts = self.scripts();
        let mut out = format!(
            "# Sentinel\r\nsentinel_masters:{}\r\nsentinel_tilt:{}\r\n\
             sentinel_tilt_since_seconds:{}\r\nsentinel_running_scripts:{}\r\n\
             sentinel_scripts_queue_length:{}\r\nsentinel_simulate_failure_flags:{flags}\r\n",
            self.primaries.len(),
            u8::from(tilt.is_some()),
            tilt.map_or(-1, |ms| ms / 1000),
            scripts.running(),
            scripts.jobs().len(),
        );
        for (at, primary) in self.primaries.values().enumerate() {
            let status = match (primary.odown_since, primary.node.is_down()) {
                (Some(_), _) => "odown",
                (None, true) => "sdown",
                (None, false) => "ok",
            };
            let addr = &primary.node.addr;
            out.push_str(&format!(
                "master{at}:name={},status={status},address={}:{},slaves={},sentinels={}\r\n",
                primary.name,
                self.core.shown(addr),
                addr.port,
                primary.replicas.len(),
                primary.sentinels.len() + 1
            ));
        }
        out
    }
}

fn check_quorum(primary: &Primary, reply: &mut Reply<'_>) {
    let voters = primary.sentinels.len() + 1;
    let usable = 1 + primary.sentinels.values().filter(|peer| !peer.node.is_down()).count();
    let quorum = usable < primary.options.quorum as usize;
    let majority = usable < voters / 2 + 1;
    if !quorum && !majority {
        reply.status(format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
        return;
    }
    let mut reasons = Vec::new();
    if quorum {
        reasons
            .push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if majority {
        reasons
            .push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    reply.error(format!("NOQUORUM {usable} usable Sentinels. {}", reasons.join(". ")));
}
