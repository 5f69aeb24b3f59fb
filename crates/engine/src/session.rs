//! A client's session: what the engine knows of one connection.
//!
//! [`Session`] belongs to the client's loop and needs no lock. [`ClientInfo`] is the part that other
//! loops may read (CLIENT LIST, INFO): atomics that only the owner writes, and names behind a mutex.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ochre_base::clock::Millis;
use ochre_keyspace::shard::{DbIndex, Waiter, WatchFlag};
use ochre_resp::Protocol;

use crate::acl::Access;
use crate::pubsub::Subscriptions;
use crate::registry::RowId;
use crate::replicas::{AckWait, Replica};
use crate::tracking::Tracking;
use crate::transfer::StreamReader;

/// What other loops may read of a client.
#[derive(Debug)]
pub struct ClientInfo {
    /// Unique for the life of the process, from 1.
    pub id: u64,
    /// The loop that owns it.
    pub event_loop: u16,
    /// Peer's address.
    pub addr: String,
    /// Our address.
    pub laddr: String,
    /// File descriptor, for CLIENT LIST.
    pub fd: i32,
    /// It came by the unix socket.
    pub is_unix: bool,
    /// When it connected, in Unix seconds.
    pub created: i64,
    /// When it last sent something, in Unix seconds.
    pub last_seen: AtomicI64,
    /// Selected database.
    pub db: AtomicU16,
    /// Protocol version: 2 or 3.
    pub protocol: AtomicU16,
    /// Queued commands, plus one; 0 outside MULTI.
    pub multi: AtomicU32,
    /// Watched keys.
    pub watching: AtomicU32,
    /// Channels, patterns and shard channels it listens to.
    pub subscriptions: [AtomicU32; 3],
    /// The client that its invalidations go to; 0: itself; -1: it does not track.
    pub redirect: AtomicI64,
    /// Last command's row, plus one.
    pub last_row: AtomicU16,
    /// Bytes in the query buffer, and its free room.
    pub query_bytes: AtomicU64,
    /// Free room of the query buffer.
    pub query_room: AtomicU64,
    /// Bytes of queued commands.
    pub multi_bytes: AtomicU64,
    /// Bytes of pending output.
    pub output_bytes: AtomicU64,
    /// All memory of the client.
    pub memory: AtomicU64,
    /// Bytes received.
    pub net_in: AtomicU64,
    /// Bytes sent.
    pub net_out: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// Bits: see the `FLAG_` constants.
    pub flags: AtomicU32,
    /// Something has asked to close it; its loop will.
    pub doomed: AtomicBool,
    /// Names it gave itself.
    pub names: Mutex<Names>,
    /// What it waits with, for CLIENT UNBLOCK to claim.
    pub waiting: Mutex<Option<Arc<Waiter>>>,
}

/// Flag of [`ClientInfo`]: blocked.
pub const FLAG_BLOCKED: u32 = 1;
/// Flag of [`ClientInfo`]: inside MULTI.
pub const FLAG_MULTI: u32 = 1 << 1;
/// Flag of [`ClientInfo`]: MONITOR.
pub const FLAG_MONITOR: u32 = 1 << 2;
/// Flag of [`ClientInfo`]: will be closed after its reply.
pub const FLAG_CLOSING: u32 = 1 << 4;
/// Flag of [`ClientInfo`]: CLIENT NO-EVICT.
pub const FLAG_NO_EVICT: u32 = 1 << 5;
/// Flag of [`ClientInfo`]: CLIENT NO-TOUCH.
pub const FLAG_NO_TOUCH: u32 = 1 << 6;
/// Flag of [`ClientInfo`]: not yet authenticated.
pub const FLAG_UNAUTHENTICATED: u32 = 1 << 7;
/// Flag of [`ClientInfo`]: CLIENT CAPA REDIRECT.
pub const FLAG_CAPA_REDIRECT: u32 = 1 << 8;

/// Flag of [`ClientInfo`]: it listens to channels.
pub const FLAG_PUBSUB: u32 = 1 << 9;
/// Flag of [`ClientInfo`]: CLIENT TRACKING.
pub const FLAG_TRACKING: u32 = 1 << 10;
/// Flag of [`ClientInfo`]: CLIENT TRACKING by prefix.
pub const FLAG_TRACKING_BCAST: u32 = 1 << 11;
/// Flag of [`ClientInfo`]: the client it redirects invalidations to has gone.
pub const FLAG_TRACKING_BROKEN: u32 = 1 << 12;

/// Flag of [`ClientInfo`]: a replica.
pub const FLAG_REPLICA: u32 = 1 << 13;

