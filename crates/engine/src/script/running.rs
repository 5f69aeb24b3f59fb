//! A script under way: its locks, its commands, its limits.
//!
//! **Locks.** A script that is proven to stay within its declared keys takes their shards' locks and
//! nothing else, so that scripts on other keys run beside it. Any other takes the script lock first:
//! then it may widen its set when it touches a key that it did not declare. One that did so once takes
//! all locks from then on. Inside EXEC all locks are held already.
//!
//! **Commands** run as in EXEC: the row is looked up, the script's own rules are checked, the handler
//! runs under the locks that are held, its effects are collected. The client's session serves them
//! while the script runs, with its database put back afterwards; so does the loop's state. Both are
//! moved in and out, since the interpreter's functions can only reach what they own.
//!
//! **Time.** Beyond busy-reply-threshold the script is listed for all loops to see, and looks each time
//! the interpreter's hook runs whether somebody asked it to end; the loop's pump keeps the other
//! clients of this loop answered.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ochre_base::compat::Compat;
use ochre_command::data::{Data, Work};
use ochre_command::keys::each_key;
use ochre_command::spec::{Flags, KeyFlags};
use ochre_command::{Key, ReplyError, Result};
use ochre_keyspace::lock::{Locked, ScriptLock};
use ochre_keyspace::log::Effects;
use ochre_keyspace::shard::DbIndex;
use ochre_resp::{Output, Protocol, Reply};
use ochre_script::shebang;
use ochre_script::vm::{Done, Entry};
use ochre_script::{Function, Host, Tick};
use smallvec::SmallVec;

use crate::engine::Engine;
use crate::lockplan::Plan;
use crate::registry::{Row, Run};
use crate::script::local::Local;
use crate::script::{Kind, Slow};
use crate::session::Session;
use crate::turn::{LoopState, Turn, env};
use crate::{acl, blocking, execute, gate, monitor, tracking};

/// Words of the calling command that FUNCTION STATS shows, and bytes of each.
const SHOWN_WORDS: usize = 32;
const SHOWN_BYTES: usize = 1024;

/// What a script may do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rules {
    /// No command that writes.
    pub(crate) read_only: bool,
    /// Memory does not matter.
    pub(crate) allow_oom: bool,
}

impl Rules {
    /// The rules of a script with these flags (none: it has no first line that says so), called by a
    /// command that may be of the `_RO` kind.
    pub(crate) fn of(
        turn: &Turn<'_>,
        flags: Option<shebang::Flags>,
        ro_command: bool,
    ) -> Result<Self> {
        let Some(flags) = flags else {
            return Ok(Self { read_only: ro_command, allow_oom: false });
        };
        let no_writes = flags.has(shebang::Flags::NO_WRITES);
        if ro_command && !no_writes {
            return Err(ReplyError::fixed(
                "ERR Can not execute a script with write flag using *_ro command.",
            ));
        }
        if !no_writes && turn.lp.is_read_only() {
            return Err(ReplyError::fixed(
                "READONLY Can not run script with write flag on readonly replica.",
            ));
        }
        let stale = turn.lp.follows
            && !turn.lp.applies
            && !turn.live().settings.replica.serve_stale
            && !turn.engine.following.is_linked();
        if stale && !flags.has(shebang::Flags::ALLOW_STALE) {
            return Err(crate::following::MASTER_DOWN);
        }
        let allow_oom = flags.has(shebang::Flags::ALLOW_OOM) || no_writes;
        if !allow_oom && is_short_of_memory(turn.lp) {
            return Err(ReplyError::fixed(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > \
                 'maxmemory'",
            ));
        }
        Ok(Self { read_only: no_writes, allow_oom })
    }
}

fn is_short_of_memory(lp: &LoopState) -> bool {
    lp.live.maxmemory > 0 && ochre_base::memory::used() > lp.live.maxmemory
}

