// The larger module: other registries' payloads in, callboard's HTTP API out.
import assert from "node:assert/strict";
import test from "node:test";
import { InvalidError, Registry, Server, UsageError, Wait, decode, encode, now, proof } from "../../bindings-wasm/dist/full/index.js";

const consul = (id, address) => ({
  Node: { Node: "n1", Address: address, Datacenter: "dc1" },
  Service: { ID: id, Service: "web", Address: address, Port: 80, Tags: ["blue"], Meta: { env: "prod" } },
  Checks: [{ Status: "passing" }],
});
const payload = JSON.stringify([consul("web-1", "10.0.0.1"), consul("web-2", "10.0.0.2")]);

test("a payload is decoded, and fed to a registry", () => {
  const { instances, skipped } = decode(payload);
  assert.deepEqual([instances.length, skipped.length, instances[0].service], [2, 0, "web"]);
  const registry = new Registry();
  const done = registry.feed({ source: "consul:dc1", service: "web" }, new TextEncoder().encode(payload), { now: 0 });
  assert.deepEqual([done.added, done.removed], [2, 0]);
  assert.equal(registry.query({ service: "web", selector: "env=prod", tags: ["blue"] }).instances.length, 2);
  // An empty listing where there was somebody is not believed at once.
  assert.equal(registry.feed({ source: "consul:dc1", service: "web" }, "[]", { now: 1 }).held, 2);
  assert.equal(registry.query("web").stale, true);
  for (const bad of ["", "{", "[", "nul", '{"a":1,"a":2}']) {
    assert.throws(() => registry.feed({ source: "consul:dc1", service: "web" }, bad, { now: 2 }), (error) => error.code !== "disposed", bad);
  }
  assert.throws(() => registry.feed({ sorce: "x" }, "[]"), (error) => error.code === "unknown-field" && error.field === "sorce");
  assert.throws(() => decode(1), InvalidError);
  assert.throws(() => decode("[]", { format: "pigeon" }), (error) => error.code === "invalid-argument" && error.field === "format");
});

test("a payload is written", () => {
  const { instances } = decode(payload);
  const body = encode("consul-health", instances);
  assert.ok(body instanceof Uint8Array);
  assert.deepEqual(decode(body).instances, instances);
  assert.throws(() => encode(1, []), (error) => error.code === "invalid-argument" && error.field === "format");
  assert.throws(() => encode("prometheus"), (error) => error.code === "invalid-argument" && error.field === "instances");
  assert.throws(() => encode("prometheus", [() => 1]), (error) => error.field === "instances[0]");
});

test("a request is answered, and a long poll waits", () => {
  const registry = new Registry({ epoch: 7 });
  const json = (reply) => JSON.parse(new TextDecoder().decode(reply.body));
  const put = registry.handle({ method: "PUT", path: "/v1/instances/default/web/a", body: '{"endpoints":["http://10.0.0.1:80"]}' }, { now: 0 });
  assert.equal(put.status, 201);
  assert.equal(json(put).revision, 1);
  const list = registry.handle({ method: "GET", path: "/v1/instances/default/web" }, { now: 1 });
  assert.equal(json(list).instances[0].id, "a");
  assert.ok(list.headers.some(([name, value]) => name === "x-callboard-revision" && value === "1"));
  assert.equal(registry.handle({ method: "GET", path: "/nowhere" }, { now: 1 }).status, 404);

  const wait = registry.handle({ method: "GET", path: "/v1/instances/default/web", query: "epoch=7&revision=1&wait=10" }, { now: 2 });
  assert.ok(wait instanceof Wait);
  assert.equal(wait.until, 10_000_002);
  assert.equal(wait.resume({ now: 3 }), wait);
  registry.register({ service: "web", id: "b" }, { now: 4 });
  assert.equal(json(wait.resume({ now: 5 })).instances.length, 2);
  assert.throws(() => wait.resume({ now: 6 }), UsageError);
  assert.throws(() => registry.handle({ method: "GET", path: 1 }), InvalidError);
  assert.throws(() => registry.handle({ method: "GET", path: "/", headers: {} }), (error) => error.field === "headers");
});

