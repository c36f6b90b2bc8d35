// The documents that go in and come out. Durations are seconds, times are whole microseconds of the clock that `now`
// reads, numbers are below 2^53.

import type { Key } from "./balancer.ts";
import type { Policy } from "./policy.ts";

export type * from "./policy.ts";

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

/** Settings of a registry; durations are seconds. */
export interface Config {
  /** Keys its hash tables; drawn from the runtime's entropy at the first use when absent, where the runtime gives any. */
  readonly seed?: number;
  /** Names this life of the registry, larger at every start: the wall clock's microseconds when absent. */
  readonly epoch?: number;
  /** How late `advance` may come before every lease counts as renewed, because nobody was watching; default 1. */
  readonly timerSlack?: number;
  /** Between two passes that evict; default 1. */
  readonly evictionInterval?: number;
  /** How long instances may be protected from eviction; default 600. */
  readonly protectionLimit?: number;
  /** The share of a service's instances that one pass may evict; default 15. */
  readonly evictionPercent?: number;
  /** The share of instances that must renew, lest the others be protected; default 85. */
  readonly renewalPercent?: number;
  /** How often a shrunk listing must be repeated before it counts; default 3. */
  readonly confirmRepeats?: number;
  /** How long it must be repeated; default 10. */
  readonly confirmAfter?: number;
  /** How many changes can be asked for; default 16384. */
  readonly logCapacity?: number;
  /** Takes loopback, link-local, multicast and unspecified addresses from other sources too; default false. */
  readonly allowLocalAddresses?: boolean;
  readonly maxInstances?: number;
  readonly maxServices?: number;
  readonly maxInstancesPerService?: number;
  readonly maxOverrides?: number;
}

/** The time of a call: whole microseconds. */
export interface Timed {
  readonly now?: number;
}

export interface TimedIncarnation extends Timed {
  /** A number older than the record's is refused. */
  readonly incarnation?: number;
}

export interface PutOptions extends Timed {
  /** Default `upsert`. */
  readonly mode?: "create" | "update" | "upsert";
  /** Only if the record is still at this revision. */
  readonly ifRevision?: number;
}

/** Where a reader of changes stands. */
export interface Position {
  readonly epoch: number;
  readonly revision: number;
}

/** What a query found. */
export interface Answer {
  readonly instances: readonly Instance[];
  readonly revision: number;
  readonly epoch: number;
  /** Which rung of the query found them: 0 is the query itself, 1 its first fallback. */
  readonly rung: number;
  /** A source of these instances could not be read, or its last listing is held back. */
  readonly stale: boolean;
  /** Silent instances are kept, because too many fell silent at once. */
  readonly protected: boolean;
}

/** What became of a registration. */
export interface Registered {
  readonly handle: number;
  readonly revision: number;
  readonly created: boolean;
  readonly changed: boolean;
}

/** What was due. */
export interface Advanced {
  readonly expired: number;
  readonly revision: number;
}

/** One entry of the log. */
export interface LogEvent extends Required<InstanceKey> {
  /** The revision it is part of; the entries of one batch share one. */
  readonly revision: number;
  readonly kind: "added" | "updated" | "removed";
  readonly cause: "register" | "deregister" | "expire" | "health" | "admin" | "reconcile" | "lease" | "restore";
  readonly handle: number;
}

/** What `changes` answers: what happened, or that the whole state has to be read anew; go on from `epoch` and `revision`. */
export interface Changes extends Position {
  /** `compacted`: the log no longer reaches back so far; `new-epoch`: the position is of another life of the registry. */
  readonly status: "events" | "compacted" | "new-epoch";
  /** In order and without gaps. */
  readonly events?: readonly LogEvent[];
  /** The oldest revision that can be read on from, when the log was compacted. */
  readonly oldest?: number;
}

