// Copies of a registry in Workers KV: the Durable Object of examples writes them, its edge reads them, in workerd with Miniflare's KV.
import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createRequire } from "node:module";
import { example } from "./example.mjs";

const { Miniflare } = createRequire(new URL("../../bindings-wasm/package.json", import.meta.url))("miniflare");
const place = example("registry-worker", ["esbuild", "miniflare"]);
let modules;
let kvOf;

before(async () => {
  [{ modules }, { Entries: kvOf }] = await Promise.all([import(place.file("bundle.mjs")), import(place.file("kv.js"))]);
});
after(() => place.remove());

/** A worker with its KV; `said` is what it reports. */
async function edge(t) {
  const said = [];
  const worker = new Miniflare({
    compatibilityDate: "2026-04-01",
    durableObjects: { BOARD: { className: "Board", useSQLite: true } },
    kvNamespaces: ["COPY"],
    bindings: { FRESH: 1 },
    modules: await modules(place.path("edge.js")),
    handleRuntimeStdio: (out, errors) => [out, errors].forEach((stream) => stream.on("data", (text) => said.push(String(text)))),
  });
  t.after(() => worker.dispose());
  const url = await worker.ready;
  const ask = async (method, path, body) => {
    const response = await fetch(new URL(path, url), { method, ...(body && { body: JSON.stringify(body) }) });
    return { status: response.status, age: response.headers.get("age"), body: await response.json() };
  };
  const kv = await worker.getKVNamespace("COPY");
  const keys = async () => (await kv.list()).keys.map(({ name }) => name);
  return { kv, keys, ask, said };
}

async function until(done, what) {
  for (const start = Date.now(); ; await sleep(100)) {
    const found = await done();
    if (found) return found;
    assert.ok(Date.now() - start < 40_000, `waited in vain for ${typeof what === "function" ? what() : what}`);
  }
}

test("the edge answers from a copy, and asks the object where there is none that is good", { timeout: 180_000 }, async (t) => {
  const { kv, keys, ask, said } = await edge(t);
  await kv.put("of somebody else", "stays");
  // There is no copy yet: the object is asked, and writes one.
  assert.deepEqual((await ask("GET", "/v1/instances/default/web")).body.instances, []);
  for (const id of ["a", "b", "c/d"]) assert.equal((await ask("PUT", `/v1/instances/default/web/${encodeURIComponent(id)}`, { endpoints: ["http://10.0.0.1:80"], ttl: 60 })).status, 201);
  await ask("PUT", "/v1/instances/default/web/b/admin", { state: "draining", reason: "deploy" });
  const all = ["callboard/instances/default/web/a", "callboard/instances/default/web/b", "callboard/instances/default/web/c=2Fd", "callboard/overrides/default/web/b", "callboard/registry", "of somebody else"];
  await until(async () => (await keys()).join() === all.join(), "the entries");

  const ids = async () => {
    const { body, age } = await ask("GET", "/v1/instances/default/web?health=any");
    return { ids: body.instances.map(({ id }) => id).join(), copied: age !== null, states: body.instances.map(({ admin }) => admin.state).join() };
  };
  const shows = (want) => until(async () => JSON.stringify(await ids()) === JSON.stringify(want), JSON.stringify(want));
  await shows({ ids: "a,b,c/d", copied: true, states: "enabled,draining,enabled" });
  // What asks for changes is asked of the object itself, and its position goes on from there.
  const { body } = await ask("GET", "/v1/instances/default/web?health=any&epoch=1&revision=0");
  assert.equal(body.instances.length, 3);
  assert.equal((await ask("DELETE", "/v1/instances/default/web/a")).status, 200);
  await shows({ ids: "b,c/d", copied: true, states: "draining,enabled" });

  // A lost entry is a lost instance of the copy, and of it alone.
  const entry = "callboard/instances/default/web/b";
  const good = await kv.get(entry);
  await kv.delete(entry);
  await shows({ ids: "c/d", copied: true, states: "enabled" });
  assert.equal((await ask("GET", "/v1/instances/default/web?health=any&wait=0")).body.instances.length, 2);
  // What is damaged is told and left out, what is foreign told, and both are left alone.
  const left = (name) => until(async () => (await ids(), said.join("").includes(`${name} is left alone: snapshot-corrupt`)), () => `a report of ${name}: ${said.join("")}`);
  for (const value of ["{", good.replace('"b"', '"x"')]) {
    said.length = 0;
    await kv.put(entry, value);
    await left("instances/default/web/b");
    assert.deepEqual(await ids(), { ids: "c/d", copied: true, states: "enabled" });
    await kv.put(entry, good);
    await shows({ ids: "b,c/d", copied: true, states: "draining,enabled" });
  }
  await kv.put("callboard/notes", "mine");
  await left("notes");
  assert.deepEqual(await ids(), { ids: "b,c/d", copied: true, states: "draining,enabled" });
  // Until the last entry is there, a copy is none.
  const last = await kv.get("callboard/registry");
  await kv.delete("callboard/registry");
  await shows({ ids: "b,c/d", copied: false, states: "draining,enabled" });
  await kv.put("callboard/registry", last);
  await shows({ ids: "b,c/d", copied: true, states: "draining,enabled" });
  // A format of another release is refused whole.
  said.length = 0;
  await kv.put("callboard/registry", JSON.stringify({ ...JSON.parse(last), format: 99 }));
  await shows({ ids: "b,c/d", copied: false, states: "draining,enabled" });
  await until(() => said.join("").includes("what KV holds is not taken: snapshot-version"), () => said.join(""));
  await ask("DELETE", "/v1/instances/default/web/b");
  await shows({ ids: "c/d", copied: true, states: "enabled" });
  assert.equal(await kv.get("callboard/notes"), "mine");
  assert.equal(await kv.get("of somebody else"), "stays");
});

