// The page of a registry in headless Chromium, over live hosts. What it looked like is in target/ui.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import test, { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "../packaging/browser.mjs";
import { axum, mounted, send } from "./hosts.mjs";

const tools = createRequire(new URL("../../bindings-wasm/package.json", import.meta.url));
const SHOTS = fileURLToPath(new URL("../../target/ui", import.meta.url));
const WIDE = { width: 1280, height: 860 };
const SCHEMES = ["light", "dark"];
let browser;

before(async () => {
  mkdirSync(SHOTS, { recursive: true });
  browser = await launch(tools);
});
after(() => browser?.close());

/** A page that looks at a host, and fails the test when its script fails or breaks the page's own rules. */
async function look(t, host, { path = "", ...context } = {}) {
  const place = await browser.newContext({ viewport: WIDE, ...context });
  t.after(() => place.close());
  const page = await place.newPage();
  page.setDefaultTimeout(30_000);
  const wrong = [];
  page.on("pageerror", (error) => wrong.push(error.stack));
  page.on("dialog", (dialog) => wrong.push(`a dialog: ${dialog.message()}`) && dialog.dismiss());
  // A request that is answered 403 or not at all is told to the console too.
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && !/Failed to load resource/.test(message.text()) && wrong.push(message.text()));
  t.after(() => assert.deepEqual(wrong, []));
  await page.goto(`${host.base}/ui${path}`);
  return page;
}

