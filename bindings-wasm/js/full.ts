// What `import ... from "callboard/full"` gives: all of "callboard", and the parts that speak to other systems.
export * from "./index.ts";
