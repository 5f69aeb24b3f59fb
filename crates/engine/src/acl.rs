//! Users in the running server: who each session is, whether its command may run, and the words of
//! refusals.
//!
//! Users stand behind one mutex (a leaf) and are immutable; a change replaces one and raises the
//! version. A session keeps its user and the version it saw: each command compares the two (one load
//! of a line that is hardly ever written), and only a user with restrictions is asked about the
//! command itself.
//!
//! A user that is removed takes its clients along: each gets a letter, and one that sends a command
//! before the letter arrives is refused and closed.
//!
//! Source: behaviour and texts of Redis 7.0, Redis 7.2 and Valkey 9.1, by `compat`.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ochre_acl::commands::RowId;
use ochre_acl::file::LineError;
use ochre_acl::{Commands, Context, Denied, Digest, Entry, Log, Reason, Request, User, Users};
use ochre_command::args::is;
use ochre_command::spec::Categories;
use ochre_command::{ReplyError, Result};
use ochre_config::{Compat, Settings};
use ochre_pubsub::Kind;

use crate::client_filter::describe;
use crate::engine::Engine;
use crate::mailbox::Message;
use crate::registry::{Registry, Row};
use crate::session::{FLAG_UNAUTHENTICATED, Session};
use crate::turn::{LoopState, Turn};

/// The answer to a log-in that fails, whatever the reason.
pub(crate) const WRONG_PASSWORD: ReplyError =
    ReplyError::fixed("WRONGPASS invalid username-password pair or user is disabled.");
const NO_AUTH: ReplyError = ReplyError::fixed("NOAUTH Authentication required.");
const FIRST_VERSION: u64 = 1;

impl Commands for Registry {
    fn count(&self) -> usize {
        self.rows().len()
    }

    fn by_name(&self, name: &[u8]) -> Option<RowId> {
        self.by_full_name(name).filter(|row| !is_inner(self, row)).map(|row| row.id)
    }

    fn full_name(&self, row: RowId) -> &str {
        &self.row(row).full_name
    }

    fn categories(&self, row: RowId) -> Categories {
        let row = self.row(row);
        if row.full_name == ONE_COMMAND {
            return Categories::ADMIN | Categories::DANGEROUS | Categories::SLOW;
        }
        // A container itself does nothing: its subcommands have the categories.
        match row.subcommands.is_empty() {
            true => row.spec.categories(),
            false => row.spec.extra | Categories::SLOW,
        }
    }

    fn subcommands(&self, row: RowId) -> &[RowId] {
        let row = self.row(row);
        if row.full_name == ONE_COMMAND { &[] } else { &row.subcommands }
    }
}

/// A container here that is one command to rules, as it is in the peers: its words are first
/// arguments.
const ONE_COMMAND: &str = "debug";

/// Whether an unknown word behind a container is a first argument to rules.
pub(crate) fn is_one_command(row: &Row) -> bool {
    row.full_name == ONE_COMMAND
}

/// Whether a row is none to rules.
pub(crate) fn is_inner(registry: &Registry, row: &Row) -> bool {
    row.parent.is_some_and(|parent| registry.row(parent).full_name == ONE_COMMAND)
}

/// The row that rules speak of when they speak of this one.
fn outer<'a>(registry: &'a Registry, row: &'a Row) -> &'a Row {
    match row.parent {
        Some(parent) if is_inner(registry, row) => registry.row(parent),
        _ => row,
    }
}

/// What all loops share. See the module's head.
#[derive(Debug)]
pub struct Acl {
    users: Mutex<Users>,
    version: AtomicU64,
    log: Mutex<Log>,
    /// Refusals since the start, by [`Reason`].
    denied: [AtomicU64; 6],
}

impl Acl {
    /// Only the user `default`, with the password of `requirepass`.
    pub(crate) fn new(registry: &Registry, settings: &Settings) -> Self {
        let context = context(registry, settings);
        let mut users = Users::new(context, 0);
        set_password(&mut users, &settings.requirepass, context);
        Self {
            users: Mutex::new(users),
            version: AtomicU64::new(FIRST_VERSION),
            log: Mutex::default(),
            denied: Default::default(),
        }
    }

