/** The steps that lines belong to, and where the log begins to speak of another one. */
import type { LogLine, Step } from "../api/types";

export type StepNames = ReadonlyMap<string, Pick<Step, "name" | "parent">>;

/** Steps within steps that a heading names; deeper ones are cut at the outside. */
const PATH_MAX = 6;

/** The names from the outermost step to this one. */
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

/** Whether a line has a heading: its step is not that of the line before. */
export function beginsStep(lines: readonly LogLine[], index: number): boolean {
  const span = lines[index]?.span;
  return span !== undefined && span !== lines[index - 1]?.span;
}
