// Follows the targets of a Prometheus http_sd endpoint. One JSON document a line tells what came and who is there.
//
//     node prometheus.mjs http://127.0.0.1:8080/targets node 30
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [url, service, seconds] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "http_sd", format: "prometheus", service, interval: Number(seconds), seed: Math.floor(Math.random() * 2 ** 32) });

for (;;) {
  await sleep(feed.next.after * 1e3);
  try {
    const answer = await fetch(url, { headers: { ...feed.next.headers, "x-prometheus-refresh-interval-seconds": seconds }, signal: AbortSignal.timeout(30e3) });
    const body = new Uint8Array(await answer.arrayBuffer());
    const fed = feed.push(registry, body, { status: answer.status, headers: Object.fromEntries(answer.headers) });
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
