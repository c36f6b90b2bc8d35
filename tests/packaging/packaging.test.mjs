// The packed tarball, installed into an empty folder without a network, in every runtime and bundler: each runs the
// same vectors.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { FULL_ONLY } from "../js/vectors.mjs";
import { openPage } from "./browser.mjs";
import { ask } from "./worker.mjs";

const run = promisify(execFile);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PACKAGE = here("../../bindings-wasm/");
const tools = createRequire(join(PACKAGE, "package.json"));
const folder = mkdtempSync(join(tmpdir(), "callboard-packaging-"));
const inFolder = (name) => join(folder, name);
const write = (name, text) => writeFileSync(inFolder(name), text);

/** What every run prints when all is well; from the vectors themselves. */
let expected;

const read = (name) => JSON.parse(readFileSync(here(`../vectors/${name}`), "utf8"));
const files = read("index.json").files.map(read);
const cases = files.flatMap((file) => file.cases);
const inCore = cases.filter((one) => !one.steps.some((step) => FULL_ONLY.has(step.do)));

before(async () => {
  const { stdout } = await run("npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder, PACKAGE], { cwd: folder });
  const [{ filename, files: packed }] = JSON.parse(stdout);
  write("package.json", JSON.stringify({ name: "empty", private: true, type: "module" }));
  await run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", `./${filename}`], { cwd: folder });
  expected = `${cases.length} of full, ${inCore.length} of core`;
  packedFiles = packed.map((file) => file.path);

  copyFileSync(here("../js/vectors.mjs"), inFolder("vectors.mjs"));
  // JSON text rather than a literal: in a literal, the key __proto__ is no key.
  write("data.js", `export default JSON.parse(${JSON.stringify(JSON.stringify(files))});\n`);
  write("report.mjs", readFileSync(here("report.mjs")));
  write("entry.mjs", 'import * as core from "callboard";\nimport * as full from "callboard/full";\nimport { report } from "./report.mjs";\nconsole.log(report(core, full));\n');
});
let packedFiles;

// Random lives of balancers and streams of answers, as the core answered them in Rust: `cargo xtask lives` writes them.
const LIVES = here("../../target/lives/");
const lives = existsSync(LIVES) ? readdirSync(LIVES).sort() : [];
const livesTold = () => `${lives.reduce((count, name) => count + JSON.parse(readFileSync(join(LIVES, name), "utf8")).cases.length, 0)} lives`;

after(() => rmSync(folder, { recursive: true, force: true }));

/** A test that expects a program to print the line. */
function runs(name, program, args, options = {}) {
  test(name, async (t) => {
    const { stdout } = await run(program(), args, { cwd: folder, timeout: 120_000, ...options });
    passed(t, stdout);
  });
}

function passed(t, text) {
  assert.equal(text.trim(), expected);
  t.diagnostic(`> ${t.name}: ${text.trim()}`);
}

/** An executable that an npm package of this platform carries. */
function binary(scope, name) {
  const root = join(PACKAGE, "node_modules", scope);
  const found = readdirSync(root).map((one) => [join(root, one, name), join(root, one, "bin", name)]).flat().find(existsSync);
  assert.ok(found, `no ${name} under ${root}`);
  return found;
}

test("the tarball has what it needs and nothing else", () => {
  const entries = ["callboard.wasm", "bytes.cjs", "edge-light.js", "index.cjs", "index.d.cts", "index.d.ts", "index.js", "node.js", "slim.cjs", "slim.d.cts", "slim.d.ts", "slim.js", "wasm.d.ts", "workerd.js"];
  const wanted = ["README.md", "package.json", "dist/LICENSE-APACHE", "dist/LICENSE-MIT", ...entries.flatMap((name) => [`dist/${name}`, `dist/full/${name}`])];
  assert.deepEqual(packedFiles.toSorted(), wanted.toSorted());
  const { scripts, dependencies } = JSON.parse(readFileSync(inFolder("node_modules/callboard/package.json"), "utf8"));
  assert.equal(scripts, undefined);
  assert.equal(dependencies, undefined);
});

runs("node import", () => process.execPath, ["entry.mjs"]);

test("node require", async (t) => {
  write("entry.cjs", `
    const [core, full] = [require("callboard"), require("callboard/full")];
    import("./report.mjs").then(async ({ report }) => {
      // Both ways of loading it give one module, so that instanceof holds between them.
      if ((await import("callboard")).Registry !== core.Registry) throw new Error("two copies");
      console.log(report(core, full));
    });`);
  const { stdout } = await run(process.execPath, ["entry.cjs"], { cwd: folder });
  passed(t, stdout);
});

test("node slim entry with the module's bytes", async (t) => {
  write("slim.mjs", `
    import { readFileSync } from "node:fs";
    import * as core from "callboard/slim";
    import * as full from "callboard/full/slim";
    import { report } from "./report.mjs";
    const bytes = (name) => readFileSync(new URL(import.meta.resolve(name)));
    core.init(bytes("callboard/callboard.wasm"));
    full.init(new WebAssembly.Module(bytes("callboard/full/callboard.wasm")));
    console.log(report(core, full));`);
  const { stdout } = await run(process.execPath, ["slim.mjs"], { cwd: folder });
  passed(t, stdout);
});

runs("deno", () => binary("@deno", "deno"), ["run", "--no-remote", "--no-prompt", "entry.mjs"], { env: { ...process.env, DENO_DIR: inFolder("deno"), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" } });
runs("bun", () => binary("@oven", "bun"), ["run", "entry.mjs"]);

test("random lives in node, deno, bun and workerd", async (t) => {
  assert.ok(lives.length > 0, `no lives in ${LIVES}: cargo xtask lives`);
  write("lives.mjs", `
    import * as full from "callboard/full";
    import { readFileSync } from "node:fs";
    import process from "node:process";
    import { runVectors } from "./vectors.mjs";
    let count = 0;
    for (const path of ${JSON.stringify(lives.map((name) => join(LIVES, name)))}) {
      const { passed, failures } = runVectors(full, [JSON.parse(readFileSync(path, "utf8"))]);
      if (failures.length > 0) throw new Error(failures[0]);
      count += passed;
    }
    console.log(count + " lives");`);
  const programs = {
    node: [process.execPath, ["lives.mjs"]],
    deno: [binary("@deno", "deno"), ["run", "--no-remote", "--no-prompt", "--allow-read", "lives.mjs"]],
    bun: [binary("@oven", "bun"), ["run", "lives.mjs"]],
  };
  for (const [name, [program, args]] of Object.entries(programs)) {
    const { stdout } = await run(program, args, { cwd: folder, timeout: 600_000, env: { ...process.env, DENO_DIR: inFolder("deno"), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" } });
    assert.equal(stdout.trim(), livesTold(), name);
  }
  const answers = await ask(tools, folder, lives.map((name) => readFileSync(join(LIVES, name))));
  assert.equal(`${answers.reduce((count, answer) => count + Number(answer), 0)} lives`, livesTold(), answers.find(Number.isNaN));
  t.diagnostic(`> ${livesTold()} in node, deno, bun and workerd`);
});

for (const [format, platform, file] of [["esm", "neutral", "bundle.mjs"], ["cjs", "node", "bundle.cjs"]]) {
  test(`esbuild, ${format}`, async (t) => {
    const outfile = inFolder(join("elsewhere", file));
    await tools("esbuild").build({ absWorkingDir: folder, entryPoints: ["./entry.mjs"], outfile, bundle: true, format, platform, logLevel: "error", ...(platform === "neutral" ? { mainFields: ["module", "main"] } : {}) });
    const { stdout } = await run(process.execPath, [outfile], { cwd: tmpdir() });
    passed(t, stdout);
  });
}

test("the oldest node", async (t) => {
  // Where the platform has one on npm; the lockfile beside this names it.
  const root = here("./node_modules");
  const [found] = existsSync(root) ? readdirSync(root).filter((name) => name.startsWith("node-")) : [];
  if (found === undefined) return t.diagnostic(`> no Node 18 for ${process.platform} ${process.arch}`);
  const oldest = join(root, found, "bin", "node");
  assert.match((await run(oldest, ["--version"])).stdout, /^v18\./);
  for (const file of ["entry.mjs", "entry.cjs"]) {
    write("entry.cjs", 'import("./report.mjs").then(({ report }) => console.log(report(require("callboard"), require("callboard/full"))));\n');
    const { stdout } = await run(oldest, [file], { cwd: folder });
    passed(t, stdout);
  }
});

test("esbuild, edge-light", async (t) => {
  // Vercel's Edge and its kin take a module that is imported with `?module`; here a plugin does what their bundler does.
  const outfile = inFolder(join("elsewhere", "edge-light.mjs"));
  const modules = [];
  const plugin = {
    name: "wasm-module",
    setup(build) {
      build.onResolve({ filter: /\.wasm\?module$/ }, ({ path, resolveDir }) => ({ path: join(resolveDir, path.replace(/\?module$/, "")), namespace: "wasm-module" }));
      build.onLoad({ filter: /.*/, namespace: "wasm-module" }, ({ path }) => {
        modules.push(path);
        const bytes = readFileSync(path).toString("base64");
        return { contents: `export default new WebAssembly.Module(Uint8Array.from(atob("${bytes}"), (one) => one.charCodeAt(0)));` };
      });
    },
  };
  await tools("esbuild").build({ absWorkingDir: folder, entryPoints: ["./entry.mjs"], outfile, bundle: true, format: "esm", platform: "neutral", conditions: ["edge-light"], plugins: [plugin], logLevel: "error" });
  assert.deepEqual(modules.map((path) => path.split("/callboard/").at(-1)).sort(), ["dist/callboard.wasm", "dist/full/callboard.wasm"]);
  const { stdout } = await run(process.execPath, [outfile], { cwd: tmpdir() });
  passed(t, stdout);
});

test("workerd", async (t) => {
  const [answer] = await ask(tools, folder);
  passed(t, answer);
});

test("vite bundle in Chromium", async (t) => {
  mkdirSync(inFolder("site"), { recursive: true });
  write("site/index.html", '<!doctype html><title>callboard</title><script type="module" src="./page.js"></script>');
  write("site/page.js", 'import * as core from "callboard";\nimport * as full from "callboard/full";\nimport { report } from "../report.mjs";\ndocument.title = report(core, full);\n');
  const { build } = await import(tools.resolve("vite").replace(/index\.cjs$/, "dist/node/index.js"));
  await build({ root: inFolder("site"), logLevel: "error", configFile: false, build: { outDir: inFolder("site-built"), target: "es2022" } });
  passed(t, await openPage(tools, inFolder("site-built"), "/index.html"));
});

test("plain modules with an import map in Chromium", async (t) => {
  const imports = { callboard: "/node_modules/callboard/dist/index.js", "callboard/full": "/node_modules/callboard/dist/full/index.js" };
  write("plain.html", `<!doctype html><title>callboard</title><script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module">import * as core from "callboard"; import * as full from "callboard/full"; import { report } from "./report.mjs"; document.title = report(core, full);</script>`);
  passed(t, await openPage(tools, folder, "/plain.html"));
});

