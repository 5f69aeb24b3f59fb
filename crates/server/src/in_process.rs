//! `ochre-server --in-process`: the engine without sockets, from one thread or several, for the benchmarks.
//!
//! Each thread is a client and its loop in one: it takes a batch of encoded requests that was made before the clock
//! started, copies it to where a socket would have been read to, and runs it through the same door as a
//! connection's bytes. What is measured is therefore parsing, locks, the command and the reply, and nothing of
//! the kernel. One line of results goes to the standard output.
//!
//! The workload `grow` is another matter: it inserts keys one by one, as many as it is told to instead of
//! seconds, and gives the distribution of the processor time that each took.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ochre_base::rng::Rng;
use ochre_config::{Config, Settings, Surroundings, Value, table};
use ochre_engine::engine::Engine;
use ochre_engine::pipeline::process;
use ochre_engine::session::{ClientInfo, Session};
use ochre_engine::turn::LoopState;
use ochre_keyspace::lazyfree::Bin;
use ochre_resp::{Output, Parser};
use rustix::time::{ClockId, clock_gettime};

use crate::event_loop::Shared;
use crate::huge_pages::HugePages;
use crate::serve::{Parts, assemble};

/// Keys that there are.
const KEYS: u64 = 1_000_000;
/// Commands of a batch, as a pipelining client sends them.
const BATCH: usize = 16;
/// Batches made beforehand, for each thread.
const BATCHES: usize = 4096;
/// Bytes of a value.
const VALUE: usize = 32;
/// Batches run between two looks whether the time is up.
const ROUND: usize = 64;

/// A script of three calls on its declared keys.
const SCRIPT: &str = "redis.call('set', KEYS[1], ARGV[1]) redis.call('incr', KEYS[2]) \
                      return redis.call('get', KEYS[1])";

/// What the threads do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workload {
    /// GET and SET of any key, in turns.
    Uniform,
    /// INCR of one key.
    Hot,
    /// MSET of ten keys.
    Mset,
    /// EVAL of a script on two keys that it declares.
    Script,
}

/// Runs the workload that the arguments name.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let words: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let result = match words[..] {
        ["grow", keys] => keys.parse().map_err(anyhow::Error::from).and_then(grow),
        [name, threads, seconds] => measure(name, threads, seconds),
        _ => Err(anyhow::anyhow!(
            "--in-process (uniform|hot|mset|script) THREADS SECONDS, or --in-process grow KEYS"
        )),
    };
    match result {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// An engine with `threads` loops, none of which runs.
fn engine(threads: usize) -> anyhow::Result<Parts> {
    let folder = std::env::temp_dir();
    let mut config = Config::new(&Surroundings { cores: threads, folder });
    config.replace(const { table::id("io-threads") }, Value::Int(threads as i64));
    let settings = Settings::of(&config);
    // As a server does unless it is told otherwise.
    HugePages::begin();
    assemble(config, &settings, "no")
}

/// A client that is its own loop.
struct Driver {
    engine: &'static Engine,
    shared: &'static Shared,
    lp: LoopState,
    session: Session,
    parser: Parser,
    out: Output,
    input: Vec<u8>,
}

impl Driver {
    fn new(parts: &Parts, index: usize) -> Self {
        let bin = Bin::inline();
        Self {
            engine: parts.engine,
            shared: parts.shared,
            lp: LoopState::new(parts.engine, index as u16, bin, parts.seed ^ index as u64),
            session: Session::new(ClientInfo::nobody().into(), true),
            parser: Parser::new(),
            out: Output::default(),
            input: Vec::new(),
        }
    }

    /// Runs requests and drops their replies; an error reply ends the process, for it would be measured as
    /// work.
    fn run(&mut self, requests: &[u8]) {
        self.input.clear();
        self.input.extend_from_slice(requests);
        let (lp, session) = (&mut self.lp, &mut self.session);
        process(self.engine, lp, session, &mut self.parser, &mut self.input, &mut self.out);
        self.lp.attention.clear();
        let replies = self.out.plain().unwrap_or_default();
        assert!(!replies.starts_with(b"-"), "{}", String::from_utf8_lossy(replies));
        let pending = self.out.pending();
        self.out.advance(pending);
    }

    fn begin_turn(&mut self) {
        self.lp.begin_turn(self.engine, self.shared.clock.now());
    }
}

fn measure(name: &str, threads: &str, seconds: &str) -> anyhow::Result<String> {
    let workload = match name {
        "uniform" => Workload::Uniform,
        "hot" => Workload::Hot,
        "mset" => Workload::Mset,
        "script" => Workload::Script,
        _ => anyhow::bail!("no workload is called {name}"),
    };
    let threads: usize = threads.parse()?;
    let time = Duration::from_secs_f64(seconds.parse()?);
    anyhow::ensure!((1..=64).contains(&threads), "1 to 64 threads");
    let parts = engine(threads)?;
    let mut filler = Driver::new(&parts, 0);
    filler.begin_turn();
    let value = [b'x'; VALUE];
    for key in 0..KEYS {
        filler.run(&request(&[b"SET", &key_name(key), &value]));
    }
    let (ready, stop) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let (parts, ready, stop) = (&parts, &ready, &stop);
    let (commands, cpu_ns, elapsed) = std::thread::scope(|scope| {
        let mut handles = Vec::new();
        for index in 0..threads {
            let drive = move || drive(parts, index, workload, ready, stop);
            handles.push(std::thread::Builder::new().spawn_scoped(scope, drive)?);
        }
        ready.wait();
        let began = parts.shared.clock.ticks_ns();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        let (mut commands, mut cpu_ns) = (0, 0);
        for handle in handles {
            let done = handle.join().map_err(|_| anyhow::anyhow!("a thread failed"))?;
            commands += done.0;
            cpu_ns += done.1;
        }
        anyhow::Ok((commands, cpu_ns, parts.shared.clock.ticks_ns() - began))
    })?;
    Ok(format!(
        "commands_per_s={:.0} cpu_ns_per_command={:.1}",
        commands as f64 * 1e9 / elapsed as f64,
        cpu_ns as f64 / commands as f64
    ))
}

/// One thread's work; commands run and the processor time that they took.
fn drive(
    parts: &Parts,
    index: usize,
    workload: Workload,
    ready: &Barrier,
    stop: &AtomicBool,
) -> (u64, u64) {
    let mut rng = Rng::new(parts.seed ^ (index as u64 + 1));
    let batches: Vec<Vec<u8>> = (0..BATCHES).map(|_| batch(workload, &mut rng)).collect();
    let mut driver = Driver::new(parts, index);
    driver.begin_turn();
    ready.wait();
    let (mut commands, began) = (0, thread_ns());
    'work: loop {
        for round in batches.chunks(ROUND) {
            driver.begin_turn();
            for requests in round {
                driver.run(requests);
            }
            commands += (round.len() * BATCH) as u64;
            if stop.load(Ordering::Relaxed) {
                break 'work;
            }
        }
    }
    (commands, thread_ns() - began)
}

