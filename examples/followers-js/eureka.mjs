// Follows an application of Eureka, by deltas. One JSON document a line tells what came and who is there.
//
//     node eureka.mjs http://127.0.0.1:8761/eureka WEB 30
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [server, service, seconds] = process.argv.slice(2);
const registry = new Registry();
// The hash of a delta is that of all applications, so all of them are followed.
const feed = new Feed({ source: "eureka", format: "eureka-apps", interval: Number(seconds), seed: Math.floor(Math.random() * 2 ** 32) });

for (;;) {
  await sleep(feed.next.after * 1e3);
  try {
    const answer = await fetch(server + (feed.next.ask === "delta" ? "/apps/delta" : "/apps"), { headers: { accept: "application/json" }, signal: AbortSignal.timeout(30e3) });
    const body = new Uint8Array(await answer.arrayBuffer());
    const fed = feed.push(registry, body, { status: answer.status, headers: Object.fromEntries(answer.headers) });
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
