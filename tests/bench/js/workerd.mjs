// A Worker in workerd, as Miniflare starts it, and the processor time that workerd has had.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("../../../bindings-wasm/", import.meta.url));
const tools = createRequire(join(PACKAGE, "package.json"));
const { build } = tools("esbuild");
const { Miniflare } = tools("miniflare");

/** The script of a Worker and the modules beside it. */
export async function bundle(entry) {
  const wasm = new Map();
  const collect = {
    name: "modules",
    setup(builder) {
      builder.onResolve({ filter: /^callboard$/ }, () => ({ path: join(PACKAGE, "dist/workerd.js") }));
      builder.onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
        const name = `${wasm.size}-callboard.wasm`;
        wasm.set(name, readFileSync(join(resolveDir, path)));
        return { path: `./${name}`, external: true };
      });
    },
  };
  const given = typeof entry === "string" ? { entryPoints: [entry] } : { stdin: { contents: entry.source, resolveDir: PACKAGE } };
  const built = await build({
    ...given, bundle: true, write: false, format: "esm", conditions: ["workerd", "worker", "browser"], plugins: [collect], logLevel: "error",
  });
  const script = { type: "ESModule", path: "worker.mjs", contents: built.outputFiles[0].text };
  return [script, ...[...wasm].map(([path, contents]) => ({ type: "CompiledWasm", path, contents }))];
}

/** Starts it; `clock` tells milliseconds of processor time that workerd has had where Linux tells it, else those since now. */
export async function start(modules) {
  const [before, started] = [children(), performance.now()];
  const worker = new Miniflare({ modules, compatibilityDate: "2026-04-01", modulesRoot: "/" });
  await worker.ready;
  const [pid] = children().filter((one) => !before.includes(one));
  const clock = pid === undefined ? () => performance.now() - started : () => processor(pid);
  return { worker, clock };
}

function children() {
  try {
    return readdirSync("/proc/self/task").flatMap((thread) => readFileSync(`/proc/self/task/${thread}/children`, "utf8").split(" ").filter(Boolean));
  } catch {
    return [];
  }
}

function processor(pid) {
  const nanos = readdirSync(`/proc/${pid}/task`).map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]));
  return nanos.reduce((sum, one) => sum + one, 0) / 1e6;
}
