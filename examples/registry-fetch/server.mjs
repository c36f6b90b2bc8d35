// A registry on Node, Deno or Bun: callboard's HTTP API and those of Consul, Eureka and Nacos, in one fetch handler.
//
//     PORT=7400 node server.mjs
//     deno run --allow-net --allow-env --allow-read --allow-write server.mjs
//     bun server.mjs
//
// Everything that is decided is decided by callboard; this file brings the socket and the clock. The registry is in memory; with JOURNAL=FILE a change is
// acknowledged when it is in that file. While the disk fails, changes are answered 503 and stay in memory until it is back; reads and heartbeats go on.
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Registry, Server, isHeartbeat } from "callboard/full";
import { Journal } from "./journal.mjs";

const env = (name) => globalThis.Deno?.env.get(name) ?? globalThis.process?.env[name];
const port = Number(env("PORT") ?? 7400);
const hostname = env("HOST") ?? "127.0.0.1";

const journal = env("JOURNAL") && new Journal(env("JOURNAL"));
const registry = journal ? journal.recover() : new Registry();
const server = new Server();

/** What any runtime calls with a request and the address of who asks. */
async function answer(request, peer = "") {
  const response = await registry.respond(request, { server, peer });
  const { pathname, search } = new URL(request.url);
  const mustBeKept = request.method !== "GET" && !isHeartbeat(request.method, pathname, search.slice(1));
  const problem = mustBeKept ? keep() : undefined;
  return problem === undefined ? response : new Response(`${problem}\n`, { status: 503 });
}

/** Has the journal hold what has changed; why it could not. */
function keep() {
  try {
    journal?.keep(registry);
  } catch (error) {
    console.error(`registry-fetch: the journal could not be written: ${error.message}`);
    return error.message;
  }
}

// Lets leases end when they are due, also when nobody asks; the shortest is a second.
setInterval(() => {
  registry.advance();
  keep();
}, 250);

const say = (at) => console.log(`registry-fetch: listening on http://${hostname}:${at}`);
if (globalThis.Deno) {
  const onListen = (at) => say(at.port);
  Deno.serve({ hostname, port, onListen }, (request, { remoteAddr }) => answer(request, remoteAddr.hostname));
} else if (globalThis.Bun) {
  // A long poll may last ten minutes, and Bun's longest is 255 s: 0 is none at all.
  const bun = Bun.serve({ hostname, port, idleTimeout: 0, fetch: (request, bun) => answer(request, bun.requestIP(request)?.address) });
  say(bun.port);
} else {
  const { createServer } = await import("node:http");
  const node = createServer({ requestTimeout: 30_000 }, async (incoming, outgoing) => {
    const hungUp = new AbortController();
    outgoing.on("close", () => hungUp.abort());
    try {
      const response = await answer(requestOf(incoming, hungUp.signal), incoming.socket.remoteAddress?.replace(/^::ffff:/, ""));
      outgoing.writeHead(response.status, Object.fromEntries(response.headers));
      // Piece by piece: a watch that is told as events goes on until whoever asked hangs up.
      await pipeline(Readable.fromWeb(response.body ?? new Blob().stream()), outgoing);
    } catch (error) {
      if (hungUp.signal.aborted) return;
      console.error(`registry-fetch: ${error.message}`);
      outgoing.writeHead(500).end();
    }
  });
  node.listen(port, hostname, () => say(node.address().port));
}

/** Node's request as the standard one. */
function requestOf(incoming, signal) {
  const { method, headers } = incoming;
  const body = ["GET", "HEAD"].includes(method) ? undefined : Readable.toWeb(incoming);
  const pairs = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((one) => [name, one]));
  return new Request(`http://registry${incoming.url}`, { method, headers: pairs, body, signal, duplex: "half" });
}
