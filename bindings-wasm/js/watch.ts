// Following a query, change by change.
import * as raw from "#glue";
import { frozen } from "./document.ts";
import { call } from "./errors.ts";
import { Owned } from "./owned.ts";
import { Query, withQuery } from "./query.ts";
import { type Registry, inside } from "./registry.ts";
import type { Change, Delta, Instance, QueryDocument } from "./types.ts";

/** A delta with handles in the place of instances. */
type RawDelta = Omit<Delta, "added" | "updated"> & { readonly added: readonly number[]; readonly updated: readonly number[] };

/**
 * What matches a query, change by change; made by `Registry.watch`. The first delta adds every instance that matches
 * already. Changes that pass unread are folded into one for each instance: a slow reader gets the net difference and
 * never loses state.
 *
 * `poll` never waits; `for await (const change of watch)` does, and ends when the watch is disposed of.
 */
export class Watch implements AsyncIterable<Change> {
  /** Who is asked for; of a saved query, who was when this was made. */
  readonly query: Query;
  readonly #registry: Registry;
  readonly #view: Owned<raw.View>;
  #done = false;

  /** @internal */
  constructor(registry: Registry, query: string | QueryDocument | Query, view?: raw.View) {
    this.query = new Query(query);
    this.#registry = registry;
    this.#view = new Owned("Watch", view ?? withQuery(this.query, (asked) => call(() => new raw.View(asked))));
  }

  /** What is different since the last call; undefined when nothing is. */
  poll(): Delta | undefined {
    const view = this.#view.get();
    const registry = inside(this.#registry);
    const raw = registry.raw();
    const delta = frozen(call(() => view.poll(raw))) as RawDelta | undefined;
    if (delta === undefined) return undefined;
    const instances = (handles: readonly number[]) => Object.freeze(handles.map((handle) => registry.instance(handle) as Instance));
    return Object.freeze({ ...delta, added: instances(delta.added), updated: instances(delta.updated) });
  }

  /** Waits for changes and yields one after the other, by service and id. A `signal` ends the waiting with its reason. */
  async *changes(signal?: AbortSignal): AsyncGenerator<Change, void, undefined> {
    for await (const delta of this.deltas(signal)) yield* changesOf(delta);
  }

  /** Waits for changes and yields all that are there at a time. */
  async *deltas(signal?: AbortSignal): AsyncGenerator<Delta, void, undefined> {
    while (!this.#done) {
      const revision = this.#registry.revision;
      const delta = this.poll();
      if (delta) yield delta;
      else await this.#registry.changed({ revision, ...(signal ? { signal } : {}) });
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<Change, void, undefined> {
    return this.changes();
  }

  /** Frees its memory and ends the iterations over it at their next step. */
  dispose(): void {
    this.#done = true;
    this.#view.dispose();
    this.query.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The changes of a delta by service and id; of one that was replaced, the removal first. */
function changesOf(delta: Delta): Change[] {
  const of = (kind: "added" | "updated") => (instance: Instance): Change => {
    return { kind, service: instance.service, id: instance.id, handle: instance.handle, instance };
  };
  const removed = delta.removed.map((gone): Change => ({ kind: "removed", ...gone }));
  const order = (one: string, other: string): number => (one < other ? -1 : Number(one > other));
  return [...removed, ...delta.added.map(of("added")), ...delta.updated.map(of("updated"))]
    .sort((one, other) => order(one.service, other.service) || order(one.id, other.id));
}
