// Elements from data. Text is always set as text: nothing that the registry tells is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Attributes that are functions are listeners; what is undefined or false is left out. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== undefined && child !== ""));
  return element;
}

const MARKS = {
  available: "M3 8.5l3.4 3.4L13 4.8",
  degraded: "M8 2.5l6 11H2z M8 6.5v3.2 M8 11.6v.2",
  draining: "M2.5 8h10 M8.5 4l4 4-4 4",
  unavailable: "M3.5 3.5l9 9 M12.5 3.5l-9 9",
  added: "M8 3v10 M3 8h10",
  updated: "M2.5 9.5c2-4 4-4 5.5-1.500s3.500 2.500 5.500-1.500",
  removed: "M3 8h10",
  more: "M6 3.500l4.500 4.500L6 12.500",
};

/** A mark, which says by its shape what its colour says. */
export function mark(name) {
  const path = fill(document.createElementNS(SVG, "path"), { d: MARKS[name] }, []);
  return fill(document.createElementNS(SVG, "svg"), { viewBox: "0 0 16 16", class: `mark ${name}`, "aria-hidden": "true" }, [path]);
}

const known = new WeakMap();

/**
 * Makes the children of a parent those of a list. The node of an item stays as long as its key and its version do, and with it
 * focus and selection; where the node that has the focus is made again, what has its `data-focus` gets it.
 */
export function sync(parent, items, key, version, build) {
  const before = known.get(parent) ?? new Map();
  const after = new Map();
  for (const item of items) {
    const [name, text] = [key(item), version(item)];
    let entry = before.get(name);
    if (entry?.text !== text) {
      const node = build(item);
      const focus = entry?.node.contains(document.activeElement) && document.activeElement.dataset.focus;
      entry?.node.replaceWith(node);
      if (focus) [...node.querySelectorAll("[data-focus]")].find((one) => one.dataset.focus === focus)?.focus();
      entry = { text, node };
    }
    after.set(name, entry);
  }
  for (const [name, { node }] of before) if (!after.has(name)) node.remove();
  let place = parent.firstChild;
  for (const { node } of after.values()) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  known.set(parent, after);
}

/** Sets a text where it is another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const UNITS = [[86_400, "d"], [3_600, "h"], [60, "min"]];

/** Seconds in one unit, or two: `45 s`, `5 min`, `1 h 20 min`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const at = UNITS.findIndex(([size]) => whole >= size);
  if (at < 0) return `${seconds > 0 && seconds < 1 ? seconds : whole} s`;
  const [size, name] = UNITS[at];
  const [less, unit] = UNITS[at + 1] ?? [1, "s"];
  const rest = Math.floor((whole % size) / less);
  return rest === 0 || size === 86_400 && rest === 0 ? `${Math.floor(whole / size)} ${name}` : `${Math.floor(whole / size)} ${name} ${rest} ${unit}`;
}

/** `1 instance`, `2 instances`, `10 000 instances`. */
export function count(number, noun) {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** Thousands apart. */
export function grouped(number) {
  return String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}
