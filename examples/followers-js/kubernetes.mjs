// Follows a service of Kubernetes: a list, and a watch from there on. One JSON document a line tells what came and who is there.
//
//     kubectl proxy & node kubernetes.mjs http://127.0.0.1:8001 default web
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [server, namespace, service] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "kubernetes", format: "kubernetes", service, seed: Math.floor(Math.random() * 2 ** 32) });
const slices = `${server}/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io/service-name=${service}`;

/** The lines of a watch as they come. */
async function* lines(answer) {
  let rest = "";
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const whole = (rest + text).split("\n");
    rest = whole.pop();
    yield* whole;
  }
  if (rest) yield rest;
}

follow: for (;;) {
  await sleep(feed.next.after * 1e3);
  try {
    const watch = feed.next.ask === "watch";
    const answer = await fetch(`${slices}&${feed.next.query}`, { signal: AbortSignal.timeout(watch ? 600e3 : 30e3) });
    for await (const part of watch && answer.ok ? lines(answer) : [await answer.text()]) {
      const fed = feed.push(registry, part, { status: answer.status, headers: Object.fromEntries(answer.headers) });
      console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
      if (fed.problem || fed.next.resync) continue follow;
    }
    if (watch) throw new Error("the watch has ended");
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
