// What `import ... from "callboard/full"` gives: all of "callboard", and the parts that speak to other systems.
import * as raw from "#glue";
import { Balancer as CoreBalancer, excludeOf, keyOf, moreOf, ready, timeOf } from "./balancer.ts";
import { bytesOf, expected, frozen, frozenCamel, known, limits, pairsOf, plain, settings, textOf } from "./document.ts";
import { call } from "./errors.ts";
import { at, now } from "./meta.ts";
import { Owned } from "./owned.ts";
import { type Query, withQuery } from "./query.ts";
import { Registry as CoreRegistry, begin, inside, numberOf, pause } from "./registry.ts";
import type { QueryExplanation, SavedQuery } from "./saved.ts";
import type { Unread } from "./store.ts";
import type { AdminState, Config, PickRequest, QueryDocument, Reconciled, Registration, Skipped, Timed } from "./types.ts";
import { Watch } from "./watch.ts";

export * from "./index.ts";
export { Replica } from "./replica.ts";
export type { Ask, ReplicaOptions, Told } from "./replica.ts";
export { Store } from "./store.ts";
export type { Frame, Unread, Writes } from "./store.ts";
export type { Condition, ExplainedRung, QueryExplanation, SavedQuery } from "./saved.ts";

/** The name of a payload's format. */
export type Format =
  | "callboard"
  | "consul-health"
  | "consul-query"
  | "consul-catalog"
  | "consul-services"
  | "consul-agent"
  | "prometheus"
  | "dns"
  | "etcd-grpc"
  | "etcd-kratos"
  | "etcd-micro"
  | "etcd-zero"
  | "envoy"
  | "eureka-app"
  | "eureka-apps"
  | "eureka-vips"
  | "eureka-xml"
  | "kubernetes"
  | "curator"
  | "dubbo"
  | "dubbo-metadata"
  | "nacos";

/** Whose payload it is. */
export interface FeedOptions {
  /** Such as `consul:dc1`. */
  readonly source: string;
  /** Default `consul-health`. */
  readonly format?: Format;
  readonly namespace?: string;
  /** The service that was asked for; a payload that is empty does not name it. */
  readonly service?: string;
  /** Where the jitter starts from; give each process its own. Default 0. */
  readonly seed?: number;
  /** A name of this client, mixed into the seed. */
  readonly client?: string;
  /** How often to ask, in seconds; default: what the source says, else 30. */
  readonly interval?: number;
  /** How long a question may wait for news, in seconds; default 60. */
  readonly wait?: number;
}

/** The next question to a source. */
export interface Next {
  /** Seconds to wait before it. */
  readonly after: number;
  readonly ask: "full" | "delta" | "watch";
  /** What goes into the query of the URL; often empty. */
  readonly query: string;
  /** What goes into the headers. */
  readonly headers: Readonly<Record<string, string>>;
  /** Where the source stood; absent when it starts anew. */
  readonly cursor?: string;
  /** Why it starts anew, when it does. */
  readonly resync?: string;
}

/** What became of an answer of a source. */
export interface Fed extends Reconciled {
  /** Names of services that the answer lists without their instances. */
  readonly services: readonly string[];
  /** Whether it was the answer before again, and was not read. */
  readonly unchanged: boolean;
  /** Whether the records are those of an earlier answer, in part or as a whole. */
  readonly stale: boolean;
  /** What is wrong with the answer as a whole; it changed nothing then. */
  readonly problem: { readonly code: string; readonly field: string; readonly message: string } | null;
  readonly next: Next;
}

/** What the transport of an answer knows. */
export interface Transport extends Timed {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether this is all of the answer. Default true. */
  readonly complete?: boolean;
}

/** What a payload says of an instance. */
export interface Listed extends Registration {
  /** The operator's word at the source; absent when it is `enabled`. */
  readonly admin?: AdminState;
}

/** What a payload says. */
export interface Decoded {
  readonly instances: readonly Listed[];
  /** Entries that were not taken, and why. */
  readonly skipped: readonly Skipped[];
}

