// What a pick is measured beside, the same in every runtime: the class one would write, and the packages one would find.
//
// A case is a function that does so many operations.

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

/** More than hashring keeps of what it found before. */
const KEYS = 8192;

// What a pick gives is read, lest the compiler drop the pick.
let sink = 0;

/** Throws when what was read makes no sense. */
export function sane() {
  if (!Number.isFinite(sink)) throw new Error("a handle is not a number");
}

/** Ours, and what needs no package. */
export function cases({ Balancer, Key, Registry, now }, n) {
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
  const texts = Array.from({ length: KEYS }, (_, at) => `session-${String(at).padStart(12, "0")}`);
  const kept = texts.map((text) => new Key(text));
  const keyed = (balancer, keys) => {
    let next = 0;
    return (count) => {
      for (let at = 0; at < count; at++) {
        const pick = balancer.pick({ key: keys[next++ % KEYS] });
        sink += pick.instance.handle;
        balancer.finish(pick);
      }
    };
  };
  const ring = () => balancer("equal", { preset: "ring-hash", pick: { kind: "ring-hash", points: 160 } });
  const [p2c, smooth] = [new P2C(hosts), new Smooth(hosts, weights)];
  return {
    "pick and finish": whole(balancer("equal", "least-request")),
    "finish and pick": chained(balancer("equal", "least-request")),
    "round-robin": chained(balancer("equal", "round-robin")),
    "smooth": chained(balancer("weighted", "round-robin")),
    // The points of the largest are more than a ring may have.
    ...(n > 1000 ? {} : { "ring-hash": keyed(ring(), texts), "ring-hash, kept": keyed(ring(), kept) }),
    "maglev": keyed(balancer("equal", "maglev"), texts),
    "maglev, kept": keyed(balancer("equal", "maglev"), kept),
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
  };
}

/** What packages do, of those that are given. */
export function peers({ P2cBalancer, HashRing, roundRobin, dispatcherOf }, n) {
  const found = {};
  if (P2cBalancer) {
    const balancer = new P2cBalancer(n);
    found["load-balancers"] = (count) => {
      for (let at = 0; at < count; at++) sink += balancer.pick();
    };
  }
  if (HashRing && n <= 1000) {
    const ring = new HashRing(Array.from({ length: n }, (_, at) => `host-${at}`), "md5", { replicas: 4 });
    let next = 0;
    found["hashring"] = (count) => {
      for (let at = 0; at < count; at++) sink += ring.get(`session-${String(next++ % KEYS).padStart(12, "0")}`).length;
    };
    found["hashring, known"] = (count) => {
      for (let at = 0; at < count; at++) sink += ring.get(`session-${String(at % 1024).padStart(12, "0")}`).length;
    };
  }
  if (roundRobin) {
    const picker = roundRobin(n);
    const call = { metadata: {}, extraPickInfo: {} };
    found["grpc-js"] = (count) => {
      for (let at = 0; at < count; at++) sink += picker.pick(call).pickResultType;
    };
  }
  // It looks at every host, more than once.
  if (dispatcherOf && n <= 1000) {
    const dispatcher = dispatcherOf(n);
    found["undici"] = (count) => {
      for (let at = 0; at < count; at++) sink += dispatcher() === undefined ? NaN : 1;
    };
  }
  return found;
}
