/** A worker: its actions, its attempts, and its connections. */

import * as crypto from "node:crypto";
import { Connection } from "./connection.js";
import { JoinRequest, saveIdentity } from "./identity.js";
import type { Identity } from "./identity.js";
import { Logs } from "./logs.js";
import type { Level, Log } from "./logs.js";
import { Machine } from "./machine.js";
import type { Host, Outcome, StopReason } from "./machine.js";
import { Epoch, Malformed, readFrame } from "./messages.js";
import type { Dispatch, Fields, Message } from "./messages.js";
import { CONTROL, LOGS } from "./seal.js";
import type { Lane } from "./seal.js";
import { Sessions } from "./sessions.js";

export const VERSION = "0.1.0";
const FRAME_BYTES = 4 * 1024 * 1024 - 512;
const FRAME_MESSAGES = 512;
const RESULT_BYTES = 1024 * 1024;
const FAILURE_UNITS = 64 * 1024;
/** The time for which a worker that ends waits for its last acknowledgements. */
const LAST_LINES = 5000;
const EXIT_FENCED = 70;

/** A failure after which the execution is not retried. */
export class Permanent extends Error {
  override name = "Permanent";
}

/** The policy for attempts that follow one that failed, timed out or was lost. */
export interface Retry {
  retries: number;
  delay_ms?: number;
  factor?: number;
  max_delay_ms?: number;
  jitter?: number;
  max_lost_attempts?: number;
  on?: "any" | "lost";
}

/** The description of an action. */
export interface ActionOptions {
  group?: string;
  queue?: string;
  description?: string;
  /** A JSON Schema of the parameters. Without one, anything is taken. */
  schema?: object;
  /** The longest time of an attempt, in milliseconds. */
  timeout?: number;
  retry?: Retry;
}

/** The attempt that an action runs in. */
export class Context {
  constructor(
    /** The id of the execution. */
    readonly execution: string,
    /** The number of the attempt, from 1. */
    readonly attempt: number,
    /** The identity of the attempt. Those of later attempts are greater. */
    readonly fence: string,
    /** Aborted when the attempt has to end. */
    readonly signal: AbortSignal,
    private readonly lines: Log,
  ) {}

  /** Writes a line with structured fields. */
  log(text: string, fields?: Fields, level: Level = "info"): void {
    this.lines.write(text, "log", level, fields);
  }

  /** Writes lines as the output of the action. */
  print(text: string): void {
    this.lines.write(text, "stdout", "info");
  }

  /** Reports progress. The last report counts. */
  progress(done: number, total?: number, message = ""): void {
    this.lines.progress = total === undefined ? { done, message } : { done, total, message };
    this.lines.wake();
  }
}

/** A function that a worker offers. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the schema says what they are
export type Run = (parameters: any, context: Context) => unknown;

/** The settings of a worker. */
export interface WorkerOptions {
  broker?: string;
  name?: string;
  slots?: number;
  queues?: string[];
  namespace?: string;
  /** The identity of a worker that has joined. Its frames are sealed. */
  identity?: Identity | undefined;
  /** The time that running attempts have when the worker drains, in milliseconds. */
  patience?: number;
  /** Writes a line for the operator. */
  logger?: (text: string) => void;
}

interface Attempt {
  dispatch: Dispatch;
  log: Log;
  abort: AbortController;
  killed: boolean;
}

/** A worker of Tinpot. */
export class Worker implements Host {
  readonly id: string;
  private readonly options: Required<Omit<WorkerOptions, "identity">>;
  private readonly identity: Identity | undefined;
  private readonly actions = new Map<string, Run>();
  private readonly offered: Fields[] = [];
  private readonly machine: Machine;
  private readonly sessions: Sessions | undefined;
  private readonly logs = new Logs(() => this.turn());
  private readonly attempts = new Map<string, Attempt>();
  private links: Connection[] = [];
  private topics: string[] = [];
  private out: Message[] = [];
  private timer: NodeJS.Timeout | undefined;
  private hasLeft = false;
  private isTurnDue = false;
  private end: (() => void) | undefined;

