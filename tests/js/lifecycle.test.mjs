// From the first use to the last: seeding, following, waiting, disposal, memory.
import assert from "node:assert/strict";
import test from "node:test";
import { Balancer, InvalidError, Key, Query, Registry, UnavailableError, UsageError, now } from "../../bindings-wasm/dist/index.js";
import * as full from "../../bindings-wasm/dist/full/index.js";

const disposed = (error) => error instanceof UsageError && error.code === "disposed";

test("after dispose, every use says so, and disposing again is nothing", () => {
  const registry = new Registry();
  const query = new Query("s");
  registry.register({ service: "s", id: "a" });
  const balancer = new Balancer(registry, query, { policy: "random" });
  const watch = registry.watch(query);
  const pick = balancer.pick();
  for (const thing of [balancer, watch]) {
    thing.dispose();
    thing.dispose();
  }
  assert.throws(() => balancer.pick(), disposed);
  assert.throws(() => balancer.size, disposed);
  assert.throws(() => balancer.stats(), disposed);
  assert.throws(() => balancer.deadline, disposed);
  assert.throws(() => pick.finish(), disposed);
  assert.throws(() => watch.poll(), disposed);

  const second = new Balancer(registry, query, { policy: "random" });
  registry.dispose();
  registry[Symbol.dispose]?.();
  for (const use of [
    () => registry.revision, () => registry.epoch, () => registry.deadline, () => registry.size, () => registry.query("s"),
    () => registry.register({ service: "s", id: "b" }), () => registry.advance(), () => registry.snapshot(), () => registry.stats(),
    () => registry.watch("s"), () => second.pick(), () => registry.lookup({ service: "s", id: "a" }),
  ]) {
    assert.throws(use, disposed, String(use));
  }
  query.dispose();
  assert.throws(() => query.toJSON(), disposed);
  assert.throws(() => new Balancer(new Registry(), query, { policy: "random" }), disposed);
});

test("a key that is kept picks as its text does, for every balancer, until it is disposed of", () => {
  const registry = new Registry();
  for (let at = 0; at < 20; at++) registry.register({ service: "s", id: `i${at}` });
  const picks = (key) => ["maglev", "rendezvous"].map((policy) => new Balancer(registry, "s", { policy }).pick({ key }).instance.id);
  const key = new Key("user-7");
  assert.equal(String(key), "user-7");
  assert.deepEqual(picks(key), picks("user-7"));
  const balancer = new Balancer(registry, "s", { policy: "maglev" });
  const first = balancer.pick({ key });
  assert.notEqual(balancer.pick({ key, exclude: [first.instance] }).instance, first.instance);
  assert.equal(balancer.finishAndPick(first, { ok: true }, { key }).instance, first.instance);
  assert.throws(() => balancer.pick({ key: new Key("a".repeat(4097)) }), (error) => error.code === "limit-exceeded" && error.field === "key");
  for (const no of [7, null, undefined, {}, ["a"]]) assert.throws(() => new Key(no), (error) => error instanceof InvalidError && error.field === "key");
  key.dispose();
  key.dispose();
  assert.throws(() => balancer.pick({ key }), disposed);
  assert.equal(balancer.pick({ key: "user-7" }).instance, first.instance);
});

test("entropy is drawn at the first use, not before", () => {
  const original = crypto.getRandomValues;
  let draws = 0;
  crypto.getRandomValues = (array) => {
    draws++;
    return original.call(crypto, array);
  };
  try {
    const registry = new Registry();
    const balancer = new Balancer(registry, "s", { policy: "random" });
    assert.equal(draws, 0);
    registry.register({ service: "s", id: "a" });
    assert.equal(draws, 1);
    balancer.pick();
    balancer.pick();
    assert.equal(draws, 2);
  } finally {
    crypto.getRandomValues = original;
  }
});

test("a seed makes the picks repeatable", () => {
  const picks = (seed) => {
    const registry = new Registry();
    for (const id of ["a", "b", "c"]) registry.register({ service: "s", id });
    const balancer = new Balancer(registry, "s", { policy: "random", seed });
    return Array.from({ length: 50 }, () => balancer.pick().instance.id).join("");
  };
  assert.equal(picks(7), picks(7));
  assert.notEqual(picks(7), picks(8));
});

