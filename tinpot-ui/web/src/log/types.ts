/** The lines of a log as the API gives them. */

export type Level = "DEBUG" | "INFO" | "WARNING" | "ERROR";

export interface LogLine {
  seq: number;
  timestamp: string;
  level: Level;
  message: string;
  stream: "stdout" | "stderr" | "log" | "system";
  /** `attempt.number` of the step that wrote it. */
  span?: string;
  fields?: Record<string, unknown>;
}

export interface LogPage {
  lines: LogLine[];
  /** What to pass as `after` for what follows; null at the end. */
  next: number | null;
  /** What to pass as `before` for what precedes; null at the start. */
  previous: number | null;
  /** The highest number stored, of lines and of whatever else is numbered. */
  last_seq: number;
}

export interface LogHit {
  seq: number;
  line: LogLine;
  before: LogLine[];
  after: LogLine[];
}

export interface LogHits {
  matches: LogHit[];
  next: number | null;
  total: number | null;
}

/** What is shown of a log; null or empty: all. */
export interface LogFilter {
  level: "debug" | "info" | "warning" | "error" | null;
  streams: string[];
}

export interface SearchQuery {
  text: string;
  regex: boolean;
  matchCase: boolean;
}

const RANK: Record<string, number> = { DEBUG: 0, INFO: 1, WARNING: 2, ERROR: 3 };

/** Whether a line passes the filter: the same as the server decides, for lines that come live. */
export function passes(line: LogLine, filter: LogFilter): boolean {
  if (filter.level !== null && (RANK[line.level] ?? 1) < (RANK[filter.level.toUpperCase()] ?? 0))
    return false;
  return filter.streams.length === 0 || filter.streams.includes(line.stream);
}
