//! Running the commands of an append-only file: on this thread, or routed from it to several.
//!
//! **Which commands may run beside others.** A handler reaches data only under the locks of its command's keys.
//! So commands whose keys lie in shards of different lanes ([`super::lanes`]) do not see each other, and may run
//! in any order between themselves; those of one lane keep theirs. A transaction is routed as one command with
//! the keys of all its commands. What has no keys, takes all locks, has keys in several lanes, runs outside the
//! locks (scripts, functions), may wait, or is not known is run *alone*: after all before it, and before all
//! behind it. SELECT touches no data: it is run here, and each batch of a lane begins with the database that is
//! selected at its first command.
//!
//! **What stays as on one thread.** The walker alone decides where records and transactions end, in order; what
//! is reported as broken or cut off is reported after all before it has run. A transaction that is cut off is
//! run as far as it goes, which queues its commands and changes nothing, but finds what is unknown in it.
//!
//! With one core, or while clients are blocked (serving them may write to other keys), everything runs here.
//! With `key-load-delay` every command is finished before the next.

use std::io::Read;
use std::sync::atomic::Ordering;

use ochre_aof::walk::{Step, Walk};
use ochre_base::clock::Now;
use ochre_base::hash::hash;
use ochre_command::keys::each_key;
use ochre_command::spec::{Flags, KeyFlags};
use ochre_engine::engine::Engine;
use ochre_engine::registry::Run;
use ochre_engine::replay::Replay;
use ochre_keyspace::lazyfree::Bin;

use super::lanes::{BATCH_BYTES, Lanes};
use crate::host::reason;
use crate::persist::load::Pace;

/// Most threads that run commands: beyond them the reading thread is what everything waits for.
const WORKERS_MAX: usize = 16;
/// Commands between two looks at the clock.
const LOOK_EVERY: u64 = 256;
/// Arguments that are looked at without an allocation.
const FEW: usize = 8;

/// The commands of a file, or what is left of it.
#[derive(Debug)]
pub(super) struct Commands<R> {
    pub(super) read: R,
    /// What was read of it already, from offset `at` on.
    pub(super) ahead: Vec<u8>,
    pub(super) at: u64,
    /// Bytes of the files before it: for the progress.
    pub(super) before: u64,
    /// Where to stop.
    pub(super) stop: u64,
}

/// How a file ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With a whole record, or where it was to stop.
    Whole,
    /// Within one; it could end at this offset.
    Cut(u64),
}

/// So many threads may run commands now.
pub(super) fn workers(engine: &Engine) -> usize {
    if engine.blocked.load(Ordering::Relaxed) > 0 {
        return 1;
    }
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS_MAX)
}

/// Runs the commands of a file on as many threads, besides this one if there is more than one.
pub(super) fn replay<R: Read>(
    engine: &'static Engine,
    commands: Commands<R>,
    workers: usize,
) -> Result<End, String> {
    let before = commands.before;
    let walk = Walk::new(commands.read, commands.ahead, commands.at).stop_at(commands.stop);
    if workers <= 1 {
        return run_here(engine, walk, before);
    }
    std::thread::scope(|scope| {
        let mut router = Router::new(engine, Lanes::new(engine, scope, workers));
        let result = route_all(engine, walk, before, &mut router);
        // What was handed over has run when this returns; a failure there came before the one here.
        router.finish().and(result)
    })
}

/// Without other threads: whole runs of commands at once.
fn run_here<R: Read>(
    engine: &'static Engine,
    mut walk: Walk<R>,
    before: u64,
) -> Result<End, String> {
    let mut runner = Replay::new(engine, Bin::inline(), Now::default());
    let mut pace = Pace::new(engine);
    loop {
        let most = if pace.waits() { 1 } else { usize::MAX };
        let step = walk.step(most).map_err(|error| reason(&error))?;
        if step == Step::Commands {
            run(&mut runner, walk.run())?;
            engine.loading.reached(before + walk.end());
            pace.after_key()?;
            pace.look(|| engine.stats(0).total_commands)?;
        } else if let Some(end) = end(step, &walk) {
            return end;
        }
    }
}

fn route_all<R: Read>(
    engine: &'static Engine,
    mut walk: Walk<R>,
    before: u64,
    router: &mut Router<'_, '_>,
) -> Result<End, String> {
    let mut pace = Pace::new(engine);
    let mut count = 0;
    loop {
        let step = walk.step(1).map_err(|error| reason(&error))?;
        if step != Step::Commands {
            match end(step, &walk) {
                Some(end) => return end,
                None => continue,
            }
        }
        let args = walk.args();
        let open = walk.multi().is_some();
        if args.len() <= FEW {
            let mut few = [&[][..]; FEW];
            let length = args.len();
            few.iter_mut().zip(args).for_each(|(place, arg)| *place = arg);
            router.accept(walk.bytes(), &few[..length], open)?;
        } else {
            router.accept(walk.bytes(), &args.collect::<Vec<_>>(), open)?;
        }
        count += 1;
        if pace.waits() {
            router.settle()?;
            pace.after_key()?;
        } else if count % LOOK_EVERY != 0 {
            continue;
        }
        engine.loading.reached(before + walk.end());
        pace.look(|| count)?;
    }
}

/// What a step that is no command ends the replay with; none: it goes on.
fn end<R: Read>(step: Step, walk: &Walk<R>) -> Option<Result<End, String>> {
    match step {
        Step::Commands | Step::Note(_) => None,
        Step::End => Some(Ok(End::Whole)),
        Step::Cut => Some(Ok(End::Cut(walk.good()))),
        Step::Broken(why) => Some(Err(format!(
            "Bad file format reading the append only file at offset {}: {why}. Make a backup of your \
             AOF file, then use ochre-check-aof --fix <filename>",
            walk.offset()
        ))),
    }
}

