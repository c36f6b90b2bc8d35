// The protocols: requests as values, and the one who answers them for a server.
import * as raw from "#glue";
import { bytesOf, expected, known, pairsOf, settings, textOf } from "./document.ts";
import { call } from "./errors.ts";
import { now } from "./meta.ts";
import { Owned } from "./owned.ts";
import { type Registry, inside, numberOf, pause } from "./registry.ts";
import type { Timed } from "./types.ts";

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

/** A request whose body may still have to come. */
export interface Asked extends Omit<HttpRequest, "body"> {
  /** Also piece by piece, as Node's requests and streams give it. */
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
  /** Aborts when whoever asked has hung up. It is looked at only by what has to wait. */
  readonly signal?: AbortSignal | undefined;
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

/** How much is taken at a time by `answer` and `respond`; what comes above that is answered 503 with `retry-after`. */
export interface Bounds {
  /** Requests in hand: their bodies are read, or they wait. Default 8192. */
  readonly requests?: number;
  /** Large bodies, of more than 64 KiB, that are read at a time. Default 32. */
  readonly bodies?: number;
  /** Long polls, and streams with nothing to tell, at a time. Default 4096. */
  readonly waits?: number;
  /** Seconds that a body may take to arrive, 0.001 to 3600. Default 10. */
  readonly patience?: number;
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
  /** How much is taken at a time. */
  readonly bounds?: Bounds;
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

/** @internal */
export let served: (server: Server | undefined) => raw.Server;
let waiting: (registry: Registry, reply: raw.Reply) => Wait;
let replyOf: (wait: Wait) => raw.Reply;

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

  /** @internal */
  static {
    let usual: Server | undefined;
    served = (server) => (server ?? (usual ??= new Server())).#owned.get();
  }
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

const REQUEST = ["method", "path", "query", "headers", "body", "peer", "principal"];
const ASKED = [...REQUEST, "signal"];
const NOTHING = new Uint8Array(0);

/** `Registry.handle`. @internal */
export function handle(registry: Registry, request: HttpRequest, given: Server | undefined, timed: Timed): HttpResponse | Wait {
  known(request, REQUEST);
  const { method, path, query = "", headers = [], body = NOTHING, peer = "", principal = "" } = request;
  const texts = [textOf(method, "method"), textOf(path, "path"), textOf(query, "query"), textOf(peer, "peer"), textOf(principal, "principal")];
  texts.push(...pairsOf(headers, "headers"));
  // One text crosses faster than many. A NUL is no better than any other control character, of which nothing may have one.
  const head = texts.map((text) => (text.includes("\0") ? text.replaceAll("\0", "\x01") : text)).join("\0");
  const [bytes, server] = [bytesOf(body), served(given)];
  const reply = inside(registry).change(timed, (inner, time) => inner.handle(head, bytes, server, time));
  const response = responseOf(reply);
  if (reply.until() !== undefined) {
    const wait = waiting(registry, reply);
    return response ? { ...response, more: wait } : wait;
  }
  reply.free();
  return response as HttpResponse;
}

/** A body that has to be read: of as many bytes as the server behind it sees to, or piece by piece. */
type Unread =
  | { readonly length: number; readonly whole: () => Promise<ArrayBuffer> }
  | { readonly length: undefined; readonly parts: () => AsyncIterable<Uint8Array> | null };

/** Whoever answers the requests to a registry: what it has in hand, and what waits. @internal */
export class Host {
  readonly #registry: Registry;
  #room: raw.Room | undefined;
  #waits: raw.Waits | undefined;
  /** What lets each long poll that waits go on. */
  readonly #polls = new Map<number, () => void>();
  #lastPoll = 0;

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  async answer(asked: Asked, given: Server | undefined): Promise<HttpResponse> {
    known(asked, ASKED);
    const { method, path, query, headers, body, peer, principal } = asked;
    const request = { method, path, query, headers, peer, principal } as HttpRequest;
    if (body === undefined || typeof body === "string" || body instanceof Uint8Array) {
      return this.#within(given, () => this.#answered(body === undefined ? request : { ...request, body }, given, asked));
    }
    if (typeof body?.[Symbol.asyncIterator] !== "function") return expected("bytes or a stream of them", body, "body");
    return this.#read(request, { length: undefined, parts: () => body }, given, asked);
  }

