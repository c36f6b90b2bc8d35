// A Worker that runs so many operations of a case when it is asked; workerd's own clock stands still meanwhile.
import * as callboard from "callboard";
import { P2cBalancer } from "load-balancers";
import { cases, peers, sane } from "./cases.mjs";

let made = { n: 0 };

export default {
  async fetch(request) {
    const { n, name, count } = await request.json();
    if (made.n !== n) made = { n, all: { ...cases(callboard, n), ...peers({ P2cBalancer }, n) } };
    if (name === undefined) return Response.json(Object.keys(made.all));
    made.all[name](count);
    sane();
    return Response.json(null);
  },
};
