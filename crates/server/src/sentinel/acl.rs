//! Users of a sentinel: who they are at the start, AUTH, and the ACL command.

use ochre_acl::commands::{CATEGORIES, Commands, category};
use ochre_acl::password::digits;
use ochre_acl::{Context, Digest, Request, User, Users, merged};
use ochre_command::args::is;
use ochre_config::Settings;
use ochre_resp::Reply;

use super::driver::{Driver, context};
use super::file;
use crate::host::reason;

pub(super) const WRONG_PASSWORD: &str =
    "WRONGPASS invalid username-password pair or user is disabled.";
/// Most bits of ACL GENPASS.
const BITS_MAX: usize = 4096;

/// The users of the configuration, or of the file of users.
pub(super) fn load(
    settings: &Settings,
    lines: &[Vec<Vec<u8>>],
    context: Context<'_>,
) -> Result<Users, String> {
    let mut users = Users::new(context, 0);
    let mut user = users.draft(b"default", context);
    user.set_password(&settings.requirepass);
    users.put(user);
    match &settings.aclfile {
        Some(path) => {
            let shown = path.display().to_string();
            let text = std::fs::read(path).map_err(|error| {
                format!("Error loading ACLs, opening file '{shown}': {}", reason(&error))
            })?;
            Users::parse_file(&text, &shown, &users, context)
        }
        None => {
            users.add_lines(lines, context).map_err(|error| error.message)?;
            Ok(users)
        }
    }
}

/// The `user` lines of the configuration file; none when there is a file of users.
pub(super) fn lines(users: &Users, settings: &Settings) -> Vec<Vec<u8>> {
    if settings.aclfile.is_some() { Vec::new() } else { users.lines(settings.compat) }
}

impl Driver {
    /// Makes a client one of a user, if the password is right.
    pub(super) fn log_in(&mut self, id: u64, name: &[u8], password: &[u8]) -> bool {
        // Taken for users that are not there, too, so that time does not tell who is.
        let digest = Digest::of(password);
        let user = self.users.find(name).filter(|user| user.accepts(&digest)).cloned();
        let (Some(user), Some(client)) = (user, self.clients.get_mut(&id)) else { return false };
        client.user = user;
        client.authenticated = true;
        true
    }

    /// Brings clients up to date with the users: those whose user is gone, or has another password, are closed.
    fn users_have_changed(&mut self) {
        self.users_changed = true;
        let users = &self.users;
        for client in self.clients.values_mut() {
            match users.find(&client.user.name) {
                Some(user) if user.id == client.user.id => client.user = user.clone(),
                _ => client.closing = true,
            }
        }
    }

    pub(super) fn acl_command(&mut self, id: u64, args: &[&[u8]], reply: &mut Reply<'_>) {
        let Some((_, rest)) = args.split_at_checked(2) else { return };
        match (args[1].to_ascii_lowercase().as_slice(), rest) {
            (b"whoami", _) => {
                let name = self.clients.get(&id).map(|client| client.user.name.to_vec());
                reply.bulk(name.unwrap_or_default());
            }
            (b"list", _) => {
                let lines = self.users.lines(self.settings.compat);
                reply.array(lines.len());
                lines.iter().for_each(|line| reply.bulk(line));
            }
            (b"users", _) => {
                reply.array(self.users.iter().count());
                self.users.iter().for_each(|user| reply.bulk(&user.name));
            }
            (b"cat", []) => {
                reply.array(CATEGORIES.len());
                CATEGORIES.iter().for_each(|(_, name)| reply.bulk(name));
            }
            (b"cat", [name]) => self.commands_of(name, reply),
            (b"getuser", [name]) => self.show_user(name, reply),
            (b"setuser", [name, rules @ ..]) => self.set_user(name, rules, reply),
            (b"deluser", names) => self.delete_users(names, reply),
            (b"genpass", bits) => generate(bits, reply),
            (b"dryrun", [name, command @ ..]) => self.dry_run(name, command, reply),
            (b"save" | b"load", _) => self.acl_file(is(args[1], "save"), reply),
            _ => reply.error("ERR syntax error"),
        }
    }

    fn commands_of(&self, name: &[u8], reply: &mut Reply<'_>) {
        let Some((bit, _)) = category(name) else {
            let name = String::from_utf8_lossy(name);
            reply.error(format!("ERR Unknown category '{name}'"));
            return;
        };
        let rows = self.registry.rows().iter();
        let names: Vec<&str> = rows
            .filter(|row| self.registry.categories(row.id).contains(bit))
            .map(|row| row.full_name.as_str())
            .collect();
        reply.array(names.len());
        names.iter().for_each(|name| reply.bulk(name));
    }

