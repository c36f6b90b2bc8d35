// One pick in Node, Deno or Bun, beside the class one would write and the package one would find.
//
// Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes fewer sizes and rounds.
import { P2cBalancer } from "load-balancers";
import { Balancer, Registry, now } from "../../bindings-wasm/dist/node.js";

const [runtime, goal] = globalThis.Deno ? ["Deno", 1 / 0.8] : globalThis.Bun ? ["Bun", 1 / 1.6] : ["Node", 1 / 0.5];
const SAMPLE_MS = 4;
const quick = process.argv.includes("--quick");

/** Power of two choices, as one would write it. */
class P2C {
  constructor(hosts) {
    this.hosts = hosts;
    this.inFlight = new Array(hosts.length).fill(0);
  }
  pick() {
    const { inFlight } = this;
    const one = (Math.random() * inFlight.length) | 0;
    let other = (Math.random() * (inFlight.length - 1)) | 0;
    if (other >= one) other++;
    const chosen = inFlight[one] <= inFlight[other] ? one : other;
    inFlight[chosen]++;
    return chosen;
  }
  finish(chosen) {
    this.inFlight[chosen]--;
  }
}

/** Smooth weighted round robin, as one would write it. */
class Smooth {
  constructor(hosts, weights) {
    this.hosts = hosts;
    this.weights = weights;
    this.current = new Array(hosts.length).fill(0);
    this.total = weights.reduce((sum, weight) => sum + weight, 0);
  }
  pick() {
    const { current, weights } = this;
    let best = 0;
    for (let at = 0; at < current.length; at++) {
      current[at] += weights[at];
      if (current[at] > current[best]) best = at;
    }
    current[best] -= this.total;
    return this.hosts[best];
  }
}

// What a pick gives is read, lest the compiler drop the pick.
let sink = 0;

function cases(n) {
  const registry = new Registry();
  const weights = Array.from({ length: n }, (_, at) => 1 + (at % 10));
  for (let at = 0; at < n; at++) {
    const id = `host-${String(at).padStart(5, "0")}`;
    registry.register({ service: "equal", id }, { now: 1 });
    registry.register({ service: "weighted", id, weight: weights[at] }, { now: 1 });
  }
  const hosts = registry.query("equal").instances;
  // The object of an instance is made when it is first asked for: once in its life, and not what is measured here.
  const weighted = registry.query("weighted").instances;
  if (hosts.length !== n || weighted.length !== n) throw new Error("the registry has lost an instance");
  const balancer = (service, policy) => new Balancer(registry, service, { policy, seed: 1 });
  const whole = (balancer) => (count) => {
    for (let at = 0; at < count; at++) {
      const pick = balancer.pick();
      sink += pick.instance.handle;
      balancer.finish(pick);
    }
  };
  const chained = (balancer) => {
    let pick = balancer.pick();
    return (count) => {
      for (let at = 0; at < count; at++) {
        pick = balancer.finishAndPick(pick);
        sink += pick.instance.handle;
      }
    };
  };
  const [p2c, smooth, theirs] = [new P2C(hosts), new Smooth(hosts, weights), new P2cBalancer(n)];
  return {
    "pick and finish": whole(balancer("equal", "least-request")),
    "finish and pick": chained(balancer("equal", "least-request")),
    "smooth": chained(balancer("weighted", "round-robin")),
    "clock": (count) => {
      for (let at = 0; at < count; at++) sink += now();
    },
    "P2C": (count) => {
      for (let at = 0; at < count; at++) {
        const chosen = p2c.pick();
        sink += hosts[chosen].handle;
        p2c.finish(chosen);
      }
    },
    "Smooth": (count) => {
      for (let at = 0; at < count; at++) sink += smooth.pick().handle;
    },
    "load-balancers": (count) => {
      for (let at = 0; at < count; at++) sink += hosts[theirs.pick()].handle;
    },
  };
}

/** Milliseconds of processor time that this process has had. */
function clock() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function timed(run, count) {
  const started = clock();
  run(count);
  return clock() - started;
}

function calibrate(run) {
  // Twice: the first calls are compiled on the way.
  let full = 1;
  for (let pass = 0; pass < 2; pass++) {
    for (let count = 64; ; count *= 2) {
      const elapsed = timed(run, count);
      if (elapsed >= SAMPLE_MS / 2) {
        full = Math.ceil((count * SAMPLE_MS) / elapsed);
        break;
      }
    }
  }
  return full;
}

function measure(cases, label, rounds) {
  const order = Object.keys(cases);
  const counts = Object.fromEntries(order.map((name) => [name, calibrate(cases[name])]));
  const samples = Object.fromEntries(order.map((name) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    console.error(`${label}: round ${round} of ${rounds}`);
    for (let last = order.length - 1; last > 0; last--) {
      const other = Math.floor(Math.random() * (last + 1));
      [order[last], order[other]] = [order[other], order[last]];
    }
    for (const name of order) samples[name].push((timed(cases[name], counts[name]) * 1e6) / counts[name]);
  }
  return samples;
}

function figure(samples) {
  const sorted = [...samples].sort((one, other) => one - other);
  const at = (part) => Number(sorted[Math.floor((sorted.length - 1) * part)].toFixed(2));
  return { median: at(0.5), noise: [at(0.1), at(0.9)] };
}

function report(name, ours, peer, goal) {
  const [our, their] = [figure(ours), figure(peer)];
  const ratio = Number((their.median / our.median).toPrecision(4));
  const noise = { ours: our.noise, peer: their.noise };
  console.log(JSON.stringify({ name, unit: "ns", ours: our.median, peer: their.median, ratio, goal, met: goal === null ? null : ratio >= goal, noise }));
}

for (const n of quick ? [10, 1000] : [10, 100, 1000, 10_000]) {
  const found = measure(cases(n), `n = ${n}`, quick ? 7 : 21);
  const row = (what, ours, peer, goal) => report(`${runtime}, ${what}`, found[ours], found[peer], goal);
  row(`pick() and finish(), least-request, n=${n}: P2C class`, "pick and finish", "P2C", null);
  row(`finishAndPick(), least-request, n=${n}: P2C class`, "finish and pick", "P2C", goal);
  row(`the clock that finishAndPick() reads, n=${n}: P2C class`, "clock", "P2C", null);
  row(`finishAndPick(), least-request, n=${n}: load-balancers P2cBalancer`, "finish and pick", "load-balancers", null);
  row(`finishAndPick(), round-robin, weights 1 to 10, n=${n}: smooth class`, "smooth", "Smooth", null);
}
if (!Number.isFinite(sink)) throw new Error("a handle is not a number");
