//! EVAL, EVALSHA, SCRIPT, and what scripts see, side by side with redis-server 7.0.15.

use std::time::Duration;

use crate::{at_once, redis7_pair};
use ochre_testkit::oracle::{Norm, Pair, Resp};
use ochre_testkit::{Server, Value};

/// Data that the scripts below read.
fn prepare(pair: &mut Pair) {
    pair.script(
        r#"
        SCRIPT FLUSH
        SET s x
        HSET h a 1 b 2
        RPUSH l a b
        ZADD z 1.5 m
        SADD set x
        "#,
    );
}

/// Runs each script on both servers in both protocols.
fn check_scripts(scripts: &[&str]) {
    let mut pair = redis7_pair(&["--enable-debug-command", "yes"]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "");
        prepare(&mut pair);
        for script in scripts {
            pair.run(&["EVAL", script, "2", "k1", "k2", "a1", "a2"], &[]);
        }
    }
    pair.finish();
}

#[test]
fn conversions() {
    check_scripts(&[
        "return {1.9,-1.9,2^53,2^63,-2^63,2^70,0/0,'a',true,false,nil,3}",
        "return {double=3.5}",
        "return {double=3}",
        "return {double='x'}",
        "return {map={a=1}}",
        "return {set={a=true}}",
        "return {big_number='123\\n4'}",
        "return {verbatim_string={string='abc',format='txt'}}",
        "return {verbatim_string={string='abc'}}",
        "return {ok='fine'}",
        "return {ok=1}",
        "return {err=1}",
        "return {ok='a\\nb'}",
        "return {err='a\\nb'}",
        "return {err=''}",
        "return {err='My error'}",
        "return {err='-X y'}",
        "return {err='-X y\\r\\n'}",
        "return {ok='-x'}",
        "return function() end",
        "return coroutine.create(function() end)",
        "return {1,2,nil,4}",
        "return {[0]=1}",
        "return {nil,1}",
        "local t={} t[1]=1 t[3]=3 return t",
        "local a={} a[1.5]=1 return a",
        "local t={} t.x=t return t",
        "return {1,2,setmetatable({},{__index={ok='x'}})}",
        "return (nil)",
        "return",
        "",
        "return 'a\\nb'",
        "return KEYS",
        "return {KEYS,ARGV}",
        "return #KEYS",
        "return KEYS[3]",
        "KEYS[1]='x' return KEYS[1]",
        "return 1e15",
        "return 1e100",
        "return -0",
        "return 10/3",
        "return 'x',1",
        "return {true,false}",
        "redis.setresp(3) return {true,false}",
        "redis.setresp(3) return redis.call('hgetall','h').map.a",
        "redis.setresp(3) return redis.call('smembers','set')",
        "redis.setresp(3) return redis.call('zscore','z','m')",
        "redis.setresp(3) return redis.call('zrange','z',0,-1,'withscores')",
        "redis.setresp(3) return redis.call('get','nokey')",
        "redis.setresp(3) return {redis.call('get','nokey'), 1}",
        "redis.setresp(3) return redis.call('sismember','set','x')",
        "redis.setresp('3') return 1",
        "return redis.call('hgetall','h')",
        "return redis.call('zscore','z','m')",
        "return redis.call('get','nokey')",
        "return redis.call('lrange','l',0,-1)",
        "return redis.call('mget','s','nokey','l')",
        "return redis.call('echo',1.5)",
        "return redis.call('echo',3)",
        "return redis.call('echo',1e20)",
        "return redis.call('echo',1e17)",
        "return redis.call('echo',2^53)",
        "return redis.call('echo',0.1)",
        "return redis.call('echo',-0)",
        "return redis.call('set','bin',string.char(0,255))",
        "return redis.call('get','bin')",
        "return redis.status_reply('a b')",
        "return redis.error_reply('My error')",
        "return redis.error_reply('-My error')",
        "return redis.error_reply('My')",
        "return redis.error_reply('')",
        "return redis.error_reply('ERR')",
        "return redis.error_reply('-ERR x\\ny')",
        "return redis.error_reply('WRONG  x ')",
        "return redis.error_reply(1)",
        "return redis.error_reply()",
        "return redis.error_reply('a','b')",
        "return redis.status_reply()",
    ]);
}

