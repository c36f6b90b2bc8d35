// A registry at the edge: a Durable Object that speaks callboard's HTTP API and those of Consul, Eureka and Nacos.
//
// The object keeps a snapshot in its storage: a change is acknowledged when the snapshot that holds it is there. Renewals write nothing; when the object
// is started again, leases begin anew.
import { DurableObject } from "cloudflare:workers";
import { Registry, Server } from "callboard/full";

const PIECE = 100_000; // bytes of one value; 128 KiB is the most
const server = new Server();

export class Board extends DurableObject {
  #registry;
  #saved = -1;

  constructor(state, env) {
    super(state, env);
    state.blockConcurrencyWhile(async () => {
      const pieces = (await state.storage.get("pieces")) ?? 0;
      const names = Array.from({ length: pieces }, (_, at) => `piece:${at}`);
      const stored = names.length > 0 ? await state.storage.get(names) : new Map();
      const snapshot = new Uint8Array(await new Blob(names.map((name) => stored.get(name))).arrayBuffer());
      this.#registry = pieces > 0 ? Registry.restore(snapshot) : new Registry();
      this.#saved = this.#registry.edition;
    });
  }

  async fetch(request) {
    const response = await this.#registry.respond(request, { server, peer: request.headers.get("cf-connecting-ip") ?? "" });
    await this.#save();
    return response;
  }

  /** Called when leases are due, also when nobody asks. */
  async alarm() {
    this.#registry.advance();
    await this.#save();
  }

  async #save() {
    const { storage } = this.ctx;
    if (this.#saved !== this.#registry.edition) {
      const [snapshot, edition] = [this.#registry.snapshot(), this.#registry.edition];
      const pieces = Math.ceil(snapshot.length / PIECE);
      const values = Array.from({ length: pieces }, (_, at) => [`piece:${at}`, snapshot.slice(at * PIECE, (at + 1) * PIECE)]);
      await storage.transaction(async (all) => {
        for (const [name, value] of values) await all.put(name, value);
        await all.put("pieces", pieces);
      });
      this.#saved = edition;
    }
    if (this.#registry.deadline !== undefined && (await storage.getAlarm()) === null) await storage.setAlarm(Date.now() + 500);
  }
}

export default {
  // One object for everybody; a namespace or a region of its own is another name.
  fetch: (request, env) => env.BOARD.get(env.BOARD.idFromName("board")).fetch(request),
};
