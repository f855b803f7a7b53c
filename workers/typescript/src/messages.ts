/** The parts of the messages that a worker reads, checked. */

/** Something that a peer sent cannot be read. */
export class Malformed extends Error {}

/** A JSON object. */
export type Fields = { [name: string]: unknown };

/** A message as it travels: an object with one key, its type. */
export type Message = { [type: string]: Fields };

/** One start of a coordinator on its store. */
export class Epoch {
  constructor(
    readonly instance: number,
    readonly number: number,
  ) {}

  /** Reads `instance.number`, hexadecimal and decimal. */
  static parse(text: unknown): Epoch {
    const [, instance, number] = /^([0-9a-fA-F]+)\.([0-9]+)$/.exec(String(text)) ?? [];
    const [i, n] = [parseInt(instance ?? "", 16), Number(number)];
    if (typeof text !== "string" || !(i < 2 ** 32) || !(n < 2 ** 32)) {
      throw new Malformed(`${JSON.stringify(text)} is not an epoch`);
    }
    return new Epoch(i, n);
  }

  toString(): string {
    return `${this.instance.toString(16)}.${this.number}`;
  }

  is(other: Epoch | undefined): boolean {
    return other !== undefined && this.instance === other.instance && this.number === other.number;
  }

  /** Returns true if this is a later start on the same store. */
  isAfter(other: Epoch): boolean {
    return this.instance === other.instance && this.number > other.number;
  }
}

/** The identity of one attempt, and the right to report on it. */
export class Fence {
  constructor(
    readonly epoch: Epoch,
    readonly number: bigint,
  ) {}

  /** Reads `instance.epoch.number`. */
  static parse(text: unknown): Fence {
    const [, epoch, number] = /^(.*)\.([0-9]+)$/s.exec(String(text)) ?? [];
    if (typeof text !== "string" || number === undefined || BigInt(number) >= 2n ** 64n) {
      throw new Malformed(`${JSON.stringify(text)} is not a fence`);
    }
    return new Fence(Epoch.parse(epoch), BigInt(number));
  }

  toString(): string {
    return `${this.epoch}.${this.number}`;
  }

  /** Returns a negative number if this was granted before `other`. */
  compare(other: Fence): number {
    const [one, two] = [this.epoch, other.epoch];
    return (
      one.instance - two.instance || one.number - two.number || Number(this.number - other.number)
    );
  }
}

/** The request to run an attempt. Times are in milliseconds. */
export interface Dispatch {
  fence: Fence;
  key: string;
  echo: number;
  settled: bigint;
  execution: string;
  attempt: number;
  action: string;
  parameters: Fields;
  timeout: number | undefined;
  grace: number;
  retryable: boolean;
  isDeployed: boolean;
}

/** Reads the body of a `dispatch`. */
export function readDispatch(body: Fields): Dispatch {
  const fence = Fence.parse(body["fence"]);
  return {
    fence,
    key: fence.toString(),
    echo: number(body, "seq_echo"),
    settled: BigInt(number(body, "settled", 0)),
    execution: text(body, "execution"),
    attempt: number(body, "attempt"),
    action: text(body, "action"),
    parameters: object(body["parameters"], "parameters"),
    timeout: body["timeout_ms"] == null ? undefined : number(body, "timeout_ms"),
    grace: number(body, "grace_ms"),
    retryable: body["retryable"] === true,
    isDeployed: body["bundle"] != null,
  };
}

/** Returns a field that is a whole number from 0 on. */
export function number(body: Fields, name: string, ifAbsent?: number): number {
  const value = body[name] ?? ifAbsent;
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw new Malformed(`${name} must be a whole number from 0 on (got ${JSON.stringify(value)})`);
  }
  return value;
}

/** Returns a field that is a text. */
export function text(body: Fields, name: string): string {
  const value = body[name];
  if (typeof value !== "string") {
    throw new Malformed(`${name} must be a text (got ${JSON.stringify(value)})`);
  }
  return value;
}

/** Returns a field that is a list of fences; empty if it is absent. */
export function fences(body: Fields, name: string): Fence[] {
  const value = body[name] ?? [];
  if (!Array.isArray(value)) throw new Malformed(`${name} must be a list`);
  return value.map((item) => Fence.parse(item));
}

/** Returns a value that is an object. */
export function object(value: unknown, name: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Malformed(`${name} must be an object`);
  }
  return value as Fields;
}

/** Reads a JSON document that is an object. */
export function readObject(document: Uint8Array): Fields {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(document).toString());
  } catch (error) {
    throw new Malformed(`not JSON: ${String(error)}`);
  }
  return object(value, "the document");
}

/** Returns the messages of a frame that a coordinator sent to this worker. */
export function readFrame(document: Uint8Array, worker: string): Message[] {
  const frame = readObject(document);
  if (frame["v"] !== 1) {
    throw new Malformed(`the frame is of version ${String(frame["v"])}, and this side speaks 1`);
  }
  if (frame["from"] != null) {
    throw new Malformed("the frame is of a worker, not of a coordinator");
  }
  if (!Array.isArray(frame["messages"])) throw new Malformed("a frame has a list of messages");
  if (frame["to"] != null && frame["to"] !== worker) return [];
  const isMessage = (item: unknown): item is Message =>
    typeof item === "object" && item !== null && Object.keys(item).length === 1;
  return frame["messages"].filter(isMessage);
}
