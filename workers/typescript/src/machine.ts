/**
 * The decisions of a worker: which attempts to run, when to end them, what to report until when.
 *
 * The machine has no clock and does no I/O. Its caller passes the time in milliseconds, and performs
 * what the machine asks of its `Host`.
 */

import { Epoch, Fence, fences, number, object, readDispatch } from "./messages.js";
import type { Dispatch, Fields, Message } from "./messages.js";

const RESEND = 1000;
const ACCEPT_DELAY = 5;
const WAITING = 500;
const WAITING_PER_SLOT = 256;
/** The time between two looks at the attempts that are held. */
const LOOK = 100;
/** The beats that another store must have heard after the last one that the present one echoed. */
const SILENT_BEATS = 3;
const FORMER = 8;
const SHORT_GRACE = 2000;

/** The reason why an attempt is asked to end. */
export type StopReason = "cancelled" | "timed_out" | "fenced" | "shutting_down";

/** The end of an attempt in its JSON form. */
export type Outcome = "cancelled" | "timed_out" | { succeeded: unknown } | { failed: Fields };

/** The caller of a machine, which has clock, transport and attempts. */
export interface Host {
  send(message: Message): void;
  /** Starts an attempt, and calls `finished` once nothing of it is alive. */
  start(dispatch: Dispatch): void;
  /** Asks an attempt to end, and kills it after the grace period. */
  stop(key: string, reason: StopReason, grace: number): void;
  /** Drops the log of an attempt. */
  forget(key: string): void;
  /** Notes that the coordinator asks the worker to drain. */
  drainRequested(): void;
}

/** The description of a worker. */
export interface Profile {
  id: string;
  name: string;
  slots: number;
  queues: string[];
  actions: Fields[];
  version: string;
  startedAt?: number;
}

interface Held {
  dispatch: Dispatch;
  phase: "waiting" | "running" | "stopping" | "ended";
  since: number;
  /** The value of `running` in the last `accept`. */
  said: boolean | undefined;
  reason: StopReason | undefined;
  dropped: boolean;
  /** True if the end of the lease has replaced a longer grace period. */
  hurried: boolean;
  report: Message | undefined;
  sentAt: number;
}

interface Former {
  epoch: Epoch;
  seen: Map<bigint, string>;
  settled: bigint;
}

/** The worker's side of the protocol. */
export class Machine {
  epoch: Epoch | undefined;
  /** The attempts by the texts of their fences, in the order of arrival. */
  readonly held = new Map<string, Held>();
  draining = false;

  private waiting: string[] = [];
  private running = 0;
  private endAt = Infinity;
  private lastBeat = 0;
  private beats: { seq: number; at: number }[] = [];
  private nextBeat = Infinity;
  private lease = 60_000;
  private leaseUntil = -Infinity;
  private termsOf: Epoch | undefined;
  private beatInterval = 5000;
  private lastEcho = 0;
  private settled = 0n;
  /**
   * The fences of this epoch above `settled` that were handled, each with the reason of its
   * rejection. A cancel that arrives before its dispatch leaves its fence here, too.
   */
  private seen = new Map<bigint, string>();
  private former: Former[] = [];
  private accepts: { at: number; key: string }[] = [];
  private lookedAt = -Infinity;

  constructor(
    private readonly profile: Profile,
    private readonly host: Host,
  ) {}

  /** Introduces the worker on a new connection, and repeats every report. */
  linkUp(now: number): void {
    this.hello(now);
    for (const one of this.held.values()) {
      if (one.phase === "ended") this.sendReport(now, one);
    }
  }

  /** Returns when `tick` must be called. */
  wakeAt(): number {
    const look = this.held.size > 0 ? this.lookedAt + LOOK : Infinity;
    return Math.min(this.nextBeat, this.endAt, this.accepts[0]?.at ?? Infinity, look);
  }

  /** Performs everything that is due. */
  tick(now: number): void {
    this.lookedAt = now;
    for (const one of [...this.held.values()]) this.look(now, one);
    while (this.accepts[0] !== undefined && this.accepts[0].at <= now) {
      this.sendAccept(this.held.get(this.accepts[0].key), false);
      this.accepts.shift();
    }
    if (this.nextBeat <= now) this.beat(now);
    if (this.endAt <= now) {
      this.endAt = Infinity;
      for (const one of this.held.values()) {
        this.stop(one, "shutting_down", Math.min(one.dispatch.grace, SHORT_GRACE));
      }
    }
  }

