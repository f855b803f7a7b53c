// The timeline of an execution: the positions of the bars of its attempts, steps and children.

import { type ChildLink, FAILURES, isStatus, isTerminal, type Step } from "../api/types";

export type BarOutcome = "succeeded" | "failed" | "cancelled" | "pending" | "unknown";

/** The times of a child, which its link lacks. */
export interface ChildState {
  status: string;
  accepted_at: string;
  started_at: string | null;
  finished_at: string | null;
  attempts: number;
}

export interface AttemptTimes {
  number: number;
  granted_at: string;
  started_at: string | null;
  ended_at: string | null;
  status: string | null;
}

export interface Bar {
  key: string;
  kind: "attempt" | "step" | "child";
  label: string;
  depth: number;
  /** The ends of the bar as fractions of the axis; null if its times are unknown. */
  from: number | null;
  to: number | null;
  seconds: number | null;
  outcome: BarOutcome;
  /** The number of attempts of a child. */
  attempts: number;
  error: string | null;
  executionId: string | null;
  startedAt: string;
}

export interface TimelineInput {
  attempts: readonly AttemptTimes[];
  steps: readonly Step[];
  children: readonly ChildLink[];
  states: ReadonlyMap<string, ChildState>;
  /** The server's time in milliseconds. */
  now: number;
  running: boolean;
}

/** The number of bars that are shown: a loop may have ten thousand steps. */
export const BARS_MAX = 500;

const ms = (time: string | null | undefined) =>
  time === null || time === undefined ? NaN : Date.parse(time);

/** Returns the outcome that a bar shows for a status; a newer server may know further statuses. */
export function outcomeOf(status: string | null): BarOutcome {
  if (status === null) return "pending";
  if (!isStatus(status)) return "unknown";
  if (!isTerminal(status)) return "pending";
  if (FAILURES.includes(status)) return "failed";
  return status === "succeeded" ? "succeeded" : "cancelled";
}

interface Draft extends Omit<Bar, "from" | "to" | "seconds"> {
  start: number;
  end: number;
}

/**
 * Returns the bars as a tree in order: attempts, their steps, and the steps and children of those.
 */
export function timeline(input: TimelineInput): { bars: Bar[]; left: number; seconds: number } {
  const drafts: Draft[] = [];
  const attemptEnd = new Map(
    input.attempts.map((attempt) => [attempt.number, ms(attempt.ended_at)]),
  );
  const known = new Set(input.steps.map((step) => step.id));
  const below = new Map<string, Step[]>();
  for (const step of input.steps) {
    const parent =
      step.parent !== null && known.has(step.parent)
        ? step.parent
        : `attempt ${attemptOf(step.id)}`;
    push(below, parent, step);
  }
  const called = new Map<string, ChildLink[]>();
  const lastAttempt = input.attempts[input.attempts.length - 1]?.number ?? 1;
  for (const child of input.children) {
    push(
      called,
      child.span !== null && known.has(child.span)
        ? child.span
        : `attempt ${attemptOf(child.span, lastAttempt)}`,
      child,
    );
  }
  const visit = (parent: string, depth: number) => {
    const steps: [number, () => void][] = (below.get(parent) ?? []).map((step) => [
      ms(step.started_at),
      () => {
        drafts.push(stepDraft(step, depth, attemptEnd, input));
        visit(step.id, depth + 1);
      },
    ]);
    const children: [number, () => void][] = (called.get(parent) ?? []).map((child) => [
      ms(input.states.get(child.execution_id)?.accepted_at) || Infinity,
      () => drafts.push(childDraft(child, depth, input)),
    ]);
    for (const [, draw] of [...steps, ...children].sort(([a], [b]) => (a === b ? 0 : a - b)))
      draw();
  };
  for (const attempt of input.attempts) {
    drafts.push({
      key: `attempt ${attempt.number}`,
      kind: "attempt",
      label: `Attempt ${attempt.number}`,
      depth: 0,
      start: ms(attempt.started_at ?? attempt.granted_at),
      end: attempt.ended_at === null ? (input.running ? input.now : NaN) : ms(attempt.ended_at),
      outcome: attempt.ended_at === null && !input.running ? "unknown" : outcomeOf(attempt.status),
      attempts: 1,
      error: null,
      executionId: null,
      startedAt: attempt.started_at ?? attempt.granted_at,
    });
    visit(`attempt ${attempt.number}`, 1);
  }
  return placed(drafts);
}

function stepDraft(
  step: Step,
  depth: number,
  ends: Map<number, number>,
  input: TimelineInput,
): Draft {
  const start = ms(step.started_at);
  const ended = ends.get(attemptOf(step.id));
  const attemptOver = !input.running || (ended !== undefined && !Number.isNaN(ended));
  // A step without an end ended with its attempt at the latest.
  const last =
    ended === undefined || Number.isNaN(ended) ? (input.running ? input.now : start) : ended;
  const end = step.duration === null ? last : start + step.duration * 1000;
  const outcome: BarOutcome = step.outcome ?? (attemptOver ? "unknown" : "pending");
  const { id: key, name: label, error = null } = step;
  return {
    key,
    kind: "step",
    label,
    depth,
    start,
    end,
    outcome,
    attempts: 1,
    error,
    executionId: null,
    startedAt: step.started_at,
  };
}

function childDraft(child: ChildLink, depth: number, input: TimelineInput): Draft {
  const state = input.states.get(child.execution_id);
  return {
    key: child.execution_id,
    kind: "child",
    label: child.action_name,
    depth,
    start: ms(state?.started_at ?? state?.accepted_at),
    end: state === undefined ? NaN : state.finished_at === null ? input.now : ms(state.finished_at),
    outcome: state === undefined ? "unknown" : outcomeOf(state.status),
    attempts: state?.attempts ?? 1,
    error: null,
    executionId: child.execution_id,
    startedAt: state?.started_at ?? state?.accepted_at ?? "",
  };
}

function placed(drafts: Draft[]): { bars: Bar[]; left: number; seconds: number } {
  const shown = drafts.slice(0, BARS_MAX);
  const times = shown
    .flatMap((draft) => [draft.start, draft.end])
    .filter((time) => !Number.isNaN(time));
  const [begin, end] = [
    times.reduce((a, b) => Math.min(a, b), Infinity),
    times.reduce((a, b) => Math.max(a, b), -Infinity),
  ];
  const span = Math.max(1, end - begin);
  const bars = shown.map(({ start, end: stop, ...rest }): Bar => {
    if (Number.isNaN(start) || Number.isNaN(stop))
      return { ...rest, from: null, to: null, seconds: null };
    const to = Math.max(start, stop);
    return {
      ...rest,
      from: (start - begin) / span,
      to: (to - begin) / span,
      seconds: (to - start) / 1000,
    };
  });
  return { bars, left: drafts.length - shown.length, seconds: times.length > 0 ? span / 1000 : 0 };
}

function attemptOf(span: string | null, otherwise = 1): number {
  const number = Number((span ?? "").split(".")[0]);
  return Number.isInteger(number) && number > 0 ? number : otherwise;
}

function push<T>(map: Map<string, T[]>, key: string, value: T) {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
