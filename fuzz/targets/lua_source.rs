//! Lua sources against the sandbox: whatever a script does, the next one finds the interpreter as it was.
#![no_main]

mod host;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut vm = host::vm();
    drop(host::run(&mut vm, data, &[b"1", b"two"]));
    ochre_script::proof::is_confined(data, &|_, _| None);
    let check = b"return tostring(redis ~= nil and cjson ~= nil and loadstring ~= nil) .. \
        tostring(pcall(function() return leaked end)) .. #KEYS .. string.rep('a', 3)";
    let found = host::run(&mut vm, check, &[]);
    assert_eq!(found.as_deref(), Ok(&b"$13\r\ntruefalse0aaa\r\n"[..]));
});
