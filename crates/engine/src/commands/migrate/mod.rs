//! MIGRATE: keys that move to another server, without a moment in which a write to them can get lost.
//!
//! The peers stop everything while they talk to the target. Here no lock is held during I/O, so it goes in
//! *rounds*, each of which is: payloads taken under the locks of their keys, with a watch on each as
//! WATCH has it; the conversation, on a thread of the process ([`crate::engine::Host::migrate`]) while the
//! client waits as in a blocking command; and on the client's own loop, under the locks again, the
//! deletion of what the target has acknowledged.
//!
//! **Why nothing is lost.** A key is deleted only if its watch says that it is what it was when its
//! payload was taken. Two things make that the usual case and not a matter of luck:
//!
//! - From before the first round to after the last, the keys are *held* ([`hold`]): a command that may
//!   write one of them waits at the gate, as under CLIENT PAUSE, and runs after the move, which is the
//!   order that the peers give; so does every script that may write, for it need not declare its keys.
//!   Reads go on; they see the key until it is deleted.
//! - What passes the gate all the same (a command or script that was past it when the hold began, a
//!   waiting BLMOVE that is served, expiry) raises the watch. Such a key goes once more in a further
//!   round, in place of the copy that this command put there itself, or is deleted there if it is gone
//!   here. After [`TRIES`] rounds in vain the key stays here, and the reply says so.
//!
//! Whatever breaks, the key is at the source, the target or both, never at none.
//!
//! With COPY nothing is deleted and nothing held: a payload is right as of the moment it was taken.
//! A round takes at most [`ROUND_BYTES`] of payloads (more only for one large value) and
//! [`ROUND_KEYS`] keys; at most [`AT_ONCE`] commands are under way.
//!
//! In a transaction or script, where locks are held, the command is refused: I/O under a lock would
//! stop other clients for as long as the target likes. The peers do it there, and stop all clients.
//!
//! Payloads are in the form of the server that `compat` names; a target that knows only an older one
//! says so, and gets that of Redis 7.0. Source: documentation of MIGRATE of Redis 7.2; texts as
//! redis-server 7.0.15.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ochre_command::args::{Cursor, int};
use ochre_command::ctx::OnTimeout;
use ochre_command::outcome::SYNTAX;
use ochre_command::spec::{Begin, Categories, Find, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{ReplyError, Result};

use crate::registry::{Row, SessionRow};
use crate::session::{Blocked, FLAG_BLOCKED};
use crate::turn::Turn;

pub mod hold;
pub mod round;

pub use round::{Broken, Item, Put, Round, finish};

use round::{Migration, Pending};

/// Payload bytes of one round, beyond which no further key is taken in.
pub const ROUND_BYTES: usize = 16 << 20;
/// Keys of one round: bounds how long their locks are held.
pub const ROUND_KEYS: usize = 1000;
/// Rounds that were in vain because keys changed meanwhile, before the command gives up.
pub const TRIES: u32 = 4;
/// Commands under way at one time: bounds their payloads together.
pub const AT_ONCE: usize = 64;
/// The time-out when none is asked for.
const DEFAULT_TIMEOUT_MS: u64 = 1000;

const MOVES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::new(
    "migrate",
    -6,
    Flags::WRITE.union(Flags::MOVABLEKEYS).union(Flags::NOSCRIPT).union(Flags::NO_MULTI),
    Group::Generic,
    migrate,
)
.keys(&[
    KeySpec::one(3, MOVES),
    KeySpec {
        begin: Begin::Keyword("KEYS", -2),
        find: Find::Range { last: -1, step: 1, limit: 0 },
        flags: MOVES.union(KeyFlags::INCOMPLETE),
    },
])
.also(Categories::DANGEROUS)
.tips(&["nondeterministic_output"])
.docs(
    "2.6.0",
    "Moves keys to another server.",
    "O(N) with N the bytes of the values, at the source and at the target.",
    "host port <key | \"\"> destination-db timeout [COPY] [REPLACE] \
     [AUTH password | AUTH2 username password] [KEYS key [key ...]]",
)];

/// What a client of the target says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its user; none: the password alone.
    pub user: Option<Vec<u8>>,
    /// Its password.
    pub password: Vec<u8>,
}

