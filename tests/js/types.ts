// Compiled, never run: the declarations accept what the README shows and refuse what is wrong.
import { CallboardError, InvalidError, type ErrorCode, version } from "callboard";
import * as full from "callboard/full";
import { init } from "callboard/slim";

const text: string = version();
const same: string = full.version();
init(new Uint8Array([0]));

export function describe(error: unknown): string {
  if (error instanceof InvalidError) return `${error.field}: ${error.limit ?? "no limit"}`;
  if (error instanceof CallboardError) {
    const code: ErrorCode = error.code;
    return code;
  }
  return text + same;
}

// @ts-expect-error: errors are made by the package only, with what the core says.
new InvalidError("text", { code: 1 });
