// Hostile calls through the npm package: `node --expose-gc hostile_calls.mjs COUNT`.
//
// Every call gets arguments that nobody should pass. It may throw an error of callboard's, or what JavaScript itself throws for a wrong type; a trap of
// the wasm module, memory that keeps growing or a changed prototype is a failure.
import assert from "node:assert/strict";
import * as callboard from "../../bindings-wasm/dist/full/index.js";

const { Balancer, CallboardError, Key, Query, Registry, Store } = callboard;
const count = Number(process.argv[2] ?? 10_000);

let state = 1;
function below(bound) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return Math.floor((state / 2 ** 32) * bound);
}
const of = (list) => list[below(list.length)];

function deep(levels) {
  let made = [];
  for (let at = 0; at < levels; at++) made = [made];
  return made;
}
const cycle = { service: "web" };
cycle.self = cycle;
const boom = new Error("boom");
const proxy = new Proxy({}, { get() { throw boom; }, ownKeys() { throw boom; } });

const THINGS = [
  undefined, null, true, false, 0, -0, -1, 1, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 - 1, -(2 ** 63), 1e308, Infinity, -Infinity, NaN,
  0n, -1n, 2n ** 64n, "", "a", "web", "\0", "\ud800", "x".repeat(70_000), "é", "../..", "a/b", "__proto__", "constructor", "then",
  [], {}, [null], [[], {}], deep(70), deep(3_000), cycle, proxy, Symbol("x"), () => 1, new Date(NaN), /x/, new Map([["__proto__", 1]]), new Set([1]),
  new Uint8Array(0), new Uint8Array(300), new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Proxy([], {}), Object.create(null),
  JSON.parse('{"__proto__":{"polluted":1}}'), JSON.parse('{"constructor":{"prototype":{"polluted":1}}}'), { service: "web", id: "a" },
  { service: "web", id: "b", metadata: JSON.parse('{"__proto__":"x"}') }, { then(resolve) { resolve(1); } }, { get service() { throw boom; } },
  { toString() { throw boom; } }, { valueOf() { throw boom; } }, { [Symbol.toPrimitive]() { throw boom; } }, { length: 2 ** 40 },
  "adaptive", { policy: "ring-hash", seed: 1 }, { policy: { preset: "ring-hash", pick: { kind: "ring-hash", minSize: 2 ** 32 } } },
  { now: 2 ** 53 }, { now: NaN }, { ttl: NaN }, "env in (", "(".repeat(5_000), "* ".repeat(999), [{ op: "register" }],
];

/** What prototypes there are, and the names they have. */
const prototypes = () => [Object, Array, Function, String, Number, Map, Set, Promise, Uint8Array, Error].map((own) => Reflect.ownKeys(own.prototype).map(String).sort().join());

function methods(thing) {
  const found = [];
  for (let own = Object.getPrototypeOf(thing); own && own !== Object.prototype; own = Object.getPrototypeOf(own)) {
    for (const [name, what] of Object.entries(Object.getOwnPropertyDescriptors(own))) {
      if (name !== "constructor" && name !== "dispose" && !name.startsWith("_") && typeof what.value === "function") found.push(name);
    }
  }
  return found;
}

function world() {
  const board = new Registry({ seed: 1, epoch: 1 });
  for (let number = 0; number < 5; number++) board.register({ service: "web", id: `i${number}`, endpoints: ["http://10.0.0.1:80"], ttl: 30 }, { now: 0 });
  return [board, new Balancer(board, "web", { policy: "adaptive", seed: 1 }), new Query("web"), board.watch("web"), ...(Store ? [new Store()] : [])];
}

/** The linear memory of the module is part of what is external. */
function memory() {
  globalThis.gc?.();
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  return { rss, heapUsed, arrayBuffers };
}

const before = prototypes();
const makers = [
  (...args) => new Registry(...args), (...args) => new Balancer(...args), (...args) => new Query(...args), (...args) => new Key(...args), (...args) => Registry.restore(...args),
  ...["load", "recover"].filter((name) => Registry[name]).map((name) => (...args) => Registry[name](...args)),
];
let objects = world();
let returned = 0;
const raised = new Map();
const names = new Set();
const levels = [];
const plain = [TypeError, RangeError, SyntaxError, ReferenceError, URIError];
for (let number = 0; number < count; number++) {
  if (number % 1_000 === 0) {
    for (const thing of objects) thing.dispose?.();
    objects = world();
    // What was let go without `dispose` is given back between two turns only.
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (number % Math.max(Math.floor(count / 20), 1) === 0) {
    levels.push(memory());
    console.log(`${number} of ${count} calls, ${Math.round(levels.at(-1).rss / 2 ** 20)} MiB`);
  }
  const thing = of(objects);
  const name = of(methods(thing));
  const call = below(10) < 2 ? of(makers) : thing[name].bind(thing);
  const args = Array.from({ length: below(4) }, () => of(THINGS));
  try {
    names.add(`${thing.constructor.name}.${name}`);
    const result = call(...args);
    if (result instanceof Promise) result.catch(() => {});
    if (result instanceof Registry || result instanceof Balancer) result.dispose?.();
    returned++;
  } catch (error) {
    assert.ok(!(error instanceof WebAssembly.RuntimeError), `a trap in ${thing.constructor.name}.${name}: ${error?.stack}`);
    if (error instanceof CallboardError) {
      assert.ok(Object.hasOwn(callboard.codes(), error.code), `${error.code}: ${error.stack}`);
      assert.ok(!error.message.includes("unreachable"), error.stack);
      raised.set(error.code, (raised.get(error.code) ?? 0) + 1);
    } else {
      assert.ok(error === boom || plain.some((kind) => error instanceof kind), `${thing.constructor.name}.${name}: ${error?.stack ?? error}`);
      const kind = error === boom ? "the caller's own" : error.name;
      raised.set(kind, (raised.get(kind) ?? 0) + 1);
    }
  }
}
const after = memory();
assert.deepEqual(prototypes(), before, "a prototype has changed");
assert.equal({}.polluted, undefined);
const board = new Registry();
board.register({ service: "web", id: "a" });
assert.equal(new Balancer(board, "web").pick().instance.id, "a");
// What is held at its height after the first quarter is held at the end.
const early = levels[Math.floor(levels.length / 4)];
assert.ok(after.rss <= early.rss * 1.3 + 32 * 2 ** 20, `memory grows: ${JSON.stringify(levels.map((level) => level.rss))}`);
const mib = (bytes) => Math.round(bytes / 2 ** 20);
const sum = [...raised.values()].reduce((sum, number) => sum + number, 0);
console.log(`${count} calls of ${names.size} methods: ${returned} returned, ${sum} threw ${raised.size} kinds of error, no trap, prototypes as they were; ${mib(early.rss)} MiB, then ${mib(after.rss)} MiB`);
process.exit(0);
