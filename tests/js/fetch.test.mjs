// `createFetch` against servers that fail, hang, go away and come back.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import test from "node:test";
import { Balancer, Registry, createFetch } from "../../bindings-wasm/dist/index.js";

async function serve(name, port = 0) {
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    self.seen.push({ method: request.method, type: request.headers["content-type"], body: Buffer.concat(parts).toString() });
    if (self.hangs) await sleep(1500);
    response.writeHead(self.status, self.headers);
    response.end(`${name} ${request.url}`);
  });
  const self = { name, status: 200, hangs: false, headers: {}, seen: [], server };
  await new Promise((ready) => server.listen(port, "127.0.0.1", ready));
  self.port = server.address().port;
  return self;
}

function stop({ server }) {
  server.closeAllConnections();
  return new Promise((done) => server.close(done));
}

/** Three servers, a balancer of them and a `fetch`. */
async function shop(t, { policy = "adaptive", ...options } = {}) {
  const servers = await Promise.all(["a", "b", "c"].map((name) => serve(name)));
  t.after(() => Promise.all(servers.map(stop)));
  const registry = new Registry({ allowLocalAddresses: true });
  for (const { name, port } of servers) registry.register({ service: "shop", id: name, endpoints: [`http://127.0.0.1:${port}`] });
  const balancer = new Balancer(registry, "shop", { policy, seed: 1 });
  const call = createFetch({ shop: balancer }, options);
  return { servers, balancer, call, text: async (...request) => (await call(...request)).text() };
}

test("calls go to all of them", async (t) => {
  const { servers, balancer, call, text } = await shop(t, { policy: "least-request" });
  const said = new Set();
  for (let count = 0; count < 60; count++) said.add(await text("http://shop/a%20b?c=d"));
  assert.deepEqual([...said].sort(), ["a /a%20b?c=d", "b /a%20b?c=d", "c /a%20b?c=d"]);
  const other = `http://127.0.0.1:${servers[0].port}/`;
  assert.equal(await text(other), "a /", "a host that is no service is called as it is");
  assert.equal(await text(new URL("http://SHOP/x")).then((text) => text.slice(1)), " /x");
  assert.match(await text("http://shop//example.org/x"), /^[abc] \/\/example\.org\/x$/, "a path names no other host");
  assert.match((await call(new Request("http://shop/x"))).url, /^http:\/\/127\.0\.0\.1:\d+\/x$/);
  assert.equal(balancer.stats().failed, 0);
});

test("what fails is tried elsewhere, and what comes back is called again", async (t) => {
  const { servers, balancer, text } = await shop(t);
  await stop(servers[0]);
  servers[1].status = 503;
  for (let count = 0; count < 40; count++) assert.equal(await text("http://shop/"), "c /");
  servers[0] = await serve("a", servers[0].port);
  servers[1].status = 200;
  const said = new Set();
  for (const start = Date.now(); said.size < 3; await sleep(10)) {
    said.add(await text("http://shop/"));
    assert.ok(Date.now() - start < 60_000, [...said].join());
  }
  assert.equal(balancer.inFlight, 0);
});

test("what may not be done twice is not", async (t) => {
  const { servers, call } = await shop(t);
  const seen = (method) => servers.flatMap((server) => server.seen).filter((one) => one.method === method);
  for (const server of servers) server.status = 503;
  assert.equal((await call("http://shop/", { method: "POST", body: "once" })).status, 503);
  assert.equal(seen("POST").length, 1);
  const form = new FormData();
  form.set("field", "again");
  assert.equal((await call("http://shop/", { method: "PUT", body: form })).status, 503);
  assert.ok(seen("PUT").length > 1);
  const [{ type, body }] = seen("PUT");
  assert.ok(body.includes(type.split("boundary=")[1]), "a form comes with its own boundary");
  assert.ok(seen("PUT").every((one) => one.body === body && one.type === type));
  const stream = new Blob(["streamed"]).stream();
  assert.equal((await call("http://shop/", { method: "DELETE", body: stream, duplex: "half" })).status, 503);
  assert.deepEqual(seen("DELETE").map((one) => one.body), ["streamed"]);
  assert.equal((await call(new Request("http://shop/", { method: "DELETE", body: "mine" }))).status, 503);
  assert.deepEqual(seen("DELETE").map((one) => one.body).sort(), ["mine", "streamed"]);
});

