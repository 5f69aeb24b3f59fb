"""Ordinary use of a server through redis-py, in RESP2 and RESP3. Usage: redis_py.py PORT"""

import sys
import threading

import redis


def strings(r):
    assert r.set("k", "v") is True
    assert r.get("k") == "v"
    assert r.set("k", "w", nx=True) is None
    assert r.set("k", "w", get=True) == "v"
    assert r.set("t", "v", ex=100) and 98 <= r.ttl("t") <= 100
    assert r.setnx("n", 1) and not r.setnx("n", 2)
    assert r.incr("n") == 2 and r.incrby("n", 40) == 42 and r.decr("n") == 41
    assert abs(r.incrbyfloat("f", 0.5) - 0.5) < 1e-9
    assert r.mset({"a": 1, "b": 2}) and r.mget("a", "b", "none") == ["1", "2", None]
    assert r.append("k", "!") == 2 and r.strlen("k") == 2
    assert r.getrange("k", 0, 0) == "w" and r.getdel("k") == "w!" and r.get("k") is None
    assert r.exists("a", "b", "none") == 2 and r.delete("a", "b") == 2
    assert r.type("n") == "string" and r.persist("t") and r.ttl("t") == -1


def hashes(r):
    assert r.hset("h", mapping={"a": 1, "b": "two"}) == 2
    assert r.hgetall("h") == {"a": "1", "b": "two"}
    assert r.hmget("h", "a", "x") == ["1", None] and r.hincrby("h", "a", 5) == 6
    assert r.hkeys("h") == ["a", "b"] and r.hlen("h") == 2 and r.hdel("h", "a") == 1
    assert dict(r.hscan_iter("h")) == {"b": "two"}


def lists(r):
    assert r.rpush("l", "a", "b", "c") == 3 and r.lpush("l", "z") == 4
    assert r.lrange("l", 0, -1) == ["z", "a", "b", "c"]
    assert r.lpop("l") == "z" and r.rpop("l", 2) == ["c", "b"] and r.llen("l") == 1
    assert r.lmove("l", "m", "LEFT", "RIGHT") == "a" and r.lpos("m", "a") == 0


def sets(r):
    assert r.sadd("s", "a", "b", "c") == 3 and r.smembers("s") == {"a", "b", "c"}
    r.sadd("s2", "b", "c", "d")
    assert r.sinter("s", "s2") == {"b", "c"} and r.sunion("s", "s2") == {"a", "b", "c", "d"}
    assert r.sdiff("s", "s2") == {"a"} and r.sismember("s", "a") and r.srem("s", "a") == 1
    assert r.smismember("s", ["a", "b"]) == [0, 1] and r.spop("s2") in {"b", "c", "d"}


def sorted_sets(r):
    assert r.zadd("z", {"a": 1, "b": 2.5, "c": 3}) == 3
    pairs = [list(p) for p in r.zrange("z", 0, -1, withscores=True)]
    assert pairs == [["a", 1.0], ["b", 2.5], ["c", 3.0]], pairs
    assert r.zscore("z", "b") == 2.5 and r.zrank("z", "c") == 2 and r.zincrby("z", 10, "a") == 11.0
    assert r.zrangebyscore("z", 2, 3) == ["b", "c"] and r.zcount("z", "-inf", "+inf") == 3
    assert r.zrange("z", 0, 0, desc=True) == ["a"] and r.zcard("z") == 3
    assert len(r.zpopmin("z", 1)) == 1 and sorted(m for m, _ in r.zscan_iter("z")) == ["a", "c"]


def pipelines_and_transactions(r):
    with r.pipeline(transaction=False) as p:
        for i in range(1000):
            p.set(f"p{i}", i)
        assert all(p.execute())
    with r.pipeline() as p:
        assert p.get("p1").incr("p1").rpush("q", 1).execute() == ["1", 2, 1]
    with r.pipeline() as p:
        p.watch("p1")
        r.set("p1", "changed")
        p.multi()
        p.set("p1", "lost")
        try:
            p.execute()
            raise AssertionError("the watched key had changed")
        except redis.WatchError:
            pass
    assert r.transaction(lambda p: p.multi() or p.incr("p2"), "p2") == [3]
    assert sorted(r.scan_iter("p99*", count=7)) == sorted(k for k in map("p{}".format, range(1000)) if k.startswith("p99"))


def blocking(r, connect):
    assert r.blpop("none", timeout=0.05) is None
    pusher = threading.Thread(target=lambda: connect().rpush("jobs", "one"))
    waiter = connect()
    pusher.start()
    assert list(waiter.blpop("jobs", timeout=20)) == ["jobs", "one"]
    pusher.join()
    r.zadd("zq", {"a": 1})
    assert list(r.bzpopmin("zq", timeout=20)) == ["zq", "a", 1.0]


def the_rest(r):
    try:
        r.lpush("n", 1)
        raise AssertionError("a string took a push")
    except redis.ResponseError as e:
        assert str(e).startswith("WRONGTYPE"), e
    assert r.ping() and r.dbsize() > 0 and r.info()["tcp_port"] > 0 and r.time()[0] > 0
    assert r.config_set("maxmemory-samples", 7) and r.config_get("maxmemory-samples") == {"maxmemory-samples": "7"}
    assert any(c["name"] == "me" for c in r.client_list()) and r.client_id() > 0
    assert r.object("encoding", "n") == "int" and r.flushdb()


def main(port):
    for protocol in (2, 3):
        def connect():
            return redis.Redis(port=port, protocol=protocol, decode_responses=True, client_name="me")
        r = connect()
        r.flushall()
        for part in (strings, hashes, lists, sets, sorted_sets, pipelines_and_transactions):
            part(r)
        blocking(r, connect)
        the_rest(r)
        raw = redis.Redis(port=port, protocol=protocol)
        raw.set(b"\x00bin\xff", bytes(range(256)))
        assert raw.get(b"\x00bin\xff") == bytes(range(256))
    print("redis-py", redis.__version__, "ok")


main(int(sys.argv[1]))