/** A request to callboard's HTTP API. */
export interface HttpRequest {
  readonly method: string;
  /** As it was sent: not decoded, without the query. */
  readonly path: string;
  /** As it was sent, without the question mark. */
  readonly query?: string;
  /** Those that a protocol may ask for; a `Headers`, or pairs. */
  readonly headers?: Iterable<readonly [name: string, value: string]>;
  readonly body?: Uint8Array | string;
  /** The IP address of who asks: a Consul service that names no address is there. */
  readonly peer?: string;
  /** Who asks, as the host has found out: it counts where the server has a policy. */
  readonly principal?: string;
}

/** What somebody may do to the services that two globs name; each word includes those before it. */
export interface Grant {
  /** A glob (`*`, `?`); `default` when absent. */
  readonly namespace?: string;
  /** A glob; everything when absent. */
  readonly service?: string;
  readonly may: "read" | "register" | "operate" | "administer";
}

/** Somebody whom grants are for. */
export interface Principal {
  readonly name: string;
  /** SHA-256 digests of tokens, in hexadecimal. */
  readonly tokens?: readonly string[];
  readonly grants?: readonly Grant[];
}

/** Under which names the protocols serve, and to whom. */
export interface ServerOptions {
  /** The namespace of the protocols that have none; `default` when none is named. */
  readonly namespace?: string;
  /** The datacenter that Consul's clients see; `dc1` when none is named. */
  readonly datacenter?: string;
  /** The node that Consul's clients see, on which services are that name no node; `callboard` when none is named. */
  readonly node?: string;
  /** The domain that DNS answers for; `callboard` when none is named. */
  readonly domain?: string;
  /** How long DNS' answers are good for, in seconds, 0 to 86 400; 5 when none is named. */
  readonly dnsTtl?: number;
  /** Text of at least 32 bytes that nobody knows: with it whoever signs an instance in by the REST API is given a token of it, for `proof`. */
  readonly secret?: string;
  /** Who may do what: what no grant allows is denied. Everybody may do everything when there is none. */
  readonly policy?: readonly Principal[];
}

/** Under which names to serve. */
export interface Served {
  readonly server?: Server;
}

/** A response of callboard's HTTP API. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array<ArrayBuffer>;
  /** What the body goes on with, where it is a stream: what `resume` gives has the next piece in its body. */
  readonly more?: Wait;
}

/** Whose name it is. */
export interface Within {
  /** Default `default`. */
  readonly namespace?: string;
}

let served: (server: Server | undefined) => raw.Server;
let waiting: (registry: Registry, reply: raw.Reply) => Wait;
let replyOf: (wait: Wait) => raw.Reply;

/** Reads a payload of another registry. */
export function decode(body: Uint8Array | string, options?: { readonly format?: Format; readonly namespace?: string; readonly service?: string }): Decoded {
  known(options, ["format", "namespace", "service"]);
  const { format = "consul-health", namespace = "default" } = options ?? {};
  const [bytes, name, space] = [bytesOf(body), textOf(format, "format"), textOf(namespace, "namespace")];
  const service = options?.service === undefined ? undefined : textOf(options.service, "service");
  return frozen(call(() => raw.decode(bytes, name, space, service))) as Decoded;
}

/**
 * Writes registrations, as `decode` has them, as another registry says them, as far as it can. Who is not `enabled` is
 * written as unhealthy.
 */
export function encode(format: Format, instances: readonly Listed[]): Uint8Array<ArrayBuffer> {
  const [name, documents] = [textOf(format, "format"), plain(instances, "instances")];
  return call(() => raw.encode(name, documents)) as Uint8Array<ArrayBuffer>;
}

/** Why a pick would choose what it would choose. */
export interface Explanation {
  readonly policy: string;
  /** The handle, and whose it is; absent when there is nobody. */
  readonly choice?: number;
  readonly service?: string;
  readonly id?: string;
  readonly error?: { readonly code: string; readonly field: string };
  /** How many match the query, how many of them may be called, how many of these are not excluded. */
  readonly matching: number;
  readonly eligible: number;
  readonly open: number;
  readonly pool?: string;
  /** How the traffic is divided among levels and localities; empty when it is not. */
  readonly shares: readonly {
    readonly kind: "healthy" | "degraded" | "panic";
    readonly level: number;
    readonly locality: string;
    readonly instances: number;
    readonly share: number;
  }[];
  /** The candidates that were compared; the lowest score wins. */
  readonly looks: readonly {
    readonly handle: number;
    readonly service: string;
    readonly id: string;
    readonly score: number;
    readonly inflight: number;
    readonly weight: number;
    readonly expected?: number;
    readonly success?: number;
  }[];
  readonly leftOut: readonly { readonly service: string; readonly id: string; readonly reason: string }[];
  /** All of it as a screen of text. */
  readonly text: string;
}

