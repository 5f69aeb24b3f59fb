//! What scripts give the libraries to decode: cjson, cmsgpack, struct.
#![no_main]

mod host;

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use ochre_script::Vm;

const CODE: &[u8] = b"
local kind, text = ARGV[1], ARGV[2]
local ok, value
if kind == 'json' then
    ok, value = pcall(cjson.decode, text)
    if ok then pcall(cjson.encode, value) end
elseif kind == 'pack' then
    ok, value = pcall(function() return {cmsgpack.unpack(text)} end)
    if ok then pcall(cmsgpack.pack, unpack(value)) end
    pcall(cmsgpack.unpack_limit, text, 2, 1)
else
    local at = string.find(text, '\\0', 1, true) or #text
    pcall(struct.unpack, string.sub(text, 1, at - 1), string.sub(text, at + 1))
    pcall(struct.size, string.sub(text, 1, at - 1))
    pcall(struct.pack, string.sub(text, 1, at - 1), 1, -2, 3.5, 'four')
end
return 1";

thread_local! {
    static VM: RefCell<Vm<host::Nobody>> = RefCell::new(host::vm());
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, text)) = data.split_first() else { return };
    let kind: &[u8] = [&b"json"[..], b"pack", b"struct"][usize::from(kind) % 3];
    VM.with_borrow_mut(|vm| drop(host::run(vm, CODE, &[kind, text])));
});
