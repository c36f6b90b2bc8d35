// `createFetch` in Node, Deno, Bun and workerd, before servers of this process that fail, hang, go away and come back.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { example } from "../js/example.mjs";

const PACKAGE = fileURLToPath(new URL("../../bindings-wasm/", import.meta.url));
const { Miniflare } = createRequire(join(PACKAGE, "package.json"))("miniflare");
const run = promisify(execFile);
const place = example("registry-worker", ["esbuild", "miniflare"]);

/** Three servers, and one that is told what to do with them. */
async function yard(t) {
  const all = new Map(["a", "b", "c"].map((id) => [id, { id, port: 0, status: 200, hangs: false }]));
  const seen = [];
  const open = async (one) => {
    one.server = createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      const { "x-mine": mine, "content-type": type } = request.headers;
      seen.push({ method: request.method, body: Buffer.concat(parts).toString(), mine, type });
      if (one.hangs) await sleep(2_000, undefined, { ref: false });
      response.writeHead(one.status).end(`${one.id} ${request.url}`);
    });
    await new Promise((ready) => one.server.listen(one.port, "127.0.0.1", ready));
    one.port = one.server.address().port;
  };
  const close = ({ server }) => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  };
  const commands = {
    start: async () => Object.fromEntries([...all.values()].map(({ id, port }) => [id, port])),
    seen: async () => ({ seen }),
    set: async ({ id, status, hangs }) => Object.assign(all.get(id), status === undefined ? {} : { status: Number(status) }, hangs === undefined ? {} : { hangs: hangs !== "" }) && {},
    stop: async ({ id }) => (await close(all.get(id)), {}),
    back: async ({ id }) => (await open(all.get(id)), {}),
  };
  const control = createServer(async (request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://control");
    response.end(JSON.stringify(await commands[pathname.slice(1)](Object.fromEntries(searchParams))));
  });
  await Promise.all([...all.values()].map(open));
  await new Promise((ready) => control.listen(0, "127.0.0.1", ready));
  t.after(() => Promise.all([...all.values(), { server: control }].map(close)));
  return `http://127.0.0.1:${control.address().port}`;
}

/** An executable that an npm package of this platform carries. */
function binary(scope, name) {
  const root = join(PACKAGE, "node_modules", scope);
  return readdirSync(root).flatMap((one) => [join(root, one, name), join(root, one, "bin", name)]).find(existsSync);
}

before(() => {
  copyFileSync(new URL("calls.mjs", import.meta.url), place.path("calls.mjs"));
  writeFileSync(place.path("main.mjs"), `
    import * as callboard from "callboard";
    import process from "node:process";
    import { calls } from "./calls.mjs";
    console.log(await calls(callboard, process.argv[2]));
    process.exit(0);`);
  writeFileSync(place.path("calls-worker.js"), `
    import * as callboard from "callboard";
    import { calls } from "./calls.mjs";
    export default { fetch: async (request) => new Response(await calls(callboard, await request.text()).catch((error) => error.stack), {}) };`);
});
after(() => place.remove());

const PROGRAMS = {
  node: () => [process.execPath, []],
  deno: () => [binary("@deno", "deno"), ["run", "--no-remote", "--no-prompt", "--allow-net", "--allow-read", "--allow-env"]],
  bun: () => [binary("@oven", "bun"), ["run"]],
};
const WELL = "calls: all as they should be";

for (const [name, program] of Object.entries(PROGRAMS)) {
  test(`calls by name in ${name}`, { timeout: 120_000 }, async (t) => {
    const [command, args] = program();
    const env = { ...process.env, DENO_DIR: place.path("deno"), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };
    const { stdout } = await run(command, [...args, place.path("main.mjs"), await yard(t)], { cwd: place.path("."), timeout: 100_000, env });
    assert.equal(stdout.trim(), WELL);
  });
}

test("calls by name in workerd", { timeout: 120_000 }, async (t) => {
  const { modules } = await import(place.file("bundle.mjs"));
  const worker = new Miniflare({ compatibilityDate: "2026-04-01", modules: await modules(place.path("calls-worker.js")) });
  t.after(() => worker.dispose());
  const reply = await worker.dispatchFetch("http://worker/", { method: "POST", body: await yard(t) });
  assert.equal(await reply.text(), WELL);
});
