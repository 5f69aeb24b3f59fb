//! The interpreter with a host of its own: conversions, the sandbox, the libraries, limits.

use super::*;

/// A host whose commands are `echo` (its second argument), `raw` (a reply as given) and nothing else.
#[derive(Default)]
struct Fake {
    ticks: u32,
    stop_after: Option<u32>,
    logged: Vec<String>,
}

impl Host for Fake {
    fn call(&mut self, args: &[&[u8]], protocol: Protocol, out: &mut Vec<u8>) {
        match args {
            [b"raw", reply] => out.extend_from_slice(reply),
            [b"echo", text] => Reply::new(out, protocol).bulk(text),
            _ => Reply::new(out, protocol).error("ERR Unknown Redis command called from script"),
        }
    }

    fn tick(&mut self) -> Tick {
        self.ticks += 1;
        match self.stop_after {
            Some(after) if self.ticks > after => Tick::Stop("ERR stopped"),
            _ => Tick::Continue,
        }
    }

    fn log(&mut self, level: u8, text: &str) {
        self.logged.push(format!("{level} {text}"));
    }

    fn allows(&mut self, args: &[&[u8]]) -> Option<bool> {
        (args[0] == b"echo").then_some(true)
    }

    fn set_logged(&mut self, _: bool) {}

    fn cpu_seconds(&self) -> f64 {
        1.5
    }
}

const CONSTANTS: Constants =
    Constants { version: "7.2.0", server_name: "ochre", server_version: "0.0.0" };

fn vm() -> Vm<Fake> {
    Vm::new(&CONSTANTS).unwrap()
}

/// The reply of a script as text, or `!` and its error.
fn eval_in(vm: &mut Vm<Fake>, host: Fake, code: &str, keys: &[&[u8]], args: &[&[u8]]) -> String {
    let function = match vm.compile(code.as_bytes()) {
        Ok(function) => function,
        Err(text) => return format!("!{}", String::from_utf8_lossy(&text)),
    };
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    let entry = (Entry::Script, &b"SHA"[..]);
    let (host, done) = vm.run(host, &function, entry, keys, args, &mut reply);
    assert!(host.is_some());
    match done {
        Done::Replied => String::from_utf8_lossy(&out).replace("\r\n", " ").trim().to_owned(),
        Done::Failed { text, .. } => {
            assert!(out.is_empty());
            format!("!{}", String::from_utf8_lossy(&text))
        }
    }
}

fn eval(code: &str) -> String {
    eval_in(&mut vm(), Fake::default(), code, &[b"k1", b"k2"], &[b"a"])
}

fn check(cases: &[(&str, &str)]) {
    let mut vm = vm();
    for (code, expected) in cases {
        let got = eval_in(&mut vm, Fake::default(), code, &[b"k1", b"k2"], &[b"a"]);
        let got = got.replace(" script: SHA, on @user_script:1.", " @1");
        assert_eq!(got, *expected, "{code}");
    }
}

#[test]
fn values_become_replies() {
    check(&[
        ("return 1.9", ":1"),
        ("return {1,'x',true,false,3.5}", "*5 :1 $1 x :1 $-1 :3"),
        ("return {1,nil,3}", "*1 :1"),
        ("return KEYS[2]..ARGV[1]..#KEYS", "$4 k2a2"),
        ("return {ok='fine'}", "+fine"),
        ("return {err='My error'}", "!My error"),
        ("return {{err='E a\\nb'},{ok='x'}}", "*2 -E a b +x"),
        ("return {double=3}", "$1 3"),
        ("return {map={a=1}}", "*2 $1 a :1"),
        ("return {set={a=true}}", "*1 $1 a"),
        ("return {big_number='12'}", "$2 12"),
        ("return {verbatim_string={string='abc',format='txt'}}", "$3 abc"),
        (
            "return {2^63, 0/0, -2^63}",
            "*3 :-9223372036854775808 :-9223372036854775808 :-9223372036854775808",
        ),
        ("return nil", "$-1"),
        ("return function() end", "$-1"),
        ("", "$-1"),
        ("local t={} t.x=t return t", "*0"),
        ("local a={} local b=a for i=1,300 do b[1]={} b=b[1] end return #a", ":1"),
        ("local t={} t[1]=t return 1, t", ":1"),
    ]);
    assert!(eval("local t={} t[1]=t return t").contains("reached lua stack limit"));
}

