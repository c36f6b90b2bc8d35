// A policy as a document: its parts and their settings, named as the core reads them in every language. Durations are seconds.
// A part that is absent is as the preset says, one that is `"off"` is left out.

/** The name of a balancing policy. */
export type PolicyName = "first" | "random" | "round-robin" | "least-request" | "rendezvous" | "adaptive" | "peak-ewma"
  | "envoy.round-robin" | "envoy.least-request" | "envoy.client-side-wrr" | "envoy.random" | "grpc.pick-first" | "grpc.round-robin"
  | "grpc.weighted-round-robin" | "grpc.least-request" | "nginx.smooth" | "nginx.random-two" | "finagle.p2c-peak-ewma"
  | "linkerd.peak-ewma" | "prequal" | "envoy.ring-hash" | "envoy.maglev" | "grpc.ring-hash" | "nginx.hash" | "ring-hash" | "maglev" | "ketama" | "jump";

/** How an instance is chosen: a preset by its name, or a preset and what is other than it says. */
export type Policy = PolicyName | PolicyParts;

/** A preset, and what is other than it says. */
export interface PolicyParts {
  /** What the parts are like that are absent here; default `adaptive`. */
  readonly preset?: PolicyName;
  /** What chooses among the instances that may be given the call. */
  readonly pick?: PickGenerator;
  /** Which instances this client uses at all. */
  readonly subset?: Subset | "off";
  /** How an instance that is new is spared. The preset's is not for a `pick` that goes by keys. */
  readonly slow_start?: SlowStart | "off";
  /** Which instances a request asks for by labels. */
  readonly labels?: Labels | "off";
  /** Whether a request may say who is tried first. */
  readonly sticky?: Sticky | "off";
  /** Who is a reserve for whom, and when all are called, well or not. */
  readonly levels?: Levels | "off";
  /** How much goes to which locality. */
  readonly localities?: Localities | "off";
  /** Who is taken out of the picks because it does worse than it should, and how it comes back. */
  readonly outliers?: Outliers | "envoy" | "grpc" | "adaptive" | "off";
  /** For how long one that asks for it is spared. */
  readonly hold?: Hold | "off";
  /** How many calls may be out at one instance, and at all. */
  readonly breaker?: Breaker | "off";
  /** How many retries there may be, and when. */
  readonly retry?: Retry | "off";
  /** When a call is worth sending twice. */
  readonly hedge?: Hedge | "off";
  /** What instances weigh by what they report of their load. */
  readonly reports?: Reports | "off";
  /** How many calls may be out at once. */
  readonly limit?: Limit | "off";
}

/** The name of what chooses, as it is by default. */
export type PickName = "first" | "random" | "round-robin" | "edf" | "stride" | "sample" | "prequal" | "rendezvous" | "ring-hash" | "maglev" | "ketama" | "jump";

/** What chooses among the instances that may be given the call. */
export type PickGenerator = PickName | PlainPick | First | Edf | Stride | Sample | Prequal | Rendezvous | RingHash | Maglev | Ketama | Jump;

/** At random or in turn, by the weights. */
export interface PlainPick {
  readonly kind: "random" | "round-robin";
}

/** The first in a fixed order: one active instance, the others stand by. */
export interface First {
  readonly kind: "first";
  /** Whether the order is drawn from the seed; default false: by service and id. */
  readonly shuffle?: boolean;
}

/** In turn by deadline: the weighted round robin of Envoy. */
export interface Edf {
  readonly kind: "edf";
  /** How much the calls in flight lower the weight: 0 to 16, default 0: not at all. */
  readonly bias?: number;
}

/** In turn by a counter: the weighted round robin of gRPC. */
export interface Stride {
  readonly kind: "stride";
  /** Whether weights are held between a tenth and ten times their mean; default true. */
  readonly clamp?: boolean;
}

/** The best by a score of some drawn at random, in proportion to the weights. */
export interface Sample {
  readonly kind: "sample";
  /** How many are drawn: 2 to 32, default 2; `"all"` is a full scan. */
  readonly choices?: number | "all";
  /** How many are drawn at most while the best has calls in flight: up to 32, by default `choices`. */
  readonly most?: number;
  /** Whether those drawn first must be distinct; default true. */
  readonly distinct?: boolean;
  /** What they are compared by; default `in-flight`. */
  readonly score?: Score;
  /** What takes turns instead when the weights differ, as in Envoy's least request; by default nothing. */
  readonly uneven?: Uneven;
}

