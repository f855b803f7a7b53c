// Gathers the lines that arrive, so that many open logs do not keep a browser busy.
import type { LogLine } from "../api/types";

/** The share of its time that a page spends on showing new lines is at most one in this number. */
const SHARE = 8;
/** The longest delay of a line. */
const LONGEST_MS = 1_000;

export class Pace {
  private lines: LogLine[] = [];
  private timer: ReturnType<typeof setTimeout> | null = null;
  private notBefore = 0;

  constructor(private readonly show: (lines: LogLine[]) => void) {}

  add(lines: readonly LogLine[]): void {
    for (const line of lines) this.lines.push(line);
    if (this.timer !== null) return;
    const wait = Math.max(0, this.notBefore - performance.now());
    if (wait === 0) this.flush();
    else this.timer = setTimeout(() => this.flush(), wait);
  }

  /** Shows the gathered lines now. */
  flush(): void {
    this.stop();
    const { lines } = this;
    if (lines.length === 0) return;
    this.lines = [];
    const began = performance.now();
    this.show(lines);
    // The page is rendered before the next task.
    this.timer = setTimeout(() => {
      this.timer = null;
      const now = performance.now();
      this.notBefore = now + Math.min(LONGEST_MS, (now - began) * SHARE);
      if (this.lines.length > 0) this.add([]);
    }, 0);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
