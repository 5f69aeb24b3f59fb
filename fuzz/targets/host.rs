//! What the targets with Lua share: an interpreter with bounds, and a server that knows no command.

use ochre_resp::{Protocol, Reply};
use ochre_script::api::Constants;
use ochre_script::vm::{Done, Entry};
use ochre_script::{Host, Limits, Tick, Vm};

/// A server that knows no command.
pub struct Nobody;

impl Host for Nobody {
    fn call(&mut self, _: &[&[u8]], protocol: Protocol, out: &mut Vec<u8>) {
        Reply::new(out, protocol).error("ERR Unknown Redis command called from script");
    }

    fn tick(&mut self) -> Tick {
        Tick::Continue
    }

    fn log(&mut self, _: u8, _: &str) {}

    fn allows(&mut self, _: &[&[u8]]) -> Option<bool> {
        None
    }

    fn set_logged(&mut self, _: bool) {}

    fn cpu_seconds(&self) -> f64 {
        0.0
    }
}

/// An interpreter with little memory and few instructions.
pub fn vm() -> Vm<Nobody> {
    let constants = Constants { version: "7.2.0", server_name: "ochre", server_version: "0.0.0" };
    let mut vm = Vm::new(&constants).expect("an interpreter");
    vm.set_limits(Limits { memory: 32 << 20, instructions: 2_000_000 });
    vm
}

/// Runs a script; its reply, or its error.
pub fn run(vm: &mut Vm<Nobody>, code: &[u8], args: &[&[u8]]) -> Result<Vec<u8>, Vec<u8>> {
    let function = vm.compile(code)?;
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp3);
    let (host, done) = vm.run(Nobody, &function, (Entry::Script, b"f"), &[], args, &mut reply);
    assert!(host.is_some(), "the host comes back");
    match done {
        Done::Replied => Ok(out),
        Done::Failed { text, .. } => Err(text.to_vec()),
    }
}
