// Shares one connection to the server between pages. Browsers allow six HTTP/1.1 connections per
// host, so the broker of a browser runs in a shared worker, or in one of the pages.
import type { ExecutionEvent, LogLine, StreamMessage } from "../api/types";
import { Feed } from "./feed";
import { LogTail } from "./log-tail";
import type { FromBroker, ToBroker, Topic } from "./messages";

/** The number of logs that one connection follows. */
export const LOGS_MAX = 32;
/** The time that changes of subscriptions are gathered into one connection. */
const SETTLE_MS = 30;
/** The interval at which the followed logs take turns if there are more than {@link LOGS_MAX}. */
const TURN_MS = 4_000;
/** The silence after which a page is forgotten, as after a crash: pages send `alive` every 10 s. */
const GONE_MS = 45_000;
const SWEEP_MS = 15_000;

type Send = (message: FromBroker) => void;

interface Client {
  send: Send;
  attend: boolean;
  topics: Set<Topic>;
  /** The followed executions, each with the last line that was sent to the page. */
  logs: Map<string, number>;
  /** Topics that were not part of the connection when the page subscribed to them. */
  late: Set<Topic>;
  /** Logs whose lines begin with another connection: the open one is ahead of the page. */
  behind: Set<string>;
  heard: number;
}

/** An execution that the connection follows. */
interface Followed {
  tail: LogTail;
  /** The latest event of each type that describes a state, for pages that join later. */
  latest: Map<string, ExecutionEvent>;
}

const STATES = ["status", "progress", "complete"];

export class Broker {
  private readonly clients = new Map<string, Client>();
  private readonly followed = new Map<string, Followed>();
  private server = "";
  /** The subscriptions of the connection, and of the one that is being opened. */
  private topics = new Set<Topic>();
  private nextTopics = new Set<Topic>();
  private connected: string | null = null;
  /** The logs that the connection which is being opened repeats for pages behind. */
  private covered = new Map<Client, string[]>();
  private turn = 0;
  private rotation: ReturnType<typeof setInterval> | null = null;
  private sweep: ReturnType<typeof setInterval> | null = null;

  /** `shared` is false if the broker serves a single page, which then holds no idle connection. */
  constructor(private readonly shared: boolean) {}

  private readonly feed = new Feed({
    address: () => this.address(),
    opened: () => {
      this.topics = this.nextTopics;
      for (const client of this.clients.values()) {
        for (const id of this.covered.get(client) ?? []) client.behind.delete(id);
        this.refresh(client);
      }
      this.changed();
    },
    message: (message) => this.message(message),
    state: (state, server, missed) => {
      for (const client of this.clients.values())
        client.send({ type: "state", state, server, missed });
    },
    clock: (date, sent, received) => {
      for (const client of this.clients.values())
        client.send({ type: "clock", date, sent, received });
    },
  });

  /** Takes a message of a page. `send` reaches that page. */
  receive(id: string, send: Send, message: ToBroker): void {
    const client = this.clients.get(id);
    if (client !== undefined) client.heard = Date.now();
    switch (message.type) {
      case "want":
        this.want(id, send, message);
        return;
      case "leave":
        if (this.clients.delete(id)) this.changed();
        return;
      case "alive":
        send({ type: client === undefined ? "unknown" : "alive" });
        return;
      case "retry":
        this.feed.retryNow();
        return;
    }
  }

  close(): void {
    this.clients.clear();
    this.stop();
  }

  private want(id: string, send: Send, wanted: ToBroker & { type: "want" }): void {
    const known = this.clients.get(id);
    const client: Client = {
      send,
      attend: wanted.attend,
      topics: new Set(wanted.topics),
      logs: new Map(wanted.logs),
      late: new Set([...(known?.late ?? [])].filter((topic) => wanted.topics.includes(topic))),
      behind: new Set(),
      heard: Date.now(),
    };
    this.server = wanted.server;
    this.clients.set(id, client);
    const isLive = this.feed.state === "live";
    for (const topic of wanted.topics)
      if (known?.topics.has(topic) !== true && !(isLive && this.topics.has(topic)))
        client.late.add(topic);
    const { state: current, server } = this.feed;
    const state = current === "idle" && this.wanted() !== null ? "connecting" : current;
    send({ type: "state", state, server, missed: false });
    for (const [log] of wanted.logs) this.join(client, log, known?.logs.has(log) !== true);
    this.sweep ??= setInterval(() => this.dropGone(), SWEEP_MS);
    this.changed();
  }

  /** Sends what a page lacks of a log that the connection follows already. */
  private join(client: Client, id: string, isNew: boolean): void {
    const followed = this.followed.get(id);
    if (followed === undefined) return;
    const lines = followed.tail.since(client.logs.get(id) ?? 0);
    if (lines !== null) {
      this.lines(client, id, lines);
    } else {
      // The lines are no longer kept, so another connection has to repeat them.
      client.behind.add(id);
      this.connected = null;
    }
    if (!isNew) return;
    for (const event of followed.latest.values())
      client.send({ type: "message", message: eventOf(id, event) });
  }

  /** Lets a page load again what may have changed before the connection included its topics. */
  private refresh(client: Client): void {
    for (const topic of client.late) {
      if (!this.topics.has(topic)) continue;
      client.late.delete(topic);
      const message: StreamMessage =
        topic === "executions" ? { type: topic, executions: [], more: true } : { type: topic };
      client.send({ type: "message", message });
    }
  }