    /// The users, to look at.
    pub fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes users; sessions will see it with their next command.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut Users) -> R) -> R {
        let mut users = self.users();
        let result = change(&mut users);
        self.version.fetch_add(1, Ordering::Release);
        result
    }

    /// Which state of the users is in force.
    #[inline]
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether whoever connects gets in without a password: what protected mode asks.
    pub fn needs_no_password(&self) -> bool {
        self.users().find(b"default").is_some_and(|user| user.needs_no_password())
    }

    /// Whether a new connection may do anything without logging in.
    pub fn is_open(&self) -> bool {
        self.users().find(b"default").is_some_and(|user| user.is_open())
    }

    /// The log of refusals.
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refusals for a reason since the start.
    pub fn denied(&self, reason: Reason) -> u64 {
        self.denied[reason as usize].load(Ordering::Relaxed)
    }

    /// CONFIG SET requirepass: the password of the user `default`, or none.
    pub(crate) fn set_default_password(&self, password: &[u8], context: Context<'_>) {
        self.change(|users| set_password(users, password, context));
    }

    /// Takes the users of the configuration, or of the file: at the start. Failure: what to tell the
    /// operator.
    pub fn load_at_start(
        &self,
        engine: &Engine,
        settings: &Settings,
    ) -> std::result::Result<(), String> {
        let lines = {
            let config = engine.config.lock().unwrap_or_else(PoisonError::into_inner);
            config.users().to_vec()
        };
        let context = context(&engine.registry, settings);
        if let Some(path) = &settings.aclfile {
            let shown = path.display().to_string();
            let text = engine.host.read_file(path).map_err(|error| {
                let reason = error.to_string();
                let reason = reason.split(" (os error").next().unwrap_or_default().to_owned();
                format!("Error loading ACLs, opening file '{shown}': {reason}")
            })?;
            self.change(|users| {
                *users = Users::parse_file(&text, &shown, users, context)?;
                Ok(())
            })
        } else {
            let added = self.change(|users| users.add_lines(&lines, context));
            added.map_err(|error| error.message)
        }
    }
}

/// What rules are read against.
pub(crate) fn context<'a>(registry: &'a Registry, settings: &Settings) -> Context<'a> {
    Context {
        commands: registry,
        all_channels: settings.acl_all_channels,
        terse: settings.compat == Compat::Redis70,
    }
}

/// Looks at the `user` lines of a configuration before there is a server.
pub fn check_lines(
    lines: &[Vec<Vec<u8>>],
    settings: &Settings,
) -> std::result::Result<(), LineError> {
    let registry = Registry::new(ochre_families::TABLES, crate::commands::TABLES);
    let context = context(&registry, settings);
    Users::new(context, 0).add_lines(lines, context)
}

fn set_password(users: &mut Users, password: &[u8], context: Context<'_>) {
    let mut user = users.draft(b"default", context);
    user.set_password(password);
    users.put(user);
}

/// Who a session is.
#[derive(Debug, Default)]
pub struct Access {
    /// None: it has not sent anything yet.
    user: Option<Arc<User>>,
    /// The state of the users that this is from; 0: none.
    pub(crate) version: u64,
    /// Nothing is forbidden to it.
    pub(crate) unrestricted: bool,
    /// It has logged in, or need not.
    pub(crate) authenticated: bool,
    /// It has logged in, or could do without when it connected.
    logged_in: bool,
}

impl Access {
    /// Its user; none before its first command.
    pub fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// The name of its user.
    pub fn name(&self) -> Vec<u8> {
        self.user.as_ref().map_or_else(|| b"default".to_vec(), |user| user.name.to_vec())
    }
}

/// Makes a session one of the user `default`, as a new one is. `engine` decides whether it has to log
/// in.
pub fn admit(engine: &Engine, session: &mut Session) {
    session.access = Access::default();
    session.info.change_names(|names| names.user = None);
    renew(engine, session);
}

