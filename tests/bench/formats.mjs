// One answer of another registry taken in, in Node, beside JSON.parse and a Map diff.
//
// Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes one size and fewer rounds.
import { Feed, Registry, encode } from "../../bindings-wasm/dist/full/node.js";

const quick = process.argv.includes("--quick");
const rounds = quick ? 5 : 15;
const text = new TextDecoder();
let now = 1;

/** Instances of one service, the first `changed` of them of another weight. */
const instances = (n, changed) =>
  Array.from({ length: n }, (_, at) => ({
    service: "WEB",
    id: `node-${at % 100}/web-${String(at).padStart(5, "0")}`,
    endpoints: [`http://10.${at >> 16}.${(at >> 8) & 255}.${at & 255}:8080`],
    weight: at < changed ? 3 : 1,
    health: at < changed ? "unhealthy" : "healthy",
    metadata: { zone: `z${at % 3}`, stage: "prod" },
    locality: { zone: `z${at % 3}`, node: `node-${at % 100}` },
  }));

const base64 = (text) => Buffer.from(text).toString("base64");
const json = (document) => new TextEncoder().encode(JSON.stringify(document));

/** What is not written by the library itself, as its system writes it. */
const WRITE = {
  curator: (listed) =>
    json(
      listed.map((one) => {
        const [address, port] = one.endpoints[0].slice(7).split(":");
        const payload = { "@class": "a.Payload", metadata: one.metadata };
        return { name: "WEB", id: one.id, address, port: Number(port), enabled: one.weight === 1, payload };
      }),
    ),
  dubbo: (listed) =>
    json(
      listed.map((one) =>
        encodeURIComponent(`dubbo://${one.endpoints[0].slice(7)}/WEB?application=web&side=provider&weight=${one.weight}&zone=${one.metadata.zone}`),
      ),
    ),
  "etcd-grpc": (listed) =>
    json({
      header: { revision: "99999" },
      kvs: listed.map((one) => {
        const place = one.endpoints[0].slice(7);
        const value = { Op: 0, Addr: place, Metadata: { weight: one.weight, ...one.metadata } };
        return { key: base64(`WEB/${place}`), value: base64(JSON.stringify(value)), mod_revision: String(Number(one.id.slice(-5)) + one.weight) };
      }),
      count: String(listed.length),
    }),
  kubernetes: (listed) => {
    const items = [];
    for (let first = 0; first < listed.length; first += 100) {
      const endpoints = listed.slice(first, first + 100).map((one, at) => ({
        addresses: [one.endpoints[0].slice(7, -5)],
        conditions: { ready: one.health === "healthy", serving: true, terminating: false },
        targetRef: { kind: "Pod", name: `pod-${one.id.slice(-5)}`, uid: `uid-${one.id.slice(-5)}` },
        zone: one.locality.zone,
        nodeName: one.locality.node,
      }));
      const metadata = { name: `web-${listed[first].id.slice(-5)}`, namespace: "default", labels: { "kubernetes.io/service-name": "WEB" } };
      items.push({ metadata, addressType: "IPv4", endpoints, ports: [{ name: "http", port: 8080 }] });
    }
    return json({ kind: "EndpointSliceList", apiVersion: "discovery.k8s.io/v1", metadata: { resourceVersion: "7" }, items });
  },
};

const READ = {
  curator: function* (document) {
    for (const one of document) yield [one.id, `${one.address} ${one.port} ${one.enabled}`];
  },
  dubbo: function* (document) {
    for (const one of document) {
      const url = new URL(decodeURIComponent(one));
      yield [url.host, url.search];
    }
  },
  "etcd-grpc": function* (document) {
    for (const kv of document.kvs) {
      const value = JSON.parse(Buffer.from(kv.value, "base64").toString());
      yield [Buffer.from(kv.key, "base64").toString(), `${value.Addr} ${JSON.stringify(value.Metadata)}`];
    }
  },
  kubernetes: function* (document) {
    for (const item of document.items) {
      const ports = item.ports.map((port) => port.port).join();
      for (const one of item.endpoints) {
        yield [one.targetRef.uid, `${one.addresses[0]} ${ports} ${one.conditions.ready} ${one.zone}`];
      }
    }
  },
  "consul-health": function* (document) {
    for (const { Node, Service, Checks } of document) {
      const worst = Checks.some((check) => check.Status === "critical");
      yield [`${Node.Node}/${Service.ID}`, `${Service.Address} ${Service.Port} ${Service.Weights.Passing} ${worst}`];
    }
  },
  envoy: function* (document) {
    for (const assignment of document.resources) {
      for (const group of assignment.endpoints) {
        for (const one of group.lb_endpoints) {
          const place = one.endpoint.address.socket_address;
          yield [`${place.address}:${place.port_value}`, `${one.load_balancing_weight} ${one.health_status}`];
        }
      }
    }
  },
  "eureka-apps": function* (document) {
    for (const application of document.applications.application) {
      for (const one of application.instance) yield [one.instanceId, `${one.ipAddr} ${one.port.$} ${one.status}`];
    }
  },
  nacos: function* (document) {
    for (const one of document.hosts) yield [one.instanceId, `${one.ip} ${one.port} ${one.weight} ${one.healthy}`];
  },
  prometheus: function* (document) {
    for (const group of document) {
      const labels = JSON.stringify(group.labels);
      for (const target of group.targets) yield [target, labels];
    }
  },
};

