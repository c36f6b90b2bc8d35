// Follows a cluster of a control plane of Envoy, by its endpoint discovery over REST. One JSON document a line tells what came and who is there.
//
//     node envoy.mjs http://127.0.0.1:18000 web 30
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [server, service, seconds] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "eds", format: "envoy", service, interval: Number(seconds), seed: Math.floor(Math.random() * 2 ** 32) });
const question = JSON.stringify({
  node: { id: "callboard", cluster: "callboard" },
  type_url: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
  resource_names: [service],
});

for (;;) {
  await sleep(feed.next.after * 1e3);
  try {
    const answer = await fetch(`${server}/v3/discovery:endpoints`, { method: "POST", body: question, headers: feed.next.headers, signal: AbortSignal.timeout(30e3) });
    const body = new Uint8Array(await answer.arrayBuffer());
    const fed = feed.push(registry, body, { status: answer.status, headers: Object.fromEntries(answer.headers) });
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
