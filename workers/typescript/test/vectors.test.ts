/** The vectors and scenes of the specification. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { openLogin, parseToken } from "../src/identity.js";
import { Log } from "../src/logs.js";
import { Machine } from "../src/machine.js";
import type { Host, StopReason } from "../src/machine.js";
import { Fence } from "../src/messages.js";
import type { Dispatch, Message } from "../src/messages.js";
import * as seal from "../src/seal.js";

const FOLDER = new URL("../../../../docs/protocol/vectors/", import.meta.url);
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- the files are as they are
const load = (name: string): any => JSON.parse(readFileSync(new URL(name, FOLDER), "utf8"));
const hex = (digits: string): Buffer => Buffer.from(digits, "hex");

/** Checks that every field of `expected` is in `found`. Lists have the same length. */
function assertHas(found: unknown, expected: unknown, where: string): void {
  if (typeof expected !== "object" || expected === null) {
    assert.deepEqual(found, expected, where);
    return;
  }
  if (Array.isArray(expected)) {
    assert.equal((found as unknown[]).length, expected.length, `${where}: ${JSON.stringify(found)}`);
  }
  for (const [name, value] of Object.entries(expected)) {
    assertHas((found as { [name: string]: unknown })[name], value, `${where}.${name}`);
  }
}

class Recorder implements Host {
  sends: Message[] = [];
  starts: string[] = [];
  stops: [string, StopReason, number][] = [];
  send(message: Message): void {
    this.sends.push(message);
  }
  start(dispatch: Dispatch): void {
    this.starts.push(dispatch.key);
  }
  stop(key: string, reason: StopReason, grace: number): void {
    this.stops.push([key, reason, grace]);
  }
  forget(): void {}
  drainRequested(): void {}
}

const { worker, scenes } = load("scenes-1.json");
for (const scene of scenes) {
  test(scene.name, () => {
    const noted = new Recorder();
    const actions = worker.actions.map((name: string) => ({ name }));
    const machine = new Machine({ ...worker, queues: [], actions, version: "" }, noted);
    for (const step of scene.steps) {
      if (step.link_up) machine.linkUp(step.at);
      else if (step.receive) machine.receive(step.at, step.receive);
      else if (step.finish) machine.finished(step.at, step.finish.fence, step.finish.outcome, 0);
      else if (step.drain !== undefined) machine.drain(step.at, step.drain);
      else machine.tick(step.at);
      for (const kind of ["sends", "starts", "stops"] as const) {
        assertHas(noted[kind], step[kind] ?? [], `at ${step.at}: ${kind}`);
        noted[kind] = [];
      }
    }
  });
}

for (const scene of load("logs-1.json").scenes) {
  test(scene.name, () => {
    const log = new Log("1.1.1", () => {});
    for (const step of scene.steps) {
      for (const line of step.write ?? []) log.write(line, "stdout", "info");
      if (step.ack !== undefined) log.acknowledged(step.at, Number(step.ack));
      const sent = log.due(step.at).flatMap((message) => {
        const { first_seq: first, lines } = message["log"] as { first_seq: number; lines: string[] };
        return lines.map((_, place) => first + place);
      });
      assert.deepEqual(sent, step.sends ?? [], `at ${step.at}`);
    }
  });
}

test("fences are read and ordered", () => {
  const { valid, invalid, order } = load("fences-1.json");
  for (const { text, instance, epoch, number } of valid) {
    const fence = Fence.parse(text);
    const numbers = [fence.epoch.instance, fence.epoch.number, fence.number].map(String);
    assert.deepEqual([...numbers, fence.toString()], [instance, epoch, number, text]);
  }
  for (const text of invalid) assert.throws(() => Fence.parse(text), Error, text);
  const fences = order.map((text: string) => Fence.parse(text));
  const sorted = [...fences].reverse().sort((one: Fence, other: Fence) => one.compare(other));
  assert.deepEqual(sorted, fences);
});

