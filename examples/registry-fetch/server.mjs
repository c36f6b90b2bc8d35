// A registry on Node, Deno or Bun: callboard's HTTP API and those of Consul, Eureka and Nacos, in one fetch handler.
//
//     PORT=7400 node server.mjs
//     deno run --allow-net --allow-env --allow-read server.mjs
//     bun server.mjs
//
// Everything that is decided is decided by callboard; this file brings the socket and the clock. The registry is in memory.
import { Readable } from "node:stream";
import { Registry, Server } from "callboard/full";

const env = (name) => globalThis.Deno?.env.get(name) ?? globalThis.process?.env[name];
const port = Number(env("PORT") ?? 7400);
const hostname = env("HOST") ?? "127.0.0.1";

const registry = new Registry();
const server = new Server();

/** What any runtime calls with a request and the address of who asks. */
const answer = (request, peer = "") => registry.respond(request, { server, peer });

// Lets leases end when they are due, also when nobody asks; the shortest is a second.
setInterval(() => registry.advance(), 250);

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
      outgoing.end(new Uint8Array(await response.arrayBuffer()));
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