#[test]
fn commands_from_scripts() {
    check_scripts(&[
        "return redis.call('set','a')",
        "return redis.call('foo','a')",
        "return redis.call()",
        "return redis.call({})",
        "return redis.call('get',true)",
        "return redis.call('get',nil)",
        "return redis.pcall()",
        "return redis.pcall('get',{})",
        "return redis.call('incr','s')",
        "return redis.pcall('incr','s')",
        "return redis.pcall('nosuch').err",
        "return {redis.call('incr','ctr'),redis.pcall('incr','s')}",
        "local f=function() return redis.call('incr','s') end\nreturn f()",
        "local e= redis.pcall('incr','s') local r={} for k,v in pairs(e) do r[#r+1]=k..'='..tostring(v) end table.sort(r) return r",
        "local ok,e=pcall(redis.call,'incr','s') local r={} for k,v in pairs(e) do r[#r+1]=k..'='..tostring(v) end table.sort(r) return r",
        "local ok,e=pcall(function() redis.call('incr','s') end) return e",
        "return {xpcall(function() redis.call('incr','s') end, function(e) return e.err end)}",
        "local co=coroutine.create(function() redis.call('incr','s') end) local ok,e=coroutine.resume(co) return e",
        "return coroutine.wrap(function() return redis.call('ping') end)()",
        "redis.pcall('set','k','v','ex',0) return 5",
        "return redis.call('set','k','v','ex',0)",
        "return redis.call('rename','nosuchkey','k4')",
        "return type(redis.pcall('rename','nosuchkey','k4'))",
        "return redis.call('SET','k3','v','NX')",
        "return redis.call('SET','k3','v','NX')",
        "return redis.call('GeT','k3')",
        "return redis.call('object','encoding','s')",
        "return redis.call('object|encoding','s')",
        "return redis.call('','s')",
        "return redis.call('config','nosub')",
        "return redis.call('config')",
        "return redis.call('config','get','port')",
        "return redis.call('debug','object','s')",
        "return redis.call('multi')",
        "return redis.call('exec')",
        "return redis.call('watch','a')",
        "return redis.call('unwatch')",
        "return redis.call('eval','return 1',0)",
        "return redis.call('eval_ro','return 1',0)",
        "return redis.call('evalsha','x',0)",
        "return redis.call('fcall','f',0)",
        "return redis.call('script','load','x')",
        "return redis.call('function','list')",
        "return redis.call('client','id')",
        "return redis.call('auth','x')",
        "return redis.call('quit')",
        "return redis.call('reset')",
        "return redis.call('hello')",
        "return redis.call('subscribe','x')",
        "return redis.call('monitor')",
        "return redis.call('shutdown')",
        "return redis.call('role')",
        "return redis.call('slowlog','reset')",
        "return redis.call('ping')",
        "return redis.call('publish','a','b')",
        "return redis.call('spublish','a','b')",
        "return redis.call('dbsize')",
        "return redis.call('keys','s')",
        "return redis.call('sort','l','alpha')",
        "return redis.call('copy','s','s2')",
        "return redis.call('move','s2',3)",
        "return redis.call('swapdb',0,1) and redis.call('swapdb',0,1)",
        "redis.call('select',5) redis.call('set','in5','x') return redis.call('get','in5')",
        "return redis.call('get','in5')",
        "redis.call('set','x1','1') error('after write')",
        "return redis.call('get','x1')",
        "return redis.call('expire','s',100) + redis.call('persist','s')",
        "for i=1,10 do redis.call('rpush','big',i) end return redis.call('lrange','big',0,-1)",
        "local t = {} for i=1,8000 do t[i]='k'..i end return redis.call('exists', unpack(t, 1, 7000))",
        "return redis.call('hset','h2','f',1.5,'g',1e300)",
        "return redis.call('lpush','s','x')",
        "return redis.call('flushall') and redis.call('set','s','x')",
        "return redis.sha1hex('')",
        "return redis.sha1hex(1)",
        "return redis.sha1hex({})",
        "return redis.sha1hex()",
        "return redis.setresp(4)",
        "return redis.setresp()",
        "return redis.log()",
        "return redis.log('a','b')",
        "return redis.log(9,'b')",
        "return redis.set_repl(9)",
        "return redis.set_repl(redis.REPL_NONE)",
        "return redis.acl_check_cmd('foo')",
        "return redis.acl_check_cmd('get','a')",
        "return redis.acl_check_cmd()",
        "return redis.register_function('a',1)",
        "return tostring(redis.breakpoint())",
        "return tostring(redis.replicate_commands())",
    ]);
}

