// What the npm package weighs, and what a start costs with it: in each runtime beside the same program without it.
//
// Times are processor time of the program up to its first pick; of workerd, up to the first answer. `--quick` takes fewer rounds.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { figure, missing, report, shuffle } from "./measure.mjs";
import { bundle, start } from "./workerd.mjs";

const quick = process.argv.includes("--quick");
const PACKAGE = fileURLToPath(new URL("../../../bindings-wasm/", import.meta.url));
/** KiB with brotli, and milliseconds over a Worker without the package. */
const [SIZE, START] = [45, 4];

function sizes() {
  const read = (path) => readFileSync(join(PACKAGE, "dist", path));
  const kib = (bytes) => [bytes.length / 1024];
  const size = (name, bytes, goal) => {
    const brotli = kib(brotliCompressSync(bytes));
    report(`${name}: with gzip, beside itself raw`, "KiB", kib(gzipSync(bytes, { level: 9 })), kib(bytes), null);
    report(`${name}: with brotli, beside ${goal ? `${goal} KiB` : "itself raw"}`, "KiB", brotli, goal ? [goal] : kib(bytes), goal ? 1 : null);
  };
  size("core module", read("callboard.wasm"), SIZE);
  size("full module", read("full/callboard.wasm"), null);
  size("the script beside the core module", read("workerd.js"), null);
}

const PROGRAM = `
  const registry = new callboard.Registry();
  for (let at = 0; at < 10; at++) registry.register({ service: "equal", id: "host-" + at });
  const picked = new callboard.Balancer(registry, "equal").pick().instance.id;`;
const LIST = `
  const hosts = Array.from({ length: 10 }, (_, at) => "host-" + at);
  const picked = hosts[Math.random() * hosts.length | 0];`;

/** An executable of an npm package for this platform; its own starter would be started too. */
function binary(scope, name) {
  const root = join(PACKAGE, "node_modules", scope);
  const folder = readdirSync(root).find((one) => readdirSync(join(root, one)).some((each) => each === name || each === "bin"));
  const own = readdirSync(join(root, folder)).includes(name);
  return own ? join(root, folder, name) : join(root, folder, "bin", name);
}

function runtimes(folder) {
  const write = (name, text) => {
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  };
  const told = `
  import process from "node:process";
  const { user, system } = process.cpuUsage();
  console.log(picked, (user + system) / 1000);`;
  const files = [
    write("with.mjs", `import * as callboard from ${JSON.stringify(join(PACKAGE, "dist/index.js"))};${PROGRAM}${told}`),
    write("without.mjs", `${LIST}${told}`),
  ];
  const env = { ...process.env, DENO_DIR: join(folder, "deno"), DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };
  const program = (path, args) => files.map((file) => async () => Number(execFileSync(path, [...args, file], { env, encoding: "utf8" }).split(" ")[1]));
  const made = {
    Node: () => program(process.execPath, []),
    Deno: () => program(binary("@deno", "deno"), ["run", "--no-remote", "--no-prompt", "--allow-all"]),
    Bun: () => program(binary("@oven", "bun"), []),
    workerd: workers,
  };
  return made;
}

async function workers() {
  const answer = "export default { fetch: () => new Response(answer()) };";
  const scripts = [`import * as callboard from "callboard"; function answer() {${PROGRAM} return picked; } ${answer}`, `function answer() {${LIST} return picked; } ${answer}`];
  const bundles = await Promise.all(scripts.map((source) => bundle({ source })));
  return bundles.map((modules) => async () => {
    const { worker, clock } = await start(modules);
    try {
      const reply = await worker.dispatchFetch("http://localhost/");
      if (!(await reply.text()).startsWith("host-")) throw new Error("the Worker does not answer");
      return clock();
    } finally {
      await worker.dispose();
    }
  });
}

async function starts(name, programs) {
  const samples = [[], []];
  const rounds = quick ? 5 : 15;
  for (let round = 0; round <= rounds; round++) {
    console.error(`start in ${name}: round ${round} of ${rounds}`);
    const order = [0, 1];
    shuffle(order);
    for (const one of order) {
      const took = await programs[one]();
      // The first reads files that nobody has read before.
      if (round > 0) samples[one].push(took);
    }
  }
  report(`start to the first pick in ${name}: a list and Math.random`, "ms", samples[0], samples[1], null);
  const over = figure(samples[0]).median - figure(samples[1]).median;
  // Below nothing is noise.
  report(`what the package adds to a start in ${name}: ${START} ms`, "ms", [Math.max(over, 0.1)], [START], name === "workerd" ? 1 : null);
}

sizes();
const folder = mkdtempSync(join(tmpdir(), "callboard-start-"));
try {
  for (const [name, make] of Object.entries(runtimes(folder))) {
    try {
      await starts(name, await make());
    } catch (error) {
      missing(`start in ${name}`, String(error.message));
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
