// A short run of what `cargo xtask prove --only hostile` does at length.
import { execFileSync } from "node:child_process";
import test from "node:test";
import { fileURLToPath } from "node:url";

test("hostile calls", () => {
  const script = fileURLToPath(new URL("hostile_calls.mjs", import.meta.url));
  execFileSync(process.execPath, ["--expose-gc", script, "20000"], { stdio: ["ignore", "ignore", "pipe"], timeout: 120_000 });
});
