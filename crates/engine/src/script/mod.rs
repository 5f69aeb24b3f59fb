//! Scripts and functions: what the process keeps of them, and how one runs.
//!
//! * this file: what all loops share ([`ScriptEngine`]) and the scripts that run too long;
//! * `local`: a loop's own interpreter with its compiled code;
//! * `running`: a script under way: its locks, its commands, its limits.
//!
//! A script runs as EXEC does: under one lock set, its effects one record of the log. What it may
//! lock beside its declared keys is `running`'s part.

pub(crate) mod local;
pub(crate) mod running;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ochre_command::ReplyError;
use ochre_script::shebang;
use ochre_script::store::{Libraries, Scripts};

use crate::registry::Row;

/// What the gate answers while a script runs too long.
const BUSY_SCRIPT: ReplyError = ReplyError::fixed(
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
);
const BUSY_FUNCTION: ReplyError = ReplyError::fixed(
    "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
);

/// Whether a script or a library's function runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// EVAL and its kin.
    Script,
    /// FCALL.
    Function,
}

/// A script that runs longer than busy-reply-threshold, as others see it.
#[derive(Debug)]
pub(crate) struct Slow {
    pub(crate) kind: Kind,
    /// The function's name, or the script's.
    pub(crate) name: Vec<u8>,
    /// The command that called it.
    pub(crate) command: Vec<Vec<u8>>,
    /// When it began, in monotonic nanoseconds.
    pub(crate) since_ns: u64,
    /// It has changed data, and cannot be ended any more.
    pub(crate) wrote: AtomicBool,
    /// Somebody asked to end it.
    pub(crate) killed: AtomicBool,
}

/// What all loops share. The mutexes are leaves: nothing is locked while one is held.
#[derive(Debug)]
pub struct ScriptEngine {
    scripts: Mutex<Scripts>,
    libraries: Mutex<Libraries>,
    /// Grows with SCRIPT FLUSH: loops make new interpreters.
    epoch: AtomicU64,
    /// The libraries' epoch, to look at without the lock.
    library_epoch: AtomicU64,
    /// Scripts in `slow`: the gate's look for each command.
    busy: AtomicU32,
    slow: Mutex<Vec<Arc<Slow>>>,
    /// Bytes of each loop's interpreter.
    memory: Vec<AtomicUsize>,
}

impl ScriptEngine {
    pub(crate) fn new(loops: usize) -> Self {
        Self {
            scripts: Mutex::default(),
            libraries: Mutex::default(),
            epoch: AtomicU64::new(0),
            library_epoch: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            slow: Mutex::default(),
            memory: (0..loops).map(|_| AtomicUsize::new(0)).collect(),
        }
    }

    pub(crate) fn scripts(&self) -> MutexGuard<'_, Scripts> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The libraries, to read.
    pub(crate) fn libraries(&self) -> MutexGuard<'_, Libraries> {
        self.libraries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the libraries; loops will see it with their next call.
    pub(crate) fn change_libraries<R>(&self, change: impl FnOnce(&mut Libraries) -> R) -> R {
        let mut libraries = self.libraries();
        let result = change(&mut libraries);
        self.library_epoch.store(libraries.epoch, Ordering::Release);
        result
    }

    /// Forgets all libraries.
    pub(crate) fn clear_libraries(&self) {
        self.change_libraries(Libraries::clear);
    }

    /// The sources of all libraries: for a snapshot.
    pub fn sources(&self) -> Vec<Vec<u8>> {
        self.libraries().iter().map(|library| library.code.to_vec()).collect()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(crate) fn library_epoch(&self) -> u64 {
        self.library_epoch.load(Ordering::Acquire)
    }

    /// Forgets all scripts; each loop gets a new interpreter.
    pub(crate) fn flush(&self) {
        self.scripts().clear();
        self.epoch.fetch_add(1, Ordering::Release);
    }

    /// The answer to commands while a script runs too long.
    #[inline]
    pub(crate) fn busy(&self) -> Option<ReplyError> {
        (self.busy.load(Ordering::Relaxed) > 0).then(|| self.busy_text())
    }

    #[cold]
    fn busy_text(&self) -> ReplyError {
        match self.slow().first().map(|slow| slow.kind) {
            Some(Kind::Function) => BUSY_FUNCTION,
            _ => BUSY_SCRIPT,
        }
    }

    /// The scripts that run too long.
    pub(crate) fn slow(&self) -> MutexGuard<'_, Vec<Arc<Slow>>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_slow(&self, slow: Arc<Slow>) {
        let mut all = self.slow();
        all.push(slow);
        self.busy.store(all.len() as u32, Ordering::Release);
    }