/** What is different in what a watch follows, as true of `epoch` and `revision`. Each list is by service and id. */
export interface Delta extends Position {
  /** New, or another record under a name that is in `removed`. */
  readonly added: readonly Instance[];
  readonly updated: readonly Instance[];
  /** Gone, or matching no more. */
  readonly removed: readonly { readonly handle: number; readonly service: string; readonly id: string }[];
  /** Read anew: the first time, after a restore, or because the log did not reach back. */
  readonly reset: boolean;
  /** Which rung of the query finds the instances: 0 is the query itself, 1 its first fallback. */
  readonly rung: number;
}

/** One difference, of which a delta has many. */
export interface Change {
  readonly kind: "added" | "updated" | "removed";
  readonly service: string;
  readonly id: string;
  readonly handle: number;
  /** The instance as it is now; absent when it was removed. */
  readonly instance?: Instance;
}

/** One operation of a batch; each means what the method of its name means. */
export type Op =
  | { readonly op: "register"; readonly instance: Registration; readonly mode?: "create" | "update" | "upsert"; readonly ifRevision?: number }
  | (InstanceKey & { readonly op: "renew" | "deregister"; readonly incarnation?: number })
  | (InstanceKey & { readonly op: "setHealth"; readonly health: Health; readonly incarnation?: number })
  | (InstanceKey & { readonly op: "setAdmin"; readonly admin: AdminChange | null });

/** What an operator says about an instance. */
export interface AdminChange {
  readonly state: AdminState;
  /** Seconds from now: then a drain turns into `disabled`, anything else is lifted. */
  readonly ttl?: number;
  readonly reason?: string;
}

/** A service on record. */
export interface ServiceSummary {
  readonly namespace: string;
  readonly service: string;
  readonly instances: number;
  /** Those without a caveat. */
  readonly available: number;
  /** The last revision that changed one of them. */
  readonly revision: number;
  /** Whether evictions are held. */
  readonly protected: boolean;
}

/** Counters of a registry. */
export interface RegistryStats extends Position {
  readonly instances: number;
  readonly leased: number;
  readonly suspect: number;
  readonly services: number;
  readonly protected: number;
  readonly overrides: number;
  readonly sources: number;
  readonly expired: number;
  /** How often the time ran backwards. */
  readonly backwards: number;
  /** How often nobody had watched the time, and every lease counted as renewed. */
  readonly gaps: number;
  /** Changes that can be asked for. */
  readonly log: number;
}

/** All that a source has to say of a namespace, or of one service there: the records it does not name are gone. */
export interface Listing {
  /** Such as `consul:dc1`. */
  readonly source: string;
  readonly namespace?: string;
  readonly service?: string;
  /** They may leave out the namespace and the service. */
  readonly instances: readonly (Omit<Registration, "service"> & { readonly service?: string })[];
  /** What is gone for sure: ids, or with their service. */
  readonly removed?: readonly (string | { readonly service?: string; readonly id: string })[];
}

/** What became of a listing. */
export interface Reconciled {
  readonly added: number;
  readonly updated: number;
  readonly removed: number;
  /** Records that the listing does not name and that stay, until it is confirmed. */
  readonly held: number;
  /** Instances that were not taken, and why. */
  readonly skipped: readonly Skipped[];
  readonly revision: number;
}

/** An instance of a listing that was not taken. */
export interface Skipped {
  readonly index: number;
  readonly id: string;
  readonly error: { readonly code: string; readonly field: string };
}

/** Settings of a balancer; durations are seconds. */
export interface BalancerOptions {
  /** Default `adaptive`. */
  readonly policy?: Policy;
  /** For the same picks again; drawn from the runtime's entropy at the first use when absent. */
  readonly seed?: number;
  /** How long a pick may stay unfinished: 0.001 to 86400, default 600. */
  readonly reapAfter?: number;
  /** How many events to keep for `trace`: up to 1048576, default 0. */
  readonly trace?: number;
  /** Whether each pick is explained before it is made, for `explained`: default false. */
  readonly explain?: boolean;
}

