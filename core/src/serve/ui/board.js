// What the page knows of a registry: read through its HTTP API and kept fresh by a long poll of its changes.
//
// One loop asks one thing after the other, so that nothing old ever replaces something new. It costs the registry the list of services and
// whoever changed; of services with many instances only those that are looked at are read.

/** The API stands beside the page, wherever the host has mounted both. */
export const API = new URL("v1/", location.href);

const WAIT = 25; // seconds of a long poll
const GAP = 300; // milliseconds between two answers at least
const RECENT = 500; // changes that are kept
const BACKLOG = 100; // of them from before the page was opened
const FEW = 12; // instances that are asked for one by one
const PEEK = 500; // a service of up to so many instances is read only because some are not available
const PEEKS = 40; // and so many of those services
const SLOWEST = 15; // seconds between two attempts

/** That the API did not do what it was asked for. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? error?.detail ?? error?.title ?? `status ${status}`);
    this.status = status;
  }
}

export class Board {
  /** `connecting`, `live`, `lost` (no answer, or none that helps) or `refused` (not without another token). */
  state = "connecting";
  problem;
  /** When the registry last answered, and when it is asked again after a failure. */
  heard;
  retry;
  /** Of the namespace: summaries by service, and of those that are looked at their instances by id. */
  services = new Map();
  loaded = new Map();
  /** Whether a source in the namespace is held at its last good listing. */
  stale = false;
  /** The newest first, each with `at` when it was seen to happen. */
  changes = [];
  namespaces = new Set(["default"]);
  /** Whether the registry's own figures may not be read: then there is a policy, and others may see more. */
  guarded = false;
  namespace = "default";
  opened;

  #changed;
  #position;
  #clock;
  #wake = new AbortController();
  #woken = false;
  #key = `callboard-token:${API.pathname}`;

  constructor(changed) {
    this.#changed = changed;
  }

  get token() {
    return sessionStorage.getItem(this.#key) ?? "";
  }

  set token(token) {
    if (token) sessionStorage.setItem(this.#key, token);
    else sessionStorage.removeItem(this.#key);
    this.#forget();
    this.wake();
  }

  /** Looks at a namespace, and at a service of it. */
  look(namespace, service) {
    if (namespace !== this.namespace) {
      this.namespace = namespace;
      this.#forget();
    }
    this.namespaces.add(namespace);
    this.opened = service;
    this.wake();
  }

  /** Has the loop go on at once. */
  wake() {
    this.#woken = true;
    this.#wake.abort();
  }

  /** The seconds until a time of the registry's clock; undefined when that is not known. */
  until(time) {
    return this.#clock && (time - this.#clock.time) / 1e6 - (performance.now() - this.#clock.at) / 1e3;
  }

  /** Follows the registry for as long as the page is there. */
  async run() {
    for (let failures = 0; ;) {
      this.#woken = false;
      this.#wake = new AbortController();
      try {
        if (this.#position === undefined) await this.#begin();
        else await this.#refresh(new Map());
        this.#tell("live");
        for (failures = 0; ;) await this.#next();
      } catch (problem) {
        if (this.#woken) continue;
        const refused = problem instanceof Refused && [401, 403].includes(problem.status);
        const pause = refused ? SLOWEST : Math.min(2 ** failures++, SLOWEST);
        this.problem = problem;
        this.retry = Date.now() + pause * 1e3;
        this.#tell(refused ? "refused" : "lost");
        await this.#pause(pause * 1e3);
      }
    }
  }

  #forget() {
    this.#position = undefined;
    this.services.clear();
    this.loaded.clear();
    this.changes = [];
    if (this.state === "live") this.state = "connecting";
  }

  async #begin() {
    this.loaded.clear();
    this.guarded = await this.#ask("health").then(() => false, (problem) => {
      if (problem instanceof Refused && [401, 403].includes(problem.status)) return true;
      throw problem;
    });
    const listed = await this.#refresh(new Map());
    this.#position = listed;
    if (this.changes.length > 0) return;
    const since = (revision) => this.#ask("changes", { epoch: listed.epoch, revision });
    let before = await since(Math.max(0, listed.revision - BACKLOG));
    if (before.status === "compacted" && before.oldest <= listed.revision) before = await since(before.oldest);
    this.#note(before.events?.slice(-BACKLOG) ?? []);
  }

  /** Waits for what changes, and reads what it changed. */
  async #next() {
    const answer = await this.#ask("changes", { ...this.#position, wait: WAIT });
    if (answer.status !== "events") {
      // Another life of the registry, or more changes than it remembers: all is read again.
      this.changes.unshift({ gap: answer.status, at: Date.now(), key: `${answer.epoch}.${answer.revision}.gap` });
      this.#position = undefined;
      return this.#begin().then(() => this.#tell("live"));
    }
    const { epoch, revision, events } = answer;
    const began = performance.now();
    const touched = new Map();
    for (const { namespace, service, id } of events) {
      this.namespaces.add(namespace);
      if (namespace !== this.namespace) continue;
      if (!touched.has(service)) touched.set(service, new Set());
      touched.get(service).add(id);
    }
    const own = events.filter(({ namespace }) => namespace === this.namespace);
    // Flags make no revision: they are read when nothing happens.
    if (own.length > 0 || revision === this.#position.revision) await this.#refresh(touched);
    this.#note(own, Date.now());
    // Only now: what failed on the way is read again.
    this.#position = { epoch, revision };
    this.#tell("live");
    // A registry in which much changes is asked the less the longer its answers take.
    await this.#pause(Math.max(GAP, 3 * (performance.now() - began)));
    if (this.#woken) throw new DOMException("something else is looked at", "AbortError");
  }

  /** Reads the services, and of those that are looked at whoever was touched. */
  async #refresh(touched) {
    const path = encodeURIComponent(this.namespace);
    const { services, epoch, revision } = await this.#ask(`services/${path}`);
    this.services = new Map(services.map((one) => [one.service, one]));
    const wanted = this.#wanted();
    for (const name of this.loaded.keys()) {
      if (wanted.includes(name)) continue;
      // Of one that is well again it is still told how.
      if (touched.has(name) && this.services.has(name)) wanted.push(name);
      else this.loaded.delete(name);
    }
    // What is known already need not wait for the rest.
    if (wanted.some((name) => !this.loaded.has(name))) this.#tell("live");
    await Promise.all(wanted.map((name) => this.#read(`instances/${path}/${name}`, name, [...touched.get(name) ?? []])));
    this.stale = (await this.#ask(`instances/${path}`, { health: "any", limit: 1 })).stale;
    return { epoch, revision };
  }

  /** Reads whoever was touched of a service, or all of them. */
  async #read(path, name, ids) {
    const instances = this.loaded.get(name);
    // A path cannot name these.
    if (instances === undefined || ids.length > FEW || ids.includes(".") || ids.includes("..")) {
      const answer = await this.#ask(path, { health: "any" });
      this.loaded.set(name, new Map(answer.instances.map((one) => [one.id, one])));
      return;
    }
    for (const id of ids) {
      const one = await this.#ask(`${path}/${encodeURIComponent(id)}`).catch((problem) => {
        if (problem instanceof Refused && problem.status === 404) return undefined;
        throw problem;
      });
      if (one) instances.set(id, one);
      else instances.delete(id);
    }
  }

  /** The services whose instances are read: the one that is open, and those that are not well. */
  #wanted() {
    const ill = [...this.services.values()].filter((one) => one.available < one.instances && one.instances <= PEEK);
    // Those that can least do without come first.
    ill.sort((a, b) => a.available / a.instances - b.available / b.instances);
    const names = ill.slice(0, PEEKS).map((one) => one.service);
    if (this.services.has(this.opened) && !names.includes(this.opened)) names.push(this.opened);
    return names;
  }

  #note(events, at) {
    const news = events.map((event, place) => {
      const now = this.loaded.get(event.service)?.get(event.id);
      // What became of it is known only as long as nothing else happened to it.
      return { ...event, at, now: now?.revision === event.revision ? now : undefined, key: `${event.revision}.${place}.${event.id}` };
    });
    this.changes = [...news.reverse(), ...this.changes].slice(0, RECENT);
  }

  #tell(state) {
    this.state = state;
    if (state === "live") this.problem = undefined;
    this.#changed();
  }

  async #ask(path, parameters = {}) {
    const url = new URL(path, API);
    url.search = new URLSearchParams(parameters);
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    const signal = AbortSignal.any([this.#wake.signal, AbortSignal.timeout((WAIT + 20) * 1e3)]);
    const response = await fetch(url, { headers, signal, cache: "no-store" });
    const body = await response.json().catch(() => undefined);
    if (!response.ok) throw new Refused(response.status, body?.error ?? body);
    if (body === undefined) throw new Refused(response.status, { message: "what answers is no registry" });
    const time = Number(response.headers.get("x-callboard-now") ?? NaN);
    if (!Number.isNaN(time)) this.#clock = { time, at: performance.now() };
    this.heard = Date.now();
    return body;
  }

  #pause(milliseconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake.signal.addEventListener("abort", () => (clearTimeout(timer), resolve()));
      if (this.#woken) resolve();
    });
  }
}