  private dropGone(): void {
    const now = Date.now();
    for (const [id, client] of this.clients)
      if (now - client.heard > GONE_MS) this.clients.delete(id);
    this.changed();
  }

  /** Opens a connection if the open one does not have the wanted subscriptions. */
  private changed(): void {
    const wanted = this.wanted();
    if (wanted === null) {
      this.stop();
      return;
    }
    // There are never more than two connections: one that is live, and one that will replace it.
    if (this.connected !== wanted && !this.feed.retrying && !this.feed.opening)
      this.feed.schedule(SETTLE_MS);
  }

  private stop(): void {
    this.feed.close();
    this.connected = null;
    this.topics = new Set();
    this.covered.clear();
    this.followed.clear();
    for (const timer of [this.rotation, this.sweep]) if (timer !== null) clearInterval(timer);
    [this.rotation, this.sweep] = [null, null];
    // Pages that attend show that there is no connection.
    for (const client of this.clients.values())
      client.send({ type: "state", state: "idle", server: this.feed.server, missed: false });
  }

  private wantedTopics(): Topic[] {
    return [...new Set([...this.clients.values()].flatMap(({ topics }) => [...topics]))].sort();
  }

  /** Returns the positions of all followed logs, each the earliest of its pages. */
  private positions(): Map<string, number> {
    const positions = new Map<string, number>();
    for (const { logs } of this.clients.values())
      for (const [id, after] of logs)
        positions.set(id, Math.min(after, positions.get(id) ?? Infinity));
    return positions;
  }

  /** Returns the subscriptions as a text to compare, or null if there are none. */
  private wanted(): string | null {
    const topics = this.wantedTopics();
    const logs = [...this.positions().keys()];
    const attended = this.shared && [...this.clients.values()].some(({ attend }) => attend);
    if (topics.length === 0 && logs.length === 0 && !attended) return null;
    return [...topics, ...this.inTurn(logs)].join();
  }

  /** Returns the logs that are followed now. All of them are followed in turns if there are many. */
  private inTurn(logs: string[]): string[] {
    if (logs.length <= LOGS_MAX) return logs;
    const from = (this.turn * LOGS_MAX) % logs.length;
    return [...logs.slice(from), ...logs.slice(0, from)].slice(0, LOGS_MAX);
  }

  private address(): string | null {
    const wanted = this.wanted();
    if (wanted === null) return null;
    this.connected = wanted;
    this.nextTopics = new Set(this.wantedTopics());
    const positions = this.positions();
    this.rotate(positions.size > LOGS_MAX);
    const logs = this.inTurn([...positions.keys()]);
    for (const id of this.followed.keys()) if (!logs.includes(id)) this.followed.delete(id);
    for (const id of logs) {
      const after = positions.get(id) ?? 0;
      const known = this.followed.get(id);
      // The tail has no holes: it begins again if the connection begins after its end.
      if (known === undefined || known.tail.last < after)
        this.followed.set(id, { tail: new LogTail(after), latest: known?.latest ?? new Map() });
    }
    this.covered = new Map([...this.clients.values()].map((one) => [one, [...one.behind]]));
    const query = new URLSearchParams();
    for (const topic of this.nextTopics) query.set(topic, "true");
    // The server refuses a stream without topics.
    query.set("catalogue", "true");
    if (logs.length > 0) query.set("log", logs.map((id) => `${id}:${positions.get(id)}`).join());
    return `${this.server}/api/stream?${query}`;
  }

  private rotate(on: boolean): void {
    if (!on && this.rotation !== null) {
      clearInterval(this.rotation);
      this.rotation = null;
    } else if (on) {
      this.rotation ??= setInterval(() => {
        this.turn += 1;
        this.changed();
      }, TURN_MS);
    }
  }

  private message(message: StreamMessage): void {
    switch (message.type) {
      case "executions":
      case "workers":
      case "queues":
      case "catalogue":
        for (const client of this.clients.values())
          if (client.topics.has(message.type)) client.send({ type: "message", message });
        return;
      case "log":
        this.followed.get(message.execution_id)?.tail.add(message.lines);
        for (const client of this.clients.values())
          if (client.logs.has(message.execution_id) && !client.behind.has(message.execution_id))
            this.lines(client, message.execution_id, message.lines);
        return;
      case "missing":
      case "event": {
        const { execution_id } = message;
        if (message.type === "event" && STATES.includes(message.event.type))
          this.followed.get(execution_id)?.latest.set(message.event.type, message.event);
        for (const client of this.clients.values())
          if (client.logs.has(execution_id)) client.send({ type: "message", message });
        return;
      }
    }
  }

  /** Sends the lines that a page does not have yet. */
  private lines(client: Client, id: string, lines: readonly LogLine[]): void {
    const after = client.logs.get(id) ?? 0;
    const fresh =
      (lines[0]?.seq ?? 0) > after ? [...lines] : lines.filter(({ seq }) => seq > after);
    const last = fresh[fresh.length - 1];
    if (last === undefined) return;
    client.logs.set(id, last.seq);
    client.send({ type: "message", message: { type: "log", execution_id: id, lines: fresh } });
  }
}

function eventOf(execution_id: string, event: ExecutionEvent): StreamMessage {
  return { type: "event", execution_id, event } as StreamMessage;
}