  private look(now: number, one: Held): void {
    const { retryable, timeout, grace } = one.dispatch;
    if (one.phase === "ended") {
      if (one.sentAt + RESEND <= now) this.sendReport(now, one);
    } else if (retryable && this.leaseUntil - this.margin(one.dispatch) <= now) {
      // Another worker may run it once the lease is over, so it must be dead by then.
      if (one.phase === "waiting") this.giveBack(now, one);
      else if (one.phase === "running") {
        this.stop(one, "fenced", Math.min(grace, this.lease / 3));
      } else if (one.reason !== undefined && grace > this.lease / 3 && !one.hurried) {
        one.hurried = true;
        if (one.reason !== "fenced") this.host.stop(one.dispatch.key, one.reason, this.lease / 3);
      }
    } else if (one.phase === "waiting") {
      if (one.since + WAITING <= now) this.giveBack(now, one);
    } else if (timeout !== undefined && one.since + timeout <= now) {
      this.stop(one, "timed_out", grace);
    }
  }

  private margin(dispatch: Dispatch): number {
    return Math.min(dispatch.grace, this.lease / 3) + this.lease / 20;
  }

  private epochField(): Fields {
    return this.epoch === undefined ? {} : { epoch: this.epoch.toString() };
  }

  private hello(now: number): void {
    const { name, queues, slots, actions, version, startedAt } = this.profile;
    const offer = { actions };
    const hello: Fields = { name, queues, groups: [], slots: this.draining ? 0 : slots, offer };
    if (startedAt !== undefined) hello["started_at"] = startedAt;
    const seq = this.lastBeat + 1;
    this.host.send({ hello: { ...hello, version, seq, ...this.epochField() } });
    this.beat(now);
  }

  private beat(now: number): void {
    this.lastBeat += 1;
    this.beats.push({ seq: this.lastBeat, at: now });
    // The echo of an older beat could not extend the lease.
    this.beats = this.beats.filter((beat) => beat.at >= now - this.lease);
    this.nextBeat = now + this.beatInterval;
    const free = Math.max(this.profile.slots - this.running, 0);
    const held = [...this.held.keys()];
    this.host.send({ beat: { seq: this.lastBeat, free, held, ...this.epochField() } });
  }

  private sendReport(now: number, one: Held): void {
    one.sentAt = now;
    if (one.report !== undefined) this.host.send(one.report);
  }

  private sendAccept(one: Held | undefined, again: boolean): void {
    if (one === undefined || one.phase === "ended") return;
    const running = one.phase !== "waiting";
    if (again || one.said !== running) {
      one.said = running;
      this.host.send({ accept: { fence: one.dispatch.key, running } });
    }
  }

  /** Handles a message of the control lane. Throws `Malformed` if it cannot be read. */
  receive(now: number, message: Message): void {
    // Overdue attempts end before any message can extend the lease, also after a long sleep.
    if (this.lookedAt + LOOK <= now) this.tick(now);
    const [type = "", content] = Object.entries(message)[0] ?? [];
    const body = object(content, type);
    const [epoch, lastBeat] = [this.epoch, this.lastBeat];
    switch (type) {
      case "dispatch":
        this.dispatched(now, readDispatch(body));
        break;
      case "beat_ack":
        this.beatAcknowledged(now, body);
        break;
      case "who_is_there":
        // Also answers coordinators of later epochs and other stores: the echo of the next beat
        // shows that they are at work.
        if (!this.epoch?.isAfter(Epoch.parse(body["epoch"]))) this.hello(now);
        break;
      case "cancel":
      case "probe":
      case "drain":
      case "result_ack":
        if (Epoch.parse(body["epoch"]).is(this.epoch)) this.asked(now, type, body);
        break;
    }
    if (this.epoch !== epoch && this.lastBeat === lastBeat) {
      // The coordinator dispatches nothing before it knows that the worker follows it.
      this.beat(now);
    }
  }

  private asked(now: number, type: string, body: Fields): void {
    if (type === "drain") return this.askedToDrain(now);
    const fence = Fence.parse(body["fence"]);
    const one = this.held.get(fence.toString());
    if (type === "cancel") {
      this.cancelled(now, fence, body["force"] === true);
    } else if (type === "result_ack") {
      if (one?.phase === "ended") this.held.delete(one.dispatch.key);
    } else if (one === undefined) {
      this.notHere(fence);
    } else if (one.phase === "ended") {
      this.sendReport(now, one);
    } else {
      this.sendAccept(one, true);
    }
  }

