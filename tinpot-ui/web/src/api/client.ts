// The routes of the API, by name.
import { type RequestOptions, requestJson, requestText } from "./http";
import type {
  Actions,
  ExecutionPageAnswer,
  ExecutionView,
  Queue,
  Stats,
  Status,
  Submitted,
  Worker,
} from "./types";

type Signal = Pick<RequestOptions, "signal">;

const segment = encodeURIComponent;

/** Puts together a query; what is null, undefined or empty is left out. */
export function query(
  values: Record<string, string | number | boolean | null | undefined>,
): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") pairs.set(name, String(value));
  }
  const text = pairs.toString();
  return text === "" ? "" : `?${text}`;
}

export interface ExecutionFilter {
  status?: readonly Status[];
  action?: string;
  queue?: string;
  parent?: string;
  requested_by?: string;
  since?: string;
  until?: string;
  before?: string;
  limit?: number;
}

export const api = {
  actions: (options: Signal = {}) => requestJson<Actions>("api/actions", options),
  /** The text of an action's view: schemas may hold numbers that JSON.parse would change. */
  actionText: (name: string, options: Signal = {}) =>
    requestText(`api/actions/${segment(name)}`, options),
  execute: (name: string, body: string, headers: Record<string, string> = {}) =>
    requestJson<Submitted>(`api/actions/${segment(name)}/execute`, {
      method: "POST",
      text: body,
      headers,
    }),
  executions: ({ status, ...filter }: ExecutionFilter, options: Signal = {}) =>
    requestJson<ExecutionPageAnswer>(
      `api/executions${query({ ...filter, status: status?.join(",") })}`,
      options,
    ),
  execution: (id: string, options: Signal = {}) =>
    requestJson<ExecutionView>(`api/executions/${segment(id)}`, options),
  executionText: (id: string, options: Signal = {}) =>
    requestText(`api/executions/${segment(id)}`, options),
  cancel: (id: string, force: boolean) =>
    requestJson<{ status: string }>(
      `api/executions/${segment(id)}/cancel${query({ force: force || null })}`,
      { method: "POST" },
    ),
  rerun: (id: string) =>
    requestJson<Submitted>(`api/executions/${segment(id)}/rerun`, { method: "POST", body: {} }),
  workers: (options: Signal = {}) => requestJson<{ workers: Worker[] }>("api/workers", options),
  drain: (id: string) => requestText(`api/workers/${segment(id)}/drain`, { method: "POST" }),
  queues: (options: Signal = {}) => requestJson<{ queues: Queue[] }>("api/queues", options),
  pause: (name: string) => requestText(`api/queues/${segment(name)}/pause`, { method: "POST" }),
  resume: (name: string) => requestText(`api/queues/${segment(name)}/resume`, { method: "POST" }),
  stats: (minutes: number, options: Signal = {}) =>
    requestJson<Stats>(`api/stats${query({ minutes })}`, options),
  version: (options: Signal = {}) =>
    requestJson<{ version: string; api: number }>("api/version", options),
};