/** Turns by deadline, in the place of a sample. */
export interface Uneven {
  readonly kind?: "edf";
  /** How much the calls in flight lower the weight: 0 to 16, default 0: not at all. */
  readonly bias?: number;
}

/** What sampled instances are compared by. */
export type Score = "in-flight" | "cost" | InFlight | Cost;

/** By the calls in flight. */
export interface InFlight {
  readonly kind: "in-flight";
}

/** By latency x load / success, each learnt from the outcomes. */
export interface Cost {
  readonly kind: "cost";
  /** The time constant of the latency's average: 0.001 to 3600 s, default 10. */
  readonly tau?: number;
  /** Whether a latency above the average replaces it; default true. */
  readonly peak?: boolean;
  /** Whether the average fades to nothing while no call ends; default false: it stays. */
  readonly fade?: boolean;
  /** Whether the age of the calls in flight is a lower bound of the latency; default true. */
  readonly age?: boolean;
  /** What one costs that no call to has ended: that of its peers, nothing, or 0 to 3600 s; default `median`. */
  readonly unknown?: number | "median" | "explore";
  /** The latency that a failure counts as, if it is longer: 0 to 3600 s, default `never`. */
  readonly penalty?: number | "never";
  /** The exponent of the success: 0 to 4, default 3. */
  readonly exponent?: number;
  /** By how much an outcome moves the success: above 0 and up to 1, default 0.1. */
  readonly gain?: number;
  /** The time constant with which the success recovers: 0.001 to 3600 s, default 10. */
  readonly recovery?: number;
  /** After how long without a call an instance wins the comparison: 0.001 to 3600 s, default 3. */
  readonly idle?: number | "never";
}

/** The hot and cold rule over a pool of probes. */
export interface Prequal {
  readonly kind: "prequal";
  /** Probes in the pool: 2 to 64, default 16. */
  readonly pool?: number;
  /** When a probe is too old: 0.001 to 3600 s, default 1. */
  readonly age?: number;
  /** Probes sent for each pick: 0.1 to 16, default 3. */
  readonly rate?: number;
  /** Probes taken out after each pick: 0 to 16, default 1. */
  readonly remove?: number;
  /** The quantile of the requests in flight above which an instance is hot: 0 to 1, default 0.84. */
  readonly quantile?: number;
  /** By how much more a probe may be used than the rates ask for: 0 to 16, default 1. */
  readonly delta?: number;
}

/** The one that hashes highest with the request's key. */
export interface Rendezvous {
  readonly kind: "rendezvous";
  /** The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none. */
  readonly load_factor?: number;
}

/** The next on a circle of points. */
export interface RingHash {
  readonly kind: "ring-hash";
  /** The fewest points of the ring: 1 to 8388608, default 1024. */
  readonly min_size?: number;
  /** The most points of the ring: 1 to 8388608, default 4096. */
  readonly max_size?: number;
  /** So many points for a weight of 1, in the place of the sizes: 1 to 65536; by default the sizes count. */
  readonly points?: number;
  /** What the points are hashed by; default `xxhash64`. */
  readonly hash?: "xxhash64" | "murmur2";
  /** What is hashed of a host: `address`, `id`, `hostname` or `metadata.KEY`; default `address`. */
  readonly hash_key?: string;
  /** The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none. */
  readonly load_factor?: number;
}

/** The one that has the place of the key's hash in a table. */
export interface Maglev {
  readonly kind: "maglev";
  /** Places of the table: a prime up to 5000011, default 65537. */
  readonly table_size?: number;
  /** What is hashed of a host: `address`, `id`, `hostname` or `metadata.KEY`; default `address`. */
  readonly hash_key?: string;
  /** The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none. */
  readonly load_factor?: number;
}