  private beatAcknowledged(now: number, body: Fields): void {
    const [epoch, echo] = [Epoch.parse(body["epoch"]), number(body, "seq_echo")];
    const settled = BigInt(number(body, "settled", 0));
    const [dropped, cancelled] = [fences(body, "drop"), fences(body, "cancel")];
    // Without these two, the coordinator is of an earlier version.
    const lease = number(body, "lease_ms", 60_000);
    const beat = number(body, "beat_ms", 5000);
    if (!this.adopt(epoch, echo)) return;
    this.termsOf = this.epoch;
    this.lease = lease;
    // A lease shorter than three beats would end between two of them.
    this.beatInterval = Math.min(beat, lease / 3);
    this.renew(echo);
    this.settle(settled);
    for (const fence of dropped) this.dropped(fence);
    for (const fence of cancelled) this.cancelled(now, fence, false);
  }

  /** Extends the lease from the moment at which the echoed beat was sent. */
  private renew(echo: number): boolean {
    const sent = this.beats.find((beat) => beat.seq === echo);
    if (sent === undefined) return false;
    if (this.termsOf === this.epoch) {
      this.leaseUntil = Math.max(this.leaseUntil, sent.at + this.lease);
    }
    return true;
  }

  private settle(upTo: bigint): void {
    if (upTo <= this.settled) return;
    this.settled = upTo;
    for (const number of this.seen.keys()) if (number <= upTo) this.seen.delete(number);
  }

  /** Follows an epoch that echoes a beat, if it has taken over. Returns true if it is followed. */
  private adopt(epoch: Epoch, echo: number): boolean {
    const isOurs = this.beats.some((beat) => beat.seq === echo);
    const known = this.epoch;
    if (epoch.is(known)) {
      if (isOurs) this.lastEcho = Math.max(this.lastEcho, echo);
      return true;
    }
    if (isOurs && (known === undefined || epoch.isAfter(known))) {
      [this.epoch, this.seen, this.settled] = [epoch, new Map(), 0n];
      this.lastEcho = Math.max(this.lastEcho, echo);
      return true;
    }
    // Another store has taken over only if the present one has been silent.
    if (known === undefined || known.instance === epoch.instance || !isOurs) return false;
    if (echo < this.lastEcho + SILENT_BEATS) return false;
    const former = this.former.find((old) => old.epoch.instance === epoch.instance);
    if (former === undefined && this.former.length >= FORMER) return false;
    if (former?.epoch.isAfter(epoch)) return false;
    this.former = this.former.filter((old) => old !== former);
    this.former.push({ epoch: known, seen: this.seen, settled: this.settled });
    const same = former !== undefined && epoch.is(former.epoch) ? former : undefined;
    [this.seen, this.settled] = [same?.seen ?? new Map(), same?.settled ?? 0n];
    [this.epoch, this.lastEcho] = [epoch, echo];
    return true;
  }

  private dispatched(now: number, dispatch: Dispatch): void {
    const { fence, key } = dispatch;
    if (!this.adopt(fence.epoch, dispatch.echo)) return;
    const one = this.held.get(key);
    if (one !== undefined) {
      if (one.phase === "ended") this.sendReport(now, one);
      else this.sendAccept(one, true);
      return;
    }
    if (fence.number <= this.settled) return;
    const answered = this.seen.get(fence.number);
    const why = answered ?? this.refusal(now, dispatch);
    if (answered === undefined) {
      this.seen.set(fence.number, why);
      const last = fence.number - 1n;
      this.settle(dispatch.settled < last ? dispatch.settled : last);
    }
    if (why !== "") this.host.send({ reject: { fence: key, why } });
    if (why !== "" || answered !== undefined) return;
    const phase = "waiting";
    const [said, reason, report] = [undefined, undefined, undefined];
    const rest = { said, reason, report, dropped: false, hurried: false, sentAt: 0 };
    this.held.set(key, { dispatch, phase, since: now, ...rest });
    this.waiting.push(key);
    this.accepts.push({ at: now + ACCEPT_DELAY, key });
    this.startWaiting(now);
  }

  /** Returns the reason for which a dispatch is rejected; empty if it is not. */
  private refusal(now: number, dispatch: Dispatch): string {
    const isOffered = this.profile.actions.some((action) => action["name"] === dispatch.action);
    if (!this.renew(dispatch.echo)) return "stale";
    if (this.leaseUntil - this.margin(dispatch) <= now) return "stale";
    if (this.draining) return "draining";
    if (dispatch.isDeployed || !isOffered) return "unknown_action";
    return this.waiting.length >= this.profile.slots * WAITING_PER_SLOT ? "busy" : "";
  }

  private startWaiting(now: number): void {
    while (this.running < this.profile.slots) {
      const one = this.held.get(this.waiting.shift() ?? "");
      if (one === undefined) return;
      [one.phase, one.since] = ["running", now];
      this.running += 1;
      const key = one.dispatch.key;
      if (one.said === false) this.accepts.push({ at: now + ACCEPT_DELAY, key });
      this.host.start(one.dispatch);
    }
  }

