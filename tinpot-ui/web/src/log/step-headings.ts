// The attempts and steps that lines belong to, and the headings before the first line of each.
import type { LogLine, Step } from "../api/types";

/** A step, or an attempt of an execution with several. */
export interface StepInfo {
  name: string;
  parent: string | null;
  started_at: string;
  /** The duration in seconds; null while it runs, and if its end is unknown. */
  duration: number | null;
  outcome: Step["outcome"];
  error?: string | undefined;
}

export interface AttemptInfo extends StepInfo {
  number: number;
  /** The number of its first line. */
  from: number;
}

/** The steps by id, and the attempts if there are several. */
export interface LogSteps {
  steps: ReadonlyMap<string, StepInfo>;
  attempts: readonly AttemptInfo[];
}

export interface Heading {
  id: string;
  /** The number of steps around it. */
  depth: number;
  info: StepInfo | null;
  isAttempt: boolean;
}

/** The nested steps that are shown; inner ones beyond that belong to the last of them. */
export const DEPTH_MAX = 6;

export const attemptId = (number: number): string => `attempt ${number}`;

/** Returns the ids of the attempt and the steps of a line, outermost first. */
export function pathOf(line: LogLine | undefined, { steps, attempts }: LogSteps): string[] {
  if (line === undefined) return [];
  const path: string[] = [];
  const seen = new Set<string>();
  for (let at = line.span ?? null; at !== null && !seen.has(at); ) {
    seen.add(at);
    path.unshift(at);
    at = steps.get(at)?.parent ?? null;
  }
  const attempt = attempts.filter(({ from }) => from <= line.seq).pop();
  if (attempt !== undefined) path.unshift(attemptId(attempt.number));
  return path.slice(0, DEPTH_MAX);
}

const NONE: readonly Heading[] = [];
const known = new WeakMap<LogSteps, Map<string, readonly Heading[]>>();

/**
 * Returns the headings before a line: of the steps that it belongs to and the line before does not.
 *
 * The same headings are the same array, so that their rows are not rendered again.
 */
export function headingsOf(
  lines: readonly LogLine[],
  index: number,
  all: LogSteps,
): readonly Heading[] {
  const [line, before] = [lines[index], lines[index - 1]];
  if (line === undefined) return NONE;
  if (all.attempts.length === 0) {
    if (line.span === undefined) return NONE;
    if (line.span === before?.span) return NONE;
  }
  const [path, passed] = [pathOf(line, all), pathOf(before, all)];
  let same = 0;
  while (same < path.length && path[same] === passed[same]) same += 1;
  if (same === path.length) return NONE;
  let cached = known.get(all);
  if (cached === undefined) {
    cached = new Map();
    known.set(all, cached);
  }
  const key = `${same} ${path.join(" ")}`;
  let headings = cached.get(key);
  if (headings === undefined) {
    headings = path.slice(same).map((id, at) => headingOf(id, same + at, all));
    cached.set(key, headings);
  }
  return headings;
}

function headingOf(id: string, depth: number, { steps, attempts }: LogSteps): Heading {
  const attempt = attempts.find(({ number }) => attemptId(number) === id);
  return {
    id,
    depth,
    info: attempt ?? steps.get(id) ?? null,
    isAttempt: attempt !== undefined,
  };
}