const says = (page, selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor();
const shot = (page, name) => page.screenshot({ path: join(SHOTS, `${name}.png`) });

/** What axe finds wrong with what is shown. */
async function faults(page) {
  await page.evaluate(readFileSync(tools.resolve("axe-core/axe.min.js"), "utf8"));
  // Colours are those at rest.
  await page.evaluate(() => document.getAnimations().forEach((one) => one.finish()));
  const { violations } = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

const SERVICES = ["auth", "billing", "catalog", "checkout", "fraud", "gateway", "images", "ledger", "mailer", "search", "sessions", "shipping"];

async function fill(host) {
  const ops = SERVICES.flatMap((service, row) => Array.from({ length: 3 + (row * 5) % 7 }, (_, number) => ({
    op: "register",
    instance: {
      service, id: `${service}-${number + 1}`, endpoints: [`http://10.0.${row}.${number + 5}:8080`], version: `1.${row}.${number % 3}`, ttl: 30, grace: 15,
      locality: { region: "eu-west", zone: `eu-west-${"abc"[number % 3]}` }, metadata: { env: "prod", team: row % 2 ? "growth" : "core" }, tags: ["v1"],
    },
  })));
  await send(host, "POST", "/v1/batch", { ops });
  await send(host, "PUT", "/v1/instances/default/billing/billing-2/health", { health: "unhealthy" });
  await send(host, "PUT", "/v1/instances/default/ledger/ledger-3/health", { health: "degraded" });
  await send(host, "PUT", "/v1/instances/default/gateway/gateway-1/admin", { state: "draining", ttl: 240, reason: "deploy" });
  await send(host, "PUT", "/v1/instances/default/images/images-2/admin", { state: "disabled", reason: "a new disk" });
}

test("it shows who is there, what needs a look and what happens, as it happens", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  const page = await look(t, host);
  await says(page, "h1", "The board is empty");
  await says(page, ".empty", `curl -X PUT ${host.base}/v1/instances/default/web/web-1`);
  await send(host, "PUT", "/v1/instances/default/web/a", { endpoints: ["http://10.0.0.1:80"], ttl: 1, grace: 2 });
  await says(page, "h1", "The one instance is available");
  await says(page, ".news li", "web a signed in");
  // Nobody renews it.
  await says(page, ".ill li", /degraded.*web a.*has not renewed its lease, expires in \d s/);
  await says(page, ".news li", "expired: its lease was not renewed");
  await says(page, "h1", "The board is empty");

  await fill(host);
  await says(page, "h1", "4 of 72 instances need a look");
  await says(page, ".legend", /12 services.*68 available.*1 draining.*1 degraded.*2 unavailable/);
  const ill = (await page.locator(".ill li").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
  assert.match(ill[0], /^unavailable billing billing-2 reports that it is unhealthy$/);
  assert.match(ill[1], /^unavailable images images-2 disabled by an operator: a new disk$/);
  assert.match(ill[2], /^degraded ledger ledger-3 reports that it is degraded$/);
  assert.match(ill[3], /^draining gateway gateway-1 draining by an operator: deploy, (4 min|3 min \d+ s) until it is disabled$/);
  assert.equal(ill.length, 4);
  await says(page, ".news li", "gateway-1 draining by an operator: deploy");
  await send(host, "DELETE", "/v1/instances/default/gateway/gateway-1/admin");
  await says(page, ".news li", "gateway-1 enabled again");
  await send(host, "DELETE", "/v1/instances/default/search/search-1");
  await says(page, ".news li.removed", "search-1 signed out");
  await says(page, "h1", "3 of 71 instances need a look");
  // All of a service, and another namespace.
  for (const number of [1, 2, 3]) await send(host, "PUT", `/v1/instances/default/auth/auth-${number}/health`, { health: "unhealthy" });
  await says(page, ".ill li", "none of 3 instances is available");
  await send(host, "PUT", "/v1/instances/staging/web/s1", {});
  await page.fill("#namespace", "staging");
  await page.keyboard.press("Enter");
  await says(page, "h1", "The one instance is available");
});

test("of a service it shows every instance with its lease, override and metadata", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  await fill(host);
  const page = await look(t, host);
  await page.getByRole("link", { name: "gateway" }).first().click();
  await says(page, "h1", "gateway");
  assert.equal(new URL(page.url()).hash, "#/default/gateway");
  assert.equal(await page.title(), "gateway · callboard");
  const first = page.locator("tbody tr").first();
  assert.match((await first.innerText()).replace(/\s+/g, " "), /^gateway-1 http:\/\/10\.0\.5\.5:8080 draining draining by an operator: deploy, .* until it is disabled live 30 s \+ 15 s 1\.5\.0 eu-west-a 1/);
  await page.getByRole("button", { name: "More of gateway-1" }).click();
  assert.match((await page.locator("tr.detail").innerText()).replace(/\s+/g, " "), /Override draining: deploy Place region eu-west, zone eu-west-a Tags v1 Source local .*env prod team growth/);
  await page.getByRole("button", { name: /^draining/ }).click();
  assert.equal(await page.locator("tbody th").count(), 1);
  await page.getByRole("button", { name: /^all/ }).click();
  await page.fill("#filter", "gateway-3");
  assert.deepEqual(await page.locator("tbody th .id").first().allInnerTexts(), ["gateway-3"]);
  await send(host, "PUT", "/v1/instances/default/gateway/gateway-3/health", { health: "starting" });
  await says(page, "tbody tr", "reports that it is starting");
  await page.goBack();
  await says(page, "h1", "5 of 72 instances need a look");
});

test("nothing that is registered is read as markup", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  const evil = `<img/src=x/onerror=alert(1)><script>alert(2)</script>"'&amp;`;
  const words = `${evil} <b onmouseover="alert(3)">bold</b> javascript:alert(4)`;
  const path = `/v1/instances/default/web/${encodeURIComponent(evil)}`;
  await send(host, "PUT", path, { endpoints: ["http://10.0.0.1:80"], ttl: 30, metadata: { evil: words }, tags: ["<script>alert(5)</script>"], locality: { zone: "<i>zone</i>" } });
  await send(host, "PUT", `${path}/admin`, { state: "draining", reason: words });
  const page = await look(t, host);
  await page.evaluate(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`broken: ${event.violatedDirective}`)));
  await says(page, ".ill .id", evil);
  await says(page, ".ill .what", words);
  await page.goto(`${host.base}/ui#/default/web`);
  await page.getByRole("button", { name: "More of" }).click();
  const detail = await page.locator("tr.detail").innerText();
  for (const text of [evil, words, "<script>alert(5)</script>", "<i>zone</i>"]) assert.ok(detail.includes(text), text);
  // Nor is what stands in the address.
  for (const hash of [`#/default/${encodeURIComponent(evil)}`, `#/${encodeURIComponent(evil)}`, "#/%/%ff", "#/default/__proto__", "#x"]) {
    await page.goto(`${host.base}/ui${hash}`);
    await page.waitForTimeout(100);
  }
  assert.equal(await page.locator("#view :is(script, img, b[onmouseover], i:not([class]), a[href^='javascript:'])").count(), 0);
});

