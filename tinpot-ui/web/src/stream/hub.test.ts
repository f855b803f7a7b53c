import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { serverClock } from "../api/clock";
import { gate } from "../api/gate";
import type { LogLine } from "../api/types";
import { Broker, LOGS_MAX } from "./broker";
import { StreamHub } from "./hub";
import type { FromBroker, ToBroker } from "./messages";

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
  await settle();
}

/** Waits until changed subscriptions have reached the server. */
async function settle(): Promise<void> {
  // The broker is a module of its own, which pages load when they need it.
  await vi.dynamicImportSettled();
  await vi.advanceTimersByTimeAsync(60);
  await vi.dynamicImportSettled();
  await vi.advanceTimersByTimeAsync(60);
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
  await settle();
  expect(connections.length).toBe(2);
  // The old one stays until the new one is live, so that no event is missed.
  expect(connections[0]?.aborted).toBe(false);
  expect(last().url.searchParams.get("log")).toBe("e1:2");
  // The user does not notice the change.
  expect(hub.state.value).toBe("live");
  await last().hello();
  expect(connections[0]?.aborted).toBe(true);
  await last().send(
    { type: "queues" },
    { type: "log", execution_id: "e1", lines: [line(2), line(3)] },
  );
  // Once for what may have changed before the connection included the topic.
  expect([told, log.seqs]).toEqual([2, [1, 2, 3]]);
});

test("unchanged subscriptions keep the connection", async () => {
  hub.onChange("catalogue", () => undefined);
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
  await settle();
  expect([connections.length, second.seqs]).toEqual([1, [2, 3]]);
  await last().send({ type: "log", execution_id: "e1", lines: [line(4)] });
  expect([first.seqs, second.seqs]).toEqual([
    [1, 2, 3, 4],
    [2, 3, 4],
  ]);
  first.stop();
  second.stop();
  await settle();
  expect(last().aborted).toBe(true);
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
  hub.onChange("catalogue", () => undefined);
  await start();
  await last().hello();
  for (let at = 0; at < 4; at += 1) {
    await vi.advanceTimersByTimeAsync(15_000);
    await last().raw(": heartbeat\n\n");
  }
  expect([connections.length, hub.state.value]).toEqual([1, "live"]);
  await vi.advanceTimersByTimeAsync(45_000);
  expect(hub.state.value).toBe("stale");
  await vi.advanceTimersByTimeAsync(600);
  expect(connections.length).toBe(2);
});

