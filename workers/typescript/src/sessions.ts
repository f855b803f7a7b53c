/** The sessions of a worker with the coordinators of its namespace. */

import * as crypto from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { Identity } from "./identity.js";
import { Epoch, Malformed } from "./messages.js";
import type { Fields } from "./messages.js";
import {
  CONTROL,
  HEADER_BYTES,
  KINDS,
  Session,
  agree,
  derive,
  fromHex,
  header,
  keyId,
  payloadOf,
  rawPublic,
  readSigned,
  sha256,
  signedFrame,
} from "./seal.js";
import type { Lane } from "./seal.js";

const RETRY = 1000;
const HANDSHAKE = 10_000;
const FORMER = 10_000;
const SILENCE = 60_000;
/** The signatures of accepts, and of notices, that are verified in a second. */
const SIGNATURES = 20;

/** A session with a coordinator, and the one before it while that is still read. */
interface Open {
  epoch: Epoch;
  session: Session;
  heard: number;
  former: Session | undefined;
  formerUntil: number;
}

interface Handshake {
  ephemeral: KeyObject;
  frame: Buffer;
  to: Buffer;
  began: number;
  wanted: Epoch | undefined;
}

const isSame = (one: Epoch | undefined, other: Epoch | undefined): boolean =>
  one === undefined ? other === undefined : one.is(other);

const has = (fields: Fields, expected: Fields): boolean =>
  Object.entries(expected).every(([name, value]) => fields[name] === value);

/** The sessions of a worker. Times are in milliseconds. */
export class Sessions {
  /** The number of inits since the last answer. */
  unanswered = 0;
  private readonly own: string;
  private open: Open[] = [];
  private handshake: Handshake | undefined;
  private turn = 0;
  private due = 0;
  private askedAt = -RETRY;
  private wanted: Epoch | undefined;
  private readonly budgets = { accept: { began: 0, count: 0 }, notice: { began: 0, count: 0 } };

  constructor(
    private readonly worker: string,
    private readonly identity: Identity,
  ) {
    this.own = keyId(rawPublic(identity.key));
  }

  /** Returns true if there is a session. */
  isOpen(): boolean {
    return this.open.length > 0;
  }

  /** Asks for a session at once if there is none. */
  linkUp(now: number): void {
    if (!this.isOpen()) this.due = now;
  }

  /** Returns when to call `tick` at the latest. */
  wakeAt(): number {
    return this.due;
  }

  /** Ends what is over. Returns an init to send on the control lane, if one is due. */
  tick(now: number): Buffer | undefined {
    for (const one of this.open) if (one.formerUntil <= now) one.former = undefined;
    if (this.open.length > 1) this.open = this.open.filter((one) => now - one.heard < SILENCE);
    const worn = this.open.find((one) => one.session.isWorn(now))?.epoch;
    if (this.handshake !== undefined && now - this.handshake.began >= HANDSHAKE) {
      // Another key of the namespace is asked next. A notice may have been of a coordinator that is
      // gone.
      [this.handshake, this.wanted] = [undefined, undefined];
      this.turn += 1;
      if (this.isOpen() && worn === undefined) this.due = Infinity;
    }
    if (worn !== undefined && this.due === Infinity) {
      [this.wanted, this.due] = [worn, this.earliest(now)];
    }
    if (this.due > now) return undefined;
    this.unanswered += 1;
    this.due = now + RETRY * Math.min(this.unanswered, 4) + Math.random() * RETRY;
    this.askedAt = now;
    this.handshake ??= this.begin(now);
    return this.handshake.frame;
  }

  private begin(now: number): Handshake {
    const pins = this.identity.coordinatorKeys;
    const to = pins[this.turn % pins.length] as Buffer;
    const { privateKey, publicKey } = crypto.generateKeyPairSync("x25519");
    const init = {
      v: 1,
      namespace: this.identity.namespace,
      to: keyId(to),
      worker: this.worker,
      key: this.own,
      shard: 0,
      e: rawPublic(publicKey).toString("hex"),
      suites: ["TP1"],
    };
    const payload = Buffer.from(JSON.stringify(init));
    const frame = signedFrame("init", payload, this.identity.key);
    return { ephemeral: privateKey, frame, to, began: now, wanted: this.wanted };
  }

  private earliest(now: number): number {
    return Math.max(now, this.askedAt + RETRY);
  }

  private checkBudget(now: number, kind: "accept" | "notice"): void {
    const budget = this.budgets[kind];
    if (now - budget.began >= 1000) [budget.began, budget.count] = [now, 0];
    budget.count += 1;
    if (budget.count > SIGNATURES) throw new Malformed("too many signed frames");
  }