/// What to run.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) kind: Kind,
    /// What error texts call it.
    pub(crate) name: &'a [u8],
    pub(crate) function: &'a Function,
    pub(crate) rules: Rules,
    /// It is proven to stay within its declared keys.
    pub(crate) confined: bool,
    /// It left them once.
    pub(crate) widened: &'a AtomicBool,
    pub(crate) keys: &'a [&'a [u8]],
    pub(crate) args: &'a [&'a [u8]],
    /// The whole command.
    pub(crate) command: &'a [&'a [u8]],
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Running {
    engine: &'static Engine,
    lp: LoopState,
    session: Session,
    /// Where session commands write.
    scratch: Output,
    locked: Option<Locked<'static>>,
    right: Option<ScriptLock<'static>>,
    kind: Kind,
    rules: Rules,
    oom: bool,
    logged: bool,
    wrote: bool,
    /// It has read something for a client that caches.
    read: bool,
    widened: bool,
    name: Vec<u8>,
    command: Vec<Vec<u8>>,
    started_ns: u64,
    slow: Option<Arc<Slow>>,
}

impl Running {
    fn new(turn: &Turn<'_>) -> Self {
        Self {
            engine: turn.engine,
            lp: LoopState::new(turn.engine, turn.lp.index, turn.lp.bin.clone(), 0),
            session: Session::new(Arc::clone(&turn.session.info), true),
            scratch: Output::default(),
            locked: None,
            right: None,
            kind: Kind::Script,
            rules: Rules::default(),
            oom: false,
            logged: true,
            wrote: false,
            read: false,
            widened: false,
            name: Vec::new(),
            command: Vec::new(),
            started_ns: 0,
            slow: None,
        }
    }

    fn begin(&mut self, turn: &Turn<'_>, call: &Call<'_>) {
        self.kind = call.kind;
        self.rules = call.rules;
        self.oom = is_short_of_memory(turn.lp);
        self.logged = true;
        self.wrote = false;
        self.read = false;
        self.widened = false;
        self.started_ns = turn.engine.host.ticks_ns();
        self.name.clear();
        self.name.extend_from_slice(call.name);
        self.command.clear();
        if call.kind == Kind::Function {
            let words = call.command.iter().take(SHOWN_WORDS);
            self.command.extend(words.map(|w| w[..w.len().min(SHOWN_BYTES)].to_vec()));
        }
    }

    /// Moves the session and the loop's state in, or out again.
    fn swap(&mut self, turn: &mut Turn<'_>) {
        std::mem::swap(&mut self.lp, turn.lp);
        std::mem::swap(&mut self.session, turn.session);
    }
}

/// Runs a script and writes its reply, or its error, which is counted here.
pub(crate) fn run(local: &mut Local, turn: &mut Turn<'_>, row: &Row, call: &Call<'_>) {
    let engine = turn.engine;
    if monitor::is_on(engine) {
        monitor::feed_caller(turn, call.command);
    }
    let mut state = local.spare.take().unwrap_or_else(|| Box::new(Running::new(turn)));
    state.begin(turn, call);
    let in_transaction = turn.held.is_some();
    let (locked, right) = lock(turn, call);
    (state.locked, state.right) = (Some(locked), right);
    let (db, protocol) = (turn.session.db, turn.session.protocol);
    state.swap(turn);
    // `turn` holds the spare state now, and the client's own output.
    let mut reply = Reply::new(turn.out.buffer(), protocol);
    let entry = match call.kind {
        Kind::Script => Entry::Script,
        Kind::Function => Entry::Function,
    };
    let (state, done) =
        local.vm.run(state, call.function, (entry, call.name), call.keys, call.args, &mut reply);
    // The interpreter gives back what it was lent, whatever the script did.
    let Some(mut state) = state else { return };
    state.session.protocol = protocol;
    if state.session.db != db {
        state.session.select(db);
    }
    state.swap(turn);
    if state.read
        && turn.live().settings.compat == Compat::Redis70
        && let Some(locked) = &mut state.locked
    {
        tracking::remember_keys(engine, turn.session, locked, call.keys);
    }
    if let Some(slow) = state.slow.take() {
        engine.scripts.remove_slow(&slow);
    }
    if state.widened {
        call.widened.store(true, Ordering::Relaxed);
    }
    finish(turn, &mut state, in_transaction);
    local.spare = Some(state);
    if let Done::Failed { text, counted } = done {
        turn.reply().error(&text);
        if !counted {
            let error = ReplyError::new(String::from_utf8_lossy(&text).into_owned());
            turn.count_error(Some(row), false, &error);
        } else {
            turn.count_failure(row);
        }
    }
}