/** The next on a circle of 32-bit points. */
export interface Ketama {
  readonly kind: "ketama";
  /** Whose points; default `libketama`. */
  readonly layout?: "libketama" | "nginx";
  /** What is hashed of a host: `address`, `id`, `hostname` or `metadata.KEY`; default `address`. */
  readonly hash_key?: string;
  /** The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none. */
  readonly load_factor?: number;
}

/** By number, without a table; ignores weights. */
export interface Jump {
  readonly kind: "jump";
  /** The bound on a host's load, as a factor of its fair share: 1 to 100, default 0: none. */
  readonly load_factor?: number;
}

/** A client uses some of the instances only. */
export interface Subset {
  /** How they are chosen; default `random`. */
  readonly kind?: "random" | "ring" | "aperture";
  /** How many: at least 1, default 20; for `aperture` the least width, by default 12. */
  readonly size?: number;
  /** The number of this client among its peers, for `ring` and `aperture`: from 0, default 0. */
  readonly client?: number;
  /** How many clients there are, for `aperture`: at least 1, default 1. */
  readonly clients?: number;
  /** For `random`: give each client its own; below 2^53, default 0. */
  readonly seed?: number;
}

/** A new instance, or one that is well again, has less weight at first. */
export interface SlowStart {
  /** How long it takes: 0.001 to 3600 s, default 30. */
  readonly window?: number;
  /** What it starts with, in percent of the weight: 1 to 100, default 10. */
  readonly min?: number;
  /** The weight grows as the share of the window to the power of 1 / this: 0.01 to 100, default 1. */
  readonly aggression?: number;
  /** By whose rule; default `envoy`. */
  readonly rule?: "envoy" | "dubbo";
}

/** Groups of instances that requests ask for by labels. */
export interface Labels {
  /** The sets of keys that requests may name: at most 16; of two alike the first counts. */
  readonly selectors: readonly (LabelSelector | readonly string[])[];
  /** What becomes of a request that no selector fits, or whose labels nobody has; default `none`. */
  readonly fallback?: "none" | "any" | "default";
  /** The labels of the instances that `default` means; by default all instances. */
  readonly default?: Readonly<Record<string, string>>;
  /** Whether a request for which the fallback has nobody who can be called may go to any instance; default false. */
  readonly panic_any?: boolean;
  /** Whether a request may have more labels than a selector has keys; default false. */
  readonly redundant?: boolean;
  /** What separates the elements of a value that is a list, of which any will do; none by default. */
  readonly list?: string;
  /** Whether a locality's weight counts in proportion to how many of its instances the group has; default false. */
  readonly scale_localities?: boolean;
  /** How many groups are kept ready to pick from: 1 to 4096, default 256. */
  readonly keep?: number;
}

/** A set of metadata keys. */
export interface LabelSelector {
  /** The keys: at least 1. */
  readonly keys: readonly string[];
  /** What becomes of a request whose labels nobody has; by default as the policy's fallback says. */
  readonly fallback?: "none" | "any" | "default" | "keys";
  /** For `keys`: the labels that are left to look for: some of the keys, and not all. */
  readonly fallback_keys?: readonly string[];
}

/** Requests may name instances that are tried first, in order. */
export interface Sticky {
  /** What the request calls an instance by: `address`, `id`, `hostname` or `metadata.KEY`; default `id`. */
  readonly by?: string;
  /** How it must be; default `available` and `degraded`. */
  readonly statuses?: readonly ("available" | "degraded" | "draining" | "ejected" | "held" | "unhealthy")[];
  /** Whether the call is refused when none of them may be given it; default false. */
  readonly strict?: boolean;
}

/** Levels of priority: the instances of a level are given what the levels before it cannot take. */
export interface Levels {
  /** The health of a level in percent for each percent of it that is well: 100 to 1000, default 140. */
  readonly overprovisioning?: number;
  /** A level panics when fewer than this percentage of it may be called: 0 (never) to 100, default 50. */
  readonly panic?: number;
  /** The metadata key of the level, of at most 128 bytes; default `priority`. */
  readonly key?: string;
}

