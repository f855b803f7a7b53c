// The state of one log viewer: the lines around the reader, what is new, and whether it follows.
// It knows nothing about pixels.
import { batch, signal } from "@preact/signals";
import type { PageAt } from "../api/client";
import { isAbort } from "../api/transport";
import type { LogFilter, LogLine, LogPage } from "../api/types";
import { folded, type HeldLine, lastOf } from "./folds";
import { passes } from "./line-filter";
import type { LineRange } from "./line-links";
import {
  appended,
  EMPTY_WINDOW,
  indexOfSeq,
  type LogWindow,
  prepended,
  trimmedEnd,
  windowOf,
} from "./line-window";
import type { LogSource } from "./source";
import type { LogSteps } from "./step-headings";

/** Lines per request: several screens, and fast to parse. */
const PAGE = 500;
/** The lines of a page that precede the target of a jump. */
const BEFORE = 120;

/** The lines among which the first line of a step is looked for one by one, and the pages of them. */
const NEAR = 100;
const SCANNED_PAGES = 40;

/** The line to scroll to once it is loaded. */
export interface Target {
  seq: number;
  align: "start" | "middle" | "end";
}

export const NO_FILTER: LogFilter = { level: null, streams: [] };

export class LogModel {
  readonly held = signal<LogWindow>(EMPTY_WINDOW);
  readonly lastSeq = signal(0);
  readonly filter = signal<LogFilter>(NO_FILTER);
  readonly following = signal(false);
  /** The number of lines that arrived since following stopped. */
  readonly newLines = signal(0);
  /** True until the first page is loaded. */
  readonly opening = signal(true);
  /** True while the held lines are being replaced. */
  readonly busy = signal(false);
  readonly error = signal<unknown>(null);
  /** Cleared by the viewport once it has scrolled there. */
  readonly target = signal<Target | null>(null);
  /** The ids of the folded steps. */
  readonly folds = signal<ReadonlySet<string>>(new Set());

  private steps: LogSteps = { steps: new Map(), attempts: [] };
  private replacing: AbortController | null = null;
  private extending: AbortController | null = null;
  /** Positions up to which pages were requested; a filter can leave whole pages empty. */
  private requestedAfter = 0;
  private requestedBefore = Infinity;
  /** Repeats the request that failed. */
  private repeat: (() => void) | null = null;

  constructor(private readonly source: LogSource) {}

  /** Aborts the requests in progress. */
  close(): void {
    this.replacing?.abort();
    this.extending?.abort();
  }

  /** Loads the first page: the lines of a link, else the end or the beginning. */
  open(range: LineRange | null, at: "start" | "end" | "follow"): Promise<void> {
    if (range !== null) return this.jumpTo(range.from, "middle");
    return at === "start" ? this.toStart() : this.toEnd(at === "follow");
  }

  /** Takes the steps of the log, by which lines are folded. */
  setSteps(steps: LogSteps): void {
    this.steps = steps;
    if (this.folds.peek().size > 0) this.foldHeld();
  }

  /** Folds a step, or unfolds it. */
  toggleFold(step: string): void {
    const folds = new Set(this.folds.peek());
    if (!folds.delete(step)) {
      folds.add(step);
      this.folds.value = folds;
      this.foldHeld();
      return;
    }
    this.unfold(folds, this.held.peek().lines.find((line) => line.folded?.step === step)?.seq);
  }

  /** Shows the lines of steps that are no longer folded; they have to be loaded again. */
  private unfold(folds: ReadonlySet<string>, seq: number | undefined): void {
    this.folds.value = folds;
    if (seq === undefined) return;
    this.following.value = false;
    void this.replace([{ before: seq }, { after: seq - 1 }], null);
  }

  private readonly fold = (lines: readonly HeldLine[]): readonly HeldLine[] =>
    folded(lines, this.folds.peek(), this.steps);

  private foldHeld(): void {
    const { lines, atStart, atEnd } = this.held.peek();
    this.held.value = windowOf(this.fold(lines), atStart, atEnd);
  }

  /** Returns the held line that hides the line `seq`, or undefined. */
  private hiding(seq: number): HeldLine | undefined {
    return this.held
      .peek()
      .lines.find(({ seq: first, folded: fold }) => first <= seq && seq <= (fold?.last ?? -1));
  }

  toStart(): Promise<void> {
    this.following.value = false;
    const { atStart, lines } = this.held.peek();
    if (atStart && lines.length > 0) return this.aim({ seq: 0, align: "start" });
    return this.replace([{ after: 0 }], { seq: 0, align: "start" });
  }