  constructor(options: WorkerOptions = {}) {
    const { identity } = options;
    this.identity = identity;
    this.options = {
      queues: [],
      slots: 1,
      patience: 10_000,
      logger: (text) => process.stderr.write(`${text}\n`),
      ...options,
      broker: identity?.broker ?? options.broker ?? "mqtt://localhost:1883",
      name: identity?.name ?? options.name ?? "node",
      namespace: identity?.namespace ?? options.namespace ?? "tinpot",
    };
    const { name, slots, queues } = this.options;
    const suffix = crypto.randomBytes(4).toString("hex");
    this.id = `${name.replace(/[^A-Za-z0-9._-]/g, "-").slice(0, 64)}-${suffix}`;
    const [actions, startedAt] = [this.offered, Date.now() * 1000];
    const profile = { id: this.id, name, slots, queues, actions, version: VERSION, startedAt };
    this.machine = new Machine(profile, this);
    this.sessions = identity && new Sessions(this.id, identity);
  }

  /** Offers a function. */
  action(name: string, run: Run, options: ActionOptions = {}): this {
    const { timeout, ...rest } = options;
    this.actions.set(name, run);
    this.offered.push(timeout === undefined ? { name, ...rest } : { name, ...rest, timeout_ms: timeout });
    return this;
  }

  /** Runs until SIGTERM, SIGINT, `drain`, or the coordinator asks the worker to drain. */
  async run(): Promise<void> {
    const base = `${this.options.namespace}/worker/${this.id.replace(/-[^-]*$/, "")}/${this.id}`;
    for (const [lane, way] of ["control", "logs"].entries()) {
      this.topics.push(`${base}/up/${way}`);
      const topics = [`${base}/down/${way}`, `${this.options.namespace}/workers/${way}`];
      const listener = {
        up: () => (lane === CONTROL ? this.linkUp() : this.turn()),
        frame: (bytes: Buffer) => this.take(lane, bytes),
      };
      const client = `${this.id}-${way}`;
      const { login } = this.identity ?? {};
      this.links.push(new Connection(this.options.broker, client, topics, listener, login));
    }
    const drain = (): void => this.drain();
    process.once("SIGTERM", drain).once("SIGINT", drain);
    await new Promise<void>((resolve) => (this.end = resolve));
    process.off("SIGTERM", drain).off("SIGINT", drain);
    const until = performance.now() + LAST_LINES;
    while (!this.logs.isEmpty() && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      this.turn();
    }
    // A frame that still comes must not set the timer again: the process would not end.
    this.hasLeft = true;
    clearTimeout(this.timer);
    this.flush(CONTROL, [this.machine.goodbye()]);
    await Promise.all(this.links.map((link) => link.close()));
  }

  /** Takes nothing new, and ends once everything is reported. */
  drain(): void {
    this.machine.drain(performance.now(), this.options.patience);
    this.turn();
  }

  // Frames.

  private linkUp(): void {
    const now = performance.now();
    this.sessions?.linkUp(now);
    if (this.sessions === undefined || this.sessions.isOpen()) this.machine.linkUp(now);
    this.turn();
  }

  private take(lane: Lane, frame: Buffer): void {
    const now = performance.now();
    try {
      for (const message of this.open(now, lane, frame)) {
        try {
          if (lane === LOGS) this.logs.receive(now, message);
          else this.machine.receive(now, message);
        } catch (error) {
          if (!(error instanceof Malformed)) throw error;
          this.options.logger(`a message was skipped: ${error.message}`);
        }
      }
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.options.logger(`a frame was dropped: ${error.message}`);
    }
    this.turn();
  }

