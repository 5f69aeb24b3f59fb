// A client that asks sentinels where the primary is, through a failover. Usage: node ioredis_sentinel.mjs PORT...
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import Redis from "ioredis";

const PATIENCE_MS = 60_000;

async function eventually(what, isSo) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    // Errors are expected while the primary changes.
    if (await isSo().catch(() => false)) return;
    assert.ok(Date.now() < deadline, what);
    await sleep(50);
  }
}

const sentinels = process.argv.slice(2).map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const primary = new Redis({ sentinels, name: "m" });
const replica = new Redis({ sentinels, name: "m", role: "slave" });
primary.on("error", () => {});
replica.on("error", () => {});
assert.equal(await primary.set("k", "before"), "OK");
await eventually("a replica has it", async () => (await replica.get("k")) === "before");

const port = async (r) => /tcp_port:(\d+)/.exec(await r.info("server"))[1];
const before = await port(primary);
const asked = new Redis(sentinels[0].port);
await eventually("a failover begins", async () => (await asked.call("SENTINEL", "FAILOVER", "m")) === "OK");
await eventually("another primary", async () => (await port(primary)) !== before);

// The same object goes on, with the new primary.
await eventually("writes go on", async () => (await primary.set("k", "after")) === "OK");
await eventually("a replica has that", async () => (await replica.get("k")) === "after");
for (const client of [primary, replica, asked]) client.disconnect();
