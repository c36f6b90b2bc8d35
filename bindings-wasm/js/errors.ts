// Errors: one class for each family of the core's catalogue, under one base class.
import * as raw from "#glue";

/** The stable code of an error, the same in every language. */
export type ErrorCode =
  | "address-refused" | "all-excluded" | "already-exists" | "disposed" | "duplicate-key" | "engine-unreachable" | "invalid-address"
  | "invalid-argument" | "invalid-duration" | "invalid-metadata" | "invalid-name" | "invalid-policy"
  | "invalid-selector" | "invalid-time" | "invalid-version" | "invalid-weight" | "limit-exceeded" | "malformed"
  | "missing-field" | "none-available" | "no-instances" | "not-owner" | "overloaded" | "permission-denied" | "quota-exceeded"
  | "revision-mismatch"
  | "snapshot-corrupt" | "snapshot-version" | "stale-incarnation" | "unknown-field" | "unknown-instance"
  | "unknown-lease" | "unknown-query" | "unknown-route" | "unknown-service" | "unknown-watch";

/** What the module throws. @internal */
export interface Details { readonly kind?: string; readonly code: string; readonly field?: string; readonly limit?: number; readonly message?: string }

/** The base of every error that callboard throws. */
export class CallboardError extends Error {
  /** What went wrong; the code is stable, the message is not. */
  readonly code: ErrorCode;
  /** The path of the field it concerns, such as `endpoints[2].port`; empty when it concerns no single field. */
  readonly field: string;
  /** The limit that was met, in the unit of the field. */
  readonly limit: number | undefined;

  /** Errors are made by this package only. */
  protected constructor(thrown: unknown, options?: ErrorOptions) {
    const details = thrown as Details;
    super(details.message ?? details.code, options);
    // Not the name of the class, which a bundler may change.
    this.name = details.kind ?? "CallboardError";
    this.code = details.code as ErrorCode;
    this.field = details.field ?? "";
    this.limit = details.limit;
  }
}

/** The state of the registry does not allow the operation. */
export class ConflictError extends CallboardError {}
/** Bytes that are not what they should be. */
export class DataError extends CallboardError {}
/** An argument is wrong. */
export class InvalidError extends CallboardError {}
/** A limit or quota was met. */
export class LimitError extends CallboardError {}
/** The thing named does not exist. */
export class NotFoundError extends CallboardError {}
/** No instance can take the call. */
export class UnavailableError extends CallboardError {}
/** The object can no longer be used. */
export class UsageError extends CallboardError {}

/** Made here only, so the constructors are no part of the public types. */
type Constructor = new (details: Details, options?: ErrorOptions) => CallboardError;

const CLASSES = Object.freeze({
  // A name from outside is looked up here.
  __proto__: null,
  ConflictError, DataError, InvalidError, LimitError, NotFoundError, UnavailableError, UsageError,
}) as unknown as Readonly<Record<string, Constructor>>;

/** Every code with the name of the class that carries it. */
export function codes(): Readonly<Record<ErrorCode, string>> {
  const table = Object.create(null) as Record<string, string>;
  const list = raw.codes();
  for (let at = 0; at + 1 < list.length; at += 2) table[list[at] as string] = list[at + 1] as string;
  return Object.freeze(table);
}

let trap: unknown;

/** An error of the class that `kind` names. @internal */
export function fail(kind: string, details: Details, options?: ErrorOptions): CallboardError {
  return new (CLASSES[kind] as Constructor)({ ...details, kind }, options);
}

/**
 * What the module threw, as an error of this package. Anything but an error of the core is a trap, a bug of ours: the
 * memory of the module may be half-written, so from then on every use of it says so. @internal
 */
export function caught(thrown: unknown): CallboardError {
  if (thrown instanceof CallboardError) return thrown;
  const kind = (thrown as { kind?: unknown } | null)?.kind;
  if (typeof kind === "string" && kind in CLASSES) return new (CLASSES[kind] as Constructor)(thrown as Details);
  trap = thrown ?? "a trap";
  return poisoned();
}

/** Calls into the module, and into nothing else. @internal */
export function call<T>(act: () => T): T {
  if (trap !== undefined) throw poisoned();
  try {
    return act();
  } catch (thrown) {
    throw caught(thrown);
  }
}

/** Throws when the module has trapped before. @internal */
export function sound(): void {
  if (trap !== undefined) throw poisoned();
}

function poisoned(): CallboardError {
  const message = "disposed: callboard's WebAssembly instance trapped and can no longer be used; please report the cause";
  return fail("UsageError", { code: "disposed", message }, { cause: trap });
}
