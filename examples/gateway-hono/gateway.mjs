// A gateway in Hono: who signs in below /registry is called below the name of the service.
//
//     SERVICES=billing,catalog bun gateway.mjs
//     SERVICES=billing,catalog deno serve --allow-env --allow-net gateway.mjs
//
// A call that failed goes to another instance, where that may be done and the budget for retries allows it. The registry is in memory, with callboard's page
// at /registry/ui; `followers-js` beside this example follows another one.
import { Balancer, Registry, createFetch } from "callboard/full";
import { Hono } from "hono";
import { failed, pass, services } from "./services.mjs";

const env = (name) => globalThis.Deno?.env.get(name) ?? globalThis.process?.env[name];
const names = (env("SERVICES") ?? "billing").split(",");

const registry = new Registry();
setInterval(() => registry.advance(), 250);

const app = new Hono();
app.mount("/registry", (request) => registry.respond(request));
app.use(services(createFetch(Object.fromEntries(names.map((name) => [name, new Balancer(registry, name)])), { timeout: 2 })));
for (const name of names) app.all(`/${name}/*`, pass(name));
app.onError(failed);

export default app;
