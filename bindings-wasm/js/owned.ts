import { fail, sound } from "./errors.ts";

/** A thing that lives in the module until it is disposed of, or until the garbage collector gets to it. @internal */
export class Owned<T extends { free(): void }> {
  #thing: T | undefined;
  readonly #name: string;

  constructor(name: string, thing: T) {
    this.#name = name;
    this.#thing = thing;
  }

  /** The thing; an error after `dispose`. */
  get(): T {
    sound();
    return this.#thing ?? this.#gone();
  }

  /** Puts another in its place. */
  set(thing: T): void {
    this.get().free();
    this.#thing = thing;
  }

  dispose(): void {
    const thing = this.#thing;
    this.#thing = undefined;
    thing?.free();
  }

  #gone(): never {
    const message = `disposed: this ${this.#name} was disposed of and can no longer be used`;
    throw fail("UsageError", { code: "disposed", message });
  }
}