test("join tokens are read", () => {
  const { valid, invalid } = load("tokens-1.json");
  for (const { text, seed, coordinator } of valid) {
    const token = parseToken(text);
    assert.deepEqual([token.seed, token.coordinator], [hex(seed), hex(coordinator)]);
  }
  for (const text of invalid) assert.throws(() => parseToken(text), Error, text);
});

const NAMES = ["up_control", "up_logs", "down_control", "down_logs"];
const { keys, signed, joins, login, session, sealed, refused } = load("frames-1.json");

test("signed frames are made and read", () => {
  for (const { seed, public: raw, id } of keys) {
    assert.deepEqual(seal.rawPublic(seal.keyOfSeed(hex(seed))), hex(raw));
    assert.equal(seal.keyId(hex(raw)), id);
  }
  for (const { seed, kind, payload, frame } of signed) {
    const key = seal.keyOfSeed(hex(seed));
    assert.equal(seal.signedFrame(kind, Buffer.from(payload), key).toString("hex"), frame);
    assert(seal.isBy(kind, hex(frame), seal.rawPublic(key)));
    assert(!seal.isBy(kind, Buffer.concat([hex(frame), hex("20")]), seal.rawPublic(key)));
  }
  for (const { token_seed: token, key_seed: key, payload, frame } of joins) {
    const signers = [token, key].map((seed) => seal.keyOfSeed(hex(seed)));
    const made = seal.signedFrame("join", Buffer.from(payload), ...signers);
    assert.equal(made.toString("hex"), frame);
  }
});

test("keys are derived", () => {
  const [init, accept] = [session.init, session.accept].map((text) => seal.sha256(Buffer.from(text)));
  const salt = seal.sha256(init as Buffer, accept as Buffer);
  const derived = seal.derive(hex(session.shared), salt);
  assert.deepEqual(derived.map((key) => key.toString("hex")), NAMES.map((name) => session[name]));
  const join = seal.sha256(Buffer.from(joins[0].payload));
  const opened = openLogin(hex(login.shared), join, hex(login.e), hex(login.broker));
  assert.deepEqual(opened, JSON.parse(login.login));
});

test("sealed frames are made and opened, once", () => {
  const all = NAMES.map((name) => hex(session[name]));
  for (const { key, lane, frame: digits, document } of sealed) {
    const frame = hex(digits);
    const one = new seal.Session(0, frame.readBigUInt64BE(8), all);
    if (key.startsWith("up")) {
      one.sent[lane] = frame.readBigUInt64BE(16) - 1n;
      assert.deepEqual(one.seal(lane, Buffer.from(document)), frame);
    } else {
      assert.equal(one.open(lane, frame).toString(), document);
      assert.throws(() => one.open(lane, frame));
    }
  }
});

test("what must be refused is refused", () => {
  for (const { why, key, lane, kind, public: raw, frame: digits } of refused) {
    const frame = hex(digits);
    if (raw !== undefined) {
      assert(!seal.isBy(kind, frame, hex(raw)), why);
      continue;
    }
    const session_key = hex(session[key]);
    const one = new seal.Session(0, frame.readBigUInt64BE(8), Array(4).fill(session_key));
    const head = seal.header("sealed", lane, frame.readBigUInt64BE(8), frame.readBigUInt64BE(16));
    const isHeader = frame.subarray(0, 24).equals(head);
    assert.throws(() => assert(isHeader && one.open(lane, frame)), Error, why);
  }
});

test("a counter counts once, and only within the window", () => {
  const [seen, window] = [new Set<bigint>(), new seal.Window()];
  let counter = 1n;
  for (let round = 0n; round < 20_000n; round += 1n) {
    counter += (round * 7919n) % 200n;
    const back = (round * 104729n) % 4296n;
    const now = counter > back ? counter - back : 1n;
    const isFresh = !seen.has(now) && (now > window.highest || window.highest - now <= 4096n);
    assert.equal(window.isFresh(now), isFresh, `${now} after ${window.highest}`);
    if (isFresh) window.note(now);
    seen.add(now);
  }
});
