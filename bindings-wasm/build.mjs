// The JavaScript half of `cargo xtask wasm`: wasm-opt, one script per runtime, type declarations, sizes.
// Reads pkg/{core,full} (wasm-bindgen's output) and js/*.ts, writes dist/.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
process.chdir(HERE);

/** Brotli bytes that the core module should come down to: an edge worker carries it. */
const GOAL = 45 * 1024;
const VARIANTS = [{ name: "core", facade: "js/index.ts", out: "dist" }, { name: "full", facade: "js/full.ts", out: "dist/full" }];

const stamp = fingerprint();
if (existsSync("dist/.stamp") && readFileSync("dist/.stamp", "utf8") === stamp) {
  report();
} else {
  rmSync("dist", { recursive: true, force: true });
  await Promise.all(VARIANTS.map(optimise));
  await Promise.all(VARIANTS.map(bundle)).catch((error) => {
    // esbuild has printed it already.
    console.error(error.errors ? "esbuild failed" : error);
    process.exit(1);
  });
  await declarations();
  for (const name of ["LICENSE-APACHE", "LICENSE-MIT"]) cpSync(`../${name}`, `dist/${name}`);
  writeFileSync("dist/.stamp", stamp);
  report();
}

/** A hash over everything that dist is made of. */
function fingerprint() {
  const hash = createHash("sha256");
  const sources = readdirSync("js").sort().map((name) => `js/${name}`);
  const modules = VARIANTS.flatMap(({ name }) => [`pkg/${name}/callboard_bg.wasm`, `pkg/${name}/callboard_bg.js`]);
  for (const path of ["build.mjs", "package.json", "package-lock.json", "tsconfig.json", ...sources, ...modules]) {
    hash.update(path).update(readFileSync(path));
  }
  return hash.digest("hex");
}

async function tool(name, ...args) {
  try {
    await promisify(execFile)(join("node_modules/.bin", name), args);
  } catch (error) {
    console.error(`${name} failed:\n${error.stdout}${error.stderr}`);
    process.exit(1);
  }
}

async function optimise({ name, out }) {
  mkdirSync(out, { recursive: true });
  // What every engine of the last years has, and rustc emits by default.
  const features = ["bulk-memory", "sign-ext", "mutable-globals", "nontrapping-float-to-int", "reference-types", "multivalue"];
  await tool("wasm-opt", "-Os", ...features.map((feature) => `--enable-${feature}`), `pkg/${name}/callboard_bg.wasm`, "-o", `${out}/callboard.wasm`);
  const base64 = readFileSync(`${out}/callboard.wasm`).toString("base64");
  writeFileSync(`pkg/${name}/bytes.js`, `export default "${base64}";\n`);
  // The CommonJS entry keeps its bytes in a file of their own, which Node's scan for export names then skips.
  writeFileSync(`${out}/bytes.cjs`, `module.exports = "${base64}";\n`);
  writeFileSync(`pkg/${name}/callboard_bg.d.ts`, 'export * from "./callboard.js";\nexport declare function __wbg_set_wasm(exports: WebAssembly.Exports): void;\n');
}

async function bundle({ name, facade, out }) {
  const script = (entry, file, format, extra = {}) => {
    const alias = { "#glue": `./pkg/${name}/callboard_bg.js`, "#facade": `./${facade}`, "#bytes": `./pkg/${name}/bytes.js`, ...extra.alias };
    const minify = { minifySyntax: true, minifyWhitespace: true, keepNames: false };
    return build({ absWorkingDir: HERE, entryPoints: [`./js/${entry}.ts`], outfile: `${out}/${file}`, bundle: true, format, target: "es2022", logLevel: "warning", ...minify, ...extra, alias });
  };
  await Promise.all([
    script("inline", "index.js", "esm"),
    script("inline", "index.cjs", "cjs", { alias: { "#bytes": "./bytes.cjs" }, external: ["./bytes.cjs"] }),
    script("workerd", "workerd.js", "esm", { external: ["./callboard.wasm"] }),
    script("edge-light", "edge-light.js", "esm", { external: ["./callboard.wasm?module"] }),
    script("slim", "slim.js", "esm"),
    script("slim", "slim.cjs", "cjs"),
  ]);
  // For a Node without `module-sync`: `import` and `require` share one instance through the CommonJS file.
  const { default: all } = await import(new URL(`${out}/index.cjs`, import.meta.url).href);
  writeFileSync(`${out}/node.js`, `import all from "./index.cjs";\nexport const { ${Object.keys(all).sort().join(", ")} } = all;\n`);
}

/** One declaration file per entry, so that ESM and CommonJS can each have theirs without imports between them. */
async function declarations() {
  rmSync("pkg/types", { recursive: true, force: true });
  await tool("tsc", "--project", "tsconfig.json");
  for (const { name, facade, out } of VARIANTS) {
    const flat = flatten(facade.slice(3, -3), new Set());
    // The larger module's classes extend the smaller one's; there the latter are nobody's business.
    const hidden = ["Registry", "Balancer"].reduce((text, one) => text.replace(`export declare class ${one} `, `declare class Core${one} `), flat);
    const index = name === "core" ? flat : hidden + "export {};\n";
    const slim = readFileSync("pkg/types/slim.d.ts", "utf8").replace(/^export \* from .*$/m, "").trim() + "\n" + index;
    for (const [file, text] of [["index", index], ["slim", slim]]) {
      for (const suffix of ["d.ts", "d.cts"]) writeFileSync(`${out}/${file}.${suffix}`, text);
    }
    writeFileSync(`${out}/wasm.d.ts`, "declare const module: WebAssembly.Module;\nexport default module;\n");
  }
}

/** A declaration file with the files it imports put before it; names are unique across js/. */
function flatten(name, seen) {
  if (seen.has(name)) return "";
  seen.add(name);
  let before = "";
  const text = readFileSync(`pkg/types/${name}.d.ts`, "utf8")
    .replace(/^(?:import|export)\s[^;]*?from\s+"([^"]+)";\s*$/gm, (_, from) => {
      if (from.startsWith("./")) before += flatten(from.replace(/^\.\/|(\.d)?\.[jt]s$/g, ""), seen);
      return "";
    })
    .replace(/^export \{\};\s*$/gm, "");
  return before + text.trim() + "\n";
}

function report() {
  for (const { name, out } of VARIANTS) {
    const bytes = readFileSync(`${out}/callboard.wasm`);
    const kib = (count) => `${(count / 1024).toFixed(1)} KiB`;
    const goal = name === "core" ? ` (goal ${kib(GOAL)})` : "";
    const [gzip, brotli] = [gzipSync(bytes, { level: 9 }).length, brotliCompressSync(bytes).length];
    console.log(`${name}: ${kib(bytes.length)} raw, ${kib(gzip)} gzip, ${kib(brotli)} brotli${goal}`);
  }
}