test("changes share writes: a key is written once a second, and a failed write is made up for", { timeout: 120_000 }, async (t) => {
  const { kv } = await edge(t);
  const { Registry } = await import(place.file("../node_modules/callboard/dist/full/index.js"));
  const puts = [];
  let refuses = 0;
  // Miniflare's KV takes any number of writes; what it would refuse is counted here.
  const counted = new Proxy(kv, {
    get: (target, name) => name !== "put" ? (...given) => target[name](...given) : async (key, value) => {
      if (refuses-- > 0) throw new Error("KV PUT failed: 429 Too Many Requests");
      puts.push([key, Date.now()]);
      return target.put(key, value);
    },
  });
  const [registry, entries] = [new Registry(), new kvOf(counted)];
  const kept = [];
  for (let number = 0; number < 60; number++) {
    registry.register({ service: "web", id: `w${number}` });
    kept.push(entries.keep(registry));
    await sleep(40);
  }
  await Promise.all(kept);
  const heads = puts.filter(([key]) => key === "callboard/registry").map(([, at]) => at);
  assert.ok(heads.length >= 2 && heads.length <= 5, String(heads.length));
  for (let at = 1; at < heads.length; at++) assert.ok(heads[at] - heads[at - 1] >= 1_000, String(heads));
  assert.equal((await new kvOf(kv).load()).registry.size, 60);

  refuses = 1;
  registry.deregister({ service: "web", id: "w0" });
  registry.register({ service: "web", id: "late" });
  await assert.rejects(entries.keep(registry), /429/);
  assert.equal((await new kvOf(kv).load()).registry.lookup({ service: "web", id: "late" }), undefined);
  await entries.keep(registry);
  const { registry: again } = await new kvOf(kv).load();
  assert.deepEqual([again.size, again.lookup({ service: "web", id: "late" })?.id, again.lookup({ service: "web", id: "w0" })], [60, "late", undefined]);

  // Another writer that begins with what is there leaves nothing that is not its own, and more than one page of keys.
  const other = new Registry();
  for (let number = 0; number < 1_010; number++) other.register({ service: "many", id: `m${number}` });
  await new kvOf(kv).keep(other);
  const { registry: whole } = await new kvOf(kv).load();
  assert.deepEqual([whole.size, whole.services().map(({ service }) => service)], [1_010, ["many"]]);
});
