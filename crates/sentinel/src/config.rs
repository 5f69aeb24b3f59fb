//! Lines of the configuration that begin with `sentinel`: read at the start, written whenever the state changes.
//!
//! Lines are read in three rounds, so that their order does not matter: what is not of one primary, `monitor`, the rest.
//! What is written loads to the same state: epochs, votes, replicas and sentinels are in it.

use std::borrow::Cow;

use ochre_base::num::parse_i64;

use crate::addr::Addr;
use crate::machine::{Core, Sentinel};
use crate::mutation::Mutation;
use crate::primary::{Options, Primary};
use crate::{PRIMARIES_MAX, TEXT_MAX};

/// What is not of one primary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globals {
    /// This sentinel's run id, 40 hexadecimal digits, kept over restarts.
    pub myid: String,
    /// The port that it listens on.
    pub port: u16,
    /// `announce-ip`; empty for the address of the link.
    pub announce_ip: String,
    /// `announce-port`; 0 for the port that is listened on.
    pub announce_port: u16,
    /// `resolve-hostnames`
    pub resolve_hostnames: bool,
    /// `announce-hostnames`
    pub announce_hostnames: bool,
    /// `deny-scripts-reconfig`
    pub deny_scripts_reconfig: bool,
    /// `sentinel-user`; empty for none.
    pub sentinel_user: String,
    /// `sentinel-pass`; empty for none.
    pub sentinel_pass: String,
    /// `requirepass`: other sentinels are taken to have the same when `sentinel-pass` is not set.
    pub password: String,
}

impl Globals {
    /// Those of a sentinel with this run id.
    pub fn new(myid: String, port: u16) -> Self {
        Self { myid, port, deny_scripts_reconfig: true, ..Self::default() }
    }

    /// User and password at other sentinels.
    pub(crate) fn peer_credentials(&self) -> (Option<String>, Option<String>) {
        let some = |text: &String| (!text.is_empty()).then(|| text.clone());
        match some(&self.sentinel_pass) {
            Some(pass) => (some(&self.sentinel_user), Some(pass)),
            None => (None, some(&self.password)),
        }
    }
}

/// What is wrong with a line.
pub type Wrong = Cow<'static, str>;

const NO_SUCH: &str = "No such master with specified name.";
const UNKNOWN: &str = "Unrecognized sentinel configuration statement.";

/// In which round a line is read.
fn round(name: &str) -> u8 {
    match name {
        "myid"
        | "current-epoch"
        | "announce-ip"
        | "announce-port"
        | "deny-scripts-reconfig"
        | "sentinel-user"
        | "sentinel-pass"
        | "resolve-hostnames"
        | "announce-hostnames" => 0,
        "monitor" => 1,
        _ => 2,
    }
}

/// The run id that the lines give, if they do: it must be known before anything else.
pub fn myid_of(lines: &[Vec<Vec<u8>>]) -> Option<String> {
    let line =
        lines.iter().find(|line| line.len() == 2 && line[0].eq_ignore_ascii_case(b"myid"))?;
    String::from_utf8(line[1].clone()).ok()
}

