//! Runs commands against a keyspace of its own, without an engine or a socket: for the tests beside
//! the handlers.

use ochre_base::clock::Now;
use ochre_command::ctx::Block;
use ochre_command::data::{Data, Env, Work};
use ochre_command::spec::CommandSpec;
use ochre_command::{Ctx, Reply};
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::lock::Shards;
use ochre_keyspace::log::Log;
use ochre_resp::Protocol;
use ochre_types::limits::Limits;

/// A keyspace with a clock that a test moves.
pub(crate) struct Bench {
    shards: &'static Shards,
    log: Log,
    work: Work,
    /// Thresholds, for a test to change.
    pub(crate) limits: Limits,
    /// The time of the next command in Unix milliseconds.
    pub(crate) now_ms: i64,
    /// Protocol of the replies.
    pub(crate) protocol: Protocol,
    /// Whether the last command asked to wait.
    pub(crate) blocked: bool,
    /// How the last command asked to wait.
    pub(crate) block: Option<Block>,
    /// Whether commands may wait.
    pub(crate) may_block: bool,
    /// The database of the next command.
    pub(crate) db: u16,
    /// Count accesses as under an LFU policy.
    pub(crate) lfu: bool,
    /// Strings in the last reply that were shared instead of copied.
    pub(crate) shared: usize,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let log = Log::new(1 << 20);
        log.turn_on();
        Self {
            shards: Box::leak(Box::new(Shards::new(64))),
            log,
            work: Work::new(1),
            limits: Limits::default(),
            now_ms: 1_700_000_000_000,
            protocol: Protocol::Resp2,
            blocked: false,
            block: None,
            may_block: true,
            db: 0,
            lfu: false,
            shared: 0,
        }
    }

    /// Runs one command line (words split at blanks; `''` is the empty word) and gives the reply
    /// with its line ends as `|`: `+OK|`, `$3|abc|`.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let words: Vec<&[u8]> = line
            .split_whitespace()
            .map(|word| if word == "''" { &b""[..] } else { word.as_bytes() })
            .collect();
        self.run_args(&words)
    }

    /// The same for arguments that are given apart.
    pub(crate) fn run_args(&mut self, args: &[&[u8]]) -> String {
        String::from_utf8_lossy(&self.run_raw(args)).replace("\r\n", "|")
    }

    /// The same with the reply as it is.
    pub(crate) fn run_raw(&mut self, args: &[&[u8]]) -> Vec<u8> {
        let spec = find(args);
        if !spec.accepts(args.len()) {
            let error = ochre_command::outcome::wrong_arity(spec.name);
            return format!("-{error}\r\n").into_bytes();
        }
        let bin = Bin::inline();
        let now = Now { unix_ms: self.now_ms, unix_us: self.now_ms as u64 * 1000, mono_us: 0 };
        let env = Env {
            shards: self.shards,
            log: &self.log,
            bin: &bin,
            limits: &self.limits,
            clock: AccessClock {
                lfu: self.lfu,
                seconds: (self.now_ms / 1000) as u32,
                ..AccessClock::default()
            },
            now,
            expiry_now: now.unix_ms,
            keeps_expired: false,
            databases: 16,
            string_max: 512 << 20,
            no_touch: false,
            lazy_user_del: false,
            lazy_user_flush: false,
            compat: ochre_base::compat::Compat::Redis72,
            compress: true,
            interest: ochre_keyspace::notify::Interest::default(),
            listener: &ochre_keyspace::notify::Silent,
        };
        let mut out = Vec::new();
        {
            let mut locked = self.shards.lock_all();
            let data = Data {
                locked: &mut locked,
                db: self.db,
                env: &env,
                work: &mut self.work,
                keys: &[],
                next: std::cell::Cell::new(0),
            };
            let reply = Reply::new(&mut out, self.protocol);
            let mut ctx = Ctx { args, spec, data, reply, may_block: self.may_block, block: None };
            let before = ctx.data.begin();
            let result = (spec.handler)(&mut ctx);
            ctx.data.finish(before, args);
            let Ctx { data, block, mut reply, .. } = ctx;
            if let Err(error) = result {
                reply.truncate(0);
                reply.error(error.0.as_bytes());
            }
            if !data.work.effects.is_empty() {
                self.log.append(&data.work.effects);
                data.work.effects.clear();
            }
            self.blocked = block.is_some();
            self.block = block;
        }
        // What the engine sends from where it lies.
        self.shared = self.work.blobs.len();
        for (at, blob) in self.work.blobs.drain(..).rev() {
            out.splice(at..at, blob.iter().copied());
        }
        out
    }

    /// What was logged so far, as it stands in the log.
    pub(crate) fn log_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.log.read(self.log.start(), usize::MAX, &mut out).expect("the window is large enough");
        out
    }

    /// What was logged so far, words only, commands separated by `; `.
    pub(crate) fn log_text(&self) -> String {
        let mut out = Vec::new();
        self.log.read(self.log.start(), usize::MAX, &mut out).expect("the window is large enough");
        let text = String::from_utf8_lossy(&out).replace("\r\n", "|");
        text.split('*')
            .skip(1)
            .map(|command| {
                let words: Vec<&str> = command.split('|').skip(2).step_by(2).collect();
                words.join(" ").trim_end().to_owned()
            })
            .collect::<Vec<_>>()
            .join("; ")
    }
}

fn find(args: &[&[u8]]) -> &'static CommandSpec {
    let named = |row: &&CommandSpec, arg: &[u8]| arg.eq_ignore_ascii_case(row.name.as_bytes());
    let rows = crate::TABLES.iter().copied().flatten();
    let row = rows.clone().find(|row| named(row, args[0])).expect("the command is in a table");
    match args.get(1) {
        Some(word) if !row.subcommands.is_empty() => {
            row.subcommands.iter().find(|row| named(row, word)).expect("a subcommand")
        }
        _ => row,
    }
}
