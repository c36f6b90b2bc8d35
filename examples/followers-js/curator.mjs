// Follows a service of Curator's discovery in ZooKeeper (`npm install node-zookeeper-client`). One JSON document a line tells
// what came and who is there.
//
//     node curator.mjs 127.0.0.1:2181 /services web
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Feed, Registry } from "callboard/full";
import zookeeper from "node-zookeeper-client";

const [servers, base, service] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "zookeeper", format: "curator", service, seed: Math.floor(Math.random() * 2 ** 32) });
const client = zookeeper.createClient(servers);
const [children, data] = [promisify(client.getChildren).bind(client), promisify(client.getData).bind(client)];
client.connect();
let news = new AbortController();
const changed = () => news.abort();

for (;;) {
  await sleep(feed.next.after * 1e3, undefined, { signal: news.signal }).catch(() => {}); // or until something changes
  news = new AbortController();
  try {
    const ids = await children(`${base}/${service}`, changed);
    const nodes = await Promise.all(ids.map((id) => data(`${base}/${service}/${id}`, changed)));
    const fed = feed.push(registry, `[${nodes.join(",")}]`);
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