impl Sentinel {
    /// Reads lines, each as its words without `sentinel`. Failure: the index of the first that is wrong, and why.
    pub fn load(&mut self, lines: &[Vec<Vec<u8>>]) -> Result<(), (usize, Wrong)> {
        for current in 0..3 {
            for (at, words) in lines.iter().enumerate() {
                let words: Option<Vec<&str>> =
                    words.iter().map(|word| std::str::from_utf8(word).ok()).collect();
                let Some(words) = words else { return Err((at, UNKNOWN.into())) };
                let Some((name, args)) = words.split_first() else {
                    return Err((at, UNKNOWN.into()));
                };
                let name = name.to_ascii_lowercase();
                if words.iter().any(|word| word.len() > TEXT_MAX) {
                    return Err((at, "A word is too long.".into()));
                }
                if round(&name) == current {
                    self.line(&name, args).map_err(|wrong| (at, wrong))?;
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, name: &str, args: &[&str]) -> Result<(), Wrong> {
        let core = &mut self.core;
        match (name, args) {
            ("myid", [id]) if id.len() == 40 => core.globals.myid = (*id).to_owned(),
            ("myid", [_]) => return Err("Malformed Sentinel id in myid option.".into()),
            ("current-epoch", [epoch]) => {
                core.current_epoch = core.current_epoch.max(number(epoch)?);
            }
            ("announce-ip", [ip]) => core.globals.announce_ip = (*ip).to_owned(),
            ("announce-port", [port]) => core.globals.announce_port = number(port)?,
            ("sentinel-user", [user]) => core.globals.sentinel_user = (*user).to_owned(),
            ("sentinel-pass", [pass]) => core.globals.sentinel_pass = (*pass).to_owned(),
            ("deny-scripts-reconfig", [word]) => {
                core.globals.deny_scripts_reconfig = yes_no(word)
                    .ok_or("Please specify yes or no for the deny-scripts-reconfig options.")?;
            }
            ("resolve-hostnames", [word]) => {
                core.globals.resolve_hostnames = yes_no(word)
                    .ok_or("Please specify yes or no for the resolve-hostnames option.")?;
            }
            ("announce-hostnames", [word]) => {
                core.globals.announce_hostnames = yes_no(word)
                    .ok_or("Please specify yes or no for the announce-hostnames option.")?;
            }
            ("monitor", [name, host, port, quorum]) => {
                let quorum = number::<u32>(quorum)?;
                if quorum == 0 {
                    return Err("Quorum must be 1 or greater.".into());
                }
                let port = number::<u16>(port).map_err(|_| "Invalid port number.")?;
                let addr = load_addr(core, host, port)?;
                self.monitor(name, addr, quorum).map_err(|refusal| match refusal {
                    Refusal::Duplicate => "Duplicate master name.",
                    Refusal::Name => "Invalid master name.",
                    Refusal::TooMany => "Too many masters.",
                })?;
            }
            (_, [primary, args @ ..]) => {
                let found = self.primaries.get_mut(*primary);
                return of_primary(core, found.ok_or(NO_SUCH)?, name, args);
            }
            _ => return Err(UNKNOWN.into()),
        }
        Ok(())
    }

    /// Watches one more primary.
    pub(crate) fn monitor(&mut self, name: &str, addr: Addr, quorum: u32) -> Result<(), Refusal> {
        if self.primaries.contains_key(name) {
            return Err(Refusal::Duplicate);
        }
        // A comma would spoil hello messages, a blank the configuration.
        let odd = |c: char| c == ',' || c.is_whitespace() || c.is_control();
        if name.is_empty() || name.len() > TEXT_MAX || name.contains(odd) {
            return Err(Refusal::Name);
        }
        if self.primaries.len() >= PRIMARIES_MAX {
            return Err(Refusal::TooMany);
        }
        let timing = &self.core.timing;
        let options = Options {
            quorum,
            down_after: timing.default_down_after,
            failover_timeout: timing.default_failover_timeout,
            parallel_syncs: 1,
            notification_script: None,
            reconfig_script: None,
            auth_user: None,
            auth_pass: None,
            renames: Default::default(),
            reboot_down_after: 0,
        };
        let primary = self.core.make_primary(name, addr, options);
        self.primaries.insert(name.to_owned(), primary);
        Ok(())
    }

    /// The lines that describe the state, without `sentinel`: name, then arguments.
    pub fn lines(&self) -> Vec<Vec<String>> {
        let mut out = Lines(Vec::new());
        let globals = &self.core.globals;
        out.put(&["myid", &globals.myid]);
        let yes_no = |on: bool| if on { "yes" } else { "no" };
        if !globals.deny_scripts_reconfig {
            out.put(&["deny-scripts-reconfig", "no"]);
        }
        for (name, on) in [
            ("resolve-hostnames", globals.resolve_hostnames),
            ("announce-hostnames", globals.announce_hostnames),
        ] {
            if on {
                out.put(&[name, yes_no(on)]);
            }
        }
        for (name, text) in [
            ("announce-ip", &globals.announce_ip),
            ("sentinel-user", &globals.sentinel_user),
            ("sentinel-pass", &globals.sentinel_pass),
        ] {
            if !text.is_empty() {
                out.put(&[name, text]);
            }
        }
        if globals.announce_port != 0 {
            out.put(&["announce-port", &globals.announce_port.to_string()]);
        }
        for primary in self.primaries.values() {
            self.primary_lines(primary, &mut out);
        }
        out.put(&["current-epoch", &self.core.current_epoch.to_string()]);
        out.0
    }

    fn primary_lines(&self, primary: &Primary, out: &mut Lines) {
        let (name, options) = (primary.name.as_str(), &primary.options);
        let addr = primary.current_addr();
        let (port, quorum) = (addr.port.to_string(), options.quorum.to_string());
        out.put(&["monitor", name, self.core.written(addr), &port, &quorum]);
        let timing = &self.core.timing;
        for (option, value, default) in [
            ("down-after-milliseconds", options.down_after, timing.default_down_after),
            ("failover-timeout", options.failover_timeout, timing.default_failover_timeout),
            ("parallel-syncs", i64::from(options.parallel_syncs), 1),
            ("master-reboot-down-after-period", options.reboot_down_after, 0),
        ] {
            if value != default {
                out.put(&[option, name, &value.to_string()]);
            }
        }
        for (option, value) in [
            ("notification-script", &options.notification_script),
            ("client-reconfig-script", &options.reconfig_script),
            ("auth-pass", &options.auth_pass),
            ("auth-user", &options.auth_user),
        ] {
            if let Some(value) = value {
                out.put(&[option, name, value]);
            }
        }
        for (old, new) in &options.renames {
            out.put(&["rename-command", name, old, new]);
        }
        out.put(&["config-epoch", name, &primary.config_epoch.to_string()]);
        if !self.core.has(Mutation::ForgetVotes) {
            out.put(&["leader-epoch", name, &primary.leader_epoch.to_string()]);
        }
        for replica in primary.replicas.values() {
            // After a promotion the file names the new primary, and the old one among its replicas.
            let known = match replica.node.addr.is_same(addr) {
                true => &primary.node.addr,
                false => &replica.node.addr,
            };
            let port = known.port.to_string();
            out.put(&["known-replica", name, self.core.written(known), &port]);
        }
        for (run_id, peer) in &primary.sentinels {
            let addr = &peer.node.addr;
            let port = addr.port.to_string();
            out.put(&["known-sentinel", name, self.core.written(addr), &port, run_id]);
        }
    }
}

struct Lines(Vec<Vec<String>>);

impl Lines {
    fn put(&mut self, words: &[&str]) {
        self.0.push(words.iter().map(|word| (*word).to_owned()).collect());
    }
}

/// Why a primary is not watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Duplicate,
    Name,
    TooMany,
}

fn number<T: TryFrom<i64>>(text: &str) -> Result<T, Wrong> {
    let value = parse_i64(text.as_bytes()).and_then(|value| T::try_from(value).ok());
    value.ok_or_else(|| "Wrong number in sentinel configuration statement.".into())
}

fn positive(text: &str) -> Result<i64, Wrong> {
    match parse_i64(text.as_bytes()) {
        Some(value) if value > 0 => Ok(value),
        _ => Err("negative or zero time parameter.".into()),
    }
}

pub(crate) fn yes_no(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// An address of the file. A name that does not resolve now may do so later.
fn load_addr(core: &mut Core, host: &str, port: u16) -> Result<Addr, Wrong> {
    match core.addr(host, port) {
        Some(addr) => Ok(addr),
        None if core.globals.resolve_hostnames => {
            Ok(Addr { host: host.to_owned(), ip: String::new(), port })
        }
        None => Err("Can't resolve instance hostname.".into()),
    }
}

fn of_primary(
    core: &mut Core,
    primary: &mut Primary,
    name: &str,
    args: &[&str],
) -> Result<(), Wrong> {
    let options = &mut primary.options;
    match (name, args) {
        ("down-after-milliseconds", [ms]) => options.down_after = positive(ms)?,
        ("failover-timeout", [ms]) => options.failover_timeout = positive(ms)?,
        ("parallel-syncs", [count]) => options.parallel_syncs = number(count)?,
        ("master-reboot-down-after-period", [ms]) => {
            let ms: i64 = number(ms)?;
            if ms < 0 {
                return Err("negative time parameter.".into());
            }
            options.reboot_down_after = ms;
        }
        ("notification-script", [path]) => {
            if !core.host.is_executable(path) {
                return Err("Notification script seems non existing or non executable.".into());
            }
            options.notification_script = Some((*path).to_owned());
        }
        ("client-reconfig-script", [path]) => {
            if !core.host.is_executable(path) {
                return Err(
                    "Client reconfiguration script seems non existing or non executable.".into()
                );
            }
            options.reconfig_script = Some((*path).to_owned());
        }
        ("auth-pass", [pass]) => options.auth_pass = Some((*pass).to_owned()),
        ("auth-user", [user]) => options.auth_user = Some((*user).to_owned()),
        ("rename-command", [old, new]) => {
            let old = old.to_ascii_lowercase();
            if options.renames.insert(old, (*new).to_owned()).is_some() {
                return Err("Same command renamed multiple times with rename-command.".into());
            }
        }
        ("config-epoch", [epoch]) => {
            primary.config_epoch = number(epoch)?;
            core.current_epoch = core.current_epoch.max(primary.config_epoch);
        }
        ("leader-epoch", [epoch]) => {
            primary.leader_epoch = number(epoch)?;
            core.current_epoch = core.current_epoch.max(primary.leader_epoch);
        }
        ("known-replica" | "known-slave", [host, port]) => {
            let addr = load_addr(core, host, number(port)?)?;
            core.add_replica(primary, &addr);
        }
        ("known-sentinel", [host, port, run_id]) => {
            let addr = load_addr(core, host, number(port)?)?;
            if *run_id != core.globals.myid {
                core.add_peer(primary, run_id, &addr);
            }
        }
        _ => return Err(UNKNOWN.into()),
    }
    Ok(())
}

impl Core {
    /// How an address is written to the file: by name when names are resolved.
    fn written<'a>(&self, addr: &'a Addr) -> &'a str {
        addr.shown(self.globals.resolve_hostnames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::NoNames;
    use ochre_base::clock::Now;

    fn sentinel() -> Sentinel {
        let globals = Globals::new("a".repeat(40), 26379);
        Sentinel::new(globals, Box::new(NoNames), 1, Now::default())
    }

    fn words(text: &str) -> Vec<Vec<Vec<u8>>> {
        let line = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        text.lines().map(line).collect()
    }

    const FILE: &str = "\
known-replica m 10.0.0.2 6379
auth-pass m secret
monitor m 10.0.0.1 6379 2
down-after-milliseconds m 1000
rename-command m CONFIG guessme
leader-epoch m 7
config-epoch m 6
known-sentinel m 10.0.0.9 26379 bbbb
announce-ip 1.2.3.4
current-epoch 3";

    /// What was written loads to the same, and the order does not matter.
    #[test]
    fn lines_come_back() {
        let mut one = sentinel();
        one.load(&words(FILE)).unwrap();
        assert_eq!(one.current_epoch(), 7);
        let lines: Vec<String> = one.lines().iter().map(|line| line.join(" ")).collect();
        for line in ["rename-command m config guessme", "leader-epoch m 7", "current-epoch 7"] {
            assert!(lines.iter().any(|known| known == line), "{line}: {lines:?}");
        }
        let mut other = sentinel();
        other.load(&words(&lines.join("\n"))).unwrap();
        assert_eq!(other.lines(), one.lines());
        assert_eq!(other.primaries()["m"].sentinels.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_line() {
        for (text, at, wrong) in [
            ("monitor m 10.0.0.1 1 0", 0, "Quorum"),
            ("monitor m 10.0.0.1 70000 1", 0, "port"),
            ("monitor m a.example 1 1", 0, "resolve"),
            ("monitor m,n 10.0.0.1 1 1", 0, "name"),
            ("monitor m 10.0.0.1 1 1\nmonitor m 10.0.0.1 1 1", 1, "Duplicate"),
            ("monitor m 10.0.0.1 1 1\ndown-after-milliseconds m 0", 1, "negative"),
            ("auth-pass m x", 0, "No such master"),
            ("myid abc", 0, "Malformed"),
            ("nosuch a b", 0, "No such master"),
            ("nosuch", 0, "Unrecognized"),
        ] {
            let (found, text_found) = sentinel().load(&words(text)).unwrap_err();
            assert_eq!(found, at, "{text}");
            assert!(text_found.contains(wrong), "{text}: {text_found}");
        }
    }
}
