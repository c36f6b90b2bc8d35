// Bundles worker.js and serves it in workerd through Miniflare, with its storage in a folder.
//
//     PORT=7400 STORAGE=./state node run.mjs
//
// To deploy it, `wrangler deploy` with wrangler.toml does the same.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { Miniflare } from "miniflare";

const { PORT = "7400", STORAGE } = process.env;
const folder = dirname(fileURLToPath(import.meta.url));
const wasm = new Map();
const bundle = await build({
  entryPoints: [join(folder, "worker.js")],
  bundle: true,
  write: false,
  format: "esm",
  conditions: ["workerd"],
  external: ["cloudflare:workers"],
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
  host: "127.0.0.1",
  port: Number(PORT),
  compatibilityDate: "2026-04-01",
  durableObjects: { BOARD: { className: "Board", useSQLite: true } },
  ...(STORAGE === undefined ? {} : { durableObjectsPersist: STORAGE }),
  modules: [
    { type: "ESModule", path: "worker.mjs", contents: bundle.outputFiles[0].text },
    ...[...wasm].map(([path, contents]) => ({ type: "CompiledWasm", path, contents })),
  ],
});
const { port } = await worker.ready;
console.log(`registry-worker: listening on http://127.0.0.1:${port}`);
const stop = async () => {
  await worker.dispose();
  process.exit(0);
};
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
