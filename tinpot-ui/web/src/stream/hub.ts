// The one event stream of a tab. Browsers allow six connections per host, so pages share it: each says what it wants to hear, and the hub
// connects again, with the log positions it has, when that changes or the connection is gone.
import { signal } from "@preact/signals";
import { createParser } from "eventsource-parser";
import { queryText } from "../api/client";
import { serverClock } from "../api/clock";
import type { ExecutionEvent, ExecutionSummary, LogLine, StreamMessage } from "../api/types";
import { serverUrl } from "../app/base-path";

/** `stale`: the connection is gone, what is shown may be old. `closed`: the server gives no stream; asked again now and then. */
export type StreamState = "connecting" | "live" | "stale" | "closed";

export interface ServerInfo {
  version: string;
  instance: string;
}

export type Topic = "executions" | "workers" | "queues" | "catalogue";

export interface LogFollower {
  /** New lines, ascending, each once. */
  lines(lines: LogLine[]): void;
  /** Anything else that happens to the execution: see the contract of `/api/stream`. */
  event(event: ExecutionEvent): void;
}

/** Logs that one stream can follow. */
export const LOGS_MAX = 8;

const timing = {
  /** Changes of what is wanted that come together make one connection. */
  settleMs: 30,
  /** Heartbeats come every 15 s; two may be late. */
  silenceMs: 40_000,
  firstRetryMs: 500,
  lastRetryMs: 15_000,
  closedRetryMs: 30_000,
  /** A connection that lasted so long was a good one. */
  goodMs: 5_000,
};

/** The longest message; a longer one ends the connection. */
const MESSAGE_CHARS_MAX = 64 * 1024 * 1024;

interface Follow {
  after: number;
  followers: Set<LogFollower>;
}

export class StreamHub {
  readonly state = signal<StreamState>("connecting");
  readonly server = signal<ServerInfo | null>(null);
  /** The server is not of the version any more that this page came from. */
  readonly outdated = signal(false);

  private readonly topics = new Map<Topic, number>();
  private readonly logs = new Map<string, Follow>();
  private readonly executionListeners = new Set<
    (list: ExecutionSummary[], more: boolean) => void
  >();
  private readonly changeListeners = new Map<Topic, Set<() => void>>();
  private readonly resyncListeners = new Set<() => void>();

  private connection: AbortController | null = null;
  private connectedTo = "";
  private timer: ReturnType<typeof setTimeout> | null = null;
  private failures = 0;
  private wasLive = false;
  private missed = false;
  private running = false;

  start(): void {
    this.running = true;
    window.addEventListener("online", this.hurry);
    document.addEventListener("visibilitychange", this.hurry);
    this.schedule(timing.settleMs);
  }

  stop(): void {
    this.running = false;
    window.removeEventListener("online", this.hurry);
    document.removeEventListener("visibilitychange", this.hurry);
    if (this.timer !== null) clearTimeout(this.timer);
    this.connection?.abort();
    this.connection = null;
  }

  /** Executions that changed; `more` says that there were more than were sent, so that lists have to be loaded anew. */
  onExecutions(listener: (list: ExecutionSummary[], more: boolean) => void): () => void {
    this.executionListeners.add(listener);
    const leave = this.want("executions");
    return () => {
      this.executionListeners.delete(listener);
      leave();
    };
  }

  /** Workers, queues or the catalogue are not as they were. */
  onChange(topic: Exclude<Topic, "executions">, listener: () => void): () => void {
    const listeners = this.changeListeners.get(topic) ?? new Set();
    this.changeListeners.set(topic, listeners);
    listeners.add(listener);
    const leave = this.want(topic);
    return () => {
      listeners.delete(listener);
      leave();
    };
  }

  /** The stream was gone and is back: whatever happened in between was not heard (except lines of followed logs). */
  onResync(listener: () => void): () => void {
    this.resyncListeners.add(listener);
    return () => this.resyncListeners.delete(listener);
  }

  /** Follows the log of an execution, from the line after `after`. Several may follow the same; all hear what comes from then on. */
  followLog(id: string, after: number, follower: LogFollower): () => void {
    let follow = this.logs.get(id);
    if (follow === undefined) {
      follow = { after, followers: new Set() };
      this.logs.set(id, follow);
    } else if (after < follow.after) {
      // The new one has less than the others: they get lines again, which `lines` leaves out by number.
      follow.after = after;
      this.connectedTo = "";
    }
    const own = { ...follower, last: after };
    const filtered: LogFollower = {
      lines: (lines) => {
        const fresh = lines.filter((line) => line.seq > own.last);
        const last = fresh[fresh.length - 1];
        if (last === undefined) return;
        own.last = last.seq;
        follower.lines(fresh);
      },
      event: (event) => follower.event(event),
    };
    follow.followers.add(filtered);
    this.changed();
    return () => {
      const current = this.logs.get(id);
      current?.followers.delete(filtered);
      if (current?.followers.size === 0) this.logs.delete(id);
      this.changed();
    };
  }