#[test]
fn replies_become_values() {
    check(&[
        ("return redis.call('raw', '+OK\\r\\n').ok", "$2 OK"),
        (
            "return redis.call('raw', '*3\\r\\n:1\\r\\n$-1\\r\\n*1\\r\\n+x\\r\\n')",
            "*3 :1 $-1 *1 +x",
        ),
        ("return type(redis.call('raw', '$-1\\r\\n'))", "$7 boolean"),
        ("return type(redis.call('raw', '_\\r\\n'))", "$3 nil"),
        ("return redis.call('raw', '%1\\r\\n+a\\r\\n:5\\r\\n').map", "*0"),
        ("return redis.call('raw', ',1.5\\r\\n').double == 1.5", ":1"),
        ("return redis.call('raw', '~1\\r\\n$1\\r\\na\\r\\n').set.a", ":1"),
        ("return redis.call('raw', '(99\\r\\n').big_number", "$2 99"),
        ("return redis.call('raw', '=7\\r\\ntxt:abc\\r\\n').verbatim_string.string", "$3 abc"),
        ("redis.setresp(3) return redis.call('raw', '#t\\r\\n')", ":1"),
        ("return redis.call('echo', 1.5)", "$3 1.5"),
        ("return redis.call('echo', 0.1)", "$19 0.10000000000000001"),
        ("return redis.call('echo', 1e20)", "$5 1e+20"),
        ("return redis.call('echo', 1e17)", "$5 1e+17"),
        ("return redis.call('echo', 2^53)", "$16 9007199254740992"),
    ]);
    // More elements than the interpreter has slots for values that Rust holds.
    assert_eq!(
        eval("return #redis.call('raw', '*20000\\r\\n'..string.rep('$1\\r\\na\\r\\n', 20000))"),
        ":20000"
    );
}

#[test]
fn errors_of_commands() {
    check(&[
        ("return redis.call('x')", "!ERR Unknown Redis command called from script @1"),
        ("return redis.pcall('x')", "!ERR Unknown Redis command called from script"),
        ("return redis.pcall('x').err", "$44 ERR Unknown Redis command called from script"),
        (
            "return redis.call()",
            "!ERR Please specify at least one argument for this redis lib call @1",
        ),
        (
            "return redis.call({})",
            "!ERR Lua redis lib command arguments must be strings or integers @1",
        ),
        (
            "local ok,e=pcall(redis.call,'x') return e",
            "$44 ERR Unknown Redis command called from script",
        ),
        ("return server.call('echo','x')", "$1 x"),
    ]);
}

#[test]
fn errors_of_lua() {
    check(&[
        ("error('boo')", "!ERR user_script:1: boo @1"),

        ("error('x',0)", "!ERR x @1"),
        ("error()", "!ERR nil @1"),
        ("error({err='My error'})", "!My error @1"),
        ("error({})", "!ERR unknown error @1"),
        ("error(redis)", "!ERR unknown error"),
        ("local a = nil; a.b = 1", "!ERR user_script:1: attempt to index local 'a' (a nil value) @1"),
        ("syntax error", "!ERR Error compiling script (new function): user_script:1: '=' expected near 'error'"),
        ("while true do", "!ERR Error compiling script (new function): user_script:1: 'end' expected near '<eof>'"),
        ("return cjson.decode('x')", "!ERR user_script:1: Expected value but found invalid token at character 1 @1"),
        ("local ok,e=pcall(cjson.decode,'x') return e", "$58 Expected value but found invalid token at character 1"),
        ("return xpcall(error, function(e) return 1 end)", "$-1"),
        ("return string.rep()", "!ERR user_script:1: bad argument #1 to 'rep' (string expected, got no value) @1"),
    ].map(|(code, text)| (code, if text.starts_with("$58") { "$53 Expected value but found invalid token at character 1" } else { text })));
    let got = eval("local f = function()\n return redis.call('x')\nend\nreturn {f()}");
    assert!(got.ends_with("on @user_script:2."), "{got}");
}

