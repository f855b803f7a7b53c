// The types of the API that pages use: those that `npm run schema` generates from its description,
// and the few that the description cannot express. Times are RFC 3339 text, durations are seconds.
import type { components } from "./schema";

type Shapes = components["schemas"];

export type Status = Shapes["Status"];

/** Every status, in the order in which an execution reaches them. */
export const STATUSES = [
  "queued",
  "running",
  "cancelling",
  "succeeded",
  "failed",
  "cancelled",
  "timed_out",
  "lost",
] as const satisfies readonly Status[];

// A status that the API has and the list lacks is an error of the type checker.
type Missing = Exclude<Status, (typeof STATUSES)[number]>;
const ALL_LISTED: [Missing] extends [never] ? true : Missing = true;
void ALL_LISTED;

/** The statuses of executions that hold a slot. */
export const RUNNING: readonly Status[] = ["running", "cancelling"];
/** The statuses that count as a failure in statistics. */
export const FAILURES: readonly Status[] = ["failed", "timed_out", "lost"];

/** Returns true if an execution with this status has ended: a terminal status never changes. */
export function isTerminal(status: Status): boolean {
  return status !== "queued" && !RUNNING.includes(status);
}

/** Returns true if `text` is a status of this version. */
export function isStatus(text: string): text is Status {
  return (STATUSES as readonly string[]).includes(text);
}

/** A schema in the dialect of `docs/types.md`. */
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

export type ExecutionSummary = Shapes["ExecutionSummary"] & {
  /** The parameters as short text, with `***` in place of secrets. */
  parameters_preview?: string | null;
};
export type OutcomeView = Shapes["Outcome"];
export type AttemptView = Shapes["AttemptView"];
export type ExecutionView = Shapes["ExecutionView"] & {
  /** The requester of the cancellation. */
  cancelled_by?: string | null;
  /** If true, it did not end when it was asked to, and was killed. */
  killed?: boolean;
  /** The time limit in force when it timed out. */
  timeout_ms?: number | null;
};
export type Submitted = Shapes["Submitted"];

export type LoadError = Shapes["Problem"];
export type RunningAttempt = Shapes["Running"];
export type Worker = Shapes["Worker"];
export type PythonEnvironment = Shapes["PythonEnvironment"];
export type Queue = Shapes["Queue"];
export type MinuteStats = Shapes["Minute"];
export type Stats = Shapes["Stats"];

/** A finished or running execution in the statistics of its action. */
export interface RecentRun {
  execution_id: string;
  status: Status;
  created_at: string;
  duration_ms: number | null;
}
/** The statistics of an action; `recent` has the newest first. */
export interface ActionStats {
  name: string;
  recent: RecentRun[];
  median_ms: number | null;
}

/** The result of one execution in a request for many. */
export interface BulkResult {
  execution_id: string;
  execution?: ExecutionSummary;
  error?: { detail?: string };
}

/** A line of a log. `seq` identifies it and never changes. */
export type LogLine = Shapes["LogLine"];
export type Level = Shapes["Level"];
export type LogPage = Shapes["LogPage"];
export type LogMatch = Shapes["LogMatch"];
export type LogMatches = Shapes["LogMatches"];

/** The lines of a log to show; null and an empty list mean all. */
export interface LogFilter {
  level: Shapes["MinimumLevel"] | null;
  streams: string[];
}

export interface SearchQuery {
  text: string;
  regex: boolean;
  matchCase: boolean;
}

export type Step = Shapes["Span"];
export type Steps = Shapes["Steps"];
export type ChildLink = Shapes["ChildLink"];
export type ArtifactLink = Shapes["ArtifactLink"];

/** A message of the multiplexed stream. */
export type StreamMessage = Shapes["PageEvent"];

/** An event of a followed execution other than its lines. */
export interface ExecutionEvent {
  type: string;
  data?: unknown;
}

/** An invalid parameter of a submission. */
export type Violation = Shapes["Violation"];