/// Where keys go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Host name or address.
    pub host: String,
    /// Port; 0 when what was given is none.
    pub port: u16,
    /// The database there.
    pub db: i64,
    /// How to log in.
    pub login: Option<Login>,
    /// How long to wait for the target each time that it has to do something.
    pub timeout: Duration,
}

/// What the arguments say.
struct Request<'a> {
    target: Target,
    copy: bool,
    replace: bool,
    keys: &'a [&'a [u8]],
}

impl<'a> Request<'a> {
    fn parse(args: &'a [&'a [u8]]) -> Result<Self> {
        let (mut copy, mut replace, mut login) = (false, false, None);
        let mut keys = &args[3..4];
        let mut cursor = Cursor::new(args, 6);
        while cursor.left() > 0 {
            if cursor.take("copy") {
                copy = true;
            } else if cursor.take("replace") {
                replace = true;
            } else if cursor.left() > 1 && cursor.take("auth") {
                login = Some(Login { user: None, password: cursor.need()?.to_vec() });
            } else if cursor.left() > 2 && cursor.take("auth2") {
                let user = Some(cursor.need()?.to_vec());
                login = Some(Login { user, password: cursor.need()?.to_vec() });
            } else if cursor.take("keys") {
                if !args[3].is_empty() {
                    return Err(ReplyError::fixed(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the \
                         empty string",
                    ));
                }
                keys = cursor.rest();
                break;
            } else {
                return Err(SYNTAX);
            }
        }
        let timeout = int(args[5])?;
        let db = int(args[4])?;
        let timeout = u64::try_from(timeout).ok().filter(|ms| *ms > 0);
        let text = |arg: &[u8]| String::from_utf8_lossy(arg).into_owned();
        let target = Target {
            host: text(args[1]),
            port: text(args[2]).parse().unwrap_or(0),
            db,
            login,
            timeout: Duration::from_millis(timeout.unwrap_or(DEFAULT_TIMEOUT_MS)),
        };
        Ok(Self { target, copy, replace, keys })
    }
}

fn migrate(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let request = Request::parse(args)?;
    if turn.held.is_some() {
        return Err(ReplyError::fixed("ERR MIGRATE is not allowed in a transaction or script"));
    }
    let engine = turn.engine;
    let mut known = BTreeSet::new();
    let left: VecDeque<Pending> = request
        .keys
        .iter()
        .filter(|name| known.insert(**name))
        .map(|name| Pending { name: name.to_vec(), again: false })
        .collect();
    let held = match request.copy {
        true => Vec::new(),
        false => left.iter().map(|pending| pending.name.clone().into_boxed_slice()).collect(),
    };
    let Some(hold) = engine.migrations.begin(held) else {
        return Err(ReplyError::fixed("TRYAGAIN Too many MIGRATE commands are under way"));
    };
    let mut migration = Migration {
        client: turn.session.id(),
        event_loop: turn.lp.index,
        protocol: turn.session.protocol,
        db: turn.session.db,
        copy: request.copy,
        replace: request.replace,
        left,
        hold,
        tries: 0,
        old_form: false,
        error: None,
        written_to: 0,
    };
    let items = round::gather(engine, turn.lp, &mut migration);
    if items.is_empty() {
        migration.end(engine);
        turn.reply().status("NOKEY");
        return Ok(());
    }
    let round = Round::new(Arc::new(request.target), items, migration);
    wait(turn, row);
    engine.host.migrate(engine, Box::new(round));
    Ok(())
}

/// Has the client wait for the end of the move, which nothing else ends.
fn wait(turn: &mut Turn<'_>, row: &Row) {
    let session = &mut *turn.session;
    session.blocked = Some(Blocked {
        waiter: None,
        keys: Vec::new(),
        deadline: None,
        on_timeout: OnTimeout::Null,
        acks: None,
        since_ns: turn.engine.host.ticks_ns(),
        row: row.id,
    });
    session.info.set_flag(FLAG_BLOCKED, true);
    turn.engine.blocked.fetch_add(1, Ordering::Relaxed);
    turn.lp.attention.push(session.id());
}