/** How the traffic of a level is divided among the localities of its instances. */
export interface Localities {
  /** By what it is divided; default `nearest`. */
  readonly mode?: "nearest" | "weights";
  /** How far down localities differ; default `zone`. */
  readonly scope?: "region" | "zone" | "subzone";
  /** The path of the client's own locality, as in `eu/eu-1a`; without it nothing is near. */
  readonly local?: string;
  /** How many clients like this one each locality has, by path; by default one in each. */
  readonly peers?: Readonly<Record<string, number>>;
  /** For `weights`: what each locality is given, by path; by default 1. */
  readonly weights?: Readonly<Record<string, number>>;
  /** A level with fewer well instances is not divided by nearness: default 6. */
  readonly min_instances?: number;
  /** With as many well instances in the client's own locality all calls stay there: default 0: off. */
  readonly force_local?: number;
  /** Whether localities are compared by the weights of their instances instead of their number; default false. */
  readonly by_weight?: boolean;
  /** For `weights`: what a locality can take in percent for each percent of it that is well: 100 to 1000, default 140. */
  readonly overprovisioning?: number;
}

/** When an instance is taken out of the picks because it does worse than it should or than its peers. Defaults are those of the preset `envoy`. */
export interface Outliers {
  /** What the fields are like that are absent here, by default `envoy`. */
  readonly preset?: "envoy" | "grpc" | "adaptive";
  /** How often rates and latencies are compared: 0.001 to 3600 s, default 10. */
  readonly interval?: number;
  /** The share of the instances in percent at which no more are taken out: up to 100, default 10. */
  readonly most?: number;
  /** Whether one may be taken out whatever `most` says; default false. */
  readonly always_one?: boolean;
  /** How one comes back; default `fixed`. */
  readonly recovery?: Recovery;
  /** Whether failures that were seen on this side (`connect`, `timeout`) are counted apart; default false. */
  readonly split?: boolean;
  /** So many failures in a row; default 5, always enforced. */
  readonly errors?: Streak | "off";
  /** So many gateway failures in a row; default 5, never enforced. */
  readonly gateway?: Streak | "off";
  /** So many failures on this side in a row, when they are counted apart; default 5, always enforced. */
  readonly local?: Streak | "off";
  /** A success rate far below that of the peers; on by default. */
  readonly success_rate?: SuccessRate | "off";
  /** A share of failures; on by default, never enforced. */
  readonly failures?: Failures | "off";
  /** A latency far above that of the peers; default `off`. */
  readonly latency?: Slowness | "off";
}

/** How an instance comes back. */
export type Recovery = "fixed" | "probe" | FixedRecovery | ProbeRecovery;

/** After a time that grows with the number of times it was taken out lately. */
export interface FixedRecovery {
  readonly kind: "fixed";
  /** How long it stays out for the first time: 0.001 to 3600 s, default 30. */
  readonly base?: number;
  /** The longest time: 0.001 to 3600 s, default 300. */
  readonly most?: number;
  /** Up to so much is drawn and added: 0 to 3600 s, default 0. */
  readonly jitter?: number;
}

/** A single call is sent to it now and then, the gap doubling; it is back when some went well. */
export interface ProbeRecovery {
  readonly kind: "probe";
  /** The gap before the first call: 0.001 to 3600 s, default 1. */
  readonly first?: number;
  /** The longest gap: 0.001 to 3600 s, default 4. */
  readonly most?: number;
  /** How many calls in a row must go well: at least 1, default 3. */
  readonly successes?: number;
  /** Whether the host checks it in the place of calls, by `probe_requests` and `probed`; default false. */
  readonly checks?: boolean;
}

/** So many in a row. */
export interface Streak {
  /** How many: at least 1, default 5. */
  readonly count?: number;
  /** With which probability in percent the instance is taken out: 0 to 100, by default as the preset says. */
  readonly enforcing?: number;
}

/** A success rate below the mean of the peers' by so many of their standard deviations. */
export interface SuccessRate {
  /** How many instances must have enough calls: default 5. */
  readonly hosts?: number;
  /** How many calls in an interval are enough: at least 1, default 100. */
  readonly volume?: number;
  /** How many standard deviations: 0 to 100, default 1.9. */
  readonly factor?: number;
  /** With which probability in percent the instance is taken out: 0 to 100, default 100. */
  readonly enforcing?: number;
}

