// A list of executions, which the stream keeps up to date.
import { useEffect } from "preact/hooks";
import { api, type ExecutionFilter } from "../api/client";
import type { ExecutionSummary } from "../api/types";
import { hub, useResource } from "../stream";

/** The time between searches while executions change. */
const SEARCH_AGAIN_MS = 2_000;

/** Returns true if an execution passes a filter, apart from its search. */
export function passesFilter(filter: ExecutionFilter, one: ExecutionSummary): boolean {
  if (
    filter.status !== undefined &&
    filter.status.length > 0 &&
    !filter.status.includes(one.status)
  )
    return false;
  if (filter.action !== undefined && filter.action !== "" && one.action_name !== filter.action)
    return false;
  if (filter.queue !== undefined && filter.queue !== "" && one.queue !== filter.queue) return false;
  if (
    filter.requested_by !== undefined &&
    filter.requested_by !== "" &&
    one.requested_by !== filter.requested_by
  )
    return false;
  if (filter.parent !== undefined && filter.parent !== "" && one.parent !== filter.parent)
    return false;
  const at = Date.parse(one.accepted_at);
  if (filter.since !== undefined && filter.since !== "" && at < Date.parse(filter.since))
    return false;
  if (filter.until !== undefined && filter.until !== "" && at > Date.parse(filter.until))
    return false;
  return true;
}

/**
 * Merges changed executions into a list, newest first, and removes those that no longer pass.
 *
 * New ones do not appear on an older page (`older`), nor in the results of a search.
 */
export function merge(
  list: readonly ExecutionSummary[],
  changed: readonly ExecutionSummary[],
  filter: ExecutionFilter,
  older: boolean,
): ExecutionSummary[] {
  const byId = new Map(list.map((one) => [one.execution_id, one]));
  for (const one of changed) {
    if (!passesFilter(filter, one)) byId.delete(one.execution_id);
    else if (byId.has(one.execution_id) || (!older && filter.q === undefined))
      byId.set(one.execution_id, one);
  }
  // Ids begin with their time, so the newest is the greatest.
  return [...byId.values()].sort((a, b) => (a.execution_id < b.execution_id ? 1 : -1));
}

/**
 * Merges changed executions into a page. It keeps its length, or grows to `limit`; executions
 * beyond that begin the next page.
 */
export function mergePage<Page extends { executions: ExecutionSummary[]; next: string | null }>(
  page: Page,
  changed: readonly ExecutionSummary[],
  filter: ExecutionFilter,
  limit: number,
): Page {
  const size = Math.max(limit, page.executions.length);
  const all = merge(page.executions, changed, filter, filter.before !== undefined);
  const executions = all.slice(0, size);
  return {
    ...page,
    executions,
    next: all.length > size ? (executions[size - 1]?.execution_id ?? null) : page.next,
  };
}

/** Loads a page of executions and keeps it up to date. */
export function useExecutions(filter: ExecutionFilter, limit: number) {
  const key = JSON.stringify([filter, limit]);
  const page = useResource(key, (signal) => api.executions({ ...filter, limit }, { signal }));
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const leave = hub.onExecutions((changed, more) => {
      if (more) return page.reload();
      page.set((data) => mergePage(data, changed, filter, limit));
      // Only the server knows all texts that a search finds.
      if (filter.q !== undefined)
        timer ??= setTimeout(() => {
          timer = null;
          page.reload();
        }, SEARCH_AGAIN_MS);
    });
    return () => {
      leave();
      if (timer !== null) clearTimeout(timer);
    };
  }, [key, page.reload, page.set]);
  return page;
}
