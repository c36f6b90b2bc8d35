// A registry in Workers KV: an entry for each instance and each override, below a prefix that is the registry's alone.
//
// KV is made for what is read everywhere and written seldom. A change is seen in other places after up to a minute, and not in the order of the changes; of two
// writers the last one wins, and neither learns of it; and a key takes one write a second. So it holds copies that one writer makes, such as the Durable
// Object of worker.js. It is no place for a registry that several Workers write, and what a lease's end removes is removed by the writer: KV itself lets nothing go
// before a minute has passed.
import { Registry, Store } from "callboard/full";

const AT_ONCE = 100; // keys of one read
const WRITING = 6; // connections that a Worker may have open
const PAUSE = 1_100; // milliseconds between two writes of a key
const LAST = "registry"; // the entry that is written when all others are

export class Entries {
  #kv;
  #prefix;
  #store = new Store();
  #last = Promise.resolve();
  #next;

  constructor(kv, prefix = "callboard/") {
    this.#kv = kv;
    this.#prefix = prefix;
  }

  /**
   * The registry that KV holds here, and what below the prefix is damaged or none of its entries: that is left alone. Undefined where there is no copy, or not yet
   * a whole one.
   */
  async load() {
    const entries = await this.#entries();
    return entries.some(([key]) => key === LAST) ? Registry.load(entries) : undefined;
  }

  /** Has KV hold what has changed. Whoever comes while a write is due shares it; of one that failed, the next does all. */
  keep(registry) {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined;
      const written = this.#write(registry);
      const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE));
      this.#last = written.then(pause, pause);
      return written;
    });
    return this.#next;
  }

  async #write(registry) {
    const due = this.#store.writes(registry);
    if (due === undefined) return;
    const gone = due.whole ? Store.leftovers(registry, await this.#entries()) : [];
    const last = due.writes.find(({ key }) => key === LAST);
    const entries = [...gone.map((key) => ({ key })), ...due.writes.filter((one) => one !== last)];
    for (const some of pieces(entries, WRITING)) await Promise.all(some.map((one) => this.#put(one)));
    if (last) await this.#put(last);
    this.#store.written();
  }

  #put({ key, value }) {
    return value === undefined ? this.#kv.delete(this.#prefix + key) : this.#kv.put(this.#prefix + key, value);
  }

  async #entries() {
    const entries = [];
    for (const keys of pieces(await this.#keys(), AT_ONCE)) {
      for (const [key, value] of await this.#kv.get(keys)) {
        // Removed since it was listed.
        if (value !== null) entries.push([key.slice(this.#prefix.length), value]);
      }
    }
    return entries;
  }

  async #keys() {
    const names = [];
    for (let cursor, done = false; !done;) {
      const page = await this.#kv.list({ prefix: this.#prefix, cursor });
      names.push(...page.keys.map(({ name }) => name));
      [cursor, done] = [page.cursor, page.list_complete];
    }
    return names;
  }
}

function* pieces(list, size) {
  for (let at = 0; at < list.length; at += size) yield list.slice(at, at + size);
}
