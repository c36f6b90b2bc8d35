// The page: what needs a look first, then everybody, and what has just changed.
import { API, Board } from "./board.js";
import { count, duration, grouped, h, mark, say, sync } from "./dom.js";

const PAGE = 100; // rows that are shown at once
const FIRST = 30; // rows of what needs a look, before more are asked for
const NEWS = 25; // changes that are shown
const FRESH = 6_000; // milliseconds for which a change is marked

const at = (id) => document.getElementById(id);
const board = new Board(() => requestAnimationFrame(render));
/** What the person has chosen, of each view. */
const chosen = { text: "", state: "all", sort: "service", down: false, page: 0, all: false, wide: new Set() };
let view;

// Where we are: `#/namespace` or `#/namespace/service`.

function route() {
  if (location.hash && !location.hash.startsWith("#/")) return;
  const [namespace, service] = location.hash.slice(2).split("/").map((part) => decoded(part));
  Object.assign(chosen, { text: "", state: "all", page: 0, all: false, wide: new Set() });
  const moved = view !== undefined;
  board.look(namespace || "default", service || undefined);
  view = service ? serviceView(service) : homeView();
  at("view").replaceChildren(view.element);
  at("namespace").value = board.namespace;
  at("home").href = place();
  render();
  if (moved) at("title").focus();
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function place(service) {
  return `#/${encodeURIComponent(board.namespace)}${service === undefined ? "" : `/${encodeURIComponent(service)}`}`;
}

// What is said of instances.

/** Worst first. */
const RANK = ["unavailable", "degraded", "draining", "available"];
const worst = (a, b) => RANK.indexOf(a.availability) - RANK.indexOf(b.availability) || (a.service + a.id < b.service + b.id ? -1 : 1);

function badge(state) {
  return h("span", { class: `badge ${state}` }, mark(state), state);
}

/** Why an instance is not simply available. */
function reasons({ health, admin, lease, grace, service, id }) {
  const why = [];
  if (admin.state !== "enabled") {
    why.push(h("span", {}, admin.state === "draining" ? "draining" : "disabled", " by an operator", admin.reason ? `: ${admin.reason}` : "", ...(admin.until === undefined ? [] : [", ", left(admin.until), admin.state === "draining" ? " until it is disabled" : " left"])));
  }
  if (["unhealthy", "starting", "degraded"].includes(health)) why.push(h("span", {}, `reports that it is ${health}`));
  if (lease === "suspect") why.push(h("span", {}, "has not renewed its lease", expiry(service, id, grace)));
  return why.flatMap((one, place) => place === 0 ? [one] : [" · ", one]);
}

/** When a suspect lease ends, as far as the page has seen it begin. */
function expiry(service, id, grace) {
  if (board.services.get(service)?.protected) return ", held by protection";
  const seen = board.changes.find((one) => one.service === service && one.id === id && one.cause === "lease");
  if (!seen?.at) return `, expires within ${duration(grace)}`;
  return h("span", {}, ", expires in ", h("time", { "data-end": seen.at + grace * 1e3 }));
}

function left(until) {
  const seconds = board.until(until);
  return seconds === undefined ? "for a time" : h("time", { "data-end": Date.now() + seconds * 1e3 });
}

function ago(time) {
  return time === undefined ? h("span", { class: "soft" }, "earlier") : h("time", { "data-at": time, title: new Date(time).toLocaleString() });
}

const CAUSES = {
  register: ["signed in", "says something new of itself", ""],
  deregister: ["", "", "signed out"],
  expire: ["", "", "expired: its lease was not renewed"],
  reconcile: ["listed by its source", "changed at its source", "gone from its source"],
  health: ["", "reported its health", ""],
  lease: ["", "lease is suspect, or live again", ""],
  admin: ["", "an operator's word, or the end of one", ""],
};

function happened({ kind, cause, now }) {
  if (now && kind === "updated") {
    if (cause === "health") return `reports that it is ${now.health}`;
    if (cause === "lease") return now.lease === "suspect" ? "has not renewed its lease" : "renewed its lease again";
    if (cause === "admin") return now.admin.state === "enabled" ? "enabled again" : `${now.admin.state} by an operator${now.admin.reason ? `: ${now.admin.reason}` : ""}`;
  }
  return CAUSES[cause]?.[["added", "updated", "removed"].indexOf(kind)] || `${kind}: ${cause}`;
}

const GAPS = { compacted: "More has changed than the registry remembers: all was read again", "new-epoch": "The registry was started again: all was read again" };

/** Runs of the same, such as a deployment that signs in, are one. */
function runs(events) {
  const all = [];
  for (const one of events) {
    const last = all.at(-1);
    const alike = last && !one.gap && (one.kind !== "updated" || !one.now && !last.now);
    const same = alike && ["service", "kind", "cause"].every((name) => last[name] === one[name]) && !one.at === !last.at;
    if (same) all[all.length - 1] = { ...last, key: one.key, ids: new Set([...last.ids, one.id]) };
    else if (all.length === NEWS) break;
    else all.push({ ...one, ids: new Set([one.id]) });
  }
  return all;
}

/** Shows changes in a list; those of one service need not name it. */
function showNews(list, events, named = true) {
  const who = ({ service, id, ids }) => [named ? h("a", { href: place(service), class: "name", "data-focus": "open" }, service) : "", " ", ids.size > 1 ? count(ids.size, "instance") : h("span", { class: "id" }, id), " "];
  const row = (one) => one.gap
    ? h("li", { class: "gap" }, h("p", {}, GAPS[one.gap] ?? one.gap), ago(one.at))
    : h("li", { class: `${one.kind} ${fresh(one.at)}` }, mark(one.kind), h("p", {}, who(one), h("span", { class: "what" }, happened(one))), ago(one.at));
  sync(list, runs(events), ({ key }) => key, ({ ids, at }) => `${ids?.size} ${at}`, row);
}

const fresh = (time) => time !== undefined && Date.now() - time < FRESH ? "fresh" : "";

/** When each was last seen to change, by a name. */
function lastSeen(name) {
  const last = new Map();
  for (const one of board.changes) if (one.at && !one.gap && !last.has(name(one))) last.set(name(one), one.at);
  return last;
}

const whole = ({ service, id }) => `${service} ${id}`;

// A list with pages.

function pages(noun) {
  const here = h("span", { class: "soft" });
  const turn = (by) => () => {
    chosen.page += by;
    render();
  };
  const [back, on] = [h("button", { type: "button", click: turn(-1) }, "Previous"), h("button", { type: "button", click: turn(1) }, "Next")];
  const element = h("nav", { class: "pages", "aria-label": "Pages" }, back, here, on);
  return {
    element,
    /** The items of the page that is shown. */
    of(items) {
      const last = Math.max(0, Math.ceil(items.length / PAGE) - 1);
      chosen.page = Math.min(Math.max(chosen.page, 0), last);
      const first = chosen.page * PAGE;
      element.hidden = last === 0;
      [back.disabled, on.disabled] = [chosen.page === 0, chosen.page === last];
      say(here, `${grouped(first + 1)} to ${grouped(Math.min(first + PAGE, items.length))} of ${count(items.length, noun)}`);
      return items.slice(first, first + PAGE);
    },
  };
}

function filter(label) {
  const input = h("input", { type: "search", id: "filter", autocomplete: "off", spellcheck: "false", placeholder: label, "aria-label": label, "aria-keyshortcuts": "/" });
  input.addEventListener("input", () => {
    Object.assign(chosen, { text: input.value.trim().toLowerCase(), page: 0 });
    render();
  });
  return input;
}

function bar(parts, total, label) {
  const pieces = parts.filter(([, number]) => number > 0).map(([state, number]) => {
    const piece = h("span", { class: state });
    piece.style.flexGrow = number / total;
    return piece;
  });
  return h("span", { class: "bar", role: "img", "aria-label": label }, ...pieces);
}

// All services.

function homeView() {
  const title = h("h1", { id: "title", tabindex: "-1" });
  const sum = h("div", { class: "sum" });
  const ill = { section: h("section", { class: "ill", "aria-labelledby": "ill" }), rows: h("ul", { class: "rows" }), more: h("button", { type: "button", class: "plain more", click: () => (chosen.all = true, render()) }) };
  ill.section.append(h("h2", { id: "ill" }, "Needs a look"), ill.rows, ill.more);
  const turning = pages("service");
  const body = h("tbody");
  const heads = [["service", "Service"], ["share", "Available"], ["revision", "Last change"]].map(([by, label]) => {
    const sort = () => (Object.assign(chosen, chosen.sort === by ? { down: !chosen.down } : { sort: by, down: by === "revision" }), render());
    return h("th", { scope: "col", "data-by": by, class: by }, h("button", { type: "button", click: sort }, label));
  });
  const table = h("table", {}, h("caption", { class: "unseen" }, "Services"), h("thead", {}, h("tr", {}, heads)), body);
  const nobody = h("div", { class: "empty" });
  const news = h("ol", { class: "news" });
  const search = filter("Filter services");
  const list = h("section", { "aria-labelledby": "services" }, h("div", { class: "head" }, h("h2", { id: "services" }, "Services"), search), table, nobody, turning.element);
  const element = h("div", { class: "home" }, h("div", { class: "verdict" }, title, sum), h("div", { class: "columns" }, h("div", {}, ill.section, list), aside(news)));

  function show() {
    const services = [...board.services.values()];
    const [all, available] = ["instances", "available"].map((field) => services.reduce((total, one) => total + one[field], 0));
    say(title, verdict(services.length, all, available));
    const states = tally([...board.loaded.values()].flatMap((instances) => [...instances.values()]));
    showSum(sum, states.set("available", available), all, count(services.length, "service"));
    showIll(services, ill);
    const seen = lastSeen((one) => one.service);
    const found = services.filter((one) => one.service.toLowerCase().includes(chosen.text)).sort(ordered);
    for (const head of heads) head.setAttribute("aria-sort", head.dataset.by !== chosen.sort ? "none" : chosen.down ? "descending" : "ascending");
    sync(body, turning.of(found), (one) => one.service, (one) => JSON.stringify([one, seen.get(one.service)]), (one) => serviceRow(one, seen.get(one.service)));
    table.hidden = found.length === 0;
    search.hidden = services.length === 0;
    const empty = found.length > 0 ? [] : board.state === "connecting" ? ["connecting"] : services.length > 0 ? ["filter"] : board.state === "live" ? [board.guarded ? "guarded" : "empty"] : [];
    sync(nobody, empty, String, () => board.namespace, emptiness);
    showNews(news, board.changes);
  }
  return { element, show };
}

function verdict(services, all, available) {
  if (board.state === "connecting") return "Reading the board";
  if (all === 0) return services === 0 && board.state !== "live" ? "Nothing is known yet" : "The board is empty";
  if (all === available) return all === 1 ? "The one instance is available" : `All ${count(all, "instance")} are available`;
  return all - available === 1 ? `1 of ${count(all, "instance")} needs a look` : `${grouped(all - available)} of ${count(all, "instance")} need a look`;
}

/** How many there are of each state; `other` are not available, and not looked at. */
function showSum(element, states, all, before) {
  const parts = [...RANK].reverse().map((state) => [state, states.get(state) ?? 0]);
  parts.push(["other", all - parts.reduce((total, [, number]) => total + number, 0)]);
  const shown = parts.filter(([, number]) => number > 0);
  const words = shown.map(([state, number]) => `${grouped(number)} ${state === "other" ? "others not available" : state}`);
  const legend = shown.map(([state], at) => h("span", {}, h("i", { class: state }), words[at]));
  sync(element, all > 0 ? [[...shown, before]] : [], () => "sum", JSON.stringify, () =>
    h("div", {}, bar(shown, all, words.join(", ")), h("p", { class: "legend" }, before ? h("span", {}, before) : "", legend)));
}

function tally(instances) {
  const states = new Map();
  for (const { availability } of instances) states.set(availability, (states.get(availability) ?? 0) + 1);
  return states;
}

function showIll(services, { section, rows, more }) {
  const hurt = services.filter((one) => one.available < one.instances);
  const of = (kind, some) => some.map((one) => ({ kind, key: `${kind} ${whole(one)}`, one }));
  const instances = hurt.flatMap(({ service }) => [...board.loaded.get(service)?.values() ?? []]).filter((one) => one.availability !== "available");
  const isDown = (one) => one.available === 0 && one.instances > 1;
  const lost = (one) => one.instances - one.available;
  const unread = hurt.filter((one) => !isDown(one) && !board.loaded.has(one.service)).sort((a, b) => lost(b) - lost(a));
  const items = [
    ...(board.stale ? [{ kind: "stale", key: "stale" }] : []),
    ...of("down", hurt.filter(isDown)),
    ...of("protected", services.filter((one) => one.protected)),
    ...of("many", unread),
    ...of("instance", instances.sort(worst)),
  ];
  section.hidden = items.length === 0;
  const shown = chosen.all ? items.slice(0, 10 * FIRST) : items.slice(0, FIRST);
  more.hidden = chosen.all || items.length <= FIRST;
  say(more, `Show ${grouped(Math.min(items.length, 10 * FIRST) - FIRST)} more`);
  const seen = lastSeen(whole);
  sync(rows, shown, ({ key }) => key, ({ kind, one }) => JSON.stringify([kind, one, one && seen.get(whole(one))]), ({ kind, one }) => {
    const named = () => h("a", { href: place(one.service), class: "name", "data-focus": "open" }, one.service);
    if (kind === "stale") return h("li", {}, badge("degraded"), h("p", {}, "A source is held at its last good listing: what it says now is not believed yet."));
    if (kind === "protected") return h("li", {}, badge("degraded"), h("p", {}, named(), " is protected: too many of its leases ended at once, and who is overdue is held for a time."));
    if (kind === "down") return h("li", {}, badge("unavailable"), h("p", {}, named(), ` none of ${count(one.instances, "instance")} is available`));
    if (kind === "many") return h("li", {}, badge("unavailable"), h("p", {}, named(), one.instances === 1 ? " its one instance is not available" : ` ${grouped(lost(one))} of ${count(one.instances, "instance")} not available`));
    return h("li", { class: fresh(seen.get(whole(one))) }, badge(one.availability), h("p", {}, named(), " ", h("span", { class: "id" }, one.id), " ", h("span", { class: "what" }, reasons(one))));
  });
}

function ordered(a, b) {
  const value = (one) => ({ service: one.service, share: one.available / one.instances, revision: one.revision })[chosen.sort];
  const [left, right] = [value(a), value(b)];
  const order = left < right ? -1 : left > right ? 1 : 0;
  return (chosen.down ? -order : order) || (a.service < b.service ? -1 : 1);
}

function serviceRow({ service, instances, available, protected: held, revision }, seen) {
  const label = `${grouped(available)} of ${grouped(instances)} available`;
  return h("tr", { class: fresh(seen) },
    h("th", { scope: "row" }, h("a", { href: place(service), class: "name", "data-focus": "open" }, service), held ? h("span", { class: "badge degraded" }, mark("degraded"), "protected") : undefined),
    h("td", { class: "share" }, bar([["available", available], ["other", instances - available]], instances, label), h("span", { class: "number" }, h("b", { class: available < instances ? "hurt" : "" }, grouped(available)), " of ", grouped(instances))),
    h("td", { class: "soft revision" }, seen ? ago(seen) : `revision ${grouped(revision)}`));
}

function emptiness(kind) {
  if (kind === "connecting") return h("p", { class: "soft" }, "One moment.");
  if (kind === "filter") return h("p", {}, "No name has that in it.");
  if (kind === "guarded") return h("p", {}, "There is nobody here whom you may see. The registry has a policy: with a token you may see more. ", h("button", { type: "button", class: "strong", click: askToken }, "Give a token"));
  const example = `curl -X PUT ${new URL(`instances/${board.namespace}/web/web-1`, API)} \\\n  -d '{"endpoints": ["http://10.0.0.5:8080"], "ttl": 30}'`;
  return h("div", {}, h("p", {}, "Nobody has signed in to ", h("b", {}, board.namespace), " yet. A provider does so with"), h("pre", { tabindex: "0" }, example), h("p", {}, "or as a client of Consul, Eureka or Nacos. It appears here at once."));
}

function aside(news) {
  return h("aside", { "aria-labelledby": "news" }, h("h2", { id: "news" }, "Recent changes"), news);
}

// One service.

function serviceView(service) {
  const title = h("h1", { id: "title", tabindex: "-1" }, service);
  const sum = h("div", { class: "sum" });
  const back = h("a", { href: place(), class: "back" }, "All services");
  const choices = h("div", { class: "states", role: "group", "aria-label": "Show" });
  const turning = pages("instance");
  const body = h("tbody");
  const columns = ["Instance", "State", "Lease", "Version", "Zone", "Weight", ""];
  const table = h("table", { class: "roster" }, h("caption", { class: "unseen" }, "Instances"), h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name || h("span", { class: "unseen" }, "More"))))), body);
  const nobody = h("p", { class: "empty" });
  const news = h("ol", { class: "news" });
  const held = h("p", { class: "held" }, badge("degraded"), " Protected: too many leases ended at once, and who is overdue is held for a time.");
  const list = h("section", { "aria-label": "Instances" }, held, h("div", { class: "head" }, choices, filter("Filter by anything")), table, nobody, turning.element);
  const element = h("div", { class: "service" }, h("div", { class: "verdict" }, back, title, sum), h("div", { class: "columns" }, h("div", {}, list), aside(news)));

  function show() {
    const instances = board.loaded.get(service);
    const all = [...instances?.values() ?? []].sort(worst);
    held.hidden = !board.services.get(service)?.protected;
    const states = tally(all);
    showSum(sum, states, all.length);
    const numbers = [["all", all.length], ...RANK.map((state) => [state, states.get(state) ?? 0])];
    sync(choices, numbers.filter(([state, number]) => number > 0 || state === "all" || state === chosen.state), ([state]) => state, ([state, number]) => `${number} ${state === chosen.state}`, ([state, number]) =>
      h("button", { type: "button", class: state, "data-focus": state, "aria-pressed": String(state === chosen.state), click: () => (Object.assign(chosen, { state, page: 0 }), render()) }, state === "all" ? "" : mark(state), `${state} `, h("b", {}, grouped(number))));
    const found = all.filter((one) => (chosen.state === "all" || one.availability === chosen.state) && (chosen.text === "" || text(one).includes(chosen.text)));
    const seen = lastSeen(whole);
    const rows = turning.of(found).flatMap((one) => chosen.wide.has(one.id) ? [{ one }, { one, wide: true }] : [{ one }]);
    const version = ({ one, wide }) => JSON.stringify([one, wide, chosen.wide.has(one.id), seen.get(whole(one)), board.services.get(service)?.protected]);
    sync(body, rows, ({ one, wide }) => `${wide ? "wide" : "row"} ${one.id}`, version, ({ one, wide }) => wide ? detailRow(one, columns.length) : instanceRow(one, seen.get(whole(one))));
    table.hidden = found.length === 0;
    say(nobody, found.length > 0 ? "" : all.length > 0 ? "No instance is like that." : board.state === "live" && !board.services.has(service) ? "Nobody is signed in to it." : "One moment.");
    nobody.hidden = found.length > 0;
    showNews(news, board.changes.filter((one) => one.gap || one.service === service), false);
  }
  return { element, show };
}

