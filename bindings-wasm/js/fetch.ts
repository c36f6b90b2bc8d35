// Calls services by name with `fetch`.
import { type Balancer, type Key, type Pick, isRepeatable } from "./balancer.ts";
import { known, wrong } from "./document.ts";
import { CallboardError } from "./errors.ts";
import { now } from "./meta.ts";
import { numberOf } from "./registry.ts";
import type { Instance, Outcome } from "./types.ts";

type Fetch = typeof fetch;

/** How `createFetch` calls. */
export interface FetchOptions {
  /** What sends a request; default the runtime's `fetch`. */
  readonly fetch?: Fetch;
  /** The routing key of a request, for a hashing policy. */
  readonly key?: (request: Request) => string | Key;
  /** How many seconds an attempt may take until its headers are there; without end when absent. */
  readonly timeout?: number;
}

/**
 * A `fetch` that calls services by name: with a balancer for `billing`, `http://billing/invoices` goes to an instance of it. A call
 * that failed goes to another instance, if `isRepeatable` says that it may, its body can be sent again (which that of a stream or of
 * a `Request` cannot) and the policy's budget for retries allows it. What became of each call is told to its balancer; a call is in
 * flight until its body was read or cancelled. Calls to other hosts go where they say.
 */
export function createFetch(services: Readonly<Record<string, Balancer>>, options: FetchOptions = {}): Fetch {
  known(options, ["fetch", "key", "timeout"]);
  const { key, timeout } = options;
  const seconds = timeout === undefined ? undefined : numberOf(timeout, "timeout");
  // The runtime's is looked up at each call: it may be replaced by one that traces.
  const send: Fetch = options.fetch ?? ((input, init) => fetch(input, init));
  const balancers = new Map<string, Balancer>();
  for (const [name, balancer] of Object.entries(services)) {
    const host = hostOf(name);
    if (host === undefined || balancers.has(host)) wrong(`${name} cannot be told from another host`, "services", "invalid-name");
    balancers.set(host, balancer);
  }
  return async (input, init) => {
    // A page may leave out where it came from.
    const url = new URL(input instanceof Request ? input.url : input, globalThis.location?.href);
    const balancer = balancers.get(url.hostname);
    if (balancer === undefined) return send(input, init);
    const message = await Message.of(input, init);
    const routing = key && { key: key(message.bare) };
    const tried: Instance[] = [];
    let pick = balancer.pick(routing);
    for (let delay = 0; ; ) {
      tried.push(pick.instance);
      const call = new Call(pick, message.signal);
      let response: Response | undefined;
      let failure: unknown;
      try {
        await pause(delay, message.signal);
        response = await call.within(seconds, (signal) => message.sendTo(send, placed(url, pick.instance), signal));
      } catch (thrown) {
        failure = thrown;
      }
      const outcome = response ? answered(response) : call.failure();
      const next = message.signal.aborted || !message.again ? undefined : another(balancer, message.bare.method, outcome, tried, routing);
      if (next === undefined) {
        if (response) return call.kept(response, outcome);
        call.finish(outcome);
        throw failure;
      }
      // The answer is not read: it would hold its connection.
      await response?.body?.cancel();
      call.finish(outcome);
      [delay, pick] = next;
    }
  };
}

/** A name as the host of a URL, which is in lower case; undefined where that is another, as of a name that ends in a number. */
function hostOf(name: string): string | undefined {
  try {
    const { hostname } = new URL(`http://${name}`);
    return hostname === name.toLowerCase() ? hostname : undefined;
  } catch {
    return undefined;
  }
}

/** After how many seconds whom to try instead; undefined when nobody else is to be. */
function another(balancer: Balancer, method: string, outcome: Outcome, tried: readonly Instance[], routing?: { key: string | Key }): [number, Pick] | undefined {
  if (!isRepeatable(method, outcome)) return undefined;
  const delay = balancer.retryDelay(tried.length);
  if (delay === undefined || !balancer.mayRetry()) return undefined;
  try {
    return [delay, balancer.pick({ ...routing, exclude: tried })];
  } catch (thrown) {
    // Nobody is left: what there was of an answer is the answer.
    if (thrown instanceof CallboardError) return undefined;
    throw thrown;
  }
}

