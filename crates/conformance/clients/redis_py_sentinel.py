"""A client that asks sentinels where the primary is, through a failover. Usage: redis_py_sentinel.py PORT..."""

import sys
import time

import redis
from redis.sentinel import Sentinel

PATIENCE = 60


def eventually(what, is_so):
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if is_so():
                return
        except redis.RedisError:
            pass  # Expected while the primary changes.
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


sentinels = [("127.0.0.1", int(port)) for port in sys.argv[1:]]
sentinel = Sentinel(sentinels, socket_timeout=5)
before = sentinel.discover_master("m")
assert before[0] == "127.0.0.1"
assert len(sentinel.discover_slaves("m")) == 2

primary = sentinel.master_for("m", socket_timeout=5, decode_responses=True)
replica = sentinel.slave_for("m", socket_timeout=5, decode_responses=True)
assert primary.set("k", "before")
eventually("a replica has it", lambda: replica.get("k") == "before")

asked = redis.Redis(*sentinels[0], decode_responses=True)
assert asked.sentinel_master("m")["num-slaves"] == 2
asked.sentinel_ckquorum("m")  # Raises when there is none.
assert len(asked.sentinel_sentinels("m")) == 2
eventually("a failover begins", lambda: asked.execute_command("SENTINEL", "FAILOVER", "m"))
eventually("another primary", lambda: sentinel.discover_master("m") != before)

# The same object goes on, with the new primary.
eventually("writes go on", lambda: primary.set("k", "after") and primary.get("k") == "after")
assert primary.connection_pool.get_master_address() != before
eventually("replicas follow", lambda: len(sentinel.discover_slaves("m")) == 2)
# The first write may have gone to the old primary, which had not been told, and be lost.
eventually("replicas have writes", lambda: primary.set("k", "after") and replica.get("k") == "after")
