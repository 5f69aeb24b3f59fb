//! One interpreter: compiling, running, limits.
//!
//! An event loop has one of its own; no other thread touches it. Commands go out through [`Host`],
//! which the runner owns for the time of a run: a script's functions are made once, and find the
//! running script in a shared cell, so nothing is made or registered per call.
//!
//! **Limits.** A hook runs every [`HOOK_EVERY`] instructions and asks the host whether to go on. Once it
//! says no, the hook raises an error at every instruction, so that `pcall` cannot hold the script
//! alive. Memory is bounded by the interpreter's allocator; running out is an ordinary error.
//!
//! Failure: a run gives an error text; the interpreter stays usable after any of them.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Either, HookTriggers, Lua, LuaOptions, LuaString, StdLib, Table, Value, VmState};
use ochre_resp::{Protocol, Reply};

use crate::api::{self, Constants};
use crate::convert::{self, Names};
use crate::random::Random;
use crate::shebang::{self, Flags};

/// Instructions between two looks at the clock: some 200 us here.
pub const HOOK_EVERY: u32 = 100_000;

/// Instructions that loading a library may take: about half a second.
const LOAD_INSTRUCTIONS: u64 = 50_000_000;

/// What a script may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the interpreter; 0: no limit.
    pub memory: usize,
    /// Instructions of a run; 0: no limit.
    pub instructions: u64,
}

/// Whether a script goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// It does.
    Continue,
    /// It ends with this error.
    Stop(&'static str),
}

/// What a script needs of the server: it lives inside the interpreter while the script runs.
pub trait Host: 'static {
    /// Runs a command and appends its reply, an error included, to `out`.
    fn call(&mut self, args: &[&[u8]], protocol: Protocol, out: &mut Vec<u8>);

    /// Every [`HOOK_EVERY`] instructions: whether to go on.
    fn tick(&mut self) -> Tick;

    /// Writes a line to the server's log; levels are 0 (debug) to 3 (warning).
    fn log(&mut self, level: u8, text: &str);

    /// Whether the script's user may run a command; none when there is no such command.
    fn allows(&mut self, args: &[&[u8]]) -> Option<bool>;

    /// Whether the effects of the commands that follow go to the log: `set_repl`.
    fn set_logged(&mut self, logged: bool);

    /// Processor time used by the process, in seconds: `os.clock`.
    fn cpu_seconds(&self) -> f64;
}

/// What the native functions and the runner share.
pub(crate) struct Shared<H> {
    /// The running script's host.
    pub(crate) host: Option<H>,
    /// Arguments of the command under way, one after the other.
    pub(crate) args: Vec<u8>,
    /// Its reply.
    pub(crate) out: Vec<u8>,
    /// The protocol whose types replies have: `setresp`.
    pub(crate) protocol: Protocol,
    /// `math.random`.
    pub(crate) random: Random,
    /// Instructions left, in steps of the hook; none: no limit.
    left: Option<u64>,
    /// Why the script is being ended, with source and line.
    ended: Option<(&'static str, String, i64)>,
    /// The text when `left` is used up.
    exhausted: &'static str,
}

/// A compiled script, or a library's function.
#[derive(Debug, Clone)]
pub struct Function(mlua::Function);

/// Which way a function is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// A script: KEYS and ARGV are globals.
    Script,
    /// A library's function: they are its arguments.
    Function,
}

/// A function that a library registered.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it may do.
    pub flags: Flags,
    /// What runs it.
    pub callback: Function,
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// The reply is written.
    Replied,
    /// The script gave this error.
    Failed {
        /// Code word and text.
        text: Vec<u8>,
        /// The command that failed has been counted already.
        counted: bool,
    },
}

/// An interpreter. See the module's head.
pub struct Vm<H: Host> {
    lua: Lua,
    shared: Rc<RefCell<Shared<H>>>,
    names: Rc<Names>,
    run: mlua::Function,
    run_function: mlua::Function,
    load_library: mlua::Function,
    globals: Table,
    limits: Limits,
}