/// Serves waiting clients, logs the effects, and lets the locks go, unless EXEC will.
fn finish(turn: &mut Turn<'_>, state: &mut Running, in_transaction: bool) {
    let Some(mut locked) = state.locked.take() else { return };
    if in_transaction {
        turn.held = Some(locked);
        return;
    }
    execute::conclude_transaction(turn, &mut locked);
    drop(locked);
    state.right = None;
}

/// The locks that a script begins with.
fn lock(turn: &mut Turn<'_>, call: &Call<'_>) -> (Locked<'static>, Option<ScriptLock<'static>>) {
    let engine = turn.engine;
    if let Some(held) = turn.held.take() {
        return (held, None);
    }
    if call.widened.load(Ordering::Relaxed) {
        return (engine.shards.lock_all(), None);
    }
    let right = (!call.confined).then(|| engine.shards.script_lock());
    let mut plan = Plan::none();
    for name in call.keys {
        plan.add_hash(&engine.shards, ochre_base::hash::hash(name));
    }
    let locked = plan.lock(&engine.shards);
    if call.rules.read_only {
        return (locked, right);
    }
    (blocking::with_destinations(engine, locked), right)
}

/// Why a command of a script does not run.
fn check<'e>(
    state: &mut Running,
    args: &[&[u8]],
) -> std::result::Result<&'e Row, (Option<&'e Row>, ReplyError)>
where
    'static: 'e,
{
    let registry = &state.engine.registry;
    let unknown = ReplyError::fixed("ERR Unknown Redis command called from script");
    let row = registry.resolve_called(args).ok_or((None, unknown.clone()))?;
    if !row.subcommands.is_empty() && args.len() > 1 {
        return Err((None, unknown));
    }
    let refuse = |text| Err((Some(row), ReplyError::fixed(text)));
    if !row.spec.accepts(args.len()) {
        return refuse("ERR Wrong number of args calling Redis command from script");
    }
    let flags = row.spec.flags;
    if flags.contains(Flags::WRITE) && state.lp.is_read_only() {
        return refuse("READONLY You can't write against a read only replica.");
    }
    let stale = state.lp.follows
        && !state.lp.applies
        && !state.lp.live.settings.replica.serve_stale
        && !state.engine.following.is_linked();
    if stale && !flags.contains(Flags::STALE) {
        return refuse("ERR Can not execute the command on a stale replica");
    }
    let all_allowed = state.engine.scripts_run_all.load(Ordering::Relaxed);
    if flags.contains(Flags::NOSCRIPT) && !all_allowed {
        return refuse("ERR This Redis command is not allowed from script");
    }
    if flags.contains(Flags::BLOCKING) && state.lp.live.settings.compat == Compat::Redis70 {
        refuse_blocking(row, args).map_err(|error| (Some(row), error))?;
    }
    if state.rules.read_only && flags.intersects(Flags::WRITE.union(Flags::MAY_REPLICATE)) {
        return refuse("ERR Write commands are not allowed from read-only scripts.");
    }
    if flags.contains(Flags::WRITE)
        && !state.wrote
        && let Some(error) = gate::cannot_write(&state.turn())
    {
        return Err((Some(row), error));
    }
    if state.oom && !state.rules.allow_oom && !state.wrote && flags.contains(Flags::DENYOOM) {
        return refuse("OOM command not allowed when used memory > 'maxmemory'.");
    }
    if !state.session.access.unrestricted {
        let checked = acl::check_in_script(&mut state.turn(), row, args);
        checked.map_err(|error| (Some(row), error))?;
    }
    Ok(row)
}

/// Redis 7.0 refuses commands that may block; later releases let them run as if their time was out.
fn refuse_blocking(row: &Row, args: &[&[u8]]) -> Result {
    let name = row.spec.name;
    if !name.starts_with("xread") {
        return Err(ReplyError::fixed("ERR This Redis command is not allowed from script"));
    }
    if args.iter().any(|word| word.eq_ignore_ascii_case(b"block")) {
        return Err(ReplyError::new(format!(
            "ERR {name} command is not allowed with BLOCK option from scripts"
        )));
    }
    Ok(())
}

