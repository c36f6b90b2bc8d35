// Who is here now.
import * as raw from "#glue";
import { expected, frozen, frozenCamel, known, plain, settings, snake, snaked, textOf } from "./document.ts";
import { call } from "./errors.ts";
import { at, now } from "./meta.ts";
import { Owned } from "./owned.ts";
import { type Query, withQuery } from "./query.ts";
import type {
  AdminChange, Advanced, Answer, Changes, Config, Health, Instance, InstanceKey, Op, Listing, Position, PutOptions, QueryDocument,
  Reconciled, Registered, Registration, RegistryStats, ServiceSummary, Timed, TimedIncarnation,
} from "./types.ts";
import { Watch } from "./watch.ts";

/** What the other classes of the package may see of a registry. @internal */
export interface Inside {
  readonly state: State;
  /** The registry in the module; an error after `dispose`. */
  raw(): raw.Registry;
  instance(handle: number): Instance | undefined;
  /** Has a function called after every new revision. */
  hear(heard: () => void): void;
  /** The one way to change it. */
  change<T>(options: Timed | undefined, act: (registry: raw.Registry, time: number) => T): T;
}

/** Where a registry stands, in fields that a pick can read without a call. @internal */
export interface State {
  /** The registry in the module: absent before the first use and after `dispose`. */
  raw: raw.Registry | undefined;
  revision: number;
  deadline: number;
  /** Another whenever a record may have changed: with a revision, or by a renewal that names its incarnation. */
  stamp: number;
}

/** @internal */
export let inside: (registry: Registry) => Inside;

/** A registry of a class that the module makes of what was kept. @internal */
export let begin: <T extends Registry>(
  type: new () => T,
  config: Config | undefined,
  options: Timed | undefined,
  make: (config: object, time: number) => raw.Registry,
) => T;

/** The object of a record, and what it was checked against. */
interface Entry {
  readonly handle: number;
  readonly instance: Instance;
  /** The stamp of the registry at which the object was still the record. */
  seen: number;
}

const NO_INCARNATION = ["now"];
const WITH_INCARNATION = ["incarnation", "now"];

/**
 * Who is here now: registrations with their leases, other registries' listings, and every change in order.
 *
 * It does no I/O and reads no clock but the default of `now`: every method that takes `now` uses `now()` when none is
 * passed. It starts no timer either, save for those who await `changed` or iterate over a watch.
 */
export class Registry {
  readonly #owned: Owned<raw.Registry>;
  readonly #cache: Entry[] = [];
  readonly #waiting = new Set<() => void>();
  #heard: (() => void) | undefined;
  /** What it was made of, until the first use: some runtimes give neither entropy nor time while modules load. */
  #pending: Config | undefined;
  readonly #state: State = { raw: undefined, revision: 0, deadline: Infinity, stamp: 0 };

  constructor(config?: Config) {
    this.#owned = new Owned("Registry", settings(config, (document) => new raw.Registry(document)));
    this.#pending = config ?? {};
    this.#settle();
  }

  /** The registry of a snapshot, in a new epoch. Leases start anew at `now`. */
  static restore(snapshot: Uint8Array, config?: Config, options?: Timed): Registry {
    if (!(snapshot instanceof Uint8Array)) expected("a Uint8Array", snapshot, "snapshot");
    return begin(this, config, options, (document, time) => raw.Registry.restore(snapshot, document, time));
  }

  /** Names this life of the registry: another after every restore. */
  get epoch(): number {
    const registry = this.#raw();
    return call(() => registry.epoch());
  }

  /** How many batches of changes were committed. Renewals make none. */
  get revision(): number {
    this.#raw();
    return this.#state.revision;
  }

  /** Another number whenever a `snapshot` would be another: unlike the revision also when a renewal brings a newer incarnation. */
  get edition(): number {
    const registry = this.#raw();
    return call(() => registry.edition());
  }

  /** Epoch and revision: where `changes` can go on. */
  get position(): Position {
    return Object.freeze({ epoch: this.epoch, revision: this.revision });
  }

