// Follows a service in etcd: a range, and a watch from there on, over the JSON gateway. One JSON document a line tells what
// came and who is there. The second argument is whose values they are: kratos, micro (Go Micro), grpc (gRPC's resolver) or
// zero (go-zero).
//
//     node etcd.mjs http://127.0.0.1:2379 kratos web
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [server, family, service] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "etcd", format: `etcd-${family}`, service, seed: Math.floor(Math.random() * 2 ** 32) });
const path = { kratos: "/microservices/", micro: "/micro/registry/" }[family] ?? "";
const keys = { key: btoa(`${path}${service}/`), range_end: btoa(`${path}${service}0`) }; // "0" comes after "/"

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
    const body = JSON.stringify(watch ? { create_request: { ...keys, ...Object.fromEntries(new URLSearchParams(feed.next.query)) } } : keys);
    const answer = await fetch(server + (watch ? "/v3/watch" : "/v3/kv/range"), { method: "POST", body, signal: AbortSignal.timeout(watch ? 600e3 : 30e3) });
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