test("a standard Request gets a standard Response", async () => {
  const registry = new Registry();
  const ask = (path, init) => registry.respond(new Request(`http://callboard.internal${path}`, init));
  const made = await ask("/v1/instances/default/web/a", { method: "PUT", body: "{}" });
  assert.equal(made.status, 201);
  assert.equal(made.headers.get("content-type"), "application/json");
  const { epoch, revision } = await made.json();
  const polling = ask(`/v1/instances/default/web?epoch=${epoch}&revision=${revision}&wait=30`);
  await new Promise((resolve) => setTimeout(resolve, 5));
  registry.register({ service: "web", id: "b" });
  assert.equal((await (await polling).json()).instances.length, 2);
  const started = now();
  const idle = await ask(`/v1/instances/default/web?epoch=${epoch}&revision=${registry.revision}&wait=1`);
  assert.equal(idle.status, 200);
  assert.ok(now() - started >= 900_000);
});

test("a change wakes only the polls that it concerns", async (context) => {
  const registry = new Registry();
  const { resume } = Wait.prototype;
  let resumed = 0;
  Wait.prototype.resume = function (options) {
    resumed += 1;
    return resume.call(this, options);
  };
  context.after(() => (Wait.prototype.resume = resume));
  const query = `epoch=${registry.epoch}&revision=${registry.revision}&wait=60`;
  const gone = new AbortController();
  const done = [];
  const polls = Array.from({ length: 100 }, async (_, n) => {
    await registry.respond(new Request(`http://board/v1/instances/default/s${n % 10}?${query}`, { signal: gone.signal }));
    done.push(n);
  });
  const tick = () => new Promise((resolve) => setTimeout(resolve, 20));
  await tick();
  registry.register({ service: "s3", id: "a", ttl: 1, grace: 0 });
  await tick();
  assert.deepEqual([done.map((n) => n % 10), resumed], [Array(10).fill(3), 10]);
  // A lease ends while nobody but a poll is there.
  const ended = await registry.respond(new Request(`http://board/v1/instances/default/s3?epoch=${registry.epoch}&revision=${registry.revision}&wait=60`));
  assert.deepEqual([(await ended.json()).instances, done.length], [[], 10]);
  gone.abort();
  const ends = await Promise.allSettled(polls);
  assert.equal(ends.filter(({ status }) => status === "rejected").length, 90);
});

test("polls end with their registry", async () => {
  const registry = new Registry();
  const poll = registry.respond(new Request(`http://board/v1/instances/default/web?epoch=${registry.epoch}&revision=0&wait=60`));
  await new Promise((resolve) => setTimeout(resolve, 20));
  registry.dispose();
  await assert.rejects(poll, UsageError);
});

test("a registry of the larger module is restored as one", () => {
  const registry = new Registry();
  registry.register({ service: "web", id: "a" });
  const again = Registry.restore(registry.snapshot());
  assert.ok(again instanceof Registry);
  assert.equal(again.handle({ method: "GET", path: "/v1/health" }).status, 200);
});

