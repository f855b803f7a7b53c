/** Where the lines come from. */
import { query } from "../api/client";
import { requestJson } from "../api/http";
import { apiUrl } from "../app/base";
import type { LogFilter, LogHits, LogPage, SearchQuery } from "./types";

export type PageAt = { after: number } | { before: number } | { tail: true };

export interface LogSource {
  page(at: PageAt, limit: number, filter: LogFilter, signal: AbortSignal): Promise<LogPage>;
  search(
    search: SearchQuery,
    after: number,
    filter: LogFilter,
    signal: AbortSignal,
  ): Promise<LogHits>;
  /** All of it as text. */
  downloadUrl: string;
}

/** Hits per request, and lines shown around each. */
export const HITS_STEP = 100;
const CONTEXT_LINES = 2;

function filtered(filter: LogFilter): { level: string | null; stream: string | null } {
  return { level: filter.level, stream: filter.streams.length > 0 ? filter.streams.join() : null };
}

export function logSource(id: string): LogSource {
  const path = `api/executions/${encodeURIComponent(id)}/logs`;
  return {
    page: (at, limit, filter, signal) =>
      requestJson<LogPage>(`${path}${query({ ...at, limit, ...filtered(filter) })}`, { signal }),
    search: ({ text, regex, matchCase }, after, filter, signal) => {
      const values = {
        q: text,
        regex: regex || null,
        case: matchCase || null,
        after: after || null,
        limit: HITS_STEP,
        context: CONTEXT_LINES,
      };
      return requestJson<LogHits>(`${path}/search${query({ ...values, ...filtered(filter) })}`, {
        signal,
      });
    },
    downloadUrl: apiUrl(`${path}?format=text`),
  };
}