test("with a policy it asks for a token, keeps it in the tab and shows what the token may see", async (t) => {
  const tokens = { reader: "a token of the reader", chief: "a token of the chief" };
  const digest = (text) => createHash("sha256").update(text).digest("hex");
  const host = await mounted("/registry", [
    { name: "reader", tokens: [digest(tokens.reader)], grants: [{ service: "web", may: "read" }] },
    { name: "chief", tokens: [digest(tokens.chief)], grants: [{ namespace: "*", may: "administer" }] },
  ]);
  t.after(() => host.stop());
  for (const service of ["web", "hidden"]) host.registry.register({ service, id: "a", endpoints: ["http://10.0.0.1:80"] });
  const page = await look(t, host);
  await says(page, ".empty", "There is nobody here whom you may see");
  const give = async (token) => {
    await page.locator("#token").click();
    await page.fill("#ask-token", token);
    await page.keyboard.press("Enter");
  };
  await give("nobody's");
  await says(page, "#banner", "This token does not open this registry.");
  await shot(page, "refused-light");
  await give(tokens.reader);
  await says(page, "h1", "The one instance is available");
  assert.deepEqual(await page.locator("tbody th").allInnerTexts(), ["web"]);
  host.registry.register({ service: "web", id: "b", endpoints: ["http://10.0.0.2:80"] });
  await says(page, "h1", "All 2 instances are available");
  await page.reload();
  await says(page, "h1", "All 2 instances are available");
  const kept = await page.evaluate(() => [Object.values(sessionStorage), localStorage.length, document.cookie, location.href.includes("token")]);
  assert.deepEqual(kept, [[tokens.reader], 0, "", false]);
  assert.equal(await page.inputValue("#ask-token"), "");
  await give(tokens.chief);
  await says(page, "tbody th", "hidden");
  await page.locator("#token").click();
  await page.getByRole("button", { name: "Forget it" }).click();
  await says(page, ".empty", "There is nobody here whom you may see");
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test("it says when the registry is gone, and goes on when it is back", async (t) => {
  let host = await axum();
  t.after(() => host.stop());
  await fill(host);
  const pages = [];
  for (const colorScheme of SCHEMES) pages.push([colorScheme, await look(t, host, { colorScheme })]);
  for (const [, page] of pages) await says(page, "h1", "4 of 72 instances need a look");
  await host.stop();
  for (const [scheme, page] of pages) {
    await says(page, "#banner", "The registry does not answer. What you see is from");
    await says(page, "#status", "No connection");
    // What was known stays in sight.
    assert.equal(await page.locator("h1").innerText(), "4 of 72 instances need a look");
    assert.deepEqual(await faults(page), []);
    await shot(page, `gone-${scheme}`);
  }
  host = await axum(host.port);
  await send(host, "PUT", "/v1/instances/default/web/a", {});
  for (const [, page] of pages) {
    await page.getByRole("button", { name: "Try now" }).click({ timeout: 5_000 }).catch(() => {});
    await says(page, "h1", "The one instance is available");
    await says(page, "#status", "Live");
    await says(page, ".news", "all was read again");
    assert.equal(await page.locator("#banner").isVisible(), false);
  }
});

test("it is accessible in both schemes, at every width", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  const empty = [];
  for (const colorScheme of SCHEMES) empty.push([colorScheme, await look(t, host, { colorScheme })]);
  for (const [scheme, page] of empty) {
    await says(page, "h1", "The board is empty");
    assert.deepEqual(await faults(page), []);
    await shot(page, `empty-${scheme}`);
  }
  await fill(host);
  for (const [scheme, page] of empty) {
    await says(page, "h1", "4 of 72 instances need a look");
    assert.deepEqual(await faults(page), []);
    await shot(page, `busy-${scheme}`);
    await page.goto(`${host.base}/ui#/default/gateway`);
    await page.getByRole("button", { name: "More of gateway-1" }).click();
    await says(page, "tr.detail", "growth");
    assert.deepEqual(await faults(page), []);
    await shot(page, `service-${scheme}`);
    await page.setViewportSize({ width: 360, height: 780 });
    for (const path of ["#/default/gateway", "#/default"]) {
      await page.goto(`${host.base}/ui${path}`);
      await page.locator("tbody tr").first().waitFor();
      assert.deepEqual(await faults(page), []);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than the screen");
      await shot(page, `phone-${path === "#/default" ? "home" : "service"}-${scheme}`);
    }
  }
});

test("it is used by keyboard alone", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  await fill(host);
  const page = await look(t, host);
  await says(page, "h1", "need a look");
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "Skip to the board");
  await page.keyboard.press("Enter");
  assert.equal(await focused(), "main");
  assert.match(await page.locator("h1").innerText(), /need a look/);
  await page.keyboard.press("/");
  assert.equal(await focused(), "filter");
  await page.keyboard.type("gate");
  await says(page, "tbody", "gateway");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  assert.equal(await focused(), "gateway");
  // A row that is made again keeps the focus.
  await send(host, "PUT", "/v1/instances/default/gateway/gateway-2/health", { health: "unhealthy" });
  await says(page, "h1", "5 of 72");
  assert.equal(await focused(), "gateway");
  await page.keyboard.press("Enter");
  await says(page, "h1", "gateway");
  assert.equal(await focused(), "title");
  await page.getByRole("button", { name: "More of gateway-2" }).focus();
  await page.keyboard.press("Space");
  await says(page, "tr.detail", "10.0.5.6");
  assert.equal(await page.getByRole("button", { name: "More of gateway-2" }).getAttribute("aria-expanded"), "true");
  await page.keyboard.press("Space");
  assert.equal(await page.locator("tr.detail").count(), 0);
  const tree = await page.locator("body").ariaSnapshot();
  for (const role of ["banner", "main", "complementary", "table", 'columnheader "State"', 'rowheader', 'status', 'heading "gateway" [level=1]', 'searchbox "Filter by anything"']) assert.ok(tree.includes(role), `${role}\n${tree}`);
});