/// Where a command, or a transaction, is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// In this lane.
    Lane(usize),
    /// When nothing else runs.
    Alone,
    /// It is a SELECT.
    Select,
}

/// A transaction that has not ended yet.
#[derive(Debug, Default)]
struct Transaction {
    bytes: Vec<u8>,
    /// Where all of it may run; none: anywhere so far.
    target: Option<Target>,
}

/// Takes commands in their order, and sees to it that each has the effect that it has in that order.
#[derive(Debug)]
struct Router<'scope, 'env> {
    engine: &'static Engine,
    lanes: Lanes<'scope, 'env>,
    /// Runs what runs alone; its session is the file's.
    runner: Replay,
    /// What is to run alone, together: behind everything in the lanes.
    alone: Vec<u8>,
    transaction: Option<Transaction>,
}

impl<'scope, 'env> Router<'scope, 'env> {
    fn new(engine: &'static Engine, lanes: Lanes<'scope, 'env>) -> Self {
        let runner = Replay::new(engine, Bin::inline(), Now::default());
        Self { engine, lanes, runner, alone: Vec::new(), transaction: None }
    }

    /// The next command; `open`: a transaction is under way behind it.
    fn accept(&mut self, bytes: &[u8], args: &[&[u8]], open: bool) -> Result<(), String> {
        let Some(mut transaction) = self.transaction.take() else {
            if open {
                self.transaction = Some(Transaction { bytes: bytes.to_vec(), target: None });
                return Ok(());
            }
            return self.place(bytes, self.target(args));
        };
        transaction.bytes.extend_from_slice(bytes);
        if open {
            let target = self.target(args);
            transaction.target = match (transaction.target, target) {
                (None, Target::Lane(_)) => Some(target),
                (Some(other), _) if other == target => Some(target),
                _ => Some(Target::Alone),
            };
            if transaction.bytes.len() > BATCH_BYTES {
                // The session that runs alone keeps its queue from one part to the next.
                transaction.target = Some(Target::Alone);
                self.place(&transaction.bytes, Target::Alone)?;
                transaction.bytes.clear();
            }
            self.transaction = Some(transaction);
            return Ok(());
        }
        self.place(&transaction.bytes, transaction.target.unwrap_or(Target::Alone))
    }

    fn place(&mut self, bytes: &[u8], target: Target) -> Result<(), String> {
        match target {
            Target::Lane(lane) => {
                self.run_alone()?;
                self.lanes.give(lane, bytes)
            }
            Target::Select if self.alone.is_empty() => {
                run(&mut self.runner, &mut bytes.to_vec())?;
                self.lanes.select(self.runner.db());
                Ok(())
            }
            Target::Select | Target::Alone => {
                self.alone.extend_from_slice(bytes);
                if self.alone.len() > BATCH_BYTES { self.run_alone() } else { Ok(()) }
            }
        }
    }

    fn target(&self, args: &[&[u8]]) -> Target {
        const ALONE: Flags = Flags::ALL_KEYS.union(Flags::WALKS_SHARDS).union(Flags::BLOCKING);
        let registry = &self.engine.registry;
        let found = registry.resolve(args).or_else(|| registry.resolve_called(args));
        let Some(row) = found else { return Target::Alone };
        match row.run {
            Run::Session(_) if row.full_name == "select" => return Target::Select,
            Run::Session(_) => return Target::Alone,
            Run::Data if row.spec.flags.intersects(ALONE) => return Target::Alone,
            Run::Data => {}
        }
        let mut target = None;
        let sound = each_key(&row.spec, args, |at, flags| {
            if flags.contains(KeyFlags::NOT_KEY) {
                return;
            }
            let lane = Target::Lane(self.lanes.of(hash(args[at])));
            target = match target {
                Some(other) if other != lane => Some(Target::Alone),
                _ => Some(lane),
            };
        });
        if sound { target.unwrap_or(Target::Alone) } else { Target::Alone }
    }

    /// Runs what waits to run alone, behind everything in the lanes.
    fn run_alone(&mut self) -> Result<(), String> {
        if self.alone.is_empty() {
            return Ok(());
        }
        self.lanes.settle()?;
        run(&mut self.runner, &mut self.alone)?;
        self.alone.clear();
        self.alone.shrink_to(4 * BATCH_BYTES);
        self.lanes.select(self.runner.db());
        Ok(())
    }

    /// Everything that was taken so far has run, but for a transaction that has not ended.
    fn settle(&mut self) -> Result<(), String> {
        self.run_alone()?;
        self.lanes.settle()
    }

    /// The end: what a transaction that was cut off holds is queued, and never runs.
    fn finish(mut self) -> Result<(), String> {
        if let Some(transaction) = self.transaction.take() {
            self.place(&transaction.bytes, Target::Alone)?;
        }
        self.settle()
    }
}

/// Runs complete commands.
pub(super) fn run(runner: &mut Replay, bytes: &mut [u8]) -> Result<(), String> {
    let done = runner.run(bytes);
    let replies = runner.take_replies();
    if let Some(unknown) = find(&replies, b"-ERR unknown command") {
        let text = String::from_utf8_lossy(&replies[unknown + 1..]);
        let line = text.lines().next().unwrap_or_default();
        let name = line.split('\'').nth(1).unwrap_or(line);
        return Err(format!("Unknown command '{name}' reading the append only file"));
    }
    if done.broken || done.consumed != bytes.len() {
        return Err(
            "Bad file format reading the append only file: a command cannot be run. Make a \
                    backup of your AOF file, then use ochre-check-aof --fix <filename>"
                .to_owned(),
        );
    }
    Ok(())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests;