fn batch(workload: Workload, rng: &mut Rng) -> Vec<u8> {
    let value = [b'y'; VALUE];
    let mut requests = Vec::new();
    for i in 0..BATCH {
        let mut key = || key_name(rng.below(KEYS));
        let one = match workload {
            Workload::Uniform if i % 2 == 0 => request(&[b"GET", &key()]),
            Workload::Uniform => request(&[b"SET", &key(), &value]),
            Workload::Hot => request(&[b"INCR", b"counter"]),
            Workload::Mset => {
                let keys: Vec<_> = (0..10).map(|_| key()).collect();
                let mut words: Vec<&[u8]> = vec![b"MSET"];
                keys.iter().for_each(|key| words.extend([&key[..], &value]));
                request(&words)
            }
            Workload::Script => {
                let counter = [&b"n"[..], &key()].concat();
                request(&[b"EVAL", SCRIPT.as_bytes(), b"2", &key(), &counter, &value])
            }
        };
        requests.extend_from_slice(&one);
    }
    requests
}

/// Inserts keys one by one; the processor time of each insert, and memory on the way.
fn grow(keys: u64) -> anyhow::Result<String> {
    let parts = engine(1)?;
    let mut driver = Driver::new(&parts, 0);
    let value = [b'x'; VALUE];
    // How many inserts took less than 2^n microseconds, and the longest.
    let (mut below, mut longest, mut over) = ([0u64; 24], 0, 0u64);
    let mut peak = 0;
    for key in 0..keys {
        let one = request(&[b"SET", &key_name(key), &value]);
        if key.is_multiple_of(1024) {
            driver.begin_turn();
            peak = peak.max(ochre_base::memory::used());
        }
        let began = thread_ns();
        driver.run(&one);
        let took = thread_ns() - began;
        below[(64 - (took / 1000).leading_zeros() as usize).min(23)] += 1;
        longest = longest.max(took);
        over += u64::from(took > 200_000);
    }
    let settled = ochre_base::memory::used();
    let shown: Vec<String> = below
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(power, count)| format!("<{}us:{count}", 1u64 << power))
        .collect();
    Ok(format!(
        "keys={keys} longest_us={} over_200us={over} peak_used={peak} settled_used={settled} {}",
        longest / 1000,
        shown.join(" ")
    ))
}

fn key_name(key: u64) -> [u8; 16] {
    let mut name = *b"key:000000000000";
    let mut rest = key;
    for digit in name[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Processor time of the calling thread.
fn thread_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
