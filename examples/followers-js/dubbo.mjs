// Follows the providers of an interface of Dubbo in ZooKeeper (`npm install node-zookeeper-client`). One JSON document a line
// tells what came and who is there.
//
//     node dubbo.mjs 127.0.0.1:2181 com.example.Orders
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { Feed, Registry } from "callboard/full";
import zookeeper from "node-zookeeper-client";

const [servers, service] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "zookeeper", format: "dubbo", service, seed: Math.floor(Math.random() * 2 ** 32) });
const client = zookeeper.createClient(servers);
const children = promisify(client.getChildren).bind(client);
client.connect();
let news = new AbortController();
const changed = () => news.abort();

for (;;) {
  await sleep(feed.next.after * 1e3, undefined, { signal: news.signal }).catch(() => {}); // or until something changes
  news = new AbortController();
  try {
    const fed = feed.push(registry, JSON.stringify(await children(`/dubbo/${service}/providers`, changed)));
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
