// Documents on their way in and out. On the way in they are copied before anything is called: so a getter, a proxy
// or a cycle of the caller's runs or shows here, with the path to it, and the module sees plain data only.
import * as raw from "#glue";
import { CallboardError, type Details, call, fail } from "./errors.ts";

const LIMITS = { depth: 64, nodes: 1_000_000, string: 65_536 };
const SURROGATE = /\p{Surrogate}/u;

/** Copies what the caller gave. `field` is where it stands, empty at the top. @internal */
export function plain(value: unknown, field = ""): unknown {
  let nodes = LIMITS.nodes;
  return copy(value, field, 0);

  function copy(value: unknown, path: string, depth: number): unknown {
    if (nodes-- <= 0) tooLarge(join(path, "values"), LIMITS.nodes);
    switch (typeof value) {
      case "boolean":
      case "number":
        return value;
      case "undefined":
        return null;
      case "string":
        return text(value, path);
      case "object":
        break;
      default:
        return wrong(`a ${typeof value} is no part of a document`, path);
    }
    if (value === null) return null;
    if (depth >= LIMITS.depth) tooLarge(join(path, "depth"), LIMITS.depth);
    if (Array.isArray(value)) {
      const items: unknown[] = [];
      for (let at = 0; at < value.length; at++) items.push(copy(value[at], `${path}[${at}]`, depth + 1));
      return items;
    }
    const document = (value as { [DOCUMENT]?: () => unknown })[DOCUMENT];
    if (document) return copy(document.call(value), path, depth);
    const map = Object.create(null) as Record<string, unknown>;
    for (const [key, item] of entries(value, path)) {
      if (item !== undefined) map[text(key, path)] = copy(item, join(path, key), depth + 1);
    }
    return map;
  }
}

/** Objects of this package that stand for a document have a method of this name. @internal */
export const DOCUMENT: unique symbol = Symbol("callboard.document");

function entries(value: object, path: string): Iterable<[string, unknown]> {
  if (value instanceof Map) {
    for (const key of value.keys()) if (typeof key !== "string") wrong("a key of a map is a string", path);
    return value as Map<string, unknown>;
  }
  const above = Object.getPrototypeOf(value) as object | null;
  // Null, or the Object.prototype of this realm or another.
  if (above !== null && Object.getPrototypeOf(above) !== null) wrong(`a ${nameOf(value)} is no part of a document`, path);
  return Object.entries(value);
}

function text(value: string, path: string): string {
  if (SURROGATE.test(value)) wrong("a string with a lone surrogate", path);
  // A character takes one to three bytes; only in between has it to be measured.
  const long = value.length > LIMITS.string;
  if (long || (value.length * 3 > LIMITS.string && new TextEncoder().encode(value).length > LIMITS.string)) {
    tooLarge(join(path, "string"), LIMITS.string);
  }
  return value;
}

const join = (path: string, name: string): string => (path === "" ? name : `${path}.${name}`);
const nameOf = (value: object): string => (value.constructor as { name?: string } | undefined)?.name ?? "thing";

/** An error about an argument that cannot be right. @internal */
export function wrong(message: string, field: string, code = "invalid-argument"): never {
  throw fail("InvalidError", { code, field, message: `${code}: ${field === "" ? "" : `${field}: `}${message}` });
}

/** An error about an argument of another type. @internal */
export function expected(type: string, found: unknown, field: string): never {
  const name = found === null ? "null" : Array.isArray(found) ? "a list" : typeof found === "object" ? "a map" : `a ${typeof found}`;
  return wrong(`expected ${type}, found ${name}`, field);
}

function tooLarge(field: string, limit: number): never {
  const details: Details = { code: "limit-exceeded", field, limit, message: `limit-exceeded: ${field}: above the limit (limit ${limit})` };
  throw fail("LimitError", details);
}

/** A string of the caller's. @internal */
export function textOf(value: unknown, field: string): string {
  return typeof value === "string" ? (plain(value, field) as string) : expected("a string", value, field);
}

/** Bytes of the caller's, or its text as bytes. @internal */
export function bytesOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body;
  return typeof body === "string" ? new TextEncoder().encode(body) : expected("a Uint8Array or a string", body, "body");
}

/** Names and values in turn. @internal */
export function pairsOf(pairs: Iterable<readonly [name: string, value: string]>, field: string): string[] {
  if (typeof (pairs as Partial<typeof pairs>)?.[Symbol.iterator] !== "function") return expected("pairs", pairs, field);
  return [...pairs].flatMap((pair) => (Array.isArray(pair) ? [textOf(pair[0], field), textOf(pair[1], field)] : expected("a pair", pair, field)));
}

/**
 * What the module wrote, ready for the caller: its maps become frozen objects without a prototype, so that every key
 * is a key and nothing can be changed under the cache. @internal
 */
export function frozen(value: unknown): unknown {
  if (value instanceof Map) {
    const map = Object.create(null) as Record<string, unknown>;
    for (const [key, item] of value as Map<string, unknown>) map[key] = frozen(item);
    return Object.freeze(map);
  }
  return Array.isArray(value) ? Object.freeze(value.map(frozen)) : value;
}

/** Like `frozen`, for documents whose own keys are of several words: `timer_slack` becomes `timerSlack`. @internal */
export function frozenCamel(value: unknown): unknown {
  const map = Object.create(null) as Record<string, unknown>;
  for (const [key, item] of value as Map<string, unknown>) map[camel(key)] = frozen(item);
  return Object.freeze(map);
}

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
/** @internal */
export const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** A copied document with its own keys in the core's spelling. @internal */
export function snaked(given: object): Record<string, unknown> {
  const document = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(given)) document[snake(name)] = value;
  return document;
}

/**
 * Reads settings whose names are in camel case and hands them to `use`, which calls the module, in the core's own;
 * an error names the field as the caller spelled it. @internal
 */
export function settings<T>(value: object | undefined, use: (document: object) => T): T {
  if (value === null || typeof (value ?? {}) !== "object" || Array.isArray(value)) expected("a map", value, "");
  const given = plain(value ?? {}) as object;
  const document = snaked(given);
  try {
    return call(() => use(document));
  } catch (error) {
    const { name, code, field, limit, message } = error as CallboardError;
    const spelled = Object.keys(given).find((name) => snake(name) === field);
    if (!(error instanceof CallboardError) || spelled === undefined) throw error;
    throw fail(name, { code, field: spelled, message: message.replace(field, spelled), ...(limit === undefined ? {} : { limit }) });
  }
}

/** Refuses options of a call that nobody knows. @internal */
export function known(options: object | undefined, names: readonly string[]): void {
  if (options === undefined) return;
  if (options === null || typeof options !== "object") expected("a map", options, "");
  for (const name in options) {
    if (!names.includes(name)) wrong(`known fields are ${names.join(", ")}`, name, "unknown-field");
  }
}

/** The limits by name: what no input may exceed. */
export function limits(): Readonly<Record<string, number>> {
  return frozen(call(() => raw.limit_table())) as Readonly<Record<string, number>>;
}