  private want(topic: Topic): () => void {
    this.topics.set(topic, (this.topics.get(topic) ?? 0) + 1);
    this.changed();
    return () => {
      this.topics.set(topic, (this.topics.get(topic) ?? 1) - 1);
      this.changed();
    };
  }

  /** What the stream has to carry, without log positions. */
  private wanted(): string {
    const topics = [...this.topics].filter(([, users]) => users > 0).map(([topic]) => topic);
    return [...topics.sort(), ...[...this.logs.keys()].slice(0, LOGS_MAX)].join();
  }

  private changed(): void {
    if (this.running && this.failures === 0) this.schedule(timing.settleMs, true);
  }

  private readonly hurry = (): void => {
    if (
      document.visibilityState === "visible" &&
      this.state.peek() !== "live" &&
      this.connection === null
    )
      this.schedule(0);
  };

  private schedule(delay: number, onlyIfChanged = false): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      if (onlyIfChanged && this.connection !== null && this.wanted() === this.connectedTo) return;
      void this.connect();
    }, delay);
  }

  private address(): string {
    const logs = [...this.logs].slice(0, LOGS_MAX).map(([id, { after }]) => `${id}:${after}`);
    const on = (topic: Topic): true | null => ((this.topics.get(topic) ?? 0) > 0 ? true : null);
    // A stream of nothing would be refused, and the header shows whether there is one.
    const catalogue = true;
    return (
      `${serverUrl()}/api/stream` +
      queryText({
        executions: on("executions"),
        workers: on("workers"),
        queues: on("queues"),
        catalogue,
        log: logs.length === 0 ? null : logs.join(),
      })
    );
  }

  private async connect(): Promise<void> {
    this.connection?.abort();
    const connection = new AbortController();
    this.connection = connection;
    this.connectedTo = this.wanted();
    let began = Infinity;
    let silence: ReturnType<typeof setTimeout> | undefined;
    const heard = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), timing.silenceMs);
    };
    let refused = false;
    try {
      heard();
      const sent = Date.now();
      const response = await fetch(this.address(), {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal: connection.signal,
      });
      serverClock.observe(response.headers.get("date"), sent, Date.now());
      if (!response.ok || response.body === null) {
        refused = response.status >= 400 && response.status < 500 && response.status !== 429;
        throw new Error(`the stream was refused: ${response.status}`);
      }
      began = Date.now();
      await this.read(response.body, heard);
    } catch {
      // Whatever it was, it is tried again below.
    } finally {
      clearTimeout(silence);
    }
    // Somebody else has taken over.
    if (this.connection !== connection || !this.running) return;
    this.connection = null;
    this.missed = this.wasLive;
    if (Date.now() - began >= timing.goodMs) this.failures = 0;
    this.failures += 1;
    this.state.value = refused ? "closed" : "stale";
    const longest = refused
      ? timing.closedRetryMs
      : Math.min(timing.firstRetryMs * 2 ** (this.failures - 1), timing.lastRetryMs);
    // Jitter: a coordinator that comes back is not met by everybody in the same instant.
    this.schedule(longest * (0.5 + Math.random() / 2));
  }

  private async read(body: ReadableStream<Uint8Array>, heard: () => void): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = createParser({
      maxBufferSize: MESSAGE_CHARS_MAX,
      onEvent: ({ data }) => this.message(JSON.parse(data) as StreamMessage),
      onError: (error) => {
        if (error.type === "max-buffer-size-exceeded") throw error;
      },
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      parser.feed(decoder.decode(value, { stream: true }));
    }
  }

  private message(message: StreamMessage): void {
    switch (message.type) {
      case "connected":
        this.connected(message.server ?? null);
        return;
      case "executions":
        for (const listener of [...this.executionListeners])
          listener(message.executions, message.more === true);
        return;
      case "workers":
      case "queues":
      case "catalogue":
        for (const listener of [...(this.changeListeners.get(message.type) ?? [])]) listener();
        return;
      case "log": {
        const follow = this.logs.get(message.execution_id);
        const last = message.lines[message.lines.length - 1];
        if (follow === undefined || last === undefined) return;
        follow.after = Math.max(follow.after, last.seq);
        for (const follower of [...follow.followers]) follower.lines(message.lines);
        return;
      }
      case "missing":
        for (const follower of [...(this.logs.get(message.execution_id)?.followers ?? [])])
          follower.event({ type: "missing" });
        return;
      case "event":
        for (const follower of [...(this.logs.get(message.execution_id)?.followers ?? [])])
          follower.event(message.event);
        return;
    }
  }

  private connected(server: ServerInfo | null): void {
    this.failures = 0;
    const before = this.server.peek();
    if (server !== null) {
      if (before !== null && before.version !== server.version) this.outdated.value = true;
      this.server.value = server;
    }
    this.state.value = "live";
    if (this.missed) for (const listener of [...this.resyncListeners]) listener();
    this.missed = false;
    this.wasLive = true;
    // What was asked for while this connection was being made.
    this.changed();
  }
}

/** The hub of this tab. */
export const hub = new StreamHub();