impl<H: Host> std::fmt::Debug for Vm<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vm").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<H: Host> Vm<H> {
    /// An interpreter with its libraries.
    pub fn new(constants: &Constants) -> Result<Self, String> {
        Self::make(constants).map_err(|error| error.to_string())
    }

    fn make(constants: &Constants) -> mlua::Result<Self> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::new().catch_rust_panics(true))?;
        let shared = Rc::new(RefCell::new(Shared {
            host: None,
            args: Vec::new(),
            out: Vec::new(),
            protocol: Protocol::Resp2,
            random: Random::unseeded(),
            left: None,
            ended: None,
            exhausted: "",
        }));
        let names = Rc::new(Names::new(&lua)?);
        let natives = api::natives(&lua, &shared, &names, constants)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name(api::PRELUDE);
        let (run, run_function, load_library, globals) = prelude.call(natives)?;
        watch(&lua, &shared, HOOK_EVERY)?;
        let limits = Limits::default();
        Ok(Self { lua, shared, names, run, run_function, load_library, globals, limits })
    }

    /// Sets what scripts may use.
    pub fn set_limits(&mut self, limits: Limits) {
        if limits.memory != self.limits.memory {
            // Only an interpreter with a foreign allocator cannot be limited.
            let _ = self.lua.set_memory_limit(limits.memory);
        }
        self.limits = limits;
    }

    /// Bytes that the interpreter uses.
    pub fn used_memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// Compiles a script's code, without its first line. The error is a reply.
    pub fn compile(&self, code: &[u8]) -> Result<Function, Vec<u8>> {
        self.chunk(code, "@user_script", Some(&self.globals)).map_err(|text| {
            [b"ERR Error compiling script (new function): ", text.as_slice()].concat()
        })
    }

    fn chunk(&self, code: &[u8], name: &str, globals: Option<&Table>) -> Result<Function, Vec<u8>> {
        let mut chunk = self.lua.load(code).set_name(name).set_mode(mlua::chunk::ChunkMode::Text);
        if let Some(globals) = globals {
            chunk = chunk.set_environment(globals.clone());
        }
        chunk.into_function().map(Function).map_err(|error| match error {
            mlua::Error::SyntaxError { message, .. } => message.into_bytes(),
            other => text_of(&other),
        })
    }

    /// Runs a library's code and gives the functions it registers. The error is a reply.
    pub fn load_library(&self, code: &[u8]) -> Result<Vec<Registered>, Vec<u8>> {
        let chunk = self
            .chunk(code, "@user_function", None)
            .map_err(|text| [b"ERR Error compiling function: ", text.as_slice()].concat())?;
        self.begin(None, Some(LOAD_INSTRUCTIONS), "ERR FUNCTION LOAD timeout");
        let result = self.load_library.call::<(Value, Value)>(&chunk.0);
        let (_, ended) = self.end();
        let failed = |text: &[u8]| Err([b"ERR Error registering functions: ", text].concat());
        if let Some((text, ..)) = ended {
            return failed(text.as_bytes());
        }
        match result {
            Ok((Value::Table(functions), _)) => {
                let functions = registered(&functions).map_err(|error| text_of(&error))?;
                if functions.is_empty() {
                    return Err(b"ERR No functions registered".to_vec());
                }
                Ok(functions)
            }
            Ok((_, Value::String(text))) => failed(&text.as_bytes()),
            Ok(_) => failed(b"ERR unknown error"),
            Err(error) => failed(&text_of(&error)),
        }
    }

    /// Runs a script or function, and writes its reply when it gives one. `name` is what error texts
    /// call it. The host is lent to the script, and comes back.
    pub fn run(
        &mut self,
        host: H,
        function: &Function,
        (entry, name): (Entry, &[u8]),
        keys: &[&[u8]],
        args: &[&[u8]],
        reply: &mut Reply<'_>,
    ) -> (Option<H>, Done) {
        let instructions = (self.limits.instructions > 0).then_some(self.limits.instructions);
        let over = "ERR Script used more than script-instruction-limit instructions";
        self.begin(Some(host), instructions, over);
        let start = reply.len();
        let result = self.enter(function, entry, keys, args).and_then(|(ok, value)| {
            if ok && !matches!(value, Value::Table(_)) {
                let booleans = self.shared.borrow().protocol == Protocol::Resp3;
                convert::write(&self.names, &value, reply, booleans)?;
                return Ok(Done::Replied);
            }
            self.finish(ok, &value, name, reply)
        });
        let (host, ended) = self.end();
        let done = match (ended, result) {
            (Some((text, source, line)), _) => {
                Done::Failed { text: located(text.as_bytes(), name, &source, line), counted: false }
            }
            (None, Ok(done)) => done,
            (None, Err(error)) => {
                let text = [b"ERR ", text_of(&error).as_slice()].concat();
                Done::Failed { text, counted: false }
            }
        };
        if done != Done::Replied {
            reply.truncate(start);
        }
        (host, done)
    }

    fn enter(
        &self,
        function: &Function,
        entry: Entry,
        keys: &[&[u8]],
        args: &[&[u8]],
    ) -> mlua::Result<(bool, Value)> {
        let run = match entry {
            Entry::Script => &self.run,
            Entry::Function => &self.run_function,
        };
        run.call((&function.0, self.sequence(keys)?, self.sequence(args)?))
    }

    /// A table of strings. Text goes to the interpreter by a shorter way than other bytes.
    fn sequence(&self, items: &[&[u8]]) -> mlua::Result<Table> {
        self.lua.create_sequence_from(items.iter().map(|item| match std::str::from_utf8(item) {
            Ok(text) => Either::Left(text),
            Err(_) => Either::Right(LuaString::wrap(item)),
        }))
    }

    /// A table that a script returned, or what it failed with.
    fn finish(
        &self,
        ok: bool,
        value: &Value,
        name: &[u8],
        reply: &mut Reply<'_>,
    ) -> mlua::Result<Done> {
        let table = match value {
            Value::Table(table) => table,
            other => {
                // Memory ran out: there is no room for a table either.
                let text = match other {
                    Value::String(text) => text.as_bytes().to_vec(),
                    _ => b"unknown error".to_vec(),
                };
                let text = [b"ERR ", text.as_slice()].concat();
                return Ok(Done::Failed { text, counted: false });
            }
        };
        let err: Value = table.raw_get(&self.names.err)?;
        let counted = matches!(table.raw_get(&self.names.ignore)?, Value::Boolean(true));
        let text = match &err {
            Value::String(text) => Some(convert::trim(&text.as_bytes()).to_vec()),
            _ => None,
        };
        if ok {
            if let Some(text) = text {
                return Ok(Done::Failed { text, counted });
            }
            let booleans = self.shared.borrow().protocol == Protocol::Resp3;
            convert::write(&self.names, value, reply, booleans)?;
            return Ok(Done::Replied);
        }
        let text = text.unwrap_or_else(|| b"ERR unknown error".to_vec());
        let source: Option<LuaString> = table.raw_get(&self.names.source)?;
        let line: Option<i64> = table.raw_get(&self.names.line)?;
        let text = match (source, line) {
            (Some(source), Some(line)) => located(&text, name, &source.to_string_lossy(), line),
            _ => text,
        };
        Ok(Done::Failed { text, counted })
    }

    fn begin(&self, host: Option<H>, left: Option<u64>, exhausted: &'static str) {
        let mut shared = self.shared.borrow_mut();
        shared.host = host;
        shared.protocol = Protocol::Resp2;
        shared.left = left;
        shared.exhausted = exhausted;
    }

    fn end(&self) -> (Option<H>, Option<(&'static str, String, i64)>) {
        let mut shared = self.shared.borrow_mut();
        let (host, ended) = (shared.host.take(), shared.ended.take());
        drop(shared);
        if ended.is_some() {
            // The hook raises at every instruction still. It was set before, so it can be set again.
            let _ = watch(&self.lua, &self.shared, HOOK_EVERY);
            let _ = self.lua.gc_collect();
        }
        (host, ended)
    }
}