/** What is known of a call that needs an instance. */
export interface PickRequest extends Timed {
  /** What the call is about, for policies that send the same key to the same instance; at most 4096 bytes. A `Key` is quicker when it comes often. */
  readonly key?: string | Key;
  /** Instances, or their handles, that it must not go to, because it was tried on them. */
  readonly exclude?: readonly (number | Instance)[];
  /** The metadata that the instance must have, for policies with `labels`. */
  readonly labels?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
  /** What the instances to try first are called by, in order, for policies with `sticky`. */
  readonly prefer?: readonly string[];
}

/** What a probe brought. */
export interface ProbeReport {
  /** How many requests the instance has in flight, of all its clients. */
  readonly rif: number;
  /** How many seconds it expects one more to take. */
  readonly latency: number;
}

/** What became of a call. */
export interface Outcome {
  /** Whether the instance did its job; default true. */
  readonly ok?: boolean;
  /** How it ended; default `success`, or `error` when `ok` is false. `connect` and `timeout` are failures of this side. */
  readonly kind?: OutcomeKind;
  /** The HTTP status of the answer, instead of a kind: 429 is `throttled`, 502 to 504 `gateway`, any other 5xx `error`, all else `success`. */
  readonly status?: number;
  /** The status of gRPC, instead: UNAVAILABLE is `gateway`, DEADLINE_EXCEEDED `timeout`, RESOURCE_EXHAUSTED `throttled`, CANCELLED `cancelled`;
   * UNKNOWN, UNIMPLEMENTED, INTERNAL and DATA_LOSS are `error`, all else `success`. */
  readonly grpcStatus?: number;
  /** Seconds. */
  readonly latency?: number;
  /** How many seconds the instance asked to be spared. */
  readonly retryAfter?: number;
  /** What the instance reported of its load. */
  readonly load?: Load;
}

/** How a call ended; one that was cancelled counts neither for nor against the instance. */
export type OutcomeKind = "success" | "error" | "gateway" | "connect" | "timeout" | "throttled" | "cancelled";

/** What an instance reports of its load; what is absent is 0. */
export interface Load {
  /** As the application sees it; 1 is its capacity. */
  readonly utilization?: number;
  /** Of the processor; 1 is its capacity. */
  readonly cpu?: number;
  /** Requests a second. */
  readonly qps?: number;
  /** Errors a second. */
  readonly eps?: number;
  /** Requests in flight. */
  readonly rif?: number;
}

/** What a balancer counted. */
export interface Tally {
  readonly picks: number;
  readonly inflight: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly reaped: number;
  /** The mean, in seconds. */
  readonly latency?: number;
}

/** What a balancer knows of one instance. */
export interface InstanceStats extends Tally {
  readonly handle: number;
  readonly service: string;
  readonly id: string;
  readonly availability: Availability;
  /** Whether outlier detection has taken it out, and whether it is spared at its wish; absent when not. */
  readonly ejected?: true;
  readonly held?: true;
  /** The average latency in seconds and the average success that the policy has learnt, if it learns them. */
  readonly expected?: number;
  readonly success?: number;
}

/** How often each part of the pipeline had a say: picks, in the first two lines; refusals; who was taken out and came back; grants and denials. */
export type Stages = Readonly<
  Record<
    | ("preferred" | "fallback" | "degraded" | "panic" | "draining" | "out" | "probes" | "spilled")
    | ("noInstances" | "noneAvailable" | "allExcluded" | "limitExceeded")
    | ("ejected" | "restored" | "held" | "tripped")
    | ("retries" | "retriesDenied" | "hedges" | "hedgesDenied" | "turnedAway"),
    number
  >
>;

/** What a balancer has done. */
export interface BalancerStats extends Tally {
  readonly policy: string;
  readonly backwards: number;
  readonly stages: Stages;
  readonly instances: readonly InstanceStats[];
}
