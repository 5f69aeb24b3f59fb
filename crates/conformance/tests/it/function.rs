//! FUNCTION and FCALL, side by side with redis-server 7.0.15.

use crate::redis7_pair;
use ochre_testkit::oracle::Resp;
use ochre_testkit::{Server, Value};

fn load(code: &str) -> String {
    format!("#!lua name=l\n{code}")
}

const FUNCTIONS: &str = "redis.register_function{function_name='f', callback=function(k,a) return k[1] end, \
    description='descr', flags={'no-writes','allow-oom'}}\n";

const MANY: &str = "#!lua name=w
redis.register_function('w',function(k,a) return redis.call('set',k[1],a[1]) end)
redis.register_function('e',function(k,a) return redis.call('incr','s') end)
redis.register_function('e2',function(k,a) error('boo') end)
redis.register_function('e3',function(k,a) return redis.register_function('z',function() end) end)
redis.register_function('e4',function(k,a) x=1 end)
redis.register_function('e5',function(k,a) return x end)
redis.register_function('e6',function(k,a) return KEYS end)
redis.register_function('e7',function(k,a) return redis.set_repl(9) end)
redis.register_function('e8',function(k,a) return redis.replicate_commands end)
redis.register_function('e9',function(k,a) return {k,a} end)
redis.register_function{function_name='ro', callback=function(k,a) return redis.call('set',k[1],1) end, flags={'no-writes'}}
";

#[test]
fn libraries_and_calls() {
    let mut pair = redis7_pair(&[]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "");
        pair.script("FUNCTION FLUSH\nSET s x");
        for code in [
            "redis.register_function({},function() end)",
            "redis.register_function('a b',function() end)",
            "redis.register_function('f',function() end) redis.register_function('f',function() end)",
            "redis.register_function{function_name='f', callback=function() end, flags={'xx'}}",
            "redis.register_function{function_name='f', callback=function() end, flags='xx'}",
            "redis.register_function{function_name='f', callback=function() end, foo='xx'}",
            "redis.register_function{callback=function() end}",
            "redis.register_function{function_name='f'}",
            "redis.register_function{function_name='f',callback=1}",
            "redis.register_function{function_name='f',callback=function() end,description={}}",
            "redis.register_function{function_name='f',callback=function() end,flags={1}}",
            "redis.register_function(1,2,3)",
            "redis.register_function()",
            "redis.register_function('f')",
            "redis.register_function('f',1)",
            "x=1",
            "local a = x",
            "redis.setresp(3)",
            "redis.call('get','a')",
            "error('boo')",
            "local x = nil; x.y=1",
            "syntax err",
            "return pairs",
            "",
        ] {
            pair.run(&["FUNCTION", "LOAD", &load(code)], &[]);
        }
        let library = load(FUNCTIONS);
        for words in [
            &["FUNCTION", "LOAD", "return 1"][..],
            &["FUNCTION", "LOAD", "#!lua\nreturn 1"],
            &["FUNCTION", "LOAD", "#!lua name=a-b\nreturn 1"],
            &["FUNCTION", "LOAD", "#!lua name=\nreturn 1"],
            &["FUNCTION", "LOAD", "#!lua name=l foo=1\nx"],
            &["FUNCTION", "LOAD", "#!lua name=l name=k\nx"],
            &["FUNCTION", "LOAD", "#!foo name=l\nx"],
            &["FUNCTION", "LOAD", "#!lua name=l"],
            &["FUNCTION", "LOAD"],
            &["FUNCTION", "LOAD", "foo", "x"],
            &["FUNCTION", "LOAD", "replace", "x", "y"],
            &["FUNCTION", "LOAD", &library],
            &["FUNCTION", "LOAD", &library],
            &["FUNCTION", "LOAD", "REPLACE", &library],
            &["FUNCTION", "LIST"],
            &["FUNCTION", "LIST", "WITHCODE"],
            &["FUNCTION", "LIST", "LIBRARYNAME", "L", "WITHCODE"],
            &["FUNCTION", "LIST", "LIBRARYNAME", "x*"],
            &["FUNCTION", "LIST", "WITHCODE", "WITHCODE"],
            &["FUNCTION", "LIST", "x"],
            &["FUNCTION", "LIST", "LIBRARYNAME"],
            &["FUNCTION", "STATS"],
            &["FUNCTION", "LOAD", "#!lua name=m\nredis.register_function('f',function() end)"],
            &["FCALL", "f", "1", "key", "arg"],
            &["FCALL", "F", "1", "key"],
            &["FCALL_RO", "f", "1", "key"],
            &["FCALL", "nosuch", "0"],
            &["FCALL", "nosuch", "x"],
            &["FCALL", "f", "x"],
            &["FCALL", "f", "-1"],
            &["FCALL", "f", "5"],
            &["FUNCTION", "LOAD", MANY],
        ] {
            pair.run(words, &[]);
        }
        for name in ["w", "e", "e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9", "ro"] {
            pair.run(&["FCALL", name, "1", "key", "arg"], &[]);
            pair.run(&["FCALL_RO", name, "1", "key", "arg"], &[]);
        }
        for words in [
            &["FUNCTION", "RESTORE", "x"][..],
            &["FUNCTION", "RESTORE", "x", "y"],
            &["FUNCTION", "RESTORE", "x", "flush", "z"],
            &["FUNCTION", "DELETE", "nosuch"],
            &["FUNCTION", "DELETE", "W"],
            &["FUNCTION", "DELETE", "w"],
            &["FCALL", "w", "1", "a", "b"],
            &["MULTI"],
            &["FUNCTION", "LOAD", MANY],
            &["FCALL", "w", "1", "a", "b"],
            &["FUNCTION", "DELETE", "w"],
            &["FCALL", "w", "1", "a", "b"],
            &["EXEC"],
            &["FUNCTION", "KILL"],
            &["FUNCTION", "FLUSH", "x"],
            &["FUNCTION", "FLUSH", "SYNC"],
            &["FUNCTION", "LIST"],
            &["FCALL", "f", "1", "a"],
            &["FUNCTION"],
            &["FUNCTION", "x"],
        ] {
            pair.run(words, &[]);
        }
    }
    pair.finish();
}

