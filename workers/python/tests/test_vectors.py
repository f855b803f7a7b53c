"""The test vectors of the specification."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tinpot_worker import seal
from tinpot_worker.identity import JoinRequest, JoinToken, open_login
from tinpot_worker.messages import Epoch, Malformed

VECTORS = Path(__file__).parents[3] / "docs" / "protocol" / "vectors"


def load(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())


class Frames(unittest.TestCase):
    vectors = load("frames-1.json")

    def test_keys_have_their_ids(self) -> None:
        for entry in self.vectors["keys"]:
            key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(entry["seed"]))
            public = key.public_key().public_bytes_raw()
            self.assertEqual((public.hex(), seal.key_id(public)), (entry["public"], entry["id"]))

    def test_signed_frames_are_made_and_read(self) -> None:
        for entry in self.vectors["signed"]:
            key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(entry["seed"]))
            kind = seal.NAMES.index(entry["kind"])
            frame = seal.signed_frame(kind, entry["payload"].encode(), key)
            self.assertEqual(frame.hex(), entry["frame"])
            public = key.public_key().public_bytes_raw()
            self.assertTrue(seal.is_by(public, kind, frame))
            self.assertFalse(seal.is_by(public, kind, frame + b" "))

    def test_a_join_is_made(self) -> None:
        for entry in self.vectors["joins"]:
            payload = json.loads(entry["payload"])
            token = JoinToken(bytes.fromhex(entry["token_seed"]), bytes(32))
            key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(entry["key_seed"]))
            signer = Ed25519PrivateKey.from_private_bytes(token.seed)
            frame = seal.signed_frame(seal.JOIN, entry["payload"].encode(), signer, key)
            self.assertEqual(frame.hex(), entry["frame"])
            request = JoinRequest(token, "web", payload["namespace"], "mqtt://broker")
            made = json.loads(seal.payload_of(request.frame[seal.SIGNATURE_BYTES :]))
            self.assertEqual(made.keys(), payload.keys())
            for name in ("v", "namespace", "token", "name"):
                self.assertEqual(made[name], payload[name])

    def test_sealed_frames_are_opened(self) -> None:
        session = self.vectors["session"]
        names = ["up_control", "up_logs", "down_control", "down_logs"]
        keys = [bytes.fromhex(session[name]) for name in names]
        for entry in self.vectors["sealed"]:
            lane = entry["lane"]
            frame = bytes.fromhex(entry["frame"])
            number = int.from_bytes(frame[8:16], "big")
            if entry["key"].startswith("up"):
                sender = seal.Session(0.0, Epoch(1, 1), number, keys)
                sender._sent[lane] = int.from_bytes(frame[16:24], "big") - 1
                self.assertEqual(sender.seal(lane, entry["document"].encode()), frame)
            else:
                receiver = seal.Session(0.0, Epoch(1, 1), number, keys)
                self.assertEqual(receiver.open(lane, frame).decode(), entry["document"])
                with self.assertRaises(Malformed):
                    receiver.open(lane, frame)

    def test_refused_frames_are_refused(self) -> None:
        session = self.vectors["session"]
        for entry in self.vectors["refused"]:
            frame = bytes.fromhex(entry["frame"])
            if "public" in entry:
                kind = seal.NAMES.index(entry["kind"])
                self.assertFalse(seal.is_by(bytes.fromhex(entry["public"]), kind, frame))
                continue
            lane = int(entry["lane"])
            key = bytes.fromhex(session[entry["key"]])
            number = int.from_bytes(frame[8:16], "big")
            opener = seal.Session(0.0, Epoch(1, 1), number, [key] * 4)
            header = frame[:8] == b"TPF1\0" + bytes([lane, 0, 0])
            with self.assertRaises(Malformed, msg=entry["why"]):
                if not header:
                    raise Malformed("Sessions.read looks at the header")
                opener.open(lane, frame)

    def test_the_login_at_the_broker_is_opened(self) -> None:
        login = self.vectors["login"]
        join = seal.sha256(self.vectors["joins"][0]["payload"].encode())
        shared, theirs = bytes.fromhex(login["shared"]), bytes.fromhex(login["e"])
        expected = json.loads(login["login"])
        opened = open_login(shared, join, theirs, login["broker"])
        self.assertEqual(opened, (expected["user"], expected["password"]))

    def test_the_keys_of_a_session_are_derived(self) -> None:
        session = self.vectors["session"]
        messages = [seal.sha256(session[name].encode()) for name in ("init", "accept")]
        keys = seal.derive(bytes.fromhex(session["shared"]), seal.sha256(b"".join(messages)))
        names = ["up_control", "up_logs", "down_control", "down_logs"]
        self.assertEqual([key.hex() for key in keys], [session[name] for name in names])

    def test_an_agreement_on_nothing_is_refused(self) -> None:
        with self.assertRaises(Malformed):
            seal.agree(X25519PrivateKey.generate(), bytes(32))


if __name__ == "__main__":
    unittest.main()
