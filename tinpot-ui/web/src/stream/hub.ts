// The event stream of a page. All parts of a page subscribe here to topics and logs, and all pages
// of a browser share one connection to the server: see `links.ts` and `broker.ts`.
import { effect, signal } from "@preact/signals";
import { serverClock } from "../api/clock";
import { gate } from "../api/gate";
import type { ExecutionEvent, ExecutionSummary, LogLine, StreamMessage } from "../api/types";
import { serverUrl } from "../app/base-path";
import { type Link, type LinkListener, ways } from "./links";
import type { FromBroker, ServerInfo, StreamState, ToBroker, Topic } from "./messages";

export interface LogFollower {
  /** Takes new lines, in order and each once. */
  lines(lines: LogLine[]): void;
  /** Takes any other event of the execution: see the contract of `/api/stream`. */
  event(event: ExecutionEvent): void;
}

const timing = {
  /** The time that changes of subscriptions are gathered into one message. */
  settleMs: 10,
  /** The time after which a hidden page leaves the stream: a glance at another tab is shorter. */
  hiddenMs: 2_000,
  /** The interval at which the page shows the broker that it is still there. */
  aliveMs: 10_000,
  /** The interval at which an offline page looks for the server. */
  probeMs: 3_000,
};

interface Follow {
  after: number;
  followers: Set<LogFollower>;
}

export class StreamHub {
  readonly state = signal<StreamState>("idle");
  readonly server = signal<ServerInfo | null>(null);
  /** The browser's time at which the connection was lost. */
  readonly lastLive = signal<number | null>(null);
  /** True once the server has another version than the one that served this page. */
  readonly outdated = signal(false);

  private readonly topics = new Map<Topic, number>();
  private attending = 0;
  private readonly logs = new Map<string, Follow>();
  private readonly executionListeners = new Set<
    (list: ExecutionSummary[], more: boolean) => void
  >();
  private readonly changeListeners = new Map<Topic, Set<() => void>>();
  private readonly resyncListeners = new Set<() => void>();

  private link: Link | null = null;
  private way = 0;
  /** True once the broker of the link has answered. */
  private answered = false;
  private awaiting = false;
  private alive: ReturnType<typeof setInterval> | null = null;
  private settling: ReturnType<typeof setTimeout> | null = null;
  private hiding: ReturnType<typeof setTimeout> | null = null;
  private probing: ReturnType<typeof setInterval> | null = null;
  private running = false;
  private unwatch = (): void => undefined;
  /** The state of the connection, which an offline page does not show. */
  private connection: StreamState = "idle";
  private offline = false;
  private wasLive = false;
  /** True if events may have been missed since the page was live. */
  private missed = false;

  start(): void {
    this.running = true;
    document.addEventListener("visibilitychange", this.visibilityChanged);
    window.addEventListener("pagehide", this.leave);
    window.addEventListener("pageshow", this.changed);
    window.addEventListener("online", this.online);
    window.addEventListener("offline", this.probe);
    this.unwatch = effect(() => {
      void gate.closed.value;
      this.changed();
    });
  }