const texts = new WeakMap();

/** All that is said of an instance, to look for something in it. */
function text(one) {
  if (!texts.has(one)) texts.set(one, JSON.stringify(one).toLowerCase());
  return texts.get(one);
}

function instanceRow(one, seen) {
  const { id, url, availability, lease, ttl, grace, version, locality, weight } = one;
  const wide = chosen.wide.has(id);
  const toggle = () => (wide ? chosen.wide.delete(id) : chosen.wide.add(id), render());
  const term = lease === "persistent" ? h("span", { class: "soft" }, "none") : h("span", {}, h("span", { class: lease === "suspect" ? "hurt" : "" }, lease), h("small", {}, duration(ttl), grace ? ` + ${duration(grace)}` : ""));
  return h("tr", { class: `${fresh(seen)} ${wide ? "open" : ""}` },
    h("th", { scope: "row" }, h("span", { class: "id" }, id), url ? h("small", { class: "id" }, url) : undefined),
    h("td", { class: "state" }, badge(availability), h("small", {}, reasons(one))),
    h("td", {}, term),
    h("td", { class: "id" }, version ?? ""),
    h("td", {}, locality?.zone ?? locality?.region ?? ""),
    h("td", { class: "number" }, String(weight)),
    h("td", {}, h("button", { type: "button", class: "plain toggle", "data-focus": "more", "aria-expanded": String(wide), "aria-label": `More of ${id}`, click: toggle }, mark("more"))));
}

