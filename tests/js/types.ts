// Compiled, never run: the declarations accept what the README shows and refuse what is wrong.
import { Balancer, CallboardError, InvalidError, Key, Query, Registry, type Change, type ErrorCode, type Instance, type Policy, type PolicyParts, limits, version } from "callboard";
import * as full from "callboard/full";
import { init } from "callboard/slim";

const text: string = version();
const limit: number | undefined = limits()["name-bytes"];
init(new Uint8Array([0]));

const registry = new Registry({ seed: 1, timerSlack: 2 });
const { handle, created } = registry.register({ service: "s", id: "a", metadata: new Map([["k", "v"]]), ttl: 30 }, { mode: "create", now: 0 });
registry.renew(handle satisfies number);
registry.apply([{ op: "setHealth", service: "s", id: "a", health: "degraded" }, { op: "register", instance: { service: "s", id: "b" }, ifRevision: 0 }]);

using query = new Query({ service: "s", version: "^1", health: "available" });
const balancer = new Balancer(registry, query, { policy: "rendezvous", reapAfter: 60 });
const instance: Instance = balancer.pick({ key: "user", exclude: [handle] }).instance;
const url: string | undefined = instance.url;
const result: Promise<number> = balancer.run(async (one) => one.weight);

const parts: PolicyParts = {
  preset: "round-robin", slow_start: { window: 60 }, breaker: { instance: 8, trip: { failures: 5 } }, outliers: { preset: "adaptive", latency: "off" },
  retry: { budget: { kind: "tokens", ratio: 0.1 } }, limit: "vegas", pick: { kind: "sample", choices: "all", score: { kind: "cost", idle: "never" } },
};
new Balancer(registry, "s", { policy: parts satisfies Policy });

export async function follow(signal: AbortSignal): Promise<Change | undefined> {
  for await (const change of registry.watch("s").changes(signal)) return change;
  return undefined;
}

using kept = new Key("user-7");
new Balancer(registry, "s").pick({ key: kept });
// @ts-expect-error: a number is no key.
new Balancer(registry, "s").pick({ key: 7 });

export function describe(error: unknown): string {
  if (error instanceof InvalidError) return `${error.field}: ${error.limit ?? "no limit"}`;
  if (error instanceof CallboardError) {
    const code: ErrorCode = error.code;
    return code;
  }
  return `${text} ${limit} ${created} ${url} ${result}`;
}

const board = full.Registry.restore(new full.Registry().snapshot());
board.feed({ source: "consul:dc1", service: "s" }, "[]");
const reply = board.handle({ method: "GET", path: "/v1/health" });
export const status: number = reply instanceof full.Wait ? reply.until : reply.status;
export const response: Promise<Response> = board.respond(new Request("http://x/"));
new full.Balancer(board, "s");

// @ts-expect-error: a slip in the name of a field.
registry.register({ service: "s", id: "a", wieght: 2 });
// @ts-expect-error: no such policy.
new Balancer(registry, "s", { policy: "best" });
// @ts-expect-error: a slip in the name of a part.
new Balancer(registry, "s", { policy: { braker: { instance: 8 } } });
// @ts-expect-error: a slip in the name of a setting.
new Balancer(registry, "s", { policy: { breaker: { instances: 8 } } });
// @ts-expect-error: a setting of another kind.
new Balancer(registry, "s", { policy: { limit: { kind: "vegas", queue: 4 } } });
// @ts-expect-error: no such word.
new Balancer(registry, "s", { policy: { subset: { kind: "rings" } } });
// @ts-expect-error: results are frozen.
instance.weight = 2;
// @ts-expect-error: a registry of the smaller module has no HTTP API.
registry.handle({ method: "GET", path: "/" });
// @ts-expect-error: an optional field is absent, not undefined.
registry.register({ service: "s", id: "a", ttl: undefined });
// @ts-expect-error: errors are made by the package only.
new InvalidError("text");
// @ts-expect-error: and so are picks.
new full.Pick();
