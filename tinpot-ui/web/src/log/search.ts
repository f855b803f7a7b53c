/** A search through all of a log, done by the server, and where the reader is among its hits. */
import { errorText, isAbort } from "../api/transport";
import type { LogFilter, LogMatch, SearchQuery } from "../api/types";
import type { LogSource } from "./source";

/** Hits that are held; whoever has more narrows the search. */
export const HITS_MAX = 2_000;

export const NO_SEARCH: SearchQuery = { text: "", regex: false, matchCase: false };

export class LogSearch {
  query: SearchQuery = NO_SEARCH;
  hits: LogMatch[] = [];
  /** Hits in all, as far as the server has counted. */
  total: number | null = null;
  /** Which hit is looked at; -1: none. */
  current = -1;
  running = false;
  done = false;
  /** Why the search could not be done: a pattern that is none, usually. */
  error: string | null = null;

  private next: number | null = null;
  private request: AbortController | null = null;
  private readonly listeners = new Set<() => void>();

  constructor(
    private readonly source: LogSource,
    private readonly show: (seq: number) => void,
  ) {}

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  close(): void {
    this.request?.abort();
  }

  /** A new search; shows its first hit at or after `from`, as far as it is among those at hand. */
  async start(query: SearchQuery, filter: LogFilter, from: number): Promise<void> {
    this.request?.abort();
    Object.assign(this, {
      query,
      hits: [],
      total: null,
      current: -1,
      next: null,
      error: null,
      done: false,
      running: false,
    });
    if (query.text !== "") {
      await this.fetch(filter, 0);
      const at = this.hits.findIndex((hit) => hit.seq >= from);
      if (this.query === query) this.go(Math.max(at, 0));
    }
    this.tell();
  }

  /** To the next hit, or with -1 to the one before. At the ends it goes round, as far as hits are at hand. */
  async step(by: 1 | -1, filter: LogFilter): Promise<void> {
    let to = this.current + by;
    if (to >= this.hits.length) await this.more(filter);
    if (this.hits.length === 0) return;
    if (to >= this.hits.length) to = 0;
    if (to < 0) to = this.hits.length - 1;
    this.go(to);
  }

  /** The hits after those at hand. */
  async more(filter: LogFilter): Promise<void> {
    // One page at a time: two would be the same.
    if (!this.running && this.next !== null && this.hits.length < HITS_MAX)
      await this.fetch(filter, this.next);
  }

  get hasMore(): boolean {
    return this.next !== null && this.hits.length < HITS_MAX;
  }

  go(index: number): void {
    const hit = this.hits[index];
    if (hit === undefined) return;
    this.current = index;
    this.show(hit.seq);
    this.tell();
  }

  private async fetch(filter: LogFilter, after: number): Promise<void> {
    const request = new AbortController();
    const { query } = this;
    this.request = request;
    this.running = true;
    this.tell();
    try {
      const found = await this.source.search(query, after, filter, request.signal);
      if (this.query !== query || request.signal.aborted) return;
      this.hits = this.hits.concat(found.matches);
      this.next = found.next;
      // Counted from where the pass began: only the first has seen all.
      if (after === 0) this.total = found.total;
      this.done = true;
    } catch (error) {
      if (isAbort(error) || this.query !== query) return;
      this.error = errorText(error);
    } finally {
      if (this.request === request) {
        this.running = false;
        this.tell();
      }
    }
  }

  private tell(): void {
    for (const listener of [...this.listeners]) listener();
  }
}
