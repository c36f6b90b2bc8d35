// What a caller can get wrong: every slip is a typed error with code and field, changes nothing and leaves the object
// usable.
import assert from "node:assert/strict";
import test from "node:test";
import * as callboard from "../../bindings-wasm/dist/full/index.js";

const { Balancer, CallboardError, InvalidError, Query, Registry, UsageError } = callboard;

/** Asserts that `act` throws an error of the package with this code and field. */
function refuses(act, code, field, message = "") {
  assert.throws(act, (error) => {
    assert.ok(error instanceof CallboardError, `${message} ${error?.stack}`);
    assert.deepEqual({ code: error.code, field: error.field }, { code, field }, message);
    assert.equal(error.name, callboard.codes()[code]);
    assert.ok(error.message.startsWith(code), error.message);
    return true;
  });
}

const key = { service: "s", id: "a" };

function registry() {
  const made = new Registry({ seed: 1, epoch: 1 });
  made.register({ ...key, endpoints: ["http://10.0.0.1:80"], ttl: 10 }, { now: 0 });
  return made;
}

test("numbers that are none", () => {
  const board = registry();
  const balancer = new Balancer(board, "s", { policy: "first", seed: 1 });
  for (const bad of [Number.NaN, -1, 2 ** 53, Infinity, 0.5]) {
    const text = String(bad);
    refuses(() => board.renew(key, { now: bad }), "invalid-time", "now", text);
    refuses(() => board.advance(bad), "invalid-time", "now", text);
    refuses(() => balancer.pick({ now: bad }), "invalid-time", "now", text);
    refuses(() => board.renew(key, { incarnation: bad, now: 0 }), "invalid-argument", "incarnation", text);
    refuses(() => balancer.finish(bad, {}, { now: 0 }), "invalid-argument", "token", text);
    refuses(() => board.instance(bad), "invalid-argument", "handle", text);
    refuses(() => balancer.pick({ exclude: [bad], now: 0 }), "invalid-argument", "handle", text);
    refuses(() => new Registry({ seed: bad }), "invalid-argument", "seed", text);
  }
  for (const bad of [Number.NaN, -1, 2 ** 53, Infinity]) {
    refuses(() => board.register({ ...key, weight: bad }, { now: 0 }), "invalid-weight", "weight", String(bad));
    refuses(() => balancer.finish(1, { latency: bad }, { now: 0 }), "invalid-duration", "latency", String(bad));
  }
  assert.equal(board.revision, 1);
  assert.equal(balancer.pick({ now: 1 }).instance.id, "a");
});

test("things of the wrong type", () => {
  const board = registry();
  const balancer = new Balancer(board, "s", { policy: "first", seed: 1 });
  for (const bad of [null, 1, "x", true, [], () => 1, Symbol("x"), 1n, new Date(0), /x/, new Uint8Array(1)]) {
    const text = typeof bad;
    assert.throws(() => board.register(bad, { now: 0 }), InvalidError, text);
    if (bad !== null && bad !== "x") assert.throws(() => board.register({ ...key, metadata: { m: bad } }, { now: 0 }), InvalidError, text);
    if (!(typeof bad === "object" && bad !== null && !Array.isArray(bad))) {
      assert.throws(() => board.reconcile(bad, { now: 0 }), InvalidError, text);
    }
    if (bad !== "x") {
      assert.throws(() => new Query(bad), InvalidError, text);
      assert.throws(() => board.acknowledge(bad), InvalidError, text);
      assert.throws(() => board.setHealth(key, bad), InvalidError, text);
      assert.throws(() => balancer.pick({ key: bad }), InvalidError, text);
      assert.throws(() => board.digest(bad), InvalidError, text);
    }
    if (typeof bad !== "number") {
      assert.throws(() => board.advance(bad), CallboardError, text);
      assert.throws(() => balancer.finish(bad), CallboardError, text);
    }
    assert.throws(() => board.lookup(bad), InvalidError, text);
    assert.throws(() => new Balancer(bad, "s", { policy: "first" }), InvalidError, text);
    if (bad !== null) assert.throws(() => new Balancer(board, "s", { policy: bad }), InvalidError, text);
    assert.throws(() => Registry.restore(bad), CallboardError, text);
  }
  assert.equal(board.query("s").instances.length, 1);
});

