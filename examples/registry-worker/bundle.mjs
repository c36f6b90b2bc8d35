// A worker as the modules that Miniflare takes: one script, and WebAssembly beside it.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { build } from "esbuild";

export async function modules(script) {
  const wasm = new Map();
  const bundle = await build({
    entryPoints: [script],
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
  return [
    { type: "ESModule", path: "worker.mjs", contents: bundle.outputFiles[0].text },
    ...[...wasm].map(([path, contents]) => ({ type: "CompiledWasm", path, contents })),
  ];
}
