// Runs the vectors against both modules of the package; what it returns is the same in every runtime.
import files from "./data.js";
import { runVectors } from "./vectors.mjs";

export function report(core, full) {
  const results = [runVectors(full, files), runVectors(core, files)];
  const failures = results.flatMap((result) => result.failures);
  if (failures.length > 0) return `FAILED ${failures.length}: ${failures.slice(0, 3).join("; ")}`;
  return `${results[0].passed} of full, ${results[1].passed} of core`;
}
