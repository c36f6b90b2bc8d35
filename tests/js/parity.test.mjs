// The public names of the package are those of `tests/parity.json`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import * as callboard from "../../bindings-wasm/dist/full/index.js";

// The classes that do something; errors are errors.
const DOERS = ["Server", "Balancer", "Feed", "Key", "Pick", "Query", "Registry", "Replica", "Store", "Wait", "Watch"];

/** What a class and those above it have, statics included, symbols and inherited plumbing left out. */
function members(type) {
  const names = new Set();
  for (let proto = type.prototype; proto && proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    for (const name of Object.getOwnPropertyNames(proto)) names.add(name);
  }
  for (let self = type; self && self !== Function.prototype; self = Object.getPrototypeOf(self)) {
    for (const name of Object.getOwnPropertyNames(self)) names.add(name);
  }
  return [...names].filter((name) => !["constructor", "length", "name", "prototype"].includes(name));
}

test("the public names are those of the parity list", () => {
  const rows = JSON.parse(readFileSync(new URL("../parity.json", import.meta.url), "utf8"));
  const listed = rows.map((row) => row.js).filter((name) => name !== null).sort();
  const types = DOERS.flatMap((name) => members(callboard[name]).map((member) => `${name}.${member}`));
  assert.deepEqual([...Object.keys(callboard), ...types].sort(), listed);
});
