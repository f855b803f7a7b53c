/** What a viewer of one log knows: the lines near where it looks, what is new, and whether it follows. Knows nothing of pixels. */

import type { PageAt } from "../api/client";
import { isAbort } from "../api/transport";
import type { LogFilter, LogLine, LogPage } from "../api/types";
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

/** Lines of one request: some screens, and quick to read. */
const PAGE = 500;
/** Of those, for a jump into the middle, how many come before the place. */
const BEFORE = 120;

/** Where the screen shall go once the lines are there. */
export interface Target {
  seq: number;
  align: "start" | "middle" | "end";
}

export const NO_FILTER: LogFilter = { level: null, streams: [] };

export class LogModel {
  held: LogWindow = EMPTY_WINDOW;
  lastSeq = 0;
  filter: LogFilter = NO_FILTER;
  following = false;
  /** Lines that came since following stopped. */
  fresh = 0;
  /** Nothing was shown yet. */
  opening = true;
  error: unknown = null;
  /** Taken by whoever moves the screen. */
  target: Target | null = null;

  private readonly listeners = new Set<() => void>();
  private replacing: AbortController | null = null;
  private extending: AbortController | null = null;
  /** How far was looked without finding anything: pages may be empty where a filter leaves much out. */
  private lookedAfter = 0;
  private lookedBefore = Infinity;
  /** What to do again when a request has failed. */
  private again: (() => void) | null = null;

  constructor(private readonly source: LogSource) {}

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Ends what is under way. */
  close(): void {
    this.replacing?.abort();
    this.extending?.abort();
  }

  get busy(): boolean {
    return this.replacing !== null;
  }

  /** The first look: at the lines of a link, else where it is written now, else at the beginning. */
  open(range: LineRange | null, live: boolean): Promise<void> {
    if (range !== null) return this.jumpTo(range.from, "middle");
    return live ? this.toEnd(true) : this.toStart();
  }

  toStart(): Promise<void> {
    this.following = false;
    if (this.held.atStart && this.held.lines.length > 0)
      return this.aim({ seq: 0, align: "start" });
    return this.replace([{ after: 0 }], { seq: 0, align: "start" });
  }

  toEnd(follow: boolean): Promise<void> {
    this.following = follow;
    this.fresh = 0;
    if (this.held.atEnd && this.held.lines.length > 0)
      return this.aim({ seq: Infinity, align: "end" });
    return this.replace([{ tail: true }], { seq: Infinity, align: "end" });
  }

  /** To a line wherever it is; lines around it come with it. */
  jumpTo(seq: number, align: Target["align"]): Promise<void> {
    this.following = false;
    const { lines, atStart, atEnd } = this.held;
    const [first, last] = [lines[0]?.seq ?? Infinity, lines[lines.length - 1]?.seq ?? -Infinity];
    const isHeld = (first <= seq || atStart) && (seq <= last || atEnd) && lines.length > 0;
    if (isHeld) return this.aim({ seq, align });
    return this.replace([{ before: seq }, { after: Math.max(0, seq - 1) }], { seq, align });
  }

  setFilter(filter: LogFilter, near: number | null): Promise<void> {
    this.filter = filter;
    if (this.following || near === null)
      return this.following ? this.reload({ tail: true }) : this.reload({ after: 0 });
    return this.replace([{ before: near }, { after: Math.max(0, near - 1) }], {
      seq: near,
      align: "start",
    });
  }

  setFollowing(following: boolean): void {
    if (this.following === following) return;
    this.following = following;
    if (following) this.fresh = 0;
    this.tell();
  }

  /** The reader has reached the end without following. */
  seenAll(): void {
    if (this.fresh === 0) return;
    this.fresh = 0;
    this.tell();
  }

  retry(): void {
    this.error = null;
    this.again?.();
  }

  /** Lines that were written just now. */
  receive(lines: readonly LogLine[]): void {
    const known = this.lastSeq;
    const came = lines.filter((line) => line.seq > known);
    this.lastSeq = Math.max(known, lines[lines.length - 1]?.seq ?? 0);
    const shown = came.filter((line) => passes(line, this.filter));
    if (this.held.atEnd && shown.length > 0) {
      const grown = this.following
        ? appended(this.held, shown, true)
        : grownBehind(this.held, shown);
      this.held = grown;
    }
    if (!this.following) this.fresh += shown.length;
    if (came.length > 0) this.tell();
  }

