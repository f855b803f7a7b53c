// Requests to the API with a timeout, and the errors that they end with.
import { serverClock } from "./clock";
import { gate } from "./gate";
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
    /** The time after which the request may be repeated, in seconds. */
    readonly retryAfter: number | null = null,
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
  /** If false, the request does not wait for a sign-in. */
  waits?: boolean;
}

/**
 * Sends a request and reads its whole response within the timeout. If it is refused for lack of a
 * sign-in, waits for one and repeats the request.
 *
 * Rejects with an {@link ApiError} unless the status is 2xx, and with an `AbortError` if the caller
 * aborts.
 */
export async function send(request: Request, options: SendOptions = {}): Promise<Response> {
  // A body can be sent once, unless it is a text.
  const body = request.method === "GET" ? null : (await request.text()) || null;
  for (;;) {
    if (gate.closed.peek() && options.waits !== false) await signIn(request, options.signal);
    const { signIns } = gate;
    try {
      return await attempt(body === null ? request : new Request(request, { body }), options);
    } catch (error) {
      const isSignedOut = error instanceof ApiError && error.status === 401 && gate.helps;
      if (!isSignedOut || options.waits === false) throw error;
      if (gate.signIns === signIns) gate.close();
    }
  }
}

/** Waits for a sign-in. */
async function signIn(request: Request, signal: AbortSignal | undefined): Promise<void> {
  // A person who changes something wants to be asked again.
  if (request.method !== "GET") gate.ask();
  const leaving = left.signal;
  if (await gate.wait([signal, leaving])) return;
  if (signal?.aborted || leaving.aborted) throw aborted();
  throw new ApiError(401, "You are signed out. Sign in, then try again.");
}

async function attempt(request: Request, options: SendOptions): Promise<Response> {
  const { signal, timeoutMs = TIMEOUT_MS } = options;
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), timeoutMs);
  const stop = (): void => abort.abort();
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) abort.abort();
  const leaving = left.signal;
  leaving.addEventListener("abort", stop, { once: true });
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
    if (signal?.aborted || leaving.aborted) throw aborted();
    const detail = abort.signal.aborted
      ? `The server did not respond within ${timeoutMs / 1000} s.`
      : "The server did not respond. Check that it is running.";
    throw new ApiError(0, detail);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
    leaving.removeEventListener("abort", stop);
  }
}

const aborted = () => new DOMException("The request was aborted.", "AbortError");

async function refusal(response: Response): Promise<ApiError> {
  const fallback = `The server responded with ${response.status} ${response.statusText}`.trim();
  let body: unknown = null;
  try {
    body = JSON.parse(await response.text());
  } catch {
    // A response without a body, or of a proxy.
  }
  const { detail, errors, execution_id } = Object(body) as Record<string, unknown>;
  const wait = Number(response.headers.get("retry-after") ?? NaN);
  return new ApiError(
    response.status,
    typeof detail === "string" ? detail : fallback,
    Array.isArray(errors) ? errors.filter(isViolation) : [],
    typeof execution_id === "string" ? execution_id : null,
    wait > 0 ? wait : null,
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