/** What became of a trace that was done again. */
export interface Replay {
  readonly picks: number;
  readonly same: number;
  /** The place among the events of the first that had another answer. */
  readonly difference?: number;
}

/** A balancer that also explains itself. */
export class Balancer extends CoreBalancer {
  /** Does a trace again and compares the answers. */
  static replay(trace: object): Replay {
    const document = plain(trace);
    return frozen(call(() => raw.replay(document))) as Replay;
  }

  /** What it has done so far as OpenMetrics text, for a scraper. */
  metrics(): string {
    const balancer = ready(this, -Infinity);
    return call(() => balancer.metrics());
  }

  /** What `pick` would choose for this request now, and why. Nothing is counted, drawn or learnt. */
  explain(request?: PickRequest): Explanation {
    const [time, key, exclude, more] = [timeOf(request), keyOf(request), excludeOf(request), moreOf(request)];
    const balancer = ready(this, time);
    return frozenCamel(call(() => balancer.explain(key, exclude, more, time))) as unknown as Explanation;
  }

  /** Why the last pick chose whom it chose, or nobody; undefined before the first, and unless the option `explain` is set. */
  explained(): Explanation | undefined {
    const balancer = ready(this, -Infinity);
    const told = call(() => balancer.explained());
    return told === undefined ? undefined : (frozenCamel(told) as unknown as Explanation);
  }

  /** What it was told and what it answered since it was made; undefined unless `trace` said how many events to keep. */
  trace(): object | undefined {
    const balancer = ready(this, -Infinity);
    const trace = call(() => balancer.trace());
    return trace === undefined ? undefined : (frozen(trace) as object);
  }
}

/** Whether a request only says that somebody is still there. A host that stores what it acknowledges need not wait for that with these. */
export function isHeartbeat(method: string, path: string, query = ""): boolean {
  const texts = [textOf(method, "method"), textOf(path, "path"), textOf(query, "query")] as const;
  return call(() => raw.is_heartbeat(...texts));
}

/** What a `proof` is of. */
export interface Proven {
  readonly verb: "renew" | "health" | "deregister";
  /** Of the answer to the registration. */
  readonly epoch: number;
  /** Of the answer to the registration. */
  readonly handle: number;
  /** Above every one before, such as the time in microseconds. */
  readonly sequence: number;
  /** Of the request, without the question mark. */
  readonly query?: string;
  /** Of the request. */
  readonly body?: Uint8Array | string;
}

/** What goes into `x-callboard-proof`: that whoever sends a request holds the token of an instance. */
export function proof(token: string, proven: Proven): string {
  known(proven, ["verb", "epoch", "handle", "sequence", "query", "body"]);
  const { verb, epoch, handle, sequence, query = "", body = "" } = proven;
  const texts = [textOf(token, "token"), textOf(verb, "verb")] as const;
  const numbers = [numberOf(epoch, "epoch"), numberOf(handle, "handle"), numberOf(sequence, "sequence")] as const;
  const rest = [textOf(query, "query"), bytesOf(body)] as const;
  return call(() => raw.proof(...texts, ...numbers, ...rest));
}

/** Under which names the protocols serve. */
export class Server {
  readonly #owned: Owned<raw.Server>;

  constructor(options?: ServerOptions) {
    this.#owned = new Owned("Server", settings(options, (document) => new raw.Server(document)));
  }

  /** Frees its memory; the garbage collector would too. */
  dispose(): void {
    this.#owned.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  static {
    let usual: Server | undefined;
    served = (server) => (server ?? (usual ??= new Server())).#owned.get();
  }
}

/** A registry that also takes other registries' payloads and answers the protocols of others. */
export class Registry extends CoreRegistry {
  #waits: raw.Waits | undefined;
  /** What lets each long poll that waits go on. */
  readonly #polls = new Map<number, () => void>();
  #lastPoll = 0;

  /** The registry of a snapshot, in a new epoch. Leases start anew at `now`. */
  static override restore(snapshot: Uint8Array, config?: Config, options?: Timed): Registry {
    return super.restore(snapshot, config, options) as Registry;
  }