impl Running {
    /// The locks of a command's keys, or none when it may not have them.
    fn reach(&mut self, row: &Row, keys: &[Key<'_>]) -> Result {
        let locked = self.locked.as_mut().ok_or(NO_LOCKS)?;
        if locked.holds_all() {
            return Ok(());
        }
        let everything = row.spec.flags.intersects(Flags::ALL_KEYS.union(Flags::WALKS_SHARDS));
        if everything {
            let right = self.right.as_ref().ok_or(UNDECLARED)?;
            locked.widen_all(right);
            self.widened = true;
            return Ok(());
        }
        for key in keys {
            if !locked.holds(key.hash) {
                let right = self.right.as_ref().ok_or(UNDECLARED)?;
                locked.widen(key.hash, right);
                self.widened = true;
            }
        }
        let writes = row.spec.flags.contains(Flags::WRITE);
        if writes && self.widened && !blocking::destinations_held(locked) {
            let right = self.right.as_ref().ok_or(UNDECLARED)?;
            locked.widen_all(right);
        }
        Ok(())
    }

    fn run_data(
        &mut self,
        row: &Row,
        args: &[&[u8]],
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> Result {
        let mut keys: SmallVec<[Key<'_>; 8]> = SmallVec::new();
        each_key(&row.spec, args, |at, flags| {
            if !flags.contains(KeyFlags::NOT_KEY) {
                keys.push(Key::new(args[at]));
            }
        });
        self.reach(row, &keys)?;
        let engine = self.engine;
        let locked = self.locked.as_mut().ok_or(NO_LOCKS)?;
        let lp = &mut self.lp;
        let kept = (!self.logged).then(|| std::mem::take(&mut lp.work.effects));
        let error = {
            let env = env!(engine, lp, self.session.no_touch);
            let mut data = Data {
                locked,
                db: self.session.db,
                env: &env,
                work: &mut lp.work,
                keys: &keys,
                next: Cell::new(0),
            };
            execute::call(&mut data, Reply::new(out, protocol), row, args, false).0
        };
        if let Some(kept) = kept {
            lp.work.effects = kept;
        }
        if self.session.tracking.is_some() {
            self.read |= row.spec.flags.contains(Flags::READONLY);
            tracking::remember(engine, &self.session, locked, row, args);
        }
        for (at, blob) in std::mem::take(&mut lp.work.blobs).into_iter().rev() {
            out.splice(at..at, blob.iter().copied());
        }
        error.map_or(Ok(()), Err)
    }

    fn run_session(
        &mut self,
        run: crate::turn::SessionFn,
        row: &Row,
        args: &[&[u8]],
        protocol: Protocol,
        out: &mut Vec<u8>,
    ) -> Result {
        self.reach(row, &[])?;
        self.session.protocol = protocol;
        let held = self.locked.take();
        let mut turn = Turn {
            engine: self.engine,
            lp: &mut self.lp,
            session: &mut self.session,
            out: &mut self.scratch,
            held,
        };
        let result = run(&mut turn, args, row);
        self.locked = turn.held.take();
        if result.is_ok() {
            out.extend_from_slice(self.scratch.buffer());
        }
        self.scratch.retract(0);
        result
    }

    /// Counts a command as any client's is counted.
    fn count(&mut self, row: &Row, args: &[&[u8]], since_ns: u64, replied: usize) {
        let time = self.engine.host.ticks_ns().saturating_sub(since_ns);
        self.turn().count_call(row, args, time, replied);
    }

    fn turn(&mut self) -> Turn<'_> {
        Turn {
            engine: self.engine,
            lp: &mut self.lp,
            session: &mut self.session,
            out: &mut self.scratch,
            held: None,
        }
    }

    /// Notes that the script changes data: from here on it cannot be ended.
    fn note_write(&mut self) {
        if !self.wrote {
            self.wrote = true;
            if let Some(slow) = &self.slow {
                slow.wrote.store(true, Ordering::Release);
            }
        }
    }

    #[cold]
    fn become_slow(&mut self, elapsed_ns: u64) {
        let name = String::from_utf8_lossy(&self.name);
        self.engine.host.log(&format!(
            "Slow script detected: still in execution after {} milliseconds. You can try killing \
             the script using the {} command. Script name is: {name}.",
            elapsed_ns / 1_000_000,
            if self.kind == Kind::Script { "SCRIPT KILL" } else { "FUNCTION KILL" },
        ));
        let slow = Arc::new(Slow {
            kind: self.kind,
            name: self.name.clone(),
            command: self.command.clone(),
            since_ns: self.started_ns,
            wrote: AtomicBool::new(self.wrote),
            killed: AtomicBool::new(false),
        });
        self.engine.scripts.add_slow(Arc::clone(&slow));
        self.slow = Some(slow);
    }

    /// Lets the loop look after its other clients. They share the loop's state with the script, but
    /// not what its commands have collected.
    fn pump(&mut self) {
        let Some(mut pump) = self.lp.pump.take() else { return };
        let work = std::mem::replace(&mut self.lp.work, Work::new(0));
        (pump.0)(self.engine, &mut self.lp);
        self.lp.work = work;
        self.lp.pump = Some(pump);
    }
}

/// A proven script never needs this text; it is here so that a mistake in the proof is an error of one
/// script and no panic.
const UNDECLARED: ReplyError =
    ReplyError::fixed("ERR Script attempted to access a key that it did not declare");
const NO_LOCKS: ReplyError = ReplyError::fixed("ERR the script's locks are in use");

impl Host for Box<Running> {
    fn call(&mut self, args: &[&[u8]], protocol: Protocol, out: &mut Vec<u8>) {
        let row = match check(self, args) {
            Ok(row) => row,
            Err((row, error)) => {
                Reply::new(out, protocol).error(error.0.as_bytes());
                self.turn().count_error(row, true, &error);
                return;
            }
        };
        let row: &'static Row = self.engine.registry.row(row.id);
        let mut own_name = Vec::new();
        let args = match row.is_renamed {
            true => {
                own_name.extend_from_slice(args);
                own_name[0] = self.engine.registry.first_word(row).as_bytes();
                &own_name[..]
            }
            false => args,
        };
        if monitor::is_on(self.engine) {
            monitor::feed_script(&self.turn(), row, args);
        }
        if row.spec.flags.contains(Flags::WRITE) {
            self.note_write();
        }
        let start = self.engine.host.ticks_ns();
        let result = match row.run {
            Run::Data => self.run_data(row, args, protocol, out),
            Run::Session(run) => self.run_session(run, row, args, protocol, out),
        };
        if let Err(error) = result {
            debug_assert!(error != UNDECLARED, "a proven script left its keys: {args:?}");
            out.clear();
            Reply::new(out, protocol).error(error.0.as_bytes());
            self.turn().count_error(Some(row), false, &error);
        }
        self.count(row, args, start, out.len());
    }

    fn tick(&mut self) -> Tick {
        let threshold_ms = self.lp.live.settings.busy_reply_threshold_ms;
        if threshold_ms == 0 {
            return Tick::Continue;
        }
        let elapsed = self.engine.host.ticks_ns().saturating_sub(self.started_ns);
        if self.slow.is_none() {
            if elapsed < threshold_ms.saturating_mul(1_000_000) {
                return Tick::Continue;
            }
            self.become_slow(elapsed);
        }
        self.pump();
        if self.slow.as_ref().is_some_and(|slow| slow.killed.load(Ordering::Acquire)) {
            return Tick::Stop("ERR Script killed by user with SCRIPT KILL...");
        }
        if self.engine.stopping.load(Ordering::Relaxed) {
            return Tick::Stop("ERR Script ended: the server is shutting down");
        }
        Tick::Continue
    }

    fn log(&mut self, _level: u8, text: &str) {
        self.engine.host.log(text);
    }

    fn allows(&mut self, args: &[&[u8]]) -> Option<bool> {
        let row = self.engine.registry.resolve_called(args)?;
        let known = row.subcommands.is_empty() || args.len() < 2;
        let sound = known && row.spec.accepts(args.len());
        sound.then(|| acl::may_run(&self.turn(), row, args))
    }

    fn set_logged(&mut self, logged: bool) {
        self.logged = logged;
    }

    fn cpu_seconds(&self) -> f64 {
        let (kernel, user) = self.engine.host.facts().cpu;
        kernel + user
    }
}

/// Logs a command that changes scripts or libraries: with the transaction under way, or by itself.
pub(crate) fn log_command(turn: &mut Turn<'_>, args: &[&[u8]]) {
    if !turn.engine.log.is_on() {
        return;
    }
    let db: DbIndex = turn.session.db;
    if turn.held.is_some() {
        turn.lp.work.effects.push(db, args.iter());
        return;
    }
    let mut effects = Effects::default();
    effects.push(db, args.iter());
    turn.engine.log.append(&effects);
}
