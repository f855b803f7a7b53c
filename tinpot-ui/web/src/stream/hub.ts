// The event stream of a tab. Browsers allow six connections per host, so all parts of a page share
// one. Each subscribes to topics and logs, and the hub reconnects with the positions of its logs
// when the subscriptions change or the connection is lost.
import { signal } from "@preact/signals";
import { createParser } from "eventsource-parser";
import { queryText } from "../api/client";
import { serverClock } from "../api/clock";
import type { ExecutionEvent, ExecutionSummary, LogLine, StreamMessage } from "../api/types";
import { serverUrl } from "../app/base-path";

/**
 * The state of the stream: `stale` after the connection was lost, when the page may be out of date,
 * and `closed` if the server refuses the stream, which is requested again from time to time.
 */
export type StreamState = "connecting" | "live" | "stale" | "closed";

export interface ServerInfo {
  version: string;
  instance: string;
}

export type Topic = "executions" | "workers" | "queues" | "catalogue";

export interface LogFollower {
  /** Takes new lines, in order and each once. */
  lines(lines: LogLine[]): void;
  /** Takes any other event of the execution: see the contract of `/api/stream`. */
  event(event: ExecutionEvent): void;
}

/** The number of logs that one stream follows. */
export const LOGS_MAX = 8;

const timing = {
  /** The time that changes of subscriptions are gathered into one connection. */
  settleMs: 30,
  /** The longest silence: heartbeats arrive every 15 s, and two may be late. */
  silenceMs: 40_000,
  firstRetryMs: 500,
  lastRetryMs: 15_000,
  closedRetryMs: 30_000,
  /** The time after which a connection counts as stable, which resets the delay of retries. */
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
  /** True once the server has another version than the one that served this page. */
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
    window.addEventListener("online", this.retryNow);
    document.addEventListener("visibilitychange", this.retryNow);
    this.schedule(timing.settleMs);
  }

  stop(): void {
    this.running = false;
    window.removeEventListener("online", this.retryNow);
    document.removeEventListener("visibilitychange", this.retryNow);
    if (this.timer !== null) clearTimeout(this.timer);
    this.connection?.abort();
    this.connection = null;
  }

  /** Listens for changed executions. `more` is true if some were omitted: lists must reload. */
  onExecutions(listener: (list: ExecutionSummary[], more: boolean) => void): () => void {
    this.executionListeners.add(listener);
    const leave = this.want("executions");
    return () => {
      this.executionListeners.delete(listener);
      leave();
    };
  }

  /** Listens for changes of the workers, the queues or the catalogue. */
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

  /** Listens for the end of an interruption, whose events are lost except for lines of logs. */
  onResync(listener: () => void): () => void {
    this.resyncListeners.add(listener);
    return () => this.resyncListeners.delete(listener);
  }

  /** Follows the log of an execution after a line. Several followers may share a log. */
  followLog(id: string, after: number, follower: LogFollower): () => void {
    let follow = this.logs.get(id);
    if (follow === undefined) {
      follow = { after, followers: new Set() };
      this.logs.set(id, follow);
    } else if (after < follow.after) {
      // The new follower is behind: the others receive lines again, which `lines` drops by number.
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

  /** Returns the subscriptions as a text to compare, without the positions of logs. */
  private wanted(): string {
    const topics = [...this.topics].filter(([, users]) => users > 0).map(([topic]) => topic);
    return [...topics.sort(), ...[...this.logs.keys()].slice(0, LOGS_MAX)].join();
  }

  private changed(): void {
    if (this.running && this.failures === 0) this.schedule(timing.settleMs, true);
  }

  private readonly retryNow = (): void => {
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
    // The server refuses a stream without topics, and the header shows the state of the stream.
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
    const resetSilence = (): void => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), timing.silenceMs);
    };
    let refused = false;
    try {
      resetSilence();
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
      await this.read(response.body, resetSilence);
    } catch {
      // Every failure is retried below.
    } finally {
      clearTimeout(silence);
    }
    // A newer connection has replaced this one.
    if (this.connection !== connection || !this.running) return;
    this.connection = null;
    this.missed = this.wasLive;
    if (Date.now() - began >= timing.goodMs) this.failures = 0;
    this.failures += 1;
    this.state.value = refused ? "closed" : "stale";
    const longest = refused
      ? timing.closedRetryMs
      : Math.min(timing.firstRetryMs * 2 ** (this.failures - 1), timing.lastRetryMs);
    // Jitter, so that not all browsers reconnect to a restarted coordinator at the same moment.
    this.schedule(longest * (0.5 + Math.random() / 2));
  }

  private async read(body: ReadableStream<Uint8Array>, resetSilence: () => void): Promise<void> {
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
      resetSilence();
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
    // Subscriptions may have changed while this connection was opened.
    this.changed();
  }
}

/** The hub of this tab. */
export const hub = new StreamHub();