/** A share of failures of so many percent. */
export interface Failures {
  /** How many percent: 0 to 100, default 85. */
  readonly threshold?: number;
  /** Whether it takes more than that, as in gRPC, and not just as much, as in Envoy; default false. */
  readonly above?: boolean;
  /** How many instances must have enough calls: default 5. */
  readonly hosts?: number;
  /** How many calls in an interval are enough: at least 1, default 50. */
  readonly volume?: number;
  /** With which probability in percent the instance is taken out: 0 to 100, default 0. */
  readonly enforcing?: number;
}

/** A median latency above so many times the median of the peers' medians. */
export interface Slowness {
  /** How many times: 1 to 1000, default 3. */
  readonly factor?: number;
  /** By how much it must be above it at least: 0 to 3600 s, default 0.02. */
  readonly floor?: number;
  /** How many instances must have enough calls: default 3. */
  readonly hosts?: number;
  /** How many calls in an interval are enough: at least 1, default 20. */
  readonly volume?: number;
  /** With which probability in percent the instance is taken out: 0 to 100, default 100. */
  readonly enforcing?: number;
}

/** For how long an instance that asks to be spared gets no call while there is another. */
export interface Hold {
  /** The longest time that is granted: 0 to 3600 s, default 300. */
  readonly most?: number;
  /** The time for one that is `throttled` and names none: 0 to 3600 s, default 0. */
  readonly unasked?: number;
}

/** How many calls may be out at once: a pick beyond it goes to another instance, or is refused. */
export interface Breaker {
  /** At one instance: at least 1, by default any number. */
  readonly instance?: number;
  /** At all instances: at least 1, default 1024. */
  readonly total?: number;
  /** Of calls that were tried before, which are those that exclude somebody: at least 1, by default any number. */
  readonly retries?: number;
  /** That many, or this percentage of the calls that are out, when it is more: 0 to 100, default 0. */
  readonly retry_percent?: number;
  /** When the whole service is left alone; default `off`. */
  readonly trip?: Trip | "off";
}

/** After so many failures in a row every pick is refused for a while; then one call is let through to find out. */
export interface Trip {
  /** Failures in a row: at least 1, default 20. */
  readonly failures?: number;
  /** For how long picks are refused at first: 0.001 to 3600 s, default 1. */
  readonly hold?: number;
  /** For how long at most: `hold` to 3600 s, default 30, or `hold` when that is longer. */
  readonly most?: number;
}

/** How many retries there may be, and when. */
export interface Retry {
  /** How many retries there may be; default `share`. */
  readonly budget?: Budget | "off";
  /** How often one call may be tried in all: 1 to 100, default 5. */
  readonly attempts?: number;
  /** The delay before the first retry: 0 to 3600 s, default 0.1. */
  readonly first?: number;
  /** By how much the delay grows from one retry to the next: 1 to 100, default 2. */
  readonly factor?: number;
  /** The longest delay: 0 to 3600 s, default 1. */
  readonly most?: number;
  /** The share by which a delay is drawn longer or shorter: 0 to 1, default 0.2. */
  readonly jitter?: number;
}

/** How many retries there may be. */
export type Budget = "share" | "tokens" | ShareBudget | TokenBudget;

/** Some for each call that ended, and some for each second. */
export interface ShareBudget {
  readonly kind: "share";
  /** How long what was earned can be spent: 0.001 to 3600 s, default 10. */
  readonly window?: number;
  /** Retries a second that need no calls: 0 to 1000000, default 10. */
  readonly reserve?: number;
  /** Retries for each call: 0 to 1000, default 0.2. */
  readonly share?: number;
}

/** A failure takes a token, a success gives back a part of one, and retries need more than half of them. */
export interface TokenBudget {
  readonly kind: "tokens";
  /** How many there are at most, and at first: 0.001 to 1000, default 10. */
  readonly most?: number;
  /** What a success gives back: 0.001 to 1000, default 0.1. */
  readonly ratio?: number;
}

