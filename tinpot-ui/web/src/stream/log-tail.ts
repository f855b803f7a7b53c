// The latest lines of a followed log, for pages that begin to follow it a little later.
import type { LogLine } from "../api/types";

/** The bounds of the lines that are kept per log: some seconds of a fast one. */
const LINES_MAX = 5_000;
const CHARS_MAX = 2_000_000;

export class LogTail {
  private lines: LogLine[] = [];
  private chars = 0;

  /** `after` is the line after which all lines are kept or were dropped at the bound. */
  constructor(private after: number) {}

  /** The number of the last line that was received. */
  get last(): number {
    return this.lines[this.lines.length - 1]?.seq ?? this.after;
  }

  add(lines: readonly LogLine[]): void {
    const { last } = this;
    for (const line of lines) {
      if (line.seq <= last) continue;
      this.lines.push(line);
      this.chars += line.message.length;
    }
    let drop = 0;
    while (
      drop < this.lines.length &&
      (this.lines.length - drop > LINES_MAX || this.chars > CHARS_MAX)
    ) {
      const line = this.lines[drop] as LogLine;
      this.chars -= line.message.length;
      this.after = line.seq;
      drop += 1;
    }
    if (drop > 0) this.lines.splice(0, drop);
  }

  /** Returns the lines after a position, or null if some of them are no longer kept. */
  since(after: number): LogLine[] | null {
    return after < this.after ? null : this.lines.filter((line) => line.seq > after);
  }
}
