/** Sealed frames: keys, signed messages, and one session. */

import * as crypto from "node:crypto";
import type { KeyObject } from "node:crypto";
import { Malformed, readObject } from "./messages.js";
import type { Fields } from "./messages.js";

/** The lanes, as they are in headers. */
export const [CONTROL, LOGS] = [0, 1];
/** A lane. */
export type Lane = typeof CONTROL;

/** The kinds of frames, as they are in headers and in signed texts. */
export const KINDS = ["sealed", "init", "accept", "notice", "join", "joined"] as const;
/** A kind of frame. */
export type Kind = (typeof KINDS)[number];

export const HEADER_BYTES = 24;
const SIGNATURE_BYTES = 64;
const TAG_BYTES = 16;
const PAYLOAD_BYTES = 4096;
const WINDOW = 4096n;
const SESSION_AGE = 24 * 3600 * 1000;
const WORN_FRAMES = 2n ** 40n;
const AEAD = "chacha20-poly1305";

/** Returns the SHA-256 of some bytes. */
export const sha256 = (...parts: Uint8Array[]): Buffer =>
  crypto.createHash("sha256").update(Buffer.concat(parts)).digest();

/** Returns the id of a public key. */
export const keyId = (raw: Uint8Array): string => sha256(raw).subarray(0, 16).toString("hex");

/** Returns the header of a frame. */
export function header(kind: Kind, lane: Lane, session: bigint, counter: bigint): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.write("TPF1");
  head[4] = KINDS.indexOf(kind);
  head[5] = lane;
  head.writeBigUInt64BE(session, 8);
  head.writeBigUInt64BE(counter, 16);
  return head;
}

/** Returns the public key of 32 bytes. */
export function publicKey(curve: "Ed25519" | "X25519", raw: Uint8Array): KeyObject {
  const x = Buffer.from(raw).toString("base64url");
  try {
    return crypto.createPublicKey({ key: { kty: "OKP", crv: curve, x }, format: "jwk" });
  } catch {
    throw new Malformed("a public key cannot be read");
  }
}

/** Returns the Ed25519 key of a seed. */
export function keyOfSeed(seed: Uint8Array): KeyObject {
  const key = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
  return crypto.createPrivateKey({ key, format: "der", type: "pkcs8" });
}

/** Returns the 32 bytes of the public half of a key. */
export function rawPublic(key: KeyObject): Buffer {
  const half = key.type === "private" ? crypto.createPublicKey(key) : key;
  return Buffer.from(half.export({ format: "jwk" }).x ?? "", "base64url");
}

const signedText = (kind: Kind, payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`tinpot/1 ${kind}\0`), payload]);

/** Returns a frame that is signed by each of the keys. */
export function signedFrame(kind: Kind, payload: Uint8Array, ...keys: KeyObject[]): Buffer {
  const text = signedText(kind, payload);
  const signatures = keys.map((key) => crypto.sign(null, text, key));
  return Buffer.concat([header(kind, CONTROL, 0n, 0n), ...signatures, payload]);
}

/** Returns the payload of a frame with one signature. */
export const payloadOf = (frame: Buffer): Buffer => frame.subarray(HEADER_BYTES + SIGNATURE_BYTES);

/** Returns true if one of the keys has signed a frame. */
export function isBy(kind: Kind, frame: Buffer, ...keys: Uint8Array[]): boolean {
  const text = signedText(kind, payloadOf(frame));
  const signature = frame.subarray(HEADER_BYTES, HEADER_BYTES + SIGNATURE_BYTES);
  return keys.some((key) => crypto.verify(null, text, publicKey("Ed25519", key), signature));
}

/** Returns the payload of a frame that one of the keys has signed. */
export function readSigned(kind: Kind, frame: Buffer, ...keys: Uint8Array[]): Fields {
  if (!frame.subarray(0, HEADER_BYTES).equals(header(kind, CONTROL, 0n, 0n))) {
    throw new Malformed(`the frame is not of kind ${kind}`);
  }
  if (payloadOf(frame).length > PAYLOAD_BYTES || !isBy(kind, frame, ...keys)) {
    throw new Malformed("the payload is too long, or the signature is wrong");
  }
  return readObject(payloadOf(frame));
}

/** Reads lower-case hexadecimal digits. */
export function fromHex(text: unknown, length?: number): Buffer {
  const digits = typeof text === "string" && /^([0-9a-f]{2})*$/.test(text) ? text : undefined;
  if (digits === undefined || (length !== undefined && digits.length !== 2 * length)) {
    throw new Malformed("lower-case hexadecimal digits are expected");
  }
  return Buffer.from(digits, "hex");
}