#[test]
fn the_sandbox_holds() {
    check(&[
        ("x=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        (
            "return x",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'x' @1",
        ),
        ("redis.x=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("redis.call=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("string.rep=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("_G.x=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("KEYS=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("rawset(redis,'a',1)", "!ERR Attempt to modify a readonly table @1"),
        ("setmetatable(_G,{})", "!ERR Attempt to modify a readonly table @1"),
        ("table.insert(redis,5)", "!ERR Attempt to modify a readonly table @1"),
        ("getmetatable('').__index=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("getmetatable(_G).__index=1", "!ERR user_script:1: Attempt to modify a readonly table @1"),
        ("return tostring(getmetatable(redis))", "$3 nil"),
        ("return rawget(_G,'nosuch')", "$-1"),
        ("return tostring(rawget(_G,'redis')==redis)", "$4 true"),
        ("return tostring(_G._G==_G)", "$4 true"),
        ("return tostring(getmetatable('').__index==string)", "$4 true"),
        ("return ('x'):rep(3)", "$3 xxx"),
        ("return loadstring(string.dump(function() return 1 end))", "$-1"),
        (
            "return loadstring('x=1')()",
            "!ERR [string \"x=1\"]:1: Attempt to modify a readonly table script: SHA, on x=1:1.",
        ),
        ("return loadstring('return #KEYS')()", ":2"),
        ("return load(function() return nil end)()", "$-1"),
        ("local n=0 for k in pairs(redis) do n=n+1 end return tostring(n>20)", "$4 true"),
        ("local n=0 for k in pairs({1,2,a=3}) do n=n+1 end return n", ":3"),
        (
            "pairs()",
            "!ERR user_script:1: bad argument #1 to 'pairs' (table expected, got no value) @1",
        ),
        (
            "return print",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'print' @1",
        ),
        (
            "return dofile",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'dofile' @1",
        ),
        (
            "return require",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'require' @1",
        ),
        (
            "return getfenv",
            "!ERR user_script:1: Script attempted to access nonexistent global variable 'getfenv' @1",
        ),
        ("return os.clock()", ":1"),
        ("return os.exit", "$-1"),
        ("return coroutine.wrap(function() return redis.call('echo', 'in') end)()", "$2 in"),
        ("coroutine.yield(1)", "!ERR attempt to yield across metamethod/C-call boundary @1"),
    ]);
    // Nothing of one run is seen by the next.
    let mut vm = vm();
    eval_in(&mut vm, Fake::default(), "KEYS.x = 1; ARGV[9] = 2; return 1", &[], &[]);
    let got = eval_in(&mut vm, Fake::default(), "return {KEYS.x or 0, #ARGV}", &[], &[]);
    assert_eq!(got, "*2 :0 :0");
}

#[test]
fn json() {
    check(&[
        (
            "return cjson.encode({1,2,{a='x/\"\\127\\1'},1.5,0.1,1e20})",
            r#"$45 [1,2,{"a":"x\/\"\u007f\u0001"},1.5,0.1,1e+20]"#,
        ),
        ("return cjson.encode({})", "$2 {}"),
        ("return cjson.encode({[1]=1,[3]=2})", "$10 [1,null,2]"),
        (
            "return cjson.encode({[1]=1,[20]=2})",
            "!ERR user_script:1: Cannot serialise table: excessively sparse array @1",
        ),
        (
            "return cjson.encode(0/0)",
            "!ERR user_script:1: Cannot serialise number: must not be NaN or Inf @1",
        ),
        (
            "return cjson.encode({[true]=1})",
            "!ERR user_script:1: Cannot serialise boolean: table key must be a number or string @1",
        ),
        (
            "return cjson.encode()",
            "!ERR user_script:1: bad argument #1 to 'encode' (expected 1 argument) @1",
        ),
        (
            "local t={} t.a=t return cjson.encode(t)",
            "!ERR user_script:1: Cannot serialise, excessive nesting (1001) @1",
        ),
        (
            "return cjson.encode(function() end)",
            "!ERR user_script:1: Cannot serialise function: type not supported @1",
        ),
        (
            "return cjson.decode(string.rep('[',1001))",
            "!ERR user_script:1: Found too many nested data structures (1001) at character 1001 @1",
        ),
        (
            "local t = cjson.decode(string.rep('[',1000)..string.rep(']',1000)) return cjson.encode(t) == string.rep('[',999)..'{}'..string.rep(']',999)",
            ":1",
        ),
        (
            "return cjson.decode('[1,2')",
            "!ERR user_script:1: Expected comma or array end but found T_END at character 5 @1",
        ),
        (
            "return cjson.decode('{\"a\":1,}')",
            "!ERR user_script:1: Expected object key string but found T_OBJ_END at character 8 @1",
        ),
        (
            "return cjson.decode('\"abc')",
            "!ERR user_script:1: Expected value but found unexpected end of string at character 5 @1",
        ),
        (
            "return cjson.decode('\"a\\\\x\"')",
            "!ERR user_script:1: Expected value but found invalid escape code at character 3 @1",
        ),
        (
            "return cjson.decode('\"\\\\ud800\"')",
            "!ERR user_script:1: Expected value but found invalid unicode escape code at character 2 @1",
        ),
        ("return cjson.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\"')", "$6 é😀"),
        (
            "return cjson.decode('a\\0b')",
            "!ERR user_script:1: JSON parser does not support UTF-16 or UTF-32 @1",
        ),
        ("return tostring(cjson.decode('null') == cjson.null)", "$4 true"),
        ("return cjson.decode('{\"1\":2}')['1']", ":2"),
        ("return {cjson.encode_sparse_array(true,3,4)}", "*3 :1 :3 :4"),
        (
            "return cjson.encode_max_depth(0)",
            "!ERR user_script:1: bad argument #1 to 'encode_max_depth' (expected integer between 1 and 2147483647) @1",
        ),
        ("return type(cjson.new().encode)", "$8 function"),
    ]);
}

#[test]
fn message_pack() {
    check(&[
        ("return cmsgpack.unpack(cmsgpack.pack({1,'x',{a=-5}}))[3].a", ":-5"),
        (
            "for _,n in ipairs{0,127,128,255,256,65535,65536,2^31,2^32,2^53,-1,-32,-33,-128,-129,-32769,-2^31,-2^40,1.5,0.1} do if cmsgpack.unpack(cmsgpack.pack(n)) ~= n then return n end end return 'same'",
            "$4 same",
        ),
        (
            "for _,n in ipairs{0,31,32,255,256,65535,65536} do local s=string.rep('a',n) if cmsgpack.unpack(cmsgpack.pack(s)) ~= s then return n end end return 'same'",
            "$4 same",
        ),
        (
            "local t={} for i=1,70000 do t[i]=i end return #cmsgpack.unpack(cmsgpack.pack(t))",
            ":70000",
        ),
        (
            "return cmsgpack.pack()",
            "!ERR user_script:1: bad argument #0 to 'pack' (MessagePack pack needs input.) @1",
        ),
        ("return cmsgpack.unpack('\\193')", "!ERR user_script:1: Bad data format in input. @1"),
        ("return cmsgpack.unpack('\\146\\1')", "!ERR user_script:1: Missing bytes in input. @1"),
        (
            "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
            "!ERR user_script:1: Missing bytes in input. @1",
        ),
        (
            "return cmsgpack.unpack('\\129\\192\\1')",
            "!ERR user_script:1: Bad data format in input. @1",
        ),
        ("return {cmsgpack.unpack_one('\\1\\2')}", "*2 :1 :1"),
        ("return {cmsgpack.unpack_one('\\1\\2',1)}", "*2 :-1 :2"),
        ("return {cmsgpack.unpack_limit('\\1\\2\\3',2)}", "*3 :2 :1 :2"),
        (
            "return {cmsgpack.unpack_limit('\\1\\2\\3',2,9)}",
            "!ERR user_script:1: Start offset 9 greater than input length 3. @1",
        ),
        (
            "return {cmsgpack.unpack_one('\\1',-1)}",
            "!ERR user_script:1: Invalid request to unpack with offset of -1 and limit of 1. @1",
        ),
        ("return pcall(cmsgpack.unpack, string.rep('\\145', 100000))", "$-1"),
    ]);
}

#[test]
fn structs() {
    check(&[
        ("return struct.unpack('>I2', struct.pack('>I2',258))", ":258"),
        (
            "return struct.pack('z',1)",
            "!ERR user_script:1: bad argument #1 to 'pack' (invalid format option 'z') @1",
        ),
        (
            "return struct.pack('I33',1)",
            "!ERR user_script:1: integral size 33 is larger than limit of 32 @1",
        ),
        ("return struct.pack('!3I',1)", "!ERR user_script:1: alignment 3 is not a power of 2 @1"),
        (
            "return {struct.unpack('>I4','ab')}",
            "!ERR user_script:1: bad argument #2 to 'unpack' (data string too short) @1",
        ),
        ("return {struct.unpack('Bc0','\\3abc')}", "*2 $3 abc :5"),
        (
            "return {struct.unpack('c0','abc')}",
            "!ERR user_script:1: format 'c0' needs a previous size @1",
        ),
        ("return struct.size('>I2i4d')", ":14"),
        ("return struct.size('!I5')", ":9"),
        (
            "return struct.size('s')",
            "!ERR user_script:1: bad argument #1 to 'size' (option 's' has no fixed size) @1",
        ),
        (
            "return {struct.unpack('b','\\255',-1)}",
            "!ERR user_script:1: bad argument #2 to 'unpack' (data string too short) @1",
        ),
        (
            "return {struct.unpack('b','\\255',0)}",
            "!ERR user_script:1: bad argument #3 to 'unpack' (offset must be 1 or greater) @1",
        ),
        ("return struct.unpack('>l', struct.pack('>l',-1))", ":-1"),
        ("return struct.pack('I99999999999',1)", "!ERR user_script:1: integral size overflow @1"),
        (
            "return struct.pack('f')",
            "!ERR user_script:1: bad argument #2 to 'pack' (number expected, got nil) @1",
        ),
        (
            "return {struct.unpack('c99999999','a')}",
            "!ERR user_script:1: bad argument #2 to 'unpack' (data string too short) @1",
        ),
        (
            "return {struct.unpack('>!8BxI8','\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\5')}",
            "*3 :1 :0 :17",
        ),
    ]);
}

#[test]
fn bits() {
    check(&[
        (
            "return bit.tohex(-1)..bit.tohex(255,4)..bit.tohex(255,-4)..bit.tohex(1,0)",
            "$16 ffffffff00ff00FF",
        ),
        (
            "return bit.band()",
            "!ERR user_script:1: bad argument #1 to 'band' (number expected, got no value) @1",
        ),
        ("return bit.band('3',2)", ":2"),
        (
            "return {bit.bnot(5),bit.lshift(1,33),bit.arshift(-8,1),bit.rshift(-8,1),bit.rol(0x12345678,8),bit.bswap(0x12345678),bit.bxor(1,2,3,7)}",
            "*7 :-6 :2 :-4 :2147483644 :878082066 :2018915346 :7",
        ),
    ]);
}

#[test]
fn a_script_that_is_stopped_cannot_catch_it() {
    for code in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local f f = function() pcall(f) end while true do f() end",
        "coroutine.wrap(function() while true do end end)()",
        "return pcall(string.gsub, string.rep('a', 100), '.', function() while true do end end)",
    ] {
        let mut vm = vm();
        let host = Fake { stop_after: Some(3), ..Fake::default() };
        let got = eval_in(&mut vm, host, code, &[], &[]);
        assert!(got.starts_with("!ERR stopped script: SHA, on @user_script:1"), "{got}");
        assert_eq!(eval_in(&mut vm, Fake::default(), "return 1+1", &[], &[]), ":2");
    }
}

#[test]
fn limits_end_a_script_and_leave_the_interpreter_usable() {
    let mut vm = vm();
    vm.set_limits(Limits { memory: 8 << 20, instructions: 2_000_000 });
    let got = eval_in(
        &mut vm,
        Fake::default(),
        "local t = {} for i=1,1e9 do t[i] = tostring(i) end",
        &[],
        &[],
    );
    assert!(got.starts_with("!ERR"), "{got}");
    let got = eval_in(&mut vm, Fake::default(), "return string.rep('a', 1e8)", &[], &[]);
    assert!(got.starts_with("!ERR not enough memory"), "{got}");
    let got = eval_in(&mut vm, Fake::default(), "while true do end", &[], &[]);
    assert!(got.contains("script-instruction-limit"), "{got}");
    assert_eq!(eval_in(&mut vm, Fake::default(), "return cjson.encode{1}", &[], &[]), "$3 [1]");
}

fn load(vm: &Vm<Fake>, code: &str) -> Result<Vec<Registered>, String> {
    let code = format!("\n{code}");
    vm.load_library(code.as_bytes()).map_err(|text| String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn libraries_register_functions() {
    let mut vm = vm();
    let functions = load(
        &vm,
        "local n = 0
         redis.register_function('f', function(keys, args) n = n + 1 return {n, keys[1], args[1]} end)
         redis.register_function{function_name='g', callback=function() return KEYS end,
            description='d', flags={'no-writes','allow-oom'}}
         redis.register_function('h', function() return redis.call('nosuch') end)
         redis.register_function('s', function() return loadstring('return _G')() == _G end)",
    )
    .unwrap();
    let facts: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.flags.0)).collect();
    assert_eq!(facts, [("f", 0), ("g", 3), ("h", 0), ("s", 0)]);
    assert_eq!(functions[1].description.as_deref(), Some("d"));
    let mut call = |at: usize| {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        let entry = (Entry::Function, functions[at].name.as_bytes());
        let callback = &functions[at].callback;
        let (_, done) = vm.run(Fake::default(), callback, entry, &[b"k"], &[b"a"], &mut reply);
        match done {
            Done::Replied => String::from_utf8_lossy(&out).replace("\r\n", " "),
            Done::Failed { text, .. } => String::from_utf8_lossy(&text).into_owned(),
        }
    };
    assert_eq!(call(0), "*3 :1 $1 k $1 a ");
    assert_eq!(call(0), "*3 :2 $1 k $1 a ");
    assert_eq!(
        call(1),
        "ERR user_function:4: Script attempted to access nonexistent global variable 'KEYS' script: g, on @user_function:4."
    );
    assert_eq!(
        call(2),
        "ERR Unknown Redis command called from script script: h, on @user_function:6."
    );
    assert_eq!(call(3), ":1 ");
}

#[test]
fn libraries_that_are_refused() {
    let vm = vm();
    let registering = |rest: &str| format!("ERR Error registering functions: ERR {rest}");
    for (code, error) in [
        ("", "ERR No functions registered".to_owned()),
        (
            "syntax err",
            "ERR Error compiling function: user_function:2: '=' expected near 'err'".to_owned(),
        ),
        (
            "redis.call('get','a')",
            registering(
                "user_function:2: Script attempted to access nonexistent global variable 'call'",
            ),
        ),
        (
            "local a = x",
            registering(
                "user_function:2: Script attempted to access nonexistent global variable 'x'",
            ),
        ),
        ("x=1", registering("user_function:2: Attempt to modify a readonly table")),
        (
            "redis.register_function('f')",
            registering(
                "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
            ),
        ),
        (
            "redis.register_function('f',1)",
            registering("second argument to redis.register_function must be a function"),
        ),
        (
            "redis.register_function({},function() end)",
            registering("first argument to redis.register_function must be a string"),
        ),
        (
            "redis.register_function(1,2,3)",
            registering("wrong number of arguments to redis.register_function"),
        ),
        ("redis.register_function('a b',function() end)", registering(shebang::BAD_NAME)),
        (
            "redis.register_function('f',function() end) redis.register_function('f',function() end)",
            registering("Function already exists in the library"),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, flags={'xx'}}",
            registering("unknown flag given"),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, flags='xx'}",
            registering(
                "flags argument to redis.register_function must be a table representing function flags",
            ),
        ),
        (
            "redis.register_function{function_name='f', callback=function() end, foo=1}",
            registering("unknown argument given to redis.register_function"),
        ),
        (
            "redis.register_function{callback=function() end}",
            registering("redis.register_function must get a function name argument"),
        ),
        (
            "redis.register_function{function_name='f'}",
            registering("redis.register_function must get a callback argument"),
        ),
        ("while true do end", registering("FUNCTION LOAD timeout")),
    ] {
        assert_eq!(load(&vm, code).err(), Some(error), "{code}");
    }
    assert_eq!(load(&vm, "redis.register_function(1,function() end)").unwrap()[0].name, "1");
}

#[test]
fn the_log_and_the_constants() {
    let mut vm = vm();
    let function = vm.compile(b"redis.log(redis.LOG_WARNING, 'a', 1, 'b') return {redis.REDIS_VERSION_NUM, server.SERVER_NAME, redis.acl_check_cmd('echo'), redis.sha1hex('')}").unwrap();
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Protocol::Resp2);
    let (host, done) =
        vm.run(Fake::default(), &function, (Entry::Script, b"x"), &[], &[], &mut reply);
    assert_eq!(done, Done::Replied);
    assert_eq!(host.unwrap().logged, ["3 a 1 b"]);
    assert_eq!(
        String::from_utf8_lossy(&out).replace("\r\n", " "),
        "*4 :459264 $5 ochre :1 $40 da39a3ee5e6b4b0d3255bfef95601890afd80709 "
    );
    check(&[
        ("return redis.error_reply('My')", "!ERR My"),
        ("return redis.error_reply('-My error')", "!My error"),
        ("return redis.error_reply(1)", "!ERR wrong number or type of arguments"),
        ("return redis.status_reply('a b')", "+a b"),
        ("return redis.setresp(4)", "!ERR RESP version must be 2 or 3. @1"),
        ("return redis.log()", "!ERR redis.log() requires two arguments or more. @1"),
        (
            "return redis.set_repl(9)",
            "!ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE. @1",
        ),
        (
            "return redis.acl_check_cmd('foo')",
            "!ERR Invalid command passed to redis.acl_check_cmd() @1",
        ),
        (
            "return redis.register_function('a',1)",
            "!ERR user_script:1: attempt to call field 'register_function' (a nil value) @1",
        ),
        (
            "return tostring(redis.breakpoint())..tostring(redis.replicate_commands())",
            "$9 falsetrue",
        ),
        (
            "return math.random(0)",
            "!ERR user_script:1: bad argument #1 to 'random' (interval is empty) @1",
        ),
        ("math.randomseed(5) return math.random(1000000)", ":524840"),
        ("return redis.sha1hex()", "!ERR wrong number of arguments @1"),
    ]);
}