  /** The registry of all entries of a store, in a new epoch, and what of them could not be read. Leases start anew at `now`. */
  static load(
    entries: Iterable<readonly [key: string, value: string]>, config?: Config, options?: Timed,
  ): { registry: Registry; skipped: readonly Unread[] } {
    const texts = pairsOf([...entries], "entries");
    let skipped: readonly Unread[] = [];
    const registry = begin(this, config, options, (document, time) => {
      const loaded = raw.Registry.load(texts, document, time);
      skipped = frozen(call(() => loaded.skipped())) as readonly Unread[];
      const found = loaded.registry() as raw.Registry;
      loaded.free();
      return found;
    });
    return { registry, skipped };
  }

  /** The registry of a journal, in a new epoch, and how many bytes of its last frame were never wholly written. */
  static recover(journal: Uint8Array, config?: Config, options?: Timed): { registry: Registry; torn: number } {
    if (!(journal instanceof Uint8Array)) expected("a Uint8Array", journal, "journal");
    let torn = 0;
    const registry = begin(this, config, options, (document, time) => {
      const back = raw.Registry.recover(journal, document, time);
      torn = back.torn();
      const found = back.registry() as raw.Registry;
      back.free();
      return found;
    });
    return { registry, torn };
  }

  /** Which condition of a query leaves each instance out. */
  explain(query: string | QueryDocument | Query): QueryExplanation {
    const registry = inside(this).raw();
    return frozen(withQuery(query, (asked) => call(() => registry.explain(asked)))) as QueryExplanation;
  }

  /** The query that is saved under a name. */
  savedQuery(name: string, options?: Within): QueryDocument | undefined {
    const [namespace, spelled] = withinOf(name, options, ["namespace"]);
    const registry = inside(this).raw();
    return frozen(call(() => registry.saved_query(namespace, spelled))) as QueryDocument | undefined;
  }

  /** The saved queries by namespace and name; of one namespace, or of all. */
  savedQueries(namespace?: string): readonly SavedQuery[] {
    const registry = inside(this).raw();
    if (namespace !== undefined) textOf(namespace, "namespace");
    return frozen(call(() => registry.saved_queries(namespace))) as readonly SavedQuery[];
  }

  /** Saves a query under a name of its namespace, for `savedQuery`, `watchSaved` and the HTTP API; gives the revision. */
  saveQuery(name: string, query: string | QueryDocument | Query, options?: Timed): number {
    known(options, ["now"]);
    textOf(name, "name");
    return withQuery(query, (asked) => inside(this).change(options, (registry, time) => registry.save_query(name, asked, time)));
  }

  /** Removes what is saved under a name; gives the revision. */
  dropQuery(name: string, options?: Within & Timed): number {
    const [namespace, spelled] = withinOf(name, options, ["namespace", "now"]);
    const { namespace: _, ...timed } = options ?? {};
    return inside(this).change(timed, (registry, time) => registry.drop_query(namespace, spelled, time));
  }

  /** Follows the query that is saved under a name, whatever it is at the time; nobody matches while there is none. */
  watchSaved(name: string, options?: Within): Watch {
    const [namespace, spelled] = withinOf(name, options, ["namespace"]);
    const view = call(() => raw.View.saved(namespace, spelled));
    return new Watch(this, this.savedQuery(name, options) ?? { namespace }, view);
  }

  /** Takes over a payload of another registry, by the rules of `reconcile`. */
  feed(feed: FeedOptions, body: Uint8Array | string, options?: Timed): Reconciled {
    known(options, ["now"]);
    const document = feedOf(feed);
    const bytes = bytesOf(body);
    return frozen(inside(this).change(options, (registry, time) => registry.feed(document, bytes, time))) as Reconciled;
  }

