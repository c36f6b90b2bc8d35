// Runs the vectors (see ../vectors/README.md) against a module of the npm package. No imports: the same file runs in
// Node, Deno, Bun, workerd and a browser, wherever the caller got the module and the files from.

/**
 * Runs every case of `files` (parsed vector files) and returns `{passed, failures}`. Cases with a verb that only
 * "callboard/full" has are left out when `callboard` is the smaller module.
 */
export function runVectors(callboard, files) {
  const failures = [];
  let passed = 0;
  for (const file of files) {
    for (const scripted of file.cases) {
      if (!callboard.decode && scripted.steps.some((step) => FULL_ONLY.has(step.do))) continue;
      const why = runCase(callboard, scripted);
      if (why === undefined) passed++;
      else failures.push(`${file.name}/${scripted.name}: ${why}`);
    }
  }
  return { passed, failures };
}

const DEFAULTS = { seed: 0, epoch: 1 };
/** Verbs of what only "callboard/full" has. */
export const FULL_ONLY = new Set(["decode", "encode", "feed", "follow", "push", "lost", "dns", "request", "resume", "explain", "explained", "store", "put_entries", "entries", "let_go", "load", "journal", "recover",
  "explain_query", "save_query", "drop_query", "saved_query", "saved_queries", "watch_saved", "replicate", "ask", "answer", "no_answer", "follow_engine", "tell", "stream_lost", "fate"]);

/** Runs one case; returns what is wrong, or undefined. */
export function runCase(callboard, scripted) {
  const host = new Host(callboard, scripted.config ?? {});
  const kept = new Map();
  let now = 0;
  try {
    for (const [at, step] of scripted.steps.entries()) {
      now = step.at ?? now;
      const why = runStep(callboard, host, kept, step, now);
      if (why !== undefined) return `step ${at} (${step.do} at ${now}): ${why}`;
    }
  } finally {
    host.dispose();
  }
  return undefined;
}

function runStep(callboard, host, kept, step, now) {
  const expect = step.expect === undefined ? undefined : resolve(step.expect, kept);
  const wanted = expect?.error;
  let result;
  try {
    const verb = VERBS[step.do];
    if (!verb) throw new Error("no such verb");
    result = verb.call(host, resolve(step.args ?? {}, kept), now, step.as);
  } catch (error) {
    if (!(error instanceof callboard.CallboardError)) return `${error.stack ?? error}`;
    if (wanted === undefined) return String(error);
    return differ(wanted, { code: error.code, kind: error.name, field: snake(error.field), limit: error.limit }, "error");
  }
  if (wanted !== undefined) return `expected the error ${JSON.stringify(wanted)}, found ${JSON.stringify(result)}`;
  if (step.as !== undefined) kept.set(step.as, result);
  return expect === undefined ? undefined : differ(expect, result, "result");
}

/** Everything one case works on. */
class Host {
  constructor(callboard, config) {
    this.callboard = callboard;
    this.config = config;
    // The vectors expect the defaults of the core where the package asks the runtime.
    this.registry = callboard.Registry && new callboard.Registry({ ...DEFAULTS, ...camels(config) });
    this.watches = new Map();
    this.balancers = new Map();
    this.bytes = new Map();
    this.waits = new Map();
    this.feeds = new Map();
    this.entries = new Map();
  }

  dispose() {
    for (const thing of [...this.watches.values(), ...this.balancers.values(), ...this.waits.values(), ...this.feeds.values()]) thing.dispose();
    this.engine?.dispose();
    this.journaled?.dispose();
    this.registry?.dispose();
  }

  balancer(args) {
    return named(this.balancers, args.balancer ?? "balancer");
  }

  /** A key as a string and as a `Key` in turn: both must lead to the same instance. */
  key(text) {
    this.kept = !this.kept;
    return typeof text === "string" && this.kept ? new this.callboard.Key(text) : text;
  }

  /** The handles of the ids in an `exclude`, in the service that the balancer's query names. */
  request({ key, exclude, labels, prefer }, balancer, now) {
    const { namespace, service } = balancer.query.toJSON();
    const handles = exclude?.map((id) => this.registry.lookup({ namespace, service, id })?.handle).filter((handle) => handle !== undefined);
    return { ...defined({ key: this.key(key), labels, prefer }), ...(handles ? { exclude: handles } : {}), now };
  }
}

