// BullMQ: plain, delayed, prioritised, rate-limited and repeated jobs, retries, flows. Usage: node bullmq.mjs PORT
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";

const connection = { host: "127.0.0.1", port: Number(process.argv[2]), maxRetriesPerRequest: null };
const open = [];
const keep = (thing) => (open.push(thing), thing);

/** A promise that others fulfil, and that fails after half a minute. */
function promised(what) {
  let fulfil;
  const promise = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`timed out: ${what}`)), 30_000);
    fulfil = (value) => (clearTimeout(timer), resolve(value));
  });
  return { promise, fulfil };
}

async function plain() {
  const queue = keep(new Queue("plain", { connection }));
  const events = keep(new QueueEvents("plain", { connection }));
  await events.waitUntilReady();
  keep(new Worker("plain", async (job) => job.data.a + job.data.b, { connection, concurrency: 4 }));
  const jobs = await queue.addBulk(
    Array.from({ length: 50 }, (_, i) => ({ name: "add", data: { a: i, b: 1 } })),
  );
  const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events, 30_000)));
  assert.deepEqual(results, Array.from({ length: 50 }, (_, i) => i + 1));
  assert.equal(await queue.getCompletedCount(), 50);
  const counts = await queue.getJobCounts("waiting", "active", "failed");
  assert.deepEqual(counts, { waiting: 0, active: 0, failed: 0 });
}

async function retried() {
  const queue = keep(new Queue("retried", { connection }));
  const events = keep(new QueueEvents("retried", { connection }));
  await events.waitUntilReady();
  keep(new Worker("retried", async (job) => {
    if (job.attemptsMade < 2) throw new Error("not yet");
    return "at last";
  }, { connection }));
  const backoff = { type: "fixed", delay: 20 };
  const job = await queue.add("stubborn", {}, { attempts: 3, backoff });
  assert.equal(await job.waitUntilFinished(events, 30_000), "at last");
  const failing = await queue.add("hopeless", {}, { attempts: 1 });
  await assert.rejects(failing.waitUntilFinished(events, 30_000), /not yet/);
  assert.equal(await queue.getFailedCount(), 1);
}

async function delayed() {
  const queue = keep(new Queue("delayed", { connection }));
  const done = promised("a delayed job");
  keep(new Worker("delayed", async () => done.fulfil(Date.now()), { connection }));
  const began = Date.now();
  await queue.add("later", {}, { delay: 300 });
  assert.equal(await queue.getDelayedCount(), 1);
  assert.ok((await done.promise) - began >= 290);
}

async function prioritised() {
  const queue = keep(new Queue("prioritised", { connection }));
  for (const priority of [30, 10, 20]) await queue.add("p", { priority }, { priority });
  await queue.add("first", { priority: 0 });
  assert.equal(await queue.getPrioritizedCount(), 3);
  const seen = [];
  const done = promised("prioritised jobs");
  keep(new Worker("prioritised", async (job) => {
    seen.push(job.data.priority);
    if (seen.length === 4) done.fulfil();
  }, { connection }));
  await done.promise;
  assert.deepEqual(seen, [0, 10, 20, 30]);
}

async function limited() {
  const queue = keep(new Queue("limited", { connection }));
  const times = [];
  const done = promised("rate-limited jobs");
  await queue.addBulk(Array.from({ length: 6 }, () => ({ name: "l", data: {} })));
  keep(new Worker("limited", async () => {
    times.push(Date.now());
    if (times.length === 6) done.fulfil();
  }, { connection, limiter: { max: 2, duration: 200 } }));
  await done.promise;
  // Three lots of two, each in a stretch of 200 ms of its own.
  assert.ok(times[5] - times[0] >= 350, `${times[5] - times[0]} ms`);
}

async function flow() {
  const producer = keep(new FlowProducer({ connection }));
  const events = keep(new QueueEvents("parents", { connection }));
  await events.waitUntilReady();
  keep(new Worker("children", async (job) => job.data.n * 2, { connection }));
  keep(new Worker("parents", async (job) => {
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, value) => sum + value, 0);
  }, { connection }));
  const tree = await producer.add({
    name: "sum",
    queueName: "parents",
    children: [1, 2, 3].map((n) => ({ name: "double", data: { n }, queueName: "children" })),
  });
  assert.equal(await tree.job.waitUntilFinished(events, 30_000), 12);
}

async function repeated() {
  const queue = keep(new Queue("repeated", { connection }));
  let times = 0;
  const done = promised("a repeated job");
  keep(new Worker("repeated", async () => {
    if (++times === 3) done.fulfil();
  }, { connection }));
  await queue.upsertJobScheduler("tick", { every: 100 }, { name: "tick" });
  await done.promise;
  assert.equal((await queue.getJobSchedulers()).length, 1);
  assert.ok(await queue.removeJobScheduler("tick"));
}

async function kept() {
  const queue = keep(new Queue("kept", { connection }));
  await queue.pause();
  const job = await queue.add("one", { x: 1 }, { jobId: "same" });
  await queue.add("one", { x: 2 }, { jobId: "same" });
  assert.equal((await queue.getJob("same")).data.x, 1);
  await job.updateProgress(50);
  assert.equal((await queue.getJob("same")).progress, 50);
  await queue.resume();
  await queue.obliterate({ force: true });
  assert.equal(await queue.count(), 0);
}

try {
  await Promise.all([plain(), retried(), delayed(), prioritised(), limited(), flow(), repeated(), kept()]);
} finally {
  await Promise.all(open.map((thing) => thing.close()));
}