  /**
   * Answers a request of callboard's HTTP API (`GET /v1/openapi.json` describes it) or of Consul's, Eureka's or Nacos', told apart by the path: with a
   * response, or with a `Wait` for a long poll.
   */
  handle(request: HttpRequest, options?: Served & Timed): HttpResponse | Wait {
    known(options, ["server", "now"]);
    known(request, ["method", "path", "query", "headers", "body", "peer", "principal"]);
    const { method, path, query = "", headers = [], body = "", peer = "", principal = "" } = request;
    const texts = [textOf(method, "method"), textOf(path, "path"), textOf(query, "query"), textOf(peer, "peer"), textOf(principal, "principal")];
    texts.push(...pairsOf(headers, "headers"));
    const { server: given, ...timed } = options ?? {};
    const [bytes, server] = [bytesOf(body), served(given)];
    const reply = inside(this).change(timed, (registry, time) => registry.handle(texts, bytes, server, time));
    const response = responseOf(reply);
    if (reply.until() !== undefined) {
      const wait = waiting(this, reply);
      return response ? { ...response, more: wait } : wait;
    }
    reply.free();
    return response as HttpResponse;
  }

  /**
   * Answers a message of DNS; undefined where nothing is to be sent. What came over UDP, which is what `udp` says unless it is false, is
   * answered in as many bytes as may be sent back so.
   */
  answerDns(message: Uint8Array, options?: Served & Timed & { readonly udp?: boolean }): Uint8Array | undefined {
    known(options, ["udp", "server", "now"]);
    if (!(message instanceof Uint8Array)) return expected("a Uint8Array", message, "message");
    const { udp = true, server, ...timed } = options ?? {};
    return inside(this).change(timed, (registry, time) => registry.answer_dns(message, udp, served(server), time));
  }

  /** `handle` of a standard `Request`, with a standard `Response`; a long poll waits, and a stream goes on, without holding anything up. */
  async respond(request: Request, options?: Served & { readonly peer?: string; readonly principal?: string }): Promise<Response> {
    known(options, ["server", "peer", "principal"]);
    const { server, peer = "", principal = "" } = options ?? {};
    const { pathname, search } = new URL(request.url);
    const body = await wholeOf(request);
    const { method, headers: asked, signal } = request;
    const reply = this.handle({ method, path: pathname, query: search.slice(1), headers: asked, body, peer, principal }, server && { server });
    const response = await this.#settled(reply, signal);
    const { status, headers, body: bytes } = response;
    const whole = response.more ? this.#streamed(response, signal) : bytes.length === 0 ? null : bytes;
    return new Response(whole, { status, headers: headers.map(([name, value]): [string, string] => [name, value]) });
  }

