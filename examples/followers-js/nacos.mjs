// Follows a service in Nacos, by its lists of instances. One JSON document a line tells what came and who is there.
//
//     node nacos.mjs http://127.0.0.1:8848 web
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [server, service] = process.argv.slice(2);
const registry = new Registry();
// How often to ask is told by the server.
const feed = new Feed({ source: "nacos", format: "nacos", service, seed: Math.floor(Math.random() * 2 ** 32) });

for (;;) {
  await sleep(feed.next.after * 1e3);
  try {
    const answer = await fetch(`${server}/nacos/v2/ns/instance/list?serviceName=${service}`, { signal: AbortSignal.timeout(30e3) });
    const body = new Uint8Array(await answer.arrayBuffer());
    const fed = feed.push(registry, body, { status: answer.status, headers: Object.fromEntries(answer.headers) });
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
