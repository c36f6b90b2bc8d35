// Follows a service in DNS: its SRV records, over UDP and, once an answer was cut, over TCP. One JSON document a line tells
// what came and who is there.
//
//     node dns.mjs 127.0.0.1 53 _http._tcp.web.example web
import { Buffer } from "node:buffer";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Feed, Registry } from "callboard/full";

const [host, port, name, service] = process.argv.slice(2);
const registry = new Registry();
const feed = new Feed({ source: "dns", format: "dns", service, seed: Math.floor(Math.random() * 2 ** 32) });
const labels = name.split(".").flatMap((label) => [label.length, ...Buffer.from(label)]);
const question = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, 33, 0, 1]; // SRV
let tcp = false;

function overUdp(message) {
  const wire = createSocket("udp4");
  const answer = new Promise((resolve, reject) => {
    wire.on("error", reject).on("message", (answer, from) => {
      if (from.port === Number(port) && answer.subarray(0, 2).equals(message.subarray(0, 2))) resolve(answer);
    });
    setTimeout(() => reject(new Error("no answer")), 5e3);
    wire.send(message, Number(port), host);
  });
  return answer.finally(() => wire.close());
}

async function overTcp(message) {
  const wire = connect(Number(port), host);
  wire.setTimeout(5e3, () => wire.destroy(new Error("no answer")));
  wire.write(Buffer.concat([Buffer.from([message.length >> 8, message.length]), message]));
  let answer = Buffer.alloc(0);
  for await (const part of wire) {
    answer = Buffer.concat([answer, part]);
    if (answer.length >= 2 && answer.length >= 2 + answer.readUInt16BE()) return answer.subarray(2, 2 + answer.readUInt16BE());
  }
  throw new Error("an answer that ends early");
}

for (;;) {
  await sleep(feed.next.after * 1e3);
  try {
    const message = Buffer.from([...crypto.getRandomValues(new Uint8Array(2)), ...question]);
    const fed = feed.push(registry, await (tcp ? overTcp : overUdp)(message));
    tcp ||= fed.next.resync !== undefined;
    console.log(JSON.stringify({ urls: registry.query(service).instances.map(({ url }) => url), ...fed }));
  } catch (error) {
    console.error(error.message);
    feed.failed();
  }
}
