// Services by name in Hono: a middleware, a handler and what their errors are to whoever asked.
import { proxy } from "hono/proxy";

/**
 * Middleware that gives routes `c.var.call`: a `fetch` of `createFetch`, whose calls end when whoever asked hangs up.
 *
 *     app.use(services(createFetch({ billing: new Balancer(registry, "billing") }, { timeout: 2 })));
 *     app.get("/invoices", (c) => c.var.call("http://billing/invoices"));
 */
export function services(call) {
  return async (c, next) => {
    c.set("call", (input, init) => call(input, { signal: c.req.raw.signal, ...init }));
    await next();
  };
}

/** A handler that passes requests below `/NAME` on to the service of that name: `app.all("/billing/*", pass("billing"))`. */
export function pass(service) {
  return (c) => {
    const { pathname, search } = new URL(c.req.url);
    // As it was sent: the name before it may be spelled with escapes.
    const [, rest = "/"] = /^\/[^/]*(\/.*)$/.exec(pathname) ?? [];
    return proxy(`http://${service}${rest}${search}`, { raw: c.req.raw, customFetch: c.var.call });
  };
}

/** What has become of a call that got no answer, for `app.onError`. */
export function failed(error, c) {
  if (c.req.raw.signal.aborted) return c.body(null, 499);
  console.error(`${c.req.method} ${c.req.path}: ${error.message}`);
  if (error.name === "UnavailableError") return c.text("nobody is there who could answer\n", 503);
  return error.name === "TimeoutError" ? c.text("no answer in time\n", 504) : c.text("no answer\n", 502);
}
