// Bundles worker.js, runs it in workerd through Miniflare, and sends it requests.
//
//     CALLBOARD=http://127.0.0.1:7400 SERVICE=billing node run.mjs
//
// One JSON document a line on stdout; ends when stdin does.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

const { CALLBOARD = "http://127.0.0.1:7400", SERVICE = "billing" } = process.env;
const LANES = 4; // requests at a time
const PAUSE = 40; // milliseconds between two requests of one lane

const folder = dirname(fileURLToPath(import.meta.url));
const wasm = new Map();
const bundle = await build({
  entryPoints: [join(folder, "worker.js")],
  bundle: true,
  write: false,
  format: "esm",
  conditions: ["workerd"],
  plugins: [{
    // workerd wants WebAssembly as modules of their own, beside the script.
    name: "wasm",
    setup: ({ onResolve }) => onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
      const name = `./module-${wasm.size}.wasm`;
      const file = path.startsWith(".") ? join(resolveDir, path) : createRequire(join(resolveDir, "_")).resolve(path);
      wasm.set(name, readFileSync(file));
      return { path: name, external: true };
    }),
  }],
});
const worker = new Miniflare({
  compatibilityDate: "2026-04-01",
  bindings: { CALLBOARD, SERVICE },
  modules: [
    { type: "ESModule", path: "worker.mjs", contents: bundle.outputFiles[0].text },
    ...[...wasm].map(([path, contents]) => ({ type: "CompiledWasm", path, contents })),
  ],
});

let over = false;
let requests = 0;
const say = (event, details) => console.log(JSON.stringify({ event, ...details }));

async function lane() {
  while (!over) {
    requests += 1;
    const response = await worker.dispatchFetch(`http://consumer/?user=user-${requests % 97}`);
    if (!response.ok) throw new Error(`the worker answers ${response.status}: ${await response.text()}`);
    const { views, ...outcome } = await response.json();
    for (const view of views) say("view", view);
    say("request", outcome);
    await sleep(PAUSE);
  }
}

process.stdin.resume().once("end", () => (over = true));
await Promise.all(Array.from({ length: LANES }, lane));
await worker.dispose();
say("done", { requests });
