import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { serverClock } from "../api/clock";
import type { LogLine } from "../api/types";
import { StreamHub } from "./hub";

/** A connection whose server side a test controls. */
class Connection {
  readonly url: URL;
  private controller!: ReadableStreamDefaultController<Uint8Array>;
  readonly response: Response;
  aborted = false;

  constructor(address: string, signal: AbortSignal | null | undefined, status: number) {
    this.url = new URL(address, "http://tinpot.test");
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.controller = controller;
      },
    });
    signal?.addEventListener("abort", () => {
      if (this.aborted) return;
      this.aborted = true;
      this.controller.error(new DOMException("aborted", "AbortError"));
    });
    this.response = new Response(body, { status });
  }

  raw(text: string): Promise<void> {
    return this.bytes(new TextEncoder().encode(text));
  }

  async bytes(bytes: Uint8Array): Promise<void> {
    this.controller.enqueue(bytes);
    await vi.advanceTimersByTimeAsync(1);
  }

  send(...messages: object[]): Promise<void> {
    return this.raw(
      messages.map((message) => `id: 1\ndata: ${JSON.stringify(message)}\n\n`).join(""),
    );
  }

  hello(version = "1"): Promise<void> {
    return this.send({ type: "connected", server: { version, instance: "a" } });
  }

  async end(): Promise<void> {
    this.controller.close();
    await vi.advanceTimersByTimeAsync(1);
  }
}

let connections: Connection[] = [];
let status = 200;
let down = false;
let hub: StreamHub;

const last = (): Connection => {
  const connection = connections[connections.length - 1];
  if (connection === undefined) throw new Error("there is no connection");
  return connection;
};

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, "random").mockReturnValue(1);
  [connections, status, down] = [[], 200, false];
  vi.stubGlobal("fetch", async (address: string, init?: RequestInit) => {
    if (down) throw new TypeError("Failed to fetch");
    const connection = new Connection(address, init?.signal, status);
    connections.push(connection);
    return connection.response;
  });
  hub = new StreamHub();
});

afterEach(() => {
  hub.stop();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  serverClock.reset();
});

async function start(): Promise<void> {
  hub.start();
  await vi.advanceTimersByTimeAsync(50);
}

const line = (seq: number): LogLine => ({
  seq,
  message: "",
  level: "INFO",
  stream: "stdout",
  timestamp: "2026-01-31T14:30:00Z",
});

/** A follower of a log, with the lines and events that it received. */
function follower(
  id: string,
  after: number,
): { seqs: number[]; events: string[]; stop: () => void } {
  const seen = { seqs: [] as number[], events: [] as string[], stop: (): void => undefined };
  seen.stop = hub.followLog(id, after, {
    lines: (lines) => seen.seqs.push(...lines.map((one) => one.seq)),
    event: (event) => seen.events.push(event.type),
  });
  return seen;
}

test("all subscriptions of a page share one connection", async () => {
  hub.onExecutions(() => undefined);
  hub.onChange("workers", () => undefined);
  const log = follower("e1", 7);
  await start();
  expect(connections.length).toBe(1);
  const { searchParams, pathname } = last().url;
  expect(pathname).toBe("/api/stream");
  expect(Object.fromEntries(searchParams)).toEqual({
    executions: "true",
    workers: "true",
    catalogue: "true",
    log: "e1:7",
  });
  expect(hub.state.value).toBe("connecting");
  await last().hello();
  expect(hub.state.value).toBe("live");
  await last().send(
    { type: "log", execution_id: "e1", lines: [line(8), line(9)] },
    { type: "event", execution_id: "e1", event: { type: "status" } },
  );
  expect([log.seqs, log.events]).toEqual([[8, 9], ["status"]]);
});

test("a follower of an unknown execution receives an event", async () => {
  const log = follower("e1", 0);
  await start();
  await last().hello();
  await last().send({ type: "missing", execution_id: "e1" });
  expect(log.events).toEqual(["missing"]);
});

test("a new subscription opens a new connection, which continues the logs", async () => {
  const log = follower("e1", 0);
  await start();
  await last().hello();
  await last().send({ type: "log", execution_id: "e1", lines: [line(1), line(2)] });
  let told = 0;
  hub.onChange("queues", () => (told += 1));
  await vi.advanceTimersByTimeAsync(50);
  expect(connections.length).toBe(2);
  expect(connections[0]?.aborted).toBe(true);
  expect(last().url.searchParams.get("log")).toBe("e1:2");
  // The user does not notice the change.
  expect(hub.state.value).toBe("live");
  await last().hello();
  await last().send(
    { type: "queues" },
    { type: "log", execution_id: "e1", lines: [line(2), line(3)] },
  );
  expect([told, log.seqs]).toEqual([1, [1, 2, 3]]);
});

test("unchanged subscriptions keep the connection", async () => {
  await start();
  await last().hello();
  hub.onChange("workers", () => undefined)();
  await vi.advanceTimersByTimeAsync(100);
  expect(connections.length).toBe(1);
});

