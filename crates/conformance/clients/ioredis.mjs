// Ordinary use of a server through ioredis (RESP2). Usage: node ioredis.mjs PORT
import assert from "node:assert/strict";
import Redis from "ioredis";

const port = Number(process.argv[2]);
const r = new Redis({ port, connectionName: "me" });
await r.flushall();

assert.equal(await r.set("k", "v"), "OK");
assert.equal(await r.get("k"), "v");
assert.equal(await r.set("k", "w", "NX"), null);
assert.equal(await r.set("k", "w", "EX", 100, "GET"), "v");
assert.ok((await r.ttl("k")) > 97);
assert.equal(await r.incrby("n", 5), 5);
assert.deepEqual(await r.mget("k", "none"), ["w", null]);
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
await r.set("bin", bytes);
assert.ok((await r.getBuffer("bin")).equals(bytes));

await r.hset("h", { a: 1, b: "two" });
assert.deepEqual(await r.hgetall("h"), { a: "1", b: "two" });
assert.deepEqual(await r.hmget("h", "a", "x"), ["1", null]);

assert.equal(await r.rpush("l", "a", "b", "c"), 3);
assert.deepEqual(await r.lrange("l", 0, -1), ["a", "b", "c"]);
assert.deepEqual(await r.lpop("l", 2), ["a", "b"]);

await r.sadd("s", "a", "b");
assert.deepEqual((await r.smembers("s")).sort(), ["a", "b"]);
assert.equal(await r.sismember("s", "a"), 1);

await r.zadd("z", 1, "a", 2.5, "b");
assert.deepEqual(await r.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2.5"]);
assert.equal(await r.zscore("z", "b"), "2.5");

const pipeline = r.pipeline();
for (let i = 0; i < 1000; i++) pipeline.set(`p${i}`, i);
assert.equal((await pipeline.exec()).length, 1000);
assert.deepEqual(await r.multi().get("p1").incr("p1").lpush("p1", 1).exec().then((x) => x.slice(0, 2)), [[null, "1"], [null, 2]]);

await r.watch("p1");
const other = r.duplicate();
await other.set("p1", "changed");
assert.equal(await r.multi().set("p1", "lost").exec(), null);

const seen = new Set();
for await (const keys of r.scanStream({ match: "p*", count: 10 })) keys.forEach((k) => seen.add(k));
assert.equal(seen.size, 1000);
const fields = [];
for await (const part of r.hscanStream("h")) fields.push(...part);
assert.deepEqual(fields, ["a", "1", "b", "two"]);

assert.equal(await r.blpop("none", 0.05), null);
const waiting = r.duplicate().blpop("jobs", 20);
await other.rpush("jobs", "one");
assert.deepEqual(await waiting, ["jobs", "one"]);

await assert.rejects(r.lpush("k", 1), /WRONGTYPE/);
assert.equal((await r.config("GET", "port"))[1], String(port));
assert.ok((await r.client("LIST")).includes("name=me"));
assert.ok((await r.info()).includes("used_memory:"));
// Many connections at once, each with its own pipeline.
await Promise.all(Array.from({ length: 20 }, async (_, c) => {
  const one = r.duplicate();
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => one.incr(`c${c}:${i % 10}`)));
  assert.equal(all.length, 100);
  one.disconnect();
}));
assert.equal(await r.get("c3:3"), "10");
await r.flushall();
console.log("ioredis ok");
process.exit(0);