test("a stream goes on piece by piece, and ends with its reader", async () => {
  const registry = new Registry();
  const stop = new AbortController();
  const request = new Request("http://callboard.internal/v1/instances/default/web", { headers: { accept: "text/event-stream" }, signal: stop.signal });
  const response = await registry.respond(request);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  const reader = response.body.getReader();
  const next = async () => new TextDecoder().decode((await reader.read()).value);
  assert.match(await next(), /^retry: 1000\nevent: delta\n/);
  const soon = next();
  registry.register({ service: "other", id: "o" });
  registry.register({ service: "web", id: "a" });
  assert.match(await soon, /"id":"a"/);
  const later = next();
  registry.deregister({ service: "web", id: "a" });
  assert.match(await later, /"removed":\[\{/);
  const never = assert.rejects(reader.read());
  stop.abort();
  await never;
  const other = await registry.respond(new Request(request, { signal: null }));
  await other.body.cancel();
});

test("a saved query is asked and watched", () => {
  const registry = new Registry();
  registry.saveQuery("q", { service: "web", fallbacks: [{ service: "spare" }] }, { now: 0 });
  registry.register({ service: "spare", id: "s" }, { now: 0 });
  assert.deepEqual(registry.query(registry.savedQuery("q")).instances.map(({ id }) => id), ["s"]);
  const watch = registry.watchSaved("q");
  assert.deepEqual(watch.poll().added.map(({ id }) => id), ["s"]);
  registry.saveQuery("q", "other", { now: 0 });
  assert.deepEqual(watch.poll().removed.map(({ id }) => id), ["s"]);
  assert.throws(() => registry.dropQuery("none"), (error) => error.code === "unknown-query");
  assert.throws(() => registry.saveQuery(1, "web"), (error) => error.code === "invalid-argument" && error.field === "name");
  assert.throws(() => proof("0123456789abcdef", { verb: "register", epoch: 1, handle: 0, sequence: 1 }), (error) => error.field === "verb");
  assert.equal(registry.explain("nobody").rungs[0].code, "unknown-service");
});

test("plain values are answered as standard ones are", async () => {
  const registry = new Registry();
  async function* body() {
    yield new TextEncoder().encode('{"ttl"');
    await new Promise((resolve) => setTimeout(resolve, 5));
    yield new TextEncoder().encode(":60}");
  }
  const path = "/v1/instances/default/web/a";
  assert.equal((await registry.answer({ method: "PUT", path, body: body() })).status, 201);
  const told = await registry.answer({ method: "GET", path, headers: [["accept", "*/*"]] });
  const same = await registry.respond(new Request(`http://board${path}`));
  assert.equal(new TextDecoder().decode(told.body), await same.text());
  assert.deepEqual(told.headers.slice(0, 2), [["content-type", "application/json"], ["cache-control", "no-store"]]);
  const stop = new AbortController();
  const stream = await registry.answer({ method: "GET", path: "/v1/changes", headers: [["accept", "text/event-stream"]], signal: stop.signal });
  const pieces = registry.pieces(stream, stop.signal);
  assert.match(new TextDecoder().decode((await pieces.next()).value), /^retry: 1000\n/);
  const later = pieces.next();
  registry.register({ service: "web", id: "b" });
  assert.match(new TextDecoder().decode((await later).value), /"id":"b"/);
  const never = assert.rejects(pieces.next(), { name: "AbortError" });
  stop.abort();
  await never;
  await assert.rejects(registry.answer({ method: "PUT", path, body: {} }), InvalidError);
  await assert.rejects(registry.answer({ method: "PUT", path, verb: 1 }), (error) => error.field === "verb");
  // What would be two texts in one is none at all.
  assert.equal((await registry.answer({ method: "GET", path: "/v1/health\0x" })).status, 400);
});

test("what there is no room for is refused, and room comes back", async () => {
  const registry = new Registry();
  const server = new Server({ bounds: { requests: 3, bodies: 1, waits: 1, patience: 0.2 } });
  const refused = async (answer, status, field) => {
    const response = await answer;
    assert.deepEqual([response.status, JSON.parse(new TextDecoder().decode(response.body)).field], [status, field]);
  };
  const gone = new AbortController();
  const query = `epoch=${registry.epoch}&revision=${registry.revision}&wait=60`;
  const poll = () => registry.answer({ method: "GET", path: "/v1/instances/default/web", query, signal: gone.signal }, { server });
  const waiting = poll();
  await refused(poll(), 503, "waits");
  const put = (body) => registry.answer({ method: "PUT", path: "/v1/instances/default/other/a", body }, { server });
  async function* slow(size) {
    yield new Uint8Array(size).fill(32);
    await new Promise((resolve) => setTimeout(resolve, 400));
    yield new TextEncoder().encode("{}");
  }
  const large = put(slow(100_000));
  await refused(put(slow(100_000)), 503, "bodies");
  const small = put(slow(10));
  await refused(registry.answer({ method: "GET", path: "/v1/health" }, { server }), 503, "requests");
  await Promise.all([refused(large, 408, "body"), refused(small, 408, "body")]);
  await refused(put((async function* () { throw new Error("hung up"); })()), 400, "body");
  await refused(put(slow(8 * 1024 * 1024 + 1)), 413, "body");
  gone.abort();
  await assert.rejects(waiting, { name: "AbortError" });
  // As standard requests, with a length and without.
  const asked = (body, headers = {}) => new Request("http://board/v1/instances/default/other/a", { method: "PUT", body, headers, duplex: "half" });
  assert.equal((await registry.respond(asked("{}", { "content-length": "2" }), { server })).status, 201);
  assert.equal((await registry.respond(asked("{}"), { server })).status, 200);
  assert.equal((await registry.respond(asked("{}", { "content-length": "9000000" }), { server })).status, 413);
  assert.equal((await registry.respond(asked(ReadableStream.from(slow(10))), { server })).status, 408);
  assert.throws(() => new Server({ bounds: { connections: 1 } }), (error) => error.field === "bounds.connections");
});