test("keys that nobody knows", () => {
  const board = registry();
  refuses(() => board.register({ ...key, wieght: 1 }, { now: 0 }), "unknown-field", "wieght");
  refuses(() => board.register(key, { modus: "create" }), "unknown-field", "modus");
  refuses(() => board.renew(key, { nwo: 1 }), "unknown-field", "nwo");
  refuses(() => board.query({ service: "s", heatlh: "any" }), "unknown-field", "heatlh");
  refuses(() => new Registry({ timerSlak: 1 }), "unknown-field", "timerSlak");
  refuses(() => new Registry({ timerSlack: -1 }), "invalid-duration", "timerSlack");
  refuses(() => new Balancer(board, "s", { policy: "first", reapAftre: 1 }), "unknown-field", "reapAftre");
  refuses(() => new Balancer(board, "s", { policy: "best" }), "invalid-policy", "policy");
  refuses(() => board.setAdmin(key, { state: "draining", until: 1 }), "unknown-field", "until");
  refuses(() => board.apply([{ op: "renew", ...key, helth: 1 }]), "unknown-field", "ops[0].helth");
  assert.equal(board.revision, 1);
});

test("documents that never end, or run code", () => {
  const board = registry();
  const cycle = { ...key };
  cycle.metadata = { cycle };
  assert.throws(() => board.register(cycle), (error) => error.code === "limit-exceeded" && error.limit === 64);
  const list = [];
  for (let at = 0; at < 1_000_001; at++) list.push(0);
  assert.throws(() => board.register({ ...key, tags: list }), (error) => error.code === "limit-exceeded" && error.limit === 1_000_000);
  assert.throws(() => board.register({ ...key, metadata: { m: "x".repeat(65_537) } }), (error) => error.code === "limit-exceeded" && error.limit === 65_536);
  refuses(() => board.register({ ...key, metadata: { m: "\ud800" } }), "invalid-argument", "metadata.m");

  const boom = new Error("boom");
  const getter = { ...key, get weight() { throw boom; } };
  assert.throws(() => board.register(getter), (error) => error === boom);
  const meddler = { ...key, get weight() { board.dispose(); return 1; } };
  assert.throws(() => board.register(meddler), UsageError);

  const other = registry();
  const reentrant = { service: "t", get id() { other.register({ service: "inner", id: "x" }, { now: 0 }); return "b"; } };
  other.register(reentrant, { now: 0 });
  assert.deepEqual(other.services().map((one) => one.service), ["inner", "s", "t"]);
});

test("names that mean something to JavaScript", () => {
  const board = new Registry();
  const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "then"];
  const metadata = Object.create(null);
  for (const name of names) metadata[name] = name;
  const { handle } = board.register({ service: "constructor", id: "__proto__", metadata });
  const instance = board.instance(handle);
  assert.deepEqual(Object.entries(instance.metadata).sort(), names.map((name) => [name, name]).sort());
  assert.equal(Object.getPrototypeOf(instance.metadata), null);
  assert.equal(instance.metadata.valueOf, undefined);
  assert.equal({}.__proto__, Object.prototype);
  assert.equal(board.lookup({ service: "constructor", id: "__proto__" }), instance);

  board.register({ service: "map", id: "m", metadata: new Map([["__proto__", "x"]]) });
  assert.equal(board.lookup({ service: "map", id: "m" }).metadata["__proto__"], "x");
  assert.throws(() => new Registry({ ["__proto__x"]: 1 }), InvalidError);
  assert.throws(() => board.register(JSON.parse('{"service":"a","id":"b","__proto__":{"weight":2}}')), (error) => error.code === "unknown-field" && error.field === "__proto__");
});

test("results are frozen to the bottom", () => {
  const board = registry();
  const { instances, ...answer } = board.query("s");
  assert.ok(Object.isFrozen(instances));
  assert.deepEqual(answer, { revision: 1, epoch: 1, rung: 0, stale: false, protected: false });
  assert.throws(() => { instances[0].weight = 5; }, TypeError);
  assert.throws(() => { instances[0].metadata.x = "y"; }, TypeError);
  assert.throws(() => { instances[0].endpoints.push("x"); }, TypeError);
});

test("an instance stays the same object until its record changes", () => {
  const board = registry();
  const before = board.lookup(key);
  board.register({ service: "other", id: "b" }, { now: 1 });
  board.renew(before, { now: 2 });
  assert.equal(board.lookup(key), before);
  assert.equal(board.query("s").instances[0], before);
  board.setHealth(before, "degraded", { now: 3 });
  assert.notEqual(board.lookup(key), before);
  assert.equal(board.lookup(key).availability, "degraded");
  board.deregister(key, { now: 4 });
  assert.equal(board.lookup(key), undefined);
  assert.equal(board.instance(before.handle), undefined);
});

test("bytes that are no snapshot", () => {
  const board = registry();
  const bytes = board.snapshot();
  for (let cut = 0; cut < bytes.length; cut++) {
    assert.throws(() => Registry.restore(bytes.subarray(0, cut)), (error) => error instanceof CallboardError, `${cut} bytes`);
  }
  const again = Registry.restore(bytes, { epoch: 1 });
  assert.equal(again.epoch, 2);
  assert.equal(again.lookup(key).id, "a");
});
