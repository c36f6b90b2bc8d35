// An instance is one object while its record is the same, and never an object of an older record. What is kept is compared
// with the record as the HTTP API tells it, which keeps nothing.
import assert from "node:assert/strict";
import test from "node:test";
import { Balancer, Registry } from "../../bindings-wasm/dist/full/index.js";

const SERVICE = "s";
const IDS = ["a", "b", "c", "d"];

/** The record, read anew; undefined when there is none. */
function record(registry, id, now) {
  const { status, body } = registry.handle({ method: "GET", path: `/v1/instances/default/${SERVICE}/${id}` }, { now });
  return status === 200 ? JSON.parse(new TextDecoder().decode(body)) : undefined;
}

/** A document of the package as the HTTP API writes it: no name in it has two words. */
const plainly = (instance) => (instance === undefined ? undefined : JSON.parse(JSON.stringify(instance)));

function agree(registry, now, what) {
  // First what is kept, since asking the API is itself a call that settles things.
  const kept = IDS.map((id) => plainly(registry.lookup({ service: SERVICE, id })));
  const found = registry.query({ service: SERVICE, health: "any" }).instances.map(plainly);
  assert.deepEqual(kept, IDS.map((id) => record(registry, id, now)), what);
  for (const instance of found) assert.deepEqual(instance, record(registry, instance.id, now), what);
}

test("a renewal that raises the incarnation shows, and one that does not keeps the object", () => {
  const registry = new Registry();
  const { handle } = registry.register({ service: SERVICE, id: "a", ttl: 10, incarnation: 1 }, { now: 0 });
  const balancer = new Balancer(registry, SERVICE, { policy: "first" });
  const first = registry.instance(handle);
  const { revision } = registry;
  const renewals = [
    (incarnation) => registry.renew(handle, { incarnation, now: 1 }),
    (incarnation) => registry.renew({ service: SERVICE, id: "a" }, { incarnation, now: 1 }),
    (incarnation) => registry.apply([{ op: "renew", service: SERVICE, id: "a", incarnation }], { now: 1 }),
    (incarnation) => registry.setHealth({ service: SERVICE, id: "a" }, "healthy", { incarnation, now: 1 }),
    (incarnation) => registry.handle({ method: "POST", path: "/v1/instances/default/s/a/renew", query: `incarnation=${incarnation}` }, { now: 1 }),
  ];
  let before = first;
  renewals.forEach((renew, at) => {
    renew(at + 1);
    assert.equal(registry.instance(handle), before, `renewal ${at} of the same incarnation`);
    const { edition } = registry;
    renew(at + 2);
    assert.ok(registry.edition > edition, `renewal ${at} is worth a snapshot`);
    const after = registry.instance(handle);
    assert.deepEqual([after.incarnation, registry.lookup({ service: SERVICE, id: "a" }), registry.query(SERVICE).instances[0]], [at + 2, after, after]);
    assert.equal(balancer.pick({ now: 1 }).instance, after);
    before = after;
  });
  assert.equal(registry.revision, revision);
  assert.equal(first.incarnation, 1);
});

test("whatever is done in whatever order, what is kept is the record", () => {
  // mulberry32: the same scripts at every run.
  let state = 2026;
  const below = (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) % n;
  };
  const among = (list) => list[below(list.length)];
  for (let script = 0; script < 40; script++) {
    const registry = new Registry({ seed: script, timerSlack: 1 });
    let now = 1_000_000_000;
    for (let step = 0; step < 60; step++) {
      const [id, incarnation] = [among(IDS), below(6)];
      const key = { service: SERVICE, id };
      const fence = below(2) ? { incarnation } : {};
      const acts = {
        register: () => registry.register({ ...key, ...fence, ttl: 5, grace: 5, weight: 1 + below(3), health: among(["healthy", "degraded"]) }, { now }),
        renew: () => registry.renew(key, { ...fence, now }),
        "renew by handle": () => registry.renew(registry.lookup(key)?.handle ?? 0, { ...fence, now }),
        deregister: () => registry.deregister(key, { ...fence, now }),
        "set health": () => registry.setHealth(key, among(["healthy", "unhealthy"]), { ...fence, now }),
        "set admin": () => registry.setAdmin(key, among([null, { state: "draining", ttl: 1 + below(8) }, { state: "disabled", reason: `r${below(3)}` }]), { now }),
        batch: () => registry.apply([{ op: "renew", ...key, ...fence }, { op: "set_admin", service: SERVICE, id: among(IDS), admin: null }], { now }),
        listing: () => registry.reconcile({ source: "consul:dc1", service: SERVICE, instances: IDS.filter(() => below(2)).map((id) => ({ service: SERVICE, id, weight: 1 + below(3) })) }, { now }),
        acknowledge: () => registry.acknowledge("consul:dc1", { now }),
        advance: () => registry.advance(now),
      };
      now += among([0, 1, 500_000, 3_000_000, 6_000_000, -2_000_000]);
      const what = among(Object.keys(acts));
      try {
        acts[what]();
      } catch (error) {
        // Refused: but what was due by then was done.
        assert.ok(error.code, `script ${script}, step ${step}, ${what}: ${error}`);
      }
      agree(registry, now, `script ${script}, step ${step}, ${what}`);
    }
    registry.dispose();
  }
});
