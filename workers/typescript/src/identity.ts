/** The identity of a worker: its key, and what it learned when it joined. */

import * as crypto from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { Malformed, readObject, text } from "./messages.js";
import type { Fields } from "./messages.js";
import {
  CONTROL,
  agree,
  derive,
  fromHex,
  header,
  keyId,
  keyOfSeed,
  open,
  rawPublic,
  readSigned,
  sha256,
  signedFrame,
} from "./seal.js";

/** A worker that has joined. */
export interface Identity {
  key: KeyObject;
  name: string;
  namespace: string;
  /** The public keys of the namespace. */
  coordinatorKeys: Buffer[];
  broker?: string;
  /** The login at the broker, if it has one. */
  login?: { user: string; password: string };
}

/** The coordinator refuses to enrol the key. */
export class JoinRefused extends Error {}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const fromBase62 = (digits: string): bigint =>
  [...digits].reduce((number, digit) => number * 62n + BigInt(DIGITS.indexOf(digit)), 0n);

/** Reads the text of a join token: a seed, and the public key of the namespace. */
export function parseToken(token: string): { seed: Buffer; coordinator: Buffer } {
  const [, digits = "", checksum = ""] = /^tpj_([0-9A-Za-z]{86})([0-9A-Za-z]{6})$/.exec(token) ?? [];
  const number = fromBase62(digits);
  const isRight = fromBase62(checksum) === BigInt(crc32(token.slice(0, -6)));
  if (digits === "" || !isRight || number >= 2n ** 512n) {
    throw new Malformed("the join token is incomplete or has a typing error");
  }
  const bytes = Buffer.from(number.toString(16).padStart(128, "0"), "hex");
  return { seed: bytes.subarray(0, 32), coordinator: bytes.subarray(32) };
}

const tomlOf = (path: string): string => `${path.replace(/\.key$/, "")}.toml`;

/** Reads `worker.key`, and `worker.toml` next to it, as `tinpot worker join` writes them. */
export function loadIdentity(path: string): Identity {
  const key = crypto.createPrivateKey(readFileSync(path));
  if (key.asymmetricKeyType !== "ed25519") throw new Malformed(`${path} has no Ed25519 key`);
  const facts: Fields = {};
  for (const line of readFileSync(tomlOf(path), "utf8").split("\n")) {
    const [, name, value] = /^(\w+) = (.*)$/.exec(line) ?? [];
    // The file has plain texts and lists of them only, whose forms are the same in JSON.
    if (name !== undefined && value !== undefined) facts[name] = JSON.parse(value);
  }
  const identity: Identity = {
    key,
    name: text(facts, "name"),
    namespace: text(facts, "namespace"),
    coordinatorKeys: readPins(facts["coordinator_keys"]),
  };
  if (facts["broker"] !== undefined) identity.broker = text(facts, "broker");
  if (facts["broker_user"] !== undefined) {
    const password = text(facts, "broker_password");
    identity.login = { user: text(facts, "broker_user"), password };
  }
  return identity;
}

function readPins(list: unknown): Buffer[] {
  if (!Array.isArray(list) || list.length < 1 || list.length > 2) {
    throw new Malformed("coordinator_keys must be a list of one or two keys");
  }
  return list.map((pin) => fromHex(pin, 32));
}

/** Writes both files, which only their owner can read. */
export function saveIdentity(identity: Identity, path: string): void {
  const facts = {
    key: keyId(rawPublic(identity.key)),
    name: identity.name,
    namespace: identity.namespace,
    coordinator_keys: identity.coordinatorKeys.map((pin) => pin.toString("hex")),
    broker: identity.broker,
    broker_user: identity.login?.user,
    broker_password: identity.login?.password,
  };
  const known = Object.entries(facts).filter(([, value]) => value !== undefined);
  const lines = known.map(([name, value]) => `${name} = ${JSON.stringify(value)}\n`);
  const options = { mode: 0o600, flag: "wx" };
  writeFileSync(tomlOf(path), lines.join(""), options);
  writeFileSync(path, identity.key.export({ type: "pkcs8", format: "pem" }), options);
}

/** A request to enrol a key, and what is needed to read its answer. */
export class JoinRequest {
  /** The id of the key, at which the answer arrives. */
  readonly joiner: string;
  /** The frame to send, and to send again until it is answered. */
  readonly frame: Buffer;
  private readonly coordinator: Buffer;
  private readonly digest: Buffer;
  private readonly ephemeral = crypto.generateKeyPairSync("x25519");

  constructor(
    token: string,
    private readonly key: KeyObject,
    private readonly namespace: string,
    private readonly name: string,
    version: string,
  ) {
    const { seed, coordinator } = parseToken(token.trim());
    const signer = keyOfSeed(seed);
    const join = {
      v: 1,
      namespace,
      token: keyId(rawPublic(signer)),
      key: rawPublic(key).toString("hex"),
      e: rawPublic(this.ephemeral.publicKey).toString("hex"),
      name,
      version,
    };
    const payload = Buffer.from(JSON.stringify(join));
    this.coordinator = coordinator;
    this.joiner = keyId(rawPublic(key));
    this.digest = sha256(payload);
    this.frame = signedFrame("join", payload, signer, key);
  }

  /** Reads an answer. Throws `Malformed` if it is none, and `JoinRefused`. */
  answer(frame: Buffer): Identity {
    const answer = readSigned("joined", frame, this.coordinator);
    const isOurs = answer["key"] === this.joiner && answer["join"] === this.digest.toString("hex");
    if (!isOurs || answer["v"] !== 1 || answer["namespace"] !== this.namespace) {
      throw new Malformed("the answer is for another join");
    }
    if (answer["refused"] !== undefined) {
      throw new JoinRefused(`the coordinator refuses the join: ${JSON.stringify(answer["refused"])}`);
    }
    const enrolled = answer["enrolled"] as Fields | undefined;
    if (enrolled?.["name"] !== this.name) {
      throw new Malformed("the answer enrols no worker of this name");
    }
    const coordinatorKeys = readPins(enrolled["coordinator_keys"]);
    if (!coordinatorKeys.some((pin) => pin.equals(this.coordinator))) {
      throw new Malformed("the answer does not name the coordinator of the token");
    }
    const { key, name, namespace } = this;
    const identity: Identity = { key, name, namespace, coordinatorKeys };
    if (enrolled["broker"] !== undefined) {
      const theirs = fromHex(enrolled["e"], 32);
      const shared = agree(this.ephemeral.privateKey, theirs);
      identity.login = openLogin(shared, this.digest, theirs, fromHex(enrolled["broker"]));
    }
    return identity;
  }
}

/** Returns the login at the broker, which an answer has sealed. */
export function openLogin(
  shared: Buffer,
  join: Buffer,
  theirs: Buffer,
  sealed: Buffer,
): { user: string; password: string } {
  const salt = sha256(Buffer.from("tinpot/1 join\0"), join, theirs);
  const key = derive(shared, salt)[2] as Buffer;
  const login = readObject(open(key, header("joined", CONTROL, 0n, 0n), sealed, 1n));
  return { user: text(login, "user"), password: text(login, "password") };
}
