// How a consumer follows the board: the registry server's answers, kept in a registry of its own.

/** Keeps `registry` equal to what the server says of one service. */
export class Follower {
  #registry;
  #feed;
  #since = "";

  constructor(registry, namespace, service, source = "callboard") {
    this.#registry = registry;
    this.#feed = { source, format: "callboard", namespace, service };
  }

  /** Whether there was an answer yet. */
  get started() {
    return this.#since !== "";
  }

  /** What to ask next: answered at once when something is new, and after `wait` seconds at the latest. */
  path(wait) {
    return `/v1/instances/${this.#feed.namespace}/${this.#feed.service}?wait=${wait}${this.#since}`;
  }

  /** Takes an answer. */
  feed(body, now) {
    this.#registry.feed(this.#feed, body, { now });
    const { epoch, revision } = JSON.parse(body);
    this.#since = `&epoch=${epoch}&revision=${revision}`;
  }
}