/// Brings a session up to the present state of the users; false when its user is gone.
fn renew(engine: &Engine, session: &mut Session) -> bool {
    let access = &mut session.access;
    let users = engine.acl.users();
    // Under the lock: no change comes between the version and the users.
    access.version = engine.acl.version();
    let default = users.find(b"default");
    let open = default.is_some_and(|user| user.is_open());
    let user = match &access.user {
        None => {
            access.logged_in = open;
            default.cloned()
        }
        Some(old) => users.find(&old.name).filter(|user| user.id == old.id).cloned(),
    };
    drop(users);
    let there = user.is_some();
    access.unrestricted = user.as_ref().is_some_and(|user| user.is_unrestricted());
    access.authenticated = there && (access.logged_in || open);
    if there {
        access.user = user;
    }
    session.authenticated = access.authenticated;
    session.info.set_flag(FLAG_UNAUTHENTICATED, !access.authenticated);
    there
}

/// Brings the session up to date when users have changed: the gate's first look.
#[cold]
pub(crate) fn refresh(turn: &mut Turn<'_>) -> Result {
    if renew(turn.engine, turn.session) {
        return Ok(());
    }
    turn.session.close_after_reply = true;
    Err(NO_AUTH)
}

/// AUTH and HELLO AUTH. `word` is the command's name as it was sent.
pub(crate) fn log_in(turn: &mut Turn<'_>, name: &[u8], password: &[u8], word: &[u8]) -> Result {
    // Taken for users that are not there, too, so that time does not tell who is.
    let digest = Digest::of(password);
    let user = {
        let users = turn.engine.acl.users();
        let user = users.find(name).filter(|user| user.accepts(&digest)).cloned();
        user.map(|user| (user, turn.engine.acl.version()))
    };
    let Some((user, version)) = user else {
        let context = source(turn);
        note(turn, Reason::Auth, context, word, name);
        return Err(WRONG_PASSWORD);
    };
    become_user(turn.session, user, version);
    Ok(())
}

/// Makes a session that of a user who has shown who it is; `version` is the state of the users that it is
/// from.
fn become_user(session: &mut Session, user: Arc<User>, version: u64) {
    session.info.change_names(|names| names.user = Some(user.name.clone()));
    session.access = Access {
        version,
        unrestricted: user.is_unrestricted(),
        authenticated: true,
        logged_in: true,
        user: Some(user),
    };
    session.authenticated = true;
    session.info.set_flag(FLAG_UNAUTHENTICATED, false);
}

/// Makes a new session that of the first of these names that is a user who may log in: the client's
/// certificate says who it is, so no password is asked for. Without such a user the session stays that of
/// the user `default`, and the refusal is noted with the first name. Gives the user's name.
pub fn admit_certified(
    engine: &Engine,
    session: &mut Session,
    names: &[Vec<u8>],
    lp: &LoopState,
) -> Option<Vec<u8>> {
    let (user, version) = {
        let users = engine.acl.users();
        let mut known = names.iter().filter_map(|name| users.find(name));
        let user = known.find(|user| user.is_enabled()).cloned();
        (user, engine.acl.version())
    };
    if let Some(user) = user {
        let name = user.name.to_vec();
        become_user(session, user, version);
        return Some(name);
    }
    let name = names.first().map_or(&b""[..], Vec::as_slice);
    note_of(engine, session, lp, (Reason::TlsCert, "toplevel"), b"", name);
    None
}

