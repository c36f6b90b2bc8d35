// Entry for Vercel's Edge Runtime, which wants `?module` behind the name.
import module from "./callboard.wasm?module";
import { start } from "./start.ts";

start(module);
export * from "#facade";