  /** The page after what is held. */
  more(): Promise<void> {
    const after = Math.max(this.held.lines[this.held.lines.length - 1]?.seq ?? 0, this.lookedAfter);
    if (this.held.atEnd || this.opening) return Promise.resolve();
    return this.extend({ after }, (page) => {
      const first = this.held.lines[0]?.seq;
      // A page that is no step forward is the end, whatever it says.
      const atEnd = page.next === null || (page.lines.length === 0 && page.next <= after);
      const grown = appended(this.held, page.lines, atEnd);
      this.lookedAfter = page.next ?? 0;
      if (grown.lines[0]?.seq !== first) this.lookedBefore = Infinity;
      return grown;
    });
  }

  /** The page before it. */
  less(): Promise<void> {
    const before = Math.min(this.held.lines[0]?.seq ?? Infinity, this.lookedBefore);
    if (this.held.atStart || this.opening || before === Infinity) return Promise.resolve();
    return this.extend({ before }, (page) => {
      const last = this.held.lines[this.held.lines.length - 1]?.seq;
      const atStart =
        page.previous === null || (page.lines.length === 0 && page.previous >= before);
      const grown = prepended(this.held, page.lines, atStart);
      this.lookedBefore = page.previous ?? Infinity;
      if (grown.lines[grown.lines.length - 1]?.seq !== last) this.lookedAfter = 0;
      return grown;
    });
  }

  private reload(at: PageAt): Promise<void> {
    const align = "tail" in at ? "end" : "start";
    return this.replace([at], { seq: align === "end" ? Infinity : 0, align });
  }

  private aim(target: Target): Promise<void> {
    this.target = target;
    this.tell();
    return Promise.resolve();
  }

  /** Fetches what is to be held instead: one page, or one before and one after a place. */
  private async replace(at: PageAt[], target: Target): Promise<void> {
    this.close();
    const request = new AbortController();
    this.replacing = request;
    this.tell();
    try {
      const limit = (place: PageAt) =>
        "before" in place ? BEFORE : at.length > 1 ? PAGE - BEFORE : PAGE;
      const pages = await Promise.all(
        at.map((place) => this.source.page(place, limit(place), this.filter, request.signal)),
      );
      if (this.replacing !== request) return;
      const [first, last] = [pages[0], pages[pages.length - 1]];
      if (first === undefined || last === undefined) return;
      const lines = pages.flatMap((page) => page.lines);
      const known = this.lastSeq;
      this.lastSeq = Math.max(known, ...pages.map((page) => page.last_seq));
      const atStart = at.length > 1 || !("after" in (at[0] ?? {})) ? first.previous === null : true;
      // Lines that came live in the meantime were not kept: there is more to fetch then.
      const missed = known > last.last_seq;
      this.held = windowOf(
        lines,
        atStart,
        ("tail" in (at[0] ?? {}) || last.next === null) && !missed,
      );
      this.lookedAfter = last.next ?? 0;
      this.lookedBefore = first.previous ?? Infinity;
      this.target = target;
      this.error = null;
      this.opening = false;
    } catch (error) {
      if (isAbort(error) || this.replacing !== request) return;
      this.error = error;
      this.again = () => void this.replace(at, target);
    } finally {
      if (this.replacing === request) {
        this.replacing = null;
        this.tell();
      }
    }
  }

  private async extend(at: PageAt, grow: (page: LogPage) => LogWindow): Promise<void> {
    if (this.extending !== null || this.replacing !== null || this.error !== null) return;
    const request = new AbortController();
    this.extending = request;
    try {
      const page = await this.source.page(at, PAGE, this.filter, request.signal);
      if (this.extending !== request || request.signal.aborted) return;
      const known = this.lastSeq;
      this.lastSeq = Math.max(known, page.last_seq);
      const grown = grow(page);
      this.held =
        known > page.last_seq && grown.atEnd && "after" in at ? { ...grown, atEnd: false } : grown;
    } catch (error) {
      if (isAbort(error)) return;
      this.error = error;
      this.again = () => void this.extend(at, grow);
    } finally {
      if (this.extending === request) {
        this.extending = null;
        this.tell();
      }
    }
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

/** Grown at the end for a reader who looks further up: what they look at stays, the end gives way. */
function grownBehind(held: LogWindow, lines: readonly LogLine[]): LogWindow {
  const last = held.lines[held.lines.length - 1]?.seq ?? 0;
  const from = indexOfSeq(lines, last + 1);
  const all = held.lines.concat(lines.slice(from));
  return trimmedEnd(windowOf(all, held.atStart, true));
}
