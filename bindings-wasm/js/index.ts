// What `import ... from "callboard"` gives.
export { Balancer, Key, Pick, isRepeatable } from "./balancer.ts";
export { limits } from "./document.ts";
export { createFetch } from "./fetch.ts";
export type { FetchOptions } from "./fetch.ts";
export {
  CallboardError, ConflictError, DataError, InvalidError, LimitError, NotFoundError, UnavailableError, UsageError, codes,
} from "./errors.ts";
export type { ErrorCode } from "./errors.ts";
export { now, version } from "./meta.ts";
export { Query } from "./query.ts";
export { Registry } from "./registry.ts";
export { Watch } from "./watch.ts";
export type * from "./types.ts";
