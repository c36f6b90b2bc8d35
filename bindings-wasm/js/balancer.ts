// Which one.
import * as raw from "#glue";
import { expected, frozenCamel, known, plain, settings, snaked } from "./document.ts";
import { call, caught } from "./errors.ts";
import { at } from "./meta.ts";
import { Owned } from "./owned.ts";
import { Query, withQuery } from "./query.ts";
import { type Inside, type Registry, entropy, inside, numberOf } from "./registry.ts";
import type { BalancerOptions, BalancerStats, Instance, Outcome, PickRequest, ProbeReport, QueryDocument, Timed } from "./types.ts";

/** @internal The module's balancer after it has followed the registry up to a time. */
export let ready: (balancer: Balancer, time: number) => raw.Balancer;
let rawKey: (key: Key) => raw.Key;
let made: (balancer: Balancer, instance: Instance, token: number, started: number) => Pick;

/**
 * What a call is about, for policies that send the same key to the same instance, kept for many picks: it goes into the module once, where a
 * string goes with every pick. Immutable; good for every balancer.
 */
export class Key {
  readonly #text: string;
  readonly #raw: Owned<raw.Key>;

  constructor(text: string) {
    this.#text = typeof text === "string" ? text : expected("a string", text, "key");
    this.#raw = new Owned("Key", call(() => new raw.Key(text)));
  }

  /** The text. */
  toString(): string {
    return this.#text;
  }

  /** Frees its memory; the garbage collector would in time, where the runtime lets it. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  static {
    rawKey = (key) => key.#raw.get();
  }
}

/** The instance a call should go to. Tell what became of the call with `finish`. */
export class Pick {
  readonly instance: Instance;
  /** Names the pick; it is good once. */
  readonly token: number;
  readonly #balancer: Balancer;
  readonly #started: number;

  /** Picks are made by a balancer only. */
  private constructor(balancer: Balancer, instance: Instance, token: number, started: number) {
    this.instance = instance;
    this.token = token;
    this.#balancer = balancer;
    this.#started = started;
  }

  /**
   * Tells what became of the call: a success unless it says otherwise. The latency is measured from the pick to now,
   * unless the outcome has one. False when the pick was finished before or was reaped: then nothing is counted.
   */
  finish(outcome?: Outcome, options?: Timed): boolean {
    known(options, NOW);
    const time = numberOf(at(options?.now), "now");
    return this.#balancer.finish(this.token, timed(outcome, Math.max(time - this.#started, 0) / 1e6), { now: time });
  }

  /** @internal */
  static {
    made = (...parts) => new Pick(...parts);
  }
}

/**
 * Chooses instances of a registry for calls, among those that match a query. It follows the registry by itself. The
 * same changes, requests, outcomes and times give the same picks for the same seed, in every language.
 */
export class Balancer {
  /** Who is asked for. */
  readonly query: Query;
  readonly #registry: Registry;
  readonly #inside: Inside;
  readonly #owned: Owned<raw.Balancer>;
  /** What makes it, until the first pick draws the seed: some runtimes give no entropy while modules load. */
  #unseeded: BalancerOptions | undefined;
  #followed = -1;

  constructor(registry: Registry, query: string | QueryDocument | Query, options: BalancerOptions = {}) {
    this.#registry = registry;
    this.#inside = inside(registry);
    this.query = new Query(query);
    this.#owned = new Owned("Balancer", this.#make(options));
    if (options.seed === undefined) this.#unseeded = options;
  }

  /** The registry it follows. */
  get registry(): Registry {
    return this.#registry;
  }

  /** How many picks are not finished. */
  get inFlight(): number {
    return this.#owned.get().in_flight();
  }

  /** How many instances match, whatever their availability and weight. */
  get size(): number {
    const balancer = this.#ready(-Infinity);
    return call(() => balancer.size());
  }

  /** When the oldest unfinished pick is reaped or an instance that is out comes back; undefined when there is neither. */
  get deadline(): number | undefined {
    const deadline = this.#owned.get().deadline();
    return deadline === Infinity ? undefined : deadline;
  }

  /** Counters, in sum and by instance. */
  stats(): BalancerStats {
    const balancer = this.#ready(-Infinity);
    return frozenCamel(call(() => balancer.stats())) as unknown as BalancerStats;
  }

  /**
   * Chooses the instance a call should go to, and counts the call as in flight there until it is finished. It is never
   * an excluded, disabled, unhealthy or expired one: when there is no other, that is an `UnavailableError`.
   */
  pick(request?: PickRequest): Pick {
    const time = timeOf(request);
    const key = keyOf(request);
    const exclude = excludeOf(request);
    const more = moreOf(request);
    const balancer = this.#ready(time);
    let token: number;
    try {
      token = ask(balancer, key, exclude, more, time);
    } catch (thrown) {
      throw caught(thrown);
    }
    return this.#picked(balancer, token, time);
  }