  /** Returns the frames of a document: one for each coordinator with a session. */
  seal(lane: Lane, document: Uint8Array): Buffer[] {
    return this.open.map((one) => one.session.seal(lane, document));
  }

  /**
   * Returns the document of a sealed frame, or the epoch of a session that it has opened. Throws
   * `Malformed` with the reason for which it counts for nothing.
   */
  read(now: number, lane: Lane, frame: Buffer): Buffer | Epoch | undefined {
    const head = frame.subarray(0, HEADER_BYTES);
    const kind = KINDS[head[4] ?? -1];
    if (head.length < HEADER_BYTES || kind === undefined || head[5] !== lane) {
      throw new Malformed("the frame is plain, or is of another lane");
    }
    const [session, counter] = [head.readBigUInt64BE(8), head.readBigUInt64BE(16)];
    if (!head.equals(header(kind, lane, session, counter))) {
      throw new Malformed("the frame has no header");
    }
    if (kind === "sealed") return this.unsealed(now, lane, frame, session);
    if ((kind !== "accept" && kind !== "notice") || lane !== CONTROL) {
      throw new Malformed("the frame is of a kind for coordinators");
    }
    this.checkBudget(now, kind);
    if (kind === "accept") return this.accepted(now, frame);
    this.noticed(now, frame);
    return undefined;
  }

  private unsealed(now: number, lane: Lane, frame: Buffer, session: bigint): Buffer {
    for (const one of this.open) {
      const candidate = [one.session, one.former].find((known) => known?.id === session);
      if (candidate !== undefined) {
        const document = candidate.open(lane, frame);
        one.heard = now;
        return document;
      }
    }
    throw new Malformed("the session of the frame is unknown");
  }

  private noticed(now: number, frame: Buffer): void {
    const notice = readSigned("notice", frame, ...this.identity.coordinatorKeys);
    if (!has(notice, { v: 1, namespace: this.identity.namespace, shard: 0 })) {
      throw new Malformed("the notice is of another namespace");
    }
    const epoch = Epoch.parse(notice["epoch"]);
    const known = this.open.find((one) => one.epoch.instance === epoch.instance);
    if (known !== undefined) {
      const id = known.session.id.toString(16).padStart(16, "0");
      const isLost = known.epoch.is(epoch) && notice["session"] === id;
      if (!isLost && !epoch.isAfter(known.epoch)) return;
    }
    // A worker without a session takes any: the notice may be of a coordinator that is gone.
    const wanted = this.isOpen() ? epoch : undefined;
    if (this.due === Infinity || !isSame(this.wanted, wanted)) {
      this.wanted = wanted;
      if (!isSame(this.handshake?.wanted, wanted)) this.handshake = undefined;
      this.due = Math.min(this.due, this.earliest(now) + Math.random() * RETRY);
    }
  }

  private accepted(now: number, frame: Buffer): Epoch {
    const asked = this.handshake;
    if (asked === undefined) throw new Malformed("the accept answers nothing");
    const accept = readSigned("accept", frame, asked.to);
    const digest = sha256(payloadOf(asked.frame));
    const expected = {
      v: 1,
      namespace: this.identity.namespace,
      worker: this.worker,
      worker_key: this.own,
      key: keyId(asked.to),
      shard: 0,
      suite: "TP1",
      init: digest.toString("hex"),
    };
    const chain = accept["chain"];
    if (!has(accept, expected) || !Array.isArray(chain) || chain.length > 0) {
      throw new Malformed("the accept is for another init");
    }
    const epoch = Epoch.parse(accept["epoch"]);
    const [theirs, session] = [fromHex(accept["e"], 32), fromHex(accept["session"], 8)];
    const { wanted } = asked;
    const isWanted =
      wanted === undefined || (wanted.instance === epoch.instance && !wanted.isAfter(epoch));
    if (!isWanted || this.open.some((one) => one.epoch.isAfter(epoch))) {
      throw new Malformed("the accept is of an earlier epoch");
    }
    const salt = sha256(digest, sha256(payloadOf(frame)));
    const keys = derive(agree(asked.ephemeral, theirs), salt);
    [this.handshake, this.wanted, this.due] = [undefined, undefined, Infinity];
    this.unanswered = 0;
    this.add(now, epoch, new Session(now, session.readBigUInt64BE(), keys));
    return epoch;
  }

  private add(now: number, epoch: Epoch, session: Session): void {
    const former = this.open.find((one) => one.epoch.is(epoch))?.session;
    const others = this.open.filter((one) => one.epoch.instance !== epoch.instance);
    // One that takes over, and the one before it.
    const before = others.sort((one, other) => other.heard - one.heard).slice(0, 1);
    this.open = [...before, { epoch, session, heard: now, former, formerUntil: now + FORMER }];
  }
}
