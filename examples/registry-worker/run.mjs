// Serves worker.js in workerd through Miniflare, with its storage in a folder; with EDGE=1 edge.js, which reads from Workers KV.
//
//     PORT=7400 STORAGE=./state node run.mjs
//
// To deploy it, `wrangler deploy` with wrangler.toml does the same.
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { modules } from "./bundle.mjs";

const { PORT = "7400", STORAGE, EDGE, BOUNDS } = process.env;
const folder = dirname(fileURLToPath(import.meta.url));
const worker = new Miniflare({
  host: "127.0.0.1",
  port: Number(PORT),
  compatibilityDate: "2026-04-01",
  ...(BOUNDS === undefined ? {} : { bindings: { BOUNDS } }),
  durableObjects: { BOARD: { className: "Board", useSQLite: true } },
  ...(STORAGE === undefined ? {} : { durableObjectsPersist: STORAGE, kvPersist: join(STORAGE, "kv") }),
  ...(EDGE === undefined ? {} : { kvNamespaces: ["COPY"] }),
  modules: await modules(join(folder, EDGE === undefined ? "worker.js" : "edge.js")),
});
const { port } = await worker.ready;
console.log(`registry-worker: listening on http://127.0.0.1:${port}`);
const stop = async () => {
  await worker.dispose();
  process.exit(0);
};
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