#[test]
fn the_sandbox() {
    check_scripts(&[
        "error('boo')",
        "error('x',2)",
        "error('x',0)",
        "error()",
        "error({err='My error'})",
        "error({err='a',foo=1})",
        "error('a\\nb')",
        "syntax error",
        "while true do",
        "return 1 +",
        "return 'unfinished",
        "goto x",
        "local a = nil; a.b = 1",
        "local ok,e=pcall(function() error('x') end) return e",
        "local ok,e=pcall(function() local a; a() end) return e",
        "local ok,e=pcall(function() return nosuch end) return e",
        "return {xpcall(function() error('x') end, function(e) return e..'!' end)}",
        "local co=coroutine.create(function() error('x') end) return {coroutine.resume(co)}",
        "local co=coroutine.wrap(function() redis.call('incr','s') end) co()",
        "local f=function()\n local g=function()\n error('deep') end g() end f()",
        "redis.x=1",
        "x=1",
        "return x",
        "KEYS=1 return 1",
        "getmetatable('').__index=1",
        "setmetatable(_G,{})",
        "setmetatable(redis,{})",
        "rawset(redis,'a',1)",
        "table.insert(redis,5)",
        "string.rep=nil",
        "return tostring(getmetatable(redis))",
        "return tostring(getmetatable('').__index==string)",
        "return tostring(_G._G==_G)",
        "return rawget(_G,'nosuch')",
        "return tostring(rawget(_G,'redis')==redis)",
        "return loadstring(string.dump(function() return 1 end))()",
        "return loadstring('return 5')()",
        "return load(function() return nil end)()",
        "return tostring(newproxy)",
        "return print",
        "return collectgarbage('count')>0",
        "return unpack({1,2,3})",
        "return next({})",
        "return _VERSION",
        "return assert(false)",
        "assert(false,'msg')",
        "pairs()",
        "next(1)",
        "table.insert(nil,1)",
        "setmetatable(1,{})",
        "return string.format('%d',3.7)",
        "return tostring(1e15)",
        "return tostring(2^63)",
        "return tostring(0.1)",
        "coroutine.yield(1)",
        "return {string.gsub('hello','l','L')}",
        "local t={3,1,2} table.sort(t,function(a,b) return a>b end) return t",
        "return math.random(0)",
        "return math.random(5,1)",
        "return math.random(1,2,3)",
        "return math.random('x')",
        "math.randomseed(5) return {math.random(1000000),tostring(math.random()),math.random(5,7)}",
        "local t={} for k,v in pairs(string) do t[#t+1]=k end for k,v in pairs(math) do t[#t+1]=k end for k,v in pairs(table) do t[#t+1]=k end for k,v in pairs(coroutine) do t[#t+1]=k end table.sort(t) return t",
        "local t={} for k,v in pairs(_G) do if k~='os' and k~='server' then t[#t+1]=k end end table.sort(t) return t",
        "local t={} for k,v in pairs(redis) do if not k:find('SERVER') then t[#t+1]=k end end table.sort(t) return t",
    ]);
}