function detailRow(one, width) {
  const { endpoints, metadata, tags, locality, source, health, admin, incarnation, revision } = one;
  const place = Object.entries(locality ?? {}).map(([name, value]) => `${name} ${value}`).join(", ");
  const ends = (endpoints ?? []).map((end) => typeof end === "string" ? end : `${end.name ? `${end.name}: ` : ""}${end.scheme ?? "http"}://${end.host}${end.port ? `:${end.port}` : ""}`);
  const facts = [["Endpoints", ends.join("\n")], ["Health", health], ["Override", admin.state === "enabled" && admin.until === undefined && !admin.reason ? "" : [admin.state, admin.reason].filter(Boolean).join(": ")], ["Place", place], ["Tags", (tags ?? []).join(", ")],
    ["Source", source], ["Incarnation", incarnation ? String(incarnation) : ""], ["Revision", grouped(revision)]];
  const list = (pairs, kind) => h("dl", { class: kind }, pairs.filter(([, value]) => value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
  const data = Object.entries(metadata ?? {});
  return h("tr", { class: "detail" }, h("td", { colspan: width }, h("div", {}, list(facts, "facts"), data.length > 0 ? list(data, "data") : undefined)));
}

// The frame around both.

const STATES = { connecting: "Connecting", live: "Live", lost: "No connection", refused: "Not allowed" };
let hurtBefore;

function render() {
  document.title = `${view.element.className === "service" ? `${board.opened} · ` : ""}callboard`;
  sync(at("status"), [board.state], String, String, (state) => h("span", { class: state }, h("i"), STATES[state]));
  sync(at("namespaces"), [...board.namespaces].sort(), String, String, (value) => h("option", { value }));
  say(at("token"), board.token ? "Change token" : "Give a token");
  at("token").hidden = !board.token && !board.guarded && board.state !== "refused";
  const wrong = ["lost", "refused"].includes(board.state);
  at("banner").hidden = !wrong;
  at("view").classList.toggle("old", wrong);
  at("view").classList.toggle("blank", wrong && board.services.size === 0);
  sync(at("banner"), wrong ? [board.state] : [], String, () => `${board.problem} ${board.heard} ${board.retry}`, banner);
  view.show();
  tick();
  announce();
}

function banner(state) {
  if (state === "refused") return h("p", {}, h("b", {}, board.token ? "This token does not open this registry. " : "The registry does not let anybody read it. "), `It says: ${board.problem.message}. `, h("button", { type: "button", class: "strong", click: askToken }, board.token ? "Give another" : "Give a token"));
  const seen = board.heard ? ` What you see is from ${new Date(board.heard).toLocaleTimeString()}.` : "";
  const why = board.problem instanceof TypeError ? "" : ` It says: ${board.problem.message}.`;
  return h("p", {}, h("b", {}, "The registry does not answer."), why, seen, " Trying again in ", h("time", { "data-end": board.retry }), ". ", h("button", { type: "button", click: () => board.wake() }, "Try now"));
}

/** Tells who cannot see the page what has become worse or better; not every change. */
function announce() {
  if (board.state !== "live") return;
  const hurt = [...board.services.values()].reduce((total, one) => total + one.instances - one.available, 0);
  if (hurtBefore !== undefined && hurt !== hurtBefore) say(at("said"), hurt === 0 ? "Every instance is available" : `${count(hurt, "instance")} not available`);
  hurtBefore = hurt;
}

/** Times go on by themselves. */
function tick() {
  const now = Date.now();
  for (const one of document.querySelectorAll("time[data-at]")) {
    const seconds = (now - one.dataset.at) / 1e3;
    say(one, seconds < 3 ? "now" : `${duration(seconds)} ago`);
  }
  for (const one of document.querySelectorAll("time[data-end]")) say(one, duration(Math.ceil((one.dataset.end - now) / 1e3)));
}

function askToken() {
  const dialog = at("ask");
  say(at("ask-why"), board.guarded || board.state === "refused" ? "The registry has a policy, which says who may see what." : "Where a registry has a policy, it says who may see what. This one answers without.");
  at("ask-token").value = "";
  at("ask-forget").hidden = !board.token;
  dialog.returnValue = "cancel";
  dialog.showModal();
  at("ask-token").focus();
}

at("ask").addEventListener("close", () => {
  const [what, token] = [at("ask").returnValue, at("ask-token").value.trim()];
  if (what === "use" && token) board.token = token;
  if (what === "forget") board.token = "";
  at("ask-token").value = "";
});
at("token").addEventListener("click", askToken);
at("where").addEventListener("submit", (event) => event.preventDefault());
at("namespace").addEventListener("change", ({ target }) => {
  if (target.value.trim()) location.hash = `#/${encodeURIComponent(target.value.trim())}`;
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    at("filter")?.focus();
  }
  if (event.key === "Escape" && event.target.id === "filter") event.target.blur();
});
addEventListener("hashchange", route);
setInterval(tick, 1_000);
route();
board.run();