  /** Tells what became of a pick. False when it was finished before or was reaped: then nothing is counted. */
  finish(pick: Pick | number, outcome?: Outcome, options?: Timed): boolean {
    known(options, NOW);
    const [token, time] = [tokenOf(pick), numberOf(at(options?.now), "now")];
    const told = toldOf(outcome);
    const balancer = this.#raw();
    return call(() => settle(balancer, token, told, time));
  }

  /** `finish`, then `pick`; one crossing unless the request has more than a time. When the pick throws, the finish has happened. */
  finishAndPick(pick: Pick | number, outcome?: Outcome, request?: PickRequest): Pick {
    const time = timeOf(request);
    const token = tokenOf(pick);
    const key = keyOf(request);
    const exclude = excludeOf(request);
    const more = moreOf(request);
    const told = toldOf(outcome);
    const balancer = this.#ready(time);
    let next: number;
    try {
      if (key === undefined && exclude === undefined && more === undefined && !("document" in told)) {
        next = balancer.finish_and_pick(token, told.ok ?? true, told.latency, time);
      } else {
        settle(balancer, token, told, time);
        next = ask(balancer, key, exclude, more, time);
      }
    } catch (thrown) {
      throw caught(thrown);
    }
    return this.#picked(balancer, next, time);
  }

  /** Picks an instance, calls `act` with it and finishes the pick: a success when `act` resolves, a failure when it throws. */
  async run<T>(act: (instance: Instance) => T | PromiseLike<T>, request?: PickRequest): Promise<T> {
    const pick = this.pick(request);
    let ok = false;
    try {
      const result = await act(pick.instance);
      ok = true;
      return result;
    } finally {
      pick.finish({ ok });
    }
  }

  /** Whether a call that failed may be tried again now; what that costs is taken from the budget of the policy's `retry`. */
  mayRetry(now?: number): boolean {
    return this.#ask((balancer, time) => balancer.may_retry(time), now);
  }

  /** How many seconds to wait before a retry, the first being 1; undefined when the call was tried as often as it may be. */
  retryDelay(retry = 1): number | undefined {
    const count = numberOf(retry, "retry");
    return this.#ask((balancer) => balancer.retry_delay(count));
  }

  /** How many seconds to wait for an answer before the call goes to another instance as well; undefined when it should not. */
  hedgeDelay(now?: number): number | undefined {
    return this.#ask((balancer, time) => balancer.hedge_delay(time), now);
  }

  /** Whether a call may be hedged now, its delay being over; what that costs is taken from the budget of the policy's `hedge`. */
  mayHedge(now?: number): boolean {
    return this.#ask((balancer, time) => balancer.may_hedge(time), now);
  }

  /** Whether one call more may go out now, by the policy's `limit`. Ask before a pick, and refuse or queue the call. */
  admit(now?: number): boolean {
    return this.#ask((balancer, time) => balancer.admit(time), now);
  }

