// The filter of a log, for lines that arrive live. The server applies the same one to pages.
import type { LogFilter, LogLine } from "../api/types";

const RANK: Record<string, number> = { DEBUG: 0, INFO: 1, WARNING: 2, ERROR: 3 };

/** Returns true if a line passes the filter, by the same rules as the server's. */
export function passes(line: LogLine, filter: LogFilter): boolean {
  if (filter.level !== null && (RANK[line.level] ?? 1) < (RANK[filter.level.toUpperCase()] ?? 0))
    return false;
  return filter.streams.length === 0 || filter.streams.includes(line.stream);
}
