// The server's log of one execution, behind an interface that tests replace.
import { api, type PageAt } from "../api/client";
import type { LogFilter, LogMatches, LogPage, SearchQuery } from "../api/types";
import { downloadHref } from "../app/base-path";

export interface LogSource {
  page(at: PageAt, limit: number, filter: LogFilter, signal: AbortSignal): Promise<LogPage>;
  search(
    search: SearchQuery,
    after: number,
    filter: LogFilter,
    signal: AbortSignal,
  ): Promise<LogMatches>;
  /** The whole log as text. */
  downloadUrl: string;
}

/** Matches per request, and lines shown around each. */
const MATCHES_PER_PAGE = 100;
const CONTEXT_LINES = 2;

export function logSource(id: string): LogSource {
  return {
    page: (at, limit, filter, signal) => api.logs(id, at, limit, filter, { signal }),
    search: (query, after, filter, signal) =>
      api.searchLogs(
        id,
        { ...query, after, limit: MATCHES_PER_PAGE, context: CONTEXT_LINES },
        filter,
        { signal },
      ),
    downloadUrl: downloadHref(`api/executions/${encodeURIComponent(id)}/logs?format=text`),
  };
}
