import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { api, query } from "./client";
import { clockOffset, heardServerDate, resetClock, serverNow } from "./clock";
import { ApiError, isAbort, requestJson } from "./http";

const fetchMock = vi.fn<typeof fetch>();

beforeEach(() => {
  vi.stubGlobal("fetch", fetchMock);
  resetClock();
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

const answer = (status: number, body: string, headers: Record<string, string> = {}): Response =>
  new Response(body, { status, headers });

async function refused(promise: Promise<unknown>): Promise<ApiError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof ApiError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("an answer is parsed, and the address is below the mount", async () => {
  document.head.innerHTML = '<base href="/deep/er/">';
  fetchMock.mockResolvedValue(answer(200, '{"a":1}'));
  expect(await requestJson("api/x")).toEqual({ a: 1 });
  expect(fetchMock.mock.calls[0]?.[0]).toBe("/deep/er/api/x");
  document.head.innerHTML = "";
});

test("a refusal carries the detail, what is wrong one by one, and the execution", async () => {
  fetchMock.mockResolvedValue(
    answer(
      422,
      '{"detail":"days: must be less","errors":[{"path":"days","message":"must be less"},7],"execution_id":"e1"}',
    ),
  );
  const error = await refused(requestJson("api/x"));
  expect([error.status, error.detail, error.errors, error.executionId]).toEqual([
    422,
    "days: must be less",
    [{ path: "days", message: "must be less" }],
    "e1",
  ]);
});

test("a refusal that is not the API's own is told by its status", async () => {
  fetchMock.mockResolvedValue(answer(502, "<html>Bad gateway</html>"));
  expect((await refused(requestJson("api/x"))).detail).toContain("502");
});

test("an answer that is no JSON is an error, not a crash", async () => {
  fetchMock.mockResolvedValue(answer(200, "<!doctype html>"));
  expect((await refused(requestJson("api/x"))).detail).toContain("not JSON");
});

test("no answer at all", async () => {
  fetchMock.mockRejectedValue(new TypeError("Failed to fetch"));
  const error = await refused(requestJson("api/x"));
  expect([error.unreachable, error.detail]).toEqual([true, "the server cannot be reached"]);
});

/** A fetch that never answers, but can be given up. */
const silent: typeof fetch = (_, init) =>
  new Promise((_, reject) =>
    init?.signal?.addEventListener("abort", () =>
      reject(new DOMException("aborted", "AbortError")),
    ),
  );

test("an answer that does not come is an error after a while", async () => {
  vi.useFakeTimers();
  fetchMock.mockImplementation(silent);
  const error = refused(requestJson("api/x", { timeoutMs: 2000 }));
  await vi.advanceTimersByTimeAsync(2000);
  expect((await error).detail).toBe("the server has not answered within 2 s");
});

test("giving up is not an error to show", async () => {
  fetchMock.mockImplementation(silent);
  const controller = new AbortController();
  const promise = requestJson("api/x", { signal: controller.signal });
  controller.abort();
  await expect(promise).rejects.toSatisfy(isAbort);
});

test("names in addresses are escaped, and what a query does not say is left out", async () => {
  fetchMock.mockImplementation(async () => answer(200, "{}"));
  await api.execute("a/b c", '{"parameters":{}}');
  expect(fetchMock.mock.calls[0]?.[0]).toBe("/api/actions/a%2Fb%20c/execute");
  expect(fetchMock.mock.calls[0]?.[1]).toMatchObject({ method: "POST", body: '{"parameters":{}}' });
  expect(query({ a: null, b: undefined, c: "", d: 0, e: "x y" })).toBe("?d=0&e=x+y");
  await api.executions({ status: ["failed", "lost"], limit: 5 });
  expect(fetchMock.mock.calls[1]?.[0]).toBe("/api/executions?limit=5&status=failed%2Clost");
});

test("a wrong clock of the browser is seen by the server's Date, a right one is left alone", () => {
  const now = Date.now();
  heardServerDate(new Date(now).toUTCString(), now - 100, now);
  expect(clockOffset()).toBe(0);
  resetClock();
  const hour = 3_600_000;
  heardServerDate(new Date(now + hour).toUTCString(), now - 100, now);
  expect(Math.abs(clockOffset() - hour)).toBeLessThan(1200);
  expect(Math.abs(serverNow() - (Date.now() + hour))).toBeLessThan(1200);
  // Then the clock is set right.
  heardServerDate(new Date(now).toUTCString(), now - 100, now);
  expect(clockOffset()).toBe(0);
  heardServerDate(null, now, now);
  heardServerDate("nonsense", now, now);
  expect(clockOffset()).toBe(0);
});
