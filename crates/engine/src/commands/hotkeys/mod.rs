//! HOTKEYS: which keys take the most time, and the most bytes of the network.
//!
//! Between START and STOP (or the end of DURATION) every command that ran is looked at: its time and its
//! bytes, request and reply, are divided among its keys. Each loop adds them to sketches of its own
//! (`top`), behind a lock that no other thread takes but for GET, RESET and the next START; GET adds the loops'
//! up. When nothing is tracked a command pays one load and one test.
//!
//! Commands of a transaction or script are looked at one by one, and EXEC, EVAL and their kin are not.
//! With SAMPLE a command is taken with the probability 1/ratio; what is shown is the sum of
//! what was taken.
//!
//! Memory: at most `PLACES` names for each one asked for, a metric and a loop, each of at most 4 KB. Where two
//! keys of a loop share the last place, a weight may be too high by the total divided by the places.
//!
//! Source: documentation of HOTKEYS of Redis 8.6. SLOTS needs a cluster.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_command::args::Cursor;
use ochre_command::keys::each_key;
use ochre_command::outcome::SYNTAX;
use ochre_command::spec::{Flags, Group, KeyFlags};
use ochre_command::{Reply, ReplyError, Result};
use ochre_resp::Protocol;
use smallvec::SmallVec;

use crate::commands::help;
use crate::engine::Engine;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

mod top;

use top::Top;

/// Names kept for each one that is asked for.
const PLACES: usize = 16;
/// Keys asked for when COUNT does not say.
const COUNT: i64 = 10;
/// The most that COUNT takes.
const COUNT_MAX: i64 = 64;
/// The most that DURATION takes, in seconds.
const DURATION_MAX: i64 = 1_000_000;

const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:special", "response_policy:special"];

const fn sub(
    name: &'static str,
    arity: i32,
    run: SessionFn,
    summary: &'static str,
    complexity: &'static str,
    syntax: &'static str,
) -> SessionRow {
    SessionRow::new(name, arity, FLAGS, Group::Server, run)
        .docs("8.6.0", summary, complexity, syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "hotkeys",
    Group::Server,
    "8.6.0",
    "Commands on the keys that take the most.",
    &[
        sub("get", 2, get, "Shows the hottest keys.", "O(N) with N the number of keys shown.", "")
            .tips(TIPS),
        help::row("8.6.1", Group::Server),
        sub("reset", 2, reset, "Forgets what was tracked.", "O(1)", ""),
        sub(
            "start",
            -2,
            start,
            "Begins to track keys.",
            "O(1)",
            "METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio] \
             [SLOTS count slot [slot ...]]",
        ),
        sub("stop", 2, stop, "Ends tracking; what was found stays.", "O(1)", ""),
    ],
)];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    cpu: bool,
    net: bool,
    count: usize,
    /// How long; none: until STOP.
    duration_ms: Option<i64>,
    ratio: u64,
}

