// Folded steps: their lines are not held, except for the first of each run, which stands for all.
import type { LogLine } from "../api/types";
import { type LogSteps, pathOf } from "./step-headings";

/** A line that is held; with `folded` it stands for itself and the lines up to `folded.last`. */
export interface HeldLine extends LogLine {
  folded?: { step: string; last: number; count: number };
}

/** Returns the number of the last line that a held line stands for. */
export function lastOf(line: HeldLine | undefined): number | undefined {
  return line?.folded?.last ?? line?.seq;
}

/** Returns the outermost folded step of a line, or null. */
export function foldOf(line: LogLine, folds: ReadonlySet<string>, steps: LogSteps): string | null {
  if (folds.size === 0) return null;
  return pathOf(line, steps).find((id) => folds.has(id)) ?? null;
}

/** Replaces consecutive lines of a folded step by the first of them. */
export function folded(
  lines: readonly HeldLine[],
  folds: ReadonlySet<string>,
  steps: LogSteps,
): readonly HeldLine[] {
  if (folds.size === 0) return lines;
  const kept: HeldLine[] = [];
  for (const line of lines) {
    const step = foldOf(line, folds, steps);
    const before = kept[kept.length - 1];
    if (step === null) {
      kept.push(line);
      continue;
    }
    const [last, count] = [line.folded?.last ?? line.seq, line.folded?.count ?? 1];
    if (before?.folded?.step === step) {
      const all = { step, last, count: before.folded.count + count };
      kept[kept.length - 1] = { ...before, folded: all };
    } else {
      kept.push({ ...line, message: "", folded: { step, last, count } });
    }
  }
  return kept;
}
