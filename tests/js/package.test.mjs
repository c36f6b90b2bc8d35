// The package as a whole: what it exports, and that its error classes are the core's catalogue.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import test from "node:test";
import * as core from "../../bindings-wasm/dist/index.js";
import * as full from "../../bindings-wasm/dist/full/index.js";
import * as raw from "../../bindings-wasm/pkg/full/callboard_bg.js";

const manifest = createRequire(import.meta.url)("../../bindings-wasm/package.json");

test("the version is the package's", () => {
  assert.equal(core.version(), manifest.version);
  assert.equal(full.version(), manifest.version);
});
