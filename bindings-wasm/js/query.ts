// Who is asked for.
import * as raw from "#glue";
import { DOCUMENT, expected, frozen, plain } from "./document.ts";
import { call } from "./errors.ts";
import { Owned } from "./owned.ts";
import type { QueryDocument, Registration } from "./types.ts";

/** Calls the module with the parsed query behind an argument. @internal */
export let withQuery: <T>(query: string | QueryDocument | Query, use: (query: raw.Query) => T) => T;

/**
 * Who is asked for: the instances of a service of which every condition holds, or, without a service, those of every
 * service of the namespace. Parsed once and immutable; wherever a `Query` can stand, so can its document or the name
 * of a service.
 */
export class Query {
  readonly #raw: Owned<raw.Query>;

  constructor(query: string | QueryDocument | Query) {
    const document = typeof query === "string" ? { service: query } : plain(query);
    if (document === null || typeof document !== "object") expected("a map", query, "");
    this.#raw = new Owned("Query", call(() => new raw.Query(document)));
  }

  /** Whether an instance registered so would be found. */
  matches(registration: Registration): boolean {
    const [query, document] = [this.#raw.get(), plain(registration)];
    return call(() => query.matches(document));
  }

  /** The query as a document, its defaults filled in and its selector as the parser prints it. */
  toJSON(): QueryDocument {
    const query = this.#raw.get();
    return frozen(call(() => query.document())) as QueryDocument;
  }

  /** @internal */
  [DOCUMENT](): unknown {
    return this.toJSON();
  }

  /** Frees its memory; the garbage collector would in time, where the runtime lets it. */
  dispose(): void {
    this.#raw.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** @internal */
  static {
    withQuery = (query, use) => {
      if (query instanceof Query) return use(query.#raw.get());
      const parsed = new Query(query);
      try {
        return use(parsed.#raw.get());
      } finally {
        parsed.dispose();
      }
    };
  }
}
