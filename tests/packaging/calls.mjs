// Calls by name over live servers, in whatever runtime this is: `control` has one fail, hang, go away and come back.
export async function calls({ Balancer, Registry, createFetch }, control) {
  const tell = async (command) => (await fetch(`${control}/${command}`)).json();
  const expect = (what, found, wanted) => {
    if (JSON.stringify(found) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
  };
  const registry = new Registry();
  for (const [id, port] of Object.entries(await tell("start"))) registry.register({ service: "shop", id, endpoints: [`http://127.0.0.1:${port}`] });
  // In turn, so that every server is met.
  const balancer = new Balancer(registry, "shop", { policy: "round-robin", seed: 1 });
  const call = createFetch({ shop: balancer }, { timeout: 0.5 });
  const rounds = async (count, init) => {
    const said = new Set();
    for (let turn = 0; turn < count; turn++) {
      const response = await call("http://shop/a%2Fb?c=d", init);
      said.add(`${response.status} ${await response.text()}`);
    }
    return [...said].sort();
  };
  const well = (...ids) => ids.map((id) => `200 ${id} /a%2Fb?c=d`);

  expect("all", await rounds(9), well("a", "b", "c"));
  const asHost = await (await call("http://shop//example.org/x")).text();
  // Bun makes one slash of two.
  expect("a path that begins as a host", asHost.slice(2).replace("//", "/"), "/example.org/x");
  expect("text", await rounds(3, { method: "PUT", body: "some text", headers: { "x-mine": "1" } }), well("a", "b", "c"));
  const { seen } = await tell("seen");
  expect("what came", seen.filter(({ method }) => method === "PUT").map(({ body, mine, type }) => [body, mine, type.split(";")[0]]), Array(3).fill(["some text", "1", "text/plain"]));
  await (await call(new Request("http://shop/", { method: "POST", body: "mine" }))).text();
  expect("a request's body", (await tell("seen")).seen.filter(({ method }) => method === "POST").map(({ body }) => body), ["mine"]);

  await tell("set?id=a&status=503");
  expect("one fails", await rounds(9), well("b", "c"));
  await tell("set?id=a&status=200");
  await tell("stop?id=b");
  expect("one is gone", await rounds(9), well("a", "c"));
  await tell("back?id=b");
  // The runtime may hold on for a moment to what it knew.
  for (let turn = 0; (await rounds(3)).length < 3; turn++) if (turn > 200) throw new Error("it does not come back");
  await tell("set?id=c&hangs=1");
  expect("one hangs", await rounds(6), well("a", "b"));
  await tell("set?id=c&hangs=");

  for (const id of ["a", "b", "c"]) await tell(`set?id=${id}&status=503`);
  const posted = async () => (await tell("seen")).seen.filter(({ method }) => method === "POST").length;
  const before = await posted();
  const refused = await call("http://shop/", { method: "POST", body: "x" });
  expect("once", [refused.status, (await refused.text()).slice(1)], [503, " /"]);
  expect("and no more", await posted() - before, 1);
  for (const id of ["a", "b", "c"]) await tell(`set?id=${id}&status=200&hangs=1`);
  const left = new AbortController();
  setTimeout(() => left.abort(), 50);
  expect("left", await call("http://shop/", { signal: left.signal }).catch((error) => error.name), "AbortError");
  expect("late", await call("http://shop/", { method: "POST" }).catch((error) => error.name), "TimeoutError");
  for (const id of ["a", "b", "c"]) await tell(`set?id=${id}&hangs=`);
  const open = await call("http://shop/");
  expect("in flight", balancer.inFlight, 1);
  await open.body.cancel();
  expect("nothing is in flight", balancer.inFlight, 0);
  return "calls: all as they should be";
}
