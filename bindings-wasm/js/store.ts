// What an engine that keeps bytes has to write.
import * as raw from "#glue";
import { frozen, pairsOf } from "./document.ts";
import { call } from "./errors.ts";
import type { Registry } from "./full.ts";
import { Owned } from "./owned.ts";
import { inside } from "./registry.ts";

/** What an engine has to write, at once if it can. */
export interface Writes {
  /** Whether these are all entries that there are: of the others that the engine holds, the `Store.leftovers` go. */
  readonly whole: boolean;
  /**
   * Keys, below whatever prefix the host puts before all of them; one without a value is removed, whether or not it is there. `ttl`: for how many seconds an
   * engine that can has to keep it without being told again by `refresh`; absent: for ever.
   */
  readonly writes: readonly { readonly key: string; readonly value?: string; readonly ttl?: number }[];
  /** Which ttls begin anew for all keys that were written with them. If the engine has let go of the keys, say `failed` and ask again. */
  readonly refresh: readonly number[];
}

/** An entry of an engine that is not ours or is damaged. */
export interface Unread {
  readonly key: string;
  readonly error: { readonly code: string; readonly field: string };
}

/** Bytes for a file. */
export interface Frame {
  /** Whether they take the place of the file: write them beside it, make that durable, rename. Otherwise append them. */
  readonly replace: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * What an engine holds of a registry, and what it does not yet. Ask `writes`, or `frame` for a file, after each change; write what it says; then call
 * `written`, and only then acknowledge the change.
 */
export class Store {
  readonly #owned: Owned<raw.Store>;

  constructor() {
    this.#owned = new Owned("Store", call(() => new raw.Store()));
  }

  /** The entries to write now, if any. */
  writes(registry: Registry): Writes | undefined {
    const [store, inner] = [this.#owned.get(), inside(registry).raw()];
    return frozen(call(() => store.writes(inner))) as Writes | undefined;
  }

  /** Of the entries that an engine holds, the keys that go with a whole answer. What is not ours or cannot be read is not among them. */
  static leftovers(registry: Registry, entries: Iterable<readonly [key: string, value: string]>): readonly string[] {
    const [inner, texts] = [inside(registry).raw(), pairsOf(entries, "entries")];
    return Object.freeze(call(() => raw.Store.leftovers(inner, texts)));
  }

  /** The bytes to write to a file now, if any. */
  frame(registry: Registry): Frame | undefined {
    const [store, inner] = [this.#owned.get(), inside(registry).raw()];
    const bytes = call(() => store.frame(inner)) as Uint8Array<ArrayBuffer> | undefined;
    return bytes && Object.freeze({ replace: store.replaces(), bytes });
  }

  /** The last answer is written, and will be there after a power cut. */
  written(): void {
    this.#owned.get().written();
  }

  /** Nobody knows what the engine holds now: the next answer is whole. */
  failed(): void {
    this.#owned.get().failed();
  }

  /** Frees its memory; the garbage collector would too. */
  dispose(): void {
    this.#owned.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
