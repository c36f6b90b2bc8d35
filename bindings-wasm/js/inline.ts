// Entry for every runtime and bundler without a rule of its own: the module travels as text inside the script, so
// nothing has to be fetched, copied or configured.
import text from "#bytes";
import { start } from "./start.ts";

function decode(base64: string): Uint8Array<ArrayBuffer> {
  const native = Uint8Array as unknown as { fromBase64?(text: string): Uint8Array<ArrayBuffer> };
  if (native.fromBase64) return native.fromBase64(base64);
  const { Buffer } = globalThis as { Buffer?: { from(text: string, encoding: "base64"): Uint8Array<ArrayBuffer> } };
  if (Buffer) return Buffer.from(base64, "base64");
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

start(new WebAssembly.Module(decode(text)));
export * from "#facade";
