//! What operators change at run time: MONITOR, SET, CONFIG, DEBUG.

use ochre_base::clock::Millis;
use ochre_base::glob::{Case, matches};
use ochre_base::num::parse_i64;
use ochre_resp::Reply;

use super::{NO_SUCH, text};
use crate::TEXT_MAX;
use crate::config::{Refusal, yes_no};
use crate::machine::{Sentinel, Timing};
use crate::output::Level;
use crate::primary::Primary;

impl Sentinel {
    pub(super) fn monitor_command(
        &mut self,
        name: &str,
        host: &str,
        port: &[u8],
        quorum: &[u8],
        reply: &mut Reply<'_>,
    ) {
        let Some(quorum) = parse_i64(quorum) else {
            reply.error("ERR Invalid quorum");
            return;
        };
        let Some(port) = parse_i64(port) else {
            reply.error("ERR Invalid port");
            return;
        };
        let Some(quorum) = u32::try_from(quorum).ok().filter(|quorum| *quorum > 0) else {
            reply.error("ERR Quorum must be 1 or greater.");
            return;
        };
        let Ok(port) = u16::try_from(port) else {
            reply.error("ERR Invalid port number.");
            return;
        };
        let Some(addr) = self.core.addr(host, port) else {
            reply.error("ERR Invalid IP address or hostname specified");
            return;
        };
        match self.monitor(name, addr, quorum) {
            Ok(()) => {}
            Err(Refusal::Duplicate) => return reply.error("ERR Duplicate master name."),
            Err(Refusal::Name) => return reply.error("ERR Invalid master name."),
            Err(Refusal::TooMany) => return reply.error("ERR Too many masters."),
        }
        self.core.persist();
        let text = format!("master {name} {host} {port} quorum {quorum}");
        self.core.event(Level::Warning, "+monitor", text, None);
        reply.ok();
    }

    pub(super) fn set_command(&mut self, name: &str, options: &[&[u8]], reply: &mut Reply<'_>) {
        let Some(mut primary) = self.primaries.remove(name) else {
            reply.error(NO_SUCH);
            return;
        };
        let changed = self.set_options(&mut primary, options, reply);
        self.primaries.insert(name.to_owned(), primary);
        if changed > 0 {
            self.core.persist();
        }
    }

    /// Sets options one by one; those before one that is wrong stay set. Gives how many were.
    fn set_options(
        &mut self,
        primary: &mut Primary,
        options: &[&[u8]],
        reply: &mut Reply<'_>,
    ) -> usize {
        let (mut at, mut changed) = (0, 0);
        while at < options.len() {
            let option = text(options[at]).to_ascii_lowercase();
            let count = if option == "rename-command" { 2 } else { 1 };
            let Some(values) = options.get(at + 1..at + 1 + count) else {
                return unknown(options[at], changed, reply);
            };
            let values: Vec<&str> = values.iter().map(|value| text(value)).collect();
            match self.set_option(primary, &option, &values) {
                Ok(()) => {}
                Err(SetError::Unknown) => return unknown(options[at], changed, reply),
                Err(SetError::Denied) => {
                    reply.error(
                        "ERR Reconfiguration of scripts path is denied for security reasons. \
                         Check the deny-scripts-reconfig configuration directive in your Sentinel \
                         configuration",
                    );
                    return changed;
                }
                Err(SetError::Script) => {
                    reply.error("ERR Notification script seems non existing or non executable");
                    return changed;
                }
                Err(SetError::Value) => {
                    let value = values.first().copied().unwrap_or_default();
                    let option = String::from_utf8_lossy(options[at]);
                    reply.error(format!(
                        "ERR Invalid argument '{value}' for SENTINEL SET '{option}'"
                    ));
                    return changed;
                }
            }
            changed += 1;
            let shown = if option == "auth-pass" { "******".into() } else { values.join(" ") };
            let text = format!("{} {option} {shown}", self.core.describe_primary(primary));
            self.core.event(Level::Warning, "+set", text, None);
            at += 1 + count;
        }
        reply.ok();
        changed
    }