/// Flag of [`ClientInfo`]: the link to our primary.
pub const FLAG_PRIMARY: u32 = 1 << 14;

/// A client's names.
#[derive(Debug, Default, Clone)]
pub struct Names {
    /// CLIENT SETNAME.
    pub name: String,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: String,
    /// CLIENT SETINFO LIB-VER.
    pub lib_ver: String,
    /// The user it logged in as; none: `default`.
    pub user: Option<Box<[u8]>>,
}

impl ClientInfo {
    /// Adds to one of the counters that only the client's own loop writes: no locked instruction.
    #[inline]
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// The client in whose name files are replayed: it has no id and no address, and no loop knows it.
    pub fn nobody() -> Self {
        Self {
            id: 0,
            event_loop: 0,
            addr: String::new(),
            laddr: String::new(),
            fd: -1,
            is_unix: false,
            created: 0,
            last_seen: AtomicI64::new(0),
            db: AtomicU16::new(0),
            protocol: AtomicU16::new(2),
            multi: AtomicU32::new(0),
            watching: AtomicU32::new(0),
            subscriptions: Default::default(),
            redirect: AtomicI64::new(-1),
            last_row: AtomicU16::new(0),
            query_bytes: AtomicU64::new(0),
            query_room: AtomicU64::new(0),
            multi_bytes: AtomicU64::new(0),
            output_bytes: AtomicU64::new(0),
            memory: AtomicU64::new(0),
            net_in: AtomicU64::new(0),
            net_out: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            flags: AtomicU32::new(0),
            doomed: AtomicBool::new(false),
            names: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// Its names; they are short.
    pub fn names(&self) -> Names {
        self.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The name of its user.
    pub fn user(&self) -> Box<[u8]> {
        self.names().user.unwrap_or_else(|| (*b"default").into())
    }

    /// Changes its names. Only the owner calls it.
    pub fn change_names(&self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }

    /// Claims the client's wait: true for exactly one caller, which then ends it.
    pub fn claim_wait(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        waiting.as_ref().is_some_and(|waiter| waiter.claim())
    }

    /// Notes what the client waits with. Only the owner calls it.
    pub(crate) fn set_waiting(&self, waiter: Option<Arc<Waiter>>) {
        *self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = waiter;
    }

    /// Sets or clears flag bits. Only the owner calls it.
    pub fn set_flag(&self, bits: u32, on: bool) {
        if on {
            self.flags.fetch_or(bits, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!bits, Ordering::Relaxed);
        }
    }

    /// Whether all of these bits are set.
    pub fn has_flag(&self, bits: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & bits == bits
    }
}

/// Commands queued since MULTI.
#[derive(Debug, Default)]
pub struct Multi {
    /// Each command's row and arguments, in one buffer of bytes.
    pub queue: Vec<Queued>,
    /// Bytes of all arguments.
    pub bytes: usize,
    /// A command could not be queued: EXEC will refuse.
    pub aborted: bool,
}

/// A queued command.
#[derive(Debug)]
pub struct Queued {
    /// Its row.
    pub row: RowId,
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
}

/// A client that waits in a blocking command.
#[derive(Debug)]
pub struct Blocked {
    /// Its place in the keys' queues; none when it waits for something else than keys.
    pub waiter: Option<Arc<Waiter>>,
    /// The keys it waits for, with its database.
    pub keys: Vec<Vec<u8>>,
    /// When to give up, in Unix milliseconds.
    pub deadline: Option<Millis>,
    /// What to answer then.
    pub on_timeout: ochre_command::ctx::OnTimeout,
    /// It waits for replicas: what to answer in any case.
    pub acks: Option<AckWait>,
    /// When it began to wait, in monotonic nanoseconds.
    pub since_ns: u64,
    /// The row of the blocking command.
    pub row: RowId,
}

/// A command that waits, for the command logs, which take it when its wait is over.
#[derive(Debug)]
pub struct WaitingCall {
    /// Its arguments.
    pub args: Vec<Vec<u8>>,
    /// How long it ran, the wait not counted, in nanoseconds.
    pub time_ns: u64,
}

/// A watched key.
#[derive(Debug)]
pub struct Watch {
    /// Its database.
    pub db: DbIndex,
    /// Its name.
    pub name: Vec<u8>,
    /// It was there when the watch began, and not past its time: its expiry is a change.
    pub was_live: bool,
}

/// What a replica has said of itself before it asks for the stream.
#[derive(Debug, Default, Clone)]
pub struct ReplicaSays {
    /// The port it listens on.
    pub port: u16,
    /// The address it wants to be known by.
    pub ip: Option<String>,
    /// It understands that the stream's name may change.
    pub psync2: bool,
    /// It can take a snapshot whose size is not known beforehand.
    pub eof: bool,
    /// It wants a snapshot and nothing after it.
    pub rdb_only: bool,
}

/// What a replica is to get next.
#[derive(Debug)]
pub enum Supply {
    /// Nothing: its snapshot was not begun.
    Nothing,
    /// The rest of a file.
    File(std::fs::File),
    /// The rest of a snapshot as it is made.
    Stream(StreamReader),
    /// Nothing until it has acknowledged that the snapshot is loaded, which it did when `came`.
    Acknowledgement {
        /// See above.
        came: bool,
    },
    /// The log.
    Log,
}

/// A client that is a replica: where it stands.
#[derive(Debug)]
pub struct ReplicaState {
    /// The shared part.
    pub replica: Arc<Replica>,
    /// The log's offset up to which it was sent.
    pub offset: u64,
    /// The epoch of the history that it was told of: see [`crate::replicas`].
    pub epoch: u64,
    /// What it gets next.
    pub supply: Supply,
    /// When it last took something of a snapshot, in Unix milliseconds.
    pub took_ms: i64,
    /// It goes when it has its snapshot.
    pub rdb_only: bool,
}

/// CLIENT REPLY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// None is.
    Off,
    /// The next one is not.
    SkipNext,
    /// The present one is not.
    Skip,
}

/// A client's session. See the module's head.
#[derive(Debug)]
pub struct Session {
    /// The shared part.
    pub info: Arc<ClientInfo>,
    /// Selected database.
    pub db: DbIndex,
    /// Protocol of the replies.
    pub protocol: Protocol,
    /// It has authenticated, or need not: what the limits of its requests go by. What it may do is
    /// decided by `access` alone.
    pub authenticated: bool,
    /// Who it is.
    pub access: Access,
    /// Commands queued since MULTI.
    pub multi: Option<Multi>,
    /// Watched keys.
    pub watches: Vec<Watch>,
    /// The watches are over, but their shards do not know yet.
    pub void_watches: bool,
    /// Raised when one of them changed.
    pub watch_flag: WatchFlag,
    /// What it waits for.
    pub blocked: Option<Blocked>,
    /// The command that waits for it; none when no log would take it.
    pub waiting_call: Option<WaitingCall>,
    /// Its commands wait for the end of CLIENT PAUSE.
    pub paused: bool,
    /// Which replies are sent.
    pub reply_mode: ReplyMode,
    /// Close it once its output is written.
    pub close_after_reply: bool,
    /// It receives what MONITOR shows.
    pub monitor: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// What it listens to; none: nothing.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// CLIENT TRACKING.
    pub tracking: Option<Box<Tracking>>,
    /// What it has said of itself by REPLCONF.
    pub replica_says: ReplicaSays,
    /// It is a replica.
    pub replica: Option<Box<ReplicaState>>,
    /// The log's offset after its last write.
    pub written_to: u64,
    /// It is our primary's, which wants to know how far we are.
    pub ack_wanted: bool,
}

impl Session {
    /// A session that has just connected.
    pub fn new(info: Arc<ClientInfo>, authenticated: bool) -> Self {
        Self {
            info,
            db: 0,
            protocol: Protocol::Resp2,
            authenticated,
            access: Access::default(),
            multi: None,
            watches: Vec::new(),
            void_watches: false,
            watch_flag: Arc::new(AtomicBool::new(false)),
            blocked: None,
            waiting_call: None,
            paused: false,
            reply_mode: ReplyMode::On,
            close_after_reply: false,
            monitor: false,
            no_touch: false,
            subscriptions: None,
            tracking: None,
            replica_says: ReplicaSays::default(),
            replica: None,
            written_to: 0,
            ack_wanted: false,
        }
    }

    /// Its id.
    #[inline]
    pub fn id(&self) -> u64 {
        self.info.id
    }

    /// Whether its next command must wait.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        self.blocked.is_some() || self.paused
    }

    /// Whether it may only send commands of publish/subscribe: it listens, and in RESP2 a message
    /// cannot be told from a reply.
    #[inline]
    pub fn only_listens(&self) -> bool {
        self.subscriptions.is_some() && self.protocol == Protocol::Resp2
    }

    /// Sets the protocol of its replies.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
        self.info.protocol.store(protocol.version() as u16, Ordering::Relaxed);
    }

    /// Selects a database.
    pub fn select(&mut self, db: DbIndex) {
        self.db = db;
        self.info.db.store(db, Ordering::Relaxed);
    }
}