  async respond(asked: Request, given: Server | undefined, peer: string, principal: string): Promise<Response> {
    const { method, url, headers } = asked;
    // An URL that is written out has its path as it was sent: nothing of it needs to be parsed.
    const path = url.startsWith("/") ? 0 : url.indexOf("/", url.indexOf("//") + 2);
    const end = url.indexOf("#", path);
    const target = url.slice(path, end < 0 ? undefined : end);
    const mark = target.indexOf("?");
    const request = { method, path: mark < 0 ? target : target.slice(0, mark), query: mark < 0 ? "" : target.slice(mark + 1), headers, peer, principal };
    const length = method === "GET" || method === "HEAD" ? 0 : lengthOf(headers.get("content-length"));
    const unread: Unread =
      length === undefined ? { length, parts: () => asked.body as AsyncIterable<Uint8Array> | null } : { length, whole: () => asked.arrayBuffer() };
    const response =
      length === 0 ? await this.#within(given, () => this.#answered(request, given, asked)) : await this.#read(request, unread, given, asked);
    const { status, body } = response;
    const whole = response.more ? this.#streamed(response, asked.signal) : body.length === 0 ? null : body;
    return new Response(whole, { status, headers: response.headers as [string, string][] });
  }

  /** The body of a response, piece by piece; each is made when the one before it was taken. */
  async *pieces({ body, more }: HttpResponse, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array<ArrayBuffer>, void, void> {
    try {
      yield body;
      while (more) {
        const piece = await this.#settled(more.resume(), { signal });
        // There is no room to wait on.
        if (piece.status !== 200) return;
        yield piece.body;
        more = piece.more;
      }
    } finally {
      more?.dispose();
    }
  }

  #streamed(response: HttpResponse, asked: AbortSignal): ReadableStream<Uint8Array<ArrayBuffer>> {
    const over = new AbortController();
    const end = (): void => over.abort();
    asked.addEventListener("abort", end);
    const pieces = this.pieces(response, over.signal);
    return new ReadableStream({
      pull: async (controller) => {
        const { done, value } = await pieces.next();
        if (!done) return controller.enqueue(value);
        asked.removeEventListener("abort", end);
        controller.close();
      },
      cancel: async () => {
        asked.removeEventListener("abort", end);
        end();
        // Whatever it still waited for has failed with that.
        await pieces.return().catch(() => {});
      },
    });
  }

  /** Does something while a request has its place. */
  async #within(given: Server | undefined, act: (room: raw.Room, server: raw.Server) => Promise<HttpResponse>, held: () => number = () => 0): Promise<HttpResponse> {
    const [room, server] = [(this.#room ??= call(() => new raw.Room())), served(given)];
    const refused = call(() => room.enter(server));
    if (refused !== undefined) return refusal(refused);
    try {
      return await act(room, server);
    } finally {
      call(() => room.leave(held()));
    }
  }

  /** An answer to a request whose body has to be read before. */
  #read(request: HttpRequest, unread: Unread, given: Server | undefined, asked: { readonly signal?: AbortSignal | undefined }): Promise<HttpResponse> {
    let held = 0;
    const read = async (room: raw.Room, server: raw.Server): Promise<HttpResponse> => {
      const take = (bytes: number): HttpResponse | undefined => {
        const refused = call(() => room.take(server, held, bytes));
        if (refused !== undefined) return refusal(refused);
        held = Math.max(held, bytes);
        return undefined;
      };
      const body = await inTime(call(() => server.patience()), (isOver) => gathered(unread, take, isOver));
      if (typeof body === "boolean") return refusal(call(() => raw.Room.unread(server, body)));
      if (!(body instanceof Uint8Array)) return body;
      call(() => room.read(held));
      held = 0;
      return this.#answered({ ...request, body }, given, asked);
    };
    return this.#within(given, read, () => held);
  }

