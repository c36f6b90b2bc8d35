// Entry without the module: for pages that stream it, or a runtime that the exports map does not know.
import { start } from "./start.ts";

/** Takes the compiled module, or its bytes. To be called once, before anything else of this entry. */
export function init(module: WebAssembly.Module | BufferSource): void {
  // A module of another realm fails `instanceof`.
  const compiled = Object.prototype.toString.call(module) === "[object WebAssembly.Module]";
  start(compiled ? (module as WebAssembly.Module) : new WebAssembly.Module(module as BufferSource));
}

/** Streams the module from a response, such as `fetch(new URL("callboard.wasm", import.meta.url))`. */
export async function initAsync(source: Response | Promise<Response>): Promise<void> {
  init(await WebAssembly.compileStreaming(source));
}

export * from "#facade";