/// The text of an error that left the interpreter.
fn text_of(error: &mlua::Error) -> Vec<u8> {
    crate::lua::translate(error).to_string().into_bytes()
}

/// An error's text with the script and the place.
fn located(text: &[u8], name: &[u8], source: &str, line: i64) -> Vec<u8> {
    let place = format!(", on {source}:{line}.");
    [text, b" script: ", name, place.as_bytes()].concat()
}

fn registered(functions: &Table) -> mlua::Result<Vec<Registered>> {
    let mut all = Vec::new();
    for entry in functions.sequence_values::<Table>() {
        let entry = entry?;
        let mut flags = Flags::default();
        let names: Option<Table> = entry.raw_get("flags")?;
        for name in names.iter().flat_map(Table::sequence_values::<LuaString>) {
            flags.0 |= shebang::flag(&name?.as_bytes()).unwrap_or_default().0;
        }
        let description: Option<LuaString> = entry.raw_get("description")?;
        all.push(Registered {
            name: entry.raw_get::<LuaString>("name")?.to_string_lossy(),
            description: description.map(|text| text.to_string_lossy()),
            flags,
            callback: Function(entry.raw_get("callback")?),
        });
    }
    Ok(all)
}

/// Installs the hook. Threads that scripts create inherit it.
fn watch<H: Host>(lua: &Lua, shared: &Rc<RefCell<Shared<H>>>, every: u32) -> mlua::Result<()> {
    let state = Rc::clone(shared);
    let triggers = HookTriggers::new().every_nth_instruction(every);
    lua.set_global_hook(triggers, move |lua, _| {
        let Ok(mut shared) = state.try_borrow_mut() else { return Ok(VmState::Continue) };
        if let Some((text, ..)) = &shared.ended {
            return Err(mlua::Error::runtime(text));
        }
        let stop = shared.stop();
        let Some(text) = stop else { return Ok(VmState::Continue) };
        let (source, line) = api::interrupted(lua);
        shared.ended = Some((text, source, line));
        drop(shared);
        // From here on at every instruction: `pcall` catches one error, not all.
        watch(lua, &state, 1)?;
        Err(mlua::Error::runtime(text))
    })
}

impl<H: Host> Shared<H> {
    /// The hook's question: the text of an error when the script is to end.
    fn stop(&mut self) -> Option<&'static str> {
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(u64::from(HOOK_EVERY));
            if *left == 0 {
                return Some(self.exhausted);
            }
        }
        match self.host.as_mut()?.tick() {
            Tick::Continue => None,
            Tick::Stop(text) => Some(text),
        }
    }
}

#[cfg(test)]
mod tests;
