// Registries for the page to look at: the axum host as it stands in examples, and one of this process with a policy or below a path.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { Registry, Server } from "../../bindings-wasm/dist/full/index.js";

const AXUM = fileURLToPath(new URL("../../target/demo/registry-server", import.meta.url));

/** The axum host, and a way to ask it. */
export async function axum(port = 0) {
  const child = spawn(AXUM, ["--listen", `127.0.0.1:${port}`], { stdio: ["ignore", "pipe", "ignore"] });
  const base = await new Promise((resolve, reject) => {
    let said = "";
    child.on("exit", () => reject(new Error(`registry-server ended: ${said}`)));
    child.stdout.on("data", (bytes) => {
      said += bytes;
      const at = /http:\/\/127\.0\.0\.1:\d+/.exec(said);
      if (at) resolve(at[0]);
    });
  });
  const stop = () => new Promise((resolve) => {
    child.removeAllListeners("exit").on("exit", resolve);
    child.kill("SIGKILL");
  });
  return { base, port: Number(new URL(base).port), stop };
}

/** A host in this process, below a path, whose policy may be other than none. */
export async function mounted(path, policy) {
  const registry = new Registry();
  const server = new Server(policy && { policy });
  const timer = setInterval(() => registry.advance(), 200);
  const node = createServer(async (incoming, outgoing) => {
    const hungUp = new AbortController();
    outgoing.on("close", () => hungUp.abort());
    const { method, url, headers } = incoming;
    if (!url.startsWith(path)) return outgoing.writeHead(404).end();
    const body = ["GET", "HEAD"].includes(method) ? undefined : Readable.toWeb(incoming);
    const authorization = headers.authorization ? { authorization: headers.authorization } : {};
    try {
      const response = await registry.respond(new Request(`http://host${url.slice(path.length)}`, { method, headers: authorization, body, signal: hungUp.signal, duplex: "half" }), { server });
      outgoing.writeHead(response.status, Object.fromEntries(response.headers)).end(new Uint8Array(await response.arrayBuffer()));
    } catch (error) {
      if (!hungUp.signal.aborted) outgoing.writeHead(500).end(String(error));
    }
  });
  await new Promise((resolve) => node.listen(0, "127.0.0.1", resolve));
  const stop = () => {
    clearInterval(timer);
    node.closeAllConnections();
    return new Promise((resolve) => node.close(resolve));
  };
  return { base: `http://127.0.0.1:${node.address().port}${path}`, registry, stop };
}

/** Asks a host. */
export async function send(host, method, path, body) {
  const response = await fetch(`${host.base}${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}