/// A payload of either server is read by the other.
#[test]
fn payloads_are_exchanged() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "");
    let large = format!("{MANY}-- {}\n", "a comment that compresses well ".repeat(3000));
    pair.run(&["FUNCTION", "LOAD", &large], &[]);
    let other = load(FUNCTIONS);
    pair.run(&["FUNCTION", "LOAD", &other], &[]);
    let (ours, theirs) = pair.client("a");
    let (Value::Bulk(from_us), Value::Bulk(from_them)) =
        (ours.cmd(&["FUNCTION", "DUMP"]), theirs.cmd(&["FUNCTION", "DUMP"]))
    else {
        panic!("payloads");
    };
    let done = Value::Status(b"OK".to_vec());
    for (client, payload) in [(ours, &from_them), (theirs, &from_us)] {
        for policy in [&b"FLUSH"[..], b"REPLACE"] {
            assert_eq!(client.cmd(&[&b"FUNCTION"[..], b"RESTORE", payload, policy]), done);
        }
        let again = client.cmd(&[&b"FUNCTION"[..], b"RESTORE", payload, b"APPEND"]);
        assert!(matches!(again, Value::Error(text) if text.ends_with(b"already exists")));
    }
    pair.run(&["FCALL", "e9", "1", "a", "b"], &[]);
    pair.run(&["FCALL", "f", "1", "a", "b"], &[]);
    pair.finish();
}

/// Every loop has the library, whichever loop loaded it.
#[test]
fn all_loops_have_the_library() {
    let server = Server::ochre(&["--io-threads", "3"]);
    let mut clients: Vec<_> = (0..6).map(|_| server.client()).collect();
    for round in 0..3 {
        let code = load(&format!("redis.register_function('f', function() return {round} end)"));
        let at = round % clients.len();
        clients[at].cmd(&["FUNCTION", "LOAD", "REPLACE", &code]);
        for client in &mut clients {
            assert_eq!(client.cmd(&["FCALL", "f", "0"]), Value::Integer(round as i64));
        }
    }
}
