//! What clients of a sentinel may say.
//!
//! Order of the checks: the command is there, it has as many arguments as it may, the client has logged in, its user may
//! run it. A reply is written aside and appended when what the command caused has been done.

use std::collections::BTreeSet;

use ochre_acl::Request;
use ochre_acl::commands::{CATEGORIES, Commands};
use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::spec::Flags;
use ochre_engine::registry::Row;
use ochre_engine::version::{OCHRE, REPORTED};
use ochre_resp::{Protocol, Reply};

use super::acl::WRONG_PASSWORD;
use super::client::{Client, Silence};
use super::driver::Driver;

/// Most channels and patterns of one client.
const CHANNELS_MAX: usize = 10_000;

const FLAG_NAMES: &[(Flags, &str)] = &[
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

impl Driver {
    /// Runs a command of a client and appends its reply.
    pub(super) fn run_command(&mut self, id: u64, args: &[&[u8]]) {
        self.commands += 1;
        let now_ms = self.now_ms();
        self.machine.at(self.now());
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.active_ms = now_ms;
        let protocol = client.protocol;
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, protocol);
        if let Err(text) = self.admit(id, args) {
            reply.error(text);
        } else {
            self.dispatch(id, args, &mut reply);
        }
        let votes = args.get(1).is_some_and(|name| is_vote(name));
        if !self.perform() && votes {
            // Whoever votes and forgets it could vote twice.
            out.clear();
            Reply::new(&mut out, protocol).error("ERR Failed to save the configuration file");
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        match client.silent {
            Silence::No => client.output.extend_from_slice(&out),
            Silence::Next => client.silent = Silence::No,
            Silence::Yes => {}
        }
    }

    /// Whether a command may run; else what to answer.
    fn admit(&mut self, id: u64, args: &[&[u8]]) -> Result<(), Vec<u8>> {
        let name = args.first().copied().unwrap_or_default();
        let Some(top) = self.registry.find(name) else { return Err(unknown(args)) };
        let wrong_count = |row: &Row| {
            format!("ERR wrong number of arguments for '{}' command", row.full_name).into_bytes()
        };
        let row = match args.get(1) {
            Some(word) if !top.subcommands.is_empty() => {
                self.registry.subcommand(top, word).ok_or_else(|| {
                    let word = String::from_utf8_lossy(word);
                    let name = top.spec.name.to_ascii_uppercase();
                    format!("ERR unknown subcommand '{word}'. Try {name} HELP.").into_bytes()
                })?
            }
            _ => top,
        };
        if !row.spec.accepts(args.len()) {
            return Err(wrong_count(row));
        }
        let Some(client) = self.clients.get_mut(&id) else { return Err(Vec::new()) };
        if !client.authenticated && !row.spec.flags.contains(Flags::NO_AUTH) {
            return Err(b"NOAUTH Authentication required.".to_vec());
        }
        let request = Request { row: row.id, spec: &row.spec, args, db: 0 };
        if !row.spec.flags.contains(Flags::NO_AUTH) && client.user.check(&request).is_err() {
            let user = String::from_utf8_lossy(&client.user.name);
            let text = format!(
                "NOPERM User {user} has no permissions to run the '{}' command",
                row.full_name
            );
            return Err(text.into_bytes());
        }
        let listening = client.is_listening() && client.protocol == Protocol::Resp2;
        let allowed = row.spec.flags.contains(Flags::PUBSUB) && row.spec.name != "publish";
        if listening && !allowed && !matches!(row.spec.name, "ping" | "quit") {
            let text = format!(
                "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
                 are allowed in this context",
                row.full_name
            );
            return Err(text.into_bytes());
        }
        client.command.clone_from(&row.full_name);
        Ok(())
    }

    fn dispatch(&mut self, id: u64, args: &[&[u8]], reply: &mut Reply<'_>) {
        let name = args.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (name.as_slice(), args) {
            (b"sentinel", _) => self.machine.command(args, reply),
            (b"publish", [_, channel, text]) => self.machine.publish(channel, text, reply),
            (b"role", _) => self.machine.role(reply),
            (b"info", [_, sections @ ..]) => self.info(sections, reply),
            (b"acl", _) => self.acl_command(id, args, reply),
            (b"command", [_, rest @ ..]) => self.command_command(rest, reply),
            (b"shutdown", [_, options @ ..]) => self.shutdown(options, reply),
            (b"hello", [_, options @ ..]) => self.hello(id, options, reply),
            (b"auth", [_, credentials @ ..]) => self.auth(id, credentials, reply),
            (b"client", [_, verb, rest @ ..]) => self.client_command(id, verb, rest, reply),
            _ => {
                if let Some(client) = self.clients.get_mut(&id) {
                    of_client(client, &name, &args[1..], reply);
                }
            }
        }
    }

    fn shutdown(&mut self, options: &[&[u8]], reply: &mut Reply<'_>) {
        let known = ["nosave", "save", "now", "force"];
        if options.iter().any(|word| !known.iter().any(|one| is(word, one))) {
            reply.error("ERR syntax error");
            return;
        }
        crate::log::warning("User requested shutdown...");
        self.shut_down();
    }

    fn auth(&mut self, id: u64, credentials: &[&[u8]], reply: &mut Reply<'_>) {
        let (name, password) = match credentials {
            [password] => {
                if self.users.find(b"default").is_some_and(|user| user.needs_no_password()) {
                    reply.error(
                        "ERR AUTH <password> called without any password configured for the default user. \
                         Are you sure your configuration is correct?",
                    );
                    return;
                }
                (&b"default"[..], *password)
            }
            [name, password] => (*name, *password),
            _ => return reply.error("ERR syntax error"),
        };
        if self.log_in(id, name, password) {
            reply.ok();
        } else {
            reply.error(WRONG_PASSWORD);
        }
    }

    fn hello(&mut self, id: u64, options: &[&[u8]], reply: &mut Reply<'_>) {
        let mut protocol = None;
        let mut rest = options;
        if let [version, after @ ..] = rest {
            protocol = match *version {
                b"2" => Some(Protocol::Resp2),
                b"3" => Some(Protocol::Resp3),
                other if parse_i64(other).is_none() => {
                    reply.error("ERR Protocol version is not an integer or out of range");
                    return;
                }
                _ => return reply.error("NOPROTO unsupported protocol version"),
            };
            rest = after;
        }
        let mut named = None;
        while let [option, after @ ..] = rest {
            rest = match after {
                [name, password, after @ ..] if is(option, "auth") => {
                    if !self.log_in(id, name, password) {
                        return reply.error(WRONG_PASSWORD);
                    }
                    after
                }
                [name, after @ ..] if is(option, "setname") => {
                    named = Some(name.to_vec());
                    after
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return reply.error(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            };
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        if !client.authenticated {
            reply.error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                 <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
                 RESP protocol version at the same time",
            );
            return;
        }
        if let Some(name) = named {
            client.name = name;
        }
        if let Some(protocol) = protocol {
            client.protocol = protocol;
            reply.switch_protocol(protocol);
        }
        reply.map(6);
        for (field, value) in [("server", "redis"), ("version", REPORTED)] {
            reply.bulk(field);
            reply.bulk(value);
        }
        reply.bulk("proto");
        reply.integer(client.protocol.version());
        reply.bulk("id");
        reply.integer(id as i64);
        reply.bulk("mode");
        reply.bulk("sentinel");
        reply.bulk("modules");
        reply.empty_array();
    }

    fn info(&self, sections: &[&[u8]], reply: &mut Reply<'_>) {
        let wants = |name: &str| {
            let general =
                |word: &&&[u8]| ["all", "default", "everything"].iter().any(|s| is(word, s));
            sections.is_empty() || sections.iter().any(|word| is(word, name) || general(&word))
        };
        let now = self.now();
        let uptime = now.mono_us / 1_000_000;
        let mut out = Vec::new();
        if wants("server") {
            out.push(format!(
                "# Server\r\nredis_version:{REPORTED}\r\nochre_version:{OCHRE}\r\nredis_mode:sentinel\r\n\
                 arch_bits:{}\r\nprocess_id:{}\r\nrun_id:{}\r\ntcp_port:{}\r\nserver_time_usec:{}\r\n\
                 uptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\nconfig_file:{}\r\n",
                usize::BITS,
                std::process::id(),
                self.run_id,
                self.machine.globals().port,
                now.unix_us,
                uptime / 86_400,
                self.path.display()
            ));
        }
        if wants("clients") {
            out.push(format!(
                "# Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\n",
                self.clients.len(),
                self.settings.maxclients
            ));
        }
        if wants("stats") {
            out.push(format!(
                "# Stats\r\ntotal_connections_received:{}\r\ntotal_commands_processed:{}\r\n",
                self.connections, self.commands
            ));
        }
        if wants("sentinel") {
            out.push(self.machine.info());
        }
        reply.verbatim(*b"txt", out.join("\r\n"));
    }

    fn command_command(&self, rest: &[&[u8]], reply: &mut Reply<'_>) {
        let tops = || self.registry.rows().iter().filter(|row| row.parent.is_none());
        match rest {
            [verb] if is(verb, "count") => reply.integer(tops().count() as i64),
            [verb, ..] if is(verb, "list") => {
                let rows = self.registry.rows();
                reply.array(rows.len());
                rows.iter().for_each(|row| reply.bulk(&row.full_name));
            }
            [verb, names @ ..] if is(verb, "info") && !names.is_empty() => {
                reply.array(names.len());
                for name in names {
                    match self.registry.by_full_name(name) {
                        Some(row) => self.describe(row, reply),
                        None => reply.null_array(),
                    }
                }
            }
            // The documentation of these commands is that of HELP.
            [verb, ..] if is(verb, "docs") => reply.map(0),
            _ => {
                reply.array(tops().count());
                tops().for_each(|row| self.describe(row, reply));
            }
        }
    }

    fn describe(&self, row: &Row, reply: &mut Reply<'_>) {
        let flags: Vec<&str> = FLAG_NAMES
            .iter()
            .filter(|(bit, _)| row.spec.flags.contains(*bit))
            .map(|(_, name)| *name)
            .collect();
        let all = self.registry.categories(row.id);
        let categories: Vec<String> = CATEGORIES
            .iter()
            .filter(|(bit, _)| all.contains(*bit))
            .map(|(_, name)| format!("@{name}"))
            .collect();
        reply.array(10);
        reply.bulk(&row.full_name);
        reply.integer(i64::from(row.spec.arity));
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.status(flag));
        (0..3).for_each(|_| reply.integer(0));
        reply.set(categories.len());
        categories.iter().for_each(|category| reply.status(category));
        reply.set(0);
        reply.set(0);
        reply.set(row.subcommands.len());
        for sub in &row.subcommands {
            self.describe(self.registry.row(*sub), reply);
        }
    }

    fn client_command(&mut self, id: u64, verb: &[u8], rest: &[&[u8]], reply: &mut Reply<'_>) {
        let now_ms = self.now_ms();
        if is(verb, "list") {
            let lines: String = self.clients.values().map(|client| client.line(now_ms)).collect();
            reply.verbatim(*b"txt", lines);
            return;
        }
        if is(verb, "kill") {
            self.kill(id, rest, reply);
            return;
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        match (verb.to_ascii_lowercase().as_slice(), rest) {
            (b"id", _) => reply.integer(id as i64),
            (b"info", _) => reply.verbatim(*b"txt", client.line(now_ms)),
            (b"getname", _) if client.name.is_empty() => reply.null(),
            (b"getname", _) => reply.bulk(&client.name),
            (b"setname", [name]) => {
                if !name.iter().all(u8::is_ascii_graphic) {
                    reply.error(
                        "ERR Client names cannot contain spaces, newlines or special characters.",
                    );
                    return;
                }
                client.name = name.to_vec();
                reply.ok();
            }
            (b"setinfo", [attribute, value]) => {
                if is(attribute, "lib-name") {
                    client.lib.0 = value.to_vec();
                } else if is(attribute, "lib-ver") {
                    client.lib.1 = value.to_vec();
                } else {
                    let attribute = String::from_utf8_lossy(attribute);
                    reply.error(format!("ERR Unrecognized option '{attribute}'"));
                    return;
                }
                reply.ok();
            }
            (b"reply", [mode]) if is(mode, "on") => {
                client.silent = Silence::No;
                reply.ok();
            }
            (b"reply", [mode]) if is(mode, "off") => client.silent = Silence::Yes,
            (b"reply", [mode]) if is(mode, "skip") => client.silent = Silence::Next,
            _ => reply.error("ERR syntax error"),
        }
    }

    fn kill(&mut self, id: u64, rest: &[&[u8]], reply: &mut Reply<'_>) {
        let mut skip_me = true;
        let mut filters: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let is_old = rest.len() == 1;
        if let [addr] = rest {
            filters.push((b"addr".to_vec(), addr.to_vec()));
            skip_me = false;
        } else if rest.len() % 2 == 1 {
            return reply.error("ERR syntax error");
        }
        for pair in rest.chunks_exact(2) {
            match pair[0].to_ascii_lowercase().as_slice() {
                b"skipme" => skip_me = !is(pair[1], "no"),
                name @ (b"addr" | b"laddr" | b"id" | b"user" | b"type") => {
                    filters.push((name.to_vec(), pair[1].to_vec()));
                }
                _ => return reply.error("ERR syntax error"),
            }
        }
        let matches = |client: &Client| {
            filters.iter().all(|(name, value)| match name.as_slice() {
                b"addr" => client.addr.as_bytes() == value,
                b"laddr" => client.local_addr.as_bytes() == value,
                b"id" => parse_i64(value) == Some(client.id as i64),
                b"user" => *client.user.name == **value,
                _ => value.eq_ignore_ascii_case(match client.is_listening() {
                    true => b"pubsub",
                    false => b"normal",
                }),
            })
        };
        let mut killed = 0;
        for (other, client) in &mut self.clients {
            if (*other != id || !skip_me) && matches(client) {
                client.closing = true;
                killed += 1;
            }
        }
        match (is_old, killed) {
            (true, 0) => reply.error("ERR No such client"),
            (true, _) => reply.ok(),
            (false, _) => reply.integer(killed),
        }
    }
}

fn is_vote(name: &[u8]) -> bool {
    is(name, "is-master-down-by-addr") || is(name, "is-primary-down-by-addr")
}

fn unknown(args: &[&[u8]]) -> Vec<u8> {
    let mut text = b"ERR unknown command '".to_vec();
    let name = args.first().copied().unwrap_or_default();
    text.extend_from_slice(&name[..name.len().min(128)]);
    text.extend_from_slice(b"', with args beginning with: ");
    for arg in args.iter().skip(1) {
        if text.len() > 128 {
            break;
        }
        text.push(b'\'');
        text.extend_from_slice(&arg[..arg.len().min(128)]);
        text.extend_from_slice(b"' ");
    }
    text
}

/// What concerns one client only.
fn of_client(client: &mut Client, name: &[u8], args: &[&[u8]], reply: &mut Reply<'_>) {
    match (name, args) {
        (b"ping", []) if client.is_listening() && client.protocol == Protocol::Resp2 => {
            reply.array(2);
            reply.bulk("pong");
            reply.bulk("");
        }
        (b"ping", [text]) if client.is_listening() && client.protocol == Protocol::Resp2 => {
            reply.array(2);
            reply.bulk("pong");
            reply.bulk(text);
        }
        (b"ping", []) => reply.pong(),
        (b"ping", [text]) => reply.bulk(text),
        (b"quit", _) => {
            client.closing = true;
            reply.ok();
        }
        (b"subscribe", channels) => listen(client, "subscribe", channels, reply),
        (b"psubscribe", patterns) => listen(client, "psubscribe", patterns, reply),
        (b"unsubscribe", channels) => forget(client, "unsubscribe", channels, reply),
        (b"punsubscribe", patterns) => forget(client, "punsubscribe", patterns, reply),
        _ => reply.error("ERR syntax error"),
    }
}

fn listen(client: &mut Client, verb: &str, names: &[&[u8]], reply: &mut Reply<'_>) {
    let is_pattern = verb.starts_with('p');
    for name in names {
        if !client.user.may_listen(name, is_pattern) {
            let user = String::from_utf8_lossy(&client.user.name);
            reply.error(format!("NOPERM User {user} has no permissions to access the channel"));
            return;
        }
    }
    for name in names {
        if client.channels.len() + client.patterns.len() >= CHANNELS_MAX {
            reply.error("ERR too many channels");
            return;
        }
        match is_pattern {
            true => client.patterns.insert(name.to_vec()),
            false => client.channels.insert(name.to_vec()),
        };
        say(client, verb, Some(name), reply);
    }
}

fn forget(client: &mut Client, verb: &str, names: &[&[u8]], reply: &mut Reply<'_>) {
    let is_pattern = verb.starts_with('p');
    let own = |client: &Client| -> BTreeSet<Vec<u8>> {
        if is_pattern { client.patterns.clone() } else { client.channels.clone() }
    };
    let names: Vec<Vec<u8>> = match names {
        [] => own(client).into_iter().collect(),
        _ => names.iter().map(|name| name.to_vec()).collect(),
    };
    if names.is_empty() {
        say(client, verb, None, reply);
    }
    for name in names {
        match is_pattern {
            true => client.patterns.remove(&name),
            false => client.channels.remove(&name),
        };
        say(client, verb, Some(&name), reply);
    }
}

fn say(client: &Client, verb: &str, name: Option<&[u8]>, reply: &mut Reply<'_>) {
    reply.push(3);
    reply.bulk(verb);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer((client.channels.len() + client.patterns.len()) as i64);
}