  /** Ends an attempt of which nothing is alive any more. */
  finished(now: number, key: string, end: Outcome, lastLogSeq: number, killed = false): void {
    const one = this.held.get(key);
    if (one === undefined || (one.phase !== "running" && one.phase !== "stopping")) return;
    this.running -= 1;
    let outcome = end;
    if (end === "cancelled" && one.reason === "timed_out") outcome = "timed_out";
    if (end === "cancelled" && one.reason === "shutting_down") {
      const message = "the worker shut down before the action had finished";
      outcome = { failed: { code: "worker_shutdown", kind: "WorkerShutdown", message } };
    }
    if (one.dropped) {
      this.held.delete(key);
      this.host.forget(key);
    } else if (outcome === "cancelled" && one.reason === "fenced") {
      this.release(now, one, "killed");
    } else {
      const ran = Math.round((now - one.since) * 1000);
      const result: Fields = { fence: key, outcome, last_log_seq: lastLogSeq, ran_us: ran };
      if (killed && typeof outcome === "string") result["killed"] = true;
      this.end(now, one, { result });
    }
    this.startWaiting(now);
  }

  private end(now: number, one: Held, report: Message): void {
    [one.phase, one.report] = ["ended", report];
    this.sendReport(now, one);
  }

  private release(now: number, one: Held, how: string): void {
    this.end(now, one, { released: { fence: one.dispatch.key, how } });
  }

  private giveBack(now: number, one: Held): void {
    this.waiting = this.waiting.filter((key) => key !== one.dispatch.key);
    this.release(now, one, "never_ran");
  }

  /** Asks an attempt to end. The first reason counts; without grace, it is asked again. */
  private stop(one: Held, reason: StopReason, grace: number): void {
    if (one.phase === "running") {
      [one.phase, one.reason] = ["stopping", reason];
      this.host.stop(one.dispatch.key, reason, grace);
    } else if (one.phase === "stopping" && grace === 0) {
      this.host.stop(one.dispatch.key, one.reason ?? reason, grace);
    }
  }

  private cancelled(now: number, fence: Fence, force: boolean): void {
    const one = this.held.get(fence.toString());
    if (one === undefined) {
      const isNew = fence.epoch.is(this.epoch) && fence.number > this.settled;
      if (isNew && !this.seen.has(fence.number)) this.seen.set(fence.number, "");
      this.notHere(fence);
    } else if (one.phase === "waiting") {
      this.giveBack(now, one);
    } else if (one.phase === "ended") {
      this.sendReport(now, one);
    } else {
      this.stop(one, "cancelled", force ? 0 : one.dispatch.grace);
    }
  }

  /** Ends an attempt that does not belong to this worker any more. It is not reported. */
  private dropped(fence: Fence): void {
    const key = fence.toString();
    const one = this.held.get(key);
    if (one === undefined) return;
    if (one.phase === "running" || one.phase === "stopping") {
      [one.phase, one.reason, one.dropped] = ["stopping", "fenced", true];
      this.host.stop(key, "fenced", Math.min(one.dispatch.grace, SHORT_GRACE));
      return;
    }
    if (one.phase === "waiting") {
      this.waiting = this.waiting.filter((waiting) => waiting !== key);
      this.host.forget(key);
    }
    this.held.delete(key);
  }

  private notHere(fence: Fence): void {
    // The worker holds each attempt until its end is acknowledged, and ignores dispatches of earlier
    // epochs. So one that it does not hold never ran, unless it is of another store.
    const isSame = this.epoch === undefined || this.epoch.instance === fence.epoch.instance;
    const how = isSame ? "never_ran" : "unknown";
    this.host.send({ released: { fence: fence.toString(), how } });
  }

  /** Takes nothing new. What still runs after the patience is asked to end. */
  drain(now: number, patience: number): void {
    this.takeNothingNew(now);
    this.endAt = Math.min(this.endAt, now + patience);
  }

  private askedToDrain(now: number): void {
    if (this.draining) {
      // The coordinator repeats its request until the hello arrives.
      this.hello(now);
    } else {
      this.takeNothingNew(now);
      this.host.drainRequested();
    }
  }

  private takeNothingNew(now: number): void {
    if (this.draining) return;
    this.draining = true;
    for (const key of this.waiting) {
      const one = this.held.get(key);
      if (one !== undefined) this.giveBack(now, one);
    }
    this.hello(now);
  }

  /** Returns the last message of a worker of which nothing is alive any more. */
  goodbye(): Message {
    return { goodbye: { held: [...this.held.keys()] } };
  }
}