    fn set_option(
        &mut self,
        primary: &mut Primary,
        option: &str,
        values: &[&str],
    ) -> Result<(), SetError> {
        let value = values.first().copied().unwrap_or_default();
        if values.iter().any(|value| value.len() > TEXT_MAX || value.contains('\u{fffd}')) {
            return Err(SetError::Value);
        }
        let number = || parse_i64(value.as_bytes()).ok_or(SetError::Value);
        let positive = || number().and_then(|n| if n > 0 { Ok(n) } else { Err(SetError::Value) });
        let count = || u32::try_from(positive()?).map_err(|_| SetError::Value);
        let some = || (!value.is_empty()).then(|| value.to_owned());
        let deny = self.core.globals.deny_scripts_reconfig;
        let options = &mut primary.options;
        match option {
            "down-after-milliseconds" => options.down_after = positive()?,
            "failover-timeout" => options.failover_timeout = positive()?,
            "parallel-syncs" => options.parallel_syncs = count()?,
            "quorum" => options.quorum = count()?,
            "master-reboot-down-after-period" => {
                let ms = number()?;
                if ms < 0 {
                    return Err(SetError::Value);
                }
                options.reboot_down_after = ms;
            }
            "notification-script" | "client-reconfig-script" => {
                if deny {
                    return Err(SetError::Denied);
                }
                if !value.is_empty() && !self.core.host.is_executable(value) {
                    return Err(SetError::Script);
                }
                match option {
                    "notification-script" => options.notification_script = some(),
                    _ => options.reconfig_script = some(),
                }
            }
            "auth-pass" | "auth-user" => {
                match option {
                    "auth-pass" => options.auth_pass = some(),
                    _ => options.auth_user = some(),
                }
                self.reconnect(primary);
            }
            "rename-command" => {
                let old = value.to_ascii_lowercase();
                let new = values.get(1).copied().unwrap_or_default();
                if old.is_empty() || new.is_empty() {
                    return Err(SetError::Value);
                }
                // Named as itself: renamed no more.
                if new.eq_ignore_ascii_case(&old) {
                    options.renames.remove(&old);
                } else {
                    options.renames.insert(old, new.to_owned());
                }
            }
            _ => return Err(SetError::Unknown),
        }
        Ok(())
    }

    /// Links are made anew, to log in anew.
    fn reconnect(&mut self, primary: &Primary) {
        let nodes = std::iter::once(&primary.node)
            .chain(primary.replicas.values().map(|replica| &replica.node));
        for node in nodes {
            self.core.cut(node.link);
            if let Some(id) = node.subscription {
                self.core.cut(id);
            }
        }
    }

    pub(super) fn config_command(&mut self, args: &[&[u8]], reply: &mut Reply<'_>) {
        let verb = args.first().map(|verb| verb.to_ascii_lowercase()).unwrap_or_default();
        match (text(&verb), args.get(1..).unwrap_or_default()) {
            ("get", patterns) if !patterns.is_empty() => self.config_get(patterns, reply),
            ("set", pairs) if !pairs.is_empty() && pairs.len() % 2 == 0 => {
                for pair in pairs.chunks_exact(2) {
                    if let Err(error) = self.config_set(text(pair[0]), text(pair[1])) {
                        reply.error(error);
                        return;
                    }
                }
                self.core.persist();
                reply.ok();
            }
            _ => reply.error(
                "ERR Only SENTINEL CONFIG GET <option> / SET <option> <value> are supported.",
            ),
        }
    }

    fn config_get(&self, patterns: &[&[u8]], reply: &mut Reply<'_>) {
        let globals = &self.core.globals;
        let yes_no = |on: bool| if on { "yes" } else { "no" }.to_owned();
        let hidden = |text: &String| if text.is_empty() { "" } else { "******" }.to_owned();
        let all = [
            ("resolve-hostnames", yes_no(globals.resolve_hostnames)),
            ("announce-hostnames", yes_no(globals.announce_hostnames)),
            ("announce-ip", globals.announce_ip.clone()),
            ("announce-port", globals.announce_port.to_string()),
            ("sentinel-user", globals.sentinel_user.clone()),
            ("sentinel-pass", hidden(&globals.sentinel_pass)),
        ];
        let is_asked = |name: &str| {
            patterns.iter().any(|pattern| matches(pattern, name.as_bytes(), Case::Ignored))
        };
        let found: Vec<_> = all.into_iter().filter(|(name, _)| is_asked(name)).collect();
        reply.map(found.len());
        for (name, value) in found {
            reply.bulk(name);
            reply.bulk(value);
        }
    }

