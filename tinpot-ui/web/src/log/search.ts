// A search through a whole log, which the server performs, and the reader's position in its
// matches.
import { batch, signal } from "@preact/signals";
import { errorText, isAbort } from "../api/transport";
import type { LogFilter, LogMatch, SearchQuery } from "../api/types";
import type { LogSource } from "./source";

/** The number of matches that are held; a search with more has to be narrowed. */
export const MATCHES_MAX = 2_000;

export const NO_SEARCH: SearchQuery = { text: "", regex: false, matchCase: false };

export class LogSearch {
  readonly query = signal<SearchQuery>(NO_SEARCH);
  readonly matches = signal<readonly LogMatch[]>([]);
  /** The number of matches in the log, or null if the server stopped counting. */
  readonly total = signal<number | null>(null);
  /** The index of the selected match, or -1. */
  readonly current = signal(-1);
  readonly running = signal(false);
  /** The reason why the search failed, usually an invalid pattern. */
  readonly error = signal<string | null>(null);

  private readonly next = signal<number | null>(null);
  private request: AbortController | null = null;

  constructor(
    private readonly source: LogSource,
    private readonly show: (seq: number) => void,
  ) {}

  close(): void {
    this.request?.abort();
  }

  /** Is true if the server has further matches that may be loaded. */
  get hasMore(): boolean {
    return this.next.value !== null && this.matches.value.length < MATCHES_MAX;
  }

  /** Starts a search, and selects its first loaded match at or after the line `from`. */
  async start(query: SearchQuery, filter: LogFilter, from: number): Promise<void> {
    this.request?.abort();
    batch(() => {
      this.query.value = query;
      this.matches.value = [];
      this.total.value = null;
      this.current.value = -1;
      this.next.value = null;
      this.error.value = null;
      this.running.value = false;
    });
    if (query.text === "") return;
    await this.fetch(filter, 0);
    const at = this.matches.peek().findIndex((match) => match.seq >= from);
    if (this.query.peek() === query) this.go(Math.max(at, 0));
  }

  /** Selects the next match, or with -1 the previous one; wraps around the loaded matches. */
  async step(by: 1 | -1, filter: LogFilter): Promise<void> {
    let to = this.current.peek() + by;
    if (to >= this.matches.peek().length) await this.more(filter);
    const { length } = this.matches.peek();
    if (length === 0) return;
    if (to >= length) to = 0;
    if (to < 0) to = length - 1;
    this.go(to);
  }

  /** Loads the matches after those that are held. */
  async more(filter: LogFilter): Promise<void> {
    const next = this.next.peek();
    // Two requests at once would load the same page twice.
    if (this.running.peek() || next === null || this.matches.peek().length >= MATCHES_MAX) return;
    await this.fetch(filter, next);
  }

  /** Selects a match and scrolls to its line. */
  go(index: number): void {
    const match = this.matches.peek()[index];
    if (match === undefined) return;
    this.current.value = index;
    this.show(match.seq);
  }

  private async fetch(filter: LogFilter, after: number): Promise<void> {
    const request = new AbortController();
    const query = this.query.peek();
    this.request = request;
    this.running.value = true;
    try {
      const found = await this.source.search(query, after, filter, request.signal);
      if (this.query.peek() !== query || request.signal.aborted) return;
      batch(() => {
        this.matches.value = this.matches.peek().concat(found.matches);
        this.next.value = found.next;
        // The total counts from `after`, so only the first page has that of the whole log.
        if (after === 0) this.total.value = found.total;
      });
    } catch (error) {
      if (isAbort(error) || this.query.peek() !== query) return;
      this.error.value = errorText(error);
    } finally {
      if (this.request === request) this.running.value = false;
    }
  }
}