const VERBS = {
  parse_selector({ text }) {
    return { text: new this.callboard.Query({ selector: text }).toJSON().selector ?? "" };
  },
  match({ query, instance }) {
    return { match: new this.callboard.Query(query).matches(instance) };
  },
  version_match({ range, version }) {
    return { match: new this.callboard.Query({ version: range }).matches({ service: "s", id: "i", version }) };
  },

  is_repeatable({ method, outcome }) {
    return { repeatable: this.callboard.isRepeatable(method, camels(outcome)) };
  },

  register({ instance, mode, if_revision: ifRevision }, now) {
    return this.registry.register(instance, defined({ mode, ifRevision, now }));
  },
  renew({ incarnation, ...key }, now) {
    return { handle: this.registry.renew(key, defined({ incarnation, now })) };
  },
  renew_handle({ handle, incarnation }, now) {
    this.registry.renew(handle, defined({ incarnation, now }));
    return {};
  },
  deregister({ incarnation, ...key }, now) {
    return { revision: this.registry.deregister(key, defined({ incarnation, now })) };
  },
  set_health({ health, incarnation, ...key }, now) {
    return { revision: this.registry.setHealth(key, health, defined({ incarnation, now })) };
  },
  set_admin({ admin, ...key }, now) {
    return { revision: this.registry.setAdmin(key, admin ?? null, { now }) };
  },
  apply({ ops }, now) {
    return { revision: this.registry.apply(ops, { now }) };
  },
  reconcile(listing, now) {
    return this.registry.reconcile(listing, { now });
  },
  acknowledge({ source }, now) {
    return this.registry.acknowledge(source, { now });
  },
  advance(_, now) {
    return this.registry.advance(now);
  },
  deadline() {
    return { deadline: this.registry.deadline ?? null };
  },
  lookup(key) {
    return { instance: this.registry.lookup(key) ?? null };
  },
  query({ query }) {
    return this.registry.query(query);
  },
  explain_query({ query }) {
    return this.registry.explain(query);
  },
  save_query({ name, query }, now) {
    return { revision: this.registry.saveQuery(name, query, { now }) };
  },
  drop_query({ name, ...within }, now) {
    return { revision: this.registry.dropQuery(name, { ...within, now }) };
  },
  saved_query({ name, ...within }) {
    return { query: this.registry.savedQuery(name, within) ?? null };
  },
  saved_queries({ namespace }) {
    return { queries: this.registry.savedQueries(namespace) };
  },
  watch_saved({ name, watch = "watch", ...within }) {
    this.watches.set(watch, this.registry.watchSaved(name, within));
    return {};
  },
  services({ namespace }) {
    return { services: this.registry.services(namespace) };
  },
  position() {
    return this.registry.position;
  },
  changes({ since }) {
    return this.registry.changes(since);
  },
  digest({ namespace, service }) {
    return { digest: this.registry.digest(service, namespace) ?? null };
  },
  stats() {
    return snakes(this.registry.stats());
  },
  snapshot(_, now, keep) {
    const bytes = this.registry.snapshot();
    this.bytes.set(keep ?? "snapshot", bytes);
    return { bytes: bytes.length };
  },
  store({ fails }) {
    this.engine ??= new this.callboard.Store();
    const writes = this.engine.writes(this.registry);
    if (writes === undefined) return {};
    if (fails === undefined) {
      if (writes.whole) for (const key of this.callboard.Store.leftovers(this.registry, this.entries)) this.entries.delete(key);
      for (const { key, value } of writes.writes) value === undefined ? this.entries.delete(key) : this.entries.set(key, value);
      this.engine.written();
    }
    return writes;
  },
  load({ entries = [], config = this.config }, now) {
    const all = new Map([...this.entries, ...entries.map(({ key, value }) => [key, value])]);
    const { registry, skipped } = this.callboard.Registry.load(all, { ...DEFAULTS, ...camels(config) }, { now });
    this.registry.dispose();
    this.registry = registry;
    return { ...registry.position, skipped };
  },
  put_entries({ entries }) {
    for (const { key, value } of entries) this.entries.set(key, value);
    return {};
  },
  entries() {
    return { keys: [...this.entries.keys()].sort() };
  },
  let_go() {
    this.engine.failed();
    return {};
  },
  replicate(settings) {
    this.replica = new this.callboard.Replica(settings);
    return {};
  },
  ask(_, now) {
    const ask = this.replica.ask(this.registry, { now });
    return ask === undefined ? {} : { ...ask, body: JSON.parse(ask.body) };
  },
  follow_engine() {
    const ask = this.replica.follow();
    return { ...ask, body: JSON.parse(ask.body) };
  },
  answer({ body, hex }, now) {
    return this.replica.answer(this.registry, bytesOf(body, hex), { now });
  },
  tell({ body, hex }, now) {
    return this.replica.push(this.registry, bytesOf(body, hex), { now });
  },
  no_answer(_, now) {
    this.replica.failed(this.registry, { now });
    return {};
  },
  stream_lost(_, now) {
    this.replica.lost(this.registry, { now });
    return {};
  },
  fate() {
    return { fate: this.replica.fate(this.registry.edition), stale: this.replica.stale, deadline: this.replica.deadline };
  },
  journal() {
    this.journaled ??= new this.callboard.Store();
    const frame = this.journaled.frame(this.registry);
    if (frame === undefined) return {};
    this.file = frame.replace ? frame.bytes : Uint8Array.of(...this.file, ...frame.bytes);
    this.journaled.written();
    return { replace: frame.replace, bytes: frame.bytes.length };
  },
  recover({ cut = 0, flip, config = this.config }, now) {
    const bytes = this.file.slice(0, this.file.length - cut);
    if (flip !== undefined) bytes[Math.floor(flip / 8)] ^= 1 << (flip % 8);
    const { registry, torn } = this.callboard.Registry.recover(bytes, { ...DEFAULTS, ...camels(config) }, { now });
    this.registry.dispose();
    this.registry = registry;
    return { ...registry.position, torn };
  },
  restore({ from = "snapshot", config = this.config, cut = 0, flip, hex }, now) {
    const bytes = hex === undefined ? named(this.bytes, from).slice() : unhex(hex);
    if (flip !== undefined) {
      const bit = flip < 0 ? bytes.length * 8 + flip : flip;
      bytes[Math.floor(bit / 8)] ^= 1 << (bit % 8);
    }
    const registry = this.callboard.Registry.restore(bytes.subarray(0, bytes.length - cut), { ...DEFAULTS, ...camels(config) }, { now });
    // A watch belongs to its registry: who reads the restored one starts with a watch of its own.
    for (const [name, watch] of this.watches) {
      this.watches.set(name, registry.watch(watch.query));
      watch.dispose();
    }
    this.registry.dispose();
    this.registry = registry;
    return registry.position;
  },

  watch({ query, watch = "watch" }) {
    this.watches.set(watch, this.registry.watch(query));
    return {};
  },
  poll({ watch = "watch" }) {
    return { delta: named(this.watches, watch).poll() ?? null };
  },

  balancer({ query, policy, options = {}, balancer = "balancer" }) {
    this.balancers.set(balancer, new this.callboard.Balancer(this.registry, query, { policy, seed: 0, ...camels(options) }));
    return {};
  },
  pick(args, now) {
    const balancer = this.balancer(args);
    return picked(balancer.pick(this.request(args, balancer, now)));
  },
  picks({ count, finish, each, ...args }, now) {
    const balancer = this.balancer(args);
    const request = this.request(args, balancer, now);
    const ids = [];
    const counts = Object.create(null);
    for (let at = 0; at < count; at++) {
      const { instance, token } = balancer.pick(each === undefined ? request : { ...request, key: this.key(each + at) });
      ids.push(instance.id);
      counts[instance.id] = (counts[instance.id] ?? 0) + 1;
      if (finish !== undefined) balancer.finish(token, camels(finish), { now });
    }
    return { ids, counts };
  },
  finish({ token, outcome, ...args }, now) {
    return { known: this.balancer(args).finish(token, outcome && camels(outcome), { now }) };
  },
  finish_and_pick({ token, outcome, ...args }, now) {
    const balancer = this.balancer(args);
    return picked(balancer.finishAndPick(token, outcome && camels(outcome), this.request(args, balancer, now)));
  },
  reap(args, now) {
    return { reaped: this.balancer(args).advance(now) };
  },
  balancer_deadline(args) {
    return { deadline: this.balancer(args).deadline ?? null };
  },
  may_retry(args, now) {
    return { may: this.balancer(args).mayRetry(now) };
  },
  retry_delay({ retry, ...args }) {
    return { delay: this.balancer(args).retryDelay(retry) ?? null };
  },
  hedge_delay(args, now) {
    return { delay: this.balancer(args).hedgeDelay(now) ?? null };
  },
  may_hedge(args, now) {
    return { may: this.balancer(args).mayHedge(now) };
  },
  admit(args, now) {
    const balancer = this.balancer(args);
    return { may: balancer.admit(now), limit: balancer.limit ?? null };
  },
  probe_requests(args, now) {
    return { ids: this.balancer(args).probeRequests(now).map(({ id }) => id) };
  },
  probed({ id, rif, latency, ...args }, now) {
    const balancer = this.balancer(args);
    const { service, namespace } = balancer.query.toJSON();
    const instance = this.registry.lookup({ service, id, namespace: namespace ?? "default" });
    return { used: balancer.probed(instance, { rif, latency }, { now }) };
  },
  explain(args, now) {
    const balancer = this.balancer(args);
    return snakes(balancer.explain(this.request(args, balancer, now)));
  },
  explained(args) {
    const told = this.balancer(args).explained();
    return { told: told === undefined ? null : snakes(told) };
  },
  balancer_stats(args) {
    return snakes(this.balancer(args).stats());
  },

  decode({ body, hex, ...options }) {
    return this.callboard.decode(bytesOf(body, hex), options);
  },
  encode({ format, instances }) {
    const body = this.callboard.encode(format, instances);
    return { body: new TextDecoder().decode(body), hex: Array.from(body, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  },
  feed({ body, hex, ...feed }, now) {
    return this.registry.feed(feed, bytesOf(body, hex), { now });
  },
  follow({ feed = "feed", ...options }) {
    const made = new this.callboard.Feed(options);
    this.feeds.set(feed, made);
    return made.next;
  },
  push({ feed = "feed", body, hex, ...transport }, now) {
    return named(this.feeds, feed).push(this.registry, bytesOf(body, hex), { ...transport, now });
  },
  lost({ feed = "feed" }, now) {
    return named(this.feeds, feed).failed({ now });
  },
  dns({ hex, udp = true, server: settings }, now) {
    const server = new this.callboard.Server(settings && camels(settings));
    const answer = this.registry.answerDns(unhex(hex), { udp, server, now });
    return { hex: answer === undefined ? null : Array.from(answer, (byte) => byte.toString(16).padStart(2, "0")).join("") };
  },
  request({ method, path, query = "", headers = {}, body = "", hex, peer = "", principal = "", server: settings }, now, keep = "request") {
    const server = new this.callboard.Server(settings && camels(settings));
    const request = { method, path, query, headers: Object.entries(headers), body: bytesOf(body, hex), peer, principal };
    return this.reply(this.registry.handle(request, { server, now }), keep);
  },
  resume({ from = "request" }, now) {
    return this.reply(named(this.waits, from).resume({ now }), from);
  },
};

Host.prototype.reply = function (reply, keep) {
  if (reply instanceof this.callboard.Wait) {
    this.waits.set(keep, reply);
    return { wait: { until: reply.until } };
  }
  const headers = Object.create(null);
  for (const [name, value] of reply.headers) headers[name.toLowerCase()] = value;
  const json = headers["content-type"]?.includes("json");
  const text = new TextDecoder().decode(reply.body);
  if (reply.more) this.waits.set(keep, reply.more);
  const more = reply.more && { until: reply.more.until };
  return { status: reply.status, headers, body: json ? JSON.parse(text) : text, more };
};

const bytesOf = (body, hex) => hex !== undefined ? unhex(hex) : new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
const picked = ({ instance, token }) => ({ id: instance.id, service: instance.service, handle: instance.handle, token });
const defined = (options) => Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

function named(map, name) {
  if (!map.has(name)) throw new Error(`nothing is kept as ${name}`);
  return map.get(name);
}

// A capital at the start of a word is somebody else's name, not ours.
const snake = (name) => name.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());
const renamed = (map, rename) => Object.fromEntries(Object.entries(map).map(([name, value]) => [rename(name), value]));
const camels = (map) => renamed(map, camel);
const snakes = (map) => renamed(map, snake);

const isMap = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const at = (path, name) => `${path}.${name}`;

/** How `actual` lacks something that `expected` names, or undefined; the rules are those of the README. */
function differ(expected, actual, path) {
  if (isMap(expected) && isMap(actual)) {
    for (const key of Object.keys(expected)) {
      const found = Object.hasOwn(actual, key) ? actual[key] : null;
      const why = differ(expected[key], found, at(path, key));
      if (why !== undefined) return why;
    }
    return undefined;
  }
  if (Array.isArray(expected) && Array.isArray(actual) && expected.length === actual.length) {
    for (const [place, item] of expected.entries()) {
      const why = differ(item, actual[place], `${path}[${place}]`);
      if (why !== undefined) return why;
    }
    return undefined;
  }
  if (expected === (actual ?? null)) return undefined;
  return `${path}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(actual)}`;
}

/** Puts the parts of kept results in the place of every `{"$": "name.path"}`. */
function resolve(value, kept) {
  if (Array.isArray(value)) return value.map((item) => resolve(item, kept));
  if (!isMap(value)) return value;
  const keys = Object.keys(value);
  if (keys.length === 1 && keys[0] === "$") {
    const [name, ...steps] = value.$.split(".");
    return steps.reduce((part, step) => part[step], named(kept, name));
  }
  // Without a prototype, so that a key `__proto__` stays one.
  const map = Object.create(null);
  for (const key of keys) map[key] = resolve(value[key], kept);
  return map;
}
