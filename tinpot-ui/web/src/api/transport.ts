// Requests to the API with a timeout, and the errors that they end with.
import { serverClock } from "./clock";
import type { Violation } from "./types";

/** A request that failed or was refused. `status` is 0 when no response arrived. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** The invalid parameters, each with its path. */
    readonly errors: readonly Violation[] = [],
    /** The execution that continues although the request failed. */
    readonly executionId: string | null = null,
  ) {
    super(detail);
    this.name = "ApiError";
  }

  /** Is true if no response arrived, as opposed to a refusal. */
  get unreachable(): boolean {
    return this.status === 0;
  }
}

export const TIMEOUT_MS = 20_000;

/** Aborts all requests of a page that is left: one in the back/forward cache would keep them open. */
let left = new AbortController();
window.addEventListener("pagehide", () => {
  left.abort();
  left = new AbortController();
});

export interface SendOptions {
  signal?: AbortSignal | undefined;
  timeoutMs?: number;
}

/**
 * Sends a request and reads its whole response within the timeout.
 *
 * Rejects with an {@link ApiError} unless the status is 2xx, and with an `AbortError` if the caller
 * aborts.
 */
export async function send(request: Request, options: SendOptions = {}): Promise<Response> {
  const { signal, timeoutMs = TIMEOUT_MS } = options;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  const aborted = (): void => abort.abort();
  signal?.addEventListener("abort", aborted, { once: true });
  if (signal?.aborted) abort.abort();
  const leaving = left.signal;
  leaving.addEventListener("abort", aborted, { once: true });
  const sentAt = Date.now();
  try {
    const response = await fetch(request, { signal: abort.signal });
    serverClock.observe(response.headers.get("date"), sentAt, Date.now());
    if (!response.ok) throw await refusal(response);
    // Reading the body counts towards the timeout.
    const body = await response.text();
    return new Response(body || null, { status: response.status === 204 ? 200 : response.status });
  } catch (error) {
    if (error instanceof ApiError) throw error;
    if (signal?.aborted || leaving.aborted)
      throw new DOMException("The request was aborted.", "AbortError");
    const detail = abort.signal.aborted
      ? `The server did not respond within ${timeoutMs / 1000} s.`
      : "The server did not respond. Check that it is running.";
    throw new ApiError(0, detail);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", aborted);
    leaving.removeEventListener("abort", aborted);
  }
}

async function refusal(response: Response): Promise<ApiError> {
  const fallback = `The server responded with ${response.status} ${response.statusText}`.trim();
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

/** Returns true if the caller aborted the request: there is nothing to show then. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Returns the message to show for any error. */
export function errorText(error: unknown): string {
  if (error instanceof ApiError) return error.detail;
  return error instanceof Error ? error.message : String(error);
}