    fn config_set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let invalid = || format!("ERR Invalid value '{value}' to SENTINEL CONFIG SET '{option}'");
        if value.len() > TEXT_MAX || value.contains('\u{fffd}') {
            return Err(invalid());
        }
        let core = &mut self.core;
        match option.to_ascii_lowercase().as_str() {
            "resolve-hostnames" => {
                core.globals.resolve_hostnames = yes_no(value).ok_or_else(invalid)?;
            }
            "announce-hostnames" => {
                core.globals.announce_hostnames = yes_no(value).ok_or_else(invalid)?;
            }
            "announce-ip" => core.globals.announce_ip = value.to_owned(),
            "announce-port" => {
                let port = parse_i64(value.as_bytes()).and_then(|port| u16::try_from(port).ok());
                core.globals.announce_port = port.ok_or_else(invalid)?;
            }
            "sentinel-user" | "sentinel-pass" => {
                match option.to_ascii_lowercase().as_str() {
                    "sentinel-user" => core.globals.sentinel_user = value.to_owned(),
                    _ => core.globals.sentinel_pass = value.to_owned(),
                }
                let links: Vec<_> = self
                    .primaries
                    .values()
                    .flat_map(|primary| primary.sentinels.values().map(|peer| peer.node.link))
                    .collect();
                links.into_iter().for_each(|link| core.cut(link));
            }
            _ => return Err(format!("ERR Invalid argument '{option}' to SENTINEL CONFIG SET")),
        }
        Ok(())
    }

    pub(super) fn debug_command(&mut self, args: &[&[u8]], reply: &mut Reply<'_>) {
        if args.is_empty() {
            let timing = &mut self.core.timing;
            reply.map(TIMES.len());
            for (name, field) in TIMES {
                reply.bulk(name);
                reply.bulk(field(timing).to_string());
            }
            return;
        }
        for pair in args.chunks(2) {
            let name = String::from_utf8_lossy(pair[0]);
            let row = TIMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
            let (Some((_, field)), [_, value]) = (row, pair) else {
                reply.error(format!(
                    "ERR Unknown option or number of arguments for SENTINEL DEBUG '{name}'"
                ));
                return;
            };
            let Some(ms) = parse_i64(value).filter(|ms| *ms > 0) else {
                let value = String::from_utf8_lossy(value);
                reply.error(format!("ERR Invalid argument '{value}' for SENTINEL DEBUG '{name}'"));
                return;
            };
            *field(&mut self.core.timing) = ms;
        }
        reply.ok();
    }
}

type Field = fn(&mut Timing) -> &mut Millis;

/// The periods by their names.
const TIMES: &[(&str, Field)] = &[
    ("INFO-PERIOD", |t| &mut t.info_period),
    ("PING-PERIOD", |t| &mut t.ping_period),
    ("ASK-PERIOD", |t| &mut t.ask_period),
    ("PUBLISH-PERIOD", |t| &mut t.publish_period),
    ("DEFAULT-DOWN-AFTER", |t| &mut t.default_down_after),
    ("DEFAULT-FAILOVER-TIMEOUT", |t| &mut t.default_failover_timeout),
    ("TILT-TRIGGER", |t| &mut t.tilt_trigger),
    ("TILT-PERIOD", |t| &mut t.tilt_period),
    ("SLAVE-RECONF-TIMEOUT", |t| &mut t.replica_reconf_timeout),
    ("MIN-LINK-RECONNECT-PERIOD", |t| &mut t.min_link_reconnect_period),
    ("ELECTION-TIMEOUT", |t| &mut t.election_timeout),
    ("SCRIPT-MAX-RUNTIME", |t| &mut t.script_max_runtime),
    ("SCRIPT-RETRY-DELAY", |t| &mut t.script_retry_delay),
];

enum SetError {
    Unknown,
    Denied,
    Script,
    Value,
}

fn unknown(option: &[u8], changed: usize, reply: &mut Reply<'_>) -> usize {
    let option = String::from_utf8_lossy(option);
    reply.error(format!("ERR Unknown option or number of arguments for SENTINEL SET '{option}'"));
    changed
}
