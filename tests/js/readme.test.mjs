// The code of the READMEs runs as it stands there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { promisify } from "node:util";

const dist = new URL("../../bindings-wasm/dist/", import.meta.url).href;
const entries = { '"callboard"': `"${dist}index.js"`, '"callboard/full"': `"${dist}full/index.js"`, '"callboard/slim"': `"${dist}slim.js"` };

for (const readme of ["../../README.md", "../../bindings-wasm/README.md"]) {
  test(`the JavaScript in ${readme.slice(6)} runs`, async () => {
    const text = readFileSync(new URL(readme, import.meta.url), "utf8");
    const blocks = [...text.matchAll(/^```(?:js|javascript)\n(.*?)^```$/gms)].map(([, code]) => code);
    assert.ok(blocks.length > 0);
    // Later blocks go on from where earlier ones stand, as a reader does; imports move to the top.
    const imports = new Set();
    const body = blocks.join("").replace(/^import .*;\n/gm, (line) => (imports.add(line), ""));
    const script = Object.entries(entries).reduce((script, [name, path]) => script.replaceAll(`from ${name}`, `from ${path}`), [...imports].join("") + body);
    const folder = mkdtempSync(join(tmpdir(), "callboard-readme-"));
    try {
      writeFileSync(join(folder, "readme.mjs"), script);
      await promisify(execFile)(process.execPath, ["readme.mjs"], { cwd: folder, timeout: 30_000 });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}
