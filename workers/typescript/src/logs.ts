/** The logs of attempts: lines that are sent again until the coordinator has stored them. */

import { Fence, number } from "./messages.js";
import type { Fields, Message } from "./messages.js";

const RESEND = 1000;
/** The bytes in flight of one attempt. */
const WINDOW_BYTES = 512 * 1024;
/** The bytes of one attempt that wait for the window. Further lines are dropped and counted. */
const BUFFER_BYTES = 4 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** The longest line: longer ones are split. It has at most 64 KiB in UTF-8. */
const LINE_UNITS = 16 * 1024;

/** The level of a line. */
export type Level = "debug" | "info" | "warning" | "error";

interface Chunk {
  firstSeq: number;
  time: number;
  stream: string;
  level: Level;
  fields: Fields | undefined;
  lines: string[];
  size: number;
}

const lastSeq = (chunk: Chunk): number => chunk.firstSeq + chunk.lines.length - 1;

/** The log of one attempt. */
export class Log {
  lastSeq = 0;
  finished = false;
  progress: Fields | undefined;
  private pending: Chunk[] = [];
  private pendingBytes = 0;
  private inFlight: Chunk[] = [];
  private inFlightBytes = 0;
  private sentAt = 0;
  private dropped = 0;
  private unwanted = false;

  constructor(
    private readonly fence: string,
    readonly wake: () => void,
  ) {}

  /** Adds the lines of a text. */
  write(text: string, stream: string, level: Level, fields?: Fields): void {
    // A lone surrogate has no form in UTF-8.
    for (const line of text.replace(/\p{Surrogate}/gu, "\uFFFD").split("\n")) {
      let from = 0;
      do {
        let to = from + LINE_UNITS;
        // Both halves of a pair stay together.
        if (/[\uD800-\uDBFF]/.test(line.charAt(to - 1))) to -= 1;
        this.add(line.slice(from, to), stream, level, fields);
        from = to;
      } while (from < line.length);
    }
    this.wake();
  }

  private add(line: string, stream: string, level: Level, fields: Fields | undefined): void {
    const size = Buffer.byteLength(line) + 8;
    if (this.unwanted) return;
    if (this.pendingBytes + size > BUFFER_BYTES) {
      this.dropped += 1;
      return;
    }
    if (this.dropped > 0) {
      const note = `${this.dropped} lines were dropped: the log is too fast`;
      this.dropped = 0;
      this.add(note, "system", "warning", undefined);
    }
    const time = Date.now() * 1000;
    this.lastSeq += 1;
    let last = this.pending.at(-1);
    if (
      last === undefined ||
      last.stream !== stream ||
      last.level !== level ||
      last.fields !== fields ||
      last.time !== time ||
      last.size + size > CHUNK_BYTES
    ) {
      last = { firstSeq: this.lastSeq, time, stream, level, fields, lines: [], size: 64 };
      this.pending.push(last);
      this.pendingBytes += last.size;
    }
    last.lines.push(line);
    last.size += size;
    this.pendingBytes += size;
  }

  /** Drops what the coordinator has stored; everything if it wants no more lines. */
  acknowledged(now: number, seq: number): void {
    // 2^64 - 1: no number of a line is beyond those that are exact.
    if (seq > Number.MAX_SAFE_INTEGER) {
      [this.unwanted, this.pending, this.pendingBytes] = [true, [], 0];
    }
    for (let first = this.inFlight[0]; first && lastSeq(first) <= seq; first = this.inFlight[0]) {
      this.inFlightBytes -= first.size;
      this.inFlight.shift();
      this.sentAt = now;
    }
  }

  /** Returns what is to be sent now: first everything in flight, if that is overdue. */
  due(now: number): Message[] {
    const messages: Message[] = [];
    if (this.progress !== undefined) {
      messages.push({ progress: { fence: this.fence, ...this.progress } });
      this.progress = undefined;
    }
    if (this.wakeAt() <= now) {
      this.sentAt = now;
      messages.push(...this.inFlight.map((chunk) => this.message(chunk)));
    }
    for (let chunk = this.pending[0]; chunk; chunk = this.pending[0]) {
      if (this.inFlightBytes + chunk.size > WINDOW_BYTES) break;
      this.pending.shift();
      this.pendingBytes -= chunk.size;
      // Later chunks do not move it: a lost one is missed while lines keep coming.
      if (this.inFlight.length === 0) this.sentAt = now;
      this.inFlight.push(chunk);
      this.inFlightBytes += chunk.size;
      messages.push(this.message(chunk));
    }
    return messages;
  }

  private message(chunk: Chunk): Message {
    const { firstSeq, time, stream, level, fields, lines } = chunk;
    const log: Fields = { fence: this.fence, first_seq: firstSeq, time, stream, level, lines };
    return { log: fields === undefined ? log : { ...log, fields } };
  }

  /** Returns true if the attempt has ended and all its lines are stored. */
  isOver(): boolean {
    const waits = this.pending.length > 0 || this.inFlight.length > 0;
    return this.finished && !waits && this.progress === undefined;
  }

  /** Returns when lines in flight count as lost. */
  wakeAt(): number {
    return this.inFlight.length > 0 ? this.sentAt + RESEND : Infinity;
  }
}

/** The logs of all attempts of a worker. */
export class Logs {
  private readonly logs = new Map<string, Log>();

  constructor(private readonly wake: () => void) {}

  /** Opens the log of an attempt that starts. */
  open(key: string): Log {
    const log = new Log(key, this.wake);
    this.logs.set(key, log);
    return log;
  }

  /** Drops a log that is not wanted any more. */
  forget(key: string): void {
    this.logs.get(key)?.acknowledged(0, Infinity);
    this.logs.delete(key);
  }

  /** Handles a message of the logs lane. */
  receive(now: number, message: Message): void {
    const body = message["log_ack"];
    if (body === undefined) return;
    const key = Fence.parse(body["fence"]).toString();
    this.logs.get(key)?.acknowledged(now, number(body, "seq"));
  }

  /** Returns what is to be sent now, and drops the logs that are over. */
  due(now: number): Message[] {
    const messages: Message[] = [];
    for (const [key, log] of this.logs) {
      messages.push(...log.due(now));
      if (log.isOver()) this.logs.delete(key);
    }
    return messages;
  }

  /** Returns true if every line is stored. */
  isEmpty(): boolean {
    return this.logs.size === 0;
  }

  /** Returns when `due` must be called. */
  wakeAt(): number {
    return Math.min(Infinity, ...[...this.logs.values()].map((log) => log.wakeAt()));
  }
}