  /** When `advance` has something to do next; undefined while nothing is ever due. The host's only timer. */
  get deadline(): number | undefined {
    this.#raw();
    return this.#state.deadline === Infinity ? undefined : this.#state.deadline;
  }

  /** How many instances are on record. */
  get size(): number {
    const registry = this.#raw();
    return call(() => registry.size());
  }

  /** Counters. */
  stats(): RegistryStats {
    const registry = this.#raw();
    return frozenCamel(call(() => registry.stats())) as unknown as RegistryStats;
  }

  /** The instance of a key, if it is on record. */
  lookup(key: InstanceKey): Instance | undefined {
    const registry = this.#raw();
    const { namespace, service, id } = keyOf(key);
    const handle = call(() => registry.lookup(namespace, service, id));
    return handle === undefined ? undefined : this.#instance(handle);
  }

  /** The instance of a handle, if it is still on record. */
  instance(handle: number): Instance | undefined {
    this.#raw();
    return this.#instance(numberOf(handle, "handle"));
  }

  /** The services on record, sorted; of one namespace, or of all. */
  services(namespace?: string): readonly ServiceSummary[] {
    const registry = this.#raw();
    if (namespace !== undefined) textOf(namespace, "namespace");
    return frozen(call(() => registry.services(namespace))) as readonly ServiceSummary[];
  }

