// The filter of the history, as its address has it.
import type { ExecutionFilter } from "../api/client";
import { isStatus } from "../api/types";

/** Periods that move with the clock. */
export const PERIODS = [
  { id: "1h", title: "Last hour" },
  { id: "24h", title: "Last 24 h" },
  { id: "night", title: "Last night" },
] as const;
type Period = (typeof PERIODS)[number]["id"];

/** The longest search that the API takes. */
export const SEARCH_CHARS_MAX = 200;
const SEARCH_WORDS_MAX = 8;

/** Returns the names of the query that are filters. */
export const FILTER_NAMES = [
  "status",
  "action",
  "queue",
  "requested_by",
  "parent",
  "q",
  "period",
  "since",
  "until",
] as const;

export function periodOf(query: URLSearchParams): Period | null {
  return PERIODS.find((one) => one.id === query.get("period"))?.id ?? null;
}

/** Returns the start and the end of a period. Last night was from 18:00 to 8:00 here. */
export function timesOf(period: Period, now: number): { since: string; until?: string } {
  const iso = (at: number | Date): string => new Date(at).toISOString();
  if (period === "1h") return { since: iso(now - 3_600_000) };
  if (period === "24h") return { since: iso(now - 24 * 3_600_000) };
  const morning = new Date(now);
  morning.setHours(8, 0, 0, 0);
  const evening = new Date(morning);
  evening.setDate(evening.getDate() - 1);
  evening.setHours(18);
  return { since: iso(evening), ...(now > morning.getTime() ? { until: iso(morning) } : {}) };
}

/** Returns a search text within the limits of the API. */
export function searchText(text: string): string {
  return text.trim().slice(0, SEARCH_CHARS_MAX).split(/\s+/).slice(0, SEARCH_WORDS_MAX).join(" ");
}

/** Returns the filter of an address. Ignores invalid values, because links may be typed by hand. */
export function filterOf(query: URLSearchParams, now: number): ExecutionFilter {
  const filter: ExecutionFilter = {};
  const statuses = (query.get("status") ?? "").split(",").filter(isStatus);
  if (statuses.length > 0) filter.status = statuses;
  for (const name of ["action", "queue", "requested_by", "parent", "before"] as const) {
    const text = query.get(name)?.trim();
    if (text !== undefined && text !== "") filter[name] = text;
  }
  const search = searchText(query.get("q") ?? "");
  if (search !== "") filter.q = search;
  const period = periodOf(query);
  if (period !== null) Object.assign(filter, timesOf(period, now));
  for (const name of ["since", "until"] as const) {
    const time = Date.parse(query.get(name) ?? "");
    if (!Number.isNaN(time)) filter[name] = new Date(time).toISOString();
  }
  return filter;
}
