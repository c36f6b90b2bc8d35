// Several servers over one etcd.
import * as raw from "#glue";
import { bytesOf, frozen, known, plain } from "./document.ts";
import { call } from "./errors.ts";
import type { Registry } from "./full.ts";
import { Owned } from "./owned.ts";
import { inside, numberOf } from "./registry.ts";
import type { Unread } from "./store.ts";
import type { Timed } from "./types.ts";

/** A question to etcd's JSON gateway: a body to `POST`. */
export interface Ask {
  readonly path: string;
  readonly body: string;
  /** Whether the answer is a stream of lines; otherwise it is one body. */
  readonly stream: boolean;
  /** How many seconds to wait before. */
  readonly after: number;
}

/** What an answer led to. */
export interface Told {
  /** Whether `follow` has another question; otherwise the stream goes on. */
  readonly again: boolean;
  /** What is not callboard's or could not be read. */
  readonly skipped: readonly Unread[];
}

/** How servers share an engine. */
export interface ReplicaOptions {
  /** What stands before every key; default `callboard/`. */
  readonly prefix?: string;
  /** How many changes may wait for an engine that is away; 0, the default, refuses them all. */
  readonly queue?: number;
}

/**
 * A registry's part in an etcd that several servers share. A host carries questions and answers: one after the other for `ask`, each followed by `answer` or
 * `failed`; and besides them the one stream of `follow`, with `push` for each body or line, and `lost`.
 */
export class Replica {
  readonly #owned: Owned<raw.Replica>;

  constructor(options?: ReplicaOptions) {
    known(options, ["prefix", "queue"]);
    const settings = plain(options ?? {});
    this.#owned = new Owned("Replica", call(() => new raw.Replica(settings)));
  }

  /** Whether what the registry says may be behind what other servers know. */
  get stale(): boolean {
    return this.#owned.get().stale();
  }

  /** When `ask` has a question next, if nothing changes before; undefined before the first listing. */
  get deadline(): number | undefined {
    return this.#owned.get().deadline();
  }

  /** What became of all changes up to an edition of the registry: `unknown` while the engine is away. */
  fate(edition: number): "kept" | "waiting" | "unknown" {
    return this.#owned.get().fate(numberOf(edition, "edition")) as "kept" | "waiting" | "unknown";
  }

  /** What to follow the others with. */
  follow(): Ask {
    const replica = this.#owned.get();
    return frozen(call(() => replica.follow())) as Ask;
  }

  /** The next question about what there is to say, if any. */
  ask(registry: Registry, options?: Timed): Ask | undefined {
    known(options, ["now"]);
    const replica = this.#owned.get();
    return frozen(inside(registry).change(options, (inner, time) => replica.ask(inner, time))) as Ask | undefined;
  }

  /** Takes the answer to the last question. */
  answer(registry: Registry, body: Uint8Array | string, options?: Timed): Told {
    known(options, ["now"]);
    const [replica, bytes] = [this.#owned.get(), bytesOf(body)];
    return frozen(inside(registry).change(options, (inner, time) => replica.answer(inner, bytes, time))) as Told;
  }

  /** There was no answer to the last question, or none in time. */
  failed(registry: Registry, options?: Timed): void {
    known(options, ["now"]);
    const replica = this.#owned.get();
    inside(registry).change(options, (inner, time) => replica.failed(inner, time));
  }

  /** Takes a body or a line that `follow` was answered with. */
  push(registry: Registry, body: Uint8Array | string, options?: Timed): Told {
    known(options, ["now"]);
    const [replica, bytes] = [this.#owned.get(), bytesOf(body)];
    return frozen(inside(registry).change(options, (inner, time) => replica.push(inner, bytes, time))) as Told;
  }

  /** The stream, or the question for it, ended. */
  lost(registry: Registry, options?: Timed): void {
    known(options, ["now"]);
    const replica = this.#owned.get();
    inside(registry).change(options, (inner, time) => replica.lost(inner, time));
  }

  /** Frees its memory; the garbage collector would too. */
  dispose(): void {
    this.#owned.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