  stop(): void {
    this.running = false;
    this.unwatch();
    document.removeEventListener("visibilitychange", this.visibilityChanged);
    window.removeEventListener("pagehide", this.leave);
    window.removeEventListener("pageshow", this.changed);
    window.removeEventListener("online", this.online);
    window.removeEventListener("offline", this.probe);
    if (this.probing !== null) clearInterval(this.probing);
    this.probing = null;
    this.leave();
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

  /** Shows the state of the server, with a connection as long as other pages can share it. */
  attend(): () => void {
    this.attending += 1;
    this.changed();
    return () => {
      this.attending -= 1;
      this.changed();
    };
  }

  /** Follows the log of an execution after a line. Several followers may share a log. */
  followLog(id: string, after: number, follower: LogFollower): () => void {
    let follow = this.logs.get(id);
    if (follow === undefined) {
      follow = { after, followers: new Set() };
      this.logs.set(id, follow);
    } else {
      // A new follower may be behind: the others receive lines again, which `lines` drops by number.
      follow.after = Math.min(follow.after, after);
    }
    let last = after;
    const filtered: LogFollower = {
      lines: (lines) => {
        const fresh = lines.filter((line) => line.seq > last);
        last = fresh[fresh.length - 1]?.seq ?? last;
        if (fresh.length > 0) follower.lines(fresh);
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

  private readonly changed = (): void => {
    if (!this.running) return;
    this.settling ??= setTimeout(() => {
      this.settling = null;
      this.subscribe();
    }, timing.settleMs);
  };

  /** Sends the subscriptions of the page, or leaves the stream without any. */
  private subscribe(): void {
    if (!this.running) return;
    const topics = [...this.topics].filter(([, users]) => users > 0).map(([topic]) => topic);
    const wanted: ToBroker = {
      type: "want",
      server: serverUrl(),
      topics: topics.sort(),
      logs: [...this.logs].map(([id, { after }]) => [id, after]),
      attend: this.attending > 0,
    };
    // A signed-out page opens its stream again after the next sign-in.
    const isNothing =
      gate.closed.peek() || (topics.length === 0 && this.logs.size === 0 && !wanted.attend);
    if (isNothing || document.visibilityState === "hidden") {
      if (isNothing) this.leave();
      else this.visibilityChanged();
      if (isNothing) this.setConnection("idle");
      return;
    }
    this.link ??= this.open();
    this.link.post(wanted);
  }

  private open(): Link {
    const all = ways();
    const openWay = all[Math.min(this.way, all.length - 1)] ?? all[0];
    if (openWay === undefined) throw new Error("there is no way to the broker");
    const current = (): boolean => this.link === link;
    let link: Link | null = null;
    const fail = (): void => {
      if (!current()) return;
      this.leave();
      this.way += 1;
      this.changed();
    };
    const again = (): void => {
      if (!current()) return;
      this.leave();
      this.changed();
    };
    const listener: LinkListener = {
      receive: (message) => {
        if (current()) this.receive(message);
      },
      renewed: () => {
        this.missed = this.wasLive;
        this.changed();
      },
      lost: again,
      failed: fail,
    };
    [this.answered, this.awaiting] = [false, false];
    if (this.connection === "idle") this.setConnection("connecting");
    try {
      link = openWay(listener);
    } catch {
      // The browser denies this way, as for frames whose storage is blocked.
      this.way += 1;
      return this.open();
    }
    this.alive = setInterval(() => {
      if (this.awaiting) {
        if (this.answered) again();
        else fail();
        return;
      }
      this.awaiting = true;
      link?.post({ type: "alive" });
    }, timing.aliveMs);
    return link;
  }

  /** Leaves the stream until the next change of the page. */
  private readonly leave = (): void => {
    for (const timer of [this.settling, this.hiding]) if (timer !== null) clearTimeout(timer);
    [this.settling, this.hiding] = [null, null];
    if (this.alive !== null) clearInterval(this.alive);
    this.alive = null;
    const { link } = this;
    this.link = null;
    if (link === null) return;
    link.close();
    this.missed = this.wasLive;
  };

  private readonly visibilityChanged = (): void => {
    if (document.visibilityState === "hidden") {
      this.hiding ??= setTimeout(this.leave, timing.hiddenMs);
      return;
    }
    if (this.hiding !== null) clearTimeout(this.hiding);
    this.hiding = null;
    this.changed();
    this.link?.post({ type: "retry" });
  };

  private readonly online = (): void => {
    this.link?.post({ type: "retry" });
    if (this.offline) this.probe();
  };

  /** Asks for the server: the page has lost the network, but a server on this machine stays. */
  private readonly probe = (): void => {
    this.probing ??= setInterval(this.probe, timing.probeMs);
    const request = new AbortController();
    const timer = setTimeout(() => request.abort(), timing.probeMs - 100);
    fetch(`${serverUrl()}/health`, { cache: "no-store", signal: request.signal })
      .then(
        () => this.setOffline(false),
        () => this.setOffline(true),
      )
      .finally(() => clearTimeout(timer));
  };

  private setOffline(offline: boolean): void {
    if (!this.running) return;
    if (!offline && this.probing !== null) {
      clearInterval(this.probing);
      this.probing = null;
    }
    if (this.offline === offline) return;
    this.offline = offline;
    if (offline) this.missed = this.wasLive;
    this.setConnection(this.connection);
    this.resync();
  }

  private setConnection(state: StreamState): void {
    this.connection = state;
    if (this.state.peek() === "live") this.lastLive.value = Date.now();
    this.state.value = this.offline && state !== "idle" ? "stale" : state;
    if (this.state.peek() === "live") this.wasLive = true;
  }

  /** Lets the page load again what it may have missed, once it is live. */
  private resync(): void {
    if (!this.missed || this.state.peek() !== "live") return;
    this.missed = false;
    for (const listener of [...this.resyncListeners]) listener();
  }

  private receive(message: FromBroker): void {
    [this.answered, this.awaiting] = [true, false];
    switch (message.type) {
      case "state": {
        const { server } = message;
        const before = this.server.peek();
        if (message.state === "live" && server !== null) {
          if (before !== null && before.version !== server.version) this.outdated.value = true;
          this.server.value = server;
        }
        if (message.missed && this.wasLive) this.missed = true;
        this.setConnection(message.state);
        if (message.state === "denied") gate.doubt();
        this.resync();
        return;
      }
      case "clock":
        serverClock.observe(message.date, message.sent, message.received);
        return;
      case "unknown":
        this.missed = this.wasLive;
        this.changed();
        return;
      case "message":
        this.message(message.message);
        return;
    }
  }

  private message(message: StreamMessage): void {
    switch (message.type) {
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
      case "event": {
        const event: ExecutionEvent = message.type === "event" ? message.event : message;
        for (const follower of [...(this.logs.get(message.execution_id)?.followers ?? [])])
          follower.event(event);
        return;
      }
    }
  }
}

/** The hub of this page. */
export const hub = new StreamHub();