test("it moves nothing for those who want no motion", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  await fill(host);
  const moves = { "no-preference": 0, reduce: 0 };
  for (const reducedMotion of Object.keys(moves)) {
    const page = await look(t, host, { reducedMotion });
    await says(page, "h1", "need a look");
    await page.evaluate(() => {
      globalThis.moved = 0;
      document.addEventListener("animationstart", () => globalThis.moved++);
    });
    const id = reducedMotion === "reduce" ? "mailer-1" : "mailer-2";
    await send(host, "PUT", `/v1/instances/default/mailer/${id}/health`, { health: "degraded" });
    await says(page, ".news li", `${id} reports that it is degraded`);
    await page.waitForTimeout(200);
    moves[reducedMotion] = await page.evaluate(() => globalThis.moved);
  }
  assert.ok(moves["no-preference"] > 0 && moves.reduce === 0, JSON.stringify(moves));
});

test("ten thousand instances stay usable", async (t) => {
  const host = await axum();
  t.after(() => host.stop());
  const instance = (service, number) => ({ op: "register", instance: { service, id: `i${number}`, endpoints: [`http://10.1.${number >> 8}.${number & 255}:80`], metadata: { number: String(number) } } });
  await send(host, "POST", "/v1/batch", { ops: Array.from({ length: 10_000 }, (_, number) => instance("wide", number)) });
  await send(host, "POST", "/v1/batch", { ops: Array.from({ length: 2_000 }, (_, number) => instance(`s${number}`, 0)) });
  await send(host, "POST", "/v1/batch", { ops: Array.from({ length: 700 }, (_, number) => ({ op: "set_health", service: number < 300 ? "wide" : `s${number}`, id: number < 300 ? `i${number}` : "i0", health: "unhealthy" })) });
  const page = await look(t, host);
  const elements = () => page.evaluate(() => document.querySelectorAll("*").length);
  await says(page, "h1", "700 of 12\u202f000 instances need a look");
  await says(page, ".ill", "300 of 10\u202f000 instances not available");
  await page.getByRole("button", { name: /^Show \d+ more/ }).click();
  await says(page, ".pages", "1 to 100 of 2\u202f001 services");
  assert.equal(await page.locator("tbody tr").count(), 100);
  assert.ok(await elements() < 4_000, String(await elements()));
  await shot(page, "large");
  await page.goto(`${host.base}/ui#/default/wide`);
  await says(page, ".pages", "1 to 100 of 10\u202f000 instances");
  assert.equal(await page.locator("tbody tr").count(), 100);
  await page.getByRole("button", { name: "Next" }).click();
  await says(page, ".pages", "101 to 200 of 10\u202f000 instances");
  await page.fill("#filter", "i9999");
  await says(page, "tbody", "10.1.39.15");
  assert.equal(await page.locator("tbody tr").count(), 1);
  assert.ok(await elements() < 2_500, String(await elements()));
  // One change is read alone.
  const asked = [];
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await send(host, "PUT", "/v1/instances/default/wide/i9999/health", { health: "degraded" });
  await says(page, "tbody", "reports that it is degraded");
  assert.ok(asked.includes("/v1/instances/default/wide/i9999") && !asked.includes("/v1/instances/default/wide"), asked.join());
});

test("it is answered as files are", async (t) => {
  const host = await mounted("/a/b");
  t.after(() => host.stop());
  const page = await fetch(`${host.base}/ui`);
  assert.deepEqual([page.status, page.headers.get("content-type"), page.headers.get("cache-control")], [200, "text/html; charset=utf-8", "no-cache"]);
  const moved = await fetch(`${host.base}/ui/`);
  assert.deepEqual([moved.status, moved.url, await moved.text()], [200, `${host.base}/ui`, await page.text()]);
  const shown = await look(t, host);
  await says(shown, "h1", "The board is empty");
});
