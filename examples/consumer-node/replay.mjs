// Replays a recording of the demo (`cargo xtask demo` says what is in it) and prints what each policy chose.
import { readFileSync } from "node:fs";
import { Balancer, CallboardError, Registry } from "callboard/full";
import { Follower } from "./follow.mjs";

const [header, ...events] = readFileSync(process.argv[2], "utf8").trim().split("\n").map((line) => JSON.parse(line));
const { seed, source, namespace, service, policies } = header;

for (const policy of policies) {
  const registry = new Registry({ allowLocalAddresses: true, seed });
  const balancer = new Balancer(registry, { namespace, service }, { policy, seed });
  const follower = new Follower(registry, namespace, service, source);
  const picks = [];
  const running = new Map();
  for (const event of events) {
    const now = event.at;
    if (event.do === "feed") {
      follower.feed(JSON.stringify(event.answer), now);
    } else if (event.do === "pick") {
      try {
        const pick = balancer.pick({ key: event.key, now });
        running.set(event.call, pick);
        picks.push(pick.instance.id);
      } catch (error) {
        if (!(error instanceof CallboardError)) throw error;
        picks.push(error.code);
      }
    } else {
      running.get(event.call)?.finish({ ok: event.ok }, { now });
      running.delete(event.call);
    }
  }
  console.log(JSON.stringify({ policy, picks }));
}
