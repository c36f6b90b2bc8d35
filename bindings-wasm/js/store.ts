// What an engine that keeps bytes has to write.
import * as raw from "#glue";
import { frozen } from "./document.ts";
import { call } from "./errors.ts";
import type { Registry } from "./full.ts";
import { Owned } from "./owned.ts";
import { inside } from "./registry.ts";

/** What an engine has to write, at once if it can. */
export interface Writes {
  /** Whether these are all entries that there are: any other key goes. */
  readonly whole: boolean;
  /** Keys, below whatever prefix the host puts before all of them; one without a value is removed, whether or not it is there. */
  readonly writes: readonly { readonly key: string; readonly value?: string }[];
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