  toEnd(follow: boolean): Promise<void> {
    this.following.value = follow;
    this.newLines.value = 0;
    const { atEnd, lines } = this.held.peek();
    if (atEnd && lines.length > 0) return this.aim({ seq: Infinity, align: "end" });
    return this.replace([{ tail: true }], { seq: Infinity, align: "end" });
  }

  /** Scrolls to a line, and loads it with its surroundings if it is not held. */
  async jumpTo(seq: number, align: Target["align"]): Promise<void> {
    this.following.value = false;
    const { lines, atStart, atEnd } = this.held.peek();
    const first = lines[0]?.seq ?? Infinity;
    const last = lastOf(lines[lines.length - 1]) ?? -Infinity;
    const isHeld = (first <= seq || atStart) && (seq <= last || atEnd) && lines.length > 0;
    const hiding = this.hiding(seq);
    if (isHeld && hiding === undefined) return this.aim({ seq, align });
    if (hiding?.folded !== undefined) {
      const folds = new Set(this.folds.peek());
      folds.delete(hiding.folded.step);
      this.folds.value = folds;
    }
    await this.replace([{ before: seq }, { after: Math.max(0, seq - 1) }], { seq, align });
    // Steps within the unfolded one may be folded as well.
    if (this.hiding(seq) !== undefined) await this.jumpTo(seq, align);
  }

  /** Scrolls to the first line of a step, which is looked for by the time of its beginning. */
  async jumpToStep(isInside: (line: LogLine) => boolean, startedAt: number): Promise<void> {
    const { lines } = this.held.peek();
    const at = lines.findIndex(isInside);
    const found = lines[at];
    if (at > 0 && found !== undefined) return this.jumpTo(found.seq, "start");
    this.closeReplacing();
    const request = new AbortController();
    this.replacing = request;
    this.following.value = false;
    try {
      let [low, high] = [0, this.lastSeq.peek()];
      // No line before `low` has the time, or is later.
      while (high - low > NEAR) {
        const middle = Math.floor((low + high) / 2);
        const page = await this.source.page({ after: middle }, 1, NO_FILTER, request.signal);
        const line = page.lines[0];
        if (line !== undefined && Date.parse(line.timestamp) < startedAt) low = line.seq;
        else high = middle;
      }
      // Many lines may have the time of the beginning.
      let first: LogLine | undefined;
      let after: number | null = low;
      for (
        let pages = 0;
        after !== null && first === undefined && pages < SCANNED_PAGES;
        pages += 1
      ) {
        const page: LogPage = await this.source.page({ after }, PAGE, NO_FILTER, request.signal);
        first = page.lines.find(isInside);
        after = page.next;
      }
      if (this.replacing !== request) return;
      this.replacing = null;
      await this.jumpTo(first?.seq ?? high, "start");
    } catch (error) {
      if (isAbort(error) || this.replacing !== request) return;
      this.replacing = null;
      this.repeat = () => void this.jumpToStep(isInside, startedAt);
      this.error.value = error;
    }
  }

  private closeReplacing(): void {
    this.replacing?.abort();
    this.replacing = null;
  }

  setFilter(filter: LogFilter, near: number | null): Promise<void> {
    this.filter.value = filter;
    if (this.following.peek()) {
      return this.replace([{ tail: true }], { seq: Infinity, align: "end" });
    }
    if (near === null) return this.replace([{ after: 0 }], { seq: 0, align: "start" });
    return this.replace([{ before: near }, { after: Math.max(0, near - 1) }], {
      seq: near,
      align: "start",
    });
  }

  setFollowing(following: boolean): void {
    this.following.value = following;
    if (following) this.newLines.value = 0;
  }

  /** Resets the count of new lines: the reader has scrolled to the end without following. */
  markAllSeen(): void {
    this.newLines.value = 0;
  }

  retry(): void {
    this.error.value = null;
    this.repeat?.();
  }

  /** Takes lines of the stream. They are ascending, and may repeat lines of a page. */
  receive(lines: readonly LogLine[]): void {
    const known = this.lastSeq.peek();
    const arrived = lines.filter((line) => line.seq > known);
    const shown = arrived.filter((line) => passes(line, this.filter.peek()));
    const held = this.held.peek();
    batch(() => {
      this.lastSeq.value = Math.max(known, lines[lines.length - 1]?.seq ?? 0);
      if (held.atEnd && shown.length > 0) {
        this.held.value = this.following.peek()
          ? appended(held, shown, true, this.fold)
          : appendedKeepingStart(held, shown, this.fold);
      }
      if (!this.following.peek()) this.newLines.value += shown.length;
    });
  }

