import { apiUrl } from "../app/base";
import { heardServerDate } from "./clock";
import type { Violation } from "./types";

/** A request that was not done. `status` is 0 when no answer came. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    /** What is wrong, in words. */
    readonly detail: string,
    /** What of the parameters is wrong, one by one. */
    readonly errors: readonly Violation[] = [],
    /** The execution that goes on although the request failed. */
    readonly executionId: string | null = null,
  ) {
    super(detail);
    this.name = "ApiError";
  }

  /** Whether the server could not be reached, rather than refused. */
  get unreachable(): boolean {
    return this.status === 0;
  }
}

export interface RequestOptions {
  method?: "GET" | "POST" | "DELETE";
  /** Sent as JSON. */
  body?: unknown;
  /** Sent as it is, as JSON; for values that JSON.stringify would change. */
  text?: string;
  signal?: AbortSignal;
  timeoutMs?: number;
  headers?: Record<string, string>;
}

const TIMEOUT_MS = 20_000;

/** Asks the API; `path` is relative to the mount, without a slash in front: `api/actions`. Gives the answer's text. */
export async function requestText(path: string, options: RequestOptions = {}): Promise<string> {
  const response = await request(path, options);
  return response.text();
}

/** As {@link requestText}, parsed. */
export async function requestJson<T>(path: string, options: RequestOptions = {}): Promise<T> {
  const text = await requestText(path, options);
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ApiError(502, `the answer to ${path} is not JSON; is something else served there?`);
  }
}

async function request(path: string, options: RequestOptions): Promise<Response> {
  const timeout = new AbortController();
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const timer = setTimeout(() => timeout.abort(), timeoutMs);
  const aborted = (): void => timeout.abort();
  options.signal?.addEventListener("abort", aborted, { once: true });
  if (options.signal?.aborted) timeout.abort();
  const text =
    options.text ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
  const sent = Date.now();
  try {
    const response = await fetch(apiUrl(path), {
      method: options.method ?? "GET",
      headers: {
        Accept: "application/json",
        ...(text === undefined ? {} : { "Content-Type": "application/json" }),
        ...options.headers,
      },
      ...(text === undefined ? {} : { body: text }),
      signal: timeout.signal,
      credentials: "same-origin",
    });
    heardServerDate(response.headers.get("date"), sent, Date.now());
    if (!response.ok) throw await refusal(response);
    // The body too has to be there before the time is over.
    const body = await response.text();
    return new Response(body || null, { status: response.status === 204 ? 200 : response.status });
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (options.signal?.aborted) throw new DOMException("the request was given up", "AbortError");
    const detail = timeout.signal.aborted
      ? `the server has not answered within ${timeoutMs / 1000} s`
      : "the server cannot be reached";
    throw new ApiError(0, detail);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", aborted);
  }
}

async function refusal(response: Response): Promise<ApiError> {
  const fallback = `the server answered ${response.status} ${response.statusText}`.trim();
  let body: unknown;
  try {
    body = JSON.parse(await response.text());
  } catch {
    return new ApiError(response.status, fallback);
  }
  if (typeof body !== "object" || body === null) return new ApiError(response.status, fallback);
  const { detail, errors, execution_id } = body as Record<string, unknown>;
  return new ApiError(
    response.status,
    typeof detail === "string" ? detail : fallback,
    Array.isArray(errors) ? errors.filter(isViolation) : [],
    typeof execution_id === "string" ? execution_id : null,
  );
}

function isViolation(value: unknown): value is Violation {
  const { path, message } = (value ?? {}) as Record<string, unknown>;
  return typeof path === "string" && typeof message === "string";
}

/** Whether a request was given up by whoever asked, which is nothing to show. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Any error in words. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.detail;
  return error instanceof Error ? error.message : String(error);
}