#[test]
fn json() {
    check_scripts(&[
        "return cjson.encode({1,2,{a=1},'x/\"\\127\\1',1.5,0.1,1e20,12345678901234567})",
        "return cjson.encode({[1]=1,[20]=2})",
        "return cjson.encode({[1]=1,[3]=2})",
        "return cjson.encode({[1.5]=3})",
        "return cjson.encode({['a']=1,[2]=3})",
        "return cjson.encode(0/0)",
        "return cjson.encode({[true]=1})",
        "return cjson.encode()",
        "return cjson.encode(1,2)",
        "local t={} t.a=t return cjson.encode(t)",
        "local t={} t[1]=t return cjson.encode(t)",
        "return cjson.encode({})",
        "return cjson.encode('\\0\\b\\f\\n\\r\\t\\\\')",
        "return cjson.encode({a=cjson.null})",
        "return cjson.encode(function() end)",
        "return cjson.encode(redis.call('lrange','l',0,-1))",
        "return cjson.decode('[1,2')",
        "return cjson.decode('{\"a\":1,}')",
        "return cjson.decode('{a:1}')",
        "return cjson.decode('{\"a\" 1}')",
        "return cjson.decode('[1 2]')",
        "return cjson.decode('1 2')",
        "return cjson.decode('')",
        "return cjson.decode('\"abc')",
        "return cjson.decode('\"a\\\\x\"')",
        "return cjson.decode('\"\\\\ud800\"')",
        "return cjson.decode('\"\\\\u00e9\\\\ud83d\\\\ude00\"')",
        "return cjson.decode('-')",
        "return tostring(cjson.decode('0x10'))",
        "return tostring(cjson.decode('nan'))",
        "return tostring(cjson.decode('-Infinity'))",
        "return cjson.decode('tru')",
        "return cjson.decode('01')",
        "return cjson.decode('1.5e3')",
        "return tostring(cjson.decode('null') == cjson.null)",
        "return cjson.decode(nil)",
        "return cjson.decode(5)",
        "return cjson.decode(string.rep('[',1001))",
        "return cjson.decode('a\\0b')",
        "return cjson.decode('[\"a\",\\n x]')",
        "return cjson.decode('{\"1\":2}')['1']",
        "return {cjson.encode_sparse_array(false,2,10)}",
        "return cjson.encode_sparse_array(1)",
        "return cjson.encode_max_depth(0)",
        "return cjson.encode_max_depth('x')",
        "return cjson.encode_number_precision(20)",
        "return cjson.encode_number_precision()",
        "return tostring(cjson.encode_invalid_numbers())",
        "return cjson.encode_invalid_numbers('x')",
        "return tostring(cjson.encode_keep_buffer())",
        "return tostring(cjson.decode_invalid_numbers())",
        "local t={} for k in pairs(cjson) do t[#t+1]=k end table.sort(t) return t",
    ]);
}

