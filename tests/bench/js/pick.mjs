// One pick in Node, Deno or Bun, beside the class one would write and the packages one would find.
//
// Prints a JSON object a line; see `src/report.rs` for its form. `--quick` takes fewer sizes and rounds.
import { createRequire } from "node:module";
import process from "node:process";
import { BalancedPool } from "undici";
import HashRing from "hashring";
import { P2cBalancer } from "load-balancers";
import * as callboard from "../../../bindings-wasm/dist/node.js";
import { cases, peers, sane } from "./cases.mjs";
import { measure, rows, sizes } from "./measure.mjs";

const [runtime, goal] = globalThis.Deno ? ["Deno", 1 / 0.8] : globalThis.Bun ? ["Bun", 1 / 1.6] : ["Node", 1 / 0.5];
const quick = process.argv.includes("--quick");

/** The picker of gRPC's round_robin, over channels that say they are ready: its own files, which it does not export. */
function roundRobin(n) {
  const require = createRequire(import.meta.url);
  require("@grpc/grpc-js");
  const { parseLoadBalancingConfig } = require("@grpc/grpc-js/build/src/load-balancer.js");
  const { RoundRobinLoadBalancer } = require("@grpc/grpc-js/build/src/load-balancer-round-robin.js");
  const READY = 2;
  const nothing = () => {};
  const subchannel = {
    getConnectivityState: () => READY, isHealthy: () => true, realSubchannelEquals: () => false, getChannelzRef: () => ({}), getAddress: () => "",
    addConnectivityStateListener: nothing, removeConnectivityStateListener: nothing, addHealthStateWatcher: nothing, removeHealthStateWatcher: nothing,
    startConnecting: nothing, ref: nothing, unref: nothing, addMetricsSubscriber: nothing,
  };
  let picker;
  const helper = {
    createSubchannel: () => ({ ...subchannel }), updateState: (_, made) => (picker = made),
    requestReresolution: nothing, addChannelzChild: nothing, removeChannelzChild: nothing,
  };
  const value = Array.from({ length: n }, (_, at) => ({ addresses: [{ host: `10.0.${at >> 8}.${at & 255}`, port: 80 }] }));
  new RoundRobinLoadBalancer(helper).updateAddressList({ ok: true, value }, parseLoadBalancingConfig({ round_robin: {} }), {}, "");
  if (picker.children?.length !== n) throw new Error("the round_robin of @grpc/grpc-js is not what it was");
  return picker;
}

/** What undici's pool chooses by for every request, which has no name outside. */
function dispatcherOf(n) {
  const pool = new BalancedPool(Array.from({ length: n }, (_, at) => `http://10.0.${at >> 8}.${at & 255}`));
  let symbol;
  for (let one = pool; one && !symbol; one = Object.getPrototypeOf(one)) symbol = Object.getOwnPropertySymbols(one).find((each) => each.description === "get dispatcher");
  if (!symbol) throw new Error("undici's BalancedPool is not what it was");
  return () => pool[symbol]();
}

/** Milliseconds of processor time that this process has had. */
function clock() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

for (const n of sizes(quick)) {
  // Bun has an undici of its own, without what a pool chooses by.
  const all = { ...cases(callboard, n), ...peers({ P2cBalancer, HashRing, roundRobin, dispatcherOf: globalThis.Bun ? undefined : dispatcherOf }, n) };
  const timed = (name, count) => {
    const started = clock();
    all[name](count);
    return clock() - started;
  };
  rows(runtime, goal, n, await measure(Object.keys(all), timed, { label: `n = ${n}`, rounds: quick ? 7 : 21, sample: 4 }));
}
sane();
// undici's pools would keep the process.
process.exit();