/** The same path at an instance, whose URL has none. It is not resolved: one that begins with two slashes would name a host of its own. */
function placed(url: URL, { url: place }: Instance): URL {
  return new URL(`${place}${url.pathname}${url.search}`);
}

function answered({ status, headers }: Response): Outcome {
  const after = headers.get("retry-after") ?? "";
  // A number without end is no time to be spared.
  return /^\d{1,9}$/.test(after) ? { status, retryAfter: Number(after) } : { status };
}

/** A request that may be sent more than once. */
class Message {
  /** Whether it may be. */
  readonly again: boolean;
  readonly signal: AbortSignal;

  private constructor(readonly bare: Request, private readonly init: RequestInit, private readonly body: BodyInit | undefined) {
    this.again = bare.body == null && !(body instanceof ReadableStream);
    // Not every runtime gives a request a signal that it was not given.
    this.signal = (bare.signal as AbortSignal | null) ?? new AbortController().signal;
  }

  static async of(input: RequestInfo | URL, init: RequestInit = {}): Promise<Message> {
    const { body, headers, ...rest } = init;
    const bare = new Request(input, headers === undefined ? rest : { ...rest, headers });
    if (body === null || body === undefined || body instanceof ReadableStream) return new Message(bare, rest, body ?? undefined);
    // Read once: a form has another boundary each time.
    const whole = new Response(body);
    // Bun does not say that text is text.
    const type = whole.headers.get("content-type") ?? (typeof body === "string" ? "text/plain;charset=UTF-8" : null);
    if (type !== null && !bare.headers.has("content-type")) bare.headers.set("content-type", type);
    return new Message(bare, rest, await whole.arrayBuffer());
  }

  sendTo(send: Fetch, url: URL, signal: AbortSignal): Promise<Response> {
    const { bare, init, body } = this;
    return send(new Request(url, bare), body === undefined ? { ...init, signal } : { ...init, body, signal });
  }
}

/** One call, and what became of it. */
class Call {
  readonly #pick: Pick;
  readonly #caller: AbortSignal;
  readonly #abort = new AbortController();
  readonly #forward = (): void => this.#abort.abort(this.#caller.reason);
  #started = now();
  #late = false;

  constructor(pick: Pick, caller: AbortSignal) {
    this.#pick = pick;
    this.#caller = caller;
    if (caller.aborted) this.#forward();
    caller.addEventListener("abort", this.#forward);
  }

  /** Does it, and gives up when it takes too long. */
  async within(seconds: number | undefined, act: (signal: AbortSignal) => Promise<Response>): Promise<Response> {
    this.#started = now();
    const late = (): void => {
      this.#late = true;
      this.#abort.abort(new DOMException("no answer in time", "TimeoutError"));
    };
    const timer = seconds === undefined ? undefined : setTimeout(late, seconds * 1000);
    try {
      return await act(this.#abort.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** How it ended without an answer. */
  failure(): Outcome {
    if (this.#late) return { kind: "timeout" };
    if (!this.#caller.aborted) return { kind: "connect" };
    // A caller who sets a time tells of the instance; one who leaves does not.
    return { kind: this.#caller.reason?.name === "TimeoutError" ? "timeout" : "cancelled" };
  }

  finish(outcome: Outcome): void {
    this.#caller.removeEventListener("abort", this.#forward);
    this.#pick.finish({ latency: Math.max(now() - this.#started, 0) / 1e6, ...outcome });
  }

  /** The response, whose body's end ends the call. */
  kept(response: Response, outcome: Outcome): Response {
    if (response.body === null) {
      this.finish(outcome);
      return response;
    }
    const reader = response.body.getReader();
    const body = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          this.finish(outcome);
          controller.close();
        } catch (thrown) {
          this.finish(this.failure());
          controller.error(thrown);
        }
      },
      cancel: async (reason) => {
        this.finish(outcome);
        await reader.cancel(reason);
      },
    }, { highWaterMark: 0 });
    const kept = new Response(body, response);
    for (const name of ["url", "redirected"] as const) Object.defineProperty(kept, name, { value: response[name] });
    return kept;
  }
}

function pause(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    if (seconds === 0) return resolve();
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", over);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = setTimeout(over, seconds * 1000);
    signal.addEventListener("abort", over);
  });
}
