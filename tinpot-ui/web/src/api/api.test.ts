import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { api, queryText } from "./client";
import { serverClock } from "./clock";
import { ApiError, isAbort, send, TIMEOUT_MS } from "./transport";

const fetchMock = vi.fn<(request: Request, init?: RequestInit) => Promise<Response>>();

beforeEach(() => {
  vi.stubGlobal("fetch", fetchMock);
  serverClock.reset();
});
afterEach(() => {
  fetchMock.mockReset();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const response = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers });

/** The request of the call with this number. */
function requested(call = 0): Request {
  const request = fetchMock.mock.calls[call]?.[0];
  if (request === undefined) throw new Error(`there was no request ${call}`);
  return request;
}

async function refused(promise: Promise<unknown>): Promise<ApiError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("the request was not refused");
}

test("a response is parsed, and its address is below the mount", async () => {
  document.head.innerHTML = '<base href="/deep/er/">';
  fetchMock.mockResolvedValue(response(200, '{"queues":[]}'));
  expect(await api.queues()).toEqual({ queues: [] });
  expect(requested().url).toBe(`${window.location.origin}/deep/er/api/queues`);
  document.head.innerHTML = "";
});

test("requests omit the credentials of the page's address, which fetch refuses", async () => {
  vi.spyOn(document, "baseURI", "get").mockReturnValue("http://user:pw@tinpot.test/deep/");
  fetchMock.mockResolvedValue(response(200, '{"workers":[]}'));
  await api.workers();
  expect(requested().url).toBe(`${window.location.origin}/deep/api/workers`);
});

test("a refusal carries its detail, each invalid parameter, and the execution", async () => {
  fetchMock.mockResolvedValue(
    response(
      422,
      '{"detail":"days: must be less","errors":[{"path":"days","message":"must be less"},7],"execution_id":"e1"}',
    ),
  );
  const error = await refused(api.queues());
  expect([error.status, error.detail, error.errors, error.executionId]).toEqual([
    422,
    "days: must be less",
    [{ path: "days", message: "must be less" }],
    "e1",
  ]);
});

test("a refusal that is not the API's own is described by its status", async () => {
  fetchMock.mockResolvedValue(response(502, "<html>Bad gateway</html>"));
  expect((await refused(api.queues())).detail).toContain("502");
});

test("a response that is not JSON is an error with a remedy", async () => {
  fetchMock.mockResolvedValue(response(200, "<!doctype html>"));
  expect((await refused(api.queues())).detail).toContain("not JSON");
});

test("a server that does not respond is unreachable", async () => {
  fetchMock.mockRejectedValue(new TypeError("Failed to fetch"));
  const error = await refused(api.queues());
  expect([error.unreachable, error.detail]).toEqual([
    true,
    "The server did not respond. Check that it is running.",
  ]);
});

/** A fetch that never responds, but can be aborted. */
const silent = (_: Request, init?: RequestInit): Promise<Response> =>
  new Promise((_, reject) =>
    init?.signal?.addEventListener("abort", () => reject(new DOMException("", "AbortError"))),
  );

test("a request ends with an error after its timeout", async () => {
  vi.useFakeTimers();
  fetchMock.mockImplementation(silent);
  const error = refused(send(new Request("http://tinpot.test/"), { timeoutMs: 2_000 }));
  await vi.advanceTimersByTimeAsync(2_000);
  expect((await error).detail).toBe("The server did not respond within 2 s.");
  const usual = refused(api.queues());
  await vi.advanceTimersByTimeAsync(TIMEOUT_MS);
  expect((await usual).detail).toBe("The server did not respond within 20 s.");
});

test("an aborted request is not an error to show", async () => {
  fetchMock.mockImplementation(silent);
  const controller = new AbortController();
  const promise = api.queues({ signal: controller.signal });
  controller.abort();
  await expect(promise).rejects.toSatisfy(isAbort);
});

test("names in addresses are escaped, and a query omits values that are not set", async () => {
  fetchMock.mockImplementation(async () => response(200, "{}"));
  await api.execute("a/b c", '{"parameters":{"n":9007199254740993}}');
  expect(new URL(requested().url).pathname).toBe("/api/actions/a%2Fb%20c/execute");
  expect(requested().method).toBe("POST");
  expect(requested().headers.get("content-type")).toBe("application/json");
  expect(await requested().text()).toBe('{"parameters":{"n":9007199254740993}}');
  expect(queryText({ a: null, b: undefined, c: "", d: 0, e: "x y" })).toBe("?d=0&e=x+y");
  await api.executions({ status: ["failed", "lost"], limit: 5 });
  expect(new URL(requested(1).url).search).toBe("?limit=5&status=failed%2Clost");
  await api.queues();
  expect(new URL(requested(2).url).search).toBe("");
});

test("a wrong clock of the browser is corrected by the server's, and a right one is kept", () => {
  const now = Date.now();
  serverClock.observe(new Date(now).toUTCString(), now - 100, now);
  expect(serverClock.offset()).toBe(0);
  serverClock.reset();
  const hour = 3_600_000;
  serverClock.observe(new Date(now + hour).toUTCString(), now - 100, now);
  expect(Math.abs(serverClock.offset() - hour)).toBeLessThan(1200);
  expect(Math.abs(serverClock.now() - (Date.now() + hour))).toBeLessThan(1200);
  // The clock is corrected.
  serverClock.observe(new Date(now).toUTCString(), now - 100, now);
  expect(serverClock.offset()).toBe(0);
  serverClock.observe(null, now, now);
  serverClock.observe("nonsense", now, now);
  expect(serverClock.offset()).toBe(0);
});
