// Runs the vectors in workerd, as a Worker whose bundle was made with the `workerd` condition and nothing else.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What the Worker answers. */
export async function ask(tools, folder) {
  const { build } = tools("esbuild");
  const { Miniflare } = tools("miniflare");
  const wasm = new Map();
  const collect = {
    name: "modules",
    setup(builder) {
      // A bundler for Workers leaves the module beside the script; here under a name of its own.
      builder.onResolve({ filter: /\.wasm$/ }, async ({ path, resolveDir }) => {
        const name = `${wasm.size}-callboard.wasm`;
        wasm.set(name, readFileSync(join(resolveDir, path)));
        return { path: `./${name}`, external: true };
      });
    },
  };
  const source = `
    import * as core from "callboard";
    import * as full from "callboard/full";
    import { report } from "./report.mjs";
    const limits = core.limits(); // Works at the top level, where workerd gives no entropy and no time.
    export default { fetch: () => new Response(limits["name-bytes"] === 63 ? report(core, full) : "no limits") };`;
  const built = await build({
    absWorkingDir: folder, stdin: { contents: source, resolveDir: folder }, bundle: true, write: false, format: "esm",
    conditions: ["workerd", "worker", "browser"], plugins: [collect], logLevel: "error",
  });
  const script = { type: "ESModule", path: "worker.mjs", contents: built.outputFiles[0].text };
  const modules = [...wasm].map(([path, contents]) => ({ type: "CompiledWasm", path, contents }));
  const worker = new Miniflare({ modules: [script, ...modules], compatibilityDate: "2026-04-01", modulesRoot: "/" });
  try {
    const reply = await worker.dispatchFetch("http://localhost/");
    return await reply.text();
  } finally {
    await worker.dispose();
  }
}
