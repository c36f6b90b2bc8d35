// A registry on Node, Deno or Bun: callboard's HTTP API and those of Consul, Eureka and Nacos, in one fetch handler.
//
//     PORT=7400 node server.mjs
//     deno run --allow-net --allow-env --allow-read --allow-write server.mjs
//     bun server.mjs
//
// Everything that is decided is decided by callboard; this file brings the socket and the clock. The registry is in memory; with JOURNAL=FILE a change is
// acknowledged when it is in that file. While the disk fails, changes are answered 503 and stay in memory until it is back; reads and heartbeats go on.
// With CERT=FILE and KEY=FILE, in PEM, it speaks TLS. What is in hand has bounds: requests, large bodies, long polls, and how long a body may take;
// BOUNDS='{"waits": 100}' sets others than are usual, and what comes above them is answered 503.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Registry, Server, isHeartbeat } from "callboard/full";
import { Journal } from "./journal.mjs";

const env = (name) => globalThis.Deno?.env.get(name) ?? globalThis.process?.env[name];
const port = Number(env("PORT") ?? 7400);
const hostname = env("HOST") ?? "127.0.0.1";

const journal = env("JOURNAL") && new Journal(env("JOURNAL"));
const registry = journal ? journal.recover() : new Registry();
const server = new Server({ bounds: JSON.parse(env("BOUNDS") ?? "{}") });
const tls = env("CERT") && { cert: readFileSync(env("CERT"), "utf8"), key: readFileSync(env("KEY"), "utf8") };

/** What any runtime calls with a request and the address of who asks. */
async function answer(request, peer = "") {
  const response = await registry.respond(request, { server, peer });
  const problem = request.method === "GET" ? undefined : kept(request.method, new URL(request.url));
  return problem === undefined ? response : new Response(`${problem}\n`, { status: 503 });
}

/** Has the journal hold what a request has changed, unless it was a heartbeat; why it could not. */
function kept(method, { pathname, search }) {
  return isHeartbeat(method, pathname, search.slice(1)) ? undefined : keep();
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

const say = (at) => console.log(`registry-fetch: listening on ${tls ? "https" : "http"}://${hostname}:${at}`);
if (globalThis.Deno) {
  const onListen = (at) => say(at.port);
  Deno.serve({ hostname, port, onListen, ...tls }, (request, { remoteAddr }) => answer(request, remoteAddr.hostname));
} else if (globalThis.Bun) {
  // A long poll may last ten minutes, and Bun's longest is 255 s: 0 is none at all.
  const bun = Bun.serve({ hostname, port, tls, idleTimeout: 0, fetch: (request, bun) => answer(request, bun.requestIP(request)?.address) });
  say(bun.port);
} else {
  // Node's own requests and responses: to make standard ones of them costs more than the answer.
  const { createServer } = await import(tls ? "node:https" : "node:http");
  const node = createServer({ requestTimeout: 30_000, ...tls }, (incoming, outgoing) => {
    pass(incoming, outgoing).catch((error) => {
      if (!outgoing.closed) console.error(`registry-fetch: ${error.message}`);
      outgoing.destroy();
    });
  });
  node.listen(port, hostname, () => say(node.address().port));
}

async function pass(incoming, outgoing) {
  const { method, rawHeaders, socket } = incoming;
  const [path, query = ""] = incoming.url.replace(/^https?:\/\/[^/?]*/i, "").split(/\?(.*)/s);
  const headers = [];
  for (let at = 0; at < rawHeaders.length; at += 2) headers.push([rawHeaders[at], rawHeaders[at + 1]]);
  const peer = socket.remoteAddress?.replace(/^::ffff:/, "") ?? "";
  const body = method === "GET" || incoming.headers["content-length"] === "0" ? "" : incoming;
  // Only what waits asks for the signal.
  let response = await registry.answer({ method, path, query, headers, body, peer, get signal() { return closing(outgoing); } }, { server });
  const problem = method === "GET" ? undefined : kept(method, { pathname: path, search: `?${query}` });
  if (problem !== undefined) response = { status: 503, headers: [["content-type", "text/plain"]], body: Buffer.from(`${problem}\n`) };
  const { status, more } = response;
  if (more === undefined) {
    outgoing.writeHead(status, [...response.headers, ["content-length", String(response.body.length)]].flat()).end(response.body);
    return;
  }
  outgoing.writeHead(status, response.headers.flat());
  // Piece by piece: a watch that is told as events goes on until whoever asked hangs up.
  const signal = closing(outgoing);
  for await (const piece of registry.pieces(response, signal)) {
    if (!outgoing.write(piece)) await once(outgoing, "drain", { signal });
  }
  outgoing.end();
}

function closing(outgoing) {
  const closed = new AbortController();
  if (outgoing.closed) closed.abort();
  else outgoing.once("close", () => closed.abort());
  return closed.signal;
}
