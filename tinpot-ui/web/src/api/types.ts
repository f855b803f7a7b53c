// The API's shapes, as far as pages use them: generated from the API's own description by `npm run schema`, with what that cannot say.
// All times are RFC 3339 texts, all durations seconds.
import type { components } from "./schema";

type Shapes = components["schemas"];

export type Status = Shapes["Status"];

export const STATUSES: readonly Status[] = [
  "queued",
  "running",
  "cancelling",
  "succeeded",
  "failed",
  "cancelled",
  "timed_out",
  "lost",
];

/** Whether an execution with this status never changes any more. */
export function isTerminal(status: Status): boolean {
  return status !== "queued" && status !== "running" && status !== "cancelling";
}

/** What a schema of the dialect in `docs/types.md` may say. */
export interface Schema {
  type?: string | string[];
  enum?: unknown[];
  "x-enum-names"?: (string | null)[];
  anyOf?: Schema[];
  properties?: Record<string, Schema>;
  required?: string[];
  additionalProperties?: boolean | Schema;
  propertyNames?: Schema;
  minProperties?: number;
  maxProperties?: number;
  items?: Schema | false;
  prefixItems?: Schema[];
  minItems?: number;
  maxItems?: number;
  uniqueItems?: boolean;
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  contentEncoding?: string;
  minimum?: unknown;
  maximum?: unknown;
  exclusiveMinimum?: unknown;
  exclusiveMaximum?: unknown;
  multipleOf?: unknown;
  formatMinimum?: string;
  formatMaximum?: string;
  formatExclusiveMinimum?: string;
  formatExclusiveMaximum?: string;
  title?: string;
  description?: string;
  default?: unknown;
  examples?: unknown[];
  writeOnly?: boolean;
}

export type ActionView = Omit<Shapes["ActionView"], "schema" | "result_schema"> & {
  schema: Schema;
  result_schema: Schema | null;
};
export type Actions = Record<string, ActionView>;

export type ExecutionSummary = Shapes["ExecutionSummary"];
export type ExecutionPageAnswer = Shapes["ExecutionPage"];
export type OutcomeView = Shapes["Outcome"];
export type AttemptView = Shapes["AttemptView"];
export type ParentLink = Shapes["ParentLink"];
export type ExecutionView = Shapes["ExecutionView"];
export type Submitted = Shapes["Submitted"];

export type Problem = Shapes["Problem"];
export type RunningAttempt = Shapes["Running"];
export type Worker = Shapes["Worker"];
export type Queue = Shapes["Queue"];
export type MinuteStats = Shapes["Minute"];
export type Stats = Shapes["Stats"];

/** A line of a log. `seq` is its number and never changes. */
export type LogLine = Shapes["LogLine"];

/** One message of the multiplexed stream. */
export type StreamMessage = Shapes["PageEvent"];

/** What happened to a followed execution beside its lines. */
export interface ExecutionEvent {
  type: string;
  data?: unknown;
}

/** One thing wrong with the parameters of a submission. */
export type Violation = Shapes["Violation"];
