// Checks the test vectors of sealed frames with Node's own cryptography.

import assert from "node:assert/strict";
import * as crypto from "node:crypto";
import { readFileSync } from "node:fs";

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const NAMES = ["up_control", "up_logs", "down_control", "down_logs"];
const bytes = (hex) => Buffer.from(hex, "hex");
const sha256 = (data) => crypto.createHash("sha256").update(data).digest();
const text = (kind, payload) =>
  Buffer.concat([Buffer.from(`tinpot/1 ${kind}\0`), Buffer.from(payload)]);

/** Returns the public key of these 32 bytes. */
function publicKey(raw) {
  const key = { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") };
  return crypto.createPublicKey({ key, format: "jwk" });
}

/** Returns the document of a sealed frame that arrived on a lane; throws if it is refused. */
function open(key, lane, frame) {
  const head = frame.subarray(0, 24);
  const right = Buffer.concat([Buffer.from("TPF1\0"), Buffer.from([lane, 0, 0])]);
  assert(frame.length >= 40 && head.subarray(0, 8).equals(right));
  const nonce = Buffer.concat([Buffer.alloc(4), head.subarray(16)]);
  const options = { authTagLength: 16 };
  const cipher = crypto.createDecipheriv("chacha20-poly1305", key, nonce, options);
  const body = frame.subarray(24, -16);
  cipher.setAAD(head, { plaintextLength: body.length });
  cipher.setAuthTag(frame.subarray(-16));
  return Buffer.concat([cipher.update(body), cipher.final()]);
}

for (const { seed, pem, public: raw, id } of vectors.keys) {
  const key = crypto.createPrivateKey(pem);
  const { d, x } = key.export({ format: "jwk" });
  assert.equal(Buffer.from(d, "base64url").toString("hex"), seed);
  assert.equal(Buffer.from(x, "base64url").toString("hex"), raw);
  assert.equal(sha256(bytes(raw)).subarray(0, 16).toString("hex"), id);
}
for (const { seed, kind, payload, signature } of vectors.signed) {
  const { pem } = vectors.keys.find((key) => key.seed === seed);
  assert.equal(crypto.sign(null, text(kind, payload), pem).toString("hex"), signature);
}
for (const entry of vectors.joins) {
  const frame = bytes(entry.frame);
  for (const [name, place] of [
    ["token", 24],
    ["key", 88],
  ]) {
    const pkcs8 = bytes(`302e020100300506032b657004220420${entry[`${name}_seed`]}`);
    const key = crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
    const signature = crypto.sign(null, text("join", entry.payload), key);
    assert.equal(signature.toString("hex"), entry[`by_${name}`]);
    assert(frame.subarray(place, place + 64).equals(signature));
  }
  assert.equal(frame.subarray(152).toString(), entry.payload);
}
{
  const { shared, e, salt, key, login, broker } = vectors.login;
  const digest = sha256(vectors.joins[0].payload);
  const made = sha256(Buffer.concat([Buffer.from("tinpot/1 join\0"), digest, bytes(e)]));
  assert.equal(made.toString("hex"), salt);
  const keys = Buffer.from(crypto.hkdfSync("sha256", bytes(shared), made, "tinpot/1 TP1 keys", 128));
  assert.equal(keys.subarray(64, 96).toString("hex"), key);
  const nonce = Buffer.concat([Buffer.alloc(11), Buffer.from([1])]);
  const cipher = crypto.createDecipheriv("chacha20-poly1305", bytes(key), nonce, {
    authTagLength: 16,
  });
  const sealed = bytes(broker);
  const head = Buffer.concat([Buffer.from("TPF1\x05"), Buffer.alloc(19)]);
  cipher.setAAD(head, { plaintextLength: sealed.length - 16 });
  cipher.setAuthTag(sealed.subarray(-16));
  const opened = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  assert.equal(opened.toString(), login);
}
const { session } = vectors;
const salt = sha256(Buffer.concat([sha256(session.init), sha256(session.accept)]));
const info = "tinpot/1 TP1 keys";
const keys = Buffer.from(crypto.hkdfSync("sha256", bytes(session.shared), salt, info, 128));
NAMES.forEach((name, place) => {
  assert.equal(keys.subarray(32 * place, 32 * place + 32).toString("hex"), session[name]);
});
for (const { key, lane, document, frame } of vectors.sealed) {
  assert.equal(open(bytes(session[key]), lane, bytes(frame)).toString(), document);
}
for (const { why, key, lane, kind, public: raw, frame } of vectors.refused) {
  const [signature, payload] = [bytes(frame).subarray(24, 88), bytes(frame).subarray(88)];
  if (raw) {
    assert(!crypto.verify(null, text(kind, payload), publicKey(bytes(raw)), signature), why);
  } else {
    assert.throws(() => open(bytes(session[key]), lane, bytes(frame)), undefined, why);
  }
}
