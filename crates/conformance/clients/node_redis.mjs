// Ordinary use of a server through node-redis, in RESP2 and RESP3. Usage: node node_redis.mjs PORT
import assert from "node:assert/strict";
import { createClient, WatchError } from "redis";

const port = Number(process.argv[2]);
for (const RESP of [2, 3]) {
  const connect = async () => {
    const client = createClient({ socket: { port }, RESP, name: "me" });
    client.on("error", (error) => { throw error; });
    return client.connect();
  };
  const r = await connect();
  await r.flushAll();

  assert.equal(await r.set("k", "v"), "OK");
  assert.equal(await r.get("k"), "v");
  assert.equal(await r.set("k", "w", { NX: true }), null);
  assert.equal(await r.set("k", "w", { EX: 100, GET: true }), "v");
  assert.ok((await r.ttl("k")) > 97);
  assert.equal(await r.incrBy("n", 5), 5);
  assert.deepEqual(await r.mGet(["k", "none"]), ["w", null]);
  assert.equal(await r.getDel("k"), "w");

  assert.equal(await r.hSet("h", { a: 1, b: "two" }), 2);
  assert.deepEqual({ ...(await r.hGetAll("h")) }, { a: "1", b: "two" });
  assert.equal(await r.hGet("h", "none"), null);

  assert.equal(await r.rPush("l", ["a", "b", "c"]), 3);
  assert.deepEqual(await r.lRange("l", 0, -1), ["a", "b", "c"]);
  assert.deepEqual(await r.lPopCount("l", 2), ["a", "b"]);

  await r.sAdd("s", ["a", "b"]);
  assert.deepEqual([...(await r.sMembers("s"))].sort(), ["a", "b"]);

  await r.zAdd("z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]);
  assert.deepEqual(await r.zRangeWithScores("z", 0, -1), [{ value: "a", score: 1 }, { value: "b", score: 2.5 }]);
  assert.equal(await r.zScore("z", "b"), 2.5);
  assert.equal(await r.zIncrBy("z", 0.5, "b"), 3);

  await Promise.all(Array.from({ length: 1000 }, (_, i) => r.set(`p${i}`, i)));
  assert.deepEqual(await r.multi().get("p1").incr("p1").exec(), ["1", 2]);
  const other = await connect();
  await r.watch("p1");
  await other.set("p1", "changed");
  await assert.rejects(r.multi().set("p1", "lost").exec(), WatchError);

  const seen = new Set();
  for await (const keys of r.scanIterator({ MATCH: "p*", COUNT: 10 })) {
    for (const key of [keys].flat()) seen.add(key);
  }
  assert.equal(seen.size, 1000);

  assert.equal(await r.blPop("none", 0.05), null);
  const waiter = await connect();
  const waiting = waiter.blPop("jobs", 20);
  await other.rPush("jobs", "one");
  assert.deepEqual({ ...(await waiting) }, { key: "jobs", element: "one" });

  await assert.rejects(r.lPush("n", "1"), /WRONGTYPE/);
  assert.deepEqual({ ...(await r.configGet("maxmemory-samples")) }, { "maxmemory-samples": "5" });
  assert.ok((await r.clientList()).some((c) => c.name === "me"));
  await r.flushAll();
  for (const client of [r, other, waiter]) client.destroy();
}
console.log("node-redis ok");
process.exit(0);