    fn remove_slow(&self, slow: &Arc<Slow>) {
        let mut all = self.slow();
        all.retain(|other| !Arc::ptr_eq(other, slow));
        self.busy.store(all.len() as u32, Ordering::Release);
    }

    /// SCRIPT KILL and FUNCTION KILL: asks the scripts that run too long to end.
    pub(crate) fn kill(&self, kind: Kind) -> Result<(), ReplyError> {
        let slow = self.slow();
        if slow.is_empty() {
            return Err(ReplyError::fixed("NOTBUSY No scripts in execution right now."));
        }
        let mut mine = slow.iter().filter(|slow| slow.kind == kind).peekable();
        if mine.peek().is_none() {
            return Err(match kind {
                Kind::Script => BUSY_FUNCTION,
                Kind::Function => BUSY_SCRIPT,
            });
        }
        let mut any = false;
        for slow in mine.filter(|slow| !slow.wrote.load(Ordering::Acquire)) {
            slow.killed.store(true, Ordering::Release);
            any = true;
        }
        if any {
            return Ok(());
        }
        Err(ReplyError::fixed(
            "UNKILLABLE Sorry the script already executed write commands against the dataset. You \
             can either wait the script termination or kill the server in a hard way using the \
             SHUTDOWN NOSAVE command.",
        ))
    }

    /// Whether a script may write: unless its flags say that it does not.
    pub(crate) fn may_write(&self, row: &Row, script: &[u8]) -> bool {
        let runs = matches!(row.spec.name, "eval" | "evalsha" | "fcall");
        runs && !self.flags(row, script).is_some_and(|flags| flags.has(shebang::Flags::NO_WRITES))
    }

    /// Whether a script has flags, and they do not say that it does not write.
    pub(crate) fn says_it_writes(&self, row: &Row, script: &[u8]) -> bool {
        self.flags(row, script).is_some_and(|flags| !flags.has(shebang::Flags::NO_WRITES))
    }

    /// The flags of the script that a command would run, if it declares any.
    fn flags(&self, row: &Row, script: &[u8]) -> Option<shebang::Flags> {
        match row.spec.name {
            "eval" => shebang::script(script).ok().and_then(|(flags, _)| flags),
            "evalsha" => {
                let sha = script.try_into().map(|sha: [u8; 40]| sha.to_ascii_lowercase());
                let sha = sha.ok().and_then(|sha| sha.try_into().ok());
                sha.and_then(|sha| self.scripts().find(&sha)).and_then(|script| script.flags)
            }
            "fcall" => {
                let libraries = self.libraries();
                let mut functions = libraries.iter().flat_map(|library| &library.functions);
                let named = |name: &str| name.as_bytes().eq_ignore_ascii_case(script);
                functions.find(|function| named(&function.name)).map(|function| function.flags)
            }
            _ => None,
        }
    }

    fn note_memory(&self, event_loop: u16, bytes: usize) {
        if let Some(memory) = self.memory.get(usize::from(event_loop)) {
            memory.store(bytes, Ordering::Relaxed);
        }
    }

    /// What INFO says.
    pub fn facts(&self) -> ScriptFacts {
        let (scripts, script_bytes, evicted) = {
            let scripts = self.scripts();
            (scripts.len(), scripts.bytes(), scripts.evicted)
        };
        let libraries = self.libraries();
        let (library_count, functions) = libraries.counts();
        ScriptFacts {
            interpreter_bytes: self.memory.iter().map(|m| m.load(Ordering::Relaxed)).sum(),
            scripts,
            script_bytes,
            evicted,
            libraries: library_count,
            functions,
            library_bytes: libraries.bytes(),
        }
    }
}

/// Numbers for INFO.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScriptFacts {
    /// Bytes of all interpreters; scripts and functions share them.
    pub interpreter_bytes: usize,
    /// Scripts kept.
    pub scripts: usize,
    /// Their bytes.
    pub script_bytes: usize,
    /// Scripts dropped to make room.
    pub evicted: u64,
    /// Libraries.
    pub libraries: usize,
    /// Functions.
    pub functions: usize,
    /// Bytes of the libraries.
    pub library_bytes: usize,
}
