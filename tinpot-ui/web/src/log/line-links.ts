// Links to lines by their numbers: `#L12` and `#L12-L20`.

export interface LineRange {
  from: number;
  to: number;
}

export function parseLines(hash: string): LineRange | null {
  const match = /^#L(\d{1,15})(?:-L?(\d{1,15}))?$/.exec(hash);
  if (match === null) return null;
  const [a, b] = [Number(match[1]), Number(match[2] ?? match[1])];
  return a < 1 || b < 1 ? null : { from: Math.min(a, b), to: Math.max(a, b) };
}

export function linesHash(range: LineRange): string {
  return range.from === range.to ? `#L${range.from}` : `#L${range.from}-L${range.to}`;
}

/** Returns the lines that a click selects; with Shift, those from the start of the selection on. */
export function extended(
  range: LineRange | null,
  anchor: number | null,
  seq: number,
  shift: boolean,
): LineRange {
  if (!shift || range === null) return { from: seq, to: seq };
  const start = anchor ?? range.from;
  return { from: Math.min(start, seq), to: Math.max(start, seq) };
}