  /** A reply that waits no more. */
  async #settled(reply: HttpResponse | Wait, signal: AbortSignal): Promise<HttpResponse> {
    while (reply instanceof Wait) {
      await this.#concerned(reply, signal);
      reply = reply.resume();
    }
    return reply;
  }

  /** The body of a stream: the next piece is made when the one before it was taken. */
  #streamed({ body, more }: HttpResponse, asked: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>> {
    const over = new AbortController();
    const end = (): void => over.abort();
    asked.addEventListener("abort", end);
    const close = (): void => {
      asked.removeEventListener("abort", end);
      more?.dispose();
    };
    return new ReadableStream({
      start: (controller) => controller.enqueue(body),
      pull: async (controller) => {
        try {
          const piece = await this.#settled((more as Wait).resume(), over.signal);
          controller.enqueue(piece.body);
          more = piece.more;
          if (more) return;
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        close();
      },
      cancel: () => {
        end();
        close();
      },
    });
  }

  /** Resolves when something has changed that a long poll is about, or when it is over. Meanwhile it does the timed work that is due. */
  async #concerned(wait: Wait, signal: AbortSignal): Promise<void> {
    const [core, waits, own] = [inside(this), this.#open(), ++this.#lastPoll];
    const number = call(() => waits.add(core.raw(), replyOf(wait), own));
    if (number === undefined) return;
    this.#polls.set(own, () => {});
    try {
      while (this.#polls.has(own) && core.state.raw !== undefined && now() < wait.until) {
        signal.throwIfAborted();
        // A nearer deadline comes with a change of what it is for: who waits for that looks again.
        await pause(Math.min(core.state.deadline, wait.until) - now(), signal, (done) => this.#polls.set(own, done));
        if (core.state.deadline <= now()) this.advance();
      }
      signal.throwIfAborted();
    } finally {
      this.#polls.delete(own);
      call(() => waits.remove(number));
    }
  }

  #open(): raw.Waits {
    if (this.#waits !== undefined) return this.#waits;
    const [core, waits] = [inside(this), call(() => new raw.Waits())];
    core.hear(() => {
      if (this.#polls.size === 0) return;
      const registry = core.state.raw;
      const woken = registry === undefined ? this.#polls.keys() : call(() => waits.woken(registry));
      for (const own of [...woken]) {
        const go = this.#polls.get(own);
        this.#polls.delete(own);
        go?.();
      }
    });
    return (this.#waits = waits);
  }
}

/**
 * Follows one source: tells what to ask, and takes what is answered, by the client rules of its protocol. A follower is a loop: wait
 * `next.after`, ask with `next.query`, `next.headers` and as `next.ask` says, `push` what comes or tell that it `failed`.
 */
export class Feed {
  readonly #owned: Owned<raw.Feed>;

  constructor(options: FeedOptions) {
    const document = feedOf(options);
    this.#owned = new Owned("Feed", call(() => new raw.Feed(document)));
  }

  /** What to ask next. */
  get next(): Next {
    const feed = this.#owned.get();
    return frozen(call(() => feed.upcoming())) as Next;
  }

  /** Takes an answer. What is wrong with it is told in `problem`, and changes nothing but when to ask again. */
  push(registry: Registry, body: Uint8Array | string, transport?: Transport): Fed {
    known(transport, ["status", "headers", "complete", "now"]);
    const { status, headers, complete } = transport ?? {};
    const [document, bytes, feed] = [plain({ status, headers, complete }), bytesOf(body), this.#owned.get()];
    return frozen(inside(registry).change(transport, (inner, time) => feed.push(inner, bytes, document, time))) as Fed;
  }

  /** Notes that a question had no answer: no connection, a time-out. Gives what to ask next. */
  failed(options?: Timed): Next {
    known(options, ["now"]);
    const [feed, time] = [this.#owned.get(), numberOf(at(options?.now), "now")];
    return frozen(call(() => feed.failed(time))) as Next;
  }

  /** Frees its memory; the garbage collector would too. */
  dispose(): void {
    this.#owned.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function feedOf(feed: unknown): unknown {
  const given = plain(feed);
  return given !== null && typeof given === "object" && !Array.isArray(given) ? { format: "consul-health", ...given } : given;
}

/** A request that has no answer yet, a long poll, or none that is complete, a stream. */
export class Wait {
  readonly #registry: Registry;
  readonly #reply: Owned<raw.Reply>;

  /** Made by `Registry.handle`. */
  private constructor(registry: Registry, reply: raw.Reply) {
    this.#registry = registry;
    this.#reply = new Owned("Wait", reply);
  }

  /** When to ask again all the same. */
  get until(): number {
    return this.#reply.get().until() ?? 0;
  }

  /** Asks again: when something has changed that it is about, and at the latest at `until`. Gives the response, the next piece of one, or this. */
  resume(options?: Timed): HttpResponse | Wait {
    known(options, ["now"]);
    const reply = this.#reply.get();
    inside(this.#registry).change(options, (registry, time) => registry.resume(reply, time));
    const response = responseOf(reply);
    if (reply.until() !== undefined) return response ? { ...response, more: this } : this;
    this.dispose();
    return response as HttpResponse;
  }

  /** Frees its memory, as an answer does. */
  dispose(): void {
    this.#reply.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  static {
    waiting = (registry, reply) => new Wait(registry, reply);
    replyOf = (wait) => wait.#reply.get();
  }
}

/** The response, unless the request waits. */
/** The most bytes of a body that are read. */
let most: number | undefined;

/** The body of a request, or as much of it as shows that it is too large. */
async function wholeOf(request: Request): Promise<Uint8Array> {
  most ??= limits()["payload-bytes"] ?? 0;
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const reader = request.body?.getReader();
  while (reader !== undefined && size <= most) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
  }
  if (size > most) await reader?.cancel();
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

function withinOf(name: unknown, options: Within | undefined, fields: readonly string[]): [namespace: string, name: string] {
  known(options, fields);
  return [textOf(options?.namespace ?? "default", "namespace"), textOf(name, "name")];
}

function responseOf(reply: raw.Reply): HttpResponse | undefined {
  const status = reply.status();
  if (status === 0) return undefined;
  const flat = reply.headers();
  const headers = flat.flatMap((name, place) => (place % 2 === 0 ? [[name, flat[place + 1] as string] as const] : []));
  const body = reply.body() as Uint8Array<ArrayBuffer>;
  return { status, headers, body };
}
