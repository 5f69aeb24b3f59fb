//! A loop's own interpreter, and the code it has compiled.
//!
//! It belongs to the thread (an interpreter cannot move between threads, a loop's state can), and is
//! made when the first script arrives. Compiled scripts are kept by their SHA1 and checked against the
//! shared store by one flag; libraries are loaded anew when their epoch has changed. A script that
//! is running has the interpreter taken out: it cannot be entered twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ochre_command::spec::CommandSpec;
use ochre_command::{ReplyError, Result};
use ochre_script::api::Constants;
use ochre_script::store::{EVAL_MAX, FunctionFacts, Library, Script, Sha};
use ochre_script::vm::Registered;
use ochre_script::{Function, Limits, Vm, proof, shebang};

use crate::engine::Engine;
use crate::script::running::Running;
use crate::turn::Turn;
use crate::version;

/// How scripts know us.
const CONSTANTS: Constants =
    Constants { version: version::REPORTED, server_name: "ochre", server_version: version::OCHRE };

/// Hashes names of scripts, whose first bytes are as good as random.
#[derive(Debug, Default)]
struct ShaHasher(u64);

impl Hasher for ShaHasher {
    fn write(&mut self, bytes: &[u8]) {
        for word in bytes.chunks_exact(8) {
            let word = word.iter().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
            self.0 = (self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A compiled script.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) script: Arc<Script>,
    pub(crate) function: Function,
}

/// A library's function, loaded.
#[derive(Debug)]
pub(crate) struct Callable {
    pub(crate) facts: Arc<FunctionFacts>,
    pub(crate) function: Function,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Local {
    engine: &'static Engine,
    epoch: u64,
    pub(crate) vm: Vm<Box<Running>>,
    /// The state of a running script, kept from one to the next.
    pub(crate) spare: Option<Box<Running>>,
    chunks: HashMap<Sha, Rc<Chunk>, BuildHasherDefault<ShaHasher>>,
    functions: HashMap<String, Rc<Callable>>,
    /// Epoch of `functions`; none: never loaded.
    library_epoch: Option<u64>,
    limits: Limits,
}

thread_local! {
    static LOCAL: RefCell<Option<Box<Local>>> = const { RefCell::new(None) };
}

/// Runs `with` on this thread's interpreter.
pub(crate) fn with<R>(
    turn: &mut Turn<'_>,
    with: impl FnOnce(&mut Local, &mut Turn<'_>) -> Result<R>,
) -> Result<R> {
    let kept = LOCAL.with(|local| local.borrow_mut().take());
    let current = kept.filter(|local| {
        std::ptr::eq(local.engine, turn.engine) && local.epoch == turn.engine.scripts.epoch()
    });
    let mut local = match current {
        Some(local) => local,
        None => Box::new(Local::new(turn)?),
    };
    local.set_limits(turn);
    let result = with(&mut local, turn);
    turn.engine.scripts.note_memory(turn.lp.index, local.vm.used_memory());
    LOCAL.with(|place| *place.borrow_mut() = Some(local));
    result
}

impl Local {
    fn new(turn: &Turn<'_>) -> Result<Self> {
        let vm = Vm::new(&CONSTANTS)
            .map_err(|text| ReplyError::new(format!("ERR no Lua interpreter: {text}")))?;
        Ok(Self {
            engine: turn.engine,
            epoch: turn.engine.scripts.epoch(),
            vm,
            spare: None,
            chunks: HashMap::default(),
            functions: HashMap::new(),
            library_epoch: None,
            limits: Limits::default(),
        })
    }

    fn set_limits(&mut self, turn: &Turn<'_>) {
        let settings = &turn.live().settings;
        let memory = usize::try_from(settings.script_memory_limit).unwrap_or(usize::MAX);
        let limits = Limits { memory, instructions: settings.script_instruction_limit };
        if limits != self.limits {
            self.limits = limits;
            self.vm.set_limits(limits);
        }
    }

    /// A script that is known by its name.
    pub(crate) fn find(&mut self, sha: &Sha) -> Result<Option<Rc<Chunk>>> {
        if let Some(chunk) = self.chunks.get(sha) {
            if !chunk.script.dropped.load(Ordering::Acquire) {
                return Ok(Some(Rc::clone(chunk)));
            }
            self.chunks.remove(sha);
        }
        let Some(script) = self.engine.scripts.scripts().find(sha) else { return Ok(None) };
        let (_, code) = shebang::script(&script.source).map_err(ReplyError::new)?;
        let function = self.compile(code)?;
        Ok(Some(self.keep(Chunk { script, function })))
    }

    fn compile(&self, code: &[u8]) -> Result<Function> {
        self.vm.compile(code).map_err(|text| ReplyError::new(String::from_utf8_lossy(&text)))
    }

    fn keep(&mut self, chunk: Chunk) -> Rc<Chunk> {
        if self.chunks.len() >= 2 * EVAL_MAX {
            self.chunks.retain(|_, chunk| !chunk.script.dropped.load(Ordering::Acquire));
        }
        let chunk = Rc::new(chunk);
        self.chunks.insert(chunk.script.sha, Rc::clone(&chunk));
        chunk
    }

    /// A script given by its text, which becomes known. `loaded`: SCRIPT LOAD brought it.
    pub(crate) fn add(&mut self, source: &[u8], loaded: bool) -> Result<Rc<Chunk>> {
        let sha = ochre_script::sha1_hex(source);
        if let Some(chunk) = self.find(&sha)? {
            if loaded {
                chunk.script.loaded.store(true, Ordering::Relaxed);
            }
            return Ok(chunk);
        }
        let (flags, code) = shebang::script(source).map_err(ReplyError::new)?;
        let function = self.compile(code)?;
        let registry = &self.engine.registry;
        let lookup = |name: &[u8], first: Option<&[u8]>| -> Option<&CommandSpec> {
            let row = match first {
                Some(first) => registry.resolve_called(&[name, first]),
                None => registry.find_called(name),
            };
            row.map(|row| &row.spec)
        };
        let script = Script {
            sha,
            source: source.to_vec(),
            flags,
            proven: proof::is_confined(code, &lookup),
            widened: AtomicBool::new(false),
            loaded: AtomicBool::new(loaded),
            dropped: AtomicBool::new(false),
            used: AtomicU64::new(u64::MAX),
        };
        let script = self.engine.scripts.scripts().add(script);
        Ok(self.keep(Chunk { script, function }))
    }

    /// A function by its name, in any case.
    pub(crate) fn function(&mut self, name: &[u8]) -> Option<Rc<Callable>> {
        if self.library_epoch != Some(self.engine.scripts.library_epoch()) {
            self.load_libraries();
        }
        let name = std::str::from_utf8(name).ok()?;
        if let Some(found) = self.functions.get(name) {
            return Some(Rc::clone(found));
        }
        self.functions.get(&name.to_ascii_lowercase()).cloned()
    }

    fn load_libraries(&mut self) {
        let (epoch, all): (u64, Vec<Arc<Library>>) = {
            let libraries = self.engine.scripts.libraries();
            (libraries.epoch, libraries.iter().cloned().collect())
        };
        self.functions.clear();
        self.library_epoch = Some(epoch);
        for library in all {
            // It was loaded once before it became known, so it loads again.
            let Ok(registered) = self.load(&library.code) else { continue };
            for function in registered {
                let facts = library.functions.iter().find(|facts| facts.name == function.name);
                if let Some(facts) = facts {
                    let callable =
                        Callable { facts: Arc::clone(facts), function: function.callback };
                    self.functions.insert(facts.name.to_ascii_lowercase(), Rc::new(callable));
                }
            }
        }
    }

    /// Runs a library's code and gives its functions.
    pub(crate) fn load(&self, source: &[u8]) -> Result<Vec<Registered>> {
        let (_, code) = shebang::library(source).map_err(ReplyError::new)?;
        self.vm
            .load_library(code)
            .map_err(|text| ReplyError::new(String::from_utf8_lossy(&text).into_owned()))
    }
}