#[test]
fn packed_formats() {
    check_scripts(&[
        "return cmsgpack.pack()",
        "return cmsgpack.pack({1,2,{a=1}},'x',1.5,0.1,true,nil,-1,-33,-129,-40000,128,256,70000,5000000000)",
        "return cmsgpack.pack(2^63, -2^63, 2^53, 1e300)",
        "return cmsgpack.pack(string.rep('a',31),string.rep('b',32),string.rep('c',300))",
        "local t={} for i=1,20 do t[i]=i end return cmsgpack.pack(t)",
        "return cmsgpack.pack({[1]=1,[3]=2})",
        "return cmsgpack.pack({[1.5]=1})",
        "return cmsgpack.pack({})",
        "local a={} for i=1,20 do a={a} end return cmsgpack.pack(a)",
        "return cmsgpack.pack(function() end)",
        "return cmsgpack.unpack('\\193')",
        "return cmsgpack.unpack('\\146\\1')",
        "return cmsgpack.unpack('')",
        "return cmsgpack.unpack(1)",
        "return cmsgpack.unpack({})",
        "return {cmsgpack.unpack('\\1\\2\\3')}",
        "return {cmsgpack.unpack_one('\\1\\2')}",
        "return {cmsgpack.unpack_one('\\1\\2',1)}",
        "return {cmsgpack.unpack_limit('\\1\\2\\3',2)}",
        "return {cmsgpack.unpack_limit('\\1\\2\\3',2,9)}",
        "return {cmsgpack.unpack_limit('\\1\\2\\3')}",
        "return {cmsgpack.unpack_one('\\1',-1)}",
        "return struct.pack('>I2',258)",
        "return {struct.unpack('>I2','\\1\\2')}",
        "return struct.pack('z',1)",
        "return struct.pack('I33',1)",
        "return struct.pack('I99999999999',1)",
        "return struct.pack('i',1)",
        "return struct.pack('>!4bI',1,2)",
        "return struct.pack('!3I',1)",
        "return {struct.unpack('>I4','ab')}",
        "return struct.pack('s','a\\0b')",
        "return struct.pack('c3','ab')",
        "return struct.pack('c0','abc')",
        "return {struct.unpack('Bc0','\\3abc')}",
        "return {struct.unpack('c0','abc')}",
        "return {struct.unpack('s','abc')}",
        "return struct.size('>I2i4d')",
        "return struct.size('!I5')",
        "return struct.size('s')",
        "return struct.size('c0')",
        "return struct.pack('>d',1.5)",
        "return struct.pack('<f',1.5)",
        "return struct.pack('f')",
        "return {struct.unpack('b','\\255',5)}",
        "return {struct.unpack('b','\\255',0)}",
        "return {struct.unpack('b','\\255',-1)}",
        "return struct.pack('>L',2^63)",
        "return struct.pack('>l',-1)",
        "return struct.pack('<i16',-2)",
        "return struct.pack('>I3',66051)",
        "return struct.pack('b','x')",
        "return struct.pack('T',1)",
        "return struct.pack(' b',1)",
        "return {struct.unpack('>!8BxI8','\\1\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\5')}",
        "return bit.tohex(-1)",
        "return bit.tohex(255,4)",
        "return bit.tohex(255,-4)",
        "return bit.tohex(1,0)",
        "return bit.tohex(1,100)",
        "return bit.band()",
        "return bit.band('x')",
        "return bit.band('3',2)",
        "return {bit.tobit(2^31),bit.tobit(1.5),bit.tobit(2.5),bit.tobit(1e15),bit.tobit(0/0)}",
        "return {bit.bnot(5),bit.lshift(1,33),bit.arshift(-8,1),bit.rshift(-8,1),bit.rol(0x12345678,8),bit.ror(0x12345678,8),bit.bswap(0x12345678),bit.bxor(1,2,3,7),bit.bor(1,8)}",
        "return bit.lshift(1)",
    ]);
}