  /** What matches, sorted by service and id. */
  query(query: string | QueryDocument | Query): Answer {
    const registry = this.#raw();
    const found = withQuery(query, (asked) => call(() => registry.query(asked)));
    const [revision, epoch, rung, stale, isProtected, ...handles] = found;
    const instances = handles.map((handle) => this.#instance(handle)).filter((instance) => instance !== undefined);
    return Object.freeze({
      instances: Object.freeze(instances), revision, epoch, rung, stale: stale === 1, protected: isProtected === 1,
    }) as Answer;
  }

  /** What happened since a position, in order and without gaps; or that the log does not reach back so far. */
  changes(since: Position): Changes {
    const registry = this.#raw();
    const position = plain(since);
    return frozen(call(() => registry.changes(position))) as Changes;
  }

  /** SHA-256 over ids and revisions of a service's instances: equal where two registries agree. */
  digest(service: string, namespace = "default"): string | undefined {
    const registry = this.#raw();
    textOf(service, "service");
    textOf(namespace, "namespace");
    return call(() => registry.digest(namespace, service));
  }

  /** Follows what matches, change by change. */
  watch(query: string | QueryDocument | Query): Watch {
    this.#raw();
    return new Watch(this, query);
  }

  /** Signs an instance in, or changes what it said of itself. */
  register(registration: Registration, options?: PutOptions): Registered {
    known(options, ["mode", "ifRevision", "now"]);
    const document = plain(registration);
    const put = { mode: options?.mode, if_revision: options?.ifRevision };
    return frozen(this.#change(options, (registry, time) => registry.register(document, plain(put), time))) as Registered;
  }

  /** Tells that an instance is alive; by its handle it costs least. Returns the handle. */
  renew(key: InstanceKey | number, options?: TimedIncarnation): number {
    const incarnation = incarnationOf(options);
    if (typeof key === "number") {
      this.#change(options, (registry, time) => registry.renew_handle(key, incarnation, time), incarnation === undefined);
      return key;
    }
    const { namespace, service, id } = keyOf(key);
    return this.#change(options, (registry, time) => registry.renew(namespace, service, id, incarnation, time), incarnation === undefined);
  }

  /** Signs an instance out. Returns the revision. */
  deregister(key: InstanceKey, options?: TimedIncarnation): number {
    const { namespace, service, id } = keyOf(key);
    const incarnation = incarnationOf(options);
    return this.#change(options, (registry, time) => registry.deregister(namespace, service, id, incarnation, time));
  }

  /** Notes the health an instance reports. Returns the revision. */
  setHealth(key: InstanceKey, health: Health, options?: TimedIncarnation): number {
    const { namespace, service, id } = keyOf(key);
    const incarnation = incarnationOf(options);
    textOf(health, "health");
    return this.#change(options, (registry, time) => registry.set_health(namespace, service, id, health, incarnation, time));
  }

  /** Notes the operator's word about an instance, on record or not; null lifts it. Returns the revision. */
  setAdmin(key: InstanceKey, admin: AdminChange | null, options?: Timed): number {
    known(options, NO_INCARNATION);
    const { namespace, service, id } = keyOf(key);
    const document = plain(admin);
    return this.#change(options, (registry, time) => registry.set_admin(namespace, service, id, document, time));
  }

  /** Does all of these in one revision, or none of them. Returns the revision. */
  apply(ops: readonly Op[], options?: Timed): number {
    known(options, NO_INCARNATION);
    const document = (Array.isArray(ops) ? ops : expected("a list", ops, "ops")).map(opOf);
    return this.#change(options, (registry, time) => registry.apply(document, time));
  }

  /** Brings the records of a source to what it lists now, by the least change. */
  reconcile(listing: Listing, options?: Timed): Reconciled {
    known(options, NO_INCARNATION);
    const document = plain(listing);
    return frozen(this.#change(options, (registry, time) => registry.reconcile(document, time))) as Reconciled;
  }

  /** Applies what was held back of a source's last listing. */
  acknowledge(source: string, options?: Timed): Reconciled {
    known(options, NO_INCARNATION);
    textOf(source, "source");
    return frozen(this.#change(options, (registry, time) => registry.acknowledge(source, time))) as Reconciled;
  }

  /** Does what is due at `now`: leases end. */
  advance(now?: number): Advanced {
    const options = now === undefined ? undefined : { now };
    return frozen(this.#change(options, (registry, time) => registry.advance(time))) as Advanced;
  }

  /** The registry as bytes, for `restore`. */
  snapshot(): Uint8Array {
    const registry = this.#raw();
    return call(() => registry.snapshot());
  }

  /**
   * Resolves when the revision is no longer `revision` (default: the present one), or when the time `until` has come.
   * Meanwhile it does the timed work of the registry when it is due. Rejects with the reason when `signal` aborts.
   */
  async changed(options?: { readonly revision?: number; readonly until?: number; readonly signal?: AbortSignal }): Promise<void> {
    known(options, ["revision", "until", "signal"]);
    const { revision = this.revision, until = Infinity, signal } = options ?? {};
    for (;;) {
      signal?.throwIfAborted();
      const left = until - now();
      if (this.revision !== revision || left <= 0) return;
      await this.#pause(Math.min(this.#state.deadline - now(), left), signal);
      if (this.#state.deadline <= now()) this.advance();
    }
  }

  /** Frees its memory. Every later use is an error. */
  dispose(): void {
    this.#owned.dispose();
    this.#state.raw = undefined;
    this.#wake();
    this.#heard?.();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Waits for a change, for so many microseconds, or for the signal. */
  async #pause(micros: number, signal: AbortSignal | undefined): Promise<void> {
    let woken: (() => void) | undefined;
    await pause(micros, signal, (done) => this.#waiting.add((woken = done)));
    if (woken) this.#waiting.delete(woken);
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }

  #raw(): raw.Registry {
    const registry = this.#owned.get();
    if (this.#pending === undefined) return registry;
    this.#replace(settings(begun(this.#pending), (document) => new raw.Registry(document)));
    return this.#owned.get();
  }

  #replace(registry: raw.Registry): void {
    this.#pending = undefined;
    this.#owned.set(registry);
    this.#state.raw = registry;
    this.#settle();
  }

  /** The one way to change it: afterwards those who wait are told. */
  #change<T>(options: Timed | undefined, act: (registry: raw.Registry, time: number) => T, renewal = false): T {
    const registry = this.#raw();
    const time = numberOf(at(options?.now), "now");
    try {
      return call(() => act(registry, time));
    } finally {
      // What was due was done, even when the operation itself was refused.
      this.#settle(renewal);
    }
  }

  /** Notes where it stands, so that a pick need not ask. */
  #settle(renewal = false): void {
    const registry = this.#owned.get();
    const before = this.#state.revision;
    this.#state.revision = registry.revision();
    this.#state.deadline = registry.deadline();
    if (this.#state.revision !== before || !renewal) this.#state.stamp++;
    if (this.#state.revision !== before) {
      this.#wake();
      this.#heard?.();
    }
  }

  #instance(handle: number): Instance | undefined {
    const slot = handle >>> 0;
    const entry = this.#cache[slot];
    if (entry?.handle === handle && entry.seen === this.#state.stamp) return entry.instance;
    const registry = this.#raw();
    if (entry?.handle === handle && call(() => isCurrent(registry, entry))) {
      entry.seen = this.#state.stamp;
      return entry.instance;
    }
    const instance = frozen(call(() => registry.instance(handle))) as Instance | undefined;
    if (instance === undefined) return undefined;
    this.#cache[slot] = { handle, instance, seen: this.#state.stamp };
    return instance;
  }

  static {
    begin = (type, config, options, make) => {
      const time = timeOf(options, NO_INCARNATION);
      const made = settings(begun(config), (document) => make(document, time));
      const registry = new type();
      registry.#replace(made);
      return registry;
    };
    inside = (registry) => {
      if (!(registry instanceof Registry)) expected("a Registry", registry, "registry");
      return {
        state: registry.#state,
        raw: () => registry.#raw(),
        instance: (handle) => registry.#instance(handle),
        hear: (heard) => void (registry.#heard = heard),
        change: (options, act) => registry.#change(options, act),
      };
    };
  }
}

/** Resolves after so many microseconds, when the signal aborts, or when the function that `enter` is given is called. @internal */
export function pause(micros: number, signal: AbortSignal | undefined, enter: (done: () => void) => void): Promise<void> {
  return new Promise((resolve) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const done = (): void => {
      signal?.removeEventListener("abort", done);
      clearTimeout(timer);
      resolve();
    };
    enter(done);
    signal?.addEventListener("abort", done);
    // A timer longer than this fires at once, so it is set again and again.
    if (micros !== Infinity) timer = setTimeout(done, Math.min(Math.max(Math.ceil(micros / 1000), 0), 2 ** 31 - 1));
  });
}

/** Whether the object is still the record. */
function isCurrent(registry: raw.Registry, { handle, instance }: Entry): boolean {
  return registry.instance_revision(handle) === instance.revision && registry.instance_incarnation(handle) === instance.incarnation;
}

/** The config with what the runtime has to give. */
function begun(config: Config | undefined): Config {
  let seed = config?.seed;
  try {
    seed ??= entropy();
  } catch {
    // A Worker's top level. The core's default then: the tables work, only not against ids made to collide.
    seed = 0;
  }
  return { ...config, seed, epoch: config?.epoch ?? Math.max(Date.now() * 1000, 1) };
}

/** 53 bits of the runtime's entropy. @internal */
export function entropy(): number {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2)) as unknown as [number, number];
  return (high & 0x1f_ffff) * 2 ** 32 + low;
}

/** @internal */
export function numberOf(value: unknown, field: string): number {
  return typeof value === "number" ? value : expected("a number", value, field);
}

/** An operation as the core spells it: `ifRevision` and `setHealth` become `if_revision` and `set_health`. */
function opOf(op: Op, place: number): unknown {
  const document = plain(op, `ops[${place}]`);
  if (document === null || typeof document !== "object" || Array.isArray(document)) return document;
  const renamed = snaked(document);
  return typeof renamed.op === "string" ? Object.assign(renamed, { op: snake(renamed.op) }) : renamed;
}

function timeOf(options: Timed | undefined, names: readonly string[]): number {
  known(options, names);
  return numberOf(at(options?.now), "now");
}

function incarnationOf(options: TimedIncarnation | undefined): number | undefined {
  known(options, WITH_INCARNATION);
  const incarnation = options?.incarnation;
  return incarnation === undefined ? undefined : numberOf(incarnation, "incarnation");
}

/** The parts of a key; an instance is one too. */
function keyOf(key: InstanceKey): { namespace: string; service: string; id: string } {
  if (key === null || typeof key !== "object") expected("a map", key, "key");
  const { namespace = "default", service, id } = key;
  return { namespace: textOf(namespace, "namespace"), service: textOf(service, "service"), id: textOf(id, "id") };
}