    fn show_user(&self, name: &[u8], reply: &mut Reply<'_>) {
        let Some(user) = self.users.find(name) else { return reply.null_array() };
        reply.map(6);
        reply.bulk("flags");
        let flags = user.flags(self.settings.compat);
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.bulk(flag));
        reply.bulk("passwords");
        reply.array(user.passwords().len());
        user.passwords().iter().for_each(|password| reply.bulk(password.to_string()));
        for (field, text) in [
            ("commands", user.root().commands_text()),
            ("keys", user.root().keys_text()),
            ("channels", user.root().channels_text()),
        ] {
            reply.bulk(field);
            reply.bulk(text);
        }
        reply.bulk("selectors");
        reply.array(user.selectors().len());
        for selector in user.selectors() {
            reply.map(3);
            for (field, text) in [
                ("commands", selector.commands_text()),
                ("keys", selector.keys_text()),
                ("channels", selector.channels_text()),
            ] {
                reply.bulk(field);
                reply.bulk(text);
            }
        }
    }

    fn set_user(&mut self, name: &[u8], rules: &[&[u8]], reply: &mut Reply<'_>) {
        if !ochre_acl::file::is_valid_name(name) {
            reply.error("ERR Usernames can't contain spaces or null characters");
            return;
        }
        let context = context(&self.registry, &self.settings);
        let mut user: User = self.users.draft(name, context);
        let rules = match merged(rules) {
            Ok(rules) => rules,
            Err(at) => {
                let rule = String::from_utf8_lossy(rules[at]);
                reply.error(format!(
                    "ERR Unmatched parenthesis in acl selector starting at '{rule}'."
                ));
                return;
            }
        };
        for rule in &rules {
            if let Err(error) = user.apply(rule, context) {
                let rule = String::from_utf8_lossy(rule);
                reply.error(format!("ERR Error in ACL SETUSER modifier '{rule}': {error}"));
                return;
            }
        }
        self.users.put(user);
        self.users_have_changed();
        reply.ok();
    }

    fn delete_users(&mut self, names: &[&[u8]], reply: &mut Reply<'_>) {
        if names.contains(&&b"default"[..]) {
            reply.error("ERR The 'default' user cannot be removed");
            return;
        }
        let count = names.iter().filter(|name| self.users.remove(name).is_some()).count();
        self.users_have_changed();
        reply.integer(count as i64);
    }

    fn dry_run(&self, name: &[u8], command: &[&[u8]], reply: &mut Reply<'_>) {
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let Some(user) = self.users.find(name) else {
            reply.error(format!("ERR User '{}' not found", shown(name)));
            return;
        };
        let Some(row) = self.registry.resolve(command) else {
            let name = shown(command.first().copied().unwrap_or_default());
            reply.error(format!("ERR Command '{name}' not found"));
            return;
        };
        match user.check(&Request { row: row.id, spec: &row.spec, args: command, db: 0 }) {
            Ok(()) => reply.ok(),
            Err(_) => reply.bulk(format!(
                "User {} has no permissions to run the '{}' command",
                shown(name),
                row.full_name
            )),
        }
    }

    fn acl_file(&mut self, save: bool, reply: &mut Reply<'_>) {
        let Some(path) = self.settings.aclfile.clone() else {
            reply.error(
                "ERR This Ochre instance is not configured to use an ACL file. You may want to specify users \
                 via the ACL SETUSER command and then use SENTINEL FLUSHCONFIG to store users in the \
                 configuration file.",
            );
            return;
        };
        let shown = path.display().to_string();
        if save {
            let text = self.users.file_text(self.settings.compat);
            match file::replace(&path, &text) {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(format!(
                    "ERR There was an error trying to save the ACLs: {}",
                    reason(&error)
                )),
            }
            return;
        }
        let context = context(&self.registry, &self.settings);
        let read = std::fs::read(&path).map_err(|error| {
            format!("Error loading ACLs, opening file '{shown}': {}", reason(&error))
        });
        match read.and_then(|text| Users::parse_file(&text, &shown, &self.users, context)) {
            Ok(users) => {
                self.users = users;
                self.users_have_changed();
                reply.ok();
            }
            Err(text) => reply.error(format!("ERR {text}")),
        }
    }
}

fn generate(bits: &[&[u8]], reply: &mut Reply<'_>) {
    let bits = match bits {
        [] => Some(256),
        [bits] => ochre_base::num::parse_i64(bits)
            .and_then(|bits| usize::try_from(bits).ok())
            .filter(|bits| (1..=BITS_MAX).contains(bits)),
        _ => None,
    };
    let Some(bits) = bits else {
        reply.error(format!(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up \
             to {BITS_MAX}"
        ));
        return;
    };
    let mut random = vec![0; bits.div_ceil(8)];
    match getrandom::fill(&mut random) {
        Ok(()) => reply.bulk(digits(&random, bits)),
        Err(error) => reply.error(format!("ERR no random numbers: {error}")),
    }
}