  #answered(request: HttpRequest, given: Server | undefined, asked: { readonly signal?: AbortSignal | undefined }): Promise<HttpResponse> {
    return this.#settled(handle(this.#registry, request, given, {}), asked);
  }

  /** A reply that waits no more. */
  async #settled(reply: HttpResponse | Wait, asked: { readonly signal?: AbortSignal | undefined }): Promise<HttpResponse> {
    while (reply instanceof Wait) {
      const waits = this.#open();
      const waited = replyOf(reply);
      call(() => waits.admit(waited));
      if (responseOf(waited) === undefined) await this.#concerned(waits, reply, asked.signal);
      reply = reply.resume();
    }
    return reply;
  }

  /** Resolves when something has changed that a long poll is about, or when it is over. Meanwhile it does the timed work that is due. */
  async #concerned(waits: raw.Waits, wait: Wait, signal: AbortSignal | undefined): Promise<void> {
    const [core, own] = [inside(this.#registry), ++this.#lastPoll];
    const number = call(() => waits.add(core.raw(), replyOf(wait), own));
    if (number === undefined) return;
    this.#polls.set(own, () => {});
    try {
      while (this.#polls.has(own) && core.state.raw !== undefined && now() < wait.until) {
        signal?.throwIfAborted();
        // A nearer deadline comes with a change of what it is for: who waits for that looks again.
        await pause(Math.min(core.state.deadline, wait.until) - now(), signal, (done) => this.#polls.set(own, done));
        if (core.state.deadline <= now()) this.#registry.advance();
      }
      signal?.throwIfAborted();
    } finally {
      this.#polls.delete(own);
      call(() => waits.remove(number));
    }
  }

  #open(): raw.Waits {
    if (this.#waits !== undefined) return this.#waits;
    const [core, waits] = [inside(this.#registry), call(() => new raw.Waits())];
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

/** What became of something within so many milliseconds: true when it is not done by then, false when it failed. */
function inTime<T>(patience: number, act: (isOver: () => boolean) => Promise<T>): Promise<T | boolean> {
  return new Promise((resolve) => {
    let over = false;
    const end = (result: T | boolean): void => {
      clearTimeout(timer);
      over = true;
      resolve(result);
    };
    const timer = setTimeout(end, patience, true);
    act(() => over).then(end, () => end(false));
  });
}

/** A body, or what it is refused with. */
async function gathered(
  unread: Unread, take: (bytes: number) => HttpResponse | undefined, isOver: () => boolean,
): Promise<Uint8Array | HttpResponse> {
  if (unread.length !== undefined) return take(unread.length) ?? new Uint8Array(await unread.whole());
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of unread.parts() ?? []) {
    size += part.length;
    // Who leaves the loop lets go of the stream.
    const refused = isOver() ? NOTHING : take(size);
    if (refused !== undefined) return refused;
    parts.push(part);
  }
  if (parts.length === 1) return parts[0] as Uint8Array;
  const all = new Uint8Array(size);
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

function lengthOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,15}$/.test(header) ? Number(header) : undefined;
}

function refusal(reply: raw.Reply): HttpResponse {
  const response = responseOf(reply) as HttpResponse;
  reply.free();
  return response;
}

/** The response, unless the request waits. */
function responseOf(reply: raw.Reply): HttpResponse | undefined {
  const status = reply.status();
  if (status === 0) return undefined;
  const lines = reply.headers().split("\n");
  const headers: (readonly [string, string])[] = [];
  for (let at = 0; at + 1 < lines.length; at += 2) headers.push([lines[at] as string, lines[at + 1] as string]);
  const body = reply.body() as Uint8Array<ArrayBuffer>;
  return { status, headers, body };
}
