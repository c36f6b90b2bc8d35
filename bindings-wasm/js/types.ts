// The documents that go in and come out. Durations are seconds, times are whole microseconds of the clock that `now`
// reads, numbers are below 2^53.

/** Whether an instance says that it works. */
export type Health = "unknown" | "starting" | "healthy" | "degraded" | "unhealthy";
/** The operator's word. */
export type AdminState = "enabled" | "draining" | "disabled";
/** What health, operator and lease come to. */
export type Availability = "available" | "degraded" | "draining" | "unavailable";
/** How a lease stands; `persistent` is one that never ends. */
export type LeaseState = "persistent" | "live" | "suspect";

/** A named address of an instance. */
export interface Endpoint {
  readonly name: string;
  readonly scheme: string;
  readonly host: string;
  readonly port?: number;
  readonly secure: boolean;
}

/** Where an instance runs; a part that is not known is absent. */
export interface Locality {
  readonly region?: string;
  readonly zone?: string;
  readonly subzone?: string;
  readonly node?: string;
}

/** Names an instance; the namespace is `default` when none is given. */
export interface InstanceKey {
  readonly namespace?: string;
  readonly service: string;
  readonly id: string;
}

/** What a provider says of itself when it signs in. */
export interface Registration extends InstanceKey {
  /** URLs such as `http://10.0.0.5:8080`, or their parts. */
  readonly endpoints?: readonly (string | { readonly name?: string; readonly scheme?: string; readonly host: string; readonly port?: number; readonly secure?: boolean })[];
  readonly locality?: Locality;
  /** Its share of the load beside others: 0 to 65535 in steps of 0.001, default 1; 0 takes no calls. */
  readonly weight?: number;
  /** A semantic version. */
  readonly version?: string;
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** Default `healthy`. */
  readonly health?: Health;
  /** Seconds it lives after a renewal, 1 s to 24 h; without, it stays until it is removed. */
  readonly ttl?: number;
  /** Seconds it stays as `suspect` after that; default 0. */
  readonly grace?: number;
  /** A number that grows with every start of the provider, so that a late message of an old one changes nothing. */
  readonly incarnation?: number;
}

/** What an operator said about an instance. */
export interface Admin {
  readonly state: AdminState;
  /** When it ends. */
  readonly until?: number;
  readonly reason?: string;
}

/** An instance on record. Frozen; the same object for as long as the record does not change. */
export interface Instance {
  readonly namespace: string;
  readonly service: string;
  readonly id: string;
  /** Names the record in its registry for as long as it lives. */
  readonly handle: number;
  /** The revision that last changed it. */
  readonly revision: number;
  /** `local`, or the source whose listing brought it. */
  readonly source: string;
  /** The URL of its first endpoint, without a path. */
  readonly url?: string;
  readonly endpoints: readonly Endpoint[];
  readonly locality: Locality;
  readonly weight: number;
  readonly version?: string;
  readonly tags: readonly string[];
  /** Without a prototype: `metadata["__proto__"]` is what was registered, or undefined. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly health: Health;
  readonly ttl?: number;
  readonly grace?: number;
  readonly incarnation: number;
  readonly admin: Admin;
  readonly lease: LeaseState;
  readonly availability: Availability;
}

/** The conditions of a query; all of them hold for what is found. */
export interface QueryDocument {
  readonly namespace?: string;
  /** Absent: every service of the namespace. */
  readonly service?: string;
  /** The least availability; default `serving`, which leaves out what is unavailable. */
  readonly health?: "any" | "serving" | "available";
  /** A range of versions such as `^1.4`. */
  readonly version?: string;
  /** Such as `env=prod, tier in (a,b), !canary`. */
  readonly selector?: string;
  readonly locality?: Locality;
  /** All of these. */
  readonly tags?: readonly string[];
  readonly limit?: number;
  /** Asked in turn while nothing is found. */
  readonly fallbacks?: readonly Omit<QueryDocument, "fallbacks">[];
}
