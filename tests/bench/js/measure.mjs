// The method of every runtime, and the form of a row; see `src/measure.rs` and `src/report.rs`.

/** As many operations as take `SAMPLE_MS`; a first pass has them compiled. `timed(name, count)` tells milliseconds. */
async function calibrate(name, timed, sample) {
  let full = 1;
  for (let pass = 0; pass < 2; pass++) {
    for (let count = 64; ; count *= 2) {
      const elapsed = await timed(name, count);
      if (elapsed >= sample / 2) {
        full = Math.ceil((count * sample) / elapsed);
        break;
      }
    }
  }
  return full;
}

/** Nanoseconds an operation, of each case in each round. */
export async function measure(names, timed, { label, rounds, sample }) {
  const order = [...names];
  const counts = {};
  for (const name of names) counts[name] = await calibrate(name, timed, sample);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    console.error(`${label}: round ${round} of ${rounds}`);
    shuffle(order);
    for (const name of order) samples[name].push(((await timed(name, counts[name])) * 1e6) / counts[name]);
  }
  return samples;
}

export function shuffle(order) {
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
}

export function figure(samples) {
  const sorted = [...samples].sort((one, other) => one - other);
  const at = (part) => Number(sorted[Math.floor((sorted.length - 1) * part)].toFixed(2));
  return { median: at(0.5), noise: [at(0.1), at(0.9)] };
}

export function report(name, unit, ours, peer, goal, note) {
  const [our, their] = [figure(ours), figure(peer)];
  const ratio = Number((their.median / our.median).toPrecision(4));
  const noise = { ours: our.noise, peer: their.noise };
  print({ name, unit, ours: our.median, peer: their.median, ratio, goal, met: goal === null ? null : ratio >= goal, noise, ...(note && { note }) });
}

export function missing(name, why) {
  print({ name, unit: null, ours: null, peer: null, ratio: null, goal: null, met: null, note: why });
}

function print(row) {
  console.log(JSON.stringify(row));
}

/** How many hosts, and the rows of them in a runtime. `goal` is for `finishAndPick` beside the P2C class. */
export const sizes = (quick) => (quick ? [10, 1000] : [10, 100, 1000, 10_000]);

export function rows(runtime, goal, n, found) {
  const row = (what, ours, peer, goal = null) => {
    if (found[ours] && found[peer]) report(`${runtime}, ${what}`, "ns", found[ours], found[peer], goal);
  };
  row(`pick() and finish(), least-request, n=${n}: P2C class`, "pick and finish", "P2C");
  row(`finishAndPick(), least-request, n=${n}: P2C class`, "finish and pick", "P2C", goal);
  row(`the clock that finishAndPick() reads, n=${n}: P2C class`, "clock", "P2C");
  row(`finishAndPick(), least-request, n=${n}: load-balancers P2cBalancer`, "finish and pick", "load-balancers");
  row(`finishAndPick(), least-request, n=${n}: undici BalancedPool`, "finish and pick", "undici", n === 100 ? 25 : null);
  row(`finishAndPick(), round-robin, n=${n}: @grpc/grpc-js round_robin`, "round-robin", "grpc-js");
  row(`finishAndPick(), round-robin, weights 1 to 10, n=${n}: smooth class`, "smooth", "Smooth");
  row(`pick() by a key and finish(), ring of 160 points a host, n=${n}: hashring, 8192 keys`, "ring-hash", "hashring");
  row(`pick() by a key and finish(), ring of 160 points a host, n=${n}: hashring, keys it knows`, "ring-hash", "hashring, known");
  row(`pick() by a Key and finish(), ring of 160 points a host, n=${n}: hashring, 8192 keys`, "ring-hash, kept", "hashring");
  row(`pick() by a Key and finish(), ring of 160 points a host, n=${n}: hashring, keys it knows`, "ring-hash, kept", "hashring, known");
  row(`pick() by a Key and finish(), ring of 160 points a host, n=${n}: by the string`, "ring-hash, kept", "ring-hash");
  row(`pick() by a Key and finish(), maglev, n=${n}: by the string`, "maglev, kept", "maglev");
  row(`pick() by a key and finish(), maglev, n=${n}: hashring, 8192 keys`, "maglev", "hashring");
  row(`pick() by a key and finish(), maglev, n=${n}: P2C class, which has no keys`, "maglev", "P2C");
}
