// What `import ... from "callboard/full"` gives: all of "callboard", and the parts that speak to other systems.
import * as raw from "#glue";
import { Balancer as CoreBalancer, excludeOf, keyOf, moreOf, ready, timeOf } from "./balancer.ts";
import { bytesOf, expected, frozen, frozenCamel, known, pairsOf, plain, textOf } from "./document.ts";
import { call } from "./errors.ts";
import { at } from "./meta.ts";
import { Owned } from "./owned.ts";
import { type Query, withQuery } from "./query.ts";
import { Registry as CoreRegistry, begin, inside, numberOf } from "./registry.ts";
import type { QueryExplanation, SavedQuery } from "./saved.ts";
import { type Asked, Host, type HttpRequest, type HttpResponse, type Served, type Wait, handle, served } from "./serve.ts";
import type { Unread } from "./store.ts";
import type { AdminState, Config, PickRequest, QueryDocument, Reconciled, Registration, Skipped, Timed } from "./types.ts";
import { Watch } from "./watch.ts";

export * from "./index.ts";
export { Server, Wait, isHeartbeat, proof } from "./serve.ts";
export type { Asked, Bounds, Grant, HttpRequest, HttpResponse, Principal, Proven, Served, ServerOptions } from "./serve.ts";
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

/** Whose name it is. */
export interface Within {
  /** Default `default`. */
  readonly namespace?: string;
}

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
    return frozenCamel(call(() => balancer.explain(key?.toString(), exclude, more, time))) as unknown as Explanation;
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

/** A registry that also takes other registries' payloads and answers the protocols of others. */
export class Registry extends CoreRegistry {
  readonly #host = new Host(this);

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
    const { server, ...timed } = options ?? {};
    return handle(this, request, server, timed);
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

  /**
   * `handle` for servers: reads the body within the bounds of `server`, and answers 503 what it has no room for; a long poll waits without holding anything
   * up. `pieces` has the whole body of a stream.
   */
  answer(request: Asked, options?: Served): Promise<HttpResponse> {
    known(options, ["server"]);
    return this.#host.answer(request, options?.server);
  }

  /** The body of an answer, piece by piece: one, or of a stream as many as there are until `signal` aborts or whoever reads them has enough. */
  pieces(response: HttpResponse, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    return this.#host.pieces(response, signal);
  }

  /** `answer` of a standard `Request`, with a standard `Response`. */
  respond(request: Request, options?: Served & { readonly peer?: string; readonly principal?: string }): Promise<Response> {
    known(options, ["server", "peer", "principal"]);
    const { server, peer = "", principal = "" } = options ?? {};
    return this.#host.respond(request, server, peer, principal);
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

function withinOf(name: unknown, options: Within | undefined, fields: readonly string[]): [namespace: string, name: string] {
  known(options, fields);
  return [textOf(options?.namespace ?? "default", "namespace"), textOf(name, "name")];
}
