//! What a handler is given: its arguments, the locked data, and the reply to write.

use ochre_base::clock::Now;
use ochre_keyspace::db::Key;
use ochre_keyspace::shard::DbIndex;
use ochre_resp::Reply;
use ochre_types::value::Type;

use crate::data::Data;
use crate::spec::CommandSpec;

/// How a handler that cannot answer now wants to wait.
#[derive(Debug)]
pub struct Block {
    /// The keys that may end the wait, in the order of the command.
    pub keys: Vec<Vec<u8>>,
    /// Keys that serving the command will write besides those: destinations.
    pub also: Vec<Vec<u8>>,
    /// What to run when one key is ready: the command cut down to that key, its name first. It must
    /// answer at once when the key holds a value of the type `wants`.
    pub serve: Vec<Vec<u8>>,
    /// Where in `serve` the ready key goes.
    pub key_at: usize,
    /// The type of value that can serve the command.
    pub wants: Type,
    /// When to give up, in Unix milliseconds; none: never.
    pub deadline: Option<i64>,
    /// What to answer then.
    pub on_timeout: OnTimeout,
}

/// The answer of a wait that ran out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTimeout {
    /// The null array: what every blocking command of lists and sorted sets answers.
    NullArray,
    /// The null bulk.
    Null,
}

/// A running command. Handlers take `&mut Ctx`; `data`, `reply` and `args` are separate fields so that
/// a reply can be written while a value is borrowed.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The arguments, name first. A subcommand's own word is at 1.
    pub args: &'a [&'a [u8]],
    /// The row that is running.
    pub spec: &'a CommandSpec,
    /// The keys that the command declared, and what is done to them.
    pub data: Data<'a>,
    /// The reply.
    pub reply: Reply<'a>,
    /// Whether the command may wait: not in a transaction or script.
    pub may_block: bool,
    /// Set by a handler that wants to wait; it has written no reply then.
    pub block: Option<Block>,
}

impl<'a> Ctx<'a> {
    /// Argument `at`, which the arity guarantees.
    #[inline]
    pub fn arg(&self, at: usize) -> &'a [u8] {
        self.args[at]
    }

    /// Argument `at` as a key.
    #[inline]
    pub fn key(&self, at: usize) -> Key<'a> {
        self.data.key(self.args[at])
    }

    /// The moment the command runs at.
    #[inline]
    pub fn now(&self) -> Now {
        self.data.env.now
    }

    /// The moment by which keys and fields are past their time, in Unix milliseconds: see
    /// [`Env::expiry_now`](crate::data::Env::expiry_now).
    #[inline]
    pub fn expiry_now(&self) -> i64 {
        self.data.env.expiry_now
    }

    /// The database the command runs in.
    #[inline]
    pub fn db(&self) -> DbIndex {
        self.data.db
    }

    /// The command's full name for error texts.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }
}