test("two followers of a log receive each line once", async () => {
  const first = follower("e1", 0);
  await start();
  await last().hello();
  await last().send({ type: "log", execution_id: "e1", lines: [line(1), line(2), line(3)] });
  const second = follower("e1", 1);
  await vi.advanceTimersByTimeAsync(50);
  expect(last().url.searchParams.get("log")).toBe("e1:1");
  await last().hello();
  await last().send({ type: "log", execution_id: "e1", lines: [line(2), line(3), line(4)] });
  expect([first.seqs, second.seqs]).toEqual([
    [1, 2, 3, 4],
    [2, 3, 4],
  ]);
  first.stop();
  second.stop();
  await vi.advanceTimersByTimeAsync(50);
  expect(last().url.searchParams.has("log")).toBe(false);
});

test("a lost connection is retried with growing delays, and listeners hear of its return", async () => {
  const log = follower("e1", 0);
  let resynced = 0;
  hub.onResync(() => (resynced += 1));
  await start();
  await last().hello();
  expect(resynced).toBe(0);
  await last().send({ type: "log", execution_id: "e1", lines: [line(5)] });
  down = true;
  await last().end();
  expect(hub.state.value).toBe("stale");
  const attempts = vi.spyOn(globalThis, "fetch");
  await vi.advanceTimersByTimeAsync(500 + 1000 + 2000 + 10);
  expect(attempts).toHaveBeenCalledTimes(3);
  await vi.advanceTimersByTimeAsync(60_000);
  // 4, 8, then every 15 s.
  expect(attempts.mock.calls.length).toBeLessThanOrEqual(8);
  down = false;
  await vi.advanceTimersByTimeAsync(15_000);
  expect(last().url.searchParams.get("log")).toBe("e1:5");
  expect(hub.state.value).toBe("stale");
  await last().hello();
  expect([hub.state.value, resynced, hub.outdated.value]).toEqual(["live", 1, false]);
  await last().send({ type: "log", execution_id: "e1", lines: [line(6)] });
  expect(log.seqs).toEqual([5, 6]);
});

test("a connection without heartbeats counts as lost", async () => {
  await start();
  await last().hello();
  for (let at = 0; at < 4; at += 1) {
    await vi.advanceTimersByTimeAsync(15_000);
    await last().raw(": heartbeat\n\n");
  }
  expect([connections.length, hub.state.value]).toEqual([1, "live"]);
  await vi.advanceTimersByTimeAsync(40_000);
  expect(hub.state.value).toBe("stale");
  await vi.advanceTimersByTimeAsync(600);
  expect(connections.length).toBe(2);
});

test("a server that refuses the stream is asked again later", async () => {
  status = 404;
  await start();
  expect(hub.state.value).toBe("closed");
  await vi.advanceTimersByTimeAsync(29_000);
  expect(connections.length).toBe(1);
  status = 200;
  await vi.advanceTimersByTimeAsync(2_000);
  await last().hello();
  expect(hub.state.value).toBe("live");
});

test("a new version of the server is detected", async () => {
  await start();
  await last().hello("1");
  await last().end();
  await vi.advanceTimersByTimeAsync(1_000);
  await last().hello("2");
  expect(hub.outdated.value).toBe(true);
});

test("listeners receive changed executions, and whether some were omitted", async () => {
  const heard: [string[], boolean][] = [];
  const leave = hub.onExecutions((list, more) =>
    heard.push([list.map((one) => one.execution_id), more]),
  );
  await start();
  await last().hello();
  await last().send(
    { type: "executions", executions: [{ execution_id: "a" }] },
    { type: "executions", executions: [], more: true },
  );
  leave();
  await last().send({ type: "executions", executions: [{ execution_id: "b" }] });
  expect(heard).toEqual([
    [["a"], false],
    [[], true],
  ]);
});

test("messages arrive whole, wherever the network cuts the stream", async () => {
  const log = follower("e1", 0);
  await start();
  const message = (seq: number): string =>
    JSON.stringify({ type: "log", execution_id: "e1", lines: [{ ...line(seq), message: "ü" }] });
  const text = `: hello\r\n\r\nid: 1\r\ndata: ${message(1)}\r\n\r\nevent: x\ndata:${message(2)}\n\n`;
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += 1) await last().bytes(bytes.slice(at, at + 1));
  expect(log.seqs).toEqual([1, 2]);
  await last().raw(`data: ${message(3)}`);
  expect(log.seqs).toEqual([1, 2]);
  await last().raw("\n\n");
  expect(log.seqs).toEqual([1, 2, 3]);
});

test("the stream is requested without the credentials of the page's address", async () => {
  const requested: string[] = [];
  vi.stubGlobal("fetch", async (address: string) => {
    requested.push(address);
    throw new TypeError("Failed to fetch");
  });
  vi.spyOn(document, "baseURI", "get").mockReturnValue("http://user:pw@tinpot.test/deep/");
  await start();
  expect(requested[0]).toBe(`${window.location.origin}/deep/api/stream?catalogue=true`);
});