/// Where a refused command came from, for the log.
fn source(turn: &Turn<'_>) -> &'static str {
    if turn.session.multi.is_some() { "multi" } else { "toplevel" }
}

/// Whether the session's user may run a command.
fn verdict(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) -> std::result::Result<(), Denied> {
    let Some(user) = turn.session.access.user() else { return Err(Denied::Command) };
    user.check(&request(turn, row, args))
}

fn request<'a>(turn: &Turn<'_>, row: &'a Row, args: &'a [&'a [u8]]) -> Request<'a> {
    let outer = outer(&turn.engine.registry, row);
    Request { row: outer.id, spec: &row.spec, args, db: u32::from(turn.session.db) }
}

fn reason(denied: Denied) -> Reason {
    match denied {
        Denied::Command => Reason::Command,
        Denied::Database(_) => Reason::Database,
        Denied::Key(_) => Reason::Key,
        Denied::Channel(_) => Reason::Channel,
    }
}

fn object<'a>(denied: Denied, row: &'a Row, args: &[&'a [u8]]) -> &'a [u8] {
    match denied {
        Denied::Command => row.full_name.as_bytes(),
        Denied::Database(at) | Denied::Key(at) | Denied::Channel(at) => args[at],
    }
}

/// Notes a refusal of the session's user.
#[cold]
fn note_denied(turn: &Turn<'_>, denied: Denied, row: &Row, args: &[&[u8]], context: &'static str) {
    turn.session.info.last_row.store(row.id + 1, Ordering::Relaxed);
    let name = turn.session.access.name();
    let row = outer(&turn.engine.registry, row);
    let object = match denied {
        Denied::Database(0) => row.full_name.as_bytes(),
        _ => object(denied, row, args),
    };
    note(turn, reason(denied), context, object, &name);
}

#[cold]
fn note(turn: &Turn<'_>, reason: Reason, context: &'static str, object: &[u8], username: &[u8]) {
    note_of(turn.engine, turn.session, turn.lp, (reason, context), object, username);
}

/// Counts and notes a refusal.
#[cold]
fn note_of(
    engine: &Engine,
    session: &Session,
    lp: &LoopState,
    (reason, context): (Reason, &'static str),
    object: &[u8],
    username: &[u8],
) {
    let acl = &engine.acl;
    acl.denied[reason as usize].fetch_add(1, Ordering::Relaxed);
    let now = lp.now.unix_ms;
    let mut client = String::new();
    describe(engine, &session.info, now / 1000, &mut client);
    let entry = Entry {
        count: 1,
        reason,
        context,
        object: object.to_vec(),
        username: username.to_vec(),
        client: client.trim_end().to_owned(),
        id: 0,
        created_ms: now,
        updated_ms: now,
    };
    acl.log().note(entry, lp.live.settings.acl_log_max);
}

/// The gate's question about a command of a user with restrictions.
#[cold]
pub(crate) fn check(turn: &mut Turn<'_>, row: &Row, args: &[&[u8]]) -> Result {
    if let Err(denied) = verdict(turn, row, args) {
        let context = source(turn);
        note_denied(turn, denied, row, args, context);
        let text = words(turn, denied, row);
        return Err(ReplyError::new(format!("NOPERM {text}")));
    }
    // In a transaction this is an error of the command that runs, not of its queueing.
    if turn.session.multi.is_none() { check_sort(turn, row, args) } else { Ok(()) }
}

/// A refusal in the words of the family that is followed, without the code.
fn words(turn: &Turn<'_>, denied: Denied, row: &Row) -> String {
    let old = turn.live().settings.compat == Compat::Redis70;
    let row = outer(&turn.engine.registry, row);
    match denied {
        Denied::Command if old => {
            format!("this user has no permissions to run the '{}' command", row.full_name)
        }
        Denied::Command => {
            let name = turn.session.access.name();
            let name = String::from_utf8_lossy(&name);
            format!("User {name} has no permissions to run the '{}' command", row.full_name)
        }
        Denied::Key(_) if old => {
            "this user has no permissions to access one of the keys used as arguments".to_owned()
        }
        Denied::Key(_) => "No permissions to access a key".to_owned(),
        Denied::Channel(_) if old => {
            "this user has no permissions to access one of the channels used as arguments"
                .to_owned()
        }
        Denied::Channel(_) => "No permissions to access a channel".to_owned(),
        Denied::Database(_) => "No permissions to access database".to_owned(),
    }
}

/// EXEC's question about a queued command: rules may have changed since.
#[cold]
pub(crate) fn check_again(turn: &mut Turn<'_>, row: &Row, args: &[&[u8]]) -> Result {
    let Err(denied) = verdict(turn, row, args) else { return check_sort(turn, row, args) };
    note_denied(turn, denied, row, args, "multi");
    let reason = match denied {
        Denied::Command => "no permission to execute the command or subcommand",
        Denied::Key(_) => "no permission to touch the specified keys",
        Denied::Channel(_) => "no permission to access one of the channels used as arguments",
        Denied::Database(_) => "no permission",
    };
    Err(ReplyError::new(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC \
         call. This command is no longer allowed for the following reason: {reason}"
    )))
}

/// A script's question about a command.
#[cold]
pub(crate) fn check_in_script(turn: &mut Turn<'_>, row: &Row, args: &[&[u8]]) -> Result {
    let Err(denied) = verdict(turn, row, args) else { return check_sort(turn, row, args) };
    note_denied(turn, denied, row, args, "lua");
    if turn.live().settings.compat != Compat::Redis70 {
        let text = words(turn, denied, row);
        return Err(ReplyError::new(format!("ERR ACL failure in script: {text}")));
    }
    Err(ReplyError::fixed(match denied {
        Denied::Command => "ERR The user executing the script can't run this command or subcommand",
        Denied::Key(_) => {
            "ERR The user executing the script can't access at least one of the keys mentioned in \
             the command arguments"
        }
        Denied::Channel(_) => {
            "ERR The user executing the script can't publish to the channel mentioned in the command"
        }
        Denied::Database(_) => "ERR ACL failure in script: No permissions to access database",
    }))
}

/// Whether the session's user may run a command, without a note: for acl_check_cmd of scripts.
pub(crate) fn may_run(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) -> bool {
    turn.session.access.unrestricted || verdict(turn, row, args).is_ok()
}

/// What ACL DRYRUN says of a command of `user`; none when it may run.
pub(crate) fn dry_run(turn: &Turn<'_>, user: &User, row: &Row, args: &[&[u8]]) -> Option<Vec<u8>> {
    let denied = user.check(&request(turn, row, args)).err()?;
    let who = match turn.live().settings.compat {
        Compat::Redis70 => "This user".to_owned(),
        _ => format!("User {}", String::from_utf8_lossy(&user.name)),
    };
    let object = object(denied, outer(&turn.engine.registry, row), args);
    let object = String::from_utf8_lossy(object);
    let text = match denied {
        Denied::Command => format!("run the '{object}' command"),
        Denied::Key(_) => format!("access the '{object}' key"),
        Denied::Channel(_) => format!("access the '{object}' channel"),
        Denied::Database(_) => format!("access database {object}"),
    };
    Some(format!("{who} has no permissions to {text}").into_bytes())
}

/// BY and GET of SORT reach keys that no specification names: they need the right to read all.
fn check_sort(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) -> Result {
    if !matches!(row.full_name.as_str(), "sort" | "sort_ro") {
        return Ok(());
    }
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let pattern = args.get(at + 1);
        let option = match pattern {
            Some(pattern) if is(word, "by") && pattern.contains(&b'*') => "BY",
            Some(_) if is(word, "get") => "GET",
            _ => {
                let one = is(word, "asc") || is(word, "desc") || is(word, "alpha");
                at += if one { 1 } else { 2 + usize::from(is(word, "limit")) };
                continue;
            }
        };
        let user = turn.session.access.user();
        if user.is_some_and(|user| user.reads_everything(&request(turn, row, args))) {
            return Ok(());
        }
        return Err(ReplyError::new(format!(
            "ERR {option} option of SORT denied due to insufficient ACL permissions."
        )));
    }
    Ok(())
}

/// Closes clients, the calling one after its reply.
pub(crate) fn close(turn: &mut Turn<'_>, clients: impl IntoIterator<Item = (u16, u64)>) {
    for (event_loop, client) in clients {
        if client == turn.session.id() {
            turn.session.close_after_reply = true;
        } else {
            turn.engine.tell(event_loop, Message::Kill { client });
        }
    }
}

/// Closes the clients whose user's name is chosen.
pub(crate) fn close_clients_of(turn: &mut Turn<'_>, chosen: impl Fn(&[u8]) -> bool) {
    let all = turn.engine.clients.all().into_iter();
    let victims: Vec<(u16, u64)> =
        all.filter(|info| chosen(&info.user())).map(|info| (info.event_loop, info.id)).collect();
    close(turn, victims);
}

/// Closes the clients of a user that listen to what it may not hear any more.
pub(crate) fn close_listeners_of(turn: &mut Turn<'_>, user: &User) {
    let mut suspects = BTreeSet::new();
    for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
        turn.engine.channels.each(kind, |name, subscribers| {
            if !user.may_listen(name, kind == Kind::Pattern) {
                suspects.extend(subscribers.iter().map(|s| (s.event_loop, s.client)));
            }
        });
    }
    let clients = &turn.engine.clients;
    let is_its = |id: u64| clients.by_id(id).is_some_and(|info| *info.user() == *user.name);
    suspects.retain(|(_, client)| is_its(*client));
    close(turn, suspects);
}