  private open(now: number, lane: Lane, frame: Buffer): Message[] {
    if (this.sessions === undefined) {
      if (frame.subarray(0, 4).toString("latin1") === "TPF1") {
        throw new Malformed("the coordinator takes sealed frames: this worker has not joined");
      }
      return readFrame(frame, this.id);
    }
    const opened = this.sessions.read(now, lane, frame);
    if (opened instanceof Epoch) {
      // The coordinator seals with a session only once it has opened a frame in it.
      this.machine.linkUp(now);
      return [];
    }
    return opened === undefined ? [] : readFrame(opened, this.id);
  }

  private flush(lane: Lane, messages: Message[]): void {
    // Without a link, they are sent again.
    if (messages.length === 0 || !this.links[lane]?.isUp) return;
    let [parts, size]: [string[], number] = [[], 0];
    const publish = (): void => {
      const document = Buffer.from(`{"v":1,"from":"${this.id}","messages":[${parts.join(",")}]}`);
      const frames = this.sessions?.seal(lane, document) ?? [document];
      for (const frame of frames) this.links[lane]?.publish(this.topics[lane] as string, frame);
    };
    for (const part of messages.map((message) => JSON.stringify(message))) {
      const bytes = Buffer.byteLength(part) + 1;
      if (parts.length >= FRAME_MESSAGES || (parts.length > 0 && size + bytes > FRAME_BYTES)) {
        publish();
        [parts, size] = [[], 0];
      }
      parts.push(part);
      size += bytes;
    }
    publish();
  }

  /** Has everything sent that is ready once the present callbacks have run. */
  private turn(): void {
    if (this.isTurnDue) return;
    this.isTurnDue = true;
    setImmediate(() => this.endTurn());
  }

  private endTurn(): void {
    this.isTurnDue = false;
    if (this.hasLeft) return;
    const now = performance.now();
    const init = this.sessions?.tick(now);
    if (init !== undefined) {
      this.links[CONTROL]?.publish(this.topics[CONTROL] as string, init);
      if ((this.sessions?.unanswered ?? 0) % 15 === 5) {
        this.options.logger("no coordinator answers: is one running, and the key enrolled?");
      }
    }
    if (this.machine.wakeAt() <= now) this.machine.tick(now);
    const out = this.out;
    this.out = [];
    this.flush(CONTROL, out);
    if (this.links[LOGS]?.isUp) this.flush(LOGS, this.logs.due(now));
    if (this.machine.draining && this.machine.held.size === 0) this.end?.();
    const sessions = this.sessions?.wakeAt() ?? Infinity;
    const wake = Math.min(this.machine.wakeAt(), this.logs.wakeAt(), sessions);
    clearTimeout(this.timer);
    // Without a connection, nothing is urgent.
    const floor = this.links.every((link) => link.isUp) ? 1 : 100;
    const wait = Math.max(wake - now, floor);
    if (wait < Infinity) this.timer = setTimeout(() => this.turn(), Math.ceil(wait));
  }

  // What the machine asks for.

  send(message: Message): void {
    this.out.push(message);
  }

  start(dispatch: Dispatch): void {
    const [log, abort] = [this.logs.open(dispatch.key), new AbortController()];
    const attempt = { dispatch, log, abort, killed: false };
    this.attempts.set(dispatch.key, attempt);
    const { execution, attempt: number, key } = dispatch;
    const context = new Context(execution, number, key, abort.signal, log);
    void this.outcome(dispatch, context).then((outcome) => {
      this.attempts.delete(key);
      log.finished = true;
      this.machine.finished(performance.now(), key, outcome, log.lastSeq, attempt.killed);
      this.turn();
    });
  }

