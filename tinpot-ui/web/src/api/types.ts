// The API's shapes, as far as pages use them. All times are RFC 3339 texts, all durations seconds.

export type Status =
  | "queued"
  | "running"
  | "cancelling"
  | "succeeded"
  | "failed"
  | "cancelled"
  | "timed_out"
  | "lost";

export const STATUSES: readonly Status[] = [
  "queued", "running", "cancelling", "succeeded", "failed", "cancelled", "timed_out", "lost",
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

export interface ActionView {
  name: string;
  group: string;
  description: string;
  queue: string;
  schema: Schema;
  result_schema?: Schema | null;
  available: boolean;
  /** Why it cannot run now; null when it can. */
  unavailable?: string | null;
  priority?: number;
  timeout?: number | null;
  retries?: number;
  concurrency?: number | null;
}

export type Actions = Record<string, ActionView>;

export interface ExecutionSummary {
  execution_id: string;
  action_name: string;
  queue: string;
  priority: number;
  status: Status;
  state: string;
  error: string | null;
  attempts: number;
  parent?: string | null;
  requested_by?: string | null;
  accepted_at: string;
  started_at: string | null;
  finished_at: string | null;
}

export interface ExecutionPageAnswer {
  executions: ExecutionSummary[];
  /** What to pass as `before` for the next page. */
  next: string | null;
}

export interface OutcomeView {
  status: Status;
  result?: unknown;
  error?: string;
  kind?: string;
  traceback?: string;
}

export interface AttemptView {
  number: number;
  fence: string;
  worker: string;
  granted_at: string;
  started_at: string | null;
  ended_at: string | null;
  outcome: OutcomeView | null;
  log_lines: number;
}

export interface ParentLink {
  execution_id: string;
  span: string | number | null;
  depth: number;
  waits: boolean;
}

export interface ExecutionView {
  execution_id: string;
  action_name: string;
  queue: string;
  priority: number;
  timeout: number | null;
  retries: number;
  max_lost_attempts: number;
  not_before: string | null;
  expires_at: string | null;
  idempotency_key: string | null;
  requested_by?: string | null;
  parent: ParentLink | null;
  parameters: unknown;
  status: Status;
  state: string;
  outcome: OutcomeView | null;
  attempts: AttemptView[];
  accepted_at: string;
  started_at: string | null;
  finished_at: string | null;
}

export interface Submitted {
  execution_id: string;
  action_name: string;
  status: string;
  stream_url: string;
}

export interface Problem {
  place: string;
  message: string;
}

export interface RunningAttempt {
  execution_id: string;
  action_name: string;
  attempt: number;
  since: string;
  held_for: number;
  started: boolean;
  waits: boolean;
}

export interface Worker {
  id: string;
  name: string;
  queues: string[];
  groups: string[];
  slots: number;
  actions: string[];
  problems: Problem[];
  executions: string[];
  running: RunningAttempt[];
  silent_for: number;
  version?: string | null;
  draining?: boolean;
  started_at?: string | null;
}

export interface Queue {
  name: string;
  waiting: number;
  granted: number;
  delayed: number;
  workers: number;
  paused?: boolean;
  paused_at?: string | null;
  oldest_accepted_at?: string | null;
  reason?: string | null;
}

export interface MinuteStats {
  at: string;
  accepted: number;
  succeeded: number;
  failed: number;
  cancelled: number;
  timed_out: number;
  lost: number;
  duration_p50: number | null;
  duration_p95: number | null;
}

export interface Stats {
  since: string;
  minute_seconds: number;
  minutes: MinuteStats[];
}

/** A line of a log. `seq` is its number and never changes. */
export interface LogLine {
  seq: number;
  [field: string]: unknown;
}

/** One message of the multiplexed stream. */
export type StreamMessage =
  | { type: "connected"; server?: { version: string; instance: string } }
  | { type: "executions"; executions: ExecutionSummary[]; more?: boolean }
  | { type: "workers" }
  | { type: "queues" }
  | { type: "catalogue" }
  | { type: "log"; execution_id: string; lines: LogLine[] }
  | { type: "event"; execution_id: string; event: ExecutionEvent };

/** What happened to a followed execution beside its lines. */
export interface ExecutionEvent {
  type: string;
  data?: unknown;
  [field: string]: unknown;
}

/** One thing wrong with the parameters of a submission. */
export interface Violation {
  path: string;
  message: string;
}
