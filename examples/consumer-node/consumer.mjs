// A consumer: it follows the board, picks an instance for every request, and says how the request went.
//
//     CALLBOARD=http://127.0.0.1:7400 SERVICE=billing node consumer.mjs
//
// One JSON document a line on stdout; ends when stdin does.
import { setTimeout as sleep } from "node:timers/promises";
import { Balancer, Registry } from "callboard/full";
import { Follower } from "./follow.mjs";

const { CALLBOARD: board = "http://127.0.0.1:7400", SERVICE: service = "billing" } = process.env;
const LANES = 4; // requests at a time
const PAUSE = 40; // milliseconds between two requests of one lane

// The providers of the demo are on this machine; addresses that a server has no business to name are refused otherwise.
const registry = new Registry({ allowLocalAddresses: true });
const balancer = new Balancer(registry, { service }, { policy: "least-request" });
const follower = new Follower(registry, "default", service);
const over = new AbortController();
let requests = 0;

const say = (event, details) => console.log(JSON.stringify({ event, ...details }));

async function follow(wait) {
  const response = await fetch(board + follower.path(wait), { signal: AbortSignal.any([over.signal, AbortSignal.timeout(wait * 1e3 + 10e3)]) });
  if (!response.ok) throw new Error(`the registry answers ${response.status}: ${await response.text()}`);
  follower.feed(await response.text());
  const instances = Object.fromEntries(registry.query({ service }).instances.map(({ id, availability }) => [id, availability]));
  say("view", { at: Date.now(), instances });
}

async function followForever() {
  while (!over.signal.aborted) {
    try {
      await follow(30);
    } catch (error) {
      if (over.signal.aborted) return;
      console.error("no registry, going on with what is known:", error);
      await sleep(100);
    }
  }
}

async function request(key) {
  const at = Date.now();
  const started = performance.now();
  let pick, ok;
  try {
    pick = balancer.pick({ key });
    const response = await fetch(`${pick.instance.url}/invoices?user=${key}`, { signal: AbortSignal.timeout(5e3) });
    await response.arrayBuffer();
    ok = response.ok;
  } catch (error) {
    console.error(pick?.instance.id, error);
    ok = false;
  }
  pick?.finish({ ok });
  say("request", { at, ms: performance.now() - started, id: pick?.instance.id, key, ok });
}

async function lane() {
  while (!over.signal.aborted) {
    requests += 1;
    await request(`user-${requests % 97}`);
    await sleep(PAUSE);
  }
}

await follow(0);
process.stdin.resume().once("end", () => over.abort());
const following = followForever();
await Promise.all(Array.from({ length: LANES }, lane));
await following;
say("done", { requests });
