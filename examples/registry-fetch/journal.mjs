// A registry's journal in a file, on Node, Deno or Bun. What is to be written is callboard's decision (`Store`); this file brings the disk.
import { closeSync, fdatasyncSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { Registry, Store } from "callboard/full";

export class Journal {
  #path;
  #store = new Store();

  constructor(path) {
    this.#path = path;
  }

  /** The registry that the file holds, or an empty one where there is no file yet. */
  recover() {
    let bytes;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if (error.code === "ENOENT") return new Registry();
      throw error;
    }
    return Registry.recover(new Uint8Array(bytes)).registry;
  }

  /** Has what has changed on the disk before it returns. */
  keep(registry) {
    const frame = this.#store.frame(registry);
    if (frame === undefined) return;
    try {
      if (frame.replace) {
        write(`${this.#path}.tmp`, "w", frame.bytes, fsyncSync);
        renameSync(`${this.#path}.tmp`, this.#path);
        const folder = openSync(dirname(this.#path), "r");
        fsyncSync(folder);
        closeSync(folder);
      } else {
        // Neither created nor cut: without the frames before it, this one is worth nothing.
        write(this.#path, "r+", frame.bytes, fdatasyncSync, statSync(this.#path).size);
      }
    } catch (error) {
      // Half of it may be there: the next frame replaces the file.
      this.#store.failed();
      throw error;
    }
    this.#store.written();
  }
}

function write(path, mode, bytes, sync, at = 0) {
  const file = openSync(path, mode);
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, at + done);
    sync(file);
  } finally {
    closeSync(file);
  }
}
