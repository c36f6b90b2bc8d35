// A consumer at the edge: a Worker that picks an instance for every request it gets and passes the request on.
//
// A Worker has no background of its own: what is not done on behalf of a request does not happen. So a request
// follows the board for the others in `waitUntil`; one that finds nobody following asks what is new before it picks,
// and takes over. A Worker that gets no requests asks nothing. What is known stays in the isolate between requests.
import { Balancer, Registry } from "callboard/full";
import { Follower } from "../consumer-node/follow.mjs";

const WAIT = 5; // seconds of one long poll
const SHIFT = 20_000; // milliseconds that one request follows; Cloudflare ends what outlives a response by 30 s

let state;

/** The isolate's registry; made by the first request, since an isolate may not draw entropy before. */
function open(env) {
  // The providers of the demo are on this machine; addresses that a server has no business to name are refused otherwise.
  const registry = new Registry({ allowLocalAddresses: true });
  const balancer = new Balancer(registry, { service: env.SERVICE }, { policy: "least-request" });
  return { registry, balancer, follower: new Follower(registry, "default", env.SERVICE), followed: 0, views: [] };
}

async function follow(env, wait) {
  const response = await fetch(env.CALLBOARD + state.follower.path(wait));
  if (!response.ok) throw new Error(`the registry answers ${response.status}: ${await response.text()}`);
  state.follower.feed(await response.text());
  const { instances } = state.registry.query({ service: env.SERVICE });
  state.views.push({ at: Date.now(), instances: Object.fromEntries(instances.map(({ id, availability }) => [id, availability])) });
}

function goOn(error) {
  console.error("no registry, going on with what is known:", error);
}

async function followForAWhile(env) {
  const until = Date.now() + SHIFT;
  try {
    while (Date.now() < until) {
      // A request that is cancelled takes its shift with it without a word; so a shift is good for one poll at a time.
      state.followed = Date.now() + (WAIT + 5) * 1_000;
      await follow(env, WAIT);
    }
  } finally {
    state.followed = 0;
  }
}

export default {
  async fetch(request, env, context) {
    state ??= open(env);
    const vacant = Date.now() >= state.followed;
    if (vacant) state.followed = Date.now() + (WAIT + 5) * 1_000;
    if (vacant || !state.follower.started) await follow(env, 0).catch(goOn);
    if (vacant) context.waitUntil(followForAWhile(env).catch(goOn));
    const key = new URL(request.url).searchParams.get("user") ?? undefined;
    const at = Date.now();
    let pick, ok;
    try {
      pick = state.balancer.pick({ key });
      const response = await fetch(`${pick.instance.url}/invoices?user=${key}`, { signal: AbortSignal.timeout(5_000) });
      await response.arrayBuffer();
      ok = response.ok;
    } catch (error) {
      console.error(pick?.instance.id, error);
      ok = false;
    }
    pick?.finish({ ok });
    // Besides the outcome, the demo wants to know what the isolate learnt of the board in the meantime.
    return Response.json({ at, ms: Date.now() - at, id: pick?.instance.id, key, ok, views: state.views.splice(0) });
  },
};
