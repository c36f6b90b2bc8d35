// The registry of worker.js, read at the edge: who is there is answered from a copy in Workers KV, in whatever place that is asked; everything else goes to
// the Durable Object, which is in one place.
//
// A copy is old by as much as KV is (kv.js) and FRESH seconds besides; `age` says how old it is here. What of it is damaged or foreign is told, left alone and left
// out. Where there is no copy, the Durable Object is asked. What was read goes for so long without a renewal, so a provider's ttl is to be longer than that.
import { Entries } from "./kv.js";

export { Board } from "./worker.js";

const FRESH = 5; // seconds, where the Worker has no variable of this name
let copy = { at: -Infinity };
let told = "";

/** The registry of a copy that is fresh; none where there is none to be had. */
async function read(env) {
  const now = Date.now();
  if (now - copy.at > (env.FRESH ?? FRESH) * 1_000) {
    // Whoever comes meanwhile does with the one before.
    copy = { ...copy, at: now };
    try {
      const { registry, skipped = [] } = (await new Entries(env.COPY).load()) ?? {};
      copy = { at: now, registry };
      tell(skipped.map(({ key, error }) => `${key} is left alone: ${error.code}`).join(", "));
    } catch (problem) {
      copy = { at: now };
      tell(`what KV holds is not taken: ${problem.message}`);
    }
  }
  return copy.registry;
}

/** Once, until it is something else. */
function tell(what) {
  if (what !== told && what !== "") console.error(`edge: ${what}`);
  told = what;
}

/** Whether a request asks who is there now, and not what changes. */
function isLook({ method, url }) {
  const { pathname, searchParams } = new URL(url);
  return method === "GET" && /^\/v1\/(instances|services)\//.test(pathname) && !["epoch", "revision", "wait"].some((name) => searchParams.has(name));
}

export default {
  async fetch(request, env) {
    const registry = isLook(request) ? await read(env) : undefined;
    if (registry === undefined) return env.BOARD.get(env.BOARD.idFromName("board")).fetch(request);
    const response = await registry.respond(request);
    response.headers.set("age", String(Math.round((Date.now() - copy.at) / 1_000)));
    return response;
  },
};
