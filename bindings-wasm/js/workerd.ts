// Entry for Cloudflare's workerd, which compiles no module at run time and hands out a compiled one instead.
import module from "./callboard.wasm";
import { start } from "./start.ts";

start(module);
export * from "#facade";