/** Returns the secret of both sides. */
export function agree(own: KeyObject, theirs: Uint8Array): Buffer {
  try {
    // Fails if the secret is all zero.
    return crypto.diffieHellman({ privateKey: own, publicKey: publicKey("X25519", theirs) });
  } catch {
    throw new Malformed("the other side's key agrees on nothing");
  }
}

/** Returns four keys: up control, up logs, down control, down logs. */
export function derive(shared: Uint8Array, salt: Uint8Array): Buffer[] {
  const all = Buffer.from(crypto.hkdfSync("sha256", shared, salt, "tinpot/1 TP1 keys", 128));
  return [0, 32, 64, 96].map((at) => all.subarray(at, at + 32));
}

function nonce(counter: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64BE(counter, 4);
  return bytes;
}

/** Returns the frame of a header and the sealed document. */
export function seal(key: Buffer, head: Buffer, document: Uint8Array, counter: bigint): Buffer {
  const cipher = crypto.createCipheriv(AEAD, key, nonce(counter), { authTagLength: TAG_BYTES });
  cipher.setAAD(head, { plaintextLength: document.length });
  const parts = [head, cipher.update(document), cipher.final()];
  return Buffer.concat([...parts, cipher.getAuthTag()]);
}

/** Returns the document that is sealed behind a header. */
export function open(key: Buffer, head: Buffer, sealed: Buffer, counter: bigint): Buffer {
  if (sealed.length < TAG_BYTES) throw new Malformed("a frame is too short");
  const body = sealed.subarray(0, -TAG_BYTES);
  const cipher = crypto.createDecipheriv(AEAD, key, nonce(counter), { authTagLength: TAG_BYTES });
  cipher.setAAD(head, { plaintextLength: body.length });
  cipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([cipher.update(body), cipher.final()]);
  } catch {
    throw new Malformed("a frame is forged");
  }
}

/** The counters that were seen: the highest one, and the ones below it. */
export class Window {
  highest = 0n;
  /** A bit for each counter in reach, at its remainder. */
  private readonly words = new Uint32Array(Number(WINDOW) / 32 + 1);

  private place(counter: bigint): [number, number] {
    return [Number((counter / 32n) % BigInt(this.words.length)), 1 << Number(counter % 32n)];
  }

  /** Returns true if a frame with this counter is new, as far as the window reaches. */
  isFresh(counter: bigint): boolean {
    if (counter > this.highest) return true;
    const [word, bit] = this.place(counter);
    const inReach = counter > 0n && this.highest - counter <= WINDOW;
    return inReach && ((this.words[word] ?? 0) & bit) === 0;
  }

  /** Notes the counter of a frame that was opened, and is fresh. */
  note(counter: bigint): void {
    if (counter > this.highest) {
      const length = BigInt(this.words.length);
      const last = counter / 32n;
      let passed = this.highest / 32n + 1n;
      if (passed < last - length + 1n) passed = last - length + 1n;
      for (; passed <= last; passed += 1n) this.words[Number(passed % length)] = 0;
      this.highest = counter;
    }
    const [word, bit] = this.place(counter);
    this.words[word] = (this.words[word] ?? 0) | bit;
  }
}

/** The worker's end of a session. */
export class Session {
  /** The counters of the last frames that were sent, by lane. */
  readonly sent = [0n, 0n];
  private readonly received = [new Window(), new Window()];

  constructor(
    private readonly began: number,
    readonly id: bigint,
    private readonly keys: Buffer[],
  ) {}

  /** Returns true if the session needs new keys. */
  isWorn(now: number): boolean {
    const counters = [...this.sent, ...this.received.map((window) => window.highest)];
    return now - this.began >= SESSION_AGE || counters.some((count) => count >= WORN_FRAMES);
  }

  /** Returns the frame of a document. */
  seal(lane: Lane, document: Uint8Array): Buffer {
    const counter = (this.sent[lane] ?? 0n) + 1n;
    this.sent[lane] = counter;
    const head = header("sealed", lane, this.id, counter);
    return seal(this.keys[lane] as Buffer, head, document, counter);
  }

  /** Returns the document of a frame that arrived on a lane. */
  open(lane: Lane, frame: Buffer): Buffer {
    const counter = frame.readBigUInt64BE(16);
    const window = this.received[lane] as Window;
    if (!window.isFresh(counter)) throw new Malformed("a frame arrived twice, or too late");
    const [head, sealed] = [frame.subarray(0, HEADER_BYTES), frame.subarray(HEADER_BYTES)];
    const document = open(this.keys[2 + lane] as Buffer, head, sealed, counter);
    window.note(counter);
    return document;
  }
}