/** What one would write: JSON.parse, and what is other than before. */
function peer(name) {
  let known = new Map();
  return (body) => {
    const found = new Map(READ[name](JSON.parse(text.decode(body))));
    let count = 0;
    for (const id of known.keys()) if (!found.has(id)) count++;
    for (const [id, said] of found) if (known.get(id) !== said) count++;
    known = found;
    return count;
  };
}

function ours(name) {
  const registry = new Registry();
  // Of Eureka, an answer to a question for all: what is asked after `/apps` are changes.
  const feed = new Feed({ source: "them", format: name === "eureka-apps" ? "eureka-vips" : name, service: "WEB" });
  return (body) => {
    const fed = feed.push(registry, body, { now: now++ });
    if (fed.problem || fed.skipped.length > 0) throw new Error(JSON.stringify(fed.problem ?? fed.skipped[0]));
    return fed.added + fed.updated + fed.removed;
  };
}

function timed(push, body) {
  const started = process.hrtime.bigint();
  push(body);
  return Number(process.hrtime.bigint() - started) / 1_000;
}

function figure(samples) {
  const sorted = [...samples].sort((one, other) => one - other);
  const at = (part) => Number(sorted[Math.floor((sorted.length - 1) * part)].toFixed(2));
  return { median: at(0.5), noise: [at(0.1), at(0.9)] };
}

function report(name, samples, goal) {
  const [our, their] = [figure(samples.ours), figure(samples.peer)];
  const ratio = Number((their.median / our.median).toPrecision(4));
  const noise = { ours: our.noise, peer: their.noise };
  console.log(JSON.stringify({ name, unit: "us", ours: our.median, peer: their.median, ratio, goal, met: goal === null ? null : ratio >= goal, noise }));
}

const spaced = (body, count) => {
  const longer = new Uint8Array(body.length + count).fill(0x20);
  longer.set(body);
  return longer;
};

for (const n of quick ? [1_000] : [1_000, 10_000]) {
  for (const name of Object.keys(READ)) {
    console.error(`${name}, n = ${n}`);
    const bytes = (listed) => {
      if (WRITE[name]) return WRITE[name](listed);
      const written = encode(name, listed);
      return typeof written === "string" ? new TextEncoder().encode(written) : written;
    };
    const [body, news] = [bytes(instances(n, 0)), bytes(instances(n, n / 100))];
    // The same listing in other bytes: it begins elsewhere, and has a blank more at the end.
    const turned = [100, 300, 500].map((cut) => {
      const same = instances(n, 0);
      return spaced(bytes([...same.slice(cut), ...same.slice(0, cut)]), 1);
    });
    const empty = () => ({ ours: [], peer: [] });
    const samples = { first: empty(), whole: empty(), bytes: empty(), news: empty() };
    const pushes = { ours: ours(name), peer: peer(name) };
    for (const push of Object.values(pushes)) push(body);
    for (let round = 1; round <= rounds; round++) {
      samples.first.ours.push(timed(ours(name), body));
      samples.first.peer.push(timed(peer(name), body));
      for (const [who, push] of Object.entries(pushes)) {
        samples.bytes[who].push(timed(push, body));
        samples.whole[who].push(timed(push, turned[round % turned.length]));
        samples.news[who].push(timed(push, news));
        push(body);
      }
    }
    const row = (what, taken, goal) => report(`Node, ${name}, ${n} instances, ${what}: JSON.parse and a Map diff`, taken, goal);
    row("the first listing", samples.first, null);
    row("nothing has changed", samples.whole, n === 10_000 ? 1 : null);
    row("the same bytes", samples.bytes, null);
    row("1 in 100 has changed", samples.news, null);
  }
}
