// The connection to the event stream of the server. It runs in a page or in a shared worker.
import { createParser } from "eventsource-parser";
import type { StreamMessage } from "../api/types";
import type { ServerInfo, StreamState } from "./messages";

const timing = {
  /** The longest silence: heartbeats arrive every 15 s, and two may be late. */
  silenceMs: 40_000,
  /** The interval at which silence is measured by the clock, which goes on while a laptop sleeps. */
  checkMs: 5_000,
  firstRetryMs: 500,
  lastRetryMs: 15_000,
  closedRetryMs: 30_000,
  /** The time after which a connection counts as stable, which resets the delay of retries. */
  goodMs: 5_000,
};

/** The longest message; a longer one ends the connection. */
const MESSAGE_CHARS_MAX = 64 * 1024 * 1024;

export interface FeedListener {
  /** Returns the address to connect to, or null if nothing is subscribed to. */
  address(): string | null;
  /** A connection is established, and an earlier one will be closed. */
  opened(): void;
  message(message: StreamMessage): void;
  state(state: StreamState, server: ServerInfo | null, missed: boolean): void;
  clock(date: string | null, sent: number, received: number): void;
}

interface Connection {
  abort: AbortController;
  /** True once the server has sent its first event. */
  live: boolean;
  /** The browser's time of the last bytes. */
  heard: number;
}

export class Feed {
  state: StreamState = "idle";
  server: ServerInfo | null = null;

  /** The open connections, newest first: a replaced one stays until its successor is live. */
  private connections: Connection[] = [];
  private timer: ReturnType<typeof setTimeout> | null = null;
  private check: ReturnType<typeof setInterval> | null = null;
  private failures = 0;
  private missed = false;

  constructor(private readonly listener: FeedListener) {}

  /** Is true while the connection is lost or refused, and a timer opens it again. */
  get retrying(): boolean {
    return this.failures > 0;
  }

  /** Is true while a connection is being opened: another one has to wait. */
  get opening(): boolean {
    return this.connections.some(({ live }) => !live);
  }

  /** Opens a connection to the current address after a delay; it replaces an open one. */
  schedule(delayMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      void this.connect();
    }, delayMs);
  }

  /** Opens a lost connection at once. */
  retryNow(): void {
    if (this.retrying && this.connections.length === 0) this.schedule(0);
    this.dropSilent();
  }

  close(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (this.check !== null) clearInterval(this.check);
    this.check = null;
    const open = this.connections;
    this.connections = [];
    for (const one of open) one.abort.abort();
    [this.failures, this.missed, this.state] = [0, false, "idle"];
  }

  private async connect(): Promise<void> {
    const address = this.listener.address();
    if (address === null) {
      this.close();
      return;
    }
    // A connection that never became live has no subscriptions to keep.
    for (const one of this.connections.filter(({ live }) => !live)) this.drop(one);
    const own: Connection = { abort: new AbortController(), live: false, heard: Date.now() };
    this.connections.unshift(own);
    this.check ??= setInterval(() => this.dropSilent(), timing.checkMs);
    if (this.state === "idle") this.set("connecting", false);
    let began = Infinity;
    let refused: "closed" | "denied" | null = null;
    try {
      const sent = Date.now();
      const response = await fetch(address, {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal: own.abort.signal,
      });
      this.listener.clock(response.headers.get("date"), sent, Date.now());
      if (!response.ok || response.body === null) {
        const { status } = response;
        if (status === 401) refused = "denied";
        else if (status >= 400 && status < 500 && status !== 429) refused = "closed";
        throw new Error(`the stream was refused: ${response.status}`);
      }
      began = Date.now();
      await this.read(response.body, own);
    } catch {
      // Every failure is retried below.
    }
    this.ended(own, Date.now() - began >= timing.goodMs, refused);
  }

  private ended(own: Connection, stable: boolean, refused: "closed" | "denied" | null): void {
    // The connection was replaced or closed.
    if (!this.drop(own)) return;
    if (own.live) this.missed = true;
    const kept = this.connections[0];
    // A successor is being opened, which decides about the state.
    if (own.live && kept !== undefined && !kept.live) {
      this.set("stale", false);
      return;
    }
    if (stable) this.failures = 0;
    this.failures += 1;
    if (kept === undefined) this.set(refused ?? "stale", false);
    const longest =
      refused !== null
        ? timing.closedRetryMs
        : Math.min(timing.firstRetryMs * 2 ** (this.failures - 1), timing.lastRetryMs);
    // Jitter, so that not all browsers reconnect to a restarted coordinator at the same moment.
    this.schedule(longest * (0.5 + Math.random() / 2));
  }

  private drop(one: Connection): boolean {
    const at = this.connections.indexOf(one);
    if (at < 0) return false;
    this.connections.splice(at, 1);
    one.abort.abort();
    return true;
  }

  private dropSilent(): void {
    const now = Date.now();
    for (const one of this.connections) if (now - one.heard > timing.silenceMs) one.abort.abort();
  }

  private set(state: StreamState, missed: boolean): void {
    this.state = state;
    this.listener.state(state, this.server, missed);
  }

  private async read(body: ReadableStream<Uint8Array>, own: Connection): Promise<void> {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const parser = createParser({
      maxBufferSize: MESSAGE_CHARS_MAX,
      onEvent: ({ data }) => this.message(JSON.parse(data) as StreamMessage, own),
      onError: (error) => {
        if (error.type === "max-buffer-size-exceeded") throw error;
      },
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done || own.abort.signal.aborted) return;
      own.heard = Date.now();
      parser.feed(decoder.decode(value, { stream: true }));
    }
  }

  private message(message: StreamMessage, own: Connection): void {
    if (message.type !== "connected") {
      this.listener.message(message);
      return;
    }
    own.live = true;
    this.failures = 0;
    this.server = message.server ?? this.server;
    for (const older of this.connections.filter((one) => one !== own)) this.drop(older);
    const { missed } = this;
    this.missed = false;
    this.listener.opened();
    this.set("live", missed);
  }
}