/** When a call that has no answer yet is sent to a second instance as well. */
export interface Hedge {
  /** The share of the calls that are answered before: 0.001 to 0.9999, default 0.95. */
  readonly quantile?: number;
  /** The shortest delay: 0 to 3600 s, default 0.001. */
  readonly least?: number;
  /** How many calls more there may be, as a share of those that ended: 0 to 1, default 0.05. */
  readonly load?: number;
  /** A latency is forgotten after one to two of these: 0.001 to 3600 s, default 30. */
  readonly window?: number;
  /** How many latencies are needed: at least 1, default 20. */
  readonly samples?: number;
}

/** Weights by reports of load. */
export interface Reports {
  /** For how long reports must have come before they count: 0 to 3600 s, default 10. */
  readonly blackout?: number;
  /** When the last report is too old: 0.001 to 3600 s, default 180. */
  readonly expiration?: number;
  /** How often the weights are worked out: 0.1 to 3600 s, default 1. */
  readonly update?: number;
  /** What a share of errors adds to the utilization: 0 to 1000, default 1. */
  readonly penalty?: number;
  /** What an instance weighs whose report does not count, of the others' weights; default `mean`. */
  readonly unknown?: "mean" | "median";
}

/** How many calls of one balancer may be out at once; `admit` asks it. */
export type Limit = "fixed" | "gradient" | "gradient2" | "vegas" | "aimd" | FixedLimit | Gradient | Gradient2 | Vegas | Aimd;

/** Always as many. */
export interface FixedLimit {
  readonly kind: "fixed";
  /** How many: at least 1, default 1024. */
  readonly max?: number;
}

/** Follows the ratio of the lowest latency to the present one. */
export interface Gradient {
  readonly kind: "gradient";
  /** The limit at first: at least 1, default 50. */
  readonly initial?: number;
  /** The lowest limit: at least 1, default 1. */
  readonly min?: number;
  /** The highest limit: at least 1, default 1000. */
  readonly max?: number;
  /** How much of a lower limit is taken on: 0.001 to 1, default 0.2. */
  readonly smoothing?: number;
  /** How many calls may wait, or the square root of the limit when that is more: default 4. */
  readonly queue?: number;
  /** By how much the latency may be above the lowest before the limit shrinks, as a factor: 1 to 100, default 2. */
  readonly tolerance?: number;
  /** What is left of the limit after a drop: 0.5 to 1, default 0.9. */
  readonly backoff?: number;
  /** The lowest latency is measured anew after one to two times so many calls: at least 1, default 1000. */
  readonly probe?: number;
}

/** Follows the ratio of the long-term latency to the present one. */
export interface Gradient2 {
  readonly kind: "gradient2";
  /** The limit at first: at least 1, default 20. */
  readonly initial?: number;
  /** The lowest limit: at least 1, default 20. */
  readonly min?: number;
  /** The highest limit: at least 1, default 200. */
  readonly max?: number;
  /** How much of a new limit is taken on: 0.001 to 1, default 0.2. */
  readonly smoothing?: number;
  /** How many calls may wait: default 4. */
  readonly queue?: number;
  /** The window of the long-term latency, in calls: at least 1, default 600. */
  readonly window?: number;
  /** By how much the latency may grow before the limit shrinks, as a factor: 1 to 100, default 1.5. */
  readonly tolerance?: number;
}

/** Follows the queue that the latency tells of, as TCP Vegas. */
export interface Vegas {
  readonly kind: "vegas";
  /** The limit at first: at least 1, default 20. */
  readonly initial?: number;
  /** The highest limit: at least 1, default 1000. */
  readonly max?: number;
  /** How much of a new limit is taken on: 0.001 to 1, default 1. */
  readonly smoothing?: number;
  /** The lowest latency is measured anew after about this many times as many calls as the limit: at least 1, default 30. */
  readonly probe?: number;
}

/** One more while it is used, a share less when a call is dropped. */
export interface Aimd {
  readonly kind: "aimd";
  /** The limit at first: at least 1, default 20. */
  readonly initial?: number;
  /** The lowest limit: at least 1, default 20. */
  readonly min?: number;
  /** The highest limit: at least 1, default 200. */
  readonly max?: number;
  /** What is left of the limit after a drop: 0.5 to 1, default 0.9. */
  readonly backoff?: number;
  /** A call that took longer counts as dropped: 0.001 to 3600 s, default 5. */
  readonly timeout?: number;
}
