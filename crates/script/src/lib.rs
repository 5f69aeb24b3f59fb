//! Lua scripts and functions: the interpreter's sandbox, its libraries, and what a server keeps of
//! scripts, without the engine that runs their commands.
//!
//! * [`vm`]: one interpreter: compiling, running, limits; commands go out through [`Host`];
//! * [`api`]: the `redis` table; [`convert`]: replies to Lua values and back;
//! * [`lib_cjson`], [`lib_cmsgpack`], [`lib_struct`], [`lib_bit`]: the libraries, our own code;
//! * [`proof`]: finds scripts that cannot leave their declared keys;
//! * [`shebang`]: the first line; [`store`]: scripts and libraries by name; [`dump`]: FUNCTION DUMP.
//!
//! Source: the behaviour of EVAL and FUNCTION of Redis 7.0 to 7.2, observed on redis-server 7.0.15.

#![forbid(unsafe_code)]

pub mod api;
pub mod convert;
pub mod dump;
pub mod lib_bit;
pub mod lib_cjson;
pub mod lib_cmsgpack;
pub mod lib_struct;
mod lua;
pub mod proof;
mod random;
pub mod shebang;
pub mod store;
pub mod vm;

pub use vm::{Function, Host, Limits, Tick, Vm};

/// The SHA1 of a script in lower-case hexadecimal: its name.
pub fn sha1_hex(text: &[u8]) -> [u8; 40] {
    use sha1::Digest;
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut name = [0; 40];
    for (at, byte) in sha1::Sha1::digest(text).iter().enumerate() {
        name[2 * at] = HEX[usize::from(byte >> 4)];
        name[2 * at + 1] = HEX[usize::from(byte & 15)];
    }
    name
}