  /**
   * Whom to ask how it is: for the picks made since the last time, and of those that are out whom it is time to check. Tell of
   * them with `probed`. Nobody for policies that need no probes.
   */
  probeRequests(now?: number): readonly Instance[] {
    const time = numberOf(at(now), "now");
    const balancer = this.#ready(time);
    const asked = Array.from(call(() => balancer.probe_requests(time)));
    // The balancer has just followed the registry, so the records are there.
    return Object.freeze(asked.map((handle) => this.#inside.instance(handle) as Instance));
  }

  /** Tells what a probe of an instance, or of its handle, brought. False when that is of no use. */
  probed(instance: number | Instance, report: ProbeReport, options?: Timed): boolean {
    known(options, NOW);
    known(report, ["rif", "latency"]);
    const handle = handleOf(instance, "instance");
    const [rif, latency] = [numberOf(report?.rif, "rif"), numberOf(report?.latency, "latency")];
    return this.#ask((balancer, time) => balancer.probed(handle, rif, latency, time), options?.now);
  }

  /** How many calls the policy's `limit` lets out at once now; undefined while it has none. */
  get limit(): number | undefined {
    return this.#owned.get().limit();
  }

  /** Reaps the picks that are due at `now`; returns how many. */
  advance(now?: number): number {
    const time = numberOf(at(now), "now");
    const balancer = this.#raw();
    return call(() => balancer.advance(time));
  }

  /** Frees its memory. Every later use is an error. */
  dispose(): void {
    this.#owned.dispose();
    this.query.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #make(options: BalancerOptions): raw.Balancer {
    return withQuery(this.query, (query) => settings(options, (document) => new raw.Balancer(query, document)));
  }

  #ask<T>(question: (balancer: raw.Balancer, time: number) => T, now?: number): T {
    const time = numberOf(at(now), "now");
    const balancer = this.#raw();
    return call(() => question(balancer, time));
  }

  #raw(): raw.Balancer {
    const balancer = this.#owned.get();
    if (this.#unseeded === undefined) return balancer;
    const seeded = { ...this.#unseeded, seed: entropy() };
    this.#unseeded = undefined;
    this.#owned.set(this.#make(seeded));
    return this.#owned.get();
  }

  /** The balancer, after it has taken over what changed by `time`; that costs a comparison when nothing did. */
  #ready(time: number): raw.Balancer {
    const balancer = this.#raw();
    const { state } = this.#inside;
    const registry = state.raw ?? this.#inside.raw();
    if (time >= state.deadline) this.#registry.advance(time);
    if (this.#followed !== state.revision) {
      call(() => balancer.follow(registry));
      this.#followed = state.revision;
    }
    return balancer;
  }

  /** @internal */
  static {
    ready = (balancer, time) => balancer.#ready(time);
  }

  #picked(balancer: raw.Balancer, token: number, time: number): Pick {
    if (token < 0) call(() => balancer.raise());
    // The balancer has just followed the registry, so the record is there.
    return made(this, this.#inside.instance(balancer.picked()) as Instance, token, time);
  }
}

const NOW = ["now"];
const REQUEST = ["key", "exclude", "labels", "prefer", "now"];

/** @internal */
export function timeOf(request: PickRequest | undefined): number {
  if (request === undefined) return at(undefined);
  known(request, REQUEST);
  return numberOf(at(request.now), "now");
}

/** @internal */
export function keyOf(request: PickRequest | undefined): string | Key | undefined {
  const key = request?.key;
  return key === undefined || typeof key === "string" || key instanceof Key ? key : expected("a string or a Key", key, "key");
}

/** Picks by the shortest way that the request allows. */
function ask(balancer: raw.Balancer, key: string | Key | undefined, exclude: Float64Array | undefined, more: unknown, time: number): number {
  if (exclude !== undefined || more !== undefined) return balancer.pick_for(key?.toString(), exclude, more, time);
  if (key === undefined) return balancer.pick(time);
  return typeof key === "string" ? balancer.pick_for(key, exclude, more, time) : balancer.pick_by(rawKey(key), time);
}

/** @internal */
export function excludeOf(request: PickRequest | undefined): Float64Array | undefined {
  const exclude = request?.exclude;
  if (exclude === undefined) return undefined;
  if (!Array.isArray(exclude)) expected("a list", exclude, "exclude");
  return Float64Array.from(exclude as readonly (number | Instance)[], (one, place) => handleOf(one, `exclude[${place}]`));
}

/** What a request rarely has, as the core reads it; undefined when it has none of it. @internal */
export function moreOf(request: PickRequest | undefined): unknown {
  if (request === undefined || (request.labels === undefined && request.prefer === undefined)) return undefined;
  return plain({ labels: request.labels, prefer: request.prefer });
}

function handleOf(one: number | Instance, field: string): number {
  return numberOf(typeof one === "object" && one !== null ? one.handle : one, field);
}

function tokenOf(pick: Pick | number): number {
  return pick instanceof Pick ? pick.token : numberOf(pick, "token");
}

/** An outcome on its way in: the common ones as they are, any other as the document that the core reads and judges. */
type Told = { readonly ok?: boolean | undefined; readonly latency?: number | undefined } | { readonly document: unknown };

const SUCCESS: Told = {};

function toldOf(outcome: Outcome | undefined): Told {
  if (outcome === undefined) return SUCCESS;
  if (outcome !== null && typeof outcome === "object" && Object.keys(outcome).every((name) => isPart(name, outcome))) return outcome;
  const document = plain(outcome);
  return { document: document !== null && typeof document === "object" && !Array.isArray(document) ? snaked(document) : document };
}

/**
 * Whether a call by an HTTP method that ended so may be made again, by another instance: the method is one that may be done twice, and the
 * fault may be this instance's alone. Whether there is a budget for that is `Balancer.mayRetry`'s to say.
 */
export function isRepeatable(method: string, outcome: Outcome): boolean {
  const name = typeof method === "string" ? method : expected("a string", method, "method");
  return settings(outcome, (document) => raw.is_repeatable(name, document));
}

/** The outcome with a latency, if it has none. */
function timed(outcome: Outcome | undefined, latency: number): Outcome {
  const told = toldOf(outcome);
  if (!("document" in told)) return { ok: told.ok ?? true, latency: told.latency ?? latency };
  const { document } = told;
  return (document !== null && typeof document === "object" && !Array.isArray(document) ? { latency, ...document } : document) as Outcome;
}

/** Whether the token was good. */
function settle(balancer: raw.Balancer, token: number, told: Told, time: number): boolean {
  if ("document" in told) return balancer.finish_with(token, told.document, time);
  const done = balancer.finish(token, told.ok ?? true, told.latency, time);
  if (done < 0) balancer.raise();
  return done === 1;
}

function isPart(name: string, outcome: Outcome): boolean {
  return (name === "ok" && typeof outcome.ok === "boolean") || (name === "latency" && typeof outcome.latency === "number");
}