#[test]
fn the_commands_themselves() {
    let mut pair = redis7_pair(&[]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "");
        prepare(&mut pair);
        for words in [
            &["EVAL", "return 1", "a"][..],
            &["EVAL", "return 1", "-1"],
            &["EVAL", "return 1", "2", "a"],
            &["EVAL", "return 1"],
            &["EVALSHA", "ffff", "0"],
            &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
            &["SCRIPT", "LOAD", "return 1"],
            &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
            &["EVALSHA", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "0"],
            &["EVALSHA_RO", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
            &["SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "x"],
            &["EVAL_RO", "return redis.call('set','a','b')", "1", "a"],
            &["EVAL_RO", "return redis.pcall('set','a','b')", "1", "a"],
            &["EVAL_RO", "return redis.call('get','s')", "0"],
            &["SCRIPT", "LOAD", "syntax err"],
            &["SCRIPT", "LOAD", "#!lua flags=xx\nreturn 1"],
            &["EVAL", "#!lua flags=no-writes\nreturn redis.call('set','a','b')", "1", "a"],
            &["EVAL", "#!lua flags=no-writes,allow-oom\nreturn redis.call('get','a')", "1", "a"],
            &["EVAL", "#!lua name=x\nreturn 1", "0"],
            &["EVAL", "#!luax\nreturn 1", "0"],
            &["EVAL", "#!lua", "0"],
            &["EVAL", "#!lua\nreturn redis.call('get','x'),error('a')", "0"],
            &["EVAL_RO", "#!lua\nreturn 1", "0"],
            &["EVAL_RO", "#!lua flags=no-writes\nreturn redis.call('get','a')", "0"],
            &["EVAL", "#!lua flags=allow-stale,no-cluster,allow-cross-slot-keys\nreturn 1", "0"],
            &["SCRIPT", "EXISTS"],
            &["SCRIPT", "FLUSH", "x"],
            &["SCRIPT", "FLUSH", "ASYNC"],
            &["SCRIPT", "FLUSH", "SYNC", "x"],
            &["SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"],
            &["SCRIPT", "KILL"],
            &["SCRIPT", "DEBUG", "x"],
            &["SCRIPT", "DEBUG", "no"],
            &["SCRIPT", "NOSUB"],
            &["SCRIPT", "LOAD"],
            &["SCRIPT"],
            &["MULTI"],
            &["EVAL", "redis.call('set','m1','x') return redis.call('dbsize') > 0", "0"],
            &["EVAL", "return redis.call('nosuch')", "0"],
            &["GET", "m1"],
            &["SCRIPT", "LOAD", "return 7"],
            &["EXEC"],
            &["SELECT", "3"],
            &["EVAL", "redis.call('select',4) return redis.call('get','s')", "0"],
            &["SET", "where", "db3"],
            &["GET", "where"],
            &["SELECT", "0"],
        ] {
            pair.run(words, &[]);
        }
        pair.run(&["CONFIG", "RESETSTAT"], &[]);
        pair.script(
            r#"
            EVAL "redis.call('get','x') redis.pcall('incr','s') return redis.call('set','n','1')" 0
            EVAL "return redis.call('lpush','s',1)" 0
            EVAL "error('a')" 0
            "#,
        );
        pair.run(&["INFO", "errorstats"], &[]);
    }
    pair.finish();
}

/// Scripts that change waiting clients' lists serve them when they end, as EXEC does.
#[test]
fn waiting_clients_are_served_at_the_end() {
    let mut pair = redis7_pair(&[]);
    pair.restart(Resp::Two, "");
    pair.script(
        r#"
        b> BLPOP q 0
        @blocked 1
        EVAL "redis.call('rpush',KEYS[1],'a','b') return redis.call('llen',KEYS[1])" 1 q
        b<
        LRANGE q 0 -1
        b> BLMOVE q2 other LEFT RIGHT 0
        @blocked 1
        EVAL "redis.call('rpush','q2','x') return 1" 0
        b<
        LRANGE other 0 -1
        "#,
    );
    pair.finish();
}

/// Redisson's lock: the scripts that most clients of locks run.
#[test]
fn locks_of_client_libraries() {
    const LOCK: &str = "if ((redis.call('exists', KEYS[1]) == 0) or \
        (redis.call('hexists', KEYS[1], ARGV[2]) == 1)) then \
        redis.call('hincrby', KEYS[1], ARGV[2], 1); redis.call('pexpire', KEYS[1], ARGV[1]); \
        return nil; end; return redis.call('pttl', KEYS[1]);";
    const UNLOCK: &str = "if (redis.call('hexists', KEYS[1], ARGV[3]) == 0) then return nil; end; \
        local counter = redis.call('hincrby', KEYS[1], ARGV[3], -1); \
        if (counter > 0) then redis.call('pexpire', KEYS[1], ARGV[2]); return 0; \
        else redis.call('del', KEYS[1]); redis.call('publish', KEYS[2], ARGV[1]); return 1; end; \
        return nil;";
    let mut pair = redis7_pair(&[]);
    for resp in [Resp::Two, Resp::Three] {
        pair.restart(resp, "");
        let near = &[Norm::Near(2000)];
        pair.run(&["EVAL", LOCK, "1", "lock", "30000", "me"], &[]);
        pair.run(&["EVAL", LOCK, "1", "lock", "30000", "me"], &[]);
        pair.run(&["EVAL", LOCK, "1", "lock", "30000", "other"], near);
        pair.run(&["HGETALL", "lock"], &[]);
        pair.run(&["EVAL", UNLOCK, "2", "lock", "channel", "0", "30000", "other"], &[]);
        pair.run(&["EVAL", UNLOCK, "2", "lock", "channel", "0", "30000", "me"], &[]);
        pair.run(&["EVAL", UNLOCK, "2", "lock", "channel", "0", "30000", "me"], &[]);
        pair.run(&["EXISTS", "lock"], &[]);
    }
    pair.finish();
}

/// Scripts that name none of their keys, on four loops at once, beside scripts that do and commands:
/// none waits for ever, and each moves its sum whole.
#[test]
fn undeclared_keys_on_several_loops() {
    const ACCOUNTS: usize = 16;
    let server = Server::ochre(&["--io-threads", "4"]);
    let mut client = server.client();
    for account in 0..ACCOUNTS {
        client.cmd(&["SET", &format!("account:{account}"), "1000"]);
    }
    let declared = "redis.call('decrby', KEYS[1], ARGV[1]) redis.call('incrby', KEYS[2], ARGV[1]) \
                    return redis.call('get', KEYS[1])";
    let sum = "local sum = 0 for i = 0, 15 do sum = sum + redis.call('get', 'account:' .. i) end \
               return sum";
    at_once(
        8,
        || server.client(),
        |index, mut client| {
            for step in 0..150usize {
                let from = format!("account:{}", (index * 7 + step) % ACCOUNTS);
                let to = format!("account:{}", (index * 3 + step * 5 + 1) % ACCOUNTS);
                // A text of its own each time: it widens each time, and never learns to take all.
                let undeclared = format!(
                    "redis.call('decrby', ARGV[1], 5) redis.call('incrby', ARGV[2], 5) \
                     return {index} + {step}"
                );
                let got = match step % 4 {
                    0 => client.cmd(&["EVAL", declared, "2", &from, &to, "3"]),
                    1 => client.cmd(&["EVAL", &undeclared, "0", &from, &to]),
                    2 => client.cmd(&["EVAL", &undeclared, "1", &to, &from, &to]),
                    _ => {
                        let sum = client.cmd(&["EVAL", sum, "0"]);
                        assert_eq!(sum, Value::Integer(16_000));
                        client.cmd(&["MGET", &from, &to])
                    }
                };
                assert!(!matches!(got, Value::Error(_)), "{got:?}");
            }
        },
    );
    assert_eq!(client.cmd(&["EVAL", sum, "0"]), Value::Integer(16_000));
}

/// A script that does not end: the other loop's clients are told, and may end it.
#[test]
fn a_script_that_does_not_end() {
    let server = Server::ochre(&["--io-threads", "2", "--busy-reply-threshold", "100"]);
    let mut busy = Vec::new();
    // Connections are spread over the loops: one of the others is on the other loop.
    let mut runner = server.client();
    let mut others: Vec<_> = (0..3).map(|_| server.client()).collect();
    runner.send(&["EVAL", "while true do pcall(function() while true do end end) end", "0"]);
    std::thread::sleep(Duration::from_millis(600));
    for other in &mut others {
        other.send(&["GET", "x"]);
        other.send(&["SCRIPT", "KILL"]);
    }
    for other in &mut others {
        busy.push((other.reply(), other.reply()));
    }
    let Value::Error(ended) = runner.reply() else { panic!("the script was ended") };
    let ended = String::from_utf8_lossy(&ended).into_owned();
    assert!(ended.starts_with("ERR Script killed by user with SCRIPT KILL"), "{ended}");
    let told = busy.iter().any(|(get, kill)| {
        matches!(get, Value::Error(text) if text.starts_with(b"BUSY"))
            && *kill == Value::Status(b"OK".to_vec())
    });
    assert!(told, "{busy:?}");
    assert_eq!(others[0].cmd(&["GET", "x"]), Value::NullBulk);
}

/// Others whose commands came together with such a script, and the script's own client, are served too: no edge of
/// their sockets tells of them again.
#[test]
fn who_came_with_a_script_that_does_not_end() {
    let server = Server::ochre(&[
        "--io-threads",
        "1",
        "--busy-reply-threshold",
        "50",
        "--enable-debug-command",
        "yes",
    ]);
    let mut sleeper = server.client();
    let mut runner = server.client();
    let mut other = server.client();
    for client in [&mut runner, &mut other] {
        client.cmd(&["PING"]);
    }
    // While the loop sleeps, all of it comes.
    sleeper.send(&["DEBUG", "SLEEP", "0.3"]);
    std::thread::sleep(Duration::from_millis(100));
    runner.send(&["EVAL", "while true do end", "0"]);
    std::thread::sleep(Duration::from_millis(20));
    other.send(&["GET", "x"]);
    let Value::Error(busy) = other.reply() else { panic!("it is busy") };
    assert!(busy.starts_with(b"BUSY"), "{}", String::from_utf8_lossy(&busy));
    // The script's client sends more while its script runs.
    runner.send(&["PING"]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(other.cmd(&["SCRIPT", "KILL"]), Value::Status(b"OK".to_vec()));
    assert!(matches!(runner.reply(), Value::Error(_)));
    assert_eq!(runner.reply(), Value::Status(b"PONG".to_vec()));
}

/// EVAL's scripts make room for others; SCRIPT LOAD's stay.
#[test]
fn scripts_are_evicted() {
    let server = Server::ochre(&[]);
    let mut client = server.client();
    let Value::Bulk(kept) = client.cmd(&["SCRIPT", "LOAD", "return 'kept'"]) else {
        panic!("a name")
    };
    let first = "return 'first'";
    client.cmd(&["EVAL", first, "0"]);
    for n in 0..500 {
        client.cmd(&["EVAL", &format!("return {n}"), "0"]);
    }
    let kept = String::from_utf8(kept).unwrap();
    assert_eq!(client.cmd(&["EVALSHA", &kept, "0"]), Value::Bulk(b"kept".to_vec()));
    assert_eq!(client.cmd(&["SCRIPT", "SHOW", &kept]), Value::Bulk(b"return 'kept'".to_vec()));
    let Value::Bulk(info) = client.cmd(&["INFO", "stats"]) else { panic!("text") };
    assert!(String::from_utf8_lossy(&info).contains("evicted_scripts:1\r\n"));
}

/// The two budgets of Ochre's own.
#[test]
fn budgets() {
    let server =
        Server::ochre(&["--script-memory-limit", "16mb", "--script-instruction-limit", "3000000"]);
    let mut client = server.client();
    let mut fails = |script: &str, text: &[u8]| {
        let Value::Error(error) = client.cmd(&["EVAL", script, "0"]) else { panic!("{script}") };
        assert!(error.starts_with(text), "{}", String::from_utf8_lossy(&error));
        assert_eq!(client.cmd(&["EVAL", "return 1", "0"]), Value::Integer(1));
    };
    fails("return string.rep('x', 100000000)", b"ERR not enough memory");
    fails("while true do end", b"ERR Script used more than script-instruction-limit");
}

/// MONITOR shows the script's command, then what the script runs.
#[test]
fn monitors_see_scripts() {
    let server = Server::ochre(&[]);
    let (mut monitor, mut client) = (server.client(), server.client());
    monitor.cmd(&["MONITOR"]);
    client.cmd(&["EVAL", "return redis.call('get', KEYS[1])", "1", "k"]);
    let mut line = || match monitor.reply() {
        Value::Status(line) => String::from_utf8_lossy(&line).into_owned(),
        other => panic!("{other:?}"),
    };
    assert!(line().ends_with(r#""EVAL" "return redis.call('get', KEYS[1])" "1" "k""#));
    assert!(line().ends_with(r#"[0 lua] "get" "k""#));
}

/// CLIENT PAUSE WRITE holds scripts back that may write, and lets the others run.
#[test]
fn a_pause_of_writes_holds_scripts() {
    let server = Server::ochre(&[]);
    let (mut control, mut client) = (server.client(), server.client());
    control.cmd(&["CLIENT", "PAUSE", "60000", "WRITE"]);
    let reads = "#!lua flags=no-writes\nreturn 1";
    assert_eq!(client.cmd(&["EVAL", reads, "0"]), Value::Integer(1));
    assert_eq!(client.cmd(&["EVAL_RO", "return 1", "0"]), Value::Integer(1));
    client.send(&["EVAL", "return 1", "0"]);
    assert!(client.reply_within(Duration::from_millis(200)).unwrap().is_none());
    control.cmd(&["CLIENT", "UNPAUSE"]);
    assert_eq!(client.reply(), Value::Integer(1));
}
