// The package as a whole: its version, and that its tables are the core's.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import test from "node:test";
import { brotliCompressSync } from "node:zlib";
import * as core from "../../bindings-wasm/dist/index.js";
import * as full from "../../bindings-wasm/dist/full/index.js";

const manifest = createRequire(import.meta.url)("../../bindings-wasm/package.json");
const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

test("the version is the package's", () => {
  assert.equal(core.version(), manifest.version);
  assert.equal(full.version(), manifest.version);
});

test("the error codes and classes are the catalogue's", () => {
  const catalogue = JSON.parse(read("../errors.json"));
  assert.deepEqual({ ...core.codes() }, Object.fromEntries(catalogue.map(({ code, kind }) => [code, kind])));
  for (const { kind } of catalogue) {
    assert.ok(core[kind].prototype instanceof core.CallboardError, kind);
    assert.ok(core.CallboardError.prototype instanceof Error);
  }
  const declared = read("../../bindings-wasm/dist/index.d.ts").match(/type ErrorCode = ([^;]*);/)[1];
  assert.deepEqual(declared.match(/"([a-z-]+)"/g).map((text) => JSON.parse(text)).sort(), catalogue.map(({ code }) => code).sort());
});

test("the limits of the copy are the core's", () => {
  const limits = core.limits();
  const source = read("../../bindings-wasm/js/document.ts").match(/const LIMITS = \{(.*)\};/)[1];
  const [depth, nodes, string] = source.match(/[\d_]+/g).map((text) => Number(text.replaceAll("_", "")));
  assert.deepEqual({ depth, nodes, string }, { depth: limits["document-depth"], nodes: limits["document-nodes"], string: limits["document-string-bytes"] });
});

test("the larger module has everything of the smaller one", () => {
  assert.deepEqual(Object.keys(core).filter((name) => !(name in full)), []);
});

test("the modules keep to their size", () => {
  // Brotli bytes as of the last change that was meant to change them; what grows by more than 5 % says so in size.json.
  const accepted = JSON.parse(read("../../bindings-wasm/size.json"));
  for (const [name, path] of [["core", "callboard.wasm"], ["full", "full/callboard.wasm"]]) {
    const size = brotliCompressSync(readFileSync(new URL(`../../bindings-wasm/dist/${path}`, import.meta.url))).length;
    assert.ok(size <= accepted[name] * 1.05, `${name}: ${size} bytes, accepted ${accepted[name]} (bindings-wasm/size.json)`);
  }
});