test("a server that hangs is left", async (t) => {
  const { servers, balancer, text } = await shop(t, { timeout: 0.3 });
  servers[0].hangs = true;
  for (let count = 0; count < 30; count++) assert.match(await text("http://shop/"), /^[bc]/);
  assert.equal(balancer.inFlight, 0);
});

test("a call is in flight until its body is read or cancelled", async (t) => {
  const { balancer, call, servers } = await shop(t);
  const response = await call("http://shop/");
  assert.equal(balancer.inFlight, 1);
  await response.text();
  assert.equal(balancer.inFlight, 0);
  await (await call("http://shop/")).body.cancel();
  await call("http://shop/", { method: "HEAD" });
  assert.deepEqual([balancer.inFlight, balancer.stats().succeeded], [0, 3]);
  for (const after of ["30", "9".repeat(400)]) {
    for (const server of servers) [server.status, server.headers] = [429, { "retry-after": after }];
    await (await call("http://shop/")).text();
    assert.equal(balancer.inFlight, 0);
  }
});

test("a call that is given up is nobody's fault, and in flight nowhere", async (t) => {
  const { balancer, servers, call } = await shop(t, { policy: { preset: "least-request", retry: { first: 30, most: 30 } } });
  for (const server of servers) server.hangs = true;
  const hanging = new AbortController();
  setTimeout(() => hanging.abort(), 100);
  await assert.rejects(call("http://shop/", { signal: hanging.signal }), { name: "AbortError" });
  await assert.rejects(call("http://shop/", { signal: AbortSignal.abort() }), { name: "AbortError" });
  assert.deepEqual([balancer.inFlight, balancer.stats().failed, balancer.stats().cancelled], [0, 0, 2]);
  // One who sets a time tells of the instance.
  await assert.rejects(call("http://shop/", { signal: AbortSignal.timeout(100) }), { name: "TimeoutError" });
  assert.deepEqual([balancer.inFlight, balancer.stats().failed], [0, 1]);
  // Between two attempts.
  for (const server of servers) [server.hangs, server.status] = [false, 503];
  const pausing = new AbortController();
  setTimeout(() => pausing.abort(), 200);
  await assert.rejects(call("http://shop/", { signal: pausing.signal }), { name: "AbortError" });
  assert.deepEqual([balancer.inFlight, balancer.stats().failed, balancer.stats().cancelled], [0, 2, 3]);
});

test("where nobody is, that is the error; where nobody else is, the answer stays", async (t) => {
  const registry = new Registry({ allowLocalAddresses: true });
  const call = createFetch({ shop: new Balancer(registry, "shop") });
  await assert.rejects(call("http://shop/"), { name: "UnavailableError" });
  const server = await serve("only");
  t.after(() => stop(server));
  server.status = 503;
  registry.register({ service: "shop", id: "only", endpoints: [`http://127.0.0.1:${server.port}`] });
  const response = await call("http://shop/");
  assert.deepEqual([response.status, await response.text()], [503, "only /"]);
  assert.throws(() => createFetch({}, { timout: 1 }), (error) => error.code === "unknown-field");
});

test("a name is one that a URL can have as its host", () => {
  const registry = new Registry();
  const named = (...names) => createFetch(Object.fromEntries(names.map((name) => [name, new Balancer(registry, "shop")])));
  named("shop", "v2.shop_a-b", "Billing");
  for (const names of [["123"], ["api.2"], ["0x7f"], ["Shop", "shop"], ["a b"], ["a/b"], ["a@b"], [""]]) {
    assert.throws(() => named(...names), { code: "invalid-name", field: "services" }, names.join());
  }
});
