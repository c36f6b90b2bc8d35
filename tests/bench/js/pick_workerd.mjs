// One pick in workerd, beside the class one would write and a package one would find.
//
// Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes fewer sizes and rounds.
import process from "node:process";
import { fileURLToPath } from "node:url";
import { measure, rows, sizes } from "./measure.mjs";
import { bundle, start } from "./workerd.mjs";

const quick = process.argv.includes("--quick");
const { worker, clock } = await start(await bundle(fileURLToPath(new URL("worker.mjs", import.meta.url))));
try {
  const ask = async (body) => {
    const reply = await worker.dispatchFetch("http://localhost/", { method: "POST", body: JSON.stringify(body) });
    if (!reply.ok) throw new Error(await reply.text());
    return reply.json();
  };
  for (const n of sizes(quick)) {
    const names = await ask({ n });
    const timed = async (name, count) => {
      const started = clock();
      await ask({ n, name, count });
      return clock() - started;
    };
    // A request costs a millisecond or so: a sample is long beside it.
    rows("workerd", 1 / 1.15, n, await measure(names, timed, { label: `n = ${n}`, rounds: quick ? 5 : 13, sample: 60 }));
  }
} finally {
  await worker.dispose();
}
