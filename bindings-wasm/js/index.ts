// What `import ... from "callboard"` gives.
export {
  CallboardError, ConflictError, DataError, InvalidError, LimitError, NotFoundError, UnavailableError, UsageError,
} from "./errors.ts";
export type { ErrorCode } from "./errors.ts";
export { version } from "./meta.ts";