test("a balancer follows the registry, and what became of calls", async () => {
  const registry = new Registry();
  const balancer = new Balancer(registry, { service: "s" }, { policy: "round-robin" });
  assert.throws(() => balancer.pick(), (error) => error instanceof UnavailableError && error.code === "no-instances");
  registry.register({ service: "s", id: "a", ttl: 10 }, { now: 0 });
  const first = balancer.pick({ now: 0 });
  assert.equal(first.finish({ ok: true }, { now: 1500 }), true);
  assert.equal(first.finish(), false);
  const next = balancer.finishAndPick(balancer.pick({ now: 2000 }), { ok: false, latency: 0.5 }, { now: 3000 });
  assert.equal(next.instance.id, "a");
  const { picks, succeeded, failed, inflight, instances } = balancer.stats();
  assert.deepEqual({ picks, succeeded, failed, inflight, ids: instances.map((one) => one.id) }, { picks: 3, succeeded: 1, failed: 1, inflight: 1, ids: ["a"] });
  assert.throws(() => balancer.pick({ exclude: [next.instance], now: 3000 }), (error) => error.code === "all-excluded");
  // A pick after the end of the lease finds nobody, though nobody called `advance`.
  assert.throws(() => balancer.pick({ now: 10_000_001 }), (error) => error.code === "no-instances");
});

test("run finishes the pick by what became of the call", async () => {
  const registry = new Registry();
  registry.register({ service: "s", id: "a" });
  const balancer = new Balancer(registry, "s", { policy: "first" });
  assert.equal(await balancer.run(async (instance) => instance.id), "a");
  await assert.rejects(balancer.run(() => { throw new TypeError("no"); }), TypeError);
  const { succeeded, failed, inflight } = balancer.stats();
  assert.deepEqual({ succeeded, failed, inflight }, { succeeded: 1, failed: 1, inflight: 0 });
});

test("a watch yields what changes, and wakes for leases that end", async () => {
  const registry = new Registry();
  registry.register({ service: "s", id: "a" });
  const watch = registry.watch("s");
  const seen = [];
  const reading = (async () => {
    for await (const change of watch) {
      seen.push(`${change.kind} ${change.id}`);
      if (change.kind === "removed") break;
    }
  })();
  await new Promise((resolve) => setTimeout(resolve, 5));
  registry.register({ service: "other", id: "x" });
  registry.register({ service: "s", id: "b", ttl: 1 });
  await reading;
  assert.deepEqual(seen, ["added a", "added b", "removed b"]);
  assert.equal(registry.lookup({ service: "s", id: "b" }), undefined);
});

test("waiting ends with the signal, with the time, and with disposal", async () => {
  const registry = new Registry();
  const abort = new AbortController();
  const waiting = registry.changed({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  await registry.changed({ until: now() + 5_000 });
  await registry.changed({ revision: 99 });
  const left = registry.changed();
  registry.dispose();
  await assert.rejects(left, disposed);
});

test("disposed objects leave no memory behind", () => {
  const bytes = () => process.memoryUsage().arrayBuffers + process.memoryUsage().external;
  const round = () => {
    for (let at = 0; at < 2_000; at++) {
      const registry = new Registry();
      registry.register({ service: "s", id: "a", metadata: { text: "x".repeat(500) } });
      const query = new Query("s");
      const balancer = new Balancer(registry, query, { policy: "random" });
      balancer.pick().finish();
      registry.query("s");
      for (const thing of [balancer, query, registry]) thing.dispose();
    }
    globalThis.gc?.();
  };
  round();
  const before = bytes();
  for (let at = 0; at < 4; at++) round();
  assert.ok(bytes() - before < 1_000_000, `${bytes() - before} bytes more`);
});

test("a pick is explained before it is made, and a trace is replayed", () => {
  const registry = new full.Registry();
  for (const id of ["a", "b", "c"]) registry.register({ service: "s", id }, { now: 1 });
  const balancer = new full.Balancer(registry, "s", { policy: "adaptive", seed: 3, trace: 1000 });
  const told = balancer.explain({ now: 2 });
  const pick = balancer.pick({ now: 2 });
  assert.equal(told.choice, pick.instance.handle);
  assert.deepEqual([told.matching, told.eligible, told.pool], [3, 3, "available"]);
  assert.ok(told.text.startsWith(`adaptive chooses ${pick.instance.id}\n`));
  for (let at = 10; at < 500; at += 10) balancer.pick({ now: at }).finish({ ok: at % 3 > 0, latency: at / 1e4 }, { now: at + 5 });
  const trace = balancer.trace();
  assert.deepEqual({ ...full.Balancer.replay(trace) }, { picks: 50, same: 50 });
  assert.ok(full.Balancer.replay({ ...trace, options: { ...trace.options, seed: 4 } }).same < 50);
  assert.equal(new full.Balancer(registry, "s").trace(), undefined);
  assert.ok(balancer.metrics().endsWith("# EOF\n"));
});
