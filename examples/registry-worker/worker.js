// A registry at the edge: a Durable Object that speaks callboard's HTTP API and those of Consul, Eureka and Nacos.
//
// The object keeps an entry in its storage for each instance and each override: a change is acknowledged when it is there, and costs what it changes. Renewals
// write nothing; when the object is started again, leases begin anew. With a namespace of Workers KV it also writes the copies that edge.js reads.
import { DurableObject } from "cloudflare:workers";
import { Registry, Server, Store } from "callboard/full";
import { Entries } from "./kv.js";

const AT_ONCE = 128; // keys that a call of the storage takes
export class Board extends DurableObject {
  #registry;
  #store = new Store();
  #saved = Promise.resolve();
  #server;
  #copies;

  constructor(state, env) {
    super(state, env);
    // What is in hand has bounds; a variable BOUNDS sets others than are usual.
    this.#server = new Server({ bounds: JSON.parse(env.BOUNDS ?? "{}") });
    this.#copies = env.COPY && new Entries(env.COPY);
    state.blockConcurrencyWhile(async () => {
      const { registry, skipped } = Registry.load(await state.storage.list());
      this.#registry = registry;
      for (const { key, error } of skipped) console.error(`${key} is left alone: ${error.code}`);
    });
  }

  async fetch(request) {
    const response = await this.#registry.respond(request, { server: this.#server, peer: request.headers.get("cf-connecting-ip") ?? "" });
    await this.#save();
    return response;
  }

  /** Called when leases are due, also when nobody asks. */
  async alarm() {
    this.#registry.advance();
    await this.#save();
  }

  /** One after the other: whoever comes meanwhile finds what the one before has left. */
  #save() {
    const saved = this.#saved.then(() => this.#keep());
    this.#saved = saved.catch(() => {});
    return saved;
  }

  async #keep() {
    const { storage } = this.ctx;
    const due = this.#store.writes(this.#registry);
    if (due !== undefined) {
      await storage.transaction(async (all) => {
        const leftovers = due.whole ? Store.leftovers(this.#registry, await all.list()) : [];
        const gone = [...leftovers, ...due.writes.filter(({ value }) => value === undefined).map(({ key }) => key)];
        const kept = due.writes.filter(({ value }) => value !== undefined).map(({ key, value }) => [key, value]);
        for (const keys of pieces(gone)) await all.delete(keys);
        for (const entries of pieces(kept)) await all.put(Object.fromEntries(entries));
      });
      this.#store.written();
    }
    // Nobody waits for the copies; one that failed is made up for by the next.
    const copied = this.#copies?.keep(this.#registry).catch((problem) => console.error(`worker: KV did not take what has changed: ${problem.message}`));
    if (copied) this.ctx.waitUntil(copied);
    if (this.#registry.deadline !== undefined && (await storage.getAlarm()) === null) await storage.setAlarm(Date.now() + 500);
  }
}

function* pieces(list) {
  for (let at = 0; at < list.length; at += AT_ONCE) yield list.slice(at, at + AT_ONCE);
}

export default {
  // One object for everybody; a namespace or a region of its own is another name.
  fetch: (request, env) => env.BOARD.get(env.BOARD.idFromName("board")).fetch(request),
};
