// The data of one execution, which the stream keeps up to date.
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api } from "../api/client";
import {
  type ArtifactLink,
  type ChildLink,
  type ExecutionEvent,
  type ExecutionSummary,
  type ExecutionView,
  isStatus,
  isTerminal,
  type Steps,
} from "../api/types";
import { parseResponse } from "../json/lossless-json";
import { hub, type Resource, useResource } from "../stream";
import type { ChildState } from "./timeline";

export interface ProgressView {
  done: number;
  total?: number | null;
  message?: string;
}

/** The children per request, and in total; further ones are shown without times. */
const CHILDREN_PAGE = 200;
const CHILDREN_MAX = 2_000;

export interface ExecutionData {
  view: Resource<ExecutionView>;
  steps: Resource<Steps>;
  artifacts: Resource<ArtifactLink[]>;
  summary: Resource<string | null>;
  states: ReadonlyMap<string, ChildState>;
  progress: ProgressView | null;
  live: boolean;
  onEvent: (event: ExecutionEvent) => void;
}

export function useExecution(id: string): ExecutionData {
  const view = useResource(
    `execution ${id}`,
    async (signal) => parseResponse(await api.executionText(id, { signal })) as ExecutionView,
  );
  const steps = useResource(`steps ${id}`, (signal) => api.steps(id, { signal }));
  const artifacts = useResource(
    `artifacts ${id}`,
    async (signal) => (await api.artifacts(id, { signal })).artifacts,
  );
  const summary = useResource(
    `summary ${id}`,
    async (signal) => (await api.summary(id, { signal })).summary,
  );
  const [progress, setProgress] = useState<ProgressView | null>(null);
  const live = view.data !== null && !isTerminal(view.data.status);
  const states = useChildren(id, steps.data?.children ?? [], live);

  const onEvent = useCallback(
    (event: ExecutionEvent): void => {
      switch (event.type) {
        case "progress":
          setProgress(event.data as ProgressView);
          break;
        case "status":
        case "complete":
        case "missing":
          view.reload();
          break;
        case "span_started":
        case "span_ended":
        case "child":
          steps.reload();
          break;
        case "artifact":
          artifacts.reload();
          break;
        case "summary":
          summary.reload();
          break;
      }
    },
    [view.reload, steps.reload, artifacts.reload, summary.reload],
  );

  // An execution that has ended never changes, so its page needs no stream.
  const mayChange = view.data === null || live;
  // The events of the log do not include attempts.
  useEffect(() => {
    if (!mayChange) return undefined;
    return hub.onExecutions((list, more) => {
      if (more || list.some((one) => one.execution_id === id)) view.reload();
    });
  }, [id, mayChange, view.reload]);

  const wasLive = useRef(live);
  useEffect(() => {
    // The last events may have arrived after the last request.
    if (wasLive.current && !live)
      for (const resource of [steps, artifacts, summary]) resource.reload();
    wasLive.current = live;
  }, [live]);
  return { view, steps, artifacts, summary, states, progress, live, onEvent };
}

function isEnded(status: string): boolean {
  return isStatus(status) && isTerminal(status);
}

function stateOf(summary: ExecutionSummary): ChildState {
  const { status, accepted_at, started_at, finished_at, attempts } = summary;
  return { status, accepted_at, started_at, finished_at, attempts };
}

/** Loads the times of the children, and takes their changes from the stream. */
function useChildren(
  id: string,
  children: readonly ChildLink[],
  live: boolean,
): ReadonlyMap<string, ChildState> {
  const [states, setStates] = useState<ReadonlyMap<string, ChildState>>(new Map());
  // A parent does not have to wait for its children.
  const mayChange = live || [...states.values()].some(({ status }) => !isEnded(status));
  const wanted = useMemo(() => children.map((child) => child.execution_id).join(), [children]);
  useEffect(() => {
    if (wanted === "") return;
    const ids = new Set(wanted.split(","));
    const request = new AbortController();
    const take = (list: readonly ExecutionSummary[]): void => {
      const ours = list.filter((one) => ids.has(one.execution_id));
      if (ours.length > 0)
        setStates(
          (old) =>
            new Map([...old, ...ours.map((one) => [one.execution_id, stateOf(one)] as const)]),
        );
    };
    const load = async (): Promise<void> => {
      let before: string | undefined;
      for (let asked = 0; asked < CHILDREN_MAX; asked += CHILDREN_PAGE) {
        const filter = {
          parent: id,
          limit: CHILDREN_PAGE,
          ...(before === undefined ? {} : { before }),
        };
        const page = await api.executions(filter, { signal: request.signal });
        take(page.executions);
        if (page.next === null) return;
        before = page.next;
      }
    };
    // Children that cannot be loaded are shown without times until the next change.
    const reload = (): void => void load().catch(() => undefined);
    reload();
    const leave = mayChange
      ? hub.onExecutions((list, more) => (more ? reload() : take(list)))
      : () => undefined;
    const leaveResync = hub.onResync(reload);
    return () => {
      request.abort();
      leave();
      leaveResync();
    };
  }, [id, wanted, mayChange]);
  return states;
}
