// The gateway of examples, in Hono as it is published, before servers that fail, hang, go away and come back.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { example } from "./example.mjs";

let app;
const place = example("gateway-hono", ["hono"]);

before(async () => {
  process.env.SERVICES = "shop,empty";
  // Its timer would keep the process.
  const interval = globalThis.setInterval;
  globalThis.setInterval = (...given) => interval(...given).unref();
  ({ default: app } = await import(place.file("gateway.mjs")));
  globalThis.setInterval = interval;
});
after(() => place.remove());

async function serve(id, port = 0) {
  const self = { id, status: 200, hangs: false, seen: [] };
  self.server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    self.seen.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(parts).toString() });
    if (self.hangs) await sleep(4_000, undefined, { ref: false });
    response.writeHead(self.status, { "content-type": "text/plain", connection: "keep-alive" }).end(`${id} ${request.url}`);
  });
  await new Promise((ready) => self.server.listen(port, "127.0.0.1", ready));
  self.port = self.server.address().port;
  const endpoints = [`http://127.0.0.1:${self.port}`];
  const signed = await app.request(`/registry/v1/instances/default/shop/${id}`, { method: "PUT", body: JSON.stringify({ endpoints, ttl: 60 }) });
  assert.ok(signed.ok, await signed.text());
  return self;
}

function stop({ server }) {
  server.closeAllConnections();
  return new Promise((done) => server.close(done));
}

test("a gateway serves its registry and calls who has signed in", { timeout: 120_000 }, async (t) => {
  let servers = await Promise.all(["a", "b", "c"].map((id) => serve(id)));
  t.after(() => Promise.all(servers.map(stop)));
  const ask = async (path, init) => {
    const response = await app.request(path, init);
    return [response.status, await response.text()];
  };
  const ids = async (count) => {
    const found = new Set();
    for (let turn = 0; turn < count; turn++) {
      const [status, text] = await ask("/shop/items/a%2Fb?c=d");
      assert.equal(status, 200, text);
      assert.equal(text.slice(1), " /items/a%2Fb?c=d");
      found.add(text[0]);
    }
    return [...found].sort().join("");
  };
  const everybody = async () => {
    const found = new Set();
    for (const start = Date.now(); found.size < 3; await sleep(10)) {
      found.add(await ids(1));
      assert.ok(Date.now() - start < 60_000, [...found].join());
    }
  };
  await everybody();
  assert.match((await ask("/registry/ui"))[1], /<title>callboard<\/title>/);
  assert.equal((await ask("/registry/v1/instances/default/shop/a%2Fb"))[0], 404);
  assert.equal((await ask("/other"))[0], 404);
  for (const [path, seen] of [["/shop", "/"], ["/shop/", "/"], ["/%73ho%70/x", "/x"], ["/shop//example.org/x", "//example.org/x"]]) {
    const [status, text] = await ask(path);
    assert.deepEqual([status, text.slice(2)], [200, seen], path);
  }
  const headers = { "x-user": "u1", connection: "x-mine", "x-mine": "1", "content-type": "text/plain" };
  assert.equal((await ask("/shop/items", { method: "POST", body: "some text", headers }))[0], 200);
  const [posted] = servers.flatMap(({ seen }) => seen).filter(({ method }) => method === "POST");
  assert.deepEqual([posted.body, posted.headers["x-user"], posted.headers["content-type"]], ["some text", "u1", "text/plain"]);

  // One is gone without a word and one fails: whoever asks sees neither.
  await stop(servers[0]);
  servers[1].status = 503;
  assert.equal(await ids(30), "c");
  // What may not be done twice is done once.
  for (const server of servers) server.seen.length = 0;
  for (let turn = 0; turn < 5; turn++) await ask("/shop/items", { method: "POST", body: "x" });
  assert.ok(servers.flatMap(({ seen }) => seen).length <= 5);
  // Both come back.
  servers[0] = await serve("a", servers[0].port);
  servers[1].status = 200;
  await everybody();
  // One hangs: it is left after two seconds, and then avoided.
  servers[2].hangs = true;
  assert.match(await ids(15), /^a?b?$/);
  servers[2].hangs = false;

  // Nobody is there, nobody answers, and who asked has left.
  assert.deepEqual(await ask("/empty/"), [503, "nobody is there who could answer\n"]);
  for (const server of servers) server.hangs = true;
  assert.deepEqual(await ask("/shop/", { method: "POST" }), [504, "no answer in time\n"]);
  const left = new AbortController();
  setTimeout(() => left.abort(), 100);
  assert.equal((await app.request(new Request("http://gateway/shop/", { signal: left.signal }))).status, 499);
  for (const server of servers) server.hangs = false;
  await Promise.all(servers.map(stop));
  assert.equal((await ask("/shop/", { method: "POST" }))[0], 502);
});
