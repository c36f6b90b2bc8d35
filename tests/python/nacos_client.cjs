// The life of two instances as Nacos' own client for Node leads it; what it sees is told in lines of JSON.
const { NacosNamingClient } = require("nacos-naming");

const say = (line) => console.log(JSON.stringify(line));
const ips = (hosts) => hosts.map(({ ip }) => ip).sort();
const quiet = { info() {}, debug() {}, warn: console.error, error: console.error };

function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve) => (parts.resolve = resolve));
  return parts;
}

(async () => {
  const client = new NacosNamingClient({ logger: quiet, serverList: `127.0.0.1:${process.argv[2]}`, namespace: "public" });
  await client.ready();
  say({ status: await client.getServerStatus() });
  await client.registerInstance("nweb", { ip: "10.0.0.1", port: 8080, metadata: { a: "b" } });
  await client.registerInstance("nweb", { ip: "10.0.0.2", port: 8080 });
  say({ all: (await client.getAllInstances("nweb")).map(({ ip, port, healthy }) => [ip, port, healthy]).sort() });
  // The client asks again when `cacheMillis` has passed.
  const told = { 2: deferred(), 1: deferred() };
  client.subscribe("nweb", (hosts) => {
    say({ told: ips(hosts) });
    told[hosts.length]?.resolve();
  });
  await told[2].promise;
  await client.deregisterInstance("nweb", { ip: "10.0.0.2", port: 8080 });
  await told[1].promise;
  say({ selected: ips(await client.selectInstances("nweb", "DEFAULT_GROUP", "", true, false)) });
  await client.deregisterInstance("nweb", { ip: "10.0.0.1", port: 8080 });
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