impl Wanted {
    fn parse(args: &[&[u8]]) -> Result<Self> {
        let mut wanted =
            Self { cpu: false, net: false, count: COUNT as usize, duration_ms: None, ratio: 1 };
        let mut cursor = Cursor::new(args, 2);
        if !cursor.take("metrics") {
            return Err(ReplyError::fixed("ERR METRICS parameter is required"));
        }
        let metrics = within(&mut cursor, "METRICS count", 1, 2)?;
        let (mut given, mut known) = (0, true);
        while known && cursor.left() > 0 {
            if cursor.take("cpu") && !wanted.cpu {
                wanted.cpu = true;
            } else if cursor.take("net") && !wanted.net {
                wanted.net = true;
            } else {
                known = false;
            }
            given += i64::from(known);
        }
        if given == 0 {
            return Err(ReplyError::fixed(
                "ERR METRICS invalid metrics: at least one of CPU and NET is needed",
            ));
        }
        if given != metrics {
            return Err(ReplyError::fixed(
                "ERR METRICS count does not match number of metric types provided",
            ));
        }
        while cursor.left() > 0 {
            if cursor.take("count") {
                wanted.count = within(&mut cursor, "COUNT", 1, COUNT_MAX)? as usize;
            } else if cursor.take("duration") {
                let seconds = within(&mut cursor, "DURATION", 0, DURATION_MAX)?;
                wanted.duration_ms = Some(seconds * 1000).filter(|ms| *ms > 0);
            } else if cursor.take("sample") {
                wanted.ratio = within(&mut cursor, "SAMPLE ratio", 1, i64::MAX)?.unsigned_abs();
            } else if cursor.take("slots") {
                return Err(ReplyError::fixed(
                    "ERR SLOTS parameter cannot be used in non-cluster mode",
                ));
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(wanted)
    }
}

fn within(cursor: &mut Cursor<'_>, what: &str, min: i64, max: i64) -> Result<i64> {
    let number = cursor.need_int().ok().filter(|n| (min..=max).contains(n));
    number.ok_or_else(|| {
        ReplyError::new(if max == i64::MAX {
            format!("ERR {what} must be a positive integer")
        } else {
            format!("ERR {what} must be between {min} and {max}")
        })
    })
}

/// The process' numbers at one moment.
#[derive(Debug, Clone, Copy)]
struct Moment {
    at_ms: i64,
    /// Processor time in the kernel and in user mode, in seconds.
    cpu: (f64, f64),
    /// Bytes read and written.
    net: u64,
}

impl Moment {
    fn take(engine: &Engine, at_ms: i64) -> Self {
        let stats = engine.all_stats();
        Self { at_ms, cpu: engine.host.facts().cpu, net: stats.net_in + stats.net_out }
    }
}

/// One tracking, under way or over.
#[derive(Debug, Clone, Copy)]
struct Tracking {
    wanted: Wanted,
    began: Moment,
    ended: Option<Moment>,
}

/// What one loop has found.
#[derive(Debug, Default)]
struct Part {
    cpu: Option<Top>,
    net: Option<Top>,
    time_ns: u64,
    bytes: u64,
}

/// See the module's head.
#[derive(Debug)]
pub struct HotKeys {
    active: AtomicBool,
    /// 1/probability with which a command is taken.
    ratio: AtomicU64,
    /// When tracking ends by itself, in Unix milliseconds.
    until_ms: AtomicI64,
    tracking: Mutex<Option<Tracking>>,
    parts: Vec<Mutex<Part>>,
}

impl HotKeys {
    /// Nothing tracked, for so many loops.
    pub fn new(loops: usize) -> Self {
        Self {
            active: AtomicBool::new(false),
            ratio: AtomicU64::new(1),
            until_ms: AtomicI64::new(i64::MAX),
            tracking: Mutex::default(),
            parts: (0..loops).map(|_| Mutex::default()).collect(),
        }
    }

    /// Whether commands are looked at.
    #[inline]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    fn tracking(&self) -> MutexGuard<'_, Option<Tracking>> {
        self.tracking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn part(&self, index: usize) -> Option<MutexGuard<'_, Part>> {
        Some(self.parts.get(index)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn clear(&self, wanted: Option<Wanted>) {
        for index in 0..self.parts.len() {
            let Some(mut part) = self.part(index) else { continue };
            let top = |on: bool, count: usize| on.then(|| Top::new(count * PLACES));
            *part = Part {
                cpu: wanted.and_then(|wanted| top(wanted.cpu, wanted.count)),
                net: wanted.and_then(|wanted| top(wanted.net, wanted.count)),
                ..Part::default()
            };
        }
    }

    /// Ends tracking whose time is over.
    fn end_when_due(&self, engine: &Engine, now_ms: i64) {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        if self.is_active() && now_ms >= until_ms {
            self.end(engine, until_ms);
        }
    }

    /// False when nothing is tracked.
    fn end(&self, engine: &Engine, at_ms: i64) -> bool {
        let mut tracking = self.tracking();
        let Some(tracking) = tracking.as_mut().filter(|tracking| tracking.ended.is_none()) else {
            return false;
        };
        self.active.store(false, Ordering::Relaxed);
        tracking.ended = Some(Moment::take(engine, at_ms));
        true
    }
}

/// Looks at a command that ran.
#[cold]
pub(crate) fn note(turn: &mut Turn<'_>, row: &Row, args: &[&[u8]], time_ns: u64, replied: usize) {
    if row.spec.name == "exec" || row.spec.group == Group::Scripting {
        return;
    }
    let hot = &turn.engine.hotkeys;
    if turn.lp.now.unix_ms >= hot.until_ms.load(Ordering::Relaxed) {
        hot.end_when_due(turn.engine, turn.lp.now.unix_ms);
        return;
    }
    let bytes = (sent(args) + replied) as u64;
    let ratio = hot.ratio.load(Ordering::Relaxed);
    let taken = ratio <= 1 || turn.lp.work.rng.below(ratio) == 0;
    let mut keys: SmallVec<[&[u8]; 4]> = SmallVec::new();
    if taken {
        each_key(&row.spec, args, |at, flags| {
            if !flags.contains(KeyFlags::NOT_KEY) {
                keys.push(args[at]);
            }
        });
    }
    let Some(mut part) = hot.part(usize::from(turn.lp.index)) else { return };
    part.time_ns += time_ns;
    part.bytes += bytes;
    let count = keys.len().max(1) as u64;
    for key in keys {
        if let Some(cpu) = &mut part.cpu {
            cpu.add(key, time_ns / count);
        }
        if let Some(net) = &mut part.net {
            net.add(key, bytes / count);
        }
    }
}

/// Bytes of a request on the wire.
fn sent(args: &[&[u8]]) -> usize {
    let digits = |n: usize| n.checked_ilog10().unwrap_or(0) as usize + 1;
    let head = |n: usize| 1 + digits(n) + 2;
    head(args.len()) + args.iter().map(|arg| head(arg.len()) + arg.len() + 2).sum::<usize>()
}

fn start(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let wanted = Wanted::parse(args)?;
    let (engine, now_ms) = (turn.engine, turn.lp.now.unix_ms);
    let hot = &engine.hotkeys;
    hot.end_when_due(engine, now_ms);
    let mut tracking = hot.tracking();
    if tracking.as_ref().is_some_and(|tracking| tracking.ended.is_none()) {
        return Err(ReplyError::fixed("ERR hotkey tracking session already in progress"));
    }
    hot.clear(Some(wanted));
    hot.ratio.store(wanted.ratio, Ordering::Relaxed);
    let until_ms = wanted.duration_ms.map_or(i64::MAX, |ms| now_ms.saturating_add(ms));
    hot.until_ms.store(until_ms, Ordering::Relaxed);
    *tracking = Some(Tracking { wanted, began: Moment::take(engine, now_ms), ended: None });
    drop(tracking);
    hot.active.store(true, Ordering::Relaxed);
    turn.reply().ok();
    Ok(())
}

fn stop(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let now_ms = turn.lp.now.unix_ms;
    turn.engine.hotkeys.end_when_due(turn.engine, now_ms);
    if !turn.engine.hotkeys.end(turn.engine, now_ms) {
        return Err(ReplyError::fixed("ERR no hotkey tracking session is in progress"));
    }
    turn.reply().ok();
    Ok(())
}

fn reset(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let hot = &turn.engine.hotkeys;
    hot.end_when_due(turn.engine, turn.lp.now.unix_ms);
    let mut tracking = hot.tracking();
    if tracking.as_ref().is_some_and(|tracking| tracking.ended.is_none()) {
        return Err(ReplyError::fixed(
            "ERR hotkey tracking session is in progress: use HOTKEYS STOP first",
        ));
    }
    *tracking = None;
    hot.clear(None);
    drop(tracking);
    turn.reply().ok();
    Ok(())
}

/// A field of the report.
enum Field {
    Number(i64),
    /// The slots that are tracked: all of them.
    Slots,
    Keys(Vec<(Vec<u8>, u64)>),
}

fn get(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let engine = turn.engine;
    let now_ms = turn.lp.now.unix_ms;
    engine.hotkeys.end_when_due(engine, now_ms);
    let Some(tracking) = *engine.hotkeys.tracking() else {
        turn.reply().null();
        return Ok(());
    };
    let fields = report(engine, &tracking, now_ms);
    let protocol = turn.session.protocol;
    let mut reply = turn.reply();
    reply.array(1);
    match protocol {
        Protocol::Resp3 => reply.map(fields.len()),
        Protocol::Resp2 => reply.array(fields.len() * 2),
    }
    for (name, field) in fields {
        reply.bulk(name);
        field.write(&mut reply);
    }
    Ok(())
}

impl Field {
    fn write(self, reply: &mut Reply<'_>) {
        match self {
            Self::Number(n) => reply.integer(n),
            Self::Slots => {
                reply.array(1);
                reply.array(2);
                reply.integer(0);
                reply.integer(16383);
            }
            Self::Keys(keys) => {
                reply.array(keys.len() * 2);
                for (name, weight) in keys {
                    reply.bulk(name);
                    reply.integer(i64::try_from(weight).unwrap_or(i64::MAX));
                }
            }
        }
    }
}

fn report(engine: &Engine, tracking: &Tracking, now_ms: i64) -> Vec<(&'static str, Field)> {
    let Tracking { wanted, began, ended } = *tracking;
    let ended = ended.unwrap_or_else(|| Moment::take(engine, now_ms));
    let (mut time_ns, mut bytes) = (0u64, 0u64);
    let (mut cpu, mut net) = (BTreeMap::new(), BTreeMap::new());
    for index in 0..engine.hotkeys.parts.len() {
        let Some(part) = engine.hotkeys.part(index) else { continue };
        time_ns += part.time_ns;
        bytes += part.bytes;
        for (top, sums) in [(&part.cpu, &mut cpu), (&part.net, &mut net)] {
            for (name, weight) in top.iter().flat_map(Top::iter) {
                *sums.entry(name.to_vec()).or_insert(0u64) += weight;
            }
        }
    }
    let number = |n: u64| Field::Number(i64::try_from(n).unwrap_or(i64::MAX));
    let ms = |from: f64, to: f64| Field::Number(((to - from) * 1000.0).max(0.0) as i64);
    let mut fields = vec![
        ("tracking-active", number(u64::from(tracking.ended.is_none()))),
        ("sample-ratio", number(wanted.ratio)),
        ("selected-slots", Field::Slots),
        ("all-commands-all-slots-us", number(time_ns / 1000)),
        ("net-bytes-all-commands-all-slots", number(bytes)),
        ("collection-start-time-unix-ms", Field::Number(began.at_ms)),
        ("collection-duration-ms", Field::Number(ended.at_ms - began.at_ms)),
    ];
    if wanted.cpu {
        fields.push(("total-cpu-time-user-ms", ms(began.cpu.1, ended.cpu.1)));
        fields.push(("total-cpu-time-sys-ms", ms(began.cpu.0, ended.cpu.0)));
    }
    if wanted.net {
        fields.push(("total-net-bytes", number(ended.net.saturating_sub(began.net))));
    }
    if wanted.cpu {
        fields.push(("by-cpu-time-us", Field::Keys(heaviest(cpu, wanted.count, 1000))));
    }
    if wanted.net {
        fields.push(("by-net-bytes", Field::Keys(heaviest(net, wanted.count, 1))));
    }
    fields
}

/// The heaviest, heaviest first, in another unit.
fn heaviest(sums: BTreeMap<Vec<u8>, u64>, count: usize, unit: u64) -> Vec<(Vec<u8>, u64)> {
    let mut all: Vec<(Vec<u8>, u64)> = sums.into_iter().collect();
    all.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    all.truncate(count);
    all.into_iter().map(|(name, weight)| (name, weight / unit)).collect()
}
