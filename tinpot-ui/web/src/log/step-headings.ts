// The steps that lines belong to, and the lines before which a step's heading is shown.
import type { LogLine, Step } from "../api/types";

export type StepNames = ReadonlyMap<string, Pick<Step, "name" | "parent">>;

/** The nested steps that a heading names; outer ones beyond that are left out. */
const PATH_MAX = 6;

/** Returns the names of the steps around a step, outermost first. */
export function pathOf(span: string, steps: StepNames): string[] {
  const path: string[] = [];
  let at: string | null = span;
  while (at !== null && path.length < PATH_MAX) {
    const step: Pick<Step, "name" | "parent"> | undefined = steps.get(at);
    path.unshift(step?.name ?? `step ${at}`);
    at = step?.parent ?? null;
  }
  return path;
}

/** Returns true if a line has a heading: it belongs to another step than the line before. */
export function beginsStep(lines: readonly LogLine[], index: number): boolean {
  const span = lines[index]?.span;
  return span !== undefined && span !== lines[index - 1]?.span;
}

const headings = new WeakMap<StepNames, Map<string, readonly string[]>>();

/**
 * Returns the heading before a line, or null if it has none.
 *
 * The same step gives the same array, so that its rows are not rendered again.
 */
export function headingOf(
  lines: readonly LogLine[],
  index: number,
  steps: StepNames,
): readonly string[] | null {
  if (!beginsStep(lines, index)) return null;
  const span = lines[index]?.span ?? "";
  let known = headings.get(steps);
  if (known === undefined) {
    known = new Map();
    headings.set(steps, known);
  }
  let path = known.get(span);
  if (path === undefined) {
    path = pathOf(span, steps);
    known.set(span, path);
  }
  return path;
}
