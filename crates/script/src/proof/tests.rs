//! Scripts that stay within KEYS, and the ways out that must not be missed.

use super::*;
use ochre_command::spec::Group;

fn nothing(_: &mut ochre_command::Ctx<'_>) -> ochre_command::Result {
    Ok(())
}

const fn row(name: &'static str, keys: &'static [KeySpec], flags: Flags) -> CommandSpec {
    CommandSpec::new(name, -1, flags, Group::String, nothing).keys(keys)
}

const ONE: &[KeySpec] = &[KeySpec::one(1, KeyFlags::RW)];
const ROWS: &[CommandSpec] = &[
    row("get", ONE, Flags::READONLY),
    row("hset", ONE, Flags::WRITE),
    row("del", &[KeySpec::range(1, -1, 1, KeyFlags::RM)], Flags::WRITE),
    row("mset", &[KeySpec::range(1, -1, 2, KeyFlags::OW)], Flags::WRITE),
    row("rename", &[KeySpec::one(1, KeyFlags::RW), KeySpec::one(2, KeyFlags::OW)], Flags::WRITE),
    row("zunion", &[KeySpec::counted(1, KeyFlags::RO)], Flags::READONLY),
    row("keys", &[], Flags::ALL_KEYS),
    row("time", &[], Flags::SESSION),
    row("encoding", &[KeySpec::one(2, KeyFlags::RO)], Flags::READONLY),
    row("object", &[], Flags::empty()).subcommands(&[]),
];

fn proven(code: &str) -> bool {
    is_confined(code.as_bytes(), &|name, first| {
        let name = if name.eq_ignore_ascii_case(b"object") { first? } else { name };
        ROWS.iter().find(|row| name.eq_ignore_ascii_case(row.name.as_bytes()))
    })
}

#[test]
fn usual_scripts_are_proven() {
    for code in [
        "return 1",
        "return redis.call('GET', KEYS[1])",
        "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
        "local a, b = KEYS[1], KEYS[2] return redis.call('rename', KEYS[1], KEYS[2])",
        "for i = 1, #KEYS do redis.call('hset', KEYS[i], 'a', KEYS[i] .. 'x') end",
        "redis.call('hset', KEYS[1], unpack(ARGV)) return redis.status_reply('x')",
        "return redis.call('del', unpack(KEYS))",
        "return redis.call('mset', KEYS[1], ARGV[1], KEYS[2], 5)",
        "return {redis.call('time'), redis.REDIS_VERSION, redis.sha1hex('a')}",
        "-- redis.call('get', 'x')\n--[[ redis.call('get', 'x') ]] return [[redis.call('get','x')]]",
        "return redis.call('object', 'encoding', KEYS[1])",
        "local t = {KEYS[1], redis.call('get', KEYS[tonumber(ARGV[1])])} table.insert(t, 1) return t",
        "return redis.call('get', KEYS[1], KEYS[2])",
        "local x = {} x.redis = 1 return x.KEYS",
    ] {
        assert!(proven(code), "{code}");
    }
}

#[test]
fn what_could_leave_is_not_proven() {
    for code in [
        "return redis.call('get', ARGV[1])",
        "return redis.call('get', 'x')",
        "return redis.call('get', KEYS[1] .. 'x')",
        "return redis.call('get', (KEYS[1]))",
        "return redis.call(ARGV[1], KEYS[1])",
        "return redis.call('nosuch', KEYS[1])",
        "local c = redis.call return c('get', 'x')",
        "local r = redis return r.call('get', 'x')",
        "return redis['call']('get', KEYS[1])",
        "return redis.call{'get', 'x'}",
        "local redis = {call = f}",
        "local k = KEYS k[1] = 'x' return redis.call('get', KEYS[1])",
        "KEYS[1] = 'x' return redis.call('get', KEYS[1])",
        "local x = 1 KEYS[1], x = 'x', 2 return redis.call('get', KEYS[1])",
        "local x x, KEYS[1] = 'x', 2 return redis.call('get', KEYS[1])",
        "local x, y = 1 y, KEYS[1] = 'x', 2 return redis.call('get', KEYS[1])",
        "local y = f() y, KEYS[1] = 'x', 2",
        "for KEYS in pairs({}) do end",
        "local function f(KEYS) return redis.call('get', KEYS[1]) end return f({'x'})",
        "local function f(redis) end",
        "f(KEYS)",
        "return _G.redis.call('get', 'x')",
        "return getfenv().redis",
        "return loadstring('x')",
        "setmetatable(KEYS, {})",
        "local unpack = f return redis.call('del', unpack(KEYS))",
        "return redis.call('mset', KEYS[1], 1, unpack(ARGV))",
        "return redis.call('mset', unpack(KEYS))",
        "return redis.call('del', KEYS[1], unpack(ARGV))",
        "return redis.call('rename', KEYS[1], f())",
        "return redis.call('rename', unpack(KEYS))",
        "return redis.call('rename', KEYS[1], ...)",
        "return redis.call('zunion', 1, KEYS[1])",
        "return redis.call('keys', '*')",
        "return redis.call('g\\101t', KEYS[1])",
        "return redis.call('get', function() return 1, 2 end)",
        "return redis.call('get', KEYS[1]",
        "return 'unfinished",
        "KEYS[1].x = 1",
        "for k, v in next, KEYS do end",
        "function unpack() return 'x' end",
        "redis.register_function('x', f)",
    ] {
        assert!(!proven(code), "{code}");
    }
}

proptest::proptest! {
    #[test]
    fn noise_never_panics(code in "[a-zKEYS\\[\\]()=,.'\"{} \\n-]{0,80}") {
        let _ = proven(&code);
        let _ = proven(&format!("redis.call('get', {code}"));
        let _ = proven(&format!("redis.call({code}) KEYS[{code}]"));
    }
}