  /** Loads the page after the held lines. */
  more(): Promise<void> {
    const { lines, atEnd } = this.held.peek();
    const after = Math.max(lastOf(lines[lines.length - 1]) ?? 0, this.requestedAfter);
    if (atEnd || this.opening.peek()) return Promise.resolve();
    return this.extend({ after }, (held, page) => {
      // A page without progress is the end, even if it names a next one.
      const isLast = page.next === null || (page.lines.length === 0 && page.next <= after);
      const grown = appended(held, page.lines, isLast, this.fold);
      this.requestedAfter = page.next ?? 0;
      if (grown.lines[0]?.seq !== held.lines[0]?.seq) this.requestedBefore = Infinity;
      return grown;
    });
  }

  /** Loads the page before the held lines. */
  less(): Promise<void> {
    const { lines, atStart } = this.held.peek();
    const before = Math.min(lines[0]?.seq ?? Infinity, this.requestedBefore);
    if (atStart || this.opening.peek() || before === Infinity) return Promise.resolve();
    return this.extend({ before }, (held, page) => {
      const isFirst =
        page.previous === null || (page.lines.length === 0 && page.previous >= before);
      const grown = prepended(held, page.lines, isFirst, this.fold);
      this.requestedBefore = page.previous ?? Infinity;
      const last = held.lines[held.lines.length - 1]?.seq;
      if (grown.lines[grown.lines.length - 1]?.seq !== last) this.requestedAfter = 0;
      return grown;
    });
  }

  private aim(target: Target): Promise<void> {
    this.target.value = target;
    return Promise.resolve();
  }

  /** Replaces the held lines by one page, or by one page before and one after a position. */
  private async replace(at: PageAt[], target: Target | null): Promise<void> {
    this.close();
    const request = new AbortController();
    this.replacing = request;
    this.busy.value = true;
    try {
      const limit = (place: PageAt) =>
        "before" in place ? BEFORE : at.length > 1 ? PAGE - BEFORE : PAGE;
      const filter = this.filter.peek();
      const pages = await Promise.all(
        at.map((place) => this.source.page(place, limit(place), filter, request.signal)),
      );
      if (this.replacing !== request) return;
      const [first, last] = [pages[0], pages[pages.length - 1]];
      if (first === undefined || last === undefined) return;
      const lines = this.fold(pages.flatMap((page) => page.lines));
      const known = this.lastSeq.peek();
      const atStart = at.length > 1 || !("after" in (at[0] ?? {})) ? first.previous === null : true;
      // Lines that arrived live during the request were dropped, so the page is not the end.
      const missed = known > last.last_seq;
      const atEnd = ("tail" in (at[0] ?? {}) || last.next === null) && !missed;
      this.requestedAfter = last.next ?? 0;
      this.requestedBefore = first.previous ?? Infinity;
      batch(() => {
        this.lastSeq.value = Math.max(known, ...pages.map((page) => page.last_seq));
        this.held.value = windowOf(lines, atStart, atEnd);
        this.target.value = target;
        this.error.value = null;
        this.opening.value = false;
      });
    } catch (error) {
      if (isAbort(error) || this.replacing !== request) return;
      this.repeat = () => void this.replace(at, target);
      this.error.value = error;
    } finally {
      if (this.replacing === request) {
        this.replacing = null;
        this.busy.value = false;
      }
    }
  }

  private async extend(
    at: PageAt,
    grow: (held: LogWindow, page: LogPage) => LogWindow,
  ): Promise<void> {
    if (this.extending !== null || this.replacing !== null || this.error.peek() !== null) return;
    const request = new AbortController();
    this.extending = request;
    try {
      const page = await this.source.page(at, PAGE, this.filter.peek(), request.signal);
      if (this.extending !== request || request.signal.aborted) return;
      const known = this.lastSeq.peek();
      const grown = grow(this.held.peek(), page);
      const missed = known > page.last_seq && grown.atEnd && "after" in at;
      batch(() => {
        this.lastSeq.value = Math.max(known, page.last_seq);
        this.held.value = missed ? { ...grown, atEnd: false } : grown;
      });
    } catch (error) {
      if (isAbort(error)) return;
      this.repeat = () => void this.extend(at, grow);
      this.error.value = error;
    } finally {
      if (this.extending === request) this.extending = null;
    }
  }
}

/** Appends lines for a reader further up: their lines stay, and the end is cut at the bound. */
function appendedKeepingStart(
  held: LogWindow,
  lines: readonly LogLine[],
  fold: (lines: readonly HeldLine[]) => readonly HeldLine[],
): LogWindow {
  const last = lastOf(held.lines[held.lines.length - 1]) ?? 0;
  const from = indexOfSeq(lines, last + 1);
  const all = fold(held.lines.concat(lines.slice(from)));
  return trimmedEnd(windowOf(all, held.atStart, true));
}