test("a server that refuses the stream is asked again later", async () => {
  hub.onChange("catalogue", () => undefined);
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

test("a stream that ends with the sign-in is opened again after the next one", async () => {
  let doubts = 0;
  gate.doubt = () => {
    doubts += 1;
    gate.close();
  };
  let resynced = 0;
  hub.onChange("catalogue", () => undefined);
  hub.onResync(() => {
    resynced += 1;
  });
  await start();
  await last().hello();
  status = 401;
  await last().raw('event: denied\ndata: {"type":"denied"}\n\n');
  await last().end();
  await vi.advanceTimersByTimeAsync(600);
  expect([connections.length, doubts, gate.closed.value]).toEqual([2, 1, true]);
  // Signed out, the page requests nothing.
  await vi.advanceTimersByTimeAsync(60_000);
  expect(connections.length).toBe(2);
  status = 200;
  gate.open();
  await vi.advanceTimersByTimeAsync(100);
  expect(connections.length).toBe(3);
  await last().hello();
  expect([hub.state.value, resynced]).toEqual(["live", 1]);
});

test("a new version of the server is detected", async () => {
  hub.onChange("catalogue", () => undefined);
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
    // May have changed before the connection included them.
    [[], true],
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
  hub.onChange("catalogue", () => undefined);
  const requested: string[] = [];
  vi.stubGlobal("fetch", async (address: string) => {
    requested.push(address);
    throw new TypeError("Failed to fetch");
  });
  vi.spyOn(document, "baseURI", "get").mockReturnValue("http://user:pw@tinpot.test/deep/");
  await start();
  expect(requested[0]).toBe(`${window.location.origin}/deep/api/stream?catalogue=true`);
});

test("a page without subscriptions, or that is hidden or left, has no connection", async () => {
  await start();
  expect(connections.length).toBe(0);
  const leave = hub.onChange("workers", () => undefined);
  await settle();
  await last().hello();
  expect([hub.state.value, last().aborted]).toEqual(["live", false]);
  leave();
  await settle();
  expect([hub.state.value, last().aborted]).toEqual(["idle", true]);

  const log = follower("e1", 0);
  await settle();
  await last().hello();
  await last().send({ type: "log", execution_id: "e1", lines: [line(1)] });
  const hidden = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  document.dispatchEvent(new Event("visibilitychange"));
  await vi.advanceTimersByTimeAsync(3_000);
  expect([connections.length, last().aborted]).toEqual([2, true]);
  hidden.mockReturnValue("visible");
  document.dispatchEvent(new Event("visibilitychange"));
  await settle();
  expect(last().url.searchParams.get("log")).toBe("e1:1");
  await last().hello();
  await last().send({ type: "log", execution_id: "e1", lines: [line(2)] });
  expect(log.seqs).toEqual([1, 2]);

  window.dispatchEvent(new Event("pagehide"));
  await settle();
  expect([connections.length, last().aborted]).toEqual([3, true]);
  let resynced = 0;
  hub.onResync(() => (resynced += 1));
  window.dispatchEvent(new Event("pageshow"));
  await settle();
  await last().hello();
  expect([connections.length, resynced, hub.state.value]).toEqual([4, 1, "live"]);
});

test("a page that loses the network is stale, unless the server still responds", async () => {
  hub.onChange("workers", () => undefined);
  await start();
  await last().hello();
  window.dispatchEvent(new Event("offline"));
  await settle();
  expect(hub.state.value).toBe("live");
  down = true;
  window.dispatchEvent(new Event("offline"));
  await settle();
  expect(hub.state.value).toBe("stale");
  let resynced = 0;
  hub.onResync(() => (resynced += 1));
  down = false;
  await vi.advanceTimersByTimeAsync(4_000);
  expect([hub.state.value, resynced]).toEqual(["live", 1]);
});

/** A page of a shared broker, with what it has received. */
class SharedPage {
  readonly seqs: number[] = [];
  readonly events: string[] = [];
  readonly states: string[] = [];

  constructor(
    private readonly broker: Broker,
    private readonly id: string,
  ) {}

  post(message: ToBroker): void {
    this.broker.receive(this.id, (one) => this.take(one), message);
  }

  want(logs: [string, number][], attend = false): void {
    this.post({ type: "want", server: "http://tinpot.test", topics: [], logs, attend });
  }

  private take(message: FromBroker): void {
    if (message.type === "state") this.states.push(message.state);
    if (message.type !== "message") return;
    if (message.message.type === "log")
      this.seqs.push(...message.message.lines.map(({ seq }) => seq));
    else this.events.push(message.message.type);
  }
}

test("thirty pages share one connection, and a later one receives what it lacks", async () => {
  const broker = new Broker(true);
  const pages = Array.from({ length: 30 }, (_, at) => new SharedPage(broker, String(at)));
  for (const page of pages) page.want([["e1", 0]]);
  await settle();
  expect(connections.length).toBe(1);
  await last().hello();
  await last().send(
    { type: "event", execution_id: "e1", event: { type: "progress" } },
    { type: "log", execution_id: "e1", lines: [line(1), line(2), line(3)] },
  );
  for (const page of pages) expect(page.seqs).toEqual([1, 2, 3]);
  const late = new SharedPage(broker, "late");
  late.want([["e1", 1]]);
  await settle();
  expect([connections.length, late.seqs, late.events]).toEqual([1, [2, 3], ["event"]]);
  expect(late.states).toEqual(["live"]);
  for (const page of pages) page.post({ type: "leave" });
  await settle();
  expect(last().aborted).toBe(false);
  late.post({ type: "leave" });
  await settle();
  expect(last().aborted).toBe(true);
  broker.close();
});

test("a page far behind receives each line once, from a connection of its own position", async () => {
  const broker = new Broker(true);
  const [first, second] = [new SharedPage(broker, "1"), new SharedPage(broker, "2")];
  first.want([["e1", 100]]);
  await settle();
  await last().hello();
  await last().send({ type: "log", execution_id: "e1", lines: [line(101)] });
  second.want([["e1", 0]]);
  await settle();
  expect(last().url.searchParams.get("log")).toBe("e1:0");
  await connections[0]?.send({ type: "log", execution_id: "e1", lines: [line(102)] });
  expect([first.seqs, second.seqs]).toEqual([[101, 102], []]);
  await last().hello();
  await last().send({
    type: "log",
    execution_id: "e1",
    lines: [line(99), line(100), line(101), line(102), line(103)],
  });
  expect([first.seqs, second.seqs]).toEqual([
    [101, 102, 103],
    [99, 100, 101, 102, 103],
  ]);
  broker.close();
});

test("more logs than one connection follows take turns", async () => {
  const broker = new Broker(true);
  const page = new SharedPage(broker, "1");
  const ids = Array.from({ length: LOGS_MAX + 5 }, (_, at) => `e${at}`);
  page.want(ids.map((id) => [id, 0]));
  await settle();
  const followed = new Set<string>();
  for (let turn = 0; turn < 3; turn += 1) {
    const logs = last().url.searchParams.get("log")?.split(",") ?? [];
    expect(logs.length).toBeLessThanOrEqual(LOGS_MAX);
    for (const log of logs) followed.add(log.split(":")[0] ?? "");
    await last().hello();
    await vi.advanceTimersByTimeAsync(4_100);
  }
  expect(followed.size).toBe(ids.length);
  broker.close();
});

test("a page that vanished is forgotten, and one that was forgotten is asked again", async () => {
  const broker = new Broker(true);
  const page = new SharedPage(broker, "1");
  const answers: string[] = [];
  page.want([], true);
  await settle();
  await last().hello();
  for (let at = 0; at < 6; at += 1) {
    await vi.advanceTimersByTimeAsync(10_000);
    await last().raw(": heartbeat\n\n");
    page.post({ type: "alive" });
  }
  expect(last().aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(61_000);
  expect(last().aborted).toBe(true);
  broker.receive("1", (message) => answers.push(message.type), { type: "alive" });
  expect(answers).toEqual(["unknown"]);
  broker.close();
});
