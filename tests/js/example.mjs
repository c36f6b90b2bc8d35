// An example as it stands, beside the installed packages that it names.
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

export function example(name, packages) {
  const folder = mkdtempSync(join(tmpdir(), `callboard-${name}-`));
  cpSync(here(`../../examples/${name}`), join(folder, name), { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(here("../../bindings-wasm"), join(folder, "node_modules/callboard"));
  for (const one of packages) symlinkSync(here(`../../bindings-wasm/node_modules/${one}`), join(folder, "node_modules", one));
  return {
    path: (file) => join(folder, name, file),
    file: (file) => pathToFileURL(join(folder, name, file)).href,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
