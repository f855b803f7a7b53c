// The latest runs and the typical duration of every action.
import { useEffect, useMemo } from "preact/hooks";
import { api } from "../api/client";
import type { ActionStats } from "../api/types";
import { hub, useResource } from "../stream";

/** The time between reloads while executions change: the list is no live view of each. */
const RELOAD_MS = 2_000;

/** Calls a function soon after executions have changed, but not for each of them. */
export function useExecutionChanges(changed: () => void): void {
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    const leave = hub.onExecutions(() => {
      timer ??= setTimeout(() => {
        timer = null;
        changed();
      }, RELOAD_MS);
    });
    return () => {
      leave();
      if (timer !== null) clearTimeout(timer);
    };
  }, [changed]);
}

/** Returns the statistics by the name of the action; empty until they are known. */
export function useActionStats(): ReadonlyMap<string, ActionStats> {
  const stats = useResource("action stats", (signal) => api.actionStats({ signal }));
  useExecutionChanges(stats.reload);
  return useMemo(
    () => new Map((stats.data?.actions ?? []).map((one) => [one.name, one])),
    [stats.data],
  );
}
