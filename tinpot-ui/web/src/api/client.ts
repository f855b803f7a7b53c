// The routes of the API by name. Paths, parameters and results are checked against the schema.
import createClient from "openapi-fetch";
import { serverUrl } from "../app/base-path";
import type { paths } from "./schema";
import { ApiError, type SendOptions, send } from "./transport";
import type {
  ActionStats,
  Actions,
  BulkResult,
  ExecutionView,
  LogFilter,
  LogPage,
  SearchQuery,
  Status,
} from "./types";
import { sendFile } from "./upload";

const client = createClient<paths>({
  headers: { Accept: "application/json" },
  credentials: "same-origin",
  querySerializer: (values) => queryText(values).slice(1),
});

export interface ExecutionFilter {
  status?: readonly Status[];
  action?: string;
  queue?: string;
  parent?: string;
  number?: number;
  requested_by?: string;
  /** Words that the action, the id, the parameters, the error or the requester must contain. */
  q?: string;
  since?: string;
  until?: string;
  before?: string;
  limit?: number;
}

/** A position in a log: after a line, before a line, or at the end. */
export type PageAt = { after: number } | { before: number } | { tail: true };

/** Serializes a query with its question mark; leaves out null, undefined and empty values. */
export function queryText(values: Record<string, unknown>): string {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") pairs.set(name, String(value));
  }
  const text = pairs.toString();
  return text === "" ? "" : `?${text}`;
}

function settings(options: SendOptions) {
  return {
    baseUrl: serverUrl(),
    fetch: (request: Request) => send(request, options),
  };
}

/** Returns the body of a successful response; {@link send} has thrown for any other. */
async function bodyOf<T>(
  call: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  try {
    return (await call).data as T;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new ApiError(502, "The response is not JSON. Check that this address is Tinpot's.");
  }
}

/** Sends a request to a route that takes or gives no schema. */
export async function json<T>(
  path: string,
  body: unknown,
  options: SendOptions & { method?: string },
): Promise<T> {
  const method = options.method ?? (body === null ? "GET" : "POST");
  const request = new Request(serverUrl() + path, {
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    credentials: "same-origin",
    method,
    body: body === null ? null : JSON.stringify(body),
  });
  const text = await (await send(request, options)).text();
  // Routes that only change something answer with nothing.
  return (text === "" ? null : JSON.parse(text)) as T;
}

const filterQuery = ({ level, streams }: LogFilter) => ({
  ...(level === null ? {} : { level }),
  ...(streams.length === 0 ? {} : { stream: streams.join() }),
});

export const api = {
  actions: (options: SendOptions = {}) =>
    bodyOf(client.GET("/api/actions", settings(options))) as Promise<Actions>,
  /** Returns the text of an action: its schema may contain numbers that JSON.parse rounds. */
  actionText: (name: string, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/actions/{name}", {
        ...settings(options),
        params: { path: { name } },
        parseAs: "text",
      }),
    ),
  /** Submits an execution. `body` is JSON text, because JSON.stringify would round its numbers. */
  execute: (name: string, body: string, options: SendOptions = {}) =>
    bodyOf(
      client.POST("/api/actions/{name}/execute", {
        ...settings(options),
        params: { path: { name } },
        body: body as never,
        bodySerializer: (text) => text,
      }),
    ),
  /** Uploads bytes for a parameter, and returns the text that stands for them. */
  upload: async (
    name: string,
    file: Blob,
    signal: AbortSignal,
    onSent: (bytes: number) => void,
  ): Promise<string> => {
    const path = `/api/actions/${encodeURIComponent(name)}/uploads`;
    const answer = JSON.parse(await sendFile("POST", path, file, signal, onSent)) as {
      upload: string;
    };
    return answer.upload;
  },
  executions: ({ status, ...filter }: ExecutionFilter, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions", {
        ...settings(options),
        params: {
          query: { ...filter, ...(status === undefined ? {} : { status: status.join(",") }) },
        },
      }),
    ),
  execution: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions/{id}", { ...settings(options), params: { path: { id } } }),
    ) as Promise<ExecutionView>,
  /** Returns the text of an execution: its values may contain numbers that JSON.parse rounds. */
  executionText: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions/{id}", {
        ...settings(options),
        params: { path: { id } },
        parseAs: "text",
      }),
    ),
  steps: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions/{id}/spans", { ...settings(options), params: { path: { id } } }),
    ),
  artifacts: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions/{id}/artifacts", {
        ...settings(options),
        params: { path: { id } },
      }),
    ),
  summary: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions/{id}/summary", {
        ...settings(options),
        params: { path: { id } },
      }),
    ),
  logs: (id: string, at: PageAt, limit: number, filter: LogFilter, options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/executions/{id}/logs", {
        ...settings(options),
        params: { path: { id }, query: { ...at, limit, ...filterQuery(filter) } },
      }),
    ) as Promise<LogPage>,
  searchLogs: (
    id: string,
    search: SearchQuery & { after: number; limit: number; context: number },
    filter: LogFilter,
    options: SendOptions = {},
  ) =>
    bodyOf(
      client.GET("/api/executions/{id}/logs/search", {
        ...settings(options),
        params: {
          path: { id },
          query: {
            q: search.text,
            ...(search.regex ? { regex: true } : {}),
            ...(search.matchCase ? { case: true } : {}),
            ...(search.after > 0 ? { after: search.after } : {}),
            limit: search.limit,
            context: search.context,
            ...filterQuery(filter),
          },
        },
      }),
    ),
  cancel: (id: string, force: boolean, options: SendOptions = {}) =>
    bodyOf(
      client.POST("/api/executions/{id}/cancel", {
        ...settings(options),
        params: { path: { id }, query: force ? { force } : {} },
      }),
    ),
  rerun: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.POST("/api/executions/{id}/rerun", {
        ...settings(options),
        params: { path: { id } },
        body: {},
      }),
    ),
  workers: (options: SendOptions = {}) => bodyOf(client.GET("/api/workers", settings(options))),
  worker: (id: string, options: SendOptions = {}) =>
    bodyOf(client.GET("/api/workers/{id}", { ...settings(options), params: { path: { id } } })),
  drain: (id: string, options: SendOptions = {}) =>
    bodyOf(
      client.POST("/api/workers/{id}/drain", { ...settings(options), params: { path: { id } } }),
    ),
  queues: (options: SendOptions = {}) => bodyOf(client.GET("/api/queues", settings(options))),
  pause: (name: string, options: SendOptions = {}) =>
    bodyOf(
      client.POST("/api/queues/{name}/pause", { ...settings(options), params: { path: { name } } }),
    ),
  resume: (name: string, options: SendOptions = {}) =>
    bodyOf(
      client.POST("/api/queues/{name}/resume", {
        ...settings(options),
        params: { path: { name } },
      }),
    ),
  cancelMany: (ids: readonly string[], force: boolean, options: SendOptions = {}) =>
    json<{ results: BulkResult[] }>("/api/executions/cancel", { ids, force }, options),
  rerunMany: (ids: readonly string[], options: SendOptions = {}) =>
    json<{ results: BulkResult[] }>("/api/executions/rerun", { ids }, options),
  actionStats: (options: SendOptions = {}) =>
    json<{ actions: ActionStats[] }>("/api/stats/actions", null, options),
  /** Returns the statistics of the last hour, 6 hours or 24 hours, from the store. */
  stats: (window: "1h" | "6h" | "24h", options: SendOptions = {}) =>
    bodyOf(
      client.GET("/api/stats", {
        ...settings(options),
        params: { query: { minutes: { "1h": 60, "6h": 360, "24h": 1440 }[window] } },
      }),
    ),
};
