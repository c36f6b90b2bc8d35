// Queries under a name, and why a query finds whom it finds: what they look like.
import type { QueryDocument } from "./types.ts";

/** A query under a name of its namespace. */
export interface SavedQuery {
  readonly name: string;
  readonly query: QueryDocument;
  /** The revision that saved it. */
  readonly revision: number;
}

/** A condition of a query, or a fact about an instance, that leaves the instance out. */
export interface Condition {
  readonly part: "health" | "admin" | "lease" | "version" | "locality" | "tags" | "selector" | "limit";
  /** Of the instance the word for its state, of the query what was asked. */
  readonly text: string;
}

/** What one rung of a query finds, as if it were asked alone. */
export interface ExplainedRung {
  /** Absent: every service of the namespace. */
  readonly service?: string;
  /** How many are on record. */
  readonly known: number;
  readonly found: number;
  /** Why nobody is: nobody is on record, some match but for their state, or nobody matches. */
  readonly code?: "unknown-service" | "none-available" | "no-instances";
  /** How many instances fail each condition. */
  readonly conditions: readonly (Condition & { readonly fails: number })[];
  /** The first 64 that fail one, by service and id. */
  readonly failed: readonly { readonly service: string; readonly id: string; readonly handle: number; readonly conditions: readonly Condition[] }[];
  /** How many more do. */
  readonly more: number;
}

/** Why a query finds whom it finds. */
export interface QueryExplanation {
  readonly namespace: string;
  readonly revision: number;
  readonly epoch: number;
  /** Which rung answers. */
  readonly rung: number;
  readonly stale: boolean;
  readonly protected: boolean;
  /** The query itself and its fallbacks. */
  readonly rungs: readonly ExplainedRung[];
  /** All of it as a screen of text. */
  readonly text: string;
}
