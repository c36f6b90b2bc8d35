// Runs the vectors in workerd, as a Worker whose bundle was made with the `workerd` condition and nothing else.
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What the Worker answers: to each of the vector files how many of its cases passed or what is wrong; without any, to all it was built with. */
export async function ask(tools, folder, bodies = [undefined]) {
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
    import { runVectors } from "./vectors.mjs";
    const limits = core.limits(); // Works at the top level, where workerd gives no entropy and no time.
    async function answer(request) {
      if (request.method !== "POST") return limits["name-bytes"] === 63 ? report(core, full) : "no limits";
      const { passed, failures } = runVectors(full, [await request.json()]);
      return failures[0] ?? String(passed);
    }
    export default { fetch: async (request) => new Response(await answer(request)) };`;
  const built = await build({
    absWorkingDir: folder, stdin: { contents: source, resolveDir: folder }, bundle: true, write: false, format: "esm",
    conditions: ["workerd", "worker", "browser"], plugins: [collect], logLevel: "error",
  });
  const script = { type: "ESModule", path: "worker.mjs", contents: built.outputFiles[0].text };
  const modules = [...wasm].map(([path, contents]) => ({ type: "CompiledWasm", path, contents }));
  const worker = new Miniflare({ modules: [script, ...modules], compatibilityDate: "2026-04-01", modulesRoot: "/" });
  try {
    const answers = [];
    for (const body of bodies) {
      const reply = await worker.dispatchFetch("http://localhost/", body && { method: "POST", body });
      answers.push(await reply.text());
    }
    return answers;
  } finally {
    await worker.dispose();
  }
}