  private async outcome(dispatch: Dispatch, context: Context): Promise<Outcome> {
    let value: unknown;
    try {
      value = await this.actions.get(dispatch.action)?.(dispatch.parameters, context);
    } catch (error) {
      const isAbort = error === context.signal.reason || (error as Error)?.name === "AbortError";
      return context.signal.aborted && isAbort ? "cancelled" : failed(error);
    }
    let text: string;
    try {
      text = JSON.stringify(value) ?? "null";
    } catch (error) {
      return failed(new Permanent(`the result has no JSON form: ${String(error)}`));
    }
    // JSON has an escape for half of a surrogate pair, but other readers refuse it.
    if (/(?<!\\)(\\\\)*\\ud[89a-f]/.test(text)) {
      return failed(new Permanent("the result has a text that is not well-formed Unicode"));
    }
    const size = Buffer.byteLength(text);
    if (size > RESULT_BYTES) {
      const message = `the result has ${size} bytes; at most ${RESULT_BYTES} are taken`;
      return { failed: { code: "result_too_large", kind: "ResultTooLarge", message } };
    }
    return { succeeded: value ?? null };
  }

  stop(key: string, reason: StopReason, grace: number): void {
    const attempt = this.attempts.get(key);
    attempt?.abort.abort();
    setTimeout(() => {
      if (attempt === undefined || this.attempts.get(key) !== attempt) return;
      attempt.killed = true;
      if (reason === "fenced" && attempt.dispatch.retryable) {
        const what = `${attempt.dispatch.action} (${key}) does not end`;
        this.options.logger(`the process exits: ${what}, and another worker may run it`);
        process.exit(EXIT_FENCED);
      }
    }, grace).unref();
  }

  forget(key: string): void {
    this.logs.forget(key);
  }

  drainRequested(): void {
    this.options.logger("the coordinator asks this worker to drain");
    setImmediate(() => this.drain());
  }
}

function failed(error: unknown): Outcome {
  const shown = (text: string): string => text.slice(0, FAILURE_UNITS).replace(/\p{Surrogate}/gu, "\uFFFD");
  if (!(error instanceof Error)) return { failed: { message: shown(String(error)) } };
  const failure: Fields = { kind: error.name, message: shown(error.message) };
  if (error.stack !== undefined) failure["traceback"] = shown(error.stack);
  return { failed: error instanceof Permanent ? { ...failure, permanent: true } : failure };
}

/** The settings of a join. */
export interface JoinOptions {
  broker: string;
  token: string;
  name: string;
  namespace?: string;
  /** The path of the key to write; the facts are next to it, in a file ending in `.toml`. */
  save?: string;
  patience?: number;
}

/** Has a new key enrolled with a join token. Rejects with `JoinRefused`, or if none answers. */
export async function join(options: JoinOptions): Promise<Identity> {
  const { broker, token, name, namespace = "tinpot", save, patience = 30_000 } = options;
  const { privateKey } = crypto.generateKeyPairSync("ed25519");
  const request = new JoinRequest(token, privateKey, namespace, name, VERSION);
  const base = `${namespace}/join/${request.joiner}`;
  const login = new URL(broker).username === "" ? { user: "join", password: "" } : undefined;
  let repeat: NodeJS.Timeout | undefined;
  let link: Connection | undefined;
  try {
    const identity = await new Promise<Identity>((resolve, reject) => {
      const deadline = performance.now() + patience;
      const ask = (): void => {
        link?.publish(`${base}/up`, request.frame);
        if (performance.now() > deadline) {
          reject(new Error(link?.refusal ?? "no coordinator answered the join"));
        }
      };
      const frame = (bytes: Buffer): void => {
        try {
          resolve(request.answer(bytes));
        } catch (error) {
          if (!(error instanceof Malformed)) reject(error as Error);
        }
      };
      const client = `${request.joiner}-control`;
      link = new Connection(broker, client, [`${base}/down`], { up: ask, frame }, login);
      repeat = setInterval(ask, 1000);
    });
    identity.broker = broker;
    if (save !== undefined) saveIdentity(identity, save);
    return identity;
  } finally {
    clearInterval(repeat);
    await link?.close();
  }
}
