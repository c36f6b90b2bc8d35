// The only place that makes a WebAssembly instance. `#glue` is what wasm-bindgen generates for bundlers; it is the
// same for every runtime, because none of them has to load the module by itself.
import * as glue from "#glue";

let started = false;

/** Instantiates the module once; later calls change nothing. @internal */
export function start(module: WebAssembly.Module): void {
  if (started) return;
  const imports = { "./callboard_bg.js": glue as unknown as WebAssembly.ModuleImports };
  const { exports } = new WebAssembly.Instance(module, imports);
  glue.__wbg_set_wasm(exports);
  (exports as unknown as { __wbindgen_start(): void }).__wbindgen_start();
  started = true;
}
