// The vectors in Node, each case a test.
import { readFileSync } from "node:fs";
import test from "node:test";
import * as full from "../../bindings-wasm/dist/full/index.js";
import { runCase } from "./vectors.mjs";

const read = (name) => JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), "utf8"));

for (const file of read("index.json").files.map(read)) {
  for (const scripted of file.cases) {
    test(`${file.name}/${scripted.name}`, () => {
      const why = runCase(full, scripted);
      if (why !== undefined) throw new Error(why);
    });
  }
}
